//! Built-in idle tracking and the default CPU selection (idle-and-cid A to H).

use super::call;
use super::exit::prog_error as error;
use super::flags::{errno, ops, pick_idle};
use super::ops::Op;
use super::sched::SchedId;
use crate::class::wf;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::state::State;
use crate::topology::Topology;

/// The idle CPUs of the machine or of a node (A1).
#[derive(Clone, Copy, Debug, Default)]
pub struct IdleMasks {
    /// Idle CPUs.
    pub cpu: CpuMask,
    /// CPUs of wholly idle cores.
    pub smt: CpuMask,
}

/// A tracking domain: the machine (`None`, NUMA_NO_NODE) or a node.
pub(crate) type Domain = Option<u32>;

/// State of the tracking (A1 to A3).
#[derive(Clone, Debug)]
pub struct IdleTracking {
    pub(crate) enabled: bool,
    pub(crate) per_node: bool,
    llc: bool,
    numa: bool,
    global: IdleMasks,
    nodes: Vec<IdleMasks>,
    /// Nodes by distance from each node, nearest first, itself excluded; equal distances: lower number first (E3).
    nodes_by_distance: Vec<Vec<u32>>,
}

impl IdleTracking {
    pub(crate) fn new(t: &Topology) -> IdleTracking {
        let n = t.nodes.len() as u32;
        let others = |from: u32| {
            let mut others: Vec<u32> = (0..n).filter(|&to| to != from).collect();
            others.sort_by_key(|&to| (t.node_distance[from as usize][to as usize], to));
            others
        };
        IdleTracking {
            enabled: false,
            per_node: false,
            llc: false,
            numa: false,
            global: IdleMasks::default(),
            nodes: vec![IdleMasks::default(); n as usize],
            nodes_by_distance: (0..n).map(others).collect(),
        }
    }

    pub(crate) fn masks(&self, domain: Domain) -> &IdleMasks {
        domain.map_or(&self.global, |n| &self.nodes[n as usize])
    }

    fn masks_mut(&mut self, domain: Domain) -> &mut IdleMasks {
        match domain {
            None => &mut self.global,
            Some(n) => &mut self.nodes[n as usize],
        }
    }
}

impl State {
    /// Domain in which a CPU is tracked [scx_cpu_node_if_enabled].
    pub(crate) fn idle_domain(&self, cpu: CpuId) -> Domain {
        self.ext.idle.per_node.then(|| self.topology.cpus[cpu].node)
    }

    fn smt_active(&self) -> bool {
        self.topology.has_smt()
    }

    /// Claims an idle CPU (E1) [scx_idle_test_and_clear_cpu].
    pub(crate) fn test_and_clear_idle(&mut self, cpu: CpuId) -> bool {
        let domain = self.idle_domain(cpu);
        let siblings = *self.topology.smt_mask(cpu);
        let smt = self.smt_active();
        let masks = self.ext.idle.masks_mut(domain);
        if smt && masks.smt.intersects(&siblings) {
            masks.smt = masks.smt.and_not(&siblings);
        }
        let was = masks.cpu.test(cpu);
        masks.cpu.clear(cpu);
        was
    }

    /// Claims an idle CPU of a domain, whole cores first (E2) [pick_idle_cpu_in_node].
    fn pick_in_domain(&mut self, allowed: &CpuMask, domain: Domain, flags: u64) -> Option<CpuId> {
        loop {
            let mut found = None;
            if self.smt_active() {
                let cores = self.ext.idle.masks(domain).smt.and(allowed);
                found = self.any_distribute(&cores);
                if found.is_none() && flags & pick_idle::CORE != 0 {
                    return None;
                }
            }
            if found.is_none() {
                let cpus = self.ext.idle.masks(domain).cpu.and(allowed);
                found = self.any_distribute(&cpus);
            }
            let cpu = found?;
            if self.test_and_clear_idle(cpu) {
                return Some(cpu);
            }
        }
    }

