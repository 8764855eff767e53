//! `scxr verify`: the word of real kernels' verifiers on an object.

use comfy_table::{CellAlignment, Table, presets};
use scxr_bpf::btf::KernelBtf;
use scxr_host::{Job, LoadError, ProgramReport};
use scxr_kernel::topology::Topology;
use serde::{Deserialize, Serialize};

use super::guest::Task;
use super::job;
use super::vm::{Lab, Work};
use crate::args::{MachineArgs, VerifyArgs};
use crate::effects;
use crate::failure::{Failure, Outcome, Result};
use crate::loader::Surroundings;
use crate::report;
use crate::resolve;
use crate::scheduler;

/// Schema of `verify --json`.
const SCHEMA: &str = "scxr-verify/2";
/// The kernels that are asked where none are named.
const KERNELS: &str = "6.16,6.18,7.0,7.2";
/// Guest time for an object, ns.
const EACH_NS: u64 = 5_000_000_000;

/// What the verifier of one kernel says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    programs: Vec<ProgramReport>,
    load_us: u64,
    refused: Option<LoadError>,
}

/// Asks the verifier of the kernel that we run on, object by object.
pub(super) fn here(jobs: &[Job]) -> Vec<Said> {
    let one = |job: &Job| {
        let object = job.object.clone().unwrap_or_default();
        let (programs, took, refused) = scxr_host::verify(job, &object);
        Said { programs, load_us: took.as_micros() as u64, refused }
    };
    jobs.iter().map(one).collect()
}

/// Ticks a second of the kernels that are asked.
const HZ: u32 = 250;

/// One kernel's word on one object.
#[derive(Debug, Serialize)]
struct Verdict {
    /// As it was given.
    object: String,
    kernel: String,
    release: String,
    accepted: bool,
    /// The first refusal: program, source line, the verifier's word, what it knew, what to do, the end of its log.
    refused: Option<RefusedJson>,
    left_out: Vec<String>,
    load_us: u64,
    insns: u64,
    states: u64,
    /// Against the kernel that was asked before.
    change: Option<Change>,
    programs: Vec<ProgramVerdict>,
}

/// One program's statistics.
#[derive(Debug, Serialize)]
struct ProgramVerdict {
    #[serde(flatten)]
    report: ProgramReport,
    /// Against the last kernel that had gone through it.
    change: Option<Change>,
}

/// How much more it is than on another kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Change {
    insns: i64,
    states: i64,
}

impl Change {
    fn of((insns, states): (u64, u64), before: (u64, u64)) -> Change {
        Change { insns: insns as i64 - before.0 as i64, states: states as i64 - before.1 as i64 }
    }

    /// ` +12`, or nothing.
    fn shown(change: Option<Change>, of: fn(&Change) -> i64) -> String {
        change.map(|c| of(&c)).filter(|n| *n != 0).map_or(String::new(), |n| format!(" {n:+}"))
    }
}

#[derive(Debug, Default, Serialize)]
struct RefusedJson {
    program: Option<String>,
    line: Option<String>,
    reason: String,
    known: Vec<String>,
    hint: Option<String>,
    log: String,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    /// Object by object, each by the kernels in the order in which they were asked for.
    verdicts: Vec<&'a Verdict>,
}

/// Asks each kernel, in one guest for all objects, and reports.
pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome> {
    let names: Vec<&str> = args.objects.iter().map(String::as_str).collect();
    effects::headers(&names, &args.include)?;
    let prepared = names.iter().map(|o| scheduler::object(o, &args.include)).collect::<Result<Vec<_>>>()?;
    if !args.quiet {
        prepared.iter().filter(|p| !p.warnings.is_empty()).for_each(|p| report::note(&p.warnings));
    }
    // All kernels are looked for before the first is booted.
    let asked: Vec<&str> = args.kernel.as_deref().unwrap_or(KERNELS).split(',').map(str::trim).collect();
    let labs = asked.iter().map(|kernel| Lab::new(kernel, args.quiet)).collect::<Result<Vec<_>>>()?;
    let mut verdicts: Vec<Vec<Verdict>> = names.iter().map(|_| Vec::new()).collect();
    for (kernel, lab) in asked.iter().zip(&labs) {
        for (index, (said, left_out)) in ask(lab, &prepared, args.quiet)?.into_iter().enumerate() {
            let verdict = verdict([names[index], kernel], lab, said, left_out, &verdicts[index]);
            verdicts[index].push(verdict);
        }
    }
    let refused = verdicts.iter().flatten().any(|v| !v.accepted);
    match args.json {
        true => {
            let verdicts = verdicts.iter().flatten().collect();
            report::print(&report::json_text(&Report { schema: SCHEMA, verdicts }))?
        }
        false => report::print(&all_text(&verdicts))?,
    }
    Ok(if refused { Outcome::SchedulerAtFault } else { Outcome::Fine })
}

