//! One balancing pass of one domain for one CPU: from finding an imbalance to moving tasks (rules 8.3 to 8.17)
//! [sched_balance_rq].

use crate::behavior::Policy;
use crate::class::{self, enq};
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::fair::domains::{Domain, Sd};
use crate::fair::idle::MIGRATION_COST_NS;
use crate::fair::imbalance::{self, IdleType, Mode};
use crate::fair::{load, mru, trigger};
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;
use crate::rq::StopWork;
use crate::state::State;

/// Most tasks that a pass looks at [sysctl_sched_nr_migrate].
const NR_MIGRATE: u32 = 32;
/// Longest interval, in ms, where affinity keeps everything in place [MAX_PINNED_INTERVAL].
const PINNED_INTERVAL_MAX_MS: u64 = 512;

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Tasks that were moved.
    pub(super) moved: u32,
    /// This CPU is the one to balance for its group; levels above may be looked at.
    pub(super) go_on: bool,
}

/// A pass [lb_env].
struct Pass {
    /// For whom.
    this: CpuId,
    /// Level of the domain among those of `this`.
    at: usize,
    dom: usize,
    idle: IdleType,
    /// Where tasks go: `this`, or another CPU of its group.
    dst: CpuId,
    src: CpuId,
    mode: Mode,
    /// Left to move.
    amount: i64,
    /// CPUs that turned out to be of no use.
    excluded: CpuMask,
    nr_seen: u32,
    nr_seen_max: u32,
    /// Every task so far may not run here [LBF_ALL_PINNED].
    all_pinned: bool,
    /// Some task may not run here [LBF_SOME_PINNED].
    some_pinned: bool,
    /// Another CPU of the group that such a task could use [LBF_DST_PINNED].
    new_dst: Option<CpuId>,
    /// A stopper pushes: hot tasks move too.
    active: bool,
}

impl Pass {
    fn new(this: CpuId, at: usize, dom: usize, idle: IdleType) -> Pass {
        Pass {
            this,
            at,
            dom,
            idle,
            dst: this,
            src: this,
            mode: Mode::Task,
            amount: 0,
            excluded: CpuMask::EMPTY,
            nr_seen: 0,
            nr_seen_max: 0,
            all_pinned: false,
            some_pinned: false,
            new_dst: None,
            active: false,
        }
    }

    fn domain<'a>(&self, s: &'a State) -> &'a Domain {
        &s.fair.domains.domains[self.dom]
    }

    fn sd<'a>(&self, s: &'a mut State) -> &'a mut Sd {
        &mut s.fair.domains.of[self.this][self.at]
    }

    fn nr_failed(&self, s: &State) -> u32 {
        s.fair.domains.of[self.this][self.at].nr_balance_failed
    }

    fn local_group(&self, s: &State) -> usize {
        let local = s.fair.domains.of[self.this][self.at].local;
        self.domain(s).groups[local]
    }
}

/// Balances the domain at level `at` of `this`. No rq lock held; it may wait for locks. [sched_balance_rq]
pub(super) fn balance_domain(k: &mut Kernel, this: CpuId, at: usize, idle: IdleType) -> Outcome {
    let dom = k.fair.domains.of[this][at].dom;
    let mut pass = Pass::new(this, at, dom, idle);
    let mut moved = 0;
    loop {
        if !find_work(k, &mut pass) {
            let go_on = pass.amount >= 0;
            settle_balanced(k, &pass);
            return Outcome { moved: 0, go_on };
        }
        pass.all_pinned = true;
        if k.rqs[pass.src].nr_running > 1 {
            moved += move_tasks(k, &mut pass);
        } else {
            pass.all_pinned = false;
        }
        note_affinity(k, &pass);
        if !pass.all_pinned || moved > 0 {
            break;
        }
        pass.excluded.set(pass.src);
        let group = &k.fair.domains.groups[pass.local_group(k)];
        let d = pass.domain(k);
        if d.span.and_not(&pass.excluded).subset_of(&group.span) {
            settle(k, &pass, true);
            return Outcome { moved: 0, go_on: true };
        }
    }
    let go_on = true;
    if moved == 0 && !try_active_balance(k, &mut pass) {
        return Outcome { moved, go_on };
    }
    if moved > 0 {
        pass.sd(k).nr_balance_failed = 0;
        let min = pass.domain(k).weight as u64;
        pass.sd(k).interval = min;
    }
    Outcome { moved, go_on }
}

