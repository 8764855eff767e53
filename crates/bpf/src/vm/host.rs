//! The machine's surroundings.

use super::fault::{AccessError, HostError};
use super::machine::Machine;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Index into [`Image::programs`](crate::image::Image::programs) of the running program; `None`: a callback that the host started.
    pub program: Option<usize>,
    /// Index into [`Image::kfuncs`](crate::image::Image::kfuncs), or id of the helper.
    pub id: usize,
    /// Instructions that this invocation has executed, this call included.
    pub insns: u64,
    /// Absolute slot of the call in [`Image::text`](crate::image::Image::text).
    pub slot: u32,
}

/// A timer helper. Addresses are guest addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerOp {
    /// `bpf_timer_init(timer, map, flags)`.
    Init {
        /// Address of the `bpf_timer`.
        timer: u64,
        /// Index of the map.
        map: usize,
        /// Clock id and flags.
        flags: u64,
    },
    /// `bpf_timer_set_callback(timer, callback)`.
    SetCallback {
        /// Address of the `bpf_timer`.
        timer: u64,
        /// Address of the function, for [`Machine::call_function`].
        callback: u64,
    },
    /// `bpf_timer_start(timer, nsecs, flags)`.
    Start {
        /// Address of the `bpf_timer`.
        timer: u64,
        /// Relative or absolute time.
        nsecs: u64,
        /// `BPF_F_TIMER_*`.
        flags: u64,
    },
    /// `bpf_timer_cancel(timer)`.
    Cancel {
        /// Address of the `bpf_timer`.
        timer: u64,
    },
}

/// What the machine asks of the kernel around it. Any method may suspend the caller's coroutine; the machine holds no
/// borrow meanwhile.
pub trait Host {
    /// Calls kernel function `call.id` of [`Image::kfuncs`](crate::image::Image::kfuncs). Returns r0.
    fn kfunc(&mut self, m: &Machine, call: Call, args: [u64; 5]) -> Result<u64, HostError>;

    /// Loads `size` (1, 2, 4, 8) bytes, zero-extended, from an address outside guest memory.
    fn kernel_load(&mut self, m: &Machine, addr: u64, size: u8) -> Result<u64, AccessError>;

    /// Stores the low `size` (1, 2, 4, 8) bytes of `value` at an address outside guest memory.
    fn kernel_store(&mut self, m: &Machine, addr: u64, size: u8, value: u64) -> Result<(), AccessError>;

    /// Monotonic time.
    fn ktime_ns(&mut self) -> u64;

    /// Monotonic time including suspend.
    fn boot_ns(&mut self) -> u64 {
        self.ktime_ns()
    }

    /// The tick counter.
    fn jiffies64(&mut self) -> u64;

    /// CPU that runs the program. Less than [`Options::nr_cpus`](super::Options::nr_cpus).
    fn cpu(&mut self) -> u32;

    /// NUMA node of that CPU.
    fn numa_node(&mut self) -> u32 {
        0
    }

    /// Address of the running task's `task_struct`.
    fn current_task(&mut self) -> u64;

    /// `tgid << 32 | pid` of the running task.
    fn pid_tgid(&mut self) -> u64;

    /// Name of the running task, NUL-padded.
    fn comm(&mut self) -> [u8; 16];

    /// A draw from the run's stream for programs.
    fn prandom_u32(&mut self) -> u32;

    /// A finished line (or part of one) of `bpf_trace_printk` and `bpf_trace_vprintk`.
    fn printk(&mut self, text: &[u8]);

    /// A stable id of the task object at `task`, for task storage; `None`: there is none.
    fn task_storage_key(&mut self, task: u64) -> Option<u64>;

    /// A stable id of the cgroup at `cgroup`, for cgroup storage; `None`: there is none.
    fn cgroup_storage_key(&mut self, cgroup: u64) -> Option<u64> {
        let _ = cgroup;
        None
    }

    /// Address of `cpu`'s copy of the per-CPU kernel variable at `addr`; 0: no such CPU. `None` for `cpu` means this one.
    fn per_cpu_ptr(&mut self, addr: u64, cpu: Option<u32>) -> u64 {
        let _ = (addr, cpu);
        0
    }

    /// A timer helper; returns r0.
    fn timer(&mut self, m: &Machine, call: Call, op: TimerOp) -> Result<u64, HostError> {
        let _ = (m, call, op);
        Err(HostError::NotImplemented("BPF timers".into()))
    }

    /// A value of a map, `len` bytes at `value`, has been removed: what the kernel kept for it, such as timers, goes.
    fn value_gone(&mut self, value: u64, len: u64) {
        let _ = (value, len);
    }

    /// A record of ring buffer `map` is finished, and whoever waits for records is to be told: all before it have been read, or the
    /// program wants it so. [bpf_ringbuf_commit]
    fn ringbuf_ready(&mut self, map: usize) {
        let _ = map;
    }

    /// Called before each helper: to charge time, and to let other CPUs run.
    fn before_helper(&mut self, m: &Machine, call: Call) -> Result<(), HostError> {
        let _ = (m, call);
        Ok(())
    }

    /// Called before each instruction when [`Options::per_insn`](super::Options::per_insn) is set.
    fn before_insn(&mut self, m: &Machine, slot: u32, insns: u64) -> Result<(), HostError> {
        let _ = (m, slot, insns);
        Ok(())
    }

    /// `bpf_kptr_xchg` put `stored` into a map and gave the program `taken`: whose references these are has changed. Either may
    /// be 0. An error undoes nothing; it ends the program.
    fn kptr_xchg(&mut self, stored: u64, taken: u64) -> Result<(), HostError> {
        let _ = (stored, taken);
        Ok(())
    }

    /// The `bpf_spin_lock` at `lock` is held by another invocation: let others run, then return to try again. An error says that
    /// nobody could release it, which is so wherever invocations do not interleave.
    fn lock_contended(&mut self, m: &Machine, lock: u64) -> Result<(), HostError> {
        let _ = m;
        Err(HostError::Misuse(format!(
            "deadlock: bpf_spin_lock at {lock:#x} is held by another invocation that cannot run"
        )))
    }
}
