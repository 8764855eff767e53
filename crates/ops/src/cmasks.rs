//! What the kernel keeps in the arena of a scheduler of the cid form: for each CPU a mask by cid, which `set_cmask` is shown
//! (idle-and-cid M). [arena.c, scx_set_cmask_scratch_alloc]

use std::cell::Cell;

use scxr_bpf::vm::Machine;
use scxr_kernel::Kernel;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::kfunc;

/// Pages that the arena's allocator takes at least.
const GROWTH: u32 = 4;
const PAGE: usize = 4096;
/// Bytes of `struct scx_cmask` before its bits: base, nr_cids, alloc_words, padding.
const HEADER: usize = 16;

/// Masks, one a CPU, in an arena.
#[derive(Default)]
pub(crate) struct Cmasks {
    /// Address of the first; 0: there are none.
    base: Cell<u64>,
}

/// Words of a mask over `nr` cids (L2).
fn words(nr: usize) -> usize {
    nr.div_ceil(64) + 1
}

fn size(nr: usize) -> usize {
    HEADER + 8 * words(nr)
}

impl Cmasks {
    /// Makes them in the arena with that index; false: it has no room.
    pub(crate) fn set_up(&self, m: &Machine, arena: usize, nr_cpus: usize) -> bool {
        let pages = ((nr_cpus * size(nr_cpus)).div_ceil(PAGE) as u32).max(GROWTH);
        self.base.set(m.arena_alloc(m.map_address(arena), 0, pages));
        self.base.get() != 0
    }

    /// Address of this CPU's mask, which holds the CPUs of `mask` now.
    pub(crate) fn show(&self, k: &Kernel, m: &Machine, mask: &CpuMask) -> u64 {
        let nr = k.nr_cpus();
        let mut bytes = vec![0; size(nr)];
        bytes[4..8].copy_from_slice(&(nr as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&(words(nr) as u32).to_le_bytes());
        for cid in mask.iter().filter_map(|cpu| usize::try_from(kfunc::cpu_arg(k, cpu)).ok()) {
            bytes[HEADER + cid / 8] |= 1 << (cid % 8);
        }
        let at = self.base.get() + k.this_cpu().0 as u64 * size(nr) as u64;
        let written = m.write_bytes(at, &bytes);
        debug_assert!(written, "the whole arena is guest memory");
        at
    }
}
