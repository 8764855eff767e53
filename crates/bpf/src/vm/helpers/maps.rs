//! Helpers on maps, task storage and ring buffers.

use super::super::fault::HostError;
use super::super::host::Host;
use super::super::machine::{Handles, Invocation, Machine};
use super::super::maps::{Kind, Map, MapFlags, UserRing, errno, map_type};
use super::{Ret, bad, err, id, ret};

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const STORAGE_CREATE: u64 = 1;
/// Messages that one call takes out at most (BPF_MAX_USER_RINGBUF_SAMPLES).
const USER_MESSAGES_MAX: u64 = 128 * 1024;
/// Bytes of a dynptr here: address and size of the data.
const DYNPTR: usize = 16;
/// `BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP`.
const RINGBUF_FLAGS: u64 = RINGBUF_NO_WAKEUP | RINGBUF_FORCE_WAKEUP;
/// BPF_RB_NO_WAKEUP.
const RINGBUF_NO_WAKEUP: u64 = 1;
/// BPF_RB_FORCE_WAKEUP.
const RINGBUF_FORCE_WAKEUP: u64 = 2;

/// Is user space told of a record with these flags? `is_next`: it has read all before it.
fn wakes(flags: u64, is_next: bool) -> bool {
    flags & RINGBUF_FORCE_WAKEUP != 0 || is_next && flags & RINGBUF_NO_WAKEUP == 0
}

impl Machine {
    /// What `f` makes of the key at `addr`: a copy of it, without allocation for keys of ordinary size.
    #[inline]
    fn with_key<R>(&self, map: &Map, addr: u64, f: impl FnOnce(&[u8]) -> R) -> Result<R, HostError> {
        let len = map.def.key_size as usize;
        let inaccessible = || bad("map key", addr);
        match len {
            4 => Ok(f(&self.mem.load::<u32>(addr).ok_or_else(inaccessible)?.to_le_bytes())),
            8 => Ok(f(&self.mem.load::<u64>(addr).ok_or_else(inaccessible)?.to_le_bytes())),
            ..=64 => {
                let mut short = [0; 64];
                let read = self.mem.read(addr, &mut short[..len]);
                if read { Ok(f(&short[..len])) } else { Err(inaccessible()) }
            }
            _ => {
                let mut long = vec![0; len];
                let read = self.mem.read(addr, &mut long);
                if read { Ok(f(&long)) } else { Err(inaccessible()) }
            }
        }
    }

    fn index(&self, key: u64) -> Result<u32, HostError> {
        self.mem.load::<u32>(key).ok_or_else(|| bad("map key", key))
    }

    /// `cpu`: of per-CPU maps, whose copy; `None`: this CPU's.
    pub(super) fn lookup(&self, map: u64, key: u64, cpu: Option<u32>, host: &mut dyn Host) -> Ret {
        let (_, map) = self.map_at(map)?;
        if cpu.is_some_and(|cpu| !map.per_cpu() || cpu >= self.nr_cpus) {
            return Ok(0);
        }
        match &map.kind {
            Kind::Array(a) if !a.per_cpu() => Ok(a.lookup(self.index(key)?, 0)),
            Kind::Array(a) => Ok(a.lookup(self.index(key)?, cpu.unwrap_or_else(|| host.cpu()))),
            Kind::Hash(h) => {
                let cpu = if h.per_cpu() { cpu.unwrap_or_else(|| host.cpu()) } else { 0 };
                self.with_key(map, key, |key| h.lookup(&self.mem, key, cpu))
            }
            Kind::OfMaps(o) => self.with_key(map, key, |key| o.get(key).map_or(0, Handles::map)),
            _ => Ok(0),
        }
    }

    pub(super) fn update(&self, map: u64, key: u64, value: u64, flags: u64, host: &mut dyn Host) -> Ret {
        let (_, map) = self.map_at(map)?;
        let addr = match &map.kind {
            Kind::Array(a) => {
                let index = self.index(key)?;
                match a.check_update(index, flags) {
                    Ok(()) => a.value(index, if a.per_cpu() { host.cpu() } else { 0 }),
                    Err(e) => return Ok(err(e)),
                }
            }
            Kind::Hash(h) => {
                let cpu = if h.per_cpu() { host.cpu() } else { 0 };
                match self.with_key(map, key, |key| h.upsert(&self.mem, key, flags & !MapFlags::LOCK))? {
                    Ok((slot, evicted)) => {
                        if evicted {
                            host.value_gone(h.value(slot, 0), map.def.value_size.into());
                        }
                        h.value(slot, cpu)
                    }
                    Err(e) => return Ok(err(e)),
                }
            }
            _ => return Ok(err(errno::EOPNOTSUPP)),
        };
        if self.mem.copy(addr, value, map.def.value_size as usize) {
            Ok(0)
        } else if map.def.read_only {
            Ok(err(errno::EPERM))
        } else {
            Err(bad("map value", value))
        }
    }

