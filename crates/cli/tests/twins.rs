//! Every scheduler that comes with scxr, as BPF and as native code, event for event: those that `scxr list` names, so that one that is added
//! later is compared, too. The policies of the guide and the examples are compared in `policies.rs`.

mod support;

use std::path::Path;

use serde_json::Value;
use support::scxr;

const MACHINES: [&str; 3] = ["1", "8", "2x4x2"];
const WORKLOADS: [&str; 4] = ["mixed", "schbench", "hackbench:groups=1,fds=4,msg=20", "spin:nice=-5/0/10,n=20"];

/// The bundled schedulers, each with the command lines that it is compared with: none, and each option that takes no value.
fn schedulers() -> Vec<(String, Vec<Option<String>>)> {
    let list: Value = serde_json::from_str(&scxr(&["list", "--json"]).stdout).expect("JSON");
    let one = |s: &Value| {
        let text = |key: &str| s[key].as_str().expect("text").to_owned();
        let options = text("options");
        let flags = options.lines().filter_map(|line| {
            let (option, _) = line.trim_start().split_once("  ")?;
            let flag = option.split(", ").last().filter(|flag| flag.starts_with("--"))?;
            (!flag.contains([' ', '=', '<'])).then(|| Some(flag.to_owned()))
        });
        let lines = std::iter::once(None).chain(flags.filter(|f| f.as_deref() != Some("--help"))).collect();
        (text("name"), lines)
    };
    let all = list["schedulers"].as_array().expect("a list").iter().map(one);
    all.filter(|(name, _)| name != "eevdf").collect()
}

/// The events of a run, and what its globals were at the end.
fn run(dir: &Path, args: &[&str], native: bool) -> (String, Value) {
    let trace = dir.join("trace");
    let trace = trace.to_str().expect("a UTF-8 path");
    let mut all = vec!["run", args[0]];
    let (own, scheds) = args[1..].split_at(args[1..].iter().position(|a| *a == "--").unwrap_or(args.len() - 1));
    all.extend(own);
    all.extend(["--trace", trace, "--globals", "--json", "-q"]);
    all.extend(native.then_some("--native"));
    all.extend(scheds);
    let ran = scxr(&all);
    assert_eq!(ran.code, 0, "{all:?}: {}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    (std::fs::read_to_string(trace).expect("a trace"), report["globals"].clone())
}

#[test]
fn bundled_schedulers_and_their_twins() {
    let dir = tempfile::tempdir().expect("a folder");
    // native code has no instructions to be paid for
    let cost = dir.path().join("cost.toml");
    std::fs::write(&cost, "bpf_insn_ps = 0\n").expect("a file");
    let cost = cost.to_str().expect("a UTF-8 path");
    let schedulers = schedulers();
    assert!(schedulers.iter().any(|(name, lines)| name == "simple" && lines.len() == 2), "{schedulers:?}");
    for (name, lines) in &schedulers {
        for (i, line) in lines.iter().enumerate() {
            for (machine, workload) in MACHINES.iter().flat_map(|m| WORKLOADS.map(|w| (m, w))) {
                // natively a look-up in a map is no point at which CPUs interleave: only who keeps nothing that decides there is the same
                let interleave = if name == "simple" { ["callback", "kfunc"][i % 2] } else { "callback" };
                let mut args = vec![name.as_str(), "--machine", machine, "--workload", workload, "--cost", cost];
                args.extend(["--duration", "60ms", "--interleave", interleave]);
                args.extend(line.iter().flat_map(|flag| ["--", flag.as_str()]));
                let (bpf, native) = (run(dir.path(), &args, false), run(dir.path(), &args, true));
                assert!(bpf.0.lines().count() > 100, "{args:?}: nothing happened");
                let differs = bpf.0.lines().zip(native.0.lines()).position(|(a, b)| a != b);
                assert!(bpf.0 == native.0, "{args:?}: BPF and native code differ from line {differs:?} on");
                // natively, only numbers are variables that can be read
                let variables = native.1.as_object().expect("variables");
                let differ: Vec<_> = variables.iter().filter(|(name, value)| bpf.1[name.as_str()] != **value).collect();
                assert!(differ.is_empty() && !variables.is_empty(), "{args:?}: {differ:?}, as BPF {}", bpf.1);
            }
        }
    }
}
