//! Filling a CPU's local queue: the dispatch buffer, moves between CPUs, consumption, the dispatch loop (E-116 to E-130).

use super::call::{self, switch_rq_lock};
use super::dsq::{dispatch_enqueue, emit_move, move_local_to_local};
use super::dsq_table::find_dsq_for_dispatch;
use super::enqueue::{rq_online, touch_core_sched_dispatch};
use super::entity::OpsState;
use super::events::Ev;
use super::exit::error;
use super::flags::{self, consts, dsq_id, enq, task};
use super::ops::Op;
use super::sched::{DspEntry, SchedId};
use crate::class::{self, ClassId};
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;

/// Outcome of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The task that ran goes on.
    Prev,
    /// The local queue has a task.
    Local,
    /// Nothing.
    None,
}

/// Appends an insertion to a scheduler's buffer on this CPU (E-124).
pub(crate) fn buffer_insert(k: &mut Kernel, sched: SchedId, p: TaskId, dsq_id: u64, enq_flags: u64) {
    let me = k.this_cpu();
    let qseq = match k.task(p).scx.ops_state {
        OpsState::Queueing(q) | OpsState::Queued(q) => q,
        OpsState::None | OpsState::Dispatching => 0,
    };
    let s = &mut k.ext.scheds[sched];
    if s.pcpu[me].dsp.entries.len() >= s.dsp_max_batch {
        return error(k, sched, "dispatch buffer overflow");
    }
    s.pcpu[me].dsp.entries.push(DspEntry { task: p, qseq, dsq_id, enq_flags });
}

/// Finishes what is in a scheduler's buffer on this CPU, in order (E-125) [flush_dispatch_buf].
pub(crate) fn flush_dispatch_buf(k: &mut Kernel, sched: SchedId, cpu: CpuId) {
    let me = k.this_cpu();
    let entry = |k: &Kernel, i: usize| k.ext.scheds[sched].pcpu[me].dsp.entries.get(i).copied();
    let mut i = 0;
    while let Some(e) = entry(k, i) {
        finish_dispatch(k, sched, cpu, e);
        i += 1;
    }
    let dsp = &mut k.ext.scheds[sched].pcpu[me].dsp;
    dsp.nr_tasks += i as u32;
    dsp.entries.clear();
}

/// Finishes one insertion, unless the task has gone its own way since (E-126) [finish_dispatch].
fn finish_dispatch(k: &mut Kernel, sched: SchedId, cpu: CpuId, e: DspEntry) {
    let p = e.task;
    if k.find_task(p).is_some() {
        touch_core_sched_dispatch(k, p);
    }
    loop {
        match k.find_task(p).map(|t| t.scx.ops_state) {
            Some(OpsState::Queued(q)) if q == e.qseq => break,
            Some(OpsState::Queueing(_)) => call::cpu_relax(k),
            _ => return,
        }
    }
    if !k.task_on_sched(p, sched) {
        return k.ext.scheds[sched].count(Ev::InsertNotOwned, 1);
    }
    k.task_mut(p).scx.ops_state = OpsState::Dispatching;
    let task_cpu = k.task(p).cpu;
    let dsq = find_dsq_for_dispatch(k, sched, cpu, e.dsq_id, task_cpu);
    if k.is_local_dsq(dsq) {
        dispatch_to_local_dsq(k, sched, cpu, CpuId(dsq), p, e.enq_flags);
    } else {
        dispatch_enqueue(k, sched, cpu, dsq, p, e.enq_flags | enq::CLEAR_OPSS);
    }
}

