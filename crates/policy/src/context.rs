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

/// Tasks may be inserted into DSQs: `select_cpu`, `enqueue`, `dispatch`.
pub trait MayInsert {}
/// Tasks may be moved from DSQs to the CPU: `dispatch`.
pub trait MayDispatch {}
/// A CPU may be picked for a task: `select_cpu`, `enqueue`.
pub trait MayPick {}
/// May sleep: `init`, `exit`, and those of tasks' and cgroups' lives.
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
    Dispatch: MayInsert MayDispatch;
    /// In an operation that tells of something and decides nothing.
    Event: ;
    /// In an operation that prepares or ends something and may sleep.
    Init: Sleepable;
}
