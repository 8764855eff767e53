//! What a task does when it runs: the interface between the simulated kernel and a workload.

use crate::core::cgroup::CgroupChange;
use crate::cpumask::CpuMask;
use crate::ids::{CpuId, Ns, TaskId, WaitQueueId};

/// Scheduling policy, as sched_setscheduler(2) numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// SCHED_OTHER (0).
    #[default]
    Normal,
    /// SCHED_FIFO (1), with a priority of 1 to 99.
    Fifo(u8),
    /// SCHED_RR (2), with a priority of 1 to 99.
    RoundRobin(u8),
    /// SCHED_BATCH (3).
    Batch,
    /// SCHED_IDLE (5).
    Idle,
    /// SCHED_DEADLINE (6): so much runtime in each period, to be had before the deadline; all in ns, from the beginning of a
    /// period. A period of 0 is as long as the deadline.
    Deadline {
        /// Runtime that each period grants [sched_runtime].
        runtime: Ns,
        /// When it is to have been had [sched_deadline].
        deadline: Ns,
        /// Length of a period [sched_period].
        period: Ns,
    },
    /// SCHED_EXT (7).
    Ext,
}

impl Policy {
    /// The UAPI's number.
    pub fn number(self) -> u32 {
        match self {
            Policy::Normal => 0,
            Policy::Fifo(_) => 1,
            Policy::RoundRobin(_) => 2,
            Policy::Batch => 3,
            Policy::Idle => 5,
            Policy::Deadline { .. } => 6,
            Policy::Ext => 7,
        }
    }

    /// Real-time priority; 0 for policies that have none.
    pub fn priority(self) -> u8 {
        match self {
            Policy::Fifo(priority) | Policy::RoundRobin(priority) => priority,
            _ => 0,
        }
    }
}

/// What a new task is.
pub struct TaskSpec {
    /// Name, at most 15 characters count.
    pub comm: String,
    /// Policy.
    pub policy: Policy,
    /// Nice value, -20 to 19.
    pub nice: i8,
    /// CPUs it may use; `None`, or none that the machine has: all.
    pub affinity: Option<CpuMask>,
    /// Path of its cgroup; the root is `/`.
    pub cgroup: String,
    /// Cookie of core scheduling; 0: that of its parent.
    pub core_cookie: u64,
    /// A thread of its parent's process (same tgid), or a process.
    pub thread: bool,
    /// What it does.
    pub behavior: Box<dyn Behavior>,
}

impl TaskSpec {
    /// A normal task at nice 0 that may run everywhere.
    pub fn new(comm: impl Into<String>, behavior: impl Behavior + 'static) -> TaskSpec {
        TaskSpec {
            comm: comm.into(),
            policy: Policy::Normal,
            nice: 0,
            affinity: None,
            cgroup: "/".into(),
            core_cookie: 0,
            thread: false,
            behavior: Box::new(behavior),
        }
    }
}

/// What a task sees when it is asked for its next step.
#[derive(Clone, Copy, Debug)]
pub struct TaskCx {
    /// Now, on its CPU.
    pub now: Ns,
    /// Its CPU.
    pub cpu: CpuId,
    /// Itself.
    pub task: TaskId,
    /// Its pid.
    pub pid: u32,
    /// The child that its last [`Action::Fork`] made.
    pub last_child: Option<TaskId>,
    /// The last [`Action::WaitTimeout`] ended by time.
    pub timed_out: bool,
}

/// Whom a change of attributes concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The caller.
    Myself,
    /// Another task.
    Task(TaskId),
}

/// A system call that is done in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// read(2) from a pipe.
    PipeRead,
    /// write(2) to one.
    PipeWrite,
}

/// One step. Except for `Run`, each is a system call and costs its time.
pub enum Action {
    /// Compute: `work` ns at full capacity and speed.
    Run(Ns),
    /// Sleep for a time (nanosleep).
    Sleep(Ns),
    /// Sleep until an absolute time; returns at once if it has passed.
    SleepUntil(Ns),
    /// Block on a wait queue until woken. Whether to block was decided in the same [`Behavior::next`], which nothing
    /// can interrupt: a wakeup cannot be lost between the two.
    Wait(WaitQueueId),
    /// The same, for a limited time.
    WaitTimeout(WaitQueueId, Ns),
    /// Begin a system call that is done in steps, in kernel code that can be preempted between them. [`Action::Lock`], `Locked`,
    /// `Unlock`, `Wait` and `Wake` are its steps, and cost no system call of their own; any other step comes after its end.
    Call(Call),
    /// Lock the mutex that is named by this queue (on which nobody waits otherwise). A task holds one at most.
    Lock(WaitQueueId),
    /// What is done under a pipe's mutex ([`crate::cost::CostTable::pipe_locked`]).
    Locked,
    /// Unlock the mutex that was locked last.
    Unlock,
    /// Wake up to `nr` waiters, the longest waiting first. `sync`: the caller is about to sleep (WF_SYNC).
    Wake {
        /// Where they wait.
        queue: WaitQueueId,
        /// How many at most.
        nr: u32,
        /// WF_SYNC.
        sync: bool,
    },
    /// Look at the caller's own CPU time (clock_gettime(2)): the kernel accounts it up to now, and may find that a slice is over.
    /// Costs nothing: who computes for a given CPU time pays it out of that.
    CpuTime,
    /// sched_yield(2).
    Yield,
    /// Make a child.
    Fork(Box<TaskSpec>),
    /// execve(2): the task stays, its CPU may change (WF_EXEC).
    Exec,
    /// sched_setaffinity(2): CPUs that the machine does not have are left out; if none is left, nothing changes.
    SetAffinity(Whom, CpuMask),
    /// setpriority(2), nice -20 to 19.
    SetNice(Whom, i8),
    /// sched_setscheduler(2).
    SetPolicy(Whom, Policy),
    /// prctl(PR_SCHED_CORE): a cookie of core scheduling; 0: none. Nothing happens on a machine without ([`crate::config::Config::core_sched`]).
    SetCookie(Whom, u64),
    /// A CPU goes offline or comes online, as through /sys/devices/system/cpu/cpuN/online. The caller runs on another.
    SetCpuOnline(CpuId, bool),
    /// A cgroup, by its path, or tasks' place in it changes, as through cgroupfs.
    Cgroup(String, Box<CgroupChange>),
    /// The caller counts one operation of its workload as done, with its latency.
    Work(Ns),
    /// End.
    Exit,
}

/// A task's behaviour. `next` is called when the task runs and has nothing left to do of the step before.
pub trait Behavior {
    /// The next step.
    fn next(&mut self, cx: &TaskCx) -> Action;

    /// Its task was forked, with that pid, and has not run yet.
    fn forked(&mut self, pid: u32) {
        let _ = pid;
    }
}

impl<F: FnMut(&TaskCx) -> Action> Behavior for F {
    fn next(&mut self, cx: &TaskCx) -> Action {
        self(cx)
    }
}
