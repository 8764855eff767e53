//! Bypass: the class runs its tasks by itself, whatever the scheduler does (E-162 to E-169).

use super::call;
use super::dispatch::{can_run_on, move_task_between_dsqs};
use super::events::Ev;
use super::flags::consts;
use super::sched::SchedId;
use crate::class::deq;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::Timer;
use crate::lock::LockId;
use crate::state::State;

/// Has a scheduler bypassed, or no longer (E-163, E-164) [scx_bypass].
pub(crate) fn bypass(k: &mut Kernel, sched: SchedId, on: bool) {
    // The bypass lock: enabling and disabling may be under way at once (E-243).
    while k.ext.bypass_locked {
        call::cpu_relax(k);
    }
    k.ext.bypass_locked = true;
    let subtree = k.ext.subtree(sched);
    let mut changed = false;
    for &s in &subtree {
        let began_or_ended = change_depth(k, s, on);
        if began_or_ended && on {
            claim_bypass_dsp(k, s);
        }
        changed |= began_or_ended && s == sched;
    }
    if changed {
        for_each_cpu(k, sched, &subtree);
    }
    if changed && !on {
        // Everything has left the bypass queues.
        for s in subtree {
            if k.ext.scheds[s].bypass_depth == 0 {
                release_bypass_dsp(k, s);
            }
        }
    }
    k.ext.bypass_locked = false;
}

/// The bypass queues of `sched`, and those of its parent, which take its tasks, are served from now on (E-167) [enable_bypass_dsp].
fn claim_bypass_dsp(k: &mut Kernel, sched: SchedId) {
    let s = &mut k.ext.scheds[sched];
    debug_assert!(!s.bypass_dsp_claim, "bypass begins once");
    s.bypass_dsp_claim = true;
    s.bypass_dsp_depth += 1;
    let parent = s.parent;
    if let Some(parent) = parent {
        k.ext.scheds[parent].bypass_dsp_depth += 1;
    }
    let host = parent.unwrap_or(sched);
    if k.ext.scheds[host].bypass_lb_due == Ns::MAX {
        start_lb(k, host);
    }
}

/// They need not be, for `sched` (E-167) [disable_bypass_dsp].
pub(crate) fn release_bypass_dsp(k: &mut Kernel, sched: SchedId) {
    let s = &mut k.ext.scheds[sched];
    if !std::mem::take(&mut s.bypass_dsp_claim) {
        return;
    }
    s.bypass_dsp_depth -= 1;
    if let Some(parent) = s.parent {
        k.ext.scheds[parent].bypass_dsp_depth -= 1;
    }
}

impl State {
    /// The scheduler whose bypass queue takes a task of `sched` on `cpu`: of a sub-scheduler, the nearest one above that is not
    /// bypassed, or the root (E-166) [bypass_enq_target_dsq].
    pub(crate) fn bypass_host(&self, sched: SchedId, cpu: CpuId) -> SchedId {
        let mut host = sched;
        while let Some(parent) = self.ext.scheds[host].parent
            && self.ext.scheds[host].bypassing(cpu)
        {
            host = parent;
        }
        host
    }
}

fn for_each_cpu(k: &mut Kernel, sched: SchedId, subtree: &[SchedId]) {
    for cpu in (0..k.nr_cpus() as u32).map(CpuId) {
        k.lock(LockId::Rq(cpu));
        k.update_rq_clock(cpu);
        for &s in subtree {
            let s = &mut k.ext.scheds[s];
            s.pcpu[cpu].bypassing = s.bypass_depth > 0;
        }
        if k.ext.enabled {
            cycle_runnable(k, sched, cpu);
        }
        if k.online.test(cpu) || cpu == k.this_cpu() {
            k.resched_curr(cpu);
        }
        k.unlock(LockId::Rq(cpu));
    }
}

/// True if bypass begins or ends with this call [inc_bypass_depth, dec_bypass_depth].
fn change_depth(k: &mut Kernel, sched: SchedId, on: bool) -> bool {
    let now = k.now();
    let s = &mut k.ext.scheds[sched];
    let before = s.bypass_depth;
    s.bypass_depth = if on { before + 1 } else { before - 1 };
    match (on, before) {
        (true, 0) => {
            s.slice_dfl = consts::SLICE_BYPASS;
            s.bypass_since = now;
            s.count(Ev::BypassActivate, 1);
            true
        }
        (false, 1) => {
            s.slice_dfl = consts::SLICE_DFL;
            let elapsed = now.saturating_sub(s.bypass_since);
            s.count(Ev::BypassDuration, elapsed as i64);
            true
        }
        _ => false,
    }
}

/// Takes every waiting task of `sched` and of what is below it out and puts it back, so that it lands where it belongs now.
fn cycle_runnable(k: &mut Kernel, sched: SchedId, cpu: CpuId) {
    let mut tasks: Vec<TaskId> = k.runnable_tasks(cpu).filter(|&p| k.ext.is_below(k.task_sched(p), sched)).collect();
    tasks.reverse();
    for p in tasks {
        let c = k.sched_change_begin(p, deq::SAVE | deq::MOVE);
        k.sched_change_end(c);
    }
}

fn start_lb(k: &mut Kernel, sched: SchedId) {
    let at = k.now() + consts::BYPASS_LB_DFL_INTV_US * 1000;
    k.ext.scheds[sched].bypass_lb_due = at;
    k.start_timer(at, Timer::ScxBypassLb(sched));
}

