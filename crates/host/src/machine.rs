//! The machine as its kernel shows it.

use std::fs;
use std::path::Path;

use crate::record::Place;

/// The place of each CPU that is online or possible, by number.
pub(crate) fn places() -> Vec<Place> {
    let root = Path::new("/sys/devices/system/cpu");
    (0..=last_cpu()).map(|cpu| place(&root.join(format!("cpu{cpu}")), cpu)).collect()
}

/// How many numbers of CPUs there can be on this machine.
pub fn nr_cpus() -> usize {
    last_cpu() as usize + 1
}

/// The highest number that a CPU can have.
fn last_cpu() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    text.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0)
}

/// Possible CPUs that are not online.
pub(crate) fn offline() -> Vec<u32> {
    let root = Path::new("/sys/devices/system/cpu");
    let is_off = |cpu: &u32| fs::read_to_string(root.join(format!("cpu{cpu}/online"))).is_ok_and(|t| t.trim() == "0");
    (0..=last_cpu()).filter(is_off).collect()
}

/// Cores, caches and nodes are named by their first CPU or number, which is all that a comparison needs.
fn place(dir: &Path, cpu: u32) -> Place {
    let first = |file: &str| {
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        text.trim().split(['-', ',']).next().and_then(|n| n.parse::<u32>().ok())
    };
    let node = fs::read_dir(dir).ok().and_then(|entries| {
        let names = entries.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned());
        names.filter_map(|n| n.strip_prefix("node")?.parse().ok()).min()
    });
    Place {
        core: first("topology/thread_siblings_list").unwrap_or(cpu),
        llc: first("cache/index3/shared_cpu_list").or_else(|| first("topology/core_siblings_list")).unwrap_or(0),
        node: node.unwrap_or(0),
    }
}
