//! `scxr compare`: several schedulers, several seeds, one table and a sentence.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use scxr_analyze::Report;
use scxr_analyze::compare::{Better, Row};

use crate::args::CompareArgs;
use crate::failure::{Failure, Outcome, Result};
use crate::report::{self, human, json};
use crate::resolve::{self, Place, Request};
use crate::scheduler::{self, Scheduler};
use crate::session::{self, Keep, RunResult};
use crate::{effects, fidelity, interrupt, progress, replay, run};

/// Runs all and reports.
pub(crate) fn compare(args: &CompareArgs) -> Result<Outcome> {
    let machine = &args.machine;
    if let Some(places) = fidelity::places(&machine.on)? {
        return fidelity::compare(args, places);
    }
    if args.tolerance.is_some() || args.matrix {
        let option = if args.matrix { "--matrix" } else { "--tolerance" };
        return Err(Failure::input(format_args!(
            "{option}: it belongs to a comparison of two places; add --on sim,vm"
        )));
    }
    let request = resolve::request(machine)?;
    let options = scheduler::Options {
        args: &[],
        nr_cpus: None,
        native: machine.native,
        direct: machine.direct,
        include: &machine.include,
        loader: machine.loader.as_deref(),
    };
    let prepare = |s: &String| scheduler::prepare(s, &options);
    let schedulers: Vec<Scheduler> = args.scheds.iter().map(prepare).collect::<Result<_>>()?;
    effects::check(&schedulers, machine, false)?;
    if !machine.quiet {
        run::warn(&request, &schedulers);
    }
    interrupt::stop()?;
    let results = run_all(args, &request, &schedulers)?;
    if interrupt::came() {
        return Err(Failure::Interrupted("stopped: not all runs are done, so nothing is compared"));
    }
    let reports: Vec<Vec<Report>> = results
        .iter()
        .map(|of| of.iter().filter(|r| r.exit.kind != "load").map(|r| r.report.clone()).collect())
        .collect();
    let slices: Vec<&[Report]> = reports.iter().map(Vec::as_slice).collect();
    let rows = scxr_analyze::compare(&slices);
    let names = labels(&schedulers);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let reading = reading(&names, &results, &rows, &request);
    match machine.json {
        true => print_json(&request, &schedulers, &results, &rows, reading)?,
        false => report::print(&(human::compare(&request, &names, args.seeds as usize, &rows) + &reading + "\n"))?,
    }
    let fault = results.iter().flatten().any(|r| r.is_fault());
    Ok(if fault { Outcome::SchedulerAtFault } else { Outcome::Fine })
}

/// What each is called in the table: its name, with a number where several have the same.
fn labels(schedulers: &[Scheduler]) -> Vec<String> {
    let label = |(i, s): (usize, &Scheduler)| {
        let before = schedulers[..i].iter().filter(|o| o.name == s.name).count();
        if before == 0 { s.name.clone() } else { format!("{}#{}", s.name, before + 1) }
    };
    schedulers.iter().enumerate().map(label).collect()
}

/// All runs, by scheduler and seed. They have nothing in common, so they run on all CPUs of this host.
fn run_all(args: &CompareArgs, request: &Request, schedulers: &[Scheduler]) -> Result<Vec<Vec<RunResult>>> {
    let nr_seeds = args.seeds as usize;
    let nr_runs = schedulers.len() * nr_seeds;
    let bar = progress::bar(request.duration * nr_runs as u64, args.machine.quiet);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<RunResult>)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= nr_runs || interrupt::came() {
                return;
            }
            let (s, seed) = (i / nr_seeds, request.config.seed.wrapping_add((i % nr_seeds) as u64));
            let scheduler = &schedulers[s];
            let replay = replay::command(request, &args.scheds[s], &[], &args.machine, seed);
            let mut before = 0;
            let progress = |t| {
                bar.inc(t - before);
                before = t;
            };
            let result = session::run(request, scheduler, seed, Keep::default(), replay, progress);
            done.lock().unwrap_or_else(|e| e.into_inner()).push((i, result));
        }
    };
    // A real kernel is measured alone.
    let nr_threads = match request.place {
        Place::Sim => std::thread::available_parallelism().map_or(1, usize::from).min(nr_runs),
        Place::Vm | Place::Host => 1,
    };
    let spawned: io::Result<()> = std::thread::scope(|scope| {
        (0..nr_threads).try_for_each(|_| std::thread::Builder::new().spawn_scoped(scope, work).map(drop))
    });
    spawned.map_err(|e| Failure::environment(format_args!("a thread cannot be started: {e}")))?;
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|(i, _)| *i);
    let mut results: Vec<Vec<RunResult>> = schedulers.iter().map(|_| Vec::new()).collect();
    for (i, result) in done {
        results[i / nr_seeds].push(result?);
    }
    Ok(results)
}

fn print_json(
    q: &Request,
    schedulers: &[Scheduler],
    results: &[Vec<RunResult>],
    rows: &[Row],
    reading: String,
) -> Result<()> {
    let exits = results.iter().flatten();
    let value = json::CompareJson {
        schema: json::COMPARE_SCHEMA,
        schedulers: schedulers.iter().map(json::SchedulerJson::new).collect(),
        on: q.place.name(),
        kernel: q.kernel_of(&results[0][0]),
        machine: json::MachineJson::new(&q.topology),
        workload: &q.workload,
        seeds: results[0].iter().map(|r| r.seed).collect(),
        duration_ns: q.duration,
        exits: exits.map(|r| json::ExitJson { scheduler: &r.scheduler, seed: r.seed, exit: &r.exit }).collect(),
        rows,
        reading,
    };
    report::print(&report::json_text(&value))
}

