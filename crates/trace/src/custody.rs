//! Which dispatch queue each task is in, as far as events tell.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::DsqId;

/// Bit 63: a queue that the class has built in.
const BUILTIN: u64 = 1 << 63;
/// Bits 63 and 62: the local queue of the CPU in the low 32 bits.
const LOCAL_ON: u64 = 3 << 62;

/// Is the queue one of those that the class has built in?
pub(crate) fn is_builtin(dsq: DsqId) -> bool {
    dsq & BUILTIN != 0
}

/// The CPU whose local queue this is.
pub(crate) fn local_cpu(dsq: DsqId) -> Option<u32> {
    (dsq & LOCAL_ON == LOCAL_ON).then_some(dsq as u32)
}

/// A vtime as a number that orders as the kernel's wrapping comparison does, while all vtimes in a queue lie within half
/// of the range of each other and either side of 0.
fn order(vtime: u64) -> u64 {
    vtime ^ (1 << 63)
}

/// One queue.
#[derive(Debug, Default)]
struct Dsq {
    /// Tasks in order of insertion.
    nr_fifo: usize,
    /// Tasks in order of vtime.
    by_vtime: BTreeSet<(u64, u32)>,
}

impl Dsq {
    fn has_order(&self) -> bool {
        let ends = self.by_vtime.first().zip(self.by_vtime.last());
        ends.is_some_and(|(first, last)| last.0 - first.0 < 1 << 63)
    }
}

/// A task's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dsq: DsqId,
    pub(crate) vtime: Option<u64>,
}

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Custody {
    places: BTreeMap<u32, Place>,
    dsqs: BTreeMap<DsqId, Dsq>,
}

impl Custody {
    /// Where the task is.
    pub(crate) fn place(&self, pid: u32) -> Option<Place> {
        self.places.get(&pid).copied()
    }

    /// Puts the task in a queue; true if the queue holds tasks of the other order (FIFO, vtime).
    pub(crate) fn insert(&mut self, pid: u32, dsq: DsqId, vtime: Option<u64>) -> bool {
        self.remove(pid);
        self.places.insert(pid, Place { dsq, vtime });
        let queue = self.dsqs.entry(dsq).or_default();
        match vtime {
            Some(v) => {
                queue.by_vtime.insert((order(v), pid));
                queue.nr_fifo > 0
            }
            None => {
                queue.nr_fifo += 1;
                !queue.by_vtime.is_empty()
            }
        }
    }

    /// Takes the task out of its queue.
    pub(crate) fn remove(&mut self, pid: u32) -> Option<Place> {
        let place = self.places.remove(&pid)?;
        let queue = self.dsqs.entry(place.dsq).or_default();
        match place.vtime {
            Some(v) => drop(queue.by_vtime.remove(&(order(v), pid))),
            None => queue.nr_fifo = queue.nr_fifo.saturating_sub(1),
        }
        if queue.nr_fifo == 0 && queue.by_vtime.is_empty() {
            self.dsqs.remove(&place.dsq);
        }
        Some(place)
    }

    /// Tasks of the queue with a smaller vtime than this one's, smallest first. None where vtimes are spread over more than
    /// half of their range: the kernel's comparison is circular then and says nothing.
    pub(crate) fn before(&self, place: Place) -> impl Iterator<Item = u32> + '_ {
        let limit = place.vtime.map_or(0, order);
        let queue = self.dsqs.get(&place.dsq).filter(|q| q.has_order());
        queue.into_iter().flat_map(move |q| q.by_vtime.range(..(limit, 0)).map(|&(_, pid)| pid))
    }

    /// All queues are gone.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.dsqs.clear();
    }
}
