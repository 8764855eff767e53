//! The end of a sub-scheduler: its tasks go back to its parent (E-236).

use super::bypass::{bypass, release_bypass_dsp};
use super::call;
use super::cgroup::{cgroup_lock, cgroup_unlock};
use super::entity::TaskState;
use super::exit::{error, forget};
use super::flags::consts;
use super::ops::{Op, OpSet};
use super::sched::SchedId;
use super::task::{
    disable_and_exit_task, enable_task, exit_task, fork_write_lock, fork_write_unlock, init_task, set_state,
};
use super::watchdog;
use crate::cgroup::CgroupId;
use crate::class::{self, ClassId, deq};
use crate::executor::Kernel;
use crate::ids::TaskId;
use crate::lock::LockId;
use crate::rcu::synchronize_rcu;

/// E-236 [scx_sub_disable] It is bypassed, and has no sub-schedulers of its own any more.
pub(super) fn sub_disable(k: &mut Kernel, sched: SchedId) {
    let Some(parent) = k.ext.scheds[sched].parent else {
        return;
    };
    fork_write_lock(k);
    cgroup_lock(k);
    if k.ext.scheds[sched].linked {
        k.ext.scheds[sched].owns_cgroup = false;
        give_back(k, sched, parent);
    }
    k.ext.scheds[sched].dump_disabled = true;
    cgroup_unlock(k);
    fork_write_unlock(k);
    k.ext.scheds[sched].active = OpSet::default();
    synchronize_rcu(k);
    release_bypass_dsp(k, sched);
    k.ext.scheds[sched].linked = false;
    watchdog::start(k);
    if k.ext.scheds[sched].attached {
        let args = k.ext.scheds[sched].sub_args();
        if k.ext.scheds[parent].attrs.ops.has(Op::sub_detach) {
            call::op(k, parent, Op::sub_detach, None, None, |ops, k| ops.sub_detach(k, &args));
        }
    }
    let info = k.ext.scheds[sched].exit.clone();
    if k.ext.scheds[sched].attrs.ops.has(Op::exit) {
        call::op(k, sched, Op::exit, None, None, |ops, k| ops.exit(k, &info));
    }
    forget(k, sched);
    let s = &k.ext.scheds[sched];
    let ended = SubExit { name: s.attrs.name.clone(), cgroup: s.cgroup, cgroup_path: s.cgroup_path.clone(), info };
    k.ext.sub_exits.push(ended);
    if k.ext.sub_exits.len() > consts::SUB_EXITS_MAX {
        k.ext.sub_exits.remove(0);
    }
}

/// How a sub-scheduler ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubExit {
    /// Its name.
    pub name: String,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Path of that.
    pub cgroup_path: String,
    /// Why.
    pub info: super::ops::ExitInfo,
}

/// Each task is made known to the parent and goes over. Where the parent fails at one, it ends too, and gets the rest unprepared.
fn give_back(k: &mut Kernel, sched: SchedId, parent: SchedId) {
    let mut failed = false;
    for p in k.all_tasks() {
        if !k.task_on_sched(p, sched) || !k.get_task(p) {
            continue;
        }
        let result = if failed { Err(0) } else { init_task(k, parent, p, false) };
        match result {
            Ok(()) => to_parent(k, sched, parent, p, true),
            Err(err) => {
                if !failed {
                    failed = true;
                    fail_parent(k, parent, p, err);
                }
                to_parent(k, sched, parent, p, false);
            }
        }
        k.put_task(p);
    }
}

/// [scx_fail_parent]
fn fail_parent(k: &mut Kernel, parent: SchedId, p: TaskId, err: i32) {
    let t = k.task(p);
    let whom = format!("{}[{}]", t.comm, t.pid);
    error(k, parent, format!("ops.init_task() failed ({err}) for {whom} while disabling a sub-scheduler"));
    bypass(k, parent, true);
}

fn to_parent(k: &mut Kernel, sched: SchedId, parent: SchedId, p: TaskId, prepared: bool) {
    k.lock(LockId::Pi(p));
    let cpu = k.lock_task_rq(p);
    if k.task_on_sched(p, sched) && k.task(p).scx.state != TaskState::Dead {
        let c = k.sched_change_begin(p, deq::SAVE | deq::MOVE);
        disable_and_exit_task(k, p);
        k.task_mut(p).scx.sched = Some(parent);
        if prepared {
            set_state(k, p, TaskState::InitBegin);
            set_state(k, p, TaskState::Init);
            set_state(k, p, TaskState::Ready);
            if k.task(p).class == ClassId::Ext {
                enable_task(k, p);
            }
        }
        k.sched_change_end(c);
    } else if prepared {
        exit_task(k, parent, p, true); // it died meanwhile
    }
    class::run_balance_callbacks(k, cpu);
    k.unlock(LockId::Rq(cpu));
    k.unlock(LockId::Pi(p));
}
