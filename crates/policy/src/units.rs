//! Time, virtual time, weights, CPUs and flags: integers that cannot be mixed up, with the arithmetic of the kernel.

use core::ops::{Add, BitOr, Sub};

use crate::backend::kernel;

/// A duration in nanoseconds. Sums and differences wrap, as in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Ns(pub u64);

impl Ns {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// The slice that the kernel gives by default: 20 ms (`SCX_SLICE_DFL`).
    pub const SLICE_DFL: Self = Self(20_000_000);
    /// A slice that does not end (`SCX_SLICE_INF`).
    pub const SLICE_INF: Self = Self(u64::MAX);

    /// The time now, of this CPU's clock (`scx_bpf_now`).
    #[inline(always)]
    pub fn now() -> Self {
        Self(kernel::now())
    }

    /// The time now, of the clock that timers go by (`bpf_ktime_get_ns`).
    #[inline(always)]
    pub fn monotonic() -> Self {
        Self(kernel::ktime())
    }

    /// The shorter of two.
    #[inline(always)]
    pub const fn min(self, other: Self) -> Self {
        if self.0 < other.0 { self } else { other }
    }

    /// The longer of two.
    #[inline(always)]
    pub const fn max(self, other: Self) -> Self {
        if self.0 > other.0 { self } else { other }
    }

    /// A number of microseconds.
    pub const fn from_us(us: u64) -> Self {
        Self(us.wrapping_mul(1_000))
    }

    /// A number of milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.wrapping_mul(1_000_000))
    }
}

impl Add for Ns {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for Ns {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

/// A virtual time: a point on a circle of 2^64 ns. It has no `<`; ask [`Vtime::before`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Vtime(pub u64);

impl Vtime {
    /// The start.
    pub const ZERO: Self = Self(0);

    /// How far this point is past `earlier`; 0 if it is not.
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> Ns {
        if self.before(earlier) { Ns(0) } else { Ns(self.0.wrapping_sub(earlier.0)) }
    }

    /// Whether this point comes before `other`: their distance, as a signed number, is negative (`time_before64`).
    #[inline(always)]
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i64) < 0
    }

    /// The later of two points.
    #[inline(always)]
    pub const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }
}

impl Add<Ns> for Vtime {
    type Output = Self;
    #[inline(always)]
    fn add(self, by: Ns) -> Self {
        Self(self.0.wrapping_add(by.0))
    }
}

impl Sub<Ns> for Vtime {
    type Output = Self;
    #[inline(always)]
    fn sub(self, by: Ns) -> Self {
        Self(self.0.wrapping_sub(by.0))
    }
}

/// A task's weight, 1 to 10,000; 100 is that of nice 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Weight(pub u32);

impl Weight {
    /// The weight of nice 0.
    pub const DEFAULT: Self = Self(100);

    /// What running for `ran` costs: `ran * 100 / weight`, wrapping. A weight of 0, which no task has, makes it 0, as a
    /// division does on BPF.
    #[inline(always)]
    pub fn charge(self, ran: Ns) -> Ns {
        Ns(quotient(ran.0.wrapping_mul(100), self.0.into()))
    }
}

/// `number / by`, and 0 where `by` is 0: a division as BPF has it, in one instruction. Where something else is to come of a division by 0,
/// ask [`u64::checked_div`].
#[inline(always)]
pub fn quotient(number: u64, by: u64) -> u64 {
    kernel::divide(number, by)
}

/// A random number (`bpf_get_prandom_u32`).
#[inline(always)]
pub fn random_u32() -> u32 {
    kernel::random_u32()
}

/// A CPU's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Cpu(pub i32);

impl Cpu {
    /// The one that the operation runs on.
    #[inline(always)]
    pub fn current() -> Self {
        Self(kernel::cpu())
    }

    /// How many numbers there are: all CPUs that can be are below (`scx_bpf_nr_cpu_ids`).
    #[inline(always)]
    pub fn nr_ids() -> u32 {
        kernel::nr_cpu_ids()
    }

