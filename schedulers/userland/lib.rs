//! userland: whoever had least CPU time for its weight runs next, decided in user space.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::{ByVruntime, HALF};

scxr_runtime::bundle!("userland", "weighted virtual run time, decided in user space", half: HALF);
