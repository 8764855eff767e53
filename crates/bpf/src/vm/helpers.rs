//! BPF helpers. Rules: the helper's description in the UAPI; error numbers are returned negated.

use super::fault::HostError;
use super::format;
use super::host::{Call, Host, TimerOp};
use super::interp::MAX_LOOPS;
use super::machine::{Handles, Invocation, Machine};
use super::maps::{Kind, Map, MapFlags, MapResult, errno};

/// Helpers that this machine has, by id.
mod id {
    pub(super) const MAP_LOOKUP_ELEM: usize = 1;
    pub(super) const MAP_UPDATE_ELEM: usize = 2;
    pub(super) const MAP_DELETE_ELEM: usize = 3;
    pub(super) const PROBE_READ: usize = 4;
    pub(super) const KTIME_GET_NS: usize = 5;
    pub(super) const TRACE_PRINTK: usize = 6;
    pub(super) const GET_PRANDOM_U32: usize = 7;
    pub(super) const GET_SMP_PROCESSOR_ID: usize = 8;
    pub(super) const GET_CURRENT_PID_TGID: usize = 14;
    pub(super) const GET_CURRENT_COMM: usize = 16;
    pub(super) const GET_CURRENT_TASK: usize = 35;
    pub(super) const GET_NUMA_NODE_ID: usize = 42;
    pub(super) const PROBE_READ_STR: usize = 45;
    pub(super) const MAP_PUSH_ELEM: usize = 87;
    pub(super) const MAP_POP_ELEM: usize = 88;
    pub(super) const MAP_PEEK_ELEM: usize = 89;
    pub(super) const SPIN_LOCK: usize = 93;
    pub(super) const SPIN_UNLOCK: usize = 94;
    pub(super) const PROBE_READ_KERNEL: usize = 113;
    pub(super) const PROBE_READ_KERNEL_STR: usize = 115;
    pub(super) const JIFFIES64: usize = 118;
    pub(super) const KTIME_GET_BOOT_NS: usize = 125;
    pub(super) const RINGBUF_OUTPUT: usize = 130;
    pub(super) const RINGBUF_RESERVE: usize = 131;
    pub(super) const RINGBUF_SUBMIT: usize = 132;
    pub(super) const RINGBUF_DISCARD: usize = 133;
    pub(super) const RINGBUF_QUERY: usize = 134;
    pub(super) const PER_CPU_PTR: usize = 153;
    pub(super) const THIS_CPU_PTR: usize = 154;
    pub(super) const TASK_STORAGE_GET: usize = 156;
    pub(super) const TASK_STORAGE_DELETE: usize = 157;
    pub(super) const GET_CURRENT_TASK_BTF: usize = 158;
    pub(super) const KTIME_GET_COARSE_NS: usize = 160;
    pub(super) const FOR_EACH_MAP_ELEM: usize = 164;
    pub(super) const SNPRINTF: usize = 165;
    pub(super) const TIMER_INIT: usize = 169;
    pub(super) const TIMER_SET_CALLBACK: usize = 170;
    pub(super) const TIMER_START: usize = 171;
    pub(super) const TIMER_CANCEL: usize = 172;
    pub(super) const TRACE_VPRINTK: usize = 177;
    pub(super) const LOOP: usize = 181;
    pub(super) const STRNCMP: usize = 182;
    pub(super) const KPTR_XCHG: usize = 194;
    pub(super) const MAP_LOOKUP_PERCPU_ELEM: usize = 195;

