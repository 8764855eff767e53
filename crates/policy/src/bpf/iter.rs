//! The kernel's open-coded iterators. Each is on the stack and must not be moved: reading it is an error to the verifier.

use core::mem::MaybeUninit;

use super::kernel::RawTask;
use super::sys::kfunc::*;
use super::sys::types::{bpf_iter_num, bpf_iter_scx_dsq};

/// Where an iterator over numbers is.
#[derive(Debug)]
#[repr(C)]
pub struct NumSlot(MaybeUninit<bpf_iter_num>);

impl NumSlot {
    #[inline(always)]
    #[allow(clippy::new_without_default, reason = "for macros")]
    pub fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    #[inline(always)]
    pub fn start(&mut self, start: i32, end: i32) {
        // SAFETY: the iterator is ours; what it refuses gives no numbers.
        unsafe { bpf_iter_num_new::call(self.0.as_mut_ptr(), start, end) };
    }

    #[inline(always)]
    pub fn step(&mut self) -> Option<i32> {
        // SAFETY: `start` made it; a pointer that is not null is to a number in it.
        unsafe { bpf_iter_num_next::call(self.0.as_mut_ptr()).as_ref() }.copied()
    }

    #[inline(always)]
    pub fn end(&mut self) {
        // SAFETY: `start` made it.
        unsafe { bpf_iter_num_destroy::call(self.0.as_mut_ptr()) }
    }
}

/// Where an iterator over a DSQ is.
#[derive(Debug)]
#[repr(C)]
pub struct DsqSlot(MaybeUninit<bpf_iter_scx_dsq>);

/// An iterator, to move what it has come to.
#[derive(Clone, Copy, Debug)]
pub struct DsqCursor(*mut bpf_iter_scx_dsq);

impl DsqSlot {
    #[inline(always)]
    #[allow(clippy::new_without_default, reason = "for macros")]
    pub fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    #[inline(always)]
    pub fn start(&mut self, dsq_id: u64, flags: u64) {
        // SAFETY: the iterator is ours; what it refuses gives no tasks.
        unsafe { bpf_iter_scx_dsq_new::call(self.0.as_mut_ptr(), dsq_id, flags) };
    }

    #[inline(always)]
    pub fn step(&mut self) -> Option<RawTask> {
        // SAFETY: `start` made it.
        let p = unsafe { bpf_iter_scx_dsq_next::call(self.0.as_mut_ptr()) };
        if p.is_null() { None } else { Some(p) }
    }

    #[inline(always)]
    pub fn cursor(&mut self) -> DsqCursor {
        DsqCursor(self.0.as_mut_ptr())
    }

    #[inline(always)]
    pub fn end(&mut self) {
        // SAFETY: `start` made it.
        unsafe { bpf_iter_scx_dsq_destroy::call(self.0.as_mut_ptr()) }
    }
}

/// Before 6.13 the functions were called dispatch.
impl DsqCursor {
    #[inline(always)]
    pub fn set_slice(self, slice: u64) {
        // SAFETY: the iterator is alive: the task that holds this borrows it.
        unsafe {
            if scx_bpf_dsq_move_set_slice___new::exists() {
                scx_bpf_dsq_move_set_slice___new::call(self.0, slice);
            } else if scx_bpf_dispatch_from_dsq_set_slice___compat::exists() {
                scx_bpf_dispatch_from_dsq_set_slice___compat::call(self.0, slice);
            }
        }
    }

    #[inline(always)]
    pub fn set_vtime(self, vtime: u64) {
        // SAFETY: as in `set_slice`.
        unsafe {
            if scx_bpf_dsq_move_set_vtime___new::exists() {
                scx_bpf_dsq_move_set_vtime___new::call(self.0, vtime);
            } else if scx_bpf_dispatch_from_dsq_set_vtime___compat::exists() {
                scx_bpf_dispatch_from_dsq_set_vtime___compat::call(self.0, vtime);
            }
        }
    }

    #[inline(always)]
    pub fn move_to(self, p: RawTask, dsq_id: u64, enq_flags: u64) -> bool {
        // SAFETY: as in `set_slice`; `p` is the task that the iterator has come to.
        unsafe {
            if scx_bpf_dsq_move___new::exists() {
                scx_bpf_dsq_move___new::call(self.0, p, dsq_id, enq_flags)
            } else if scx_bpf_dispatch_from_dsq___compat::exists() {
                scx_bpf_dispatch_from_dsq___compat::call(self.0, p, dsq_id, enq_flags)
            } else {
                false
            }
        }
    }

    #[inline(always)]
    pub fn move_to_vtime(self, p: RawTask, dsq_id: u64, enq_flags: u64) -> bool {
        // SAFETY: as in `move_to`.
        unsafe {
            if scx_bpf_dsq_move_vtime___new::exists() {
                scx_bpf_dsq_move_vtime___new::call(self.0, p, dsq_id, enq_flags)
            } else if scx_bpf_dispatch_vtime_from_dsq___compat::exists() {
                scx_bpf_dispatch_vtime_from_dsq___compat::call(self.0, p, dsq_id, enq_flags)
            } else {
                false
            }
        }
    }
}
