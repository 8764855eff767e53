//! Is a domain out of balance, and by how much? (rules 8.4 to 8.10) Pure computation on sums over its groups.

use crate::cpumask::CpuMask;
use crate::fair::domains::Domain;
use crate::fair::idlest::adjust_numa_imbalance;
use crate::fair::load;
use crate::fair::stats::{GroupStats, GroupType, add_cpu, is_idle_core, is_idle_cpu};
use crate::ids::CpuId;
use crate::state::State;

/// On whose behalf a balance runs [cpu_idle_type].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleType {
    /// A CPU that is busy.
    Busy,
    /// A CPU that is idle.
    Idle,
    /// A CPU that is about to go idle.
    NewlyIdle,
}

/// What an imbalance is counted in [migration_type].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Load,
    Util,
    Task,
}

/// A domain's groups as one CPU sees them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DomainStats {
    pub(super) local: GroupStats,
    /// Busiest other group, by its number.
    pub(super) busiest: Option<(usize, GroupStats)>,
    pub(super) load: u64,
    pub(super) util: u64,
    pub(super) capacity: u64,
    /// Some CPU has more than one task.
    pub(super) overloaded: bool,
    pub(super) prefer_sibling: bool,
}

/// Has `cpu` lost so much capacity to other classes that a task would be better off elsewhere? [check_cpu_capacity]
pub(super) fn is_reduced(s: &State, cpu: CpuId, pct: u64) -> bool {
    let full = u64::from(s.topology.cpus[cpu].capacity);
    load::capacity_of(s, cpu) * pct < full * 100
}

/// Sums over one group [update_sg_lb_stats].
fn group_stats(s: &State, d: &Domain, g: usize, local: bool, idle: IdleType, skip: &CpuMask) -> GroupStats {
    let group = &s.fair.domains.groups[g];
    let mut sum = GroupStats {
        weight: group.cpus.len() as u64,
        cores: group.cores,
        is_core: group.is_core,
        ..GroupStats::default()
    };
    for &cpu in group.cpus.iter().filter(|&&c| !skip.test(c)) {
        add_cpu(s, &mut sum, cpu);
        let q = &s.rqs[cpu].fair;
        if !local && idle != IdleType::Busy && q.nr_runnable() == 1 && is_reduced(s, cpu, d.imbalance_pct) {
            sum.misfit_load = sum.misfit_load.max(q.avg.sa.load_avg);
        }
    }
    let smt = !local && idle != IdleType::Busy && group.is_core && sum.h_nr > 1;
    sum.classify(d.imbalance_pct, group.imbalanced, smt);
    if sum.group_type == GroupType::Overloaded {
        sum.compute_avg_load();
    }
    sum
}

/// Is `a` busier than `b`, the busiest so far? (rule 8.7) [update_sd_pick_busiest]
fn is_busier(a: &GroupStats, b: &GroupStats) -> bool {
    if a.group_type != b.group_type {
        return a.group_type > b.group_type;
    }
    let spare = || {
        if a.is_core != b.is_core {
            return !(a.is_core && a.h_nr <= 1);
        }
        a.idle_cpus < b.idle_cpus || a.idle_cpus == b.idle_cpus && a.nr_running > b.nr_running
    };
    match a.group_type {
        GroupType::Overloaded => a.avg_load > b.avg_load,
        GroupType::Imbalanced => false,
        GroupType::Misfit => a.misfit_load > b.misfit_load,
        GroupType::SmtBalance if a.idle_cpus > 0 || b.idle_cpus > 0 => spare(),
        GroupType::SmtBalance | GroupType::FullyBusy => !b.is_core,
        GroupType::HasSpare => spare(),
    }
}

