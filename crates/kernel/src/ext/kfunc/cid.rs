//! Topological CPU ids (idle-and-cid K). A cid is translated and the function of the CPU's called.

use super::super::cid::CidTopo;
use super::cpu::{scx_bpf_cpu_curr, scx_bpf_cpuperf_cap, scx_bpf_cpuperf_cur, scx_bpf_cpuperf_set, scx_bpf_kick_cpu};
use super::error;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

const EINVAL: i32 = -22;

/// The CPU with that cid, or the scheduler's error.
fn check_cid(k: &mut Kernel, cid: i32) -> Option<i32> {
    let cpu = k.ext.cids.cpu(cid);
    if cpu.is_none() {
        error(k, format!("invalid cid {cid}"));
    }
    cpu.map(|cpu| cpu.0 as i32)
}

/// The CPU with that cid, or -EINVAL (K2).
pub fn scx_bpf_cid_to_cpu(k: &mut Kernel, cid: i32) -> i32 {
    check_cid(k, cid).unwrap_or(EINVAL)
}

/// The cid of a CPU, or -EINVAL (K2).
pub fn scx_bpf_cpu_to_cid(k: &mut Kernel, cpu: i32) -> i32 {
    let cid = u32::try_from(cpu).ok().and_then(|cpu| k.ext.cids.cid(CpuId(cpu)));
    cid.unwrap_or_else(|| {
        error(k, format!("invalid CPU {cpu}"));
        EINVAL
    })
}

/// Where the CPU with that cid is (K2).
pub fn scx_bpf_cid_topo(k: &mut Kernel, cid: i32) -> CidTopo {
    match check_cid(k, cid) {
        Some(_) => k.ext.cids.topo(cid),
        None => CidTopo::NONE,
    }
}

/// A CPU as an operation of the program's scheduler is told of it: its number or its cid (E-22) [scx_cpu_arg].
pub fn cpu_arg(k: &Kernel, cpu: CpuId) -> i32 {
    k.ext.cids.cid(cpu).unwrap_or(EINVAL)
}

/// Number of cids (K3).
pub fn scx_bpf_nr_cids(k: &mut Kernel) -> u32 {
    k.nr_cpus() as u32
}

/// Number of CPUs that are online (K3).
pub fn scx_bpf_nr_online_cids(k: &mut Kernel) -> u32 {
    k.online.weight() as u32
}

/// The cid of this CPU (K3).
pub fn scx_bpf_this_cid(k: &mut Kernel) -> i32 {
    k.ext.cids.cid(k.this_cpu()).unwrap_or(EINVAL)
}

/// The cid of the CPU that a task is on (K3).
pub fn scx_bpf_task_cid(k: &mut Kernel, p: TaskId) -> i32 {
    k.ext.cids.cid(k.task(p).cpu).unwrap_or(EINVAL)
}

/// Task that runs on a CPU (K3).
pub fn scx_bpf_cid_curr(k: &mut Kernel, cid: i32) -> Option<TaskId> {
    let cpu = check_cid(k, cid)?;
    scx_bpf_cpu_curr(k, cpu)
}

/// Has a CPU reschedule (K3).
pub fn scx_bpf_kick_cid(k: &mut Kernel, cid: i32, flags: u64) {
    if let Some(cpu) = check_cid(k, cid) {
        scx_bpf_kick_cpu(k, cpu, flags);
    }
}

/// Greatest performance of a CPU, of 1024 (K3).
pub fn scx_bpf_cidperf_cap(k: &mut Kernel, cid: i32) -> u32 {
    check_cid(k, cid).map_or(1024, |cpu| scx_bpf_cpuperf_cap(k, cpu))
}

/// Performance of a CPU now, of 1024 (K3).
pub fn scx_bpf_cidperf_cur(k: &mut Kernel, cid: i32) -> u32 {
    check_cid(k, cid).map_or(1024, |cpu| scx_bpf_cpuperf_cur(k, cpu))
}

/// Sets the performance target of a CPU (K3).
pub fn scx_bpf_cidperf_set(k: &mut Kernel, cid: i32, perf: u32) {
    if let Some(cpu) = check_cid(k, cid) {
        scx_bpf_cpuperf_set(k, cpu, perf);
    }
}

/// Gives the CPUs other cids, one for each (K1).
pub fn scx_bpf_cid_override(k: &mut Kernel, cpu_to_cid: &[i32]) {
    let n = k.nr_cpus();
    if cpu_to_cid.len() != n {
        return error(k, format!("cpu_to_cid has {} numbers, not {n}", cpu_to_cid.len()));
    }
    if let Err(why) = k.ext.cids.set(cpu_to_cid) {
        error(k, why);
    }
}
