//! Tables for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use scxr_analyze::Report;
use scxr_analyze::compare::{Cell, Row};
use scxr_analyze::report::{Latency, TaskReport};
use scxr_host::{ExecRecord, ProgramRecord};
use scxr_kernel::config::NR_TASKS_MAX;

pub(crate) use super::units::time;
use super::units::{count, digits, percent, value};
use crate::resolve::{Place, Request};
use crate::scheduler::Scheduler;
use crate::session::{Exit, RunResult, Setup, StatsJson};

/// Most lines of the table of tasks.
const TASK_LINES_MAX: usize = 24;

/// Most lines of what a scheduler printed.
const PRINTED_LINES_MAX: usize = 24;

/// The report of a run.
pub(crate) fn run(q: &Request, s: &Scheduler, r: &RunResult) -> String {
    let mut out = String::new();
    heading(&mut out, &s.name, q, Some(r), &format!("seed {}", r.seed));
    exit(&mut out, &s.name, &r.exit);
    for sub in &r.subs {
        let name = format!("{} of {}", sub.name, sub.cgroup);
        match sub.exit.kind.as_str() {
            "none" => writeln!(out, "{name} is attached\n").expect("a string takes everything"),
            _ => exit(&mut out, &name, &sub.exit),
        }
    }
    out += &r.program.as_ref().map(|p| own_program(&s.name, p)).unwrap_or_default();
    out += &r.exec.as_ref().map(program).unwrap_or_default();
    for dump in &r.dumps {
        out += &format!("{}\n\n", dump.trim_end());
    }
    if r.nr_events == 0 {
        return out; // refused: nothing ran
    }
    totals(&mut out, &r.report);
    out += &setup(&r.setup);
    out += &latencies(&r.report);
    out += &tasks(&r.report.tasks);
    out += &stats(s, r);
    out += &printed(&r.printed);
    if let Some(globals) = &r.globals {
        out += "globals\n";
        for (name, value) in globals {
            writeln!(out, "  {name} = {value}").expect("a string takes everything");
        }
    }
    out
}

/// Figures of a scheduler, in a line.
pub(crate) fn stats_line(name: &str, stats: &StatsJson) -> String {
    let values: Vec<String> = stats.shown.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{:>9}  {name}: {}\n", time(stats.at_ns as f64), values.join(" · "))
}

