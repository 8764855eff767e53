//! Kicks: a scheduler has CPUs reschedule, and may wait for them (E-141 to E-146).

use scxr_trace::EventKind;

use super::call;
use super::exit::error;
use super::flags::kick;
use super::sched::SchedId;
use crate::class::ClassId;
use crate::executor::Kernel;
use crate::ids::CpuId;
use crate::irq::IrqWork;
use crate::lock::LockId;

/// A scheduler asks for a kick; it is delivered as soon as interrupts are on (E-141 to E-143) [scx_kick_cpu].
pub(crate) fn kick_cpu(k: &mut Kernel, sched: SchedId, cpu: CpuId, flags: u64) {
    let me = k.this_cpu();
    if k.ext.scheds[sched].bypassing(me) {
        return;
    }
    k.emit(EventKind::Kick { target: cpu.0, flags });
    if flags & kick::IDLE != 0 {
        if flags & (kick::PREEMPT | kick::WAIT) != 0 {
            let msg = "PREEMPT/WAIT cannot be used with SCX_KICK_IDLE";
            error(k, sched, msg);
        }
        if k.try_lock(LockId::Rq(cpu)) {
            let skip = surely_busy(k, cpu);
            k.unlock(LockId::Rq(cpu));
            if skip {
                return;
            }
        }
        k.rqs[me].scx.cpus_to_kick_if_idle.set(cpu);
    } else {
        let rq = &mut k.rqs[me].scx;
        rq.cpus_to_kick.set(cpu);
        if flags & kick::PREEMPT != 0 {
            rq.cpus_to_preempt.set(cpu);
        }
        if flags & kick::WAIT != 0 {
            rq.cpus_to_wait.set(cpu);
        }
    }
    k.irq_work_queue(IrqWork::ScxKick);
}

/// [can_skip_idle_kick]
fn surely_busy(k: &Kernel, cpu: CpuId) -> bool {
    !k.rqs[cpu].is_idle() && !k.rqs[cpu].scx.in_balance
}

/// Delivers the kicks that `cpu` asked for (E-144) [kick_cpus_irq_workfn].
pub(crate) fn deliver(k: &mut Kernel, cpu: CpuId) {
    if k.rqs[cpu].scx.kick_snapshots.is_empty() {
        return; // the scheduler is gone
    }
    let mut wait = false;
    while let Some(target) = k.rqs[cpu].scx.cpus_to_kick.first() {
        wait |= kick_one(k, cpu, target);
        k.rqs[cpu].scx.cpus_to_kick.clear(target);
        k.rqs[cpu].scx.cpus_to_kick_if_idle.clear(target);
    }
    while let Some(target) = k.rqs[cpu].scx.cpus_to_kick_if_idle.first() {
        k.rqs[cpu].scx.cpus_to_kick_if_idle.clear(target);
        k.lock(LockId::Rq(target));
        if !surely_busy(k, target) && (k.online.test(target) || target == cpu) {
            k.resched_curr(target);
        }
        k.unlock(LockId::Rq(target));
    }
    if wait {
        k.lock(LockId::Rq(cpu));
        k.rqs[cpu].scx.kick_sync_pending = true;
        k.resched_curr(cpu);
        k.unlock(LockId::Rq(cpu));
    }
}

/// Kicks one CPU; true if it is to be waited for [kick_one_cpu].
fn kick_one(k: &mut Kernel, cpu: CpuId, target: CpuId) -> bool {
    k.lock(LockId::Rq(target));
    let curr = k.rqs[target].curr;
    let class = k.task(curr).class;
    let preempt = k.rqs[cpu].scx.cpus_to_preempt.test(target);
    let wait = k.rqs[cpu].scx.cpus_to_wait.test(target);
    let mut waits = false;
    if (k.online.test(target) || target == cpu) && class <= ClassId::Ext {
        if preempt && class == ClassId::Ext {
            k.task_mut(curr).scx.slice = 0;
        }
        if wait && class == ClassId::Ext {
            let sync = k.rqs[target].scx.kick_sync;
            let rq = &mut k.rqs[cpu].scx;
            rq.kick_snapshots[target.idx()] = sync;
            rq.cpus_to_sync.set(target);
            waits = true;
        }
        k.resched_curr(target);
    }
    let rq = &mut k.rqs[cpu].scx;
    rq.cpus_to_preempt.clear(target);
    rq.cpus_to_wait.clear(target);
    k.unlock(LockId::Rq(target));
    waits
}

/// Waits until the CPUs that were kicked with WAIT have passed through their schedulers (E-145) [kick_sync_wait_bal_cb]. Rq
/// lock held; dropped and retaken.
pub(crate) fn kick_sync_wait(k: &mut Kernel, cpu: CpuId) {
    if k.this_cpu() != cpu {
        return;
    }
    while let Some(target) = k.rqs[cpu].scx.cpus_to_sync.first() {
        let passed = |k: &Kernel| {
            let snapshots = &k.rqs[cpu].scx.kick_snapshots;
            target == cpu || snapshots.get(target.idx()).is_none_or(|&s| k.rqs[target].scx.kick_sync != s)
        };
        if !passed(k) {
            k.unlock(LockId::Rq(cpu));
            while !passed(k) {
                // Who waits for us must not wait for ever.
                k.rqs[cpu].scx.kick_sync += 1;
                k.take_interrupts();
                call::cpu_relax(k);
            }
            k.lock(LockId::Rq(cpu));
            k.update_rq_clock(cpu);
        }
        k.rqs[cpu].scx.cpus_to_sync.clear(target);
    }
}
