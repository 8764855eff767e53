//! The list of a run queue's fair tasks, most recently run or enqueued first (rule 8.18) [rq.cfs_tasks].

use crate::ids::{CpuId, TaskId};
use crate::state::State;

/// Neighbours of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    /// The one before it, towards the head.
    pub(crate) prev: Option<TaskId>,
    /// The one after it.
    pub(crate) next: Option<TaskId>,
}

/// Ends of the list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) head: Option<TaskId>,
    pub(crate) tail: Option<TaskId>,
}

/// Puts a task that is in no list at the head.
pub(crate) fn push_head(s: &mut State, cpu: CpuId, p: TaskId) {
    let old = s.rqs[cpu].fair.tasks.head.replace(p);
    s.task_mut(p).se.links = Links { prev: None, next: old };
    match old {
        Some(q) => s.task_mut(q).se.links.prev = Some(p),
        None => s.rqs[cpu].fair.tasks.tail = Some(p),
    }
}

/// Takes a task out.
pub(crate) fn remove(s: &mut State, cpu: CpuId, p: TaskId) {
    let Links { prev, next } = std::mem::take(&mut s.task_mut(p).se.links);
    match prev {
        Some(q) => s.task_mut(q).se.links.next = next,
        None => s.rqs[cpu].fair.tasks.head = next,
    }
    match next {
        Some(q) => s.task_mut(q).se.links.prev = prev,
        None => s.rqs[cpu].fair.tasks.tail = prev,
    }
}

/// Moves a task to the head.
pub(crate) fn touch(s: &mut State, cpu: CpuId, p: TaskId) {
    if s.rqs[cpu].fair.tasks.head != Some(p) {
        remove(s, cpu, p);
        push_head(s, cpu, p);
    }
}
