//! The others have no ticks; all have their turns; both forms decide alike.

use scxr_central::{NATIVE, OBJECT, user::OPTIONS};
use scxr_sim::{ExitKind, Run, Sim};

/// With options by their long names.
fn sim(machine: &str, workload: &str, ms: u64, args: &[(&str, u64)]) -> Sim {
    let sim = Sim::new(machine).workload(workload).duration_ms(ms);
    sim.options(OPTIONS, args).unwrap()
}

/// Ticks by CPU.
fn ticks(run: &Run, nr_cpus: usize) -> Vec<usize> {
    let mut ticks = vec![0; nr_cpus];
    let all = run.events.iter().filter(|e| e.kind.name() == "tick");
    all.for_each(|e| ticks[e.cpu as usize] += 1);
    ticks
}

fn all_ran(run: &Run) -> bool {
    run.report.tasks.iter().all(|t| t.cpu_ns > 0)
}

#[test]
fn only_the_deciding_cpu_ticks() {
    for (machine, nr_cpus, central, rest) in [("8", 8, 0, "1-7"), ("2x4x2", 16, 0, "1-15"), ("4", 4, 2, "0-1,3")] {
        let workload = format!("spin:n={}", 2 * nr_cpus);
        let args = [("cpu", central as u64)];
        let run = sim(machine, &workload, 2_000, &args).nohz_full(rest).object(OBJECT).unwrap();
        assert!(run.is_healthy() && all_ran(&run), "{machine}: {run}");
        let ticks = ticks(&run, nr_cpus);
        let others: usize = (0..nr_cpus).filter(|&cpu| cpu != central).map(|cpu| ticks[cpu]).sum();
        // at the start a CPU may tick before it has a task
        assert!(ticks[central] > 400 && others <= nr_cpus, "{machine}: {ticks:?}");
        // and still tasks take turns: a slice each
        assert!(run.report.totals.context_switches > 90 * nr_cpus as u64, "{machine}: {run}");
        let times: Vec<u64> = run.report.tasks.iter().map(|t| t.cpu_ns).collect();
        let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(*least as f64 > 0.9 * *most as f64, "{machine}: {times:?}");
    }
}

#[test]
fn nobody_starves_and_no_cpu_is_forgotten() {
    for machine in ["1", "3", "2x4x2"] {
        for workload in ["mixed", "schbench", "hackbench:groups=1", "pipe:pairs=4", "spin:n=40"] {
            let run = sim(machine, workload, 1_000, &[]).object(OBJECT).unwrap();
            assert!(run.is_healthy() && all_ran(&run), "{machine} {workload}: {run}");
            assert_eq!(run.global("nr_lost_pids") + run.global("nr_overflows"), 0, "{machine} {workload}");
            let (queued, wanting) = (run.global("nr_queued"), run.global("nr_wanting"));
            assert!(queued >= 0 && (0..=16).contains(&wanting), "{machine} {workload}: {queued} {wanting}");
        }
    }
    // whoever wants a task gets one: two hogs for each CPU leave none idle
    let run = sim("8", "spin:n=16", 1_000, &[]).object(OBJECT).unwrap();
    let idle = run.report.totals.idle_with_work_ns;
    assert!(idle < 8 * 1_000_000_000 / 100, "{idle} ns of 8 s");
}

#[test]
fn a_cpu_that_is_not_there_cannot_decide() {
    let run = sim("4", "mixed", 200, &[("cpu", 4)]).object(OBJECT).unwrap();
    assert_eq!((run.exit, run.exit_msg.as_str()), (ExitKind::ErrorBpf, "CPU 4 is to decide, there are 4"));
    assert!(all_ran(&run), "{run}");
}

#[test]
fn an_interval_of_nothing_is_refused() {
    let run = Sim::new("4").set("interval", 0).object(OBJECT).unwrap();
    assert_eq!(
        (run.exit, run.exit_msg.as_str()),
        (ExitKind::ErrorBpf, "an interval of 0 leaves no time for anything else")
    );
    assert!(all_ran(&run), "{run}");
}

#[test]
fn bpf_and_native_code_decide_alike() {
    for (machine, workload) in [("1", "mixed"), ("4", "mixed"), ("2x2x2", "hackbench:groups=1"), ("8", "spin:n=20")] {
        for args in [&[][..], &[("cpu", 0), ("slice", 3_000_000), ("interval", 500_000)]] {
            sim(machine, workload, 400, args).twins(NATIVE, OBJECT).unwrap();
        }
    }
}

#[test]
fn a_run_is_the_same_twice() {
    let run = || sim("4", "mixed", 300, &[]).object(OBJECT).unwrap().events;
    assert_eq!(run(), run());
}
