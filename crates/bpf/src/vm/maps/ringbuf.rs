//! RINGBUF. [kernel/bpf/ringbuf.c] The kernel maps its data twice in a row, so that a record is always contiguous; here the data
//! area is twice as long and a record that starts near its end simply runs on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::errno;
use crate::image::MapDef;
use crate::vm::memory::Memory;

/// Bytes of a record's header.
const HEADER: u64 = 8;
/// Longest record (RINGBUF_MAX_RECORD_SZ).
const RECORD_MAX: u64 = u32::MAX as u64 / 4;

/// A ring buffer.
pub(in crate::vm) struct Ringbuf {
    data: u64,
    size: u64,
    produced: Cell<u64>,
    consumed: Cell<u64>,
    records: RefCell<VecDeque<Record>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Busy,
    Ready,
    Discarded,
}

#[derive(Clone, Copy)]
struct Record {
    /// Position of its header.
    at: u64,
    len: u64,
    state: State,
}

impl Record {
    /// Bytes that it takes.
    fn room(&self) -> u64 {
        (self.len + HEADER).next_multiple_of(8)
    }
}

impl Ringbuf {
    pub(super) fn new(def: &MapDef, mem: &Memory) -> Option<Ringbuf> {
        let size = u64::from(def.max_entries);
        let data = mem.alloc(size as usize * 2)?;
        Some(Ringbuf { data, size, produced: Cell::new(0), consumed: Cell::new(0), records: RefCell::default() })
    }

    fn sample(&self, record: &Record) -> u64 {
        self.data + (record.at & (self.size - 1)) + HEADER
    }

    /// Address of a new record of `len` bytes; 0: no room.
    pub(in crate::vm) fn reserve(&self, len: u64) -> u64 {
        if len > RECORD_MAX {
            return 0;
        }
        let record = Record { at: self.produced.get(), len, state: State::Busy };
        let end = record.at + record.room();
        if record.room() > self.size || end - self.consumed.get() > self.size - 1 {
            return 0;
        }
        self.produced.set(end);
        self.records.borrow_mut().push_back(record);
        self.sample(&record)
    }

    /// Ends the reservation of the record at `sample`. False: there is no such reservation.
    #[must_use]
    pub(in crate::vm) fn commit(&self, sample: u64, discard: bool) -> bool {
        let mut records = self.records.borrow_mut();
        let found = records.iter_mut().rev().find(|r| r.state == State::Busy && self.sample(r) == sample);
        let Some(record) = found else { return false };
        record.state = if discard { State::Discarded } else { State::Ready };
        true
    }

    /// Have all records before the one at `sample` been read?
    pub(in crate::vm) fn is_next(&self, sample: u64) -> bool {
        self.records.borrow().front().is_some_and(|r| self.sample(r) == sample)
    }

    /// Is the last record the only one that has not been read?
    pub(in crate::vm) fn has_one(&self) -> bool {
        self.records.borrow().len() == 1
    }

    /// Copies `len` bytes from `src` in as one record. The outer error: `src` is not readable.
    pub(in crate::vm) fn output(&self, mem: &Memory, src: u64, len: u64) -> Result<Result<(), i32>, ()> {
        let sample = self.reserve(len);
        if sample == 0 {
            return Ok(Err(errno::EAGAIN));
        }
        let copied = mem.copy(sample, src, len as usize);
        let committed = self.commit(sample, !copied);
        debug_assert!(committed);
        if copied { Ok(Ok(())) } else { Err(()) }
    }

    /// `bpf_ringbuf_query`.
    pub(in crate::vm) fn query(&self, what: u64) -> u64 {
        match what {
            0 => self.produced.get() - self.consumed.get(),
            1 => self.size,
            2 => self.consumed.get(),
            3 => self.produced.get(),
            _ => 0,
        }
    }

    /// Is there a finished record, with none before it that is not? Discarded ones do not count.
    pub(in crate::vm) fn is_ready(&self) -> bool {
        let records = self.records.borrow();
        records.iter().find(|r| r.state != State::Discarded).is_some_and(|r| r.state == State::Ready)
    }

    /// The next finished record, taken out; skips discarded ones and stops at one that is not finished.
    pub(in crate::vm) fn consume(&self, mem: &Memory) -> Option<Vec<u8>> {
        loop {
            let record = *self.records.borrow().front()?;
            if record.state == State::Busy {
                return None;
            }
            self.records.borrow_mut().pop_front();
            self.consumed.set(record.at + record.room());
            if record.state == State::Ready {
                let mut out = vec![0; record.len as usize];
                let read = mem.read(self.sample(&record), &mut out);
                debug_assert!(read);
                return Some(out);
            }
        }
    }
}
