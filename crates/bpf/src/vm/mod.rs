//! The machine that executes an [`Image`](crate::image::Image).
//!
//! * [`Machine`] — checks and pre-decodes the text, makes the maps, lays out guest memory, runs programs.
//! * [`Host`] — what surrounds it: kfuncs, kernel objects, time, CPUs. The machine knows no scheduler and no kernel.
//! * Guest memory is one linear region at [`GUEST_BASE`]; every access is checked. What lies outside belongs to the host.
//! * Everything is `&self`: invocations nest (callbacks, timers) and interleave (a host call may suspend a coroutine), so
//!   registers and stack live per invocation and no borrow is held while the host runs.

mod decode;
mod fault;
pub mod format;
mod helpers;
mod host;
mod interp;
mod jit;
mod machine;
mod maps;
mod memory;
mod names;
mod ops;

pub use fault::{AccessError, Fault, FaultKind, HostError, MachineError};
pub use host::{Call, Host, TimerOp};
pub use jit::{CodeCache, Exec};
pub use machine::{Machine, Options, Outcome, ProgramStats};
pub use maps::{Element, MapFlags, errno, map_type};
pub use memory::GUEST_BASE;
pub use names::{helper_id, helper_name, map_type_name};
