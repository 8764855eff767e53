//! A reservation: so much runtime in each period, to be had before a deadline (constant bandwidth server).

use super::queue::{Node, dequeue_entity, enqueue_entity, is_leftmost, requeue};
use super::server;
use crate::class::enq;
use crate::executor::{Kernel, NEVER};
use crate::ids::{CpuId, Ns};
use crate::irq::Timer;
use crate::state::State;
use crate::topology::CAPACITY_SCALE;

/// Bandwidths are fractions of this [BW_SHIFT].
pub(super) const BW_UNIT: u64 = 1 << 20;
/// Times are compared in units of 2^10 ns [DL_SCALE].
const SCALE: u32 = 10;

/// A reservation: of a task of the class, or of a server.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Runtime that each period grants, ns [dl_runtime].
    pub(super) granted: Ns,
    /// Deadline, from the beginning of a period, ns [dl_deadline].
    pub(super) relative: Ns,
    /// Period, ns [dl_period].
    pub(super) period: Ns,
    /// Runtime left; negative: more was used than there was.
    pub(super) runtime: i64,
    /// The current deadline.
    pub(super) deadline: Ns,
    /// It waits for new runtime, or until it is deferred no more.
    pub(super) throttled: bool,
    /// It gave back what was left of its runtime.
    pub(super) yielded: bool,
    /// Where it is in the queue, if it is: its number there.
    pub(super) queued: Option<u64>,
    /// When its timer is due; NEVER while none runs.
    pub(super) timer: Ns,
    /// Number of the last start of the timer: others are stale.
    pub(super) timer_seq: u64,
    /// Of a server: what else there is to it.
    pub(super) server: Option<server::Deferral>,
}

impl Default for Entity {
    fn default() -> Self {
        Entity {
            granted: 0,
            relative: 0,
            period: 0,
            runtime: 0,
            deadline: 0,
            throttled: false,
            yielded: false,
            queued: None,
            timer: NEVER,
            timer_seq: 0,
            server: None,
        }
    }
}

/// Runtime by period, of [`BW_UNIT`] [to_ratio].
pub(super) fn ratio(period: Ns, runtime: Ns) -> u64 {
    (u128::from(runtime) * u128::from(BW_UNIT)).checked_div(u128::from(period)).unwrap_or(0) as u64
}

impl Entity {
    /// Share of a CPU, of [`BW_UNIT`] [dl_bw].
    pub fn bandwidth(&self) -> u64 {
        ratio(self.period, self.granted)
    }

    /// The current deadline, ns.
    pub fn deadline(&self) -> Ns {
        self.deadline
    }

    /// Does it wait for runtime?
    pub fn is_throttled(&self) -> bool {
        self.throttled
    }

    /// [__setparam_dl]
    pub(crate) fn set_params(&mut self, granted: Ns, relative: Ns, period: Ns) {
        (self.granted, self.relative, self.period) = (granted, relative, if period == 0 { relative } else { period });
    }

    /// A new period begins now [replenish_dl_new_period].
    fn new_period(&mut self, clock: Ns) {
        self.deadline = clock + self.relative;
        self.runtime = self.granted as i64;
        if let Some(d) = self.server.as_mut().filter(|d| !d.running) {
            (self.throttled, d.armed) = (true, true);
        }
    }

    /// Would it exceed its bandwidth if it kept runtime and deadline? In units of 1,024 ns [dl_entity_overflow].
    fn overflows(&self, clock: Ns) -> bool {
        let scaled = |ns: i128| ns >> SCALE;
        let want = scaled(self.relative.into()) * scaled(self.runtime.into());
        let have = scaled(i128::from(self.deadline) - i128::from(clock)) * scaled(self.granted.into());
        have < want
    }

    /// It wakes: does it keep runtime and deadline? [update_dl_entity]
    pub(super) fn wake(&mut self, clock: Ns) {
        let late = self.deadline < clock;
        if late || self.overflows(clock) {
            let implicit = self.relative == self.period;
            if !late && (!implicit || self.server.as_ref().is_some_and(|d| d.running)) {
                let density = ratio(self.relative, self.granted);
                let laxity = self.deadline - clock;
                self.runtime = (u128::from(density) * u128::from(laxity) / u128::from(BW_UNIT)) as i64;
                return;
            }
            if let Some(d) = &mut self.server {
                d.running = false;
            }
            self.new_period(clock);
        } else if let Some(d) = self.server.as_mut().filter(|d| !d.running) {
            (self.throttled, d.armed) = (true, true);
        }
    }

