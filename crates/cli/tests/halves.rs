//! Schedulers that decide in user space do the same on the simulated kernel and on Linux; what happens to their halves ends the scheduler alone. (`survival.rs` has what
//! happens to machines.)

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::scxr;

fn json(args: &[&str], code: i32) -> Value {
    let ran = scxr(args);
    assert_eq!(ran.code, code, "{args:?}\n{}\n{}", ran.stderr, ran.stdout);
    serde_json::from_str(&ran.stdout).expect("JSON on standard output")
}

/// The least CPU time that a task of the workload has had, ns.
fn least(report: &Value) -> u64 {
    let tasks = report["tasks"].as_array().expect("tasks");
    assert!(!tasks.is_empty());
    tasks.iter().filter_map(|t| t["cpu_ns"].as_u64()).min().expect("a time")
}

/// A project whose half fails after 200 ms, and whose scheduler is watched closely.
fn failing(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("halves").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("a folder of ours");
    }
    let made = scxr(&["new", dir.to_str().expect("UTF-8"), "--kind", "userspace", "-q"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let change = |file: &str, from: &str, to: &str| {
        let path = dir.join("src").join(file);
        let text = std::fs::read_to_string(&path).expect("a file of the project");
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).expect("a file");
    };
    change("policy.rs", "\" }", "\", timeout_ms: 500 }");
    let main = "    let end = rt.now().0 + 200_000_000;\n    let ready = rt.ringbuf::<TaskEvent>(\"ready\")?;\n    \
                let decided = rt.user_ringbuf::<Decision>(\"decided\")?;\n    while rt.now().0 < end {\n        \
                while let Some(e) = ready.receive() {\n            \
                let _ = e.kind == kind::READY && decided.send(Decision { pid: e.pid, cpu: ANY_CPU, slice: Ns(0) });\n        \
                }\n        rt.poll(Ns::from_ms(5));\n    }\n    let _ = (args, Least::default());\n    \
                Err(Error::Other(\"killed\".into()))\n";
    change(
        "user.rs",
        "    drive(rt, Drive::default(), &mut Least { slice: args.time(\"slice\"), ..Least::default() })\n",
        main,
    );
    change(
        "user.rs",
        "framework::{Drive, Scheduler, Task, drive}",
        "framework::{ANY_CPU, Decision, Scheduler, Task, TaskEvent, kind}",
    );
    dir
}

#[test]
fn a_half_that_dies_is_noticed_and_nothing_is_lost() {
    let dir = failing("dies");
    for place in [&[][..], &["--on", "vm", "--kernel", "7.2"]] {
        let args = ["run", dir.to_str().expect("UTF-8"), "--machine", "2", "--workload", "mixed"];
        let report = json(&[&args[..], &["--duration", "2s", "--json", "-q"], place].concat(), 1);
        assert_eq!(report["exit"]["kind"], "error_stall", "{place:?}: {}", report["exit"]);
        assert_eq!(report["half"]["error"], "killed", "{place:?}");
        // The class is told within 1.5 times its limit; the fair class then uses all of the machine.
        let (busy, least) = (report["tasks"].as_array().expect("tasks").iter(), least(&report));
        let busy: u64 = busy.filter_map(|t| t["cpu_ns"].as_u64()).sum();
        assert!(busy > 1_000_000_000 && least > 0, "{place:?}: {busy} {least}");
    }
}

#[test]
fn toy_does_on_linux_what_it_does_here() {
    let args = [
        "run",
        "toy",
        "--machine",
        "2",
        "--workload",
        "mixed",
        "--duration",
        "500ms",
        "--stats",
        "0.2",
        "--json",
        "-q",
    ];
    let counted = |place: &[&str]| {
        let report = json(&[&args[..], place].concat(), 0);
        assert_eq!(report["exit"]["kind"], "none");
        assert!(least(&report) > 0);
        let last = report["stats"].as_array().and_then(|all| all.last()).expect("figures").clone();
        let of = |name: &str| last["values"][name].as_i64().expect("a number");
        // what was held up once may have been sent since
        assert!((0..=of("held")).contains(&(of("enqueued") - of("decided") - of("queued"))), "{last}");
        let [decided, user, placed] = ["decided", "user", "placed"].map(of);
        assert!(decided > 0 && placed > 0, "{last}");
        user
    };
    let (here, linux) = (counted(&[]), counted(&["--on", "vm", "--kernel", "7.2"]));
    assert!(here > 20 && 5 * linux > here && linux < 5 * here, "{here} here, {linux} there");
}

