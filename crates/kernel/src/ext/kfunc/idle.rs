//! Idle CPUs and CPU selection (idle-and-cid H).

use super::super::call::kfunc;
use super::super::flags::{errno, pick_idle};
use super::super::idle::{Domain, check_enabled, select_cpu_from_kfunc};
use super::error;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

fn scan_cost(k: &mut Kernel) {
    kfunc(k);
    let cost = k.cost.select_cpu_scan;
    k.charge(cost);
}

fn result(cpu: Option<CpuId>) -> i32 {
    cpu.map_or(-errno::EBUSY, |c| c.0 as i32)
}

/// The default CPU selection (H1): a CPU, and whether it was idle and is claimed now.
pub fn scx_bpf_select_cpu_dfl(k: &mut Kernel, p: TaskId, prev_cpu: i32, wake_flags: u64) -> (i32, bool) {
    kfunc(k);
    if k.prog_sched().is_none() {
        return (-errno::ENODEV, false);
    }
    match select_cpu_from_kfunc(k, p, prev_cpu, wake_flags, None, 0) {
        cpu if cpu >= 0 => (cpu, true),
        _ => (prev_cpu, false),
    }
}

/// The same among the CPUs of a mask (H2): an idle CPU, claimed, or -errno.
pub fn scx_bpf_select_cpu_and(
    k: &mut Kernel,
    p: TaskId,
    prev_cpu: i32,
    wake_flags: u64,
    mask: &CpuMask,
    flags: u64,
) -> i32 {
    kfunc(k);
    if k.prog_sched().is_none() {
        return -errno::ENODEV;
    }
    // A task's own mask is as none (G1).
    let own = k.find_task(p).is_some_and(|t| t.cpus == *mask);
    let mask = (!own).then_some(mask);
    select_cpu_from_kfunc(k, p, prev_cpu, wake_flags, mask, flags)
}

/// Claims a CPU if it is idle (H7).
pub fn scx_bpf_test_and_clear_cpu_idle(k: &mut Kernel, cpu: i32) -> bool {
    kfunc(k);
    if k.prog_sched().is_none() || !check_enabled(k) {
        return false;
    }
    match k.valid_cpu(cpu) {
        Some(cpu) => k.test_and_clear_idle(cpu),
        None => {
            error(k, format!("invalid CPU {cpu}"));
            false
        }
    }
}

fn refuse_per_node(k: &mut Kernel) -> bool {
    let per_node = k.ext.idle.per_node;
    if per_node {
        error(k, "per-node idle tracking is enabled");
    }
    per_node
}

/// Claims an idle CPU of a mask (H8): the CPU or -errno.
pub fn scx_bpf_pick_idle_cpu(k: &mut Kernel, mask: &CpuMask, flags: u64) -> i32 {
    scan_cost(k);
    if k.prog_sched().is_none() {
        return -errno::ENODEV;
    }
    if refuse_per_node(k) || !check_enabled(k) {
        return -errno::EBUSY;
    }
    result(k.pick_idle(mask, None, flags))
}

/// Claims an idle CPU of a mask, or else names any of its CPUs (H8).
pub fn scx_bpf_pick_any_cpu(k: &mut Kernel, mask: &CpuMask, flags: u64) -> i32 {
    scan_cost(k);
    if k.prog_sched().is_none() {
        return -errno::ENODEV;
    }
    if refuse_per_node(k) {
        return -errno::EBUSY;
    }
    let idle = k.ext.idle.enabled;
    let found = idle.then(|| k.pick_idle(mask, None, flags)).flatten();
    result(found.or_else(|| k.any_distribute(mask)))
}

/// H10 [validate_node]
fn check_node(k: &mut Kernel, node: i32) -> Result<Domain, i32> {
    if k.prog_sched().is_none() {
        return Err(-errno::ENODEV);
    }
    if !k.ext.idle.per_node {
        error(k, "per-node idle tracking is disabled");
        return Err(-errno::EOPNOTSUPP);
    }
    if node == -1 {
        return Err(-errno::ENOENT);
    }
    if node < 0 || node as usize >= k.topology.nodes.len() {
        error(k, format!("invalid node {node}"));
        return Err(-errno::EINVAL);
    }
    Ok(Some(node as u32))
}

/// Claims an idle CPU of a mask, of a node first (H9).
pub fn scx_bpf_pick_idle_cpu_node(k: &mut Kernel, mask: &CpuMask, node: i32, flags: u64) -> i32 {
    scan_cost(k);
    match check_node(k, node) {
        Ok(domain) => result(k.pick_idle(mask, domain, flags)),
        Err(e) => e,
    }
}

/// Claims an idle CPU of a mask, of a node first, or else names any (H9).
pub fn scx_bpf_pick_any_cpu_node(k: &mut Kernel, mask: &CpuMask, node: i32, flags: u64) -> i32 {
    scan_cost(k);
    let domain = match check_node(k, node) {
        Ok(domain) => domain,
        Err(e) => return e,
    };
    let found = k.pick_idle(mask, domain, flags).or_else(|| {
        let any = match flags & pick_idle::IN_NODE {
            0 => *mask,
            _ => mask.and(&k.topology.nodes[node as usize]),
        };
        k.any_distribute(&any)
    });
    result(found)
}

/// Which idle mask.
#[derive(Clone, Copy)]
enum Which {
    Cpus,
    Cores,
}

fn global_mask(k: &mut Kernel, which: Which) -> CpuMask {
    if k.prog_sched().is_none() {
        return CpuMask::EMPTY;
    }
    if k.ext.idle.per_node {
        error(k, "SCX_OPS_BUILTIN_IDLE_PER_NODE enabled");
        return CpuMask::EMPTY;
    }
    match check_enabled(k) {
        true => mask_of(k, None, which),
        false => CpuMask::EMPTY,
    }
}

fn node_mask(k: &mut Kernel, node: i32, which: Which) -> CpuMask {
    match check_node(k, node) {
        Ok(domain) => mask_of(k, domain, which),
        Err(_) => CpuMask::EMPTY,
    }
}

/// Without SMT there is one mask (A4).
fn mask_of(k: &Kernel, domain: Domain, which: Which) -> CpuMask {
    let masks = k.ext.idle.masks(domain);
    match which {
        Which::Cores if k.topology.has_smt() => masks.smt,
        _ => masks.cpu,
    }
}

/// Idle CPUs (H11).
pub fn scx_bpf_get_idle_cpumask(k: &mut Kernel) -> CpuMask {
    global_mask(k, Which::Cpus)
}

/// CPUs of idle cores (H11).
pub fn scx_bpf_get_idle_smtmask(k: &mut Kernel) -> CpuMask {
    global_mask(k, Which::Cores)
}

/// Idle CPUs of a node (H11).
pub fn scx_bpf_get_idle_cpumask_node(k: &mut Kernel, node: i32) -> CpuMask {
    node_mask(k, node, Which::Cpus)
}

/// CPUs of idle cores of a node (H11).
pub fn scx_bpf_get_idle_smtmask_node(k: &mut Kernel, node: i32) -> CpuMask {
    node_mask(k, node, Which::Cores)
}

/// NUMA node of a CPU; -1 if there is none (H12).
pub fn scx_bpf_cpu_node(k: &mut Kernel, cpu: i32) -> i32 {
    match k.valid_cpu(cpu) {
        Some(cpu) => k.topology.cpus[cpu].node as i32,
        None => {
            error(k, format!("invalid CPU {cpu}"));
            -1
        }
    }
}
