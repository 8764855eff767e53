//! What must hold for every run.

use scxr_kernel::config::Interleave;
use scxr_kernel::cost::CostTable;
use scxr_trace::ExitKind;

use crate::common::{MS, Run, S, Sched, Setup, assert_same, inject, trace};
use crate::conserve::wakeup_cost;
use crate::memory;
use crate::policies::Central;

const MACHINES: [&str; 5] = ["1", "3", "4x2", "2x4x2", "2x2x2x2"];

fn scheds() -> [(&'static str, Sched); 4] {
    [
        ("eevdf", Sched::Eevdf),
        ("simple", Sched::simple()),
        ("native simple", Sched::native_simple()),
        ("central", Sched::Own(Central::new_ops)),
    ]
}

/// Presets as they are, but those that would flood a small machine.
fn workloads() -> Vec<String> {
    let small = |name: &str| match name {
        "hackbench" => "hackbench:groups=2,fds=4,msg=20".to_string(),
        name => name.to_string(),
    };
    scxr_workload::presets().iter().map(|p| small(p.name)).collect()
}

#[test]
fn every_preset_under_every_scheduler() {
    for (name, sched) in scheds() {
        for workload in workloads() {
            for machine in MACHINES {
                let text = trace(&Setup::new(machine, &workload, 150 * MS), &sched);
                assert!(text.contains("switch_in"), "{name} on {machine} under {workload}: nothing ran");
            }
        }
    }
}

#[test]
fn same_seed_same_bytes() {
    for (name, sched) in scheds() {
        for interleave in [Interleave::Callback, Interleave::Insn] {
            let run = |seed| trace(&Setup::new("2x2x2", "mixed", 100 * MS).seed(seed).interleave(interleave), &sched);
            let one = run(1);
            assert_same(&one, &run(1), &name);
            assert_ne!(one, run(2), "{name}: the seed has no influence");
        }
    }
}

/// The last of `nr` runs has the bytes of the first, and between the tenth and it nothing was kept.
#[track_caller]
fn check_nothing_left(name: &str, nr: u32, run: impl Fn() -> String) {
    let first = run();
    let mut held = (0, 0);
    for i in 2..=nr {
        let text = run();
        if i == nr {
            assert_same(&first, &text, &format!("{name}: run 1 and run {nr}"));
        }
        drop(text);
        if i == 10 {
            held = memory::held();
        }
    }
    assert_eq!(memory::held(), held, "{name}: blocks and bytes held after 10 and after {nr} runs");
}

#[test]
fn a_thousand_runs_leave_nothing_behind() {
    let object = Sched::simple();
    let setup = Setup::new("4", "mixed", 5 * MS);
    check_nothing_left("simple", 1000, || trace(&setup, &object));
}

#[test]
fn runs_of_every_kind_leave_nothing_behind() {
    let setup = Setup::new("2x2", "hackbench:groups=1,fds=2,msg=5", 10 * MS);
    for (name, sched) in scheds() {
        check_nothing_left(name, 60, || trace(&setup, &sched));
    }
    // The last stint of a run may end in the middle of anything, and so may the scheduler.
    let simple = Sched::simple();
    check_nothing_left("a scheduler that is ejected", 60, || {
        let mut run = Run::start(&setup, &simple);
        run.advance(2 * MS);
        run.m.at(2 * MS + 100_000, |k| inject(k, ExitKind::Error));
        run.advance(5 * MS);
        assert_eq!(run.exit().map(|e| e.kind), Some(ExitKind::Error));
        run.finish()
    });
}

/// Shares of the CPU that the kernel's weights give [sched_prio_to_weight].
const SHARES: [(&str, u64); 4] = [("spin-5", 3121), ("spin+0", 1024), ("spin+5", 335), ("spin+10", 110)];

#[track_caller]
fn check_fairness(sched: &Sched) {
    // The lightest task has a share of 2.4 %: a slice of 20 ms is 1 % of what it gets in 80 s.
    let setup = Setup::new("1", "spin:nice=-5/0/5/10", 120 * S);
    let mut run = Run::start(&setup, sched);
    run.m.run_until(setup.duration);
    run.assert_enabled();
    let tasks = run.tasks();
    let total: u64 = tasks.iter().map(|t| t.2).sum();
    let weights: u64 = SHARES.iter().map(|s| s.1).sum();
    assert!(total > setup.duration / 100 * 98, "{total} ns of computing");
    for (name, weight) in SHARES {
        let (_, _, ns) = tasks.iter().find(|t| t.1 == name).unwrap_or_else(|| panic!("{name} of {tasks:?}"));
        let expect = total / weights * weight;
        assert!(ns.abs_diff(expect) * 100 <= expect * 3, "{name}: {ns} ns, {expect} ns expected; {tasks:?}");
    }
}

#[test]
fn simple_is_fair_by_weight() {
    check_fairness(&Sched::simple());
}

#[test]
fn eevdf_is_fair_by_weight() {
    check_fairness(&Sched::Eevdf);
}

#[track_caller]
fn check_conservation(setup: &Setup, sched: &Sched) {
    let mut run = Run::start(setup, sched);
    run.advance(setup.duration);
    run.assert_enabled();
    let worst = run.watch.borrow().conservation.worst.clone();
    let bound = wakeup_cost(&CostTable::default(), run.m.state().nr_cpus());
    run.finish();
    assert!(worst.ns <= bound, "{worst:?}, {bound} ns allowed; replay: {setup}");
}

#[test]
fn no_cpu_idles_beside_waiting_work() {
    for machine in MACHINES {
        for workload in workloads() {
            check_conservation(&Setup::new(machine, &workload, 200 * MS), &Sched::simple());
        }
    }
}
