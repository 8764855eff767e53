//! A run of a guest: options, watching, results.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::diagnose::{Finding, Report, findings, report};
use super::pulse::{Pulse, Silence};
use super::shape::{Shape, ShapeError};
use super::tail::Tail;
use super::{Qemu, in_path, madt};
use crate::guest::{GuestEvent, GuestSpec, port};
use crate::initramfs::{Initramfs, InitramfsError};
use crate::kernels::{has_pvh_entry, vmlinux_of_image};

/// How often the guest's files are looked at.
const POLL: Duration = Duration::from_millis(5);

/// How time passes in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// An instruction takes 2^`shift` ns; the same run gives the same bytes.
    Icount {
        /// 0 to 10.
        shift: u8,
    },
    /// Time passes as it does outside, on emulated CPUs.
    Free,
    /// Time passes as it does outside, on this host's CPUs; where [`super::Kvm::probe`] says that it works.
    Kvm,
}

/// From when on a guest's CPUs have turns of [`turn_us`], with instruction-counted time. Before that, one goes on until a timer
/// is due, 4 ms at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    /// From its start, which is for every kernel and makes what one CPU does alone, such as a boot, twice as long.
    FromStart,
    /// From a word of its program on, [`crate::guest::begin_turns`].
    OnDemand,
}

impl Turns {
    /// What suits a kernel with this raw BTF: whether a program may write to a port (`CONFIG_X86_IOPL_IOPERM`), which it needs for
    /// its word.
    pub fn of_btf(btf: &[u8]) -> Turns {
        const HAS: &[u8] = b"\0ksys_ioperm\0";
        let has = btf.windows(HAS.len()).any(|w| w == HAS);
        if has { Turns::OnDemand } else { Turns::FromStart }
    }
}

/// A guest to run.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// Its files.
    pub initramfs: Initramfs,
    /// What it runs.
    pub spec: GuestSpec,
    /// CPUs.
    pub shape: Shape,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Time.
    pub clock: Clock,
    /// From when on its CPUs have turns.
    pub turns: Turns,
    /// More for the kernel's command line.
    pub append: Vec<String>,
    /// Wall time after which the guest is ended and its state is reported.
    pub wall_limit: Duration,
    /// CPU time that QEMU may take while the guest says nothing, not even that it is alive ([`GuestSpec::beat_ns`]); it is ended
    /// then, too.
    pub silence: Duration,
    /// Set by somebody else to end the guest.
    pub stop: Arc<AtomicBool>,
}

impl Guest {
    /// A guest with one gigabyte of memory, deterministic time of 2 ns an instruction, and five minutes of wall time.
    pub fn new(kernel: &Path, initramfs: Initramfs, spec: GuestSpec, shape: Shape) -> Guest {
        Guest {
            kernel: kernel.to_owned(),
            initramfs,
            spec,
            shape,
            memory_mib: 1024,
            clock: Clock::Icount { shift: 1 },
            turns: Turns::FromStart,
            append: Vec::new(),
            wall_limit: Duration::from_secs(300),
            silence: Duration::from_secs(30),
            stop: Arc::default(),
        }
    }