    /// What a function of the kernel's says that gives a CPU or an error number.
    #[inline(always)]
    pub(crate) fn found(cpu: i32) -> Option<Self> {
        if cpu >= 0 { Some(Self(cpu)) } else { None }
    }

    /// What a function of the kernel's says that gives a CPU, or a number past the end.
    #[inline(always)]
    pub(crate) fn below_nr_ids(cpu: u32) -> Option<Self> {
        if cpu < Self::nr_ids() { Some(Self(cpu as i32)) } else { None }
    }

    /// How many NUMA nodes there can be (`scx_bpf_nr_node_ids`, from 6.15; 1 before).
    #[inline(always)]
    pub fn nr_nodes() -> u32 {
        kernel::nr_nodes()
    }

    /// The task that runs on it (`scx_bpf_cpu_curr`, from 6.18; before, a task whose fields can be read and that no function takes). In an operation that
    /// may sleep: only under [`Rcu`](crate::Rcu).
    #[inline(always)]
    pub fn curr<'a>(self) -> Option<crate::Task<'a>> {
        kernel::cpu_curr(self.0).map(crate::Task::__new)
    }

    /// Claims it if it is idle (`scx_bpf_test_and_clear_cpu_idle`).
    #[inline(always)]
    pub fn test_and_clear_idle(self) -> bool {
        kernel::test_and_clear_cpu_idle(self.0)
    }

    /// Its NUMA node (`scx_bpf_cpu_node`, from 6.15; 0 before).
    #[inline(always)]
    pub fn node(self) -> i32 {
        kernel::cpu_node(self.0)
    }

    /// The performance that it can have, of 1024 for the fastest one (`scx_bpf_cpuperf_cap`).
    #[inline(always)]
    pub fn perf_cap(self) -> u32 {
        kernel::cpuperf_cap(self.0)
    }

    /// Its performance now, of 1024 for its own greatest (`scx_bpf_cpuperf_cur`).
    #[inline(always)]
    pub fn perf_cur(self) -> u32 {
        kernel::cpuperf_cur(self.0)
    }

    /// Asks for a performance, of 1024 for its own greatest (`scx_bpf_cpuperf_set`).
    #[inline(always)]
    pub fn set_perf(self, perf: u32) {
        kernel::cpuperf_set(self.0, perf);
    }

    /// Makes this CPU look again (`scx_bpf_kick_cpu`).
    #[inline(always)]
    pub fn kick(self, flags: KickFlags) {
        kernel::kick_cpu(self.0, flags.0);
    }
}

/// The CPU that idle selection chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Where the task should go.
    pub cpu: Cpu,
    /// Whether that CPU is idle, and is now claimed for the task.
    pub is_idle: bool,
}

/// A negative error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Errno(pub i32);

impl Errno {
    /// `Ok` for 0 and above, the number itself below.
    #[inline(always)]
    pub const fn check(ret: i32) -> Result<(), Self> {
        if ret < 0 { Err(Self(ret)) } else { Ok(()) }
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $value:expr;)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// No flag.
            pub const NONE: Self = Self(0);
            $($(#[$flag_doc])* pub const $flag: Self = Self($value);)*

            /// Whether all flags of `other` are set.
            #[inline(always)]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl BitOr for $name {
            type Output = Self;
            #[inline(always)]
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    )*};
}

