//! How a scheduler's time ended: from its own exit record where it keeps one, else from the kernel's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;

use crate::job::Uei;
use crate::record::Exit;

/// Longest texts of `struct user_exit_info`.
const REASON_LEN: usize = 128;
const MSG_LEN: usize = 1024;

/// Name of a kind.
fn kind_name(kind: u64) -> String {
    let name = match kind {
        0 => "none",
        1 => "done",
        64 => "unreg",
        65 => "unreg_bpf",
        66 => "unreg_kern",
        67 => "sysrq",
        68 => "parent",
        1024 => "error",
        1025 => "error_bpf",
        1026 => "error_stall",
        n => return n.to_string(),
    };
    name.to_owned()
}

/// The kind behind a reason, as the kernel's log gives it.
fn kind_of_reason(reason: &str) -> &'static str {
    match reason {
        "unregistered from user space" => "unreg",
        "unregistered from BPF" => "unreg_bpf",
        "unregistered from the main kernel" => "unreg_kern",
        "disabled by sysrq-S" => "sysrq",
        "scx_bpf_error" => "error_bpf",
        "runnable task stall" => "error_stall",
        _ => "error",
    }
}

/// An exit record; `None`: nothing has been recorded.
pub(crate) fn of_record(uei: &Uei, section: &[u8]) -> Option<Exit> {
    let base = uei.offset as usize;
    let number = |field: Option<u32>, size: usize| -> u64 {
        let Some(at) = field.map(|f| base + f as usize) else { return 0 };
        section.get(at..at + size).unwrap_or_default().iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
    };
    let text = |field: Option<u32>, len: usize| {
        let Some(at) = field.map(|f| base + f as usize) else { return String::new() };
        let bytes = section.get(at..(at + len).min(section.len())).unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let [kind, code, reason, msg] = uei.fields;
    match number(kind, 4) {
        0 => None,
        kind => Some(Exit {
            kind: kind_name(kind),
            code: number(code, 8) as i64,
            reason: text(reason, REASON_LEN),
            msg: text(msg, MSG_LEN),
            bt: Vec::new(),
        }),
    }
}

/// The kernel's log from now on.
#[derive(Debug)]
pub(crate) struct KernelLog(File);

impl KernelLog {
    pub(crate) fn open() -> io::Result<KernelLog> {
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(KernelLog(file))
    }

    /// Messages since, without their prefixes.
    pub(crate) fn messages(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return out,
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    let first = text.lines().next().unwrap_or("");
                    out.push(first.split_once(';').map_or(first, |(_, m)| m).to_owned());
                }
                // Overwritten before it was read; the next read goes on behind it.
                Err(error) if error.raw_os_error() == Some(32) => {}
                Err(_) => return out,
            }
        }
    }
}

/// Ends after which a scheduler was enabled again.
pub(crate) fn restarts_of_log(messages: &[String]) -> Vec<Exit> {
    let enabled = |m: &String| m.starts_with("sched_ext: BPF scheduler \"") && m.contains("\" enabled");
    let starts: Vec<usize> = (0..messages.len()).filter(|&i| enabled(&messages[i])).collect();
    starts.windows(2).filter_map(|pair| of_log(&messages[pair[0]..pair[1]])).collect()
}

/// What the kernel's log says of an end; `None`: nothing ended.
pub(crate) fn of_log(messages: &[String]) -> Option<Exit> {
    let said = |m: &String| Some((m.strip_prefix("sched_ext: BPF scheduler \"")?.to_owned(), ()));
    let at = messages.iter().rposition(|m| said(m).is_some_and(|(m, ())| m.contains("\" disabled (")))?;
    let (name, rest) = messages[at].strip_prefix("sched_ext: BPF scheduler \"")?.split_once("\" disabled (")?;
    let reason = rest.strip_suffix(')').unwrap_or(rest).to_owned();
    let mut exit = Exit { kind: kind_of_reason(&reason).to_owned(), reason, ..Exit::default() };
    for line in &messages[at + 1..] {
        if let Some(msg) = line.strip_prefix(&format!("sched_ext: {name}: ")) {
            exit.msg = msg.to_owned();
        } else if line.starts_with("  ") && line.contains("+0x") {
            exit.bt.push(line.trim().to_owned());
        }
    }
    Some(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_type() {
        let uei = Uei { section: ".data".into(), offset: 8, fields: [Some(0), Some(8), Some(16), Some(16 + 128)] };
        let mut section = vec![0; 8 + 16 + 128 + 1024];
        assert_eq!(of_record(&uei, &section), None);
        section[8..12].copy_from_slice(&1026u32.to_le_bytes());
        section[16..24].copy_from_slice(&(-3i64).to_le_bytes());
        section[24..29].copy_from_slice(b"stall");
        section[152..154].copy_from_slice(b"hi");
        let exit = of_record(&uei, &section).unwrap();
        assert_eq!(
            (exit.kind.as_str(), exit.code, exit.reason.as_str(), exit.msg.as_str()),
            ("error_stall", -3, "stall", "hi")
        );
        // An object whose section is shorter than its type says.
        assert_eq!(of_record(&uei, &[]), None);
    }

    #[test]
    fn the_log_tells_the_end() {
        let log = [
            "sched_ext: BPF scheduler \"simple\" enabled",
            "sched_ext: BPF scheduler \"simple\" disabled (runnable task stall)",
            "sched_ext: simple: hog[77] failed to run for 5.024s",
            "   scx_watchdog_workfn+0x12f/0x1c0",
            "other: x",
        ];
        let exit = of_log(&log.map(str::to_owned)).unwrap();
        assert_eq!((exit.kind.as_str(), exit.bt.len()), ("error_stall", 1));
        assert_eq!(exit.msg, "hog[77] failed to run for 5.024s");
        assert_eq!(of_log(&[log[0].to_owned()]), None);
        let twice = [&log[..], &log[..1]].concat().iter().map(|m| (*m).to_owned()).collect::<Vec<_>>();
        let again = restarts_of_log(&twice);
        assert_eq!((again.len(), again[0].kind.as_str()), (1, "error_stall"));
        assert_eq!(restarts_of_log(&twice[..5]), []);
    }
}
