//! A run: a scheduler on a machine under a workload, with everything that watches it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use scxr_abi::KernelVersion;
use scxr_bpf::load::{Changes, Object};
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::ext::check::invariants;
use scxr_kernel::ext::exit::scx_exit;
use scxr_kernel::ext::ops::{ExitInfo, SchedExtOps};
use scxr_kernel::ids::{Ns, TaskId};
use scxr_kernel::topology::Topology;
use scxr_kernel::{Kernel, Machine};
use scxr_ops::{BpfScheduler, Model, NativeScheduler, SchedulerOptions};
use scxr_policy::native::PolicyDef;
use scxr_trace::{Checker, EventKind, ExitKind, Recorder, Rule, Rules, Sink, text};

use crate::conserve::Conservation;

pub(crate) const US: Ns = 1_000;
pub(crate) const MS: Ns = 1_000_000;
pub(crate) const S: Ns = 1_000_000_000;

/// The invariants are checked this often.
const STRETCH: Ns = 5 * MS;

/// What a run depends on, the scheduler apart. Its display form says how to repeat it.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) machine: &'static str,
    pub(crate) workload: String,
    pub(crate) seed: u64,
    pub(crate) interleave: Interleave,
    pub(crate) duration: Ns,
}

impl Setup {
    pub(crate) fn new(machine: &'static str, workload: &str, duration: Ns) -> Setup {
        Setup { machine, workload: workload.into(), seed: 1, interleave: Interleave::Callback, duration }
    }

    pub(crate) fn seed(self, seed: u64) -> Setup {
        Setup { seed, ..self }
    }

    pub(crate) fn interleave(self, interleave: Interleave) -> Setup {
        Setup { interleave, ..self }
    }

    pub(crate) fn topology(&self) -> Topology {
        Topology::parse(self.machine).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { machine, workload, seed, interleave, duration } = self;
        write!(
            f,
            "--machine {machine} --workload {workload} --seed {seed} --interleave {interleave:?} --duration {duration}ns"
        )
    }
}

/// A scheduler to be made anew for each run.
#[derive(Clone)]
pub(crate) enum Sched {
    /// The fair class alone.
    Eevdf,
    /// An object, with globals to set.
    Bpf(Rc<Object>, Vec<(&'static str, u64)>),
    /// A policy as native code, with globals to set.
    Native(&'static PolicyDef, Vec<(&'static str, u64)>),
    /// Operations in Rust, against the class itself, made from the seed.
    Own(fn(u64) -> Rc<dyn SchedExtOps>),
}

impl Sched {
    pub(crate) fn object(name: &str, bytes: &[u8]) -> Sched {
        Sched::Bpf(Rc::new(Object::parse(name, bytes).unwrap_or_else(|e| panic!("{e}"))), Vec::new())
    }

    pub(crate) fn simple() -> Sched {
        Sched::object("simple", scxr_simple::OBJECT)
    }

    pub(crate) fn native_simple() -> Sched {
        Sched::Native(scxr_simple::NATIVE, Vec::new())
    }

    /// With a global set before load.
    pub(crate) fn with(self, name: &'static str, value: u64) -> Sched {
        match self {
            Sched::Bpf(object, mut set) => {
                set.push((name, value));
                Sched::Bpf(object, set)
            }
            Sched::Native(policy, mut set) => {
                set.push((name, value));
                Sched::Native(policy, set)
            }
            other => other,
        }
    }

    /// A fresh instance for one run.
    pub(crate) fn make(&self, setup: &Setup, nr_cpus: usize) -> Option<Rc<dyn SchedExtOps>> {
        match self {
            Sched::Eevdf => None,
            Sched::Own(make) => Some(make(setup.seed)),
            Sched::Native(policy, set) => {
                let native = NativeScheduler::new(policy, nr_cpus);
                for (name, value) in set {
                    native.instance().set(name, *value).unwrap_or_else(|e| panic!("{e}"));
                }
                Some(Rc::new(native))
            }
            Sched::Bpf(object, set) => {
                let options = SchedulerOptions {
                    nr_cpus: nr_cpus as u32,
                    seed: setup.seed,
                    interleave: setup.interleave,
                    changes: Changes {
                        set: set.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
                        ..Changes::default()
                    },
                    ..SchedulerOptions::default()
                };
                Some(BpfScheduler::load(object, &model(), &options).unwrap_or_else(|e| panic!("{e}")))
            }
        }
    }
}

/// The newest kernel, read once by each thread.
pub(crate) fn model() -> Rc<Model> {
    thread_local!(static MODEL: Rc<Model> = Model::new(KernelVersion::NEWEST));
    MODEL.with(Rc::clone)
}

/// Everything that listens to a run.
pub(crate) struct Watch {
    checker: Checker,
    recorder: Recorder,
    pub(crate) conservation: Conservation,
}

impl Sink for Watch {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.checker.event(t, cpu, kind.clone());
        self.conservation.event(t, cpu, &kind);
        self.recorder.event(t, cpu, kind);
    }
}

/// The rules that hold for every scheduler here: their tasks leave queues in order, and none may be lost.
pub(crate) fn rules() -> Rules {
    Rules { vtime_order: true, one_place: true, whole_time: true, watchdog_ns: Some(30 * S), preemptible: false }
}

