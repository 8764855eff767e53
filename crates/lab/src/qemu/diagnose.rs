//! What went wrong in a guest, from what its kernel printed.

use std::fmt;

/// Something that a kernel printed and that explains an end, or spoils a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The kernel panicked.
    Panic {
        /// Its reason.
        reason: String,
    },
    /// An oops: a bug of the kernel, or of something that it trusts.
    Oops {
        /// Its first line.
        line: String,
    },
    /// Memory ran out.
    OutOfMemory {
        /// The line that says who was killed, or why there was nobody to kill.
        line: String,
    },
    /// A CPU, or a task, that makes no progress.
    Lockup {
        /// The kernel's line.
        line: String,
    },
    /// The class threw a scheduler out.
    Ejected {
        /// The kernel's line.
        line: String,
    },
    /// The kernel warned.
    Warning {
        /// Its first line.
        line: String,
    },
    /// The guest's init could not do its work.
    Init {
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Panic { reason } => write!(f, "the guest's kernel panicked: {reason}"),
            Finding::Oops { line } => write!(f, "the guest's kernel has a fault (oops): {line}"),
            Finding::OutOfMemory { line } => write!(f, "the guest is out of memory: {line}"),
            Finding::Lockup { line } => write!(f, "the guest makes no progress: {line}"),
            Finding::Ejected { line } => write!(f, "the guest's kernel ejected the scheduler: {line}"),
            Finding::Warning { line } => write!(f, "the guest's kernel warned: {line}"),
            Finding::Init { reason } => write!(f, "the guest could not be set up: {reason}"),
        }
    }
}

/// How a guest ended that did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is to be said first.
    pub cause: String,
    /// All findings, in order of time.
    pub findings: Vec<Finding>,
    /// The console's last lines.
    pub tail: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if !self.tail.is_empty() {
            write!(f, "\nthe end of the guest's console:\n{}", self.tail)?;
        }
        Ok(())
    }
}

/// How many lines of the console a report holds.
const TAIL_LINES: usize = 30;

/// Findings in a console or kernel log, in order; a line counts once.
pub fn findings(log: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for line in log.lines().map(message) {
        if let Some(finding) = finding(line).filter(|f| !found.contains(f)) {
            found.push(finding);
        }
    }
    found
}

/// A line without the time stamp (`[    1.234567] `) of a console, or the prefix (`4,123,456789,-;`) of /dev/kmsg.
fn message(line: &str) -> &str {
    let line = line.trim_end();
    let stamped = line.strip_prefix('[').and_then(|l| l.split_once("] "));
    let numbers = |s: &str| s.trim().bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let record = |s: &str| s.split(',').take(3).all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match (stamped, line.split_once(';')) {
        (Some((time, rest)), _) if numbers(time) => rest,
        (_, Some((prefix, rest))) if prefix.contains(',') && record(prefix) => rest,
        _ => line,
    }
}

fn finding(line: &str) -> Option<Finding> {
    let owned = || line.to_owned();
    let has = |part: &str| line.contains(part);
    if let Some(reason) = line.strip_prefix("scxr-init: ") {
        return Some(Finding::Init { reason: reason.to_owned() });
    }
    if let Some((_, reason)) = line.split_once("Kernel panic - not syncing: ") {
        let memory = reason.contains("deadlocked on memory") || reason.contains("Out of memory");
        let reason = reason.to_owned();
        return Some(if memory { Finding::OutOfMemory { line: reason } } else { Finding::Panic { reason } });
    }
    if has("Out of memory")
        || has("out of memory:")
        || has("oom-kill:")
        || has("Initramfs unpacking failed: write error")
    {
        return Some(Finding::OutOfMemory { line: owned() });
    }
    if has("soft lockup") || has("hard LOCKUP") || has("rcu: INFO:") || has("blocked for more than") {
        return Some(Finding::Lockup { line: owned() });
    }
    if line.starts_with("BUG: ")
        || line.starts_with("Oops: ")
        || line.starts_with("general protection fault")
        || has("kernel BUG at")
    {
        return Some(Finding::Oops { line: owned() });
    }
    if line.starts_with("sched_ext: ") && has("disabled (") && !has("unregistered from user space") {
        return Some(Finding::Ejected { line: owned() });
    }
    let warned = line.starts_with("WARNING: ") || line.starts_with("Initramfs unpacking failed");
    warned.then(|| Finding::Warning { line: owned() })
}

