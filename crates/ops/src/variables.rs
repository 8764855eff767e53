//! Variables of the kernel that programs read, one of each for each CPU.

use scxr_kernel::Kernel;
use scxr_kernel::ids::CpuId;

use crate::addr::{Kind, Place, addr};

/// By number: the name. A variable that is not here can be asked for, and no CPU has one.
const NAMES: [&str; 3] = ["runqueues", LLC_ID, CORE_PRIORITY];
/// The first CPU that shares the CPU's last-level cache [update_top_cache_domain].
const LLC_ID: &str = "sd_llc_id";
/// How much the firmware favours the CPU's core over others [sched_set_itmt_core_prio]: the model's favours none.
const CORE_PRIORITY: &str = "sched_core_priority";
/// Size of the integers among them.
const INT: u32 = 4;

/// Where a symbol of that name is: what programs hand to `bpf_per_cpu_ptr`, and do not follow.
pub(crate) fn symbol(name: &str, index: usize) -> u64 {
    let known = NAMES.iter().position(|n| *n == name);
    known.map_or_else(|| addr(Kind::Opaque, index as u32), |var| addr(Kind::Variable, var as u32))
}

/// Address of a CPU's copy; 0: there is no such variable or CPU.
pub(crate) fn of_cpu(k: &Kernel, symbol: u64, cpu: u32) -> u64 {
    let Some(var) = Place::at(symbol).filter(|p| p.kind == Kind::Variable && p.offset == 0) else { return 0 };
    match NAMES.get(var.id as usize) {
        None => 0,
        Some(_) if cpu as usize >= k.nr_cpus() => 0,
        Some(&"runqueues") => addr(Kind::Rq, cpu),
        Some(_) => addr(Kind::CpuVariable, var.id << CPU_BITS | cpu),
    }
}

/// Bits of a CPU's number.
const CPU_BITS: u32 = 16;

/// The integer of the copy with that number; `None`: what is loaded is not in it.
pub(crate) fn load(k: &Kernel, id: u32, offset: u32, size: u8) -> Option<u64> {
    let value = integer(k, NAMES.get((id >> CPU_BITS) as usize)?, id & ((1 << CPU_BITS) - 1))?;
    let end = offset.checked_add(size.into()).filter(|end| *end <= INT)?;
    Some(value >> (8 * offset) & (u64::MAX >> (64 - 8 * (end - offset))))
}

/// A variable that is an integer, of one CPU.
pub(crate) fn integer(k: &Kernel, name: &str, cpu: u32) -> Option<u64> {
    match name {
        _ if cpu as usize >= k.nr_cpus() => None,
        LLC_ID => k.topology.llc_mask(CpuId(cpu)).first().map(|first| first.0.into()),
        CORE_PRIORITY => Some(0),
        _ => None,
    }
}
