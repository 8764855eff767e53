//! Load balancing.

use crate::executor::Kernel;
use crate::ids::CpuId;

/// What balancing on the way to idle came to.
pub(super) enum Newidle {
    /// Nothing to run.
    Nothing,
    /// A fair task is there.
    #[allow(dead_code)]
    Pulled,
    /// A task of a higher class is there.
    #[allow(dead_code)]
    Retry,
}

pub(super) fn newidle(_k: &mut Kernel, _cpu: CpuId) -> Newidle {
    Newidle::Nothing
}
pub(super) fn note_overload(_k: &mut Kernel, _cpu: CpuId) {}
pub(super) fn balance_soon(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn trigger_load_balance(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn run_rebalance_domains(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn nohz_balance(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn active_balance(_k: &mut Kernel, _cpu: CpuId, _to: CpuId) {}
