//! The ext part of a task and of a run queue.

use std::collections::VecDeque;

use super::flags::{consts, dsq_id, task};
use super::list::{Link, List};
use super::sched::SchedId;
use super::tree::Node;
use crate::cpumask::CpuMask;
use crate::ids::{CpuId, Ns, TaskId};

/// State of a task in the class (E-42).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// Unknown to the scheduler.
    #[default]
    None,
    /// `init_task` is running.
    InitBegin,
    /// `init_task` succeeded.
    Init,
    /// Fully forked; may be switched to ext.
    Ready,
    /// In the class.
    Enabled,
    /// Switched away from for the last time.
    Dead,
}

impl TaskState {
    /// May a task go from `self` to `to`? [scx_set_task_state]
    pub fn may_become(self, to: TaskState) -> bool {
        use TaskState::*;
        match to {
            None => self != Dead,
            InitBegin => self == None,
            Init => self == InitBegin,
            Ready => matches!(self, Init | Enabled),
            Enabled => self == Ready,
            Dead => matches!(self, None | InitBegin),
        }
    }
}

/// Who owns a runnable task: the core or the scheduler (E-15). The number is its queue sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpsState {
    /// The core.
    #[default]
    None,
    /// `ops.enqueue` is running.
    Queueing(u64),
    /// The scheduler.
    Queued(u64),
    /// On the way from the scheduler to a queue.
    Dispatching,
}

/// Ext part of a task [struct sched_ext_entity].
#[derive(Clone, Debug)]
pub struct Entity {
    /// Index of the queue that it is on, or that it left with a mover (see `holding_cpu`).
    pub dsq: Option<u32>,
    /// Links in a queue, or in the list of deferred local dispatches.
    pub(crate) link: Link,
    /// Links in the run queue's list of runnable tasks.
    pub(crate) runnable: Link,
    /// Links in the vtime order of its queue.
    pub(crate) prio: Node,
    /// Stamp of its queue at its insertion.
    pub dsq_seq: u32,
    /// Flags ([`super::flags::task`]), without the state.
    pub flags: u32,
    /// State.
    pub state: TaskState,
    /// The scheduler that knows it.
    pub sched: Option<SchedId>,
    /// Weight, 1 to 10000.
    pub weight: u32,
    /// Destination of a migration within the class.
    pub sticky_cpu: Option<CpuId>,
    /// CPU that is moving it from one queue to another with no lock held.
    pub holding_cpu: Option<CpuId>,
    /// What CPU selection said last.
    pub selected_cpu: Option<CpuId>,
    /// Who owns it.
    pub ops_state: OpsState,
    pub(crate) qseq: u64,
    /// Since when it has been runnable without running.
    pub runnable_at: Ns,
    /// Order among the tasks of a core (core scheduling).
    pub core_sched_at: Ns,
    /// Time left, ns.
    pub slice: u64,
    /// Position in a vtime-ordered queue.
    pub dsq_vtime: u64,
    /// Refused by `init_task` for SCHED_EXT.
    pub disallow: bool,
    /// Recorded direct dispatch: where to; INVALID: none.
    pub ddsp_dsq_id: u64,
    /// Its enqueue flags.
    pub ddsp_enq_flags: u64,
    /// Task id; never reused (E-20).
    pub tid: u64,
}

impl Default for Entity {
    /// E-19 [init_scx_entity]
    fn default() -> Self {
        Entity {
            dsq: None,
            link: Link::default(),
            runnable: Link::default(),
            prio: Node::default(),
            dsq_seq: 0,
            flags: 0,
            state: TaskState::None,
            sched: None,
            weight: 0,
            sticky_cpu: None,
            holding_cpu: None,
            selected_cpu: None,
            ops_state: OpsState::None,
            qseq: 0,
            runnable_at: 0,
            core_sched_at: 0,
            slice: consts::SLICE_DFL,
            dsq_vtime: 0,
            disallow: false,
            ddsp_dsq_id: dsq_id::INVALID,
            ddsp_enq_flags: 0,
            tid: 0,
        }
    }
}

impl Entity {
    /// Is a flag set?
    #[inline]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Is it on its queue by virtual time? [SCX_TASK_DSQ_ON_PRIQ]
    pub fn on_priq(&self) -> bool {
        self.prio.linked
    }

