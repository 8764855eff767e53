//! A command line as the workload: a process that waits until it may begin and then becomes the program.
//!
//! It becomes the program itself (execve(2)), so that nobody stands between the two: its process is known before it runs,
//! it ends when the one that started it is killed, and its children are found in the trace by who forked them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use scxr_trace::ftrace::KnownTask;
use scxr_workload::threads::ordinary;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::workers::Workers;

/// What is kept of each of a program's outputs, bytes.
const OUTPUT_MAX: u64 = 256 << 10;
/// How long a program that is told to end may take to do so.
const GRACE: Duration = Duration::from_secs(2);
/// Exit status of a program that could not be started, as shells have it.
const NOT_STARTED: i32 = 126;

/// A program to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Its file.
    pub program: OsString,
    /// Its arguments, its name first.
    pub argv: Vec<OsString>,
    /// The folder it starts in.
    pub cwd: OsString,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRecord {
    /// Its exit status; `None`: a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It ended by itself; false: the run was over first, and it was told to end.
    pub ended: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
    /// One of the two was longer; what is here is its beginning, of a scheduler's own program its end.
    pub truncated: bool,
}

/// Which part of a long output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Beginning,
    End,
}

/// What the process that becomes the program is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    exec: Exec,
    stdout: OsString,
    stderr: OsString,
}

/// Become the program. Returns only where that fails.
pub(crate) fn become_program(order: &Order) -> io::Error {
    let Order { exec, stdout, stderr } = order;
    let prepare = || -> io::Result<Command> {
        let mut command = Command::new(&exec.program);
        if let Some((name, args)) = exec.argv.split_first() {
            command.arg0(name).args(args);
        }
        command.current_dir(&exec.cwd).process_group(0).stdin(Stdio::null());
        command.stdout(File::create(stdout)?).stderr(File::create(stderr)?);
        ordinary()?;
        Ok(command)
    };
    let error = match prepare() {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    };
    // Where even this fails, the exit status alone tells.
    let _ = std::fs::write(stderr, format!("{}: cannot be started: {error}\n", exec.program.display()));
    error
}

/// Ends a process that could not become its program.
pub(crate) fn give_up() -> ! {
    std::process::exit(NOT_STARTED)
}

/// A program, waiting or running.
#[derive(Debug)]
pub(crate) struct Running {
    process: Workers,
    pidfd: OwnedFd,
    name: String,
    outputs: TempDir,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts the process, which then waits. `command`: a command line that calls [`crate::workers::serve`].
    pub(crate) fn start(command: &[OsString], exec: &Exec) -> Result<Running, String> {
        let outputs = tempfile::tempdir().map_err(|e| format!("a temporary folder: {e}"))?;
        let file = |name| outputs.path().join(name).into_os_string();
        let order = Order { exec: exec.clone(), stdout: file("stdout"), stderr: file("stderr") };
        let process = Workers::exec(command, order)?;
        let pidfd = pidfd_open(Pid::from_child(process.child()), PidfdFlags::empty()).map_err(|e| e.to_string())?;
        let name = Path::new(&exec.program).file_name().unwrap_or_default().to_string_lossy();
        let name = name.chars().take(15).collect();
        Ok(Running { process, pidfd, name, outputs, ended: None })
    }

    /// Lets it begin; when it did, CLOCK_MONOTONIC, ns.
    pub(crate) fn go(&mut self) -> Result<u64, String> {
        self.process.go()
    }

    /// Waits for its end, no longer than this; whether it has ended.
    pub(crate) fn wait(&mut self, at_most: Duration) -> bool {
        let at_most = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: at_most.subsec_nanos().into() };
        // Interrupted, it is as if the time were over: whoever waits looks again.
        let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&at_most));
        if self.ended.is_none() {
            self.ended = self.process.child_mut().try_wait().unwrap_or_default();
        }
        self.ended.is_some()
    }

    /// The task that it is; its children are found by who forked them.
    pub(crate) fn task(&self) -> KnownTask {
        KnownTask { pid: self.pid(), comm: self.name.clone(), group: "/".into(), weight: 100, ..KnownTask::default() }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.child().id()
    }

    /// Sends a signal to all of its process group.
    pub(crate) fn signal(&self, signal: Signal) {
        // It fails where the last of the group ended meanwhile.
        let _ = kill_process_group(Pid::from_child(self.process.child()), signal);
    }

    /// Ends it where it still runs. Of its output the beginning is kept.
    pub(crate) fn stop(self) -> ExecRecord {
        self.stopped(&[(Signal::TERM, GRACE), (Signal::KILL, GRACE)], Part::Beginning)
    }

    /// Ends it where it still runs, by these signals, each with the time it has to obey. Of its output the end is kept.
    pub(crate) fn stop_by(self, signals: &[(Signal, Duration)]) -> ExecRecord {
        self.stopped(signals, Part::End)
    }

    fn stopped(mut self, signals: &[(Signal, Duration)], part: Part) -> ExecRecord {
        let ended = self.wait(Duration::ZERO);
        for (signal, grace) in signals {
            if self.ended.is_none() {
                self.signal(*signal);
                self.wait(*grace);
            }
        }
        let (stdout, stderr) = (self.output("stdout", part), self.output("stderr", part));
        ExecRecord {
            code: self.ended.and_then(|s| s.code()),
            signal: self.ended.and_then(|s| s.signal()),
            ended,
            truncated: stdout.1 || stderr.1,
            stdout: stdout.0,
            stderr: stderr.0,
        }
    }

    /// A part of an output, and whether there is more.
    fn output(&self, name: &str, part: Part) -> (String, bool) {
        let mut bytes = Vec::new();
        let mut more = false;
        // A program that never began has no output.
        if let Ok(mut file) = File::open(self.outputs.path().join(name)) {
            let len = file.metadata().map_or(0, |m| m.len());
            more = len > OUTPUT_MAX;
            if part == Part::End {
                let _ = file.seek(SeekFrom::Start(len.saturating_sub(OUTPUT_MAX)));
            }
            let _ = file.take(OUTPUT_MAX).read_to_end(&mut bytes);
        }
        (String::from_utf8_lossy(&bytes).into_owned(), more)
    }
}