    pub(super) const ALL: &[usize] = &[
        MAP_LOOKUP_ELEM,
        MAP_UPDATE_ELEM,
        MAP_DELETE_ELEM,
        PROBE_READ,
        KTIME_GET_NS,
        TRACE_PRINTK,
        GET_PRANDOM_U32,
        GET_SMP_PROCESSOR_ID,
        GET_CURRENT_PID_TGID,
        GET_CURRENT_COMM,
        GET_CURRENT_TASK,
        GET_NUMA_NODE_ID,
        PROBE_READ_STR,
        MAP_PUSH_ELEM,
        MAP_POP_ELEM,
        MAP_PEEK_ELEM,
        SPIN_LOCK,
        SPIN_UNLOCK,
        PROBE_READ_KERNEL,
        PROBE_READ_KERNEL_STR,
        JIFFIES64,
        KTIME_GET_BOOT_NS,
        RINGBUF_OUTPUT,
        RINGBUF_RESERVE,
        RINGBUF_SUBMIT,
        RINGBUF_DISCARD,
        RINGBUF_QUERY,
        PER_CPU_PTR,
        THIS_CPU_PTR,
        TASK_STORAGE_GET,
        TASK_STORAGE_DELETE,
        GET_CURRENT_TASK_BTF,
        KTIME_GET_COARSE_NS,
        FOR_EACH_MAP_ELEM,
        SNPRINTF,
        TIMER_INIT,
        TIMER_SET_CALLBACK,
        TIMER_START,
        TIMER_CANCEL,
        TRACE_VPRINTK,
        LOOP,
        STRNCMP,
        KPTR_XCHG,
        MAP_LOOKUP_PERCPU_ELEM,
    ];
}

/// Does this machine have helper `id`?
pub(super) fn is_supported(id: i32) -> bool {
    usize::try_from(id).is_ok_and(|id| id::ALL.contains(&id))
}

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const STORAGE_CREATE: u64 = 1;
/// `BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP`.
const RINGBUF_FLAGS: u64 = 3;
/// Longest data that one probe read or string helper takes here.
const COPY_MAX: u64 = 1 << 20;

type Ret = Result<u64, HostError>;

fn err(errno: i32) -> u64 {
    -i64::from(errno) as u64
}

fn ret(result: MapResult) -> u64 {
    result.map_or_else(err, |()| 0)
}

/// A helper's pointer argument that is not accessible.
fn bad(what: &str, addr: u64) -> HostError {
    HostError::BadAccess(format!("{what} at {addr:#x} is not accessible"))
}

impl Machine {
    /// Calls helper `call.id`. Callbacks that it runs count into `inv.insns`.
    pub(super) fn helper(&self, inv: &mut Invocation<'_>, call: Call, a: [u64; 5], host: &mut dyn Host) -> Ret {
        host.before_helper(self, call)?;
        Ok(match call.id {
            id::MAP_LOOKUP_ELEM => self.lookup(a[0], a[1], None, host)?,
            id::MAP_LOOKUP_PERCPU_ELEM => self.lookup(a[0], a[1], Some(a[2] as u32), host)?,
            id::MAP_UPDATE_ELEM => self.update(a[0], a[1], a[2], a[3], host)?,
            id::MAP_DELETE_ELEM => self.delete(a[0], a[1])?,
            id::MAP_PUSH_ELEM => self.push(a[0], a[1], a[2])?,
            id::MAP_POP_ELEM => self.take(a[0], a[1], true)?,
            id::MAP_PEEK_ELEM => self.take(a[0], a[1], false)?,
            id::FOR_EACH_MAP_ELEM => self.for_each(inv, a, host)?,
            id::LOOP => self.bpf_loop(inv, a, host)?,
            id::TASK_STORAGE_GET => self.storage_get(a, host)?,
            id::TASK_STORAGE_DELETE => self.storage_delete(a[0], a[1], host)?,
            id::RINGBUF_OUTPUT | id::RINGBUF_RESERVE | id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD | id::RINGBUF_QUERY => {
                self.ringbuf(call.id, a)?
            }
            id::KTIME_GET_NS | id::KTIME_GET_COARSE_NS => host.ktime_ns(),
            id::KTIME_GET_BOOT_NS => host.boot_ns(),
            id::JIFFIES64 => host.jiffies64(),
            id::GET_PRANDOM_U32 => u64::from(host.prandom_u32()),
            id::GET_SMP_PROCESSOR_ID => u64::from(host.cpu()),
            id::GET_NUMA_NODE_ID => u64::from(host.numa_node()),
            id::GET_CURRENT_TASK | id::GET_CURRENT_TASK_BTF => host.current_task(),
            id::GET_CURRENT_PID_TGID => host.pid_tgid(),
            id::GET_CURRENT_COMM => self.current_comm(a[0], a[1], host)?,
            id::PER_CPU_PTR if a[1] as u32 >= self.nr_cpus => 0,
            id::PER_CPU_PTR => host.per_cpu_ptr(a[0], Some(a[1] as u32)),
            id::THIS_CPU_PTR => host.per_cpu_ptr(a[0], None),
            id::PROBE_READ | id::PROBE_READ_KERNEL => self.probe_read(a[0], a[1], a[2], host)?,
            id::PROBE_READ_STR | id::PROBE_READ_KERNEL_STR => self.probe_read_str(a[0], a[1], a[2], host)?,
            id::STRNCMP => self.strncmp(a[0], a[1], a[2], host)?,
            id::SNPRINTF => self.snprintf(a, host)?,
            id::TRACE_PRINTK => self.printk(a[0], a[1], &a[2..5], host)?,
            id::TRACE_VPRINTK => match self.varargs(a[2], a[3])? {
                Some(args) => self.printk(a[0], a[1], &args, host)?,
                None => err(errno::EINVAL),
            },
            id::SPIN_LOCK => self.spin_lock(inv, a[0], host)?,
            id::SPIN_UNLOCK => self.spin_unlock(inv, a[0])?,
            id::KPTR_XCHG => {
                let old = self.mem.load::<u64>(a[0]).ok_or_else(|| bad("kptr", a[0]))?;
                if !self.mem.store(a[0], a[1]) {
                    return Err(bad("kptr", a[0]));
                }
                old
            }
            id::TIMER_INIT => {
                host.timer(self, call, TimerOp::Init { timer: a[0], map: self.map_at(a[1])?.0, flags: a[2] })?
            }
            id::TIMER_SET_CALLBACK => {
                self.callback(a[1])?;
                host.timer(self, call, TimerOp::SetCallback { timer: a[0], callback: a[1] })?
            }
            id::TIMER_START => host.timer(self, call, TimerOp::Start { timer: a[0], nsecs: a[1], flags: a[2] })?,
            id::TIMER_CANCEL => host.timer(self, call, TimerOp::Cancel { timer: a[0] })?,
            other => return Err(HostError::NotImplemented(format!("helper {other}"))),
        })
    }

