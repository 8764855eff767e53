//! Guest memory: one linear region, `[GUEST_BASE, GUEST_BASE + limit)`, whose first part programs may only read.
//!
//! The region is reserved zeroed and whole, so that addresses stay; the system commits pages when they are touched.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// Address of the first byte of guest memory.
pub const GUEST_BASE: u64 = 0x1000_0000_0000;

/// Alignment of every allocation, and of the region.
const ALIGN: usize = 16;

/// Plain integers that guest memory is read and written as.
pub(super) trait Word: Copy {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// The region. Not `Sync`: one thread owns it.
pub(super) struct Memory {
    ptr: NonNull<u8>,
    layout: Layout,
    /// `[0, ro_end)` is read-only for programs.
    ro_end: usize,
    /// `[0, limit)` is accessible. At least `ro_end + ALIGN`.
    limit: Cell<usize>,
    /// Freed blocks by size.
    free: RefCell<BTreeMap<usize, Vec<usize>>>,
}

impl Memory {
    /// Reserves `size` bytes, of which the first `ro` are read-only. `None`: the system refuses.
    pub(super) fn new(ro: usize, size: usize) -> Option<Memory> {
        let ro_end = ro.next_multiple_of(ALIGN);
        let size = size.max(ro_end + ALIGN);
        let layout = Layout::from_size_align(size, ALIGN).ok()?;
        // SAFETY: the layout's size is not zero.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Memory { ptr, layout, ro_end, limit: Cell::new(ro_end + ALIGN), free: RefCell::default() })
    }

    /// A zeroed block; `None`: no memory left.
    pub(super) fn alloc(&self, size: usize) -> Option<u64> {
        let size = size.max(1).checked_next_multiple_of(ALIGN)?;
        let recycled = self.free.borrow_mut().get_mut(&size).and_then(Vec::pop);
        let at = match recycled {
            Some(at) => at,
            None => {
                let at = self.limit.get();
                let end = at.checked_add(size).filter(|end| *end <= self.layout.size())?;
                self.limit.set(end);
                return Some(GUEST_BASE + at as u64);
            }
        };
        // SAFETY: the block lies in [0, limit): it was allocated with this size before.
        unsafe { self.ptr.as_ptr().add(at).write_bytes(0, size) };
        Some(GUEST_BASE + at as u64)
    }

    /// Gives a block of [`Memory::alloc`] back. `size` is the one that it was asked for.
    pub(super) fn free(&self, addr: u64, size: usize) {
        let size = size.max(1).next_multiple_of(ALIGN);
        let at = (addr - GUEST_BASE) as usize;
        debug_assert!(at >= self.ro_end && at + size <= self.limit.get());
        self.free.borrow_mut().entry(size).or_default().push(at);
    }

    /// Offset of `addr` when `[addr, addr + size)` is readable.
    #[inline(always)]
    fn readable(&self, addr: u64, size: usize) -> Option<usize> {
        let off = addr.wrapping_sub(GUEST_BASE) as usize;
        let limit = self.limit.get();
        (size <= limit && off <= limit - size).then_some(off)
    }

    /// Offset of `addr` when `[addr, addr + size)` is writable.
    #[inline(always)]
    fn writable(&self, addr: u64, size: usize) -> Option<usize> {
        let off = addr.wrapping_sub(GUEST_BASE + self.ro_end as u64) as usize;
        let limit = self.limit.get() - self.ro_end;
        (size <= limit && off <= limit - size).then(|| off + self.ro_end)
    }

    /// Host address of the region's first byte.
    pub(super) fn base(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// How many bytes, from the first, are accessible.
    pub(super) fn limit(&self) -> &Cell<usize> {
        &self.limit
    }

    /// How many bytes, from the first, are read-only.
    pub(super) fn ro_end(&self) -> usize {
        self.ro_end
    }

    /// Does `addr` lie in the region?
    pub(super) fn contains(&self, addr: u64) -> bool {
        addr.wrapping_sub(GUEST_BASE) < self.layout.size() as u64
    }

    /// Does `addr` lie in the read-only part?
    pub(super) fn is_read_only(&self, addr: u64) -> bool {
        addr.wrapping_sub(GUEST_BASE) < self.ro_end as u64
    }

    /// Loads an integer in the host's byte order, which must be little-endian (checked when a machine is made).
    #[inline(always)]
    pub(super) fn load<T: Word>(&self, addr: u64) -> Option<T> {
        let off = self.readable(addr, size_of::<T>())?;
        // SAFETY: `readable` saw that the bytes lie in the region; any bytes are a valid integer.
        Some(unsafe { self.ptr.as_ptr().add(off).cast::<T>().read_unaligned() })
    }

    /// Stores an integer. False: not writable.
    #[inline(always)]
    #[must_use]
    pub(super) fn store<T: Word>(&self, addr: u64, value: T) -> bool {
        let Some(off) = self.writable(addr, size_of::<T>()) else { return false };
        // SAFETY: `writable` saw that the bytes lie in the region; no reference into it exists.
        unsafe { self.ptr.as_ptr().add(off).cast::<T>().write_unaligned(value) };
        true
    }

    /// Fills `out` from `addr`.
    #[must_use]
    pub(super) fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let Some(off) = self.readable(addr, out.len()) else { return false };
        // SAFETY: source checked by `readable`; `out` is outside the region, into which no reference exists.
        unsafe { self.ptr.as_ptr().add(off).copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) };
        true
    }