    pub(super) fn delete(&self, map: u64, key: u64, host: &mut dyn Host) -> Ret {
        let (_, map) = self.map_at(map)?;
        match &map.kind {
            Kind::Hash(h) => Ok(match self.with_key(map, key, |key| h.delete(&self.mem, key))? {
                Ok(slot) => {
                    host.value_gone(h.value(slot, 0), map.def.value_size.into());
                    0
                }
                Err(e) => err(e),
            }),
            Kind::Array(_) | Kind::Queue(_) => Ok(err(errno::EINVAL)),
            _ => Ok(err(errno::EOPNOTSUPP)),
        }
    }

    pub(super) fn push(&self, map: u64, value: u64, flags: u64) -> Ret {
        let (_, map) = self.map_at(map)?;
        let Kind::Queue(q) = &map.kind else { return Ok(err(errno::EOPNOTSUPP)) };
        if !self.readable(value, q.value_size()) {
            return Err(bad("map value", value));
        }
        Ok(match q.push(flags) {
            Ok(addr) => {
                let copied = self.mem.copy(addr, value, q.value_size());
                debug_assert!(copied);
                0
            }
            Err(e) => err(e),
        })
    }

    pub(super) fn take(&self, map: u64, out: u64, remove: bool) -> Ret {
        let (_, map) = self.map_at(map)?;
        match &map.kind {
            Kind::Queue(q) => q.take(&self.mem, out, remove).map(ret).map_err(|()| bad("map value", out)),
            _ => Ok(err(errno::EOPNOTSUPP)),
        }
    }

    /// Whose value of a storage map is at `owner`: the id of a task or, in storages of cgroups, of a cgroup.
    fn storage_key(&self, map: &Map, owner: u64, host: &mut dyn Host) -> Option<u64> {
        match map.def.map_type {
            map_type::CGRP_STORAGE => host.cgroup_storage_key(owner),
            _ => host.task_storage_key(owner),
        }
    }

    pub(super) fn storage_get(&self, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [map, task, value, flags, _] = a;
        let (_, map) = self.map_at(map)?;
        let Kind::Storage(s) = &map.kind else { return Ok(0) };
        if flags & !STORAGE_CREATE != 0 || task == 0 {
            return Ok(0);
        }
        let Some(key) = self.storage_key(map, task, host) else { return Ok(0) };
        if let Some(addr) = s.get(key) {
            return Ok(addr);
        }
        if flags & STORAGE_CREATE == 0 {
            return Ok(0);
        }
        if value != 0 && !self.readable(value, s.value_size()) {
            return Err(bad("initial value", value));
        }
        let Some(addr) = s.get_or_create(&self.mem, key) else { return Ok(0) };
        if value != 0 {
            let copied = self.mem.copy(addr, value, s.value_size());
            debug_assert!(copied);
        }
        Ok(addr)
    }

    pub(super) fn storage_delete(&self, map: u64, task: u64, host: &mut dyn Host) -> Ret {
        let (_, map) = self.map_at(map)?;
        let Kind::Storage(s) = &map.kind else { return Ok(err(errno::EINVAL)) };
        if task == 0 {
            return Ok(err(errno::EINVAL));
        }
        Ok(match self.storage_key(map, task, host) {
            Some(key) => ret(s.delete(&self.mem, key)),
            None => err(errno::ENOENT),
        })
    }

    /// Calls `cb(message, ctx)`, the message as a dynptr, for each message from user space until it returns 1; returns how many there were.
    pub(super) fn user_ringbuf_drain(&self, inv: &mut Invocation<'_>, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [map, callback, ctx, flags, _] = a;
        let (_, map) = self.map_at(map)?;
        let entry = self.callback(callback)?;
        let Kind::UserRing(ring) = &map.kind else {
            return Err(HostError::Misuse(format!("map {} is no user-space ring buffer", map.def.name)));
        };
        if flags & !RINGBUF_FLAGS != 0 {
            return Ok(err(errno::EINVAL));
        }
        if ring.busy.replace(true) {
            return Ok(err(errno::EBUSY));
        }
        let drained = self.drain(inv, ring, entry, ctx, host);
        ring.busy.set(false);
        drained
    }

