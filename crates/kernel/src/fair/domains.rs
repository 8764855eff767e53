//! Scheduling domains: which CPUs are balanced with which, at which level (rule 8.1) [topology.c, sd_init].
//!
//! A domain that several CPUs see is stored once; what each CPU remembers about it ([`Sd`]) is that CPU's own. Levels that
//! add nothing (one CPU, or the span of the level below) do not exist.

use std::collections::BTreeMap;

use crate::cpumask::CpuMask;
use crate::ids::{CpuId, Ns, PerCpu};
use crate::topology::Topology;

/// NUMA levels farther than this are left out of fork, exec and affine wakeups [node_reclaim_distance].
const NODE_RECLAIM_DISTANCE: u32 = 30;

/// Kind of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Threads of a core.
    Smt,
    /// CPUs of a last-level cache.
    Mc,
    /// LLCs of a node.
    Pkg,
    /// Nodes up to this distance.
    Numa(u32),
}

/// A domain.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) level: Level,
    pub(crate) span: CpuMask,
    /// Number of CPUs.
    pub(crate) weight: usize,
    /// Groups as indices into [`Domains::groups`], by lowest CPU.
    pub(crate) groups: Vec<usize>,
    /// Imbalance in per cent below which nothing is done.
    pub(crate) imbalance_pct: u64,
    /// Failures after which hot tasks move.
    pub(crate) cache_nice_tries: u32,
    /// Takes part in fork, exec and affine wakeups.
    pub(crate) places: bool,
    /// At the NUMA level: so many tasks may run on one side [imb_numa_nr].
    pub(crate) imb_numa_nr: u64,
    /// Idle CPUs to look at in a wakeup [sd_llc_shared.nr_idle_scan].
    pub(crate) nr_idle_scan: u32,
    /// Some core may be idle [sd_llc_shared.has_idle_cores].
    pub(crate) has_idle_core: bool,
    /// Busy CPUs [sd_llc_shared.nr_busy_cpus].
    pub(crate) nr_busy: u32,
}

impl Domain {
    pub(crate) fn is_numa(&self) -> bool {
        matches!(self.level, Level::Numa(_))
    }

    /// Does it lie within a last-level cache? [SD_SHARE_LLC]
    pub(crate) fn shares_llc(&self) -> bool {
        self.level <= Level::Mc
    }
}

/// A group: what a domain is balanced between.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) span: CpuMask,
    /// Its CPUs, ascending.
    pub(crate) cpus: Vec<CpuId>,
    /// Number of cores.
    pub(crate) cores: u64,
    /// Do tasks prefer to be spread over groups like this one? [SD_PREFER_SIBLING of the level below]
    pub(crate) prefer_sibling: bool,
    /// Is it the threads of one core?
    pub(crate) is_core: bool,
    /// Affinity kept a balance below from succeeding [sgc.imbalance].
    pub(crate) imbalanced: bool,
}

/// What one CPU remembers about one of its domains [sched_domain].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sd {
    /// Index into [`Domains::domains`].
    pub(crate) dom: usize,
    /// Own group, as a position in the domain's list.
    pub(crate) local: usize,
    /// Jiffy of the last balance.
    pub(crate) last_balance: u64,
    /// Milliseconds.
    pub(crate) interval: u64,
    pub(crate) nr_balance_failed: u32,
    pub(crate) newidle: Newidle,
}

/// Book-keeping of balancing on the way to idle (rules 8.19, 8.20).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newidle {
    pub(crate) max_cost: Ns,
    pub(crate) cost_decayed_at: Ns,
    pub(crate) calls: u64,
    pub(crate) success: u64,
    pub(crate) ratio: u64,
    pub(crate) stamp: Ns,
}

/// All domains of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Domains {
    pub(crate) domains: Vec<Domain>,
    pub(crate) groups: Vec<Group>,
    /// Domains of each CPU, bottom up.
    pub(crate) of: PerCpu<Vec<Sd>>,
    /// CPUs of each core.
    pub(crate) cores: Vec<Vec<CpuId>>,
    /// The domain of each CPU's last-level cache: its highest one that lies within it.
    pub(crate) llc: PerCpu<Option<usize>>,
}