/// A machine that runs.
pub(crate) struct Run {
    pub(crate) m: Machine,
    pub(crate) watch: Rc<RefCell<Watch>>,
    /// How to repeat the run.
    pub(crate) replay: String,
    booted: u32,
}

impl Run {
    /// A machine with a workload and, unless it is the fair class, a scheduler.
    pub(crate) fn start(setup: &Setup, sched: &Sched) -> Run {
        let mut run = Run::boot(setup, rules());
        if let Some(ops) = sched.make(setup, run.m.state().nr_cpus()) {
            run.m.enable(ops);
        }
        run.load(setup);
        run
    }

    /// A machine and nothing else.
    pub(crate) fn boot(setup: &Setup, rules: Rules) -> Run {
        let topology = setup.topology();
        let watch = Watch {
            checker: Checker::new(rules),
            recorder: Recorder::new(),
            conservation: Conservation::new(topology.nr_cpus()),
        };
        let watch = Rc::new(RefCell::new(watch));
        let config = Config { seed: setup.seed, interleave: setup.interleave, ..Config::default() };
        let m = Machine::new(topology, config, Box::new(watch.clone()));
        let booted = m.state().all_tasks().into_iter().map(|p| m.state().task(p).pid).max().unwrap_or(0);
        Run { m, watch, replay: setup.to_string(), booted }
    }

    /// Spawns the workload.
    pub(crate) fn load(&mut self, setup: &Setup) {
        let nr_cpus = self.m.state().nr_cpus();
        let workload = scxr_workload::load(&setup.workload, nr_cpus, setup.seed).unwrap_or_else(|e| panic!("{e}"));
        for spec in workload.tasks(&mut || self.m.wait_queue()) {
            self.m.spawn(spec);
        }
    }

    /// Runs on for `ns`, checking the class's invariants on the way.
    #[track_caller]
    pub(crate) fn advance(&mut self, ns: Ns) {
        let end = self.m.now() + ns;
        while self.m.now() < end {
            self.m.run_until((self.m.now() + STRETCH).min(end));
            if let Err(e) = invariants(self.m.state()) {
                panic!("{e}\nat {} ns; replay: {}", self.m.now(), self.replay);
            }
        }
    }

    /// How the last scheduler ended; `None` while it runs.
    pub(crate) fn exit(&self) -> Option<&ExitInfo> {
        self.m.state().ext.exit_info.as_ref()
    }

    /// The workload's tasks that are alive, with their names and CPU time.
    pub(crate) fn tasks(&self) -> Vec<(TaskId, String, Ns)> {
        let state = self.m.state();
        let tasks = state.all_tasks().into_iter().map(|p| state.task(p)).filter(|t| t.pid > self.booted);
        tasks.map(|t| (t.id, t.comm.clone(), t.sum_exec_runtime)).collect()
    }

    #[track_caller]
    pub(crate) fn assert_enabled(&self) {
        let ext = &self.m.state().ext;
        assert_eq!(ext.enable_error, None, "replay: {}", self.replay);
        let exit = self.exit().map_or((ExitKind::None, ""), |e| (e.kind, e.msg.as_str()));
        assert_eq!(exit, (ExitKind::None, ""), "replay: {}", self.replay);
    }

    /// Ends the run: no rule may be violated. All events as text.
    #[track_caller]
    pub(crate) fn finish(self) -> String {
        self.finish_but(None)
    }

    /// The same, where a rule may be violated: the scheduler's fault.
    #[track_caller]
    pub(crate) fn finish_but(self, rule: Option<Rule>) -> String {
        let Run { m, watch, replay, .. } = self;
        let now = m.now();
        drop(m);
        let mut watch = watch.borrow_mut();
        let mut violations = watch.checker.finish(now);
        violations.retain(|v| Some(v.rule) != rule);
        let events = watch.recorder.finish();
        if !violations.is_empty() {
            let list: Vec<_> = violations.iter().take(10).map(ToString::to_string).collect();
            panic!("{} violations, such as\n{}\nreplay: {replay}", watch.checker.nr_violations(), list.join("\n"));
        }
        text::write(&events)
    }
}

/// Ends the root scheduler, if there is one.
pub(crate) fn inject(k: &mut Kernel, kind: ExitKind) {
    if let Some(root) = k.ext.root_id() {
        scx_exit(k, root, kind, 0, "injected");
    }
}

/// The trace of a run in which nothing goes wrong.
#[track_caller]
pub(crate) fn trace(setup: &Setup, sched: &Sched) -> String {
    let mut run = Run::start(setup, sched);
    run.advance(setup.duration);
    run.assert_enabled();
    run.finish()
}

/// Two traces must be the same; says where they are not.
#[track_caller]
pub(crate) fn assert_same(a: &str, b: &str, what: &dyn fmt::Display) {
    if a == b {
        return;
    }
    let differ = a.lines().zip(b.lines()).position(|(a, b)| a != b);
    let at = differ.unwrap_or(a.lines().count().min(b.lines().count()));
    let around = |text: &str| text.lines().skip(at.saturating_sub(5)).take(9).collect::<Vec<_>>().join("\n  ");
    panic!("{what}: traces differ from line {at} on\n  {}\nand\n  {}", around(a), around(b));
}
