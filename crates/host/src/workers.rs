//! The process in which the threads of a workload live. It is a process of its own because threads cannot be stopped one by
//! one, and so that what is measured has nothing of the loader in it.
//!
//! It is told what to do by a line of JSON on its standard input, answers with a line when its threads are parked, lets
//! them go on the next line, and answers with what they did on the one after that.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use scxr_trace::ftrace::KnownTask;
use scxr_workload::threads::{Crew, RealTask, Speed, Work, monotonic_ns, real_time};
use serde::{Deserialize, Serialize};

use crate::exec;

/// Real-time priority of those who watch.
pub(crate) const PRIORITY: u8 = 50;

/// What the process is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
enum Order {
    Threads { workload: String, nr_cpus: u32, seed: u64 },
    Exec(exec::Order),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    Ready,
    Started { at_ns: u64 },
    Did { tasks: Vec<KnownTask>, work: Vec<(u64, u32, u64)>, refused: Vec<String> },
    Failed { reason: String },
}

/// What the workload did.
#[derive(Debug, Default)]
pub(crate) struct Did {
    pub(crate) tasks: Vec<KnownTask>,
    pub(crate) work: Vec<(u64, u32, u64)>,
    pub(crate) refused: Vec<String>,
}

/// Be that process: obey what comes on `input`. Returns when it is over; the threads end with the process.
pub fn serve(input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let (workload, nr_cpus, seed) = match order {
        Order::Threads { workload, nr_cpus, seed } => (workload, nr_cpus, seed),
        Order::Exec(order) => return program(&order, input, output),
    };
    let crew = match crew(&workload, nr_cpus, seed) {
        Ok(crew) => crew,
        Err(reason) => return say(output, &Answer::Failed { reason }),
    };
    say(output, &Answer::Ready)?;
    input.read_line(&mut line)?;
    let at_ns = crew.go();
    say(output, &Answer::Started { at_ns })?;
    input.read_line(&mut line)?;
    let Work { tasks, done, refused } = crew.collect();
    let tasks = tasks.into_iter().map(record).collect();
    let work = done.into_iter().map(|d| (d.at_ns, d.tid, d.ns)).collect();
    say(output, &Answer::Did { tasks, work, refused })
}

/// Waits until it may, and becomes a program.
fn program(order: &exec::Order, input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    say(output, &Answer::Ready)?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    if line.is_empty() {
        // Who asked has changed its mind.
        return Ok(());
    }
    say(output, &Answer::Started { at_ns: monotonic_ns() })?;
    let _ = exec::become_program(order);
    exec::give_up()
}

fn crew(workload: &str, nr_cpus: u32, seed: u64) -> Result<Crew, String> {
    let workload = scxr_workload::load(workload, nr_cpus as usize, seed);
    let workload = workload.map_err(|e| e.to_string())?;
    // Threads inherit it until they set their own.
    real_time(PRIORITY).map_err(|e| format!("real-time priority: {e}"))?;
    Crew::new(&workload, Speed::measure()).map_err(|e| e.to_string())
}

fn record(task: RealTask) -> KnownTask {
    let RealTask { tid, comm, group, weight, policy, cpus, parent, born_ns } = task;
    KnownTask { pid: tid, parent, comm, group, weight, policy, cpus, born_ns }
}

fn say(output: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

/// The process, seen from the one that started it. It is killed when this goes.
#[derive(Debug)]
pub(crate) struct Workers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Workers {
    /// Starts it with this command line; its threads are parked then.
    pub(crate) fn start(command: &[OsString], workload: &str, nr_cpus: u32, seed: u64) -> Result<Workers, String> {
        Workers::obey(command, &Order::Threads { workload: workload.to_owned(), nr_cpus, seed })
    }

    /// Starts it with this command line; it waits to become a program.
    pub(crate) fn exec(command: &[OsString], order: exec::Order) -> Result<Workers, String> {
        Workers::obey(command, &Order::Exec(order))
    }

    fn obey(command: &[OsString], order: &Order) -> Result<Workers, String> {
        let Some((program, args)) = command.split_first() else { return Err("no command was given".into()) };
        let spawned = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|e| format!("{}: {e}", program.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no pipes".into());
        };
        let mut workers = Workers { child, input, output: BufReader::new(output) };
        match workers.ask(&serde_json::to_string(order).map_err(|e| e.to_string())?)? {
            Answer::Ready => Ok(workers),
            other => Err(unexpected(other)),
        }
    }

    /// Lets the threads begin; when they did, CLOCK_MONOTONIC, ns.
    pub(crate) fn go(&mut self) -> Result<u64, String> {
        match self.ask("go")? {
            Answer::Started { at_ns } => Ok(at_ns),
            other => Err(unexpected(other)),
        }
    }

    /// The process.
    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// The process, to be waited for.
    pub(crate) fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What they did; the process ends.
    pub(crate) fn stop(mut self) -> Result<Did, String> {
        match self.ask("stop")? {
            Answer::Did { tasks, work, refused } => Ok(Did { tasks, work, refused }),
            other => Err(unexpected(other)),
        }
    }

    fn ask(&mut self, line: &str) -> Result<Answer, String> {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).map_err(|e| e.to_string())?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(|e| e.to_string())?;
        serde_json::from_str(&answer).map_err(|_| match answer.is_empty() {
            true => "its process ended early".to_owned(),
            false => format!("it said: {}", answer.trim_end()),
        })
    }
}

fn unexpected(answer: Answer) -> String {
    match answer {
        Answer::Failed { reason } => reason,
        other => format!("it answered {other:?}"),
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