flags! {
    /// Why a task is inserted (`SCX_ENQ_*`); passed on from `enqueue` to the insertion.
    EnqFlags {
        /// The task was just woken.
        WAKEUP = 1;
        /// Take the slice of the running task away.
        PREEMPT = 1 << 32;
        /// Bounced back from a CPU that a higher class took.
        REENQ = 1 << 40;
        /// The CPU has no other task of the class.
        LAST = 1 << 41;
    }
    /// What a task is (`PF_*`).
    TaskFlags {
        /// It is a CPU's idle task.
        IDLE = 2;
        /// It is ending.
        EXITING = 4;
        /// It is a CPU of a virtual machine.
        VCPU = 1;
        /// A work queue's worker.
        WQ_WORKER = 0x20;
        /// A thread of the kernel's.
        KTHREAD = 0x0020_0000;
    }
    /// How an idle CPU is picked (`SCX_PICK_IDLE_*`).
    PickFlags {
        /// Only of a core that is wholly idle.
        CORE = 1;
        /// Only of the node that is asked for.
        IN_NODE = 2;
    }
    /// How a task is woken (`SCX_WAKE_*`).
    WakeFlags {
        /// After an exec.
        EXEC = 2;
        /// After a fork.
        FORK = 4;
        /// By a wakeup.
        TTWU = 8;
        /// The waker is about to sleep.
        SYNC = 16;
    }
    /// How a timer is started (`BPF_F_TIMER_*`).
    TimerFlags {
        /// The time is a point in time, of the monotonic clock.
        ABS = 1;
        /// On the CPU that starts it, and nowhere else (from 6.7).
        CPU_PIN = 2;
    }
    /// Whether who waits for messages is woken by one (`BPF_RB_*`); without either, if it has read all before.
    RingFlags {
        /// It is not.
        NO_WAKEUP = 1;
        /// It is.
        FORCE_WAKEUP = 2;
    }
    /// How a CPU is kicked (`SCX_KICK_*`).
    KickFlags {
        /// Only if it is idle.
        IDLE = 1;
        /// Take the running task's slice away.
        PREEMPT = 2;
        /// Wait until it has rescheduled.
        WAIT = 4;
    }
    /// Options of a scheduler (`SCX_OPS_*`).
    OpsFlags {
        /// The built-in idle tracking stays on though `update_idle` is implemented.
        KEEP_BUILTIN_IDLE = 1;
        /// A CPU's last task comes to `enqueue`.
        ENQ_LAST = 1 << 1;
        /// Exiting tasks come to `enqueue`.
        ENQ_EXITING = 1 << 2;
        /// Only tasks of policy SCHED_EXT.
        SWITCH_PARTIAL = 1 << 3;
        /// Tasks that may not migrate come to `enqueue`.
        ENQ_MIGRATION_DISABLED = 1 << 4;
        /// Wakeups may be queued on the CPU that they are for, before `select_cpu`'s choice is known to `enqueue`.
        ALLOW_QUEUED_WAKEUP = 1 << 5;
        /// The built-in idle tracking is by NUMA node.
        BUILTIN_IDLE_PER_NODE = 1 << 6;
        /// Insertions into local queues run at once or come back (from 7.1).
        ALWAYS_ENQ_IMMED = 1 << 7;
        /// Tasks are found by [`Task::from_tid`](crate::Task::from_tid) (from 7.2).
        TID_TO_TASK = 1 << 8;
    }
}

impl EnqFlags {
    /// In front of all others (`SCX_ENQ_HEAD`, whose value the kernel changed in 6.19).
    #[inline(always)]
    pub fn head() -> Self {
        Self(kernel::enq_head())
    }

    /// The CPU was chosen already: `select_cpu` ran (`SCX_ENQ_CPU_SELECTED`; no flag before 6.13).
    #[inline(always)]
    pub fn cpu_selected() -> Self {
        Self(kernel::enq_cpu_selected())
    }
}

#[cfg(all(test, not(bpf)))]
mod tests {
    use super::*;

    #[test]
    fn vtime_order_wraps() {
        for (a, b, expect) in
            [(1, 2, true), (2, 1, false), (1, 1, false), (u64::MAX, 3, true), (3, u64::MAX, false), (0, 1 << 63, true)]
        {
            assert_eq!(Vtime(a).before(Vtime(b)), expect, "{a} {b}");
        }
    }

    #[test]
    fn the_charge_is_scaled_by_weight() {
        for (ran, weight, expect) in [
            (1000, 100, 1000),
            (1000, 200, 500),
            (1000, 3, 33_333),
            (u64::MAX, 1, u64::MAX.wrapping_mul(100)),
            (5, 0, 0),
        ] {
            assert_eq!(Weight(weight).charge(Ns(ran)), Ns(expect), "{ran} {weight}");
        }
    }
}
