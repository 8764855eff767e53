//! A task's life in the class (E-39 to E-54).

use super::call::{self, cpu_relax};
use super::enable::sanitize_errno;
use super::enqueue::clear_direct_dispatch;
use super::entity::TaskState;
use super::exit::error;
use super::flags::{errno, task};
use super::ops::{ExitTaskArgs, InitTaskArgs, Op};
use super::sched::SchedId;
use super::state::EnableState;
use crate::behavior::Policy;
use crate::class::ClassId;
use crate::executor::Kernel;
use crate::ids::TaskId;
use crate::lock::LockId;
use crate::prio;
use crate::state::State;

/// Should a task of this policy be in the class (E-37)? [task_should_scx]
pub(crate) fn task_should_scx(k: &Kernel, policy: Policy) -> bool {
    let ext = &k.ext;
    ext.enabled && (ext.switching_all || ext.state != EnableState::Disabling && policy == Policy::Ext)
}

/// May the policy of `p` become `policy` (E-40)? [scx_check_setscheduler]
pub(crate) fn check_setscheduler(k: &Kernel, p: TaskId, policy: Policy) -> bool {
    let t = k.task(p);
    !(k.ext.enabled && t.scx.disallow && t.policy != policy && policy == Policy::Ext)
}

/// Goes to another state (E-42) [scx_set_task_state].
pub(crate) fn set_state(k: &mut Kernel, p: TaskId, to: TaskState) {
    let e = &mut k.task_mut(p).scx;
    debug_assert!(e.state.may_become(to), "{p:?}: {:?} to {to:?}", e.state);
    e.state = to;
    if to == TaskState::Init {
        e.flags |= task::RESET_RUNNABLE_AT;
    }
}

/// Has a scheduler prepare for `p` (E-39, E-44); state INIT_BEGIN before and after [__scx_init_task].
pub(crate) fn init_task(k: &mut Kernel, sched: SchedId, p: TaskId, fork: bool) -> Result<(), i32> {
    k.task_mut(p).scx.disallow = false;
    if k.ext.scheds[sched].has(Op::init_task) {
        let args = InitTaskArgs { fork, cgroup: k.task(p).cgroup };
        let err = call::op(k, sched, Op::init_task, None, Some(p), |ops, k| ops.init_task(k, p, args));
        match err {
            Some(0) | None => {}
            Some(err) => return Err(sanitize_errno(k, sched, Op::init_task, err)),
        }
    }
    if k.task(p).scx.disallow {
        reject(k, sched, p, fork);
    }
    Ok(())
}

/// `init_task` said that it does not take `p` for SCHED_EXT (E-39).
fn reject(k: &mut Kernel, sched: SchedId, p: TaskId, fork: bool) {
    let t = k.task(p);
    let whom = format!("{}[{}]", t.comm, t.pid);
    let why = if k.ext.scheds[sched].level > 0 {
        format!("non-root ops.init_task() set task->scx.disallow for {whom}")
    } else if fork {
        format!("ops.init_task() set task->scx.disallow for {whom} during fork")
    } else if k.ext.state != EnableState::Enabling {
        format!("ops.init_task() set task->scx.disallow for {whom} outside the enable path")
    } else {
        let cpu = k.lock_task_rq(p);
        let t = k.task_mut(p);
        if t.policy == Policy::Ext {
            t.policy = Policy::Normal;
            k.ext.nr_rejected += 1;
        }
        return k.unlock(LockId::Rq(cpu));
    };
    error(k, sched, why);
}

/// `p` enters the class (E-47) [__scx_enable_task]. Rq lock held.
pub(crate) fn enable_task(k: &mut Kernel, p: TaskId) {
    let sched = k.task_sched(p);
    let t = k.task_mut(p);
    let weight = prio::cgroup_weight(t.weight());
    t.scx.weight = weight;
    let cpu = t.cpu;
    if k.ext.scheds[sched].has(Op::enable) {
        call::op(k, sched, Op::enable, Some(cpu), Some(p), |ops, k| ops.enable(k, p));
    }
    tell_weight(k, p);
    set_state(k, p, TaskState::Enabled);
}

fn tell_weight(k: &mut Kernel, p: TaskId) {
    let sched = k.task_sched(p);
    let (cpu, weight) = (k.task(p).cpu, k.task(p).scx.weight);
    if k.ext.scheds[sched].has(Op::set_weight) {
        call::op(k, sched, Op::set_weight, Some(cpu), Some(p), |ops, k| {
            ops.set_weight(k, p, weight);
        });
    }
}

