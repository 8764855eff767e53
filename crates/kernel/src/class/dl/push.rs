//! Which CPU a deadline task runs on: the machine's earliest deadlines run, as far as affinities allow.

use std::cmp::Reverse;

use super::queue::earlier;
use crate::class::{ClassId, wf};
use crate::core::migrate;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// A CPU where `p` would run at once: one without deadline tasks, the task's own first, then this one, then the nearest; else the
/// one whose earliest deadline is the latest of all, if it is later than that of `p` [find_later_rq, cpudl_find].
pub(super) fn find_later_cpu(k: &Kernel, p: TaskId) -> Option<CpuId> {
    let t = k.task(p);
    if t.nr_cpus_allowed == 1 {
        return None;
    }
    let (own, this) = (t.cpu, k.this_cpu());
    let usable = || k.online.iter().filter(|&cpu| k.rqs[cpu].active);
    let free = usable().filter(|&cpu| t.cpus.test(cpu) && k.rqs[cpu].dl.nr_running() == 0);
    let near = |cpu: CpuId| (cpu != own, cpu != this, k.topology.distance(own, cpu), cpu);
    if let Some(cpu) = free.min_by_key(|&cpu| near(cpu)) {
        return Some(cpu);
    }
    let latest = usable().max_by_key(|&cpu| (k.rqs[cpu].dl.earliest(), Reverse(cpu)))?;
    let later = k.rqs[latest].dl.earliest().is_some_and(|deadline| t.dl.deadline < deadline);
    (later && t.cpus.test(latest)).then_some(latest)
}

/// Would it be the first on `cpu`? [dl_task_is_earliest_deadline]
fn is_earliest(k: &Kernel, p: TaskId, cpu: CpuId) -> bool {
    k.rqs[cpu].dl.earliest().is_none_or(|deadline| k.task(p).dl.deadline < deadline)
}

pub(crate) fn select_task_rq(k: &mut Kernel, p: TaskId, prev: CpuId, flags: u64) -> CpuId {
    let curr = k.rqs[prev].curr;
    let must_move = k.task(curr).class == ClassId::Dl && (k.task(curr).nr_cpus_allowed < 2 || !earlier(k, p, curr));
    if flags & wf::TTWU == 0 || !must_move {
        return prev;
    }
    find_later_cpu(k, p).filter(|&cpu| is_earliest(k, p, cpu)).unwrap_or(prev)
}

pub(crate) fn task_woken(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let curr = k.rqs[cpu].curr;
    let waits = curr != p && !k.rqs[cpu].need_resched && k.task(p).nr_cpus_allowed > 1;
    if waits && k.task(curr).class == ClassId::Dl && (k.task(curr).nr_cpus_allowed < 2 || !earlier(k, p, curr)) {
        push_tasks(k, cpu);
    }
}

/// The task with the earliest deadline that waits on `cpu`, may go elsewhere, and `fits`.
fn next_pushable(k: &Kernel, cpu: CpuId, fits: impl Fn(TaskId) -> bool) -> Option<TaskId> {
    let rq = &k.rqs[cpu];
    let movable = |p: &TaskId| {
        let t = k.task(*p);
        *p != rq.curr && t.nr_cpus_allowed > 1 && t.migration_disabled == 0 && !t.on_cpu && fits(*p)
    };
    rq.dl.tasks().find(movable)
}

/// Sends waiting tasks to CPUs where they run at once [push_dl_tasks]. Rq lock of `cpu` held; dropped and retaken.
pub(crate) fn push_tasks(k: &mut Kernel, cpu: CpuId) {
    for _ in 0..k.rqs[cpu].dl.nr_tasks() {
        let Some(p) = next_pushable(k, cpu, |_| true) else { return };
        let curr = k.rqs[cpu].curr;
        if k.task(curr).class == ClassId::Dl && earlier(k, p, curr) && k.task(curr).nr_cpus_allowed > 1 {
            return k.resched_curr(cpu);
        }
        let to = find_later_cpu(k, p).filter(|&to| to != cpu && is_earliest(k, p, to));
        let Some(to) = to else { return };
        if !migrate::move_waiting_task(k, cpu, p, to) {
            return;
        }
    }
}

/// Before a pick: the running task of the class goes; an earlier one may wait elsewhere [balance_dl].
pub(crate) fn balance(k: &mut Kernel, cpu: CpuId) {
    if k.dl.nr_queued > 0 && k.curr(cpu).class == ClassId::Dl && k.curr(cpu).dl.queued.is_none() {
        pull_tasks(k, cpu);
    }
}

/// Fetches tasks that wait elsewhere and would be the first here [pull_dl_task]. Rq lock of `cpu` held; dropped and retaken.
pub(crate) fn pull_tasks(k: &mut Kernel, cpu: CpuId) {
    if k.dl.nr_queued == 0 || !k.rqs[cpu].active {
        return;
    }
    for from in k.online.iter().collect::<Vec<_>>() {
        if from == cpu || k.rqs[from].dl.nr_tasks() < 2 {
            continue;
        }
        let here = |p: TaskId| k.task(p).cpus.test(cpu);
        let Some(p) = next_pushable(k, from, here) else { continue };
        let preempts = k.curr(from).class == ClassId::Dl && earlier(k, p, k.rqs[from].curr);
        if is_earliest(k, p, cpu) && !preempts {
            migrate::pull_waiting_task(k, from, p, cpu);
        }
    }
}