/// Sums over all groups of the domain, without the CPUs of `skip` [update_sd_lb_stats].
pub(super) fn domain_stats(s: &State, d: &Domain, local: usize, idle: IdleType, skip: &CpuMask) -> DomainStats {
    let mut sum = DomainStats::default();
    for (at, &g) in d.groups.iter().enumerate() {
        let is_local = at == local;
        let stats = group_stats(s, d, g, is_local, idle, skip);
        sum.load += stats.load;
        sum.util += stats.util;
        sum.capacity += stats.capacity;
        let cpus = &s.fair.domains.groups[g].cpus;
        sum.overloaded |= cpus.iter().any(|&c| s.rqs[c].nr_running > 1);
        if is_local {
            sum.local = stats;
        } else if stats.h_nr > 0 && sum.busiest.is_none_or(|(_, b)| is_busier(&stats, &b)) {
            sum.busiest = Some((g, stats));
        }
    }
    sum.prefer_sibling = sum.busiest.is_some_and(|(g, _)| s.fair.domains.groups[g].prefer_sibling);
    sum
}

/// How many tasks more than its share by cores the busiest group has [sibling_imbalance].
fn sibling_imbalance(local: &GroupStats, busiest: &GroupStats, idle: IdleType) -> i64 {
    if idle == IdleType::Busy || busiest.nr_running == 0 {
        return 0;
    }
    let (cl, cb) = (local.cores as i64, busiest.cores as i64);
    let (ln, bn) = (local.nr_running as i64, busiest.nr_running as i64);
    if cl == cb {
        return (bn - ln).max(0);
    }
    let d = (cl * bn - cb * ln).max(0);
    let imbalance = (2 * d + cl + cb) / (cl + cb);
    if imbalance <= 1 && ln == 0 && bn > 1 { 2 } else { imbalance }
}

impl DomainStats {
    fn avg_load(&self) -> u64 {
        self.load * 1024 / self.capacity.max(1)
    }

    /// Is there an imbalance? (rule 8.8) [sched_balance_find_src_group]
    fn is_imbalanced(&self, busiest: &GroupStats, pct: u64, idle: IdleType) -> bool {
        use GroupType::{HasSpare, Imbalanced, Misfit, Overloaded, SmtBalance};
        let local = &self.local;
        if matches!(busiest.group_type, Misfit | Imbalanced) {
            return true;
        }
        if local.group_type > busiest.group_type {
            return false;
        }
        if local.group_type == Overloaded
            && (local.avg_load >= busiest.avg_load
                || local.avg_load >= self.avg_load()
                || 100 * busiest.avg_load <= pct * local.avg_load)
        {
            return false;
        }
        if self.prefer_sibling && local.group_type == HasSpare && sibling_imbalance(local, busiest, idle) > 1 {
            return true;
        }
        if busiest.group_type == Overloaded {
            return true;
        }
        if idle == IdleType::Busy {
            return false;
        }
        if busiest.group_type == SmtBalance && busiest.is_core != local.is_core {
            return true;
        }
        !(busiest.weight > 1 && local.idle_cpus <= busiest.idle_cpus + 1) && busiest.h_nr != 1
    }

    /// How much, and of what (rule 8.9) [calculate_imbalance].
    fn amount(&self, busiest: &GroupStats, d: &Domain, idle: IdleType) -> (Mode, i64) {
        use GroupType::{FullyBusy, HasSpare, Imbalanced, Misfit, Overloaded, SmtBalance};
        let local = &self.local;
        match busiest.group_type {
            Misfit => return (Mode::Load, busiest.misfit_load as i64),
            SmtBalance | Imbalanced => return (Mode::Task, 1),
            _ => {}
        }
        if local.group_type == HasSpare {
            if busiest.group_type > FullyBusy && !d.shares_llc() {
                let spare = local.capacity.saturating_sub(local.util) as i64;
                return match spare {
                    0 if idle != IdleType::Busy => (Mode::Task, 1),
                    spare => (Mode::Util, spare),
                };
            }
            let mut tasks = if busiest.weight == 1 || self.prefer_sibling {
                sibling_imbalance(local, busiest, idle)
            } else {
                (local.idle_cpus as i64 - busiest.idle_cpus as i64).max(0)
            };
            if d.is_numa() {
                tasks = adjust_numa_imbalance(tasks, local.nr_running + 1, d.imb_numa_nr);
            }
            return (Mode::Task, tasks >> 1);
        }
        let mut here = *local;
        let average = self.avg_load();
        if here.group_type < Overloaded {
            here.compute_avg_load();
            if here.avg_load >= busiest.avg_load || here.avg_load >= average {
                return (Mode::Load, 0);
            }
        }
        let too_much = busiest.avg_load.saturating_sub(average) * busiest.capacity;
        let too_little = average.saturating_sub(here.avg_load) * here.capacity;
        (Mode::Load, (too_much.min(too_little) / 1024) as i64)
    }

