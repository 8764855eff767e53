//! Scheduling classes: their order, and which function serves which class.
//!
//! Each class is a module with functions of the kernel's names. This module calls the right one; a class that has
//! nothing to do for a hook is simply absent from that `match`.

pub mod dl;
pub mod rt;

use crate::core::core_sched;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;
use crate::rq::BalanceCallback;
use crate::{ext, fair};

/// Scheduling classes, lowest first. The order is the kernel's: ext is below fair (E-35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClassId {
    /// Nothing to run.
    Idle,
    /// A BPF scheduler's tasks.
    Ext,
    /// EEVDF.
    Fair,
    /// SCHED_FIFO and SCHED_RR.
    Rt,
    /// SCHED_DEADLINE.
    Dl,
    /// The stopper threads.
    Stop,
}

/// Enqueue flags, with the kernel's values (E-5).
pub mod enq {
    #![allow(missing_docs)]
    pub const WAKEUP: u64 = 0x1;
    pub const RESTORE: u64 = 0x2;
    pub const MOVE: u64 = 0x4;
    pub const NOCLOCK: u64 = 0x8;
    pub const MIGRATING: u64 = 0x10;
    pub const DELAYED: u64 = 0x20;
    pub const CLASS: u64 = 0x40;
    pub const HEAD: u64 = 0x1_0000;
    pub const REPLENISH: u64 = 0x2_0000;
    pub const MIGRATED: u64 = 0x4_0000;
    pub const INITIAL: u64 = 0x8_0000;
    pub const RQ_SELECTED: u64 = 0x10_0000;
}

/// Dequeue flags, with the kernel's values (E-6).
pub mod deq {
    #![allow(missing_docs)]
    pub const SLEEP: u64 = 0x1;
    pub const SAVE: u64 = 0x2;
    pub const MOVE: u64 = 0x4;
    pub const NOCLOCK: u64 = 0x8;
    pub const MIGRATING: u64 = 0x10;
    pub const DELAYED: u64 = 0x20;
    pub const CLASS: u64 = 0x40;
}

/// Wake flags, with the kernel's values (E-7).
pub mod wf {
    #![allow(missing_docs)]
    pub const EXEC: u64 = 0x2;
    pub const FORK: u64 = 0x4;
    pub const TTWU: u64 = 0x8;
    pub const SYNC: u64 = 0x10;
    pub const MIGRATED: u64 = 0x20;
    pub const CURRENT_CPU: u64 = 0x40;
    pub const RQ_SELECTED: u64 = 0x80;
}

/// What a class offers to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This task.
    Task(TaskId),
    /// Nothing.
    None,
    /// Something of a higher class came in while the lock was dropped: start again.
    Retry,
}

/// [enqueue_task]: `p` becomes runnable on `cpu`. Rq lock held.
pub(crate) fn enqueue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) {
    if flags & enq::NOCLOCK == 0 {
        k.update_rq_clock(cpu);
    }
    let cost = k.cost.enqueue;
    k.charge(cost);
    if flags & enq::RESTORE == 0 {
        let now = k.rqs[cpu].clock;
        k.task_mut(p).sched_info.enqueue(now);
    }
    match k.task(p).class {
        ClassId::Stop => k.rqs[cpu].nr_running += 1,
        ClassId::Rt => rt::enqueue_task(k, cpu, p, flags),
        ClassId::Fair => fair::enqueue_task(k, cpu, p, flags),
        ClassId::Ext => ext::enqueue_task(k, cpu, p, flags),
        ClassId::Dl => dl::enqueue_task(k, cpu, p, flags),
        ClassId::Idle => unreachable!("nothing enqueues into {:?}", k.task(p).class),
    }
    if k.config.core_sched {
        core_sched::enqueue(k, cpu, p);
    }
    k.reevaluate_tick(cpu);
}

