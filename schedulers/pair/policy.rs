//! pair: two CPUs that share a core run tasks of one cgroup alone.

use scxr_policy::prelude::*;

#[path = "../undertaker.rs"]
mod undertaker;

use undertaker::{make_queue, removed};

/// The cgroup of a pair that has none.
const NOBODY: u64 = 0;
/// The root of all cgroups.
const ROOT: u64 = 1;
/// Room for cgroups.
const MAX_CGROUPS: i64 = 4096;
/// A CPU that went idle less than this ago may not have switched yet.
const SETTLE: Ns = Ns::from_us(5);
/// `ENOSPC`.
const NO_SPACE: i32 = -28;

shared! {
    /// What is kept for each cgroup.
    pub struct Group {
        /// 1: it is in the row.
        pub in_row: u32,
    }

    /// What is kept for each pair, at the lower number of its two CPUs. Of sets of CPUs 1 is the lower and 2 the upper one.
    pub struct Pair {
        /// Guards the others.
        pub lock: SpinLock,
        /// CPUs that run a task, or may do so still.
        pub active: u32,
        /// CPUs that a higher class has taken.
        pub preempted: u32,
        /// CPUs that are offline.
        pub offline: u32,
        /// No task may come any more: another cgroup gets the pair once both CPUs are empty.
        pub draining: bool,
        /// The cgroup whose tasks it runs.
        pub cgid: u64,
        /// Since when.
        pub started_at: Ns,
        /// When the lower CPU went idle; 0: it is known to have switched.
        pub lower_left_at: Ns,
        /// The same of the upper one.
        pub upper_left_at: Ns,
    }
}

