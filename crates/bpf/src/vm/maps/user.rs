//! Maps as user space sees them: keys and values as bytes; values of per-CPU maps are all CPUs' in a row, each padded to 8 bytes.

use super::{Arena, Kind, Map, MapFlags, MapResult, check_flags, errno, map_type, stride};
use crate::image::MapDef;
use crate::vm::machine::{Handles, Machine};

/// An element of a map, as callbacks get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Index of the map.
    pub map: usize,
    pub(in crate::vm) key: ElementKey,
    /// Address of its value.
    pub value: u64,
}

/// Where an element's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vm) enum ElementKey {
    /// It is the index, and in no memory.
    Index(u32),
    /// There.
    At(u64),
}

impl Machine {
    /// Index of the map called `name`.
    pub fn map_index(&self, name: &str) -> Option<usize> {
        self.maps.iter().position(|m| m.def.name == name)
    }

    /// Address by which programs know map `map`.
    pub fn map_address(&self, map: usize) -> u64 {
        Handles::map(map)
    }

    /// Definition of map `map`, an index into [`Image::maps`](crate::image::Image::maps).
    pub fn map_def(&self, map: usize) -> &MapDef {
        &self.maps[map].def
    }

    /// Address of a value, of `cpu`'s copy in per-CPU maps. Keys of storage maps are the host's task ids, little-endian.
    pub fn map_value_addr(&self, map: usize, key: &[u8], cpu: u32) -> Option<u64> {
        let addr = match &self.maps[map].kind {
            Kind::Array(a) => a.lookup(index(key)?, cpu),
            Kind::Hash(h) if key.len() == self.maps[map].def.key_size as usize => match h.find(&self.mem, key, false) {
                Some(slot) if cpu < self.nr_cpus => h.value(slot, cpu),
                _ => 0,
            },
            Kind::Storage(s) => s.get(task(key)?)?,
            Kind::Arena(a) => a.at(0)?,
            _ => 0,
        };
        (addr != 0).then_some(addr)
    }

    /// A value. Of queues and stacks (empty key): the next one, which stays.
    pub fn map_lookup(&self, map: usize, key: &[u8]) -> Option<Vec<u8>> {
        let m = &self.maps[map];
        if let Kind::Queue(q) = &m.kind {
            return self.read_bytes(q.peek()?, q.value_size());
        }
        if !m.per_cpu() {
            return self.read_bytes(self.map_value_addr(map, key, 0)?, m.def.value_size as usize);
        }
        let values = self.map_lookup_percpu(map, key)?;
        let pad = (stride(m.def.value_size) - u64::from(m.def.value_size)) as usize;
        Some(values.into_iter().flat_map(|v| v.into_iter().chain(std::iter::repeat_n(0, pad))).collect())
    }

    /// The element of map `map` whose value holds the byte at `addr`; `None`: there is none.
    pub fn element_at(&self, map: usize, addr: u64) -> Option<Element> {
        let m = &self.maps[map];
        let (key, value) = match &m.kind {
            Kind::Array(a) => a.element_at(addr)?,
            Kind::Hash(h) => {
                let slot = h.slot_at(addr)?;
                (ElementKey::At(h.key(slot)), h.value(slot, 0))
            }
            _ => return None,
        };
        (addr - value < u64::from(m.def.value_size)).then_some(Element { map, key, value })
    }

    /// All CPUs' values of a per-CPU map's element; one value of other maps.
    pub fn map_lookup_percpu(&self, map: usize, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        let m = &self.maps[map];
        let cpus = if m.per_cpu() { self.nr_cpus } else { 1 };
        (0..cpus).map(|cpu| self.read_bytes(self.map_value_addr(map, key, cpu)?, m.def.value_size as usize)).collect()
    }

