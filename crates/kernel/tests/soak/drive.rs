//! One seed: a machine, its workload, and one scheduler after the other, with the judges beside it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use scxr_kernel::class::ClassId;
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::{EnableState, check};
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use scxr_kernel::{Kernel, Machine};
use scxr_trace::{Checker, EventKind, Rules, Sink};

use crate::Draw;
use crate::chaos;
use crate::policy::Chaos;

const MS: u64 = 1_000_000;
const KERNELS: [(u32, u32); 6] = [(6, 12), (6, 16), (6, 18), (7, 0), (7, 1), (7, 2)];
/// Time after which a scheduler that is asked to end has ended, simulated.
const END_NS: u64 = 40_000 * MS;

#[derive(Clone)]
struct Judge(Rc<RefCell<Checker>>);

impl Sink for Judge {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.0.borrow_mut().event(t, cpu, kind);
    }
}

/// What happened, for a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    events: u64,
    schedulers: u64,
    /// Ends, by kind and the beginning of the message without its numbers.
    ends: BTreeMap<String, u64>,
    /// Simulated time, ns.
    ns: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Outcome) {
        self.events += other.events;
        self.schedulers += other.schedulers;
        self.ns += other.ns;
        for (end, n) in &other.ends {
            *self.ends.entry(end.clone()).or_default() += n;
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} events, {} schedulers, {} ms", self.events, self.schedulers, self.ns / MS)?;
        self.ends.iter().try_for_each(|(end, n)| writeln!(f, "{n:8} {end}"))
    }
}

fn machine(seed: u64, draw: &mut Draw) -> (Machine, Judge) {
    let topology = Topology::parse(draw.pick(&["1", "2", "4", "1x2x2", "2x2x2", "2x4", "12"])).expect("a machine");
    let (major, minor) = draw.pick(&KERNELS);
    let nohz_full = if draw.chance(1, 4) && topology.nr_cpus() > 1 { CpuMask::of(CpuId(1)) } else { CpuMask::EMPTY };
    let config = Config {
        seed,
        hz: draw.pick(&[100, 250, 1_000]),
        interleave: draw.pick(&[Interleave::Callback, Interleave::Kfunc]),
        nohz_full,
        core_sched: draw.chance(1, 3),
        ..Config::of_kernel(major, minor)
    };
    let judge = Judge(Rc::new(RefCell::new(Checker::new(Rules { one_place: true, ..Rules::default() }))));
    (Machine::new(topology, config, Box::new(judge.clone())), judge)
}

/// Runs for `ns`, looking at the invariants on the way.
fn go_on(m: &mut Machine, judge: &Judge, ns: u64) {
    let to = m.now() + ns;
    while m.now() < to {
        m.run_until((m.now() + 3 * MS).min(to));
        check::invariants(m.state()).unwrap_or_else(|e| panic!("at {} ns: {e}", m.now()));
        if let Some(v) = judge.0.borrow().violations().first() {
            panic!("{v}");
        }
    }
}

/// Nothing is left of the scheduler: every task is in the class of its policy, and in no queue of the class.
fn assert_left(m: &Machine) {
    let s = m.state();
    for p in s.all_tasks() {
        let t = s.task(p);
        let left = t.class != ClassId::Ext && t.scx.dsq.is_none() && t.scx.sched.is_none();
        let (name, end) = (s.ext.root_name(), &s.ext.exit_info);
        assert!(left, "{}[{}], {:?}, {:?}, root {name:?}, end {end:?}, now {}", t.comm, t.pid, t.class, t.scx, m.now());
    }
}

/// The message of an end without what differs from one to the next.
fn label(m: &Machine) -> String {
    match &m.state().ext.exit_info {
        Some(info) => {
            let words = info.msg.split_whitespace().take(4);
            let plain = words.map(|w| if w.chars().any(|c| c.is_ascii_digit() || c == '[') { "_" } else { w });
            format!("{:?} {}", info.kind, plain.collect::<Vec<_>>().join(" "))
        }
        None => "refused".into(),
    }
}

/// Something happens to the scheduler from outside.
fn meddle(m: &mut Machine, draw: &mut Draw, subs: &mut u64) {
    let at = m.now() + draw.below(MS);
    match draw.below(40) {
        0 => m.disable(),
        1 => m.at(at, |k: &mut Kernel| scxr_kernel::ext::exit::sysrq_reset(k)),
        2 => m.at(at, |k: &mut Kernel| scxr_kernel::ext::dump::sysrq_dump(k)),
        3..9 => {
            *subs += 1;
            let groups = m
                .state()
                .cgroups
                .pre_order()
                .into_iter()
                .map(|c| u64::from(c.0))
                .filter(|&c| c > 1)
                .collect::<Vec<_>>();
            if !groups.is_empty() {
                let group = draw.pick(&groups);
                m.enable(Rc::new(Chaos::new(draw.below(u64::MAX), Some(group))));
            }
        }
        _ => {}
    }
}

/// Runs the seed for about `nr_events` events.
///
/// # Panics
/// If anything is not as it must be.
pub(crate) fn soak(seed: u64, nr_events: u64) -> Outcome {
    let mut draw = Draw::new(seed, 1);
    let (mut m, judge) = machine(seed, &mut draw);
    chaos::spawn(&mut m, seed, &mut draw);
    let mut outcome = Outcome::default();
    let mut subs = 0;
    let mut asked = 0;
    go_on(&mut m, &judge, 5 * MS);
    while m.state().nr_events < nr_events {
        if m.state().ext.state == EnableState::Disabled {
            if asked > 0 {
                assert_left(&m);
                *outcome.ends.entry(label(&m)).or_default() += 1;
            }
            asked += 1;
            m.enable(Rc::new(Chaos::new(draw.below(u64::MAX), None)));
            let ns = draw.below(10 * MS);
            go_on(&mut m, &judge, ns);
        }
        meddle(&mut m, &mut draw, &mut subs);
        let ns = MS + draw.below(30 * MS);
        go_on(&mut m, &judge, ns);
    }
    let end = m.now() + END_NS;
    let mut quiet = 0;
    while quiet < 3 {
        assert!(m.now() < end, "a scheduler that is asked to end does not");
        m.disable();
        go_on(&mut m, &judge, 100 * MS);
        quiet = if m.state().ext.state == EnableState::Disabled { quiet + 1 } else { 0 }; // others may be asked for still
    }
    assert_left(&m);
    let violations = judge.0.borrow_mut().finish(m.now());
    assert!(violations.is_empty(), "{}", violations[0]);
    (outcome.events, outcome.schedulers, outcome.ns) = (m.state().nr_events, asked, m.now());
    outcome
}
