//! The class when CPUs go and come (E-158 to E-161).

use scxr_trace::ExitKind;

use super::exit::scx_exit;
use super::flags::exit_code;
use super::ops::Op;
use super::{call, idle};
use crate::class::deq;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// The root scheduler is told, or, if it has no operation for that, ends so that it can be loaded anew (E-158)
/// [handle_hotplug].
pub(crate) fn handle_hotplug(k: &mut Kernel, cpu: CpuId, online: bool) {
    k.ext.hotplug_seq += 1;
    let Some(root) = k.ext.root_id() else { return };
    if k.ext.enabled {
        idle::update_selcpu_topology(k, root);
    }
    let (op, word) = if online { (Op::cpu_online, "online") } else { (Op::cpu_offline, "offline") };
    if k.ext.scheds[root].has(op) {
        call::op(k, root, op, None, None, |ops, k| match online {
            true => ops.cpu_online(k, cpu),
            false => ops.cpu_offline(k, cpu),
        });
    } else {
        let msg = format!("cpu {cpu} going {word}, exiting scheduler");
        scx_exit(k, root, ExitKind::UnregKern, exit_code::ACT_RESTART | exit_code::RSN_HOTPLUG, msg);
    }
}

/// The CPU goes: waiting tasks gather on its local queue, from where they are pushed away (E-160) [rq_offline_scx]. Rq lock
/// held.
pub(crate) fn rq_offline(k: &mut Kernel, cpu: CpuId) {
    k.rqs[cpu].scx.online = false;
    let elsewhere = |p: &TaskId| k.task(*p).scx.dsq != Some(cpu.0);
    let tasks: Vec<TaskId> = k.runnable_tasks(cpu).filter(elsewhere).collect();
    for p in tasks {
        let c = k.sched_change_begin(p, deq::SAVE | deq::MOVE);
        k.sched_change_end(c);
    }
}

/// The CPU can have tasks again [rq_online_scx]. Rq lock held.
pub(crate) fn rq_online(k: &mut Kernel, cpu: CpuId) {
    k.rqs[cpu].scx.online = true;
}