/// Finds what to pull from where. False: nothing to do; the amount is -1 then if another CPU is to balance.
fn find_work(k: &mut Kernel, pass: &mut Pass) -> bool {
    let local = k.fair.domains.of[pass.this][pass.at].local;
    let usable = k.rqs[pass.this].active && !pass.excluded.test(pass.this);
    if !usable || !imbalance::should_we_balance(k, pass.domain(k), local, pass.this, pass.idle) {
        pass.amount = -1;
        return false;
    }
    if pass.at == 0 {
        refresh_capacity(k, pass);
    }
    let s: &State = k;
    let d = pass.domain(s);
    let stats = imbalance::domain_stats(s, d, local, pass.idle, &pass.excluded);
    let (weight, pct, is_llc) = (d.weight as u64, d.imbalance_pct, s.fair.domains.llc[pass.this] == Some(pass.dom));
    let found = stats.find_src_group(d, pass.idle);
    let src = found.and_then(|(g, mode, amount)| {
        let usable = |c: CpuId| !pass.excluded.test(c) && s.rqs[c].active;
        let src = imbalance::find_src_cpu(s, g, (mode, amount), pct, usable)?;
        Some((src, mode, amount))
    });
    let top = pass.at + 1 == s.fair.domains.of[pass.this].len();
    let cost = k.cost.select_cpu_scan;
    k.charge(cost * weight);
    if is_llc && pass.idle != IdleType::NewlyIdle {
        k.fair.domains.domains[pass.dom].nr_idle_scan = imbalance::nr_idle_scan(stats.util, weight, pct);
    }
    if top {
        k.fair.overloaded = stats.overloaded;
    }
    pass.amount = 0;
    let Some((src, mode, amount)) = src else {
        return false;
    };
    (pass.src, pass.mode, pass.amount) = (src, mode, amount);
    true
}

/// A pass of the lowest domain looks at what other classes leave of the CPU's capacity; one on the way to idle does so once an
/// interval [update_group_capacity].
fn refresh_capacity(k: &mut Kernel, pass: &Pass) {
    let now = trigger::jiffies(k);
    if pass.idle == IdleType::NewlyIdle && now < k.fair.balance[pass.dst].capacity_due {
        return;
    }
    load::update_capacity(k, pass.dst);
    let (hz, online) = (u64::from(k.config.hz), k.nr_cpus() as u64);
    let interval = k.fair.domains.of[pass.this][pass.at].interval;
    k.fair.balance[pass.dst].capacity_due = now + trigger::interval_jiffies(interval, false, hz, online);
}

/// Moves tasks, also to other CPUs of the group where affinity asks for that.
fn move_tasks(k: &mut Kernel, pass: &mut Pass) -> u32 {
    let mut moved = 0;
    pass.nr_seen = 0;
    pass.nr_seen_max = NR_MIGRATE.min(k.rqs[pass.src].nr_running);
    for _ in 0..=pass.domain(k).weight {
        k.lock(LockId::Rq(pass.src));
        k.update_rq_clock(pass.src);
        let tasks = detach_tasks(k, pass);
        k.unlock(LockId::Rq(pass.src));
        moved += tasks.len() as u32;
        attach_tasks(k, pass.dst, tasks);
        match pass.new_dst.take() {
            Some(dst) if pass.amount > 0 => {
                pass.excluded.set(pass.dst);
                pass.dst = dst;
                pass.nr_seen = 0;
            }
            _ => break,
        }
    }
    moved
}

