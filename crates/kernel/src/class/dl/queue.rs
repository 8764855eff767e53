//! The queue of a CPU, ordered by deadline, and the hooks of the class.

use std::collections::BTreeMap;

use super::cbs::Entity;
use super::server::{Which, pick as pick_of_server};
use super::{cbs, push};
use crate::class::{ClassId, Pick, enq};
use crate::config::Servers;
use crate::executor::{Kernel, NEVER};
use crate::ids::{CpuId, Ns, TaskId};
use crate::lock::LockId;
use crate::rq::BalanceCallback;
use crate::state::State;
use crate::task::OnRq;

/// Runtime is not timed shorter than this, ns [hrtick_start].
const HRTICK_MIN_NS: Ns = 10_000;

/// Who has a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A task of the class.
    Task(TaskId),
    /// A server of the CPU.
    Server(Which),
}

/// Deadline part of a run queue. The running task stays in the queue.
#[derive(Clone, Debug, Default)]
pub struct DlRq {
    queue: BTreeMap<(Ns, u64), Node>,
    next_seq: u64,
    nr_tasks: u32,
    /// Servers of the fair and the extensible class.
    pub(super) servers: [Entity; 2],
}

impl DlRq {
    /// A queue with the servers that the kernel has, as they are at boot.
    pub(crate) fn new(servers: Servers) -> DlRq {
        let server = |there, attached| if there { Entity::server(attached) } else { Entity::default() };
        DlRq { servers: [server(servers.fair, true), server(servers.ext, !servers.exchanged)], ..DlRq::default() }
    }

    /// Tasks and servers that may run.
    pub fn nr_running(&self) -> usize {
        self.queue.len()
    }

    /// Tasks among them.
    pub fn nr_tasks(&self) -> u32 {
        self.nr_tasks
    }

    /// Earliest deadline here [earliest_dl.curr].
    pub(super) fn earliest(&self) -> Option<Ns> {
        self.queue.first_key_value().map(|(&(deadline, _), _)| deadline)
    }

    fn first(&self) -> Option<Node> {
        self.queue.first_key_value().map(|(_, &node)| node)
    }

    /// Tasks, the earliest deadline first.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.queue.values().filter_map(|&node| match node {
            Node::Task(p) => Some(p),
            Node::Server(_) => None,
        })
    }

    /// The server of a class.
    pub fn server(&self, which: Which) -> &Entity {
        &self.servers[which as usize]
    }
}

/// Is it the one with the earliest deadline?
pub(super) fn is_leftmost(k: &Kernel, cpu: CpuId, node: Node) -> bool {
    k.rqs[cpu].dl.first() == Some(node)
}

/// [__enqueue_dl_entity]
fn insert(k: &mut Kernel, cpu: CpuId, node: Node) {
    let dl = &mut k.rqs[cpu].dl;
    dl.next_seq += 1;
    let seq = dl.next_seq;
    let e = cbs::entity(k, cpu, node);
    debug_assert!(e.queued.is_none(), "{node:?} is in the queue twice");
    e.queued = Some(seq);
    let deadline = e.deadline;
    let rq = &mut k.rqs[cpu];
    rq.dl.queue.insert((deadline, seq), node);
    if let Node::Task(_) = node {
        rq.dl.nr_tasks += 1;
        rq.nr_running += 1;
        k.dl.nr_queued += 1;
    }
}

/// It leaves the queue, if it is there [__dequeue_dl_entity]. Its deadline has not changed since it came.
pub(super) fn dequeue_entity(k: &mut Kernel, cpu: CpuId, node: Node) {
    let e = cbs::entity(k, cpu, node);
    let Some(seq) = e.queued.take() else { return };
    let deadline = e.deadline;
    let rq = &mut k.rqs[cpu];
    let left = rq.dl.queue.remove(&(deadline, seq));
    debug_assert_eq!(left, Some(node));
    if let Node::Task(_) = node {
        rq.dl.nr_tasks -= 1;
        rq.nr_running -= 1;
        k.dl.nr_queued -= 1;
    }
}

