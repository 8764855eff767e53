//! Picking, running and putting ext tasks (E-116 to E-120, E-133 to E-140, E-151).

use super::call;
use super::dispatch::{Verdict, balance_one};
use super::dsq::{dispatch_dequeue, dispatch_enqueue};
use super::enqueue::{
    do_enqueue_task, maybe_queue_balance_callback, ops_dequeue, refill_slice, run_deferred, touch_core_sched,
};
use super::flags::{consts, deq, enq, task};
use super::ops::{Op, PreemptReason};
use super::sched::SchedId;
use crate::class::{ClassId, Pick, dl};
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// The task to run next (E-116, E-117) [do_pick_task_scx]. Rq lock held; dropped and retaken.
pub(crate) fn pick_task(k: &mut Kernel, cpu: CpuId) -> Pick {
    do_pick_task(k, cpu, false)
}

/// The same for the class's deadline server: tasks of higher classes that came in meanwhile do not matter (E-132)
/// [ext_server_pick_task].
pub(crate) fn pick_task_for_server(k: &mut Kernel, cpu: CpuId) -> Pick {
    do_pick_task(k, cpu, true)
}

fn do_pick_task(k: &mut Kernel, cpu: CpuId, for_server: bool) -> Pick {
    let prev = k.rqs[cpu].curr;
    k.rqs[cpu].scx.kick_sync += 1;
    if k.rqs[cpu].next_class > ClassId::Ext {
        k.rqs[cpu].next_class = ClassId::Ext;
    }
    k.rqs[cpu].scx.clk_valid = false;
    let verdict = if k.config.core_sched {
        match dispatch_core_pick(k, cpu, prev) {
            Some(verdict) => verdict,
            None => return Pick::Retry,
        }
    } else {
        let verdict = balance_one(k, cpu, prev);
        maybe_queue_balance_callback(k, cpu);
        verdict
    };
    if !for_server && k.rqs[cpu].next_class > ClassId::Ext {
        return Pick::Retry;
    }
    if verdict == Verdict::Prev && k.task(prev).class == ClassId::Ext {
        if k.task(prev).scx.slice == 0 {
            let sched = k.task_sched(prev);
            refill_slice(k, sched, prev);
        }
        return Pick::Task(prev);
    }
    let Some(p) = k.dsq_first(cpu.0) else {
        return Pick::None;
    };
    if k.task(p).scx.slice == 0 {
        let sched = k.task_sched(p);
        refill_slice(k, sched, p);
    }
    Pick::Task(p)
}

/// Dispatch for a pick of a whole core, which may be on another CPU's behalf. `None`: the lock was dropped meanwhile, and all threads
/// must be looked at again (E-131) [dispatch_core_pick].
fn dispatch_core_pick(k: &mut Kernel, cpu: CpuId, prev: TaskId) -> Option<Verdict> {
    if k.rqs[cpu].scx.in_balance {
        return Some(Verdict::None); // another CPU is at it
    }
    let drops = k.rqs[cpu].scx.lock_drops;
    let verdict = balance_one(k, cpu, prev);
    if cpu == k.this_cpu() {
        maybe_queue_balance_callback(k, cpu);
    } else if std::mem::take(&mut k.rqs[cpu].scx.bal_cb_pending) {
        run_deferred(k, cpu); // callbacks are run by who queued them
    }
    (k.rqs[cpu].scx.lock_drops == drops).then_some(verdict)
}

/// Is `b` to run rather than `a`, both of the class (E-149)? [scx_prio_less]
pub(crate) fn core_prio_less(k: &mut Kernel, a: TaskId, b: TaskId) -> bool {
    let cpu = k.task(a).cpu;
    let asked = k.task(a).scx.sched.filter(|&s| {
        k.task(b).scx.sched == Some(s) && k.ext.scheds[s].has(Op::core_sched_before) && !k.ext.scheds[s].bypassing(cpu)
    });
    let Some(sched) = asked else {
        return k.task(a).scx.core_sched_at > k.task(b).scx.core_sched_at;
    };
    let before = call::op(k, sched, Op::core_sched_before, Some(cpu), Some(a), |ops, k| {
        let me = k.this_cpu();
        k.ext.cx[me].also = Some(b);
        ops.core_sched_before(k, b, a)
    });
    before.unwrap_or(false)
}

