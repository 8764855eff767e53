//! Entities come to a queue and leave it; the running one is accounted.

use crate::class::{Pick, deq, dl, enq};
use crate::core::core_sched;
use crate::executor::Kernel;
use crate::fair::entity::{CfsRq, Terms};
use crate::fair::vruntime::vdelta;
use crate::fair::{hrtick, load, mru, trigger};
use crate::ids::{CpuId, TaskId};
use crate::state::State;
use crate::task::{OnRq, Task, TaskState};

/// A queue and a task, both for writing.
pub(super) fn parts(s: &mut State, cpu: CpuId, p: TaskId) -> (&mut CfsRq, &mut Task) {
    let t = s.tasks[p.0 as usize].as_deref_mut();
    (&mut s.rqs[cpu].fair, t.expect("a task that has not been freed"))
}

/// The running entity, if it is queued.
#[inline]
pub(super) fn queued_curr(s: &State, cpu: CpuId) -> Option<(TaskId, Terms)> {
    let p = s.rqs[cpu].fair.curr?;
    let se = &s.task(p).se;
    se.on_rq.then(|| (p, se.terms()))
}

/// Accounts the running entity up to the queue's clock (rules 3.1, 3.2) [update_curr].
pub(crate) fn update_curr(k: &mut Kernel, cpu: CpuId) {
    let Some(p) = k.rqs[cpu].fair.curr else {
        return;
    };
    debug_assert_eq!(k.rqs[cpu].curr, p);
    let delta = k.update_curr_common(cpu);
    if delta == 0 {
        return;
    }
    let base_slice = k.fair.base_slice;
    let (q, t) = parts(k, cpu, p);
    let se = &mut t.se;
    se.vruntime += vdelta(delta, se.weight);
    let reached = se.renew_deadline(base_slice);
    if reached {
        q.avg_vruntime(se.on_rq.then(|| se.terms()));
    }
    if q.nr_queued > 1 && (reached || se.vruntime >= se.vprot) {
        k.resched_curr_lazy(cpu);
    }
    dl::update_server(k, cpu, dl::Which::Fair, delta);
}

/// A task comes to the queue (rule 4.6) [enqueue_task_fair, enqueue_entity].
pub(crate) fn enqueue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) {
    if flags & enq::DELAYED != 0 {
        return requeue_delayed(k, cpu, p);
    }
    let weight = load::wanted_weight(k, p);
    if k.task(p).se.weight != weight {
        k.task_mut(p).se.reweight(weight);
    }
    if !k.task(p).se.delayed {
        count_util_est(k, cpu, p);
    }
    let is_curr = k.rqs[cpu].fair.curr == Some(p);
    if is_curr {
        place(k, cpu, p, flags);
    }
    update_curr(k, cpu);
    load::attach(k, cpu, p);
    if !is_curr {
        place(k, cpu, p, flags);
    }
    let (q, t) = parts(k, cpu, p);
    account_enqueue(q, t);
    if flags & (enq::MIGRATED | enq::MIGRATING) != 0 {
        t.exec_start = 0;
    }
    if !is_curr {
        q.insert(p, &mut t.se);
    }
    t.se.on_rq = true;
    let idle_policy = u32::from(t.se.idle_policy);
    k.fair.nr_idle_policy += idle_policy;
    mru::push_head(k, cpu, p);
    if k.rqs[cpu].fair.nr_queued == 1 {
        dl::start_server(k, cpu, dl::Which::Fair);
    }
    k.rqs[cpu].nr_running += 1;
    trigger::note_overload(k, cpu);
    hrtick::update(k, cpu);
}

fn place(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) {
    let base_slice = k.fair.base_slice;
    let curr = queued_curr(k, cpu).map(|(_, t)| t);
    let (q, t) = parts(k, cpu, p);
    q.place(curr, &mut t.se, base_slice, flags & enq::INITIAL != 0);
}

/// [account_entity_enqueue]
fn account_enqueue(q: &mut CfsRq, t: &mut Task) {
    q.nr_queued += 1;
    q.nr_delayed += u32::from(t.se.delayed);
    q.load_weight += t.se.weight;
    t.se.idle_policy = t.policy == crate::behavior::Policy::Idle;
    q.nr_idle += u32::from(t.se.idle_policy);
}

