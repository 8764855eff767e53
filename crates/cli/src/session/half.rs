//! The user-space half of a scheduler, in a run.

use std::rc::Rc;

use scxr_host::HalfRecord;
use scxr_kernel::Machine;
use scxr_ops::half::{Done, Half};
use scxr_runtime::{Stat, Stats, settings};
use serde::Serialize;
use serde_json::{Map, Value as Json};

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
    /// What it said of itself, in order of time.
    pub(crate) stats: Vec<StatsJson>,
}

/// Figures at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StatsJson {
    /// When, since the start of the run.
    pub(crate) at_ns: u64,
    /// Values by name; times in ns.
    pub(crate) values: Map<String, Json>,
    /// The same for people: `name value`.
    #[serde(skip)]
    pub(crate) shown: Vec<(String, String)>,
}

impl StatsJson {
    /// Figures that a half gave.
    pub(crate) fn of(stats: &Stats) -> StatsJson {
        let json = |value: &Stat| match value {
            Stat::Number(n) => Json::from(*n),
            Stat::Time(ns) => Json::from(ns.0),
            Stat::Text(text) => Json::from(text.clone()),
        };
        StatsJson {
            at_ns: stats.at.0,
            values: stats.values.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
            shown: stats.values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        }
    }
}

impl HalfResult {
    /// What a half did on a real kernel, in a run that began then.
    pub(crate) fn recorded(half: &HalfRecord, start_ns: u64) -> HalfResult {
        let stats = half.stats.iter().map(|s| StatsJson::of(&s.stats(start_ns)));
        HalfResult { error: half.error.clone(), stats: stats.collect() }
    }

    /// What a simulated half did.
    pub(super) fn of(done: &Done) -> HalfResult {
        HalfResult {
            error: done.ended.borrow().clone().and_then(Result::err),
            stats: done.stats.borrow().iter().map(StatsJson::of).collect(),
        }
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
