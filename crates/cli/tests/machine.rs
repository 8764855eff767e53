//! The machine that a guest sees is the one that is simulated: same places, same numbers, same distances.

mod support;

use std::collections::BTreeMap;

use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use serde_json::Value;
use support::scxr;

/// Prints `KIND NUMBER LIST` lines.
const SCRIPT: &str = "cd /sys/devices/system; for c in cpu/cpu[0-9]*; do n=${c#cpu/cpu}; \
    echo core $n $(cat $c/topology/core_cpus_list); echo llc $n $(cat $c/cache/index3/shared_cpu_list); \
    echo l2 $n $(cat $c/cache/index2/shared_cpu_list); echo package $n $(cat $c/topology/package_cpus_list); done; \
    for d in node/node[0-9]*; do n=${d#node/node}; echo node $n $(cat $d/cpulist); echo distance $n $(cat $d/distance); done";

#[test]
fn a_guest_has_the_machine_that_is_simulated() {
    let spec = "2x2x1x2";
    let exec = format!("sh -c '{SCRIPT}'");
    let ran = scxr(&["run", "eevdf", "--on", "vm", "--machine", spec, "--json", "-q", "--exec", &exec]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let mut seen: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    let text = value["exec"]["stdout"].as_str().expect("text");
    for line in text.lines() {
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        let [kind, number, list] = parts[..] else { panic!("{line}") };
        seen.insert((kind, number.parse().expect("a number")), list);
    }
    let machine = Topology::parse(spec).expect("a machine");
    let mask = |kind, n| {
        CpuMask::parse(seen.get(&(kind, n)).unwrap_or_else(|| panic!("no {kind} {n}:\n{text}"))).expect("CPUs")
    };
    for cpu in (0..machine.nr_cpus() as u32).map(CpuId) {
        assert_eq!(mask("core", cpu.0), *machine.smt_mask(cpu), "core of {cpu:?}");
        assert_eq!(mask("l2", cpu.0), *machine.smt_mask(cpu), "second-level cache of {cpu:?}");
        assert_eq!(mask("llc", cpu.0), *machine.llc_mask(cpu), "last-level cache of {cpu:?}");
        assert_eq!(mask("package", cpu.0), *machine.node_mask(cpu), "package of {cpu:?}");
    }
    for (n, distances) in machine.node_distance.iter().enumerate() {
        assert_eq!(mask("node", n as u32), machine.nodes[n], "node {n}");
        let distances: Vec<String> = distances.iter().map(u32::to_string).collect();
        assert_eq!(seen[&("distance", n as u32)], distances.join(" "));
    }
    assert_eq!(value["machine"]["nr_llcs"], machine.llcs.len());
}

/// Two hogs on the two threads of one core: with different cookies only one of them runs at a time.
#[test]
fn cookies_keep_tasks_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("apart.json");
    let busy = |other: &str, sched: &str, more: &[&str]| {
        let task = |cookie: &str| format!(r#"{{"loop": -1, "core_cookie": {cookie}, "run": 1000}}"#);
        let text = format!(r#"{{"tasks": {{"a": {}, "b": {}}}}}"#, task("1"), task(other));
        std::fs::write(&file, text).expect("written");
        let workload = file.to_str().expect("UTF-8");
        let args = ["run", sched, "--machine", "1x2", "--duration", "400ms", "--json", "--workload", workload];
        let ran = scxr(&[&args[..], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let tasks = report["tasks"].as_array().expect("tasks");
        tasks.iter().filter_map(|t| t["cpu_ns"].as_u64()).sum::<u64>() / 1_000_000
    };
    for sched in ["eevdf", "simple", "qmap"] {
        assert!((750..=800).contains(&busy("1", sched, &[])), "{sched}");
        assert!((350..=405).contains(&busy("2", sched, &[])), "{sched}");
        let half = busy("2", sched, &["--inject", "200ms cookie b 1"]);
        assert!((550..=605).contains(&half), "{sched}: {half}");
    }
    let refused = scxr(&["run", "simple", "--on", "vm", "--workload", file.to_str().expect("UTF-8")]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("CONFIG_SCHED_CORE"), "{}", refused.stderr);
}