/// The timer of a scheduler's load balancer (E-168) [scx_bypass_lb_timerfn].
pub(crate) fn lb_timer(k: &mut Kernel, sched: SchedId) {
    let now = k.now();
    let Some(s) = k.ext.scheds.get_mut(sched).filter(|s| now >= s.bypass_lb_due) else {
        return; // the timer is an earlier scheduler's
    };
    if !s.bypass_dsp() {
        s.bypass_lb_due = Ns::MAX;
        return; // bypass has ended
    }
    for node in 0..k.topology.nodes.len() {
        let cpus = k.topology.nodes[node].and(&k.online);
        lb_node(k, sched, &cpus);
    }
    start_lb(k, sched);
}

fn bypass_nr(k: &Kernel, sched: SchedId, cpu: CpuId) -> u32 {
    k.ext.dsqs[k.bypass_dsq(sched, cpu) as usize].nr
}

/// Evens the bypass queues of a node out (E-168) [bypass_lb_node].
fn lb_node(k: &mut Kernel, sched: SchedId, cpus: &CpuMask) {
    let nr_cpus = cpus.weight() as u32;
    let nr_tasks: u32 = cpus.iter().map(|c| bypass_nr(k, sched, c)).sum();
    if nr_cpus == 0 || nr_tasks == 0 {
        return;
    }
    let target = nr_tasks.div_ceil(nr_cpus);
    let donor_target = (target * consts::BYPASS_LB_DONOR_PCT).div_ceil(100);
    let mut donees: CpuMask = cpus.iter().filter(|&c| bypass_nr(k, sched, c) < target).collect();
    let all_donees = donees;
    for donor in cpus.and_not(&all_donees).iter() {
        if donees.is_empty() {
            break;
        }
        if bypass_nr(k, sched, donor) > donor_target {
            lb_cpu(k, sched, donor, &mut donees, target, donor_target);
        }
    }
    for donee in all_donees.iter() {
        k.resched_cpu(donee);
    }
}

/// Smallest excess that is worth serving (E-169).
fn min_delta() -> u64 {
    let interval = consts::BYPASS_LB_DFL_INTV_US / consts::BYPASS_LB_MIN_DELTA_DIV;
    interval.div_ceil(consts::SLICE_BYPASS / 1000)
}

/// Moves tasks away from a donor (E-169) [bypass_lb_cpu].
fn lb_cpu(k: &mut Kernel, sched: SchedId, donor: CpuId, donees: &mut CpuMask, target: u32, donor_target: u32) {
    if u64::from(bypass_nr(k, sched, donor) - donor_target) < min_delta() {
        return;
    }
    let from = k.bypass_dsq(sched, donor);
    k.lock(LockId::Rq(donor));
    k.lock(LockId::Dsq(from));
    let mut at = k.dsq_first(from);
    while let Some(p) = at {
        if bypass_nr(k, sched, donor) <= donor_target || donees.is_empty() {
            break;
        }
        at = k.dsq_next(p);
        if k.task(p).cpu != donor {
            continue;
        }
        let allowed = k.task(p).cpus.and(donees);
        let Some(donee) = allowed.first().filter(|&c| can_run_on(k, sched, p, c, false)) else {
            continue;
        };
        let to = k.bypass_dsq(sched, donee);
        move_task_between_dsqs(k, sched, p, 0, from, to);
        k.lock(LockId::Dsq(from));
        if at.is_some_and(|q| k.find_task(q).is_none_or(|t| t.scx.dsq != Some(from))) {
            at = k.dsq_first(from);
        }
        if bypass_nr(k, sched, donee) >= target {
            donees.clear(donee);
        }
    }
    k.unlock(LockId::Dsq(from));
    k.unlock(LockId::Rq(donor));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::rc::Rc;

    use scxr_trace::NullSink;

    use super::super::ops::{OpsAttrs, SchedExtOps};
    use super::*;
    use crate::Machine;
    use crate::behavior::{Action, TaskCx, TaskSpec};
    use crate::config::Config;
    use crate::topology::Topology;

    /// A scheduler without operations.
    pub(crate) struct Nothing;

    impl SchedExtOps for Nothing {
        fn attrs(&self) -> OpsAttrs {
            OpsAttrs { name: "nothing".into(), ..OpsAttrs::default() }
        }
    }

    /// Tasks that wait on one CPU's bypass queue go to others that have too few, a node at a time, and what may not stays.
    #[test]
    fn bypass_queues_are_evened_out() {
        let (pinned, free) = (40, 160);
        let mut m = Machine::new(Topology::parse("2x2x1").expect("a machine"), Config::default(), Box::new(NullSink));
        m.enable(Rc::new(Nothing));
        for i in 0..pinned + free {
            let mut spec = TaskSpec::new(format!("t{i}"), |_: &TaskCx| Action::Run(1_000_000));
            spec.affinity = Some(CpuMask::of(CpuId(0)));
            m.spawn(spec);
        }
        m.run_until(50_000_000);
        let waiting = |m: &Machine| {
            let k = m.state();
            let root = k.ext.root_id().expect("a scheduler");
            [0, 1, 2, 3].map(|cpu| k.ext.dsqs[k.bypass_dsq(root, CpuId(cpu)) as usize].nr)
        };
        m.with_kernel(|k| {
            let root = k.ext.root_id().expect("a scheduler");
            bypass(k, root, true);
            let tasks: Vec<TaskId> = k.all_tasks();
            let named = tasks.into_iter().filter(|&p| k.task(p).comm.starts_with('t'));
            for p in named.collect::<Vec<_>>().into_iter().skip(pinned) {
                k.task_mut(p).set_cpus(CpuMask::first_n(4));
            }
        });
        assert_eq!(waiting(&m)[1..], [0, 0, 0]);
        m.run_until(600_000_000);
        let [own, beside, others @ ..] = waiting(&m);
        assert_eq!(others, [0, 0], "the balancer stays within a node");
        assert!(own >= pinned as u32 - 1 && beside > 60, "{own} {beside}");
        assert!(m.state().ext.exit_info.is_none());
    }
}