/// [enqueue_dl_entity] Rq lock held.
pub(super) fn enqueue_entity(k: &mut Kernel, cpu: CpuId, node: Node, flags: u64) {
    cbs::check_constrained(k, cpu, node);
    let clock = k.rqs[cpu].clock;
    let e = cbs::entity(k, cpu, node);
    if e.server.is_none() && e.throttled && flags & enq::REPLENISH == 0 {
        return; // its timer will see to it
    }
    if flags & enq::WAKEUP != 0 {
        e.wake(clock);
    } else if flags & enq::REPLENISH != 0 {
        cbs::replenish(k, cpu, node);
    } else if flags & (enq::MOVE | enq::INITIAL) != 0 {
        e.renew_if_late(clock);
    }
    if cbs::entity(k, cpu, node).throttled {
        if cbs::start_timer(k, cpu, node) {
            return;
        }
        cbs::cancel_timer(k, cpu, node);
        cbs::set_deferred(cbs::entity(k, cpu, node), false);
    }
    insert(k, cpu, node);
}

pub(crate) fn enqueue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, flags: u64) {
    enqueue_entity(k, cpu, Node::Task(p), flags);
}

pub(crate) fn dequeue_task(k: &mut Kernel, cpu: CpuId, p: TaskId) -> bool {
    if k.rqs[cpu].curr == p {
        update_curr(k, cpu);
    }
    dequeue_entity(k, cpu, Node::Task(p));
    true
}

/// The running task is accounted, if it has runtime left [update_curr_dl].
pub(crate) fn update_curr(k: &mut Kernel, cpu: CpuId) {
    let curr = k.rqs[cpu].curr;
    if k.task(curr).dl.queued.is_some() {
        let delta = k.update_curr_common(cpu);
        cbs::account(k, cpu, Node::Task(curr), delta);
    }
}

/// The task gives up what is left of its runtime until its next period [yield_task_dl].
pub(crate) fn yield_task(k: &mut Kernel, cpu: CpuId) {
    let curr = k.rqs[cpu].curr;
    k.task_mut(curr).dl.yielded = true;
    update_curr(k, cpu);
}

/// Does `a` have an earlier deadline than `b`? [dl_entity_preempt]
pub(super) fn earlier(s: &State, a: TaskId, b: TaskId) -> bool {
    s.task(a).dl.deadline < s.task(b).dl.deadline
}

pub(crate) fn wakeup_preempt(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let curr = k.rqs[cpu].curr;
    if k.task(p).class != ClassId::Dl || k.task(curr).class != ClassId::Dl {
        return;
    }
    if earlier(k, p, curr) {
        k.resched_curr(cpu);
    } else if !earlier(k, curr, p) && !k.rqs[cpu].need_resched {
        // The same deadline: the new one comes first if the running task can go elsewhere, and it cannot [check_preempt_equal_dl].
        let stays = |p| k.task(p).nr_cpus_allowed == 1 || push::find_later_cpu(k, p).is_none();
        if !stays(curr) && stays(p) {
            k.resched_curr(cpu);
        }
    }
}

/// Deadline of the first of `cpu`'s tasks and servers; the end of time where there is none.
pub(crate) fn first_deadline(k: &Kernel, cpu: CpuId) -> Ns {
    k.rqs[cpu].dl.queue.first_key_value().map_or(NEVER, |(&(deadline, _), _)| deadline)
}

/// The task to run next [pick_task_dl]. Rq lock held; a server's class may drop and retake it.
pub(crate) fn pick_task(k: &mut Kernel, cpu: CpuId) -> Pick {
    while let Some(node) = k.rqs[cpu].dl.first() {
        let which = match node {
            Node::Task(p) => return Pick::Task(p),
            Node::Server(which) => which,
        };
        match pick_of_server(k, cpu, which) {
            Pick::None => super::server::stop(k, cpu, which),
            pick => return pick,
        }
    }
    Pick::None
}