/// The report of a guest that ended, or was ended, without saying how its program did. `end`: what is seen from outside.
pub(super) fn report(console: &str, end: &str) -> Report {
    let findings = findings(console);
    let rank = |f: &&Finding| match f {
        Finding::Init { .. } => 0,
        Finding::OutOfMemory { .. } => 1,
        Finding::Oops { .. } => 2,
        Finding::Panic { .. } => 3,
        Finding::Lockup { .. } => 4,
        Finding::Ejected { .. } => 5,
        Finding::Warning { .. } => 6,
    };
    let cause = match findings.iter().min_by_key(rank) {
        Some(Finding::Warning { .. } | Finding::Ejected { .. }) | None => end.to_owned(),
        Some(finding) => finding.to_string(),
    };
    let lines: Vec<&str> = console.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    Report { cause, findings, tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_diagnosed() {
        for (console, cause) in [
            ("", "it hung"),
            ("[    0.5] Booting\r\n[    1.0] fine\r\n", "it hung"),
            (
                "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
                "the guest's kernel panicked: VFS: Unable to mount root fs on unknown-block(0,0)",
            ),
            (
                "[    2.1] BUG: kernel NULL pointer dereference, address: 0000000000000008\n[    2.2] Oops: Oops: 0002 [#1] SMP NOPTI\n\
                 [    2.3] Kernel panic - not syncing: Fatal exception\n",
                "the guest's kernel has a fault (oops): BUG: kernel NULL pointer dereference, address: 0000000000000008",
            ),
            (
                "[    1.1] Initramfs unpacking failed: write error\n[    2.3] Kernel panic - not syncing: No working init found.\n",
                "the guest is out of memory: Initramfs unpacking failed: write error",
            ),
            (
                "[    1.1] Kernel panic - not syncing: System is deadlocked on memory\n",
                "the guest is out of memory: System is deadlocked on memory",
            ),
            (
                "[   48.1] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [worker:77]\n",
                "the guest makes no progress: watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [worker:77]",
            ),
            (
                "[   22.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n",
                "the guest makes no progress: rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            ),
            (
                "scxr-init: no virtio-console port scxr.events\n",
                "the guest could not be set up: no virtio-console port scxr.events",
            ),
            ("[   1.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2\n", "it hung"),
        ] {
            let report = report(console, "it hung");
            assert_eq!(report.cause, cause, "{console}");
        }
    }

    #[test]
    fn kernel_logs_are_read_too() {
        let log = "6,300,1234567,-;sched_ext: BPF scheduler \"simple\" enabled\n\
                   4,301,2234567,-,caller=T1;sched_ext: BPF scheduler \"simple\" disabled (runnable task stall)\n\
                   6,302,2234568,-;sched_ext: BPF scheduler \"other\" disabled (unregistered from user space)\n\
                   3,303,3234567,-;Out of memory: Killed process 88 (hog) total-vm:1kB\n\
                   3,304,3234568,-;Out of memory: Killed process 88 (hog) total-vm:1kB\n";
        let ejected = "sched_ext: BPF scheduler \"simple\" disabled (runnable task stall)".to_owned();
        let memory = "Out of memory: Killed process 88 (hog) total-vm:1kB".to_owned();
        let found = findings(log);
        assert!(found.contains(&Finding::OutOfMemory { line: memory }), "{found:?}");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.contains(&Finding::Ejected { line: ejected }), "{found:?}");
    }

    #[test]
    fn a_report_ends_with_the_console() {
        let console: String = (0..100).map(|i| format!("line {i}\r\n\r\n")).collect();
        let report = report(&console, "it hung");
        assert!(report.tail.starts_with("line 70\n") && report.tail.ends_with("line 99"), "{}", report.tail);
        assert!(report.to_string().starts_with("it hung\nthe end of"));
    }
}
