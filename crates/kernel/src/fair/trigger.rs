//! When balancing happens: from the tick, on the way to idle, and on behalf of idle CPUs whose tick is stopped.

use rand_core::RngCore;

use crate::class::Pick;
use crate::class::rt;
use crate::executor::Kernel;
use crate::fair::balance::balance_domain;
use crate::fair::domains::{Domain, Newidle as NewidleStats, Sd};
use crate::fair::imbalance::{self, IdleType};
use crate::fair::{load, queue, stats};
use crate::ids::{CpuId, Ns};
use crate::irq::Ipi;
use crate::lock::LockId;
use crate::state::State;
use crate::task::OnRq;

/// Jiffies beyond which a balance is never put off.
const FAR_JIFFIES_S: u64 = 60;

/// Ticks since the start.
pub(super) fn jiffies(k: &Kernel) -> u64 {
    k.now() / k.config.tick_ns()
}

/// Queueing a task made a CPU have two or more (rule 8.19) [add_nr_running].
pub(super) fn note_overload(s: &mut State, cpu: CpuId) {
    if s.rqs[cpu].nr_running >= 2 {
        s.fair.overloaded = true;
    }
}

/// The next tick of `cpu` balances.
pub(super) fn balance_soon(k: &mut Kernel, cpu: CpuId) {
    k.fair.balance[cpu].next_balance = jiffies(k);
}

/// A tick hit this CPU (rule 8.2) [sched_balance_trigger]. No lock held.
pub(crate) fn trigger_load_balance(k: &mut Kernel, cpu: CpuId) {
    let now = jiffies(k);
    if now >= k.fair.balance[cpu].next_balance {
        k.cpus[cpu].irq.balance_softirq = true;
    }
    if k.config.nohz_idle && now >= k.fair.nohz_next_balance && needs_help(k, cpu) {
        kick_idle_cpu(k, now);
    }
}

/// Should an idle CPU look for work, as seen from this busy one? (rule 8.21) [nohz_balancer_kick]
fn needs_help(s: &State, cpu: CpuId) -> bool {
    let rq = &s.rqs[cpu];
    if rq.is_idle() {
        return false;
    }
    if rq.nr_running >= 2 {
        return true;
    }
    let pct = s.fair.domains.of[cpu].first().map(|sd| s.fair.domains.domains[sd.dom].imbalance_pct);
    let Some(pct) = pct else {
        return false;
    };
    if rq.fair.nr_runnable() >= 1 && imbalance::is_reduced(s, cpu, pct) {
        return true;
    }
    s.fair.domains.llc[cpu].is_some_and(|d| s.fair.domains.domains[d].nr_busy > 1)
}

/// [kick_ilb]
fn kick_idle_cpu(k: &mut Kernel, now: u64) {
    let idle = k.fair.idle.iter().find(|&c| stats::is_idle_cpu(k, c));
    if let Some(cpu) = idle {
        k.fair.nohz_next_balance = now + 1;
        k.send_ipi(cpu, Ipi::NohzBalance);
    }
}

/// The softirq after a tick: periodic balancing for this CPU [sched_balance_softirq].
pub(crate) fn run_rebalance_domains(k: &mut Kernel, cpu: CpuId) {
    let idle = if k.rqs[cpu].is_idle() { IdleType::Idle } else { IdleType::Busy };
    update_blocked(k, cpu);
    balance_domains(k, cpu, idle);
}

/// Brings `cpu`'s averages up to now: what sleeps there decays [sched_balance_update_blocked_averages].
fn update_blocked(k: &mut Kernel, cpu: CpuId) {
    let now = k.now();
    let rq = &mut k.rqs[cpu];
    rq.clock = rq.clock.max(now);
    load::update_queue(k, cpu);
    let rt = k.curr(cpu).class == crate::class::ClassId::Rt;
    load::update_rt(k, cpu, rt);
}

/// Interval of a domain in jiffies [get_sd_balance_interval].
pub(super) fn interval_jiffies(interval_ms: u64, busy: bool, hz: u64, online: u64) -> u64 {
    let ms = if busy { interval_ms * 16 } else { interval_ms };
    let jiffies = (ms * hz).div_ceil(1000) - u64::from(busy);
    jiffies.clamp(1, (hz * online / 10).max(1))
}

