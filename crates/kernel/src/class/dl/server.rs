//! Deadline servers: a reservation by which each CPU serves its fair, and its ext, tasks, 50 ms each second, so that real-time
//! tasks do not starve them (10.3, E-132, E-152, E-153).
//!
//! A server is deferred: while its class gets as much by itself, it only counts. It comes into the queue when, at the very end
//! of its period, what it grants has not been had; then it is filled again each period, until its class has nothing to run.

use super::admission::fits;
use super::cbs::{self, Entity};
use super::queue::{Node, dequeue_entity, enqueue_entity, requeue};
use crate::class::{Pick, enq};
use crate::executor::{Kernel, NEVER};
use crate::ids::{CpuId, Ns};
use crate::lock::LockId;
use crate::{ext, fair};

/// What a server grants each period, ns.
const RUNTIME_NS: Ns = 50_000_000;
/// Its period, ns.
const PERIOD_NS: Ns = 1_000_000_000;
/// If there is more time than this to be lost yet, the timer is set again, ns [dl_server_min_res].
const MIN_RES_NS: Ns = 1_000_000;

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The fair class's [fair_server].
    Fair = 0,
    /// The extensible class's [ext_server].
    Ext = 1,
}

impl Which {
    /// Both.
    pub const ALL: [Which; 2] = [Which::Fair, Which::Ext];
}

/// What a server has beyond a task's reservation.
#[derive(Clone, Debug, Default)]
pub(super) struct Deferral {
    /// Its timer is to fire when it has no more time to lose [dl_defer_armed].
    pub(super) armed: bool,
    /// It has been needed: it is not deferred again as long as that goes on [dl_defer_running].
    pub(super) running: bool,
    /// The CPU has been idle for as long as would have been enough: if that goes on, it stops [dl_defer_idle].
    pub(super) idle: bool,
    /// Started and not stopped [dl_server_active].
    pub(super) active: bool,
    /// Its bandwidth is accounted [dl_bw_attached].
    pub(super) attached: bool,
}

impl Entity {
    /// A server, before it is started; its bandwidth is accounted if it is `attached`.
    pub(super) fn server(attached: bool) -> Entity {
        let mut e = Entity { server: Some(Deferral { attached, ..Deferral::default() }), ..Entity::default() };
        e.set_params(RUNTIME_NS, PERIOD_NS, PERIOD_NS);
        e
    }

    /// Of a server: is its bandwidth accounted?
    pub fn is_attached(&self) -> bool {
        self.server.as_ref().is_some_and(|d| d.attached)
    }
}

fn deferral(k: &mut Kernel, cpu: CpuId, which: Which) -> Option<&mut Deferral> {
    k.rqs[cpu].dl.servers[which as usize].server.as_mut()
}

/// The class of the server has a task on `cpu` [dl_server_start]. Rq lock held.
#[inline]
pub(crate) fn start(k: &mut Kernel, cpu: CpuId, which: Which) {
    let Some(d) = deferral(k, cpu, which) else { return };
    d.idle = false;
    if !d.active && d.attached {
        start_anew(k, cpu, which);
    }
}

#[cold]
fn start_anew(k: &mut Kernel, cpu: CpuId, which: Which) {
    crate::class::update_curr(k, cpu);
    if !k.online.test(cpu) {
        return;
    }
    if let Some(d) = deferral(k, cpu, which) {
        d.active = true;
    }
    enqueue_entity(k, cpu, Node::Server(which), enq::WAKEUP);
    requeue(k, cpu, Node::Server(which));
}

/// The class has nothing to run, or the CPU goes [dl_server_stop]. Rq lock held.
pub(crate) fn stop(k: &mut Kernel, cpu: CpuId, which: Which) {
    if deferral(k, cpu, which).is_none_or(|d| !d.active) {
        return;
    }
    let node = Node::Server(which);
    dequeue_entity(k, cpu, node);
    cbs::cancel_timer(k, cpu, node);
    cbs::set_deferred(cbs::entity(k, cpu, node), false);
    if let Some(d) = deferral(k, cpu, which) {
        (d.idle, d.active) = (false, false);
    }
}

/// The class ran for `delta` ns on `cpu` [dl_server_update].
#[inline]
pub(crate) fn update(k: &mut Kernel, cpu: CpuId, which: Which, delta: Ns) {
    let e = &mut k.rqs[cpu].dl.servers[which as usize];
    let Some(d) = e.server.as_mut().filter(|d| d.active) else { return };
    if e.runtime > delta as i64 {
        e.runtime -= delta as i64;
        d.idle = false;
    } else {
        cbs::account(k, cpu, Node::Server(which), delta);
    }
}

