//! Moving tasks between run queues.

use crate::class;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;
use crate::rq::StopWork;
use crate::task::{KthreadNext, OnRq, TaskState};

/// [double_lock_balance]: takes `other` while `this` is held, dropping `this` where the order of locks asks for it. True if
/// it was dropped: the world may have changed.
pub(crate) fn double_lock_balance(k: &mut Kernel, this: CpuId, other: CpuId) -> bool {
    if k.rq_lead(this) == k.rq_lead(other) {
        return false; // one lock for both
    }
    if k.try_lock(LockId::Rq(other)) {
        return false;
    }
    if k.rq_lead(this) < k.rq_lead(other) {
        k.lock(LockId::Rq(other));
        return false;
    }
    k.unlock(LockId::Rq(this));
    k.lock(LockId::Rq(other));
    k.lock(LockId::Rq(this));
    true
}

/// Releases `other`, which [`double_lock_balance`] took [double_unlock_balance].
fn double_unlock_balance(k: &mut Kernel, this: CpuId, other: CpuId) {
    if k.rq_lead(this) != k.rq_lead(other) {
        k.unlock(LockId::Rq(other));
    }
}

/// Moves a waiting task between two run queues whose locks are both held.
fn move_locked(k: &mut Kernel, from: CpuId, p: TaskId, to: CpuId) {
    k.update_rq_clock(from);
    k.update_rq_clock(to);
    k.deactivate_for_migration(from, p);
    k.set_task_cpu(p, to);
    k.activate_task(to, p, class::enq::NOCLOCK | class::enq::MIGRATING);
    class::wakeup_preempt(k, to, p, 0);
}

fn may_move(k: &Kernel, from: CpuId, p: TaskId, to: CpuId) -> bool {
    k.find_task(p).is_some_and(|t| t.cpu == from && t.on_rq == OnRq::Queued && !t.on_cpu && t.migration_disabled == 0)
        && k.is_cpu_allowed(p, to)
}

/// Moves a task that waits on `cpu` (rq lock held, may be dropped and retaken) to `to`.
pub(crate) fn move_waiting_task(k: &mut Kernel, cpu: CpuId, p: TaskId, to: CpuId) -> bool {
    double_lock_balance(k, cpu, to);
    let ok = may_move(k, cpu, p, to) && k.rqs[cpu].curr != p;
    if ok {
        move_locked(k, cpu, p, to);
    }
    double_unlock_balance(k, cpu, to);
    ok
}

/// Moves a task that waits on `from` to `cpu` (rq lock held, may be dropped and retaken).
pub(crate) fn pull_waiting_task(k: &mut Kernel, from: CpuId, p: TaskId, cpu: CpuId) -> bool {
    double_lock_balance(k, cpu, from);
    let ok = may_move(k, from, p, cpu) && k.rqs[from].curr != p;
    if ok {
        move_locked(k, from, p, cpu);
    }
    double_unlock_balance(k, cpu, from);
    ok
}

impl Kernel {
    /// [move_queued_task]: `p` waits on `from` (rq lock held on entry, that of the result's CPU on return).
    pub(crate) fn move_queued_task(&mut self, from: CpuId, p: TaskId, to: CpuId) {
        self.deactivate_for_migration(from, p);
        self.set_task_cpu(p, to);
        self.unlock(LockId::Rq(from));
        self.lock(LockId::Rq(to));
        self.update_rq_clock(to);
        self.activate_task(to, p, class::enq::MIGRATING);
        class::wakeup_preempt(self, to, p, 0);
    }

    /// Has the stopper of `cpu` do `work`. No rq lock held.
    pub(crate) fn stop_one_cpu(&mut self, cpu: CpuId, work: StopWork) {
        self.rqs[cpu].stop_works.push_back(work);
        let stop = self.rqs[cpu].stop;
        self.wake_up_process(stop);
    }
}

/// Body of the stopper threads [migration/N].
pub(crate) fn stopper(k: &mut Kernel, me: TaskId) -> KthreadNext {
    let cpu = k.task(me).cpu;
    let Some(work) = k.rqs[cpu].stop_works.pop_front() else {
        return KthreadNext::Block;
    };
    match work {
        StopWork::Migrate(p, to) => migration_cpu_stop(k, cpu, p, to),
        StopWork::FairActiveBalance(to) => crate::fair::active_balance(k, cpu, to),
        StopWork::TakeDown => super::hotplug::take_down(k, cpu),
    }
    KthreadNext::Again
}

/// [migration_cpu_stop]: moves `p` off this CPU: to `to` if it may run there, else to any CPU that it may use.
fn migration_cpu_stop(k: &mut Kernel, cpu: CpuId, p: TaskId, to: CpuId) {
    if k.find_task(p).is_none_or(|t| t.state == TaskState::Dead) {
        return;
    }
    k.lock(LockId::Pi(p));
    let to = if k.is_cpu_allowed(p, to) { to } else { k.select_fallback_rq(p, cpu) };
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
    let t = k.task(p);
    let mut held = cpu;
    if t.cpu == cpu && t.migration_disabled == 0 && (!k.is_cpu_allowed(p, cpu) || to != cpu) {
        // A task that sleeps by now finds its way when it is woken.
        if k.task(p).on_rq == OnRq::Queued && to != cpu {
            k.move_queued_task(cpu, p, to);
            held = to;
        }
    }
    k.unlock(LockId::Rq(held));
    k.unlock(LockId::Pi(p));
}
