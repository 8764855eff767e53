//! TASK_STORAGE: one value a task, made on demand, freed with the task. Tasks are the host's ids.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::{MapResult, errno};
use crate::image::MapDef;
use crate::vm::memory::Memory;

/// A storage map. The table is only ever asked for one key; whoever lists keys sorts them.
pub(in crate::vm) struct Storage {
    value_size: usize,
    values: RefCell<HashMap<u64, u64, BuildHasherDefault<IdHasher>>>,
}

impl Storage {
    pub(super) fn new(def: &MapDef) -> Storage {
        Storage { value_size: def.value_size as usize, values: RefCell::default() }
    }

    /// Address of the value of `task`.
    pub(in crate::vm) fn get(&self, task: u64) -> Option<u64> {
        self.values.borrow().get(&task).copied()
    }

    /// Address of the value of `task`, made zeroed if it has none; `None`: no memory left.
    pub(in crate::vm) fn get_or_create(&self, mem: &Memory, task: u64) -> Option<u64> {
        if let Some(value) = self.get(task) {
            return Some(value);
        }
        let value = mem.alloc(self.value_size)?;
        self.values.borrow_mut().insert(task, value);
        Some(value)
    }

    /// Frees the value of `task`.
    pub(in crate::vm) fn delete(&self, mem: &Memory, task: u64) -> MapResult {
        let value = self.values.borrow_mut().remove(&task).ok_or(errno::ENOENT)?;
        mem.free(value, self.value_size);
        Ok(())
    }

    /// Ids of the tasks that have a value, in order.
    pub(in crate::vm) fn tasks(&self) -> Vec<u64> {
        let mut tasks: Vec<u64> = self.values.borrow().keys().copied().collect();
        tasks.sort_unstable();
        tasks
    }

    /// Bytes of a value.
    pub(in crate::vm) fn value_size(&self) -> usize {
        self.value_size
    }
}

/// Fixed hash of an id.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let mixed = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}
