//! `--on host`, as root on a kernel that may be broken: in virtual machines, where a shell drives it. Also the refusals that
//! need no kernel.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{root, scxr};

/// Runs a script in a guest of two CPUs, with `scxr` as `$S`; what it printed.
fn in_guest(script: &str, take: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("drive.sh");
    let head = format!(
        "S={}\nstate() {{ echo \"$1: $(cat /sys/kernel/sched_ext/state) $(cat /sys/kernel/sched_ext/root/ops 2>/dev/null)\"; }}\n\
         up() {{ until [ \"$(cat /sys/kernel/sched_ext/state)\" = enabled ]; do sleep 0.1; done; }}\n",
        env!("CARGO_BIN_EXE_scxr")
    );
    std::fs::write(&path, head + script).expect("a script");
    let exec = format!("sh {}", path.display());
    let mut args = vec!["run", "eevdf", "--on", "vm", "--machine", "2", "--json", "-q", "--exec", &exec];
    take.iter().for_each(|t| args.extend(["--take", t]));
    let ran = scxr(&args);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stderr, ran.stdout);
    let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(value["exec"]["code"], 0, "{}", value["exec"]);
    value["exec"]["stdout"].as_str().expect("text").to_owned()
}

/// The text between a line that is `mark` and the next line that begins with `=`.
fn part<'a>(out: &'a str, mark: &str) -> &'a str {
    let at = out.find(&format!("={mark}\n")).unwrap_or_else(|| panic!("no {mark} in\n{out}"));
    let rest = &out[at + mark.len() + 2..];
    rest.find("\n=").map_or(rest, |end| &rest[..end])
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

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
    let built = ["clang", "clang-19", "clang-18", "clang-17", "clang-16"].iter().any(|clang| {
        let args = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "-o", object];
        Command::new(clang).args(args).arg(source).status().is_ok_and(|s| s.success())
    });
    assert!(built, "clang cannot be had; scripts/setup test installs it");
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
