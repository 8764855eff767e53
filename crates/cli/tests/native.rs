//! `scxr run X.rs --native`.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{Ran, root, scxr};

fn policy(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("p.rs");
    std::fs::write(&path, format!("use scxr_policy::prelude::*;\n{text}")).expect("a file");
    (dir, path)
}

fn run(path: &str, extra: &[&str]) -> Ran {
    scxr(&[&["run", path, "--duration", "50ms", "--globals", "-q"], extra].concat())
}

/// The report without what is not the same twice.
fn report(path: &str, extra: &[&str]) -> Value {
    let ran = run(path, &[extra, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    for key in ["wall_ns", "events_per_sec", "globals"] {
        value.as_object_mut().expect("an object").remove(key);
    }
    value
}

#[test]
fn native_code_decides_as_bpf() {
    for name in ["tasks", "masks", "queues"] {
        let path = root().join(format!("crates/policy/policies/{name}.rs"));
        let path = path.to_str().expect("UTF-8");
        assert_eq!(report(path, &[]), report(path, &["--native"]), "{name}");
    }
}

#[test]
fn a_panic_is_the_policys_and_has_its_line() {
    let enqueue = "    fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {\n        NR.set(NR.get() - 1);\n        \
                   Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);\n    }";
    let (_dir, path) = policy(&format!(
        "state! {{ static NR as \"nr\": Global<u64> = 0; }}\nscheduler! {{\npub struct P {{ name: \"p\" }}\nimpl Ops for P {{\n{enqueue}\n}}\n}}\n"
    ));
    let ran = run(path.to_str().expect("UTF-8"), &["--native"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for part in ["the policy after event", "p.rs:7:16", "attempt to subtract with overflow", "wrapping_*"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!(run(path.to_str().expect("UTF-8"), &[]).code, 0, "as BPF it wraps");
}

#[test]
fn state_is_not_needed() {
    let (_dir, path) = policy("scheduler! {\npub struct P { name: \"p\" }\nimpl Ops for P {}\n}\n");
    let ran = run(path.to_str().expect("UTF-8"), &["--native"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn what_cannot_be_native_says_so() {
    let (_dir, path) = policy("this is no Rust");
    let broken = run(path.to_str().expect("UTF-8"), &["--native"]);
    assert!(broken.code == 2 && broken.stderr.contains("does not compile"), "{}", broken.stderr);
    let c = run(root().join("scenarios/policies/null_store.bpf.c").to_str().expect("UTF-8"), &["--native"]);
    assert!(c.code == 2 && c.stderr.contains("is for BPF alone"), "{}", c.stderr);
}