pub(crate) fn put_prev_task(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    debug_assert_eq!(k.rqs[cpu].curr, p);
    update_curr(k, cpu);
    if cpu == k.this_cpu() {
        k.cpus[cpu].irq.hrtick = NEVER;
    }
}

pub(crate) fn set_next_task(k: &mut Kernel, cpu: CpuId, p: TaskId, first: bool) {
    k.set_exec_start(cpu, p);
    if !first {
        return;
    }
    if k.dl.nr_queued > 1 {
        k.rqs[cpu].queue_balance_callback(BalanceCallback::PushDl);
    }
    start_hrtick(k, cpu, p);
}

/// The end of the runtime is timed where slices are [start_hrtick_dl].
fn start_hrtick(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if k.config.hrtick && cpu == k.this_cpu() {
        let left = Ns::try_from(k.task(p).dl.runtime).unwrap_or(0).max(HRTICK_MIN_NS);
        k.cpus[cpu].irq.hrtick = k.rqs[cpu].clock.max(k.now()) + left;
    }
}

/// A tick, or the end of the runtime, hit the running task [task_tick_dl].
pub(crate) fn task_tick(k: &mut Kernel, cpu: CpuId, timed: bool) {
    update_curr(k, cpu);
    let curr = k.rqs[cpu].curr;
    if timed && k.task(curr).dl.runtime > 0 && is_leftmost(k, cpu, Node::Task(curr)) {
        start_hrtick(k, cpu, curr);
    }
}

/// The timer of a task is due: it has new runtime [dl_task_timer].
pub(crate) fn task_timer(k: &mut Kernel, p: TaskId, seq: u64) {
    if k.find_task(p).is_none_or(|t| t.dl.timer_seq != seq || t.dl.timer == NEVER) {
        return;
    }
    let cpu = k.lock_task_rq(p);
    if k.task(p).dl.timer_seq == seq {
        k.task_mut(p).dl.timer = NEVER;
        k.update_rq_clock(cpu);
        let t = k.task(p);
        match () {
            () if t.class != ClassId::Dl || !t.dl.throttled => {}
            () if t.on_rq != OnRq::Queued => cbs::replenish(k, cpu, Node::Task(p)),
            () => {
                cbs::refilled(k, cpu, Node::Task(p));
                push::push_tasks(k, cpu);
            }
        }
        crate::class::run_balance_callbacks(k, cpu);
    }
    crate::ext::rq_clock_invalidate(k, cpu);
    k.unlock(LockId::Rq(cpu));
}

/// It is back in the queue: whom does it preempt?
pub(super) fn requeue(k: &mut Kernel, cpu: CpuId, node: Node) {
    let deadline = cbs::entity(k, cpu, node).deadline;
    let curr = k.curr(cpu);
    if curr.class != ClassId::Dl || deadline < curr.dl.deadline {
        k.resched_curr(cpu);
    }
}

pub(crate) fn switched_to(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let curr = k.rqs[cpu].curr;
    if k.task(p).dl.queued.is_none() || curr == p {
        return;
    }
    if k.task(p).nr_cpus_allowed > 1 && k.rqs[cpu].dl.nr_tasks > 1 {
        k.rqs[cpu].queue_balance_callback(BalanceCallback::PushDl);
    }
    match k.task(curr).class {
        ClassId::Dl => wakeup_preempt(k, cpu, p),
        _ => k.resched_curr(cpu),
    }
}

/// Its parameters, and with them perhaps its deadline, changed [prio_changed_dl].
pub(crate) fn prio_changed(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if k.task(p).dl.queued.is_none() {
        return;
    }
    k.rqs[cpu].queue_balance_callback(BalanceCallback::PullDl);
    if !is_leftmost(k, cpu, Node::Task(k.rqs[cpu].curr)) {
        k.resched_curr(cpu);
    }
}
