//! More than a table holds: it is counted, what has no place is served another way, and nobody is forgotten. Tables are made small here.

mod support;

use serde_json::Value;
use support::{root, scxr};

/// A scheduler, what it is given, and the variable that says that it was too much.
struct Case {
    sched: &'static str,
    workload: &'static str,
    resize: &'static str,
    inject: &'static [&'static str],
    counter: &'static str,
}

const GROUPS: &str = "schedulers/pair/tests/groups.json";

const CASES: [Case; 8] = [
    Case { sched: "qmap", workload: "spin:n=40", resize: "fifo2=4", inject: &[], counter: "nr_overflows" },
    Case { sched: "qmap", workload: "mixed", resize: "fifo0=1", inject: &[], counter: "nr_enqueued" },
    Case { sched: "central", workload: "spin:n=40", resize: "waiting=4", inject: &[], counter: "nr_overflows" },
    Case { sched: "flatcg", workload: GROUPS, resize: "cgroups=2", inject: &[], counter: "nr_cgrp_refused" },
    Case {
        sched: "flatcg",
        workload: GROUPS,
        resize: "dead=1",
        inject: &[
            "100ms cgroup /x make",
            "101ms cgroup /y make",
            "102ms cgroup /z make",
            "103ms cgroup /x remove",
            "104ms cgroup /y remove",
            "105ms cgroup /z remove",
        ],
        counter: "nr_not_buried",
    },
    Case { sched: "pair", workload: GROUPS, resize: "groups=2", inject: &[], counter: "nr_cgrp_refused" },
    Case { sched: "toy", workload: "spin:n=200", resize: "ready=4096", inject: &[], counter: "full" },
    Case { sched: "userland", workload: "spin:n=200", resize: "ready=4096", inject: &[], counter: "full" },
];

#[test]
fn nobody_is_forgotten_where_a_table_is_full() {
    for Case { sched, workload, resize, inject, counter } in &CASES {
        let file = root().join(workload);
        let workload = if workload.ends_with(".json") { file.to_str().expect("UTF-8") } else { *workload };
        let mut args = vec!["run", sched, "--machine", "4", "--workload", workload, "--resize", resize];
        args.extend(inject.iter().flat_map(|e| ["--inject", e]));
        args.extend(["--duration", "4s", "--stats", "1", "--json", "-q"]);
        let ran = scxr(&args);
        assert_eq!(ran.code, 0, "{args:?}\n{}\n{}", ran.stderr, ran.stdout);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(report["exit"]["kind"], "none", "{args:?}: {}", report["exit"]);
        let last = report["stats"].as_array().and_then(|s| s.last()).expect("figures");
        assert!(last["values"][counter].as_u64().is_some_and(|n| n > 0), "{args:?}: {counter} {last}");
        let tasks = report["tasks"].as_array().expect("tasks");
        assert!(tasks.iter().all(|t| t["cpu_ns"].as_u64() > Some(0)), "{args:?}: {tasks:?}");
        // a round of all of them is 200 slices on four CPUs
        let waiting = report["latency_ns"]["waiting"]["max"].as_u64().expect("a time");
        assert!(waiting < 1_500_000_000, "{args:?}: {waiting}");
    }
}

/// One cgroup after the other, each removed before the timer that ends queues is due: the queues go all the same.
#[test]
fn queues_of_removed_cgroups_end_though_more_are_removed() {
    let removed =
        |i: u64| [format!("{}ms cgroup /c{i} make", 500 * i), format!("{}ms cgroup /c{i} remove", 500 * i + 10)];
    let events: Vec<String> = (0..8).flat_map(removed).collect();
    for sched in ["flatcg", "pair"] {
        let mut args = vec!["run", sched, "--machine", "2", "--duration", "3900ms", "--globals", "--json", "-q"];
        args.extend(events.iter().flat_map(|e| ["--inject", e.as_str()]));
        let ran = scxr(&args);
        assert_eq!(ran.code, 0, "{sched}: {}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let [dead, left] = ["nr_dead", "nr_not_buried"].map(|name| report["globals"][name].as_u64());
        // each stays for two beats at most
        assert!(dead.is_some_and(|n| n <= 5) && left == Some(0), "{sched}: {dead:?} {left:?}");
    }
}
