//! flatcg: cgroups by weight, their hierarchy flattened.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::{NAME, OPTIONS, SETTINGS};

/// What it does, in a line.
pub const SUMMARY: &str = "cgroups by weight, their hierarchy flattened into one tree";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flatcg.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
