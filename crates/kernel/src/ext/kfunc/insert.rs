//! Insertions and moves (E-89, E-113, E-205 to E-209).

use super::super::call::{self, Marker, kfunc};
use super::super::dispatch::{buffer_insert, consume, flush_dispatch_buf, move_task_between_dsqs};
use super::super::dsq_table::find_dsq_for_dispatch;
use super::super::enqueue::mark_direct_dispatch;
use super::super::events::Ev;
use super::super::flags::{dsq_id, enq, ops};
use super::super::iter::DsqIter;
use super::super::sched::SchedId;
use super::error;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;

/// The flags to go on with; `None`: IMMED is misused (E-89) [scx_vet_enq_flags].
fn vet_enq_flags(k: &mut Kernel, sched: SchedId, dsq: u64, mut enq_flags: u64) -> Option<u64> {
    let local = dsq == dsq_id::LOCAL || dsq_id::is_local_on(dsq);
    if local && k.ext.scheds[sched].flag(ops::ALWAYS_ENQ_IMMED) {
        enq_flags |= enq::IMMED;
    }
    if enq_flags & enq::IMMED != 0 && !local {
        error(k, format!("SCX_ENQ_IMMED on a non-local DSQ 0x{dsq:x}"));
        return None;
    }
    Some(enq_flags)
}

/// The scheduler that inserts, and the flags to go on with [scx_dsq_insert_preamble].
fn preamble(k: &mut Kernel, p: TaskId, dsq: u64, enq_flags: u64) -> Option<(SchedId, u64)> {
    kfunc(k);
    let sched = k.prog_sched()?;
    if enq_flags & enq::INTERNAL_MASK != 0 {
        error(k, format!("invalid enq_flags 0x{enq_flags:x}"));
        return None;
    }
    if !k.task_on_sched(p, sched) {
        k.ext.scheds[sched].count(Ev::InsertNotOwned, 1);
        return None;
    }
    vet_enq_flags(k, sched, dsq, enq_flags).map(|flags| (sched, flags))
}

/// [scx_dsq_insert_commit]
fn commit(k: &mut Kernel, sched: SchedId, p: TaskId, dsq: u64, enq_flags: u64) {
    let me = k.this_cpu();
    match k.ext.cx[me].marker {
        Marker::Off => buffer_insert(k, sched, p, dsq, enq_flags),
        _ => mark_direct_dispatch(k, sched, p, dsq, enq_flags),
    }
}

fn set_slice(k: &mut Kernel, p: TaskId, slice: u64) {
    let e = &mut k.task_mut(p).scx;
    e.slice = match slice {
        0 => e.slice.max(1),
        slice => slice,
    };
}

/// Inserts `p` into a queue in FIFO order (E-205). False: refused.
pub fn scx_bpf_dsq_insert(k: &mut Kernel, p: TaskId, dsq: u64, slice: u64, enq_flags: u64) -> bool {
    let Some((sched, enq_flags)) = preamble(k, p, dsq, enq_flags) else {
        return false;
    };
    set_slice(k, p, slice);
    commit(k, sched, p, dsq, enq_flags);
    true
}

