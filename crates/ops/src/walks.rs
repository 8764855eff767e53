//! Iterations that programs have open over what was there when they began: tasks, cgroups, set bits. Their handle lies in the
//! program's stack, where Linux keeps the iterator.

use std::cell::RefCell;
use std::collections::VecDeque;

/// The iterations of one scheduler.
#[derive(Default)]
pub(crate) struct Walks {
    open: RefCell<Vec<Option<VecDeque<u64>>>>,
}

impl Walks {
    /// Begins one over `items`; its handle, which is never 0.
    pub(crate) fn open(&self, items: VecDeque<u64>) -> u64 {
        let mut open = self.open.borrow_mut();
        let free = open.iter().position(Option::is_none).unwrap_or(open.len());
        if free == open.len() {
            open.push(None);
        }
        open[free] = Some(items);
        free as u64 + 1
    }

    /// The next item.
    pub(crate) fn next(&self, handle: u64) -> Option<u64> {
        let at = usize::try_from(handle.checked_sub(1)?).ok()?;
        self.open.borrow_mut().get_mut(at)?.as_mut()?.pop_front()
    }

    /// Ends one; 0 is none.
    pub(crate) fn close(&self, handle: u64) {
        let at = handle.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.open.borrow_mut().get_mut(at).map(std::mem::take)) {
            drop(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place() {
        let w = Walks::default();
        let (a, b) = (w.open([1, 2].into()), w.open([7].into()));
        assert_eq!([w.next(a), w.next(b), w.next(b), w.next(a), w.next(a)], [Some(1), Some(7), None, Some(2), None]);
        w.close(a);
        assert_eq!((w.next(a), w.open([5].into())), (None, a), "a free handle is used again");
        w.close(0);
        assert_eq!((w.next(0), w.next(99), w.next(a)), (None, None, Some(5)));
    }
}
