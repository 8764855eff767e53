//! A scheduler's own timers, which BPF programs have as `bpf_timer`: each is armed for one time, on the CPU that starts it, and
//! calls the scheduler back from the timer's interrupt, where no run queue is locked. [kernel/bpf/helpers.c]
//!
//! On Linux a timer that is not pinned may go from an idle CPU to a busy one; here each stays on the CPU that started it.

use std::collections::BTreeMap;

use super::call;
use super::sched::SchedId;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns};
use crate::irq::Timer;

/// The timers of a scheduler, by the numbers that it gave them.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<u64, OwnTimer>);

#[derive(Clone, Copy, Debug, Default)]
struct OwnTimer {
    /// The arming that counts; a timer of an earlier one is stale.
    armed: Option<u64>,
    /// CPU that runs its function.
    running: Option<CpuId>,
}

fn timer(k: &mut Kernel, sched: SchedId, id: u64) -> Option<&mut OwnTimer> {
    k.ext.scheds.get_mut(sched)?.timers.0.get_mut(&id)
}

/// Arms timer `id` for time `at`, wherever it was armed for before [bpf_timer_start].
pub(super) fn start(k: &mut Kernel, id: u64, at: Ns) {
    k.ext.timer_seq += 1;
    let seq = k.ext.timer_seq;
    let Some(sched) = k.prog_sched() else { return };
    k.ext.scheds[sched].timers.0.entry(id).or_default().armed = Some(seq);
    k.start_timer(at, Timer::ScxOwn(sched, id, seq));
}

/// Disarms timer `id` and waits until its function does not run any more; was it armed? `None`: its function itself asks, which
/// would wait for ever [bpf_timer_cancel].
pub(super) fn cancel(k: &mut Kernel, id: u64) -> Option<bool> {
    let me = k.this_cpu();
    let Some(sched) = k.prog_sched() else { return Some(false) };
    if timer(k, sched, id).is_some_and(|t| t.running == Some(me)) {
        return None;
    }
    let disarm = |k: &mut Kernel| timer(k, sched, id).is_some_and(|t| t.armed.take().is_some());
    let mut was_armed = disarm(k);
    while timer(k, sched, id).is_some_and(|t| t.running.is_some()) {
        call::cpu_relax(k);
        was_armed |= disarm(k);
    }
    Some(was_armed)
}

/// A timer's interrupt; the scheduler may have ended since it was armed [bpf_timer_cb].
pub(crate) fn due(k: &mut Kernel, sched: SchedId, id: u64, seq: u64) {
    let me = k.this_cpu();
    let Some(t) = timer(k, sched, id).filter(|t| t.armed == Some(seq)) else { return };
    t.armed = None;
    let outer = t.running.replace(me);
    call::unlocked(k, sched, |ops, k| ops.timer(k, id));
    if let Some(t) = timer(k, sched, id) {
        t.running = outer;
    }
}