/// Inserts `p` into a queue at a vtime (E-206). False: refused.
pub fn scx_bpf_dsq_insert_vtime(k: &mut Kernel, p: TaskId, dsq: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool {
    let Some((sched, enq_flags)) = preamble(k, p, dsq, enq_flags) else {
        return false;
    };
    set_slice(k, p, slice);
    k.task_mut(p).scx.dsq_vtime = vtime;
    commit(k, sched, p, dsq, enq_flags | enq::DSQ_PRIQ);
    true
}

/// Entries left in the dispatch buffer (E-207).
pub fn scx_bpf_dispatch_nr_slots(k: &mut Kernel) -> u32 {
    let me = k.this_cpu();
    k.prog_sched().map_or(0, |sched| {
        let s = &k.ext.scheds[sched];
        s.dsp_max_batch.saturating_sub(s.pcpu[me].dsp.entries.len()) as u32
    })
}

/// Drops the newest entry of the dispatch buffer (E-207).
pub fn scx_bpf_dispatch_cancel(k: &mut Kernel) {
    let me = k.this_cpu();
    let Some(sched) = k.prog_sched() else { return };
    if k.ext.scheds[sched].pcpu[me].dsp.entries.pop().is_none() {
        error(k, "dispatch buffer underflow");
    }
}

/// Moves one task of a user queue to the local queue of the CPU that dispatches (E-208). True: there was one.
pub fn scx_bpf_dsq_move_to_local(k: &mut Kernel, dsq: u64, enq_flags: u64) -> bool {
    kfunc(k);
    let me = k.this_cpu();
    let Some(sched) = k.prog_sched() else {
        return false;
    };
    if enq_flags & enq::INTERNAL_MASK != 0 {
        error(k, format!("invalid enq_flags 0x{enq_flags:x}"));
        return false;
    }
    let Some(enq_flags) = vet_enq_flags(k, sched, dsq_id::LOCAL, enq_flags) else {
        return false;
    };
    let cpu = k.ext.cx[me].locked_rq.unwrap_or(me);
    flush_dispatch_buf(k, sched, cpu);
    let Some(index) = k.user_dsq(sched, dsq) else {
        error(k, format!("invalid DSQ ID 0x{dsq:016x}"));
        return false;
    };
    let moved = consume(k, sched, cpu, index, enq_flags);
    if moved {
        k.ext.scheds[sched].pcpu[me].dsp.nr_tasks += 1;
    }
    moved
}

/// Overrides the slice of the task that is moved next (E-209).
pub fn scx_bpf_dsq_move_set_slice(k: &mut Kernel, it: DsqIter, slice: u64) {
    k.cursor(it).slice = Some(slice);
}

/// Overrides the vtime of the task that is moved next (E-209).
pub fn scx_bpf_dsq_move_set_vtime(k: &mut Kernel, it: DsqIter, vtime: u64) {
    k.cursor(it).vtime = Some(vtime);
}

/// Moves `p` from the iterator's queue to another in FIFO order (E-209). False: it is not there any more.
pub fn scx_bpf_dsq_move(k: &mut Kernel, it: DsqIter, p: TaskId, dsq: u64, enq_flags: u64) -> bool {
    dsq_move(k, it, p, dsq, enq_flags)
}

/// The same at its vtime.
pub fn scx_bpf_dsq_move_vtime(k: &mut Kernel, it: DsqIter, p: TaskId, dsq: u64, enq_flags: u64) -> bool {
    dsq_move(k, it, p, dsq, enq_flags | enq::DSQ_PRIQ)
}

/// E-113 [scx_dsq_move]
fn dsq_move(k: &mut Kernel, it: DsqIter, p: TaskId, dsq: u64, enq_flags: u64) -> bool {
    kfunc(k);
    let (Some(sched), Some((from, seq))) = (k.prog_sched(), k.cursor_dsq(it)) else {
        return false;
    };
    let Some(enq_flags) = vet_enq_flags(k, sched, dsq, enq_flags) else {
        return false;
    };
    if k.ext.scheds[sched].aborting || k.find_task(p).is_none() {
        return false;
    }
    let me = k.this_cpu();
    let locked = k.ext.cx[me].locked_rq;
    let src = match locked {
        Some(rq) => {
            let src = k.task(p).cpu;
            call::switch_rq_lock(k, rq, src);
            src
        }
        None => k.lock_task_rq(p),
    };
    let (moved, held) = move_locked(k, sched, it, p, from, seq, src, locked.unwrap_or(me), dsq, enq_flags);
    (k.cursor(it).slice, k.cursor(it).vtime) = (None, None);
    match locked {
        Some(rq) => {
            call::switch_rq_lock(k, held, rq);
            if moved {
                k.ext.scheds[sched].pcpu[me].dsp.nr_tasks += 1;
            }
        }
        None => {
            crate::class::run_balance_callbacks(k, held);
            k.unlock(LockId::Rq(held));
        }
    }
    moved
}

/// With the rq lock of `src` held; the run queue that is locked afterwards.
#[allow(clippy::too_many_arguments)]
fn move_locked(
    k: &mut Kernel,
    sched: SchedId,
    it: DsqIter,
    p: TaskId,
    from: u32,
    seq: u32,
    src: CpuId,
    here: CpuId,
    dsq: u64,
    enq_flags: u64,
) -> (bool, CpuId) {
    k.lock(LockId::Dsq(from));
    let there = k.find_task(p).is_some_and(|t| {
        let e = &t.scx;
        t.cpu == src && e.dsq == Some(from) && e.holding_cpu.is_none() && (e.dsq_seq.wrapping_sub(seq) as i32) <= 0
    });
    if !there {
        k.unlock(LockId::Dsq(from));
        return (false, src);
    }
    if let Some(vtime) = k.cursor(it).vtime {
        k.task_mut(p).scx.dsq_vtime = vtime;
    }
    if let Some(slice) = k.cursor(it).slice {
        k.task_mut(p).scx.slice = slice;
    }
    let task_cpu = k.task(p).cpu;
    let to = find_dsq_for_dispatch(k, sched, here, dsq, task_cpu);
    (true, move_task_between_dsqs(k, sched, p, enq_flags, from, to))
}
