//! Core scheduling: the hardware threads of a core run only tasks that trust each other, which is to say that have the same cookie;
//! a thread that has no such task is kept idle although others wait on it [CONFIG_SCHED_CORE].
//!
//! The run queues of a core's threads have one lock ([`State::rq_lead`]). Whoever picks, picks for all threads of its core: the task
//! of highest priority decides the cookie, and the other threads get what fits. They find their picks when they are rescheduled,
//! unless anything has come to or left the core's queues meanwhile.

use std::cmp::Ordering;

use crate::class::{self, ClassId, dl, enq};
use crate::executor::Kernel;
use crate::ext;
use crate::ids::{CpuId, Ns, PerCpu, TaskId};
use crate::lock::LockId;
use crate::rq::BalanceCallback;
use crate::state::State;
use crate::task::OnRq;
use crate::topology::Topology;

/// What is one per core; kept at the first of its CPUs.
#[derive(Clone, Copy, Debug, Default)]
struct Core {
    /// Counts changes of the queues, and picks [core_task_seq].
    task_seq: u64,
    /// Which of them the last pick was of [core_pick_seq].
    pick_seq: u64,
    /// Cookie of what runs [core_cookie].
    cookie: u64,
    /// Threads that are idle though tasks wait on them [core_forceidle_count].
    forced_idle: u32,
    /// Counts the times at which that began [core_forceidle_seq].
    forced_idle_seq: u64,
}

/// What is one per CPU.
#[derive(Clone, Debug, Default)]
struct Thread {
    /// What somebody else has picked for it [core_pick].
    pick: Option<TaskId>,
    /// The pick that it has carried out [core_sched_seq].
    sched_seq: u64,
    /// Tasks with a cookie on its run queue, the running one included, by cookie, then the first to run first [core_tree].
    tasks: Vec<TaskId>,
    /// Where the fair class's virtual time stood when threads were last made comparable [zero_vruntime_fi], and in which stretch of
    /// forced idleness [forceidle_seq].
    fair_zero: i64,
    fair_seq: u64,
}

/// Core scheduling's part of the machine.
#[derive(Clone, Debug)]
pub(crate) struct CoreSched {
    /// For each CPU the one whose lock its run queue has.
    leads: PerCpu<CpuId>,
    cores: PerCpu<Core>,
    threads: PerCpu<Thread>,
}

impl CoreSched {
    pub(crate) fn new(t: &Topology, on: bool) -> CoreSched {
        let n = t.nr_cpus();
        let lead = |cpu| if on { t.smt_mask(cpu).first().unwrap_or(cpu) } else { cpu };
        CoreSched {
            leads: PerCpu::new(n, lead),
            cores: PerCpu::new(n, |_| Core::default()),
            threads: PerCpu::new(n, |_| Thread::default()),
        }
    }
}

/// A task that a thread could run.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    task: TaskId,
    /// Deadline of the server that offers it [p->dl_server].
    served_until: Option<Ns>,
}

impl State {
    /// The CPU whose lock the run queue of `cpu` has: its own, but with core scheduling [rq_lockp].
    #[inline]
    pub(crate) fn rq_lead(&self, cpu: CpuId) -> CpuId {
        self.core_sched.leads[cpu]
    }

    /// Does somebody hold the lock of this run queue?
    pub(crate) fn is_rq_locked(&self, cpu: CpuId) -> bool {
        self.rqs[self.rq_lead(cpu)].lock.owner().is_some()
    }
}

impl Kernel {
    fn core(&mut self, cpu: CpuId) -> &mut Core {
        let lead = self.rq_lead(cpu);
        &mut self.core_sched.cores[lead]
    }

    /// Threads of the core that are online, in order of CPUs.
    fn threads_of(&self, cpu: CpuId) -> Vec<CpuId> {
        self.topology.smt_mask(cpu).and(&self.online).iter().collect()
    }

