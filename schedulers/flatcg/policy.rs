//! flatcg: cgroups by weight, their hierarchy flattened.

use scxr_policy::prelude::*;

#[path = "../undertaker.rs"]
mod undertaker;

use undertaker::{make_queue, removed};

/// Tasks that may not run everywhere.
const FALLBACK: Dsq<Fifo> = Dsq::fifo(0);
/// The root of all cgroups.
const ROOT: u64 = 1;
/// No cgroup.
const NOBODY: u64 = 0;
/// The part of the machine that is all of it.
const ONE: u64 = 1 << 20;
/// Room for cgroups.
const MAX_CGROUPS: i64 = 4096;
/// How deep they may be nested.
const MAX_LEVELS: i32 = 64;
/// Cgroups that a CPU looks at for a task at most.
const TRIES: i32 = 1024;
/// Times that it waits there for one on its way.
const RACES: u64 = 16;
/// `ENOMEM` and `ENOSPC`.
const NO_MEMORY: i32 = -12;
const NO_SPACE: i32 = -28;

shared! {
    /// What is kept for each cgroup.
    pub struct Cg {
        /// Its weight.
        pub weight: u32,
        /// 1: it is in the tree, or in the hands of a CPU that puts it back.
        pub in_tree: u32,
        /// The cgroup that it is in; 0: it is the root.
        pub parent: u64,
        /// Tasks that are ready or run.
        pub nr_runnable: u64,
        /// Tasks that are in its queue, on their way there, or out of it and about to run.
        pub nr_waiting: u64,
        /// Cgroups in it that are active, and 1 if it has such tasks of its own: it is active itself if this is not 0.
        pub nr_active: u64,
        /// What it has in its parent's sum: its weight while it is active.
        pub counted: u64,
        /// Sum of the weights of the active cgroups in it.
        pub child_weight_sum: u64,
        /// Its part of the machine, of `ONE`, as of `hweight_gen`.
        pub hweight: u64,
        /// The state of the hierarchy in which that was so.
        pub hweight_gen: u64,
        /// What is still to be charged, or given back.
        pub cvtime_delta: i64,
        /// Its virtual time when it left the tree.
        pub cvtime: Vtime,
        /// The virtual time of its task that was farthest when it started to run.
        pub tvtime_now: Vtime,
    }

    /// What is kept for each task.
    pub struct TaskCtx {
        /// The cgroup under which it counts as ready.
        pub cgid: u64,
        /// CPU time that it had had when it was let go past its cgroup's queue, and 1; 0: it was not.
        pub bypassed_at: u64,
        /// 1: it is among those that wait for its cgroup.
        pub waits: u64,
    }

    /// What is kept for each CPU.
    pub struct CpuCtx {
        /// The cgroup that it is with.
        pub cgid: u64,
        /// Since when.
        pub since: Ns,
        /// Times that it waited for a task on its way. (Here, as a count in a register would have the verifier walk the loop again for each value.)
        pub waited: u64,
    }
}

object! {
    /// A cgroup that has tasks.
    pub struct Node in InTree {
        /// Its virtual time.
        pub cvtime: Vtime,
        /// Which.
        pub cgid: u64,
    }
}

