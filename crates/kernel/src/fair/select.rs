//! On which CPU a task that wakes, is born or execs should run (section 7) [select_task_rq_fair].

use crate::behavior::Policy;
use crate::class::wf;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::fair::stats::{is_idle_core, is_idle_cpu};
use crate::fair::{idlest, load, queue};
use crate::ids::{CpuId, TaskId};
use crate::state::State;

/// How long a waker's switching between wakees counts.
const FLIP_DECAY_NS: u64 = 1_000_000_000;

/// [select_task_rq_fair] pi_lock held, no rq lock.
pub(crate) fn select_task_rq(k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64) -> CpuId {
    let this = k.this_cpu();
    let wakeup = wake_flags & wf::TTWU != 0;
    let sync = wake_flags & wf::SYNC != 0 && !k.curr(this).is_exiting();
    let mut want_affine = false;
    if wakeup {
        record_wakee(k, this, p);
        let allowed = k.task(p).cpus.test(this);
        if wake_flags & wf::CURRENT_CPU != 0 && allowed {
            return this;
        }
        want_affine = allowed && !wake_wide(k, this, p);
    }
    let mut target = prev;
    let mut slow = None;
    for at in 0..k.fair.domains.of[this].len() {
        let d = &k.fair.domains.domains[k.fair.domains.of[this][at].dom];
        let (places, pct) = (d.places, d.imbalance_pct);
        if want_affine && places && d.span.test(prev) {
            if this != prev {
                target = wake_affine(k, p, this, prev, sync, pct);
            }
            break;
        }
        if !wakeup && places {
            slow = Some(at);
        } else if !want_affine {
            break;
        }
    }
    match slow {
        Some(at) => idlest::find_dst_cpu(k, p, this, prev, at),
        None if wakeup => select_idle_sibling(k, p, prev, target),
        None => target,
    }
}

/// Counts how often a waker changes its wakee (rule 7.3) [record_wakee].
fn record_wakee(k: &mut Kernel, this: CpuId, p: TaskId) {
    let (now, curr) = (k.now(), k.rqs[this].curr);
    let w = &mut k.task_mut(curr).se.wakee;
    if now > w.decayed_at + FLIP_DECAY_NS {
        w.flips >>= 1;
        w.decayed_at = now;
    }
    if w.last != Some(p) {
        w.last = Some(p);
        w.flips += 1;
    }
}

fn is_wide(waker: u32, wakee: u32, llc_size: u32) -> bool {
    let (a, b) = (waker.max(wakee), waker.min(wakee));
    b >= llc_size && u64::from(a) >= u64::from(b) * u64::from(llc_size)
}

/// Do waker and wakee have too many partners to be kept together? (rule 7.4) [wake_wide]
fn wake_wide(s: &State, this: CpuId, p: TaskId) -> bool {
    let llc = s.fair.domains.llc[this];
    let size = llc.map_or(1, |d| s.fair.domains.domains[d].weight as u32);
    is_wide(s.curr(this).se.wakee.flips, s.task(p).se.wakee.flips, size)
}

fn shares_llc(s: &State, a: CpuId, b: CpuId) -> bool {
    s.topology.cpus[a].llc == s.topology.cpus[b].llc
}

/// The waker's CPU or the task's last one (rule 7.6) [wake_affine].
fn wake_affine(k: &State, p: TaskId, this: CpuId, prev: CpuId, sync: bool, pct: u64) -> CpuId {
    let this_idle = is_idle_cpu(k, this);
    let prev_idle = is_idle_cpu(k, prev);
    if this_idle && shares_llc(k, this, prev) {
        return if prev_idle { prev } else { this };
    }
    let rq = &k.rqs[this];
    if sync && rq.nr_running - rq.fair.nr_delayed == 1 {
        return this;
    }
    if prev_idle {
        return prev;
    }
    if affine_by_weight(k, p, this, prev, sync, pct) { this } else { prev }
}