fn tell_cpumask(k: &mut Kernel, p: TaskId) {
    let sched = k.task_sched(p);
    let cpu = k.task(p).cpu;
    if k.ext.scheds[sched].has(Op::set_cpumask) {
        call::op(k, sched, Op::set_cpumask, Some(cpu), Some(p), |ops, k| {
            ops.set_cpumask(k, p);
        });
    }
}

/// `p` leaves the class (E-48) [scx_disable_task]. Rq lock held.
pub(crate) fn disable_task(k: &mut Kernel, p: TaskId) {
    clear_direct_dispatch(k, p);
    let sched = k.task_sched(p);
    let cpu = k.task(p).cpu;
    if k.ext.scheds[sched].has(Op::disable) {
        call::op(k, sched, Op::disable, Some(cpu), Some(p), |ops, k| {
            ops.disable(k, p);
        });
    }
    set_state(k, p, TaskState::Ready);
    let e = &mut k.task_mut(p).scx;
    (e.dsq_vtime, e.slice) = (0, 0);
}

/// The scheduler of `p` forgets it (E-49) [scx_disable_and_exit_task]. pi_lock and rq lock held.
pub(crate) fn disable_and_exit_task(k: &mut Kernel, p: TaskId) {
    if matches!(k.task(p).scx.state, TaskState::None | TaskState::InitBegin | TaskState::Dead) {
        return;
    }
    let sched = k.task_sched(p);
    leave_sched(k, sched, p);
    // A sub-scheduler that was to have it, and knows it already, has to forget it, too.
    if k.task(p).scx.has(task::SUB_INIT) {
        k.task_mut(p).scx.flags &= !task::SUB_INIT;
        if let Some(sub) = k.ext.enabling_sub {
            exit_task(k, sub, p, true);
        }
    }
    k.task_mut(p).scx.sched = None;
    set_state(k, p, TaskState::None);
}

/// `sched`, whose task `p` is, has no more to do with it; a task of the class is ready for another scheduler then
/// [__scx_disable_and_exit_task].
pub(crate) fn leave_sched(k: &mut Kernel, sched: SchedId, p: TaskId) {
    if k.task(p).scx.state == TaskState::Enabled {
        disable_task(k, p);
    }
    let cancelled = k.task(p).scx.state == TaskState::Init;
    exit_task(k, sched, p, cancelled);
}

/// Tells a scheduler that it can forget `p`.
pub(crate) fn exit_task(k: &mut Kernel, sched: SchedId, p: TaskId, cancelled: bool) {
    let cpu = k.task(p).cpu;
    if k.ext.scheds[sched].has(Op::exit_task) {
        let locked = k.holds(LockId::Rq(cpu)).then_some(cpu);
        call::op(k, sched, Op::exit_task, locked, Some(p), |ops, k| {
            ops.exit_task(k, p, ExitTaskArgs { cancelled });
        });
    }
}

/// Takes the fork lock for reading (E-43) [scx_pre_fork].
pub(crate) fn pre_fork(k: &mut Kernel) {
    while k.ext.fork_writer {
        k.charge(1_000); // the writer walks all tasks
        cpu_relax(k);
    }
    k.ext.fork_readers += 1;
}

/// Takes the fork lock for writing.
pub(crate) fn fork_write_lock(k: &mut Kernel) {
    while k.ext.fork_writer {
        cpu_relax(k);
    }
    k.ext.fork_writer = true;
    while k.ext.fork_readers > 0 {
        cpu_relax(k);
    }
}

/// Releases it.
pub(crate) fn fork_write_unlock(k: &mut Kernel) {
    k.ext.fork_writer = false;
}

/// Numbers a new task (E-20) [scx_alloc_tid].
pub(crate) fn give_tid(s: &mut State, p: TaskId) {
    let tid = s.ext.next_tid;
    s.ext.next_tid += 1;
    s.task_mut(p).scx.tid = tid;
    if let Some(tids) = &mut s.ext.tids {
        tids.insert(tid, p);
    }
}

fn forget_tid(s: &mut State, p: TaskId) {
    let tid = s.task(p).scx.tid;
    if let Some(tids) = &mut s.ext.tids {
        tids.remove(&tid);
    }
}

/// From now on tasks are found by their number, or no longer (E-197).
pub(crate) fn find_by_tid(s: &mut State, wanted: bool) {
    let tasks = s.all_tasks().into_iter().map(|p| (s.task(p).scx.tid, p));
    s.ext.tids = wanted.then(|| tasks.collect());
}

