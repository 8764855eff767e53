//! CPU masks as programs see them: the kernel's own, tasks' affinities, and those that programs make.

use std::cell::RefCell;

use scxr_bpf::vm::HostError;
use scxr_kernel::Kernel;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::kfunc;
use scxr_kernel::ids::{CpuId, TaskId};

use crate::addr::{Kind, Place, addr, mask};
use crate::fields::FieldTables;

/// One of the kernel's masks by its number.
pub(crate) fn kernel_mask(k: &Kernel, id: u32) -> Option<CpuMask> {
    Some(match id {
        mask::POSSIBLE => CpuMask::first_n(k.nr_cpus()),
        mask::ONLINE => k.online,
        mask::IDLE => kfunc::idle_cpumask_view(k, None, false),
        mask::SMT => kfunc::idle_cpumask_view(k, None, true),
        mask::EMPTY => CpuMask::EMPTY,
        _ => {
            let node = id & 0xffff;
            kfunc::idle_cpumask_view(k, Some(node), id & mask::SMT_NODE != 0)
        }
    })
}

/// Masks that programs made (`bpf_cpumask_create`), reference-counted.
#[derive(Default)]
pub(crate) struct OwnedMasks {
    slots: RefCell<Vec<Option<(CpuMask, u32)>>>,
}

impl OwnedMasks {
    /// A new empty mask with one reference; its address.
    pub(crate) fn create(&self) -> u64 {
        let mut slots = self.slots.borrow_mut();
        let id = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        if id == slots.len() {
            slots.push(None);
        }
        slots[id] = Some((CpuMask::EMPTY, 1));
        addr(Kind::OwnedMask, id as u32)
    }

    /// The mask with that number.
    pub(crate) fn get(&self, id: u32) -> Option<CpuMask> {
        self.slots.borrow().get(id as usize)?.map(|(m, _)| m)
    }

    /// One more reference.
    pub(crate) fn acquire(&self, id: u32) -> bool {
        match self.slots.borrow_mut().get_mut(id as usize) {
            Some(Some((_, refs))) => {
                *refs += 1;
                true
            }
            _ => false,
        }
    }

    /// One reference less; the last one frees it.
    pub(crate) fn release(&self, id: u32) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(id as usize) else { return false };
        let Some((_, refs)) = slot else { return false };
        *refs -= 1;
        if *refs == 0 {
            *slot = None;
        }
        true
    }

    /// Changes the mask at `address`, which must be one of these.
    pub(crate) fn update<R>(&self, address: u64, f: impl FnOnce(&mut CpuMask) -> R) -> Result<R, HostError> {
        let bad = || HostError::BadAccess(format!("{address:#x} is not a bpf_cpumask"));
        let place = Place::at(address).filter(|p| p.kind == Kind::OwnedMask && p.offset == 0).ok_or_else(bad)?;
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(place.id as usize).and_then(Option::as_mut).ok_or_else(bad)?;
        Ok(f(&mut slot.0))
    }
}

/// Bytes of a mask in memory of programs.
pub(crate) fn size(k: &Kernel) -> usize {
    k.nr_cpus().div_ceil(64) * 8
}

/// A mask as it is in memory.
pub(crate) fn from_bytes(k: &Kernel, bytes: &[u8]) -> CpuMask {
    let set = |cpu: &CpuId| bytes[cpu.idx() / 8] >> (cpu.idx() % 8) & 1 != 0;
    (0..k.nr_cpus() as u32).map(CpuId).filter(set).collect()
}

/// A mask as it is put into memory.
pub(crate) fn to_bytes(k: &Kernel, mask: &CpuMask) -> Vec<u8> {
    let mut bytes = vec![0; size(k)];
    for cpu in mask.iter().filter(|cpu| cpu.idx() < k.nr_cpus()) {
        bytes[cpu.idx() / 8] |= 1 << (cpu.idx() % 8);
    }
    bytes
}

/// The mask behind a `const struct cpumask *`.
pub(crate) fn read_mask(
    k: &Kernel,
    fields: &FieldTables,
    owned: &OwnedMasks,
    address: u64,
) -> Result<CpuMask, HostError> {
    let found = Place::at(address).and_then(|place| match place.kind {
        Kind::Task if fields.is_cpus_mask(place.offset) => k.find_task(TaskId(place.id)).map(|t| t.cpus),
        Kind::Mask if place.offset == 0 => kernel_mask(k, place.id),
        Kind::OwnedMask if place.offset == 0 => owned.get(place.id),
        _ => None,
    });
    found.ok_or_else(|| HostError::BadAccess(format!("{address:#x} is not a cpumask")))
}
