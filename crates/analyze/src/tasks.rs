//! What the analyzer keeps of each task, found by pid in constant time.

use std::collections::BTreeMap;

use crate::report::TaskReport;

/// Pids below are found in constant time (Linux's pid_max); others through a map.
const PID_MAX: usize = 1 << 22;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not seen doing anything.
    New,
    /// Sleeping or dead.
    Asleep,
    /// Woken or otherwise able to run, and waits.
    Waiting,
    /// Runs.
    Running,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) state: State,
    /// It may use every CPU, as far as is known.
    pub(crate) free: bool,
    pub(crate) dead: bool,
    /// It was of a policy once that takes no part in sharing by weight.
    pub(crate) ranked: bool,
    /// Time of the last wakeup that has not led to running yet.
    pub(crate) waking_at: Option<u64>,
    /// Waits since: when it was put on a run queue, or woken where it never left it.
    pub(crate) since: u64,
    /// It was put on a run queue in this wait.
    pub(crate) enqueued: bool,
    /// The analyzer's clock of idleness when the wait began.
    pub(crate) idle_at: u64,
    /// Runs since.
    pub(crate) ran_from: u64,
    pub(crate) born: u64,
    /// When it blocked last; 0: never.
    pub(crate) blocked_at: u64,
    pub(crate) group: u32,
    pub(crate) report: TaskReport,
}

impl Task {
    fn new(pid: u32, t: u64) -> Task {
        Task {
            state: State::New,
            free: true,
            dead: false,
            ranked: false,
            waking_at: None,
            since: 0,
            enqueued: false,
            idle_at: 0,
            ran_from: 0,
            born: t,
            blocked_at: 0,
            group: 0,
            report: TaskReport { pid, weight: 100, ..TaskReport::default() },
        }
    }
}

/// Policies whose tasks run by priority or deadline: SCHED_FIFO, SCHED_RR, SCHED_DEADLINE.
const RANKED: [u32; 3] = [1, 2, 6];

impl Task {
    pub(crate) fn set_weight(&mut self, weight: u32, policy: u32) {
        (self.report.weight, self.report.policy) = (weight, policy);
        self.ranked |= RANKED.contains(&policy);
    }
}

/// All tasks, dead ones included.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// Slot + 1 of each pid below [`PID_MAX`]; 0: none.
    slots: Vec<u32>,
    /// Slot of each pid from there on.
    far: BTreeMap<u32, u32>,
    tasks: Vec<Task>,
}

impl Tasks {
    /// The task with this pid, made at `t` if it was not known (a trace may begin in the middle of its life).
    #[inline]
    pub(crate) fn get(&mut self, pid: u32, t: u64) -> &mut Task {
        match self.slots.get(pid as usize) {
            Some(&slot) if slot != 0 => &mut self.tasks[slot as usize - 1],
            _ => self.find_or_insert(pid, t),
        }
    }

    #[cold]
    fn find_or_insert(&mut self, pid: u32, t: u64) -> &mut Task {
        let (index, next) = (pid as usize, self.tasks.len() as u32);
        let slot = match index < PID_MAX {
            true => {
                if self.slots.len() <= index {
                    self.slots.resize((index + 1).next_power_of_two(), 0);
                }
                self.slots[index] = next + 1;
                next
            }
            false => *self.far.entry(pid).or_insert(next),
        };
        if slot == next {
            self.tasks.push(Task::new(pid, t));
        }
        &mut self.tasks[slot as usize]
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.tasks.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a search for each new task this would not end.
    #[test]
    fn a_million_tasks_each_once() {
        let pids = || (1..500_000).chain(PID_MAX as u32 - 2..PID_MAX as u32 + 500_000).chain([u32::MAX]);
        let mut tasks = Tasks::default();
        for round in 0..2 {
            for pid in pids() {
                let task = tasks.get(pid, round);
                assert_eq!((task.report.pid, task.born), (pid, 0));
            }
        }
        assert_eq!(tasks.iter().count(), pids().count());
    }
}