    /// The map that a program names by its address.
    #[inline]
    fn map_at(&self, addr: u64) -> Result<(usize, &Map), HostError> {
        let index = Handles::map_index(addr);
        match index.and_then(|i| Some((i, self.maps.get(i)?))) {
            Some(map) => Ok(map),
            None => Err(HostError::Misuse(format!("{addr:#x} is not a map"))),
        }
    }

    fn callback(&self, addr: u64) -> Result<u32, HostError> {
        self.callback_entry(addr).ok_or_else(|| HostError::Misuse(format!("callback {addr:#x} is not a function")))
    }

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
    fn lookup(&self, map: u64, key: u64, cpu: Option<u32>, host: &mut dyn Host) -> Ret {
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
            _ => Ok(0),
        }
    }

    fn update(&self, map: u64, key: u64, value: u64, flags: u64, host: &mut dyn Host) -> Ret {
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
                    Ok(slot) => h.value(slot, cpu),
                    Err(e) => return Ok(err(e)),
                }
            }
            Kind::Queue(_) | Kind::Storage(_) | Kind::Ringbuf(_) => return Ok(err(errno::EOPNOTSUPP)),
        };
        if self.mem.copy(addr, value, map.def.value_size as usize) {
            Ok(0)
        } else if map.def.read_only {
            Ok(err(errno::EPERM))
        } else {
            Err(bad("map value", value))
        }
    }

    fn delete(&self, map: u64, key: u64) -> Ret {
        let (_, map) = self.map_at(map)?;
        match &map.kind {
            Kind::Hash(h) => self.with_key(map, key, |key| ret(h.delete(&self.mem, key))),
            Kind::Array(_) | Kind::Queue(_) => Ok(err(errno::EINVAL)),
            _ => Ok(err(errno::EOPNOTSUPP)),
        }
    }

    fn push(&self, map: u64, value: u64, flags: u64) -> Ret {
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

    fn take(&self, map: u64, out: u64, remove: bool) -> Ret {
        let (_, map) = self.map_at(map)?;
        match &map.kind {
            Kind::Queue(q) => q.take(&self.mem, out, remove).map(ret).map_err(|()| bad("map value", out)),
            _ => Ok(err(errno::EOPNOTSUPP)),
        }
    }

    fn readable(&self, addr: u64, len: usize) -> bool {
        len == 0
            || self.mem.load::<u8>(addr).is_some() && self.mem.load::<u8>(addr.wrapping_add(len as u64 - 1)).is_some()
    }

    /// Calls `cb(map, key, value, ctx)` for each element until it returns non-zero; returns how many calls there were.
    fn for_each(&self, inv: &mut Invocation<'_>, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [map_addr, callback, ctx, flags, _] = a;
        let (_, map) = self.map_at(map_addr)?;
        let entry = self.callback(callback)?;
        if flags != 0 {
            return Ok(err(errno::EINVAL));
        }
        let cpu = if map.per_cpu() { host.cpu() } else { 0 };
        let mut calls = 0;
        match &map.kind {
            Kind::Array(array) => {
                for i in 0..array.entries() {
                    // Nested loops share the scratch: the key is written anew before each call.
                    let key = inv.scratch() + (inv.depth as u64 % 8) * 8;
                    let stored = self.mem.store::<u32>(key, i);
                    debug_assert!(stored);
                    calls += 1;
                    if self.exec(inv, entry, [map_addr, key, array.value(i, cpu), ctx, 0], host)? != 0 {
                        break;
                    }
                }
            }
            Kind::Hash(hash) => {
                let mut from = 0;
                while let Some(slot) = hash.occupied(from) {
                    from = slot + 1;
                    calls += 1;
                    if self.exec(inv, entry, [map_addr, hash.key(slot), hash.value(slot, cpu), ctx, 0], host)? != 0 {
                        break;
                    }
                }
            }
            _ => return Ok(err(errno::EINVAL)),
        }
        Ok(calls)
    }

    /// Calls `cb(i, ctx)` up to `n` times, until it returns non-zero; returns how many calls there were.
    fn bpf_loop(&self, inv: &mut Invocation<'_>, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [n, callback, ctx, flags, _] = a;
        let entry = self.callback(callback)?;
        let n = u64::from(n as u32);
        if flags != 0 {
            return Ok(err(errno::EINVAL));
        }
        if n > u64::from(MAX_LOOPS) {
            return Ok(err(errno::E2BIG));
        }
        for i in 0..n {
            if self.exec(inv, entry, [i, ctx, 0, 0, 0], host)? != 0 {
                return Ok(i + 1);
            }
        }
        Ok(n)
    }

    fn storage_get(&self, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [map, task, value, flags, _] = a;
        let (_, map) = self.map_at(map)?;
        let Kind::Storage(s) = &map.kind else { return Ok(0) };
        if flags & !STORAGE_CREATE != 0 || task == 0 {
            return Ok(0);
        }
        let Some(key) = host.task_storage_key(task) else { return Ok(0) };
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

    fn storage_delete(&self, map: u64, task: u64, host: &mut dyn Host) -> Ret {
        let (_, map) = self.map_at(map)?;
        let Kind::Storage(s) = &map.kind else { return Ok(err(errno::EINVAL)) };
        if task == 0 {
            return Ok(err(errno::EINVAL));
        }
        Ok(match host.task_storage_key(task) {
            Some(key) => ret(s.delete(&self.mem, key)),
            None => err(errno::ENOENT),
        })
    }

    fn ringbuf(&self, helper: usize, a: [u64; 5]) -> Ret {
        if matches!(helper, id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD) {
            let mut rings =
                self.maps.iter().filter_map(|m| if let Kind::Ringbuf(r) = &m.kind { Some(r) } else { None });
            return match rings.any(|r| r.commit(a[0], helper == id::RINGBUF_DISCARD)) {
                true => Ok(0),
                false => Err(HostError::Misuse(format!("{:#x} is no reserved ring buffer record", a[0]))),
            };
        }
        let (_, map) = self.map_at(a[0])?;
        let Kind::Ringbuf(r) = &map.kind else {
            return Err(HostError::Misuse(format!("map {} is no ring buffer", map.def.name)));
        };
        match helper {
            id::RINGBUF_RESERVE if a[2] != 0 => Ok(0),
            id::RINGBUF_RESERVE => Ok(r.reserve(a[1])),
            id::RINGBUF_QUERY => Ok(r.query(a[1])),
            _ if a[3] & !RINGBUF_FLAGS != 0 => Ok(err(errno::EINVAL)),
            _ => r.output(&self.mem, a[1], a[2]).map(ret).map_err(|()| bad("ring buffer data", a[1])),
        }
    }

    fn current_comm(&self, out: u64, size: u64, host: &mut dyn Host) -> Ret {
        let comm = host.comm();
        let len = comm.iter().position(|b| *b == 0).unwrap_or(comm.len());
        let mut text = vec![0; size.min(COPY_MAX) as usize];
        let n = len.min(text.len().saturating_sub(1));
        text[..n].copy_from_slice(&comm[..n]);
        if self.mem.write(out, &text) { Ok(0) } else { Err(bad("buffer", out)) }
    }

    /// Fills `out` from any address; false: not readable.
    fn read_any(&self, addr: u64, out: &mut [u8], host: &mut dyn Host) -> bool {
        if addr < 4096 || addr.checked_add(out.len() as u64).is_none() {
            return false;
        }
        if self.owns(addr) {
            return self.mem.read(addr, out);
        }
        let mut at = 0;
        while at < out.len() {
            let rest = out.len() - at;
            let here = addr.wrapping_add(at as u64);
            // Aligned pieces: a field is never read in a larger piece than it has been declared with its neighbours.
            let size = [8, 4, 2, 1].into_iter().find(|s| *s <= rest && here.is_multiple_of(*s as u64)).unwrap_or(1);
            match host.kernel_load(self, here, size as u8) {
                Ok(v) => out[at..at + size].copy_from_slice(&v.to_le_bytes()[..size]),
                Err(_) => return false,
            }
            at += size;
        }
        true
    }

    fn probe_read(&self, dst: u64, size: u64, src: u64, host: &mut dyn Host) -> Ret {
        let size = size & 0xffff_ffff;
        if size > COPY_MAX {
            return Err(HostError::Misuse(format!("probe read of {size} bytes")));
        }
        let mut data = vec![0; size as usize];
        let read = self.read_any(src, &mut data, host);
        if !read {
            data.fill(0);
        }
        if !self.mem.write(dst, &data) {
            return Err(bad("buffer", dst));
        }
        Ok(if read { 0 } else { err(errno::EFAULT) })
    }

    /// The string at `addr` without NUL, at most `max` bytes; `None`: not readable.
    fn read_string(&self, addr: u64, max: usize, host: &mut dyn Host) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut byte = [0];
        while out.len() < max {
            if !self.read_any(addr.wrapping_add(out.len() as u64), &mut byte, host) {
                return None;
            }
            if byte[0] == 0 {
                break;
            }
            out.push(byte[0]);
        }
        Some(out)
    }

    fn probe_read_str(&self, dst: u64, size: u64, src: u64, host: &mut dyn Host) -> Ret {
        let size = (size & 0xffff_ffff).min(COPY_MAX) as usize;
        if size == 0 {
            return Ok(0);
        }
        let (data, result) = match self.read_string(src, size - 1, host) {
            Some(mut text) => {
                text.push(0);
                let len = text.len() as u64;
                (text, len)
            }
            None => (vec![0; size], err(errno::EFAULT)),
        };
        if self.mem.write(dst, &data) { Ok(result) } else { Err(bad("buffer", dst)) }
    }

    fn strncmp(&self, s1: u64, size: u64, s2: u64, host: &mut dyn Host) -> Ret {
        for i in 0..(size & 0xffff_ffff).min(COPY_MAX) {
            let (mut a, mut b) = ([0], [0]);
            if !self.read_any(s1.wrapping_add(i), &mut a, host) || !self.read_any(s2.wrapping_add(i), &mut b, host) {
                return Err(bad("string", s1.wrapping_add(i)));
            }
            if a != b || a[0] == 0 {
                return Ok(i64::from(a[0].cmp(&b[0]) as i8) as u64);
            }
        }
        Ok(0)
    }

    /// The argument array of a variadic helper: `bytes` long, 8 each; `None`: EINVAL.
    fn varargs(&self, data: u64, bytes: u64) -> Result<Option<Vec<u64>>, HostError> {
        let bytes = (bytes & 0xffff_ffff) as usize;
        if !bytes.is_multiple_of(8) || bytes > format::ARGS_MAX * 8 || (bytes > 0 && data == 0) {
            return Ok(None);
        }
        (0..bytes as u64 / 8)
            .map(|i| self.mem.load::<u64>(data.wrapping_add(i * 8)).ok_or_else(|| bad("arguments", data)))
            .collect::<Result<Vec<u64>, HostError>>()
            .map(Some)
    }

    /// Formats the guest's format string. `fmt_size`: bytes in which its NUL must be, if known. The inner error: an error number.
    pub(super) fn bprintf(
        &self,
        fmt: u64,
        fmt_size: Option<u64>,
        args: &[u64],
        host: &mut dyn Host,
    ) -> Result<Result<Vec<u8>, i32>, HostError> {
        let max = fmt_size.map_or(format::OUTPUT_MAX as u64, |s| s & 0xffff_ffff).min(COPY_MAX);
        let text = self.read_cstr(fmt, max as usize).ok_or_else(|| bad("format string", fmt))?;
        if text.len() as u64 == max {
            return Ok(Err(errno::EINVAL));
        }
        Ok(format::format(&text, args, |addr, max| self.read_string(addr, max, host)))
    }

    /// Formats as `scx_bpf_error_bstr` and the like do: the format string at `fmt`, `bytes` bytes of arguments at `data`. The inner error
    /// is a positive error number.
    pub fn format_bstr(
        &self,
        fmt: u64,
        data: u64,
        bytes: u64,
        host: &mut dyn Host,
    ) -> Result<Result<Vec<u8>, i32>, HostError> {
        match self.varargs(data, bytes)? {
            Some(args) => self.bprintf(fmt, None, &args, host),
            None => Ok(Err(errno::EINVAL)),
        }
    }

    fn printk(&self, fmt: u64, fmt_size: u64, args: &[u64], host: &mut dyn Host) -> Ret {
        Ok(match self.bprintf(fmt, Some(fmt_size), args, host)? {
            Ok(mut text) => {
                text.truncate(format::OUTPUT_MAX - 1);
                host.printk(&text);
                text.len() as u64
            }
            Err(e) => err(e),
        })
    }

    fn snprintf(&self, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [out, size, fmt, data, bytes] = a;
        let Some(args) = self.varargs(data, bytes)? else { return Ok(err(errno::EINVAL)) };
        let size = (size & 0xffff_ffff) as usize;
        Ok(match self.bprintf(fmt, None, &args, host)? {
            Ok(mut text) => {
                let needed = text.len() as u64 + 1;
                text.truncate(size.saturating_sub(1));
                text.push(0);
                if size > 0 && !self.mem.write(out, &text) {
                    return Err(bad("buffer", out));
                }
                needed
            }
            Err(e) => err(e),
        })
    }

    fn spin_lock(&self, inv: &mut Invocation<'_>, lock: u64, host: &mut dyn Host) -> Ret {
        if inv.lock != 0 {
            return Err(HostError::Misuse(format!(
                "bpf_spin_lock at {lock:#x} while holding the one at {:#x}",
                inv.lock
            )));
        }
        loop {
            match self.mem.load::<u32>(lock) {
                Some(0) if self.mem.store::<u32>(lock, 1) => break,
                Some(held) if held != 0 => host.lock_contended(self, lock)?,
                _ => return Err(bad("bpf_spin_lock", lock)),
            }
        }
        inv.lock = lock;
        Ok(0)
    }

    fn spin_unlock(&self, inv: &mut Invocation<'_>, lock: u64) -> Ret {
        if inv.lock != lock || lock == 0 {
            return Err(HostError::Misuse(format!(
                "unlock of bpf_spin_lock at {lock:#x}, which this program does not hold"
            )));
        }
        let stored = self.mem.store::<u32>(lock, 0);
        debug_assert!(stored, "a lock that was taken is writable");
        inv.lock = 0;
        Ok(0)
    }
}
