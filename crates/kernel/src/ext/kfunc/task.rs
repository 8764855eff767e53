//! Tasks (E-215, E-221).

use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// Sets the slice of a task (E-215). False: it is not the scheduler's.
pub fn scx_bpf_task_set_slice(k: &mut Kernel, p: TaskId, slice: u64) -> bool {
    let ok = k.find_task(p).is_some_and(|t| t.scx.bound);
    if ok {
        k.task_mut(p).scx.slice = slice;
    }
    ok
}

/// Sets the vtime of a task (E-215). False: it is not the scheduler's.
pub fn scx_bpf_task_set_dsq_vtime(k: &mut Kernel, p: TaskId, vtime: u64) -> bool {
    let ok = k.find_task(p).is_some_and(|t| t.scx.bound);
    if ok {
        k.task_mut(p).scx.dsq_vtime = vtime;
    }
    ok
}

/// Is it the running task of its CPU (E-221)?
pub fn scx_bpf_task_running(k: &mut Kernel, p: TaskId) -> bool {
    k.find_task(p).is_some_and(|t| k.rqs[t.cpu].curr == p)
}

/// Its CPU (E-221).
pub fn scx_bpf_task_cpu(k: &mut Kernel, p: TaskId) -> CpuId {
    k.find_task(p).map_or(CpuId(0), |t| t.cpu)
}
