//! Kicks.
use crate::executor::Kernel;
use crate::ids::CpuId;
/// Delivers the kicks that this CPU asked for.
pub(crate) fn deliver(_k: &mut Kernel, _cpu: CpuId) {}
/// Waits for kicked CPUs.
pub(crate) fn kick_sync_wait(_k: &mut Kernel, _cpu: CpuId) {}
