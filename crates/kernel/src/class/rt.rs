//! The real-time class: SCHED_FIFO and SCHED_RR, with push and pull between CPUs.
//!
//! Real-time throttling and the deadline servers that protect lower classes are not modelled here.

use std::collections::VecDeque;

use crate::behavior::Policy;
use crate::class::{ClassId, Pick, deq, enq, wf};
use crate::core::migrate;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::rq::BalanceCallback;

/// Time slice of SCHED_RR [RR_TIMESLICE].
const RR_SLICE: Ns = 100_000_000;
const NR_PRIOS: usize = 100;

/// RT part of a task.
#[derive(Clone, Debug, Default)]
pub struct Entity {
    /// Time left of a SCHED_RR slice.
    slice_left: Ns,
    queued: bool,
    /// In the queue of its priority. A change that keeps its place leaves it there while it is not queued.
    on_list: bool,
}

/// RT part of a run queue: a queue for each priority, the running task included.
#[derive(Clone, Debug)]
pub struct RtRq {
    queues: Vec<VecDeque<TaskId>>,
    bits: u128,
    nr_running: u32,
    nr_round_robin: u32,
    nr_pushable: u32,
}

impl Default for RtRq {
    fn default() -> Self {
        RtRq { queues: vec![VecDeque::new(); NR_PRIOS], bits: 0, nr_running: 0, nr_round_robin: 0, nr_pushable: 0 }
    }
}

/// RT part of the machine.
#[derive(Clone, Debug, Default)]
pub struct Rt {
    /// Number of CPUs with more RT tasks than they can run [rto_count].
    overloaded: u32,
}

fn prio(k: &Kernel, p: TaskId) -> usize {
    k.task(p).prio as usize
}

fn set_bit(k: &mut Kernel, cpu: CpuId, prio: usize) {
    let rq = &mut k.rqs[cpu].rt;
    if rq.queues[prio].is_empty() { rq.bits &= !(1 << prio) } else { rq.bits |= 1 << prio }
}

/// Highest waiting or running priority of a CPU, 100 if it has no RT task.
fn highest_prio(k: &Kernel, cpu: CpuId) -> usize {
    (k.rqs[cpu].rt.bits.trailing_zeros() as usize).min(NR_PRIOS)
}

impl RtRq {
    /// Runnable RT tasks.
    pub fn nr_running(&self) -> u32 {
        self.nr_running
    }

    /// Those of them whose policy is SCHED_RR.
    pub fn nr_round_robin(&self) -> u32 {
        self.nr_round_robin
    }

    fn overloaded(&self) -> bool {
        self.nr_running > 1 && self.nr_pushable > 0
    }
}

fn count(k: &mut Kernel, cpu: CpuId, p: TaskId, delta: i32) {
    let round_robin = matches!(k.task(p).policy, Policy::RoundRobin(_));
    let pushable = if k.task(p).nr_cpus_allowed > 1 { delta } else { 0 };
    k.rqs[cpu].nr_running = k.rqs[cpu].nr_running.wrapping_add_signed(delta);
    let rt = &mut k.rqs[cpu].rt;
    let was = rt.overloaded();
    rt.nr_running = rt.nr_running.wrapping_add_signed(delta);
    rt.nr_round_robin = rt.nr_round_robin.wrapping_add_signed(if round_robin { delta } else { 0 });
    rt.nr_pushable = rt.nr_pushable.wrapping_add_signed(pushable);
    match (was, rt.overloaded()) {
        (false, true) => k.rt.overloaded += 1,
        (true, false) => k.rt.overloaded -= 1,
        _ => {}
    }
}

/// Does a change with these flags (of the dequeue, or of the enqueue after it) cost the task its place in the queue? Saving it
/// without moving it does not [move_entity].
fn moves(flags: u64) -> bool {
    const { assert!(deq::SAVE == enq::RESTORE && deq::MOVE == enq::MOVE) };
    flags & (deq::SAVE | deq::MOVE) != deq::SAVE
}

pub(crate) fn enqueue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) {
    if !k.task(p).rt.on_list {
        let prio = prio(k, p);
        let queue = &mut k.rqs[cpu].rt.queues[prio];
        match flags & enq::HEAD {
            0 => queue.push_back(p),
            _ => queue.push_front(p),
        }
        set_bit(k, cpu, prio);
    }
    let t = k.task_mut(p);
    (t.rt.queued, t.rt.on_list) = (true, true);
    if t.rt.slice_left == 0 {
        t.rt.slice_left = RR_SLICE;
    }
    count(k, cpu, p, 1);
}