/// Balances all domains of `cpu` that are due (rule 8.2) [sched_balance_domains].
fn balance_domains(k: &mut Kernel, cpu: CpuId, mut idle: IdleType) {
    let (hz, online) = (u64::from(k.config.hz), k.nr_cpus() as u64);
    let mut next = jiffies(k) + FAR_JIFFIES_S * hz;
    let (mut go_on, mut any_decayed, mut max_cost) = (true, false, 0);
    let busy = |k: &Kernel, idle| idle == IdleType::Busy && !queue::is_idle_only(k, cpu);
    for at in 0..k.fair.domains.of[cpu].len() {
        let now_ns = k.now();
        let decayed = k.fair.domains.of[cpu][at].newidle.note_cost(0, now_ns);
        any_decayed |= decayed;
        max_cost += k.fair.domains.of[cpu][at].newidle.max_cost;
        if !go_on {
            if decayed {
                continue;
            }
            break;
        }
        let due = |k: &Kernel, idle| {
            let sd = &k.fair.domains.of[cpu][at];
            sd.last_balance + interval_jiffies(sd.interval, busy(k, idle), hz, online)
        };
        if jiffies(k) >= due(k, idle)
            && let Some(outcome) = serialized(k, cpu, at, idle)
        {
            go_on = outcome.go_on;
            if outcome.moved > 0 {
                idle = if stats::is_idle_cpu(k, cpu) { IdleType::Idle } else { IdleType::Busy };
            }
            let now = jiffies(k);
            k.fair.domains.of[cpu][at].last_balance = now;
        }
        next = next.min(due(k, idle));
    }
    if any_decayed {
        k.fair.balance[cpu].max_cost = max_cost.max(super::idle::MIGRATION_COST_NS);
    }
    k.fair.balance[cpu].next_balance = next;
}

/// A pass of a domain; of NUMA domains there is one at a time in the system [SD_SERIALIZE].
fn serialized(k: &mut Kernel, cpu: CpuId, at: usize, idle: IdleType) -> Option<super::balance::Outcome> {
    let numa = domain(k, cpu, at).is_numa();
    if numa && std::mem::replace(&mut k.fair.numa_balancing, true) {
        return None;
    }
    let outcome = balance_domain(k, cpu, at, idle);
    if numa {
        k.fair.numa_balancing = false;
    }
    Some(outcome)
}

fn domain(s: &State, cpu: CpuId, at: usize) -> &Domain {
    &s.fair.domains.domains[s.fair.domains.of[cpu][at].dom]
}

/// This idle CPU balances for all whose tick is stopped (rule 8.21) [_nohz_idle_balance].
pub(crate) fn nohz_balance(k: &mut Kernel, cpu: CpuId) {
    if !stats::is_idle_cpu(k, cpu) || k.rqs[cpu].need_resched {
        return;
    }
    let mut next = jiffies(k) + FAR_JIFFIES_S * u64::from(k.config.hz);
    let mut at = cpu.0;
    for _ in 0..k.nr_cpus() {
        let Some(target) = k.fair.idle.next_wrap(at) else {
            break;
        };
        at = target.0;
        if stats::is_idle_cpu(k, target) {
            if k.rqs[cpu].need_resched {
                next = jiffies(k);
                break; // work has come; the rest is for the next one
            }
            if jiffies(k) >= k.fair.balance[target].next_balance {
                update_blocked(k, target);
                balance_domains(k, target, IdleType::Idle);
            }
            next = next.min(k.fair.balance[target].next_balance);
        }
        if target == cpu {
            break;
        }
    }
    k.fair.nohz_next_balance = next;
}

/// What balancing on the way to idle came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newidle {
    /// Nothing to run.
    Nothing,
    /// A fair task is there.
    Pulled,
    /// A task of a higher class is there.
    Retry,
}

impl NewidleStats {
    /// [update_newidle_cost] True if the greatest cost was lowered, once a second.
    fn note_cost(&mut self, cost: Ns, now: Ns) -> bool {
        if cost > self.max_cost {
            (self.max_cost, self.cost_decayed_at) = (cost, now);
            return false;
        }
        let due = now > self.cost_decayed_at + 1_000_000_000;
        if due {
            self.max_cost = self.max_cost * 253 / 256;
            self.cost_decayed_at = now;
        }
        due
    }

    /// A call that found so much [update_newidle_stats] (rule 8.20).
    fn note_call(&mut self, success: u64, now: Ns) {
        self.calls += 1;
        self.success += success;
        if self.calls < 1024 {
            return;
        }
        self.ratio = (self.success + (now.saturating_sub(self.stamp) >> 22)).min(1024);
        self.calls /= 2;
        self.success /= 2;
        self.stamp = now;
    }
}

