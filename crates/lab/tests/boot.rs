//! Guests on a real QEMU with a real kernel: `cargo test -p scxr-lab --test boot`.

mod common;

use std::path::Path;
use std::time::Duration;

use scxr_lab::guest::{GuestEvent, GuestSpec};
use scxr_lab::initramfs::Initramfs;
use scxr_lab::qemu::{Clock, Finding, Guest, GuestExit, GuestOutput, Kvm, Qemu, Shape, VmError};

/// Prints what it sees: times, what the machine looks like, what is mounted. Ends with status 7.
const SCRIPT: &str = "#!/bin/sh
echo out; echo err >&2
grep -c ^processor /proc/cpuinfo
for i in 1 2 3; do cut -d' ' -f1 /proc/uptime; head -n 1 /proc/stat; done &
for i in 1 2 3; do read -r up idle </proc/uptime; echo $up $idle; done
wait
head -n 1 /sys/devices/system/cpu/cpu0/topology/thread_siblings_list /sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list
sed -n 's/^run.*//p;1,5p' /proc/schedstat
for f in /sys/kernel/btf/vmlinux /sys/kernel/tracing/events /sys/fs/bpf /sys/fs/cgroup/cgroup.procs /sys/kernel/sched_ext/state; do
  [ -e $f ] && echo there: $f
done
exit 7
";

fn guest(script: &str, shape: Shape) -> Option<(Qemu, Guest)> {
    let kernel = common::kernel("7.2")?;
    let qemu = match Qemu::find() {
        Ok(qemu) => qemu,
        Err(error) => {
            common::skip(&error.to_string());
            return None;
        }
    };
    let mut files = Initramfs::new(Path::new(env!("CARGO_BIN_EXE_scxr-guest"))).unwrap();
    for tool in ["sh", "cut", "grep", "head", "sed", "sleep"] {
        let host = ["/bin", "/usr/bin"].map(|d| Path::new(d).join(tool)).into_iter().find(|p| p.is_file()).unwrap();
        files.add_program(&host, &format!("/bin/{tool}")).unwrap();
    }
    files.add_bytes(script, "/test", 0o755);
    let mut guest = Guest::new(kernel.image.as_deref().unwrap(), files, GuestSpec::new(["/test"]), shape);
    guest.wall_limit = Duration::from_secs(240);
    Some((qemu, guest))
}

#[test]
fn a_guest_gives_the_same_bytes_twice() {
    let shape = Shape { sockets: 2, dies: 1, cores: 1, threads: 2, nodes: 2, distances: Vec::new() };
    let Some((qemu, guest)) = guest(SCRIPT, shape) else { return };
    let run = || {
        let mut said = Vec::new();
        let outcome = qemu.run(&guest, &mut |o| {
            if let GuestOutput::Event(event) = o {
                said.push(event.clone());
            }
        });
        (outcome.unwrap(), said)
    };
    let ((one, events), (two, _)) = (run(), run());
    let text = String::from_utf8(one.stdout.clone()).unwrap();
    assert_eq!(one.exit, GuestExit::Code(7), "{text}");
    assert!(text.starts_with("out\n4\n"), "{text}");
    // First the first threads of all cores, then the second ones, as in the simulated machine.
    let threads_and_cache =
        "thread_siblings_list <==\n0,2\n\n==> /sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list <==\n0,2\n";
    assert!(text.contains(threads_and_cache), "{text}");
    assert_eq!(text.matches("there: ").count(), 5, "{text}");
    assert_eq!(one.stderr, b"err\n");
    assert_eq!(one.not_mounted, [""; 0]);
    assert!(matches!(events[..], [GuestEvent::Up { .. }, .., GuestEvent::Exit { code: Some(7), .. }]), "{events:?}");
    assert_eq!(one.stdout, two.stdout);
    assert_eq!(one.kmsg, two.kmsg);
    assert_eq!(one.console, two.console);
    assert_eq!((one.boot_ns, one.run_ns), (two.boot_ns, two.run_ns));
}