    fn drain(&self, inv: &mut Invocation<'_>, ring: &UserRing, entry: u32, ctx: u64, host: &mut dyn Host) -> Ret {
        for nr in 0..USER_MESSAGES_MAX {
            let Some(message) = ring.pop() else { return Ok(nr) };
            let size = DYNPTR + message.len();
            let Some(at) = self.mem.alloc(size) else { return Ok(err(errno::ENOMEM)) };
            let data = at + DYNPTR as u64;
            let made = self.mem.store(at, data)
                && self.mem.store(at + 8, message.len() as u64)
                && self.mem.write(data, &message);
            debug_assert!(made, "a fresh block is writable");
            let result = self.exec(inv, entry, [at, ctx, 0, 0, 0], host);
            self.mem.free(at, size);
            if result? != 0 {
                return Ok(nr + 1);
            }
        }
        Ok(USER_MESSAGES_MAX)
    }

    /// Address of `len` bytes at `offset` of the data behind a dynptr; `None`: it has not so many.
    fn dynptr(&self, dynptr: u64, offset: u64, len: u64) -> Result<Option<u64>, HostError> {
        let word = |at| self.mem.load::<u64>(at).ok_or_else(|| bad("dynptr", dynptr));
        let (data, size) = (word(dynptr)?, word(dynptr.wrapping_add(8))?);
        let (offset, len) = (offset & 0xffff_ffff, len & 0xffff_ffff);
        Ok((offset + len <= size).then_some(data + offset))
    }

    pub(super) fn dynptr_data(&self, a: [u64; 5]) -> Ret {
        Ok(self.dynptr(a[0], a[1], a[2])?.unwrap_or(0))
    }

    /// `bpf_dynptr_read(dst, len, src, offset, flags)`.
    pub(super) fn dynptr_read(&self, a: [u64; 5]) -> Ret {
        let [dst, len, src, offset, flags] = a;
        match self.dynptr(src, offset, len)? {
            _ if flags != 0 => Ok(err(errno::EINVAL)),
            None => Ok(err(errno::E2BIG)),
            Some(from) if self.mem.copy(dst, from, len as u32 as usize) => Ok(0),
            Some(_) => Err(bad("buffer", dst)),
        }
    }

    pub(super) fn ringbuf(&self, helper: usize, a: [u64; 5], host: &mut dyn Host) -> Ret {
        if matches!(helper, id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD) {
            return self.ringbuf_commit(a[0], a[1], helper == id::RINGBUF_DISCARD, host);
        }
        let (index, map) = self.map_at(a[0])?;
        let Kind::Ringbuf(r) = &map.kind else {
            return Err(HostError::Misuse(format!("map {} is no ring buffer", map.def.name)));
        };
        match helper {
            id::RINGBUF_RESERVE if a[2] != 0 => Ok(0),
            id::RINGBUF_RESERVE => Ok(r.reserve(a[1])),
            id::RINGBUF_QUERY => Ok(r.query(a[1])),
            _ if a[3] & !RINGBUF_FLAGS != 0 => Ok(err(errno::EINVAL)),
            _ => {
                let result = r.output(&self.mem, a[1], a[2]).map_err(|()| bad("ring buffer data", a[1]))?;
                if result.is_ok() && wakes(a[3], r.has_one()) {
                    host.ringbuf_ready(index);
                }
                Ok(ret(result))
            }
        }
    }

    fn ringbuf_commit(&self, sample: u64, flags: u64, discard: bool, host: &mut dyn Host) -> Ret {
        for (index, map) in self.maps.iter().enumerate() {
            let Kind::Ringbuf(r) = &map.kind else { continue };
            let is_next = r.is_next(sample);
            if r.commit(sample, discard) {
                if wakes(flags, is_next) {
                    host.ringbuf_ready(index);
                }
                return Ok(0);
            }
        }
        Err(HostError::Misuse(format!("{sample:#x} is no reserved ring buffer record")))
    }

    fn readable(&self, addr: u64, len: usize) -> bool {
        len == 0
            || self.mem.load::<u8>(addr).is_some() && self.mem.load::<u8>(addr.wrapping_add(len as u64 - 1)).is_some()
    }
}
