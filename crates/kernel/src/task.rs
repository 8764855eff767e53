//! Tasks.

use crate::behavior::{Behavior, Policy};
use crate::cgroup::CgroupId;
use crate::class::ClassId;
pub use crate::core::sched_info::SchedInfo;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::lock::SimLock;
use crate::{ext, fair, prio};

/// Can the task run?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// TASK_RUNNING: runs or could run.
    Running,
    /// TASK_INTERRUPTIBLE.
    Sleeping,
    /// TASK_NEW: being forked.
    New,
    /// TASK_DEAD.
    Dead,
}

/// Is it accounted on a run queue? [p->on_rq]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRq {
    /// Not queued.
    No,
    /// TASK_ON_RQ_QUEUED.
    Queued,
    /// TASK_ON_RQ_MIGRATING: between two run queues.
    Migrating,
}

/// PF_* flags that something looks at, with the kernel's values.
pub mod pf {
    #![allow(missing_docs)]
    pub const IDLE: u32 = 0x2;
    pub const EXITING: u32 = 0x4;
    pub const WQ_WORKER: u32 = 0x20;
    pub const KTHREAD: u32 = 0x0020_0000;
    pub const NO_SETAFFINITY: u32 = 0x0400_0000;
}

/// What a kernel thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KthreadNext {
    /// Sleep until woken.
    Block,
    /// Call again.
    Again,
}

/// A kernel thread's body: one piece of work, run to its end on the CPU where the thread is.
pub type KthreadFn = fn(&mut Kernel, TaskId) -> KthreadNext;

/// What runs when the task runs.
pub enum Body {
    /// Nothing: an idle task.
    Idle,
    /// Kernel code.
    Kthread(KthreadFn),
    /// A workload's behaviour (absent while it is asked for its next step).
    User(Option<Box<dyn Behavior>>),
}

/// A task.
pub struct Task {
    /// Itself.
    pub id: TaskId,
    /// Process id of the thread; 0 for idle tasks.
    pub pid: u32,
    /// Process id of its thread group.
    pub tgid: u32,
    /// Who forked it.
    pub parent: Option<TaskId>,
    /// When it was forked; 0 for tasks that are there from the beginning.
    pub start_time: Ns,
    /// Name, at most 15 characters.
    pub comm: String,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Can it run?
    pub state: TaskState,
    /// Is it accounted on a run queue?
    pub on_rq: OnRq,
    /// Does a CPU still use its stack?
    pub on_cpu: bool,
    /// CPUs that spin until `on_cpu` ends.
    pub(crate) on_cpu_waiters: Vec<CpuId>,
    /// Its CPU [task_cpu].
    pub cpu: CpuId,
    /// Class.
    pub class: ClassId,
    /// Policy.
    pub policy: Policy,
    /// Nice value.
    pub nice: i8,
    /// Effective priority [p->prio].
    pub prio: i32,
    /// PF_* flags.
    pub flags: u32,
    /// Effective affinity [p->cpus_ptr].
    pub cpus: CpuMask,
    /// Number of CPUs in it.
    pub nr_cpus_allowed: usize,
    /// Depth of migrate_disable().
    pub migration_disabled: u16,
    /// When its time on the CPU was last accounted [se.exec_start].
    pub exec_start: Ns,
    /// CPU time so far [se.sum_exec_runtime].
    pub sum_exec_runtime: Ns,
    /// When it was last switched in.
    pub(crate) switched_in_at: Ns,
    /// Waiting for a CPU.
    pub sched_info: SchedInfo,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// Migrations.
    pub nr_migrations: u64,
    /// Gives up the CPU in the coming schedule() by its own will, though runnable.
    pub(crate) yielding: bool,
    /// Fair entity.
    pub se: fair::Entity,
    /// RT entity.
    pub rt: crate::class::rt::Entity,
    /// Deadline entity.
    pub dl: crate::class::dl::Entity,
    /// Ext entity.
    pub scx: ext::Entity,
    /// What runs when it runs.
    pub(crate) body: Body,
    /// Compute time left of the current step, in ns at full capacity and speed.
    pub(crate) work_left: Ns,
    /// Cold-cache time to pay when it next runs.
    pub(crate) migration_debt: Ns,
    /// It is on a wake list, and has come from another CPU [p->sched_remote_wakeup].
    pub(crate) remote_wakeup: bool,
    /// Number of the current sleep or wait: a timer of an earlier one is stale.
    pub(crate) sleep_seq: u64,
    /// Wait queue on which it blocks.
    pub(crate) waits_on: Option<crate::ids::WaitQueueId>,
    /// It is in a system call that is done in steps: a lazy request to reschedule waits for its end.
    pub(crate) in_call: bool,
    /// Mutex that it is about to lock, and that it holds.
    pub(crate) wants: Option<crate::ids::WaitQueueId>,
    pub(crate) holds: Option<crate::ids::WaitQueueId>,
    /// The last wait ended by time.
    pub(crate) timed_out: bool,
    /// Its youngest child.
    pub(crate) last_child: Option<TaskId>,
    /// Tasks with different cookies do not run on one core at a time; 0: none [core_cookie].
    pub core_cookie: u64,
    /// How many threads of its core had something to run when it was last picked [core_occupation].
    pub(crate) core_occupation: u32,
    /// References: one until it is buried, and those that schedulers hold [task_struct.rcu_users].
    pub(crate) nr_refs: u32,
    /// Serialises wakeups and attribute changes.
    pub(crate) pi_lock: SimLock,
}

