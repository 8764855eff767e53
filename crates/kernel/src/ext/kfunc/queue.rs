//! Queues: making, ending, counting, iterating, reenqueueing (E-109 to E-115, E-148, E-211 to E-214).

use super::super::call::kfunc;
use super::super::dispatch::{Verdict, dispatch_sched};
use super::super::dsq_table;
use super::super::flags::{dsq_id, errno, reenq};
use super::super::iter::{self, DsqIter};
use super::super::reenq as again;
use super::super::sched::SchedId;
use super::error;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// Makes a user queue (E-109): 0 or -errno.
pub fn scx_bpf_create_dsq(k: &mut Kernel, id: u64, node: i32) -> i32 {
    kfunc(k);
    dsq_table::create(k, id, node)
}

/// Ends a user queue (E-110).
pub fn scx_bpf_destroy_dsq(k: &mut Kernel, id: u64) {
    kfunc(k);
    if let Some(sched) = k.prog_sched() {
        dsq_table::destroy(k, sched, id);
    }
}

/// The run queue that LOCAL means here: the locked one, or this CPU's.
fn local_cpu(k: &Kernel) -> CpuId {
    let me = k.this_cpu();
    k.ext.cx[me].locked_rq.unwrap_or(me)
}

/// CPU in a `LOCAL_ON` id.
fn local_on_cpu(k: &mut Kernel, sched: SchedId, id: u64) -> Option<CpuId> {
    let cpu = id as u32 as i32;
    dsq_table::named_cpu(k, sched, cpu, || format!("invalid CPU {cpu}"))
}

/// Tasks on a queue (E-213), or -errno.
pub fn scx_bpf_dsq_nr_queued(k: &mut Kernel, id: u64) -> i32 {
    kfunc(k);
    let Some(sched) = k.prog_sched() else {
        return -errno::ENODEV;
    };
    let index = if id == dsq_id::LOCAL {
        Some(local_cpu(k).0)
    } else if dsq_id::is_local_on(id) {
        local_on_cpu(k, sched, id).map(|c| c.0)
    } else {
        k.user_dsq(sched, id)
    };
    index.map_or(-errno::ENOENT, |i| k.ext.dsqs[i as usize].nr as i32)
}

/// Starts to iterate over a user queue (E-112): an iterator, and 0 or -errno. It must be ended in any case.
pub fn bpf_iter_scx_dsq_new(k: &mut Kernel, id: u64, flags: u64) -> (DsqIter, i32) {
    kfunc(k);
    match k.prog_sched() {
        Some(sched) => iter::iter_new(k, sched, id, flags),
        None => (iter::iter_alloc(k), -errno::ENODEV),
    }
}

/// The next task.
pub fn bpf_iter_scx_dsq_next(k: &mut Kernel, it: DsqIter) -> Option<TaskId> {
    kfunc(k);
    iter::iter_next(k, it)
}

/// Ends an iterator.
pub fn bpf_iter_scx_dsq_destroy(k: &mut Kernel, it: DsqIter) {
    iter::iter_destroy(k, it);
}

/// First task of a user queue, without its lock (E-115).
pub fn scx_bpf_dsq_peek(k: &mut Kernel, id: u64) -> Option<TaskId> {
    kfunc(k);
    let sched = k.prog_sched()?;
    if id & dsq_id::BUILTIN != 0 {
        error(k, format!("peek disallowed on builtin DSQ 0x{id:x}"));
        return None;
    }
    match k.user_dsq(sched, id) {
        Some(dsq) => k.dsq_first(dsq),
        None => {
            error(k, format!("peek on non-existent DSQ 0x{id:x}"));
            None
        }
    }
}

/// Has the direct sub-scheduler of a cgroup fill this CPU's local queue, as a part of the dispatch under way (E-210).
pub fn scx_bpf_sub_dispatch(k: &mut Kernel, cgroup: u64) -> bool {
    kfunc(k);
    let cpu = local_cpu(k);
    let (Some(parent), Some(child)) = (k.prog_sched(), k.ext.sub_of(cgroup)) else {
        return false;
    };
    if k.ext.scheds[child].parent != Some(parent) {
        error(k, format!("trying to dispatch a distant sub-sched on cgroup {cgroup}"));
        return false;
    }
    let Some(prev) = k.rqs[cpu].scx.sub_dispatch_prev else {
        return false;
    };
    dispatch_sched(k, child, cpu, prev, true) != Verdict::None
}

/// Has the tasks of a queue enqueued again, soon (E-211).
pub fn scx_bpf_dsq_reenq(k: &mut Kernel, id: u64, flags: u64) {
    kfunc(k);
    let Some(sched) = k.prog_sched() else { return };
    if flags & !reenq::USER_MASK != 0 {
        return error(k, format!("invalid SCX_REENQ flags 0x{flags:x}"));
    }
    let flags = match flags & reenq::FILTER_MASK {
        0 => flags | reenq::ANY,
        _ => flags,
    };
    if id == dsq_id::LOCAL {
        let cpu = local_cpu(k);
        return again::schedule_local(k, sched, cpu, flags);
    }
    if dsq_id::is_local_on(id) {
        if let Some(cpu) = local_on_cpu(k, sched, id) {
            again::schedule_local(k, sched, cpu, flags);
        }
        return;
    }
    match k.user_dsq(sched, id) {
        Some(dsq) => again::schedule_user(k, sched, dsq, flags),
        None if id & dsq_id::BUILTIN != 0 => {
            error(k, format!("DSQ 0x{id:x} not allowed for reenq"));
        }
        None => error(k, format!("non-existent DSQ 0x{id:x}")),
    }
}

/// Has the tasks of this CPU's local queue enqueued again, soon (E-148, the form without a result).
pub fn scx_bpf_reenqueue_local(k: &mut Kernel) {
    scx_bpf_dsq_reenq(k, dsq_id::LOCAL, 0);
}

/// Enqueues the tasks of this CPU's local queue again, at once, and gives their number (E-148, the form for `ops.cpu_release`
/// alone). Rq lock held [scx_bpf_reenqueue_local].
pub fn scx_bpf_reenqueue_local_now(k: &mut Kernel) -> u32 {
    kfunc(k);
    let cpu = k.this_cpu();
    k.prog_sched().map_or(0, |sched| again::reenq_local(k, sched, cpu, reenq::ANY))
}
