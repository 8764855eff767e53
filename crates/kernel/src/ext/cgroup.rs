//! What the root scheduler is told of cgroups (E-226 to E-232).

use super::call;
use super::enable::sanitize_errno;
use super::exit::error;
use super::ops::Op;
use super::sched::SchedId;
use crate::cgroup::{Bandwidth, CgroupId};
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// Takes the lock of all changes of cgroups [cgroup_mutex, scx_cgroup_ops_rwsem].
pub(crate) fn cgroup_lock(k: &mut Kernel) {
    while k.ext.cgroup_locked {
        call::cpu_relax(k);
    }
    k.ext.cgroup_locked = true;
}

/// Releases it.
pub(crate) fn cgroup_unlock(k: &mut Kernel) {
    k.ext.cgroup_locked = false;
}

/// The root scheduler, if it knows the cgroups and has an operation.
fn told(k: &Kernel, op: Op) -> Option<SchedId> {
    let root = k.ext.root_id().filter(|_| k.ext.cgroup_enabled)?;
    k.ext.scheds[root].attrs.ops.has(op).then_some(root)
}

fn call_init(k: &mut Kernel, sched: SchedId, id: CgroupId) -> i32 {
    call::op(k, sched, Op::cgroup_init, None, None, |ops, k| ops.cgroup_init(k, id)).unwrap_or(0)
}

/// A cgroup is made; a scheduler may refuse it (E-226) [scx_tg_online]. Cgroup lock held.
pub(crate) fn tg_online(k: &mut Kernel, id: CgroupId) -> Result<(), i32> {
    if let Some(root) = told(k, Op::cgroup_init) {
        let err = call_init(k, root, id);
        if err != 0 {
            return Err(sanitize_errno(k, root, Op::cgroup_init, err));
        }
    }
    set_inited(k, id, k.ext.cgroup_enabled);
    Ok(())
}

fn set_inited(k: &mut Kernel, id: CgroupId, inited: bool) {
    if let Some(group) = k.cgroups.get_mut(id) {
        group.inited = inited;
    }
}

fn inited(k: &Kernel, id: CgroupId) -> bool {
    k.cgroups.get(id).is_some_and(|g| g.inited)
}

/// A cgroup is removed (E-226) [scx_tg_offline]. Cgroup lock held.
pub(crate) fn tg_offline(k: &mut Kernel, id: CgroupId) {
    super::sub::cgroup_offline(k, id);
    if let Some(root) = told(k, Op::cgroup_exit).filter(|_| inited(k, id)) {
        call::op(k, root, Op::cgroup_exit, None, None, |ops, k| ops.cgroup_exit(k, id));
    }
    set_inited(k, id, false);
}

/// A scheduler is enabled: it is told of all cgroups, parents first (E-230) [scx_cgroup_init]. Cgroup lock held.
pub(super) fn init_all(k: &mut Kernel, sched: SchedId) -> Result<(), i32> {
    let has_init = k.ext.scheds[sched].attrs.ops.has(Op::cgroup_init);
    for id in k.cgroups.pre_order() {
        let err = if has_init { call_init(k, sched, id) } else { 0 };
        if err != 0 {
            error(k, sched, format!("ops.cgroup_init() failed ({err})"));
            return Err(err);
        }
        set_inited(k, id, true);
    }
    k.ext.cgroup_enabled = true;
    Ok(())
}

/// A scheduler is disabled: each cgroup that it knows goes, children first (E-230) [scx_cgroup_exit]. Cgroup lock held.
pub(super) fn exit_all(k: &mut Kernel, sched: SchedId) {
    k.ext.cgroup_enabled = false;
    let has_exit = k.ext.scheds[sched].attrs.ops.has(Op::cgroup_exit);
    for id in k.cgroups.post_order() {
        if inited(k, id) && has_exit {
            call::op(k, sched, Op::cgroup_exit, None, None, |ops, k| ops.cgroup_exit(k, id));
        }
        set_inited(k, id, false);
    }
}

/// May tasks go to a cgroup (E-228)? Those that were told of, or why not [scx_cgroup_can_attach]. Cgroup lock held.
pub(crate) fn can_attach(k: &mut Kernel, tasks: &[TaskId], to: CgroupId) -> Result<Vec<TaskId>, i32> {
    let Some(root) = told(k, Op::cgroup_prep_move) else { return Ok(tasks.to_vec()) };
    let mut ready = Vec::new();
    for &p in tasks {
        let Some(from) = k.find_task(p).map(|t| t.cgroup) else { continue };
        let prep = |k: &mut Kernel| {
            call::op(k, root, Op::cgroup_prep_move, None, None, |ops, k| ops.cgroup_prep_move(k, p, from, to))
        };
        let err = prep(k).unwrap_or(0);
        if err != 0 {
            cancel(k, root, &ready, to);
            return Err(sanitize_errno(k, root, Op::cgroup_prep_move, err));
        }
        ready.push(p);
    }
    Ok(ready)
}

/// [scx_cgroup_cancel_attach]
fn cancel(k: &mut Kernel, root: SchedId, tasks: &[TaskId], to: CgroupId) {
    if !k.ext.scheds[root].has(Op::cgroup_cancel_move) {
        return;
    }
    for &p in tasks {
        let Some(from) = k.find_task(p).map(|t| t.cgroup) else { continue };
        call::op(k, root, Op::cgroup_cancel_move, None, None, |ops, k| ops.cgroup_cancel_move(k, p, from, to));
    }
}

/// `p` has changed its cgroup, within a change bracket [scx_cgroup_move_task]. Rq lock of `cpu` held.
pub(crate) fn cgroup_move_task(k: &mut Kernel, cpu: CpuId, p: TaskId, from: CgroupId, to: CgroupId) {
    if let Some(root) = told(k, Op::cgroup_move) {
        call::op(k, root, Op::cgroup_move, Some(cpu), Some(p), |ops, k| ops.cgroup_move(k, p, from, to));
    }
}

/// E-229 [scx_group_set_weight] Cgroup lock held.
pub(crate) fn tg_set_weight(k: &mut Kernel, id: CgroupId, weight: u32) {
    let changed = k.cgroups.get(id).is_some_and(|g| g.weight != weight);
    if let Some(root) = told(k, Op::cgroup_set_weight).filter(|_| changed) {
        call::op(k, root, Op::cgroup_set_weight, None, None, |ops, k| ops.cgroup_set_weight(k, id, weight));
    }
    if let Some(group) = k.cgroups.get_mut(id) {
        group.weight = weight;
    }
}

/// E-229 [scx_group_set_idle] Cgroup lock held.
pub(crate) fn tg_set_idle(k: &mut Kernel, id: CgroupId, idle: bool) {
    if let Some(root) = told(k, Op::cgroup_set_idle) {
        call::op(k, root, Op::cgroup_set_idle, None, None, |ops, k| ops.cgroup_set_idle(k, id, idle));
    }
    if let Some(group) = k.cgroups.get_mut(id) {
        group.idle = idle;
    }
}

/// E-229 [scx_group_set_bandwidth] Cgroup lock held.
pub(crate) fn tg_set_bandwidth(k: &mut Kernel, id: CgroupId, b: Bandwidth) {
    let changed = k.cgroups.get(id).is_some_and(|g| g.bandwidth != b);
    if let Some(root) = told(k, Op::cgroup_set_bandwidth).filter(|_| changed) {
        call::op(k, root, Op::cgroup_set_bandwidth, None, None, |ops, k| ops.cgroup_set_bandwidth(k, id, b));
    }
    if let Some(group) = k.cgroups.get_mut(id) {
        group.bandwidth = b;
    }
}
