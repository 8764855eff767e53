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
    /// Costs.
    pub cost: CostTable,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            hz: 250,
            nohz_full: CpuMask::EMPTY,
            nohz_idle: true,
            interleave: Interleave::Callback,
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