    /// The flags word as the kernel lays it out, state included (E-10).
    pub fn flags_word(&self) -> u32 {
        self.flags | (self.state as u32) << task::STATE_SHIFT
    }
}

/// A request to enqueue the tasks of a user queue again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReenqUser {
    pub(crate) sched: SchedId,
    pub(crate) dsq: u32,
    pub(crate) id: u64,
    pub(crate) flags: u64,
}

/// Ext part of a run queue [struct scx_rq].
#[derive(Clone, Debug)]
pub struct ScxRq {
    /// Runnable tasks that are not running, the longest waiting first.
    pub(crate) runnable: List,
    /// Tasks directly dispatched to other CPUs, to be moved when it is safe.
    pub(crate) ddsp_deferred: List,
    /// Schedulers that want the local queue's tasks enqueued again, and the passes over this list so far.
    pub(crate) reenq_locals: VecDeque<SchedId>,
    pub(crate) reenq_pass: u32,
    pub(crate) reenq_users: VecDeque<ReenqUser>,
    /// Accounted ext tasks.
    pub nr_running: u32,
    /// IMMED tasks on the local queue.
    pub nr_immed: u32,
    pub(crate) extra_enq_flags: u64,
    /// A higher class has the CPU, and the scheduler was told [cpu_released].
    pub(crate) cpu_released: bool,
    /// Not torn down by hotplug.
    pub online: bool,
    pub(crate) can_stop_tick: bool,
    pub(crate) clk_valid: bool,
    pub(crate) bal_cb_pending: bool,
    pub(crate) in_wakeup: bool,
    pub(crate) in_balance: bool,
    /// How often its lock was released in the middle of the class's work [lock_drop_seq].
    pub(crate) lock_drops: u32,
    /// Performance target, 0 to 1024.
    pub cpuperf_target: u32,
    pub(crate) cpus_to_kick: CpuMask,
    pub(crate) cpus_to_kick_if_idle: CpuMask,
    pub(crate) cpus_to_preempt: CpuMask,
    pub(crate) cpus_to_wait: CpuMask,
    pub(crate) cpus_to_sync: CpuMask,
    /// Advances whenever the CPU passes through the scheduler.
    pub kick_sync: u64,
    pub(crate) kick_sync_pending: bool,
    /// kick_sync of the CPUs that this one waits for; empty without a scheduler.
    pub(crate) kick_snapshots: Vec<u64>,
    /// Task that the dispatch under way may go on with, for dispatches within it.
    pub(crate) sub_dispatch_prev: Option<TaskId>,
}

impl ScxRq {
    /// The flags word as the kernel lays it out (E-11).
    pub fn flags_word(&self) -> u32 {
        let bits = [
            (self.online, 0),
            (self.can_stop_tick, 1),
            (self.clk_valid, 5),
            (self.bal_cb_pending, 6),
            (self.in_wakeup, 16),
            (self.in_balance, 17),
        ];
        bits.into_iter().map(|(on, bit)| u32::from(on) << bit).sum()
    }

    pub(crate) fn new() -> ScxRq {
        ScxRq {
            runnable: List::default(),
            ddsp_deferred: List::default(),
            reenq_locals: VecDeque::new(),
            reenq_pass: 0,
            reenq_users: VecDeque::new(),
            nr_running: 0,
            nr_immed: 0,
            extra_enq_flags: 0,
            cpu_released: false,
            online: true,
            can_stop_tick: false,
            clk_valid: false,
            bal_cb_pending: false,
            in_wakeup: false,
            in_balance: false,
            lock_drops: 0,
            cpuperf_target: consts::CPUPERF_ONE,
            cpus_to_kick: CpuMask::EMPTY,
            cpus_to_kick_if_idle: CpuMask::EMPTY,
            cpus_to_preempt: CpuMask::EMPTY,
            cpus_to_wait: CpuMask::EMPTY,
            cpus_to_sync: CpuMask::EMPTY,
            kick_sync: 0,
            kick_sync_pending: false,
            kick_snapshots: Vec::new(),
            sub_dispatch_prev: None,
        }
    }
}