/// `p` becomes the running task (E-133) [set_next_task_scx]. Rq lock held.
pub(crate) fn set_next_task(k: &mut Kernel, cpu: CpuId, p: TaskId, _first: bool) {
    let sched = k.task_sched(p);
    if k.task(p).scx.has(task::QUEUED) {
        if k.config.core_sched && k.rqs[cpu].curr != p && k.task(p).scx.dsq != Some(cpu.0) {
            k.emit_dequeue(cpu, p, deq::CORE_SCHED_EXEC); // picked for its cookie, from wherever it waited
        }
        ops_dequeue(k, cpu, p, deq::CORE_SCHED_EXEC);
        dispatch_dequeue(k, cpu, p);
    }
    k.set_exec_start(cpu, p);
    if k.ext.scheds[sched].has(Op::running) && k.task(p).scx.has(task::QUEUED) {
        call::op(k, sched, Op::running, Some(cpu), Some(p), |ops, k| ops.running(k, p));
    }
    k.clr_task_runnable(cpu, p, true);
    // E-151: the tick of a full-nohz CPU follows the slice. The core looks again at each switch.
    let infinite = k.task(p).scx.slice == consts::SLICE_INF;
    if k.rqs[cpu].scx.can_stop_tick != infinite {
        k.rqs[cpu].scx.can_stop_tick = infinite;
        k.reevaluate_tick(cpu);
    }
}

/// `p` stops being the running task (E-134) [put_prev_task_scx]. Rq lock held.
pub(crate) fn put_prev_task(k: &mut Kernel, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
    k.rqs[cpu].scx.kick_sync += 1;
    update_curr(k, cpu);
    if k.task(p).scx.has(task::QUEUED) {
        put_runnable(k, cpu, p, next);
    }
    if let Some(next) = next.filter(|&next| k.task(next).class > ClassId::Ext) {
        release_cpu(k, cpu, next);
    }
}

/// Does the root scheduler want to know when a higher class takes a CPU? [SCX_OPS_HAS_CPU_PREEMPT]
fn has_cpu_preempt(k: &Kernel) -> Option<SchedId> {
    let root = k.ext.root_id()?;
    let ops = k.ext.scheds[root].attrs.ops;
    (ops.has(Op::cpu_acquire) || ops.has(Op::cpu_release)).then_some(root)
}

/// A higher class takes the CPU for `next` (E-16, E-147) [switch_class]. Rq lock held.
fn release_cpu(k: &mut Kernel, cpu: CpuId, next: TaskId) {
    let Some(root) = has_cpu_preempt(k) else { return };
    if std::mem::replace(&mut k.rqs[cpu].scx.cpu_released, true) {
        return;
    }
    if k.ext.scheds[root].attrs.ops.has(Op::cpu_release) {
        let reason = match k.task(next).class {
            ClassId::Stop => PreemptReason::Stop,
            ClassId::Dl => PreemptReason::Dl,
            ClassId::Rt => PreemptReason::Rt,
            _ => PreemptReason::Unknown,
        };
        call::op(k, root, Op::cpu_release, Some(cpu), None, |ops, k| ops.cpu_release(k, cpu, reason, next));
    }
}

/// The class has the CPU again (E-119) [balance_one]. Rq lock held.
pub(crate) fn acquire_cpu(k: &mut Kernel, cpu: CpuId) {
    let Some(root) = has_cpu_preempt(k).filter(|_| k.rqs[cpu].scx.cpu_released) else { return };
    if k.ext.scheds[root].attrs.ops.has(Op::cpu_acquire) {
        call::op(k, root, Op::cpu_acquire, Some(cpu), None, |ops, k| ops.cpu_acquire(k, cpu));
    }
    k.rqs[cpu].scx.cpu_released = false;
}