/// Idle time counts as time that the classes could have had [update_curr_idle].
pub(crate) fn update_idle(k: &mut Kernel, cpu: CpuId) {
    let (clock, idle) = (k.rqs[cpu].clock, k.rqs[cpu].idle);
    let t = k.task_mut(idle);
    let delta = clock.saturating_sub(t.exec_start);
    if delta == 0 {
        return;
    }
    t.exec_start = clock;
    for which in Which::ALL {
        if deferral(k, cpu, which).is_some_and(|d| d.active) {
            cbs::account(k, cpu, Node::Server(which), delta);
        }
    }
}

/// What the server grants was had without it: it is deferred by another period.
pub(super) fn not_needed(k: &mut Kernel, cpu: CpuId, node: Node, idle: bool) {
    let e = cbs::entity(k, cpu, node);
    let Some(d) = &mut e.server else { return };
    if d.idle && idle {
        e.runtime = 0; // its timer will stop it
        return;
    }
    (d.running, d.idle) = (false, idle);
    cbs::cancel_timer(k, cpu, node);
    cbs::begin_period(k, cpu, node);
    cbs::start_timer(k, cpu, node);
}

/// What `which` has to run on `cpu` [server_pick_task].
pub(super) fn pick(k: &mut Kernel, cpu: CpuId, which: Which) -> Pick {
    match which {
        Which::Fair => fair::pick_task(k, cpu),
        Which::Ext if k.ext.enabled() => ext::pick_task_for_server(k, cpu),
        Which::Ext => Pick::None,
    }
}

/// The interrupt for the timers of `cpu`'s servers comes when the first of them is due.
pub(super) fn set_timer(k: &mut Kernel, cpu: CpuId) {
    let at = k.rqs[cpu].dl.servers.iter().map(|e| e.timer).min().unwrap_or(NEVER);
    k.cpus[cpu].irq.servers = at;
    if cpu != k.this_cpu() && at != NEVER {
        let at = at.max(k.now());
        k.exec.bring_forward(cpu, at);
    }
}

/// The timer of a server of this CPU is due [dl_server_timer].
pub(crate) fn due(k: &mut Kernel, cpu: CpuId) {
    k.lock(LockId::Rq(cpu));
    let now = k.now();
    for which in Which::ALL {
        let e = &mut k.rqs[cpu].dl.servers[which as usize];
        if e.timer <= now {
            e.timer = NEVER;
            k.update_rq_clock(cpu);
            fire(k, cpu, which);
        }
    }
    set_timer(k, cpu);
    crate::class::run_balance_callbacks(k, cpu);
    ext::rq_clock_invalidate(k, cpu);
    k.unlock(LockId::Rq(cpu));
}

fn fire(k: &mut Kernel, cpu: CpuId, which: Which) {
    let node = Node::Server(which);
    if !cbs::entity(k, cpu, node).throttled {
        return;
    }
    crate::class::update_curr(k, cpu);
    if deferral(k, cpu, which).is_none_or(|d| d.idle) {
        return stop(k, cpu, which);
    }
    let clock = k.rqs[cpu].clock;
    let e = cbs::entity(k, cpu, node);
    if let Some(d) = e.server.as_mut().filter(|d| d.armed) {
        let zero_laxity = e.deadline.saturating_add_signed(-e.runtime);
        if clock + MIN_RES_NS < zero_laxity {
            e.timer = zero_laxity;
            return;
        }
        d.running = true;
    }
    cbs::refilled(k, cpu, node);
    super::push::push_tasks(k, cpu);
}

/// The server's bandwidth is accounted from now on; false: there is not so much [dl_server_attach_bw]. Rq lock held.
pub(crate) fn attach(k: &mut Kernel, cpu: CpuId, which: Which) -> bool {
    let e = &k.rqs[cpu].dl.servers[which as usize];
    if e.server.is_none() || e.is_attached() {
        return true;
    }
    let bandwidth = e.bandwidth();
    if k.rqs[cpu].active && !fits(k, 0, bandwidth) {
        return false;
    }
    if let Some(d) = deferral(k, cpu, which) {
        d.attached = true;
    }
    start(k, cpu, which);
    true
}

/// It is not any more [dl_server_detach_bw]. Rq lock held.
pub(crate) fn detach(k: &mut Kernel, cpu: CpuId, which: Which) {
    stop(k, cpu, which);
    if let Some(d) = deferral(k, cpu, which) {
        d.attached = false;
    }
}

/// One comes for the other [dl_server_swap_bw]. Rq lock held.
pub(crate) fn swap(k: &mut Kernel, cpu: CpuId, from: Which, to: Which) -> bool {
    detach(k, cpu, from);
    attach(k, cpu, to)
}
