//! What the kernel says of its extensible class, in /sys/kernel/sched_ext.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

const ROOT: &str = "/sys/kernel/sched_ext";

/// What is said of the class in its folder (E-204). A number that the kernel does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassState {
    /// `disabled`, `enabling`, `enabled` or `disabling`.
    pub state: String,
    /// Name of the scheduler that is attached to the whole machine.
    pub ops: Option<String>,
    /// Whether it has all ordinary tasks, not only those of the policy SCHED_EXT.
    pub switch_all: bool,
    /// Tasks that asked for the policy and that the scheduler did not want.
    pub nr_rejected: u64,
    /// CPUs that came or went since boot.
    pub hotplug_seq: u64,
    /// Schedulers enabled since boot.
    pub enable_seq: u64,
}

/// What the class says now; `None`: this kernel does not have it.
pub fn snapshot() -> Option<ClassState> {
    let number = |name: &str| read(name).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(ClassState {
        state: state().ok()?,
        ops: root_ops(),
        switch_all: number("switch_all") != 0,
        nr_rejected: number("nr_rejected"),
        hotplug_seq: number("hotplug_seq"),
        enable_seq: number("enable_seq"),
    })
}

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
