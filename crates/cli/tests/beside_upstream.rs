//! The classic schedulers beside those of the same names that the kernel comes with, on the simulated kernel: as much work is done, and it takes no great deal
//! more instructions of BPF. docs/performance.md has the figures.
//!
//! The others are other people's work and not part of this project: see `crates/ops/tests/upstream.rs` for where they come from. Those whose loader makes
//! what they need (pair: maps in maps; userland: decides) cannot be run without it and are left out.

#[path = "support/skip.rs"]
mod skip;
mod support;

use std::cell::RefCell;
use std::rc::Rc;

use scxr_abi::KernelVersion;
use scxr_analyze::{Analyzer, Options, Report};
use scxr_bpf::load::{Changes, Object};
use scxr_kernel::Machine;
use scxr_kernel::config::Config;
use scxr_kernel::topology::Topology;
use scxr_ops::{BpfScheduler, Model, SchedulerOptions};
use scxr_trace::{EventKind, Sink};

const NR_CPUS: u32 = 8;
const END: u64 = 1_000_000_000;
const WORKLOADS: [&str; 4] = ["mixed", "schbench", "spin:n=24,nice=0/5/-5", "hackbench:groups=1"];

/// A pair of schedulers: ours, and what the other one's loader sets: variables, and sizes of maps.
struct Both {
    name: &'static str,
    ours: &'static [u8],
    set: &'static [(&'static str, u64)],
    resize: &'static [(&'static str, u32)],
}

const ALL: [Both; 4] = [
    Both { name: "simple", ours: scxr_simple::OBJECT, set: &[], resize: &[] },
    Both { name: "qmap", ours: scxr_qmap::OBJECT, set: &[("slice_ns", 20_000_000), ("max_tasks", 16384)], resize: &[] },
    Both {
        name: "central",
        ours: scxr_central::OBJECT,
        set: &[("slice_ns", 20_000_000), ("nr_cpu_ids", NR_CPUS as u64)],
        resize: &[(".data.cpu_gimme_task", NR_CPUS), (".data.cpu_started_at", 8 * NR_CPUS)],
    },
    Both {
        name: "flatcg",
        ours: scxr_flatcg::OBJECT,
        set: &[("cgrp_slice_ns", 20_000_000), ("nr_cpus", NR_CPUS as u64)],
        resize: &[],
    },
];

/// Listens to a run.
struct Ear(Option<Analyzer>);

impl Sink for Ear {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        if let Some(analyzer) = &mut self.0 {
            analyzer.take(t, cpu, &kind);
        }
    }
}

/// What a run came to.
struct Ran {
    report: Report,
    /// Instructions of BPF.
    insns: u64,
}

impl Ran {
    fn per_cycle(&self) -> u64 {
        self.insns / self.report.totals.context_switches.max(1)
    }

    fn busy_ns(&self) -> u64 {
        self.report.tasks.iter().map(|t| t.cpu_ns).sum()
    }
}

fn run(bytes: &[u8], workload: &str, set: &[(&str, u64)], resize: &[(&str, u32)]) -> Ran {
    let object = Object::parse("the object", bytes).unwrap_or_else(|e| panic!("{e}"));
    let options = SchedulerOptions {
        nr_cpus: NR_CPUS,
        changes: Changes {
            set: set.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect(),
            resize: resize.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
            ..Changes::default()
        },
        ..SchedulerOptions::default()
    };
    let scheduler = BpfScheduler::load(&object, &Model::new(KernelVersion::NEWEST), &options);
    let scheduler = scheduler.unwrap_or_else(|e| panic!("{e}"));
    let analyzer = Analyzer::new(Options { places: Vec::new(), end_ns: Some(END) });
    let ear = Rc::new(RefCell::new(Ear(Some(analyzer))));
    let topology = Topology::parse(&NR_CPUS.to_string()).expect("a machine");
    let mut m = Machine::new(topology, Config::default(), Box::new(Rc::clone(&ear)));
    m.enable(scheduler.clone());
    let workload = scxr_workload::load(workload, NR_CPUS as usize, 1).expect("a workload");
    for spec in workload.tasks(&mut || m.wait_queue()) {
        m.spawn(spec);
    }
    m.run_until(END);
    assert!(m.state().ext.exit_info.is_none(), "{:?}", m.state().ext.exit_info);
    drop(m);
    let report = ear.borrow_mut().0.take().expect("one").finish(END);
    Ran { report, insns: scheduler.nr_insns() }
}

#[test]
fn as_much_work_for_not_many_more_instructions() {
    let Some(dir) = std::env::var_os("SCXR_UPSTREAM_OBJECTS").map(std::path::PathBuf::from) else {
        return skip::skipped("SCXR_UPSTREAM_OBJECTS does not point at the kernel's objects");
    };
    let mut table =
        String::from("scheduler workload: instructions a switch, switches, busy ms, operations/s: ours | theirs\n");
    let mut wrong = Vec::new();
    for both in &ALL {
        let path = dir.join(format!("tools/scx_{}.bpf.o", both.name));
        let theirs = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for workload in WORKLOADS {
            let ours = run(both.ours, workload, &[], &[]);
            let theirs = run(&theirs, workload, both.set, both.resize);
            let row = |ran: &Ran| {
                let (switches, busy) = (ran.report.totals.context_switches, ran.busy_ns() / 1_000_000);
                format!("{} {switches} {busy} {:.0}", ran.per_cycle(), ran.report.work.per_second)
            };
            let line = format!("{} {workload}: {} | {}", both.name, row(&ours), row(&theirs));
            // who keeps a task running has decided, too, but has not switched: so one of the two will do
            let few = ours.per_cycle() * 2 <= theirs.per_cycle() * 3 || ours.insns * 4 <= theirs.insns * 5;
            if !few || ours.busy_ns() < theirs.busy_ns() * 9 / 10 {
                wrong.push(line.clone());
            }
            table += &(line + "\n");
        }
    }
    support::say(&table);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
}