/// One kernel's word on each object, with what of it the kernel has no use for.
fn ask(lab: &Lab, prepared: &[scheduler::Prepared], quiet: bool) -> Result<Vec<(Said, Vec<String>)>> {
    let btf = lab.btf()?;
    let btf = btf.as_deref().map(KernelBtf::parse).transpose().map_err(Failure::environment)?;
    let topology = Topology::parse("2").map_err(Failure::input)?;
    let (mut jobs, mut bytes, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for (index, object) in prepared.iter().enumerate() {
        let path = format!("/scxr/objects/{index}.bpf.o");
        let base = Job { name: object.name.clone(), object: Some(path.clone().into()), ..Job::default() };
        let enumerator = |name: &str| btf.as_ref().and_then(|btf| btf.enumerator(name));
        let around = Surroundings { topology: &topology, hz: HZ, enumerator: &enumerator };
        let plan = object.loader.as_ref().map(|file| file.plan(&object.object, &around)).transpose()?;
        let planned = job::of_object(base, &object.object, &plan.unwrap_or_default().changes, btf.as_ref())?;
        jobs.push(planned.job);
        bytes.push((object.bytes.as_slice(), path));
        left_out.push(planned.notes);
    }
    let mut request = resolve::request(&MachineArgs { quiet, ..MachineArgs::default() })?;
    request.topology = topology;
    let work = Work {
        task: Task::Verify { jobs },
        files: Vec::new(),
        bytes,
        programs: Vec::new(),
        duration_ns: EACH_NS * prepared.len() as u64,
    };
    let outcome = lab.run(&work, &request, &mut |_| {})?;
    let said: Vec<Said> = serde_json::from_slice(&outcome.stdout).map_err(Failure::environment)?;
    Ok(said.into_iter().zip(left_out).collect())
}

/// `before`: what kernels that were asked before said of this object.
fn verdict([object, kernel]: [&str; 2], lab: &Lab, said: Said, left_out: Vec<String>, before: &[Verdict]) -> Verdict {
    let refused = said.refused.map(|error| match error {
        LoadError::Verifier { program, reason, line, known, hint, log } => RefusedJson {
            program: Some(program),
            line: line.map(String::from),
            reason,
            known,
            hint: hint.map(String::from),
            log: log.into(),
        },
        other => RefusedJson { reason: other.to_string(), ..RefusedJson::default() },
    });
    let insns = said.programs.iter().map(|p| p.insns).sum();
    let states = said.programs.iter().map(|p| p.states).sum();
    // What a refusal left out says nothing of the rest.
    let last = before.last().filter(|v| v.accepted && refused.is_none());
    Verdict {
        object: object.to_owned(),
        kernel: kernel.to_owned(),
        release: lab.kernel.release.to_string(),
        accepted: refused.is_none(),
        refused,
        left_out,
        load_us: said.load_us,
        insns,
        states,
        change: last.map(|v| Change::of((insns, states), (v.insns, v.states))),
        programs: said.programs.into_iter().map(|report| program(report, before)).collect(),
    }
}

fn program(report: ProgramReport, before: &[Verdict]) -> ProgramVerdict {
    let same = |v: &Verdict| {
        let found = v.programs.iter().find(|p| p.report.name == report.name)?;
        Some((found.report.insns, found.report.states))
    };
    let change = before.iter().rev().find_map(same).map(|b| Change::of((report.insns, report.states), b));
    ProgramVerdict { report, change }
}

/// Object by object, each under its name where there are several; then how many there were.
fn all_text(verdicts: &[Vec<Verdict>]) -> String {
    let [several @ .., _] = verdicts else { return String::new() };
    if several.is_empty() {
        return text(&verdicts[0]);
    }
    let one = |of: &Vec<Verdict>| {
        let name = of.first().map_or("", |v| v.object.as_str());
        format!("{name}\n\n{}", text(of))
    };
    let nr = |accepted: bool| verdicts.iter().flatten().filter(|v| v.accepted == accepted).count();
    let sum = format!("{} objects: {} accepted, {} refused\n", verdicts.len(), nr(true), nr(false));
    verdicts.iter().map(one).collect::<String>() + &sum
}

/// A table of the kernels, one of the programs, then refusals.
fn text(verdicts: &[Verdict]) -> String {
    let mut kernels = table(&["kernel", "verdict", "programs", "instructions", "states", "load"]);
    for v in verdicts {
        let verdict = if v.accepted { "accepted" } else { "refused" };
        let load = format!("{}.{:03} ms", v.load_us / 1000, v.load_us % 1000);
        let insns = format!("{}{}", v.insns, Change::shown(v.change, |c| c.insns));
        let states = format!("{}{}", v.states, Change::shown(v.change, |c| c.states));
        let numbers = [v.programs.len().to_string(), insns, states, load];
        kernels.add_row([v.release.clone(), verdict.into()].into_iter().chain(numbers).collect::<Vec<_>>());
    }
    let mut out = finish(kernels, 2);
    let mut names: Vec<&str> =
        verdicts.iter().flat_map(|v| v.programs.iter().map(|p| p.report.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let mut programs = table(&["program", "kernel", "instructions", "states", "stack", "time"]);
    for name in names {
        let mut first = Some(name.to_owned());
        for v in verdicts {
            let Some(p) = v.programs.iter().find(|p| p.report.name == name) else { continue };
            let insns = format!("{}{}", p.report.insns, Change::shown(p.change, |c| c.insns));
            let states = format!("{}{}", p.report.states, Change::shown(p.change, |c| c.states));
            let (stack, time) = (stack(&p.report.stack), format!("{} us", p.report.usec));
            programs.add_row([first.take().unwrap_or_default(), v.kernel.clone(), insns, states, stack, time]);
        }
    }
    out += &finish(programs, 2);
    for v in verdicts {
        v.left_out.iter().for_each(|note| out += &format!("{}: {note}\n", v.release));
        if let Some(r) = &v.refused {
            let program = r.program.as_ref().map_or(String::new(), |p| format!(" program {p}"));
            let line = r.line.as_ref().map_or(String::new(), |l| format!("\n  at {l}"));
            out += &format!("{} refused{program}: {}{line}\n", v.release, r.reason);
            r.known.iter().for_each(|k| out += &format!("  {k}\n"));
            r.hint.iter().for_each(|h| out += &format!("  {h}\n"));
            out += "  the end of its log:\n";
            r.log.lines().for_each(|l| out += &format!("    {l}\n"));
        }
    }
    out
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table
}

fn finish(mut table: Table, nr_left: usize) -> String {
    table.column_iter_mut().skip(nr_left).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
    let lines: Vec<String> = table.to_string().lines().map(|l| l.trim_end().to_owned()).collect();
    lines.join("\n") + "\n\n"
}

/// The stack as kernels tell it: up to 7.0 a number for each function (`32+0`), then the program's own and the most that it and what it
/// calls take together (`8 max 16`), which is what counts.
fn stack(said: &str) -> String {
    let most = said.split_once(" max ").map_or(said, |(_, most)| most);
    format!("{} B", most.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_that_counts_is_shown() {
        for (said, shown) in [("8", "8 B"), ("32+0", "32+0 B"), ("8 max 16", "16 B")] {
            assert_eq!(stack(said), shown);
        }
    }

    fn verdict(kernel: &str, programs: &[(&str, u64)], before: &[Verdict]) -> Verdict {
        let report = |(name, insns): &(&str, u64)| ProgramReport {
            name: (*name).to_owned(),
            insns: *insns,
            states: 1,
            states_peak: 1,
            stack: "8".into(),
            usec: 3,
        };
        let programs: Vec<ProgramVerdict> = programs.iter().map(|p| program(report(p), before)).collect();
        let insns = programs.iter().map(|p| p.report.insns).sum();
        Verdict {
            object: "a.bpf.o".into(),
            kernel: kernel.into(),
            release: kernel.into(),
            accepted: true,
            refused: None,
            left_out: Vec::new(),
            load_us: 1500,
            insns,
            states: 1,
            change: before.last().map(|b| Change::of((insns, 1), (b.insns, b.states))),
            programs,
        }
    }

    #[test]
    fn changes_are_against_the_kernel_before() {
        let mut all = Vec::new();
        for (kernel, programs) in
            [("6.16", &[("a", 10), ("b", 5)][..]), ("7.0", &[("a", 12)][..]), ("7.2", &[("a", 12), ("b", 4)][..])]
        {
            let verdict = verdict(kernel, programs, &all);
            all.push(verdict);
        }
        let insns = |v: usize, p: usize| all[v].programs[p].change.map(|c| c.insns);
        assert_eq!([insns(0, 0), insns(1, 0), insns(2, 0), insns(2, 1)], [None, Some(2), Some(0), Some(-1)]);
        assert_eq!(all[1].change, Some(Change { insns: -3, states: 0 }));
        let text = text(&all);
        for line in [
            " 7.0     accepted         1         12 -3",
            " a        6.16              10",
            "          7.0            12 +2",
        ] {
            assert!(text.contains(line), "'{line}' is not in\n{text}");
        }
    }

    #[test]
    fn several_objects_have_their_names_and_a_sum() {
        let one = || vec![verdict("6.16", &[("a", 10)], &[])];
        assert!(!all_text(&[one()]).contains("a.bpf.o"));
        let text = all_text(&[one(), one()]);
        assert_eq!(text.matches("a.bpf.o\n\n kernel").count(), 2, "{text}");
        assert!(text.ends_with("2 objects: 2 accepted, 0 refused\n"), "{text}");
    }
}
