//! Tasks (E-215, E-221), and references to them.

use super::error;
use crate::cgroup::CgroupId;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// Is `p` a task of the scheduler whose program runs (E-239)?
fn owned(k: &Kernel, p: TaskId) -> bool {
    k.prog_sched().is_some_and(|sched| k.task_on_sched(p, sched))
}

/// Sets the slice of a task (E-215). False: it is not the scheduler's.
pub fn scx_bpf_task_set_slice(k: &mut Kernel, p: TaskId, slice: u64) -> bool {
    let ok = owned(k, p);
    if ok {
        k.task_mut(p).scx.slice = slice;
    }
    ok
}

/// Sets the vtime of a task (E-215). False: it is not the scheduler's.
pub fn scx_bpf_task_set_dsq_vtime(k: &mut Kernel, p: TaskId, vtime: u64) -> bool {
    let ok = owned(k, p);
    if ok {
        k.task_mut(p).scx.dsq_vtime = vtime;
    }
    ok
}

/// Its cgroup; it must be what the operation is about (E-221).
pub fn scx_bpf_task_cgroup(k: &mut Kernel, p: TaskId) -> CgroupId {
    let cx = k.ext.cx[k.this_cpu()];
    if ![cx.subject, cx.also].contains(&Some(p)) {
        error(k, "called on a task not being operated on");
        return CgroupId::ROOT;
    }
    k.task(p).cgroup
}

/// The task with that number, as long as it is not dead; the root scheduler must have asked for it (E-221).
pub fn scx_bpf_tid_to_task(k: &mut Kernel, tid: u64) -> Option<TaskId> {
    match &k.ext.tids {
        Some(tids) => tids.get(&tid).copied(),
        None => {
            let root = k.ext.root_id()?;
            super::super::exit::error(k, root, "scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK");
            None
        }
    }
}

/// Is it the running task of its CPU (E-221)?
pub fn scx_bpf_task_running(k: &mut Kernel, p: TaskId) -> bool {
    k.find_task(p).is_some_and(|t| k.rqs[t.cpu].curr == p)
}

/// Its CPU (E-221).
pub fn scx_bpf_task_cpu(k: &mut Kernel, p: TaskId) -> CpuId {
    k.find_task(p).map_or(CpuId(0), |t| t.cpu)
}

/// One more reference to a task, which keeps it from being freed. False: it is dead and gone.
pub fn bpf_task_acquire(k: &mut Kernel, p: TaskId) -> bool {
    k.get_task(p)
}

/// Gives a reference back.
pub fn bpf_task_release(k: &mut Kernel, p: TaskId) {
    k.put_task(p);
}

/// The task with a pid, with a reference.
pub fn bpf_task_from_pid(k: &mut Kernel, pid: i32) -> Option<TaskId> {
    let p = k.task_by_pid(u32::try_from(pid).ok()?)?;
    k.get_task(p).then_some(p)
}
