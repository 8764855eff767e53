//! Attaching a sub-scheduler (E-234).

use std::rc::Rc;

use super::bypass::bypass;
use super::call;
use super::cgroup::{cgroup_lock, cgroup_unlock};
use super::enable::{Refused, Result, alloc_sched, run_init, sanitize_errno, validate_ops};
use super::entity::TaskState;
use super::exit::error;
use super::flags::{errno, task};
use super::ops::{Op, OpsAttrs, SchedExtOps};
use super::sched::SchedId;
use super::state::EnableState;
use super::sub::{MAX_DEPTH, find_parent};
use super::task::{enable_task, exit_task, fork_write_lock, fork_write_unlock, init_task, leave_sched};
use super::watchdog;
use crate::cgroup::CgroupId;
use crate::class::{self, ClassId, deq};
use crate::executor::Kernel;
use crate::ids::TaskId;
use crate::lock::LockId;

/// E-234 [scx_sub_enable_workfn]
pub(super) fn sub_enable(k: &mut Kernel, ops: Rc<dyn SchedExtOps>, attrs: OpsAttrs) -> Result<()> {
    if k.ext.state != EnableState::Enabled {
        return Err(Refused::Early(
            -errno::ENODEV,
            "no scheduler is enabled that it could be a sub-scheduler of".into(),
        ));
    }
    let cgroup = CgroupId(u32::try_from(attrs.sub_cgroup_id).unwrap_or(u32::MAX));
    let parent = find_parent(k, cgroup).map_err(|(err, why)| Refused::Early(err, why))?;
    let sched = alloc_sched(k, ops, attrs);
    let path = k.cgroups.get(cgroup).map_or_else(String::new, |g| g.path.clone());
    let level = k.ext.scheds[parent].level + 1;
    let s = &mut k.ext.scheds[sched];
    (s.parent, s.level, s.cgroup, s.cgroup_path) = (Some(parent), level, cgroup, path);
    link(k, sched, parent)?;
    run_init(k, sched)?;
    validate_ops(k, sched)?;
    ask_parent(k, sched, parent)?;
    bypass(k, sched, true);
    let s = &mut k.ext.scheds[sched];
    s.active = s.attrs.ops;
    fork_write_lock(k);
    cgroup_lock(k);
    let result = take_tasks(k, sched, parent, cgroup);
    cgroup_unlock(k);
    fork_write_unlock(k);
    result?; // on the way to its end, which begins in bypass
    bypass(k, sched, false);
    k.ext.enable_seq += 1;
    Ok(())
}

/// E-182, E-240 [scx_link_sched]
fn link(k: &mut Kernel, sched: SchedId, parent: SchedId) -> Result<()> {
    if k.ext.scheds[parent].exit_kind != scxr_trace::ExitKind::None {
        error(k, sched, format!("parent disabled ({})", -errno::ENOENT));
        return Err(Refused::Late(sched, -errno::ENOENT));
    }
    k.ext.scheds[sched].linked = true;
    watchdog::start(k);
    if k.ext.scheds[sched].level >= MAX_DEPTH {
        error(k, sched, format!("max nesting depth {MAX_DEPTH} violated"));
        return Err(Refused::Late(sched, 0));
    }
    Ok(())
}

fn ask_parent(k: &mut Kernel, sched: SchedId, parent: SchedId) -> Result<()> {
    let args = k.ext.scheds[sched].sub_args();
    let err = call::op(k, parent, Op::sub_attach, None, None, |ops, k| ops.sub_attach(k, &args)).unwrap_or(0);
    if err != 0 {
        let err = sanitize_errno(k, sched, Op::sub_attach, err);
        error(k, sched, format!("parent rejected ({err})"));
        return Err(Refused::Late(sched, err));
    }
    k.ext.scheds[sched].attached = true;
    Ok(())
}

/// The tasks of the cgroup go over from the parent, all or none. Fork and cgroup locks held.
fn take_tasks(k: &mut Kernel, sched: SchedId, parent: SchedId, cgroup: CgroupId) -> Result<()> {
    k.ext.scheds[sched].owns_cgroup = true;
    if k.cgroups.get(cgroup).is_none_or(|g| g.removed) {
        error(k, sched, "cgroup is not online");
        return Err(Refused::Late(sched, -errno::ENODEV));
    }
    let tasks = tasks_in(k, cgroup);
    k.ext.enabling_sub = Some(sched);
    let result = prepare(k, sched, parent, &tasks);
    match result {
        Ok(()) => tasks.into_iter().for_each(|p| go_over(k, sched, parent, p)),
        Err(_) => tasks.into_iter().for_each(|p| cancel(k, sched, p)),
    }
    k.ext.enabling_sub = None;
    result.map_err(|err| Refused::Late(sched, err))
}

fn tasks_in(k: &Kernel, cgroup: CgroupId) -> Vec<TaskId> {
    k.all_tasks().into_iter().filter(|&p| k.cgroup_is_in(k.task(p).cgroup, cgroup)).collect()
}

/// The sub-scheduler gets to know the tasks, which are the parent's still.
fn prepare(k: &mut Kernel, sched: SchedId, parent: SchedId, tasks: &[TaskId]) -> std::result::Result<(), i32> {
    for &p in tasks {
        if !k.task_on_sched(p, parent) || !k.get_task(p) {
            continue;
        }
        let result = init_task(k, sched, p, false);
        if result.is_ok() {
            let died = k.task(p).scx.state == TaskState::Dead;
            match died {
                true => exit_task(k, sched, p, true),
                false => k.task_mut(p).scx.flags |= task::SUB_INIT,
            }
        }
        k.put_task(p);
        result?;
    }
    Ok(())
}

fn with_rq_locked(k: &mut Kernel, p: TaskId, f: impl FnOnce(&mut Kernel)) {
    k.lock(LockId::Pi(p));
    let cpu = k.lock_task_rq(p);
    f(k);
    class::run_balance_callbacks(k, cpu);
    k.unlock(LockId::Rq(cpu));
    k.unlock(LockId::Pi(p));
}

/// A task that both know becomes the sub-scheduler's.
fn go_over(k: &mut Kernel, sched: SchedId, parent: SchedId, p: TaskId) {
    if k.find_task(p).is_none_or(|t| !t.scx.has(task::SUB_INIT)) {
        return;
    }
    with_rq_locked(k, p, |k| {
        if !k.task(p).scx.has(task::SUB_INIT) {
            return; // it died meanwhile
        }
        let c = k.sched_change_begin(p, deq::SAVE | deq::MOVE);
        leave_sched(k, parent, p);
        k.task_mut(p).scx.sched = Some(sched);
        if k.task(p).class == ClassId::Ext {
            enable_task(k, p);
        }
        k.task_mut(p).scx.flags &= !task::SUB_INIT;
        k.sched_change_end(c);
    });
}

/// The sub-scheduler forgets a task that it was to have.
fn cancel(k: &mut Kernel, sched: SchedId, p: TaskId) {
    if k.find_task(p).is_none_or(|t| !t.scx.has(task::SUB_INIT)) {
        return;
    }
    with_rq_locked(k, p, |k| {
        if k.task(p).scx.has(task::SUB_INIT) {
            exit_task(k, sched, p, true);
            k.task_mut(p).scx.flags &= !task::SUB_INIT;
        }
    });
}
