//! The user-space half of a scheduler, in a run.

use std::cell::RefCell;
use std::rc::Rc;

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

    /// What simulated halves did, one after the other; `None`: there was none.
    pub(super) fn of(halves: &[Started]) -> Option<HalfResult> {
        let error = |half: &Started| half.done.ended.borrow().clone().and_then(Result::err);
        (!halves.is_empty()).then(|| HalfResult { error: halves.iter().rev().find_map(error) })
    }
}

/// The halves of a run: one, and another for each time that the scheduler was started again.
pub(crate) type Halves = Rc<RefCell<Vec<Started>>>;

/// Has the half forked, where the scheduler has one. The one before it, if there is one, is to return.
pub(super) fn spawn(
    m: &mut Machine,
    request: &Request,
    scheduler: &Scheduler,
    loaded: &Loaded,
    keep: Keep,
    halves: &Halves,
) -> Result<()> {
    let (Some(def), Some((maps, schema))) = (scheduler.half, loaded.maps(&scheduler.kind)) else { return Ok(()) };
    let half = Half {
        def,
        args: scheduler.options.clone(),
        maps,
        schema,
        cost: request.config.cost.clone(),
        nr_cpus: request.topology.nr_cpus() as u32,
        stats_every: keep.stats_every,
    };
    let queue = m.wait_queue();
    let task = half.task(queue);
    let (task, half) = task.map_err(|e| Failure::input(format_args!("half_tgid cannot be set: error {}", e.0)))?;
    m.spawn(task);
    halves.borrow().iter().for_each(Started::replace);
    halves.borrow_mut().push(half);
    Ok(())
}