pub(crate) fn dequeue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) -> bool {
    if k.rqs[cpu].curr == p {
        k.update_curr_common(cpu);
    }
    if moves(flags) {
        let prio = prio(k, p);
        let queue = &mut k.rqs[cpu].rt.queues[prio];
        let at = queue.iter().position(|&q| q == p);
        debug_assert!(at.is_some(), "{p:?} is in the queue of its priority");
        at.map(|at| queue.remove(at));
        set_bit(k, cpu, prio);
        k.task_mut(p).rt.on_list = false;
    }
    k.task_mut(p).rt.queued = false;
    count(k, cpu, p, -1);
    true
}

pub(crate) fn yield_task(k: &mut Kernel, cpu: CpuId) {
    let curr = k.rqs[cpu].curr;
    requeue_tail(k, cpu, curr);
}

fn requeue_tail(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let prio = prio(k, p);
    let queue = &mut k.rqs[cpu].rt.queues[prio];
    if let Some(at) = queue.iter().position(|&q| q == p) {
        queue.remove(at);
        queue.push_back(p);
    }
}

pub(crate) fn wakeup_preempt(k: &mut Kernel, cpu: CpuId, p: TaskId, _flags: u64) {
    if k.task(p).prio < k.curr(cpu).prio {
        k.resched_curr(cpu);
    }
}

pub(crate) fn pick_task(k: &mut Kernel, cpu: CpuId) -> Pick {
    match k.rqs[cpu].rt.queues.get(highest_prio(k, cpu)).and_then(|q| q.front()) {
        Some(&p) => Pick::Task(p),
        None => Pick::None,
    }
}

pub(crate) fn put_prev_task(k: &mut Kernel, cpu: CpuId, _p: TaskId) {
    k.update_curr_common(cpu);
}

pub(crate) fn set_next_task(k: &mut Kernel, cpu: CpuId, p: TaskId, _first: bool) {
    k.set_exec_start(cpu, p);
    if k.rqs[cpu].rt.overloaded() {
        k.rqs[cpu].queue_balance_callback(BalanceCallback::PushRt);
    }
}

pub(crate) fn task_tick(k: &mut Kernel, cpu: CpuId) {
    k.update_curr_common(cpu);
    let curr = k.rqs[cpu].curr;
    if !matches!(k.task(curr).policy, Policy::RoundRobin(_)) {
        return;
    }
    let tick = k.config.tick_ns();
    let t = k.task_mut(curr);
    t.rt.slice_left = t.rt.slice_left.saturating_sub(tick);
    if t.rt.slice_left > 0 {
        return;
    }
    t.rt.slice_left = RR_SLICE;
    let prio = prio(k, curr);
    if k.rqs[cpu].rt.queues[prio].len() > 1 {
        requeue_tail(k, cpu, curr);
        k.resched_curr(cpu);
    }
}

/// How busy a CPU is with tasks of higher classes than fair: 0 with none, idle or not, then by real-time priority, 100 with a
/// deadline task [cpupri, convert_prio].
fn busyness(k: &Kernel, cpu: CpuId) -> usize {
    match k.rqs[cpu].dl.nr_running() {
        0 => NR_PRIOS - highest_prio(k, cpu),
        _ => NR_PRIOS,
    }
}

/// A CPU for `p` among those that have the least to do of higher classes, less than its own priority: that where it is, else this
/// one, else one after the other [find_lowest_rq, cpupri_find].
fn find_lowest_cpu(k: &mut Kernel, p: TaskId) -> Option<CpuId> {
    let t = k.task(p);
    let (at, own) = (t.cpu, NR_PRIOS - t.prio as usize);
    if t.nr_cpus_allowed == 1 {
        return None;
    }
    let usable: Vec<CpuId> = t.cpus.iter().filter(|&cpu| k.rqs[cpu].active).collect();
    let least = usable.iter().map(|&cpu| busyness(k, cpu)).min().filter(|&least| least < own)?;
    let lowest: CpuMask = usable.into_iter().filter(|&cpu| busyness(k, cpu) == least).collect();
    if lowest.test(at) {
        return Some(at);
    }
    let this = Some(k.this_cpu()).filter(|&cpu| lowest.test(cpu));
    for level in 0..k.fair.domains.of[at].len() {
        let d = &k.fair.domains.domains[k.fair.domains.of[at][level].dom];
        if !d.places {
            continue;
        }
        let span = d.span;
        let near = this.filter(|&cpu| span.test(cpu));
        if let Some(cpu) = near.or_else(|| k.any_distribute(&lowest.and(&span))) {
            return Some(cpu);
        }
    }
    this.or_else(|| k.any_distribute(&lowest))
}

