//! The extensible class: a scheduler's operations decide, this class does what they say and sees to it that no task is lost.
//!
//! Each file is a part of the class; functions name the kernel function that they follow and the rule of the rule book.

pub(crate) mod bypass;
pub mod call;
mod cgroup;
pub mod check;
mod cid;
mod dispatch;
pub mod dsq;
mod dsq_table;
pub mod dump;
pub mod enable;
mod enqueue;
pub mod entity;
mod events;
pub mod exit;
pub mod flags;
mod hotplug;
pub mod idle;
mod iter;
pub mod kfunc;
pub mod kick;
mod list;
pub mod ops;
mod pick;
mod reenq;
mod runnable;
mod sched;
mod state;
mod sub;
mod sub_disable;
mod sub_enable;
mod task;
mod timer;
mod tree;
mod watchdog;

pub use cid::CidTopo;
pub use entity::{Entity, ScxRq};
pub use events::{Ev, Events};
pub use iter::DsqIter;
pub use sched::{Sched, SchedId};
pub use state::{EnableState, Ext, Refusal};
pub use sub_disable::SubExit;

pub(crate) use bypass::lb_timer;
pub(crate) use cgroup::{
    can_attach, cgroup_lock, cgroup_move_task, cgroup_unlock, tg_offline, tg_online, tg_set_bandwidth, tg_set_idle,
    tg_set_weight,
};
pub(crate) use enable::{boot, hotplug_done};
pub(crate) use enqueue::{dequeue_task, enqueue_task, run_deferred, run_deferred_irq, select_task_rq, task_woken};
pub(crate) use exit::disable_irq_work;
pub(crate) use hotplug::{handle_hotplug, rq_offline, rq_online};
pub(crate) use pick::{
    can_stop_tick, core_prio_less, pick_task, pick_task_for_server, put_prev_task, set_next_task, task_tick,
    update_curr, wakeup_preempt, yield_task,
};
pub(crate) use task::{
    cancel_fork, check_setscheduler, fork, give_tid, post_fork, pre_fork, reweight_task, set_cpus_allowed,
    switched_from, switching_to, task_dead, task_freed, task_should_scx,
};
pub(crate) use timer::due as own_timer_due;
pub(crate) use watchdog::{scx_tick, watchdog_timer};

use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};

/// The clock of `cpu`'s run queue was updated: until its lock is released it serves as the time (E-155)
/// [scx_rq_clock_update].
#[inline]
/// May a wakeup leave the enqueueing of `p`, a task of the class, to another CPU? [scx_allow_ttwu_queue]
pub(crate) fn allows_queued_wakeups(k: &Kernel, p: TaskId) -> bool {
    let sched = k.task(p).scx.sched.and_then(|id| k.ext.sched(id));
    sched.is_none_or(|s| s.flag(flags::ops::ALLOW_QUEUED_WAKEUP))
}

pub(crate) fn rq_clock_updated(k: &mut Kernel, cpu: CpuId) {
    if k.ext.enabled {
        k.rqs[cpu].scx.clk_valid = true;
    }
}

/// The lock of `cpu`'s run queue is released [scx_rq_clock_invalidate].
#[inline]
pub(crate) fn rq_clock_invalidate(k: &mut Kernel, cpu: CpuId) {
    k.rqs[cpu].scx.clk_valid = false;
}
