//! A scheduler's end: errors, exit information, disabling (E-174 to E-183, E-200, E-201).

use std::rc::Rc;

use scxr_trace::{EventKind, ExitKind};

use super::bypass::bypass;
use super::call;
use super::dump::dump_exit;
use super::enable::{for_each_rq, wake_helper};
use super::flags::consts;
use super::ops::{ExitInfo, Op, OpSet};
use super::sched::{Sched, SchedId};
use super::state::EnableState;
use super::task::{disable_and_exit_task, find_by_tid, fork_write_lock, fork_write_unlock};
use super::{cgroup, idle};
use crate::class::deq;
use crate::class::dl::{self, Which};
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::IrqWork;
use crate::lock::LockId;
use crate::rcu::{Garbage, synchronize_rcu};

/// Reason in words [scx_exit_reason] (E-12).
pub fn exit_reason(kind: ExitKind) -> &'static str {
    match kind {
        ExitKind::Unreg => "unregistered from user space",
        ExitKind::UnregBpf => "unregistered from BPF",
        ExitKind::UnregKern => "unregistered from the main kernel",
        ExitKind::Sysrq => "disabled by sysrq-S",
        ExitKind::Parent => "parent exiting",
        ExitKind::Error => "runtime error",
        ExitKind::ErrorBpf => "scx_bpf_error",
        ExitKind::ErrorStall => "runnable task stall",
        ExitKind::None | ExitKind::Done => "<UNKNOWN>",
    }
}

/// The kernel's number of a kind (E-12).
pub fn exit_kind_number(kind: ExitKind) -> u32 {
    match kind {
        ExitKind::None => 0,
        ExitKind::Done => 1,
        ExitKind::Unreg => 64,
        ExitKind::UnregBpf => 65,
        ExitKind::UnregKern => 66,
        ExitKind::Sysrq => 67,
        ExitKind::Parent => 68,
        ExitKind::Error => 1024,
        ExitKind::ErrorBpf => 1025,
        ExitKind::ErrorStall => 1026,
    }
}

/// Is it one of the kinds that are the scheduler's fault?
fn is_error(kind: ExitKind) -> bool {
    exit_kind_number(kind) >= exit_kind_number(ExitKind::Error)
}

/// Exit information of a scheduler that runs.
pub(crate) fn no_exit() -> ExitInfo {
    ExitInfo {
        kind: ExitKind::None,
        code: 0,
        cpu: -1,
        reason: "",
        msg: String::new(),
        bt: Vec::new(),
        dump: String::new(),
        flags: 0,
    }
}

/// The first exit wins (E-174) [scx_claim_exit].
fn claim(k: &mut Kernel, sched: SchedId, kind: ExitKind) -> bool {
    let s = &mut k.ext.scheds[sched];
    let first = s.exit_kind == ExitKind::None;
    if first {
        s.exit_kind = kind;
        s.aborting = true;
        if kind != ExitKind::Parent {
            let below = k.ext.subtree(sched).into_iter().skip(1);
            below.for_each(|s| _ = claim(k, s, ExitKind::Parent));
        }
    }
    first
}

/// Ends a scheduler for a reason (E-175, E-177) [scx_vexit]. The caller goes on; the scheduler is disabled by the helper
/// thread. Only the first exit counts.
pub fn scx_exit(k: &mut Kernel, sched: SchedId, kind: ExitKind, code: i64, msg: impl Into<String>) {
    let cpu = k.this_cpu().0 as i32;
    scx_exit_on(k, sched, kind, code, cpu, msg);
}

/// Ends a scheduler for an error of its own, with the kernel's text [scx_error].
pub(crate) fn error(k: &mut Kernel, sched: SchedId, msg: impl Into<String>) {
    scx_exit(k, sched, ExitKind::Error, 0, msg);
}

/// Ends the scheduler whose program runs, for an error of that.
pub(crate) fn prog_error(k: &mut Kernel, msg: impl Into<String>) {
    if let Some(sched) = k.prog_sched() {
        error(k, sched, msg);
    }
}