    /// The kernel's command line.
    fn command_line(&self) -> String {
        // The self-tests of ciphers would be a third of the boot.
        let fixed = "console=ttyS0 panic=-1 oops=panic quiet rdinit=/init cryptomgr.notests";
        // The time-stamp counter counts ns there: a kernel that is told so need not measure it, early or late.
        // The kernel's statistics of memory accesses (kdamond, since 6.17) would interrupt the workload 40 times a second.
        let counted = "nokaslr norandmaps tsc=reliable tsc_early_khz=1000000 damon_stat.enabled=0";
        let same = if matches!(self.clock, Clock::Icount { .. }) { counted } else { "" };
        let parts = [fixed, same].into_iter().chain(self.append.iter().map(String::as_str));
        parts.filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// What a running guest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestOutput<'a> {
    /// Its program, on standard output.
    Stdout(&'a [u8]),
    /// Its program, on standard error.
    Stderr(&'a [u8]),
    /// Its kernel, on the console.
    Console(&'a [u8]),
    /// Its init.
    Event(&'a GuestEvent),
}

/// How the guest's program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestExit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed: the guest time given to it was over.
    TimedOut,
}

/// What a guest did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How its program ended.
    pub exit: GuestExit,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// The console.
    pub console: String,
    /// The kernel's log, in the records of /dev/kmsg.
    pub kmsg: String,
    /// What the kernel's log tells of faults.
    pub findings: Vec<Finding>,
    /// File systems that the guest's kernel does not have.
    pub not_mounted: Vec<String>,
    /// Guest time from boot to the program's start, ns.
    pub boot_ns: u64,
    /// Guest time that the program took, ns.
    pub run_ns: u64,
    /// Wall time of all of it.
    pub wall: Duration,
}

/// Why a guest did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The machine cannot be had.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Its files cannot be had.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// A file of ours, or QEMU, cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU refused.
    #[error("QEMU {version} refused to start the guest: {reason}")]
    Refused {
        /// Its version.
        version: String,
        /// What it said.
        reason: String,
    },
    /// The guest's program did not start.
    #[error("the guest's program did not start: {reason}")]
    NotStarted {
        /// Why.
        reason: String,
    },
    /// It was to end.
    #[error("stopped; the virtual machine is gone")]
    Stopped,
    /// The guest ended early, or had to be ended.
    #[error("{report}")]
    Guest {
        /// How.
        report: Box<Report>,
    },
}

/// A virtual machine, whatever runs in it.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: Option<&'a [u8]>,
    pub(super) shape: &'a Shape,
    pub(super) memory_mib: u32,
    pub(super) caches: bool,
    pub(super) accelerator: Accelerator,
    pub(super) append: &'a str,
    pub(super) wall_limit: Duration,
    pub(super) silence: Duration,
    pub(super) stop: &'a AtomicBool,
}

/// How a machine's CPUs are run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Accelerator {
    Icount(u8, Turns),
    Tcg,
    Kvm,
}

/// All CPUs together get a turn of this length, us. With instruction-counted time QEMU executes one CPU after the other, each
/// for its part of the time to the next timer, and a CPU's clock goes on while others execute. With ticks alone that would
/// be milliseconds; so there is a timer for nothing but this: that of a network's buffer to which nothing is connected, or that
/// of a speaker that is not there, which the guest switches on itself.
///
/// QEMU divides what is left to the timer by the number of CPUs, idle ones among them, again and again: with many CPUs it would do
/// little else. So beyond [`TURN_CPUS`] of them a round is longer, by the square.
const TURN_US: u64 = 50;
const TURN_CPUS: u64 = 8;

/// How long it takes until each of a guest's CPUs has had its turn, with instruction-counted time, us.
pub fn turn_us(cpus: u64) -> u64 {
    let over = cpus.max(TURN_CPUS);
    TURN_US * over * over / (TURN_CPUS * TURN_CPUS)
}