/// `p`, which could go on, waits from now on (E-134).
fn put_runnable(k: &mut Kernel, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
    let sched = k.task_sched(p);
    if k.ext.scheds[sched].has(Op::stopping) {
        call::op(k, sched, Op::stopping, Some(cpu), Some(p), |ops, k| {
            ops.stopping(k, p, true);
        });
    }
    let now = k.now();
    k.set_task_runnable(cpu, p, now);
    if k.task(p).scx.slice > 0 && !k.ext.scheds[sched].bypassing(cpu) {
        if !k.task(p).scx.has(task::IMMED) {
            return dispatch_enqueue(k, sched, cpu, cpu.0, p, enq::HEAD);
        }
        // E-93: it was to run at once or not here.
        k.task_mut(p).scx.flags |= task::REENQ_PREEMPTED;
        do_enqueue_task(k, sched, cpu, p, enq::REENQ, None);
        k.task_mut(p).scx.flags &= !task::REENQ_REASON_MASK;
        return;
    }
    match next {
        Some(next) if k.task(next).class < ClassId::Ext => {
            do_enqueue_task(k, sched, cpu, p, enq::LAST, None);
            if k.task(p).scx.dsq == Some(cpu.0) {
                k.resched_curr(cpu);
            }
        }
        _ => do_enqueue_task(k, sched, cpu, p, 0, None),
    }
}

/// Accounts the running task's time (E-137) [update_curr_scx].
pub(crate) fn update_curr(k: &mut Kernel, cpu: CpuId) {
    let curr = k.rqs[cpu].curr;
    let delta = k.update_curr_common(cpu);
    if delta == 0 {
        return;
    }
    let e = &mut k.task_mut(curr).scx;
    if e.slice != consts::SLICE_INF {
        e.slice -= e.slice.min(delta);
        if e.slice == 0 {
            touch_core_sched(k, curr);
        }
    }
    dl::update_server(k, cpu, dl::Which::Ext, delta);
}

/// A tick hit an ext task (E-139) [task_tick_scx]. Rq lock held.
pub(crate) fn task_tick(k: &mut Kernel, cpu: CpuId) {
    let curr = k.rqs[cpu].curr;
    let sched = k.task_sched(curr);
    update_curr(k, cpu);
    if k.ext.scheds[sched].bypassing(cpu) {
        k.task_mut(curr).scx.slice = 0;
        touch_core_sched(k, curr);
    } else if k.ext.scheds[sched].has(Op::tick) {
        call::op(k, sched, Op::tick, Some(cpu), Some(curr), |ops, k| ops.tick(k, curr));
    }
    if k.task(curr).scx.slice == 0 {
        k.resched_curr(cpu);
    }
}

/// The running task yields (E-140) [yield_task_scx]. Rq lock held.
pub(crate) fn yield_task(k: &mut Kernel, cpu: CpuId) {
    let curr = k.rqs[cpu].curr;
    let sched = k.task_sched(curr);
    if k.ext.scheds[sched].has(Op::yield_) {
        call::op(k, sched, Op::yield_, Some(cpu), Some(curr), |ops, k| ops.yield_(k, curr, None));
    } else {
        k.task_mut(curr).scx.slice = 0;
    }
}

/// May a full-nohz CPU stop its tick, as far as the class is concerned (E-151)? [scx_can_stop_tick]
pub(crate) fn can_stop_tick(k: &Kernel, cpu: CpuId) -> bool {
    let rq = &k.rqs[cpu];
    if k.curr(cpu).class != ClassId::Ext || rq.scx.nr_running == 0 {
        return true;
    }
    let sched = k.task_sched(rq.curr);
    !k.ext.scheds[sched].bypassing(cpu) && rq.scx.can_stop_tick
}

/// E-84 [wakeup_preempt_scx]
pub(crate) fn wakeup_preempt(k: &mut Kernel, cpu: CpuId, p: TaskId, _wake_flags: u64) {
    if k.task(p).class > ClassId::Ext && k.rqs[cpu].scx.nr_immed > 0 {
        super::reenq::schedule_immed(k, cpu);
    }
}