/// Puts `p` on the local queue of `dst`, whose own run queue may be yet another (E-127) [dispatch_to_local_dsq]. Rq lock of
/// `rq` held; dropped and retaken.
pub(crate) fn dispatch_to_local_dsq(k: &mut Kernel, sched: SchedId, rq: CpuId, dst: CpuId, p: TaskId, enq_flags: u64) {
    let src = k.task(p).cpu;
    if rq == src && rq == dst {
        return dispatch_enqueue(k, sched, rq, dst.0, p, enq_flags | enq::CLEAR_OPSS);
    }
    let me = k.this_cpu();
    let e = &mut k.task_mut(p).scx;
    e.holding_cpu = Some(me);
    e.ops_state = OpsState::None;
    let mut locked = rq;
    if locked != src {
        switch_rq_lock(k, locked, src);
        locked = src;
    }
    let won = |k: &Kernel| k.find_task(p).is_some_and(|t| t.scx.holding_cpu == Some(me) && t.cpu == src);
    if won(k) {
        let mut arrived = true;
        if src == dst {
            k.task_mut(p).scx.holding_cpu = None;
            dispatch_enqueue(k, sched, src, dst.0, p, enq_flags);
        } else if can_run_on(k, sched, p, dst, true) {
            move_remote_task_to_local_dsq(k, p, enq_flags, src, dst);
            locked = dst;
        } else {
            arrived = false;
            k.task_mut(p).scx.holding_cpu = None;
            let dsq = k.global_dsq(sched, src);
            dispatch_enqueue(k, sched, src, dsq, p, enq_flags | enq::GDSQ_FALLBACK);
        }
        if arrived && k.task(p).class > k.curr(dst).class {
            k.resched_curr(dst);
        }
    }
    switch_rq_lock(k, locked, rq);
}

/// Moves `p` from `src` (rq lock held) to the local queue of `dst` (rq lock held afterwards instead) (E-128)
/// [move_remote_task_to_local_dsq].
fn move_remote_task_to_local_dsq(k: &mut Kernel, p: TaskId, flags: u64, src: CpuId, dst: CpuId) {
    k.task_mut(p).scx.sticky_cpu = Some(dst);
    k.update_rq_clock(src);
    k.deactivate_for_migration(src, p);
    k.set_task_cpu(p, dst);
    switch_rq_lock(k, src, dst);
    k.rqs[dst].scx.extra_enq_flags = flags & !(enq::DSQ_PRIQ | enq::CLEAR_OPSS);
    k.activate_task(dst, p, class::enq::MIGRATED);
    k.rqs[dst].scx.extra_enq_flags = 0;
}

/// May `p` go to `to`'s local queue (E-129)? `enforce`: that it may not is the error of `sched`; then the task's rq lock is
/// held. [task_can_run_on_remote_rq]
pub(crate) fn can_run_on(k: &mut Kernel, sched: SchedId, p: TaskId, to: CpuId, enforce: bool) -> bool {
    let t = k.task(p);
    let error = if t.migration_disabled > 0 {
        format!("SCX_DSQ_LOCAL[_ON] cannot move migration disabled {}[{}] from CPU {} to {to}", t.comm, t.pid, t.cpu)
    } else if !t.cpus.test(to) {
        if !enforce {
            return false;
        }
        format!("SCX_DSQ_LOCAL[_ON] target CPU {to} not allowed for {}[{}]", t.comm, t.pid)
    } else {
        let online = rq_online(k, to);
        if !online && enforce {
            k.ext.scheds[sched].count(Ev::DispatchLocalDsqOffline, 1);
        }
        return online;
    };
    if enforce {
        super::exit::error(k, sched, error);
    }
    false
}

/// Moves a task from a queue of `sched` to the local queue of `cpu` (E-130) [consume_dispatch_q]. Rq lock held; may be dropped and
/// retaken.
pub(crate) fn consume(k: &mut Kernel, sched: SchedId, cpu: CpuId, dsq: u32, enq_flags: u64) -> bool {
    while k.ext.dsqs[dsq as usize].nr > 0 {
        k.lock(LockId::Dsq(dsq));
        let Some(p) = first_consumable(k, sched, cpu, dsq) else {
            k.unlock(LockId::Dsq(dsq));
            return false;
        };
        k.unlink_from_dsq(dsq, p);
        if k.task(p).cpu == cpu {
            move_local_to_local(k, dsq, cpu, p, enq_flags);
            return true;
        }
        if consume_remote_task(k, cpu, p, enq_flags, dsq) {
            return true;
        }
    }
    false
}

fn first_consumable(k: &mut Kernel, sched: SchedId, cpu: CpuId, dsq: u32) -> Option<TaskId> {
    let mut at = k.dsq_first(dsq);
    let bypass = k.ext.dsqs[dsq as usize].id == dsq_id::BYPASS;
    while let Some(p) = at {
        if !bypass && k.ext.scheds[sched].aborting {
            return None;
        }
        if k.task(p).cpu == cpu || can_run_on(k, sched, p, cpu, false) {
            return Some(p);
        }
        at = k.dsq_next(p);
    }
    None
}

