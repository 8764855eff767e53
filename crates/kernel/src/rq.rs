//! Run queues.

use crate::class::{ClassId, dl, rt};
use crate::config::Servers;
use crate::ids::{CpuId, Ns, TaskId};
use crate::lock::SimLock;
use crate::{ext, fair};

/// Work to be done before a run queue's lock is released, when nothing else is locked [balance_callback].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceCallback {
    /// Push RT tasks away.
    PushRt,
    /// Pull RT tasks.
    PullRt,
    /// Push deadline tasks away.
    PushDl,
    /// Pull deadline tasks.
    PullDl,
    /// The ext class's deferred work.
    ScxDeferred,
    /// The ext class waits for kicked CPUs.
    ScxKickSync,
    /// A CPU that core scheduling keeps idle looks for tasks that it may run.
    StealCookie,
}

/// What a stopper thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopWork {
    /// Move a task away, to this CPU if it may run there.
    Migrate(TaskId, CpuId),
    /// Active balance of the fair class: push a task to the CPU.
    FairActiveBalance(CpuId),
    /// The CPU goes offline.
    TakeDown,
}

/// A CPU's run queue.
pub struct Rq {
    /// Its CPU.
    pub cpu: CpuId,
    pub(crate) lock: SimLock,
    /// Clock as of the last update [rq->clock].
    pub clock: Ns,
    /// Running task.
    pub curr: TaskId,
    /// Idle task.
    pub idle: TaskId,
    /// Stopper thread.
    pub stop: TaskId,
    /// Accounted tasks of all classes.
    pub nr_running: u32,
    /// The running task is to be rescheduled [TIF_NEED_RESCHED].
    pub need_resched: bool,
    /// It is when it next returns to its own code, or else at the next tick [TIF_NEED_RESCHED_LAZY].
    pub need_resched_lazy: bool,
    /// Highest class that the next pick must look at [rq->next_class].
    pub next_class: ClassId,
    /// May tasks be placed here? [cpu_active]
    pub active: bool,
    /// Switches so far.
    pub nr_switches: u64,
    /// When it went idle last; 0 while busy.
    pub idle_stamp: Ns,
    /// Tasks that other CPUs have woken and left to this one to queue [ttwu_pending].
    pub(crate) wake_list: Vec<TaskId>,
    /// Work of the stopper thread.
    pub(crate) stop_works: std::collections::VecDeque<StopWork>,
    pub(crate) balance_callbacks: Vec<BalanceCallback>,
    /// Fair class.
    pub fair: fair::CfsRq,
    /// RT class.
    pub rt: rt::RtRq,
    /// Deadline class.
    pub dl: dl::DlRq,
    /// Ext class.
    pub scx: ext::ScxRq,
}

impl Rq {
    pub(crate) fn new(cpu: CpuId, stop: TaskId, servers: Servers) -> Rq {
        let idle = TaskId(cpu.0);
        Rq {
            cpu,
            lock: SimLock::default(),
            clock: 0,
            curr: idle,
            idle,
            stop,
            nr_running: 0,
            need_resched: false,
            need_resched_lazy: false,
            next_class: ClassId::Idle,
            active: true,
            nr_switches: 0,
            idle_stamp: 0,
            wake_list: Vec::new(),
            stop_works: Default::default(),
            balance_callbacks: Vec::new(),
            fair: fair::CfsRq::default(),
            rt: rt::RtRq::default(),
            dl: dl::DlRq::new(servers),
            scx: ext::ScxRq::new(),
        }
    }

    /// Does the idle task run?
    pub fn is_idle(&self) -> bool {
        self.curr == self.idle
    }

    pub(crate) fn queue_balance_callback(&mut self, cb: BalanceCallback) {
        if !self.balance_callbacks.contains(&cb) {
            self.balance_callbacks.push(cb);
        }
    }
}