/// Takes tasks from the source, the least recently run first (rule 8.11) [detach_tasks]. Its lock is held.
fn detach_tasks(k: &mut Kernel, pass: &mut Pass) -> Vec<TaskId> {
    let mut tasks = Vec::new();
    while let Some(p) = k.rqs[pass.src].fair.tasks.tail {
        if pass.amount <= 0 || pass.idle != IdleType::Busy && k.rqs[pass.src].nr_running <= 1 {
            break;
        }
        pass.nr_seen += 1;
        if pass.nr_seen > pass.nr_seen_max {
            break;
        }
        let share = share_of(k, pass, p);
        if !can_migrate(k, pass, p) || share >> pass.nr_failed(k).min(63) > pass.amount {
            mru::touch(k, pass.src, p);
            continue;
        }
        pass.amount -= share;
        detach(k, pass, p);
        tasks.push(p);
        if pass.idle == IdleType::NewlyIdle {
            break; // it holds up the switch on a preemptible kernel
        }
    }
    tasks
}

/// What moving `p` takes off the amount.
fn share_of(s: &State, pass: &Pass, p: TaskId) -> i64 {
    match pass.mode {
        Mode::Task => 1,
        Mode::Load => load::task_load(s, p).max(1) as i64,
        Mode::Util => {
            let se = &s.task(p).se;
            se.avg.util_avg.max(se.util_est.value) as i64
        }
    }
}

fn detach(k: &mut Kernel, pass: &Pass, p: TaskId) {
    k.deactivate_for_migration(pass.src, p);
    k.set_task_cpu(p, pass.dst);
}

fn attach_tasks(k: &mut Kernel, dst: CpuId, tasks: Vec<TaskId>) {
    if tasks.is_empty() {
        return;
    }
    k.lock(LockId::Rq(dst));
    k.update_rq_clock(dst);
    for p in tasks {
        k.activate_task(dst, p, enq::NOCLOCK | enq::MIGRATING);
        class::wakeup_preempt(k, dst, p, 0);
    }
    k.unlock(LockId::Rq(dst));
}

/// May `p` move? (rule 8.12) [can_migrate_task]
fn can_migrate(k: &State, pass: &mut Pass, p: TaskId) -> bool {
    let t = k.task(p);
    if t.se.delayed && pass.mode != Mode::Load {
        return false;
    }
    let failed = pass.nr_failed(k);
    if failed == 0 && k.rqs[pass.dst].fair.nr_queued > 0 && !is_eligible(k, pass.src, p) {
        return false;
    }
    if t.is_per_cpu_kthread() || t.migration_disabled > 0 {
        return false;
    }
    if !t.cpus.test(pass.dst) {
        pass.some_pinned = true;
        if pass.idle != IdleType::NewlyIdle && pass.new_dst.is_none() && !pass.active {
            let group = &k.fair.domains.groups[pass.local_group(k)];
            let mut others = group.cpus.iter().copied();
            pass.new_dst =
                others.find(|&c| c != pass.dst && t.cpus.test(c) && !pass.excluded.test(c) && k.rqs[c].active);
        }
        return false;
    }
    pass.all_pinned = false;
    if t.on_cpu || k.rqs[pass.src].curr == p {
        return false;
    }
    pass.active || failed > pass.domain(k).cache_nice_tries || !is_hot(k, pass, p)
}

fn is_eligible(k: &State, cpu: CpuId, p: TaskId) -> bool {
    let curr = super::queue::queued_curr(k, cpu).map(|(_, t)| t);
    k.rqs[cpu].fair.eligible(curr, k.task(p).se.vruntime)
}

/// Did it run so lately that its cache is worth something? (rule 8.13) [task_hot]
fn is_hot(k: &State, pass: &Pass, p: TaskId) -> bool {
    let t = k.task(p);
    if t.policy == Policy::Idle || pass.domain(k).level == super::domains::Level::Smt {
        return false;
    }
    k.rqs[pass.src].clock.saturating_sub(t.exec_start) < MIGRATION_COST_NS
}

/// Affinity stood in the way: the level above is told (rule 8.14).
fn note_affinity(k: &mut Kernel, pass: &Pass) {
    if pass.some_pinned && pass.amount > 0 {
        set_parent_imbalanced(k, pass, true);
    }
}