state! {
    /// How long a cgroup has a pair, if others wait.
    pub static SLICE as "slice": Tunable<Ns> = Ns::SLICE_DFL;
    /// How far the two CPUs of a pair are apart; 0: half the machine.
    pub static STRIDE as "stride": Tunable<u32> = 0;
    /// Numbers of CPUs that the machine can have.
    static NR_CPUS as "nr_cpus": Global<u32> = 0;
    /// How far the two CPUs of a pair are apart.
    static APART as "apart": Global<u32> = 1;

    /// Times that a CPU looked for a task.
    static NR_TOTAL as "nr_total": Global<u64> = 0;
    /// Tasks that were given to a CPU.
    static NR_DISPATCHED as "nr_dispatched": Global<u64> = 0;
    /// Tasks that went on, as no other of their cgroup waited.
    static NR_KEPT as "nr_kept": Global<u64> = 0;
    /// Tasks whose cgroup is not known: they are with the root's.
    static NR_MISSING as "nr_missing": Global<u64> = 0;
    /// Times that a mate was told to look.
    static NR_KICKS as "nr_kicks": Global<u64> = 0;
    /// Times that a higher class took a CPU.
    static NR_PREEMPTIONS as "nr_preemptions": Global<u64> = 0;
    /// Times that a cgroup was to leave a pair.
    static NR_EXPS as "nr_exps": Global<u64> = 0;
    /// Times that a CPU had to wait until its mate is empty.
    static NR_EXP_WAITS as "nr_exp_waits": Global<u64> = 0;
    /// Times that the pair's cgroup had no task for a CPU.
    static NR_EXP_EMPTY as "nr_exp_empty": Global<u64> = 0;
    /// Cgroups that got a pair.
    static NR_CGRP_NEXT as "nr_cgrp_next": Global<u64> = 0;
    /// Cgroups that were passed over, as none of their tasks may run on the pair.
    static NR_CGRP_PASSED as "nr_cgrp_passed": Global<u64> = 0;
    /// Cgroups whose turn came when they had no task waiting.
    static NR_CGRP_EMPTY as "nr_cgrp_empty": Global<u64> = 0;
    /// Cgroups that there are.
    static NR_CGROUPS as "nr_cgroups": Global<i64> = 0;
    /// Cgroups that there was no room for.
    static NR_CGRP_REFUSED as "nr_cgrp_refused": Global<u64> = 0;
    /// Removed cgroups whose queues are still there.
    pub(crate) static NR_DEAD as "nr_dead": Global<i64> = 0;
    /// Removed cgroups whose queues stay until the scheduler ends: there were too many at a time.
    pub(crate) static NR_NOT_BURIED as "nr_not_buried": Global<u64> = 0;
    /// Of `dead`, those that were there at the last beat of the timer.
    pub(crate) static RIPE as "ripe": Global<i64> = 0;
    /// 1: the timer runs.
    pub(crate) static BURYING as "burying": Global<u32> = 0;
    /// Cgroups in the row.
    static NR_IN_ROW as "nr_in_row": Global<i64> = 0;

    /// Cgroups that have tasks waiting, the first first.
    static ROW as "row": Queue<u64, 4096>;
    /// Removed cgroups whose queues are still there.
    pub(crate) static DEAD as "dead": Queue<u64, 4096>;
    /// By cgroup.
    static GROUPS as "groups": HashMap<u64, Group, 4096>;
    /// By the lower number of its two CPUs.
    static PAIRS as "pairs": Array<Pair, 1024>;
    /// Ends queues of removed cgroups.
    pub(crate) static UNDERTAKER as "undertaker": Timer;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

/// Where a CPU is in its pair.
#[derive(Clone, Copy)]
struct Place {
    /// The lower number.
    lower: u32,
    /// This CPU and the mate, as sets.
    own: u32,
    others: u32,
    mate: Option<Cpu>,
}

/// The machine is divided into blocks of twice the stride; in a block a CPU of the lower half goes with the one as far into the upper half. What is
/// left at the end is alone.
#[inline(always)]
fn place(cpu: Cpu) -> Place {
    let (this, apart) = (cpu.0 as u32, APART.get());
    let is_upper = quotient(this.into(), apart.into()) & 1 != 0;
    let lower = if is_upper { this.wrapping_sub(apart) } else { this };
    let mate = if is_upper { lower } else { this.wrapping_add(apart) };
    let mate = if mate < NR_CPUS.get() { Some(Cpu(mate as i32)) } else { None };
    if is_upper { Place { lower, own: 2, others: 1, mate } } else { Place { lower, own: 1, others: 2, mate } }
}

impl Pair {
    /// Has its cgroup had it for a slice?
    #[inline(always)]
    fn is_due(&self, now: Ns) -> bool {
        (now - self.started_at.get()).0 >= SLICE.get().0
    }
}

impl Place {
    /// When this CPU went idle.
    #[inline(always)]
    fn own_left_at(self, pair: &Pair) -> &Field<Ns> {
        if self.own == 1 { &pair.lower_left_at } else { &pair.upper_left_at }
    }

    /// May the mate run a task? Asked under the lock.
    #[inline(always)]
    fn mate_is_active(self, pair: &Pair, now: Ns) -> bool {
        let left_at = if self.own == 1 { pair.upper_left_at.get() } else { pair.lower_left_at.get() };
        let settled = left_at == Ns::ZERO || (now - left_at).0 as i64 >= SETTLE.0 as i64;
        pair.active.get() & self.others != 0 || !settled
    }

    /// Tells the mate to look.
    #[inline(always)]
    fn kick_mate(self, flags: KickFlags) {
        if let Some(mate) = self.mate {
            NR_KICKS.fetch_add(1);
            mate.kick(flags);
        }
    }
}

/// The queue of a cgroup's waiting tasks.
#[inline(always)]
fn queue(cgid: u64) -> Dsq<Fifo> {
    Dsq::fifo(cgid)
}

/// Is there such a cgroup?
#[inline(always)]
fn is_known(cgid: u64) -> bool {
    GROUPS.get(cgid).is_some()
}

/// The cgroup under which a task waits.
#[inline(always)]
fn group_of<'a>(p: Task<'_>) -> Option<(u64, Ref<'a, Group>)> {
    let cgid = p.cgroup().map_or(ROOT, |held| held.cgroup().id());
    if let Some(group) = GROUPS.get(cgid) {
        return Some((cgid, group));
    }
    NR_MISSING.fetch_add(1);
    GROUPS.get(ROOT).map(|group| (ROOT, group))
}

/// Puts a cgroup at the end of the row, unless it is there. There is room for all that `cgroup_init` lets in.
#[inline(always)]
fn line_up(cgid: u64, group: &Group) {
    if group.in_row.get() == 0 && group.in_row.swap(1) == 0 {
        NR_IN_ROW.fetch_add(1);
        ROW.push(cgid);
    }
}

/// The same of one that was taken out, if it is still there.
#[inline(always)]
fn line_up_again(cgid: u64) {
    if let Some(group) = GROUPS.get(cgid) {
        line_up(cgid, &group);
    }
}