    /// Writes a value. Of queues and stacks (empty key): pushes. Errors are error numbers. Sections that programs may only read are
    /// frozen for user space too.
    pub fn map_update(&self, map: usize, key: &[u8], value: &[u8], flags: u64) -> MapResult {
        let m = &self.maps[map];
        let cpus = if m.per_cpu() { self.nr_cpus } else { 1 };
        let size = m.def.value_size as usize;
        let step = if m.per_cpu() { stride(m.def.value_size) as usize } else { size };
        if value.len() != step * cpus as usize {
            return Err(errno::EINVAL);
        }
        let addr_of: Box<dyn Fn(u32) -> u64> = match &m.kind {
            _ if m.def.read_only => return Err(errno::EPERM),
            Kind::Array(a) => {
                let index = index(key).ok_or(errno::EINVAL)?;
                a.check_update(index, flags)?;
                Box::new(move |cpu| a.value(index, cpu))
            }
            Kind::Hash(h) => {
                if key.len() != m.def.key_size as usize {
                    return Err(errno::EINVAL);
                }
                let (slot, _) = h.upsert(&self.mem, key, flags & !MapFlags::LOCK)?;
                Box::new(move |cpu| h.value(slot, cpu))
            }
            Kind::Queue(q) => {
                let addr = q.push(flags)?;
                Box::new(move |_| addr)
            }
            Kind::Storage(s) => {
                let task = task(key).ok_or(errno::EINVAL)?;
                check_flags(flags & !MapFlags::LOCK, s.get(task).is_some())?;
                let addr = s.get_or_create(&self.mem, task).ok_or(errno::ENOMEM)?;
                Box::new(move |_| addr)
            }
            Kind::Ringbuf(_) | Kind::OfMaps(_) | Kind::UserRing(_) | Kind::Arena(_) | Kind::PerfEvents => {
                return Err(errno::EOPNOTSUPP);
            }
        };
        for cpu in 0..cpus {
            let written = self.mem.write(addr_of(cpu), &value[cpu as usize * step..][..size]);
            debug_assert!(written);
        }
        Ok(())
    }

    /// Removes an element; of queues and stacks (empty key) the next one.
    pub fn map_delete(&self, map: usize, key: &[u8]) -> MapResult {
        match &self.maps[map].kind {
            Kind::Hash(h) if key.len() == self.maps[map].def.key_size as usize => h.delete(&self.mem, key).map(|_| ()),
            Kind::Storage(s) => s.delete(&self.mem, task(key).ok_or(errno::EINVAL)?),
            Kind::Queue(q) if q.len() > 0 => {
                q.pop();
                Ok(())
            }
            Kind::Queue(_) => Err(errno::ENOENT),
            Kind::OfMaps(o) => o.set(key, None),
            Kind::Ringbuf(_) | Kind::UserRing(_) | Kind::Arena(_) => Err(errno::EOPNOTSUPP),
            _ => Err(errno::EINVAL),
        }
    }

    /// All keys: arrays by index, hash maps by slot, storages by task.
    pub fn map_keys(&self, map: usize) -> Vec<Vec<u8>> {
        let m = &self.maps[map];
        match &m.kind {
            Kind::Array(a) => (0..a.entries()).map(|i| i.to_le_bytes().to_vec()).collect(),
            Kind::Hash(h) => {
                let mut keys = Vec::with_capacity(h.len() as usize);
                let mut from = 0;
                while let Some(slot) = h.occupied(from) {
                    keys.extend(self.read_bytes(h.key(slot), m.def.key_size as usize));
                    from = slot + 1;
                }
                keys
            }
            Kind::Storage(s) => s.tasks().into_iter().map(|t| t.to_le_bytes().to_vec()).collect(),
            Kind::OfMaps(o) => o.keys(),
            Kind::Queue(_) | Kind::Ringbuf(_) | Kind::UserRing(_) | Kind::Arena(_) | Kind::PerfEvents => Vec::new(),
        }
    }

    /// Key after `key` in the order of [`Machine::map_keys`]; the first one for `None` and for a key that is not there. [map_get_next_key]
    pub fn map_next_key(&self, map: usize, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let m = &self.maps[map];
        match &m.kind {
            Kind::Array(a) => {
                let next = match key.and_then(index) {
                    Some(i) if i < a.entries() => i + 1,
                    _ => 0,
                };
                (next < a.entries()).then(|| next.to_le_bytes().to_vec())
            }
            Kind::Hash(h) => {
                let from = key.and_then(|k| h.find(&self.mem, k, false)).map_or(0, |slot| slot + 1);
                self.read_bytes(h.key(h.occupied(from)?), m.def.key_size as usize)
            }
            _ => None,
        }
    }

