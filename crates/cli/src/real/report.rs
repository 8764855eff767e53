//! From a recording to the result that every run has.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use scxr_analyze::{Analyzer, Options, Place};
use scxr_host::{MapDump, Record, Recording};
use scxr_kernel::topology::Topology;
use scxr_ops::{decode, is_variable};
use scxr_trace::{Checker, Event, EventKind, Recorder, Rules, Sink};

use crate::failure::{Failure, Result};
use crate::scheduler::{Kind, Scheduler};
use crate::session::{
    Exit, HalfResult, Interference, Keep, RunResult, Setup, StatsJson, WATCHDOG_NS, own_shares, value_json,
};

/// Listens to a recording.
struct Listener {
    /// Tasks of the workload, forked ones included.
    own: BTreeSet<u32>,
    /// Those that its tasks fork belong to it: it is a program.
    grows: bool,
    analyzer: Analyzer,
    recorder: Option<Recorder>,
    checker: Checker,
    interference: Interference,
}

impl Sink for Listener {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        // The system's other tasks take time on the CPUs and are counted there; latencies are the workload's.
        if let EventKind::Fork { pid, parent, .. } = kind
            && self.grows
            && self.own.contains(&parent)
        {
            self.own.insert(pid);
        }
        let foreign = match &kind {
            EventKind::Waking { pid, .. } | EventKind::Enqueue { pid, .. } => !self.own.contains(pid),
            _ => false,
        };
        if !foreign {
            self.analyzer.take(t, cpu, &kind);
        }
        self.interference.see(cpu, &kind, |pid| self.own.contains(&pid));
        self.checker.event(t, cpu, kind.clone());
        if let Some(recorder) = &mut self.recorder {
            recorder.event(t, cpu, kind);
        }
    }
}

/// The result of a recording.
pub(super) fn result(
    recording: &Recording,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    (wall_ns, run_ns): (u64, u64),
) -> Result<RunResult> {
    let record = &recording.record;
    let places = record.places.iter().map(|p| Place { core: p.core, llc: p.llc, node: p.node }).collect();
    let own = record.tasks.iter().map(|t| t.pid).collect();
    let mut listener = Listener {
        own,
        grows: record.exec.is_some(),
        analyzer: Analyzer::new(Options { places, end_ns: None }),
        recorder: keep.trace.then(Recorder::new),
        checker: Checker::new(rules()),
        interference: Interference::default(),
    };
    if !matches!(scheduler.kind, Kind::Eevdf) {
        listener.checker.event(0, 0, EventKind::Enabled { name: scheduler.name.clone() });
    }
    let imported = recording.events(&mut listener).map_err(Failure::environment)?;
    let duration = record.end_ns.saturating_sub(record.start_ns);
    let Listener { own, analyzer, recorder, mut checker, interference, .. } = listener;
    // What is not there cannot be judged; nor can what comes after an ejection, whose time is not in the trace.
    let whole = !imported.lost && record.exit.kind == "none" && !record.notes.iter().any(|n| n.contains("had no room"));
    let violations = if whole { checker.finish(duration) } else { Vec::new() };
    let mut report = analyzer.finish(duration);
    // The workload's own tasks, forked ones included, are what the reader asked about.
    report.tasks.retain(|t| own.contains(&t.pid));
    own_shares(&mut report);
    if let Some(missed) = record.missed.first() {
        return Err(Failure::input(missed));
    }
    let mut notes = record.notes.clone();
    let again =
        |e: &scxr_host::Exit| format!("the scheduler was started again, as it asked for: {} {}", e.reason, e.msg);
    notes.extend(record.restarts.iter().map(again));
    if imported.lost {
        notes.push("some records of the kernel's tracepoints were lost; figures are too low".into());
    }
    let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
    if let Some(first) = violations.first() {
        let nr = violations.len();
        notes.push(format!("{nr} rules that hold in every run are broken in the kernel's trace; first: {first}"));
    }
    let (dump, dumps) = split_dumps(&imported.dump);
    let exit = Exit {
        kind: record.exit.kind.clone(),
        code: record.exit.code,
        reason: record.exit.reason.clone(),
        msg: record.exit.msg.clone(),
        bt: record.exit.bt.clone(),
        dump,
    };
    let trace = recorder.map(|mut r| {
        let events: Vec<Event> = r.finish();
        scxr_trace::text::write(&events)
    });
    Ok(RunResult {
        interrupted: record.stopped,
        scheduler: scheduler.name.clone(),
        seed,
        exit,
        exec: record.exec.clone(),
        program: record.program.clone(),
        subs: Vec::new(),
        setup: Setup { tasks: record.tasks.len(), started: record.tasks.len(), ..Setup::default() },
        report,
        globals: keep.globals.then(|| globals(scheduler, &record.maps)),
        counters: record.counters.iter().cloned().collect(),
        class: record.class.clone(),
        dumps,
        bpf_instructions: None,
        printed: Vec::new(),
        trace,
        wall_ns,
        run_ns,
        nr_events: imported.nr_events,
        kernel: Some(record.release.clone()),
        topology: None,
        notes,
        half: record.half.as_ref().map(HalfResult::recorded),
        stats: (keep.stats_every > 0).then(|| stats(scheduler, record)),
        interference: interference.nr(),
        violations,
    })
}