/// [dequeue_task]: `p` leaves `cpu`'s run queue. False: it stays for a while (delayed dequeue). Rq lock held.
pub(crate) fn dequeue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) -> bool {
    if flags & deq::NOCLOCK == 0 {
        k.update_rq_clock(cpu);
    }
    let cost = k.cost.dequeue;
    k.charge(cost);
    if flags & deq::SAVE == 0 {
        let now = k.rqs[cpu].clock;
        k.task_mut(p).sched_info.dequeue(now);
    }
    if k.config.core_sched {
        core_sched::dequeue(k, cpu, p, flags & deq::SAVE != 0);
    }
    match k.task(p).class {
        ClassId::Stop => {
            k.rqs[cpu].nr_running -= 1;
            true
        }
        ClassId::Rt => rt::dequeue_task(k, cpu, p, flags),
        ClassId::Fair => fair::dequeue_task(k, cpu, p, flags),
        ClassId::Ext => ext::dequeue_task(k, cpu, p, flags),
        ClassId::Dl => dl::dequeue_task(k, cpu, p),
        ClassId::Idle => unreachable!("nothing dequeues from {:?}", k.task(p).class),
    }
}

/// [sched_class.update_curr]: the running task of `cpu` is accounted up to the run queue's clock. Rq lock held.
pub(crate) fn update_curr(k: &mut Kernel, cpu: CpuId) {
    match k.curr(cpu).class {
        ClassId::Fair => fair::update_curr(k, cpu),
        ClassId::Ext => ext::update_curr(k, cpu),
        ClassId::Dl => dl::update_curr(k, cpu),
        ClassId::Idle => dl::update_idle(k, cpu),
        _ => {}
    }
}

/// [sched_class.yield_task]: the running task of this CPU yields. Rq lock held.
pub(crate) fn yield_task(k: &mut Kernel, cpu: CpuId) {
    match k.curr(cpu).class {
        ClassId::Rt => rt::yield_task(k, cpu),
        ClassId::Fair => fair::yield_task(k, cpu),
        ClassId::Ext => ext::yield_task(k, cpu),
        ClassId::Dl => dl::yield_task(k, cpu),
        ClassId::Stop | ClassId::Idle => {}
    }
}

/// [wakeup_preempt]: `p` became runnable on `cpu`; should it preempt? Rq lock held.
pub(crate) fn wakeup_preempt(k: &mut Kernel, cpu: CpuId, p: TaskId, wake_flags: u64) {
    let (class, next_class) = (k.task(p).class, k.rqs[cpu].next_class);
    if class == next_class {
        class_wakeup_preempt(k, class, cpu, p, wake_flags);
    } else if class > next_class {
        class_wakeup_preempt(k, next_class, cpu, p, wake_flags);
        k.resched_curr(cpu);
        k.rqs[cpu].next_class = class;
    }
}

fn class_wakeup_preempt(k: &mut Kernel, class: ClassId, cpu: CpuId, p: TaskId, wake_flags: u64) {
    match class {
        ClassId::Rt => rt::wakeup_preempt(k, cpu, p, wake_flags),
        ClassId::Fair => fair::wakeup_preempt(k, cpu, p, wake_flags),
        ClassId::Ext => ext::wakeup_preempt(k, cpu, p, wake_flags),
        ClassId::Idle => k.resched_curr(cpu),
        ClassId::Dl => dl::wakeup_preempt(k, cpu, p),
        ClassId::Stop => {}
    }
}

/// Classes that a pick goes through on `cpu`, highest first [next_active_class, E-36].
fn active_classes(k: &Kernel) -> impl Iterator<Item = ClassId> + use<> {
    let skip_fair = k.ext.switched_all();
    let skip_ext = !k.ext.enabled();
    [ClassId::Stop, ClassId::Dl, ClassId::Rt, ClassId::Fair, ClassId::Ext]
        .into_iter()
        .filter(move |&c| !(c == ClassId::Fair && skip_fair || c == ClassId::Ext && skip_ext))
}

/// [pick_next_task]: the task to run next on this CPU. Rq lock held; a class may drop and retake it.
pub(crate) fn pick_next_task(k: &mut Kernel, cpu: CpuId) -> TaskId {
    match k.config.core_sched {
        true => core_sched::pick_next_task(k, cpu),
        false => pick_alone(k, cpu),
    }
}

/// The same without regard to other CPUs [__pick_next_task].
pub(crate) fn pick_alone(k: &mut Kernel, cpu: CpuId) -> TaskId {
    loop {
        prev_balance(k, cpu);
        if let Some((p, _)) = pick_task(k, cpu) {
            return p;
        }
    }
}

/// Real-time classes pull tasks before a pick [prev_balance].
pub(crate) fn prev_balance(k: &mut Kernel, cpu: CpuId) {
    dl::balance(k, cpu);
    rt::balance(k, cpu);
}