state! {
    /// How long a CPU stays with a cgroup, and the length of a task's slice.
    pub static SLICE as "slice": Tunable<Ns> = Ns::SLICE_DFL;
    /// Tasks of a cgroup first in, first out.
    pub static FIFO as "fifo": Tunable<bool> = false;
    /// CPUs that the machine can have.
    static NR_CPUS as "nr_cpus": Global<u32> = 0;
    /// The virtual time of the cgroup that was farthest when it got a CPU.
    static CVTIME_NOW as "cvtime_now": Global<Vtime> = Vtime::ZERO;
    /// Counts changes of who is active and of weights.
    static HWEIGHT_GEN as "hweight_gen": Global<u64> = 1;

    /// Cgroups that became active.
    static NR_ACT as "nr_act": Global<u64> = 0;
    /// Cgroups that became inactive.
    static NR_DEACT as "nr_deact": Global<u64> = 0;
    /// Tasks that an idle CPU took at once.
    static NR_LOCAL as "nr_local": Global<u64> = 0;
    /// Tasks that may not run everywhere.
    static NR_FALLBACK as "nr_fallback": Global<u64> = 0;
    /// Tasks that went to their cgroup's queue.
    static NR_QUEUED as "nr_queued": Global<u64> = 0;
    /// Parts of the machine that were computed anew.
    static NR_HWT_UPDATES as "nr_hwt_updates": Global<u64> = 0;
    /// Parts of the machine that were as they had been.
    static NR_HWT_CACHED as "nr_hwt_cached": Global<u64> = 0;
    /// CPUs that stayed with their cgroup.
    static NR_CNS_KEEP as "nr_cns_keep": Global<u64> = 0;
    /// CPUs whose time with their cgroup was over.
    static NR_CNS_EXPIRE as "nr_cns_expire": Global<u64> = 0;
    /// CPUs whose cgroup had no more tasks.
    static NR_CNS_EMPTY as "nr_cns_empty": Global<u64> = 0;
    /// CPUs whose cgroup was gone.
    static NR_CNS_GONE as "nr_cns_gone": Global<u64> = 0;
    /// Cgroups that got a CPU.
    static NR_PNC_NEXT as "nr_pnc_next": Global<u64> = 0;
    /// Times that no cgroup had a task.
    static NR_PNC_NO_CGRP as "nr_pnc_no_cgrp": Global<u64> = 0;
    /// Cgroups whose turn came when they had no task.
    static NR_PNC_EMPTY as "nr_pnc_empty": Global<u64> = 0;
    /// Cgroups whose turn came when they were gone.
    static NR_PNC_GONE as "nr_pnc_gone": Global<u64> = 0;
    /// Cgroups whose last task another CPU took first.
    static NR_PNC_RACE as "nr_pnc_race": Global<u64> = 0;
    /// Times that a CPU looked at as many cgroups as it may, and found nothing.
    static NR_PNC_FAIL as "nr_pnc_fail": Global<u64> = 0;
    /// Cgroups that found no memory for their place in the tree: their task went to the fallback queue.
    static NR_NO_MEMORY as "nr_no_memory": Global<u64> = 0;
    /// Cgroups that there are.
    static NR_CGROUPS as "nr_cgroups": Global<i64> = 0;
    /// Cgroups that there was no room for: their tasks are the root's.
    static NR_CGRP_REFUSED as "nr_cgrp_refused": Global<u64> = 0;
    /// Removed cgroups whose queues are still there.
    pub(crate) static NR_DEAD as "nr_dead": Global<i64> = 0;
    /// Removed cgroups whose queues stay until the scheduler ends: there were too many at a time.
    pub(crate) static NR_NOT_BURIED as "nr_not_buried": Global<u64> = 0;
    /// Of `dead`, those that were there at the last beat of the timer.
    pub(crate) static RIPE as "ripe": Global<i64> = 0;
    /// 1: the timer runs.
    pub(crate) static BURYING as "burying": Global<u32> = 0;

    /// Cgroups that CPUs look at, out of the tree.
    static NR_IN_HAND as "nr_in_hand": Global<i64> = 0;

    /// By cgroup.
    static CGROUPS as "cgroups": HashMap<u64, Cg, 4096>;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// By CPU.
    static CPUS as "cpus": PerCpu<CpuCtx>;
    /// Cgroups that have tasks, by virtual time.
    static TREE as "tree": Tree<Node>;
    /// Removed cgroups whose queues are still there.
    pub(crate) static DEAD as "dead": Queue<u64, 4096>;
    /// Ends queues of removed cgroups.
    pub(crate) static UNDERTAKER as "undertaker": Timer;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

/// The queue of a cgroup's tasks.
#[inline(always)]
fn queue(cgid: u64) -> Dsq {
    Dsq::user(cgid)
}

/// Is there such a cgroup?
#[inline(always)]
fn is_known(cgid: u64) -> bool {
    CGROUPS.get(cgid).is_some()
}

/// Makes what a cgroup has in its parent's sum agree with whether it is active. Several CPUs may be at it: the last one to look sees how it is.
#[inline(always)]
fn settle(cg: &Cg, parent: &Cg) {
    for _ in 0..2 {
        let is = if cg.nr_active.get() != 0 { u64::from(cg.weight.get()) } else { 0 };
        let was = cg.counted.swap(is);
        parent.child_weight_sum.fetch_add(is.wrapping_sub(was));
    }
}

/// A cgroup, and with it those that it is in, becomes active or inactive.
#[inline(always)]
fn change_active(cgid: u64, active: bool) {
    let mut at = cgid;
    for _ in bounded!(0..MAX_LEVELS) {
        let Some(cg) = CGROUPS.get(at) else { break };
        // only the first and the last one matter further up
        let matters = if active { cg.nr_active.fetch_add(1) == 0 } else { cg.nr_active.fetch_sub(1) == 1 };
        if !matters {
            break;
        }
        at = cg.parent.get();
        let Some(parent) = CGROUPS.get(at) else { break };
        settle(&cg, &parent);
    }
    if active {
        NR_ACT.fetch_add(1);
    } else {
        NR_DEACT.fetch_add(1);
    }
    HWEIGHT_GEN.fetch_add(1);
}

/// A cgroup's part of the machine: the product over the levels of its weight by the sum of the active ones beside it. It is kept until something changes.
#[inline(always)]
fn hweight(cgid: u64, cg: &Cg) -> u64 {
    let generation = HWEIGHT_GEN.get();
    if cg.hweight_gen.get() == generation {
        NR_HWT_CACHED.fetch_add(1);
        return cg.hweight.get();
    }
    NR_HWT_UPDATES.fetch_add(1);
    let (mut at, mut part) = (cgid, ONE);
    for _ in bounded!(0..MAX_LEVELS) {
        let Some(here) = CGROUPS.get(at) else { break };
        at = here.parent.get();
        let Some(parent) = CGROUPS.get(at) else { break };
        let (weight, sum) = (u64::from(here.weight.get()), parent.child_weight_sum.get());
        // one that is not active has to be counted as if it were
        let sum = if sum < weight { weight } else { sum };
        part = quotient(part.wrapping_mul(weight), sum);
        part = if part == 0 { 1 } else { part };
    }
    cg.hweight.set(part);
    cg.hweight_gen.set(generation);
    part
}

/// What CPU time costs a cgroup in virtual time.
#[inline(always)]
fn cost(time: Ns, hweight: u64) -> Ns {
    Ns(quotient(time.0.wrapping_mul(ONE), hweight))
}

/// Its virtual time with what is still to be charged, and not so far behind that it could have the machine for long.
#[inline(always)]
fn caught_up(cg: &Cg, cvtime: Vtime, hweight: u64) -> Vtime {
    let cvtime = cvtime + Ns(cg.cvtime_delta.swap(0) as u64);
    let budget = SLICE.get().0.wrapping_mul(NR_CPUS.get().into()).wrapping_mul(hweight) / (2 * ONE);
    cvtime.max(CVTIME_NOW.get() - Ns(budget))
}

/// Puts a cgroup into the tree.
#[inline(always)]
fn insert(node: Owned<Node>) {
    if let Some(mut tree) = TREE.lock() {
        tree.insert(node, |a: &Node, b: &Node| a.cvtime.get().before(b.cvtime.get()));
    }
}

/// The cgroup with the least virtual time. While it is looked at, others may find the tree empty.
#[inline(always)]
fn pop() -> Option<Owned<Node>> {
    NR_IN_HAND.fetch_add(1);
    let node = match TREE.lock() {
        Some(mut tree) => tree.pop_first(),
        None => None,
    };
    if node.is_none() {
        NR_IN_HAND.fetch_sub(1);
    }
    node
}

/// Sees to it that a cgroup that is to have a task is in the tree; `false`: there is no memory.
#[inline(always)]
fn line_up(cgid: u64, cg: &Cg) -> bool {
    if cg.in_tree.get() != 0 || cg.in_tree.swap(1) != 0 {
        return true;
    }
    let Some(node) = Owned::<Node>::new() else {
        cg.in_tree.swap(0);
        NR_NO_MEMORY.fetch_add(1);
        return false;
    };
    node.cgid.set(cgid);
    node.cvtime.set(caught_up(cg, cg.cvtime.get(), hweight(cgid, cg)));
    insert(node);
    true
}

/// The cgroup that a task counts under, and where it is kept.
#[inline(always)]
fn of_task<'a>(p: Task<'_>) -> Option<(Ref<'a, TaskCtx>, u64, Ref<'a, Cg>)> {
    let task = TASKS.get(p)?;
    let cgid = task.cgid.get();
    let cg = CGROUPS.get(cgid)?;
    Some((task, cgid, cg))
}

