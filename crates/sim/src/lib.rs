//! Runs a policy on the simulated kernel from ordinary Rust code: in a scheduler's own tests.
//!
//! ```no_run
//! # use scxr_policy::native::PolicyDef;
//! use scxr_sim::{Error, Sim};
//!
//! fn it_works(native: &'static PolicyDef, object: &[u8]) -> Result<(), Error> {
//!     let sim = Sim::new("4").workload("mixed").duration_ms(200);
//!     let run = sim.native(native)?;
//!     assert!(run.is_healthy() && run.global("nr_queued") > 0);
//!     sim.twins(native, object)?; // BPF and native code decide alike, event for event
//!     Ok(())
//! }
//! ```
//!
//! Time is simulated: the same inputs give the same events, so a test may compare numbers.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use scxr_abi::KernelVersion;
use scxr_analyze::{Analyzer, Options, Place, Report};
use scxr_bpf::load::{Changes, Object};
use scxr_kernel::config::Config;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use scxr_kernel::{CgroupChange, Machine};
use scxr_ops::half::{DirectScheduler, Half, Maps, native_schema, schema};
use scxr_ops::{BpfScheduler, Model, NativeScheduler, SchedulerOptions};
use scxr_policy::native::PolicyDef;
use scxr_runtime::framework::Scheduler;
use scxr_runtime::{Args, HalfDef, Opt, Schema};
use scxr_trace::{Recorder, Sink};

pub use scxr_ops::Value;
pub use scxr_runtime::{Stat, Stats};
pub use scxr_trace::{Event, EventKind, ExitKind};

