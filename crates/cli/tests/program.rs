//! Schedulers that are programs of their own. The program is `scxr` itself, which loads its object, attaches it and detaches it when it
//! is interrupted, as other people's do; `vm_beside_upstream.rs` has those of the kernel.

#[path = "support/guest.rs"]
mod guest;
mod support;

use guest::{has, in_guest, part};
use serde_json::Value;
use support::{root, scxr};

const SCXR: &str = env!("CARGO_BIN_EXE_scxr");

fn json(args: &[&str], code: i32) -> Value {
    let ran = scxr(args);
    assert_eq!(ran.code, code, "{args:?}\n{}\n{}", ran.stderr, ran.stdout);
    serde_json::from_str(&ran.stdout).expect("JSON on standard output")
}

/// A program that starts a scheduler, as `compare` needs it: it gives no options.
fn script(dir: &std::path::Path, name: &str, args: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\nexec {SCXR} {args}\n")).expect("a script");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_program_schedules_and_is_interrupted_at_the_end() {
    let args = ["run", SCXR, "--on", "vm", "--kernel", "7.2", "--machine", "2", "--workload", "mixed", "--duration"];
    let value = json(&[&args[..], &["300ms", "--json", "--", "run", "simple", "--on", "host"]].concat(), 0);
    let program = &value["program"];
    assert_eq!((&program["attached"], &program["ended"]), (&"simple".into(), &false.into()), "{program}");
    assert_eq!((&program["code"], &program["signal"]), (&0.into(), &Value::Null), "{program}");
    assert_eq!(program["argv"].as_array().map(Vec::len), Some(5), "{program}");
    assert!(program["attach_ns"].as_u64().is_some_and(|ns| ns > 0), "{program}");
    has(program["stdout"].as_str().expect("text"), &["simple on host · none · 2 CPUs", "exit kind unreg\n"]);
    assert_eq!(value["exit"]["kind"], "none", "it was there to the end: {}", value["exit"]);
    assert_eq!((&value["scheduler"]["name"], &value["scheduler"]["object"]), (&"scxr".into(), &SCXR.into()));
    assert!(value["totals"]["context_switches"].as_u64().is_some_and(|n| n > 50), "{}", value["totals"]);
    assert!(value["counters"].as_object().is_some_and(|c| !c.is_empty()), "{}", value["counters"]);
    let tasks = value["tasks"].as_array().expect("tasks");
    assert!(tasks.iter().all(|t| t["comm"] != "scxr"), "its tasks are none of the workload's: {tasks:?}");
}

#[test]
fn programs_are_compared() {
    let dir = tempfile::tempdir().expect("a folder");
    let (good, bad) =
        (script(dir.path(), "good", "run simple --on host"), script(dir.path(), "bad", "run nope --on host"));
    let args = ["compare", "eevdf", &good, &bad, "--on", "vm", "--machine", "2", "--workload", "spin:n=3"];
    let value = json(&[&args[..], &["--duration", "200ms", "--seeds", "1", "--json"]].concat(), 1);
    let kind = |i: usize| value["exits"][i]["exit"]["kind"].as_str().expect("a kind").to_owned();
    assert_eq!([kind(0), kind(1), kind(2)], ["none", "none", "load"], "{}", value["exits"]);
    has(
        value["reading"].as_str().expect("text"),
        &["bad was refused", "ended with exit code 2", "no scheduler 'nope'"],
    );
}

