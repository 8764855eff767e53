//! The user-space half of a scheduler, in a run.

use scxr_host::HalfRecord;
use scxr_kernel::Machine;
use scxr_ops::half::{Half, Started};
use serde::Serialize;

use super::Keep;
use super::loaded::Loaded;
use crate::failure::{Failure, Result};
use crate::resolve::Request;
use crate::scheduler::Scheduler;

/// What a half did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct HalfResult {
    /// Why it ended by itself; `None`: it went on, or ended in good order.
    pub(crate) error: Option<String>,
}

impl HalfResult {
    /// What a half did on a real kernel.
    pub(crate) fn recorded(half: &HalfRecord) -> HalfResult {
        HalfResult { error: half.error.clone() }
    }

    /// What a simulated half did.
    pub(super) fn of(half: &Started) -> HalfResult {
        HalfResult { error: half.done.ended.borrow().clone().and_then(Result::err) }
    }
}

/// Has the half forked, where the scheduler has one, as the process with that id.
pub(super) fn spawn(
    m: &mut Machine,
    request: &Request,
    scheduler: &Scheduler,
    loaded: &Loaded,
    pid: u32,
    keep: Keep,
) -> Result<Option<Started>> {
    let (Some(def), Some((maps, schema))) = (scheduler.half, loaded.maps(&scheduler.kind)) else { return Ok(None) };
    let half = Half {
        def,
        args: scheduler.options.clone(),
        maps,
        schema,
        cost: request.config.cost.clone(),
        nr_cpus: request.topology.nr_cpus() as u32,
        stats_every: keep.stats_every,
    };
    half.introduce(pid).map_err(|e| Failure::input(format_args!("half_tgid cannot be set: error {}", e.0)))?;
    let queue = m.wait_queue();
    let (task, half) = half.task(queue);
    m.spawn(task);
    Ok(Some(half))
}
