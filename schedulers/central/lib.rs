//! central: one CPU decides for all, the others run without ticks.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::{NAME, OPTIONS, SETTINGS};

/// What it does, in a line.
pub const SUMMARY: &str = "one CPU decides for all, the others run without ticks";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/central.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
