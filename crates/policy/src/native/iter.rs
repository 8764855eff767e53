//! Iterators: over numbers, which need no host, and over DSQs.

use super::ambient::call;
use super::kernel::RawTask;

/// Most steps of a loop over numbers [BPF_MAX_LOOPS].
const MAX_LOOPS: i64 = 8 * 1024 * 1024;

/// Where an iterator over numbers is.
#[derive(Debug, Default)]
pub struct NumSlot(std::ops::Range<i32>);

impl NumSlot {
    #[doc(hidden)]
    pub fn new() -> Self {
        Self::default()
    }

    #[doc(hidden)]
    pub fn start(&mut self, start: i32, end: i32) {
        let too_many = i64::from(end) - i64::from(start) > MAX_LOOPS;
        self.0 = if too_many { 0..0 } else { start..end };
    }

    #[doc(hidden)]
    pub fn step(&mut self) -> Option<i32> {
        self.0.next()
    }

    #[doc(hidden)]
    pub fn end(&mut self) {}
}

/// Where an iterator over a DSQ is: the host's handle.
#[derive(Debug, Default)]
pub struct DsqSlot(Option<u64>);

/// An iterator, to move what it has come to.
#[derive(Clone, Copy, Debug)]
pub struct DsqCursor(Option<u64>);

impl DsqSlot {
    #[doc(hidden)]
    pub fn new() -> Self {
        Self::default()
    }

    #[doc(hidden)]
    pub fn start(&mut self, dsq_id: u64, flags: u64) {
        self.0 = call(|h| h.dsq_iter_new(dsq_id, flags));
    }

    #[doc(hidden)]
    pub fn step(&mut self) -> Option<RawTask> {
        let iter = self.0?;
        call(|h| h.dsq_iter_next(iter))
    }

    #[doc(hidden)]
    pub fn cursor(&mut self) -> DsqCursor {
        DsqCursor(self.0)
    }

    #[doc(hidden)]
    pub fn end(&mut self) {
        if let Some(iter) = self.0.take() {
            call(|h| h.dsq_iter_destroy(iter));
        }
    }
}

impl DsqCursor {
    pub(crate) fn set_slice(self, slice: u64) {
        if let Some(iter) = self.0 {
            call(|h| h.dsq_move_set_slice(iter, slice));
        }
    }

    pub(crate) fn set_vtime(self, vtime: u64) {
        if let Some(iter) = self.0 {
            call(|h| h.dsq_move_set_vtime(iter, vtime));
        }
    }

    pub(crate) fn move_to(self, p: RawTask, dsq_id: u64, enq_flags: u64) -> bool {
        self.0.is_some_and(|iter| call(|h| h.dsq_move(iter, p, dsq_id, enq_flags, false)))
    }

    pub(crate) fn move_to_vtime(self, p: RawTask, dsq_id: u64, enq_flags: u64) -> bool {
        self.0.is_some_and(|iter| call(|h| h.dsq_move(iter, p, dsq_id, enq_flags, true)))
    }
}
