//! What programs read: keys that stay, and the same bytes for the same input.

mod support;

use serde_json::Value;
use support::scxr;

fn json(args: &[&str]) -> Value {
    let ran = scxr(args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("one JSON object")
}

/// All keys of a value, as paths; of lists, those of the first element.
fn keys(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            out.push(format!("{at}{k}"));
            keys(v, &format!("{at}{k}."), out);
        }),
        Value::Array(list) => list.iter().take(1).for_each(|v| keys(v, at, out)),
        _ => {}
    }
}

#[test]
fn the_keys_that_stay() {
    let value = json(&["run", "simple", "--duration", "50ms", "--globals", "--json"]);
    let mut have = Vec::new();
    keys(&value, "", &mut have);
    for key in "schema scheduler.name scheduler.object scheduler.args on kernel machine.nr_cpus workload seed duration_ns \
                exit.kind exit.code exit.reason exit.msg exit.dump totals.events totals.wakeups totals.context_switches \
                totals.migrations totals.idle_with_work_ns totals.completed_ns latency_ns.wakeup.count latency_ns.wakeup.p50 \
                latency_ns.wakeup.p99 latency_ns.wakeup.p999 latency_ns.wakeup.max latency_ns.runqueue.count \
                latency_ns.runqueue.p50 latency_ns.runqueue.p99 latency_ns.runqueue.p999 latency_ns.runqueue.max tasks.pid \
                tasks.comm tasks.group tasks.weight tasks.cpu_ns tasks.share tasks.nvcsw tasks.nivcsw tasks.migrations \
                globals.fifo_sched globals.stats.sum globals.stats.by_cpu wall_ns events_per_sec"
        .split_whitespace()
    {
        assert!(have.iter().any(|k| k == key), "{key} is missing");
    }
    assert_eq!(value["schema"], "scxr-run/1");
    assert_eq!(value["exit"]["kind"], "none");
    assert_eq!(value["machine"]["nr_cpus"], 8);
    assert_eq!(value["duration_ns"], 50_000_000);
    assert_eq!(value["on"], "sim");
}

#[test]
fn the_class_says_its_state() {
    let run = |sched: &str, inject: &[&str]| {
        let mut args = vec!["run", sched, "--machine", "4", "--duration", "50ms", "--json"];
        args.extend(inject.iter().flat_map(|i| ["--inject", i]));
        let ran = scxr(&args);
        serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["sched_ext"].clone()
    };
    let says = |state: &str, ops: Value, hotplug: u64, enabled: u64| {
        serde_json::json!({"state": state, "ops": ops, "switch_all": state == "enabled", "nr_rejected": 0, "hotplug_seq": hotplug,
            "enable_seq": enabled})
    };
    // At boot, three CPUs have come.
    assert_eq!(run("simple", &[]), says("enabled", "simple".into(), 3, 1));
    assert_eq!(run("eevdf", &["10ms hotplug 3 off", "20ms hotplug 3 on"]), says("disabled", Value::Null, 5, 0));
    assert_eq!(run("simple", &["10ms sysrq-s"]), says("disabled", Value::Null, 3, 1));
    // It has no operations for hotplug: it ends, and asks to be started again.
    assert_eq!(run("simple", &["10ms hotplug 3 off"]), says("enabled", "simple".into(), 4, 2));
}

/// Also where the run ends in the middle of things.
#[test]
fn the_time_of_each_cpu_adds_up() {
    for (workload, duration) in [("pipe", "30ms"), ("mixed", "30ms"), ("mixed", "1ns"), ("mixed", "123456ns")] {
        for sched in ["simple", "eevdf"] {
            let args = ["run", sched, "--machine", "2", "--workload", workload, "--duration", duration, "--json"];
            let value = json(&args);
            let end = value["duration_ns"].as_u64().expect("a length");
            for cpu in value["cpus"].as_array().expect("CPUs") {
                let sum = cpu["busy_ns"].as_u64().zip(cpu["idle_ns"].as_u64()).map(|(a, b)| a + b);
                assert_eq!(sum, Some(end), "{args:?}: {cpu}");
            }
            let lost = value["totals"]["idle_with_work_ns"].as_u64();
            assert!(lost.is_some_and(|ns| ns <= 2 * end), "{args:?}: {lost:?}");
        }
    }
}

#[test]
fn work_that_ends_is_counted_up_to_its_end() {
    let run = |duration: &str| {
        let value = json(&["run", "eevdf", "--workload", "hackbench:groups=1", "--duration", duration, "--json"]);
        (value["totals"]["completed_ns"].clone(), value["work"]["per_second"].clone())
    };
    let (short, long) = (run("200ms"), run("400ms"));
    assert!(short.0.as_u64().is_some_and(|ns| ns < 200_000_000), "{short:?}");
    assert_eq!(short, long);
    assert_eq!(run("1ms").0, Value::Null);
}