    /// Claims an idle CPU, in other nodes too unless forbidden (E3) [scx_pick_idle_cpu].
    pub(crate) fn pick_idle(&mut self, allowed: &CpuMask, domain: Domain, flags: u64) -> Option<CpuId> {
        let found = self.pick_in_domain(allowed, domain, flags);
        let Some(start) = domain else { return found };
        if found.is_some() || flags & pick_idle::IN_NODE != 0 {
            return found;
        }
        let others = self.ext.idle.nodes_by_distance[start as usize].len();
        (0..others).find_map(|i| {
            let node = self.ext.idle.nodes_by_distance[start as usize][i];
            self.pick_in_domain(allowed, Some(node), flags)
        })
    }
}

/// Sets the tracking up for a scheduler (B1, B2) [scx_idle_enable].
pub(crate) fn enable(k: &mut Kernel, has_update_idle: bool, flags: u64) {
    let online = k.online;
    let nodes = k.topology.nodes.clone();
    let idle = &mut k.ext.idle;
    idle.enabled = !has_update_idle || flags & ops::KEEP_BUILTIN_IDLE != 0;
    idle.per_node = flags & ops::BUILTIN_IDLE_PER_NODE != 0;
    if idle.per_node {
        for (masks, cpus) in idle.nodes.iter_mut().zip(&nodes) {
            let cpus = cpus.and(&online);
            *masks = IdleMasks { cpu: cpus, smt: cpus };
        }
    } else {
        idle.global = IdleMasks { cpu: online, smt: online };
    }
}

/// B5 [scx_idle_disable]
pub(crate) fn disable(k: &mut Kernel) {
    k.ext.idle.enabled = false;
    k.ext.idle.per_node = false;
}

/// Domain of last-level cache [sd_llc]: absent when it holds one CPU alone, as a degenerate domain is.
fn sd_llc(s: &State, cpu: CpuId) -> Option<&CpuMask> {
    Some(s.topology.llc_mask(cpu)).filter(|m| m.weight() > 1)
}

/// CPUs of the node, where there are several nodes.
fn sd_numa(s: &State, cpu: CpuId) -> Option<&CpuMask> {
    (s.topology.nodes.len() > 1).then(|| s.topology.node_mask(cpu))
}

/// Should selection stay in the LLC or the node at first (D1 to D3)? [scx_idle_update_selcpu_topology]
pub(crate) fn update_selcpu_topology(k: &mut Kernel, sched: SchedId) {
    let nr = k.online.weight();
    let Some(first) = k.online.first() else {
        return;
    };
    let weight = |m: Option<&CpuMask>| m.map_or(0, CpuMask::weight);
    let (llc, numa) = (weight(sd_llc(k, first)), weight(sd_numa(k, first)));
    let mismatch = k.online.iter().any(|c| weight(sd_llc(k, c)) != weight(sd_numa(k, c)));
    let per_node = k.ext.scheds[sched].flag(ops::BUILTIN_IDLE_PER_NODE);
    let idle = &mut k.ext.idle;
    idle.llc = 0 < llc && llc < nr;
    idle.numa = !per_node && 0 < numa && numa < nr && mismatch;
}

/// The idle task was picked on `cpu` (C1) [pick_task_idle].
pub(crate) fn pick_task_idle(k: &mut Kernel, cpu: CpuId) {
    update_idle(k, cpu, true, false);
}

/// `cpu` goes idle or leaves idle; `notify`: a real transition (C1 to C5) [__scx_update_idle]. Rq lock held.
pub(crate) fn update_idle(k: &mut Kernel, cpu: CpuId, idle: bool, notify: bool) {
    if !k.ext.enabled {
        return;
    }
    if k.ext.idle.enabled && (notify || k.rqs[cpu].is_idle()) {
        update_builtin_idle(k, cpu, idle);
    }
    if notify
        && let Some(root) = k.ext.root_id()
        && k.ext.scheds[root].has(Op::update_idle)
        && !k.ext.scheds[root].bypassing(cpu)
    {
        call::op(k, root, Op::update_idle, Some(cpu), None, |ops, k| {
            ops.update_idle(k, cpu, idle);
        });
    }
}

