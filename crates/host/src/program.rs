//! A scheduler that is a program: it loads its own object, attaches it, and may decide in user space. It is started, the class is
//! watched until it has a scheduler, and at the end the program is interrupted, as by Ctrl-C.

use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::class;
use crate::exec::{Exec, ExecRecord, Running};
use crate::loader::LoadError;

/// How long a program may take until the class has its scheduler.
const ATTACH_MAX: Duration = Duration::from_secs(30);
/// How often the class is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);
/// What it is told at the end, and how long it may take to obey.
const END: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(5)),
    (Signal::TERM, Duration::from_secs(2)),
    (Signal::KILL, Duration::from_secs(2)),
];
/// Lines of its output that a refusal shows.
const LINES_MAX: usize = 3;

/// What a scheduler's own program did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// Its scheduler's name, as the class has it; `None`: it attached none.
    pub attached: Option<String>,
    /// Time from its start until its scheduler was enabled, ns.
    pub attach_ns: u64,
    /// CPU time of its threads while the workload ran, but for those that ended before it did, ns.
    pub cpu_ns: u64,
    /// How it ended, and what it printed: of each output the end.
    #[serde(flatten)]
    pub did: ExecRecord,
}

impl ProgramRecord {
    /// It ended by itself, and not in good order.
    pub fn failed(&self) -> bool {
        self.did.ended && self.did.code != Some(0)
    }

    /// In words.
    pub(crate) fn how(&self) -> String {
        match (self.did.code, self.did.signal) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or(0)),
        }
    }

    /// The last lines that it complained of, or else printed.
    fn said(&self) -> String {
        let lines = |text: &'_ str| {
            text.lines().rev().filter(|l| !l.trim().is_empty()).take(LINES_MAX).map(str::to_owned).collect()
        };
        let of: Vec<String> = match lines(&self.did.stderr) {
            none if Vec::is_empty(&none) => lines(&self.did.stdout),
            some => some,
        };
        match of.is_empty() {
            true => "; it said nothing".to_owned(),
            false => format!("; it said: {}", of.into_iter().rev().collect::<Vec<_>>().join("\n")),
        }
    }
}

/// Why nothing was attached.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: LoadError,
    /// What the scheduler's own program did.
    pub(crate) did: Option<ProgramRecord>,
}

/// A scheduler's program, whose scheduler is attached.
#[derive(Debug)]
pub(crate) struct Program {
    running: Running,
    record: ProgramRecord,
    /// CPU time when the workload began, ns.
    cpu_before: u64,
}

impl Program {
    /// Starts it and waits until the class has its scheduler. `workers`: a command line that calls [`crate::workers::serve`].
    /// Where it comes to nothing, the program is gone, and what it did is told.
    pub(crate) fn attach(workers: &[OsString], exec: &Exec, stop: &AtomicBool) -> Result<Program, Box<Refusal>> {
        let none = |reason: String| Box::new(Refusal { error: LoadError::Program { what: reason }, did: None });
        let mut running = Running::start(workers, exec).map_err(none)?;
        running.go().map_err(none)?;
        let mut of = Program { running, record: ProgramRecord::default(), cpu_before: 0 };
        let from = Instant::now();
        loop {
            if class::state().is_ok_and(|s| s == "enabled") {
                of.record.attached = class::root_ops();
                of.record.attach_ns = from.elapsed().as_nanos() as u64;
                return Ok(of);
            }
            let stopped = stop.load(Ordering::Relaxed);
            let ended = of.running.wait(LOOK);
            if !(ended || stopped || from.elapsed() > ATTACH_MAX) {
                continue;
            }
            let record = of.finish();
            let what = match () {
                () if ended => format!("the program {}, and had attached no scheduler", record.how()),
                () if stopped => "the program was stopped before it had attached a scheduler".to_owned(),
                () => format!("the program has attached no scheduler within {} s", ATTACH_MAX.as_secs()),
            };
            let error = LoadError::Program { what: what + &record.said() };
            return Err(Box::new(Refusal { error, did: Some(record) }));
        }
    }

    /// The workload begins.
    pub(crate) fn begin(&mut self) {
        self.cpu_before = self.cpu();
    }

    /// The workload is done.
    pub(crate) fn end(&mut self) {
        self.record.cpu_ns = self.cpu().saturating_sub(self.cpu_before);
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.wait(Duration::ZERO)
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.running.signal(Signal::KILL);
    }

    /// Ends it where it still runs.
    pub(crate) fn finish(self) -> ProgramRecord {
        ProgramRecord { did: self.running.stop_by(&END), ..self.record }
    }

    /// CPU time of its threads, ns: the first word of each one's `schedstat`.
    fn cpu(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.running.pid())).into_iter().flatten();
        let of = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        tasks.filter_map(Result::ok).filter_map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_failed_is_told_from_one_that_was_ended() {
        for (ended, code, signal, failed, how) in [
            (true, Some(0), None, false, "ended with exit code 0"),
            (true, Some(1), None, true, "ended with exit code 1"),
            (true, None, Some(11), true, "was ended by signal 11"),
            (false, Some(130), None, false, "ended with exit code 130"),
            (false, None, Some(2), false, "was ended by signal 2"),
        ] {
            let did = ExecRecord { ended, code, signal, ..ExecRecord::default() };
            let record = ProgramRecord { did, ..ProgramRecord::default() };
            assert_eq!((record.failed(), record.how().as_str()), (failed, how));
        }
    }

    #[test]
    fn the_end_of_what_it_said_is_shown() {
        let lines: String = (0..20).map(|i| format!("line {i}\n\n")).collect();
        let did = ExecRecord { stderr: lines, stdout: "out\n".into(), ..ExecRecord::default() };
        let said = ProgramRecord { did, ..ProgramRecord::default() }.said();
        assert_eq!(said, "; it said: line 17\nline 18\nline 19");
        assert_eq!(ProgramRecord::default().said(), "; it said nothing");
    }
}
