//! The timer that ends a slice when it is over (rule 3.7), where the kernel has one ([`crate::config::Config::hrtick`]).

use crate::executor::{Kernel, NEVER};
use crate::fair::queue::queued_curr;
use crate::ids::{CpuId, Ns};
use crate::irq::Ipi;

/// A slice is not timed shorter than this, ns [hrtick_start].
const MIN_NS: Ns = 10_000;
/// Scale of stored weights [NICE_0_LOAD].
const NICE_0_LOAD: i128 = 1 << 20;

/// Starts the timer anew for the running task of `cpu`, if others wait for it to end [hrtick_start_fair]. Rq lock held, or
/// interrupts off on that CPU.
pub(crate) fn start(k: &mut Kernel, cpu: CpuId) {
    if !k.config.hrtick || k.rqs[cpu].fair.nr_queued < 2 {
        return;
    }
    let Some((_, curr)) = queued_curr(k, cpu) else {
        return;
    };
    if cpu != k.this_cpu() {
        if !k.cpus[cpu].irq.has_ipi(Ipi::Hrtick) {
            k.send_ipi(cpu, Ipi::Hrtick);
        }
        return;
    }
    let left = i128::from(curr.deadline - curr.vruntime) * i128::from(curr.weight) / NICE_0_LOAD;
    match Ns::try_from(left) {
        Ok(left) => {
            k.cpus[cpu].irq.hrtick = k.rqs[cpu].clock.max(k.now()) + left.max(MIN_NS);
        }
        Err(_) => k.resched_curr(cpu),
    }
}

/// Tasks came or went: the timer starts if it does not run [hrtick_update].
pub(super) fn update(k: &mut Kernel, cpu: CpuId) {
    if k.config.hrtick && k.cpus[cpu].irq.hrtick == NEVER && k.rqs[cpu].fair.curr.is_some() {
        start(k, cpu);
    }
}
