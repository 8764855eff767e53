//! The system calls of a thread.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, setpriority_process};
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

/// Makes the calling thread a task of the class that schedulers serve (SCHED_EXT).
pub fn class_ext() -> io::Result<()> {
    set_policy(Policy::Ext)
}

/// Id of the calling thread.
pub fn tid() -> u32 {
    gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Names the calling thread.
pub fn name_thread(name: &str) {
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

/// Sleeps until then, CLOCK_MONOTONIC, ns.
pub fn sleep_until(at_ns: u64) {
    let at = Timespec { tv_sec: (at_ns / 1_000_000_000) as i64, tv_nsec: (at_ns % 1_000_000_000) as i64 };
    while clock_nanosleep_absolute(ClockId::Monotonic, &at).is_err() {}
}

/// `None`: all CPUs.
pub(super) fn set_affinity(cpus: Option<&CpuMask>) -> io::Result<()> {
    set_affinity_of(tid(), cpus)
}

pub(super) fn set_affinity_of(tid: u32, cpus: Option<&CpuMask>) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in (0..CpuSet::MAX_CPU).filter(|&c| cpus.is_none_or(|m| m.test(CpuId(c as u32)))) {
        set.set(cpu);
    }
    Ok(sched_setaffinity(Some(pid(tid)?), &set)?)
}

pub(super) fn set_nice(nice: i8) -> io::Result<()> {
    set_nice_of(tid(), nice)
}

pub(super) fn set_nice_of(tid: u32, nice: i8) -> io::Result<()> {
    Ok(setpriority_process(Some(pid(tid)?), nice.into())?)
}

fn pid(tid: u32) -> io::Result<Pid> {
    Pid::from_raw(tid as i32).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

pub(super) fn set_policy(policy: Policy) -> io::Result<()> {
    match policy {
        Policy::Deadline { runtime, deadline, period } => set_deadline([runtime, deadline, period]),
        _ => set_policy_of(tid(), policy.number(), policy.priority()),
    }
}

/// SCHED_DEADLINE for the calling thread: CPU time, deadline and period, ns. Its children are ordinary tasks: the kernel lets a
/// deadline task fork no other way.
fn set_deadline([runtime, deadline, period]: [u64; 3]) -> io::Result<()> {
    const RESET_ON_FORK: u64 = 1;
    let attr = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_DEADLINE as u32,
        sched_flags: RESET_ON_FORK,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: runtime,
        sched_deadline: deadline,
        sched_period: period,
    };
    // SAFETY: the call only reads `attr`, which outlives it and says how long it is.
    if unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let why = match error.raw_os_error() {
        Some(libc::EBUSY) => "all deadline tasks together would take more CPU time than the kernel grants them (95 %)",
        Some(libc::EPERM) => "a deadline task may use all CPUs; it has \"cpus\", or scxr is not root",
        _ => return Err(error),
    };
    Err(io::Error::new(error.kind(), why))
}

pub(super) fn set_policy_of(tid: u32, number: u32, priority: u8) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the call only reads `param`, which outlives it; a thread id of nobody is refused.
    match unsafe { libc::sched_setscheduler(tid as i32, number as i32, &param) } {
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
    move_to_group(tid(), group)
}

/// Puts a thread of this process, or of one of its children in the same cgroup, in a cgroup below, which is made where it is not
/// there; `/` is that of the process.
pub fn move_to_group(tid: u32, group: &str) -> io::Result<()> {
    std::fs::write(make_group(group)?.join("cgroup.threads"), tid.to_string())
}

/// Makes a cgroup for threads below that of this process, with all on the way to it. Its folder.
pub fn make_group(group: &str) -> io::Result<PathBuf> {
    let mut path = own_group()?;
    for part in parts(group) {
        let parent = path.clone();
        path.push(part);
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        if std::fs::read_to_string(path.join("cgroup.type"))?.trim() != "threaded" {
            std::fs::write(path.join("cgroup.type"), "threaded")?;
        }
        // A group of processes may give a controller on once those below it are for threads. Where it is given already, or
        // the kernel has none, the group exists for its scheduler all the same.
        let _ = std::fs::write(parent.join("cgroup.subtree_control"), "+cpu");
    }
    Ok(path)
}

/// Sets a cgroup's weight (cpu.weight); it is made where it is not there.
pub(super) fn set_group_weight(group: &str, weight: u32) -> io::Result<()> {
    let file = make_group(group)?.join("cpu.weight");
    std::fs::write(&file, weight.to_string()).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))
}

/// The folder of a cgroup below that of this process, whether it is there or not.
pub fn group_folder(group: &str) -> io::Result<PathBuf> {
    let mut path = own_group()?;
    path.extend(parts(group));
    Ok(path)
}

/// Removes cgroups that a process below the caller's cgroup made for its threads, once it is gone.
pub fn remove_groups<'a>(groups: impl Iterator<Item = &'a str>) {
    let Ok(root) = own_group() else { return };
    let mut dirs: Vec<PathBuf> = Vec::new();
    for group in groups {
        let mut path = root.clone();
        for part in parts(group) {
            path.push(part);
            dirs.push(path.clone());
        }
    }
    // What is inside comes first.
    dirs.sort_by(|a, b| b.cmp(a));
    dirs.dedup();
    // Somebody else's, with tasks in it, stays.
    dirs.iter().for_each(|dir| drop(std::fs::remove_dir(dir)));
}

fn parts(group: &str) -> Vec<&str> {
    group.split('/').filter(|p| !["", ".", ".."].contains(p)).collect()
}

/// The folder of the cgroup of this process.
fn own_group() -> io::Result<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/').to_owned();
    Ok(Path::new("/sys/fs/cgroup").join(own))
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