/// The CPU is about to go idle: is there something to pull? (rule 8.19) [sched_balance_newidle] Rq lock held; dropped and
/// retaken if there is something to look at.
pub(super) fn newidle(k: &mut Kernel, cpu: CpuId) -> Newidle {
    let clock = k.rqs[cpu].clock;
    if k.rqs[cpu].idle_stamp == 0 {
        k.rqs[cpu].idle_stamp = clock.max(1);
    }
    if !k.rqs[cpu].wake_list.is_empty() || !k.rqs[cpu].active {
        return Newidle::Nothing; // somebody comes, or nobody may
    }
    let lowest = k.fair.domains.of[cpu].first().map(|sd| sd.newidle.max_cost);
    let avg_idle = k.fair.balance[cpu].avg_idle;
    if !k.fair.overloaded || lowest.is_none_or(|cost| avg_idle < cost) || k.rqs[cpu].nr_running > 0 {
        return Newidle::Nothing;
    }
    k.unlock(LockId::Rq(cpu));
    update_blocked(k, cpu);
    let (mut pulled, cost) = newidle_domains(k, cpu, avg_idle);
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
    let b = &mut k.fair.balance[cpu];
    b.max_cost = b.max_cost.max(cost);
    pulled |= k.rqs[cpu].fair.nr_queued > 0;
    let result = match pulled {
        _ if higher_class_waits(k, cpu) => Newidle::Retry,
        true if k.rqs[cpu].fair.nr_queued > 0 => Newidle::Pulled,
        _ => Newidle::Nothing,
    };
    if result != Newidle::Nothing {
        k.rqs[cpu].idle_stamp = 0;
    }
    result
}

fn higher_class_waits(k: &mut Kernel, cpu: CpuId) -> bool {
    let rq = &k.rqs[cpu];
    k.task(rq.stop).on_rq == OnRq::Queued || rq.dl.nr_running() > 0 || rt::pick_task(k, cpu) != Pick::None
}

/// Goes through the domains bottom up; true if something was pulled, and what the search cost.
fn newidle_domains(k: &mut Kernel, cpu: CpuId, avg_idle: Ns) -> (bool, Ns) {
    let mut spent = 0;
    for at in 0..k.fair.domains.of[cpu].len() {
        let Sd { newidle, .. } = k.fair.domains.of[cpu][at];
        if avg_idle < spent + newidle.max_cost {
            break;
        }
        let start = k.now();
        let mut weight = 1;
        if newidle.ratio < 1024 {
            let gate = 1 + newidle.ratio;
            if u64::from(k.fair.rng.next_u32() % 1024) > gate {
                k.fair.domains.of[cpu][at].newidle.note_call(0, start);
                continue;
            }
            weight = (1024 + gate / 2) / gate;
        }
        let outcome = balance_domain(k, cpu, at, IdleType::NewlyIdle);
        let now = k.now();
        spent += now - start;
        let stats = &mut k.fair.domains.of[cpu][at].newidle;
        stats.note_call(weight * u64::from(outcome.moved > 0), now);
        stats.note_cost(now - start, now);
        if outcome.moved > 0 || !outcome.go_on {
            return (outcome.moved > 0, spent);
        }
    }
    (false, spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        for (ms, busy, hz, online, jiffies) in [
            (8, false, 250, 8, 2),
            (8, true, 250, 8, 31),
            (1, false, 250, 8, 1),
            (128, true, 1000, 4, 400),
            (1024, false, 1000, 1024, 1024),
        ] {
            assert_eq!(interval_jiffies(ms, busy, hz, online), jiffies, "{ms} {busy}");
        }
    }

    #[test]
    fn costs_decay_by_a_hundredth_a_second() {
        let mut n = NewidleStats { max_cost: 0, cost_decayed_at: 0, calls: 0, success: 0, ratio: 512, stamp: 0 };
        assert!(!n.note_cost(25_600, 5));
        assert!(!n.note_cost(100, 500_000_000));
        assert!(n.note_cost(100, 1_000_000_006));
        assert_eq!(n.max_cost, 25_300);
    }

    #[test]
    fn the_gate_follows_success() {
        let mut n = NewidleStats { max_cost: 0, cost_decayed_at: 0, calls: 1023, success: 99, ratio: 512, stamp: 0 };
        n.note_call(1, 10 << 22);
        assert_eq!((n.ratio, n.calls, n.success), (110, 512, 50));
    }
}

#[cfg(test)]
mod under_a_scheduler {
    use std::rc::Rc;

    use scxr_trace::NullSink;

    use crate::Machine;
    use crate::behavior::{Action, TaskCx, TaskSpec};
    use crate::config::Config;
    use crate::ext::bypass::tests::Nothing;
    use crate::ids::CpuId;
    use crate::topology::Topology;

    /// Ticks balance for the fair class as long as tasks can be in it (10.6).
    #[test]
    fn nobody_balances_where_all_tasks_are_a_schedulers() {
        let rounds = |scheduler: bool| {
            let mut m = Machine::new(Topology::parse("4").expect("a machine"), Config::default(), Box::new(NullSink));
            for i in 0..8 {
                m.spawn(TaskSpec::new(format!("hog{i}"), |_: &TaskCx| Action::Run(1_000_000)));
            }
            if scheduler {
                m.enable(Rc::new(Nothing));
            }
            m.run_until(100_000_000);
            let due = |m: &Machine| m.state().fair.balance[CpuId(1)].next_balance;
            let before = due(&m);
            m.run_until(2_000_000_000);
            due(&m) - before
        };
        assert!(rounds(false) > 100);
        assert_eq!(rounds(true), 0);
    }
}
