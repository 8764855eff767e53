//! The classic schedulers beside those of the same names that the kernel comes with, on the simulated kernel: as much work is done, nobody waits longer, and it
//! takes no more instructions of BPF. docs/performance.md has the figures.
//!
//! The others are other people's work and not part of this project: see `crates/ops/tests/upstream.rs` for where they come from. What their loaders set is in
//! `crates/cli/loaders`. userland decides in a user-space half in C, which no simulation runs:
//! `vm_beside_upstream.rs` has it, and the others on Linux.

#[path = "support/measured.rs"]
mod measured;
#[path = "support/skip.rs"]
mod skip;
mod support;

use measured::Measured;
use serde_json::Value;
use support::scxr;

const SCHEDULERS: [&str; 5] = ["simple", "qmap", "central", "flatcg", "pair"];
const WORKLOADS: [&str; 4] = ["mixed", "schbench", "spin:n=24,nice=0/5/-5", "hackbench:groups=1"];
const NR_CPUS: usize = 8;

/// Where ours takes more, a switch and in all: a scheduler, a workload, and by how much at most, percent. docs/performance.md says why.
const EXCEPTIONS: [(&str, &str, u64); 6] = [
    ("flatcg", "mixed", 8),
    ("flatcg", "schbench", 6),
    ("flatcg", "hackbench:groups=1", 10),
    ("flatcg", "spin:n=24,nice=0/5/-5", 32),
    ("pair", "schbench", 35),
    ("pair", "hackbench:groups=1", 85),
];

/// What a run came to.
struct Ran {
    /// Instructions of BPF.
    insns: u64,
    did: Measured,
}

impl Ran {
    fn per_switch(&self) -> u64 {
        self.insns / self.did.switches.max(1)
    }

    fn row(&self) -> String {
        format!("{} {}", self.per_switch(), self.did.row())
    }
}

fn run(sched: &str, workload: &str) -> Ran {
    let machine = NR_CPUS.to_string();
    let mut args = vec![
        "run",
        sched,
        "--machine",
        &machine,
        "--workload",
        workload,
        "--duration",
        "1s",
        "--bpf",
        "jit",
        "--json",
        "-q",
    ];
    // upstream's qmap knows of an idle CPU only once that has been busy, and a simulated machine begins idle
    let busy: Vec<String> = (0..NR_CPUS).map(|cpu| format!("2ms rt cpu{cpu} 1us")).collect();
    args.extend(busy.iter().flat_map(|e| ["--inject", e]));
    let ran = scxr(&args);
    assert_eq!(ran.code, 0, "{args:?}\n{}\n{}", ran.stderr, ran.stdout);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    Ran { insns: report["bpf_instructions"].as_u64().expect("a number"), did: Measured::of(&report) }
}

#[test]
fn as_much_work_for_no_more_instructions() {
    let Some(dir) = std::env::var_os("SCXR_UPSTREAM_OBJECTS").map(std::path::PathBuf::from) else {
        return skip::skipped("SCXR_UPSTREAM_OBJECTS does not point at the kernel's objects");
    };
    let mut table =
        String::from("instructions a switch (switches), busy time, operations, 99 % of wakeups: ours | theirs\n");
    let mut wrong = Vec::new();
    for sched in SCHEDULERS {
        let path = dir.join(format!("tools/scx_{sched}.bpf.o"));
        for workload in WORKLOADS {
            let (ours, theirs) = (run(sched, workload), run(path.to_str().expect("UTF-8"), workload));
            let line = format!("{sched} {workload}: {} | {}", ours.row(), theirs.row());
            // who keeps a task running has decided, too, but has not switched: so one of the two will do
            let exception = EXCEPTIONS.iter().find(|(s, w, _)| *s == sched && *w == workload);
            let limit = 100 + exception.map_or(0, |(.., more)| *more);
            let few =
                ours.per_switch() * 100 <= theirs.per_switch() * limit || ours.insns * 100 <= theirs.insns * limit;
            let as_much = ours.did.as_much_as(&theirs.did);
            if !few || !as_much {
                wrong.push(line.clone());
            }
            table += &(line + "\n");
        }
    }
    support::say(&table);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
}