/// Notes that what the task runs now is charged to its cgroup afterwards.
#[inline(always)]
fn bypass(p: Task<'_>) {
    if let Some(task) = TASKS.get(p) {
        task.bypassed_at.set(p.sum_exec_runtime().0.wrapping_add(1));
    }
}

/// A task's virtual time once what it used of its slice is charged, by weight.
#[inline(always)]
fn charged(p: Task<'_>) -> Vtime {
    let used = SLICE.get().0.saturating_sub(p.slice().0);
    p.dsq_vtime() + p.weight().charge(Ns(used))
}

/// Is it the cgroup's, and could it go on?
#[inline(always)]
fn could_go_on(p: Task<'_>, cgid: u64) -> bool {
    p.is_queued() && TASKS.get(p).is_some_and(|task| task.cgid.get() == cgid && task.bypassed_at.get() == 0)
}

/// Not so far behind its cgroup's others that it could have the CPU for long.
#[inline(always)]
fn not_behind(vtime: Vtime, cg: &Cg) -> Vtime {
    vtime.max(cg.tvtime_now.get() - SLICE.get())
}

/// A cgroup's virtual time goes forward with its tasks that run.
#[inline(always)]
fn advance(cg: &Cg, vtime: Vtime) {
    if cg.tvtime_now.get().before(vtime) {
        cg.tvtime_now.set(vtime);
    }
}

