//! Any loader takes our objects, unchanged: bpftool and a skeleton of libbpf's, on stock kernels in QEMU. veristat too, where it is on the
//! path or `scripts/setup loaders` built it; else it is said that it was left out. None of them knows anything of scxr.

#[path = "support/skip.rs"]
mod skip;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skip::skipped;
use support::{root, scxr};

/// What the guest does with the objects beside it.
const SCRIPT: &str = "#!/bin/sh
mkdir -p /sys/fs/bpf/ops /sys/fs/bpf/progs
state=/sys/kernel/sched_ext/state
for o in *.bpf.o; do
  bpftool struct_ops register $o /sys/fs/bpf/ops >/dev/null || exit 1
  sleep 0.2
  echo $o $(cat $state) $(cat /sys/kernel/sched_ext/root/ops)
  rm /sys/fs/bpf/ops/*
  n=0
  while [ $(cat $state) != disabled ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
  echo $o $(cat $state)
done
bpftool prog loadall simple.bpf.o /sys/fs/bpf/progs && ls /sys/fs/bpf/progs
if [ -x skeleton ]; then ./skeleton || exit 2; fi
if [ -x veristat ]; then ./veristat -q -o csv -e file,prog,verdict,insns *.bpf.o || exit 3; fi
";

/// A program on the path, or where only root's path leads.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// bpftool, if it is new enough to know links of struct_ops.
fn bpftool() -> Option<PathBuf> {
    let path = program("bpftool");
    let version = path.as_ref().and_then(|p| Command::new(p).arg("version").output().ok());
    let version = version.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let number = |text: &str| text.split('.').map(|n| n.trim().parse().unwrap_or(0)).collect::<Vec<u32>>();
    let found = version.lines().find_map(|l| l.strip_prefix("bpftool v")).map(number).unwrap_or_default();
    if found < vec![7, 3] {
        assert!(std::env::var_os("CI").is_none(), "bpftool 7.3 or newer is needed, there is: {version}");
        skipped("bpftool 7.3 or newer is needed (scripts/setup test installs it where the distribution has it)");
        return None;
    }
    path
}

fn build(source: &str, name: &str, dir: &Path) {
    let (source, object) = (root().join(source), dir.join(format!("{name}.bpf.o")));
    let ran = scxr(&["build", source.to_str().expect("UTF-8"), "-q", "-o", object.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// The skeleton's header, and a C program with it; linked with the libbpf that `scxr` is built with.
fn skeleton(bpftool: &Path, dir: &Path) {
    let made =
        Command::new(bpftool).args(["gen", "skeleton", "simple.bpf.o", "name", "simple"]).current_dir(dir).output();
    let made = made.expect("bpftool starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(dir.join("simple.skel.h"), made.stdout).expect("a file");
    let builds = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../debug/build");
    let builds = std::fs::read_dir(builds).into_iter().flatten().flatten().map(|e| e.path().join("out"));
    let Some(libbpf) = builds.into_iter().find(|dir| dir.join("libbpf.a").is_file()) else {
        return skipped("the skeleton needs libbpf as a debug build leaves it");
    };
    let source = root().join("crates/cli/tests/loaders/skeleton.c");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-I"]).arg(libbpf.join("include")).arg("-I").arg(dir).arg(source);
    cc.arg(libbpf.join("libbpf.a")).args(["-lelf", "-lz", "-o"]).arg(dir.join("skeleton"));
    let output = cc.output().expect("a C compiler, which Rust needs, too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Has it a user-space half, without which it ends at once?
fn has_half(source: &str) -> bool {
    let files = std::fs::read_dir(root().join(source)).into_iter().flatten().flatten().map(|e| e.path());
    let mut sources = files.filter(|p| p.extension().is_some_and(|e| e == "rs"));
    sources.any(|p| std::fs::read_to_string(p).is_ok_and(|text| text.contains("HalfDef")))
}

/// Objects of these policies go through all loaders on a kernel.
#[track_caller]
fn check(kernel: &str, policies: &[(&str, &str)]) {
    let Some(bpftool) = bpftool() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    policies.iter().for_each(|(name, source)| build(source, name, dir.path()));
    skeleton(&bpftool, dir.path());
    std::fs::write(dir.path().join("load.sh"), SCRIPT).expect("a script");
    std::fs::set_permissions(dir.path().join("load.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a mode");
    let built = Some(root().join("target/tools/veristat")).filter(|p| p.is_file());
    match program("veristat").or(built) {
        Some(veristat) => _ = std::fs::copy(veristat, dir.path().join("veristat")).expect("a copy"),
        None => skipped(&format!("{kernel}: veristat is left out: there is none (`make loaders` builds one)")),
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    command.args([
        "run",
        "eevdf",
        "--on",
        "vm",
        "--kernel",
        kernel,
        "--machine",
        "2",
        "--json",
        "-q",
        "--exec",
        "./load.sh",
        // veristat loads an object anew for each of its programs
        "--duration",
        "300s",
    ]);
    command.args(["--take", ".", "--take"]).arg(&bpftool).current_dir(dir.path());
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (exec, said) = (&value["exec"], value["exec"]["stdout"].as_str().expect("text"));
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loaders-{kernel}.txt")), said).expect("a file");
    assert_eq!(exec["code"], 0, "{kernel}: {exec}");
    let registered = exec["stderr"].as_str().expect("text");
    for (name, source) in policies {
        // one whose decisions are made in user space ends where there is nobody to make them
        if has_half(source) {
            assert!(registered.contains(&format!("Registered sched_ext_ops {name}_ops")), "{kernel}: {name}: {exec}");
            continue;
        }
        for line in [format!("{name}.bpf.o enabled {name}"), format!("{name}.bpf.o disabled")] {
            assert!(said.lines().any(|l| l == line), "{kernel}: {line}: {exec}");
        }
    }
    assert_eq!(said.lines().filter(|l| l.starts_with("simple_")).count(), 8, "{kernel}: pinned programs: {exec}");
    if dir.path().join("skeleton").is_file() {
        assert!(said.contains("enabled\nvirtual time goes on\ndisabled\n"), "{kernel}: the skeleton: {exec}");
    }
    if dir.path().join("veristat").is_file() {
        assert!(said.contains("simple_enqueue,success") && !said.contains("failure"), "{kernel}: veristat: {exec}");
        support::say(&walked(kernel, said));
    }
}

/// Instructions that the verifier walked, all programs of an object together, as `file,prog,verdict,insns` lists them.
fn walked(kernel: &str, said: &str) -> String {
    let mut sums = std::collections::BTreeMap::<&str, u64>::new();
    for line in said.lines() {
        let mut fields = line.split(',');
        let (object, _, _, insns) = (fields.next(), fields.next(), fields.next(), fields.next());
        if let (Some(object), Some(Ok(insns))) = (object.and_then(|o| o.strip_suffix(".bpf.o")), insns.map(str::parse))
        {
            let insns: u64 = insns;
            *sums.entry(object).or_default() += insns;
        }
    }
    let listed: Vec<String> = sums.iter().map(|(object, insns)| format!("{object} {insns}")).collect();
    format!("{kernel}: instructions walked, by veristat: {}", listed.join(", "))
}

const SIMPLE: (&str, &str) = ("simple", "schedulers/simple");

#[test]
fn the_oldest_kernel_of_the_lab() {
    check("6.16", &[SIMPLE]);
}

#[test]
fn the_newest_kernel_of_the_lab() {
    check("7.2", &[SIMPLE, ("tasks", "crates/policy/policies/tasks.rs"), ("masks", "crates/policy/policies/masks.rs")]);
}

/// Every policy in a folder of the project, by name: those that are added later, too.
fn policies_in(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder").flatten();
    let mut found: Vec<(String, String)> = entries
        .filter(|e| e.path().join("policy.rs").is_file() || e.path().extension().is_some_and(|x| x == "rs"))
        .map(|e| (e.path().file_stem().unwrap_or_default().to_string_lossy().into_owned(), e.path()))
        .map(|(name, path)| (name, path.to_string_lossy().into_owned()))
        .collect();
    found.sort();
    found
}

/// All of them, those with operations that came later on the newest only.
fn check_every_policy(kernel: &str) {
    let mut policies = [policies_in("schedulers"), policies_in("crates/policy/policies")].concat();
    policies.retain(|(name, _)| !["newest", "cids"].contains(&name.as_str()) || kernel == "7.2");
    // libbpf reads what `externs` asks for from the kernel's configuration, which Debian's archive has no longer for 7.0
    if kernel == "7.0" {
        policies.retain(|(name, _)| name != "externs");
        skipped("7.0: externs is left out: there is no configuration of that kernel");
    }
    check(kernel, &policies.iter().map(|(n, p)| (n.as_str(), p.as_str())).collect::<Vec<_>>());
}

macro_rules! every_policy {
    ($($name:ident: $kernel:literal;)*) => {$(
        #[test]
        #[ignore = "minutes, with every object; run it with --ignored after a change of bpfc"]
        fn $name() {
            check_every_policy($kernel);
        }
    )*};
}

every_policy! {
    every_policy_on_6_16: "6.16";
    every_policy_on_6_18: "6.18";
    every_policy_on_7_0: "7.0";
    every_policy_on_7_2: "7.2";
}