/// [wake_affine_weight]
fn affine_by_weight(k: &State, p: TaskId, this: CpuId, prev: CpuId, sync: bool, pct: u64) -> bool {
    let mut this_load = load::cpu_load(k, this) as i64;
    if sync {
        let curr = load::task_load(k, k.rqs[this].curr) as i64;
        if curr > this_load {
            return true;
        }
        this_load -= curr;
    }
    let own = load::task_load(k, p) as i64;
    let capacity = |c| load::capacity_of(k, c) as i64;
    let here = (this_load + own) * 100 * capacity(prev);
    let bias = 100 + (pct as i64 - 100) / 2;
    let there = (load::cpu_load(k, prev) as i64 - own) * bias * capacity(this);
    here < there + i64::from(sync)
}

/// Idle for `p`: nothing runs, or only SCHED_IDLE tasks while `p` is none.
#[inline]
fn is_idle_for(s: &State, cpu: CpuId, idle_policy: bool) -> bool {
    is_idle_cpu(s, cpu) || (!idle_policy && queue::is_idle_only(s, cpu))
}

/// An idle CPU near `target` (rule 7.7) [select_idle_sibling].
fn select_idle_sibling(k: &mut Kernel, p: TaskId, prev: CpuId, target: CpuId) -> CpuId {
    let mut scanned = 1;
    let cpu = near_idle(k, p, prev, target, &mut scanned);
    let cost = k.cost.select_cpu_scan;
    k.charge(cost * scanned);
    cpu
}

fn near_idle(k: &mut Kernel, p: TaskId, prev: CpuId, target: CpuId, scanned: &mut u64) -> CpuId {
    let idle_policy = k.task(p).policy == Policy::Idle;
    if is_idle_for(k, target, idle_policy) {
        return target;
    }
    *scanned += 1;
    if prev != target && shares_llc(k, prev, target) && is_idle_for(k, prev, idle_policy) {
        return prev;
    }
    let this = k.this_cpu();
    if prev == this && k.rqs[this].nr_running <= 1 && k.curr(this).is_per_cpu_kthread() {
        return prev;
    }
    let recent = std::mem::replace(&mut k.task_mut(p).se.recent_used_cpu, prev);
    if recent != prev && recent != target && shares_llc(k, recent, target) {
        *scanned += 1;
        if is_idle_for(k, recent, idle_policy) && k.task(p).cpus.test(recent) {
            return recent;
        }
    }
    let Some(llc) = k.fair.domains.llc[target] else {
        return target;
    };
    let has_idle_core = k.fair.domains.domains[llc].has_idle_core;
    if k.topology.has_smt() && !has_idle_core && shares_llc(k, prev, target) {
        let found = idle_sibling_of(k, p, prev, idle_policy, scanned);
        if let Some(cpu) = found {
            return cpu;
        }
    }
    select_idle_cpu(k, p, llc, target, idle_policy, scanned).unwrap_or(target)
}

/// First idle thread of `prev`'s core [select_idle_smt].
fn idle_sibling_of(s: &State, p: TaskId, prev: CpuId, idle_policy: bool, scanned: &mut u64) -> Option<CpuId> {
    let cpus = &s.task(p).cpus;
    let core = &s.fair.domains.cores[s.topology.cpus[prev].core as usize];
    core.iter().copied().find(|&c| {
        *scanned += 1;
        c != prev && cpus.test(c) && is_idle_for(s, c, idle_policy)
    })
}

/// The words of both masks' intersection, starting with that of CPU `from` and ending with the rest of it: the CPUs in
/// ascending order from there, wrapping. Each comes with the number of its lowest CPU.
fn words_from<'a>(a: &'a CpuMask, b: &'a CpuMask, from: u32, nr_cpus: usize) -> impl Iterator<Item = (u32, u64)> + 'a {
    let n = nr_cpus.div_ceil(64);
    let start = (from / 64) as usize % n;
    let low = (1u64 << (from % 64)) - 1;
    (0..=n).filter_map(move |i| {
        let at = (start + i) % n;
        let mut w = a.words()[at] & b.words()[at];
        if i == 0 {
            w &= !low;
        } else if i == n {
            w &= low;
        }
        (w != 0).then_some(((at * 64) as u32, w))
    })
}

