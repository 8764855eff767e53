//! What a group of CPUs looks like, and how busy that makes it (rules 8.4, 8.6) [sg_lb_stats, group_classify].

use crate::fair::load;
use crate::ids::CpuId;
use crate::state::State;

/// How busy a group is, least busy first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupType {
    /// CPUs could do more.
    #[default]
    HasSpare,
    /// All CPUs have work, none has too much.
    FullyBusy,
    /// A task has too little capacity where it is.
    Misfit,
    /// A core runs two tasks while another is idle.
    SmtBalance,
    /// Affinity stood in the way of a balance.
    Imbalanced,
    /// More work than capacity.
    Overloaded,
}

/// Sums over a group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupStats {
    pub(crate) load: u64,
    pub(crate) util: u64,
    pub(crate) runnable: u64,
    /// Running tasks of all classes [sum_nr_running].
    pub(crate) nr_running: u64,
    /// Runnable fair tasks [sum_h_nr_running].
    pub(crate) h_nr: u64,
    pub(crate) idle_cpus: u64,
    pub(crate) capacity: u64,
    pub(crate) weight: u64,
    pub(crate) cores: u64,
    pub(crate) is_core: bool,
    pub(crate) misfit_load: u64,
    pub(crate) group_type: GroupType,
    /// Load per capacity; 0 where it does not matter.
    pub(crate) avg_load: u64,
}

impl GroupStats {
    /// More tasks than CPUs and not enough capacity [group_is_overloaded].
    fn is_overloaded(&self, pct: u64) -> bool {
        self.nr_running > self.weight
            && (self.capacity * 100 < self.util * pct || self.capacity * pct < self.runnable * 100)
    }

    /// [group_has_capacity]
    fn has_capacity(&self, pct: u64) -> bool {
        if self.nr_running < self.weight {
            return true;
        }
        self.capacity * pct >= self.runnable * 100 && self.capacity * 100 > self.util * pct
    }

    /// First match decides. `imbalanced`: the group's flag. `smt`: a core that an idle balancer could relieve.
    pub(crate) fn classify(&mut self, pct: u64, imbalanced: bool, smt: bool) {
        self.group_type = match () {
            () if self.is_overloaded(pct) => GroupType::Overloaded,
            () if imbalanced => GroupType::Imbalanced,
            () if smt => GroupType::SmtBalance,
            () if self.misfit_load > 0 => GroupType::Misfit,
            () if !self.has_capacity(pct) => GroupType::FullyBusy,
            () => GroupType::HasSpare,
        };
    }

    pub(crate) fn compute_avg_load(&mut self) {
        self.avg_load = self.load * 1024 / self.capacity.max(1);
    }
}

/// Is the CPU's core idle altogether? [is_core_idle]
pub(crate) fn is_idle_core(s: &State, cpu: CpuId) -> bool {
    let core = &s.fair.domains.cores[s.topology.cpus[cpu].core as usize];
    core.iter().all(|&c| is_idle_cpu(s, c))
}

/// Runs nothing and has nothing to run [idle_cpu].
#[inline]
pub(crate) fn is_idle_cpu(s: &State, cpu: CpuId) -> bool {
    s.fair.idle.test(cpu) && s.rqs[cpu].nr_running == 0 && s.rqs[cpu].wake_list.is_empty()
}

/// Adds a CPU to the sums.
pub(crate) fn add_cpu(s: &State, g: &mut GroupStats, cpu: CpuId) {
    let q = &s.rqs[cpu].fair;
    g.load += q.avg.sa.load_avg;
    g.util += load::cpu_util(s, cpu);
    g.runnable += q.avg.sa.runnable_avg;
    g.nr_running += u64::from(s.rqs[cpu].nr_running);
    g.h_nr += u64::from(q.nr_runnable());
    g.idle_cpus += u64::from(is_idle_cpu(s, cpu));
    g.capacity += load::capacity_of(s, cpu);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_groups() {
        let check = |nr_running, util, runnable, flags: (bool, bool, u64), expect| {
            let mut g = GroupStats {
                nr_running,
                util,
                runnable,
                capacity: 4096,
                weight: 4,
                misfit_load: flags.2,
                ..GroupStats::default()
            };
            g.classify(117, flags.0, flags.1);
            assert_eq!(g.group_type, expect, "{nr_running} {util} {runnable} {flags:?}");
        };
        let none = (false, false, 0);
        check(0, 0, 0, none, GroupType::HasSpare);
        check(3, 4096, 9999, none, GroupType::HasSpare);
        check(4, 4096, 4096, none, GroupType::FullyBusy);
        check(4, 1000, 1000, none, GroupType::HasSpare);
        check(5, 4000, 4096, none, GroupType::Overloaded);
        check(5, 1000, 4792, none, GroupType::HasSpare);
        check(5, 1000, 4793, none, GroupType::Overloaded);
        check(4, 4096, 4096, (true, true, 9), GroupType::Imbalanced);
        check(4, 4096, 4096, (false, true, 9), GroupType::SmtBalance);
        check(4, 4096, 4096, (false, false, 9), GroupType::Misfit);
    }
}
