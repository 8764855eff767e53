//! Events: the steps of a phase.

use scxr_kernel::ids::Ns;

use super::object::{Object, fault_at, integer, string};
use super::{Fault, Reader, Result2};
use crate::ir::{Dur, Op};
use crate::json::Member;
use strsim::osa_distance as distance;

/// Event names; where one begins like another, the longer comes first.
pub(super) const EVENTS: &[&str] = &[
    "runtime", "run", "sleep", "memrun", "mem", "iorun", "lock", "unlock", "signal", "broad", "wait", "sync",
    "barrier", "timer", "resume", "suspend", "yield", "fork", "sem_post", "sem_wait",
];

/// Longest time that an event may take, microseconds (a day).
const TIME_US_MAX: i64 = 86_400_000_000;

/// The task that an event belongs to.
pub(super) struct TaskOf<'a> {
    pub(super) name: &'a str,
    pub(super) instances: u32,
    /// Names of all tasks of the file.
    pub(super) tasks: &'a [&'a str],
}

/// Which event a key means: its name with anything after it.
pub(super) fn event_of(key: &str) -> Option<&'static str> {
    EVENTS.iter().copied().find(|e| key.starts_with(e))
}

/// A key that would be taken for an event by its beginning, but is more likely another one with a slip in it.
fn slip(key: &str, event: &str, settings: &[&'static str]) -> Option<&'static str> {
    let suffix = &key[event.len()..];
    if suffix.is_empty() || !suffix.chars().all(|c| c.is_ascii_lowercase()) {
        return None;
    }
    let longer = |c: &&&str| c.len() > event.len() && **c != key && distance(key, c) <= 1;
    EVENTS.iter().chain(settings).find(longer).copied()
}

fn ns(us: i64) -> Ns {
    us as Ns * 1000
}

impl Reader {
    /// The steps that a member stands for, after those `before` it in its phase. `settings` are keys that could have been meant.
    pub(super) fn event(
        &mut self,
        m: &Member,
        event: &'static str,
        task: &TaskOf<'_>,
        settings: &[&'static str],
        before: &[Op],
    ) -> Result2<Vec<Op>> {
        if let Some(meant) = slip(&m.key, event, settings) {
            let why = format!("unknown key (did you mean '{meant}'?)");
            return Err(fault_at(m, why));
        }
        let time = |m: &Member| integer(m, 0, TIME_US_MAX).map(|us| Dur::Fixed(ns(us)));
        let names = &mut self.names;
        let op = match event {
            "run" => Op::Run(time(m)?),
            "runtime" => Op::Runtime(time(m)?),
            "sleep" => Op::Sleep(time(m)?),
            "timer" => return self.timer(m).map(|op| vec![op]),
            "lock" => Op::Lock(names.mutex(string(m)?)),
            "unlock" => Op::Unlock(names.mutex(string(m)?)),
            "signal" => Op::Signal(names.cond(string(m)?)),
            "broad" => Op::Broadcast(names.cond(string(m)?)),
            "wait" => return self.wait(m).map(|op| vec![op]),
            "sync" => return self.sync(m, before),
            "barrier" => Op::Barrier(names.barrier(string(m)?, task.instances)),
            "suspend" => Op::Suspend(names.suspend(task.name)),
            "resume" => {
                let whom = string(m)?;
                if !task.tasks.contains(&whom) {
                    let hint = crate::suggest::hint(whom, task.tasks.iter().copied());
                    let text = format!("resume: there is no task '{whom}'{hint}, so it does nothing");
                    if !self.warnings.contains(&text) {
                        self.warnings.push(text);
                    }
                }
                Op::Resume(names.suspend(whom))
            }
            "yield" => Op::Yield,
            "fork" => Op::Fork(task_index(m, string(m)?, task)?),
            "sem_post" => Op::SemPost(names.sem(string(m)?)),
            "sem_wait" => Op::SemWait(names.sem(string(m)?)),
            other => {
                let why = format!("not implemented yet: the event {other}");
                return Err(fault_at(m, why));
            }
        };
        Ok(vec![op])
    }

    fn timer(&mut self, m: &Member) -> Result2<Op> {
        let o = Object::of_member(m)?;
        o.only(&["ref", "period", "mode"], &[])?;
        let name = o.string("ref")?.map_or("unknown", |s| s.1);
        let Some(period) = o.integer("period", 0, TIME_US_MAX)? else {
            return Err(fault_at(m, "the timer's \"period\" (in us) is missing"));
        };
        let relative = match o.string("mode")? {
            None => true,
            Some((pos, mode)) => o.one_of(pos, "mode", mode, &["relative", "absolute"])? == 0,
        };
        Ok(Op::Timer { timer: self.names.timer(name), period: ns(period), relative })
    }

    fn wait(&mut self, m: &Member) -> Result2<Op> {
        let o = Object::of_member(m)?;
        o.only(&["ref", "mutex"], &[])?;
        let name = |key: &str| match o.string(key)? {
            Some((_, name)) => Ok(name),
            None => Err(missing(m, key)),
        };
        let (cond, mutex) = (name("ref")?, name("mutex")?);
        Ok(Op::CondWait { cond: self.names.cond(cond), mutex: self.names.mutex(mutex) })
    }

    /// Signals, then waits. rt-app's documentation has `sync` lock and unlock the mutex; its code leaves that to the events
    /// around it. Both are served: the mutex is locked here unless the phase has locked it before.
    fn sync(&mut self, m: &Member, held: &[Op]) -> Result2<Vec<Op>> {
        let wait = self.wait(m)?;
        let Op::CondWait { cond, mutex } = wait else {
            return Ok(vec![wait]);
        };
        let last = held.iter().rev().find_map(|op| match op {
            Op::Lock(x) if *x == mutex => Some(true),
            Op::Unlock(x) if *x == mutex => Some(false),
            _ => None,
        });
        Ok(match last {
            Some(true) => vec![Op::Signal(cond), wait],
            _ => vec![Op::Lock(mutex), Op::Signal(cond), wait, Op::Unlock(mutex)],
        })
    }
}

fn missing(m: &Member, key: &str) -> Fault {
    fault_at(m, format!("\"{key}\" is missing"))
}

fn task_index(m: &Member, name: &str, task: &TaskOf<'_>) -> Result2<usize> {
    task.tasks.iter().position(|t| *t == name).ok_or_else(|| {
        let hint = crate::suggest::hint(name, task.tasks.iter().copied());
        fault_at(m, format!("there is no task '{name}'{hint}"))
    })
}
