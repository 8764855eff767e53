//! `scxr compare --on sim,vm`: the same schedulers under the same workload and seed on the simulated kernel and on a real
//! one, and how far the two are apart.

mod judge;
mod show;
mod tolerance;

use serde::Serialize;

use crate::args::{CompareArgs, MachineArgs};
use crate::failure::{Failure, Outcome, Result};
use crate::report;
use crate::resolve::{self, Place, Request};
use crate::scheduler::{self, Kind, Scheduler};
use crate::session::{self, Keep, RunResult};
use crate::{cost, effects, progress, replay, run};
use judge::Row;
use tolerance::{Tolerances, Verdict};

/// Schema of its JSON.
const SCHEMA: &str = "scxr-fidelity/2";
/// Cells of `--matrix`.
const MACHINES: [&str; 4] = ["1", "2", "4", "8"];
const WORKLOADS: [&str; 5] = ["spin", "pipe", "hackbench:groups=1,fds=4,msg=0", "schbench", "mixed"];

/// One workload on one machine.
#[derive(Debug, Serialize)]
struct Cell {
    machine: String,
    workload: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    schema: &'static str,
    on: [&'static str; 2],
    kernels: &'a [String; 2],
    seed: u64,
    cells: &'a [Cell],
}

/// What all cells have in common.
struct Plan<'a> {
    args: &'a CompareArgs,
    places: [Place; 2],
    schedulers: Vec<Scheduler>,
    tolerances: Tolerances,
}

/// What came of it besides figures.
#[derive(Default)]
struct Told {
    kernels: [String; 2],
    fault: bool,
    seed: u64,
}

/// Runs each scheduler on both sides and judges.
pub(crate) fn compare(args: &CompareArgs, places: [Place; 2]) -> Result<Outcome> {
    let options = scheduler::Options {
        args: &[],
        nr_cpus: None,
        native: args.machine.native,
        direct: args.machine.direct,
        include: &args.machine.include,
        loader: args.machine.loader.as_deref(),
    };
    let prepare = |s: &String| scheduler::prepare(s, &options);
    let schedulers: Vec<Scheduler> = args.scheds.iter().map(prepare).collect::<Result<_>>()?;
    effects::check(&schedulers, &args.machine, false)?;
    let tolerances = Tolerances::read(args.tolerance.as_deref())?;
    let plan = Plan { args, places, schedulers, tolerances };
    let mut told = Told::default();
    let mut cells = Vec::new();
    if args.matrix {
        for (workload, machine) in WORKLOADS.iter().flat_map(|w| MACHINES.map(|m| (*w, m))) {
            let machine =
                MachineArgs { workload: Some(workload.into()), machine: Some(machine.into()), ..args.machine.clone() };
            cells.push(plan.cell(&machine, &mut told)?);
        }
    } else {
        cells.push(plan.cell(&args.machine, &mut told)?);
    }
    let on = places.map(Place::name);
    let json = Json { schema: SCHEMA, on, kernels: &told.kernels, seed: told.seed, cells: &cells };
    let text = match () {
        () if args.machine.json => report::json_text(&json),
        () if args.matrix => show::markdown(&json),
        () => cells.iter().map(|c| show::cell(&json, c)).collect(),
    };
    report::print(&text)?;
    let differs = args.tolerance.is_some() && cells.iter().flat_map(|c| &c.rows).any(|r| r.verdict == Verdict::Differ);
    Ok(if told.fault || differs { Outcome::SchedulerAtFault } else { Outcome::Fine })
}

impl Plan<'_> {
    fn cell(&self, machine: &MachineArgs, told: &mut Told) -> Result<Cell> {
        let [sim, real] = self.places.map(|place| side(machine, place));
        let requests = [sim?, real?];
        let mut rows = Vec::new();
        for (index, scheduler) in self.schedulers.iter().enumerate() {
            if !machine.quiet {
                run::warn(&requests[1], std::slice::from_ref(scheduler));
            }
            let mut both = Vec::new();
            for (request, kernel) in requests.iter().zip(&mut told.kernels) {
                let result = self.run(request, index)?;
                *kernel = request.kernel_of(&result);
                told.fault |= result.exit.is_fault();
                both.push(result);
            }
            rows.extend(judge::judge(&self.tolerances, &scheduler.name, &both[0], &both[1]));
        }
        told.seed = requests[0].config.seed;
        Ok(Cell { machine: requests[0].topology.spec.clone(), workload: requests[0].workload.clone(), rows })
    }

    fn run(&self, request: &Request, index: usize) -> Result<RunResult> {
        let scheduler = &self.schedulers[index];
        let bar = progress::bar(request.duration, request.quiet);
        let (name, place) = (&scheduler.name, request.place.name());
        bar.set_message(format!("{name} on {place}"));
        let seed = request.config.seed;
        let keep = Keep { globals: matches!(scheduler.kind, Kind::Bpf(_)), ..Keep::default() };
        let replay = replay::command(request, &self.args.scheds[index], &[], &self.args.machine, seed);
        let result = session::run(request, scheduler, seed, keep, replay, |t| bar.set_position(t));
        bar.finish_and_clear();
        let result = result?;
        if result.exit.is_fault() {
            report::note(&format!("{name} on {place}: {}: {}", result.exit.kind, result.exit.msg));
        }
        for violation in result.violations.iter().take(3) {
            report::note(&format!("{name} on {place}: {violation}"));
        }
        Ok(result)
    }
}

/// One side's request. The simulation costs what the virtual machine does, unless it is told otherwise.
fn side(args: &MachineArgs, place: Place) -> Result<Request> {
    let lab = || if args.free_running { cost::SERVER } else { cost::LAB };
    let cost = args.cost.clone().unwrap_or_else(|| lab().to_owned());
    let is_sim = place == Place::Sim;
    let mut request = resolve::request(&MachineArgs {
        on: vec![place],
        cost: is_sim.then_some(cost),
        free_running: args.free_running && !is_sim,
        record: args.record.clone().filter(|_| !is_sim),
        guest: args.guest.clone().filter(|_| !is_sim),
        ..args.clone()
    })?;
    request.watched = is_sim;
    if args.cost.is_none() && request.config.cost.turn > 0 {
        request.config.cost.turn = scxr_lab::qemu::turn_us(request.topology.nr_cpus() as u64) * 1000;
    }
    Ok(request)
}

/// The two places of a differential run.
pub(crate) fn places(on: &[Place]) -> Result<Option<[Place; 2]>> {
    match on {
        [] | [_] => Ok(None),
        [Place::Sim, Place::Vm] => Ok(Some([Place::Sim, Place::Vm])),
        _ => Err(Failure::input("--on: two places are compared as `sim,vm`")),
    }
}