    /// Elements of a hash map, values of a queue, tasks of a storage, capacity of an array, messages for programs, pages of an arena in use.
    pub fn map_len(&self, map: usize) -> usize {
        match &self.maps[map].kind {
            Kind::Array(a) => a.entries() as usize,
            Kind::Hash(h) => h.len() as usize,
            Kind::Queue(q) => q.len() as usize,
            Kind::Storage(s) => s.tasks().len(),
            Kind::OfMaps(o) => o.keys().len(),
            Kind::UserRing(r) => r.len(),
            Kind::Arena(a) => a.nr_used() as usize,
            Kind::Ringbuf(_) | Kind::PerfEvents => 0,
        }
    }

    /// The next finished record of a ring buffer, taken out.
    pub fn ringbuf_consume(&self, map: usize) -> Option<Vec<u8>> {
        match &self.maps[map].kind {
            Kind::Ringbuf(r) => r.consume(&self.mem),
            _ => None,
        }
    }

    /// Has a ring buffer a record that is finished and has not been read?
    pub fn ringbuf_ready(&self, map: usize) -> bool {
        matches!(&self.maps[map].kind, Kind::Ringbuf(r) if r.is_ready())
    }

    /// Sends a message to programs through a user-space ring buffer; false: there is no room, or it is none.
    pub fn user_ringbuf_send(&self, map: usize, message: &[u8]) -> bool {
        matches!(&self.maps[map].kind, Kind::UserRing(r) if r.push(message))
    }

    /// The map that a map of maps holds at `key`.
    pub fn map_inner(&self, map: usize, key: &[u8]) -> Option<usize> {
        match &self.maps[map].kind {
            Kind::OfMaps(o) => o.get(key),
            _ => None,
        }
    }

    /// Puts map `inner` into a map of maps at `key`. (New maps cannot be made while the machine runs.)
    pub fn map_set_inner(&self, map: usize, key: &[u8], inner: usize) -> MapResult {
        match &self.maps[map].kind {
            Kind::OfMaps(o) if inner < self.maps.len() => o.set(key, Some(inner)),
            _ => Err(errno::EINVAL),
        }
    }

    /// Allocates `pages` zeroed pages of the arena that programs know by the address `map`, at `at` unless that is 0; 0: there is no room, or
    /// it is no arena.
    pub fn arena_alloc(&self, map: u64, at: u64, pages: u32) -> u64 {
        match self.arena(map) {
            Some(a) => a.alloc(&self.mem, at, pages.into()).unwrap_or(0),
            None => 0,
        }
    }

    /// Frees pages of an arena.
    pub fn arena_free(&self, map: u64, at: u64, pages: u32) {
        if let Some(a) = self.arena(map) {
            a.free(at, pages.into());
        }
    }

    /// Writes into an arena as user space does through its mapping, at an address that a program has given away. False: it lies in none.
    pub fn arena_write(&self, at: u64, bytes: &[u8]) -> bool {
        let inside = self.maps.iter().any(|m| matches!(&m.kind, Kind::Arena(a) if a.holds(at, bytes.len() as u64)));
        inside && self.mem.write(at, bytes)
    }

    fn arena(&self, map: u64) -> Option<&Arena> {
        match &self.maps.get(Handles::map_index(map)?)?.kind {
            Kind::Arena(a) => Some(a),
            _ => None,
        }
    }

    /// The cgroup with this id is gone: frees its values in all storage maps.
    pub fn cgroup_gone(&self, cgroup: u64) {
        self.storage_gone(map_type::CGRP_STORAGE, cgroup);
    }

    /// The task with this id is gone: frees its values in all storage maps.
    pub fn task_gone(&self, task: u64) {
        self.storage_gone(map_type::TASK_STORAGE, task);
    }

    fn storage_gone(&self, map_type: u32, task: u64) {
        for m in self.maps.iter().filter(|m| m.def.map_type == map_type) {
            if let Kind::Storage(s) = &m.kind {
                // Most tasks have no value in most maps.
                let _ = s.delete(&self.mem, task);
            }
        }
    }
}

impl Map {
    /// Has it one value for each CPU?
    pub(in crate::vm) fn per_cpu(&self) -> bool {
        match &self.kind {
            Kind::Array(a) => a.per_cpu(),
            Kind::Hash(h) => h.per_cpu(),
            _ => false,
        }
    }
}

fn index(key: &[u8]) -> Option<u32> {
    key.try_into().ok().map(u32::from_le_bytes)
}

fn task(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_le_bytes)
}
