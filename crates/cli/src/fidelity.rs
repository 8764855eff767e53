//! `scxr compare --on sim,vm`: the same schedulers under the same workload and seed on the simulated kernel and on a real
//! one, and how far the two are apart. Tolerances are fixed here, before a run; a verdict follows from them alone.

use comfy_table::{CellAlignment, Table, presets};
use scxr_analyze::report::TaskReport;
use serde::Serialize;

use crate::args::{CompareArgs, MachineArgs};
use crate::failure::{Failure, Outcome, Result};
use crate::report::{self, human};
use crate::resolve::{self, Place};
use crate::scheduler::{self, Scheduler};
use crate::session::{self, Keep, RunResult};
use crate::{effects, progress, replay, run};

/// Schema of its JSON.
const SCHEMA: &str = "scxr-fidelity/1";
/// Shares of CPU time agree within this, parts of the whole.
const SHARE: f64 = 0.02;
/// Counts agree within this part.
const COUNT: f64 = 0.10;
/// Counts below this say nothing.
const COUNT_MIN: f64 = 20.0;
/// Latencies agree within this part,
const LATENCY: f64 = 0.25;
/// or this time, ns.
const LATENCY_NS: f64 = 20_000.0;

/// What a figure is, and so how close it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Share,
    Count,
    Latency,
}

/// Whether both sides agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Agree,
    Differ,
    /// There was too little to count.
    NotMeasured,
}

impl Verdict {
    fn of(kind: Kind, a: f64, b: f64) -> Verdict {
        let within = |part: f64| (a - b).abs() <= part * a.abs().max(b.abs());
        let agree = match kind {
            Kind::Share => (a - b).abs() <= SHARE,
            Kind::Count if a.max(b) < COUNT_MIN => return Verdict::NotMeasured,
            Kind::Count => within(COUNT),
            Kind::Latency if a == 0.0 && b == 0.0 => return Verdict::NotMeasured,
            Kind::Latency => within(LATENCY) || (a - b).abs() <= LATENCY_NS,
        };
        if agree { Verdict::Agree } else { Verdict::Differ }
    }

