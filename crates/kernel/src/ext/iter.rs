//! Iterators over user queues: cursors that stand among a queue's tasks (E-112).

use super::dsq::CURSOR_BASE;
use super::flags::{errno, iter};
use super::list::Link;
use super::sched::SchedId;
use crate::executor::Kernel;
use crate::ids::TaskId;
use crate::lock::LockId;
use crate::state::State;

/// An iterator over a user queue (E-112).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    pub(super) link: Link,
    dsq: Option<u32>,
    id: u64,
    seq: u32,
    rev: bool,
    /// One-shot overrides for the next move.
    pub(crate) slice: Option<u64>,
    pub(crate) vtime: Option<u64>,
}

/// A handle on an iterator over a user queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DsqIter(pub(crate) u32);

impl State {
    pub(crate) fn cursor(&mut self, it: DsqIter) -> &mut Cursor {
        &mut self.ext.cursors[it.0 as usize]
    }

    /// The queue and first stamp that an iterator knows.
    pub(crate) fn cursor_dsq(&self, it: DsqIter) -> Option<(u32, u32)> {
        let c = &self.ext.cursors[it.0 as usize];
        Some((c.dsq?, c.seq))
    }
}

/// An iterator over nothing.
pub(crate) fn iter_alloc(k: &mut Kernel) -> DsqIter {
    let it = match k.ext.cursors_free.pop() {
        Some(i) => DsqIter(i),
        None => {
            k.ext.cursors.push(Cursor::default());
            DsqIter(k.ext.cursors.len() as u32 - 1)
        }
    };
    *k.cursor(it) = Cursor::default();
    it
}

/// Starts an iterator over a user queue of `sched` [bpf_iter_scx_dsq_new]. It must be ended even if this failed.
pub(crate) fn iter_new(k: &mut Kernel, sched: SchedId, id: u64, flags: u64) -> (DsqIter, i32) {
    let it = iter_alloc(k);
    if flags & !iter::REV != 0 {
        return (it, -errno::EINVAL);
    }
    let Some(dsq) = k.user_dsq(sched, id) else {
        return (it, -errno::ENOENT);
    };
    let seq = k.ext.dsqs[dsq as usize].seq;
    let c = k.cursor(it);
    (c.dsq, c.id, c.seq, c.rev) = (Some(dsq), id, seq, flags & iter::REV != 0);
    (it, 0)
}

fn unlink_cursor(k: &mut Kernel, dsq: u32, it: DsqIter) {
    if k.cursor(it).link.linked {
        k.with_dsq_list(dsq, |list, l| list.remove(l, CURSOR_BASE + it.0));
    }
}

/// The next task [bpf_iter_scx_dsq_next].
pub(crate) fn iter_next(k: &mut Kernel, it: DsqIter) -> Option<TaskId> {
    let (dsq, seq) = k.cursor_dsq(it)?;
    let rev = k.cursor(it).rev;
    k.lock(LockId::Dsq(dsq));
    let link = k.cursor(it).link;
    let list = k.ext.dsqs[dsq as usize].list;
    let mut at = match (link.linked, rev) {
        (true, false) => link.next,
        (true, true) => link.prev,
        (false, false) => list.head,
        (false, true) => list.tail,
    };
    let found = loop {
        let Some(p) = k.skip_cursors(at, rev) else {
            break None;
        };
        if (k.task(p).scx.dsq_seq.wrapping_sub(seq) as i32) <= 0 {
            break Some(p);
        }
        let link = k.task(p).scx.link;
        at = if rev { link.prev } else { link.next };
    };
    unlink_cursor(k, dsq, it);
    if let Some(p) = found {
        let node = CURSOR_BASE + it.0;
        k.with_dsq_list(dsq, |list, l| match rev {
            false => list.insert_after(l, node, p.0),
            true => list.insert_before(l, node, p.0),
        });
    }
    k.unlock(LockId::Dsq(dsq));
    found
}

/// Ends an iterator [bpf_iter_scx_dsq_destroy].
pub(crate) fn iter_destroy(k: &mut Kernel, it: DsqIter) {
    if let Some((dsq, _)) = k.cursor_dsq(it)
        && k.cursor(it).link.linked
    {
        k.lock(LockId::Dsq(dsq));
        unlink_cursor(k, dsq, it);
        k.unlock(LockId::Dsq(dsq));
    }
    *k.cursor(it) = Cursor::default();
    k.ext.cursors_free.push(it.0);
}