/// What a run depends on, the scheduler apart.
#[derive(Clone, Debug)]
pub struct Sim {
    machine: String,
    workload: String,
    duration_ms: u64,
    seed: u64,
    kernel: KernelVersion,
    set: Vec<(String, u64)>,
    half: Option<(HalfDef, Vec<(&'static str, u64)>)>,
    stats_every_ms: u64,
    resize: Vec<(String, u32)>,
    nohz_full: Option<String>,
    cgroups: Vec<(String, u32)>,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine, workload or kernel is not one.
    #[error("{0}")]
    Setup(String),
    /// The object cannot be read, or the kernel would refuse it.
    #[error("{0}")]
    Load(String),
    /// No variable of the policy has that name.
    #[error("the policy has no variable {0}")]
    NoVariable(String),
    /// BPF and native code decided differently.
    #[error("event {at}: as BPF {bpf}, natively {native}")]
    TwinsDiffer {
        /// Number of the first event that differs.
        at: usize,
        /// That event of the BPF run.
        bpf: String,
        /// That event of the native run.
        native: String,
    },
}

/// What came out of a run.
#[derive(Debug)]
pub struct Run {
    /// How the scheduler ended; [`ExitKind::None`] if it goes on.
    pub exit: ExitKind,
    /// Its exit code.
    pub exit_code: i64,
    /// What the class, or the scheduler itself, said about the end.
    pub exit_msg: String,
    /// Global variables and per-CPU arrays, by name.
    pub globals: Vec<(String, Value)>,
    /// What was printed with `scx_print!`.
    pub printed: Vec<String>,
    /// What the user-space half said of itself.
    pub stats: Vec<Stats>,
    /// How the user-space half ended; `None`: there is none, or it goes on.
    pub half_ended: Option<Result<(), String>>,
    /// Everything that happened.
    pub events: Vec<Event>,
    /// Latencies, shares and the like, as `scxr run` reports them; the workload's tasks alone.
    pub report: Report,
}

impl Run {
    /// Is the scheduler still running, or did it end in good order?
    pub fn is_healthy(&self) -> bool {
        !self.exit.name().starts_with("error")
    }

    /// The value of a global variable: an integer, or the sum of a per-CPU array's first element. 0 if there is none.
    pub fn global(&self, name: &str) -> i128 {
        self.global_at(name, 0)
    }

    /// The same of element `index`, summed over the CPUs.
    pub fn global_at(&self, name: &str, index: usize) -> i128 {
        match self.globals.iter().find(|(n, _)| n == name).map(|(_, value)| value) {
            Some(Value::Int(n)) => *n,
            Some(Value::PerCpu { sum, .. }) => sum.get(index).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// CPU time in ns of the workload's tasks whose names begin so.
    pub fn cpu_ns(&self, comm: &str) -> u64 {
        self.report.tasks.iter().filter(|t| t.comm.starts_with(comm)).map(|t| t.cpu_ns).sum()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (totals, wakeup) = (&self.report.totals, &self.report.latency_ns.wakeup);
        writeln!(f, "exit       {} {}", self.exit.name(), self.exit_msg)?;
        writeln!(f, "wakeups    {}, switches {}", totals.wakeups, totals.context_switches)?;
        writeln!(f, "latency    p50 {} ns, p99 {} ns", wakeup.p50, wakeup.p99)?;
        self.globals.iter().try_for_each(|(name, value)| match value {
            Value::Int(n) => writeln!(f, "{name:<10} {n}"),
            Value::PerCpu { sum, .. } => writeln!(f, "{name:<10} {sum:?}"),
            _ => Ok(()),
        })
    }
}

/// Listens to a run.
struct Ear {
    recorder: Recorder,
    analyzer: Option<Analyzer>,
}

impl Sink for Ear {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        if let Some(analyzer) = &mut self.analyzer {
            analyzer.take(t, cpu, &kind);
        }
        self.recorder.event(t, cpu, kind);
    }
}

impl Sim {
    /// A machine, as `--machine` takes it: `8`, `4x2`, `2x4x8x2`. The workload is `mixed`, for 200 ms, with seed 1, on the newest kernel.
    pub fn new(machine: &str) -> Sim {
        Sim {
            machine: machine.into(),
            workload: "mixed".into(),
            duration_ms: 200,
            seed: 1,
            kernel: KernelVersion::NEWEST,
            set: Vec::new(),
            half: None,
            stats_every_ms: 0,
            resize: Vec::new(),
            nohz_full: None,
            cgroups: Vec::new(),
        }
    }

    /// A workload, as `--workload` takes it: a preset with parameters, or a file of rt-app's JSON.
    pub fn workload(self, workload: &str) -> Sim {
        Sim { workload: workload.into(), ..self }
    }

    /// Simulated time, ms.
    pub fn duration_ms(self, duration_ms: u64) -> Sim {
        Sim { duration_ms, ..self }
    }

    /// The seed of all that is random.
    pub fn seed(self, seed: u64) -> Sim {
        Sim { seed, ..self }
    }

    /// The kernel that is modelled, such as `6.12`. Native code sees the newest always.
    pub fn kernel(self, version: &str) -> Result<Sim, Error> {
        let kernel = version.parse().map_err(|e| Error::Setup(format!("{e}")))?;
        Ok(Sim { kernel, ..self })
    }

    /// Sets a variable before the scheduler is loaded.
    pub fn set(mut self, name: &str, value: u64) -> Sim {
        self.set.push((name.into(), value));
        self
    }

    /// Sets the number of entries of a map (of a ring buffer: bytes) of an object.
    pub fn resize(mut self, map: &str, entries: u32) -> Sim {
        self.resize.push((map.into(), entries));
        self
    }

    /// Makes a cgroup, with all on the way to it, and sets its weight (cpu.weight, 100 by default) before the scheduler is enabled.
    pub fn cgroup(mut self, path: &str, weight: u32) -> Sim {
        self.cgroups.push((path.into(), weight));
        self
    }

    /// CPUs whose tick stops where the class allows it, such as `1-7`, as `--nohz-full` takes them.
    pub fn nohz_full(self, cpus: &str) -> Sim {
        Sim { nohz_full: Some(cpus.into()), ..self }
    }

    /// Runs the scheduler's user-space half, too, with options by their long names; times in ns. They go before [`Sim::set`].
    pub fn half(self, half: HalfDef, args: &[(&'static str, u64)]) -> Sim {
        Sim { half: Some((half, args.to_vec())), ..self }
    }

    /// Options of a scheduler by their long names, times in ns: sets the variables that they mean.
    pub fn options(self, options: &[Opt], args: &[(&str, u64)]) -> Result<Sim, Error> {
        let args = Args::of(options, args).map_err(|e| Error::Setup(e.to_string()))?;
        Ok(args.variables(options).into_iter().fold(self, |sim, (name, value)| sim.set(name, value)))
    }

    /// Has the user-space half give figures every so many ms.
    pub fn stats_every_ms(self, stats_every_ms: u64) -> Sim {
        Sim { stats_every_ms, ..self }
    }

    /// The options of the user-space half.
    fn args(&self) -> Result<Option<(HalfDef, Args)>, Error> {
        let Some((def, given)) = &self.half else { return Ok(None) };
        let args = Args::of(def.options, given).map_err(|e| Error::Setup(e.to_string()))?;
        Ok(Some((*def, args)))
    }

    /// Variables to be set before load.
    fn settings(&self) -> Result<Vec<(String, u64)>, Error> {
        let own = self.args()?.map_or(Vec::new(), |(def, args)| args.variables(def.options));
        Ok(own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.set.iter().cloned()).collect())
    }

    /// The user-space half over a scheduler's state.
    fn half_over(&self, maps: Rc<dyn Maps>, schema: Schema, config: &Config) -> Result<Option<Half>, Error> {
        let Some((def, args)) = self.args()? else { return Ok(None) };
        let nr_cpus = self.topology()?.nr_cpus() as u32;
        let stats_every = self.stats_every_ms * 1_000_000;
        Ok(Some(Half { def, args, maps, schema, cost: config.cost.clone(), nr_cpus, stats_every }))
    }

    /// Runs the fair class, without a scheduler.
    pub fn eevdf(&self) -> Result<Run, Error> {
        self.run(None, None, Config::default())
    }

    /// Runs a policy natively.
    pub fn native(&self, policy: &'static PolicyDef) -> Result<Run, Error> {
        self.run_native(policy, Config::default())
    }

    /// Runs a scheduler that is made for user space straight in the kernel, without the way to user space and back.
    pub fn direct(&self, name: &str, scheduler: Box<dyn Scheduler>) -> Result<Run, Error> {
        self.run(Some(Rc::new(DirectScheduler::new(name, scheduler))), None, Config::default())
    }

    /// Runs a BPF object.
    pub fn object(&self, bytes: &[u8]) -> Result<Run, Error> {
        self.run_object(bytes, Config::default())
    }

    /// Runs both, and compares them event for event. Returns the BPF run. Native code has no instructions that could be paid for, so BPF
    /// instructions cost nothing here.
    pub fn twins(&self, policy: &'static PolicyDef, object: &[u8]) -> Result<Run, Error> {
        let mut config = Config::default();
        config.cost.bpf_insn_ps = 0;
        let (bpf, native) = (self.run_object(object, config.clone())?, self.run_native(policy, config)?);
        let longest = bpf.events.len().max(native.events.len());
        match (0..longest).find(|&at| bpf.events.get(at) != native.events.get(at)) {
            None => Ok(bpf),
            Some(at) => {
                let text = |run: &Run| run.events.get(at).map_or("nothing".into(), |e| format!("{e:?}"));
                Err(Error::TwinsDiffer { at, bpf: text(&bpf), native: text(&native) })
            }
        }
    }

    fn run_native(&self, policy: &'static PolicyDef, config: Config) -> Result<Run, Error> {
        let native = Rc::new(NativeScheduler::with_seed(policy, self.topology()?.nr_cpus(), self.seed));
        for (name, value) in &self.settings()? {
            native.instance().set(name, *value).map_err(|e| Error::NoVariable(e.0))?;
        }
        let half = self.half_over(native.clone(), native_schema(policy), &config)?;
        let run = self.run(Some(native.clone()), half, config)?;
        Ok(Run { globals: native.globals(), printed: native.printed(), ..run })
    }

    fn run_object(&self, bytes: &[u8], config: Config) -> Result<Run, Error> {
        let refused = |e: &dyn fmt::Display| Error::Load(e.to_string());
        let object = Object::parse("the object", bytes).map_err(|e| refused(&e))?;
        let options = SchedulerOptions {
            nr_cpus: self.topology()?.nr_cpus() as u32,
            seed: self.seed,
            changes: Changes {
                resize: self.resize.clone(),
                set: self.settings()?.into_iter().map(|(name, value)| (name, value.to_string())).collect(),
                ..Changes::default()
            },
            ..SchedulerOptions::default()
        };
        let bpf = BpfScheduler::load(&object, &Model::new(self.kernel), &options).map_err(|e| refused(&e))?;
        let half = self.half_over(bpf.clone(), schema(&object), &config)?;
        let run = self.run(Some(bpf.clone()), half, config)?;
        Ok(Run { globals: bpf.globals(), printed: bpf.printed(), ..run })
    }

    fn topology(&self) -> Result<Topology, Error> {
        Topology::parse(&self.machine).map_err(|e| Error::Setup(e.to_string()))
    }

    fn run(&self, ops: Option<Rc<dyn SchedExtOps>>, half: Option<Half>, config: Config) -> Result<Run, Error> {
        let topology = self.topology()?;
        let workload = scxr_workload::load(&self.workload, topology.nr_cpus(), self.seed);
        let workload = workload.map_err(|e| Error::Setup(e.to_string()))?;
        let end = self.duration_ms * 1_000_000;
        let analyzer = Analyzer::new(Options { places: places(&topology), end_ns: Some(end) });
        let ear = Rc::new(RefCell::new(Ear { recorder: Recorder::new(), analyzer: Some(analyzer) }));
        let nohz_full = match &self.nohz_full {
            Some(list) => CpuMask::parse(list).map_err(Error::Setup)?,
            None => config.nohz_full,
        };
        let mut m = Machine::new(topology, Config { seed: self.seed, nohz_full, ..config }, Box::new(Rc::clone(&ear)));
        let of_workload = workload.groups.iter().map(|g| (&g.path, &g.weight));
        for (path, weight) in of_workload.chain(self.cgroups.iter().map(|(path, weight)| (path, weight))) {
            let made = m.with_kernel(|k| {
                k.change_cgroup(path, CgroupChange::Make)?;
                k.change_cgroup(path, CgroupChange::Weight(*weight))
            });
            made.map_err(|e| Error::Setup(format!("cgroup {path}: {e:?}")))?;
        }
        let mut booted = m.state().all_tasks().into_iter().map(|p| m.state().task(p).pid).max().unwrap_or(0);
        let mut started = None;
        if let Some(half) = half {
            booted += 1;
            let queue = m.wait_queue();
            let task = half.task(queue).map_err(|e| Error::Setup(format!("half_tgid: error {}", e.0)));
            let (task, half) = task?;
            m.spawn(task);
            started = Some(half);
        }
        ear.borrow_mut().analyzer.iter_mut().for_each(|a| a.workload_from(booted + 1));
        if let Some(ops) = ops {
            m.enable(ops);
        }
        for spec in workload.tasks(&mut || m.wait_queue()) {
            m.spawn(spec);
        }
        m.run_until(end);
        let half_ended = started.as_ref().and_then(|half| half.done.ended.borrow().clone());
        if let Some(half) = &started {
            half.finish(end);
        }
        if let Some((_, why)) = &m.state().ext.enable_error {
            return Err(Error::Load(why.clone()));
        }
        let exit = m.state().ext.exit_info.as_ref().map(|i| (i.kind, i.code, i.msg.clone()));
        let (exit, exit_code, exit_msg) = exit.unwrap_or((ExitKind::None, 0, String::new()));
        drop(m);
        let mut ear = ear.borrow_mut();
        let events = ear.recorder.finish();
        let mut report = ear.analyzer.take().map(|a| a.finish(end)).unwrap_or_default();
        report.tasks.retain(|t| t.pid > booted);
        let stats = started.as_ref().map_or(Vec::new(), |half| half.done.stats.take());
        let (globals, printed) = Default::default();
        Ok(Run { exit, exit_code, exit_msg, globals, printed, stats, half_ended, events, report })
    }
}

fn places(topology: &Topology) -> Vec<Place> {
    let cpus = (0..topology.nr_cpus() as u32).map(CpuId);
    cpus.map(|c| topology.cpus[c]).map(|p| Place { core: p.core, llc: p.llc, node: p.node }).collect()
}
