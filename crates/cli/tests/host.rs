//! `--on host`, as root on a kernel that may be broken: in virtual machines, where a shell drives it. Also the refusals that
//! need no kernel.

#[path = "support/guest.rs"]
mod guest;
#[path = "../src/scheduler/clang/programs.rs"]
mod programs;
mod support;

use std::path::Path;
use std::process::Command;

use guest::{has, in_guest, part};
use serde_json::Value;
use support::{root, scxr};

const SIGNALS: &str = r#"
echo =attached
$S run simple --on host >/tmp/a 2>&1 & p=$!
up; state running
$S run simple --on host 2>&1; echo "second $?"; sleep 1.2
kill -INT $p; wait $p; echo "ended $?"; state after
cat /tmp/a
echo =workload
$S run simple --on host --workload spin:n=2 --duration 100s >/tmp/b 2>&1 & p=$!
up; sleep 0.3; kill -TERM $p; wait $p; echo "ended $?"; state after
cat /tmp/b
echo =killed
$S run simple --on host --exec 'sleep 1000' >/tmp/c 2>&1 & p=$!
up; sleep 0.1; state running; kill -9 $p; wait $p 2>/dev/null; echo "ended $?"; sleep 0.3; state after
grep -l '^sleep$' /proc/[0-9]*/comm | while read f; do tr '\0' ' ' <${f%comm}cmdline; done
echo =hotplug
$S run simple --on host >/tmp/d 2>&1 & p=$!
up; echo 0 >/sys/devices/system/cpu/cpu1/online; sleep 0.1; up; state after
kill -HUP $p; wait $p; echo "ended $?"; cat /tmp/d; ls /sys/kernel/tracing/instances
"#;

#[test]
fn a_scheduler_goes_when_its_loader_does() {
    let out = in_guest(SIGNALS, &[]);
    let attached = part(&out, "attached");
    has(attached, &["running: enabled simple\n", "`simple` is attached already", "systemctl stop scx", "second 4\n"]);
    has(attached, &["ended 0\nafter: disabled \n", "1.00 s · CPU ", " switches · ", "stats[0] +", "exit kind unreg\n"]);
    let workload = part(&out, "workload");
    has(workload, &["ended 143\nafter: disabled \n", "stopped before its time", " spin "]);
    let killed = part(&out, "killed");
    has(killed, &["running: enabled simple\n", "ended 137\nafter: disabled "]);
    assert!(!killed.contains("sleep 1000"), "the program outlived its run:\n{killed}");
    let hotplug = part(&out, "hotplug");
    has(
        hotplug,
        &["after: enabled simple\n", "ended 0\n", "started again, as the scheduler asked for", "cpu 1 going offline"],
    );
    // One is that of the run that all of this is the workload of.
    assert_eq!(hotplug.matches("\nscxr-").count(), 1, "trace instances are left:\n{hotplug}");
}

const REFUSALS: &str = r#"
echo =stall
$S run stall.bpf.o --on host --workload spin:n=2 --duration 4s -q; echo "ended $?"; state after
echo =verifier
$S run null_store.bpf.o --on host -q; echo "ended $?"; state after
echo =root
setpriv --reuid 1000 --clear-groups $S run simple --on host 2>&1; echo "ended $?"
echo =btf
mount -t tmpfs none /sys/kernel/btf; $S run simple --on host 2>&1; echo "ended $?"
echo =exec
$S run simple --on host --exec 'no-such-program' 2>&1; echo "ended $?"
"#;

#[test]
fn what_a_kernel_refuses_is_told_with_the_way_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let policies = root().join("scenarios/policies");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let stall = path("stall.bpf.o");
    let source = policies.join("never_dispatches.rs").display().to_string();
    assert_eq!(scxr(&["build", &source, "-o", &stall]).code, 0);
    let refused = path("null_store.bpf.o");
    clang(&policies.join("null_store.bpf.c"), &refused);
    let script = format!("cd {}\n{REFUSALS}", dir.path().display());
    let out = in_guest(&script, &[&stall, &refused]);
    has(part(&out, "stall"), &["was ejected", "exit kind error_stall", "ended 1\nafter: disabled"]);
    has(
        part(&out, "verifier"),
        &["was refused", "null_store_enqueue", "invalid mem access", "ended 1\nafter: disabled"],
    );
    has(part(&out, "root"), &["needs root", "sudo", "ended 4"]);
    has(part(&out, "btf"), &["has no BTF", "CONFIG_DEBUG_INFO_BTF", "--on vm", "ended 4"]);
    has(part(&out, "exec"), &["no program 'no-such-program' in PATH", "ended 2"]);
}

fn clang(source: &Path, object: &str) {
    let built = programs::CLANG.iter().any(|clang| {
        let args = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "-o", object];
        Command::new(clang).args(args).arg(source).status().is_ok_and(|s| s.success())
    });
    assert!(built, "clang cannot be had; scripts/setup test installs it");
}

