//! Constants of the class, with the kernel's values.

/// Dispatch queue ids (E-1).
pub mod dsq_id {
    /// Built-in queues have it set.
    pub const BUILTIN: u64 = 1 << 63;
    /// With [`BUILTIN`]: the local queue of the CPU in the low 32 bits.
    pub const LOCAL_ON_FLAG: u64 = 1 << 62;
    /// No queue.
    pub const INVALID: u64 = BUILTIN;
    /// The global queue of a node.
    pub const GLOBAL: u64 = BUILTIN | 1;
    /// The local queue of the CPU at hand.
    pub const LOCAL: u64 = BUILTIN | 2;
    /// The bypass queue of a CPU.
    pub const BYPASS: u64 = BUILTIN | 3;
    /// The local queue of the CPU in the low 32 bits.
    pub const LOCAL_ON: u64 = BUILTIN | LOCAL_ON_FLAG;

    /// Is it a `LOCAL_ON` id?
    pub fn is_local_on(id: u64) -> bool {
        id & LOCAL_ON == LOCAL_ON
    }
}

/// Times and sizes (E-2, E-3).
pub mod consts {
    #![allow(missing_docs)]
    pub const SLICE_DFL: u64 = 20_000_000;
    pub const SLICE_BYPASS: u64 = 5_000_000;
    pub const SLICE_INF: u64 = u64::MAX;
    pub const DSP_DFL_MAX_BATCH: u32 = 32;
    pub const DSP_MAX_LOOPS: u32 = 32;
    pub const WATCHDOG_MAX_TIMEOUT_MS: u32 = 30_000;
    pub const EXIT_MSG_LEN: usize = 1024;
    pub const EXIT_DUMP_DFL_LEN: u32 = 32768;
    pub const DUMP_LINE_LEN: usize = 1024;
    pub const CPUPERF_ONE: u32 = 1024;
    pub const BYPASS_HOST_NTH: u64 = 2;
    pub const BYPASS_LB_DFL_INTV_US: u64 = 500_000;
    pub const BYPASS_LB_DONOR_PCT: u32 = 125;
    pub const BYPASS_LB_MIN_DELTA_DIV: u64 = 4;
    pub const REENQ_LOCAL_MAX_REPEAT: u32 = 256;
    pub const OPS_NAME_LEN: usize = 128;
    /// Ends of sub-schedulers that are remembered: ours.
    pub const SUB_EXITS_MAX: usize = 64;
}

/// Flags of a scheduler (E-4).
pub mod ops {
    #![allow(missing_docs)]
    pub const KEEP_BUILTIN_IDLE: u64 = 1 << 0;
    pub const ENQ_LAST: u64 = 1 << 1;
    pub const ENQ_EXITING: u64 = 1 << 2;
    pub const SWITCH_PARTIAL: u64 = 1 << 3;
    pub const ENQ_MIGRATION_DISABLED: u64 = 1 << 4;
    pub const ALLOW_QUEUED_WAKEUP: u64 = 1 << 5;
    pub const BUILTIN_IDLE_PER_NODE: u64 = 1 << 6;
    pub const ALWAYS_ENQ_IMMED: u64 = 1 << 7;
    pub const TID_TO_TASK: u64 = 1 << 8;
    /// All of them.
    pub const ALL: u64 = (1 << 9) - 1;
}

/// Enqueue flags beyond the core's (E-5).
pub mod enq {
    #![allow(missing_docs)]
    pub const HEAD: u64 = 0x1_0000;
    pub const PREEMPT: u64 = 1 << 32;
    pub const IMMED: u64 = 1 << 33;
    pub const REENQ: u64 = 1 << 40;
    pub const LAST: u64 = 1 << 41;
    pub const CLEAR_OPSS: u64 = 1 << 56;
    pub const DSQ_PRIQ: u64 = 1 << 57;
    pub const GDSQ_FALLBACK: u64 = 1 << 59;
    /// Refused from BPF.
    pub const INTERNAL_MASK: u64 = 0xff << 56;
}

/// Dequeue flags beyond the core's (E-6).
pub mod deq {
    #![allow(missing_docs)]
    pub const SLEEP: u64 = 0x1;
    pub const CORE_SCHED_EXEC: u64 = 1 << 32;
    pub const SCHED_CHANGE: u64 = 1 << 33;
}

/// Flags of kicks (E-9).
pub mod kick {
    #![allow(missing_docs)]
    pub const IDLE: u64 = 1;
    pub const PREEMPT: u64 = 2;
    pub const WAIT: u64 = 4;
}

/// Flags of idle picks (E-9).
pub mod pick_idle {
    #![allow(missing_docs)]
    pub const CORE: u64 = 1;
    pub const IN_NODE: u64 = 2;
}

/// Flags of reenqueues (E-8).
pub mod reenq {
    #![allow(missing_docs)]
    pub const ANY: u64 = 1;
    /// What BPF may set.
    pub const USER_MASK: u64 = ANY;
    /// The filter; none means [`ANY`].
    pub const FILTER_MASK: u64 = 0xffff;
}

/// Flags of queue iterators (E-9).
pub mod iter {
    /// From the back to the front.
    pub const REV: u64 = 1 << 16;
}

/// Flags of a task (E-10).
pub mod task {
    #![allow(missing_docs)]
    pub const QUEUED: u32 = 1 << 0;
    pub const IN_CUSTODY: u32 = 1 << 1;
    pub const RESET_RUNNABLE_AT: u32 = 1 << 2;
    pub const DEQD_FOR_SLEEP: u32 = 1 << 3;
    pub const SUB_INIT: u32 = 1 << 4;
    pub const IMMED: u32 = 1 << 5;
    pub const STATE_SHIFT: u32 = 8;
    pub const REENQ_REASON_SHIFT: u32 = 12;
    pub const REENQ_REASON_MASK: u32 = 3 << REENQ_REASON_SHIFT;
    pub const REENQ_KFUNC: u32 = 1 << REENQ_REASON_SHIFT;
    pub const REENQ_IMMED: u32 = 2 << REENQ_REASON_SHIFT;
    pub const REENQ_PREEMPTED: u32 = 3 << REENQ_REASON_SHIFT;
}

/// Error numbers.
pub mod errno {
    #![allow(missing_docs)]
    pub const ENOENT: i32 = 2;
    pub const E2BIG: i32 = 7;
    pub const EBUSY: i32 = 16;
    pub const EEXIST: i32 = 17;
    pub const ENODEV: i32 = 19;
    pub const EINVAL: i32 = 22;
    pub const EPROTO: i32 = 71;
    pub const EOPNOTSUPP: i32 = 95;
    /// Largest error number that a pointer can encode.
    pub const MAX_ERRNO: i32 = 4095;
}

/// Parts of an exit code (E-13).
pub mod exit_code {
    #![allow(missing_docs)]
    pub const RSN_HOTPLUG: i64 = 1 << 32;
    pub const RSN_CGROUP_OFFLINE: i64 = 2 << 32;
    pub const ACT_RESTART: i64 = 1 << 48;
}

/// Exit flag: `init` returned 0 (E-13).
pub const EFLAG_INITIALIZED: u64 = 1;