    /// Gives a task a cookie; 0: none [sched_core_update_cookie].
    pub(crate) fn set_core_cookie(&mut self, p: TaskId, cookie: u64) {
        if !self.config.core_sched {
            return;
        }
        if self.find_task(p).is_none() {
            return;
        }
        let cpu = self.lock_task_rq(p);
        self.update_rq_clock(cpu);
        self.core(cpu).task_seq += 1; // it may be what another thread is to run
        forget(self, cpu, p);
        self.task_mut(p).core_cookie = cookie;
        if self.task(p).on_rq == OnRq::Queued && !self.task(p).se.delayed {
            remember(self, cpu, p);
        }
        if self.rqs[cpu].curr == p {
            self.resched_curr(cpu);
        }
        ext::rq_clock_invalidate(self, cpu);
        self.unlock(LockId::Rq(cpu));
    }
}

/// `p` has come to the run queue of `cpu` [sched_core_enqueue].
pub(crate) fn enqueue(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if !k.task(p).se.delayed {
        k.core(cpu).task_seq += 1;
        remember(k, cpu, p);
    }
}

/// `p` leaves the run queue of `cpu`; `save`: for a moment [sched_core_dequeue].
pub(crate) fn dequeue(k: &mut Kernel, cpu: CpuId, p: TaskId, save: bool) {
    if k.task(p).se.delayed {
        return;
    }
    k.core(cpu).task_seq += 1;
    forget(k, cpu, p);
    // The last one leaves a thread that was kept idle: it no longer is.
    if !save && k.rqs[cpu].nr_running == 1 && k.core(cpu).forced_idle > 0 && k.rqs[cpu].is_idle() {
        k.resched_curr(cpu);
    }
}

/// Puts a task with a cookie in its place in the order.
fn remember(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if k.task(p).core_cookie == 0 {
        return;
    }
    // Nobody else sees the list meanwhile: the core's lock is held, also where a scheduler is asked for its order.
    let mut tasks = std::mem::take(&mut k.core_sched.threads[cpu].tasks);
    let (mut lo, mut hi) = (0, tasks.len());
    while lo < hi {
        let mid = lo.midpoint(hi);
        match comes_before(k, p, tasks[mid]) {
            true => hi = mid,
            false => lo = mid + 1,
        }
    }
    tasks.insert(lo, p);
    k.core_sched.threads[cpu].tasks = tasks;
}

fn forget(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    k.core_sched.threads[cpu].tasks.retain(|&q| q != p);
}

/// [__sched_core_less]
fn comes_before(k: &mut Kernel, a: TaskId, b: TaskId) -> bool {
    match k.task(a).core_cookie.cmp(&k.task(b).core_cookie) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => {
            let forced = k.core(k.task(a).cpu).forced_idle > 0;
            let of = |task| Candidate { task, served_until: None };
            prio_less(k, of(b), of(a), forced)
        }
    }
}

/// Rank of a task among classes, the least first (E-41) [__task_prio].
fn rank(k: &Kernel, c: Candidate) -> i32 {
    let t = k.task(c.task);
    match t.class {
        _ if c.served_until.is_some() => -1,
        ClassId::Stop => -2,
        ClassId::Dl => -1,
        ClassId::Rt => t.prio,
        ClassId::Fair => 119,
        ClassId::Ext => 120,
        ClassId::Idle => 140,
    }
}

/// Is `b` to run rather than `a`? [prio_less]
fn prio_less(k: &mut Kernel, a: Candidate, b: Candidate, forced: bool) -> bool {
    let (of_a, of_b) = (rank(k, a), rank(k, b));
    if of_a != of_b {
        return of_a > of_b;
    }
    match of_a {
        -1 => {
            let deadline = |c: Candidate| c.served_until.unwrap_or_else(|| k.task(c.task).dl.deadline());
            deadline(a) >= deadline(b)
        }
        119 => fair_less(k, a.task, b.task, forced),
        120 => ext::core_prio_less(k, a.task, b.task),
        _ => false,
    }
}

