//! The classic schedulers beside the programs of the same names that the kernel comes with, on Linux 7.2 in a virtual machine: as much work is done, shares are as near to
//! the weights, nobody waits longer. docs/performance.md has the figures, `beside_upstream.rs` the same on the simulated kernel.
//!
//! The programs are other people's work and not part of this project: they are what `make` in the kernel's `tools/sched_ext` builds. It takes half an hour.

#[path = "support/measured.rs"]
mod measured;
#[path = "support/skip.rs"]
mod skip;
mod support;

use measured::Measured;
use serde_json::Value;
use support::scxr;

const SCHEDULERS: [&str; 6] = ["simple", "qmap", "central", "pair", "flatcg", "userland"];
const SPIN: &str = "spin:n=12,nice=0/5/-5";
const WORKLOADS: [&str; 4] = ["mixed", "schbench", SPIN, "hackbench:groups=1"];

/// 99 % of wakeups may take so much longer than with the other: a fifth, and a slice where hogs have to be waited for.
const LATER: (u64, u64) = (5, 20_000_000);
/// Where ours takes longer still: a scheduler and a workload. docs/performance.md says why.
const LATER_STILL: [(&str, &str); 1] = [("userland", "hackbench:groups=1")];
/// Shares may be so much further from those of the weights.
const FARTHER: f64 = 0.03;

/// Programs of the kernel's that this kernel refuses, or may eject: a scheduler, and how it ends.
const THEIRS_FAIL: [(&str, &str); 2] = [("qmap", "load"), ("flatcg", "error_stall")];

/// What a run came to; `None`: its scheduler was not there to the end.
fn run(sched: &str, workload: &str) -> (Value, Option<Measured>) {
    let args = ["run", sched, "--on", "vm", "--kernel", "7.2", "--machine", "4", "--workload", workload];
    let ran = scxr(&[&args[..], &["--duration", "1s", "--json", "-q"]].concat());
    assert!(ran.code < 2, "{args:?}: {}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let did = (report["exit"]["kind"] == "none").then(|| Measured::of(&report));
    (report, did)
}

/// How far the shares of tasks that always want to run are from those of their weights: the largest distance, of 1.
fn unfairness(report: &Value) -> f64 {
    let tasks = report["tasks"].as_array().expect("tasks");
    let hogs = tasks.iter().map(|t| (t["weight"].as_f64().expect("a number"), t["cpu_ns"].as_f64().expect("a number")));
    let (weights, times): (Vec<f64>, Vec<f64>) = hogs.unzip();
    let (weight, time): (f64, f64) = (weights.iter().sum(), times.iter().sum());
    weights.iter().zip(&times).map(|(w, t)| (w / weight - t / time).abs()).fold(0.0, f64::max)
}

#[test]
fn no_worse_than_the_kernels_own_programs() {
    let Some(dir) = std::env::var_os("SCXR_UPSTREAM_PROGRAMS").map(std::path::PathBuf::from) else {
        return skip::skipped(
            "SCXR_UPSTREAM_PROGRAMS does not point at the kernel's built tools/sched_ext (scx_simple, …)",
        );
    };
    let mut table = String::from("(switches) busy time, operations, 99 % of wakeups: ours | theirs\n");
    let mut wrong = Vec::new();
    for sched in SCHEDULERS {
        let path = dir.join(format!("scx_{sched}"));
        for workload in WORKLOADS {
            let (our_report, ours) = run(sched, workload);
            let ours = ours.unwrap_or_else(|| panic!("{sched} {workload}: {}", our_report["exit"]));
            let (their_report, theirs) = run(path.to_str().expect("UTF-8"), workload);
            let mut line = format!("{sched} {workload}: {} | ", ours.row());
            let Some(theirs) = theirs else {
                let kind = their_report["exit"]["kind"].as_str().expect("a kind");
                line += kind;
                if !THEIRS_FAIL.contains(&(sched, kind)) {
                    wrong.push(line.clone());
                }
                table += &(line + "\n");
                continue;
            };
            line += &theirs.row();
            let (unfair, their_unfair) = (unfairness(&our_report), unfairness(&their_report));
            let fair = workload != SPIN || unfair <= their_unfair + FARTHER;
            let slack = if workload == "schbench" { 1_000_000 } else { LATER.1 };
            let soon = LATER_STILL.contains(&(sched, workload))
                || ours.wakeup_p99 <= theirs.wakeup_p99 + theirs.wakeup_p99 / LATER.0 + slack;
            if workload == SPIN {
                line += &format!("; from the weights' shares: {unfair:.3} | {their_unfair:.3}");
            }
            if !ours.as_much_as(&theirs) || !fair || !soon {
                wrong.push(line.clone());
            }
            table += &(line + "\n");
        }
    }
    support::say(&table);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
}
