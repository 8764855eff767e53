//! The native back end: the policy as an ordinary module, its calls going to a [`Host`].
//!
//! A [`PolicyDef`] is what [`scheduler!`](crate::scheduler) makes of a policy: constant, shared by all. An [`Instance`] is
//! one running scheduler with its own state; many may live in one process. [`Instance::call`] runs an operation: for its
//! duration, instance and host are the current ones of the thread, which is how the policy's statics find their values.
//!
//! A host's method may suspend the caller (a simulated CPU is a coroutine) and let other operations run meanwhile, of this
//! instance or another, on the same thread. The back end is made for that: while a host's method runs there is no current
//! instance, and when it returns, the caller's is set again. The host has nothing to do for it but to resume a coroutine
//! on the thread that it was suspended on. State is in cells that are never borrowed across a call.

mod ambient;
mod instance;
pub mod kernel;
pub mod state;

use std::fmt;

use crate::{ExitInfo, Task};

pub use instance::{GlobalValue, Instance, NoSuchGlobal};
pub use state::{Item, ItemDef, ItemKind};

/// The kernel that a native policy runs on. Tasks and exit information are handles that the host gave as an operation's
/// arguments; the policy passes them back and looks at nothing but through these methods.
pub trait Host {
    /// The CPU that the caller runs on.
    fn cpu(&self) -> i32;
    /// The time of that CPU in nanoseconds (`scx_bpf_now`).
    fn now(&self) -> u64;
    /// A field of a task, in the low bits.
    fn task_field(&self, task: u64, field: TaskField) -> u64;
    /// `scx_bpf_task_set_dsq_vtime`.
    fn task_set_dsq_vtime(&self, task: u64, vtime: u64) -> bool;
    /// `scx_bpf_task_set_slice`.
    fn task_set_slice(&self, task: u64, slice: u64) -> bool;
    /// `scx_bpf_select_cpu_dfl`: the CPU, and whether it is idle and now claimed.
    fn select_cpu_dfl(&self, task: u64, prev_cpu: i32, wake_flags: u64) -> (i32, bool);
    /// `scx_bpf_create_dsq`.
    fn create_dsq(&self, dsq_id: u64, node: i32) -> i32;
    /// `scx_bpf_dsq_nr_queued`.
    fn dsq_nr_queued(&self, dsq_id: u64) -> i32;
    /// `scx_bpf_dsq_peek`: the first task, if there is one.
    fn dsq_peek(&self, dsq_id: u64) -> Option<u64>;
    /// `scx_bpf_dsq_insert`.
    fn dsq_insert(&self, task: u64, dsq_id: u64, slice: u64, enq_flags: u64) -> bool;
    /// `scx_bpf_dsq_insert_vtime`.
    fn dsq_insert_vtime(&self, task: u64, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool;
    /// `scx_bpf_dsq_move_to_local`.
    fn dsq_move_to_local(&self, dsq_id: u64) -> bool;
    /// `scx_bpf_kick_cpu`.
    fn kick_cpu(&self, cpu: i32, flags: u64);
    /// `scx_bpf_error`, with the kernel's format and its arguments.
    fn error(&self, format: &str, args: &[u64]);
    /// What exit information says.
    fn exit_info(&self, info: u64) -> ExitDetails;
}

/// The fields of a task that a policy may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskField {
    /// `pid`, an i32.
    Pid,
    /// `nr_cpus_allowed`, an i32.
    NrCpusAllowed,
    /// `scx.weight`, a u32.
    Weight,
    /// `scx.slice`, a u64.
    Slice,
    /// `scx.dsq_vtime`, a u64.
    DsqVtime,
    /// `scx.flags`, a u32.
    ScxFlags,
}

/// `struct scx_exit_info`, the parts that a policy records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitDetails {
    /// Kind, as the kernel numbers it.
    pub kind: i32,
    /// CPU that ended it, or -1.
    pub exit_cpu: i32,
    /// Code given by the policy or the user.
    pub exit_code: i64,
    /// What happened, in general.
    pub reason: String,
    /// What happened, in particular.
    pub msg: String,
}

/// An operation that a policy implements.
pub struct OpDef {
    /// Its name in `struct sched_ext_ops`.
    pub name: &'static str,
    #[doc(hidden)]
    pub call: fn(Words<'_>) -> i64,
}

impl fmt::Debug for OpDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is constant of a policy.
pub struct PolicyDef {
    /// Name of the scheduler.
    pub name: &'static str,
    /// `SCX_OPS_*`.
    pub flags: u64,
    /// Watchdog timeout in milliseconds; 0 for the kernel's own.
    pub timeout_ms: u32,
    /// The operations that are implemented, in the source's order.
    pub ops: &'static [OpDef],
    #[doc(hidden)]
    pub state: &'static [&'static dyn Item],
}

impl PolicyDef {
    /// Index of the operation of that name, for [`Instance::call`]; `None` if the policy does not implement it.
    pub fn op(&self, name: &str) -> Option<usize> {
        self.ops.iter().position(|op| op.name == name)
    }
}

impl fmt::Debug for PolicyDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyDef").field("name", &self.name).field("ops", &self.ops).finish_non_exhaustive()
    }
}

/// The arguments of an operation, one word each, as in a BPF program's context.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [u64]);

impl<'a> Words<'a> {
    #[doc(hidden)]
    pub fn word(self, i: usize) -> u64 {
        self.0.get(i).copied().unwrap_or_default()
    }

    #[doc(hidden)]
    pub fn flag(self, i: usize) -> bool {
        self.word(i) & 0xff != 0
    }

    #[doc(hidden)]
    pub fn task(self, i: usize) -> Task<'a> {
        Task::__new(self.word(i))
    }

    #[doc(hidden)]
    pub fn optional_task(self, i: usize) -> Option<Task<'a>> {
        (self.word(i) != 0).then(|| self.task(i))
    }

    #[doc(hidden)]
    pub fn exit_info(self, i: usize) -> ExitInfo<'a> {
        ExitInfo::__new(self.word(i))
    }
}

/// The description of a scheduler.
#[doc(hidden)]
#[macro_export]
macro_rules! __scheduler {
    ($S:ident, $name:literal, [$flags:expr], [$timeout_ms:expr], $($op:ident)*) => {
        /// The scheduler, for running it natively.
        pub static POLICY: $crate::native::PolicyDef = $crate::native::PolicyDef {
            name: $name,
            flags: $flags.0,
            timeout_ms: $timeout_ms,
            ops: &[$($crate::native::OpDef {
                name: stringify!($op),
                call: |words| -> i64 { $crate::__operation!($op, $S, words) },
            }),*],
            state: __STATE,
        };
    };
}