/// A task is being forked (E-44) [scx_fork].
pub(crate) fn fork(k: &mut Kernel, p: TaskId) -> Result<(), i32> {
    give_tid(k, p);
    let now = k.now();
    k.task_mut(p).scx.runnable_at = now;
    let cgroup = k.task(p).cgroup;
    let Some(sched) = k.cgroup_sched(cgroup).filter(|_| k.ext.init_task_armed) else {
        return Ok(());
    };
    set_state(k, p, TaskState::InitBegin);
    if let Err(err) = init_task(k, sched, p, true) {
        set_state(k, p, TaskState::None);
        return Err(err);
    }
    set_state(k, p, TaskState::Init);
    k.task_mut(p).scx.sched = Some(sched);
    Ok(())
}

/// The fork failed (E-46) [scx_cancel_fork].
pub(crate) fn cancel_fork(k: &mut Kernel, p: TaskId) {
    let cpu = k.lock_task_rq(p);
    disable_and_exit_task(k, p);
    k.unlock(LockId::Rq(cpu));
    k.ext.fork_readers -= 1;
}

/// The fork succeeded (E-45) [scx_post_fork].
pub(crate) fn post_fork(k: &mut Kernel, p: TaskId) {
    if k.ext.init_task_armed && k.task(p).scx.state == TaskState::Init {
        set_state(k, p, TaskState::Ready);
        if k.task(p).class == ClassId::Ext {
            let cpu = k.lock_task_rq(p);
            enable_task(k, p);
            k.unlock(LockId::Rq(cpu));
        }
    }
    k.ext.fork_readers -= 1;
}

/// After the final switch away from `p` (E-50) [sched_ext_dead].
pub(crate) fn task_dead(k: &mut Kernel, p: TaskId) {
    if k.task(p).scx.state != TaskState::None {
        k.lock(LockId::Pi(p));
        let cpu = k.lock_task_rq(p);
        if k.task(p).scx.state != TaskState::InitBegin {
            disable_and_exit_task(k, p);
        }
        set_state(k, p, TaskState::Dead);
        forget_tid(k, p);
        k.unlock(LockId::Rq(cpu));
        k.unlock(LockId::Pi(p));
    }
}

/// The memory of `p` is about to be freed.
pub(crate) fn task_freed(s: &mut State, p: TaskId) {
    forget_tid(s, p);
    for (_, sched) in s.ext.scheds.iter() {
        sched.ops.task_freed(p);
    }
}

fn dead_and_done(k: &Kernel, p: TaskId) -> bool {
    let t = k.task(p);
    t.state == crate::task::TaskState::Dead && !t.on_cpu
}

/// The affinity changed (E-53) [set_cpus_allowed_scx]. Rq lock held.
pub(crate) fn set_cpus_allowed(k: &mut Kernel, p: TaskId) {
    if !dead_and_done(k, p) {
        tell_cpumask(k, p);
    }
}

/// The weight changed (E-52) [reweight_task_scx]. Rq lock held.
pub(crate) fn reweight_task(k: &mut Kernel, p: TaskId) {
    if dead_and_done(k, p) || k.task(p).scx.state != TaskState::Enabled {
        return;
    }
    let weight = prio::cgroup_weight(k.task(p).weight());
    k.task_mut(p).scx.weight = weight;
    tell_weight(k, p);
}

/// `p` is coming into the class (E-47) [switching_to_scx]. Rq lock held.
pub(crate) fn switching_to(k: &mut Kernel, p: TaskId) {
    if dead_and_done(k, p) {
        return;
    }
    enable_task(k, p);
    tell_cpumask(k, p);
}

/// `p` is leaving the class (E-54) [switched_from_scx]. Rq lock held.
pub(crate) fn switched_from(k: &mut Kernel, p: TaskId) {
    if !dead_and_done(k, p) && k.task(p).scx.state == TaskState::Enabled {
        disable_task(k, p);
    }
}

/// What a failing `init_task` at enabling is reported as.
pub(crate) fn init_task_failed(k: &Kernel, p: TaskId, err: i32) -> String {
    let t = k.task(p);
    format!("ops.init_task() failed ({err}) for {}[{}]", t.comm, t.pid)
}

/// An errno that stands for a broken scheduler.
pub(crate) const BROKEN: i32 = -errno::EPROTO;
