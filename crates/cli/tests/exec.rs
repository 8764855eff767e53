//! `--exec` in virtual machines: programs of this host under a scheduler on a real kernel.

mod support;

use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use serde_json::Value;
use support::{root, scxr};

fn json(args: &[&str], code: i32) -> Value {
    let ran = scxr(args);
    assert_eq!(ran.code, code, "{args:?}\n{}\n{}", ran.stderr, ran.stdout);
    serde_json::from_str(&ran.stdout).expect("JSON on standard output")
}

#[test]
fn a_program_and_its_children_are_the_workload() {
    let dir = tempfile::tempdir().expect("a folder");
    // A script that names its programs, reads a file beside it, and is read by what its first line says.
    let script = dir.path().join("work.sh");
    let text = "#!/bin/sh\ncat data; uname -r; nproc; pwd\n\
        for i in 1 2 3; do (x=0; while [ $x -lt 2000 ]; do x=$((x + 1)); done) & done; wait\necho 'it failed' >&2; exit 3\n";
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    std::fs::write(dir.path().join("data"), "data\n").expect("a file");
    let args = ["run", "simple", "--on", "vm", "--machine", "2", "--exec", "./work.sh", "--take", "data", "--json"];
    let ran = Command::new(env!("CARGO_BIN_EXE_scxr")).args(args).current_dir(dir.path()).output().expect("it starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let value: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let exec = &value["exec"];
    assert_eq!((&exec["code"], &exec["ended"], &exec["signal"]), (&3.into(), &true.into(), &Value::Null), "{exec}");
    let release = value["kernel"].as_str().expect("a release");
    assert_eq!(exec["stdout"], format!("data\n{release}\n2\n{}\n", dir.path().display()));
    assert_eq!(exec["stderr"], "it failed\n");
    assert_eq!(value["exit"]["kind"], "none", "{}", value["exit"]);
    let tasks = value["tasks"].as_array().expect("tasks");
    let named = |comm: &str| tasks.iter().filter(|t| t["comm"] == comm).count();
    assert_eq!((named("work.sh"), named("uname"), named("nproc"), named("cat")), (4, 1, 1, 1), "{tasks:?}");
    let busy = |t: &&Value| t["cpu_ns"].as_u64().is_some_and(|ns| ns > 1_000_000);
    assert!(tasks.iter().filter(busy).count() >= 3, "{tasks:?}");
    assert_eq!(value["duration_ns"].as_u64().map(|ns| ns > 5_000_000 && ns < 5_000_000_000), Some(true));
}

#[test]
fn a_program_that_goes_on_is_stopped_at_the_end() {
    let args = ["run", "eevdf", "--on", "vm", "--machine", "1", "--duration", "200ms", "--json", "--exec"];
    let value = json(&[&args[..], &["sh -c 'echo begun; trap \"\" TERM; while :; do :; done'"]].concat(), 0);
    let exec = &value["exec"];
    assert_eq!((&exec["ended"], &exec["signal"], &exec["stdout"]), (&false.into(), &9.into(), &"begun\n".into()));
    let spun = value["tasks"][0]["cpu_ns"].as_u64().expect("a time");
    // It is told to end after 200 ms, by a task that looks now and then.
    assert!((100_000_000..300_000_000).contains(&spun), "{}", value["tasks"]);
}

#[test]
fn what_cannot_be_run_is_said_before_anything_is_booted() {
    for (args, says) in [
        (&["run", "simple", "--exec", "true"][..], "a simulated kernel runs no programs; use --on vm"),
        (&["run", "simple", "--on", "vm", "--exec", "no-such-program-at-all"], "in PATH"),
        (&["run", "simple", "--on", "vm", "--exec", "sleep '1"], "is not closed"),
        (&["run", "simple", "--on", "vm", "--exec", "true", "--workload", "mixed"], "one workload"),
        (&["run", "simple", "--on", "vm", "--take", "x"], "goes with --on vm --exec"),
        (&["run", "simple", "--on", "vm", "--exec", "true", "--take", "no/such"], "no such file or folder"),
    ] {
        let ran = scxr(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
}

/// Names of files need not be text.
#[test]
fn arguments_need_not_be_utf_8() {
    let bytes = |text: &[u8]| std::ffi::OsStr::from_bytes(text).to_owned();
    let run = |args: &[&[u8]]| {
        let args = args.iter().map(|a| bytes(a));
        Command::new(env!("CARGO_BIN_EXE_scxr")).args(args).current_dir(root()).output().expect("it starts")
    };
    let out = run(&[b"run", b"simple", b"--on", b"vm", b"--exec", b"true \xff", b"--workload", b"x"]);
    assert_eq!(out.status.code(), Some(2));
    let out = run(&[b"run", b"simple", b"--on", b"vm", b"--exec", b"no-such-\xff"]);
    assert_eq!(out.status.code(), Some(2), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stderr).contains("in PATH"));
}
