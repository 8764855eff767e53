//! From "runnable" to a queue or to the scheduler, and back (E-62 to E-83).

use super::call::{self, Marker};
use super::dsq::{dequeue_flags, dispatch_dequeue, dispatch_enqueue, take_custody, tell_dequeue};
use super::dsq_table::{find_dsq_for_dispatch, named_cpu};
use super::entity::OpsState;
use super::events::Ev;
use super::exit::error;
use super::flags::{self, deq, dsq_id, task};
use super::ops::Op;
use super::sched::SchedId;
use super::{idle, reenq};
use crate::class::{dl, enq, wf};
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::irq::IrqWork;
use crate::rq::BalanceCallback;
use crate::task::OnRq;

/// Picks a CPU for a waking or new task (E-69 to E-72) [select_task_rq_scx]. pi_lock held.
pub(crate) fn select_task_rq(k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64) -> CpuId {
    if wake_flags & wf::EXEC != 0 {
        return prev;
    }
    let sched = k.task_sched(p);
    let s = &k.ext.scheds[sched];
    let bypassing = s.bypassing(k.task(p).cpu);
    let cpu = if s.has(Op::select_cpu) && !bypassing {
        ask_for_cpu(k, sched, p, prev, wake_flags)
    } else {
        default_cpu(k, sched, p, prev, wake_flags, bypassing)
    };
    k.task_mut(p).scx.selected_cpu = Some(cpu);
    cpu
}

fn ask_for_cpu(k: &mut Kernel, sched: SchedId, p: TaskId, prev: CpuId, wake_flags: u64) -> CpuId {
    let me = k.this_cpu();
    k.ext.cx[me].marker = Marker::Armed(p);
    let cpu = call::op(k, sched, Op::select_cpu, None, Some(p), |ops, k| ops.select_cpu(k, p, prev, wake_flags));
    k.ext.cx[me].marker = Marker::Off;
    let cpu = cpu.unwrap_or(prev.0 as i32);
    named_cpu(k, sched, cpu, || format!("invalid CPU {cpu} from ops.select_cpu()")).unwrap_or(prev)
}

fn default_cpu(k: &mut Kernel, sched: SchedId, p: TaskId, prev: CpuId, wake_flags: u64, bypassing: bool) -> CpuId {
    let cpu = match idle::select_cpu_dfl(k, p, prev, wake_flags, None, 0) {
        Some(cpu) => {
            refill_slice(k, sched, p);
            let e = &mut k.task_mut(p).scx;
            (e.ddsp_dsq_id, e.ddsp_enq_flags) = (dsq_id::LOCAL, 0);
            cpu
        }
        None => prev,
    };
    if bypassing {
        k.ext.scheds[sched].count(Ev::BypassDispatch, 1);
    }
    cpu
}

/// Gives `p` the default slice of its scheduler (E-138) [refill_task_slice_dfl].
pub(crate) fn refill_slice(k: &mut Kernel, sched: SchedId, p: TaskId) {
    let s = &mut k.ext.scheds[sched];
    let slice = s.slice_dfl;
    s.count(Ev::RefillSliceDfl, 1);
    k.task_mut(p).scx.slice = slice;
}

/// Stamps the order of core scheduling (E-150) [touch_core_sched].
pub(crate) fn touch_core_sched(k: &mut Kernel, p: TaskId) {
    let now = k.now();
    k.task_mut(p).scx.core_sched_at = now;
}

/// The same where a task is dispatched, if the root scheduler has an order of its own: it then sees in which order tasks were
/// [touch_core_sched_dispatch].
pub(crate) fn touch_core_sched_dispatch(k: &mut Kernel, p: TaskId) {
    if k.ext.root().is_some_and(|root| root.has(Op::core_sched_before)) {
        touch_core_sched(k, p);
    }
}

/// Discards a recorded direct dispatch (E-83) [clear_direct_dispatch].
pub(crate) fn clear_direct_dispatch(k: &mut Kernel, p: TaskId) {
    let e = &mut k.task_mut(p).scx;
    (e.ddsp_dsq_id, e.ddsp_enq_flags) = (dsq_id::INVALID, 0);
}