/// Two fair tasks of a core, each by how far it is ahead of where its queue stood [cfs_prio_less].
fn fair_less(k: &mut Kernel, a: TaskId, b: TaskId, forced: bool) -> bool {
    let ahead = |k: &mut Kernel, p: TaskId| {
        let cpu = k.task(p).cpu;
        compare_from_here(k, cpu, forced);
        k.task(p).se.vruntime - k.core_sched.threads[cpu].fair_zero
    };
    ahead(k, a) > ahead(k, b)
}

/// [se_fi_update]: virtual times of the queue are compared with other queues' from where it stands now. While a thread is kept idle,
/// that stays where it was when it began.
fn compare_from_here(k: &mut Kernel, cpu: CpuId, forced: bool) {
    let seq = k.core(cpu).forced_idle_seq;
    let zero = k.rqs[cpu].fair.zero_vruntime;
    let thread = &mut k.core_sched.threads[cpu];
    if forced && std::mem::replace(&mut thread.fair_seq, seq) == seq {
        return;
    }
    thread.fair_zero = zero;
}

/// [task_vruntime_update]
fn update_vruntime(k: &mut Kernel, cpu: CpuId, p: TaskId, forced: bool) {
    if k.task(p).class == ClassId::Fair {
        compare_from_here(k, cpu, forced);
    }
}

/// The task that this CPU is to run next [pick_next_task]. Rq lock held; classes may drop and retake it.
pub(crate) fn pick_next_task(k: &mut Kernel, cpu: CpuId) -> TaskId {
    if !k.online.test(cpu) {
        k.core_sched.threads[cpu].pick = None;
        return class::pick_alone(k, cpu);
    }
    let core = *k.core(cpu);
    let thread = &mut k.core_sched.threads[cpu];
    if core.pick_seq == core.task_seq
        && core.pick_seq != thread.sched_seq
        && let Some(p) = thread.pick.take()
    {
        thread.sched_seq = core.pick_seq;
        return go_on_with(k, cpu, p);
    }
    class::prev_balance(k, cpu);
    let (mut together, mut forced_before) = (false, false);
    let next = loop {
        if let Some(next) = pick_for_core(k, cpu, &mut together, &mut forced_before) {
            break next;
        }
        k.update_rq_clock(cpu);
    };
    go_on_with(k, cpu, next)
}

/// A thread that is kept idle looks for tasks that fit on other CPUs [queue_core_balance].
fn go_on_with(k: &mut Kernel, cpu: CpuId, next: TaskId) -> TaskId {
    let core = *k.core(cpu);
    let rq = &mut k.rqs[cpu];
    if core.forced_idle > 0 && core.cookie != 0 && next == rq.idle && rq.nr_running > 0 {
        rq.queue_balance_callback(BalanceCallback::StealCookie);
    }
    next
}

/// One attempt. `None`: something has changed while the lock was dropped. `together`: the threads depend on each other.
/// `forced_before`: one was kept idle until now.
fn pick_for_core(k: &mut Kernel, cpu: CpuId, together: &mut bool, forced_before: &mut bool) -> Option<TaskId> {
    let core = k.core(cpu);
    *together |= std::mem::take(&mut core.cookie) != 0;
    if std::mem::take(&mut core.forced_idle) > 0 {
        (*together, *forced_before) = (true, true);
    }
    core.task_seq += 1;
    if !*together {
        let next = pick_task(k, cpu)?.task;
        if k.task(next).core_cookie == 0 {
            k.core_sched.threads[cpu].pick = None;
            update_vruntime(k, cpu, next, false);
            return Some(next);
        }
    }
    let highest = highest(k, cpu, *forced_before)?;
    let cookie = k.task(highest).core_cookie;
    k.core(cpu).cookie = cookie;
    let occupied = fit(k, cpu, cookie, *forced_before);
    let core = k.core(cpu);
    core.pick_seq = core.task_seq;
    let (seq, forced) = (core.pick_seq, core.forced_idle > 0);
    k.core_sched.threads[cpu].sched_seq = seq;
    let mut next = None;
    for at in k.threads_of(cpu) {
        let Some(p) = k.core_sched.threads[at].pick else { continue };
        if !(*forced_before && forced) {
            update_vruntime(k, at, p, forced);
        }
        k.task_mut(p).core_occupation = occupied;
        if at == cpu {
            next = k.core_sched.threads[at].pick.take();
        } else if k.rqs[at].curr == p {
            k.core_sched.threads[at].pick = None;
        } else {
            k.resched_curr(at);
        }
    }
    next
}

