//! Lists of a run queue: its runnable tasks that wait, and direct dispatches that are to be done later.

use super::dsq::DsqLinks;
use super::flags::task;
use super::list::{Link, Links, NIL};
use crate::ids::{CpuId, Ns, TaskId};
use crate::state::State;

struct RunnableLinks<'a>(&'a mut State);

impl Links for RunnableLinks<'_> {
    #[inline]
    fn link(&mut self, n: u32) -> &mut Link {
        &mut self.0.task_mut(TaskId(n)).scx.runnable
    }
}

impl State {
    /// Puts `p` at the tail of the runnable list [set_task_runnable] (E-56).
    pub(crate) fn set_task_runnable(&mut self, cpu: CpuId, p: TaskId, now: Ns) {
        let e = &mut self.task_mut(p).scx;
        if e.flags & task::RESET_RUNNABLE_AT != 0 {
            e.runnable_at = now;
            e.flags &= !task::RESET_RUNNABLE_AT;
        }
        let mut list = self.rqs[cpu].scx.runnable;
        list.push_back(&mut RunnableLinks(self), p.0);
        self.rqs[cpu].scx.runnable = list;
    }

    /// Takes `p` off the runnable list; `reset`: its waiting time starts afresh [clr_task_runnable] (E-56).
    pub(crate) fn clr_task_runnable(&mut self, cpu: CpuId, p: TaskId, reset: bool) {
        if self.task(p).scx.runnable.linked {
            let mut list = self.rqs[cpu].scx.runnable;
            list.remove(&mut RunnableLinks(self), p.0);
            self.rqs[cpu].scx.runnable = list;
        }
        if reset {
            self.task_mut(p).scx.flags |= task::RESET_RUNNABLE_AT;
        }
    }

    /// Runnable tasks of a CPU that are not running, the longest waiting first.
    pub(crate) fn runnable_tasks(&self, cpu: CpuId) -> impl Iterator<Item = TaskId> + '_ {
        let mut n = self.rqs[cpu].scx.runnable.head;
        std::iter::from_fn(move || {
            let p = (n != NIL).then_some(TaskId(n))?;
            n = self.task(p).scx.runnable.next;
            Some(p)
        })
    }

    /// Defers the local dispatch of `p` (E-80).
    pub(crate) fn defer_local(&mut self, cpu: CpuId, p: TaskId) {
        let mut list = self.rqs[cpu].scx.ddsp_deferred;
        list.push_back(&mut DsqLinks(self), p.0);
        self.rqs[cpu].scx.ddsp_deferred = list;
    }

    /// Takes `p` off the list of deferred local dispatches.
    pub(crate) fn undefer_local(&mut self, cpu: CpuId, p: TaskId) {
        let mut list = self.rqs[cpu].scx.ddsp_deferred;
        list.remove(&mut DsqLinks(self), p.0);
        self.rqs[cpu].scx.ddsp_deferred = list;
    }

    /// First of the deferred local dispatches.
    pub(crate) fn first_deferred(&self, cpu: CpuId) -> Option<TaskId> {
        let n = self.rqs[cpu].scx.ddsp_deferred.head;
        (n != NIL).then_some(TaskId(n))
    }
}