/// Records a direct dispatch (E-79) [mark_direct_dispatch].
pub(crate) fn mark_direct_dispatch(k: &mut Kernel, sched: SchedId, p: TaskId, dsq_id: u64, enq_flags: u64) {
    let me = k.this_cpu();
    let marker = std::mem::replace(&mut k.ext.cx[me].marker, Marker::Used);
    let name = |k: &Kernel, q: TaskId| format!("{}[{}]", k.task(q).comm, k.task(q).pid);
    let why = match marker {
        Marker::Armed(q) if q == p => {
            let e = &mut k.task_mut(p).scx;
            debug_assert_eq!(e.ddsp_dsq_id, self::dsq_id::INVALID);
            (e.ddsp_dsq_id, e.ddsp_enq_flags) = (dsq_id, enq_flags);
            return;
        }
        Marker::Armed(q) => format!("scheduling for {} but trying to direct-dispatch {}", name(k, q), name(k, p)),
        _ => format!("{} already direct-dispatched", name(k, p)),
    };
    error(k, sched, why);
}

/// `p` becomes runnable on `cpu` (E-75) [enqueue_task_scx]. Rq lock held.
pub(crate) fn enqueue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, core_flags: u64) {
    let sched = k.task_sched(p);
    let mut sticky = k.task_mut(p).scx.sticky_cpu.take();
    k.rqs[cpu].scx.in_wakeup = core_flags & enq::WAKEUP != 0;
    let enq_flags = core_flags | k.rqs[cpu].scx.extra_enq_flags;
    if enq_flags & enq::RESTORE != 0 && k.rqs[cpu].curr == p {
        sticky = Some(cpu);
    }
    if !k.task(p).scx.has(task::QUEUED) {
        let now = k.now();
        k.set_task_runnable(cpu, p, now);
        k.task_mut(p).scx.flags |= task::QUEUED;
        k.rqs[cpu].scx.nr_running += 1;
        k.rqs[cpu].nr_running += 1;
        if k.ext.scheds[sched].has(Op::runnable) && k.task(p).on_rq != OnRq::Migrating {
            call::op(k, sched, Op::runnable, Some(cpu), Some(p), |ops, k| {
                ops.runnable(k, p, enq_flags);
            });
        }
        if enq_flags & enq::WAKEUP != 0 {
            touch_core_sched(k, p);
        }
        if k.rqs[cpu].scx.nr_running == 1 {
            dl::start_server(k, cpu, dl::Which::Ext);
        }
        do_enqueue_task(k, sched, cpu, p, enq_flags, sticky);
    }
    k.rqs[cpu].scx.in_wakeup = false;
    if enq_flags & enq::RQ_SELECTED != 0 && k.task(p).scx.selected_cpu != Some(cpu) {
        k.ext.scheds[sched].count(Ev::SelectCpuFallback, 1);
    }
}

/// Where a task that needs a queue goes.
enum Way {
    Local,
    LocalNoRefill,
    Direct,
    Global,
    Bypass,
    Ask,
}

/// E-76, steps 1 to 8.
fn way(k: &mut Kernel, sched: SchedId, cpu: CpuId, p: TaskId, sticky: Option<CpuId>) -> Way {
    if sticky == Some(cpu) {
        return Way::LocalNoRefill;
    }
    k.task_mut(p).scx.flags &= !task::IMMED;
    if !rq_online(k, cpu) {
        return Way::Local;
    }
    if k.ext.scheds[sched].bypassing(cpu) {
        k.ext.scheds[sched].count(Ev::BypassDispatch, 1);
        return Way::Bypass;
    }
    let t = k.task(p);
    if t.scx.ddsp_dsq_id != dsq_id::INVALID {
        return Way::Direct;
    }
    let migration_disabled = t.migration_disabled > 0;
    if t.is_exiting() && !k.ext.scheds[sched].flag(flags::ops::ENQ_EXITING) {
        k.ext.scheds[sched].count(Ev::EnqSkipExiting, 1);
        return Way::Local;
    }
    if migration_disabled && !k.ext.scheds[sched].flag(flags::ops::ENQ_MIGRATION_DISABLED) {
        k.ext.scheds[sched].count(Ev::EnqSkipMigrationDisabled, 1);
        return Way::Local;
    }
    if k.ext.scheds[sched].has(Op::enqueue) { Way::Ask } else { Way::Global }
}

/// Is the run queue in use (E-78)? [scx_rq_online]
pub(crate) fn rq_online(k: &Kernel, cpu: CpuId) -> bool {
    k.rqs[cpu].scx.online && k.rqs[cpu].active
}

