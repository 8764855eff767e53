//! A CPU goes idle or stops to be: what balancing and CPU selection keep about that.

use crate::executor::Kernel;
use crate::fair::stats::is_idle_cpu;
use crate::ids::{CpuId, Ns};

/// Least estimate of what balancing an idle CPU costs [sysctl_sched_migration_cost].
pub(super) const MIGRATION_COST_NS: Ns = 500_000;

/// What a CPU's balancing remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuBalance {
    /// Jiffy at which the next periodic balance is due.
    pub(super) next_balance: u64,
    /// Average length of idle periods.
    pub(super) avg_idle: Ns,
    /// Most that a balance on the way to idle cost [max_idle_balance_cost].
    pub(super) max_cost: Ns,
    /// A stopper is under way to push a task from here.
    pub(super) active_balance: bool,
    /// What other classes left of the CPU's capacity when that was looked at last; 0: not yet [cpu_capacity].
    pub(super) capacity: u64,
    /// Jiffy before which a CPU that is about to go idle does not look at it again [next_update].
    pub(super) capacity_due: u64,
}

impl Default for CpuBalance {
    fn default() -> Self {
        CpuBalance {
            next_balance: 0,
            avg_idle: 2 * MIGRATION_COST_NS,
            max_cost: MIGRATION_COST_NS,
            active_balance: false,
            capacity: 0,
            capacity_due: 0,
        }
    }
}

impl CpuBalance {
    /// An idle period of `ns` ends [update_avg_idle].
    fn note_idle(&mut self, ns: Ns) {
        let diff = ns as i64 - self.avg_idle as i64;
        self.avg_idle = self.avg_idle.wrapping_add_signed(diff / 8);
        self.avg_idle = self.avg_idle.min(2 * self.max_cost);
    }
}

/// `cpu` switches to its idle task, or away from it. Rq lock held.
pub(crate) fn update_idle(k: &mut Kernel, cpu: CpuId, idle: bool) {
    let clock = k.rqs[cpu].clock;
    let llc = k.fair.domains.llc[cpu];
    if idle {
        if k.rqs[cpu].idle_stamp == 0 {
            k.rqs[cpu].idle_stamp = clock.max(1);
        }
        if k.rqs[cpu].active {
            k.fair.idle.set(cpu);
        }
        if let Some(llc) = llc {
            k.fair.domains.domains[llc].nr_busy -= 1;
            note_idle_core(k, cpu, llc);
        }
        return;
    }
    let stamp = std::mem::take(&mut k.rqs[cpu].idle_stamp);
    if stamp != 0 {
        k.fair.balance[cpu].note_idle(clock.saturating_sub(stamp));
    }
    k.fair.idle.clear(cpu);
    if let Some(llc) = llc {
        k.fair.domains.domains[llc].nr_busy += 1;
    }
}

/// All threads of the core are idle: a wakeup may look for idle cores again (rule 7.9) [__update_idle_core].
fn note_idle_core(k: &mut Kernel, cpu: CpuId, llc: usize) {
    if !k.topology.has_smt() || k.fair.domains.domains[llc].has_idle_core {
        return;
    }
    let core = &k.fair.domains.cores[k.topology.cpus[cpu].core as usize];
    let all_idle = core.iter().all(|&c| c == cpu || is_idle_cpu(k, c));
    if all_idle {
        k.fair.domains.domains[llc].has_idle_core = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_average_moves_by_an_eighth_up_to_a_limit() {
        for (ns, avg) in [(1_000_000, 1_000_000), (200_000, 900_000), (0, 875_000), (9_000_000, 1_000_000)] {
            let mut b = CpuBalance::default();
            b.note_idle(ns);
            assert_eq!(b.avg_idle, avg, "{ns}");
        }
    }
}
