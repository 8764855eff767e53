//! A scheduler's end: errors, exit information, disabling (E-174 to E-183, E-200, E-201).

use scxr_trace::{EventKind, ExitKind};

use super::bypass::bypass;
use super::call;
use super::enable::{finish_waiter, wake_helper};
use super::flags::consts;
use super::idle;
use super::ops::{ExitInfo, Op, OpSet};
use super::sched::EnableState;
use super::task::{disable_and_exit_task, fork_write_lock, fork_write_unlock};
use crate::class::deq;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::IrqWork;
use crate::lock::LockId;
use crate::rcu::synchronize_rcu;

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
fn claim(k: &mut Kernel, kind: ExitKind) -> bool {
    match &mut k.ext.root {
        Some(s) if s.exit_kind == ExitKind::None => {
            s.exit_kind = kind;
            s.aborting = true;
            true
        }
        _ => false,
    }
}

impl super::sched::Ext {
    /// An exit that is claimed and not carried out yet: the helper thread that does it may have been starved.
    pub fn ending(&self) -> Option<ExitInfo> {
        let s = self.root.as_ref().filter(|s| s.exit_kind != ExitKind::None)?;
        let mut info = s.exit.clone();
        if s.exit_kind != ExitKind::Done {
            (info.kind, info.reason) = (s.exit_kind, exit_reason(s.exit_kind));
        }
        Some(info)
    }
}

/// Ends the scheduler for a reason (E-175, E-177) [scx_vexit]. The caller goes on; the scheduler is disabled by its helper
/// thread. Only the first exit counts.
pub fn scx_error(k: &mut Kernel, kind: ExitKind, code: i64, msg: impl Into<String>) {
    let cpu = k.this_cpu().0 as i32;
    scx_exit_on(k, kind, code, cpu, msg);
}

/// Ends the scheduler for an error of its own, with the kernel's text.
pub(crate) fn error(k: &mut Kernel, msg: impl Into<String>) {
    scx_error(k, ExitKind::Error, 0, msg);
}

/// The same with the CPU to blame.
pub(crate) fn scx_exit_on(k: &mut Kernel, kind: ExitKind, code: i64, cpu: i32, msg: impl Into<String>) {
    if !claim(k, kind) {
        return;
    }
    let mut msg: String = msg.into();
    let mut end = msg.len().min(consts::EXIT_MSG_LEN - 1);
    while !msg.is_char_boundary(end) {
        end -= 1;
    }
    msg.truncate(end);
    if let Some(s) = &mut k.ext.root {
        let e = &mut s.exit;
        (e.kind, e.code, e.cpu) = (kind, code, cpu);
        (e.reason, e.msg) = (exit_reason(kind), msg);
    }
    k.irq_work_queue(IrqWork::ScxDisable);
}

/// Ends the scheduler without details (E-177) [scx_disable].
pub(crate) fn scx_disable(k: &mut Kernel, kind: ExitKind) {
    if claim(k, kind) {
        k.irq_work_queue(IrqWork::ScxDisable);
    }
}

/// SysRq-S: ends the scheduler, if there is one, without message and CPU (E-177, E-191) [sysrq_handle_sched_ext_reset].
pub fn sysrq_reset(k: &mut Kernel) {
    scx_disable(k, ExitKind::Sysrq);
}

/// E-178 [scx_disable_irq_workfn]
pub(crate) fn disable_irq_work(k: &mut Kernel) {
    k.ext.work.disable = true;
    wake_helper(k);
}

/// First half of disabling, as long as enabling may still be under way (E-179, E-200) [scx_disable_workfn].
pub(crate) fn begin_disable(k: &mut Kernel) -> bool {
    let Some(s) = &mut k.ext.root else {
        return false;
    };
    if s.exit_kind == ExitKind::Done {
        return false;
    }
    let kind = std::mem::replace(&mut s.exit_kind, ExitKind::Done);
    s.exit.kind = kind;
    s.exit.reason = exit_reason(kind);
    bypass(k, true);
    k.ext.state = EnableState::Disabling;
    true
}

/// Second half (E-200, E-201) [scx_root_disable].
pub(crate) fn finish_disable(k: &mut Kernel) {
    k.ext.switched_all = false;
    k.ext.switching_all = false;
    fork_write_lock(k);
    k.ext.init_task_armed = false;
    for p in k.all_tasks() {
        release_task(k, p);
    }
    fork_write_unlock(k);
    k.ext.enabled = false;
    let kept = OpSet::default();
    k.ext.active = kept;
    idle::disable(k);
    synchronize_rcu(k);
    let info = k.ext.root().map(|s| s.exit.clone()).unwrap_or_else(no_exit);
    if k.ext.root().is_some_and(|s| s.attrs.ops.has(Op::exit)) {
        call::op(k, Op::exit, None, None, |ops, k| ops.exit(k, &info));
    }
    drop_scheduler(k, info);
    finish_waiter(k);
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

fn drop_scheduler(k: &mut Kernel, info: ExitInfo) {
    if let Some(s) = k.ext.root.take() {
        k.ext.last_events = s.events;
        let built_in = s.bypass_dsqs.0.iter().chain(&s.global_dsqs);
        for &dsq in built_in.chain(s.user_dsqs.values()) {
            k.free_dsq(dsq);
        }
        s.ops.unloaded(k);
        let name = s.attrs.name.clone();
        k.emit(EventKind::Disabled { name, kind: info.kind });
    }
    k.ext.watchdog_due = Ns::MAX;
    k.ext.bypass_lb_due = Ns::MAX;
    for cpu in (0..k.nr_cpus() as u32).map(CpuId) {
        let rq = &mut k.rqs[cpu].scx;
        rq.kick_snapshots = Vec::new();
        rq.cpus_to_kick = Default::default();
        rq.cpus_to_kick_if_idle = Default::default();
        rq.cpus_to_preempt = Default::default();
        rq.cpus_to_wait = Default::default();
        rq.reenq_local = None;
        rq.reenq_users.clear();
    }
    k.ext.exit_info = Some(info);
    k.ext.state = EnableState::Disabled;
}