/// Finds a place for a runnable task of `sched` (E-76, E-77) [do_enqueue_task]. Rq lock held.
pub(crate) fn do_enqueue_task(
    k: &mut Kernel,
    sched: SchedId,
    cpu: CpuId,
    p: TaskId,
    enq_flags: u64,
    sticky: Option<CpuId>,
) {
    let dsq = match way(k, sched, cpu, p, sticky) {
        Way::LocalNoRefill => return dispatch_enqueue(k, sched, cpu, cpu.0, p, enq_flags),
        Way::Direct => return direct_dispatch(k, sched, cpu, p, enq_flags),
        Way::Ask => return ask_enqueue(k, sched, cpu, p, enq_flags),
        Way::Local => cpu.0,
        Way::Global => k.global_dsq(sched, k.task(p).cpu),
        Way::Bypass => {
            let cpu = k.task(p).cpu;
            k.bypass_dsq(k.bypass_host(sched, cpu), cpu)
        }
    };
    touch_core_sched(k, p);
    refill_slice(k, sched, p);
    clear_direct_dispatch(k, p);
    dispatch_enqueue(k, sched, cpu, dsq, p, enq_flags);
}

/// Hands `p` to the scheduler (E-57 to E-59).
fn ask_enqueue(k: &mut Kernel, sched: SchedId, cpu: CpuId, p: TaskId, enq_flags: u64) {
    let e = &mut k.task_mut(p).scx;
    e.qseq += 1;
    let qseq = e.qseq;
    debug_assert_eq!(e.ops_state, OpsState::None);
    e.ops_state = OpsState::Queueing(qseq);
    let me = k.this_cpu();
    let outer = std::mem::replace(&mut k.ext.cx[me].marker, Marker::Armed(p));
    call::op(k, sched, Op::enqueue, Some(cpu), Some(p), |ops, k| {
        ops.enqueue(k, p, enq_flags);
    });
    k.ext.cx[me].marker = outer;
    if k.task(p).scx.ddsp_dsq_id != dsq_id::INVALID {
        return direct_dispatch(k, sched, cpu, p, enq_flags);
    }
    let e = &mut k.task_mut(p).scx;
    e.flags |= task::IN_CUSTODY;
    e.ops_state = OpsState::Queued(qseq);
}

/// Executes a recorded direct dispatch (E-80) [direct_dispatch]. Rq lock held.
fn direct_dispatch(k: &mut Kernel, sched: SchedId, cpu: CpuId, p: TaskId, enq_flags: u64) {
    touch_core_sched_dispatch(k, p);
    let task_cpu = k.task(p).cpu;
    let e = &mut k.task_mut(p).scx;
    e.ddsp_enq_flags |= enq_flags;
    let id = e.ddsp_dsq_id;
    let dsq = find_dsq_for_dispatch(k, sched, cpu, id, task_cpu);
    if k.is_local_dsq(dsq) && dsq != cpu.0 {
        k.task_mut(p).scx.ops_state = OpsState::None;
        k.defer_local(cpu, p);
        return schedule_deferred_locked(k, cpu);
    }
    let flags = k.task(p).scx.ddsp_enq_flags;
    clear_direct_dispatch(k, p);
    dispatch_enqueue(k, sched, cpu, dsq, p, flags | flags::enq::CLEAR_OPSS);
}

/// Has the deferred work of `cpu` done as soon as its lock may be dropped (E-82) [schedule_deferred_locked].
pub(crate) fn schedule_deferred_locked(k: &mut Kernel, cpu: CpuId) {
    let rq = &mut k.rqs[cpu].scx;
    if rq.in_wakeup || rq.bal_cb_pending {
        return;
    }
    if rq.in_balance {
        rq.bal_cb_pending = true;
        return;
    }
    schedule_deferred(k, cpu);
}

/// The same without the lock [schedule_deferred].
pub(crate) fn schedule_deferred(k: &mut Kernel, cpu: CpuId) {
    k.irq_work_queue_on(cpu, IrqWork::ScxDeferred);
}

/// After a dispatch: deferred work that came up meanwhile, and waiting for kicked CPUs, are done before the lock is
/// released [maybe_queue_balance_callback].
pub(crate) fn maybe_queue_balance_callback(k: &mut Kernel, cpu: CpuId) {
    if k.rqs[cpu].scx.bal_cb_pending {
        k.rqs[cpu].scx.bal_cb_pending = false;
        k.rqs[cpu].queue_balance_callback(BalanceCallback::ScxDeferred);
    }
    if k.rqs[cpu].scx.kick_sync_pending {
        k.rqs[cpu].scx.kick_sync_pending = false;
        k.rqs[cpu].queue_balance_callback(BalanceCallback::ScxKickSync);
    }
}