/// Lets a task of the cgroup that a CPU is with go on, if it would be the first of those that wait.
#[inline(always)]
fn goes_on(prev: Option<Task<'_>>, cgid: u64, cg: &Cg) -> bool {
    let Some(p) = prev else { return false };
    if !could_go_on(p, cgid) {
        return false;
    }
    let vtime = not_behind(charged(p), cg);
    let first = match queue(cgid).peek() {
        Some(first) => !FIFO.get() && vtime.before(first.dsq_vtime()),
        None => queue(cgid).nr_queued() == Ok(0),
    };
    if first {
        p.set_dsq_vtime(vtime);
        p.set_slice(SLICE.get());
        advance(cg, vtime);
    }
    first
}

/// Takes a task of a cgroup, or lets the one that ran go on.
#[inline(always)]
fn take(cx: &Dispatch, cgid: u64, cg: &Cg, prev: Option<Task<'_>>) -> bool {
    goes_on(prev, cgid, cg) || queue(cgid).move_to_local(cx)
}

/// Stays with the CPU's cgroup while its time lasts; else settles what that cost.
#[inline(always)]
fn stays(cx: &Dispatch, cpu: &CpuCtx, prev: Option<Task<'_>>, now: Ns) -> bool {
    let cgid = cpu.cgid.get();
    if cgid == NOBODY {
        return false;
    }
    let Some(cg) = CGROUPS.get(cgid) else {
        NR_CNS_GONE.fetch_add(1);
        cpu.cgid.set(NOBODY);
        return false;
    };
    let had = now - cpu.since.get();
    if had.0 < SLICE.get().0 {
        if take(cx, cgid, &cg, prev) {
            NR_CNS_KEEP.fetch_add(1);
            return true;
        }
        NR_CNS_EMPTY.fetch_add(1);
    } else {
        NR_CNS_EXPIRE.fetch_add(1);
    }
    // a whole slice was charged before
    let hweight = hweight(cgid, &cg);
    cg.cvtime_delta.fetch_add(cost(had, hweight).0.wrapping_sub(cost(SLICE.get(), hweight).0) as i64);
    cpu.cgid.set(NOBODY);
    false
}