/// C4 [update_builtin_idle]
fn update_builtin_idle(k: &mut Kernel, cpu: CpuId, idle: bool) {
    let domain = k.idle_domain(cpu);
    let smt = k.smt_active();
    let siblings = *k.topology.smt_mask(cpu);
    let masks = k.ext.idle.masks_mut(domain);
    if !idle {
        masks.cpu.clear(cpu);
        if smt {
            masks.smt = masks.smt.and_not(&siblings);
        }
        return;
    }
    masks.cpu.set(cpu);
    if smt && siblings.subset_of(&masks.cpu) {
        masks.smt = masks.smt.or(&siblings);
    }
}

/// The default CPU selection (G) [scx_select_cpu_dfl]: an idle CPU, claimed; `None`: there is none (-EBUSY). `mask`: CPUs to
/// choose from besides the task's own.
pub(crate) fn select_cpu_dfl(
    k: &mut Kernel,
    p: TaskId,
    prev: CpuId,
    wake_flags: u64,
    mask: Option<&CpuMask>,
    flags: u64,
) -> Option<CpuId> {
    let cost = k.cost.select_cpu_scan;
    k.charge(cost);
    let t = k.task(p);
    let anywhere = t.nr_cpus_allowed >= k.nr_cpus();
    let allowed = match mask {
        None => t.cpus,
        Some(m) if anywhere => *m,
        Some(m) => {
            let both = m.and(&t.cpus);
            (!both.is_empty()).then_some(both)?
        }
    };
    let whole = mask.is_none() && anywhere;
    // G3, G4: where to look first.
    let near = |on: bool, span: Option<&CpuMask>| -> Option<CpuMask> {
        let span = on.then_some(span)??;
        if whole {
            return Some(*span);
        }
        Some(span.and(&allowed)).filter(|m| !m.is_empty())
    };
    let numa = near(k.ext.idle.numa, sd_numa(k, prev));
    let llc = near(k.ext.idle.llc, sd_llc(k, prev));
    let search = Search { prev, prev_ok: allowed.test(prev), allowed, llc, numa, domain: k.idle_domain(prev), flags };
    if wake_flags & wf::SYNC != 0
        && let Some(cpu) = wake_sync(k, &search)
    {
        return Some(cpu);
    }
    search.run(k)
}

struct Search {
    prev: CpuId,
    prev_ok: bool,
    allowed: CpuMask,
    llc: Option<CpuMask>,
    numa: Option<CpuMask>,
    domain: Domain,
    flags: u64,
}

/// The waker is about to sleep: stay near it (G5).
fn wake_sync(k: &mut Kernel, s: &Search) -> Option<CpuId> {
    let waker = k.this_cpu();
    let same_llc = k.topology.cpus[waker].llc == k.topology.cpus[s.prev].llc;
    if s.prev_ok && same_llc && k.test_and_clear_idle(s.prev) {
        return Some(s.prev);
    }
    let node = k.idle_domain(waker);
    let take_waker = !k.curr(waker).is_exiting()
        && k.local_dsq(waker).nr == 0
        && (s.flags & pick_idle::IN_NODE == 0 || node == s.domain)
        && !k.ext.idle.masks(node).cpu.is_empty()
        && s.allowed.test(waker);
    take_waker.then(|| {
        k.test_and_clear_idle(waker); // it is busy: that it is not idle does not matter
        waker
    })
}

