//! userland: whoever had least CPU time for its weight runs next, decided in user space.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::{ByVruntime, HALF};

/// What it does, in a line.
pub const SUMMARY: &str = "weighted virtual run time, decided in user space";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/userland.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
