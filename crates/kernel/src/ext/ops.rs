//! The operations of a scheduler: what a loaded BPF object and a native Rust policy both implement.

use crate::cgroup::{Bandwidth, CgroupId};
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};

/// Operations that a scheduler implements, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpSet(pub u64);

macro_rules! ops {
    ($($name:ident),* $(,)?) => {
        /// One operation of `struct sched_ext_ops`, by its name there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(non_camel_case_types, missing_docs)]
        pub enum Op { $($name),* }

        impl Op {
            /// All operations.
            pub const ALL: &[Op] = &[$(Op::$name),*];

            /// Name of the variant.
            fn variant(self) -> &'static str {
                match self { $(Op::$name => stringify!($name)),* }
            }

            /// Name of the member of `struct sched_ext_ops`.
            pub fn name(self) -> &'static str {
                self.variant().trim_end_matches('_')
            }
        }
    };
}

ops!(
    select_cpu,
    enqueue,
    dequeue,
    dispatch,
    tick,
    runnable,
    running,
    stopping,
    quiescent,
    yield_,
    core_sched_before,
    set_weight,
    set_cpumask,
    update_idle,
    init_task,
    exit_task,
    enable,
    disable,
    dump,
    dump_cpu,
    dump_task,
    cgroup_init,
    cgroup_exit,
    cgroup_prep_move,
    cgroup_move,
    cgroup_cancel_move,
    cgroup_set_weight,
    cgroup_set_bandwidth,
    cgroup_set_idle,
    sub_attach,
    sub_detach,
    cpu_online,
    cpu_offline,
    init,
    exit,
    cpu_acquire,
    cpu_release,
);

impl OpSet {
    /// Is `op` in the set?
    #[inline]
    pub fn has(self, op: Op) -> bool {
        self.0 >> op as u8 & 1 != 0
    }

    /// With `op`.
    pub fn with(self, op: Op) -> OpSet {
        OpSet(self.0 | 1 << op as u8)
    }
}

/// The data members of the table. The default is a table of zeroes, whose name is yet to be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpsAttrs {
    /// Name: the only mandatory member.
    pub name: String,
    /// Is the table of the cid form, which names CPUs by their topological id (E-21)?
    pub cid: bool,
    /// SCX_OPS_* flags.
    pub flags: u64,
    /// Watchdog, ms; 0: 30 s.
    pub timeout_ms: u32,
    /// Size of the dispatch buffer; 0: 32.
    pub dispatch_max_batch: u32,
    /// Size of the debug dump; 0: 32768.
    pub exit_dump_len: u32,
    /// Expected hotplug sequence; 0: any.
    pub hotplug_seq: u64,
    /// The cgroup to schedule, as a sub-scheduler of whoever does so now; 0 and 1: all of the machine (E-193).
    pub sub_cgroup_id: u64,
    /// Implemented operations.
    pub ops: OpSet,
}

/// What `init_task` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitTaskArgs {
    /// The task is being forked (else: the scheduler is being enabled).
    pub fork: bool,
    /// Its cgroup (E-231).
    pub cgroup: CgroupId,
}

/// What `exit_task` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitTaskArgs {
    /// The task never got beyond `init_task`.
    pub cancelled: bool,
}

/// What `exit` is told, and what a run reports (E-202).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitInfo {
    /// Kind.
    pub kind: scxr_trace::ExitKind,
    /// Code.
    pub code: i64,
    /// CPU on which the exit was caused, -1 if none.
    pub cpu: i32,
    /// Reason in words.
    pub reason: &'static str,
    /// Details.
    pub msg: String,
    /// Backtrace, one symbol a line.
    pub bt: Vec<String>,
    /// Debug dump.
    pub dump: String,
    /// SCX_EFLAG_*.
    pub flags: u64,
}

/// What `sub_attach` and `sub_detach` are told [struct scx_sub_attach_args].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubArgs {
    /// Data members of the sub-scheduler's table.
    pub attrs: OpsAttrs,
    /// Path of its cgroup.
    pub cgroup_path: String,
}

/// What the dump operations are told [struct scx_dump_ctx].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpCtx {
    /// Kind of the exit; `None`: somebody asked for the dump.
    pub kind: scxr_trace::ExitKind,
    /// Exit code.
    pub code: i64,
    /// Reason in words.
    pub reason: &'static str,
    /// When.
    pub at: Ns,
}

/// Why a CPU is taken from the class (E-16) [scx_cpu_preempt_reason].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PreemptReason {
    Rt = 0,
    Dl = 1,
    Stop = 2,
    Unknown = 3,
}

