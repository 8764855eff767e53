//! Machines, workloads and what tests ask of them.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::class::ClassId;
use scxr_kernel::config::Config;
use scxr_kernel::ext::ops::{ExitInfo, Op, OpSet, OpsAttrs, SchedExtOps};
use scxr_kernel::ext::{EnableState, check};
use scxr_kernel::topology::Topology;
use scxr_trace::{Event, EventKind, Sink};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SLICE_DFL: u64 = 20 * MS;
pub(crate) const LOCAL: u64 = 1 << 63 | 2;
pub(crate) const GLOBAL: u64 = 1 << 63 | 1;
pub(crate) const LOCAL_ON: u64 = 3 << 62;

#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Rc<RefCell<Vec<Event>>>);

impl Sink for Log {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.0.borrow_mut().push(Event { t, cpu, kind });
    }
}

pub(crate) fn attrs(name: &str, ops: &[Op]) -> OpsAttrs {
    OpsAttrs {
        name: name.into(),
        timeout_ms: 1000,
        ops: ops.iter().fold(OpSet::default(), |set, &op| set.with(op)),
        ..OpsAttrs::default()
    }
}

pub(crate) fn machine(spec: &str) -> (Machine, Log) {
    machine_with(spec, Config::default())
}

pub(crate) fn machine_with(spec: &str, config: Config) -> (Machine, Log) {
    let log = Log::default();
    let topology = Topology::parse(spec).unwrap();
    (Machine::new(topology, config, Box::new(log.clone())), log)
}

pub(crate) fn hog() -> impl FnMut(&TaskCx) -> Action {
    |_: &TaskCx| Action::Run(10 * MS)
}

/// Runs and sleeps in turn, for ever.
pub(crate) fn periodic(run: u64, sleep: u64) -> impl FnMut(&TaskCx) -> Action {
    let mut n = 0;
    move |_: &TaskCx| {
        n += 1;
        match n % 2 {
            0 => Action::Sleep(sleep),
            _ => Action::Run(run),
        }
    }
}

/// The same `times` times, then exits.
pub(crate) fn finite(times: u32, run: u64, sleep: u64) -> impl FnMut(&TaskCx) -> Action {
    let mut n = 0;
    move |_: &TaskCx| {
        n += 1;
        match n {
            _ if n > 2 * times => Action::Exit,
            _ if n % 2 == 0 => Action::Sleep(sleep),
            _ => Action::Run(run),
        }
    }
}

pub(crate) fn nice(mut spec: TaskSpec, nice: i8) -> TaskSpec {
    spec.nice = nice;
    spec
}

pub(crate) fn cpu_time(m: &Machine, comm: &str) -> u64 {
    let s = m.state();
    let tasks = s.all_tasks();
    let mine = tasks.iter().map(|&p| s.task(p)).filter(|t| t.comm == comm);
    mine.map(|t| t.sum_exec_runtime).sum()
}

pub(crate) fn alive(m: &Machine, prefix: &str) -> usize {
    let s = m.state();
    let tasks = s.all_tasks();
    tasks.iter().filter(|&&p| s.task(p).comm.starts_with(prefix)).count()
}

pub(crate) fn check(m: &Machine) {
    check::invariants(m.state()).unwrap();
}

/// Runs in steps, checking the invariants at each.
pub(crate) fn run(m: &mut Machine, to: u64) {
    while m.now() < to {
        let next = (m.now() + 7 * MS).min(to);
        m.run_until(next);
        check(m);
        if m.now() >= to {
            break;
        }
    }
}

/// The scheduler is gone, everything runs under fair, and every hog goes on.
pub(crate) fn ejected(m: &mut Machine, hogs: &str) -> ExitInfo {
    check(m);
    let s = m.state();
    assert_eq!(s.ext.state, EnableState::Disabled, "{:?}", s.ext.root_name());
    let info = s.ext.exit_info.clone().expect("exit information");
    for p in s.all_tasks() {
        let t = s.task(p);
        assert_ne!(t.class, ClassId::Ext, "{}", t.comm);
        assert_eq!(t.scx.dsq, None, "{}", t.comm);
        assert!(t.scx.sched.is_none(), "{}", t.comm);
    }
    let times = |m: &Machine| -> Vec<u64> {
        let s = m.state();
        let tasks = s.all_tasks();
        let mine = tasks.iter().map(|&p| s.task(p)).filter(|t| t.comm.starts_with(hogs));
        mine.map(|t| t.sum_exec_runtime).collect()
    };
    let before = times(m);
    let to = m.now() + 300 * MS;
    m.run_until(to);
    let after = times(m);
    assert_eq!(before.len(), after.len());
    for (b, a) in before.iter().zip(&after) {
        assert!(a > b, "a task was lost: {before:?} {after:?}");
    }
    info
}

/// Enables `ops` over `n` hogs and runs for `ms`.
pub(crate) fn with_hogs(spec: &str, ops: Rc<dyn SchedExtOps>, n: usize, ms: u64) -> Machine {
    let (mut m, _) = machine(spec);
    for i in 0..n {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
        m.spawn(TaskSpec::new(format!("sleeper{i}"), periodic(MS, 3 * MS)));
    }
    m.enable(ops);
    run(&mut m, ms * MS);
    m
}
