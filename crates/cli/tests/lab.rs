//! What can be wrong with the lab: no QEMU, no room, corrupt kernels, guests that break. Each is told with the way out, and nothing is left
//! running or half-written.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use support::root;

/// Runs `scxr`, with an environment of its own.
fn scxr(args: &[&str], env: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    command.args(args).current_dir(root()).envs(env.iter().copied()).output().expect("it starts")
}

fn check(args: &[&str], env: &[(&str, &Path)], code: i32, says: &[&str]) {
    let out = scxr(args, env);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
    for part in says {
        assert!(said.contains(part), "{args:?}: expected '{part}', got\n{said}");
    }
}

/// The folder of the cached 7.2 kernel, which is fetched where it is not there.
fn kernel() -> PathBuf {
    let ran = support::scxr(&["kernels", "fetch", "7.2", "--json", "-q"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let image = value["kernels"][0]["image"].as_str().expect("an image");
    Path::new(image).parent().expect("a folder").to_owned()
}

/// A cache that holds a copy of the kernel.
fn cache() -> (tempfile::TempDir, PathBuf) {
    let (dir, from) = (tempfile::tempdir().expect("a folder"), kernel());
    let to = dir.path().join("scxr/kernels").join(from.file_name().expect("a name"));
    std::fs::create_dir_all(&to).expect("a folder");
    for file in ["vmlinuz", "btf", "config", "kernel.json"] {
        std::fs::copy(from.join(file), to.join(file)).expect("a copy");
    }
    (dir, to)
}

const RUN: [&str; 7] = ["run", "eevdf", "--on", "vm", "--machine", "1", "-q"];

#[test]
fn without_qemu_the_command_that_installs_it_is_named() {
    let nowhere = tempfile::tempdir().expect("a folder");
    check(&RUN, &[("PATH", nowhere.path())], 4, &["qemu-system-x86_64 is not installed", "install"]);
    // One that does not run.
    let fake = nowhere.path().join("qemu-system-x86_64");
    std::fs::copy("/bin/false", &fake).expect("a copy");
    check(&RUN, &[("PATH", nowhere.path())], 4, &["qemu-system-x86_64 does not run"]);
}

#[test]
fn a_cached_kernel_that_was_changed_is_not_booted() {
    let (cache, folder) = cache();
    let env = [("XDG_CACHE_HOME", cache.path())];
    let image = folder.join("vmlinuz");
    let mut bytes = std::fs::read(&image).expect("an image");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&image, &bytes).expect("an image");
    check(&RUN, &env, 4, &["is corrupt", "scxr kernels fetch"]);
    std::fs::write(&image, &bytes[..middle]).expect("an image");
    check(&RUN, &env, 4, &["is corrupt"]);
    // As an image of the user's own, it is read before anything is booted.
    let path = image.to_str().expect("UTF-8");
    check(&["run", "eevdf", "--on", "vm", "--kernel", path], &env, 2, &[path]);
}

/// Where there is no room for the guest's files, or for a kernel.
#[test]
fn without_room_nothing_is_left() {
    let full = Path::new("/dev/full");
    if !full.exists() || !is_root() {
        return skipped("a small file system cannot be mounted: not root");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(dir.path()).status();
    if !mounted.is_ok_and(|s| s.success()) {
        return skipped("a small file system cannot be mounted here");
    }
    let unmount = Unmount(dir.path().to_owned());
    let room = "No space left on device";
    check(&RUN, &[("TMPDIR", dir.path())], 4, &[room, "TMPDIR"]);
    check(&["kernels", "fetch", "7.2", "-q"], &[("XDG_CACHE_HOME", dir.path())], 4, &["XDG_CACHE_HOME"]);
    let left = |what: &str| std::fs::read_dir(dir.path().join(what)).into_iter().flatten().count();
    assert_eq!(left("scxr/kernels/7.2.13+deb14-cloud-amd64"), 0);
    let vms = std::fs::read_dir(dir.path()).expect("a folder").filter_map(Result::ok);
    assert_eq!(vms.filter(|e| e.file_name().to_string_lossy().starts_with("scxr-vm-")).count(), 0);
    drop(unmount);
}

#[test]
fn a_guest_that_panics_is_diagnosed_with_its_console() {
    let panic = [&RUN[..], &["--exec", "sh -c 'echo c >/proc/sysrq-trigger'"]].concat();
    check(&panic, &[], 4, &["the guest's kernel panicked: sysrq triggered crash", "the end of the guest's console"]);
}

/// A signal ends QEMU, too, and removes what was written.
#[test]
fn a_stopped_run_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    let args = ["run", "eevdf", "--on", "vm", "--machine", "1", "--duration", "1000s"];
    let child = command.args(args).env("TMPDIR", dir.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("it starts");
    // QEMU is there once its log is.
    let log = || {
        std::fs::read_dir(dir.path()).ok()?.find_map(|e| Some(e.ok()?.path().join("console")).filter(|p| p.exists()))
    };
    while log().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!running(dir.path()).is_empty());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let out = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(143), "{said}");
    assert!(said.contains("the virtual machine is gone"), "{said}");
    assert_eq!(running(dir.path()), [""; 0]);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
}

/// Command lines of processes that have to do with a folder.
fn running(dir: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let lines = processes.filter_map(|e| std::fs::read_to_string(e.path().join("cmdline")).ok());
    lines.filter(|l| l.contains(dir.to_str().expect("UTF-8"))).map(|l| l.replace('\0', " ")).collect()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    status.lines().any(|l| l.starts_with("Uid:\t0\t"))
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // It fails where somebody is in it, and is gone with the machine then.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn skipped(why: &str) {
    use std::io::Write as _;
    let line = format!("SKIPPED: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
}
