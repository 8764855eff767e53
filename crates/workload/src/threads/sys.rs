//! The system calls of a thread.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::setpriority_process;
use rustix::thread::{
    ClockId, CpuSet, Timespec, clock_nanosleep_absolute, futex, gettid, sched_setaffinity, set_current_timer_slack,
    set_name as set_thread_name,
};
use scxr_kernel::behavior::Policy;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;

/// Now, CLOCK_MONOTONIC, ns.
pub fn monotonic_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// CPU time of the calling thread, ns.
pub(super) fn thread_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Makes the calling thread a real-time task (SCHED_FIFO), so that no scheduler that is tried out can hold it up.
pub fn real_time(priority: u8) -> io::Result<()> {
    set_policy(Policy::Fifo(priority))
}

/// Makes the calling thread an ordinary task (SCHED_OTHER) again.
pub fn ordinary() -> io::Result<()> {
    set_policy(Policy::Normal)
}

pub(super) fn tid() -> u32 {
    gettid().as_raw_nonzero().get().unsigned_abs()
}

pub(super) fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // A name is for people: without one a thread works as well.
        let _ = set_thread_name(&name);
    }
}

/// Sleeps end when they are due, and not up to 50 us later so that wakeups can be gathered.
pub(super) fn exact_timers() {
    // Kernels that refuse are none that are known.
    let _ = set_current_timer_slack(std::num::NonZeroU64::new(1));
}

pub(super) fn sleep_until(at_ns: u64) {
    let at = Timespec { tv_sec: (at_ns / 1_000_000_000) as i64, tv_nsec: (at_ns % 1_000_000_000) as i64 };
    while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
}

/// `None`: all CPUs.
pub(super) fn set_affinity(cpus: Option<&CpuMask>) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in (0..CpuSet::MAX_CPU).filter(|&c| cpus.is_none_or(|m| m.test(CpuId(c as u32)))) {
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

pub(super) fn set_nice(nice: i8) -> io::Result<()> {
    Ok(setpriority_process(Some(gettid()), nice.into())?)
}

pub(super) fn set_policy(policy: Policy) -> io::Result<()> {
    let priority = match policy {
        Policy::Fifo(p) | Policy::RoundRobin(p) => i32::from(p),
        _ => 0,
    };
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: pid 0 is the calling thread, and `param` outlives the call, which only reads it.
    match unsafe { libc::sched_setscheduler(0, policy.number() as i32, &param) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// `0-3,8`
pub(super) fn cpu_list(mask: &CpuMask) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for cpu in mask.iter() {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu.0 => *last = cpu.0,
            _ => ranges.push((cpu.0, cpu.0)),
        }
    }
    let text = |(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Puts the calling thread in a cgroup below that of its process; `/` is that one.
pub(super) fn join_group(group: &str) -> io::Result<()> {
    let parts: Vec<&str> = group.split('/').filter(|p| !p.is_empty() && *p != "..").collect();
    if parts.is_empty() {
        return Ok(());
    }
    let own = std::fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/').to_owned();
    let mut path: PathBuf = Path::new("/sys/fs/cgroup").join(own);
    for part in parts {
        // Controllers pass from a group to those in it only where that is asked for.
        let _ = std::fs::write(path.join("cgroup.subtree_control"), "+cpu");
        path.push(part);
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        if std::fs::read_to_string(path.join("cgroup.type"))?.trim() != "threaded" {
            std::fs::write(path.join("cgroup.type"), "threaded")?;
        }
    }
    std::fs::write(path.join("cgroup.threads"), tid().to_string())
}

/// Waits as long as `word` has this value.
pub(super) fn wait_while(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        // Interrupted or too late: the loop looks again.
        let _ = futex::wait(word, futex::Flags::PRIVATE, value, None);
    }
}

/// Wakes all that wait at `word`.
pub(super) fn wake_all(word: &AtomicU32) {
    // It fails for a bad address only.
    let _ = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
}