    fn word(self) -> &'static str {
        match self {
            Verdict::Agree => "agree",
            Verdict::Differ => "differ",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// One figure on both sides.
#[derive(Debug, Serialize)]
struct Row {
    scheduler: String,
    metric: String,
    #[serde(skip)]
    kind: Option<Kind>,
    values: [f64; 2],
    verdict: Verdict,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    schema: &'static str,
    on: [&'static str; 2],
    kernels: [String; 2],
    workload: &'a str,
    machine: &'a str,
    seed: u64,
    rows: &'a [Row],
}

/// Runs each scheduler on both sides and judges.
pub(crate) fn compare(args: &CompareArgs, places: [Place; 2]) -> Result<Outcome> {
    let requests = places.map(|place| resolve::request(&MachineArgs { on: vec![place], ..args.machine.clone() }));
    let [a, b] = requests;
    let requests = [a?, b?];
    let mut rows = Vec::new();
    let mut fault = false;
    let mut kernels = [String::new(), String::new()];
    let options = scheduler::Options { args: &[], native: args.machine.native, include: &args.machine.include };
    let prepare = |s: &String| scheduler::prepare(s, &options);
    let schedulers: Vec<Scheduler> = args.scheds.iter().map(prepare).collect::<Result<_>>()?;
    effects::check(&schedulers, &args.machine, false)?;
    for (name, prepared) in args.scheds.iter().zip(&schedulers) {
        if !args.machine.quiet {
            run::warn(&requests[1], std::slice::from_ref(prepared));
        }
        let mut both = Vec::new();
        for (request, kernel) in requests.iter().zip(&mut kernels) {
            let bar = progress::bar(request.duration, args.machine.quiet);
            bar.set_message(format!("{} on {}", prepared.name, request.place.name()));
            let seed = request.config.seed;
            let replay = replay::command(request, name, &[], &args.machine, seed);
            let result = session::run(request, prepared, seed, Keep::default(), replay, |t| bar.set_position(t));
            bar.finish_and_clear();
            let result = result?;
            *kernel = request.kernel_of(&result);
            if result.exit.is_fault() {
                fault = true;
                report::note(&format!(
                    "{} on {}: {}: {}",
                    prepared.name,
                    request.place.name(),
                    result.exit.kind,
                    result.exit.msg
                ));
            }
            both.push(result);
        }
        rows.extend(judge(&prepared.name, &both[0], &both[1]));
    }
    let request = &requests[0];
    let json = Json {
        schema: SCHEMA,
        on: places.map(Place::name),
        kernels,
        workload: &request.workload,
        machine: &request.topology.spec,
        seed: request.config.seed,
        rows: &rows,
    };
    match args.machine.json {
        true => report::print(&report::json_text(&json))?,
        false => report::print(&text(&json))?,
    }
    Ok(if fault { Outcome::SchedulerAtFault } else { Outcome::Fine })
}

/// A task's figure.
type Read = fn(&TaskReport) -> u64;

/// Every figure that both sides have.
fn judge(scheduler: &str, a: &RunResult, b: &RunResult) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |metric: String, kind: Kind, x: f64, y: f64| {
        let (scheduler, verdict) = (scheduler.to_owned(), Verdict::of(kind, x, y));
        rows.push(Row { scheduler, metric, kind: Some(kind), values: [x, y], verdict });
    };
    for name in names(&a.report.tasks) {
        let share = |r: &RunResult| of_name(&r.report.tasks, &name).map(|t| t.share).sum::<f64>();
        row(format!("share of {name}"), Kind::Share, share(a), share(b));
    }
    let sum = |r: &RunResult, read: Read| r.report.tasks.iter().map(read).sum::<u64>() as f64;
    let counts: [(&str, Read); 4] = [
        ("blocked", |t| t.nvcsw),
        ("preempted", |t| t.nivcsw),
        ("migrations", |t| t.migrations),
        ("operations", |t| t.operations),
    ];
    for (name, read) in counts {
        row(name.to_owned(), Kind::Count, sum(a, read), sum(b, read));
    }
    let (x, y) = (&a.report.latency_ns.wakeup, &b.report.latency_ns.wakeup);
    row("wakeup p50".into(), Kind::Latency, x.p50 as f64, y.p50 as f64);
    row("wakeup p99".into(), Kind::Latency, x.p99 as f64, y.p99 as f64);
    let (x, y) = (&a.report.work.latency_ns, &b.report.work.latency_ns);
    row("operation p50".into(), Kind::Latency, x.p50 as f64, y.p50 as f64);
    rows
}

/// Kinds of tasks, in the order in which they come.
fn names(tasks: &[TaskReport]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for task in tasks {
        let name = human::stem(&task.comm);
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn of_name<'a>(tasks: &'a [TaskReport], name: &'a str) -> impl Iterator<Item = &'a TaskReport> {
    tasks.iter().filter(move |t| human::stem(&t.comm) == name)
}

fn text(json: &Json<'_>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["scheduler", "metric", json.on[0], json.on[1], "difference", "verdict"]);
    for row in json.rows {
        let [a, b] = row.values;
        let show = |x: f64| match row.kind {
            Some(Kind::Share) => format!("{:.1} %", 100.0 * x),
            Some(Kind::Latency) => human::time(x),
            _ => format!("{x:.0}"),
        };
        let difference = match row.kind {
            Some(Kind::Share) => format!("{:+.1} points", 100.0 * (b - a)),
            _ if a == 0.0 => String::new(),
            _ => format!("{:+.0} %", 100.0 * (b - a) / a),
        };
        let cells =
            [row.scheduler.clone(), row.metric.clone(), show(a), show(b), difference, row.verdict.word().into()];
        table.add_row(cells);
    }
    table.column_iter_mut().skip(2).take(3).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
    let lines: Vec<String> = table.to_string().lines().map(|l| l.trim_end().to_owned()).collect();
    let count = |v: Verdict| json.rows.iter().filter(|r| r.verdict == v).count();
    format!(
        "{} · {} CPUs · seed {} · {} {} against {} {}\n\n{}\n\n{} figures agree, {} differ, {} are too small to tell\n",
        json.workload,
        json.machine,
        json.seed,
        json.on[0],
        json.kernels[0],
        json.on[1],
        json.kernels[1],
        lines.join("\n"),
        count(Verdict::Agree),
        count(Verdict::Differ),
        count(Verdict::NotMeasured),
    )
}

/// The two places of a differential run.
pub(crate) fn places(on: &[Place]) -> Result<Option<[Place; 2]>> {
    match on {
        [] | [_] => Ok(None),
        [Place::Sim, Place::Vm] => Ok(Some([Place::Sim, Place::Vm])),
        _ => Err(Failure::input("--on: two places are compared as `sim,vm`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_decide() {
        use Verdict::{Agree, Differ, NotMeasured};
        for (kind, a, b, expect) in [
            (Kind::Share, 0.25, 0.269, Agree),
            (Kind::Share, 0.25, 0.28, Differ),
            (Kind::Count, 100.0, 91.0, Agree),
            (Kind::Count, 100.0, 89.0, Differ),
            (Kind::Count, 19.0, 0.0, NotMeasured),
            (Kind::Latency, 1e6, 1.3e6, Agree),
            (Kind::Latency, 1e6, 1.4e6, Differ),
            (Kind::Latency, 1e3, 20e3, Agree),
            (Kind::Latency, 0.0, 0.0, NotMeasured),
        ] {
            assert_eq!(Verdict::of(kind, a, b), expect, "{kind:?} {a} {b}");
        }
    }

    /// Negative control: two schedulers that share differently are told apart.
    #[test]
    fn another_scheduler_is_told_apart() {
        let args = MachineArgs {
            workload: Some("spin:n=4,nice=0/10".into()),
            machine: Some("2".into()),
            ..MachineArgs::default()
        };
        let request = resolve::request(&args).unwrap();
        let go = |name: &str| {
            let prepared = scheduler::prepare(name, &scheduler::Options::default()).unwrap();
            session::run(&request, &prepared, 1, Keep::default(), String::new(), |_| {}).unwrap()
        };
        let (eevdf, simple) = (go("eevdf"), go("simple"));
        let differ = |a, b| judge("x", a, b).iter().filter(|r| r.verdict == Verdict::Differ).count();
        assert_eq!(differ(&eevdf, &eevdf), 0);
        assert!(differ(&eevdf, &simple) > 0);
    }
}