/// What the classes offer to run on `cpu`, and which of them did [pick_task]. `None`: something of a higher class came in while the
/// lock was dropped: start again.
pub(crate) fn pick_task(k: &mut Kernel, cpu: CpuId) -> Option<(TaskId, ClassId)> {
    for class in active_classes(k) {
        let pick = match class {
            ClassId::Stop => pick_stop_task(k, cpu),
            ClassId::Dl => dl::pick_task(k, cpu),
            ClassId::Rt => rt::pick_task(k, cpu),
            ClassId::Fair => fair::pick_task(k, cpu),
            _ => ext::pick_task(k, cpu),
        };
        match pick {
            Pick::Task(p) => return Some((p, class)),
            Pick::None => {}
            Pick::Retry => return None,
        }
    }
    let idle = k.rqs[cpu].idle;
    ext::idle::pick_task_idle(k, cpu);
    Some((idle, ClassId::Idle))
}

fn pick_stop_task(k: &Kernel, cpu: CpuId) -> Pick {
    let stop = k.rqs[cpu].stop;
    match k.task(stop).on_rq {
        crate::task::OnRq::Queued => Pick::Task(stop),
        _ => Pick::None,
    }
}

/// [put_prev_task]: `p` stops being the running task; `next` is what runs instead, where that is known. Rq lock held.
pub(crate) fn put_prev_task(k: &mut Kernel, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
    match k.task(p).class {
        ClassId::Stop => {
            k.update_curr_common(cpu);
        }
        ClassId::Rt => {
            rt::put_prev_task(k, cpu, p);
            fair::update_rt(k, cpu, true);
        }
        ClassId::Fair => fair::put_prev_task(k, cpu, p),
        ClassId::Ext => ext::put_prev_task(k, cpu, p, next),
        ClassId::Idle => {
            dl::update_idle(k, cpu);
            fair::update_idle(k, cpu, false);
            ext::idle::update_idle(k, cpu, false, true);
        }
        ClassId::Dl => dl::put_prev_task(k, cpu, p),
    }
}

/// [set_next_task]: `p` becomes the running task. `first`: by a pick, not by a change of attributes. Rq lock held.
pub(crate) fn set_next_task(k: &mut Kernel, cpu: CpuId, p: TaskId, first: bool) {
    match k.task(p).class {
        ClassId::Stop => k.set_exec_start(cpu, p),
        ClassId::Rt => {
            rt::set_next_task(k, cpu, p, first);
            fair::update_rt(k, cpu, false);
        }
        ClassId::Fair => fair::set_next_task(k, cpu, p, first),
        ClassId::Ext => ext::set_next_task(k, cpu, p, first),
        ClassId::Idle => {
            k.set_exec_start(cpu, p);
            fair::update_idle(k, cpu, true);
            ext::idle::update_idle(k, cpu, true, true);
        }
        ClassId::Dl => dl::set_next_task(k, cpu, p, first),
    }
}

/// [select_task_rq of the class]: where a waking or new task should run. pi_lock held, no rq lock.
pub(crate) fn select_task_rq(k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64) -> CpuId {
    match k.task(p).class {
        ClassId::Rt => rt::select_task_rq(k, p, prev, wake_flags),
        ClassId::Fair => fair::select_task_rq(k, p, prev, wake_flags),
        ClassId::Ext => ext::select_task_rq(k, p, prev, wake_flags),
        ClassId::Dl => dl::select_task_rq(k, p, prev, wake_flags),
        ClassId::Stop | ClassId::Idle => k.task(p).cpu,
    }
}

/// [task_woken]: after a wakeup's enqueue and preemption test. Rq lock held.
pub(crate) fn task_woken(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    match k.task(p).class {
        ClassId::Rt => rt::task_woken(k, cpu, p),
        ClassId::Ext => ext::task_woken(k, cpu),
        ClassId::Dl => dl::task_woken(k, cpu, p),
        _ => {}
    }
}

/// [task_tick]: a tick hit `cpu` while its `curr` ran. Rq lock held.
pub(crate) fn task_tick(k: &mut Kernel, cpu: CpuId) {
    match k.curr(cpu).class {
        ClassId::Rt => {
            rt::task_tick(k, cpu);
            fair::update_rt(k, cpu, true);
        }
        ClassId::Fair => fair::task_tick(k, cpu),
        ClassId::Ext => ext::task_tick(k, cpu),
        ClassId::Dl => dl::task_tick(k, cpu, false),
        ClassId::Idle => dl::update_idle(k, cpu),
        ClassId::Stop => {}
    }
}