/// [account_entity_dequeue]
fn account_dequeue(q: &mut CfsRq, t: &mut Task) {
    q.nr_queued -= 1;
    q.nr_delayed -= u32::from(t.se.delayed);
    q.load_weight -= t.se.weight;
    q.nr_idle -= u32::from(t.se.idle_policy);
}

fn count_util_est(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let (q, t) = parts(k, cpu, p);
    t.se.util_est.counted = t.se.util_est.value;
    q.avg.util_est += t.se.util_est.counted;
}

fn uncount_util_est(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let (q, t) = parts(k, cpu, p);
    q.avg.util_est -= std::mem::take(&mut t.se.util_est.counted);
}

/// A task that sleeps but is still queued wakes (rule 5.4) [requeue_delayed_entity].
fn requeue_delayed(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    debug_assert!(k.task(p).se.delayed);
    count_util_est(k, cpu, p);
    update_curr(k, cpu);
    let (base_slice, tick) = (k.fair.base_slice, k.config.tick_ns());
    let curr = queued_curr(k, cpu);
    let is_curr = curr.is_some_and(|(c, _)| c == p);
    let curr = curr.map(|(_, t)| t);
    load::update(k, cpu, p);
    let (q, t) = parts(k, cpu, p);
    q.record_lag(curr, &mut t.se, tick);
    if q.avg_vruntime(curr) - t.se.vlag != t.se.vruntime {
        if !is_curr {
            q.remove(&t.se);
        }
        account_dequeue(q, t);
        q.place(curr.filter(|_| !is_curr), &mut t.se, base_slice, false);
        account_enqueue(q, t);
        if !is_curr {
            q.insert(p, &mut t.se);
        }
    }
    t.se.delayed = false;
    q.nr_delayed -= 1;
}

/// A task leaves the queue, or stays as a delayed one (rules 4.3, 5.1) [dequeue_task_fair]. False: it stays.
pub(crate) fn dequeue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) -> bool {
    update_curr(k, cpu);
    let t = k.task(p);
    if t.se.delayed {
        if flags & deq::CLASS != 0 {
            finish_delayed(k, cpu, p);
        } else {
            remove_entity(k, cpu, p, false);
        }
        return true;
    }
    let sleep = flags & deq::SLEEP != 0;
    let exempt = t.state == TaskState::Dead;
    uncount_util_est(k, cpu, p);
    if sleep {
        load::update(k, cpu, p);
        let se = &mut k.task_mut(p).se;
        se.util_est.sleep(&se.avg);
    }
    if sleep && !exempt && delay(k, cpu, p) {
        return false;
    }
    remove_entity(k, cpu, p, sleep);
    hrtick::update(k, cpu);
    true
}

/// Keeps a task that goes to sleep with negative lag in the queue, if it has one.
fn delay(k: &mut Kernel, cpu: CpuId, p: TaskId) -> bool {
    let tick = k.config.tick_ns();
    let curr = queued_curr(k, cpu).map(|(_, t)| t);
    let (q, t) = parts(k, cpu, p);
    if q.eligible(curr, t.se.vruntime) {
        return false;
    }
    q.record_lag(curr, &mut t.se, tick);
    t.se.delayed = true;
    q.nr_delayed += 1;
    true
}

/// Takes an entity out of its queue [dequeue_entity].
fn remove_entity(k: &mut Kernel, cpu: CpuId, p: TaskId, sleep: bool) {
    if k.task(p).on_rq == OnRq::Migrating {
        load::detach(k, cpu, p);
    } else {
        load::update(k, cpu, p);
    }
    let tick = k.config.tick_ns();
    let curr = queued_curr(k, cpu).map(|(_, t)| t);
    let (q, t) = parts(k, cpu, p);
    q.record_lag(curr, &mut t.se, tick);
    if !sleep {
        t.se.deadline -= t.se.vruntime;
        t.se.rel_deadline = true;
    }
    if q.curr != Some(p) {
        q.remove(&t.se);
    }
    t.se.on_rq = false;
    account_dequeue(q, t);
    let idle_policy = u32::from(t.se.idle_policy);
    k.fair.nr_idle_policy -= idle_policy;
    mru::remove(k, cpu, p);
    let was_idle_only = is_idle_only(k, cpu);
    k.rqs[cpu].nr_running -= 1;
    if !was_idle_only && is_idle_only(k, cpu) {
        trigger::balance_soon(k, cpu); // rule 10.1
    }
}

