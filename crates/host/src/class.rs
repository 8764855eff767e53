//! What the kernel says of its extensible class, in /sys/kernel/sched_ext.

use std::fs;
use std::io;
use std::path::Path;

const ROOT: &str = "/sys/kernel/sched_ext";

/// Whether this kernel has the class.
pub fn exists() -> bool {
    Path::new(ROOT).exists()
}

/// `disabled`, `enabling`, `enabled` or `disabling`.
pub fn state() -> io::Result<String> {
    read("state")
}

/// Name of the scheduler that is attached.
pub fn root_ops() -> Option<String> {
    read("root/ops").ok().filter(|s| !s.is_empty())
}

/// How many hotplug events there were.
pub fn hotplug_seq() -> Option<u64> {
    read("hotplug_seq").ok()?.parse().ok()
}

/// The class's event counters (`root/events`), where the kernel has them and a scheduler is attached.
pub fn events() -> Vec<(String, i64)> {
    let text = read("root/events").unwrap_or_default();
    let line = |l: &str| {
        let (name, n) = l.split_once(' ')?;
        Some((name.to_owned(), n.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn read(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(Path::new(ROOT).join(name))?.trim().to_owned())
}