    /// Writes `data` to `addr`.
    #[must_use]
    pub(super) fn write(&self, addr: u64, data: &[u8]) -> bool {
        let Some(off) = self.writable(addr, data.len()) else { return false };
        // SAFETY: destination checked by `writable`; `data` is outside the region, into which no reference exists.
        unsafe { self.ptr.as_ptr().add(off).copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        true
    }

    /// Writes `data` at offset `at` of the read-only part, when the machine is made.
    pub(super) fn initialize_read_only(&mut self, at: usize, data: &[u8]) {
        assert!(at + data.len() <= self.ro_end, "read-only data outside of its part");
        // SAFETY: the assertion; nobody else sees the region while `&mut self` is held.
        unsafe { self.ptr.as_ptr().add(at).copy_from_nonoverlapping(data.as_ptr(), data.len()) };
    }

    /// Copies `len` bytes inside guest memory; they may overlap.
    #[must_use]
    pub(super) fn copy(&self, dst: u64, src: u64, len: usize) -> bool {
        let (Some(d), Some(s)) = (self.writable(dst, len), self.readable(src, len)) else { return false };
        // SAFETY: both ranges were checked; `copy` allows overlap.
        unsafe { self.ptr.as_ptr().add(s).copy_to(self.ptr.as_ptr().add(d), len) };
        true
    }

    /// Zeroes `len` bytes.
    #[must_use]
    pub(super) fn zero(&self, addr: u64, len: usize) -> bool {
        let Some(off) = self.writable(addr, len) else { return false };
        // SAFETY: checked by `writable`.
        unsafe { self.ptr.as_ptr().add(off).write_bytes(0, len) };
        true
    }

    /// Are the bytes at `addr` equal to `data`? False where they are not readable.
    #[inline]
    pub(super) fn equals(&self, addr: u64, data: &[u8]) -> bool {
        if let Ok(word) = <[u8; 4]>::try_from(data) {
            return self.load::<u32>(addr) == Some(u32::from_le_bytes(word));
        }
        if let Ok(word) = <[u8; 8]>::try_from(data) {
            return self.load::<u64>(addr) == Some(u64::from_le_bytes(word));
        }
        let Some(off) = self.readable(addr, data.len()) else { return false };
        // SAFETY: checked by `readable`; the slice lives for this comparison only, during which nobody writes.
        let bytes = unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().add(off), data.len()) };
        bytes == data
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let mem = Memory::new(32, 4096).unwrap();
        let block = mem.alloc(16).unwrap();
        let (start, end) = (GUEST_BASE, block + 16);
        let check = |addr: u64, readable: bool, writable: bool| {
            assert_eq!(mem.load::<u64>(addr).is_some(), readable, "load at {addr:#x}");
            assert_eq!(mem.read(addr, &mut [0; 8]), readable, "read at {addr:#x}");
            assert_eq!(mem.store::<u64>(addr, 1), writable, "store at {addr:#x}");
            assert_eq!(mem.write(addr, &[1; 8]), writable, "write at {addr:#x}");
            assert_eq!(mem.copy(addr, block, 8), writable, "copy to {addr:#x}");
            assert_eq!(mem.zero(addr, 8), writable, "zero at {addr:#x}");
        };
        check(start - 1, false, false);
        check(start, true, false);
        // Partly in the read-only part.
        check(start + 28, true, false);
        check(start + 32, true, true);
        check(end - 8, true, true);
        check(end - 7, false, false);
        check(end, false, false);
        check(u64::MAX - 3, false, false);
        check(0, false, false);
        assert!(!mem.read(start, &mut [0; 5000]) && !mem.equals(end - 2, &[0; 3]) && mem.equals(end - 3, &[0; 3]));
    }

    #[test]
    fn blocks_come_back_zeroed_and_memory_ends() {
        let mem = Memory::new(0, 4096).unwrap();
        let a = mem.alloc(100).unwrap();
        assert!(mem.write(a, &[7; 100]));
        mem.free(a, 100);
        assert_eq!(mem.alloc(200), Some(a + 112));
        assert_eq!(mem.alloc(110), Some(a));
        assert!(mem.equals(a, &[0; 112]));
        assert_eq!(mem.alloc(4096), None);
        assert_eq!(mem.alloc(usize::MAX), None);
    }
}
