//! simple: one queue for all CPUs, ordered by weighted virtual time, or first in, first out.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use policy::shared;

scxr_runtime::bundle!("simple", "global weighted virtual time, or first in, first out", options: user::OPTIONS);
