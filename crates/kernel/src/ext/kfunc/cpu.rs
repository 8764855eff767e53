//! CPUs: kicks, performance, masks, numbers, time (E-141, E-155, E-216 to E-223).

use super::super::call::kfunc;
use super::super::events::Events;
use super::super::flags::consts;
use super::super::kick;
use super::error;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::lock::LockId;

/// The CPU, or the scheduler's error.
fn check_cpu(k: &mut Kernel, cpu: i32) -> Option<CpuId> {
    let valid = k.valid_cpu(cpu);
    if valid.is_none() {
        error(k, format!("invalid CPU {cpu}"));
    }
    valid
}

/// Has a CPU reschedule (E-141).
pub fn scx_bpf_kick_cpu(k: &mut Kernel, cpu: i32, flags: u64) {
    kfunc(k);
    let Some(sched) = k.prog_sched() else { return };
    if let Some(cpu) = check_cpu(k, cpu) {
        kick::kick_cpu(k, sched, cpu, flags);
    }
}

/// Greatest performance of a CPU, of 1024 (E-218).
pub fn scx_bpf_cpuperf_cap(k: &mut Kernel, cpu: i32) -> u32 {
    match check_cpu(k, cpu) {
        Some(cpu) => k.topology.cpus[cpu].capacity,
        None => consts::CPUPERF_ONE,
    }
}

/// Performance of a CPU now, relative to its greatest, of 1024 (E-218).
pub fn scx_bpf_cpuperf_cur(k: &mut Kernel, cpu: i32) -> u32 {
    match check_cpu(k, cpu) {
        Some(cpu) => k.frequency(cpu),
        None => consts::CPUPERF_ONE,
    }
}

fn set_target(k: &mut Kernel, cpu: CpuId, perf: u32) {
    k.rqs[cpu].scx.cpuperf_target = perf;
    k.frequency_changed(cpu);
}

/// Sets the performance target of a CPU (E-218).
pub fn scx_bpf_cpuperf_set(k: &mut Kernel, cpu: i32, perf: u32) {
    kfunc(k);
    if k.prog_sched().is_none() {
        return;
    }
    if perf > consts::CPUPERF_ONE {
        return error(k, format!("Invalid cpuperf target {perf} for CPU {cpu}"));
    }
    let Some(cpu) = check_cpu(k, cpu) else { return };
    match k.ext.cx[k.this_cpu()].locked_rq {
        Some(rq) if rq == cpu => set_target(k, cpu, perf),
        Some(_) => error(k, format!("Invalid target CPU {cpu}")),
        None => {
            k.lock(LockId::Rq(cpu));
            set_target(k, cpu, perf);
            k.unlock(LockId::Rq(cpu));
        }
    }
}

/// Bound of CPU numbers (E-219).
pub fn scx_bpf_nr_cpu_ids(k: &mut Kernel) -> u32 {
    k.nr_cpus() as u32
}

/// Bound of node numbers (E-219).
pub fn scx_bpf_nr_node_ids(k: &mut Kernel) -> u32 {
    k.topology.nodes.len() as u32
}

/// CPUs that can exist (E-220).
pub fn scx_bpf_get_possible_cpumask(k: &mut Kernel) -> CpuMask {
    CpuMask::first_n(k.nr_cpus())
}

/// CPUs that are online (E-220).
pub fn scx_bpf_get_online_cpumask(k: &mut Kernel) -> CpuMask {
    k.online
}

/// Task that runs on a CPU (E-222).
pub fn scx_bpf_cpu_curr(k: &mut Kernel, cpu: i32) -> Option<TaskId> {
    let cpu = check_cpu(k, cpu)?;
    Some(k.rqs[cpu].curr)
}

/// CPU whose run queue is locked (E-222).
pub fn scx_bpf_locked_rq(k: &mut Kernel) -> Option<CpuId> {
    let locked = k.ext.cx[k.this_cpu()].locked_rq;
    if locked.is_none() {
        error(k, "accessing rq without holding rq lock");
    }
    locked
}

/// Time on this CPU (E-155).
pub fn scx_bpf_now(k: &mut Kernel) -> Ns {
    let rq = &k.rqs[k.this_cpu()];
    match rq.scx.clk_valid {
        true => rq.clock,
        false => k.now(),
    }
}

/// Event counters of the root scheduler (E-223).
pub fn scx_bpf_events(k: &mut Kernel) -> Events {
    k.ext.root().map(|s| s.events).unwrap_or_default()
}
