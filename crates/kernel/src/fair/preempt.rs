//! Does a task that became runnable preempt the running one? (section 6)

use crate::behavior::Policy;
use crate::class::{ClassId, wf};
use crate::executor::Kernel;
use crate::fair::queue::{self, queued_curr};
use crate::fair::vruntime::vdelta;
use crate::ids::{CpuId, TaskId};

/// [wakeup_preempt_fair] Rq lock held.
pub(crate) fn wakeup_preempt(k: &mut Kernel, cpu: CpuId, p: TaskId, wake_flags: u64) {
    let Some(curr) = k.rqs[cpu].fair.curr else {
        return; // something else is about to run, or runs
    };
    if curr == p || k.task(p).class != ClassId::Fair || k.rqs[cpu].need_resched {
        return;
    }
    let idle = |t: TaskId| k.task(t).policy == Policy::Idle;
    match (idle(curr), idle(p)) {
        (true, false) => {
            cancel_protection(k, curr);
            return k.resched_curr_lazy(cpu);
        }
        (false, true) => return,
        _ => {}
    }
    if k.task(p).policy != Policy::Normal {
        return;
    }
    queue::update_curr(k, cpu);
    let short = k.task(p).se.slice < k.task(curr).se.slice;
    if !short && (wake_flags & wf::FORK != 0 || k.task(p).se.delayed) {
        return;
    }
    if pick(k, cpu, !short) == Some(p) {
        if short {
            cancel_protection(k, curr);
        }
        return k.resched_curr_lazy(cpu);
    }
    shorten_protection(k, cpu);
}

/// The pick, repeated while it only drains delayed entities.
fn pick(k: &mut Kernel, cpu: CpuId, protect: bool) -> Option<TaskId> {
    while k.rqs[cpu].fair.nr_queued > 0 {
        if let Some(p) = queue::pick_entity(k, cpu, protect) {
            return Some(p);
        }
    }
    None
}

/// [cancel_protect_slice]
fn cancel_protection(k: &mut Kernel, curr: TaskId) {
    let se = &mut k.task_mut(curr).se;
    if se.vruntime < se.vprot {
        se.vprot = se.vruntime;
    }
}

/// The running task is protected no longer than the shortest slice in the queue lasts (rule 6.6) [update_protect_slice].
fn shorten_protection(k: &mut Kernel, cpu: CpuId) {
    let Some((curr, terms)) = queued_curr(k, cpu) else {
        return;
    };
    if let Some(slice) = k.rqs[cpu].fair.min_slice(Some(terms)) {
        let vprot = terms.vruntime + vdelta(slice, terms.weight);
        let se = &mut k.task_mut(curr).se;
        se.vprot = se.vprot.min(vprot);
    }
}

/// The priority of a queued task changed (rule 6.10) [prio_changed_fair].
pub(crate) fn prio_changed(k: &mut Kernel, cpu: CpuId, p: TaskId, old_prio: i32) {
    let t = k.task(p);
    if !t.se.on_rq || t.prio == old_prio || k.rqs[cpu].fair.nr_queued == 1 {
        return;
    }
    if k.rqs[cpu].curr == p {
        if t.prio > old_prio {
            k.resched_curr(cpu);
        }
    } else {
        crate::class::wakeup_preempt(k, cpu, p, 0);
    }
}

/// A task has come to the class [switched_to_fair].
pub(crate) fn switched_to(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if !k.task(p).se.on_rq {
        return;
    }
    if k.rqs[cpu].curr == p {
        k.resched_curr(cpu);
    } else {
        crate::class::wakeup_preempt(k, cpu, p, 0);
    }
}
