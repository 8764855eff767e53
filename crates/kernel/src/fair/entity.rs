//! What the fair class knows about a task, and about a CPU's queue.

use crate::fair::mru::{Ends, Links};
use crate::fair::pelt::{QueueAvg, SchedAvg, UtilEst};
use crate::fair::timeline::{Key, Timeline};
use crate::ids::{CpuId, Ns, TaskId};
use crate::prio;

/// Weight of nice 0 as it is stored [NICE_0_LOAD].
pub(crate) const NICE_0_LOAD: u64 = 1 << 20;

/// A weight of the table, as it is stored [scale_load].
pub(crate) fn stored_weight(weight: u32) -> u64 {
    u64::from(weight) << 10
}

/// Fair part of a task [sched_entity]. Virtual times are signed nanoseconds: even at the least weight they last for 300
/// days of simulated time.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Weight, times 1024.
    pub(crate) weight: u64,
    /// Virtual run time.
    pub(crate) vruntime: i64,
    /// Virtual deadline; relative to vruntime while `rel_deadline` is set.
    pub(crate) deadline: i64,
    /// Lag at the last dequeue.
    pub(crate) vlag: i64,
    /// Protected from equals up to this vruntime.
    pub(crate) vprot: i64,
    /// Length of a request.
    pub(crate) slice: Ns,
    /// A slice that was asked for (rule 0.6).
    pub(crate) custom_slice: Option<Ns>,
    pub(crate) rel_deadline: bool,
    /// Sleeps, but is still queued.
    pub(crate) delayed: bool,
    /// Counted in a queue: waits there, or is its `curr`.
    pub(crate) on_rq: bool,
    /// Counted as a SCHED_IDLE task.
    pub(crate) idle_policy: bool,
    /// Place in the timeline while it waits.
    pub(crate) key: Key,
    /// Neighbours in the list of its run queue's tasks.
    pub(crate) links: Links,
    /// PELT.
    pub(crate) avg: SchedAvg,
    /// Is `avg` part of its queue's averages?
    pub(crate) attached: bool,
    pub(crate) util_est: UtilEst,
    pub(crate) recent_used_cpu: CpuId,
    pub(crate) wakee: Wakee,
}

/// Whom a task wakes [wakee_flips, last_wakee].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wakee {
    pub(crate) flips: u32,
    pub(crate) decayed_at: Ns,
    pub(crate) last: Option<TaskId>,
}

impl Default for Entity {
    fn default() -> Self {
        Entity {
            weight: NICE_0_LOAD,
            vruntime: 0,
            deadline: 0,
            vlag: 0,
            vprot: 0,
            slice: 0,
            custom_slice: None,
            rel_deadline: false,
            delayed: false,
            on_rq: false,
            idle_policy: false,
            key: Key::default(),
            links: Links::default(),
            avg: SchedAvg::new_task(prio::nice_to_weight(0)),
            attached: false,
            util_est: UtilEst::default(),
            recent_used_cpu: CpuId(0),
            wakee: Wakee::default(),
        }
    }
}

/// The part of a running entity that counts in sums over its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) vruntime: i64,
    pub(crate) deadline: i64,
    pub(crate) vprot: i64,
    pub(crate) weight: u64,
    pub(crate) slice: Ns,
}

impl Entity {
    /// Does it sleep though it is still queued?
    pub(crate) fn is_delayed(&self) -> bool {
        self.delayed
    }

    pub(crate) fn set_recent_used_cpu(&mut self, cpu: CpuId) {
        self.recent_used_cpu = cpu;
    }

    /// Virtual run time, for observers.
    pub fn vruntime(&self) -> i64 {
        self.vruntime
    }

    /// Virtual deadline, for observers.
    pub fn deadline(&self) -> i64 {
        self.deadline
    }

    /// Lag at the last dequeue, for observers.
    pub fn vlag(&self) -> i64 {
        self.vlag
    }

    /// Utilisation of 1024.
    pub fn util_avg(&self) -> u64 {
        self.avg.util_avg
    }

    /// Weight in the scale of the nice table.
    pub(crate) fn table_weight(&self) -> u64 {
        self.weight >> 10
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            vruntime: self.vruntime,
            deadline: self.deadline,
            vprot: self.vprot,
            weight: self.weight,
            slice: self.slice,
        }
    }

    /// The weight changes while the entity is in no queue: lag and remaining deadline are stretched (rule 4.7)
    /// [reweight_entity].
    pub(crate) fn reweight(&mut self, weight: u64) {
        debug_assert!(!self.on_rq);
        let scale = |v: i64, old: u64| (i128::from(v) * i128::from(old) / i128::from(weight)) as i64;
        self.vlag = scale(self.vlag, self.weight);
        if self.rel_deadline {
            self.deadline = scale(self.deadline, self.weight);
        }
        self.weight = weight;
        self.avg.reweight(self.table_weight());
    }
}

/// A fair queue [cfs_rq].
#[derive(Clone, Debug)]
pub struct CfsRq {
    /// Waiting entities.
    pub(crate) tree: Timeline,
    /// Reference of the sums [zero_vruntime].
    pub(crate) zero_vruntime: i64,
    /// Sum of (vruntime - zero_vruntime) * weight over the tree.
    pub(crate) sum_w_vruntime: i128,
    /// Sum of weights over the tree.
    pub(crate) sum_weight: u64,
    /// Sum of weights of all queued entities.
    pub(crate) load_weight: u64,
    /// The running one; it is not in the tree.
    pub(crate) curr: Option<TaskId>,
    pub(crate) nr_queued: u32,
    pub(crate) nr_delayed: u32,
    /// Queued tasks of policy SCHED_IDLE.
    pub(crate) nr_idle: u32,
    /// All queued tasks, most recently run or enqueued first.
    pub(crate) tasks: Ends,
    /// PELT and what belongs to it.
    pub(crate) avg: QueueAvg,
}

impl Default for CfsRq {
    fn default() -> Self {
        CfsRq {
            tree: Timeline::default(),
            zero_vruntime: -(1 << 20),
            sum_w_vruntime: 0,
            sum_weight: 0,
            load_weight: 0,
            curr: None,
            nr_queued: 0,
            nr_delayed: 0,
            nr_idle: 0,
            tasks: Ends::default(),
            avg: QueueAvg::default(),
        }
    }
}

impl CfsRq {
    pub(crate) fn nr_queued(&self) -> u32 {
        self.nr_queued
    }

    /// Queued tasks that do not sleep [h_nr_runnable].
    pub(crate) fn nr_runnable(&self) -> u32 {
        self.nr_queued - self.nr_delayed
    }

    /// Load, utilisation and runnable averages, for observers.
    pub fn averages(&self) -> (u64, u64, u64) {
        let a = &self.avg.sa;
        (a.load_avg, a.util_avg, a.runnable_avg)
    }
}