    /// It comes from another class with a deadline that has passed [setup_new_dl_entity].
    pub(super) fn renew_if_late(&mut self, clock: Ns) {
        if self.deadline < clock && !self.throttled {
            self.new_period(clock);
        }
    }

    /// It gets new runtime, for as many periods as it used up [replenish_dl_entity]. True: a server that is to be deferred now.
    fn replenish(&mut self, clock: Ns) -> bool {
        let armed = self.server.as_ref().is_some_and(|d| d.armed);
        if self.granted == 0 {
            return false;
        }
        if self.relative == 0 || armed && self.overflows(clock) {
            (self.deadline, self.runtime) = (clock + self.relative, self.granted as i64);
        }
        if self.yielded {
            self.runtime = self.runtime.min(0);
        }
        while self.runtime <= 0 {
            self.deadline += self.period;
            self.runtime += self.granted as i64;
        }
        if self.deadline < clock {
            self.new_period(clock);
        }
        (self.yielded, self.throttled) = (false, false);
        let zero_laxity = self.deadline.saturating_add_signed(-self.runtime);
        match &mut self.server {
            Some(d) if d.armed => {
                d.armed = false;
                false
            }
            Some(d) => !d.running && clock < zero_laxity,
            None => false,
        }
    }

    /// Beginning of the next period [dl_next_period].
    fn next_period(&self) -> Ns {
        self.deadline - self.relative.min(self.deadline) + self.period
    }

    /// When its timer is to fire: when a deferred server has no time left to lose, or else with the next period.
    fn timer_at(&self) -> Ns {
        match &self.server {
            Some(d) if d.armed => self.deadline.saturating_add_signed(-self.runtime),
            _ => self.next_period(),
        }
    }
}

/// The reservation of a task, or of a server of `cpu`.
pub(super) fn entity(s: &mut State, cpu: CpuId, node: Node) -> &mut Entity {
    match node {
        Node::Task(p) => &mut s.task_mut(p).dl,
        Node::Server(which) => &mut s.rqs[cpu].dl.servers[which as usize],
    }
}

/// Starts the timer; false: its time has passed [start_dl_timer]. Rq lock held.
pub(super) fn start_timer(k: &mut Kernel, cpu: CpuId, node: Node) -> bool {
    let (clock, now) = (k.rqs[cpu].clock, k.now());
    let e = entity(k, cpu, node);
    let at = e.timer_at();
    if at + 1_000 <= clock {
        return false;
    }
    if e.timer == NEVER {
        let at = at.saturating_add(now.saturating_sub(clock)).max(now);
        e.timer = at;
        e.timer_seq += 1;
        let seq = e.timer_seq;
        match node {
            Node::Task(p) => k.start_timer(at, Timer::Deadline(p, seq)),
            Node::Server(_) => server::set_timer(k, cpu),
        }
    }
    true
}

/// [hrtimer_try_to_cancel]
pub(super) fn cancel_timer(k: &mut Kernel, cpu: CpuId, node: Node) {
    let e = entity(k, cpu, node);
    (e.timer, e.timer_seq) = (NEVER, e.timer_seq + 1);
    if let Node::Server(_) = node {
        server::set_timer(k, cpu);
    }
}

/// Gives it new runtime; a server whose time has not come yet is deferred.
pub(super) fn replenish(k: &mut Kernel, cpu: CpuId, node: Node) {
    let clock = k.rqs[cpu].clock;
    if !entity(k, cpu, node).replenish(clock) {
        return;
    }
    set_deferred(entity(k, cpu, node), true);
    if !start_timer(k, cpu, node) {
        cancel_timer(k, cpu, node);
        set_deferred(entity(k, cpu, node), false);
    }
}

pub(super) fn set_deferred(e: &mut Entity, on: bool) {
    e.throttled = on;
    if let Some(d) = &mut e.server {
        d.armed = on;
    }
}

/// A task with a deadline before its period wakes between the two: it waits for the next period [dl_check_constrained_dl].
pub(super) fn check_constrained(k: &mut Kernel, cpu: CpuId, node: Node) {
    let clock = k.rqs[cpu].clock;
    let e = entity(k, cpu, node);
    let between = e.deadline < clock && clock < e.next_period();
    if e.throttled || e.relative == e.period || !between || !start_timer(k, cpu, node) {
        return;
    }
    let e = entity(k, cpu, node);
    (e.throttled, e.runtime) = (true, e.runtime.min(0));
}