/// A scheduler. Each method is the member of `struct sched_ext_ops` of its name; only those in [`OpsAttrs::ops`] are
/// called. A method may be called on one CPU while another CPU is suspended inside the same or another method: state is
/// behind `&self`.
#[allow(unused_variables)]
pub trait SchedExtOps {
    /// Data members.
    fn attrs(&self) -> OpsAttrs;
    /// Picks a CPU for a waking task; may insert it.
    fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        prev_cpu.0 as i32
    }
    /// Takes a runnable task, or inserts it.
    fn enqueue(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {}
    /// Gives a task up.
    fn dequeue(&self, k: &mut Kernel, p: TaskId, deq_flags: u64) {}
    /// Fills the local queue of `cpu`.
    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, prev: Option<TaskId>) {}
    /// A tick while `p` runs.
    fn tick(&self, k: &mut Kernel, p: TaskId) {}
    /// `p` becomes runnable.
    fn runnable(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {}
    /// `p` starts to run.
    fn running(&self, k: &mut Kernel, p: TaskId) {}
    /// `p` stops running.
    fn stopping(&self, k: &mut Kernel, p: TaskId, runnable: bool) {}
    /// `p` is no longer runnable.
    fn quiescent(&self, k: &mut Kernel, p: TaskId, deq_flags: u64) {}
    /// `from` yields, to `to` if that is given.
    fn yield_(&self, k: &mut Kernel, from: TaskId, to: Option<TaskId>) -> bool {
        false
    }
    /// Should `a` run before `b`?
    fn core_sched_before(&self, k: &mut Kernel, a: TaskId, b: TaskId) -> bool {
        false
    }
    /// The weight of `p` is `weight` (1 to 10000).
    fn set_weight(&self, k: &mut Kernel, p: TaskId, weight: u32) {}
    /// The affinity of `p` changed; it is the task's.
    fn set_cpumask(&self, k: &mut Kernel, p: TaskId) {}
    /// `cpu` goes idle or leaves idle.
    fn update_idle(&self, k: &mut Kernel, cpu: CpuId, idle: bool) {}
    /// Prepares for a task; 0 or -errno.
    fn init_task(&self, k: &mut Kernel, p: TaskId, args: InitTaskArgs) -> i32 {
        0
    }
    /// A task is gone.
    fn exit_task(&self, k: &mut Kernel, p: TaskId, args: ExitTaskArgs) {}
    /// A task enters the class.
    fn enable(&self, k: &mut Kernel, p: TaskId) {}
    /// A task leaves the class.
    fn disable(&self, k: &mut Kernel, p: TaskId) {}
    /// The class has `cpu` again.
    fn cpu_acquire(&self, k: &mut Kernel, cpu: CpuId) {}
    /// A higher class takes `cpu` for `task`.
    fn cpu_release(&self, k: &mut Kernel, cpu: CpuId, reason: PreemptReason, task: TaskId) {}
    /// Adds to a debug dump what is to be said of the whole.
    fn dump(&self, k: &mut Kernel, ctx: &DumpCtx) {}
    /// The same of a CPU, which is idle or not.
    fn dump_cpu(&self, k: &mut Kernel, ctx: &DumpCtx, cpu: CpuId, idle: bool) {}
    /// The same of a task.
    fn dump_task(&self, k: &mut Kernel, ctx: &DumpCtx, p: TaskId) {}
    /// A cgroup comes to be known; 0 or -errno.
    fn cgroup_init(&self, k: &mut Kernel, cgrp: CgroupId) -> i32 {
        0
    }
    /// A known cgroup goes.
    fn cgroup_exit(&self, k: &mut Kernel, cgrp: CgroupId) {}
    /// `p` is about to change its cgroup; 0 or -errno.
    fn cgroup_prep_move(&self, k: &mut Kernel, p: TaskId, from: CgroupId, to: CgroupId) -> i32 {
        0
    }
    /// `p` has changed its cgroup.
    fn cgroup_move(&self, k: &mut Kernel, p: TaskId, from: CgroupId, to: CgroupId) {}
    /// `p` does not change its cgroup, after all.
    fn cgroup_cancel_move(&self, k: &mut Kernel, p: TaskId, from: CgroupId, to: CgroupId) {}
    /// A cgroup's weight is `weight` (1 to 10000) from now on.
    fn cgroup_set_weight(&self, k: &mut Kernel, cgrp: CgroupId, weight: u32) {}
    /// A cgroup's limit of CPU time changes.
    fn cgroup_set_bandwidth(&self, k: &mut Kernel, cgrp: CgroupId, bandwidth: Bandwidth) {}
    /// A cgroup's tasks run only when nobody else does, or like others.
    fn cgroup_set_idle(&self, k: &mut Kernel, cgrp: CgroupId, idle: bool) {}
    /// A sub-scheduler wants to attach; 0 or -errno.
    fn sub_attach(&self, k: &mut Kernel, args: &SubArgs) -> i32 {
        0
    }
    /// A sub-scheduler that was attached is gone.
    fn sub_detach(&self, k: &mut Kernel, args: &SubArgs) {}
    /// A CPU comes online.
    fn cpu_online(&self, k: &mut Kernel, cpu: CpuId) {}
    /// A CPU goes offline.
    fn cpu_offline(&self, k: &mut Kernel, cpu: CpuId) {}
    /// The scheduler is being enabled; 0 or -errno.
    fn init(&self, k: &mut Kernel) -> i32 {
        0
    }
    /// What the kernel itself sets up in the scheduler once `init` has succeeded; 0 or -errno [scx_arena_pool_init].
    fn set_up(&self, k: &mut Kernel) -> i32 {
        0
    }
    /// The scheduler is gone.
    fn exit(&self, k: &mut Kernel, info: &ExitInfo) {}
    /// Timer `id` of the scheduler's own is due: it is armed no longer. No run queue is locked.
    fn timer(&self, k: &mut Kernel, id: u64) {}
    /// The scheduler is unloaded: what it held of the kernel is given back.
    fn unloaded(&self, k: &mut Kernel) {}
    /// A task has been freed: what was kept for it can go.
    fn task_freed(&self, p: TaskId) {}
}
