//! Enqueueing again what waits in a queue (E-91, E-95 to E-99).

use super::call::{self, switch_rq_lock};
use super::dsq::dispatch_dequeue;
use super::enqueue::{do_enqueue_task, schedule_deferred, schedule_deferred_locked};
use super::entity::{OpsState, ReenqUser};
use super::events::Ev;
use super::exit::error;
use super::flags::{consts, enq, reenq, task};
use super::iter::{DsqIter, iter_destroy, iter_new, iter_next};
use super::sched::{ReenqLocal, SchedId};
use crate::class::ClassId;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;
use scxr_trace::EventKind;

/// Can a task of the local queue run at once (E-91)? [rq_is_open]
pub(crate) fn rq_is_open(k: &Kernel, cpu: CpuId, enq_flags: u64) -> bool {
    let rq = &k.rqs[cpu];
    match rq.next_class {
        c if c > ClassId::Ext => false,
        c if c < ClassId::Ext => true,
        _ => rq.scx.in_balance || enq_flags & enq::PREEMPT != 0,
    }
}

fn bypassing_at_all(k: &Kernel, sched: SchedId) -> bool {
    k.ext.scheds[sched].bypass_depth > 0
}

/// IMMED tasks on the local queue of `cpu` cannot run at once (E-90, E-92): the class asks in the root's name. Rq lock held.
pub(crate) fn schedule_immed(k: &mut Kernel, cpu: CpuId) {
    if let Some(root) = k.ext.root_id() {
        schedule_local(k, root, cpu, 0);
    }
}

/// A scheduler asks for the local queue of `cpu` to be enqueued again (E-95).
pub(crate) fn schedule_local(k: &mut Kernel, sched: SchedId, cpu: CpuId, flags: u64) {
    if bypassing_at_all(k, sched) {
        return;
    }
    let pending = &mut k.ext.scheds[sched].pcpu[cpu].reenq_local.flags;
    let listed = pending.is_some();
    *pending = Some(pending.unwrap_or(0) | flags);
    if !listed {
        k.rqs[cpu].scx.reenq_locals.push_back(sched);
    }
    if k.holds(LockId::Rq(cpu)) {
        schedule_deferred_locked(k, cpu);
    } else {
        schedule_deferred(k, cpu);
    }
}

/// Asks for a user queue of `sched` to be enqueued again (E-95).
pub(crate) fn schedule_user(k: &mut Kernel, sched: SchedId, dsq: u32, flags: u64) {
    if bypassing_at_all(k, sched) {
        return;
    }
    let (me, id) = (k.this_cpu(), k.ext.dsqs[dsq as usize].id);
    let users = &mut k.rqs[me].scx.reenq_users;
    match users.iter_mut().find(|r| r.dsq == dsq) {
        Some(r) => r.flags |= flags,
        None => users.push_back(ReenqUser { sched, dsq, id, flags }),
    }
    schedule_deferred(k, me);
}

/// E-98 [process_deferred_reenq_locals] Rq lock held.
pub(crate) fn process_locals(k: &mut Kernel, cpu: CpuId) {
    if k.rqs[cpu].scx.reenq_locals.is_empty() {
        return;
    }
    let pass = k.rqs[cpu].scx.reenq_pass.wrapping_add(1);
    k.rqs[cpu].scx.reenq_pass = pass;
    while let Some(sched) = k.rqs[cpu].scx.reenq_locals.pop_front() {
        let s = &mut k.ext.scheds[sched];
        let r = &mut s.pcpu[cpu].reenq_local;
        let nr = if r.pass == pass { r.nr } else { 0 };
        let flags = r.flags.unwrap_or(0);
        *r = ReenqLocal { flags: None, pass, nr: nr + 1 };
        if nr > 0 {
            s.count(Ev::ReenqLocalRepeat, 1);
        }
        if nr > consts::REENQ_LOCAL_MAX_REPEAT {
            return error(k, sched, format!("SCX_ENQ_REENQ on SCX_DSQ_LOCAL repeated {nr} times"));
        }
        reenq_local(k, sched, cpu, flags);
    }
}

