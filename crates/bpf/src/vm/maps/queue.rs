//! QUEUE and STACK. [kernel/bpf/queue_stack_maps.c]

use std::cell::Cell;

use super::{MapFlags, MapResult, errno, map_type, stride};
use crate::image::MapDef;
use crate::vm::memory::Memory;

/// A queue or stack: a ring of values in guest memory.
pub(in crate::vm) struct Queue {
    base: u64,
    stride: u64,
    value_size: usize,
    capacity: u32,
    lifo: bool,
    /// Oldest value.
    tail: Cell<u32>,
    len: Cell<u32>,
}

impl Queue {
    pub(super) fn new(def: &MapDef, mem: &Memory) -> Option<Queue> {
        let stride = stride(def.value_size);
        let base = mem.alloc((stride * u64::from(def.max_entries)) as usize)?;
        let lifo = def.map_type == map_type::STACK;
        Some(Queue {
            base,
            stride,
            value_size: def.value_size as usize,
            capacity: def.max_entries,
            lifo,
            tail: Cell::new(0),
            len: Cell::new(0),
        })
    }

    /// Values in it.
    pub(in crate::vm) fn len(&self) -> u32 {
        self.len.get()
    }

    /// Address of the `nth` value from the oldest.
    fn at(&self, nth: u32) -> u64 {
        let index = (u64::from(self.tail.get()) + u64::from(nth)) % u64::from(self.capacity);
        self.base + index * self.stride
    }

    /// Address of a new last value, to be written. A full queue drops its oldest value with EXIST, and refuses otherwise.
    pub(in crate::vm) fn push(&self, flags: u64) -> Result<u64, i32> {
        if flags & MapFlags::NOEXIST != 0 || flags > MapFlags::EXIST {
            return Err(errno::EINVAL);
        }
        if self.len.get() == self.capacity {
            if flags != MapFlags::EXIST {
                return Err(errno::E2BIG);
            }
            self.drop_oldest();
        }
        self.len.set(self.len.get() + 1);
        Ok(self.at(self.len.get() - 1))
    }

    /// Address of the value that comes next; it stays valid until the next push.
    pub(in crate::vm) fn peek(&self) -> Option<u64> {
        match self.len.get() {
            0 => None,
            len => Some(self.at(if self.lifo { len - 1 } else { 0 })),
        }
    }

    /// Removes the value that [`Queue::peek`] names.
    pub(in crate::vm) fn pop(&self) {
        if self.lifo {
            self.len.set(self.len.get() - 1);
        } else {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&self) {
        self.tail.set((self.tail.get() + 1) % self.capacity);
        self.len.set(self.len.get() - 1);
    }

    /// Bytes of a value.
    pub(in crate::vm) fn value_size(&self) -> usize {
        self.value_size
    }

    /// A program's pop or peek: copies to `out`, which is zeroed when there is nothing.
    pub(in crate::vm) fn take(&self, mem: &Memory, out: u64, remove: bool) -> Result<MapResult, ()> {
        match self.peek() {
            Some(value) if mem.copy(out, value, self.value_size) => {
                if remove {
                    self.pop();
                }
                Ok(Ok(()))
            }
            None if mem.zero(out, self.value_size) => Ok(Err(errno::ENOENT)),
            _ => Err(()),
        }
    }
}
