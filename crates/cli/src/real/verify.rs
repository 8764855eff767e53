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
use crate::report;
use crate::resolve;
use crate::scheduler;

/// Schema of `verify --json`.
const SCHEMA: &str = "scxr-verify/1";
/// The kernels that are asked where none are named.
const KERNELS: &str = "6.16,6.18,7.0,7.2";

/// What the verifier of one kernel says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    programs: Vec<ProgramReport>,
    load_us: u64,
    refused: Option<LoadError>,
}

/// Asks the verifier of the kernel that we run on.
pub(super) fn here(job: &Job) -> Said {
    let object = job.object.clone().unwrap_or_default();
    let (programs, took, refused) = scxr_host::verify(job, &object);
    Said { programs, load_us: took.as_micros() as u64, refused }
}

/// One kernel's word.
#[derive(Debug, Serialize)]
struct Verdict {
    kernel: String,
    release: String,
    accepted: bool,
    /// The first refusal: program, source line, the verifier's last word, the end of its log.
    refused: Option<RefusedJson>,
    left_out: Vec<String>,
    load_us: u64,
    insns: u64,
    states: u64,
    programs: Vec<ProgramReport>,
}

#[derive(Debug, Serialize)]
struct RefusedJson {
    program: Option<String>,
    line: Option<String>,
    reason: String,
    log: String,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    object: &'a str,
    verdicts: &'a [Verdict],
}

/// Asks each kernel and reports.
pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome> {
    effects::headers(&[&args.object], &args.include)?;
    let prepared = scheduler::object(&args.object, &args.include)?;
    if !args.quiet && !prepared.warnings.is_empty() {
        report::note(&prepared.warnings);
    }
    let mut verdicts = Vec::new();
    for kernel in args.kernel.as_deref().unwrap_or(KERNELS).split(',').map(str::trim) {
        verdicts.push(ask(kernel, &prepared, args)?);
    }
    let refused = verdicts.iter().any(|v| !v.accepted);
    match args.json {
        true => {
            report::print(&report::json_text(&Report { schema: SCHEMA, object: &args.object, verdicts: &verdicts }))?
        }
        false => report::print(&text(&verdicts))?,
    }
    Ok(if refused { Outcome::SchedulerAtFault } else { Outcome::Fine })
}

fn ask(kernel: &str, prepared: &scheduler::Prepared, args: &VerifyArgs) -> Result<Verdict> {
    let lab = Lab::new(kernel, args.quiet)?;
    let btf = lab.btf()?;
    let btf = btf.as_deref().map(KernelBtf::parse).transpose().map_err(Failure::environment)?;
    let base = Job { name: prepared.name.clone(), object: Some("/scxr/object.bpf.o".into()), ..Job::default() };
    let planned = job::of_object(base, &prepared.object, &[], &[], btf.as_ref())?;
    let machine = MachineArgs { quiet: args.quiet, ..MachineArgs::default() };
    let mut request = resolve::request(&machine)?;
    request.topology = Topology::parse("2").map_err(Failure::input)?;
    let work = Work { task: Task::Verify { job: planned.job }, files: Vec::new(), duration_ns: request.duration };
    let outcome = lab.run(&work, Some(&prepared.bytes), &request, &mut |_| {})?;
    let said: Said = serde_json::from_slice(&outcome.stdout).map_err(Failure::environment)?;
    let refused = said.refused.map(|error| match error {
        LoadError::Verifier { program, reason, line, log } => RefusedJson { program: Some(program), line, reason, log },
        other => RefusedJson { program: None, line: None, reason: other.to_string(), log: String::new() },
    });
    Ok(Verdict {
        kernel: kernel.to_owned(),
        release: lab.kernel.release.to_string(),
        accepted: refused.is_none(),
        refused,
        left_out: planned.notes,
        load_us: said.load_us,
        insns: said.programs.iter().map(|p| p.insns).sum(),
        states: said.programs.iter().map(|p| p.states).sum(),
        programs: said.programs,
    })
}

/// A table of the kernels, one of the programs, then refusals.
fn text(verdicts: &[Verdict]) -> String {
    let mut kernels = table(&["kernel", "verdict", "programs", "instructions", "states", "load"]);
    for v in verdicts {
        let verdict = if v.accepted { "accepted" } else { "refused" };
        let load = format!("{}.{:03} ms", v.load_us / 1000, v.load_us % 1000);
        let numbers = [v.programs.len().to_string(), v.insns.to_string(), v.states.to_string(), load];
        kernels.add_row([v.release.clone(), verdict.into()].into_iter().chain(numbers).collect::<Vec<_>>());
    }
    let mut out = finish(kernels, 2);
    let mut names: Vec<&str> = verdicts.iter().flat_map(|v| v.programs.iter().map(|p| p.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let mut header = vec!["instructions (states) of"];
    header.extend(verdicts.iter().map(|v| v.kernel.as_str()));
    let mut programs = table(&header);
    for name in names {
        let mut row = vec![name.to_owned()];
        let mut before = None;
        for v in verdicts {
            let found = v.programs.iter().find(|p| p.name == name);
            row.push(found.map_or(String::new(), |p| {
                let change = before.filter(|b| *b != p.insns).map_or(String::new(), |b| {
                    format!(" {}{}", if p.insns > b { "+" } else { "-" }, p.insns.abs_diff(b))
                });
                format!("{}{change} ({})", p.insns, p.states)
            }));
            before = found.map(|p| p.insns).or(before);
        }
        programs.add_row(row);
    }
    out += &finish(programs, 1);
    for v in verdicts {
        v.left_out.iter().for_each(|note| out += &format!("{}: {note}\n", v.release));
        if let Some(r) = &v.refused {
            let program = r.program.as_ref().map_or(String::new(), |p| format!(" program {p}"));
            let line = r.line.as_ref().map_or(String::new(), |l| format!("\n  at {l}"));
            out += &format!("{} refused{program}: {}{line}\n", v.release, r.reason);
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
