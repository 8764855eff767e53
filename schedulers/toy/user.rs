//! toy: every event goes to user space and back, where tasks wait in one FIFO.
//!
//! This is the user-space half, with its options, and the BPF half as object and as native code.

#![forbid(unsafe_code)]

pub mod policy;

use scxr_runtime::framework::{Drive, Fifo, drive};
use scxr_runtime::{Args, Error, HalfDef, Opt, Runtime, Setting, Takes};

/// What it does, in a line.
pub const SUMMARY: &str = "every event to a FIFO in user space and back, with figures of all that passes";

/// The BPF object, as built from `policy.rs`.
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/toy.bpf.o"));

/// The same policy, natively.
pub const NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;

/// The user-space half.
pub const HALF: HalfDef = HalfDef {
    name: "toy",
    main,
    options: &[
        Opt { long: "slice", short: Some('s'), takes: Takes::Time, default: 20_000_000, help: "length of a slice" },
        Opt {
            long: "ahead",
            short: Some('a'),
            takes: Takes::Number,
            default: 4,
            help: "tasks decided upon before a CPU is free",
        },
    ],
    settings: &[Setting { option: "slice", variable: "slice" }],
};

fn main(rt: &Runtime<'_>, args: &Args) -> Result<(), Error> {
    let how = Drive { ahead: args.number("ahead"), ..Drive::default() };
    drive(rt, how, &mut Fifo::new(args.time("slice")))
}
