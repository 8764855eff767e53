//! A half, and a scheduler with both halves, as data.

use scxr_policy::native::PolicyDef;

use crate::args::{Args, Opt};
use crate::error::Error;
use crate::runtime::Runtime;

/// The user-space half of a scheduler.
#[derive(Clone, Copy, Debug)]
pub struct HalfDef {
    /// Name of the scheduler; that of the half's task, too.
    pub name: &'static str,
    /// What it does. It returns when it is done, or when [`Runtime::is_over`] says so; what it returns as an error is shown.
    pub main: fn(&Runtime<'_>, &Args) -> Result<(), Error>,
    /// Options of the scheduler.
    pub options: &'static [Opt],
}

/// The variable in which the BPF half finds the process of the user-space half, where it wants to know.
pub const HALF_TGID: &str = "half_tgid";

/// A scheduler that is a crate of its own, as [`bundle!`](crate::bundle) declares it.
#[derive(Debug)]
pub struct Bundle {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// Its user-space half, where that takes part in scheduling. Of the others the half is what this structure says: options, and figures that
    /// are the variables of the BPF half.
    pub half: Option<HalfDef>,
    /// The BPF object, as built from `policy.rs`.
    pub object: &'static [u8],
    /// The same policy, natively.
    pub native: &'static PolicyDef,
}

/// Declares the crate of a scheduler: `OBJECT`, the BPF object that its build script made of `policy.rs`; `NATIVE`, the same policy natively;
/// and `BUNDLE`, all that there is to know of it. The options are `user::OPTIONS`, or those of the half where there is one, `user::HALF`.
///
/// ```ignore
/// scxr_runtime::bundle!("central", "one CPU decides for all", options: user::OPTIONS);
/// scxr_runtime::bundle!("toy", "every event to user space and back", half: user::HALF);
/// ```
#[macro_export]
macro_rules! bundle {
    ($name:literal, $about:literal, options: $options:expr) => {
        $crate::bundle!(@ $name, $about, $options, None);
    };
    ($name:literal, $about:literal, half: $half:expr) => {
        $crate::bundle!(@ $name, $about, $half.options, Some($half));
    };
    (@ $name:literal, $about:literal, $options:expr, $half:expr) => {
        /// The BPF object, as built from `policy.rs`.
        pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o"));

        /// The same policy, natively.
        pub const NATIVE: &::scxr_policy::native::PolicyDef = &policy::POLICY;

        /// All that there is to know of the scheduler.
        pub static BUNDLE: $crate::Bundle = $crate::Bundle {
            name: $name,
            about: $about,
            options: $options,
            half: $half,
            object: OBJECT,
            native: NATIVE,
        };
    };
}
