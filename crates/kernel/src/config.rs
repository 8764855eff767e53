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

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of all random streams.
    pub seed: u64,
    /// Ticks a second: 100 to 1000.
    pub hz: u32,
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
            nohz_full: CpuMask::EMPTY,
            nohz_idle: true,
            interleave: Interleave::Callback,
            nr_tasks_max: NR_TASKS_MAX,
            cost: CostTable::default(),
        }
    }
}

impl Config {
    /// Length of a tick [TICK_NSEC].
    pub fn tick_ns(&self) -> Ns {
        1_000_000_000 / Ns::from(self.hz)
    }
}