/// CPUs whose bits are set, ascending.
fn bits(base: u32, mut w: u64) -> impl Iterator<Item = CpuId> {
    std::iter::from_fn(move || {
        let bit = (w != 0).then(|| w.trailing_zeros())?;
        w &= w - 1;
        Some(CpuId(base + bit))
    })
}

/// Looks for an idle core or CPU in an LLC (rule 7.8) [select_idle_cpu].
fn select_idle_cpu(
    k: &mut Kernel,
    p: TaskId,
    llc: usize,
    target: CpuId,
    idle_policy: bool,
    scanned: &mut u64,
) -> Option<CpuId> {
    let s: &State = k;
    let d = &s.fair.domains.domains[llc];
    if d.nr_idle_scan == 0 {
        return None;
    }
    let words = words_from(&d.span, &s.task(p).cpus, target.0 + 1, s.nr_cpus());
    if !d.has_idle_core {
        return find_idle_cpu(s, words, d.nr_idle_scan, idle_policy, scanned);
    }
    let (core, any) = find_idle_core(s, words, idle_policy, scanned);
    if core.is_none() {
        k.fair.domains.domains[llc].has_idle_core = false;
    }
    core.or(any)
}

/// The first idle candidate, among the first `left` ones.
fn find_idle_cpu(
    s: &State,
    words: impl Iterator<Item = (u32, u64)>,
    mut left: u32,
    idle_policy: bool,
    scanned: &mut u64,
) -> Option<CpuId> {
    // Where no SCHED_IDLE task is queued anywhere, CPUs that run something need not be looked at one by one.
    let by_one = !idle_policy && s.fair.nr_idle_policy > 0;
    for (base, w) in words {
        let looked_at = if by_one { w } else { w & s.fair.idle.words()[base as usize / 64] };
        for cpu in bits(base, looked_at) {
            let before = (w & ((1 << (cpu.0 % 64)) - 1)).count_ones();
            if before >= left {
                break;
            }
            if is_idle_for(s, cpu, idle_policy) {
                *scanned += u64::from(before) + 1;
                return Some(cpu);
            }
        }
        let n = w.count_ones().min(left);
        *scanned += u64::from(n);
        left -= n;
        if left == 0 {
            return None;
        }
    }
    None
}

/// The first candidate whose whole core is idle, and the first idle candidate [select_idle_core].
fn find_idle_core(
    s: &State,
    words: impl Iterator<Item = (u32, u64)>,
    idle_policy: bool,
    scanned: &mut u64,
) -> (Option<CpuId>, Option<CpuId>) {
    let mut any = None;
    let mut struck = CpuMask::EMPTY;
    for cpu in words.flat_map(|(base, w)| bits(base, w)) {
        if struck.test(cpu) {
            continue;
        }
        *scanned += 1;
        if is_idle_core(s, cpu) {
            return (Some(cpu), any);
        }
        let core = &s.fair.domains.cores[s.topology.cpus[cpu].core as usize];
        core.iter().for_each(|&c| struck.set(c));
        if any.is_none() && is_idle_for(s, cpu, idle_policy) {
            any = Some(cpu);
        }
    }
    (None, any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_wakers_are_those_with_many_partners_on_both_sides() {
        for (waker, wakee, llc, wide) in
            [(0, 0, 8, false), (100, 7, 8, false), (64, 8, 8, true), (8, 64, 8, true), (63, 8, 8, false)]
        {
            assert_eq!(is_wide(waker, wakee, llc), wide, "{waker} {wakee} {llc}");
        }
    }

    #[test]
    fn scans_ascend_from_the_target_and_wrap() {
        let a = CpuMask::parse("0-3,62-66,1000,1023").unwrap();
        let b = CpuMask::parse("1-64,1000-1023").unwrap();
        let order =
            |from| words_from(&a, &b, from, 1024).flat_map(|(at, w)| bits(at, w)).map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(order(0), [1, 2, 3, 62, 63, 64, 1000, 1023]);
        assert_eq!(order(3), [3, 62, 63, 64, 1000, 1023, 1, 2]);
        assert_eq!(order(63), [63, 64, 1000, 1023, 1, 2, 3, 62]);
        assert_eq!(order(1024), [1, 2, 3, 62, 63, 64, 1000, 1023]);
    }
}