/// Variables, maps of all kinds, rings and queues both ways, waiting, figures: on the simulated kernel and on Linux.
#[test]
fn all_that_a_half_can_do() {
    let policy = support::root().join("crates/cli/tests/halves/policy.rs");
    for place in [&[][..], &["--on", "vm", "--kernel", "6.16"], &["--on", "vm", "--kernel", "7.2"]] {
        let args = ["run", policy.to_str().expect("UTF-8"), "--machine", "2", "--workload", "mixed", "--stats", "0.1"];
        let report = json(&[&args[..], &["--duration", "800ms", "--json", "-q"], place].concat(), 0);
        assert_eq!(report["exit"]["kind"], "none", "{place:?}: {}", report["exit"]);
        assert!(report["half"]["error"].is_null(), "{place:?}: {}", report["half"]["error"]);
        let stats = report["stats"].as_array().expect("figures");
        assert!(stats.last().is_some_and(|s| s["values"]["all well"] == 1), "{place:?}: {stats:?}");
    }
}

/// A scheduler without operations for CPUs that come and go is started again when they do, and its half with it: on the simulated kernel as on Linux.
#[test]
fn a_half_is_started_again_with_its_scheduler() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("halves/again");
    std::fs::create_dir_all(&dir).expect("a folder of ours");
    let policy = r#"//! First come, first served.
use scxr_policy::prelude::*;
state! {
    /// The process of the half.
    static HALF_TGID as "half_tgid": Global<i32> = 0;
    /// Tasks that had to wait.
    static NR_QUEUED as "nr_queued": Global<u64> = 0;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}
scheduler! {
    /// First come, first served.
    pub struct Again { name: "again" }
    impl Ops for Again {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if p.tgid() != HALF_TGID.get() {
                NR_QUEUED.fetch_add(1);
            }
            Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }
        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
"#;
    let user = r#"//! Says how old it is.
use scxr_runtime::{Args, Error, HalfDef, Ns, Runtime};
pub static HALF: HalfDef = HalfDef { name: "again", main, options: &[] };
fn main(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
    let (tgid, queued, born) = (rt.global::<i32>("half_tgid")?, rt.global::<u64>("nr_queued")?, rt.now());
    while !rt.is_over() {
        rt.stats(|out| {
            out.number("told", u64::from(tgid.get() > 0));
            out.number("queued", queued.get());
            out.number("age_ms", (rt.now().0 - born.0) / 1_000_000);
        });
        rt.sleep(Ns::from_ms(5));
    }
    Ok(())
}
"#;
    std::fs::write(dir.join("policy.rs"), policy).expect("a file");
    std::fs::write(dir.join("user.rs"), user).expect("a file");
    for place in [&[][..], &["--native"], &["--on", "vm", "--kernel", "7.2"]] {
        let args = ["run", dir.to_str().expect("UTF-8"), "--machine", "4", "--workload", "mixed", "--stats", "0.1"];
        let more = ["--inject", "500ms hotplug cpu3 off", "--duration", "1200ms", "--json"];
        let ran = scxr(&[&args[..], &more, place].concat());
        assert_eq!(ran.code, 0, "{place:?}\n{}", ran.stderr);
        assert!(ran.stderr.contains("started again"), "{place:?}\n{}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(report["exit"]["kind"], "none", "{place:?}: {}", report["exit"]);
        assert!(report["half"]["error"].is_null(), "{place:?}: {}", report["half"]);
        let stats = report["stats"].as_array().expect("figures");
        let of = |which: Option<&Value>, name: &str| which.and_then(|s| s["values"][name].as_u64()).expect("a figure");
        let oldest = stats.iter().map(|s| of(Some(s), "age_ms")).max();
        let (first, last) = (stats.first(), stats.last());
        assert!(of(first, "told") == 1 && of(last, "told") == 1 && of(last, "queued") > 0, "{place:?}: {stats:?}");
        assert!(of(last, "age_ms") < 800 && oldest < Some(800), "{place:?}: {stats:?}");
        let tasks = report["tasks"].as_array().expect("tasks");
        assert!(tasks.iter().all(|t| t["comm"] != "again"), "{place:?}: {tasks:?}");
    }
}

/// It is held back until it is needed, and the CPU that needs it may be one that it may not run on.
#[test]
fn a_half_may_be_bound_to_a_cpu() {
    for name in ["toy", "userland"] {
        let bind = format!("100ms affinity {name} 0");
        for workload in ["mixed", "schbench"] {
            let args =
                ["run", name, "--machine", "4", "--workload", workload, "--duration", "600ms", "--inject", &bind];
            let report = json(&[&args[..], &["--json"]].concat(), 0);
            assert_eq!(report["exit"]["kind"], "none", "{name} {workload}: {}", report["exit"]);
            assert!(least(&report) > 0, "{name} {workload}");
        }
    }
}

/// The two files of docs/writing-schedulers.md, word by word, in a folder of their own: a scheduler in less than 50 lines.
#[test]
fn the_documents_scheduler_runs_as_it_stands() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("halves/of_the_document");
    std::fs::create_dir_all(&dir).expect("a folder of ours");
    let document = std::fs::read_to_string(support::root().join("docs/writing-schedulers.md")).expect("the document");
    let section = document.split("## Decisions in user space").nth(1).expect("the section");
    let blocks: Vec<&str> = section.split("```rust,ignore\n").skip(1).filter_map(|b| b.split("```").next()).collect();
    let [policy, user] = blocks[..] else { panic!("{} blocks", blocks.len()) };
    assert!(policy.lines().count() + user.lines().count() < 50);
    std::fs::write(dir.join("policy.rs"), policy).expect("a file");
    std::fs::write(dir.join("user.rs"), user).expect("a file");
    for place in [&[][..], &["--direct"], &["--on", "vm", "--kernel", "7.2"]] {
        let args = ["run", dir.to_str().expect("UTF-8"), "--machine", "2", "--workload", "mixed"];
        let report = json(&[&args[..], &["--duration", "500ms", "--json", "-q"], place].concat(), 0);
        assert_eq!(report["exit"]["kind"], "none", "{place:?}: {}", report["exit"]);
        assert!(report["half"]["error"].is_null(), "{place:?}: {}", report["half"]);
    }
}