impl super::state::Ext {
    /// An exit that is claimed and not carried out yet: the helper thread that does it may have been starved.
    pub fn ending(&self) -> Option<ExitInfo> {
        let s = self.root().filter(|s| s.exit_kind != ExitKind::None)?;
        let mut info = s.exit.clone();
        if s.exit_kind != ExitKind::Done {
            (info.kind, info.reason) = (s.exit_kind, exit_reason(s.exit_kind));
        }
        Some(info)
    }
}

/// [`scx_exit`] with the CPU to blame.
pub(crate) fn scx_exit_on(k: &mut Kernel, sched: SchedId, kind: ExitKind, code: i64, cpu: i32, msg: impl Into<String>) {
    if !claim(k, sched, kind) {
        return;
    }
    let mut msg: String = msg.into();
    let mut end = msg.len().min(consts::EXIT_MSG_LEN - 1);
    while !msg.is_char_boundary(end) {
        end -= 1;
    }
    msg.truncate(end);
    let bt = if is_error(kind) { backtrace(k) } else { Vec::new() };
    let e = &mut k.ext.scheds[sched].exit;
    (e.kind, e.code, e.cpu) = (kind, code, cpu);
    (e.reason, e.msg, e.bt) = (exit_reason(kind), msg, bt);
    k.irq_work_queue(IrqWork::ScxDisable);
}

/// How it came to an error, as far as that can be said: simulated CPUs have no stack of the kernel's. One line, the operation
/// under way on this CPU, or none.
fn backtrace(k: &Kernel) -> Vec<String> {
    let cx = &k.ext.cx[k.this_cpu()];
    cx.op.map(|op| format!("ops.{}", op.name())).into_iter().collect()
}

/// Ends a scheduler without details (E-177) [scx_disable].
pub(crate) fn scx_disable(k: &mut Kernel, sched: SchedId, kind: ExitKind) {
    if claim(k, sched, kind) {
        k.irq_work_queue(IrqWork::ScxDisable);
    }
}

/// SysRq-S: ends the root scheduler, if there is one, without message and CPU (E-177, E-191) [sysrq_handle_sched_ext_reset].
pub fn sysrq_reset(k: &mut Kernel) {
    if let Some(root) = k.ext.root_id() {
        scx_disable(k, root, ExitKind::Sysrq);
    }
}

/// An error is dumped, and the helper disables the scheduler (E-178) [scx_disable_irq_workfn].
pub(crate) fn disable_irq_work(k: &mut Kernel) {
    let failed = |(id, s): (SchedId, &Sched)| (is_error(s.exit_kind) && s.exit.dump.is_empty()).then_some(id);
    let failed: Vec<SchedId> = k.ext.scheds.iter().filter_map(failed).collect();
    failed.into_iter().for_each(|sched| dump_exit(k, sched));
    k.ext.work.disable = true;
    wake_helper(k);
}

/// First half of disabling the schedulers whose exit was claimed, as long as enabling may still be under way (E-179, E-200)
/// [scx_disable_workfn].
pub(crate) fn begin_disable(k: &mut Kernel) -> Vec<SchedId> {
    let claimed = |kind| !matches!(kind, ExitKind::None | ExitKind::Done);
    let mut begun = Vec::new();
    let next = |k: &Kernel| k.ext.scheds.iter().find(|(_, s)| claimed(s.exit_kind)).map(|(id, _)| id);
    while let Some(sched) = next(k) {
        let s = &mut k.ext.scheds[sched];
        let kind = std::mem::replace(&mut s.exit_kind, ExitKind::Done);
        s.exit.kind = kind;
        s.exit.reason = exit_reason(kind);
        bypass(k, sched, true);
        if k.ext.root_id() == Some(sched) {
            k.ext.state = EnableState::Disabling;
        }
        begun.push(sched);
    }
    begun
}