impl Task {
    pub(crate) fn new(id: TaskId, pid: u32, comm: &str, body: Body, nr_cpus: usize) -> Task {
        let all = CpuMask::first_n(nr_cpus);
        Task {
            id,
            pid,
            tgid: pid,
            parent: None,
            start_time: 0,
            comm: comm.chars().take(15).collect(),
            cgroup: CgroupId::ROOT,
            state: TaskState::New,
            on_rq: OnRq::No,
            on_cpu: false,
            on_cpu_waiters: Vec::new(),
            cpu: CpuId(0),
            class: ClassId::Fair,
            policy: Policy::Normal,
            nice: 0,
            prio: 120,
            flags: 0,
            cpus: all,
            nr_cpus_allowed: nr_cpus,
            migration_disabled: 0,
            exec_start: 0,
            sum_exec_runtime: 0,
            switched_in_at: 0,
            sched_info: SchedInfo::default(),
            nvcsw: 0,
            nivcsw: 0,
            nr_migrations: 0,
            yielding: false,
            se: fair::Entity::default(),
            rt: Default::default(),
            dl: Default::default(),
            scx: ext::Entity::default(),
            body,
            work_left: 0,
            migration_debt: 0,
            remote_wakeup: false,
            sleep_seq: 0,
            waits_on: None,
            in_call: false,
            wants: None,
            holds: None,
            timed_out: false,
            last_child: None,
            core_cookie: 0,
            core_occupation: 0,
            nr_refs: 1,
            pi_lock: SimLock::default(),
        }
    }

    /// Weight in the fair class's scale.
    pub fn weight(&self) -> u32 {
        prio::weight_of(self.policy, self.nice)
    }

    /// Is it exiting?
    pub fn is_exiting(&self) -> bool {
        self.flags & pf::EXITING != 0
    }

    /// Is it a kernel thread?
    pub fn is_kthread(&self) -> bool {
        self.flags & pf::KTHREAD != 0
    }

    /// Is it a kernel thread bound to one CPU?
    pub fn is_per_cpu_kthread(&self) -> bool {
        self.is_kthread() && self.nr_cpus_allowed == 1
    }

    /// Sets policy and nice, and the priority that follows from them.
    pub(crate) fn set_attributes(&mut self, policy: Policy, nice: i8) {
        self.policy = policy;
        self.nice = nice;
        self.prio = prio::prio_of(policy, nice);
        if let Policy::Deadline { runtime, deadline, period } = policy {
            self.dl.set_params(runtime, deadline, period);
        }
    }

    /// Sets the affinity.
    pub(crate) fn set_cpus(&mut self, cpus: CpuMask) {
        self.cpus = cpus;
        self.nr_cpus_allowed = cpus.weight();
    }
}
