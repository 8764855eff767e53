//! qmap, central, pair and flatcg do on Linux what each is for, and say what is wrong with their options. Their own tests, on the simulated kernel alone, are with
//! them; `survival.rs` has what happens to machines.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use support::{root, scxr};

const SCHEDULERS: [&str; 4] = ["qmap", "central", "pair", "flatcg"];

fn json(args: &[&str], code: i32) -> Value {
    let ran = scxr(args);
    assert_ne!(ran.code, 4, "the lab cannot run here: {}", ran.stderr);
    assert_eq!(ran.code, code, "{args:?}\n{}\n{}", ran.stderr, ran.stdout);
    serde_json::from_str(&ran.stdout).expect("JSON on standard output")
}

fn cpu_ns(report: &Value, comm: &str) -> u64 {
    let tasks = report["tasks"].as_array().expect("tasks").iter();
    tasks.filter(|t| t["comm"].as_str().is_some_and(|c| c.starts_with(comm))).filter_map(|t| t["cpu_ns"].as_u64()).sum()
}

/// The least CPU time that a task of the workload has had, ns.
fn least(report: &Value) -> u64 {
    let tasks = report["tasks"].as_array().expect("tasks");
    assert!(!tasks.is_empty());
    tasks.iter().filter_map(|t| t["cpu_ns"].as_u64()).min().expect("a time")
}

/// A workload of a scheduler's own tests.
fn workload(path: &str) -> String {
    root().join("schedulers").join(path).to_str().expect("UTF-8").to_owned()
}

/// Cgroups come and go by the dozen, some with tasks; the queues of the dead ones are ended later.
#[test]
fn cgroups_may_come_and_go() {
    let mut events = Vec::new();
    for i in 0..40 {
        let (at, path) = (20 + 20 * i, format!("/churn/{}", i % 4));
        events.push(format!("{at}ms cgroup {path} make"));
        if i % 3 == 0 {
            events.push(format!("{}ms move long-{} {path}", at + 2, i % 6));
            events.push(format!("{}ms cgroup {path} weight {}", at + 4, 50 + i));
            events.push(format!("{}ms move long-{} /long", at + 8, i % 6));
        }
        events.push(format!("{}ms cgroup {path} remove", at + 12));
    }
    let groups = workload("pair/tests/groups.json");
    for sched in SCHEDULERS {
        let mut args = vec!["run", sched, "--machine", "2x2", "--workload", &groups, "--duration", "2500ms"];
        args.extend(events.iter().flat_map(|e| ["--inject", e.as_str()]));
        let report = json(&[&args[..], &["--globals", "--json", "-q"]].concat(), 0);
        assert_eq!(report["exit"]["kind"], "none", "{sched}: {}", report["exit"]);
        assert!(least(&report) > 0, "{sched}");
        if ["pair", "flatcg"].contains(&sched) {
            // the root, four of the workload, and the one in which the others came
            assert_eq!(report["globals"]["nr_cgroups"], 6, "{sched}: {}", report["globals"]);
            assert_eq!(report["globals"]["nr_cgrp_refused"], 0, "{sched}");
        }
    }
}

#[test]
fn wrong_options_are_told_by_name() {
    for (sched, args, why) in [
        ("qmap", &["--batch", "x"][..], &["'--batch <N>'", "a whole number"][..]),
        ("qmap", &["--batch", "0"], &["'--batch <N>'", "from 1 to 4096"]),
        ("central", &["--slice", "5"], &["'--slice <TIME>'", "a time has a unit"]),
        ("central", &["--cpu", "4"], &["'--cpu <N>'", "the machine has 4 CPUs"]),
        ("central", &["--interval", "1us"], &["'--interval <TIME>'", "from 50us to 1s"]),
        ("pair", &["--strid", "2"], &["'--strid'", "'--stride'"]),
        ("flatcg", &["--fifo=1"], &["'--fifo'", "unexpected value"]),
        ("toy", &["--ahead"], &["'--ahead <N>'", "value is required"]),
        ("simple", &["fifo"], &["unexpected argument 'fifo'"]),
    ] {
        let ran = scxr(&[&["run", sched, "--machine", "4", "--duration", "50ms", "--"], args].concat());
        let told = ran.code == 2 && why.iter().all(|w| ran.stderr.contains(w)) && ran.stdout.is_empty();
        assert!(told, "{sched} {args:?}: {} {}", ran.code, ran.stderr);
    }
}

/// `-- --help` names each option with its unit, limits and default, and each README shows the same.
#[test]
fn options_are_explained() {
    for sched in ["simple", "qmap", "central", "pair", "flatcg", "toy", "userland"] {
        let ran = scxr(&["run", sched, "--", "--help"]);
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{sched}: {}", ran.stderr);
        let (_, options) = ran.stdout.split_once("Options:\n").expect("options");
        let readme = root().join("schedulers").join(sched).join("README.md");
        let readme = std::fs::read_to_string(readme).expect("a README");
        for line in options.lines().take_while(|line| !line.is_empty()).filter(|line| !line.contains("--help")) {
            assert!(readme.contains(line), "{sched}: {line}");
        }
    }
}

