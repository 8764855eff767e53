//! qmap: five FIFOs by weight, served in weighted turns.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::{NAME, OPTIONS, SETTINGS};

/// What it does, in a line.
pub const SUMMARY: &str = "five FIFOs by weight, served in weighted turns; a tour of what the class offers";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/qmap.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