/// Takes the first cgroup that has a task waiting out of the row; 0: there is none, or it had none.
#[inline(always)]
fn step_forward() -> u64 {
    let Some(cgid) = ROW.pop() else { return NOBODY };
    NR_IN_ROW.fetch_sub(1);
    let Some(group) = GROUPS.get(cgid) else { return NOBODY };
    group.in_row.swap(0);
    if queue(cgid).nr_queued().unwrap_or(0) == 0 {
        NR_CGRP_EMPTY.fetch_add(1);
        return NOBODY;
    }
    cgid
}

/// Cgroups that wait beside this one.
#[inline(always)]
fn others_in_row(cgid: u64) -> i64 {
    NR_IN_ROW.get().wrapping_sub(GROUPS.get(cgid).map_or(0, |group| i64::from(group.in_row.get())))
}

/// What a CPU that looks for a task is to do.
enum Turn {
    /// Take one of this cgroup's.
    Of(u64),
    /// Wait until the mate is empty, and tell it.
    Wait,
    /// Look again once this CPU is empty.
    Leave,
    /// Find the next cgroup for the pair.
    Next,
    /// Nothing.
    Idle,
}

/// Looks at the pair. `has_prev`: a task of this scheduler has not left the CPU yet. `tried`: the pair's cgroup has no task for this CPU.
#[inline(always)]
fn turn(pair: &Pair, place: Place, has_prev: bool, tried: bool) -> Turn {
    let (now, in_row, others) = (Ns::now(), NR_IN_ROW.get(), others_in_row(pair.cgid.get()));
    let _guard = pair.lock.lock();
    if !has_prev {
        pair.active.set(pair.active.get() & !place.own);
        place.own_left_at(pair).set(Ns::ZERO);
    }
    if pair.preempted.get() & !pair.offline.get() != 0 {
        // the mate's acquisition has us look again
        pair.draining.set(true);
        return Turn::Idle;
    }
    let cgid = pair.cgid.get();
    if cgid != NOBODY && !pair.draining.get() {
        let expired = others > 0 && pair.is_due(now);
        if !expired && !tried {
            pair.active.set(pair.active.get() | place.own);
            return Turn::Of(cgid);
        }
        if others <= 0 || !expired && pair.active.get() & place.others != 0 {
            return Turn::Idle;
        }
        pair.draining.set(true);
    }
    if in_row <= 0 {
        return Turn::Idle;
    }
    if place.mate_is_active(pair, now) {
        return Turn::Wait;
    }
    if has_prev { Turn::Leave } else { Turn::Next }
}

/// Gives the pair to a cgroup; `false`: the mate was faster.
#[inline(always)]
fn give(pair: &Pair, place: Place, cgid: u64) -> bool {
    let now = Ns::now();
    let _guard = pair.lock.lock();
    let has_one = pair.cgid.get() != NOBODY && !pair.draining.get();
    if has_one || place.mate_is_active(pair, now) || pair.preempted.get() & !pair.offline.get() != 0 {
        return false;
    }
    pair.cgid.set(cgid);
    pair.started_at.set(now);
    pair.draining.set(false);
    pair.active.set(place.own);
    true
}

/// This CPU, which is empty, got no task of the pair's cgroup. `stays`: the mate will.
#[inline(always)]
fn give_up(pair: &Pair, place: Place, stays: bool) {
    let _guard = pair.lock.lock();
    pair.active.set(pair.active.get() & !place.own);
    if !stays && pair.active.get() == 0 {
        pair.cgid.set(NOBODY);
    }
}

/// Takes a task of a cgroup for this CPU.
#[inline(always)]
fn take(cx: &Dispatch, cgid: u64) -> bool {
    // a cgroup that is gone has no queue
    let taken = GROUPS.get(cgid).is_some() && queue(cgid).move_to_local(cx);
    if taken {
        NR_DISPATCHED.fetch_add(1);
    }
    taken
}

/// Is a task of the cgroup waiting that may run there?
#[inline(always)]
fn has_task_for(cgid: u64, cpu: Option<Cpu>) -> bool {
    let Some(cpu) = cpu else { return false };
    for p in waiting!(queue(cgid)) {
        if p.cpus().test(cpu) {
            return true;
        }
    }
    false
}

