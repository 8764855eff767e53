//! ARENA: pages that programs and user space share. [kernel/bpf/arena.c]
//!
//! The whole arena lies in guest memory, so that an arena pointer is an ordinary guest address, in both address spaces. What was not
//! allocated can be read and written as well; on Linux it reads zero and writes are lost.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::image::MapDef;
use crate::vm::memory::Memory;

/// Bytes of a page.
pub(in crate::vm) const PAGE: u64 = 4096;

/// An arena.
pub(in crate::vm) struct Arena {
    base: u64,
    pages: u64,
    /// Allocated ranges: first page and number.
    used: RefCell<BTreeMap<u64, u64>>,
}

impl Arena {
    /// With the object's variables, if it has any, in the first pages.
    pub(super) fn new(def: &MapDef, mem: &Memory) -> Option<Arena> {
        let pages = u64::from(def.max_entries);
        let block = mem.alloc(((pages + 1) * PAGE) as usize)?;
        let arena = Arena { base: block.next_multiple_of(PAGE), pages, used: RefCell::default() };
        let initial = def.initial.as_deref().unwrap_or(&[]);
        if !initial.is_empty() {
            arena.alloc(mem, 0, (initial.len() as u64).div_ceil(PAGE))?;
        }
        mem.write(arena.base, initial).then_some(arena)
    }

    /// Address of a byte of the arena.
    pub(in crate::vm) fn at(&self, offset: u64) -> Option<u64> {
        (offset < self.pages * PAGE).then(|| self.base + offset)
    }

    /// Do `len` bytes at an address lie in it?
    pub(in crate::vm) fn holds(&self, addr: u64, len: u64) -> bool {
        let end = addr.checked_sub(self.base).and_then(|offset| offset.checked_add(len));
        end.is_some_and(|end| end <= self.pages * PAGE)
    }

    /// Allocates `n` zeroed pages, at `at` if that is not 0; the address.
    pub(in crate::vm) fn alloc(&self, mem: &Memory, at: u64, n: u64) -> Option<u64> {
        if n == 0 || n > self.pages {
            return None;
        }
        let mut used = self.used.borrow_mut();
        let mut first = 0;
        if at == 0 {
            for (&start, &len) in used.iter() {
                if start - first >= n {
                    break;
                }
                first = start + len;
            }
        } else {
            let offset = at.checked_sub(self.base).filter(|offset| offset.is_multiple_of(PAGE))?;
            first = offset / PAGE;
            let overlaps = used.range(..first + n).next_back().is_some_and(|(start, len)| start + len > first);
            if overlaps {
                return None;
            }
        }
        if first + n > self.pages {
            return None;
        }
        used.insert(first, n);
        let addr = self.base + first * PAGE;
        mem.zero(addr, (n * PAGE) as usize).then_some(addr)
    }

    /// Frees `n` pages at `addr`, as far as they were allocated.
    pub(in crate::vm) fn free(&self, addr: u64, n: u64) {
        let Some(first) = addr.checked_sub(self.base).map(|offset| offset / PAGE) else { return };
        let end = first.saturating_add(n);
        let mut used = self.used.borrow_mut();
        let touched: Vec<(u64, u64)> =
            used.range(..end).map(|(s, l)| (*s, *l)).filter(|(s, l)| s + l > first).collect();
        for (start, len) in touched {
            used.remove(&start);
            if start < first {
                used.insert(start, first - start);
            }
            if start + len > end {
                used.insert(end, start + len - end);
            }
        }
    }

    /// Pages that are allocated.
    pub(in crate::vm) fn nr_used(&self) -> u64 {
        self.used.borrow().values().sum()
    }
}
