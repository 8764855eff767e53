//! Per-entity load tracking: geometric averages over periods of about a millisecond, in the kernel's exact integers (rule
//! 9.1) [kernel/sched/pelt.c].

use crate::ids::Ns;

/// Greatest sum that a series can reach.
pub(crate) const LOAD_AVG_MAX: u64 = 47742;
/// Least divider.
pub(crate) const PELT_MIN_DIVIDER: u64 = LOAD_AVG_MAX - 1024;
const PERIOD: u64 = 1024;
const HALF_LIFE: u64 = 32;

/// `y^n * (2^32 - 1)` for n of 0 to 31, with `y^32 = 1/2`.
const DECAY: [u32; HALF_LIFE as usize] = [
    0xffff_ffff,
    0xfa83_b2da,
    0xf525_7d14,
    0xefe4_b99a,
    0xeac0_c6e6,
    0xe5b9_06e6,
    0xe0cc_deeb,
    0xdbfb_b796,
    0xd744_fcc9,
    0xd2a8_1d91,
    0xce24_8c14,
    0xc9b9_bd85,
    0xc567_2a10,
    0xc12c_4cc9,
    0xbd08_a39e,
    0xb8fb_af46,
    0xb504_f333,
    0xb123_f581,
    0xad58_3ee9,
    0xa9a1_5ab4,
    0xa5fe_d6a9,
    0xa270_4302,
    0x9ef5_325f,
    0x9b8d_39b9,
    0x9837_f050,
    0x94f4_efa8,
    0x91c3_d373,
    0x8ea4_398a,
    0x8b95_c1e3,
    0x8898_0e80,
    0x85aa_c367,
    0x82cd_8698,
];

/// `val * y^n` [decay_load].
fn decay(val: u64, n: u64) -> u64 {
    if n > HALF_LIFE * 63 {
        return 0;
    }
    let val = val >> (n / HALF_LIFE);
    ((u128::from(val) * u128::from(DECAY[(n % HALF_LIFE) as usize])) >> 32) as u64
}

/// Averages of an entity or a queue [sched_avg].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchedAvg {
    pub(crate) last_update_time: Ns,
    pub(crate) load_sum: u64,
    pub(crate) runnable_sum: u64,
    pub(crate) util_sum: u64,
    /// Position in the current period.
    pub(crate) period_contrib: u64,
    pub(crate) load_avg: u64,
    pub(crate) runnable_avg: u64,
    pub(crate) util_avg: u64,
}

/// What was true since the last update: weight or count of runnable, 0 if not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal {
    pub(crate) load: u64,
    pub(crate) runnable: u64,
    pub(crate) running: bool,
}

impl SchedAvg {
    /// A new task starts at full load [init_entity_runnable_average].
    pub(crate) fn new_task(weight: u32) -> SchedAvg {
        SchedAvg { load_avg: u64::from(weight), ..SchedAvg::default() }
    }

    /// What sums are divided by [get_pelt_divider].
    pub(crate) fn divider(&self) -> u64 {
        PELT_MIN_DIVIDER + self.period_contrib
    }

    /// [accumulate_sum] True if a period ended.
    fn accumulate(&mut self, delta: u64, s: Signal) -> bool {
        let total = delta + self.period_contrib;
        let periods = total / PERIOD;
        let mut contrib = delta;
        if periods > 0 {
            self.load_sum = decay(self.load_sum, periods);
            self.runnable_sum = decay(self.runnable_sum, periods);
            self.util_sum = decay(self.util_sum, periods);
            let rest = total % PERIOD;
            if s.load > 0 {
                let first = decay(PERIOD - self.period_contrib, periods);
                let whole = LOAD_AVG_MAX - decay(LOAD_AVG_MAX, periods) - PERIOD;
                contrib = first + whole + rest;
            }
            self.period_contrib = rest;
        } else {
            self.period_contrib = total;
        }
        self.load_sum += s.load * contrib;
        self.runnable_sum += (s.runnable * contrib) << 10;
        if s.running {
            self.util_sum += contrib << 10;
        }
        periods > 0
    }

    /// Brings the sums up to `now` [___update_load_sum]. True if the averages are to be computed anew.
    pub(crate) fn update_sum(&mut self, now: Ns, mut s: Signal) -> bool {
        let Some(delta) = now.checked_sub(self.last_update_time) else {
            self.last_update_time = now;
            return false;
        };
        let delta = delta >> 10;
        if delta == 0 {
            return false;
        }
        self.last_update_time += delta << 10;
        if s.load == 0 {
            (s.runnable, s.running) = (0, false);
        }
        self.accumulate(delta, s)
    }