/// Gives the pair to the first cgroup of the row that has a task for it. This CPU is empty.
#[inline(always)]
fn next(cx: &Dispatch, pair: &Pair, place: Place) {
    // each cgroup once; 4096 at most
    for _ in bounded!(0..NR_IN_ROW.get() as i32 & 0x1fff) {
        let cgid = step_forward();
        if cgid == NOBODY {
            continue;
        }
        if !give(pair, place, cgid) {
            // the mate has given it to one, or waits for us, and tells us
            line_up_again(cgid);
            return;
        }
        let taken = take(cx, cgid);
        let handed_over = !taken && has_task_for(cgid, place.mate);
        if queue(cgid).nr_queued().unwrap_or(0) > 0 {
            line_up_again(cgid);
        }
        if taken || handed_over {
            NR_CGRP_NEXT.fetch_add(1);
            if !taken {
                give_up(pair, place, true);
            }
            place.kick_mate(KickFlags::PREEMPT);
            return;
        }
        NR_CGRP_PASSED.fetch_add(1);
        give_up(pair, place, false);
    }
}

/// Has a CPU look for a task of a cgroup that came, if it is idle and its pair runs tasks of that cgroup, or none.
#[inline(always)]
fn wake(cpu: Cpu, cgid: u64) -> bool {
    let Some(pair) = PAIRS.get(place(cpu).lower) else { return false };
    let taken = pair.preempted.get() & !pair.offline.get() != 0;
    let is_ours = pair.cgid.get() == cgid && !pair.draining.get();
    let woken = !taken && (is_ours || pair.active.get() == 0) && cpu.test_and_clear_idle();
    if woken {
        cpu.kick(KickFlags::IDLE);
    }
    woken
}

/// Has an idle CPU look for a task that came: the one that it was on, or another that it may use.
#[inline(always)]
fn wake_idle(p: Task<'_>, cgid: u64) {
    let idle = HeldMask::idle();
    let Some(first) = idle.mask().first_and(p.cpus()) else { return };
    let last = p.cpu();
    if wake(if idle.mask().test(last) { last } else { first }, cgid) {
        return;
    }
    for cpu in bounded!(first.0..NR_CPUS.get() as i32) {
        let cpu = Cpu(cpu);
        if idle.mask().test(cpu) && p.cpus().test(cpu) && wake(cpu, cgid) {
            return;
        }
    }
}