/// What a policy prints is in the report of a simulation, for people and as JSON.
#[test]
fn what_is_printed_is_shown() {
    let args = ["run", "qmap", "--machine", "4", "--duration", "300ms", "--inject", "100ms hotplug cpu3 off", "-q"];
    let ran = scxr(&args);
    assert!(ran.code == 0 && ran.stdout.contains("printed\n  cpu 3 is offline\n"), "{}", ran.stdout);
    let report = json(&[&args[..], &["--json"]].concat(), 0);
    assert_eq!(report["printed"], serde_json::json!(["cpu 3 is offline"]));
}

fn on_linux(sched: &str, kernel: &str, machine: &str, workload: &str, more: &[&str]) -> Value {
    let args = ["run", sched, "--on", "vm", "--kernel", kernel, "--machine", machine, "--workload", workload];
    let report = json(&[&args[..], &["--duration", "1s", "--globals", "--json", "-q"], more].concat(), 0);
    assert_eq!(report["exit"]["kind"], "none", "{sched} on {kernel}: {}", report["exit"]);
    assert!(least(&report) > 0, "{sched} on {kernel}: {}", report["tasks"]);
    report
}

const KERNELS: [&str; 2] = ["6.16", "7.2"];

#[test]
fn qmap_has_levels_on_linux() {
    for kernel in KERNELS {
        let report = on_linux("qmap", kernel, "1", "spin:n=6,nice=10/0/-10", &["--", "--slice", "5ms"]);
        // levels 0 and 4: 1 : 16. Level 2 shares its turns with whatever the guest itself runs, so nothing is said about it.
        let [low, high] = ["spin+10", "spin-10"].map(|name| cpu_ns(&report, name));
        assert!(high > 3 * low, "{kernel}: {low} {high}");
    }
}

#[test]
fn central_decides_on_linux() {
    for kernel in KERNELS {
        let report = on_linux("central", kernel, "4", "spin:n=8", &[]);
        let of = |name: &str| report["globals"][name].as_u64().expect("a number");
        assert!(of("nr_dispatches") >= 8 && of("nr_timers") > 0, "{kernel}: {}", report["globals"]);
        assert!(of("nr_preemptions") > 0, "{kernel}: without ticks tasks take turns all the same");
    }
}

/// From a trace: for how long CPUs of a pair ran tasks of two cgroups of the workload, ns, and for how long they ran any.
fn together(trace: &str, mate: impl Fn(u64) -> u64) -> (u64, u64) {
    let mut groups = BTreeMap::new();
    let mut running: BTreeMap<u64, (String, u64)> = BTreeMap::new();
    let (mut both, mut all) = (0, 0);
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let mut number = || words.next().and_then(|w| w.parse::<u64>().ok()).expect("a number");
        let (t, cpu) = (number(), number());
        let kind = words.next().expect("a kind");
        let of = |key: &str| line.split(' ').find_map(|w| w.strip_prefix(key)).unwrap_or_default().to_owned();
        match kind {
            "fork" => _ = groups.insert(of("pid="), of("group=")),
            "switch_in" => _ = running.insert(cpu, (of("pid="), t)),
            "switch_out" => {
                let Some((pid, from)) = running.remove(&cpu) else { continue };
                let group = |pid: &str| groups.get(pid).filter(|g| g.as_str() != "/" && !g.is_empty());
                let Some(own) = group(&pid) else { continue };
                all += t.saturating_sub(from);
                if let Some((other, since)) = running.get(&mate(cpu))
                    && group(other).is_some_and(|other| other != own)
                {
                    both += t.saturating_sub(from.max(*since));
                }
            }
            _ => {}
        }
    }
    (both, all)
}

#[test]
fn pair_keeps_cgroups_apart_on_linux() {
    let groups = workload("pair/tests/groups.json");
    let trace = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pair.trace");
    for kernel in KERNELS {
        let trace_to = ["--trace", trace.to_str().expect("UTF-8")];
        on_linux("pair", kernel, "2x2", &groups, &trace_to);
        let text = std::fs::read_to_string(&trace).expect("a trace");
        // the guest's CPUs take turns at being run at all: one can be held up between two instructions
        let (both, all) = together(&text, |cpu| cpu ^ 2);
        // CPUs that are no pair are not kept apart
        let (others, _) = together(&text, |cpu| cpu ^ 1);
        assert!(both < all / 10 && 3 * both < others, "{kernel}: {both} of {all} ns, others {others}");
    }
}

#[test]
fn flatcg_shares_on_linux() {
    let wide = workload("flatcg/tests/wide.json");
    for kernel in KERNELS {
        let weights = ["--inject", "1ms cgroup /a weight 200", "--inject", "1ms cgroup /b weight 600"];
        let report = on_linux("flatcg", kernel, "2", &wide, &[&weights[..], &["--", "--slice", "2ms"]].concat());
        let [a, b, c] = ["a-", "b-", "c-"].map(|name| cpu_ns(&report, name));
        // 2 : 6 : 1, give or take what the machine's own tasks do
        assert!(4 * b > 5 * a && b > 2 * c, "{kernel}: {a} {b} {c}");
    }
}
