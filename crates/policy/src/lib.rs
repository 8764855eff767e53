//! What the BPF half of a scheduler is written against, in Rust; two back ends behind one API.
//!
//! A *policy* is one source file: its state ([`state!`]), its operations ([`scheduler!`]), and what they call. It is compiled
//! twice. With `cfg(bpf)`, set by the driver, it becomes a BPF object: statics are maps, calls are kernel functions,
//! fields are relocated by the loader. Without, it is an ordinary module whose every call goes to a [`native::Host`]: the
//! simulated kernel. Both make the same decisions, call for call.
//!
//! ```
//! use scxr_policy::prelude::*;
//!
//! state! {
//!     /// Tasks that had to wait.
//!     pub static NR_QUEUED as "nr_queued": Global<u64> = 0;
//! }
//!
//! scheduler! {
//!     /// First come, first served.
//!     pub struct Fifo { name: "fifo" }
//!
//!     impl Ops for Fifo {
//!         fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
//!             NR_QUEUED.fetch_add(1);
//!             Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
//!         }
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Rules of a policy:
//! - No `unsafe`, no `static` but in [`state!`], no `std`: on BPF there is `core` alone.
//! - Time and virtual time are [`Ns`] and [`Vtime`], which wrap; plain integers do so only through `wrapping_*`. (BPF code is
//!   compiled without checks of overflow, a native debug build with them.)
//! - What could panic is refused when the object is built: use `get`, `checked_*`, `if let`.
//! - An operation takes a context, and what the kernel does not allow there does not compile: a [`Dsq`] cannot be
//!   inserted into from `running`.

#![cfg_attr(bpf, no_std)]

mod context;
mod dsq;
mod ops;
mod scheduler;
mod state;
mod task;
mod units;

#[cfg(bpf)]
#[doc(hidden)]
#[path = "bpf/mod.rs"]
pub mod backend;

#[cfg(not(bpf))]
pub mod native;
#[cfg(not(bpf))]
#[doc(hidden)]
pub use native as backend;

pub use backend::state::{ExitRecord, Global, PerCpuArray, PerCpuValue, Tunable};
pub use context::{Dispatch, Enqueue, Event, Init, MayDispatch, MayInsert, MayPick, SelectCpu, Sleepable};
pub use dsq::Dsq;
pub use ops::Ops;
pub use state::Value;
pub use task::{ExitInfo, Task};
pub use units::{Cpu, EnqFlags, Errno, KickFlags, Ns, OpsFlags, Picked, Vtime, WakeFlags, Weight};

/// Everything that a policy names.
pub mod prelude {
    pub use crate::{
        Cpu, Dispatch, Dsq, EnqFlags, Enqueue, Errno, Event, ExitInfo, ExitRecord, Global, Init, KickFlags,
        MayDispatch, MayInsert, MayPick, Ns, Ops, OpsFlags, PerCpuArray, PerCpuValue, Picked, SelectCpu, Sleepable,
        Task, Tunable, Vtime, WakeFlags, Weight, scheduler, scx_error, state,
    };
}