/// The deferred work of `cpu` (E-82) [run_deferred]. Rq lock held; dropped and retaken.
pub(crate) fn run_deferred(k: &mut Kernel, cpu: CpuId) {
    process_ddsp_deferred_locals(k, cpu);
    let rq = &k.rqs[cpu].scx;
    if !rq.reenq_locals.is_empty() || !rq.reenq_users.is_empty() {
        reenq::process_locals(k, cpu);
        reenq::process_users(k, cpu);
    }
}

/// The same as an irq work.
pub(crate) fn run_deferred_irq(k: &mut Kernel, cpu: CpuId) {
    use crate::lock::LockId;
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
    run_deferred(k, cpu);
    k.unlock(LockId::Rq(cpu));
}

/// After a wakeup: what it deferred (E-74) [task_woken_scx].
pub(crate) fn task_woken(k: &mut Kernel, cpu: CpuId) {
    run_deferred(k, cpu);
}

/// E-81 [process_ddsp_deferred_locals]
fn process_ddsp_deferred_locals(k: &mut Kernel, cpu: CpuId) {
    while let Some(p) = k.first_deferred(cpu) {
        k.undefer_local(cpu, p);
        let sched = k.task_sched(p);
        let (id, enq_flags) = (k.task(p).scx.ddsp_dsq_id, k.task(p).scx.ddsp_enq_flags);
        let task_cpu = k.task(p).cpu;
        let dsq = find_dsq_for_dispatch(k, sched, cpu, id, task_cpu);
        clear_direct_dispatch(k, p);
        if k.is_local_dsq(dsq) {
            super::dispatch::dispatch_to_local_dsq(k, sched, cpu, CpuId(dsq), p, enq_flags);
        } else {
            dispatch_enqueue(k, sched, cpu, dsq, p, enq_flags);
        }
    }
}

/// The core takes `p` back from the scheduler (E-62) [ops_dequeue]. Rq lock held.
pub(crate) fn ops_dequeue(k: &mut Kernel, cpu: CpuId, p: TaskId, deq_flags: u64) {
    k.clr_task_runnable(cpu, p, false);
    let mut told = false;
    loop {
        match k.task(p).scx.ops_state {
            OpsState::None => break,
            OpsState::Queueing(_) => unreachable!("{p:?} is dequeued while it is enqueued"),
            // Before 7.1 (E-250); a dispatch may begin on another CPU meanwhile, and is waited for.
            OpsState::Queued(_) if !k.config.custody && !std::mem::replace(&mut told, true) => {
                tell_dequeue(k, cpu, p, deq_flags);
            }
            OpsState::Queued(_) => k.task_mut(p).scx.ops_state = OpsState::None,
            OpsState::Dispatching => call::cpu_relax(k),
        }
    }
    if take_custody(k, p) {
        tell_dequeue(k, cpu, p, deq_flags);
    }
}

/// `p` leaves `cpu`'s run queue (E-63) [dequeue_task_scx]. Rq lock held.
pub(crate) fn dequeue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, core_flags: u64) -> bool {
    if !k.task(p).scx.has(task::QUEUED) {
        return true;
    }
    let sched = k.task_sched(p);
    let deq_flags = dequeue_flags(k, core_flags);
    ops_dequeue(k, cpu, p, deq_flags);
    if k.ext.scheds[sched].has(Op::stopping) && k.rqs[cpu].curr == p {
        super::pick::update_curr(k, cpu);
        call::op(k, sched, Op::stopping, Some(cpu), Some(p), |ops, k| {
            ops.stopping(k, p, false);
        });
    }
    if k.ext.scheds[sched].has(Op::quiescent) && k.task(p).on_rq != OnRq::Migrating {
        call::op(k, sched, Op::quiescent, Some(cpu), Some(p), |ops, k| {
            ops.quiescent(k, p, deq_flags);
        });
    }
    let e = &mut k.task_mut(p).scx;
    if deq_flags & deq::SLEEP != 0 {
        e.flags |= task::DEQD_FOR_SLEEP;
    } else {
        e.flags &= !task::DEQD_FOR_SLEEP;
    }
    e.flags &= !task::QUEUED;
    k.rqs[cpu].scx.nr_running -= 1;
    k.rqs[cpu].nr_running -= 1;
    dispatch_dequeue(k, cpu, p);
    clear_direct_dispatch(k, p);
    true
}
