//! HASH, PERCPU_HASH and LRU_HASH: preallocated slots in guest memory, each a key and one value a CPU; a chained index outside.
//! Iteration is in order of slots; a deleted element's slot is the next to be used, as in Linux's preallocated maps.

use std::cell::{Cell, RefCell};

use super::{check_flags, errno, map_type, stride};
use crate::image::MapDef;
use crate::vm::memory::Memory;

/// End of a chain or list.
const NIL: u32 = u32::MAX;
/// `next` of a slot that holds no element.
const FREE: u32 = u32::MAX - 1;

/// A hash map.
pub(in crate::vm) struct Hash {
    base: u64,
    key_size: usize,
    /// Bytes from a slot's start to its first value.
    key_stride: u64,
    value_stride: u64,
    slot_size: u64,
    max: u32,
    cpus: u32,
    per_cpu: bool,
    lru: bool,
    index: RefCell<Index>,
    len: Cell<u32>,
}

/// Chains of slots by hash; free slots; order of use.
#[derive(Default)]
struct Index {
    /// First slot by hash; a power of two.
    heads: Vec<u32>,
    /// By slot, as far as slots were ever used.
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Least and most recently used slot.
    oldest: u32,
    newest: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    next: u32,
    /// Neighbours in order of use.
    older: u32,
    newer: u32,
}

impl Hash {
    pub(super) fn new(def: &MapDef, cpus: u32, mem: &Memory) -> Option<Hash> {
        let (key_stride, value_stride) = (stride(def.key_size), stride(def.value_size));
        let slot_size = key_stride + value_stride * u64::from(cpus);
        let base = mem.alloc((slot_size * u64::from(def.max_entries)) as usize)?;
        let index = Index { heads: vec![NIL; 64], oldest: NIL, newest: NIL, ..Index::default() };
        Some(Hash {
            base,
            key_size: def.key_size as usize,
            key_stride,
            value_stride,
            slot_size,
            max: def.max_entries,
            cpus,
            per_cpu: def.map_type == map_type::PERCPU_HASH,
            lru: def.map_type == map_type::LRU_HASH,
            index: RefCell::new(index),
            len: Cell::new(0),
        })
    }

    pub(in crate::vm) fn per_cpu(&self) -> bool {
        self.per_cpu
    }

    /// Elements.
    pub(in crate::vm) fn len(&self) -> u32 {
        self.len.get()
    }

    /// Address of the key in `slot`.
    pub(in crate::vm) fn key(&self, slot: u32) -> u64 {
        self.base + u64::from(slot) * self.slot_size
    }

    /// Address of `cpu`'s value in `slot`.
    pub(in crate::vm) fn value(&self, slot: u32, cpu: u32) -> u64 {
        let cpu = if self.per_cpu { cpu } else { 0 };
        self.key(slot) + self.key_stride + u64::from(cpu) * self.value_stride
    }

    /// The first slot from `from` on that holds an element.
    pub(in crate::vm) fn occupied(&self, from: u32) -> Option<u32> {
        let index = self.index.borrow();
        let rest = index.slots.get(from as usize..)?;
        rest.iter().position(|s| s.next != FREE).map(|at| from + at as u32)
    }

    /// Slot of `key`. `touch`: counts as a use.
    pub(in crate::vm) fn find(&self, mem: &Memory, key: &[u8], touch: bool) -> Option<u32> {
        let hash = hash(key);
        let mut index = self.index.borrow_mut();
        let slot = self.find_in(&index, mem, key, hash)?;
        if touch && self.lru {
            index.unlink(slot);
            index.link_newest(slot);
        }
        Some(slot)
    }