/// Second half (E-200, E-201) [scx_root_disable].
pub(crate) fn finish_disable(k: &mut Kernel, sched: SchedId) {
    let was_switched_all = std::mem::take(&mut k.ext.switched_all);
    k.frequencies_changed();
    k.ext.switching_all = false;
    cgroup::cgroup_lock(k);
    cgroup::exit_all(k, sched);
    cgroup::cgroup_unlock(k);
    fork_write_lock(k);
    k.ext.init_task_armed = false;
    find_by_tid(k, false);
    for p in k.all_tasks() {
        release_task(k, p);
    }
    fork_write_unlock(k);
    if k.config.servers.exchanged {
        for_each_rq(k, |k, cpu| match was_switched_all {
            true => _ = dl::swap_servers(k, cpu, Which::Ext, Which::Fair),
            false => dl::detach_server(k, cpu, Which::Ext),
        });
    }
    k.ext.enabled = false;
    k.ext.scheds[sched].dump_disabled = true;
    k.ext.scheds[sched].active = OpSet::default();
    idle::disable(k);
    synchronize_rcu(k);
    let info = k.ext.scheds[sched].exit.clone();
    if k.ext.scheds[sched].attrs.ops.has(Op::exit) {
        call::op(k, sched, Op::exit, None, None, |ops, k| ops.exit(k, &info));
    }
    drop_scheduler(k, sched, info);
}

/// `p` goes to the class that its policy has without a scheduler, and the scheduler forgets it.
fn release_task(k: &mut Kernel, p: TaskId) {
    if k.find_task(p).is_none() {
        return;
    }
    k.lock(LockId::Pi(p));
    let cpu = k.lock_task_rq(p);
    let class = k.class_after(p);
    if class != k.task(p).class {
        let c = k.sched_change_begin(p, deq::SAVE | deq::MOVE | deq::CLASS);
        k.task_mut(p).class = class;
        k.sched_change_end(c);
    }
    disable_and_exit_task(k, p);
    k.task_mut(p).scx.sched = None; // one that was never made known to it
    crate::class::run_balance_callbacks(k, cpu);
    k.unlock(LockId::Rq(cpu));
    k.unlock(LockId::Pi(p));
}

impl Kernel {
    /// Class that `p` belongs to by its policy now [scx_setscheduler_class]; stoppers stay what they are (E-38).
    pub(crate) fn class_after(&self, p: TaskId) -> crate::class::ClassId {
        let t = self.task(p);
        match t.class {
            crate::class::ClassId::Stop | crate::class::ClassId::Idle => t.class,
            _ => self.class_for(t.policy),
        }
    }
}

/// A scheduler is gone, but for those who still look at it (E-241).
pub(super) fn forget(k: &mut Kernel, sched: SchedId) {
    let s = &mut k.ext.scheds[sched];
    s.gone = true;
    s.bypass_lb_due = Ns::MAX;
    s.timers = Default::default();
    let ops = Rc::clone(&s.ops);
    let dsqs: Vec<u32> = s.dsqs().collect();
    for dsq in dsqs {
        k.free_dsq(dsq);
    }
    k.call_rcu(Garbage::Sched(sched));
    ops.unloaded(k);
    for cpu in (0..k.nr_cpus() as u32).map(CpuId) {
        let rq = &mut k.rqs[cpu].scx;
        rq.reenq_locals.retain(|&s| s != sched);
        rq.reenq_users.retain(|r| r.sched != sched);
    }
}

/// The root scheduler is gone.
fn drop_scheduler(k: &mut Kernel, sched: SchedId, info: ExitInfo) {
    k.ext.root = None;
    k.ext.watchdog_due = Ns::MAX;
    let s = &k.ext.scheds[sched];
    let (events, name) = (s.events, s.attrs.name.clone());
    k.ext.last_events = events;
    forget(k, sched);
    k.emit(EventKind::Disabled { name, kind: info.kind });
    for cpu in (0..k.nr_cpus() as u32).map(CpuId) {
        let rq = &mut k.rqs[cpu].scx;
        rq.kick_snapshots = Vec::new();
        rq.cpus_to_kick = Default::default();
        rq.cpus_to_kick_if_idle = Default::default();
        rq.cpus_to_preempt = Default::default();
        rq.cpus_to_wait = Default::default();
    }
    k.ext.exit_info = Some(info);
    k.ext.state = EnableState::Disabled;
}
