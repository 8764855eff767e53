//! Where a task that is born or execs goes: down from the widest domain to the idlest CPU (rules 7.10 to 7.12)
//! [sched_balance_find_dst_cpu].

use std::cmp::Reverse;

use crate::executor::Kernel;
use crate::fair::domains::Domain;
use crate::fair::stats::{GroupStats, GroupType, add_cpu, is_idle_cpu};
use crate::fair::{load, queue};
use crate::ids::{CpuId, TaskId};
use crate::state::State;

/// [sched_balance_find_dst_cpu] `at`: highest domain of `this` to use.
pub(super) fn find_dst_cpu(k: &mut Kernel, p: TaskId, this: CpuId, prev: CpuId, at: usize) -> CpuId {
    let s: &State = k;
    let all = &s.fair.domains;
    let domain = |cpu: CpuId, at: usize| &all.domains[all.of[cpu][at].dom];
    if !domain(this, at).span.intersects(&s.task(p).cpus) {
        return prev;
    }
    let (mut cpu, mut level, mut scanned) = (this, Some(at), 0);
    while let Some(at) = level {
        let d = domain(cpu, at);
        scanned += d.weight as u64;
        let group = find_idlest_group(s, d, p, cpu);
        let found = group.and_then(|g| find_idlest_cpu(s, g, p));
        match found {
            Some(found) if found != cpu => {
                cpu = found;
                let sds = &all.of[cpu];
                level = (0..sds.len())
                    .take_while(|&j| domain(cpu, j).weight < d.weight)
                    .filter(|&j| domain(cpu, j).places)
                    .last();
            }
            _ => level = at.checked_sub(1),
        }
    }
    let cost = k.cost.select_cpu_scan;
    k.charge(cost * scanned);
    cpu
}

/// A group's sums without `p` [update_sg_wakeup_stats].
fn stats_without(s: &State, d: &Domain, g: usize, p: TaskId) -> GroupStats {
    let group = &s.fair.domains.groups[g];
    let mut sum = GroupStats {
        weight: group.cpus.len() as u64,
        cores: group.cores,
        is_core: group.is_core,
        ..GroupStats::default()
    };
    for &cpu in &group.cpus {
        add_cpu(s, &mut sum, cpu);
    }
    let t = s.task(p);
    if t.se.attached && group.span.test(t.cpu) {
        let a = &t.se.avg;
        sum.load = sum.load.saturating_sub(a.load_avg);
        sum.util = sum.util.saturating_sub(a.util_avg);
        sum.runnable = sum.runnable.saturating_sub(a.runnable_avg);
        if t.se.on_rq {
            sum.nr_running -= 1;
            sum.h_nr -= 1;
            sum.idle_cpus += u64::from(s.rqs[t.cpu].nr_running == 1);
        }
    }
    sum.classify(d.imbalance_pct, group.imbalanced, false);
    if matches!(sum.group_type, GroupType::FullyBusy | GroupType::Overloaded) {
        sum.compute_avg_load();
    }
    sum
}

/// Is `a` idler than `b`? [update_pick_idlest]
fn is_idler(a: &GroupStats, b: &GroupStats) -> bool {
    if a.group_type != b.group_type {
        return a.group_type < b.group_type;
    }
    match a.group_type {
        GroupType::Overloaded | GroupType::FullyBusy => a.avg_load < b.avg_load,
        GroupType::HasSpare => (Reverse(a.idle_cpus), a.util) < (Reverse(b.idle_cpus), b.util),
        _ => false,
    }
}

/// How much imbalance between nodes counts (rule 8.9) [adjust_numa_imbalance].
pub(super) fn adjust_numa_imbalance(imbalance: i64, running: u64, allowed: u64) -> i64 {
    if running <= allowed && imbalance <= 2 { 0 } else { imbalance }
}

/// Is the local group good enough? (rule 7.11)
fn stay(local: &GroupStats, idlest: &GroupStats, d: &Domain, allowed: u64) -> bool {
    if local.group_type != idlest.group_type {
        return local.group_type < idlest.group_type;
    }
    match local.group_type {
        GroupType::Overloaded | GroupType::FullyBusy => {
            let margin = 1024 * (d.imbalance_pct - 100) / 100;
            d.is_numa() && idlest.avg_load + margin >= local.avg_load
                || idlest.avg_load >= local.avg_load + margin
                || 100 * local.avg_load <= d.imbalance_pct * idlest.avg_load
        }
        GroupType::HasSpare => {
            let difference = local.idle_cpus.abs_diff(idlest.idle_cpus) as i64;
            d.is_numa() && adjust_numa_imbalance(difference, local.nr_running + 1, allowed) == 0
                || local.idle_cpus >= idlest.idle_cpus
        }
        _ => true,
    }
}

