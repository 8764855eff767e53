//! What a run was like. Serialized, `totals`, `latency_ns` and `tasks` are the keys of the command's `--json`.

use serde::Serialize;

/// Sums over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Records of the trace.
    pub events: u64,
    /// Tasks woken from sleep.
    pub wakeups: u64,
    /// Times that a CPU began to run a task (switches to the idle task are not counted).
    pub context_switches: u64,
    /// Times that a task's CPU changed.
    pub migrations: u64,
    /// CPU time lost to idling while tasks waited: the integral over time of min(idle CPUs, waiting tasks). A task waits
    /// from when it is woken, forked or loses its CPU to when it is switched in. Tasks that are known not to be allowed on
    /// every CPU are left out, so the figure is a lower bound; the time that an idle CPU needs to wake up is part of it.
    pub idle_with_work_ns: u64,
    /// When the last operation of the workload ended, if all tasks that did any had exited by the end of the run.
    pub completed_ns: Option<u64>,
}

/// A latency distribution, ns; quantiles to three digits, `max` exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Number of samples.
    pub count: u64,
    /// Mean.
    #[serde(skip)]
    pub mean: u64,
    /// Median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// Tasks that waited when the run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// How many.
    pub count: u64,
    /// How long the first of them had waited by then, ns.
    pub max: u64,
}

/// Both latencies of scheduling. A wait that went on at the end of the run is a sample of the length that it had by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// From the wakeup to when the task runs.
    pub wakeup: Latency,
    /// From when a task is put on a run queue (wakeup, fork) or loses its CPU without blocking to when it runs.
    pub runqueue: Latency,
    /// Waits that went on at the end of the run.
    pub waiting: Waiting,
}

/// One task.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskReport {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its cgroup.
    pub group: String,
    /// Its weight at the end (cgroup scale: 100 is nice 0).
    pub weight: u32,
    /// CPU time.
    pub cpu_ns: u64,
    /// Its part of the CPU time that all tasks used, 0 to 1.
    pub share: f64,
    /// Switches because it blocked or exited.
    pub nvcsw: u64,
    /// Switches because it was preempted, used up its slice or yielded.
    pub nivcsw: u64,
    /// Changes of CPU.
    pub migrations: u64,
    /// Wakeups.
    #[serde(skip)]
    pub wakeups: u64,
    /// Time that it could run and did not.
    #[serde(skip)]
    pub wait_ns: u64,
    /// The longest of these waits.
    #[serde(skip)]
    pub wait_ns_max: u64,
    /// Operations of the workload that it ended.
    #[serde(skip)]
    pub operations: u64,
    /// Policy number at the end (sched_setscheduler(2)).
    #[serde(skip)]
    pub policy: u32,
}

/// Tasks of one cgroup together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupReport {
    /// Path.
    pub group: String,
    /// Number of tasks, dead ones included.
    pub nr_tasks: u64,
    /// CPU time.
    pub cpu_ns: u64,
    /// Part of the CPU time that all tasks used.
    pub share: f64,
}

/// One CPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuReport {
    /// Number.
    pub cpu: u32,
    /// Time in which it ran tasks, switches to them included.
    pub busy_ns: u64,
    /// Time in which it was idle. On a simulated machine both make up the run.
    pub idle_ns: u64,
    /// Tasks that it began to run.
    pub switches: u64,
}

/// Migrations by what the two CPUs have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Distances {
    /// Hardware threads of one core.
    pub smt: u64,
    /// The last-level cache.
    pub llc: u64,
    /// The NUMA node.
    pub node: u64,
    /// Nothing.
    pub remote: u64,
}

/// Operations that the workload counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WorkReport {
    /// Operations per second of simulated time, up to the end of the run or of the work ([`Totals::completed_ns`]).
    pub per_second: f64,
    /// Their latency.
    pub latency_ns: Latency,
}

/// How CPU time was shared among tasks that always wanted it: those that lived and did not block from the first
/// hundredth of the run to its end, are of the workload, were never of a real-time or deadline policy, and are not known to be
/// confined to some CPUs. What a task should get is its weight's part, but no more than one CPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fairness {
    /// How many such tasks there are; the other figures mean nothing below 2.
    pub nr_tasks: u64,
    /// Largest |got / due - 1| among them.
    pub deviation_max: f64,
    /// Jain's index of got / due: 1 is perfect, 1/n is one task having all.
    pub jain: f64,
}

/// What a run was like.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Sums.
    pub totals: Totals,
    /// Scheduling latencies.
    pub latency_ns: Latencies,
    /// All tasks in order of pid.
    pub tasks: Vec<TaskReport>,
    /// All cgroups with tasks, by name.
    pub groups: Vec<GroupReport>,
    /// All CPUs.
    pub cpus: Vec<CpuReport>,
    /// Migrations by distance.
    pub migrations: Distances,
    /// What the workload got done.
    pub work: WorkReport,
    /// Fairness.
    pub fairness: Fairness,
    /// The longest that one task waited while CPUs idled, ns.
    pub idle_with_work_ns_max: u64,
    /// Length of the run.
    pub duration_ns: u64,
}