/// What the scheduler said of itself.
fn stats(scheduler: &Scheduler, record: &Record) -> Vec<StatsJson> {
    if let Some(half) = &record.half {
        return half.stats.iter().map(|s| StatsJson::of(&s.stats(record.start_ns))).collect();
    }
    let mut out: Vec<StatsJson> = Vec::new();
    for (at, maps) in &record.samples {
        let one = StatsJson::of_variables(*at, &globals(scheduler, maps), out.last());
        out.push(one);
    }
    out
}

/// The rules that a real kernel's trace is held to: all but those about dispatch queues, of which it does not tell.
fn rules() -> Rules {
    Rules { watchdog_ns: Some(WATCHDOG_NS), preemptible: true, ..Rules::default() }
}

/// The machine of a record, for the report: as many CPUs in the same places.
pub(super) fn topology(recording: &Recording) -> Option<Topology> {
    let places = &recording.record.places;
    let count = |of: fn(&scxr_host::Place) -> u32| {
        let mut all: Vec<u32> = places.iter().map(of).collect();
        all.sort_unstable();
        all.dedup();
        all.len().max(1)
    };
    let (cores, llcs, nodes) = (count(|p| p.core), count(|p| p.llc), count(|p| p.node));
    let even = [(llcs, nodes), (cores, llcs), (places.len(), cores)].iter().all(|(a, b)| a % b == 0);
    let spec = match even {
        true => format!("{nodes}x{}x{}x{}", llcs / nodes, cores / llcs, places.len() / cores),
        false => places.len().to_string(),
    };
    let spec = if spec == format!("1x1x{}x1", places.len()) { places.len().to_string() } else { spec };
    Topology::parse(&spec).ok()
}

/// The dump of an ejection, and those that SysRq-D asked for.
fn split_dumps(all: &str) -> (String, Vec<String>) {
    let (mut of_exit, mut asked_for): (String, Vec<String>) = Default::default();
    let mut is_asked = false;
    for line in all.lines() {
        if line.starts_with("Debug dump triggered by") {
            is_asked = true;
            asked_for.push(String::new());
        } else if line.contains("triggered exit kind") {
            is_asked = false;
        }
        let to = match asked_for.last_mut() {
            Some(dump) if is_asked => dump,
            _ => &mut of_exit,
        };
        *to += line;
        to.push('\n');
    }
    (of_exit, asked_for)
}

/// Variables of the object, from the bytes of its data sections, and its per-CPU arrays.
pub(super) fn globals(scheduler: &Scheduler, maps: &[MapDump]) -> IndexMap<String, serde_json::Value> {
    let Kind::Bpf(object) = &scheduler.kind else { return IndexMap::new() };
    let is_of = |map: &str, section: &str| map == section || map.ends_with(section);
    let mut out = IndexMap::new();
    for g in object.globals().into_iter().filter(|g| is_variable(&g.name)) {
        let section = maps.iter().find(|m| m.name.contains('.') && is_of(&m.name, &g.section));
        let bytes = section.and_then(|m| m.keys.first()?.first());
        let bytes = bytes.and_then(|b| b.get(g.offset as usize..(g.offset + g.size) as usize));
        if let Some(value) = bytes.and_then(|b| decode(object.btf(), g.type_id, b)) {
            out.insert(g.name, value_json(value));
        }
    }
    for map in maps.iter().filter(|m| !m.name.contains('.') && matches!(m.value_size, 4 | 8)) {
        let word = |bytes: &Vec<u8>| bytes.iter().take(8).rev().fold(0i128, |n, b| n << 8 | i128::from(*b));
        let by_cpu: Vec<Vec<i128>> = map.keys.iter().map(|cpus| cpus.iter().map(word).collect()).collect();
        let sum = by_cpu.iter().map(|cpus| cpus.iter().sum()).collect();
        out.insert(map.name.clone(), value_json(scxr_ops::Value::PerCpu { sum, by_cpu }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::split_dumps;

    #[test]
    fn a_dump_that_was_asked_for_is_none_of_an_ejection() {
        let asked = "Debug dump triggered by SysRq-D\n\nCPU states\n";
        let exit = "simple[7] triggered exit kind 1026:\n  runnable task stall\n";
        for (all, of_exit, nr) in [
            (String::new(), "", 0),
            (exit.to_owned(), exit, 0),
            (format!("{asked}{asked}{exit}"), exit, 2),
            (asked.to_owned(), "", 1),
        ] {
            let (dump, dumps) = split_dumps(&all);
            assert_eq!((dump.as_str(), dumps.len()), (of_exit, nr), "{all}");
            assert!(dumps.iter().all(|d| d == asked), "{dumps:?}");
        }
    }
}
