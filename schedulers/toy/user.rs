//! toy, the user-space half: every event goes to user space and back, where tasks wait in one FIFO.

use scxr_runtime::framework::{Drive, Fifo, drive, options};
use scxr_runtime::{Args, Error, HalfDef, Runtime};

/// The user-space half.
pub const HALF: HalfDef = HalfDef { name: "toy", main, options: &options(4) };

fn main(rt: &Runtime<'_>, args: &Args) -> Result<(), Error> {
    drive(rt, Drive::of(args), &mut Fifo::new(args.time("slice")))
}
