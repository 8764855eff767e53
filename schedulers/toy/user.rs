//! toy, the user-space half: every event goes to user space and back, where tasks wait in one FIFO.

use scxr_runtime::framework::{Drive, Fifo, drive};
use scxr_runtime::{Args, Error, HalfDef, Opt, Runtime, Setting, Takes};

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