#[test]
fn a_workload_that_is_still_being_set_up_says_so() {
    let args = ["run", "eevdf", "--machine", "16", "--workload", "spin:n=3000", "--duration", "5ms"];
    let setup = json(&[&args[..], &["--json"]].concat())["setup"].clone();
    assert_eq!(setup["tasks"], 3000);
    assert!(setup["started"].as_u64().is_some_and(|n| n > 100 && n < 1000), "{setup}");
    let text = scxr(&[&args[..], &["-q"]].concat()).stdout;
    let expect = format!("only {} of 3,000 tasks of the workload had been started", setup["started"]);
    assert!(text.contains(&expect), "{text}");
}

#[test]
fn globals_are_there_when_asked_for() {
    let run = |args: &[&str]| json(&[&["run", "simple", "--duration", "20ms", "--json"], args].concat());
    assert_eq!(run(&[]).get("globals"), None);
    assert_eq!(run(&["--globals"])["globals"]["fifo_sched"], 0);
    assert_eq!(run(&["--globals", "--set", "fifo_sched=1"])["globals"]["fifo_sched"], 1);
    assert_eq!(run(&["--globals", "--", "--fifo"])["globals"]["fifo_sched"], 1);
    assert_eq!(run(&["--globals", "--native", "--", "-f"])["globals"]["fifo_sched"], 1);
}

#[test]
fn same_seed_same_bytes() {
    let run = |seed: &str, what: &str| {
        let ran =
            scxr(&["run", "simple", "--seed", seed, "--duration", "100ms", "-q", "--trace", "-", "--workload", what]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    for workload in ["mixed", "schbench"] {
        assert!(run("7", workload) == run("7", workload), "{workload}");
        assert!(run("7", workload) != run("8", workload), "{workload}");
    }
    let report = || {
        let mut value = json(&["run", "simple", "--duration", "100ms", "--json"]);
        for key in ["wall_ns", "events_per_sec"] {
            value[key] = Value::Null;
        }
        value.to_string()
    };
    assert_eq!(report(), report());
}

#[test]
fn a_comparison() {
    let value = json(&["compare", "eevdf", "simple", "--duration", "50ms", "--seeds", "2", "--json"]);
    assert_eq!(value["schema"], "scxr-compare/1");
    assert_eq!(value["seeds"], serde_json::json!([1, 2]));
    assert_eq!(value["schedulers"][1]["name"], "simple");
    assert_eq!(value["exits"].as_array().map(Vec::len), Some(4));
    let rows = value["rows"].as_array().expect("rows");
    let wakeup = rows.iter().find(|r| r["metric"] == "wakeup p99").expect("a row");
    assert!(wakeup["cells"][0]["value"]["mean"].as_f64() > Some(0.0));
    assert_eq!(wakeup["cells"][0]["ratio"], Value::Null);
    assert!(wakeup["cells"][1]["ratio"]["mean"].is_number());
    assert!(value["reading"].as_str().is_some_and(|r| r.contains("simple against eevdf")));
}

#[test]
fn the_other_commands() {
    let list = json(&["list", "--json"]);
    assert!(list["workloads"].as_array().is_some_and(|w| w.iter().any(|w| w["name"] == "hackbench")));
    assert_eq!(json(&["version", "--json"])["schema"], "scxr-version/1");
    let object = json(&["inspect", "simple", "--json"]);
    assert_eq!(object["struct_ops"][0]["type"], "sched_ext_ops");
    assert_eq!(object["struct_ops"][0]["ops"]["enqueue"], "simple_enqueue");
    let globals = object["globals"].as_array().expect("globals");
    let fifo = globals.iter().find(|g| g["name"] == "fifo_sched").expect("a tunable");
    assert_eq!((&fifo["rust_type"], &fifo["initial"]), (&"Tunable<bool>".into(), &0.into()));
    assert_eq!(fifo["doc"], "First in, first out instead of by virtual time.");
    assert!(
        object["kernels"].as_array().is_some_and(|k| k.iter().all(|k| k["loads"] == true)),
        "{}",
        object["kernels"]
    );
}

/// A race in a scheduler shows where CPUs interleave between its instructions, and nowhere else.
#[test]
fn races_show_between_instructions() {
    let lost = |interleave| {
        let args = [
            "run",
            "scenarios/policies/races.rs",
            "--machine",
            "8",
            "--workload",
            "pipe:pairs=16",
            "--duration",
            "20ms",
        ];
        let value = json(&[&args[..], &["--globals", "--json", "--interleave", interleave]].concat());
        let globals = &value["globals"];
        assert!(globals["calls"].as_u64() > Some(100), "{globals}");
        globals["lost"].as_u64().unwrap()
    };
    assert_eq!((lost("callback"), lost("kfunc")), (0, 0));
    assert!(lost("insn") > 0);
}

/// What a program did until it faulted took its time: here, the 3 ms of an endless loop's budget.
#[test]
fn programs_that_fault_pay_for_their_instructions() {
    let cpu_ns = |policy: &str| {
        let path = format!("scenarios/policies/{policy}.rs");
        let args = ["run", &path, "--machine", "1", "--workload", "spin", "--duration", "10ms", "--json"];
        let ran = scxr(&args);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let value: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        value["tasks"].as_array().unwrap().iter().map(|t| t["cpu_ns"].as_u64().unwrap()).sum::<u64>()
    };
    let (endless, short) = (cpu_ns("endless"), cpu_ns("gives_up"));
    assert!(short - endless > 2_900_000, "{endless} {short}");
}
