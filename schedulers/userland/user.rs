//! userland, the user-space half: whoever had least CPU time for its weight runs next, decided in user space.

#[path = "vruntime.rs"]
mod vruntime;

use scxr_runtime::framework::{Drive, drive};
use scxr_runtime::{Args, Error, HalfDef, Opt, Runtime, Setting, Takes};

pub use vruntime::ByVruntime;

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
