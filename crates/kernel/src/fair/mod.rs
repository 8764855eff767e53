//! The fair class: EEVDF, with CPU selection and load balancing, after Linux 7.2 [kernel/sched/fair.c].
//!
//! Choices where the kernel has options: preemption is lazy and HRTICK on unless [`crate::config::Config`] says otherwise;
//! buddies, groups and bandwidth not present, cache-aware balancing off. The features that are on are those of the
//! kernel's defaults.
//!
//! | file | idea |
//! | --- | --- |
//! | `entity` | what is known about a task and a queue |
//! | `timeline` | the queue ordered by deadline |
//! | `vruntime` | virtual time, lag, placement, pick |
//! | `queue` | coming, leaving, running; delayed dequeue |
//! | `preempt` | wakeup preemption |
//! | `hrtick` | the timer that ends slices |
//! | `pelt`, `load` | load tracking, and where it is applied |
//! | `domains`, `stats` | who is balanced with whom; what groups look like |
//! | `select`, `idlest` | CPU selection of wakeups; of births and execs |
//! | `idle` | what is kept about idle CPUs |
//! | `imbalance`, `balance` | finding an imbalance; a balancing pass that repairs it |
//! | `trigger` | when balancing happens: tick, on the way to idle, for tickless CPUs |

mod balance;
mod domains;
mod entity;
mod hrtick;
mod idle;
mod idlest;
mod imbalance;
mod load;
mod mru;
mod pelt;
mod preempt;
mod queue;
mod select;
mod stats;
mod timeline;
mod trigger;
mod vruntime;

pub use entity::{CfsRq, Entity};

pub(crate) use balance::active_balance;
pub(crate) use hrtick::start as hrtick_start;
pub(crate) use idle::update_idle;
pub(crate) use load::update_rt;
pub(crate) use preempt::{prio_changed, switched_to, wakeup_preempt};
pub(crate) use queue::{
    dequeue_task, enqueue_task, pick_task, put_prev_task, set_next_task, task_tick, update_curr, yield_task,
};
pub(crate) use select::select_task_rq;
pub(crate) use trigger::{nohz_balance, run_rebalance_domains, trigger_load_balance};

use crate::class::deq;
use crate::config::Config;
use crate::core::attr::AttrError;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, PerCpu, TaskId};
use crate::lock::LockId;
use crate::task::{OnRq, TaskState};
use crate::topology::Topology;

/// Unscaled slice [normalized_sysctl_sched_base_slice].
const NORMALIZED_SLICE_NS: Ns = 700_000;
const CUSTOM_SLICE_MIN_NS: Ns = 100_000;
const CUSTOM_SLICE_MAX_NS: Ns = 100_000_000;

/// Fair part of the machine.
#[derive(Debug)]
pub struct Fair {
    /// Length of a request in ns (rule 0.3) [sysctl_sched_base_slice].
    pub base_slice: Ns,
    pub(crate) domains: domains::Domains,
    pub(crate) balance: PerCpu<idle::CpuBalance>,
    /// CPUs that run their idle task.
    pub(crate) idle: CpuMask,
    /// Queued tasks of policy SCHED_IDLE on all CPUs.
    pub(crate) nr_idle_policy: u32,
    /// Jiffy at which somebody is to balance for the CPUs whose tick is stopped [nohz.next_balance].
    pub(crate) nohz_next_balance: u64,
    /// Some CPU has more than one task [root_domain.overloaded].
    pub(crate) overloaded: bool,
    /// A NUMA domain is being balanced.
    pub(crate) numa_balancing: bool,
    /// Stream of the gate of balancing on the way to idle.
    pub(crate) rng: rand_pcg::Pcg32,
}

/// Number of the random stream.
const RNG_STREAM: u64 = 0x6661_6972;

/// Slice for a number of online CPUs: it grows with their logarithm, up to 8 [get_update_sysctl_factor].
fn base_slice(online: usize) -> Ns {
    NORMALIZED_SLICE_NS * Ns::from(1 + online.clamp(1, 8).ilog2())
}

impl Fair {
    pub(crate) fn new(topology: &Topology, config: &Config) -> Fair {
        let n = topology.nr_cpus();
        Fair {
            base_slice: base_slice(n),
            domains: domains::Domains::new(topology),
            balance: PerCpu::new(n, |_| Default::default()),
            idle: CpuMask::first_n(n),
            nr_idle_policy: 0,
            nohz_next_balance: 0,
            overloaded: false,
            numa_balancing: false,
            rng: rand_pcg::Pcg32::new(config.seed, RNG_STREAM),
        }
    }
}

/// A task is being made [__sched_fork].
pub(crate) fn task_fork(k: &mut Kernel, p: TaskId) {
    let weight = load::wanted_weight(k, p);
    let parent = k.task(p).parent.and_then(|q| k.find_task(q));
    let slice = parent.and_then(|q| q.se.custom_slice);
    let se = &mut k.task_mut(p).se;
    (se.weight, se.custom_slice) = (weight, slice);
}

/// A new task is about to be enqueued for the first time [post_init_entity_util_avg].
pub(crate) fn post_init_entity(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    load::init_task(k, cpu, p);
}

/// The task goes to another CPU [migrate_task_rq_fair].
pub(crate) fn migrate_task_rq(k: &mut Kernel, p: TaskId, _to: CpuId) {
    if k.task(p).on_rq == OnRq::Migrating {
        k.task_mut(p).se.avg.last_update_time = 0; // detached when it was dequeued
    } else {
        load::leave(k, p);
    }
}

/// The task is dead: what it left behind in its queue's averages goes [task_dead_fair].
pub(crate) fn task_dead(k: &mut Kernel, p: TaskId) {
    load::leave(k, p);
}

/// The task leaves the class [switched_from_fair].
pub(crate) fn switched_from(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    load::detach(k, cpu, p);
}

/// The weight follows nice value and policy (rule 4.7) [reweight_task_fair]. The task is in no queue.
pub(crate) fn reweight_task(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let weight = load::wanted_weight(k, p);
    let attached = k.task(p).se.attached;
    if attached {
        load::detach(k, cpu, p);
    }
    k.task_mut(p).se.reweight(weight);
    if attached {
        load::attach(k, cpu, p);
    }
}

impl Kernel {
    /// sched_setattr(2) with sched_runtime: the task asks for slices of so many ns, between 0.1 and 100 ms; 0: the default
    /// (rule 0.6) [__setparam_fair]. Children inherit it.
    pub fn set_custom_slice(&mut self, p: TaskId, runtime: Ns) -> Result<(), AttrError> {
        if self.find_task(p).is_none_or(|t| t.state == TaskState::Dead) {
            return Err(AttrError::NoSuchTask);
        }
        self.lock(LockId::Pi(p));
        let cpu = self.lock_task_rq(p);
        let change = self.sched_change_begin(p, deq::SAVE | deq::MOVE);
        self.task_mut(p).se.custom_slice =
            (runtime > 0).then(|| runtime.clamp(CUSTOM_SLICE_MIN_NS, CUSTOM_SLICE_MAX_NS));
        self.sched_change_end(change);
        crate::class::run_balance_callbacks(self, cpu);
        self.unlock(LockId::Rq(cpu));
        self.unlock(LockId::Pi(p));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_machines() {
        for (cpus, us) in [(1, 700), (2, 1400), (3, 1400), (4, 2100), (7, 2100), (8, 2800), (512, 2800)] {
            assert_eq!(base_slice(cpus), us * 1000, "{cpus} CPUs");
        }
    }
}