const WORKLOADS: &str = r#"
of() {
  for f in $(grep -l "$1" /proc/[0-9]*/task/[0-9]*/comm); do
    t=${f%comm}; echo "$(cat $f) $(cut -d' ' -f$2 $t/stat) $(grep Cpus_allowed_list $t/status)"
  done
}
echo =groups
$S run eevdf --on host --workload groups.json --duration 1s --json
ls -d /sys/fs/cgroup/batch /sys/fs/cgroup/game 2>&1 | sed 's/^/left: /'
echo =policies
$S run simple --on host --workload policies.json --duration 1s --json & p=$!
up; sleep 0.1
of '^p-' 18,19,40,41 | sort
wait $p
echo =inject
$S run simple --on host --workload spin:n=3 --duration 3s --json --inject '100ms affinity spin-0 1' \
  --inject '100ms policy spin-1 fifo:7' --inject '100ms nice spin-2 5' --inject '200ms rt cpu0 50ms' --inject '1200ms policy spin-1 other' \
  --inject '1300ms hotplug cpu1 off' & p=$!
up; sleep 0.2
of '^spin' 19,40,41 | sort
wait $p; cat /sys/devices/system/cpu/online
echo =missed
$S run eevdf --on host --workload spin:n=1 --duration 100ms --inject '10ms nice nobody 1' 2>&1; echo "ended $?"
"#;

/// Task groups, policies and what is injected mean on a real kernel what they say.
#[test]
fn workloads_have_groups_policies_and_injections() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    // One task against three on one CPU: groups share it evenly, whatever is in them.
    let groups = write(
        "groups.json",
        r#"{"tasks": {"one": {"taskgroup": "/game", "cpus": [0], "loop": -1, "run": 1000},
            "three": {"instance": 3, "taskgroup": "/batch/deep", "cpus": [0], "loop": -1, "run": 1000}}}"#,
    );
    let task = |name: &str, policy: &str, priority: i32| {
        format!(
            r#""p-{name}": {{"policy": "{policy}", "priority": {priority}, "loop": -1, "run": 100, "sleep": 1000}}"#
        )
    };
    let all = [("batch", "SCHED_BATCH", 3), ("ext", "SCHED_EXT", -2), ("fifo", "SCHED_FIFO", 5)];
    let more = [("idle", "SCHED_IDLE", 0), ("other", "SCHED_OTHER", 1), ("rr", "SCHED_RR", 6)];
    let tasks: Vec<String> = all.iter().chain(&more).map(|(name, policy, n)| task(name, policy, *n)).collect();
    let policies = write("policies.json", &format!(r#"{{"tasks": {{{}}}}}"#, tasks.join(", ")));
    let out = in_guest(&format!("cd {}\n{WORKLOADS}", dir.path().display()), &[&groups, &policies]);

    let text = part(&out, "groups");
    let (json, left) = text.split_once("\nleft: ").expect("ls was run");
    let value: Value = serde_json::from_str(json).expect("JSON");
    let share = |group: &str| {
        let groups = value["groups"].as_array().expect("groups");
        groups
            .iter()
            .find(|g| g["group"] == group)
            .and_then(|g| g["share"].as_f64())
            .unwrap_or_else(|| panic!("{value}"))
    };
    let (game, batch) = (share("/game"), share("/batch/deep"));
    assert!((0.4..0.6).contains(&(game / (game + batch))), "{game} {batch}");
    assert_eq!(left.matches("No such file").count(), 2, "groups are left: {left}");
    // Priority as /proc shows it, nice value, real-time priority, policy.
    let text = part(&out, "policies");
    has(
        text,
        &[
            "p-batch 23 3 0 3 ",
            "p-ext 18 -2 0 7 ",
            "p-fifo -6 0 5 1 ",
            "p-idle ",
            "p-other 21 1 0 0 ",
            "p-rr -7 0 6 2 ",
        ],
    );
    assert!(text.lines().any(|l| l.starts_with("p-idle ") && l.contains(" 0 5 ")), "{text}");
    let text = part(&out, "inject");
    has(text, &["spin-0 0 0 0 Cpus_allowed_list:\t1\n", "spin-1 0 7 1 ", "spin-2 5 0 0 "]);
    let json = &text[text.find('{').expect("an object")..text.rfind('}').expect("its end") + 1];
    let value: Value = serde_json::from_str(json).expect("JSON");
    let rt = value["tasks"].as_array().expect("tasks").iter().find(|t| t["comm"] == "rt").expect("the task");
    assert!(rt["cpu_ns"].as_u64().is_some_and(|ns| (45_000_000..75_000_000).contains(&ns)), "{rt}");
    assert!(text.trim_end().ends_with("}\n0"), "CPU 1 is offline, and the scheduler was started again: {text}");
    assert_eq!(value["exit"]["kind"], "none", "{}", value["exit"]);
    has(part(&out, "missed"), &["--inject '10ms nice nobody 1': no task has the name 'nobody'", "ended 2"]);
}

/// Without privileges the answer is the same on every machine.
#[test]
fn without_root_nothing_is_tried() {
    let mut command = match is_root() {
        false => Command::new(env!("CARGO_BIN_EXE_scxr")),
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--clear-groups", "--", env!("CARGO_BIN_EXE_scxr")]);
            command
        }
    };
    let out = command.args(["run", "simple", "--on", "host"]).current_dir("/").output().expect("it starts");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(4), "{said}");
    has(&said, &["needs root", "sudo", "--on vm"]);
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    status.lines().any(|l| l.starts_with("Uid:\t0\t"))
}
