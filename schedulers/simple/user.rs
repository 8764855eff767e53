//! simple: one queue for all CPUs, ordered by weighted virtual time, or first in, first out.
//!
//! This is the user-space half: the object, its native twin, and the options.

#![forbid(unsafe_code)]

pub mod policy;

pub use policy::shared;

/// Name of the scheduler.
pub const NAME: &str = "simple";
/// What it does, in a line.
pub const SUMMARY: &str = "global weighted virtual time, or first in, first out";
/// Its options, for help texts.
pub const OPTIONS: &str = "  -f, --fifo    first in, first out instead of by virtual time\n";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/simple.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;

/// An argument that is no option of simple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOption(pub String);

impl std::fmt::Display for UnknownOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simple has no option {}; it has:\n{OPTIONS}", self.0)
    }
}

impl std::error::Error for UnknownOption {}

/// The globals that the arguments ask for, to be set before load: name and value.
pub fn settings<S: AsRef<str>>(args: &[S]) -> Result<Vec<(&'static str, u64)>, UnknownOption> {
    let setting = |arg: &S| match arg.as_ref() {
        "-f" | "--fifo" => Ok(("fifo_sched", 1)),
        other => Err(UnknownOption(other.to_owned())),
    };
    args.iter().map(setting).collect()
}
