//! Enqueueing again what waits in a queue (E-91, E-95 to E-99).

use scxr_trace::ExitKind;

use super::call::{self, switch_rq_lock};
use super::dsq::dispatch_dequeue;
use super::enqueue::{do_enqueue_task, schedule_deferred, schedule_deferred_locked};
use super::entity::{OpsState, ReenqUser};
use super::exit::scx_error;
use super::flags::{consts, enq, reenq, task};
use super::iter::{DsqIter, iter_destroy, iter_new, iter_next};
use super::sched::Ev;
use crate::class::ClassId;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;

/// Can a task of the local queue run at once (E-91)? [rq_is_open]
pub(crate) fn rq_is_open(k: &Kernel, cpu: CpuId, enq_flags: u64) -> bool {
    let rq = &k.rqs[cpu];
    match rq.next_class {
        c if c > ClassId::Ext => false,
        c if c < ClassId::Ext => true,
        _ => rq.scx.in_balance || enq_flags & enq::PREEMPT != 0,
    }
}

fn bypassing_at_all(k: &Kernel) -> bool {
    k.ext.root().is_none_or(|s| s.bypass_depth > 0)
}

/// Asks for the local queue of `cpu` to be enqueued again (E-95). Rq lock held.
pub(crate) fn schedule_local(k: &mut Kernel, cpu: CpuId, flags: u64) {
    if bypassing_at_all(k) {
        return;
    }
    let pending = &mut k.rqs[cpu].scx.reenq_local;
    *pending = Some(pending.unwrap_or(0) | flags);
    if k.holds(LockId::Rq(cpu)) {
        schedule_deferred_locked(k, cpu);
    } else {
        schedule_deferred(k, cpu);
    }
}

/// Asks for a user queue to be enqueued again (E-95).
pub(crate) fn schedule_user(k: &mut Kernel, dsq: u32, flags: u64) {
    if bypassing_at_all(k) {
        return;
    }
    let (me, id) = (k.this_cpu(), k.ext.dsqs[dsq as usize].id);
    let users = &mut k.rqs[me].scx.reenq_users;
    match users.iter_mut().find(|r| r.dsq == dsq) {
        Some(r) => r.flags |= flags,
        None => users.push_back(ReenqUser { dsq, id, flags }),
    }
    schedule_deferred(k, me);
}

/// E-98 [process_deferred_reenq_locals] Rq lock held.
pub(crate) fn process_locals(k: &mut Kernel, cpu: CpuId) {
    let mut nr = 0;
    while let Some(flags) = k.rqs[cpu].scx.reenq_local.take() {
        if nr > 0 {
            k.ext.count(Ev::ReenqLocalRepeat, 1);
        }
        if nr > consts::REENQ_LOCAL_MAX_REPEAT {
            scx_error(k, ExitKind::Error, 0, format!("SCX_ENQ_REENQ on SCX_DSQ_LOCAL repeated {nr} times"));
            return;
        }
        nr += 1;
        reenq_local(k, cpu, flags);
    }
}

/// Enqueues tasks of the local queue again (E-96, E-97); the result is their number [reenq_local]. Rq lock held.
pub(crate) fn reenq_local(k: &mut Kernel, cpu: CpuId, flags: u64) -> u32 {
    let open = rq_is_open(k, cpu, 0);
    let mut chosen: Vec<TaskId> = Vec::new();
    let mut at = k.dsq_first(cpu.0);
    let mut first = true;
    while let Some(p) = at {
        at = k.dsq_next(p);
        let reason = if k.task(p).scx.has(task::IMMED) && (!first || !open) {
            k.ext.count(Ev::ReenqImmed, 1);
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
        dispatch_dequeue(k, cpu, p);
    }
    for &p in &chosen {
        do_enqueue_task(k, cpu, p, enq::REENQ, None);
        k.task_mut(p).scx.flags &= !task::REENQ_REASON_MASK;
    }
    chosen.len() as u32
}

fn wait_dispatching(k: &mut Kernel, p: TaskId) {
    while k.task(p).scx.ops_state == OpsState::Dispatching {
        call::cpu_relax(k);
    }
}

/// E-99 [process_deferred_reenq_users] Rq lock held; dropped and retaken.
pub(crate) fn process_users(k: &mut Kernel, cpu: CpuId) {
    while let Some(r) = k.rqs[cpu].scx.reenq_users.pop_front() {
        let live = k.user_dsq(r.id) == Some(r.dsq);
        if live {
            reenq_user(k, cpu, r);
        }
    }
}

fn reenq_user(k: &mut Kernel, cpu: CpuId, r: ReenqUser) {
    let (it, err) = iter_new(k, r.id, 0);
    let mut locked = cpu;
    while err == 0 && !bypassing_at_all(k) {
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
    dispatch_dequeue(k, rq, p);
    k.task_mut(p).scx.flags |= task::REENQ_KFUNC;
    do_enqueue_task(k, rq, p, enq::REENQ, None);
    k.task_mut(p).scx.flags &= !task::REENQ_REASON_MASK;
}
