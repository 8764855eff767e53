//! Calling a scheduler's operations: the one place where control leaves the class.

use std::rc::Rc;

use super::ops::{Op, SchedExtOps};
use super::sched::SchedId;
use crate::config::Interleave;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};

/// Whether an insertion is a direct dispatch (E-79).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Marker {
    /// It is not: it goes to the dispatch buffer.
    #[default]
    Off,
    /// It is, of this task.
    Armed(TaskId),
    /// It was made already.
    Used,
}

/// What a CPU is doing for a scheduler.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpCx {
    /// Scheduler whose operation that is; `None`: no operation is under way.
    pub sched: Option<SchedId>,
    /// Innermost operation under way.
    pub op: Option<Op>,
    /// Run queue locked for it (E-32).
    pub locked_rq: Option<CpuId>,
    /// Task that it is about (E-33).
    pub subject: Option<TaskId>,
    /// Another one that it is about, too: the second of two to be compared.
    pub also: Option<TaskId>,
    pub(crate) marker: Marker,
    /// What is left of the operation's entry charge, where it is due as the operation goes on.
    entry_due: Ns,
}

/// Calls an operation of a scheduler. `rq`: the run queue locked for it. `subject`: the task that it is about.
/// `None`: the task is gone. [SCX_CALL_OP, SCX_CALL_OP_TASK]
#[inline]
pub(crate) fn op<R>(
    k: &mut Kernel,
    sched: SchedId,
    op: Op,
    rq: Option<CpuId>,
    subject: Option<TaskId>,
    f: impl FnOnce(&dyn SchedExtOps, &mut Kernel) -> R,
) -> Option<R> {
    let ops = Rc::clone(&k.ext.scheds[sched].ops);
    k.let_earlier_cpus_run();
    if subject.is_some_and(|p| k.find_task(p).is_none()) {
        return None;
    }
    let locked_rq = rq.or(k.ext.cx[k.this_cpu()].locked_rq);
    Some(enter(k, sched, Some(op), locked_rq, subject, |k| f(&*ops, k)))
}

/// Calls a scheduler back where no run queue is locked and that is no operation: a timer's function.
pub(crate) fn unlocked(k: &mut Kernel, sched: SchedId, f: impl FnOnce(&dyn SchedExtOps, &mut Kernel)) {
    let ops = Rc::clone(&k.ext.scheds[sched].ops);
    k.let_earlier_cpus_run();
    enter(k, sched, None, None, None, |k| f(&*ops, k));
}

/// Charges the entry and runs `f`, which is what this CPU does for the scheduler meanwhile.
fn enter<R>(
    k: &mut Kernel,
    sched: SchedId,
    op: Option<Op>,
    locked_rq: Option<CpuId>,
    subject: Option<TaskId>,
    f: impl FnOnce(&mut Kernel) -> R,
) -> R {
    let mut entry_due = k.cost.callback;
    if k.config.interleave < Interleave::Insn {
        k.charge(std::mem::take(&mut entry_due));
    }
    let me = k.this_cpu();
    let outer = k.ext.cx[me];
    let cx = &mut k.ext.cx[me];
    cx.entry_due = entry_due;
    cx.sched = Some(sched);
    cx.op = op;
    cx.subject = subject;
    cx.also = None;
    cx.locked_rq = locked_rq;
    let result = f(k);
    if k.config.interleave >= Interleave::Insn {
        charge_entry(k, Ns::MAX);
    }
    let cx = &mut k.ext.cx[me];
    cx.entry_due = outer.entry_due;
    cx.sched = outer.sched;
    cx.op = outer.op;
    cx.subject = outer.subject;
    cx.also = outer.also;
    cx.locked_rq = outer.locked_rq;
    result
}

/// Charges `ns` of the running operation's entry charge, as far as it is still due: where CPUs interleave at each instruction, it
/// is spread over the instructions that it pays for, and the rest is charged at the operation's end.
pub fn charge_entry(k: &mut Kernel, ns: Ns) {
    let me = k.this_cpu();
    let due = &mut k.ext.cx[me].entry_due;
    let ns = ns.min(*due);
    *due -= ns;
    k.charge(ns);
}

/// Entry of a kfunc that touches shared state: it costs its time, and CPUs may interleave.
pub(crate) fn kfunc(k: &mut Kernel) {
    let cost = k.cost.kfunc;
    k.charge(cost);
    if k.config.interleave >= Interleave::Kfunc {
        k.let_earlier_cpus_run();
    }
}

/// One round of waiting for another CPU [cpu_relax].
pub(crate) fn cpu_relax(k: &mut Kernel) {
    k.charge(100);
    k.let_earlier_cpus_run();
}

/// Goes from one run queue's lock to another's, keeping the record of the locked one in step [switch_rq_lock].
pub(crate) fn switch_rq_lock(k: &mut Kernel, from: CpuId, to: CpuId) {
    use crate::lock::LockId;
    if from == to {
        return;
    }
    k.rqs[from].scx.lock_drops += 1;
    k.unlock(LockId::Rq(from));
    k.lock(LockId::Rq(to));
    let me = k.this_cpu();
    let cx = &mut k.ext.cx[me];
    if cx.locked_rq == Some(from) {
        cx.locked_rq = Some(to);
    }
}