/// Puts a cgroup that was out of the tree back, or ends its node. `cvtime`: its virtual time; `None`: it has no task, or is gone.
#[inline(always)]
fn put_back(node: Owned<Node>, cvtime: Option<Vtime>) {
    if let Some(cvtime) = cvtime {
        node.cvtime.set(cvtime);
        insert(node);
    }
    NR_IN_HAND.fetch_sub(1);
}

/// What came of looking at a cgroup.
#[derive(PartialEq)]
enum Look {
    /// The CPU has a task of it.
    Found,
    /// It has none.
    Nothing,
    /// It has one that is not in its queue yet, or no more.
    OnItsWay,
}

/// Goes to the cgroup of a node, if it has a task. The node is in the tree again at once, a slice later: other CPUs look for it, too. A task gets into its queue after
/// `enqueue` has returned: so a cgroup is let go by the count of those that wait, which `enqueue` raises before it looks for the cgroup in the tree.
#[inline(always)]
fn goes_to(cx: &Dispatch, cpu: &CpuCtx, prev: Option<Task<'_>>, node: Owned<Node>) -> Look {
    let (cgid, cvtime) = (node.cgid.get(), node.cvtime.get());
    if CVTIME_NOW.get().before(cvtime) {
        CVTIME_NOW.set(cvtime);
    }
    let Some(cg) = CGROUPS.get(cgid) else {
        NR_PNC_GONE.fetch_add(1);
        put_back(node, None);
        return Look::Nothing;
    };
    if queue(cgid).nr_queued() == Ok(0) && !prev.is_some_and(|p| could_go_on(p, cgid)) {
        if cg.nr_waiting.get() != 0 {
            NR_PNC_RACE.fetch_add(1);
            put_back(node, Some(cvtime));
            return Look::OnItsWay;
        }
        NR_PNC_EMPTY.fetch_add(1);
        cg.cvtime.set(cvtime);
        cg.in_tree.swap(0);
        // one that came in between found it in the tree
        let again = cg.nr_waiting.get() != 0 && cg.in_tree.swap(1) == 0;
        put_back(node, if again { Some(cvtime) } else { None });
        return Look::Nothing;
    }
    let hweight = hweight(cgid, &cg);
    let slice = cost(SLICE.get(), hweight);
    put_back(node, Some(caught_up(&cg, cvtime + slice, hweight)));
    if !take(cx, cgid, &cg, prev) {
        // another CPU was faster
        NR_PNC_RACE.fetch_add(1);
        cg.cvtime_delta.fetch_sub(slice.0 as i64);
        return Look::Nothing;
    }
    NR_PNC_NEXT.fetch_add(1);
    cpu.cgid.set(cgid);
    cpu.since.set(Ns::now());
    Look::Found
}

/// Counts a task among those that wait for their cgroup.
#[inline(always)]
fn waits(task: &TaskCtx, cg: &Cg) {
    if task.waits.swap(1) == 0 {
        cg.nr_waiting.fetch_add(1);
    }
}

/// It runs, or does not want to any more.
#[inline(always)]
fn waits_no_more(task: &TaskCtx, cg: &Cg) {
    if task.waits.get() != 0 && task.waits.swap(0) != 0 {
        cg.nr_waiting.fetch_sub(1);
    }
}

/// Has an idle CPU look for a task that came: one that went idle since `select_cpu` looked has not seen it.
#[inline(always)]
fn wake_idle(p: Task<'_>) {
    if let Some(cpu) = p.cpus().pick_idle(PickFlags::NONE) {
        cpu.kick(KickFlags::IDLE);
    }
}