fn set_parent_imbalanced(k: &mut Kernel, pass: &Pass, on: bool) {
    if let Some(&parent) = k.fair.domains.of[pass.this].get(pass.at + 1) {
        let g = k.fair.domains.domains[parent.dom].groups[parent.local];
        k.fair.domains.groups[g].imbalanced = on;
    }
}

/// No imbalance (rule 8.15).
fn settle_balanced(k: &mut Kernel, pass: &Pass) {
    if !pass.all_pinned {
        set_parent_imbalanced(k, pass, false);
    }
    settle(k, pass, pass.all_pinned);
}

/// Nothing to do here for a while: the interval grows.
fn settle(k: &mut Kernel, pass: &Pass, pinned: bool) {
    pass.sd(k).nr_balance_failed = 0;
    lengthen_interval(k, pass, pinned);
}

fn lengthen_interval(k: &mut Kernel, pass: &Pass, pinned: bool) {
    if pass.idle == IdleType::NewlyIdle {
        return;
    }
    let max = 2 * pass.domain(k).weight as u64;
    let interval = &mut pass.sd(k).interval;
    if pinned && *interval < PINNED_INTERVAL_MAX_MS || *interval < max {
        *interval *= 2;
    }
}

/// [need_active_balance] (rule 8.16)
fn need_active_balance(k: &State, pass: &Pass) -> bool {
    let d = pass.domain(k);
    if pass.mode == Mode::Task && pass.nr_failed(k) > d.cache_nice_tries + 2 {
        return true;
    }
    let pct = d.imbalance_pct;
    let (src, dst) = (pass.src, pass.dst);
    pass.idle != IdleType::Busy
        && k.rqs[src].fair.nr_runnable() == 1
        && imbalance::is_reduced(k, src, pct)
        && load::capacity_of(k, src) * pct < load::capacity_of(k, dst) * 100
}

/// Nothing moved though there is an imbalance: perhaps a stopper has to push. False: the running task is pinned.
fn try_active_balance(k: &mut Kernel, pass: &mut Pass) -> bool {
    if pass.idle != IdleType::NewlyIdle {
        pass.sd(k).nr_balance_failed += 1;
    }
    let src = pass.src;
    let mut started = false;
    if need_active_balance(k, pass) {
        k.lock(LockId::Rq(src));
        if !k.curr(src).cpus.test(pass.this) {
            k.unlock(LockId::Rq(src));
            lengthen_interval(k, pass, false);
            return false;
        }
        started = !std::mem::replace(&mut k.fair.balance[src].active_balance, true);
        k.unlock(LockId::Rq(src));
        if started {
            k.stop_one_cpu(src, StopWork::FairActiveBalance(pass.this));
        }
    }
    if !started || need_active_balance(k, pass) {
        let min = pass.domain(k).weight as u64;
        pass.sd(k).interval = min;
    }
    true
}

/// A stopper on `cpu` pushes one task to `to` (rule 8.16) [active_load_balance_cpu_stop].
pub(crate) fn active_balance(k: &mut Kernel, cpu: CpuId, to: CpuId) {
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
    k.fair.balance[cpu].active_balance = false;
    let task = if k.rqs[cpu].nr_running > 1 && cpu != to && k.rqs[to].active { detach_one(k, cpu, to) } else { None };
    k.unlock(LockId::Rq(cpu));
    attach_tasks(k, to, task.into_iter().collect());
}

fn detach_one(k: &mut Kernel, cpu: CpuId, to: CpuId) -> Option<TaskId> {
    let sds = &k.fair.domains.of[to];
    let at = sds.iter().position(|sd| k.fair.domains.domains[sd.dom].span.test(cpu))?;
    let mut pass = Pass::new(to, at, sds[at].dom, IdleType::Idle);
    (pass.src, pass.active) = (cpu, true);
    let mut next = k.rqs[cpu].fair.tasks.tail;
    while let Some(p) = next {
        if can_migrate(k, &mut pass, p) {
            detach(k, &pass, p);
            pass.sd(k).nr_balance_failed = 0;
            return Some(p);
        }
        next = k.task(p).se.links.prev;
    }
    None
}
