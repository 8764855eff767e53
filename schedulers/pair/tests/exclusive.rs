//! A pair never runs two cgroups, and none starves; both forms decide alike.

use std::collections::BTreeMap;

use scxr_pair::{NATIVE, OBJECT, user::OPTIONS};
use scxr_sim::{Event, ExitKind, Run, Sim};

const GROUPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/groups.json");

/// With options by their long names.
fn sim(machine: &str, workload: &str, ms: u64, args: &[(&str, u64)]) -> Sim {
    let sim = Sim::new(machine).workload(workload).duration_ms(ms);
    sim.options(OPTIONS, args).unwrap()
}

/// Looks at every switch, as an account of the run's own: how long did CPUs of a pair run tasks of two cgroups, ns, and how often did one begin to?
fn together(events: &[Event], mate: impl Fn(u32) -> u32) -> (u64, u32) {
    use scxr_sim::EventKind::{Fork, SwitchIn, SwitchOut};
    let mut groups = BTreeMap::new();
    let mut running: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
    let (mut time, mut times) = (0, 0);
    for e in events {
        match &e.kind {
            Fork { pid, group, .. } => _ = groups.insert(*pid, group.clone()),
            SwitchIn { pid } => {
                if let Some((other, _)) = running.get(&mate(e.cpu)) {
                    times += u32::from(mate(e.cpu) != e.cpu && groups[other] != groups[pid]);
                }
                running.insert(e.cpu, (*pid, e.t));
            }
            SwitchOut { pid, .. } => {
                let Some((_, from)) = running.remove(&e.cpu) else { continue };
                if let Some((other, since)) = running.get(&mate(e.cpu))
                    && groups[other] != groups[pid]
                {
                    time += e.t.saturating_sub(from.max(*since));
                }
            }
            _ => {}
        }
    }
    (time, times)
}

/// The longest time for which a task was ready and did not run, and the shortest CPU time.
fn worst(run: &Run) -> (u64, u64) {
    let tasks = &run.report.tasks;
    (run.report.latency_ns.runqueue.max, tasks.iter().map(|t| t.cpu_ns).min().unwrap())
}

#[test]
fn a_pair_never_runs_two_cgroups() {
    for (machine, stride) in [("2x2", 2), ("4x2", 4), ("8", 4), ("2x4x2", 8), ("5", 2)] {
        for seed in [1, 2] {
            let run = sim(machine, GROUPS, 1_000, &[]).seed(seed).object(OBJECT).unwrap();
            assert!(run.is_healthy(), "{machine}: {run}");
            let mate = |cpu: u32| if cpu / stride % 2 == 1 { cpu - stride } else { cpu + stride };
            assert_eq!(together(&run.events, mate), (0, 0), "{machine} {seed}");
            let (wait, least) = worst(&run);
            // five cgroups, twice a slice for each at most, and one that is tied to a CPU
            assert!(wait < 500_000_000 && least > 20_000_000, "{machine} {seed}: {wait} {least} {run}");
        }
    }
    // the account can tell
    let run = Sim::new("2x2").workload(GROUPS).duration_ms(500).eevdf().unwrap();
    let (time, times) = together(&run.events, |cpu| cpu ^ 2);
    assert!(time > 100_000_000 && times > 100, "{time} {times}");
}

#[test]
fn a_stride_says_which_cpus_are_a_pair() {
    for (stride, mate) in [(1, 1), (2, 2), (4, 4)] {
        let run = sim("8", GROUPS, 600, &[("stride", stride)]).object(OBJECT).unwrap();
        assert!(run.is_healthy(), "{run}");
        assert_eq!(together(&run.events, |cpu| cpu ^ mate), (0, 0), "{stride}");
        let others = [1, 2, 4].into_iter().filter(|m| *m != mate);
        others.for_each(|m| assert!(together(&run.events, |cpu| cpu ^ m).1 > 10, "{stride} {m}"));
    }
}

#[test]
fn a_stride_that_makes_no_pairs_is_refused() {
    for stride in [8, 4_294_967_295] {
        let run = Sim::new("8").duration_ms(100).set("stride", stride).object(OBJECT).unwrap();
        let expect = format!("a stride of {stride} makes no pairs of 8 CPUs");
        assert_eq!((run.exit, run.exit_msg.as_str()), (ExitKind::ErrorBpf, expect.as_str()));
    }
}

#[test]
fn nobody_starves() {
    for machine in ["1", "3", "4", "2x4x2"] {
        for workload in ["mixed", "schbench", "hackbench:groups=1", "pipe:pairs=4"] {
            let run = sim(machine, workload, 1_000, &[]).object(OBJECT).unwrap();
            assert!(run.is_healthy(), "{machine} {workload}: {run}");
            assert!(run.report.tasks.iter().all(|t| t.cpu_ns > 0), "{machine} {workload}: {run}");
            assert_eq!(run.global("nr_missing") + run.global("nr_cgrp_refused"), 0, "{machine} {workload}");
        }
    }
}

#[test]
fn one_cgroup_has_the_whole_machine() {
    // nothing to switch between: as good as no CPU idles while tasks wait
    for workload in ["spin:n=16", "schbench"] {
        let run = sim("4x2", workload, 1_000, &[]).object(OBJECT).unwrap();
        let idle = run.report.totals.idle_with_work_ns;
        assert!(run.is_healthy() && idle < 8 * 1_000_000_000 / 50, "{workload}: {idle} ns of 8 s; {run}");
    }
}

#[test]
fn bpf_and_native_code_decide_alike() {
    for (machine, workload) in [("1", "mixed"), ("2x2", GROUPS), ("4x2", GROUPS), ("4x2", "hackbench:groups=1")] {
        for args in [&[][..], &[("slice", 3_000_000), ("stride", 1)]] {
            sim(machine, workload, 400, args).twins(NATIVE, OBJECT).unwrap();
        }
    }
}

#[test]
fn a_run_is_the_same_twice() {
    let run = || sim("2x2", GROUPS, 300, &[]).object(OBJECT).unwrap().events;
    assert_eq!(run(), run());
}
