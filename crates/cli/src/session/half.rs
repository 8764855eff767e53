//! The user-space half of a scheduler, in a run.

use std::rc::Rc;

use scxr_host::HalfRecord;
use scxr_kernel::Machine;
use scxr_ops::half::{Done, Half};
use scxr_runtime::settings;
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
    pub(super) fn of(done: &Done) -> HalfResult {
        HalfResult { error: done.ended.borrow().clone().and_then(Result::err) }
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
) -> Result<Option<Rc<Done>>> {
    let (Some(def), Some((maps, schema))) = (scheduler.half, loaded.maps(&scheduler.kind)) else { return Ok(None) };
    let (args, _) = settings(&def, &scheduler.args).map_err(Failure::input)?;
    let half = Half {
        def,
        args,
        maps,
        schema,
        cost: request.config.cost.clone(),
        nr_cpus: request.topology.nr_cpus() as u32,
        stats_every: keep.stats_every,
    };
    half.introduce(pid).map_err(|e| Failure::input(format_args!("half_tgid cannot be set: error {}", e.0)))?;
    let queue = m.wait_queue();
    let (task, done) = half.task(queue);
    m.spawn(task);
    Ok(Some(done))
}
