//! The figures of a run on two sides, and the verdict on each.

use indexmap::IndexMap;
use scxr_analyze::report::TaskReport;
use serde::Serialize;
use serde_json::Value;

use super::tolerance::{Kind, Tolerances, Verdict};
use crate::report::human;
use crate::session::RunResult;

/// One figure on both sides.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) scheduler: String,
    pub(super) metric: String,
    #[serde(skip)]
    pub(super) kind: Kind,
    pub(super) values: [f64; 2],
    pub(super) verdict: Verdict,
}

/// A task's figure.
type Read = fn(&TaskReport) -> u64;

/// Every figure that both sides have.
pub(super) fn judge(tolerances: &Tolerances, scheduler: &str, a: &RunResult, b: &RunResult) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |metric: String, kind: Kind, x: f64, y: f64| {
        let (scheduler, verdict) = (scheduler.to_owned(), tolerances.verdict(&metric, kind, x, y));
        rows.push(Row { scheduler, metric, kind, values: [x, y], verdict });
    };
    for name in names(&a.report.tasks) {
        let share = |r: &RunResult| of_name(&r.report.tasks, &name).map(|t| t.share).sum::<f64>();
        row(format!("share of {name}"), Kind::Share, share(a), share(b));
    }
    let sum = |r: &RunResult, read: Read| r.report.tasks.iter().map(read).sum::<u64>() as f64;
    // What the system's own tasks interrupt is not the scheduler's doing.
    let preempted = |r: &RunResult| sum(r, |t| t.nivcsw) - r.interference as f64;
    let switches = |r: &RunResult| sum(r, |t| t.nvcsw) + preempted(r);
    row("switches".into(), Kind::Count, switches(a), switches(b));
    row("preempted".into(), Kind::Count, preempted(a), preempted(b));
    row("migrations".into(), Kind::Count, sum(a, |t| t.migrations), sum(b, |t| t.migrations));
    row("operations".into(), Kind::Count, sum(a, |t| t.operations), sum(b, |t| t.operations));
    let (x, y) = (&a.report.latency_ns.wakeup, &b.report.latency_ns.wakeup);
    let latency = |p99| Kind::Latency { samples: x.count.min(y.count), p99 };
    row("wakeup p50".into(), latency(false), x.p50 as f64, y.p50 as f64);
    row("wakeup p99".into(), latency(true), x.p99 as f64, y.p99 as f64);
    let (x, y) = (&a.report.work.latency_ns, &b.report.work.latency_ns);
    let kind = Kind::Latency { samples: x.count.min(y.count), p99: false };
    row("operation p50".into(), kind, x.p50 as f64, y.p50 as f64);
    let counters = counters(b);
    for (name, x) in self::counters(a) {
        if let Some(y) = counters.get(&name) {
            row(name, Kind::Count, x, *y);
        }
    }
    row("rules broken".into(), Kind::Exact, a.violations.len() as f64, b.violations.len() as f64);
    rows
}

/// The scheduler's own counters: its per-CPU maps, summed up.
fn counters(result: &RunResult) -> IndexMap<String, f64> {
    let sums = |(name, value): (&String, &Value)| {
        let sums = value.get("sum").and_then(Value::as_array).cloned().unwrap_or_default();
        let name = name.clone();
        sums.into_iter().enumerate().filter_map(move |(i, v)| Some((format!("{name}[{i}]"), v.as_f64()?)))
    };
    result.globals.iter().flatten().flat_map(sums).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::MachineArgs;
    use crate::scheduler;
    use crate::session::{self, Keep};
    use crate::{report, resolve};

    fn go(name: &str, workload: &str, cost: Option<&str>) -> RunResult {
        let args = MachineArgs {
            workload: Some(workload.into()),
            machine: Some("2".into()),
            cost: cost.map(str::to_owned),
            ..MachineArgs::default()
        };
        let request = resolve::request(&args).unwrap();
        let prepared = scheduler::prepare(name, &scheduler::Options::default()).unwrap();
        let keep = Keep { globals: name != "eevdf", ..Keep::default() };
        session::run(&request, &prepared, 1, keep, String::new(), |_| {}).unwrap()
    }

    fn differ(a: &RunResult, b: &RunResult) -> Vec<String> {
        let rows = judge(&Tolerances::read(None).unwrap(), "x", a, b);
        rows.into_iter().filter(|r| r.verdict == Verdict::Differ).map(|r| r.metric).collect()
    }

    /// Negative control: two schedulers that share differently are told apart.
    #[test]
    fn another_scheduler_is_told_apart() {
        let (eevdf, simple) = (go("eevdf", "spin:n=4,nice=0/10", None), go("simple", "spin:n=4,nice=0/10", None));
        assert_eq!(differ(&eevdf, &eevdf), Vec::<String>::new());
        assert!(!differ(&eevdf, &simple).is_empty());
    }

    /// Negative control: a cost that is wrong is told.
    #[test]
    fn a_wrong_cost_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = dir.path().join("wrong.toml");
        std::fs::write(&wrong, "context_switch = 30000").unwrap();
        let right = go("simple", "pipe", None);
        assert_eq!(differ(&right, &go("simple", "pipe", Some("server"))), Vec::<String>::new());
        let differ = differ(&right, &go("simple", "pipe", wrong.to_str()));
        for figure in ["switches", "operations", "operation p50"] {
            assert!(differ.iter().any(|d| d == figure), "{figure} is not in {differ:?}");
        }
    }

    #[test]
    fn counters_are_the_per_cpu_maps() {
        let result = go("simple", "spin", None);
        let counters = counters(&result);
        assert_eq!(
            counters.keys().collect::<Vec<_>>(),
            ["stats[0]", "stats[1]"],
            "{}",
            report::json_text(&result.globals)
        );
    }
}