    /// The group to pull from, and how much of what.
    pub(super) fn find_src_group(&self, d: &Domain, idle: IdleType) -> Option<(usize, Mode, i64)> {
        let (g, busiest) = self.busiest.as_ref()?;
        if !self.is_imbalanced(busiest, d.imbalance_pct, idle) {
            return None;
        }
        let (mode, amount) = self.amount(busiest, d, idle);
        (amount > 0).then_some((*g, mode, amount))
    }
}

/// The CPU of group `g` to pull from (rule 8.10) [sched_balance_find_src_rq]. `usable`: not tried in vain before.
pub(super) fn find_src_cpu(
    s: &State,
    g: usize,
    (mode, amount): (Mode, i64),
    pct: u64,
    usable: impl Fn(CpuId) -> bool,
) -> Option<CpuId> {
    let mut best: Option<(u64, u64, CpuId)> = None;
    for &cpu in &s.fair.domains.groups[g].cpus {
        let nr = u64::from(s.rqs[cpu].fair.nr_runnable());
        if nr == 0 || !usable(cpu) {
            continue;
        }
        let (value, per) = match mode {
            Mode::Load => {
                let load = load::cpu_load(s, cpu);
                if nr == 1 && load as i64 > amount && !is_reduced(s, cpu, pct) {
                    continue;
                }
                (load, load::capacity_of(s, cpu))
            }
            Mode::Util if nr <= 1 => continue,
            Mode::Util => {
                let runnable = s.rqs[cpu].fair.avg.sa.runnable_avg;
                (load::cpu_util(s, cpu).max(runnable), 1)
            }
            Mode::Task => (nr, 1),
        };
        if best.is_none_or(|(v, p, _)| value * p > v * per) {
            best = Some((value, per, cpu));
        }
    }
    best.map(|(.., cpu)| cpu)
}

/// How many CPUs a wakeup looks at in an LLC of `n` CPUs and so much utilisation (rule 7.9) [update_idle_cpu_scan].
pub(super) fn nr_idle_scan(util: u64, n: u64, pct: u64) -> u32 {
    let x = util / n;
    let y = 1024 - (x * x * pct * pct / (10_000 * 1024)).min(1024);
    (y * n / 1024) as u32
}