    /// Computes the averages [___update_load_avg].
    pub(crate) fn update_avg(&mut self, weight: u64) {
        let d = self.divider();
        self.load_avg = weight * self.load_sum / d;
        self.runnable_avg = self.runnable_sum / d;
        self.util_avg = self.util_sum / d;
    }

    /// An entity's averages up to `now` [__update_load_avg_se]. Its sums are per unit of weight.
    pub(crate) fn update_entity(&mut self, now: Ns, weight: u64, s: Signal) {
        if self.update_sum(now, s) {
            self.update_avg(weight);
        }
    }

    /// The entity's weight is another one.
    pub(crate) fn reweight(&mut self, weight: u64) {
        self.load_avg = match self.load_sum {
            0 => weight, // not begun yet
            sum => weight * sum / self.divider(),
        };
    }
}

/// What entities that left by a wakeup elsewhere take out of a queue's averages at its next update [cfs_rq.removed].
#[derive(Clone, Copy, Debug, Default)]
struct Removed {
    nr: u32,
    load: u64,
    util: u64,
    runnable: u64,
}

/// Averages of a queue and what belongs to them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueAvg {
    pub(crate) sa: SchedAvg,
    removed: Removed,
    /// Sum of `util_est` of the queued tasks.
    pub(crate) util_est: u64,
    /// Time in which averages are kept, and the run queue's clock at which it was that [rq.clock_pelt].
    pub(crate) clock: Ns,
    pub(crate) clock_at: Ns,
    /// Share of the CPU that real-time tasks use.
    pub(crate) rt: SchedAvg,
}

/// Takes a share out of a queue's average and sum; the sum stays possible for the average that is left.
fn take(avg: &mut u64, sum: &mut u64, less_avg: u64, less_sum: u64) {
    *avg = avg.saturating_sub(less_avg);
    *sum = sum.saturating_sub(less_sum).max(*avg * PELT_MIN_DIVIDER);
}

impl QueueAvg {
    /// Brings the queue's averages up to `now` [update_cfs_rq_load_avg].
    pub(crate) fn update(&mut self, now: Ns, s: Signal) {
        if self.removed.nr > 0 {
            let r = std::mem::take(&mut self.removed);
            let sa = &mut self.sa;
            let d = sa.divider();
            take(&mut sa.load_avg, &mut sa.load_sum, r.load, r.load * d);
            take(&mut sa.util_avg, &mut sa.util_sum, r.util, r.util * d);
            take(&mut sa.runnable_avg, &mut sa.runnable_sum, r.runnable, r.runnable * d);
        }
        if self.sa.update_sum(now, s) {
            self.sa.update_avg(1);
        }
    }

    /// An entity's averages become part of the queue's [attach_entity_load_avg].
    pub(crate) fn attach(&mut self, e: &mut SchedAvg, weight: u64) {
        let q = &mut self.sa;
        let d = q.divider();
        e.last_update_time = q.last_update_time;
        e.period_contrib = q.period_contrib;
        e.util_sum = e.util_avg * d;
        e.runnable_sum = e.runnable_avg * d;
        e.load_sum = (e.load_avg * d / weight).max(1);
        q.load_avg += e.load_avg;
        q.load_sum += weight * e.load_sum;
        q.util_avg += e.util_avg;
        q.util_sum += e.util_sum;
        q.runnable_avg += e.runnable_avg;
        q.runnable_sum += e.runnable_sum;
    }

    /// They leave it [detach_entity_load_avg].
    pub(crate) fn detach(&mut self, e: &SchedAvg, weight: u64) {
        let q = &mut self.sa;
        take(&mut q.load_avg, &mut q.load_sum, e.load_avg, weight * e.load_sum);
        take(&mut q.util_avg, &mut q.util_sum, e.util_avg, e.util_sum);
        take(&mut q.runnable_avg, &mut q.runnable_sum, e.runnable_avg, e.runnable_sum);
    }

    /// They will leave it at its next update [remove_entity_load_avg].
    pub(crate) fn remove_later(&mut self, e: &SchedAvg) {
        self.removed.nr += 1;
        self.removed.load += e.load_avg;
        self.removed.util += e.util_avg;
        self.removed.runnable += e.runnable_avg;
    }
}

/// A task's estimated utilisation, kept while it sleeps (rule 9.3) [util_est].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UtilEst {
    pub(crate) value: u64,
    /// Counted in its queue's sum with this value.
    pub(crate) counted: u64,
}

/// About one per cent of 1024 [UTIL_EST_MARGIN].
const UTIL_EST_MARGIN: u64 = 10;

