//! The adapter: a loaded BPF object, or a native policy, as the operations of the class.
//!
//! Only this crate knows both the simulated kernel and BPF. It gives programs kernel objects by address ([`addr`]),
//! answers their loads and stores from the live kernel, and turns their kfunc calls into the class's.

#![forbid(unsafe_code)]

#[macro_use]
mod operations;

pub mod addr;
mod clock;
mod cmasks;
mod consts;
mod fields;
mod globals;
pub mod half;
mod host;
mod iters;
mod kfuncs;
mod load;
mod masks;
mod model;
mod native;
mod nullable;
mod objects;
mod refs;
mod scheduler;
mod table;
mod timers;
mod variables;
mod walks;

pub use clock::UPTIME;
pub use globals::{Value, decode, is_variable};
pub use kfuncs::implemented as implemented_kfuncs;
pub use load::{Element, OpsError, SchedulerOptions};
pub use model::Model;
pub use native::NativeScheduler;
pub use scheduler::{BpfScheduler, Printed};
