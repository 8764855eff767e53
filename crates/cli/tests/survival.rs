//! Every scheduler that comes with scxr, beside everything that can happen to a machine: none errs, and no task is lost. On the simulated kernel always, on
//! Linux each event with some of them.

mod support;

use serde_json::Value;
use support::scxr;

/// Schedulers, and whether they decide in user space.
const SCHEDULERS: [(&str, bool); 7] = [
    ("simple", false),
    ("qmap", false),
    ("central", false),
    ("pair", false),
    ("flatcg", false),
    ("toy", true),
    ("userland", true),
];

/// Something that happens, and how the schedulers' time ends.
struct Case {
    what: &'static str,
    events: &'static [&'static str],
    duration: &'static str,
    exit: &'static str,
    /// It is about user-space halves.
    of_halves: bool,
    /// Schedulers that it happens to on Linux, too.
    on_linux: &'static [&'static str],
}

const CASES: [Case; 7] = [
    Case {
        what: "CPUs come and go",
        events: &[
            "150ms hotplug cpu3 off",
            "200ms hotplug cpu1 off",
            "300ms hotplug cpu3 on",
            "350ms hotplug cpu1 on",
            "400ms hotplug cpu2 off",
        ],
        duration: "700ms",
        exit: "none",
        of_halves: false,
        on_linux: &["simple", "central", "userland"],
    },
    Case {
        what: "higher classes take CPUs",
        events: &[
            "50ms rt cpu2 20ms",
            "80ms policy hog-5 fifo:5",
            "90ms policy hog-5 normal",
            "150ms rt cpu1 20ms",
            "155ms rt cpu0 20ms",
            "250ms rt cpu2 10ms",
        ],
        duration: "500ms",
        exit: "none",
        of_halves: false,
        on_linux: &["pair", "toy"],
    },
    Case {
        what: "tasks change",
        events: &[
            "100ms affinity hog-5 0-1",
            "110ms nice hog-5 5",
            "150ms affinity hog+0 3",
            "200ms affinity hog-5 0-3",
            "210ms nice hog-5 -20",
            "220ms policy hog+0 batch",
        ],
        duration: "500ms",
        exit: "none",
        of_halves: false,
        on_linux: &["qmap", "userland"],
    },
    Case {
        what: "cgroups come and go",
        events: &[
            "50ms cgroup /a make",
            "60ms move hog-5 /a",
            "70ms cgroup /a weight 200",
            "80ms cgroup /b make",
            "85ms cgroup /b weight 7",
            "90ms move hog+0 /b",
            "150ms move hog-5 /",
            "151ms move hog+0 /",
            "152ms cgroup /b remove",
            "153ms cgroup /a remove",
            "160ms cgroup /a make",
            "170ms move hog-5 /a",
        ],
        duration: "1s",
        exit: "none",
        of_halves: false,
        on_linux: &["flatcg"],
    },
    Case {
        what: "a debug dump",
        events: &["300ms sysrq-d"],
        duration: "500ms",
        exit: "none",
        of_halves: false,
        on_linux: &["qmap"],
    },
    Case {
        what: "SysRq-S",
        events: &["200ms sysrq-s"],
        duration: "500ms",
        exit: "sysrq",
        of_halves: false,
        on_linux: &["toy", "flatcg"],
    },
    Case {
        what: "a killed half",
        events: &["200ms kill-half"],
        duration: "9s",
        exit: "error_stall",
        of_halves: true,
        on_linux: &["userland"],
    },
];

/// Runs a case and judges. `place`: further options.
fn check(case: &Case, sched: &str, machine: &str, place: &[&str]) {
    let about = format!("{}: {sched} {machine} {place:?}", case.what);
    let mut args = vec!["run", sched, "--machine", machine, "--workload", "mixed", "--duration", case.duration];
    args.extend(case.events.iter().flat_map(|e| ["--inject", e]));
    args.extend(["--stats", "0.1", "--json", "-q"]);
    args.extend(place);
    let ran = scxr(&args);
    let fault = case.exit.starts_with("error");
    assert_eq!(ran.code, i32::from(fault), "{about}\n{}\n{}", ran.stderr, ran.stdout);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON on standard output");
    assert_eq!(report["exit"]["kind"], case.exit, "{about}: {}", report["exit"]);
    let tasks = report["tasks"].as_array().expect("tasks");
    let ran_all = !tasks.is_empty() && tasks.iter().all(|t| t["cpu_ns"].as_u64().is_some_and(|ns| ns > 0));
    assert!(ran_all, "{about}: {tasks:?}");
    let half_ended = report["half"]["error"].as_str();
    assert_eq!(half_ended, case.of_halves.then_some("killed"), "{about}");
    let dumps = report["dumps"].as_array().map_or(0, Vec::len);
    assert_eq!(dumps, case.events.iter().filter(|e| e.ends_with("sysrq-d")).count(), "{about}");
    if !place.is_empty() {
        return; // a guest's CPUs may be held up for any time
    }
    // nobody has been waiting for long when the run ends
    let waiting = report["latency_ns"]["waiting"]["max"].as_u64().expect("a time");
    assert!(waiting < 250_000_000, "{about}: somebody has waited for {waiting} ns");
    if fault {
        // under the fair class all of the machine is used again: four CPUs, for the time after the watchdog
        let busy: u64 = tasks.iter().filter_map(|t| t["cpu_ns"].as_u64()).sum();
        assert!(busy > 4_000_000_000, "{about}: {busy}");
    }
    // figures come at each interval, the last one at the end
    if case.exit == "none" {
        let stats = report["stats"].as_array().expect("figures");
        let times: Vec<u64> = stats.iter().map(|s| s["at_ns"].as_u64().expect("a time") / 1_000_000).collect();
        let expect: Vec<u64> =
            (1..=report["duration_ns"].as_u64().expect("a time") / 100_000_000).map(|i| 100 * i).collect();
        assert_eq!(times.len(), expect.len(), "{about}: {times:?}");
        assert!(times.iter().zip(&expect).all(|(t, e)| (*e..e + 100).contains(t)), "{about}: {times:?}");
    }
}

#[test]
fn all_survive_all_on_the_simulated_kernel() {
    for case in &CASES {
        for (sched, has_half) in SCHEDULERS {
            for machine in ["4", "2x2"] {
                if has_half || !case.of_halves {
                    check(case, sched, machine, &[]);
                }
            }
        }
    }
}

#[test]
fn each_event_is_survived_on_linux() {
    for case in &CASES {
        for sched in case.on_linux {
            check(case, sched, "4", &["--on", "vm", "--kernel", "7.2"]);
        }
    }
}

#[test]
fn what_asks_to_be_started_again_is() {
    let args = ["run", "simple", "--machine", "4", "--workload", "mixed", "--duration", "600ms"];
    let ran = scxr(&[&args[..], &["--inject", "200ms hotplug cpu3 off", "--globals", "--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("was started again, as it asked for"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["exit"]["kind"], "none");
    // the new one counts from the start, and serves all
    let served = report["globals"]["stats"]["sum"].as_array().expect("an array");
    assert!(served.iter().filter_map(Value::as_u64).sum::<u64>() > 50, "{served:?}");
}

#[test]
fn a_half_that_is_not_there_cannot_be_killed() {
    let ran = scxr(&["run", "simple", "--duration", "100ms", "--inject", "50ms kill-half"]);
    assert!(ran.code == 2 && ran.stderr.contains("simple has no user-space half"), "{}", ran.stderr);
}
