//! Maps. Values (and keys of hash maps) live in guest memory, at addresses that stay while the element does; indexes live outside.
//!
//! Every function here is finished when it returns: nothing is borrowed across a call of the host or of a callback.
//! Keys and values come as guest addresses from programs, as bytes from user space.

mod arena;
mod array;
mod hash;
mod of_maps;
mod queue;
mod ringbuf;
mod storage;
mod user;
mod user_ring;

pub(super) use arena::Arena;
pub(super) use array::Array;
pub(super) use hash::Hash;
pub(super) use of_maps::OfMaps;
pub(super) use queue::Queue;
pub(super) use ringbuf::Ringbuf;
pub(super) use storage::Storage;
pub use user::Element;
pub(super) use user::ElementKey;
pub(super) use user_ring::UserRing;

use super::fault::MachineError;
use super::memory::Memory;
use super::names::map_type_name;
use crate::image::MapDef;

/// `BPF_MAP_TYPE_*` of the types that this machine has.
pub mod map_type {
    #![allow(missing_docs)]
    pub const HASH: u32 = 1;
    pub const ARRAY: u32 = 2;
    pub const PERF_EVENT_ARRAY: u32 = 4;
    pub const PERCPU_HASH: u32 = 5;
    pub const PERCPU_ARRAY: u32 = 6;
    pub const LRU_HASH: u32 = 9;
    pub const ARRAY_OF_MAPS: u32 = 12;
    pub const HASH_OF_MAPS: u32 = 13;
    pub const QUEUE: u32 = 22;
    pub const STACK: u32 = 23;
    pub const RINGBUF: u32 = 27;
    pub const TASK_STORAGE: u32 = 29;
    pub const USER_RINGBUF: u32 = 31;
    pub const CGRP_STORAGE: u32 = 32;
    pub const ARENA: u32 = 33;
}

/// Error numbers, positive.
pub mod errno {
    #![allow(missing_docs)]
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const E2BIG: i32 = 7;
    pub const EAGAIN: i32 = 11;
    pub const ENOMEM: i32 = 12;
    pub const EFAULT: i32 = 14;
    pub const EBUSY: i32 = 16;
    pub const EEXIST: i32 = 17;
    pub const EINVAL: i32 = 22;
    pub const EOPNOTSUPP: i32 = 95;
}

/// Flags of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFlags;

impl MapFlags {
    /// Create or replace.
    pub const ANY: u64 = 0;
    /// Create only.
    pub const NOEXIST: u64 = 1;
    /// Replace only.
    pub const EXIST: u64 = 2;
    /// Take the value's spin lock for the copy.
    pub const LOCK: u64 = 4;
}

/// Longest key: what a program's stack holds.
const KEY_MAX: u32 = 512;
/// Pages of an arena at most: 4 GiB.
const ARENA_PAGES_MAX: u64 = 1 << 20;
/// Bytes that one map may take in guest memory.
const MAP_BYTES_MAX: u64 = 1 << 36;

/// Distance of consecutive values.
pub(super) fn stride(value_size: u32) -> u64 {
    u64::from(value_size).next_multiple_of(8)
}

/// A result of a map operation: 0, or a positive error number.
pub(super) type MapResult = Result<(), i32>;

/// A map.
pub(super) struct Map {
    pub(super) def: MapDef,
    pub(super) kind: Kind,
}

/// What kind of map.
pub(super) enum Kind {
    Array(Array),
    Hash(Hash),
    Queue(Queue),
    Storage(Storage),
    Ringbuf(Ringbuf),
    OfMaps(OfMaps),
    UserRing(UserRing),
    Arena(Arena),
    /// Perf events, of which the machine has none.
    PerfEvents,
}

/// Guest memory that an image's maps need.
pub(super) struct Plan {
    /// Bytes of read-only values.
    pub(super) ro_bytes: u64,
    /// Bytes of everything else.
    pub(super) rw_bytes: u64,
}

impl Map {
    /// Checks all definitions, and adds up what they need.
    pub(super) fn plan_all(defs: &[MapDef], nr_cpus: u32) -> Result<Plan, MachineError> {
        let mut plan = Plan { ro_bytes: 0, rw_bytes: 4096 };
        for def in defs {
            let bytes = needed(def, nr_cpus)?.next_multiple_of(64) + 64;
            if def.read_only {
                plan.ro_bytes += bytes;
            } else {
                plan.rw_bytes += bytes;
            }
        }
        Ok(plan)
    }