/// The timer of slices and runtimes has fired on this CPU, which is `cpu` [hrtick].
pub(crate) fn hrtick(k: &mut Kernel, cpu: CpuId) {
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
    match k.curr(cpu).class {
        ClassId::Fair => {
            fair::update_curr(k, cpu);
            k.resched_curr(cpu);
        }
        ClassId::Dl => dl::task_tick(k, cpu, true),
        _ => {}
    }
    ext::rq_clock_invalidate(k, cpu);
    k.unlock(LockId::Rq(cpu));
}

/// [set_cpus_allowed]: the affinity of `p` has become `p.cpus`; the class is told. Rq lock held.
pub(crate) fn set_cpus_allowed(k: &mut Kernel, p: TaskId) {
    if k.task(p).class == ClassId::Ext {
        ext::set_cpus_allowed(k, p);
    }
}

/// [migrate_task_rq]: `p` is about to go to another CPU.
pub(crate) fn migrate_task_rq(k: &mut Kernel, p: TaskId, to: CpuId) {
    if k.task(p).class == ClassId::Fair {
        fair::migrate_task_rq(k, p, to);
    }
}

/// [switching_from, switched_from]: `p` is leaving its class; called in the change bracket after the dequeue.
pub(crate) fn switched_from(k: &mut Kernel, cpu: CpuId, p: TaskId, old: ClassId) {
    match old {
        ClassId::Fair => fair::switched_from(k, cpu, p),
        ClassId::Ext => ext::switched_from(k, p),
        ClassId::Dl => {
            dl::release_bandwidth(k, cpu, p);
            k.rqs[cpu].queue_balance_callback(BalanceCallback::PullDl);
        }
        _ => {}
    }
}

/// [switching_to]: `p` has its new class and is not yet enqueued there.
pub(crate) fn switching_to(k: &mut Kernel, p: TaskId) {
    if k.task(p).class == ClassId::Ext {
        ext::switching_to(k, p);
    }
}

/// [switched_to]: `p` is in its new class and enqueued.
pub(crate) fn switched_to(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    match k.task(p).class {
        ClassId::Rt => rt::switched_to(k, cpu, p),
        ClassId::Fair => fair::switched_to(k, cpu, p),
        ClassId::Dl => dl::switched_to(k, cpu, p),
        _ => {}
    }
}

/// [prio_changed]: the priority of `p` changed within its class.
pub(crate) fn prio_changed(k: &mut Kernel, cpu: CpuId, p: TaskId, old_prio: i32) {
    match k.task(p).class {
        ClassId::Rt => rt::prio_changed(k, cpu, p, old_prio),
        ClassId::Fair => fair::prio_changed(k, cpu, p, old_prio),
        ClassId::Dl => dl::prio_changed(k, cpu, p),
        _ => {}
    }
}

/// [reweight_task]: the weight of `p` is to follow its new nice value or policy.
pub(crate) fn reweight_task(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    match k.task(p).class {
        ClassId::Fair => fair::reweight_task(k, cpu, p),
        ClassId::Ext => ext::reweight_task(k, p),
        _ => {}
    }
}

/// Runs and clears the balance callbacks of `cpu`'s run queue. Rq lock held; a callback may drop and retake it.
pub(crate) fn run_balance_callbacks(k: &mut Kernel, cpu: CpuId) {
    while !k.rqs[cpu].balance_callbacks.is_empty() {
        for cb in std::mem::take(&mut k.rqs[cpu].balance_callbacks) {
            match cb {
                BalanceCallback::PushRt => rt::push_tasks(k, cpu),
                BalanceCallback::PullRt => rt::pull_tasks(k, cpu),
                BalanceCallback::PushDl => dl::push_tasks(k, cpu),
                BalanceCallback::PullDl => dl::pull_tasks(k, cpu),
                BalanceCallback::ScxDeferred => ext::run_deferred(k, cpu),
                BalanceCallback::ScxKickSync => ext::kick::kick_sync_wait(k, cpu),
                BalanceCallback::StealCookie => core_sched::steal_cookie(k, cpu),
            }
        }
    }
}