    fn find_in(&self, index: &Index, mem: &Memory, key: &[u8], hash: u32) -> Option<u32> {
        let mut at = index.heads[hash as usize & (index.heads.len() - 1)];
        while at != NIL {
            let slot = index.slots[at as usize];
            if slot.hash == hash && mem.equals(self.key(at), key) {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    /// Address of `cpu`'s value of `key`; 0: there is none.
    pub(in crate::vm) fn lookup(&self, mem: &Memory, key: &[u8], cpu: u32) -> u64 {
        if self.per_cpu && cpu >= self.cpus {
            return 0;
        }
        self.find(mem, key, true).map_or(0, |slot| self.value(slot, cpu))
    }

    /// Slot to write `key`'s value to, made if needed; whether it was another key's, which made room. A new one has key and zeroed values.
    /// [htab_map_update_elem]
    pub(in crate::vm) fn upsert(&self, mem: &Memory, key: &[u8], flags: u64) -> Result<(u32, bool), i32> {
        debug_assert_eq!(key.len(), self.key_size);
        let hash = hash(key);
        let mut index = self.index.borrow_mut();
        let found = self.find_in(&index, mem, key, hash);
        check_flags(flags, found.is_some())?;
        if let Some(slot) = found {
            if self.lru {
                index.unlink(slot);
                index.link_newest(slot);
            }
            return Ok((slot, false));
        }
        let mut evicted = false;
        let slot = match index.free.pop() {
            Some(slot) => slot,
            None if (index.slots.len() as u32) < self.max => {
                index.slots.push(Slot { hash: 0, next: FREE, older: NIL, newer: NIL });
                index.slots.len() as u32 - 1
            }
            None if self.lru => {
                let victim = index.oldest;
                self.remove(&mut index, victim);
                evicted = true;
                index.free.pop().ok_or(errno::ENOMEM)?
            }
            None => return Err(errno::E2BIG),
        };
        self.len.set(self.len.get() + 1);
        index.insert(slot, hash, self.len.get());
        if self.lru {
            index.link_newest(slot);
        }
        let ready = mem.write(self.key(slot), key)
            && mem.zero(self.value(slot, 0), (self.value_stride * u64::from(self.cpus)) as usize);
        debug_assert!(ready, "slots lie in writable memory");
        Ok((slot, evicted))
    }

    /// The slot of the element whose values hold `addr`.
    pub(in crate::vm) fn slot_at(&self, addr: u64) -> Option<u32> {
        let slot = addr.checked_sub(self.base)? / self.slot_size;
        let slot = u32::try_from(slot).ok().filter(|slot| *slot < self.max)?;
        let in_use = self.index.borrow().slots.get(slot as usize).is_some_and(|s| s.next != FREE);
        (in_use && addr >= self.value(slot, 0)).then_some(slot)
    }

    /// Removes `key`; the slot that it had. Its value stays as it is until the slot is used again.
    pub(in crate::vm) fn delete(&self, mem: &Memory, key: &[u8]) -> Result<u32, i32> {
        let mut index = self.index.borrow_mut();
        let slot = self.find_in(&index, mem, key, hash(key)).ok_or(errno::ENOENT)?;
        self.remove(&mut index, slot);
        Ok(slot)
    }

    fn remove(&self, index: &mut Index, slot: u32) {
        if self.lru {
            index.unlink(slot);
        }
        index.unchain(slot);
        index.free.push(slot);
        self.len.set(self.len.get() - 1);
    }
}

impl Index {
    /// Puts `slot` into its chain; the map now has `len` elements.
    fn insert(&mut self, slot: u32, hash: u32, len: u32) {
        if len as usize > self.heads.len() {
            self.grow();
        }
        let head = hash as usize & (self.heads.len() - 1);
        self.slots[slot as usize] = Slot { hash, next: self.heads[head], older: NIL, newer: NIL };
        self.heads[head] = slot;
    }

    fn grow(&mut self) {
        let size = self.heads.len() * 4;
        self.heads.clear();
        self.heads.resize(size, NIL);
        for (i, slot) in self.slots.iter_mut().enumerate().filter(|(_, s)| s.next != FREE) {
            let head = slot.hash as usize & (size - 1);
            slot.next = self.heads[head];
            self.heads[head] = i as u32;
        }
    }

    fn unchain(&mut self, slot: u32) {
        let Slot { hash, next, .. } = self.slots[slot as usize];
        let head = hash as usize & (self.heads.len() - 1);
        if self.heads[head] == slot {
            self.heads[head] = next;
        } else {
            let mut at = self.heads[head];
            while self.slots[at as usize].next != slot {
                at = self.slots[at as usize].next;
            }
            self.slots[at as usize].next = next;
        }
        self.slots[slot as usize].next = FREE;
    }

    fn link_newest(&mut self, slot: u32) {
        let older = self.newest;
        self.slots[slot as usize].older = older;
        self.slots[slot as usize].newer = NIL;
        match older {
            NIL => self.oldest = slot,
            _ => self.slots[older as usize].newer = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { older, newer, .. } = self.slots[slot as usize];
        match older {
            NIL => self.oldest = newer,
            _ => self.slots[older as usize].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            _ => self.slots[newer as usize].older = older,
        }
    }
}

/// A fixed hash: multiply and fold, eight bytes at a time.
#[inline]
fn hash(key: &[u8]) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |h: u64, word: u64| {
        let h = (h.rotate_left(23) ^ word).wrapping_mul(K);
        h ^ (h >> 32)
    };
    let mut h = key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        h = mix(h, u64::from_le_bytes(*word));
    }
    if let Ok(half) = <[u8; 4]>::try_from(rest) {
        h = mix(h, u64::from(u32::from_le_bytes(half)));
    } else if !rest.is_empty() {
        h = mix(h, rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    h as u32
}
