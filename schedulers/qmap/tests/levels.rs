//! Levels share as their turns say; faults are found; both forms decide alike.

use scxr_qmap::{NATIVE, OBJECT, user::OPTIONS};
use scxr_sim::{ExitKind, Run, Sim};

/// With options by their long names.
fn sim(machine: &str, workload: &str, ms: u64, args: &[(&str, u64)]) -> Sim {
    let sim = Sim::new(machine).workload(workload).duration_ms(ms);
    sim.options(OPTIONS, args).unwrap()
}

fn all_ran(run: &Run) -> bool {
    run.report.tasks.iter().all(|t| t.cpu_ns > 0)
}

/// CPU time of nice 10, 5, 0, -5 and -10, whose levels are 0 to 4, in 31ths.
fn levels(run: &Run) -> Vec<f64> {
    let times = ["spin+10", "spin+5", "spin+0", "spin-5", "spin-10"].map(|name| run.cpu_ns(name) as f64);
    let all: f64 = times.iter().sum();
    times.iter().map(|t| t / all * 31.0).collect()
}

#[test]
fn levels_share_1_2_4_8_16() {
    // one in each level, or many: their number does not matter
    for (machine, nr, slice) in
        [("1", 5, 5_000_000), ("1", 15, 5_000_000), ("4", 40, 5_000_000), ("2x2x2", 80, 2_000_000)]
    {
        let workload = format!("spin:n={nr},nice=10/5/0/-5/-10");
        let run = sim(machine, &workload, 20_000, &[("slice", slice)]).object(OBJECT).unwrap();
        assert!(run.is_healthy() && all_ran(&run), "{machine}: {run}");
        for (share, expect) in levels(&run).iter().zip([1.0, 2.0, 4.0, 8.0, 16.0]) {
            assert!((share / expect - 1.0).abs() < 0.03, "{machine}: {:?}", levels(&run));
        }
    }
}

#[test]
fn no_cpu_idles_long_while_tasks_wait() {
    for workload in ["schbench", "mixed", "hackbench:groups=2"] {
        let run = sim("2x4x2", workload, 1_000, &[]).object(OBJECT).unwrap();
        assert!(run.is_healthy() && all_ran(&run), "{workload}: {run}");
        let idle = run.report.totals.idle_with_work_ns;
        assert!(idle < 16 * 1_000_000_000 / 100, "{workload}: {idle} ns of 16 s");
        assert_eq!(run.global("nr_overflows") + run.global("nr_dropped"), 0);
    }
}

#[test]
fn the_highest_priority_goes_first() {
    let wait = |args: &[(&str, u64)]| {
        let run =
            sim("2", "mixed:hogs=6,nice=0,interactive=1,periodic=0,pinned=0", 2_000, args).object(OBJECT).unwrap();
        assert!(run.is_healthy(), "{run}");
        run
    };
    assert_eq!(wait(&[]).global("nr_expedited_local"), 0);
    let run =
        sim("2", "spin:n=8,nice=-20/0/0/0", 2_000, &[("highpri", 1), ("slice", 5_000_000)]).object(OBJECT).unwrap();
    let sent = ["local", "remote", "timer"].map(|how| run.global(&format!("nr_expedited_{how}")));
    assert!(run.is_healthy() && all_ran(&run) && sent.iter().sum::<i128>() > 10, "{sent:?} {run}");
    let left = run.global("nr_highpri_queued");
    assert!((0..=2).contains(&left), "{left} of two tasks wait");
    // two of eight, a level above the others: without the option they would have 16 of 20 parts
    let share = run.cpu_ns("spin-20") as f64 / (run.cpu_ns("spin-20") + run.cpu_ns("spin+0")) as f64;
    assert!(share > 0.6, "{share}");
}

#[test]
fn faults_are_found_and_nothing_is_lost() {
    for (args, exit, msg) in [
        ([("drop-user", 50)], ExitKind::ErrorStall, "failed to run"),
        ([("error-after", 100)], ExitKind::ErrorBpf, "an error after 100 tasks"),
    ] {
        let run = sim("2", "mixed", 12_000, &args).object(OBJECT).unwrap();
        assert_eq!(run.exit, exit, "{args:?}: {run}");
        assert!(run.exit_msg.contains(msg), "{args:?}: {}", run.exit_msg);
        assert!(all_ran(&run), "{args:?}: {run}");
        // under the fair class all of the machine is used again
        assert!(run.cpu_ns("hog") > 10_000_000_000, "{args:?}: {run}");
    }
}

#[test]
fn bpf_and_native_code_decide_alike() {
    for args in [&[("highpri", 1), ("batch", 4)][..], &[("slice", 1_000_000)], &[("print", 1), ("disallow", 3)]] {
        for (machine, workload) in [("2", "mixed"), ("2x2x2", "spin:n=20,nice=-20/0/10"), ("4", "hackbench:groups=1")] {
            sim(machine, workload, 1_200, args).twins(NATIVE, OBJECT).unwrap();
        }
    }
}

#[test]
fn a_run_is_the_same_twice() {
    let run = || sim("4", "mixed", 300, &[]).object(OBJECT).unwrap().events;
    assert_eq!(run(), run());
}
