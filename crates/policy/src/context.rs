//! Contexts: what the kernel allows in an operation, as types.
//!
//! An operation receives a reference to its context. Functions that the kernel permits only in some operations take one
//! that has the right trait, so that a forbidden call does not compile:
//!
//! ```compile_fail
//! use scxr_policy::prelude::*;
//! state! {}
//! scheduler! {
//!     struct Wrong { name: "wrong" }
//!     impl Ops for Wrong {
//!         fn running(cx: &Event, p: Task<'_>) {
//!             Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
//!         }
//!     }
//! }
//! ```
//!
//! The kernel's groups of functions (E-28, E-29) are the traits here: ENQUEUE is [`MayInsert`], DISPATCH is [`MayDispatch`],
//! SELECT_CPU is [`MayPick`], DISPATCH or UNLOCKED is [`MayMove`], CPU_RELEASE is [`MayReenqueue`].

/// Tasks may be inserted into DSQs: `select_cpu`, `enqueue`, `dispatch`.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only `select_cpu`, `enqueue` and `dispatch` insert tasks"
)]
pub trait MayInsert {}
/// Tasks may be moved from DSQs to the CPU: `dispatch`.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only `dispatch` moves tasks to the CPU"
)]
pub trait MayDispatch {}
/// Tasks may be moved between DSQs: `dispatch`, and where no run queue is locked.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only `dispatch`, `init`, timers and the like move tasks between queues"
)]
pub trait MayMove {}
/// A CPU may be picked for a task: `select_cpu`, `enqueue`, and where no run queue is locked.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only `select_cpu`, `enqueue`, `init`, timers and the like pick a CPU for a task"
)]
pub trait MayPick {}
/// The CPU's local queue may be enqueued again: `cpu_release`.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only `cpu_release` enqueues the CPU's tasks again"
)]
pub trait MayReenqueue {}
/// Lines may be added to the debug dump: `dump`, `dump_cpu`, `dump_task`.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only `dump`, `dump_cpu` and `dump_task` write to the dump"
)]
pub trait MayDump {}
/// May sleep: `init`, and those of tasks', CPUs' and cgroups' lives that prepare something.
#[diagnostic::on_unimplemented(
    message = "the kernel does not allow this in an operation with the context `{Self}`",
    label = "only operations that prepare something may sleep, such as `init`"
)]
pub trait Sleepable {}

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident: $($may:ident)*;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(());
        impl $name {
            #[doc(hidden)]
            #[inline(always)]
            pub const fn __new() -> Self { Self(()) }
        }
        $(impl $may for $name {})*
    )*};
}

contexts! {
    /// In `select_cpu`.
    SelectCpu: MayInsert MayPick;
    /// In `enqueue`.
    Enqueue: MayInsert MayPick;
    /// In `dispatch`.
    Dispatch: MayInsert MayDispatch MayMove;
    /// In an operation that tells of something and decides nothing.
    Event: ;
    /// In `cpu_release`.
    CpuRelease: MayReenqueue;
    /// In an operation that prepares or ends something and may sleep.
    Init: Sleepable MayMove MayPick;
    /// In an operation without a locked run queue that may not sleep, and in the function of a [timer](crate::Timer).
    Unlocked: MayMove MayPick;
    /// In an operation that writes to the debug dump.
    Dump: MayDump;
}