/// The same decisions right in the simulated kernel: shares as by way of user space, sooner.
#[test]
fn decisions_are_made_right_in_the_kernel() {
    let args =
        ["run", "userland", "--machine", "1", "--workload", "spin:n=8,nice=0/5", "--duration", "4s", "--json", "-q"];
    let share = |report: &Value| {
        let of = |weight: u64| {
            let tasks = report["tasks"].as_array().expect("tasks").iter().filter(|t| t["weight"] == weight);
            tasks.filter_map(|t| t["cpu_ns"].as_u64()).sum::<u64>()
        };
        100 * of(100) / (of(100) + of(33))
    };
    for more in [&[][..], &["--direct"]] {
        let report = json(&[&args[..], more, &["--", "--slice", "5ms"]].concat(), 0);
        assert_eq!(report["exit"]["kind"], "none", "{more:?}: {}", report["exit"]);
        assert!((72..79).contains(&share(&report)), "{more:?}: {}", report["tasks"]);
    }
    let wakeup = |more: &[&str]| {
        let args = ["run", "toy", "--machine", "4", "--workload", "schbench", "--duration", "500ms", "--json", "-q"];
        let report = json(&[&args[..], more].concat(), 0);
        assert_eq!(report["exit"]["kind"], "none", "{more:?}: {}", report["exit"]);
        report["latency_ns"]["wakeup"]["p50"].as_u64().expect("a time")
    };
    assert!(wakeup(&["--direct"]) < wakeup(&[]));
    let figures = json(&["run", "toy", "--direct", "--stats", "0.1", "--duration", "300ms", "--json", "-q"], 0);
    let figures = figures["stats"].as_array().expect("figures").clone();
    assert!(figures.len() >= 2 && figures[0]["values"]["queued"].is_u64(), "{figures:?}");
}

#[test]
fn what_cannot_decide_in_the_kernel_is_told() {
    let own = support::root().join("crates/cli/tests/halves/policy.rs");
    for (args, expect) in [
        (&["simple", "--direct"][..], "--direct: simple has no user-space half"),
        (&["toy", "--direct", "--on", "vm"], "--direct: only a simulated kernel"),
        (&["toy", "--direct", "--native"], "cannot be used with"),
        (&["toy", "--direct", "--globals"], "--globals: with --direct there is no BPF half"),
        (&["toy", "--direct", "--set", "slice=1"], "--set: with --direct"),
        (&["eevdf", "--direct"], "--direct: eevdf is Linux's fair class"),
        (&[own.to_str().expect("UTF-8"), "--direct"], "--direct: halves: its user-space half"),
    ] {
        let ran = scxr(&[&["run"], args, &["--duration", "10ms"]].concat());
        assert!(ran.code == 2 && ran.stderr.contains(expect), "{args:?}: {} {}", ran.code, ran.stderr);
    }
}