scheduler! {
    /// A pair of CPUs runs tasks of one cgroup alone.
    pub struct Pairs {
        name: "pair",
        flags: OpsFlags::KEEP_BUILTIN_IDLE | OpsFlags::ENQ_LAST | OpsFlags::ENQ_EXITING | OpsFlags::ENQ_MIGRATION_DISABLED
    }

    impl Ops for Pairs {
        /// Nothing is decided here: the kernel's own choice would put the task beside whatever the mate runs.
        fn select_cpu(_cx: &SelectCpu, _p: Task<'_>, prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            prev_cpu
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let Some((cgid, group)) = group_of(p) else { return };
            queue(cgid).insert(cx, p, SLICE.get(), enq_flags);
            line_up(cgid, &group);
            wake_idle(p, cgid);
        }

        fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {
            NR_TOTAL.fetch_add(1);
            let place = place(cpu);
            let Some(pair) = PAIRS.get(place.lower) else { return };
            let mut next_turn = turn(&pair, place, prev.is_some(), false);
            if let Turn::Of(cgid) = next_turn {
                if take(cx, cgid) {
                    return;
                }
                if let Some(p) = prev && p.is_queued() {
                    // still of the pair's cgroup: that changes only when both CPUs are empty
                    NR_KEPT.fetch_add(1);
                    p.set_slice(SLICE.get());
                    return;
                }
                NR_EXP_EMPTY.fetch_add(1);
                if prev.is_some() && others_in_row(cgid) <= 0 {
                    // `update_idle` says that this CPU is empty
                    return;
                }
                next_turn = turn(&pair, place, prev.is_some(), true);
            }
            match next_turn {
                Turn::Wait => {
                    NR_EXP_WAITS.fetch_add(1);
                    place.kick_mate(KickFlags::PREEMPT);
                }
                Turn::Leave => {
                    NR_EXPS.fetch_add(1);
                    cpu.kick(KickFlags::NONE);
                }
                Turn::Next => next(cx, &pair, place),
                Turn::Of(_) | Turn::Idle => {}
            }
        }

        /// Only here the last task has left the CPU, or is about to.
        fn update_idle(_cx: &Event, cpu: Cpu, idle: bool) {
            let place = place(cpu);
            if !idle {
                return;
            }
            let (Some(pair), now) = (PAIRS.get(place.lower), Ns::now()) else { return };
            let _guard = pair.lock.lock();
            if pair.active.get() & place.own != 0 {
                pair.active.set(pair.active.get() & !place.own);
                place.own_left_at(&pair).set(now);
            }
        }

        /// A higher class runs beside nobody: the mate has to go idle.
        fn cpu_release(cx: &CpuRelease, cpu: Cpu, _args: Release<'_>) {
            NR_PREEMPTIONS.fetch_add(1);
            let place = place(cpu);
            let Some(pair) = PAIRS.get(place.lower) else { return };
            let now = Ns::now();
            let tell = {
                let _guard = pair.lock.lock();
                pair.preempted.set(pair.preempted.get() | place.own);
                if pair.active.get() & place.own != 0 {
                    pair.active.set(pair.active.get() & !place.own);
                    place.own_left_at(&pair).set(now);
                }
                pair.draining.set(true);
                pair.active.get() & place.others != 0
            };
            Dsq::reenqueue_local(cx);
            if tell {
                place.kick_mate(KickFlags::PREEMPT);
            }
        }

        fn cpu_acquire(_cx: &Event, cpu: Cpu) {
            let place = place(cpu);
            let Some(pair) = PAIRS.get(place.lower) else { return };
            {
                let _guard = pair.lock.lock();
                pair.preempted.set(pair.preempted.get() & !place.own);
            }
            place.kick_mate(KickFlags::IDLE);
        }

        fn cpu_online(_cx: &Init, cpu: Cpu) {
            let place = place(cpu);
            let Some(pair) = PAIRS.get(place.lower) else { return };
            let _guard = pair.lock.lock();
            pair.offline.set(pair.offline.get() & !place.own);
            pair.preempted.set(pair.preempted.get() & !place.own);
        }

        /// The mate goes on alone.
        fn cpu_offline(_cx: &Init, cpu: Cpu) {
            let place = place(cpu);
            let Some(pair) = PAIRS.get(place.lower) else { return };
            {
                let _guard = pair.lock.lock();
                pair.offline.set(pair.offline.get() | place.own);
            }
            place.kick_mate(KickFlags::IDLE);
        }

        fn cgroup_init(cx: &Init, cgrp: Cgroup<'_>, _args: CgroupInit<'_>) -> Result<(), Errno> {
            let cgid = cgrp.id();
            if NR_CGROUPS.fetch_add(1) >= MAX_CGROUPS || GROUPS.get_or_insert(cgid).is_none() {
                NR_CGROUPS.fetch_sub(1);
                NR_CGRP_REFUSED.fetch_add(1);
                return Err(Errno(NO_SPACE));
            }
            make_queue(cx, cgid)
        }

        fn cgroup_exit(_cx: &Init, cgrp: Cgroup<'_>) {
            let cgid = cgrp.id();
            if GROUPS.remove(cgid) {
                NR_CGROUPS.fetch_sub(1);
                removed(cgid);
            }
        }

        /// A task that runs while it is moved has to be queued anew.
        fn cgroup_move(_cx: &Event, p: Task<'_>, _from: Cgroup<'_>, _to: Cgroup<'_>) {
            let cpu = p.cpu();
            let Some(pair) = PAIRS.get(place(cpu).lower) else { return };
            if !p.is_running() {
                return;
            }
            {
                let _guard = pair.lock.lock();
                pair.draining.set(true);
            }
            cpu.kick(KickFlags::PREEMPT);
        }

        fn dump_cpu(cx: &Dump, cpu: Cpu, _idle: bool) {
            if let Some(pair) = PAIRS.get(place(cpu).lower) {
                let (active, preempted, draining) = (pair.active.get(), pair.preempted.get(), pair.draining.get());
                let cgid = pair.cgid.get();
                scx_dump!(cx, "pair: active %u preempted %u draining %u cgroup %llu", active, preempted, draining, cgid);
            }
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            let nr_cpus = Cpu::nr_ids();
            if nr_cpus > 1024 {
                scx_error!("%u CPUs: there is room for 1024", nr_cpus);
                return Err(Errno(-7));
            }
            let apart = if STRIDE.get() == 0 { nr_cpus / 2 } else { STRIDE.get() };
            if nr_cpus > 1 && apart >= nr_cpus {
                scx_error!("a stride of %u makes no pairs of %u CPUs", apart, nr_cpus);
                return Err(Errno(-22));
            }
            NR_CPUS.set(nr_cpus);
            APART.set(if apart == 0 { 1 } else { apart });
            if GROUPS.get_or_insert(ROOT).is_none() {
                return Err(Errno(NO_SPACE));
            }
            make_queue(cx, ROOT)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