const ENDS: &str = r#"
echo =early
$S run /bin/true --on host --workload mixed --duration 1s; echo "ended $?"; state after
echo =fails
$S run /bin/cat --on host --json -- /no/such/file; echo "ended $?"
echo =late
$S run /bin/sleep --on host --workload mixed --duration 1s -- 1000; echo "ended $?"; state after
echo =stall
$S run $S --on host --workload spin:n=2 --duration 4s -- run stall.bpf.o --on host; echo "ended $?"; state after
echo =killed
$S run $S --on host --workload spin:n=2 --duration 1s --inject '200ms kill-half' -- run simple --on host; echo "ended $?"; state after
echo =restarts
$S run $S --on host --workload spin:n=1 --duration 5s --inject '200ms hotplug cpu1 off' -- run simple --on host 2>&1; echo "ended $?"
echo 1 >/sys/devices/system/cpu/cpu1/online
echo =endless
$S run $S --on host -- run simple --on host -q >/tmp/e 2>&1 & p=$!
up; sleep 1.3; $S run $S --on host -- run simple --on host 2>&1; echo "second $?"
kill -INT $p; wait $p; echo "ended $?"; state after; cat /tmp/e
echo =died
$S run $S --on host -- run simple --on host --duration 300ms --workload spin:n=1; echo "ended $?"; state after
"#;

/// Programs that attach nothing, whose schedulers are ejected, that are killed, that start their schedulers again, and a machine that is
/// just scheduled.
#[test]
fn however_a_program_ends_it_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let stall = dir.path().join("stall.bpf.o").display().to_string();
    let source = root().join("scenarios/policies/never_dispatches.rs").display().to_string();
    assert_eq!(scxr(&["build", &source, "-o", &stall]).code, 0);
    let out =
        in_guest(&format!("cd {}\n{ENDS}", dir.path().display()), &[&stall, "/bin/true", "/bin/cat", "/bin/sleep"]);
    let gone = "after: disabled ";
    has(
        part(&out, "early"),
        &[
            "true was refused",
            "kind load",
            "ended with exit code 0, and had attached no scheduler; it said nothing",
            "ended 1\n",
            gone,
        ],
    );
    has(part(&out, "fails"), &["\"kind\": \"load\"", "/no/such/file: No such file", "\"attached\": null", "ended 1"]);
    has(part(&out, "late"), &["the program has attached no scheduler within 30 s", "ended 1\n", gone]);
    has(part(&out, "stall"), &["scxr was ejected", "exit kind error_stall", "CPU 0", "failed to", "ended 1\n", gone]);
    has(
        part(&out, "killed"),
        &["exit kind unreg", "the program was ended by signal 9", "attached `simple`", "ended 1\n", gone],
    );
    let restarts = part(&out, "restarts");
    has(restarts, &["the scheduler was started again, as it asked for", "cpu 1 going offline", "ended 0"]);
    let endless = part(&out, "endless");
    has(
        endless,
        &["`simple` is attached already", "second 4\n", "ended 0\n", gone, "1.00 s · CPU ", "attached `simple`"],
    );
    has(part(&out, "died"), &["exit kind unreg", "ended by itself with exit code 0", "ended 0\n", gone]);
}

#[test]
fn what_means_nothing_for_a_program_is_said_before_anything_is_booted() {
    for (args, says) in [
        (
            &["run", SCXR][..],
            "--on vm (a Linux kernel in QEMU) or --on host, or give its object: scxr run scxr.bpf.o, with --loader",
        ),
        (&["compare", "eevdf", SCXR, "--on", "sim,vm"], "a simulated kernel runs BPF alone"),
        (&["run", SCXR, "--on", "vm", "--set", "x=1"], "--set: scxr is a program, which loads its own object"),
        (&["run", SCXR, "--on", "vm", "--globals"], "--globals: scxr is a program"),
        (
            &["run", SCXR, "--on", "vm", "--stats", "1"],
            "--stats: scxr is a program, and what it prints is in the report",
        ),
        (&["run", SCXR, "--on", "vm", "--native"], "--native"),
        (&["run", SCXR, "--on", "vm", "--loader", "none"], "--loader none: it is for objects"),
        (&["run", SCXR, "--on", "vm", "--record", "x"], "--record: runs of programs"),
        (&["run", "/etc/passwd", "--on", "vm"], "if it is an ELF executable or a script"),
        (&["run", "scx_no_such", "--on", "vm"], "there is no scheduler 'scx_no_such'"),
        (&["verify", SCXR], "brings its own BPF object; give that object"),
    ] {
        let ran = scxr(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
}
