//! Iterators over DSQs that a scheduler has open, by handles that fit into a program's stack or a native policy's variable.

use std::cell::RefCell;

use scxr_kernel::Kernel;
use scxr_kernel::ext::{DsqIter, kfunc};

/// The iterators of one scheduler.
#[derive(Default)]
pub(crate) struct Iters {
    open: RefCell<Vec<Option<DsqIter>>>,
}

impl Iters {
    /// Opens one (`bpf_iter_scx_dsq_new`): its handle, and 0 or -errno. It has to be closed in any case.
    pub(crate) fn open(&self, k: &mut Kernel, dsq_id: u64, flags: u64) -> (u32, i32) {
        let (iter, ret) = kfunc::bpf_iter_scx_dsq_new(k, dsq_id, flags);
        let mut open = self.open.borrow_mut();
        let free = open.iter().position(Option::is_none).unwrap_or(open.len());
        if free == open.len() {
            open.push(None);
        }
        open[free] = Some(iter);
        (free as u32, ret)
    }

    /// The iterator with that handle.
    pub(crate) fn get(&self, handle: u32) -> Option<DsqIter> {
        self.open.borrow().get(handle as usize).copied().flatten()
    }

    /// Closes one (`bpf_iter_scx_dsq_destroy`).
    pub(crate) fn close(&self, k: &mut Kernel, handle: u32) {
        let taken = self.open.borrow_mut().get_mut(handle as usize).and_then(Option::take);
        if let Some(iter) = taken {
            kfunc::bpf_iter_scx_dsq_destroy(k, iter);
        }
    }
}
