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

/// An instance; it goes when this goes.
#[derive(Debug)]
pub(crate) struct Tracing {
    dir: PathBuf,
}

impl Tracing {
    /// Sets up an instance that does not record yet.
    pub(crate) fn new(nr_cpus: u32) -> io::Result<Tracing> {
        if !Path::new(ROOT).join("events").exists() {
            mount("tracefs", ROOT, "tracefs", MountFlags::empty(), None::<&std::ffi::CStr>)?;
        }
        let dir = Path::new(ROOT).join(format!("instances/scxr-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let of = Tracing { dir };
        of.set("tracing_on", "0")?;
        of.set("trace_clock", "mono")?;
        // The first records are kept, not the last: a run that is cut is cut at its end.
        of.set("options/overwrite", "0")?;
        let kb = memory_bytes().map_or(BUFFER_BYTES, |m| BUFFER_BYTES.min(m / 16)) / 1024 / u64::from(nr_cpus.max(1));
        of.set("buffer_size_kb", &kb.to_string())?;
        for (system, event) in EVENTS {
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
        EVENTS.into_iter().filter_map(read).collect()
    }

    /// All pages of a CPU; they are gone from the kernel then.
    pub(crate) fn pages(&self, cpu: u32) -> io::Result<Vec<Vec<u8>>> {
        let path = self.dir.join(format!("per_cpu/cpu{cpu}/trace_pipe_raw"));
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let mut file = match OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
            Ok(file) => file,
            // A possible CPU that is not there.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
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
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(pages),
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

/// Memory that the machine has to give.
fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