    /// Makes all maps. `None`: not enough memory.
    pub(super) fn make_all(defs: &[MapDef], plan: &Plan, nr_cpus: u32, mem: &mut Memory) -> Option<Vec<Map>> {
        let mut ro_at = 0u64;
        let mut maps = Vec::with_capacity(defs.len());
        for def in defs {
            use map_type::*;
            let kind = match def.map_type {
                ARRAY if def.read_only => {
                    let map = Array::read_only(def, ro_at, mem);
                    ro_at += needed(def, nr_cpus).ok()?.next_multiple_of(64) + 64;
                    debug_assert!(ro_at <= plan.ro_bytes);
                    Kind::Array(map)
                }
                ARRAY => Kind::Array(Array::new(def, 1, mem)?),
                PERCPU_ARRAY => Kind::Array(Array::new(def, nr_cpus, mem)?),
                HASH | LRU_HASH => Kind::Hash(Hash::new(def, 1, mem)?),
                PERCPU_HASH => Kind::Hash(Hash::new(def, nr_cpus, mem)?),
                QUEUE | STACK => Kind::Queue(Queue::new(def, mem)?),
                TASK_STORAGE | CGRP_STORAGE => Kind::Storage(Storage::new(def)),
                ARRAY_OF_MAPS | HASH_OF_MAPS => Kind::OfMaps(OfMaps::new(def)),
                USER_RINGBUF => Kind::UserRing(UserRing::new(def)),
                ARENA => Kind::Arena(Arena::new(def, mem)?),
                PERF_EVENT_ARRAY => Kind::PerfEvents,
                _ => Kind::Ringbuf(Ringbuf::new(def, mem)?),
            };
            maps.push(Map { def: def.clone(), kind });
        }
        Some(maps)
    }

    /// Address of a byte of the value of a map that has just one, such as global data.
    pub(super) fn only_value(&self, offset: u32) -> Option<u64> {
        match &self.kind {
            Kind::Array(a) if self.def.max_entries == 1 && !a.per_cpu() && offset < self.def.value_size.max(1) => {
                Some(a.value(0, 0) + u64::from(offset))
            }
            Kind::Arena(a) => a.at(offset.into()),
            _ => None,
        }
    }
}

/// Checks one definition as map creation does; returns the bytes that it needs.
fn needed(def: &MapDef, nr_cpus: u32) -> Result<u64, MachineError> {
    use map_type::*;
    let bad = |what: &str| Err(MachineError::BadMap { map: def.name.clone(), what: what.into() });
    let cpus = match def.map_type {
        PERCPU_ARRAY | PERCPU_HASH => u64::from(nr_cpus),
        ARRAY | HASH | LRU_HASH | QUEUE | STACK | RINGBUF | TASK_STORAGE | CGRP_STORAGE | ARRAY_OF_MAPS
        | HASH_OF_MAPS | USER_RINGBUF | ARENA | PERF_EVENT_ARRAY => 1,
        other => return Err(MachineError::MapType { map: def.name.clone(), map_type: map_type_name(other) }),
    };
    let entries = u64::from(def.max_entries);
    let value = stride(def.value_size);
    let wants_entries = !matches!(def.map_type, TASK_STORAGE | CGRP_STORAGE | PERF_EVENT_ARRAY);
    if wants_entries && entries == 0 {
        return bad("max_entries is 0");
    }
    let no_value = matches!(def.map_type, RINGBUF | USER_RINGBUF | ARENA | PERF_EVENT_ARRAY);
    if def.value_size == 0 && !no_value && def.initial.is_none() {
        return bad("value_size is 0");
    }
    if def.read_only && def.map_type != ARRAY {
        return bad("only arrays can be read-only here");
    }
    let initial = def.initial.as_ref().map_or(0, Vec::len);
    if def.map_type != ARENA && initial > def.value_size as usize {
        return bad("initial contents are larger than the value");
    }
    let bytes = match def.map_type {
        ARRAY | PERCPU_ARRAY if def.key_size != 4 => return bad("key_size of an array must be 4"),
        ARRAY | PERCPU_ARRAY => value.max(8).saturating_mul(entries).saturating_mul(cpus),
        HASH | LRU_HASH | PERCPU_HASH => {
            if def.key_size == 0 || def.key_size > KEY_MAX {
                return bad("key_size must be 1 to 512");
            }
            (stride(def.key_size) + value * cpus).saturating_mul(entries)
        }
        QUEUE | STACK if def.key_size != 0 => return bad("key_size must be 0"),
        QUEUE | STACK => value.saturating_mul(entries),
        RINGBUF | USER_RINGBUF if !def.max_entries.is_power_of_two() || !def.max_entries.is_multiple_of(4096) => {
            return bad("max_entries (the bytes of a ring buffer) must be a power of two and a multiple of 4096");
        }
        RINGBUF => entries * 2,
        ARENA if entries > ARENA_PAGES_MAX || initial as u64 > entries * arena::PAGE => {
            return bad("max_entries (the pages of an arena) must be enough for its variables and at most 4 GiB");
        }
        ARENA => (entries + 1) * arena::PAGE,
        ARRAY_OF_MAPS | HASH_OF_MAPS | USER_RINGBUF | PERF_EVENT_ARRAY => 0,
        _ if def.key_size != 4 => return bad("key_size of a storage must be 4"),
        _ => 0,
    };
    if bytes > MAP_BYTES_MAX {
        return bad("larger than 64 GiB");
    }
    Ok(bytes)
}

/// Checks the flags of an update of an element that exists or not. [htab_map_update_elem], [array_map_update_elem]
fn check_flags(flags: u64, exists: bool) -> MapResult {
    match flags {
        f if f > MapFlags::EXIST => Err(errno::EINVAL),
        MapFlags::NOEXIST if exists => Err(errno::EEXIST),
        MapFlags::EXIST if !exists => Err(errno::ENOENT),
        _ => Ok(()),
    }
}
