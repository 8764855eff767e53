//! toy: every event goes to user space and back, where tasks wait in one FIFO.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::HALF;

/// What it does, in a line.
pub const SUMMARY: &str = "every event to a FIFO in user space and back, with figures of all that passes";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/toy.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