/// A task that is not to wait in its cgroup's queue.
#[inline(always)]
fn fall_back(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
    NR_FALLBACK.fetch_add(1);
    bypass(p);
    if p.is_kthread() && p.nr_cpus_allowed() == 1 {
        Dsq::LOCAL.insert(cx, p, SLICE.get(), enq_flags);
    } else {
        FALLBACK.insert(cx, p, SLICE.get(), enq_flags);
        wake_idle(p);
    }
}

/// A cgroup comes to be known.
#[inline(always)]
fn add(cx: &Init, cgid: u64, parent: u64, weight: Weight) -> Result<(), Errno> {
    let Some(cg) = CGROUPS.get_or_insert(cgid) else { return Err(Errno(NO_SPACE)) };
    cg.weight.set(weight.0);
    cg.parent.set(parent);
    cg.hweight.set(ONE);
    cg.cvtime.set(CVTIME_NOW.get());
    make_queue(cx, cgid)
}

scheduler! {
    /// Cgroups by weight, their hierarchy flattened.
    pub struct Flatcg { name: "flatcg", flags: OpsFlags::ENQ_EXITING }

    impl Ops for Flatcg {
        /// An idle CPU takes the task at once. What it runs is charged to its cgroup afterwards.
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            let picked = p.select_cpu_dfl(cx, prev_cpu, wake_flags);
            if picked.is_idle {
                NR_LOCAL.fetch_add(1);
                bypass(p);
                Dsq::LOCAL.insert(cx, p, SLICE.get(), EnqFlags::NONE);
            }
            picked.cpu
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if (p.nr_cpus_allowed() as u32) < NR_CPUS.get() {
                fall_back(cx, p, enq_flags);
                return;
            }
            let Some((task, cgid, cg)) = of_task(p) else {
                fall_back(cx, p, enq_flags);
                return;
            };
            waits(&task, &cg);
            if !line_up(cgid, &cg) {
                fall_back(cx, p, enq_flags);
                return;
            }
            NR_QUEUED.fetch_add(1);
            if FIFO.get() {
                queue(cgid).insert(cx, p, SLICE.get(), enq_flags);
            } else {
                queue(cgid).insert_vtime(cx, p, SLICE.get(), not_behind(p.dsq_vtime(), &cg), enq_flags);
            }
            wake_idle(p);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, prev: Option<Task<'_>>) {
            let Some(cpu) = CPUS.get() else { return };
            if stays(cx, &cpu, prev, Ns::now()) || FALLBACK.move_to_local(cx) {
                return;
            }
            cpu.waited.set(0);
            for _ in bounded!(0..TRIES) {
                let Some(node) = pop() else {
                    if NR_IN_HAND.get() > 0 {
                        continue;
                    }
                    NR_PNC_NO_CGRP.fetch_add(1);
                    return;
                };
                match goes_to(cx, &cpu, prev, node) {
                    Look::Found => return,
                    Look::Nothing => {}
                    Look::OnItsWay if cpu.waited.get() < RACES => cpu.waited.set(cpu.waited.get().wrapping_add(1)),
                    Look::OnItsWay => break,
                }
            }
            NR_PNC_FAIL.fetch_add(1);
        }

        fn runnable(_cx: &Event, p: Task<'_>, _enq_flags: EnqFlags) {
            let Some(task) = TASKS.get(p) else { return };
            let mut cgid = p.cgroup().map_or(ROOT, |held| held.cgroup().id());
            let mut found = CGROUPS.get(cgid);
            if found.is_none() {
                cgid = ROOT;
                found = CGROUPS.get(cgid);
            }
            task.cgid.set(cgid);
            if let Some(cg) = found
                && cg.nr_runnable.fetch_add(1) == 0
            {
                change_active(cgid, true);
            }
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let Some((task, _, cg)) = of_task(p) else { return };
            waits_no_more(&task, &cg);
            if !FIFO.get() {
                advance(&cg, p.dsq_vtime());
            }
        }

        fn stopping(_cx: &Event, p: Task<'_>, _runnable: bool) {
            if !FIFO.get() {
                p.set_dsq_vtime(charged(p));
            }
            let Some(task) = TASKS.get(p) else { return };
            let (from, cgid) = (task.bypassed_at.get(), task.cgid.get());
            if from == 0 {
                return;
            }
            task.bypassed_at.set(0);
            if let Some(cg) = CGROUPS.get(cgid) {
                let ran = p.sum_exec_runtime().0.wrapping_sub(from.wrapping_sub(1));
                cg.cvtime_delta.fetch_add(cost(Ns(ran), hweight(cgid, &cg)).0 as i64);
            }
        }

        fn quiescent(_cx: &Event, p: Task<'_>, _deq_flags: EnqFlags) {
            let Some((task, cgid, cg)) = of_task(p) else { return };
            waits_no_more(&task, &cg);
            if cg.nr_runnable.fetch_sub(1) == 1 {
                // what is charged to it later is by the part that it had
                hweight(cgid, &cg);
                change_active(cgid, false);
            }
        }

        fn init_task(_cx: &Init, p: Task<'_>, _args: InitTask<'_>) -> Result<(), Errno> {
            if TASKS.get_or_create(p).is_some() { Ok(()) } else { Err(Errno(NO_MEMORY)) }
        }

        fn cgroup_init(cx: &Init, cgrp: Cgroup<'_>, args: CgroupInit<'_>) -> Result<(), Errno> {
            let parent = match cgrp.level() {
                0 => NOBODY,
                level => cgrp.ancestor(level.wrapping_sub(1)).map_or(ROOT, |held| held.cgroup().id()),
            };
            let room = NR_CGROUPS.fetch_add(1) < MAX_CGROUPS && cgrp.level() < MAX_LEVELS;
            let added = if room { add(cx, cgrp.id(), parent, args.weight()) } else { Err(Errno(NO_SPACE)) };
            if added.is_ok() {
                return Ok(());
            }
            NR_CGROUPS.fetch_sub(1);
            NR_CGRP_REFUSED.fetch_add(1);
            if added == Err(Errno(NO_SPACE)) { Ok(()) } else { added }
        }

        fn cgroup_exit(_cx: &Init, cgrp: Cgroup<'_>) {
            if CGROUPS.remove(cgrp.id()) {
                NR_CGROUPS.fetch_sub(1);
                removed(cgrp.id());
            }
        }

        /// The task keeps its distance from the others' virtual time.
        fn cgroup_move(_cx: &Event, p: Task<'_>, from: Cgroup<'_>, to: Cgroup<'_>) {
            let (Some(from), Some(to)) = (CGROUPS.get(from.id()), CGROUPS.get(to.id())) else { return };
            let ahead = Ns(p.dsq_vtime().0.wrapping_sub(from.tvtime_now.get().0));
            p.set_dsq_vtime(to.tvtime_now.get() + ahead);
        }

        fn cgroup_set_weight(_cx: &Unlocked, cgrp: Cgroup<'_>, weight: Weight) {
            let Some(cg) = CGROUPS.get(cgrp.id()) else { return };
            cg.weight.set(weight.0);
            if let Some(parent) = CGROUPS.get(cg.parent.get()) {
                settle(&cg, &parent);
            }
            HWEIGHT_GEN.fetch_add(1);
        }

        /// A new task starts now, neither ahead nor behind.
        fn enable(_cx: &Event, p: Task<'_>) {
            let now = of_task(p).map_or(Vtime::ZERO, |(_, _, cg)| cg.tvtime_now.get());
            p.set_dsq_vtime(now);
        }

        /// CPUs may come and go: whoever is free takes from the tree.
        fn cpu_online(_cx: &Init, _cpu: Cpu) {}

        fn cpu_offline(_cx: &Init, _cpu: Cpu) {}

        fn init(cx: &Init) -> Result<(), Errno> {
            NR_CPUS.set(HeldMask::possible().mask().weight());
            FALLBACK.create(cx)?;
            add(cx, ROOT, NOBODY, Weight::DEFAULT)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