impl Search {
    /// G6 to G11.
    fn run(&self, k: &mut Kernel) -> Option<CpuId> {
        let smt = k.smt_active();
        let near = |k: &mut Kernel, set: &Option<CpuMask>, flags: u64| {
            set.as_ref().and_then(|m| k.pick_in_domain(m, self.domain, flags))
        };
        if smt {
            let whole = k.ext.idle.masks(self.domain).smt.test(self.prev);
            if self.prev_ok && whole && k.test_and_clear_idle(self.prev) {
                return Some(self.prev);
            }
            let core = near(k, &self.llc, pick_idle::CORE)
                .or_else(|| near(k, &self.numa, pick_idle::CORE))
                .or_else(|| k.pick_idle(&self.allowed, self.domain, self.flags | pick_idle::CORE));
            if core.is_some() || self.flags & pick_idle::CORE != 0 {
                return core;
            }
        }
        if self.prev_ok && k.test_and_clear_idle(self.prev) {
            return Some(self.prev);
        }
        if smt {
            let siblings = k.topology.smt_mask(self.prev).and(&self.allowed);
            for cpu in siblings.iter().filter(|&c| c != self.prev) {
                if k.test_and_clear_idle(cpu) {
                    return Some(cpu);
                }
            }
        }
        near(k, &self.llc, 0)
            .or_else(|| near(k, &self.numa, 0))
            .or_else(|| k.pick_idle(&self.allowed, self.domain, self.flags))
    }
}

/// Is the built-in tracking on (H7)? [check_builtin_idle_enabled]
pub(crate) fn check_enabled(k: &mut Kernel) -> bool {
    if !k.ext.idle.enabled {
        error(k, "built-in idle tracking is disabled");
    }
    k.ext.idle.enabled
}

/// Common part of the select_cpu kfuncs (H3, H4) [select_cpu_from_kfunc]: the CPU or -errno.
pub(crate) fn select_cpu_from_kfunc(
    k: &mut Kernel,
    p: TaskId,
    prev: i32,
    wake_flags: u64,
    mask: Option<&CpuMask>,
    flags: u64,
) -> i32 {
    let Some(prev) = k.valid_cpu(prev) else {
        error(k, format!("invalid CPU {prev}"));
        return -errno::EINVAL;
    };
    if !check_enabled(k) {
        return -errno::EBUSY;
    }
    if k.find_task(p).is_none() {
        return -errno::EINVAL;
    }
    let cx = k.ext.cx[k.this_cpu()];
    if cx.op == Some(Op::select_cpu) {
        if cx.subject != Some(p) {
            error(k, "called on a task not being operated on");
            return -errno::EINVAL;
        }
        return select_checked(k, p, prev, wake_flags, mask, flags);
    }
    if let Some(rq) = cx.locked_rq {
        if k.task(p).cpu != rq {
            let t = k.task(p);
            let msg = format!("select_cpu kfunc called cross-task on {}[{}]", t.comm, t.pid);
            error(k, msg);
            return -errno::EINVAL;
        }
        return select_checked(k, p, prev, wake_flags, mask, flags);
    }
    let lock = crate::lock::LockId::Pi(p);
    k.lock(lock);
    let cpu = select_checked(k, p, prev, wake_flags, mask, flags);
    k.unlock(lock);
    cpu
}

fn select_checked(k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64, mask: Option<&CpuMask>, flags: u64) -> i32 {
    let t = k.task(p);
    let found = if t.nr_cpus_allowed == 1 || t.migration_disabled > 0 {
        select_cpu_restricted(k, p, prev, mask, flags)
    } else {
        select_cpu_dfl(k, p, prev, wake_flags, mask, flags)
    };
    found.map_or(-errno::EBUSY, |c| c.0 as i32)
}

/// H4 [select_cpu_restricted]
fn select_cpu_restricted(k: &mut Kernel, p: TaskId, prev: CpuId, mask: Option<&CpuMask>, flags: u64) -> Option<CpuId> {
    let t = k.task(p);
    let cpu = if t.migration_disabled > 0 { t.cpu } else { t.cpus.first()? };
    let node_ok = flags & pick_idle::IN_NODE == 0 || k.idle_domain(cpu) == k.idle_domain(prev);
    let ok = t.cpus.test(cpu) && mask.is_none_or(|m| m.test(cpu)) && node_ok;
    (ok && k.test_and_clear_idle(cpu)).then_some(cpu)
}