#[test]
fn a_program_that_takes_too_long_is_killed() {
    let Some((qemu, mut guest)) = guest("#!/bin/sh\necho before\nsleep 100\n", Shape::flat(1)) else { return };
    guest.spec.limit_ns = 1_500_000_000;
    let outcome = qemu.run(&guest, &mut |_| {}).unwrap();
    assert_eq!(outcome.exit, GuestExit::TimedOut);
    assert_eq!(outcome.stdout, b"before\n");
    assert!((1_500_000_000..1_600_000_000).contains(&outcome.run_ns), "{}", outcome.run_ns);
}

#[test]
fn a_panic_is_diagnosed() {
    let script = "#!/bin/sh\necho before\necho c >/proc/sysrq-trigger\n";
    let Some((qemu, guest)) = guest(script, Shape::flat(1)) else { return };
    let error = qemu.run(&guest, &mut |_| {}).unwrap_err();
    let VmError::Guest { report } = &error else { panic!("{error}") };
    assert!(report.findings.contains(&Finding::Panic { reason: "sysrq triggered crash".into() }), "{error}");
    assert!(error.to_string().starts_with("the guest's kernel panicked: sysrq triggered crash\n"), "{error}");
}

#[test]
fn a_guest_without_enough_memory_is_diagnosed() {
    let Some((qemu, mut guest)) = guest("#!/bin/sh\nexec sed -n 'H;$!b' /dev/zero\n", Shape::flat(1)) else { return };
    guest.memory_mib = 200;
    let outcome = qemu.run(&guest, &mut |_| {}).unwrap();
    assert_eq!(outcome.exit, GuestExit::Signal(9));
    assert!(outcome.findings.iter().any(|f| matches!(f, Finding::OutOfMemory { .. })), "{:?}", outcome.findings);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let Some((qemu, mut guest)) = guest("", Shape::flat(1)) else { return };
    guest.spec = GuestSpec::new(["/no/such/program"]);
    let error = qemu.run(&guest, &mut |_| {}).unwrap_err();
    assert!(matches!(error, VmError::NotStarted { .. }) && error.to_string().contains("/no/such/program"), "{error}");
}

#[test]
fn a_hung_guest_is_ended() {
    let Some((qemu, mut guest)) = guest("#!/bin/sh\nsleep 1000000\n", Shape::flat(1)) else { return };
    guest.clock = Clock::Free;
    guest.wall_limit = Duration::from_secs(5);
    let error = qemu.run(&guest, &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("the guest was ended after 5 s"), "{error}");
}

#[test]
fn a_guest_without_a_sign_of_life_is_ended_early() {
    let Some((qemu, mut guest)) = guest("#!/bin/sh\nwhile :; do :; done\n", Shape::flat(1)) else { return };
    guest.spec.beat_ns = 0;
    guest.silence = Duration::from_secs(2);
    let error = qemu.run(&guest, &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("the guest hangs: QEMU has executed for 2 s without a word from it"), "{error}");
    assert!(error.contains("of its own time"), "{error}");
}

#[test]
fn kvm_is_used_where_the_probe_says_so() {
    let Some((qemu, mut guest)) = guest("#!/bin/sh\necho up\n", Shape::flat(1)) else { return };
    guest.clock = match Kvm::probe(&qemu, &guest.kernel, Duration::from_secs(20)).unwrap() {
        Kvm::Works => Clock::Kvm,
        Kvm::Absent { reason } | Kvm::Broken { reason } => {
            assert!(!reason.is_empty());
            Clock::Free
        }
    };
    let outcome = qemu.run(&guest, &mut |_| {}).unwrap();
    assert_eq!((outcome.exit, &outcome.stdout[..]), (GuestExit::Code(0), &b"up\n"[..]));
}