/// Where `p` wakes or begins: where it was, unless a task runs there that it cannot preempt. Where a task that execs runs on is
/// not the class's affair [select_task_rq_rt].
pub(crate) fn select_task_rq(k: &mut Kernel, p: TaskId, prev: CpuId, flags: u64) -> CpuId {
    if flags & (wf::TTWU | wf::FORK) == 0 {
        return prev;
    }
    let curr = k.curr(prev);
    let must_move =
        matches!(curr.class, ClassId::Rt | ClassId::Stop) && (curr.nr_cpus_allowed < 2 || curr.prio <= k.task(p).prio);
    if !must_move {
        return prev;
    }
    let found = find_lowest_cpu(k, p).filter(|&cpu| (k.task(p).prio as usize) < highest_prio(k, cpu));
    found.unwrap_or(prev)
}

pub(crate) fn task_woken(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let curr = k.curr(cpu);
    if k.rqs[cpu].curr != p && !k.rqs[cpu].need_resched && curr.class >= ClassId::Rt && curr.prio <= k.task(p).prio {
        push_tasks(k, cpu);
    }
}

/// Pushes waiting RT tasks to CPUs where they run at once. Rq lock of `cpu` held; dropped and retaken.
pub(crate) fn push_tasks(k: &mut Kernel, cpu: CpuId) {
    for _ in 0..k.rqs[cpu].rt.nr_running {
        let Some(p) = next_pushable(k, cpu) else {
            return;
        };
        let Some(to) = find_lowest_cpu(k, p).filter(|&to| to != cpu) else {
            return;
        };
        if !migrate::move_waiting_task(k, cpu, p, to) {
            return;
        }
    }
}

/// Highest-priority RT task that waits on `cpu` and may go elsewhere.
fn next_pushable(k: &Kernel, cpu: CpuId) -> Option<TaskId> {
    let rq = &k.rqs[cpu];
    let movable = |p: &TaskId| *p != rq.curr && k.task(*p).nr_cpus_allowed > 1 && !k.task(*p).on_cpu;
    rq.rt.queues.iter().flatten().copied().find(movable)
}

/// Before a pick: if this CPU is about to run something lower than a waiting RT task elsewhere, that task comes here
/// [balance_rt, pull_rt_task].
pub(crate) fn balance(k: &mut Kernel, cpu: CpuId) {
    if k.rt.overloaded > 0 && k.curr(cpu).class <= ClassId::Rt {
        pull_tasks(k, cpu);
    }
}

/// Pulls RT tasks of higher priority than anything here. Rq lock of `cpu` held; dropped and retaken.
pub(crate) fn pull_tasks(k: &mut Kernel, cpu: CpuId) {
    if k.rt.overloaded == 0 {
        return;
    }
    for from in k.online.iter().collect::<Vec<_>>() {
        if from == cpu || !k.rqs[from].rt.overloaded() {
            continue;
        }
        let Some(p) = next_pushable(k, from) else {
            continue;
        };
        let wanted = k.task(p).cpus.test(cpu) && (k.task(p).prio as usize) < highest_prio(k, cpu);
        if wanted {
            migrate::pull_waiting_task(k, from, p, cpu);
        }
    }
}

pub(crate) fn switched_to(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if k.task(p).rt.queued && k.rqs[cpu].curr != p {
        if k.task(p).prio < k.curr(cpu).prio {
            k.resched_curr(cpu);
        }
        if k.rqs[cpu].rt.overloaded() {
            k.rqs[cpu].queue_balance_callback(BalanceCallback::PushRt);
        }
    }
}

pub(crate) fn prio_changed(k: &mut Kernel, cpu: CpuId, p: TaskId, old_prio: i32) {
    let new = k.task(p).prio;
    if k.rqs[cpu].curr == p {
        if new > old_prio {
            k.rqs[cpu].queue_balance_callback(BalanceCallback::PullRt);
            if highest_prio(k, cpu) < new as usize {
                k.resched_curr(cpu);
            }
        }
    } else if k.task(p).rt.queued && new < k.curr(cpu).prio {
        k.resched_curr(cpu);
    }
}