/// Takes a task that was just unlinked from its locked queue off another CPU. Both locks are dropped on the way; false: it
/// went elsewhere meanwhile (E-66) [unlink_dsq_and_lock_src_rq, consume_remote_task].
fn consume_remote_task(k: &mut Kernel, cpu: CpuId, p: TaskId, enq_flags: u64, dsq: u32) -> bool {
    let src = k.task(p).cpu;
    emit_move(k, dsq, cpu.0, p); // while the queue is locked: others take from it in this order
    if lock_src_rq(k, cpu, p, dsq, src) {
        move_remote_task_to_local_dsq(k, p, enq_flags, src, cpu);
        return true;
    }
    switch_rq_lock(k, src, cpu);
    false
}

/// With `p` off its queue and the queue's lock held: goes from `locked`'s rq lock to `src`'s and says whether `p` is still
/// ours to move.
fn lock_src_rq(k: &mut Kernel, locked: CpuId, p: TaskId, dsq: u32, src: CpuId) -> bool {
    let me = k.this_cpu();
    k.task_mut(p).scx.holding_cpu = Some(me);
    k.unlock(LockId::Dsq(dsq));
    switch_rq_lock(k, locked, src);
    k.find_task(p).is_some_and(|t| t.scx.holding_cpu == Some(me) && t.cpu == src)
}

/// Moves `p` between queues, its own rq and the source queue locked; the source queue is unlocked. The result is the run
/// queue that is locked now (E-114) [move_task_between_dsqs].
pub(crate) fn move_task_between_dsqs(
    k: &mut Kernel,
    sched: SchedId,
    p: TaskId,
    mut enq_flags: u64,
    from: u32,
    mut to: u32,
) -> CpuId {
    let src = k.task(p).cpu;
    if k.is_local_dsq(to) && CpuId(to) != src && !can_run_on(k, sched, p, CpuId(to), true) {
        to = k.global_dsq(sched, src);
        enq_flags |= enq::GDSQ_FALLBACK;
    }
    k.unlink_from_dsq(from, p);
    if k.is_local_dsq(to) {
        let dst = CpuId(to);
        if dst == src {
            move_local_to_local(k, from, dst, p, enq_flags);
            return src;
        }
        emit_move(k, from, to, p);
        let me = k.this_cpu();
        // Marked as held, so that the dequeue below does not unlink it again.
        k.task_mut(p).scx.holding_cpu = Some(me);
        k.unlock(LockId::Dsq(from));
        move_remote_task_to_local_dsq(k, p, enq_flags, src, dst);
        return dst;
    }
    k.task_mut(p).scx.dsq = None;
    k.emit_dequeue(src, p, 0);
    k.unlock(LockId::Dsq(from));
    dispatch_enqueue(k, sched, src, to, p, enq_flags);
    src
}

/// [consume_global_dsq]
fn consume_global(k: &mut Kernel, sched: SchedId, cpu: CpuId) -> bool {
    let dsq = k.global_dsq(sched, cpu);
    consume(k, sched, cpu, dsq, 0)
}

fn consume_bypass(k: &mut Kernel, sched: SchedId, cpu: CpuId) -> bool {
    let dsq = k.bypass_dsq(sched, cpu);
    consume(k, sched, cpu, dsq, 0)
}

