//! The JSON of `run` and `compare`. `schema` names the version: keys stay within one, new ones may come.

use indexmap::IndexMap;
use scxr_analyze::compare::Row;
use scxr_analyze::report::{CpuReport, Distances, Fairness, GroupReport, Latencies, TaskReport, Totals, WorkReport};
use scxr_host::class::ClassState;
use scxr_host::{ExecRecord, ProgramRecord};
use scxr_kernel::topology::Topology;
use serde::Serialize;

use crate::exec::CommandLine;
use crate::resolve::Request;
use crate::scheduler::{Kind, Scheduler};
use crate::session::{Exit, HalfResult, RunResult, Setup, StatsJson, SubResult};

/// Schema of `run --json`.
pub(crate) const RUN_SCHEMA: &str = "scxr-run/1";
/// Schema of `compare --json`.
pub(crate) const COMPARE_SCHEMA: &str = "scxr-compare/1";

/// A scheduler.
#[derive(Debug, Serialize)]
pub(crate) struct SchedulerJson<'a> {
    name: &'a str,
    /// The file that it came from; null for what comes with scxr.
    object: Option<&'a str>,
    args: &'a [String],
}

impl<'a> SchedulerJson<'a> {
    pub(crate) fn new(s: &'a Scheduler) -> SchedulerJson<'a> {
        SchedulerJson { name: &s.name, object: s.object.as_deref(), args: &s.args }
    }
}

/// A machine.
#[derive(Debug, Serialize)]
pub(crate) struct MachineJson<'a> {
    spec: &'a str,
    nr_cpus: usize,
    nr_cores: usize,
    nr_llcs: usize,
    nr_nodes: usize,
}

impl<'a> MachineJson<'a> {
    pub(crate) fn new(t: &'a Topology) -> MachineJson<'a> {
        MachineJson {
            spec: &t.spec,
            nr_cpus: t.nr_cpus(),
            nr_cores: t.cores.len(),
            nr_llcs: t.llcs.len(),
            nr_nodes: t.nodes.len(),
        }
    }
}

/// A program that was the workload.
#[derive(Debug, Serialize)]
pub(crate) struct ExecJson<'a> {
    argv: Vec<std::borrow::Cow<'a, str>>,
    #[serde(flatten)]
    did: &'a ExecRecord,
}

impl<'a> ExecJson<'a> {
    fn new(line: &'a CommandLine, did: &'a ExecRecord) -> ExecJson<'a> {
        ExecJson { argv: line.words.iter().map(|w| w.to_string_lossy()).collect(), did }
    }
}

/// A program that was the scheduler.
#[derive(Debug, Serialize)]
pub(crate) struct ProgramJson<'a> {
    argv: Vec<std::borrow::Cow<'a, str>>,
    #[serde(flatten)]
    did: &'a ProgramRecord,
}

impl<'a> ProgramJson<'a> {
    fn new(s: &'a Scheduler, r: &'a RunResult) -> Option<ProgramJson<'a>> {
        let (Kind::Program(line), Some(did)) = (&s.kind, &r.program) else { return None };
        Some(ProgramJson { argv: line.words.iter().map(|w| w.to_string_lossy()).collect(), did })
    }
}

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct RunJson<'a> {
    schema: &'static str,
    scheduler: SchedulerJson<'a>,
    on: &'a str,
    kernel: String,
    machine: MachineJson<'a>,
    workload: &'a str,
    seed: u64,
    duration_ns: u64,
    exit: &'a Exit,
    /// Only where there are some.
    #[serde(skip_serializing_if = "<[SubResult]>::is_empty")]
    sub_schedulers: &'a [SubResult],
    /// Only where a program was the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    exec: Option<ExecJson<'a>>,
    /// Only where the scheduler is a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<ProgramJson<'a>>,
    setup: Setup,
    totals: &'a Totals,
    latency_ns: &'a Latencies,
    work: &'a WorkReport,
    fairness: &'a Fairness,
    migrations: &'a Distances,
    cpus: &'a [CpuReport],
    groups: &'a [GroupReport],
    tasks: &'a [TaskReport],
    counters: &'a IndexMap<String, i64>,
    sched_ext: Option<&'a ClassState>,
    dumps: &'a [String],
    /// Only where it was said how BPF is to be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    bpf_instructions: Option<u64>,
    printed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    globals: Option<&'a IndexMap<String, serde_json::Value>>,
    /// Only where the scheduler has a user-space half that takes part.
    #[serde(skip_serializing_if = "Option::is_none")]
    half: Option<&'a HalfResult>,
    /// With `--stats` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'a [StatsJson]>,
    wall_ns: u64,
    events_per_sec: u64,
}

impl<'a> RunJson<'a> {
    pub(crate) fn new(q: &'a Request, s: &'a Scheduler, r: &'a RunResult) -> RunJson<'a> {
        RunJson {
            schema: RUN_SCHEMA,
            scheduler: SchedulerJson::new(s),
            on: q.place.name(),
            kernel: q.kernel_of(r),
            machine: MachineJson::new(r.topology.as_ref().unwrap_or(&q.topology)),
            workload: q.workload_name(),
            seed: r.seed,
            duration_ns: r.length(q.duration),
            exit: &r.exit,
            sub_schedulers: &r.subs,
            exec: q.exec.as_ref().zip(r.exec.as_ref()).map(|(line, did)| ExecJson::new(line, did)),
            program: ProgramJson::new(s, r),
            setup: r.setup,
            totals: &r.report.totals,
            latency_ns: &r.report.latency_ns,
            work: &r.report.work,
            fairness: &r.report.fairness,
            migrations: &r.report.migrations,
            cpus: &r.report.cpus,
            groups: &r.report.groups,
            tasks: &r.report.tasks,
            counters: &r.counters,
            sched_ext: r.class.as_ref(),
            dumps: &r.dumps,
            bpf_instructions: r.bpf_instructions.filter(|_| q.bpf_was_chosen),
            printed: &r.printed,
            globals: r.globals.as_ref(),
            half: r.half.as_ref(),
            stats: r.stats.as_deref(),
            wall_ns: r.wall_ns,
            events_per_sec: r.events_per_sec(),
        }
    }
}

/// How one run of a comparison ended.
#[derive(Debug, Serialize)]
pub(crate) struct ExitJson<'a> {
    pub(crate) scheduler: &'a str,
    pub(crate) seed: u64,
    pub(crate) exit: &'a Exit,
}

/// A comparison.
#[derive(Debug, Serialize)]
pub(crate) struct CompareJson<'a> {
    pub(crate) schema: &'static str,
    pub(crate) schedulers: Vec<SchedulerJson<'a>>,
    pub(crate) on: &'a str,
    pub(crate) kernel: String,
    pub(crate) machine: MachineJson<'a>,
    pub(crate) workload: &'a str,
    pub(crate) seeds: Vec<u64>,
    pub(crate) duration_ns: u64,
    pub(crate) exits: Vec<ExitJson<'a>>,
    pub(crate) rows: &'a [Row],
    pub(crate) reading: String,
}
