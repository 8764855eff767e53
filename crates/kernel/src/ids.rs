//! Identifiers and units.

use std::fmt;
use std::ops::{Index, IndexMut};

/// Nanoseconds of simulated time.
pub type Ns = u64;

/// Number of a logical CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CpuId(pub u32);

impl CpuId {
    /// As an index.
    #[inline]
    pub fn idx(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A task, dead or alive. Never reused during a run. The idle tasks have the numbers of their CPUs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

impl TaskId {
    /// Most tasks that a run can make, dead ones included.
    pub const LIMIT: u32 = 1 << 24;

    /// The `n`th task of a run.
    ///
    /// # Panics
    /// Beyond [`TaskId::LIMIT`]: addresses of tasks would no longer be different.
    pub(crate) fn nth(n: usize) -> TaskId {
        assert!(n < Self::LIMIT as usize, "a run can make {} tasks at most, idle tasks included", Self::LIMIT);
        TaskId(n as u32)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task{}", self.0)
    }
}

/// What tasks wait on; allocated by [`crate::Machine::wait_queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitQueueId(pub u32);

/// A vector with one element for each CPU.
#[derive(Clone, Debug, Default)]
pub struct PerCpu<T>(pub Vec<T>);

impl<T> PerCpu<T> {
    /// One element for each of `n` CPUs.
    pub fn new(n: usize, f: impl FnMut(CpuId) -> T) -> Self {
        PerCpu((0..n as u32).map(CpuId).map(f).collect())
    }

    /// All elements in order of CPUs.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// All elements in order of CPUs.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

impl<T> Index<CpuId> for PerCpu<T> {
    type Output = T;
    #[inline]
    fn index(&self, cpu: CpuId) -> &T {
        &self.0[cpu.idx()]
    }
}

impl<T> IndexMut<CpuId> for PerCpu<T> {
    #[inline]
    fn index_mut(&mut self, cpu: CpuId) -> &mut T {
        &mut self.0[cpu.idx()]
    }
}