/// Has a scheduler fill the local queue of `cpu` (E-121) [scx_dispatch_sched]. `nested`: its parent's dispatch asks (E-238). Rq lock
/// held; dropped and retaken.
pub(crate) fn dispatch_sched(k: &mut Kernel, sched: SchedId, cpu: CpuId, prev: TaskId, nested: bool) -> Verdict {
    if consume_global(k, sched, cpu) {
        return Verdict::Local;
    }
    let bypass_dsp = |k: &Kernel| k.ext.scheds[sched].bypass_dsp();
    if bypass_dsp(k) {
        if k.ext.scheds[sched].bypassing(cpu) {
            return match consume_bypass(k, sched, cpu) {
                true => Verdict::Local,
                false => Verdict::None,
            };
        }
        let seq = &mut k.ext.scheds[sched].pcpu[cpu].bypass_host_seq;
        let visit = *seq;
        *seq += 1;
        if visit.is_multiple_of(consts::BYPASS_HOST_NTH) && consume_bypass(k, sched, cpu) {
            k.ext.scheds[sched].count(Ev::SubBypassDispatch, 1);
            return Verdict::Local;
        }
    }
    if !k.ext.scheds[sched].has(Op::dispatch) || !k.rqs[cpu].scx.online {
        return Verdict::None;
    }
    if let Some(verdict) = dispatch_loop(k, sched, cpu, prev, nested) {
        return verdict;
    }
    if bypass_dsp(k) && consume_bypass(k, sched, cpu) {
        return Verdict::Local;
    }
    Verdict::None
}

/// E-122
fn dispatch_loop(k: &mut Kernel, sched: SchedId, cpu: CpuId, prev: TaskId, nested: bool) -> Option<Verdict> {
    let me = k.this_cpu();
    for round in 1.. {
        k.ext.scheds[sched].pcpu[me].dsp.nr_tasks = 0;
        let t = k.task(prev);
        let prev_arg = (t.class == ClassId::Ext && t.scx.sched == Some(sched)).then_some(prev);
        if !nested {
            k.rqs[cpu].scx.sub_dispatch_prev = Some(prev);
        }
        call::op(k, sched, Op::dispatch, Some(cpu), None, |ops, k| {
            ops.dispatch(k, cpu, prev_arg);
        });
        if !nested {
            k.rqs[cpu].scx.sub_dispatch_prev = None;
        }
        flush_dispatch_buf(k, sched, cpu);
        let e = &k.task(prev).scx;
        if e.has(task::QUEUED) && e.slice > 0 {
            return Some(Verdict::Prev);
        }
        if k.local_dsq(cpu).nr > 0 || consume_global(k, sched, cpu) {
            return Some(Verdict::Local);
        }
        if round >= consts::DSP_MAX_LOOPS {
            super::kick::kick_cpu(k, sched, cpu, 0); // whether or not this round found something
            return None;
        }
        if k.ext.scheds[sched].pcpu[me].dsp.nr_tasks == 0 {
            return None;
        }
    }
    None
}

/// Finds something for `cpu` to run (E-119) [balance_one]. Rq lock held; dropped and retaken.
pub(crate) fn balance_one(k: &mut Kernel, cpu: CpuId, prev: TaskId) -> Verdict {
    k.rqs[cpu].scx.in_balance = true;
    let verdict = find_work(k, cpu, prev);
    if verdict != Verdict::None && k.local_dsq(cpu).nr > 1 && k.rqs[cpu].scx.nr_immed > 0 {
        super::reenq::schedule_immed(k, cpu); // E-92
    }
    k.rqs[cpu].scx.in_balance = false;
    verdict
}

/// The class asks the root scheduler alone (E-238).
fn find_work(k: &mut Kernel, cpu: CpuId, prev: TaskId) -> Verdict {
    let Some(sched) = k.ext.root_id() else {
        return Verdict::None;
    };
    if k.rqs[cpu].scx.cpu_released {
        super::pick::acquire_cpu(k, cpu);
    }
    if k.task(prev).class == ClassId::Ext {
        super::pick::update_curr(k, cpu);
        let e = &k.task(prev).scx;
        if e.has(task::QUEUED) && e.slice > 0 && !k.ext.scheds[sched].bypassing(cpu) {
            return Verdict::Prev;
        }
    }
    if k.local_dsq(cpu).nr > 0 {
        return Verdict::Local;
    }
    match dispatch_sched(k, sched, cpu, prev, false) {
        Verdict::None => {}
        verdict => return verdict,
    }
    // E-120
    let bypassing = k.ext.scheds[sched].bypassing(cpu);
    if k.task(prev).scx.has(task::QUEUED) && (!k.ext.scheds[sched].flag(flags::ops::ENQ_LAST) || bypassing) {
        k.ext.scheds[sched].count(Ev::DispatchKeepLast, 1);
        return Verdict::Prev;
    }
    Verdict::None
}