/// Figures that the sentence may speak of, the most telling first, with what is said of them.
const TELLING: &[(&str, &str)] = &[
    ("operations", "throughput"),
    ("wakeup p99", "p99 wakeup latency"),
    ("completed at", "time to completion"),
    ("operation p99", "p99 latency of operations"),
    ("unfairness, largest", "largest unfairness among the hogs"),
    ("idle with work", "idle time with work waiting"),
    ("migrations", "number of migrations"),
];
/// Differences below this are not spoken of, however certain.
const DIFFERENCE_MIN: f64 = 0.02;
/// Most differences that the sentence speaks of.
const DIFFERENCES_MAX: usize = 4;

/// One sentence on each scheduler: what the figures show against the first.
fn reading(names: &[&str], results: &[Vec<RunResult>], rows: &[Row], q: &Request) -> String {
    let mut sentences = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if let Some(fault) = results[i].iter().find(|r| r.is_fault()) {
            let n = results[i].iter().filter(|r| r.is_fault()).count();
            let all = results[i].len();
            let kind = &fault.exit.kind;
            let msg = if fault.exit.msg.is_empty() { &fault.exit.reason } else { &fault.exit.msg };
            let msg = msg.lines().next().unwrap_or_default();
            if kind == "load" {
                sentences.push(format!("{name} was refused, so nothing ran: {msg}."));
                continue;
            }
            sentences.push(format!(
                "{name} was ejected in {n} of {all} runs ({kind}: {msg}), so its figures are in part those of the fair class."
            ));
        } else if i > 0 {
            sentences.push(difference(name, names[0], i, results[i].len(), rows, q));
        }
    }
    sentences.join("\n")
}

fn difference(name: &str, first: &str, i: usize, nr_seeds: usize, rows: &[Row], q: &Request) -> String {
    let (mut differ, mut alike) = (Vec::new(), Vec::new());
    for (metric, words) in TELLING {
        let Some(row) = rows.iter().find(|r| r.metric == *metric) else {
            continue;
        };
        let Some(cell) = row.cells.get(i) else { continue };
        let Some(ratio) = cell.ratio else { continue };
        let certain = ratio.n > 1 && (ratio.mean - 1.0).abs() > ratio.ci95;
        if certain && (ratio.mean - 1.0).abs() >= DIFFERENCE_MIN {
            differ.push(change(words, ratio.mean, row.better));
        } else {
            alike.push(*words);
        }
    }
    differ.truncate(DIFFERENCES_MAX);
    alike.truncate(DIFFERENCES_MAX);
    let head = format!("Under {} on {} CPUs, {name} against {first} has ", q.workload, q.topology.nr_cpus());
    match (differ.is_empty(), alike.is_empty()) {
        (true, true) => {
            format!("Under {} nothing that {name} and {first} can be told apart by was measured.", q.workload)
        }
        (true, false) if nr_seeds < 2 => format!(
            "Under {} on {} CPUs one run of each proves no difference between {name} and {first}; several seeds (--seeds 3) may.",
            q.workload,
            q.topology.nr_cpus()
        ),
        (true, false) => format!("{head}no difference that these runs can prove in {}.", and(&alike)),
        (false, true) => format!("{head}{}.", and(&differ)),
        (false, false) => {
            format!("{head}{}, and no proven difference in {}.", and(&differ), and(&alike))
        }
    }
}

/// `1.53x the throughput (better)`
fn change(words: &str, ratio: f64, better: Better) -> String {
    let judgement = match (better, ratio > 1.0) {
        (Better::Neither, _) => "",
        (Better::Higher, true) | (Better::Lower, false) => " (better)",
        (Better::Higher, false) | (Better::Lower, true) => " (worse)",
    };
    match ratio {
        r if r < 0.01 => format!("less than a hundredth of the {words}{judgement}"),
        r => format!("{r:.2}x the {words}{judgement}"),
    }
}

/// `a, b and c`
fn and<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match &words[..] {
        [] => String::new(),
        [one] => one.to_string(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::MachineArgs;
    use scxr_analyze::compare::{Cell, Estimate};

    fn row(metric: &'static str, better: Better, ratio: f64, ci95: f64) -> Row {
        let estimate = |mean, ci95| Estimate { n: 3, mean, ci95 };
        let value = Some(estimate(1.0, 0.0));
        Row {
            metric,
            unit: "",
            better,
            cells: vec![Cell { value, ratio: None }, Cell { value, ratio: Some(estimate(ratio, ci95)) }],
        }
    }

    fn check(rows: &[Row], expect: &str) {
        let q = resolve::request(&MachineArgs::default()).unwrap();
        assert_eq!(difference("b", "a", 1, 3, rows, &q), expect);
    }

    #[test]
    fn the_sentence_follows_the_figures() {
        let same = row("operations", Better::Higher, 1.01, 0.001);
        let noisy = row("migrations", Better::Lower, 2.0, 1.5);
        let worse = row("wakeup p99", Better::Lower, 2.5, 0.1);
        let much_better = row("idle with work", Better::Lower, 0.001, 0.0005);
        check(&[], "Under mixed nothing that b and a can be told apart by was measured.");
        check(
            &[same.clone(), noisy.clone()],
            "Under mixed on 8 CPUs, b against a has no difference that these runs can prove in throughput and number of migrations.",
        );
        check(
            &[worse.clone(), much_better, same, noisy],
            "Under mixed on 8 CPUs, b against a has 2.50x the p99 wakeup latency (worse) and less than a hundredth of the \
             idle time with work waiting (better), and no proven difference in throughput and number of migrations.",
        );
        check(&[worse], "Under mixed on 8 CPUs, b against a has 2.50x the p99 wakeup latency (worse).");
    }
}