/// Enqueues tasks of the local queue again, for `sched` (E-96, E-97); the result is their number [reenq_local]. Rq lock held.
pub(crate) fn reenq_local(k: &mut Kernel, sched: SchedId, cpu: CpuId, flags: u64) -> u32 {
    let open = rq_is_open(k, cpu, 0);
    let mut chosen: Vec<TaskId> = Vec::new();
    let mut at = k.dsq_first(cpu.0);
    let mut first = true;
    while let Some(p) = at {
        at = k.dsq_next(p);
        if !k.ext.is_below(k.task_sched(p), sched) {
            continue; // not its task, nor one of its sub-schedulers' (E-239)
        }
        let reason = if k.task(p).scx.has(task::IMMED) && (!first || !open) {
            k.ext.scheds[sched].count(Ev::ReenqImmed, 1);
            task::REENQ_IMMED
        } else if flags & reenq::ANY != 0 {
            task::REENQ_KFUNC
        } else {
            0
        };
        first = false;
        if reason != 0 {
            k.task_mut(p).scx.flags |= reason;
            chosen.push(p);
        }
    }
    // All are off the queue before the first is enqueued: it might come back and be seen again.
    for &p in &chosen {
        wait_dispatching(k, p);
        take_off(k, cpu, p);
    }
    for &p in &chosen {
        let sched = k.task_sched(p);
        do_enqueue_task(k, sched, cpu, p, enq::REENQ, None);
        k.task_mut(p).scx.flags &= !task::REENQ_REASON_MASK;
    }
    chosen.len() as u32
}

/// Takes `p` off its queue, which the trace shows: where it goes is the scheduler's to say, now or later.
fn take_off(k: &mut Kernel, rq: CpuId, p: TaskId) {
    dispatch_dequeue(k, rq, p);
    let pid = k.task(p).pid;
    k.emit(EventKind::Dequeue { pid, flags: 0 });
}

fn wait_dispatching(k: &mut Kernel, p: TaskId) {
    while k.task(p).scx.ops_state == OpsState::Dispatching {
        call::cpu_relax(k);
    }
}

/// E-99 [process_deferred_reenq_users] Rq lock held; dropped and retaken.
pub(crate) fn process_users(k: &mut Kernel, cpu: CpuId) {
    while let Some(r) = k.rqs[cpu].scx.reenq_users.pop_front() {
        let live = k.user_dsq(r.sched, r.id) == Some(r.dsq);
        if live {
            reenq_user(k, cpu, r);
        }
    }
}

fn reenq_user(k: &mut Kernel, cpu: CpuId, r: ReenqUser) {
    let (it, err) = iter_new(k, r.sched, r.id, 0);
    let mut locked = cpu;
    while err == 0 && !bypassing_at_all(k, r.sched) {
        let Some(p) = iter_next(k, it) else { break };
        let src = k.task(p).cpu;
        switch_rq_lock(k, locked, src);
        locked = src;
        requeue_one(k, locked, p, r.dsq, it);
    }
    iter_destroy(k, it);
    switch_rq_lock(k, locked, cpu);
}

fn requeue_one(k: &mut Kernel, rq: CpuId, p: TaskId, dsq: u32, it: DsqIter) {
    let Some((_, seq)) = k.cursor_dsq(it) else {
        return;
    };
    let still = |k: &Kernel| {
        k.find_task(p).is_some_and(|t| {
            let e = &t.scx;
            t.cpu == rq && e.dsq == Some(dsq) && e.holding_cpu.is_none() && (e.dsq_seq.wrapping_sub(seq) as i32) <= 0
        })
    };
    if !still(k) {
        return;
    }
    wait_dispatching(k, p);
    take_off(k, rq, p);
    k.task_mut(p).scx.flags |= task::REENQ_KFUNC;
    let sched = k.task_sched(p);
    do_enqueue_task(k, sched, rq, p, enq::REENQ, None);
    k.task_mut(p).scx.flags &= !task::REENQ_REASON_MASK;
}