impl Accelerator {
    /// QEMU's options. `caches`: the CPUs say who shares their caches. Those of `max`'s own maker do not, and QEMU 10.0 aborts
    /// where a kernel asks for what is behind this level.
    fn args(self, caches: bool, cpus: u64) -> Vec<String> {
        let maker = if caches { ",vendor=GenuineIntel,level=0x1e" } else { "" };
        let text = match self {
            // Nothing random, no clock but the instruction counter, one thread for all CPUs.
            Accelerator::Icount(shift, turns) => {
                let us = turn_us(cpus);
                let turns = match turns {
                    Turns::FromStart => format!(
                        "-netdev hubport,hubid=0,id=beat -object filter-buffer,id=turns,netdev=beat,interval={us}"
                    ),
                    Turns::OnDemand => {
                        format!("-audiodev none,id=turns,timer-period={us} -machine pcspk-audiodev=turns")
                    }
                };
                format!(
                    "-accel tcg,thread=single -icount shift={shift},sleep=off -rtc base=2026-01-01T00:00:00,clock=vm \
                     -cpu max,-rdrand,-rdseed{maker} -seed 1 {turns}"
                )
            }
            Accelerator::Tcg => format!("-accel tcg,thread=multi -cpu max{maker}"),
            Accelerator::Kvm => "-accel kvm -cpu host".to_owned(),
        };
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// A machine that ran.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) console: Tail,
    ports: Vec<Tail>,
    stderr: Tail,
    /// `None`: its wall time was over, or it was silent for too long.
    pub(super) ended: Option<ExitStatus>,
    silent: Option<Silence>,
    wall: Duration,
}

impl Ran {
    /// What QEMU itself said.
    pub(super) fn complaint(&mut self) -> String {
        let _ = self.stderr.poll();
        let text = self.stderr.text();
        let line = text.lines().find(|l| l.contains("qemu")).or(text.lines().next()).unwrap_or("it gave no reason");
        line.to_owned()
    }
}

/// A QEMU that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a machine says: port (`None`: console) and bytes.
type OnBytes<'a> = &'a mut dyn FnMut((Option<&str>, &[u8]));

/// Run a machine until it powers off or its wall time is over.
pub(super) fn run_machine(qemu: &Qemu, machine: &Machine<'_>, on: OnBytes<'_>) -> Result<Ran, VmError> {
    let start = Instant::now();
    remove_orphans(&std::env::temp_dir(), ORPHAN);
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(io_at(&std::env::temp_dir()))?;
    let file = |name: &str| dir.path().join(name);
    let lock = fs::File::create(file(LOCK)).map_err(io_at(dir.path()))?;
    lock.lock().map_err(io_at(dir.path()))?;
    let mut args = machine.shape.args(machine.memory_mib, machine.caches)?;
    args.extend(machine.accelerator.args(machine.caches, machine.shape.cpus()));
    args.extend(devices(dir.path()));
    if qemu.major() >= 7 {
        // The kernel would wait for a keyboard, two seconds of wall time.
        args.extend(["-machine", "i8042=off"].map(str::to_owned));
    }
    if let Some(bytes) = machine.initramfs {
        let path = file("initramfs");
        fs::write(&path, bytes).map_err(io_at(&path))?;
        args.extend(["-initrd".into(), path.display().to_string()]);
    }
    args.extend(["-append".into(), machine.append.to_owned()]);
    let log = fs::File::create(file("qemu.log")).map_err(io_at(dir.path()))?;
    let mut command = outlived_by_us(&qemu.program);
    let unpacked = match machine.accelerator {
        Accelerator::Kvm => None,
        Accelerator::Icount(..) | Accelerator::Tcg => unpack(machine.kernel, &file(VMLINUX))?,
    };
    command.arg("-kernel").arg(unpacked.as_deref().unwrap_or(machine.kernel)).args(&args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut running = Running(command.spawn().map_err(io_at(&qemu.program))?);
    let mut ran = Ran {
        console: Tail::new(&file("console")),
        ports: port::ALL.iter().map(|name| Tail::new(&file(name))).collect(),
        stderr: Tail::new(&file("qemu.log")),
        ended: None,
        silent: None,
        wall: Duration::ZERO,
    };
    let mut pulse = Pulse::new(running.0.id(), machine.silence);
    loop {
        if machine.stop.load(Ordering::Relaxed) {
            return Err(VmError::Stopped);
        }
        // Asked before the files are read, so that nothing written before the end is missed.
        ran.ended = running.0.try_wait().map_err(io_at(&qemu.program))?;
        on((None, ran.console.poll().map_err(io_at(dir.path()))?));
        let mut said = ran.console.grew;
        let mut up = false;
        for (name, tail) in port::ALL.iter().zip(&mut ran.ports) {
            on((Some(name), tail.poll().map_err(io_at(dir.path()))?));
            said |= tail.grew;
            up |= *name == port::EVENTS && tail.grew;
        }
        if said {
            pulse.heard(up);
        }
        if !ran.console.bytes.is_empty() {
            // Its kernel is up, so QEMU has read the files; if we are killed, they are not left behind.
            let _ = fs::remove_file(file("initramfs"));
            let _ = fs::remove_file(file(VMLINUX));
        }
        ran.wall = start.elapsed();
        ran.silent = pulse.silence();
        if ran.ended.is_some() || ran.wall >= machine.wall_limit || ran.silent.is_some() {
            break;
        }
        std::thread::sleep(POLL);
    }
    ran.stderr.poll().map_err(io_at(dir.path()))?;
    Ok(ran)
}

/// A kernel's name once it is unpacked.
const VMLINUX: &str = "vmlinux";

/// The kernel of an image as a file of its own, where it can be entered directly (PVH): an emulated CPU takes six seconds to
/// unpack it, this one a fraction of one. `None`: it cannot; or QEMU shall say what is wrong with the image.
fn unpack(image: &Path, to: &Path) -> Result<Option<PathBuf>, VmError> {
    let Some(vmlinux) = fs::read(image).ok().and_then(|bytes| vmlinux_of_image(&bytes).ok()) else { return Ok(None) };
    if !has_pvh_entry(&vmlinux) {
        return Ok(None);
    }
    fs::write(to, vmlinux).map_err(io_at(to))?;
    Ok(Some(to.to_owned()))
}

/// Folders of machines are called so, and have this file, which is locked as long as their process is there.
const PREFIX: &str = "scxr-vm-";
const LOCK: &str = "lock";
/// A folder that is younger may not be locked yet.
const ORPHAN: Duration = Duration::from_secs(60);

/// Removes the folders of processes that were killed.
fn remove_orphans(all: &Path, age: Duration) {
    for entry in fs::read_dir(all).into_iter().flatten().filter_map(Result::ok) {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = fs::File::open(entry.path().join(LOCK)) else { continue };
        let is_old = lock.metadata().and_then(|m| m.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|e| e >= age));
        if is_old && lock.try_lock().is_ok() {
            // Somebody else's stays where it is.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// QEMU's command; where `setpriv` is there, the kernel ends QEMU even when we are killed.
fn outlived_by_us(program: &Path) -> Command {
    let Some(setpriv) = in_path("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A console and our ports, each with a file; nothing else. Without ioeventfd the port's work is done by the CPU that asks
/// for it, at its own time, and not by another thread at some time.
fn devices(dir: &Path) -> Vec<String> {
    let mut args: Vec<String> =
        ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"].map(str::to_owned).into();
    let mut file = |id: &str, name: &str| {
        // A comma in a path is doubled.
        let path = dir.join(name).display().to_string().replace(',', ",,");
        args.extend(["-chardev".into(), format!("file,id={id},path={path}")]);
    };
    file("console", "console");
    for (i, name) in port::ALL.iter().enumerate() {
        file(&format!("port{i}"), name);
    }
    args.extend(["-serial".into(), "chardev:console".into()]);
    args.extend(["-device".into(), "virtio-serial-pci,ioeventfd=off".into()]);
    for (i, name) in port::ALL.iter().enumerate() {
        args.extend(["-device".into(), format!("virtserialport,chardev=port{i},name={name}")]);
    }
    args
}

impl Qemu {
    /// Run a guest. What it says is passed on as it comes.
    pub fn run(&self, guest: &Guest, on: &mut dyn FnMut(GuestOutput<'_>)) -> Result<Outcome, VmError> {
        let caches = guest.shape.wants_caches() && self.knows_caches();
        let archive = match madt::table(&guest.shape, caches) {
            Some(table) => {
                let mut files = guest.initramfs.clone();
                files.add_bytes(table, madt::PATH, 0o644);
                files.archive(&guest.spec)?
            }
            None => guest.initramfs.archive(&guest.spec)?,
        };
        let machine = Machine {
            kernel: &guest.kernel,
            initramfs: Some(&archive),
            shape: &guest.shape,
            memory_mib: guest.memory_mib,
            caches,
            accelerator: match guest.clock {
                Clock::Icount { shift } => Accelerator::Icount(shift, guest.turns),
                Clock::Free => Accelerator::Tcg,
                Clock::Kvm => Accelerator::Kvm,
            },
            append: &guest.command_line(),
            wall_limit: guest.wall_limit,
            silence: match guest.clock {
                Clock::Icount { .. } => guest.silence,
                // All CPUs execute beside each other.
                Clock::Free | Clock::Kvm => guest.silence * u32::try_from(guest.shape.cpus()).unwrap_or(1).max(1),
            },
            stop: &guest.stop,
        };
        let mut events = Events::default();
        let ran = run_machine(self, &machine, &mut |(port, bytes)| match port {
            _ if bytes.is_empty() => {}
            None => on(GuestOutput::Console(bytes)),
            Some(port::STDOUT) => on(GuestOutput::Stdout(bytes)),
            Some(port::STDERR) => on(GuestOutput::Stderr(bytes)),
            Some(port::EVENTS) => events.read(bytes, on),
            Some(_) => {}
        })?;
        self.outcome(guest, ran, events.all)
    }

    fn outcome(&self, guest: &Guest, mut ran: Ran, events: Vec<GuestEvent>) -> Result<Outcome, VmError> {
        let console = ran.console.text();
        let mut boot_ns = 0;
        let mut not_mounted = Vec::new();
        for event in &events {
            match event {
                GuestEvent::Up { ns } => boot_ns = *ns,
                GuestEvent::NotMounted { target, .. } => not_mounted.push(target.clone()),
                GuestEvent::NotStarted { reason } => return Err(VmError::NotStarted { reason: reason.clone() }),
                GuestEvent::Exit { code, signal, timed_out, ns } => {
                    let exit = match (timed_out, code, signal) {
                        (true, ..) => GuestExit::TimedOut,
                        (_, Some(code), _) => GuestExit::Code(*code),
                        (_, None, signal) => GuestExit::Signal(signal.unwrap_or(0)),
                    };
                    // Read by name: the order of the ports is that of `port::ALL`.
                    let [_, stdout, stderr, kmsg] = &ran.ports[..] else { break };
                    let kmsg = kmsg.text();
                    return Ok(Outcome {
                        exit,
                        stdout: stdout.bytes.clone(),
                        stderr: stderr.bytes.clone(),
                        findings: findings(&format!("{kmsg}\n{console}")),
                        console,
                        kmsg,
                        not_mounted,
                        boot_ns,
                        run_ns: ns.saturating_sub(boot_ns),
                        wall: ran.wall,
                    });
                }
                GuestEvent::Beat { .. } => {}
            }
        }
        if console.is_empty() && events.is_empty() && ran.ended.is_some_and(|s| !s.success()) {
            return Err(VmError::Refused { version: self.version.clone(), reason: ran.complaint() });
        }
        let end = match ran.ended {
            Some(status) => format!("the guest ended before its program did ({status})"),
            None => hung(ran.silent, guest.wall_limit, &events),
        };
        Err(VmError::Guest { report: Box::new(report(&console, &end)) })
    }
}

/// What is said of a guest whose wall time was over, or that was silent.
fn hung(silent: Option<Silence>, limit: Duration, events: &[GuestEvent]) -> String {
    let why = match silent {
        Some(Silence::Executes(time)) => {
            format!("the guest hangs: QEMU has executed for {} s without a word from it", time.as_secs())
        }
        Some(Silence::Still(time)) => {
            format!("the guest hangs: its CPUs have done nothing for {} s, and it has not ended", time.as_secs())
        }
        None => format!("the guest was ended after {} s", limit.as_secs()),
    };
    let seconds = |ns: &u64| format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000);
    match events.last() {
        Some(GuestEvent::Beat { ns } | GuestEvent::Up { ns }) => {
            format!("{why}; its last sign of life was at {} of its own time", seconds(ns))
        }
        _ => format!("{why}; it never got as far as its program"),
    }
}

/// The guest's events as they come.
#[derive(Default)]
struct Events {
    all: Vec<GuestEvent>,
    partial: Vec<u8>,
}

impl Events {
    fn read(&mut self, bytes: &[u8], on: &mut dyn FnMut(GuestOutput<'_>)) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            // A line that is none of ours can only come from a newer guest; it is passed over.
            if let Ok(event) = serde_json::from_slice(&line) {
                on(GuestOutput::Event(&event));
                self.all.push(event);
            }
        }
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> VmError + '_ {
    move |source| VmError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_processes_are_removed() {
        let all = tempfile::tempdir().unwrap();
        let make = |name: &str, has_lock: bool| {
            fs::create_dir(all.path().join(name)).unwrap();
            has_lock.then(|| fs::File::create(all.path().join(name).join(LOCK)).unwrap())
        };
        let held = make("scxr-vm-held", true).unwrap();
        held.lock().unwrap();
        drop(make("scxr-vm-killed", true));
        make("scxr-vm-other", false);
        drop(make("something", true));
        let left = || {
            let mut names: Vec<_> = fs::read_dir(all.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        remove_orphans(all.path(), Duration::from_secs(600));
        assert_eq!(left().len(), 4);
        remove_orphans(all.path(), Duration::ZERO);
        assert_eq!(left(), ["scxr-vm-held", "scxr-vm-other", "something"]);
    }

    #[test]
    fn events_come_in_pieces() {
        let mut events = Events::default();
        let mut seen = Vec::new();
        for piece in ["{\"event\":\"up\",", "\"ns\":3}\n{\"event\":\"new\"}\n{\"ev", "ent\":\"beat\",\"ns\":9}\n"] {
            events.read(piece.as_bytes(), &mut |o| seen.push(format!("{o:?}")));
        }
        assert_eq!(events.all, [GuestEvent::Up { ns: 3 }, GuestEvent::Beat { ns: 9 }]);
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_hung_guest_is_described() {
        let limit = Duration::from_secs(60);
        assert!(hung(None, limit, &[]).contains("after 60 s; it never got as far"));
        assert!(
            hung(Some(Silence::Executes(limit)), limit, &[]).starts_with("the guest hangs: QEMU has executed for 60 s")
        );
        let beats = [GuestEvent::Up { ns: 1 }, GuestEvent::Beat { ns: 12_345_678_901 }];
        assert!(hung(None, limit, &beats).ends_with("12.345 s of its own time"));
    }

    #[test]
    fn rounds_of_many_cpus_are_longer() {
        assert_eq!([1, 8, 16, 64].map(turn_us), [50, 50, 200, 3_200]);
    }

    #[test]
    fn turns_begin_on_demand_where_a_program_may_write_to_a_port() {
        assert_eq!(Turns::of_btf(b"\0sys_iopl\0ksys_ioperm\0"), Turns::OnDemand);
        assert_eq!(Turns::of_btf(b"\0__x64_sys_ioperm\0"), Turns::FromStart);
        let args = |turns| Accelerator::Icount(1, turns).args(false, 4).join(" ");
        assert!(args(Turns::OnDemand).contains("timer-period=50") && !args(Turns::OnDemand).contains("interval"));
        assert!(args(Turns::FromStart).contains("interval=50") && !args(Turns::FromStart).contains("pcspk"));
    }

    #[test]
    fn files_with_commas_are_passed_on() {
        let args = devices(Path::new("/tmp/a,b"));
        assert!(args.iter().any(|a| a == "file,id=console,path=/tmp/a,,b/console"), "{args:?}");
    }
}