type Spans = Vec<(Level, CpuMask)>;

/// Levels of one CPU, degenerate ones left out.
fn spans_of(t: &Topology, cpu: CpuId) -> Spans {
    let mut all = vec![(Level::Smt, *t.smt_mask(cpu)), (Level::Mc, *t.llc_mask(cpu)), (Level::Pkg, *t.node_mask(cpu))];
    let row = &t.node_distance[t.cpus[cpu].node as usize];
    let mut distances = row.clone();
    distances.sort_unstable();
    distances.dedup();
    for d in distances {
        let near = (0..t.nodes.len()).filter(|&n| row[n] <= d);
        let span = near.fold(CpuMask::EMPTY, |m, n| m.or(&t.nodes[n]));
        all.push((Level::Numa(d), span));
    }
    let mut spans = Spans::new();
    for (level, span) in all {
        let below = spans.last().map_or(CpuMask::of(cpu), |(_, s)| *s);
        if span != below {
            spans.push((level, span));
        }
    }
    spans
}

/// How many tasks may stay on one node without being balanced away (rule 8.9).
fn imb_numa_nr(t: &Topology, cpu: CpuId, spans: &Spans, at: usize) -> u64 {
    let node = t.node_mask(cpu).weight();
    let llcs = node / t.llc_mask(cpu).weight();
    let base = if llcs == 1 { node / 8 } else { llcs }.max(1);
    let first_numa = spans.iter().find(|(l, _)| matches!(l, Level::Numa(_)));
    let ratio = first_numa.map_or(1, |(_, first)| spans[at].1.weight() / first.weight());
    (base * ratio.max(1)) as u64
}

impl Domains {
    /// Derives the domains from the machine's shape.
    pub(crate) fn new(t: &Topology) -> Domains {
        let spans = PerCpu::new(t.nr_cpus(), |cpu| spans_of(t, cpu));
        let mut this = Domains {
            domains: Vec::new(),
            groups: Vec::new(),
            of: PerCpu::default(),
            cores: t.cores.iter().map(|m| m.iter().collect()).collect(),
            llc: PerCpu::default(),
        };
        let mut known = BTreeMap::new();
        let mut of = Vec::new();
        for (i, levels) in spans.iter().enumerate() {
            let cpu = CpuId(i as u32);
            let sds = (0..levels.len()).map(|at| {
                let (level, span) = levels[at];
                let dom = *known.entry((level, span.words().to_vec())).or_insert_with(|| this.add(t, cpu, &spans, at));
                this.sd(dom, cpu)
            });
            let sds: Vec<Sd> = sds.collect();
            let llc = sds.iter().rev().map(|sd| sd.dom);
            let llc = llc.into_iter().find(|&d| this.domains[d].shares_llc());
            this.llc.0.push(llc);
            of.push(sds);
        }
        this.of = PerCpu(of);
        this
    }

    fn sd(&self, dom: usize, cpu: CpuId) -> Sd {
        let groups = &self.domains[dom].groups;
        let local = groups.iter().position(|&g| self.groups[g].span.test(cpu));
        Sd {
            dom,
            local: local.expect("a CPU is in a group of its domain"),
            last_balance: 0,
            interval: self.domains[dom].weight as u64,
            nr_balance_failed: 0,
            newidle: Newidle { max_cost: 0, cost_decayed_at: 0, calls: 512, success: 256, ratio: 512, stamp: 0 },
        }
    }

