//! Shares are those of the nested hierarchy; tasks of a cgroup share by weight; both forms decide alike.

use scxr_flatcg::{NATIVE, OBJECT, user::OPTIONS};
use scxr_sim::{Run, Sim};

/// With options by their long names, and cgroups.
fn sim(machine: &str, workload: &str, ms: u64, args: &[(&str, u64)], cgroups: &[(&str, u32)]) -> Sim {
    let sim = Sim::new(machine).workload(workload).duration_ms(ms);
    let sim = sim.options(OPTIONS, args).unwrap();
    cgroups.iter().fold(sim, |sim, (path, weight)| sim.cgroup(path, *weight))
}

fn file(name: &str) -> String {
    format!("{}/tests/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

/// Parts of the CPU time by the beginnings of names.
fn shares(run: &Run, names: &[&str]) -> Vec<f64> {
    let times: Vec<f64> = names.iter().map(|name| run.cpu_ns(name) as f64).collect();
    let all: f64 = times.iter().sum();
    times.iter().map(|t| t / all).collect()
}

/// A tree: its cgroups' weights, and the parts that the groups of tasks have by the nested rule, level by level.
struct Tree {
    workload: &'static str,
    cgroups: &'static [(&'static str, u32)],
    parts: &'static [(&'static str, f64)],
}

const TREES: [Tree; 3] = [
    Tree {
        workload: "wide",
        cgroups: &[("/a", 100), ("/b", 300), ("/c", 50)],
        parts: &[("a", 100.0 / 450.0), ("b", 300.0 / 450.0), ("c", 50.0 / 450.0)],
    },
    Tree {
        workload: "deep",
        cgroups: &[("/a", 300), ("/b", 100), ("/a/x", 100), ("/a/y", 200), ("/a/y/p", 100), ("/a/y/q", 50)],
        parts: &[
            ("ax", 0.75 / 3.0),
            ("ayp", 0.75 * 2.0 / 3.0 * 2.0 / 3.0),
            ("ayq", 0.75 * 2.0 / 3.0 / 3.0),
            ("b", 0.25),
        ],
    },
    // one that mostly sleeps leaves what it does not use to the one beside it, not to all
    Tree {
        workload: "parted",
        cgroups: &[("/site", 200), ("/site/web", 400), ("/site/db", 100), ("/batch/sleepy", 10)],
        parts: &[("web", 2.0 / 3.0 * 0.8), ("db", 2.0 / 3.0 * 0.2), ("batch", 1.0 / 3.0)],
    },
];

#[test]
fn shares_are_those_of_the_nested_hierarchy() {
    for tree in TREES {
        for machine in ["1", "4", "2x2x2"] {
            let sim = sim(machine, &file(tree.workload), 20_000, &[("slice", 5_000_000)], tree.cgroups);
            let run = sim.object(OBJECT).unwrap();
            assert!(run.is_healthy() && run.report.tasks.iter().all(|t| t.cpu_ns > 0), "{}: {run}", tree.workload);
            let names: Vec<&str> = tree.parts.iter().map(|(name, _)| *name).collect();
            let shares = shares(&run, &names);
            for (share, (name, part)) in shares.iter().zip(tree.parts) {
                let off = (share / part - 1.0).abs();
                assert!(off < 0.03, "{} on {machine}: {name} has {share} and not {part}: {shares:?}", tree.workload);
            }
        }
    }
}

/// One task in each of two cgroups: the heavy one has to run several times in a row.
#[test]
fn a_lone_heavy_task_gets_its_share() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("lone.json");
    let tasks = r#"{ "tasks": { "h": { "loop": -1, "run": 10000000, "taskgroup": "/h" },
        "l": { "loop": -1, "run": 10000000, "taskgroup": "/l" } }, "global": { "duration": 10 } }"#;
    std::fs::write(&path, tasks).unwrap();
    let run = sim("1", path.to_str().unwrap(), 20_000, &[("slice", 5_000_000)], &[("/h", 400)]).object(OBJECT).unwrap();
    let share = shares(&run, &["h", "l"])[0];
    assert!(run.is_healthy() && (share / 0.8 - 1.0).abs() < 0.03, "{share} {run}");
}

/// Tasks that go on, slice after slice, take their cgroup's virtual time along: who comes late neither starves them nor is starved.
#[test]
fn late_tasks_start_with_the_others() {
    let run = sim("2", &file("late"), 4_000, &[], &[]).object(OBJECT).unwrap();
    // a CPU each for two seconds, then two of ten parts of equal weight, and one third of such a part
    let [heavy, light] = ["heavy", "light"].map(|name| run.cpu_ns(name) as f64 / 1e9);
    assert!(run.is_healthy() && (2.3..2.6).contains(&heavy) && (2.05..2.25).contains(&light), "{heavy} {light} {run}");
    let late = run.report.tasks.iter().filter(|t| t.comm.starts_with("late")).map(|t| t.cpu_ns).min();
    assert!(late > Some(300_000_000), "{late:?} {run}");
}

#[test]
fn tasks_of_a_cgroup_share_by_weight() {
    let run = sim("1", "spin:n=3,nice=-5/0/5", 20_000, &[("slice", 5_000_000)], &[]).object(OBJECT).unwrap();
    let shares = shares(&run, &["spin-5", "spin+0", "spin+5"]);
    for (share, weight) in shares.iter().zip([305.0, 100.0, 33.0]) {
        assert!((share / (weight / 438.0) - 1.0).abs() < 0.03, "{shares:?}");
    }
    let run = sim("1", "spin:n=3,nice=-5/0/5", 20_000, &[("fifo", 1)], &[]).object(OBJECT).unwrap();
    let share = self::shares(&run, &["spin-5", "spin+0", "spin+5"])[0];
    assert!(run.is_healthy() && (share - 1.0 / 3.0).abs() < 0.02, "{share}");
}

#[test]
fn nobody_starves_and_no_cpu_is_forgotten() {
    for machine in ["1", "3", "2x4x2"] {
        for workload in ["mixed", "schbench", "hackbench:groups=1", "pipe:pairs=4"] {
            let run = sim(machine, workload, 1_000, &[], &[]).object(OBJECT).unwrap();
            assert!(run.is_healthy(), "{machine} {workload}: {run}");
            assert!(run.report.tasks.iter().all(|t| t.cpu_ns > 0), "{machine} {workload}: {run}");
            let (idle, nr_cpus) = (run.report.totals.idle_with_work_ns, if machine == "2x4x2" { 16 } else { 3 });
            // a synchronous wakeup waits for its waker's CPU, idle ones or not
            assert!(workload.starts_with("pipe") || idle < nr_cpus * 20_000_000, "{machine} {workload}: {idle} ns");
            assert_eq!(run.global("nr_no_memory") + run.global("nr_cgrp_refused"), 0);
            // who is active: what came and did not go
            let active = run.global("nr_act") - run.global("nr_deact");
            assert!((0..=1).contains(&active), "{machine} {workload}: {active}");
        }
    }
}

#[test]
fn bpf_and_native_code_decide_alike() {
    for (machine, workload) in [("1", file("deep")), ("4", file("parted")), ("2x2x2", "mixed".to_owned())] {
        for args in [&[][..], &[("slice", 3_000_000), ("fifo", 1)]] {
            sim(machine, &workload, 400, args, &[("/a", 300), ("/batch", 20)]).twins(NATIVE, OBJECT).unwrap();
        }
    }
}

#[test]
fn a_run_is_the_same_twice() {
    let run = || sim("4", &file("parted"), 300, &[], &[]).object(OBJECT).unwrap().events;
    assert_eq!(run(), run());
}