/// What each thread would run by itself, this one first; the result is the one of highest priority.
fn highest(k: &mut Kernel, cpu: CpuId, forced_before: bool) -> Option<TaskId> {
    // Nothing is picked for a thread that is offline, and it must not find an old pick when it comes back.
    let all: Vec<CpuId> = k.topology.smt_mask(cpu).iter().collect();
    all.into_iter().for_each(|c| k.core_sched.threads[c].pick = None);
    let threads = k.threads_of(cpu);
    let first = threads.iter().position(|&c| c == cpu).unwrap_or(0);
    let mut max: Option<Candidate> = None;
    for i in 0..threads.len() {
        let at = threads[(first + i) % threads.len()];
        if at != cpu {
            k.update_rq_clock(at);
        }
        let candidate = pick_task(k, at)?;
        k.core_sched.threads[at].pick = Some(candidate.task);
        if max.is_none_or(|max| prio_less(k, max, candidate, forced_before)) {
            max = Some(candidate);
        }
    }
    max.map(|c| c.task)
}

/// Replaces the picks that do not go with the cookie; the result is how many threads have something to run.
fn fit(k: &mut Kernel, cpu: CpuId, cookie: u64, forced_before: bool) -> u32 {
    let mut occupied = 0;
    for at in k.threads_of(cpu) {
        let idle = k.rqs[at].idle;
        let fits = |p: &TaskId| *p == idle || k.task(*p).core_cookie == cookie;
        let p = k.core_sched.threads[at].pick.filter(fits).or_else(|| find(k, at, cookie)).unwrap_or_else(|| {
            ext::idle::pick_task_idle(k, at);
            idle
        });
        k.core_sched.threads[at].pick = Some(p);
        if p != idle {
            occupied += 1;
        } else if k.rqs[at].nr_running > 0 {
            let core = k.core(cpu);
            core.forced_idle += 1;
            core.forced_idle_seq += u64::from(!forced_before);
        }
    }
    occupied
}

/// What the CPU would run by itself [pick_task]. `None`: start again.
fn pick_task(k: &mut Kernel, cpu: CpuId) -> Option<Candidate> {
    let deadline = dl::first_deadline(k, cpu);
    let (task, by) = class::pick_task(k, cpu)?;
    let served = by == ClassId::Dl && k.task(task).class != ClassId::Dl;
    Some(Candidate { task, served_until: served.then_some(deadline) })
}

/// The first task of a cookie that waits or runs on `cpu` [sched_core_find].
fn find(k: &State, cpu: CpuId, cookie: u64) -> Option<TaskId> {
    let mut tasks = k.core_sched.threads[cpu].tasks.iter().copied();
    tasks.find(|&p| cookie != 0 && k.task(p).core_cookie == cookie && !is_throttled(k, p))
}

/// A deadline task that has used its runtime up stays on the list, and may not run [sched_task_is_throttled].
fn is_throttled(k: &State, p: TaskId) -> bool {
    let t = k.task(p);
    t.class == ClassId::Dl && t.dl.is_throttled()
}

