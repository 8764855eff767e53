//! The guest's side: an init without a shell. It mounts what a scheduler and its measurement need, runs one program whose
//! output goes to the host over virtio-console ports, sends the kernel's log after it, and powers off.

mod speaker;
mod spec;

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setrlimit};
use rustix::system::{RebootCommand, reboot};
use rustix::time::{ClockId, clock_gettime};

pub use speaker::switch_on as begin_turns;
pub(crate) use spec::port;
pub use spec::{GuestEvent, GuestSpec, SPEC_PATH};

/// What is mounted: type, where, and whether a kernel may lack it.
const MOUNTS: [(&str, &str, bool); 10] = [
    ("devtmpfs", "/dev", false),
    ("tmpfs", "/dev/shm", true),
    ("proc", "/proc", false),
    ("sysfs", "/sys", false),
    ("tmpfs", "/tmp", true),
    ("tmpfs", "/run", true),
    ("debugfs", "/sys/kernel/debug", true),
    ("tracefs", "/sys/kernel/tracing", true),
    ("bpf", "/sys/fs/bpf", true),
    ("cgroup2", "/sys/fs/cgroup", true),
];

/// Links that programs expect in /dev.
const LINKS: [(&str, &str); 4] =
    [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2")];

/// Controllers that tasks' groups are given where the kernel has them.
const CONTROLLERS: [&str; 3] = ["cpu", "cpuset", "memory"];

/// How often the ports are looked for, 1 ms of guest time apart.
const PORT_TRIES_MAX: u32 = 10_000;

/// Whether this process is the init of a guest: the first process of a system with a [`SPEC_PATH`].
pub fn is_init() -> bool {
    std::process::id() == 1 && Path::new(SPEC_PATH).exists()
}

/// Be the guest's init. Does not return: the guest is powered off, whatever happens. `first`: what the thread that says that the
/// guest is alive does before all else, such as to become a real-time task, which no scheduler that is tried out holds up.
pub fn init_main(first: fn() -> io::Result<()>) -> ! {
    if let Err(error) = serve(first) {
        // To the console, where the host looks for this line.
        let _ = writeln!(io::stderr(), "scxr-init: {error}");
    }
    // Fails only where this is not the first process.
    let _ = reboot(RebootCommand::PowerOff);
    std::process::exit(1)
}

fn serve(first: fn() -> io::Result<()>) -> io::Result<()> {
    let spec: GuestSpec = serde_json::from_slice(&fs::read(SPEC_PATH)?)?;
    let missing = mount_all()?;
    let events = Events(Arc::new(Mutex::new(open_port(port::EVENTS)?)));
    for (target, reason) in missing {
        events.send(&GuestEvent::NotMounted { target, reason });
    }
    // The host may give less than is asked for; a program says so itself where it matters.
    let unlimited = Rlimit { current: None, maximum: None };
    let _ = setrlimit(Resource::Memlock, unlimited);
    let files = Rlimit { current: Some(65_536), maximum: Some(65_536) };
    let _ = setrlimit(Resource::Nofile, files);
    run(&spec, &events, first)?;
    send_kernel_log()
}

/// Mount everything; what could not be mounted and may be missing.
fn mount_all() -> io::Result<Vec<(String, String)>> {
    let mut missing = Vec::new();
    for (fs_type, target, may_lack) in MOUNTS {
        // Below /sys the kernel makes the folder, where it has the file system.
        let _ = fs::create_dir_all(target);
        let holds_files = fs::read_dir(target).is_ok_and(|mut d| d.next().is_some());
        if fs_type == "tmpfs" && holds_files {
            // Files of the caller's are there; they are in memory as it is.
            continue;
        }
        let none: Option<&CStr> = None;
        match mount(fs_type, target, fs_type, MountFlags::empty(), none) {
            Ok(()) => {}
            Err(error) if may_lack => missing.push((target.to_owned(), error.to_string())),
            Err(error) => return Err(io::Error::other(format!("{target} cannot be mounted: {error}"))),
        }
    }
    for (link, to) in LINKS {
        // What needs one finds it missing.
        let _ = std::os::unix::fs::symlink(to, link);
    }
    for controller in CONTROLLERS {
        // A kernel without the controller refuses; what needs it finds it missing.
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{controller}"));
    }
    Ok(missing)
}

/// The device of a port, as soon as the driver has made it.
fn open_port(name: &str) -> io::Result<File> {
    for _ in 0..PORT_TRIES_MAX {
        if let Some(device) = find_port(name) {
            return OpenOptions::new().write(true).open(device);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no virtio-console port {name} (CONFIG_VIRTIO_CONSOLE)")))
}

fn find_port(name: &str) -> Option<PathBuf> {
    let mut ports: Vec<PathBuf> =
        fs::read_dir("/sys/class/virtio-ports").ok()?.filter_map(Result::ok).map(|e| e.path()).collect();
    ports.sort();
    let is_it = |p: &&PathBuf| fs::read_to_string(p.join("name")).is_ok_and(|n| n.trim() == name);
    let found = ports.iter().find(is_it)?;
    Some(Path::new("/dev").join(found.file_name()?))
}

/// The way to the host for events; shared with the thread that watches.
#[derive(Clone)]
struct Events(Arc<Mutex<File>>);

impl Events {
    fn send(&self, event: &GuestEvent) {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        // Where the port is gone, the host is, and nobody is left to be told.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
    }
}

/// Run the program and report how it ended.
fn run(spec: &GuestSpec, events: &Events, first: fn() -> io::Result<()>) -> io::Result<()> {
    let (stdout, stderr) = (open_port(port::STDOUT)?, open_port(port::STDERR)?);
    let Some((program, args)) = spec.argv.split_first() else {
        events.send(&GuestEvent::NotStarted { reason: "no program was named".into() });
        return Ok(());
    };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(&spec.env).current_dir(&spec.cwd).process_group(0);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    events.send(&GuestEvent::Up { ns: now() });
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            events.send(&GuestEvent::NotStarted { reason: format!("{program}: {error}") });
            return Ok(());
        }
    };
    let timed_out = Arc::new(AtomicBool::new(false));
    let group = Pid::from_child(&child);
    watch(spec, group, events.clone(), timed_out.clone(), first);
    let status = child.wait()?;
    events.send(&GuestEvent::Exit {
        code: status.code(),
        signal: status.signal(),
        timed_out: timed_out.load(Ordering::SeqCst),
        ns: now(),
    });
    Ok(())
}

/// A thread that says that the guest is alive and kills the program when its time is up. It ends with the guest.
fn watch(spec: &GuestSpec, group: Pid, events: Events, timed_out: Arc<AtomicBool>, first: fn() -> io::Result<()>) {
    let (limit, beat) = (spec.limit_ns, spec.beat_ns);
    if limit == 0 && beat == 0 {
        return;
    }
    let start = now();
    std::thread::spawn(move || {
        // Where it fails, it is held up like any other.
        let _ = first();
        loop {
            let passed = now().saturating_sub(start);
            if limit != 0 && passed >= limit {
                timed_out.store(true, Ordering::SeqCst);
                // It fails where the program ended meanwhile.
                let _ = kill_process_group(group, Signal::KILL);
                return;
            }
            let left = if limit == 0 { u64::MAX } else { limit - passed };
            let step = if beat == 0 { left } else { left.min(beat) };
            std::thread::sleep(Duration::from_nanos(step));
            if beat != 0 {
                events.send(&GuestEvent::Beat { ns: now() });
            }
        }
    });
}

/// Copy the kernel's log to the host. Reading never waits for what is not yet written.
fn send_kernel_log() -> io::Result<()> {
    let mut to = open_port(port::KMSG)?;
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let mut from = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg")?;
    let mut record = vec![0; 8192];
    loop {
        match from.read(&mut record) {
            Ok(0) => return Ok(()),
            Ok(len) => to.write_all(&record[..len])?,
            // Records were overwritten before they were read; the next read goes on behind them.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Guest time since boot, ns.
fn now() -> u64 {
    let at = clock_gettime(ClockId::Boottime);
    (at.tv_sec as u64) * 1_000_000_000 + at.tv_nsec as u64
}
