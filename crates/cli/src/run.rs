//! `scxr run`.

use std::path::Path;

use crate::args::RunArgs;
use crate::failure::{Failure, Outcome, Result};
use crate::report::{self, human, json};
use crate::resolve::{self, Place, Request};
use crate::scenario::Scenario;
use crate::scheduler::{self, Kind, Scheduler};
use crate::session::{self, Keep, RunResult};
use crate::{effects, interrupt, progress, replay};

/// Runs one scheduler and reports.
pub(crate) fn run(args: &RunArgs) -> Result<Outcome> {
    let scenario = args.scenario.as_deref().map(Scenario::read).transpose()?;
    let (mut machine, mut sched_args) = (args.machine.clone(), args.sched_args.clone());
    let mut sched = args.sched.clone();
    if let Some(s) = &scenario {
        s.fill(&mut machine, &mut sched, &mut sched_args);
    }
    let Some(sched) = sched else {
        return Err(Failure::input("the scenario names no scheduler; give one as SCHED"));
    };
    let request = resolve::request(&machine)?;
    interrupt::stop()?;
    let options = scheduler::Options {
        args: &sched_args,
        nr_cpus: Some(match request.place {
            Place::Host => scxr_host::nr_cpus(),
            Place::Sim | Place::Vm => request.topology.nr_cpus(),
        }),
        native: machine.native,
        direct: machine.direct,
        include: &machine.include,
        loader: machine.loader.as_deref(),
    };
    let scheduler = scheduler::prepare(&sched, &options)?;
    effects::check(std::slice::from_ref(&scheduler), &machine, args.globals)?;
    if !machine.quiet {
        warn(&request, std::slice::from_ref(&scheduler));
    }
    let stats_every = stats_every(args, &scheduler)?;
    let keep = Keep { trace: args.trace.is_some(), globals: args.globals, stats_every };
    let result = observe(&request, &scheduler, keep, &machine, &sched)?;
    print(args, &request, &scheduler, &result)?;
    if !machine.quiet {
        result.notes.iter().for_each(|n| report::note(n));
    }
    if !machine.quiet && !machine.json && result.nr_events > 0 {
        report::note(&human::speed(&result));
    }
    if result.interrupted && request.duration + u64::from(request.exec.is_some()) > 0 {
        report::note("stopped before its time: this is the report of what was done by then");
        return Ok(Outcome::Interrupted);
    }
    if let Some(s) = &scenario {
        let value = serde_json::to_value(json::RunJson::new(&request, &scheduler, &result));
        if let Some(failed) = s.judge(&value.map_err(Failure::input)?)? {
            failed.iter().for_each(|line| report::note(line));
            return Ok(if failed.is_empty() { Outcome::Fine } else { Outcome::SchedulerAtFault });
        }
    }
    Ok(match result.is_fault() {
        true => Outcome::SchedulerAtFault,
        false => Outcome::Fine,
    })
}

/// How often the scheduler is to give figures, ns; 0: never.
fn stats_every(args: &RunArgs, scheduler: &Scheduler) -> Result<u64> {
    let Some(seconds) = args.stats else { return Ok(0) };
    if !(seconds > 0.0 && seconds <= 1e6) {
        return Err(Failure::input(format_args!("--stats {seconds}: takes seconds, such as 1 or 0.1")));
    }
    match scheduler.kind {
        Kind::Eevdf => Err(Failure::input("--stats: eevdf is Linux's fair class: it says nothing of itself")),
        Kind::Program(_) => Err(Failure::input(format_args!(
            "--stats: {} is a program, and what it prints is in the report; its options stand behind --",
            scheduler.name
        ))),
        _ => Ok((seconds * 1e9) as u64),
    }
}

/// Tells what was accepted and means nothing, and what compilers said.
pub(crate) fn warn(request: &Request, schedulers: &[Scheduler]) {
    let loaders = schedulers.iter().filter_map(|s| s.loader.as_ref());
    loaders.for_each(|l| report::note(&l.notice()));
    let compilers = schedulers.iter().map(|s| &s.warnings).filter(|w| !w.is_empty());
    let fair = schedulers.iter().any(|s| matches!(s.kind, Kind::Eevdf));
    let groups = request.groups_notice.iter().filter(|_| fair);
    request.warnings.iter().chain(groups).chain(compilers).for_each(|w| report::note(w));
}

/// Runs with a progress bar.
fn observe(
    request: &Request,
    scheduler: &Scheduler,
    keep: Keep,
    machine: &crate::args::MachineArgs,
    sched: &str,
) -> Result<RunResult> {
    let bar = progress::bar(request.duration, machine.quiet);
    bar.set_message(scheduler.name.clone());
    let seed = request.config.seed;
    let replay = replay::command(request, sched, &scheduler.args, machine, seed);
    let result = session::run(request, scheduler, seed, keep, replay, |t| bar.set_position(t));
    bar.finish_and_clear();
    result
}

fn print(args: &RunArgs, q: &Request, s: &Scheduler, r: &RunResult) -> Result<()> {
    if let (Some(path), Some(trace)) = (&args.trace, &r.trace) {
        if path == Path::new("-") {
            return report::print(trace);
        }
        std::fs::write(path, trace).map_err(|e| Failure::file(path, &e))?;
    }
    match args.machine.json {
        true => report::print(&report::json_text(&json::RunJson::new(q, s, r))),
        false => report::print(&human::run(q, s, r)),
    }
}
