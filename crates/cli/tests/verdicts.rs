//! Schedulers that are refused or ejected, as the users of the command meet them: exit code, exit kind, cause, and way out.

#[path = "support/skip.rs"]
mod skip;
mod support;

use std::path::Path;

use serde_json::Value;
use support::{Ran, root, scxr};

/// Exit code of a fault of the scheduler, and of what is missing on this system.
const SCHEDULER: i32 = 1;
const ENVIRONMENT: i32 = 4;

/// Is the answer only that there is no clang? That is visible, and a failure in CI.
fn no_clang(ran: &Ran) -> bool {
    let missing = ran.code == ENVIRONMENT && ran.stderr.contains("clang is needed");
    if missing {
        assert!(std::env::var_os("CI").is_none(), "clang is needed in CI");
        skip::skipped("clang is needed and not installed");
    }
    missing
}

fn run(scheduler: &str, options: &[&str]) -> Ran {
    scxr(&[&["run", scheduler, "--machine", "2", "--workload", "mixed"], options].concat())
}

/// A scheduler in C that needs no headers. `table` is what it registers.
fn source(dir: &Path, body: &str, table: &str) -> String {
    const HEAD: &str = r#"
#define SEC(name) __attribute__((section(name), used))
struct task_struct { int pid; } __attribute__((preserve_access_index));
struct task_struct___gone { int vanished; } __attribute__((preserve_access_index));
struct sched_ext_ops {
	void (*enqueue)(struct task_struct *p, unsigned long long enq_flags);
	void (*later)(void);
	unsigned timeout_ms;
	char name[128];
};
void scx_bpf_dsq_insert(struct task_struct *p, unsigned long long dsq_id, unsigned long long slice,
			unsigned long long enq_flags) __attribute__((section(".ksyms")));
void scx_bpf_no_such_thing(struct task_struct *p) __attribute__((section(".ksyms")));
char _license[] SEC("license") = "GPL";
int sink;
SEC("struct_ops/t_enqueue") void t_enqueue(unsigned long long *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	scx_bpf_dsq_insert(p, 0x8000000000000001ULL, 1000000, 0);
"#;
    let path = dir.join("refused.bpf.c");
    std::fs::write(&path, format!("{HEAD}\t{body}\n}}\n{table}\n")).expect("a file");
    path.to_str().expect("a UTF-8 path").into()
}

const TABLE: &str =
    "SEC(\".struct_ops.link\") struct sched_ext_ops t_ops = { .enqueue = (void *)t_enqueue, .name = \"t\" };";

/// What no kernel takes: the load is refused, which is the scheduler's fault.
const REFUSED: [(&str, &str, &[&str]); 5] = [
    (
        "scx_bpf_no_such_thing(p);",
        TABLE,
        &["kernel function scx_bpf_no_such_thing does not exist in kernel 7.2", "bpf_ksym_exists()"],
    ),
    (
        "sink = ((struct task_struct___gone *)p)->vanished;",
        TABLE,
        &["t_enqueue", "refused.bpf.c:", "vanished", "kernel 7.2 does not have", "bpf_core_field_exists()"],
    ),
    (
        "",
        "SEC(\".struct_ops.link\") struct sched_ext_ops t_ops = { .enqueue = (void *)t_enqueue };",
        &["struct_ops t_ops: .name is empty", "mandatory"],
    ),
    (
        "",
        "SEC(\".struct_ops.link\") struct sched_ext_ops t_ops = { .enqueue = (void *)t_enqueue, .name = \"a b\" };",
        &[".name has the character ' '"],
    ),
    (
        "",
        "SEC(\".struct_ops.link\") struct sched_ext_ops t_ops = { .timeout_ms = 40000, .name = \"t\" };",
        &[".timeout_ms is 40000; at most 30000"],
    ),
];

#[test]
fn what_the_kernel_would_refuse() {
    let dir = tempfile::tempdir().expect("a folder");
    for (body, table, says) in REFUSED {
        let path = source(dir.path(), body, table);
        let ran = run(&path, &["--duration", "10ms", "--json"]);
        if no_clang(&ran) {
            return;
        }
        assert_eq!(ran.code, SCHEDULER, "{body}{table}: {}{}", ran.stderr, ran.stdout);
        let report: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        assert_eq!(report["exit"]["kind"], "load", "{body}{table}");
        let msg = report["exit"]["msg"].as_str().expect("a message");
        assert_eq!(msg.lines().count(), 1, "{msg}");
        for part in says {
            assert!(msg.contains(part), "'{part}' is missing: {msg}");
        }
        // The same for people.
        let ran = run(&path, &["--duration", "10ms"]);
        assert_eq!(ran.code, SCHEDULER);
        assert!(ran.stdout.contains("was refused") && ran.stdout.contains(says[0]), "{}", ran.stdout);
    }
}

/// Objects that hold no scheduler, or more than one: the file is at fault, not the scheduler.
#[test]
fn what_is_no_scheduler() {
    let dir = tempfile::tempdir().expect("a folder");
    let second = TABLE.replace(" t_ops =", " second_ops =");
    for (table, says) in [
        (String::new(), &["no struct_ops variable", "define one in SEC(\".struct_ops.link\")"][..]),
        (format!("{TABLE}\n{second}"), &["2 struct_ops variables (t_ops, second_ops)", "build an object for each"]),
    ] {
        let ran = run(&source(dir.path(), "", &table), &["--duration", "10ms"]);
        if no_clang(&ran) {
            return;
        }
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        for part in says {
            assert!(ran.stderr.contains(part), "'{part}' is missing: {}", ran.stderr);
        }
    }
}

/// Policies that do what they must not: file, exit kind, and message.
const EJECTED: [(&str, &str, &str); 8] = [
    ("wrong_cpu.rs", "error", "invalid CPU 9999 from ops.select_cpu()"),
    ("insert_twice.rs", "error", "already direct-dispatched"),
    ("no_such_dsq.rs", "error", "non-existent DSQ 0xbeef"),
    ("endless.rs", "error", "endless loop"),
    ("never_dispatches.rs", "error_stall", "failed to run for 1.0"),
    ("null_store.bpf.c", "error", "null_store.bpf.c:16: *nowhere = 1;: store of 4 bytes through a null pointer"),
    ("enq_last_alone.rs", "error", "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented"),
    ("gives_up.rs", "error_bpf", "no idea what to do with pid"),
];

#[test]
fn who_misbehaves_is_ejected() {
    for (policy, kind, says) in EJECTED {
        let path = root().join("scenarios/policies").join(policy);
        let ran = run(path.to_str().expect("a UTF-8 path"), &["--duration", "2500ms", "--json"]);
        if no_clang(&ran) {
            continue;
        }
        assert_eq!(ran.code, SCHEDULER, "{policy}: {}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        let exit = &report["exit"];
        assert_eq!((&exit["kind"], &exit["code"]), (&kind.into(), &0.into()), "{policy}: {exit}");
        assert!(exit["msg"].as_str().is_some_and(|m| m.contains(says)), "{policy}: {exit}");
        // The workload went on under fair: every task got its share of what was left.
        let tasks = report["tasks"].as_array().expect("tasks");
        let hogs: Vec<_> = tasks.iter().filter(|t| t["comm"].as_str().is_some_and(|c| c.starts_with("hog"))).collect();
        assert!(hogs.len() >= 2, "{policy}: {tasks:?}");
        for task in hogs {
            assert!(task["cpu_ns"].as_u64() > Some(50_000_000), "{policy}: {task}");
        }
    }
}

/// For people: who was ejected, why, and that its tasks went on.
#[test]
fn an_ejection_is_told() {
    let ran = run("scenarios/policies/wrong_cpu.rs", &["--duration", "50ms"]);
    assert_eq!(ran.code, SCHEDULER, "{}", ran.stderr);
    for part in
        ["wrong_cpu was ejected; its tasks went on under the fair class", "exit kind error", "reason: runtime error"]
    {
        assert!(ran.stdout.contains(part), "'{part}' is missing: {}", ran.stdout);
    }
}

/// What `make run` shows: a table of both, and one sentence that reads it.
#[test]
fn the_first_comparison() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let args = "compare eevdf simple --machine 8 --workload mixed --duration";
    assert!(makefile.contains(&format!("$(SCXR) {args} 2s")), "make run shows something else");
    let words: Vec<&str> = args.split(' ').chain(["200ms"]).collect();
    let ran = scxr(&words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in ["eevdf", "simple", "wakeup p99"] {
        assert!(ran.stdout.contains(part), "'{part}' is missing: {}", ran.stdout);
    }
    let last = ran.stdout.trim_end().lines().last().expect("a line");
    assert!(last.contains("simple against eevdf") && last.ends_with('.'), "{}", ran.stdout);
}