/// May `dst` balance this domain for its group? (rule 8.3) [should_we_balance]
pub(super) fn should_we_balance(s: &State, d: &Domain, local: usize, dst: CpuId, idle: IdleType) -> bool {
    if idle == IdleType::NewlyIdle {
        return s.rqs[dst].nr_running == 0 && s.rqs[dst].wake_list.is_empty();
    }
    let group = &s.fair.domains.groups[d.groups[local]];
    let whole_cores = d.level > super::domains::Level::Smt;
    let mut half_idle = None;
    for &cpu in &group.cpus {
        if !is_idle_cpu(s, cpu) {
            continue;
        }
        if whole_cores && !is_idle_core(s, cpu) {
            half_idle = half_idle.or(Some(cpu));
            continue;
        }
        return cpu == dst;
    }
    half_idle.unwrap_or(group.cpus[0]) == dst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::domains::Domains;
    use crate::topology::Topology;

    fn group(group_type: GroupType, nr: u64, idle_cpus: u64, avg_load: u64) -> GroupStats {
        GroupStats {
            group_type,
            nr_running: nr,
            h_nr: nr,
            idle_cpus,
            avg_load,
            capacity: 4096,
            weight: 4,
            cores: 4,
            load: avg_load * 4,
            ..GroupStats::default()
        }
    }

    fn domain(level_from_top: usize) -> Domain {
        let d = Domains::new(&Topology::parse("2x2x4x1").unwrap());
        let sds = &d.of[CpuId(0)];
        d.domains[sds[sds.len() - 1 - level_from_top].dom].clone()
    }

    #[test]
    fn what_is_moved() {
        use GroupType::*;
        use IdleType::*;
        let check = |local: GroupStats, busiest: GroupStats, top, prefer, idle, expect| {
            let s = DomainStats {
                local,
                busiest: Some((7, busiest)),
                load: local.load + busiest.load,
                capacity: local.capacity + busiest.capacity,
                prefer_sibling: prefer,
                ..DomainStats::default()
            };
            let got = s.find_src_group(&domain(top), idle).map(|(_, m, n)| (m, n));
            assert_eq!(got, expect, "{local:?} {busiest:?}");
        };
        // Spare here, six tasks more there: half the difference.
        let (spare, busy) = (group(HasSpare, 1, 3, 0), group(FullyBusy, 7, 0, 0));
        check(spare, busy, 1, true, Idle, Some((Mode::Task, 3)));
        check(spare, busy, 1, true, Busy, None);
        // Without siblings' preference the idle CPUs count.
        check(spare, busy, 1, false, Idle, Some((Mode::Task, 1)));
        // Overloaded there, above the LLC: as much utilisation as there is room.
        let mut over = group(Overloaded, 12, 0, 3000);
        over.util = 4096;
        check(spare, over, 1, false, Idle, Some((Mode::Util, 4096)));
        // Both overloaded: towards the mean, if the difference is more than 17 %.
        let here = group(Overloaded, 5, 0, 1280);
        check(here, over, 1, true, Busy, Some((Mode::Load, 3440)));
        check(here, group(Overloaded, 6, 0, 1400), 1, true, Busy, None);
        check(over, here, 1, true, Idle, None);
        // One task more is no reason.
        check(group(HasSpare, 3, 1, 0), group(FullyBusy, 4, 0, 0), 1, true, Idle, None);
        check(spare, group(Imbalanced, 4, 0, 0), 1, true, Busy, Some((Mode::Task, 1)));
        // Between nodes a small imbalance is left alone.
        check(group(HasSpare, 0, 4, 0), group(HasSpare, 2, 2, 0), 0, true, Idle, None);
    }

    #[test]
    fn siblings_by_cores() {
        let check = |cores: (u64, u64), nr: (u64, u64), expect| {
            let mut l = group(GroupType::HasSpare, nr.0, 0, 0);
            let mut b = group(GroupType::HasSpare, nr.1, 0, 0);
            (l.cores, b.cores) = cores;
            assert_eq!(sibling_imbalance(&l, &b, IdleType::Idle), expect, "{cores:?} {nr:?}");
        };
        check((4, 4), (1, 7), 6);
        check((4, 4), (7, 1), 0);
        check((1, 1), (0, 2), 2);
        check((4, 2), (0, 2), 3);
        check((1, 4), (0, 2), 2);
        check((2, 4), (3, 2), 1);
    }

    #[test]
    fn scan_depth_follows_utilisation() {
        for (util, n, scan) in [(0, 16, 16), (16 * 512, 16, 10), (16 * 870, 16, 0), (16 * 1024, 16, 0)] {
            assert_eq!(nr_idle_scan(util, n, 117), scan, "{util}");
        }
    }
}