/// The idlest group, unless the local one is as good [sched_balance_find_dst_group].
fn find_idlest_group(s: &State, d: &Domain, p: TaskId, cpu: CpuId) -> Option<usize> {
    let cpus = &s.task(p).cpus;
    let mut local = None;
    let mut idlest: Option<(usize, GroupStats)> = None;
    for &g in &d.groups {
        let span = &s.fair.domains.groups[g].span;
        if !span.intersects(cpus) {
            continue;
        }
        let stats = stats_without(s, d, g, p);
        if span.test(cpu) {
            local = Some((g, stats));
        } else if idlest.as_ref().is_none_or(|(_, best)| is_idler(&stats, best)) {
            idlest = Some((g, stats));
        }
    }
    let (g, idlest) = idlest?;
    let Some((here, local)) = local else {
        return Some(g);
    };
    let mut allowed = d.imb_numa_nr;
    if d.is_numa() && s.task(p).nr_cpus_allowed != s.nr_cpus() {
        let usable = s.fair.domains.groups[here].span.and(cpus).weight() as u64;
        allowed = allowed.min(usable);
    }
    (!stay(&local, &idlest, d, allowed)).then_some(g)
}

/// The idlest CPU of a group (rule 7.12) [sched_balance_find_dst_group_cpu].
fn find_idlest_cpu(s: &State, g: usize, p: TaskId) -> Option<CpuId> {
    let t = s.task(p);
    let allowed = s.fair.domains.groups[g].cpus.iter().copied();
    let allowed = allowed.filter(|&c| t.cpus.test(c));
    let mut idle: Option<(bool, Reverse<u64>, CpuId)> = None;
    let mut least: Option<(u64, CpuId)> = None;
    for cpu in allowed {
        if queue::is_idle_only(s, cpu) {
            return Some(cpu);
        }
        if is_idle_cpu(s, cpu) {
            let since = s.rqs[cpu].idle_stamp;
            let deep = s.now_of_this().saturating_sub(since) >= s.cost.idle_deep_after;
            let rank = (deep, Reverse(since), cpu);
            if idle.is_none_or(|best| (rank.0, rank.1) < (best.0, best.1)) {
                idle = Some(rank);
            }
        } else {
            let load = load::cpu_load(s, cpu);
            if least.is_none_or(|(best, _)| load < best) {
                least = Some((load, cpu));
            }
        }
    }
    idle.map(|(_, _, cpu)| cpu).or(least.map(|(_, cpu)| cpu))
}

impl State {
    /// Local time of the CPU that runs now.
    fn now_of_this(&self) -> u64 {
        self.cpus[self.exec.this_cpu].clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(group_type: GroupType, avg_load: u64, idle_cpus: u64, util: u64) -> GroupStats {
        GroupStats { group_type, avg_load, idle_cpus, util, ..GroupStats::default() }
    }

    #[test]
    fn idler_groups() {
        use GroupType::*;
        let a = |t, l, i, u| stats(t, l, i, u);
        for (x, y, idler) in [
            (a(HasSpare, 0, 1, 0), a(FullyBusy, 0, 0, 0), true),
            (a(Overloaded, 10, 0, 0), a(Overloaded, 20, 0, 0), true),
            (a(HasSpare, 0, 2, 500), a(HasSpare, 0, 1, 100), true),
            (a(HasSpare, 0, 2, 500), a(HasSpare, 0, 2, 100), false),
            (a(HasSpare, 0, 2, 50), a(HasSpare, 0, 2, 100), true),
            (a(Imbalanced, 0, 2, 50), a(Imbalanced, 0, 2, 100), false),
        ] {
            assert_eq!(is_idler(&x, &y), idler, "{x:?} {y:?}");
        }
    }

    #[test]
    fn small_imbalances_between_nodes_are_tolerated_while_little_runs() {
        for (imbalance, running, allowed, counts) in [(2, 1, 4, 0), (2, 4, 4, 0), (2, 5, 4, 2), (3, 1, 4, 3)] {
            assert_eq!(adjust_numa_imbalance(imbalance, running, allowed), counts);
        }
    }
}