    /// Adds the domain that `cpu` sees at its level `at`.
    fn add(&mut self, t: &Topology, cpu: CpuId, spans: &PerCpu<Spans>, at: usize) -> usize {
        let (level, span) = spans[cpu][at];
        let mut groups = Vec::new();
        let mut covered = CpuMask::EMPTY;
        for c in span.iter() {
            if !covered.test(c) {
                let below = spans[c].iter().rev().find(|(l, _)| *l < level);
                let part = below.map_or(CpuMask::of(c), |(_, s)| *s).and(&span);
                covered = covered.or(&part);
                groups.push(self.groups.len());
                let siblings = below.is_some_and(|(l, _)| !matches!(l, Level::Numa(_)));
                self.groups.push(new_group(t, part, siblings));
            }
        }
        let weight = span.weight();
        self.domains.push(Domain {
            level,
            span,
            weight,
            groups,
            imbalance_pct: if level == Level::Smt { 110 } else { 117 },
            cache_nice_tries: match level {
                Level::Smt => 0,
                Level::Mc | Level::Pkg => 1,
                Level::Numa(_) => 2,
            },
            places: !matches!(level, Level::Numa(d) if d > NODE_RECLAIM_DISTANCE),
            imb_numa_nr: imb_numa_nr(t, cpu, &spans[cpu], at),
            nr_idle_scan: weight as u32, // as after a first balance of an idle machine
            has_idle_core: level <= Level::Mc && t.has_smt(),
            nr_busy: 0,
        });
        self.domains.len() - 1
    }
}

fn new_group(t: &Topology, span: CpuMask, prefer_sibling: bool) -> Group {
    let cpus: Vec<CpuId> = span.iter().collect();
    let mut cores: Vec<u32> = cpus.iter().map(|&c| t.cpus[c].core).collect();
    cores.sort_unstable();
    cores.dedup();
    Group {
        span,
        prefer_sibling,
        cores: cores.len() as u64,
        is_core: cpus.len() > 1 && cores.len() == 1,
        cpus,
        imbalanced: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_machines() {
        let check = |spec: &str, expect: &[(&str, usize, usize)]| {
            let d = Domains::new(&Topology::parse(spec).unwrap());
            let got: Vec<_> = d.of[CpuId(0)]
                .iter()
                .map(|sd| &d.domains[sd.dom])
                .map(|d| {
                    let name = match d.level {
                        Level::Smt => "smt",
                        Level::Mc => "mc",
                        Level::Pkg => "pkg",
                        Level::Numa(_) => "numa",
                    };
                    (name, d.weight, d.groups.len())
                })
                .collect();
            assert_eq!(got, expect, "{spec}");
        };
        check("1", &[]);
        check("1x2", &[("smt", 2, 2)]);
        check("8", &[("mc", 8, 8)]);
        check("4x2", &[("smt", 2, 2), ("mc", 8, 4)]);
        check("2x4", &[("smt", 4, 4), ("mc", 8, 2)]);
        check("2x8x1", &[("mc", 8, 8), ("numa", 16, 2)]);
        check("2x4x8x2", &[("smt", 2, 2), ("mc", 16, 8), ("pkg", 64, 4), ("numa", 128, 2)]);
        check("2x2x1x1", &[("pkg", 2, 2), ("numa", 4, 2)]);
    }

    #[test]
    fn every_cpu_is_in_its_local_group_and_groups_cover_the_span_once() {
        for spec in ["8", "2x4x8x2", "4x3x2", "1024", "3x5x1"] {
            let d = Domains::new(&Topology::parse(spec).unwrap());
            for (i, sds) in d.of.iter().enumerate() {
                for sd in sds {
                    let dom = &d.domains[sd.dom];
                    let group = |at: usize| &d.groups[dom.groups[at]];
                    assert!(group(sd.local).span.test(CpuId(i as u32)));
                    let all: usize = dom.groups.iter().map(|&g| d.groups[g].cpus.len()).sum();
                    assert_eq!(all, dom.weight, "{spec}");
                }
            }
        }
    }

    #[test]
    fn numa_imbalance_allowance() {
        for (spec, nr) in [("2x8", 2), ("2x8x2", 2), ("2x4x8x2", 4), ("2x2x1", 1)] {
            let spec = if spec == "2x8" { "2x16x1" } else { spec };
            let d = Domains::new(&Topology::parse(spec).unwrap());
            let top = d.of[CpuId(0)].last().unwrap();
            assert_eq!(d.domains[top.dom].imb_numa_nr, nr, "{spec}");
        }
    }
}
