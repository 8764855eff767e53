//! Settings of a run.

use crate::cost::CostTable;
use crate::cpumask::CpuMask;
use crate::ids::Ns;

/// Where CPUs may interleave, apart from waiting for events and locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interleave {
    /// Before each operation of a scheduler.
    #[default]
    Callback,
    /// Also before each kfunc and helper.
    Kfunc,
    /// Also before each BPF instruction.
    Insn,
}

/// What becomes of a request of the fair class to reschedule a CPU (rule 3.6) [PREEMPT_DYNAMIC].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preemption {
    /// The CPU is interrupted.
    Full,
    /// The CPU sees it when it next returns from the kernel; at the next tick it must. Debian's kernels since 6.13.
    #[default]
    Lazy,
}

/// Which classes have a server of the deadline class on each CPU, so that real-time tasks do not starve them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The fair class: kernels since 6.12 [fair_server].
    pub fair: bool,
    /// The extensible class: kernels since 7.0 [ext_server].
    pub ext: bool,
    /// The extensible class's has bandwidth only while a scheduler is enabled, the fair class's only while it may have tasks:
    /// kernels since 7.2. Before, both have it always [dl_server_swap_bw].
    pub exchanged: bool,
}

impl Default for Servers {
    fn default() -> Self {
        Servers { fair: true, ext: true, exchanged: true }
    }
}

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of all random streams.
    pub seed: u64,
    /// Ticks a second: 100 to 1000.
    pub hz: u32,
    /// How the fair class preempts.
    pub preemption: Preemption,
    /// Slices of the fair class end when they are over, by a timer of their own, and not at the next tick (rule 3.7) [HRTICK].
    /// Kernels have it on since 7.2 where interrupts re-arm timers late [CONFIG_HRTIMER_REARM_DEFERRED], as on x86.
    pub hrtick: bool,
    /// Deadline servers.
    pub servers: Servers,
    /// `dequeue` is called exactly once whenever the scheduler gives a task up, dispatched or taken away: kernels since 7.1. Before, it
    /// is called only when a task is taken away that the scheduler itself keeps, in no dispatch queue (E-250).
    pub custody: bool,
    /// Core scheduling: tasks with different cookies do not run on hardware threads of one core at a time [CONFIG_SCHED_CORE].
    pub core_sched: bool,
    /// CPUs whose tick stops while one task runs (nohz_full).
    pub nohz_full: CpuMask,
    /// Stop the tick on idle CPUs (NO_HZ_IDLE).
    pub nohz_idle: bool,
    /// Where CPUs may interleave.
    pub interleave: Interleave,
    /// Most tasks that exist at a time, those from boot on included; fork(2) fails beyond (EAGAIN), as at pid_max.
    pub nr_tasks_max: usize,
    /// Costs.
    pub cost: CostTable,
}

/// Default of [`Config::nr_tasks_max`]: 1 Mi, about 1.5 GB of memory.
pub const NR_TASKS_MAX: usize = 1 << 20;

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            hz: 250,
            preemption: Preemption::default(),
            hrtick: true,
            servers: Servers::default(),
            custody: true,
            core_sched: false,
            nohz_full: CpuMask::EMPTY,
            nohz_idle: true,
            interleave: Interleave::Callback,
            nr_tasks_max: NR_TASKS_MAX,
            cost: CostTable::default(),
        }
    }
}

impl Config {
    /// What is different from one kernel to the next, as Debian builds them; the defaults are those of 7.2.
    pub fn of_kernel(major: u32, minor: u32) -> Config {
        let since = |a, b| (major, minor) >= (a, b);
        Config {
            preemption: if since(6, 13) { Preemption::Lazy } else { Preemption::Full },
            hrtick: since(7, 1),
            servers: Servers { fair: since(6, 12), ext: since(7, 0), exchanged: since(7, 2) },
            custody: since(7, 1),
            ..Config::default()
        }
    }

    /// Length of a tick [TICK_NSEC].
    pub fn tick_ns(&self) -> Ns {
        1_000_000_000 / Ns::from(self.hz)
    }
}
