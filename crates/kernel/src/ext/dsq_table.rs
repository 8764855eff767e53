//! Which dispatch queues there are: making them, finding them by id, ending them (E-104, E-108 to E-110).

use super::dsq::Dsq;
use super::exit::error;
use super::flags::{dsq_id, errno};
use super::sched::SchedId;
use crate::executor::Kernel;
use crate::ids::CpuId;
use crate::lock::LockId;
use crate::rcu::Garbage;
use crate::state::State;

impl State {
    /// Makes a queue; the result is its index.
    pub(crate) fn alloc_dsq(&mut self, id: u64, cpu: Option<CpuId>) -> u32 {
        match self.ext.dsqs_free.pop_front() {
            Some(i) => {
                self.ext.dsqs[i as usize] = Dsq::new(id, cpu);
                i
            }
            None => {
                self.ext.dsqs.push(Dsq::new(id, cpu));
                self.ext.dsqs.len() as u32 - 1
            }
        }
    }

    /// Ends a queue that is empty. A CPU may be on its way to it, so that its slot is free after a grace period only.
    pub(crate) fn free_dsq(&mut self, i: u32) {
        let dsq = &mut self.ext.dsqs[i as usize];
        debug_assert_eq!(dsq.nr, 0, "queue {:#x} has tasks", dsq.id);
        dsq.id = dsq_id::INVALID;
        self.call_rcu(Garbage::Dsq(i));
    }

    /// Places for queues, of those that exist and those that did.
    pub fn nr_dsq_slots(&self) -> usize {
        self.ext.dsqs.len()
    }

    /// A scheduler's global queue of the node of a CPU [find_global_dsq].
    pub(crate) fn global_dsq(&self, sched: SchedId, cpu: CpuId) -> u32 {
        let node = self.topology.cpus[cpu].node as usize;
        self.ext.scheds[sched].global_dsqs[node]
    }

    /// A scheduler's bypass queue of a CPU.
    pub(crate) fn bypass_dsq(&self, sched: SchedId, cpu: CpuId) -> u32 {
        self.ext.scheds[sched].pcpu[cpu].bypass_dsq
    }

    /// A scheduler's user queue by its id [find_user_dsq].
    pub(crate) fn user_dsq(&self, sched: SchedId, id: u64) -> Option<u32> {
        self.ext.scheds[sched].user_dsqs.get(&id).copied()
    }

    /// A CPU number from BPF [scx_cpu_valid].
    pub(crate) fn valid_cpu(&self, cpu: i32) -> Option<CpuId> {
        (cpu >= 0 && (cpu as usize) < self.nr_cpus()).then_some(CpuId(cpu as u32))
    }

    /// A CPU that a scheduler named, by its number, or by its cid where the table is of that form (E-22) [scx_cpu_ret].
    pub(crate) fn named_cpu(&self, sched: SchedId, number: i32) -> Option<CpuId> {
        match self.ext.scheds[sched].attrs.cid {
            true => self.ext.cids.cpu(number),
            false => self.valid_cpu(number),
        }
    }
}

/// The same, or the scheduler's error: `told` says what of a table of the cpu form.
pub(crate) fn named_cpu(k: &mut Kernel, sched: SchedId, number: i32, told: impl FnOnce() -> String) -> Option<CpuId> {
    let cpu = k.named_cpu(sched, number);
    if cpu.is_none() {
        let by_cid = k.ext.scheds[sched].attrs.cid && number >= 0;
        error(k, sched, if by_cid { format!("invalid cid {number}") } else { told() });
    }
    cpu
}

/// Resolves an id of a queue that a scheduler named, as seen from `rq` (E-108) [find_dsq_for_dispatch].
pub(crate) fn find_dsq_for_dispatch(k: &mut Kernel, sched: SchedId, rq: CpuId, id: u64, task_cpu: CpuId) -> u32 {
    if id == dsq_id::LOCAL {
        return rq.0;
    }
    if dsq_id::is_local_on(id) {
        let cpu = (id & 0xffff_ffff) as u32 as i32;
        let told = || format!("invalid CPU {cpu} in SCX_DSQ_LOCAL_ON dispatch verdict");
        return match named_cpu(k, sched, cpu, told) {
            Some(cpu) => cpu.0,
            None => k.global_dsq(sched, task_cpu),
        };
    }
    if id == dsq_id::GLOBAL {
        return k.global_dsq(sched, task_cpu);
    }
    match k.user_dsq(sched, id) {
        Some(dsq) => dsq,
        None => {
            error(k, sched, format!("non-existent DSQ 0x{id:x}"));
            k.global_dsq(sched, task_cpu)
        }
    }
}

/// Makes a user queue (E-109) [scx_bpf_create_dsq].
pub(crate) fn create(k: &mut Kernel, id: u64, node: i32) -> i32 {
    let nodes = k.topology.nodes.len() as i32;
    if !(-1..nodes).contains(&node) || id & dsq_id::BUILTIN != 0 {
        return -errno::EINVAL;
    }
    let Some(sched) = k.prog_sched() else {
        return -errno::ENODEV;
    };
    if k.user_dsq(sched, id).is_some() {
        return -errno::EEXIST;
    }
    let dsq = k.alloc_dsq(id, None);
    k.ext.scheds[sched].user_dsqs.insert(id, dsq);
    0
}

/// Ends a user queue (E-110) [destroy_dsq].
pub(crate) fn destroy(k: &mut Kernel, sched: SchedId, id: u64) {
    let Some(dsq) = k.user_dsq(sched, id) else { return };
    k.lock(LockId::Dsq(dsq));
    if k.user_dsq(sched, id) != Some(dsq) {
        return k.unlock(LockId::Dsq(dsq)); // destroyed meanwhile
    }
    let nr = k.ext.dsqs[dsq as usize].nr;
    if nr > 0 {
        k.unlock(LockId::Dsq(dsq));
        return error(k, sched, format!("attempting to destroy in-use dsq 0x{id:016x} (nr={nr})"));
    }
    k.ext.scheds[sched].user_dsqs.remove(&id);
    k.free_dsq(dsq);
    k.unlock(LockId::Dsq(dsq));
}
