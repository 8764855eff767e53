//! BPF helpers. Rules: the helper's description in the UAPI; error numbers are returned negated.

mod control;
mod maps;
mod text;

use super::fault::HostError;
use super::host::{Call, Host, TimerOp};
use super::machine::{Handles, Invocation, Machine};
use super::maps::{Map, MapResult, errno};

/// Names the helpers that this machine has, and lists them.
macro_rules! helpers {
    ($($name:ident = $id:literal,)*) => {
        /// Helpers that this machine has, by id.
        mod id {
            $(pub(super) const $name: usize = $id;)*
            pub(super) const ALL: &[usize] = &[$($id),*];
        }
    };
}

helpers! {
    MAP_LOOKUP_ELEM = 1,
    MAP_UPDATE_ELEM = 2,
    MAP_DELETE_ELEM = 3,
    PROBE_READ = 4,
    KTIME_GET_NS = 5,
    TRACE_PRINTK = 6,
    GET_PRANDOM_U32 = 7,
    GET_SMP_PROCESSOR_ID = 8,
    GET_CURRENT_PID_TGID = 14,
    GET_CURRENT_COMM = 16,
    GET_CURRENT_TASK = 35,
    GET_NUMA_NODE_ID = 42,
    PROBE_READ_STR = 45,
    PERF_EVENT_READ_VALUE = 55,
    MAP_PUSH_ELEM = 87,
    MAP_POP_ELEM = 88,
    MAP_PEEK_ELEM = 89,
    SPIN_LOCK = 93,
    SPIN_UNLOCK = 94,
    PROBE_READ_KERNEL = 113,
    PROBE_READ_KERNEL_STR = 115,
    JIFFIES64 = 118,
    KTIME_GET_BOOT_NS = 125,
    RINGBUF_OUTPUT = 130,
    RINGBUF_RESERVE = 131,
    RINGBUF_SUBMIT = 132,
    RINGBUF_DISCARD = 133,
    RINGBUF_QUERY = 134,
    PER_CPU_PTR = 153,
    THIS_CPU_PTR = 154,
    TASK_STORAGE_GET = 156,
    TASK_STORAGE_DELETE = 157,
    GET_CURRENT_TASK_BTF = 158,
    KTIME_GET_COARSE_NS = 160,
    FOR_EACH_MAP_ELEM = 164,
    SNPRINTF = 165,
    TIMER_INIT = 169,
    TIMER_SET_CALLBACK = 170,
    TIMER_START = 171,
    TIMER_CANCEL = 172,
    TRACE_VPRINTK = 177,
    LOOP = 181,
    STRNCMP = 182,
    KPTR_XCHG = 194,
    MAP_LOOKUP_PERCPU_ELEM = 195,
    DYNPTR_READ = 201,
    DYNPTR_DATA = 203,
    USER_RINGBUF_DRAIN = 209,
    CGRP_STORAGE_GET = 210,
    CGRP_STORAGE_DELETE = 211,
}

/// Does this machine have helper `id`?
pub(super) fn is_supported(id: i32) -> bool {
    usize::try_from(id).is_ok_and(|id| id::ALL.contains(&id))
}

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
            id::MAP_DELETE_ELEM => self.delete(a[0], a[1], host)?,
            id::MAP_PUSH_ELEM => self.push(a[0], a[1], a[2])?,
            id::MAP_POP_ELEM => self.take(a[0], a[1], true)?,
            id::MAP_PEEK_ELEM => self.take(a[0], a[1], false)?,
            id::FOR_EACH_MAP_ELEM => self.for_each(inv, a, host)?,
            id::LOOP => self.bpf_loop(inv, a, host)?,
            id::TASK_STORAGE_GET | id::CGRP_STORAGE_GET => self.storage_get(a, host)?,
            id::USER_RINGBUF_DRAIN => self.user_ringbuf_drain(inv, a, host)?,
            id::DYNPTR_READ => self.dynptr_read(a)?,
            id::DYNPTR_DATA => self.dynptr_data(a)?,
            // No events are set up: that of any index is missing.
            id::PERF_EVENT_READ_VALUE => err(errno::ENOENT),
            id::TASK_STORAGE_DELETE | id::CGRP_STORAGE_DELETE => self.storage_delete(a[0], a[1], host)?,
            id::RINGBUF_OUTPUT | id::RINGBUF_RESERVE | id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD | id::RINGBUF_QUERY => {
                self.ringbuf(call.id, a, host)?
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
                host.kptr_xchg(a[1], old)?;
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
}