/// It ran, or what it stands for did, for `delta` ns [update_curr_dl_se]. Rq lock held.
pub(super) fn account(k: &mut Kernel, cpu: CpuId, node: Node, delta: Ns) {
    let rq = &k.rqs[cpu];
    let idle = rq.is_idle() && rq.nr_running == 0 && rq.wake_list.is_empty();
    let used = match node {
        Node::Task(_) => scaled(k, cpu, delta),
        Node::Server(_) => delta,
    };
    let e = entity(k, cpu, node);
    if delta == 0 && !e.yielded {
        return;
    }
    e.runtime -= used as i64;
    let exceeded = e.runtime <= 0;
    let throttled = e.throttled;
    if let Some(d) = &mut e.server {
        d.idle &= idle;
        if throttled {
            if exceeded {
                server::not_needed(k, cpu, node, idle);
            }
            return;
        }
    }
    if exceeded || e.yielded {
        throttle(k, cpu, node);
    }
}

/// Runtime is counted at full capacity and speed [dl_scaled_delta_exec].
fn scaled(k: &Kernel, cpu: CpuId, delta: Ns) -> Ns {
    let scale = u64::from(CAPACITY_SCALE);
    let delta = delta * u64::from(k.frequency(cpu)) / scale;
    delta * u64::from(k.topology.cpus[cpu].capacity) / scale
}

/// Its runtime is used up: it leaves the queue until the next period.
fn throttle(k: &mut Kernel, cpu: CpuId, node: Node) {
    entity(k, cpu, node).throttled = true;
    dequeue_entity(k, cpu, node);
    if !start_timer(k, cpu, node) {
        match node {
            Node::Task(_) => enqueue_entity(k, cpu, node, enq::REPLENISH),
            Node::Server(_) => {
                begin_period(k, cpu, node);
                start_timer(k, cpu, node);
            }
        }
    }
    if !is_leftmost(k, cpu, node) {
        k.resched_curr(cpu);
    }
}

/// A new period begins now.
pub(super) fn begin_period(k: &mut Kernel, cpu: CpuId, node: Node) {
    let clock = k.rqs[cpu].clock;
    entity(k, cpu, node).new_period(clock);
}

/// The timer of a reservation has brought new runtime: it goes on, and may run at once.
pub(super) fn refilled(k: &mut Kernel, cpu: CpuId, node: Node) {
    enqueue_entity(k, cpu, node, enq::REPLENISH);
    requeue(k, cpu, node);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(granted: Ns, relative: Ns, period: Ns) -> Entity {
        let mut e = Entity::default();
        e.set_params(granted, relative, period);
        e
    }

    #[test]
    fn a_wakeup_keeps_what_fits_the_bandwidth() {
        // 10 ms each 100 ms; runtime left, deadline, time of the wakeup => runtime, deadline (all in ms)
        for (runtime, deadline, now, expect) in [
            (5, 100, 20, (5, 100)),   // 5 of 80: fits
            (10, 100, 20, (10, 120)), // 10 of 80: a new period
            (5, 100, 101, (10, 201)), // too late
            (-2, 100, 50, (-2, 100)), // nothing left: fits, and is filled by its timer
        ] {
            let ms = 1_000_000;
            let mut e = task(10 * ms, 100 * ms, 0);
            (e.runtime, e.deadline) = (runtime * ms as i64, deadline * ms);
            e.wake(now * ms);
            assert_eq!((e.runtime / ms as i64, e.deadline / ms), expect, "{runtime} {deadline} {now}");
        }
    }

    #[test]
    fn a_constrained_deadline_keeps_its_density() {
        let mut e = task(10 << 20, 50 << 20, 100 << 20);
        (e.runtime, e.deadline) = (10 << 20, 50 << 20);
        e.wake(25 << 20);
        assert_eq!(e.deadline, 50 << 20);
        let expect = 5 << 20;
        assert!((expect - 100..=expect).contains(&e.runtime), "{}", e.runtime);
    }

    #[test]
    fn an_overrun_costs_periods() {
        let mut e = task(10, 100, 100);
        (e.runtime, e.deadline, e.throttled) = (-25, 1_000, true);
        assert!(!e.replenish(1_000));
        assert_eq!((e.runtime, e.deadline, e.throttled), (5, 1_300, false));
    }
}
