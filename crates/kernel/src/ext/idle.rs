//! Built-in idle tracking.
use crate::executor::Kernel;
use crate::ids::CpuId;
/// The idle task was picked on `cpu`.
pub(crate) fn pick_task_idle(_k: &mut Kernel, _cpu: CpuId) {}
/// `cpu` goes idle or leaves idle.
pub(crate) fn update_idle(_k: &mut Kernel, _cpu: CpuId, _idle: bool, _notify: bool) {}
