//! The kernel's tracepoints, in a trace instance of our own: other users of tracing are not disturbed.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::mount::{MountFlags, mount};
use scxr_trace::ftrace::EVENTS;

const ROOT: &str = "/sys/kernel/tracing";
/// Bytes for all CPUs together, unless the machine has less to give.
const BUFFER_BYTES: u64 = 256 << 20;
const PAGE: usize = 4096;

/// Bytes for the class's debug dump alone.
const DUMP_BYTES: u64 = 4 << 20;
/// What our instances are called; the id of their process follows.
const PREFIX: &str = "scxr-";
/// The subsystem of the class's debug dump.
const DUMP: &str = "sched_ext";

/// There is no such device.
const ENODEV: i32 = 19;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// All that a report is made of.
    All,
    /// The dump of a scheduler that is ejected: there is no end to a run without a workload, and no buffer for it.
    Dump,
}

/// An instance; it goes when this goes.
#[derive(Debug)]
pub(crate) struct Tracing {
    dir: PathBuf,
    what: What,
}

impl Tracing {
    /// Sets up an instance that does not record yet.
    pub(crate) fn new(nr_cpus: u32, what: What) -> io::Result<Tracing> {
        if !Path::new(ROOT).join("events").exists() {
            mount("tracefs", ROOT, "tracefs", MountFlags::empty(), None::<&std::ffi::CStr>)?;
        }
        remove_orphans();
        let dir = Path::new(ROOT).join(format!("instances/{PREFIX}{}", std::process::id()));
        fs::create_dir(&dir)?;
        let of = Tracing { dir, what };
        of.set("tracing_on", "0")?;
        of.set("trace_clock", "mono")?;
        // The first records are kept, not the last: a run that is cut is cut at its end.
        of.set("options/overwrite", "0")?;
        let bytes = match what {
            What::All => memory_bytes().map_or(BUFFER_BYTES, |m| BUFFER_BYTES.min(m / 16)),
            What::Dump => DUMP_BYTES,
        };
        of.set("buffer_size_kb", &(bytes / 1024 / u64::from(nr_cpus.max(1))).max(64).to_string())?;
        for (system, event) in of.events() {
            let enable = format!("events/{system}/{event}/enable");
            if of.dir.join(&enable).exists() {
                of.set(&enable, "1")?;
            }
        }
        Ok(of)
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        let path = self.dir.join(file);
        fs::write(&path, value).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }

    fn events(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let all = self.what == What::All;
        EVENTS.into_iter().filter(move |(system, _)| all || *system == DUMP)
    }

    pub(crate) fn on(&self) -> io::Result<()> {
        self.set("tracing_on", "1")
    }

    pub(crate) fn off(&self) -> io::Result<()> {
        self.set("tracing_on", "0")
    }

    /// Each tracepoint that this kernel has, with its format.
    pub(crate) fn formats(&self) -> Vec<(String, String)> {
        let read = |(system, event): (&str, &str)| {
            let text = fs::read_to_string(Path::new(ROOT).join(format!("events/{system}/{event}/format"))).ok()?;
            Some((event.to_owned(), text))
        };
        self.events().filter_map(read).collect()
    }

    /// All pages of a CPU; they are gone from the kernel then.
    pub(crate) fn pages(&self, cpu: u32) -> io::Result<Vec<Vec<u8>>> {
        let path = self.dir.join(format!("per_cpu/cpu{cpu}/trace_pipe_raw"));
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let mut file = match OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
            Ok(file) => file,
            // A possible CPU that is not there, or was never online.
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(ENODEV) => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut pages = Vec::new();
        loop {
            let mut page = vec![0; PAGE];
            match file.read(&mut page) {
                Ok(0) => return Ok(pages),
                Ok(len) => {
                    // What is beyond the records is whatever the page held before.
                    let used = page[8..12].try_into().map_or(0, u32::from_le_bytes) as usize & 0xf_ffff;
                    page.truncate((used + 16).min(len));
                    pages.push(page);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.raw_os_error() == Some(ENODEV) => {
                    return Ok(pages);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Records that had no room.
    pub(crate) fn dropped(&self, nr_cpus: u32) -> u64 {
        let of_cpu = |cpu: u32| {
            let text = fs::read_to_string(self.dir.join(format!("per_cpu/cpu{cpu}/stats"))).unwrap_or_default();
            let line = |l: &str| l.strip_prefix("dropped events:")?.trim().parse::<u64>().ok();
            text.lines().find_map(line).unwrap_or(0)
        };
        (0..nr_cpus).map(of_cpu).sum()
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // It fails where somebody looks at it; it records nothing any more then.
        let _ = self.off();
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Removes what processes of ours left that were killed.
fn remove_orphans() {
    let instances = fs::read_dir(Path::new(ROOT).join("instances")).into_iter().flatten().filter_map(Result::ok);
    for instance in instances {
        let name = instance.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).filter(|pid| pid.parse::<u32>().is_ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Who cannot remove it cannot make one either, and is told so then.
            let _ = fs::remove_dir(instance.path());
        }
    }
}

/// Memory that the machine has to give.
fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
