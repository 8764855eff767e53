//! The extensible class.

pub mod enable;
pub mod idle;
pub mod kick;
pub mod ops;

use crate::behavior::Policy;
use crate::class::Pick;
use crate::config::Config;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::SimLock;
use crate::state::State;
use crate::topology::Topology;

/// Ext part of a task.
#[derive(Clone, Debug, Default)]
pub struct Entity {}
/// Ext part of a run queue.
#[derive(Clone, Debug)]
pub struct ScxRq {}
impl ScxRq {
    pub(crate) fn new(_cpu: CpuId) -> ScxRq {
        ScxRq {}
    }
}
/// Ext part of the machine.
#[derive(Debug, Default)]
pub struct Ext {
    lock: SimLock,
}
impl Ext {
    pub(crate) fn new(_t: &Topology, _c: &Config) -> Ext {
        Ext::default()
    }
    pub(crate) fn dsq_lock(&mut self, _i: u32) -> &mut SimLock {
        &mut self.lock
    }
    pub(crate) fn enabled(&self) -> bool {
        false
    }
    pub(crate) fn switched_all(&self) -> bool {
        false
    }
}
pub(crate) fn boot(_s: &mut State) {}
pub(crate) fn enqueue_task(_k: &mut Kernel, _cpu: CpuId, _p: TaskId, _f: u64) {}
pub(crate) fn dequeue_task(_k: &mut Kernel, _cpu: CpuId, _p: TaskId, _f: u64) -> bool {
    true
}
pub(crate) fn yield_task(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn wakeup_preempt(_k: &mut Kernel, _cpu: CpuId, _p: TaskId, _f: u64) {}
pub(crate) fn pick_task(_k: &mut Kernel, _cpu: CpuId) -> Pick {
    Pick::None
}
pub(crate) fn put_prev_task(_k: &mut Kernel, _cpu: CpuId, _p: TaskId, _next: Option<TaskId>) {}
pub(crate) fn set_next_task(_k: &mut Kernel, _cpu: CpuId, _p: TaskId, _first: bool) {}
pub(crate) fn select_task_rq(_k: &mut Kernel, _p: TaskId, prev: CpuId, _f: u64) -> CpuId {
    prev
}
pub(crate) fn task_woken(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn task_tick(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn set_cpus_allowed(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn switched_from(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn switching_to(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn reweight_task(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn update_curr(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn run_deferred(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn run_deferred_irq(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn rq_clock_updated(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn rq_clock_invalidate(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn check_setscheduler(_k: &Kernel, _p: TaskId, _policy: Policy) -> bool {
    true
}
pub(crate) fn task_should_scx(_k: &Kernel, _policy: Policy) -> bool {
    false
}
pub(crate) fn pre_fork(_k: &mut Kernel) {}
pub(crate) fn fork(_k: &mut Kernel, _p: TaskId) -> Result<(), i32> {
    Ok(())
}
pub(crate) fn cancel_fork(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn post_fork(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn task_dead(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn task_freed(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn can_stop_tick(_k: &Kernel, _cpu: CpuId) -> bool {
    true
}
pub(crate) fn scx_tick(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn disable_irq_work(_k: &mut Kernel) {}
pub(crate) fn irq_work(_k: &mut Kernel, _n: u32) {}
pub(crate) fn watchdog_timer(_k: &mut Kernel) {}
pub(crate) fn timer(_k: &mut Kernel, _n: u64) {}
