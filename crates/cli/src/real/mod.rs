//! Runs on a real kernel: this machine's (`--on host`), or one in a virtual machine (`--on vm`). Both do the same job with
//! the same code; in a virtual machine the guest's program is this binary.

mod guest;
mod host;
mod job;
mod kept;
mod pack;
mod report;
mod seconds;
mod verify;
mod vm;

use crate::failure::Result;
use crate::resolve::{Place, Request};
use crate::scheduler::Scheduler;
use crate::session::{Keep, RunResult};

pub(crate) use guest::{guest, workers};
pub(crate) use verify::verify;

/// What the guest's thread does first that says that it is alive: it has a priority above all that is measured.
pub(crate) fn outrun() -> std::io::Result<()> {
    scxr_workload::threads::real_time(98)
}

/// Runs a scheduler on a real kernel. `progress` is told the time that has passed there, ns.
pub(crate) fn run(
    request: &Request,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    progress: &mut dyn FnMut(u64),
) -> Result<RunResult> {
    match request.place {
        Place::Host => host::run(request, scheduler, seed, keep, progress),
        _ => vm::run(request, scheduler, seed, keep, progress),
    }
}
