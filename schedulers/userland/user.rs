//! userland, the user-space half: whoever had least CPU time for its weight runs next, decided in user space.

#[path = "vruntime.rs"]
mod vruntime;

use scxr_runtime::framework::{Drive, drive, options};
use scxr_runtime::{Args, Error, HalfDef, Runtime};

pub use vruntime::ByVruntime;

/// The user-space half.
pub const HALF: HalfDef = HalfDef { name: "userland", main, options: &options(0) };

fn main(rt: &Runtime<'_>, args: &Args) -> Result<(), Error> {
    drive(rt, Drive::of(args), &mut ByVruntime::new(args.time("slice")))
}