impl UtilEst {
    /// The task goes to sleep [util_est_update].
    pub(crate) fn sleep(&mut self, avg: &SchedAvg) {
        let util = avg.util_avg;
        if self.value <= util {
            self.value = util;
        } else if self.value - util >= UTIL_EST_MARGIN && avg.runnable_avg <= util + UTIL_EST_MARGIN {
            self.value = (3 * self.value + util) / 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: Signal = Signal { load: 1, runnable: 1, running: true };
    const OFF: Signal = Signal { load: 0, runnable: 0, running: false };
    const P: Ns = 1 << 20;

    #[test]
    fn factors_halve_after_32_periods() {
        for (n, &f) in DECAY.iter().enumerate().skip(1) {
            let exact = f64::from(u32::MAX) * 2f64.powf(-(n as f64) / 32.0);
            assert_eq!(f, exact as u32, "{n}");
        }
        assert_eq!(decay(1 << 20, 32), (1 << 19) - 1);
        assert_eq!(decay(1 << 20, 32 * 64), 0);
    }

    #[test]
    fn the_series_is_the_documented_one() {
        // One call over a stretch, or one call a period: both approach the documented greatest sum.
        let mut whole = SchedAvg::default();
        whole.update_entity(2_000 * P, 1024, ON);
        assert_eq!(whole.load_sum, LOAD_AVG_MAX - 1024);
        assert_eq!((whole.load_avg, whole.util_avg), (1024, 1024));
        let mut a = SchedAvg::default();
        for i in 1..=2_000 {
            a.update_entity(i * P, 1024, ON);
        }
        let most = LOAD_AVG_MAX - 1024;
        assert!((most - 40..=most + 40).contains(&a.load_sum), "{}", a.load_sum);
        assert!(a.util_avg >= 1023 && a.load_avg >= 1023);
    }

    #[test]
    fn half_life_is_32_periods() {
        let mut a = SchedAvg::default();
        a.update_entity(1_000 * P, 1024, ON);
        for (periods, left) in [(32, 512), (64, 256), (96, 128), (320, 1)] {
            let mut b = a;
            b.update_entity((1_000 + periods) * P, 1024, OFF);
            assert!(b.util_avg.abs_diff(left) <= 1, "{periods}: {}", b.util_avg);
        }
        // And from nothing to half in the same time.
        let mut c = SchedAvg::default();
        c.update_entity(32 * P, 1024, ON);
        assert!(c.util_avg.abs_diff(512) <= 2, "{}", c.util_avg);
    }

    #[test]
    fn load_follows_weight_and_running_share() {
        let mut a = SchedAvg::default();
        let wait = Signal { running: false, ..ON };
        for i in 1..=4_000 {
            a.update_entity(i * P, 3121, if i % 2 == 0 { ON } else { wait });
        }
        assert!(a.load_avg.abs_diff(3121) < 5, "{}", a.load_avg);
        assert!(a.util_avg.abs_diff(512) < 15, "{}", a.util_avg);
        assert!(a.runnable_avg.abs_diff(1024) < 5, "{}", a.runnable_avg);
    }

    #[test]
    fn what_is_attached_can_be_detached() {
        let mut q = QueueAvg::default();
        q.update(500 * P + 77_000, OFF);
        let mut e = SchedAvg::new_task(820);
        (e.util_avg, e.runnable_avg) = (300, 400);
        q.attach(&mut e, 820);
        assert_eq!((q.sa.load_avg, q.sa.util_avg, q.sa.runnable_avg), (820, 300, 400));
        let mut r = q;
        q.detach(&e, 820);
        assert_eq!((q.sa.load_avg, q.sa.util_avg, q.sa.runnable_avg), (0, 0, 0));
        r.remove_later(&e);
        assert_eq!(r.sa.util_avg, 300, "until the next update");
        r.update(500 * P + 78_000, OFF);
        assert_eq!((r.sa.load_avg, r.sa.util_avg, r.sa.runnable_avg), (0, 0, 0));
    }

    #[test]
    fn util_est_jumps_up_and_creeps_down() {
        let check = |est, util_avg, runnable_avg, expect| {
            let mut e = UtilEst { value: est, counted: 0 };
            let avg = SchedAvg { util_avg, runnable_avg, ..SchedAvg::default() };
            e.sleep(&avg);
            assert_eq!(e.value, expect, "{est} {util_avg} {runnable_avg}");
        };
        check(100, 300, 300, 300);
        check(400, 200, 200, 350);
        check(405, 400, 400, 405); // within 1 %
        check(400, 200, 300, 400); // it waited: its use says little
    }
}