/// What must hold of a core whose lock nobody holds: threads that run tasks of different cookies are about to reschedule, and the lists
/// are of tasks that are there.
pub(crate) fn is_consistent(s: &State, cpu: CpuId) -> Result<(), String> {
    if !s.config.core_sched || s.is_rq_locked(cpu) {
        return Ok(());
    }
    let cookie = |c: CpuId| s.curr(c).core_cookie;
    let busy = |c: &CpuId| !s.rqs[*c].is_idle() && !s.rqs[*c].need_resched && s.online.test(*c);
    let mut others = s.topology.smt_mask(cpu).iter().filter(busy);
    if busy(&cpu)
        && let Some(other) = others.find(|&c| cookie(c) != cookie(cpu))
    {
        return Err(format!("{cpu} runs a task of cookie {}, and {other} one of {}", cookie(cpu), cookie(other)));
    }
    let tasks = &s.core_sched.threads[cpu].tasks;
    let here = |p: &TaskId| s.find_task(*p).is_some_and(|t| t.cpu == cpu && t.core_cookie != 0);
    let sorted = || tasks.windows(2).all(|w| s.task(w[0]).core_cookie <= s.task(w[1]).core_cookie && w[0] != w[1]);
    match tasks.iter().all(here) && sorted() {
        true => Ok(()),
        false => Err(format!("the cookies' list of {cpu} is wrong: {tasks:?}")),
    }
}

/// This CPU is kept idle: takes a task that fits from elsewhere, nearer CPUs first [sched_core_balance]. Rq lock held; dropped and
/// retaken.
pub(crate) fn steal_cookie(k: &mut Kernel, cpu: CpuId) {
    k.unlock(LockId::Rq(cpu));
    let all = k.online;
    let t = &k.topology;
    let spans = [t.smt_mask(cpu), t.llc_mask(cpu), t.node_mask(cpu), &all].map(|m| m.and(&all));
    'spans: for span in spans {
        let (later, earlier): (Vec<CpuId>, Vec<CpuId>) = span.iter().partition(|&c| c > cpu);
        for from in later.into_iter().chain(earlier).filter(|&c| c != cpu) {
            if k.rqs[cpu].need_resched || try_steal(k, cpu, from) {
                break 'spans;
            }
        }
    }
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
}

/// [try_steal_cookie]
fn try_steal(k: &mut Kernel, to: CpuId, from: CpuId) -> bool {
    k.double_rq_lock(to, from);
    let found = to_steal(k, to, from);
    if let Some(p) = found {
        k.update_rq_clock(from);
        k.update_rq_clock(to);
        k.deactivate_for_migration(from, p);
        k.set_task_cpu(p, to);
        k.activate_task(to, p, enq::NOCLOCK | enq::MIGRATING);
        class::wakeup_preempt(k, to, p, 0);
        k.resched_curr(to);
    }
    k.double_rq_unlock(to, from);
    found.is_some()
}

fn to_steal(k: &mut Kernel, to: CpuId, from: CpuId) -> Option<TaskId> {
    let cookie = k.core(to).cookie;
    if cookie == 0 || !k.rqs[to].is_idle() {
        return None;
    }
    let occupation = k.task(k.rqs[to].idle).core_occupation;
    let thread = &k.core_sched.threads[from];
    let may_come = |&p: &TaskId| {
        let t = k.task(p);
        t.core_cookie == cookie
            && t.on_rq == OnRq::Queued
            && !t.on_cpu
            && t.migration_disabled == 0
            && thread.pick != Some(p)
            && k.rqs[from].curr != p
            && k.is_cpu_allowed(p, to)
            && t.core_occupation <= occupation
            && !is_throttled(k, p)
    };
    thread.tasks.iter().copied().find(may_come)
}

/// A tick hit a fair task that is alone on its CPU, while another thread of the core is kept idle: half a slice is its share
/// [task_tick_core].
pub(crate) fn tick_fair(k: &mut Kernel, cpu: CpuId, curr: TaskId) {
    if !k.config.core_sched || k.core(cpu).forced_idle == 0 || k.rqs[cpu].fair.nr_queued != 1 {
        return;
    }
    let ran = k.rqs[cpu].clock.saturating_sub(k.task(curr).switched_in_at);
    if ran * 2 > k.task(curr).se.slice {
        k.resched_curr(cpu);
    }
}
