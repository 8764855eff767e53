//! ARRAY and PERCPU_ARRAY, and global data, which are arrays of one value.

use super::user::ElementKey;
use super::{MapFlags, MapResult, errno, stride};
use crate::image::MapDef;
use crate::vm::memory::{GUEST_BASE, Memory};

/// An array: `cpus` copies of `entries` values.
pub(in crate::vm) struct Array {
    base: u64,
    stride: u64,
    entries: u32,
    cpus: u32,
    per_cpu: bool,
}

impl Array {
    /// A writable array; global data starts with its contents.
    pub(super) fn new(def: &MapDef, cpus: u32, mem: &Memory) -> Option<Array> {
        let stride = stride(def.value_size).max(8);
        let base = mem.alloc((stride * u64::from(def.max_entries) * u64::from(cpus)) as usize)?;
        let initial = def.initial.as_deref().unwrap_or(&[]);
        let per_cpu = def.map_type == super::map_type::PERCPU_ARRAY;
        mem.write(base, initial).then_some(Array { base, stride, entries: def.max_entries, cpus, per_cpu })
    }

    /// An array in the read-only part, `at` bytes from its start.
    pub(super) fn read_only(def: &MapDef, at: u64, mem: &mut Memory) -> Array {
        mem.initialize_read_only(at as usize, def.initial.as_deref().unwrap_or(&[]));
        let stride = stride(def.value_size).max(8);
        Array { base: GUEST_BASE + at, stride, entries: def.max_entries, cpus: 1, per_cpu: false }
    }

    pub(in crate::vm) fn per_cpu(&self) -> bool {
        self.per_cpu
    }

    pub(in crate::vm) fn entries(&self) -> u32 {
        self.entries
    }

    /// Address of `cpu`'s copy of an element that exists.
    #[inline]
    pub(in crate::vm) fn value(&self, index: u32, cpu: u32) -> u64 {
        debug_assert!(index < self.entries);
        let cpu = if self.per_cpu { cpu } else { 0 };
        self.base + (u64::from(cpu) * u64::from(self.entries) + u64::from(index)) * self.stride
    }

    /// Address of `cpu`'s copy of element `index`; 0: out of bounds.
    #[inline]
    pub(in crate::vm) fn lookup(&self, index: u32, cpu: u32) -> u64 {
        if index < self.entries && (!self.per_cpu || cpu < self.cpus) { self.value(index, cpu) } else { 0 }
    }

    /// Index and value of the element that holds `addr`, of arrays that all CPUs share.
    pub(in crate::vm) fn element_at(&self, addr: u64) -> Option<(ElementKey, u64)> {
        let index = u32::try_from(addr.checked_sub(self.base)? / self.stride).ok()?;
        (index < self.entries && !self.per_cpu).then(|| (ElementKey::Index(index), self.value(index, 0)))
    }

    /// May element `index` be updated with `flags`? [array_map_update_elem]
    pub(in crate::vm) fn check_update(&self, index: u32, flags: u64) -> MapResult {
        match flags & !MapFlags::LOCK {
            f if f > MapFlags::EXIST => Err(errno::EINVAL),
            _ if index >= self.entries => Err(errno::E2BIG),
            MapFlags::NOEXIST => Err(errno::EEXIST),
            _ => Ok(()),
        }
    }
}
