//! userland: whoever had least CPU time for its weight runs next, decided in user space.
//!
//! This is the user-space half, with its options, and the BPF half as object and as native code.

#![forbid(unsafe_code)]

pub mod policy;
mod vruntime;

use scxr_runtime::framework::{Drive, drive};
use scxr_runtime::{Args, Error, HalfDef, Opt, Runtime, Setting, Takes};

pub use vruntime::ByVruntime;

/// What it does, in a line.
pub const SUMMARY: &str = "weighted virtual run time, decided in user space";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/userland.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;

/// The user-space half.
pub const HALF: HalfDef = HalfDef {
    name: "userland",
    main,
    options: &[
        Opt { long: "slice", short: Some('s'), takes: Takes::Time, default: 20_000_000, help: "length of a slice" },
        Opt {
            long: "ahead",
            short: Some('a'),
            takes: Takes::Number,
            default: 0,
            help: "tasks decided upon before a CPU is free",
        },
    ],
    settings: &[Setting { option: "slice", variable: "slice" }],
};

fn main(rt: &Runtime<'_>, args: &Args) -> Result<(), Error> {
    let how = Drive { ahead: args.number("ahead"), ..Drive::default() };
    drive(rt, how, &mut ByVruntime::new(args.time("slice")))
}
