//! The watchdog: a task that is runnable and does not run for too long ends the scheduler (E-170 to E-172).

use scxr_trace::ExitKind;

use super::exit::scx_exit_on;
use super::sched::{Sched, SchedId};
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::Timer;
use crate::lock::LockId;

const MS: Ns = 1_000_000;

fn interval(k: &Kernel, timeout: Ns) -> Ns {
    (timeout / 2).max(k.config.tick_ns())
}

/// Starts or restarts it, by the shortest timeout: it looks after all schedulers [refresh_watchdog].
pub(crate) fn start(k: &mut Kernel) {
    let there = |(id, s): (SchedId, &Sched)| (s.linked || k.ext.root_id() == Some(id)).then_some(s.timeout);
    let Some(timeout) = k.ext.scheds.iter().filter_map(there).min() else {
        return;
    };
    let now = k.now();
    let at = now + interval(k, timeout);
    k.ext.watchdog_stamp = now;
    k.ext.watchdog_due = at;
    k.start_timer(at, Timer::ScxWatchdog);
}

/// Its timer (E-171) [scx_watchdog_workfn].
pub(crate) fn watchdog_timer(k: &mut Kernel) {
    if k.now() < k.ext.watchdog_due || k.ext.root_id().is_none() {
        return; // a timer of an earlier scheduler
    }
    k.ext.watchdog_due = Ns::MAX;
    k.ext.watchdog_stamp = k.now();
    for cpu in (0..k.nr_cpus() as u32).map(CpuId) {
        if k.online.test(cpu) && check_rq_for_timeouts(k, cpu) {
            break;
        }
    }
    start(k);
}

fn check_rq_for_timeouts(k: &mut Kernel, cpu: CpuId) -> bool {
    k.lock(LockId::Rq(cpu));
    let now = k.now();
    let late = |k: &Kernel, p: &TaskId| {
        let timeout = k.ext.scheds[k.task_sched(*p)].timeout;
        now > k.task(*p).scx.runnable_at + timeout
    };
    let stalled = k.runnable_tasks(cpu).find(|p| late(k, p));
    if let Some(p) = stalled {
        let sched = k.task_sched(p);
        let t = k.task(p);
        let ms = (now - t.scx.runnable_at) / MS;
        let msg = format!("{}[{}] failed to run for {}.{:03}s", t.comm, t.pid, ms / 1000, ms % 1000);
        scx_exit_on(k, sched, ExitKind::ErrorStall, 0, cpu.0 as i32, msg);
    }
    k.unlock(LockId::Rq(cpu));
    stalled.is_some()
}

/// Every tick on every CPU (E-172) [scx_tick]. Rq lock held.
pub(crate) fn scx_tick(k: &mut Kernel, cpu: CpuId) {
    if !k.ext.enabled {
        return;
    }
    let Some(root) = k.ext.root_id() else {
        return;
    };
    let timeout = k.ext.scheds[root].timeout;
    let late = k.now().saturating_sub(k.ext.watchdog_stamp);
    if late > timeout {
        let ms = late / MS;
        let msg = format!("watchdog failed to check in for {}.{:03}s", ms / 1000, ms % 1000);
        scx_exit_on(k, root, ExitKind::ErrorStall, 0, cpu.0 as i32, msg);
    }
    #[cfg(debug_assertions)]
    if cpu == CpuId(0)
        && let Err(e) = super::check::invariants(k)
    {
        panic!("{e}");
    }
}