/// Do only SCHED_IDLE tasks run on `cpu`? [sched_idle_rq]
pub(crate) fn is_idle_only(s: &State, cpu: CpuId) -> bool {
    let rq = &s.rqs[cpu];
    rq.nr_running > 0 && rq.nr_running == rq.fair.nr_idle
}

/// A delayed entity leaves for good (rule 5.3): its task sleeps.
pub(super) fn finish_delayed(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    remove_entity(k, cpu, p, true);
    let t = k.task_mut(p);
    t.se.delayed = false;
    t.on_rq = OnRq::No;
}

/// Picks an entity; a delayed one that comes up leaves, and the result is `None` (rule 2.5) [pick_next_entity].
pub(super) fn pick_entity(k: &mut Kernel, cpu: CpuId, protect: bool) -> Option<TaskId> {
    let p = k.rqs[cpu].fair.pick(queued_curr(k, cpu), protect)?;
    if k.task(p).se.delayed {
        finish_delayed(k, cpu, p);
        return None;
    }
    Some(p)
}

/// The task to run next (rule 2.7) [pick_task_fair].
pub(crate) fn pick_task(k: &mut Kernel, cpu: CpuId) -> Pick {
    loop {
        while k.rqs[cpu].fair.nr_queued > 0 {
            if queued_curr(k, cpu).is_some() {
                update_curr(k, cpu);
            }
            if let Some(p) = pick_entity(k, cpu, true) {
                return Pick::Task(p);
            }
        }
        load::sync_clock(k, cpu, true);
        if k.config.core_sched {
            return Pick::None; // a pick may be for another CPU
        }
        match trigger::newidle(k, cpu) {
            trigger::Newidle::Nothing => return Pick::None,
            trigger::Newidle::Retry => return Pick::Retry,
            trigger::Newidle::Pulled => {}
        }
    }
}

/// The running task stops running (rule 3.8) [put_prev_entity].
pub(crate) fn put_prev_task(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let queued = k.task(p).se.on_rq;
    if queued {
        update_curr(k, cpu);
        load::update(k, cpu, p);
    }
    let (q, t) = parts(k, cpu, p);
    q.curr = None;
    if queued {
        q.insert(p, &mut t.se);
    }
}

/// A task starts to run (rules 3.3, 3.8) [set_next_task_fair].
pub(crate) fn set_next_task(k: &mut Kernel, cpu: CpuId, p: TaskId, first: bool) {
    let queued = k.task(p).se.on_rq;
    if queued {
        load::update(k, cpu, p);
        mru::touch(k, cpu, p);
    }
    let (q, t) = parts(k, cpu, p);
    if queued {
        q.remove(&t.se);
    }
    q.curr = Some(p);
    if first {
        t.se.protect(q.tree.slices().map(|(lo, _)| lo));
    }
    k.set_exec_start(cpu, p);
    if first {
        hrtick::start(k, cpu);
    }
}

/// The tick (rule 3.5) [task_tick_fair].
pub(crate) fn task_tick(k: &mut Kernel, cpu: CpuId) {
    update_curr(k, cpu);
    let curr = k.rqs[cpu].curr;
    load::update(k, cpu, curr);
    core_sched::tick_fair(k, cpu, curr);
}

/// sched_yield (rule 6.9) [yield_task_fair].
pub(crate) fn yield_task(k: &mut Kernel, cpu: CpuId) {
    if k.rqs[cpu].nr_running == 1 {
        return;
    }
    update_curr(k, cpu);
    let Some((p, curr)) = queued_curr(k, cpu) else {
        return;
    };
    let base_slice = k.fair.base_slice;
    let (q, t) = parts(k, cpu, p);
    if q.eligible(Some(curr), curr.vruntime) {
        t.se.vruntime = t.se.deadline;
        t.se.renew_deadline(base_slice);
    }
}