/// What the scheduler said of itself: a line for each time.
fn stats(s: &Scheduler, r: &RunResult) -> String {
    let mut out: String = r.stats.iter().flatten().map(|stats| stats_line(&s.name, stats)).collect();
    if let Some(error) = r.half.as_ref().and_then(|h| h.error.as_ref()) {
        writeln!(out, "the user-space half of {} ended: {error}", s.name).expect("a string takes everything");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// What the scheduler printed: the last lines.
fn printed(lines: &[String]) -> String {
    let more = lines.len().saturating_sub(PRINTED_LINES_MAX);
    let Some(shown) = lines.get(more..).filter(|shown| !shown.is_empty()) else { return String::new() };
    let mut out = String::from("printed\n");
    if more > 0 {
        writeln!(out, "  ({} lines before; --json has them)", count(more as u64)).expect("a string takes everything");
    }
    for line in shown {
        writeln!(out, "  {}", line.trim_end()).expect("a string takes everything");
    }
    out + "\n"
}

/// The speed of a run, for standard error: it is not the same twice.
pub(crate) fn speed(r: &RunResult) -> String {
    let simulated = r.report.duration_ns as f64;
    format!(
        "{} of {} in {} ({} events/s)",
        time(simulated),
        if r.kernel.is_some() { "the kernel's time" } else { "simulated time" },
        time(r.wall_ns as f64),
        super::units::number(r.events_per_sec() as f64)
    )
}

fn heading(out: &mut String, what: &str, q: &Request, r: Option<&RunResult>, more: &str) {
    let t = r.and_then(|r| r.topology.as_ref()).unwrap_or(&q.topology);
    let mut shape = format!("{} CPUs", t.nr_cpus());
    for (n, unit) in [(t.nodes.len(), "nodes"), (t.llcs.len(), "LLCs")] {
        if n > 1 {
            write!(shape, ", {n} {unit}").expect("a string takes everything");
        }
    }
    if t.has_smt() {
        shape += ", SMT";
    }
    let duration = time(r.map_or(q.duration, |r| r.length(q.duration)) as f64);
    let kernel = r.map_or_else(|| q.kernel.to_string(), |r| q.kernel_of(r));
    let place = if q.place == Place::Sim { String::new() } else { format!(" on {}", q.place.name()) };
    writeln!(out, "{what}{place} · {} · {shape} · kernel {kernel} · {duration} · {more}\n", q.workload_name())
        .expect("a string takes everything");
}

fn exit(out: &mut String, name: &str, exit: &Exit) {
    if exit.kind == "none" {
        return;
    }
    let what = match exit.is_fault() {
        true if exit.kind == "load" => "was refused",
        true => "was ejected; its tasks went on under the fair class",
        false => "was disabled; its tasks went on under the fair class",
    };
    *out += &format!("{name} {what}\n  exit kind {}", exit.kind);
    if exit.code != 0 {
        *out += &format!(", code {:#x}", exit.code);
    }
    *out += "\n";
    for (label, text) in [("reason", &exit.reason), ("message", &exit.msg)] {
        if !text.is_empty() {
            *out += &format!("  {label}: {}\n", text.replace('\n', "\n    "));
        }
    }
    for line in &exit.bt {
        *out += &format!("    {line}\n");
    }
    if !exit.dump.is_empty() {
        *out += &format!("\n{}\n", exit.dump.trim_end());
    }
    *out += "\n";
}

/// How the program ended that was the workload, and what it printed.
fn program(did: &ExecRecord) -> String {
    let how = match (did.ended, did.code, did.signal) {
        (false, ..) => "the program was still running at the end and was stopped".to_owned(),
        (true, Some(code), _) => format!("the program ended with exit code {code}"),
        (true, None, signal) => format!("the program was ended by signal {}", signal.unwrap_or(0)),
    };
    let more = if did.truncated { "  (there was more)\n" } else { "" };
    how + "\n" + &outputs(did, usize::MAX) + more + "\n"
}

/// The last lines of what a program printed.
fn outputs(did: &ExecRecord, lines_max: usize) -> String {
    let mut out = String::new();
    for (name, text) in [("standard output", &did.stdout), ("standard error", &did.stderr)] {
        let lines: Vec<&str> = text.lines().collect();
        let before = lines.len().saturating_sub(lines_max);
        if !lines.is_empty() {
            out += &format!("  its {name}:\n");
        }
        if before > 0 {
            out += &format!("    ({} lines before; --json has them)\n", count(before as u64));
        }
        lines[before..].iter().for_each(|l| out += &format!("    {l}\n"));
    }
    out
}

/// What the program did that is the scheduler.
fn own_program(name: &str, p: &ProgramRecord) -> String {
    let did = &p.did;
    let attached = match &p.attached {
        Some(ops) => format!(
            "its program attached `{ops}` after {}, took {} of CPU time",
            time(p.attach_ns as f64),
            time(p.cpu_ns as f64)
        ),
        None => "its program attached nothing".to_owned(),
    };
    let how = match (did.ended, did.code, did.signal) {
        (false, Some(code), _) => format!("was interrupted at the end: exit code {code}"),
        (false, None, signal) => format!("was ended at the end, by signal {}", signal.unwrap_or(0)),
        (true, Some(code), _) => format!("ended by itself with exit code {code}"),
        (true, None, signal) => format!("was ended before the end, by signal {}", signal.unwrap_or(0)),
    };
    format!("{name}: {attached}, and {how}\n{}\n", outputs(did, PRINTED_LINES_MAX))
}

fn totals(out: &mut String, r: &Report) {
    let t = &r.totals;
    let busy: u64 = r.cpus.iter().map(|c| c.busy_ns).sum();
    let capacity = r.duration_ns as f64 * r.cpus.len().max(1) as f64;
    let mut line = vec![
        format!("{} busy", percent(busy as f64 / capacity)),
        format!("{} events", count(t.events)),
        format!("{} wakeups", count(t.wakeups)),
        format!("{} context switches", count(t.context_switches)),
        format!("{} migrations", count(t.migrations)),
        format!("{} idle with work waiting", time(t.idle_with_work_ns as f64)),
    ];
    if r.work.latency_ns.count > 0 {
        line.push(format!("{} operations/s", super::units::number(r.work.per_second)));
    }
    if let Some(ns) = t.completed_ns {
        line.push(format!("completed at {}", time(ns as f64)));
    }
    if r.fairness.nr_tasks > 1 {
        line.push(format!("fairness {:.4} (Jain, {} hogs)", r.fairness.jain, r.fairness.nr_tasks));
    }
    *out += &wrap(&line.join(" · "));
    *out += "\n";
}

/// What the workload did not come to.
fn setup(s: &Setup) -> String {
    let mut out = String::new();
    if s.started < s.tasks {
        let (started, tasks) = (count(s.started as u64), count(s.tasks as u64));
        out += &format!(
            "only {started} of {tasks} tasks of the workload had been started when the run ended: it was still being set up\n\n"
        );
    }
    if s.forks_refused > 0 {
        let (refused, max) = (count(s.forks_refused), count(NR_TASKS_MAX as u64));
        out += &format!("{refused} forks failed: a machine has room for {max} tasks at a time\n\n");
    }
    if s.policies_refused > 0 {
        let refused = count(s.policies_refused);
        out += &format!(
            "{refused} changes of policy were refused (bandwidth or affinity of deadline tasks, or the scheduler); the tasks went on\n\n"
        );
    }
    out
}

/// Breaks a line between its parts so that it fits a terminal of 100 columns.
fn wrap(line: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for part in line.split(" · ") {
        let length = part.chars().count();
        if width > 0 && width + 3 + length > 100 {
            out += "\n";
            width = 0;
        } else if width > 0 {
            out += " · ";
            width += 3;
        }
        out += part;
        width += length;
    }
    out + "\n"
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table
}

/// The table's text, its numbers to the right.
fn finish(mut table: Table, nr_left: usize) -> String {
    for (i, column) in table.column_iter_mut().enumerate() {
        if i >= nr_left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n\n"
}

fn latencies(r: &Report) -> String {
    let mut t = table(&["latency", "count", "mean", "p50", "p99", "p99.9", "max"]);
    let rows: [(&str, &Latency); 3] = [
        ("wakeup to running", &r.latency_ns.wakeup),
        ("runnable to running", &r.latency_ns.runqueue),
        ("operation", &r.work.latency_ns),
    ];
    for (name, l) in rows.into_iter().filter(|(_, l)| l.count > 0) {
        let mut row = vec![name.to_string(), count(l.count)];
        row.extend([l.mean, l.p50, l.p99, l.p999, l.max].map(|ns| time(ns as f64)));
        t.add_row(row);
    }
    let mut out = finish(t, 1);
    let w = &r.latency_ns.waiting;
    if w.count > 0 {
        let (tasks, have) = if w.count == 1 { ("task", "has") } else { ("tasks", "have") };
        let longest = time(w.max as f64);
        out = format!(
            "{}\n  {} {tasks} still waited when the run ended, the longest for {longest}, and {have} been counted as of then\n\n",
            out.trim_end(),
            count(w.count)
        );
    }
    out
}

/// Tasks that one line of the table stands for.
#[derive(Default)]
struct Fold<'a> {
    tasks: Vec<&'a TaskReport>,
}

impl Fold<'_> {
    fn sum(&self, read: fn(&TaskReport) -> u64) -> u64 {
        self.tasks.iter().map(|t| read(t)).sum()
    }

    fn row(&self, name: &str, weight: u32) -> Vec<String> {
        let n = self.tasks.len();
        let share: f64 = self.tasks.iter().map(|t| t.share).sum();
        let cpu = |pick: fn(u64, u64) -> u64| self.tasks.iter().map(|t| t.cpu_ns).reduce(pick).unwrap_or(0) as f64;
        let wait = self.tasks.iter().map(|t| t.wait_ns_max).max().unwrap_or(0);
        let each = match n {
            1 => String::new(),
            _ => format!("{} … {}", time(cpu(u64::min)), time(cpu(u64::max))),
        };
        vec![
            name.to_string(),
            count(n as u64),
            weight.to_string(),
            time(self.sum(|t| t.cpu_ns) as f64),
            percent(share),
            each,
            count(self.sum(|t| t.wakeups)),
            count(self.sum(|t| t.nivcsw)),
            count(self.sum(|t| t.migrations)),
            time(wait as f64),
        ]
    }
}

/// Tasks with the same name but for its number, weight and cgroup, on one line.
fn tasks(tasks: &[TaskReport]) -> String {
    let mut folds: BTreeMap<(u32, &str, &str, u32), Fold<'_>> = BTreeMap::new();
    let mut first: BTreeMap<(&str, &str, u32), u32> = BTreeMap::new();
    for task in tasks {
        let key = (stem(&task.comm), task.group.as_str(), task.weight);
        let pid = *first.entry(key).or_insert(task.pid);
        folds.entry((pid, key.0, key.1, key.2)).or_default().tasks.push(task);
    }
    let mut t = table(&[
        "tasks",
        "n",
        "weight",
        "CPU time",
        "share",
        "each",
        "wakeups",
        "preempted",
        "migrations",
        "longest wait",
    ]);
    for ((_, stem, group, weight), fold) in folds.iter().take(TASK_LINES_MAX) {
        let name = match (fold.tasks.len(), *group) {
            (1, "/") => fold.tasks[0].comm.clone(),
            (1, group) => format!("{} ({group})", fold.tasks[0].comm),
            (_, "/") => stem.to_string(),
            (_, group) => format!("{stem} ({group})"),
        };
        t.add_row(fold.row(&name, *weight));
    }
    let mut out = finish(t, 1);
    if folds.len() > TASK_LINES_MAX {
        let more = folds.len() - TASK_LINES_MAX;
        out = format!("{}\n  … and {more} more kinds of tasks; all are in --json\n\n", out.trim_end());
    }
    out
}

/// A task's name without the number at its end.
pub(crate) fn stem(comm: &str) -> &str {
    let without = comm.trim_end_matches(|c: char| c.is_ascii_digit());
    match without.strip_suffix('-') {
        Some(stem) if without.len() < comm.len() => stem,
        _ => comm,
    }
}

/// The table of a comparison.
pub(crate) fn compare(q: &Request, names: &[&str], nr_seeds: usize, rows: &[Row]) -> String {
    let mut out = String::new();
    let seeds = match nr_seeds {
        1 => format!("seed {}", q.config.seed),
        n => format!("seeds {} to {}", q.config.seed, q.config.seed + n as u64 - 1),
    };
    heading(&mut out, &names.join(" · "), q, None, &seeds);
    let mut header = vec!["".to_string(), names[0].to_string()];
    for name in &names[1..] {
        header.extend([name.to_string(), format!("against {}", names[0])]);
    }
    let mut t = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for row in rows.iter().filter(|r| r.cells.iter().any(|c| c.value.is_some_and(|v| v.mean != 0.0))) {
        let mut line = vec![row.metric.to_string()];
        for (i, cell) in row.cells.iter().enumerate() {
            line.push(cell.value.map_or("-".into(), |v| value(v.mean, row.unit)));
            if i > 0 {
                line.push(ratio(cell));
            }
        }
        t.add_row(line);
    }
    out + &finish(t, 1)
}

/// `1.23x ± 0.04`
fn ratio(cell: &Cell) -> String {
    match cell.ratio {
        None => String::new(),
        Some(r) if r.n < 2 => format!("{}x", digits(r.mean)),
        Some(r) => format!("{}x ± {}", digits(r.mean), digits(r.ci95)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems() {
        for (comm, expect) in [
            ("hog-5-0", "hog-5"),
            ("hog-5-12", "hog-5"),
            ("worker-3", "worker"),
            ("worker", "worker"),
            ("cpu12", "cpu12"),
            ("spin+0", "spin+0"),
        ] {
            assert_eq!(stem(comm), expect, "{comm}");
        }
    }

    #[test]
    fn a_workload_that_did_not_come_up() {
        let check = |tasks, started, forks_refused, expect: &str| {
            assert!(setup(&Setup { tasks, started, forks_refused, policies_refused: 0 }).starts_with(expect));
        };
        assert_eq!(setup(&Setup { tasks: 5, started: 5, ..Setup::default() }), "");
        check(10_000, 1_500, 0, "only 1,500 of 10,000 tasks of the workload had been started");
        check(1, 1, 7, "7 forks failed: a machine has room for 1,048,576 tasks");
    }

    #[test]
    fn long_lines_break_between_parts() {
        let part = "x".repeat(40);
        let text = wrap(&[part.as_str(); 3].join(" · "));
        assert_eq!(text, format!("{part} · {part}\n{part}\n"));
    }
}
