//! qmap: five FIFOs by weight, served in weighted turns.

use scxr_policy::prelude::*;

/// Levels, one FIFO each.
const NR_LEVELS: u32 = 5;
/// What was taken out of the FIFOs, and what found its FIFO full.
const SHARED: Dsq<Fifo> = Dsq::fifo(0);
/// Tasks of the highest priority, in the order in which they were found.
const HIGHPRI_DSQ: Dsq<ByVtime> = Dsq::by_vtime(1);
/// The weight from which on a task is of the highest priority: half way from that of nice -19 to that of nice -20.
const HIGHPRI_WEIGHT: Weight = Weight(8668);
/// How often the timer looks.
const BEAT: Ns = Ns::from_ms(1000);
/// Where the kernel's thread of all kernel threads is to be found.
const KTHREADD: i32 = 2;

shared! {
    /// What is kept for each task.
    pub struct TaskCtx {
        /// `select_cpu` claimed the CPU for it.
        pub force_local: bool,
        /// 1: it is of the highest priority, and waits.
        pub highpri: u32,
        /// Its number in its level, for core scheduling.
        pub core_sched_seq: u64,
    }

    /// What each CPU keeps.
    pub struct CpuCtx {
        /// The level whose turn it is.
        pub level: u32,
        /// Tasks that this level may still have in this turn.
        pub left: u32,
        /// Tasks that were taken out of FIFOs in this dispatch.
        pub nr_taken: u32,
        /// 1: the last one came out of the shared queue, and not out of a FIFO.
        pub nr_shared: u32,
        /// Levels that were found empty since then.
        pub nr_empty: u32,
        /// Mean weight of what runs there.
        pub avg_weight: u32,
        /// The performance that was asked for, of 1024.
        pub perf_target: u32,
    }

    /// A figure over all CPUs.
    pub struct Spread {
        /// The least.
        pub min: u32,
        /// The greatest.
        pub max: u32,
        /// Their sum.
        pub sum: u32,
        /// How many there are.
        pub nr: u32,
    }

    /// Numbers of a level, for core scheduling.
    pub struct Seqs {
        /// The next task that comes gets this.
        pub tail: u64,
        /// The last task that went had about this.
        pub head: u64,
    }
}

state! {
    /// The slice.
    pub static SLICE as "slice": Tunable<Ns> = Ns::SLICE_DFL;
    /// Tasks that a dispatch takes out of the FIFOs.
    pub static BATCH as "batch": Tunable<u32> = 1;
    /// Tasks of nice -20 go before all others.
    pub static HIGHPRI as "highpri": Tunable<bool> = false;
    /// Trace who waits in the shared queue, once a second.
    pub static PRINT_SHARED as "print_shared": Tunable<bool> = false;
    /// Process that may not be SCHED_EXT.
    pub static DISALLOW_TGID as "disallow_tgid": Tunable<i32> = 0;
    /// Every so many user tasks one is forgotten.
    pub static DROP_USER_NTH as "drop_user_nth": Tunable<u64> = 0;
    /// Every so many kernel threads one is forgotten.
    pub static DROP_KERNEL_NTH as "drop_kernel_nth": Tunable<u64> = 0;
    /// After so many enqueued tasks the scheduler errs.
    pub static ERROR_AFTER as "error_after": Tunable<u64> = 0;
    /// After so many dispatched tasks it dispatches for ever.
    pub static LOOP_AFTER as "loop_after": Tunable<u64> = 0;

    /// Tasks that came to be enqueued.
    static NR_ENQUEUED as "nr_enqueued": Global<u64> = 0;
    /// Tasks that were taken out of the FIFOs.
    static NR_DISPATCHED as "nr_dispatched": Global<u64> = 0;
    /// Tasks that went to an idle CPU at once, chosen by `select_cpu`.
    static NR_DIRECT as "nr_direct": Global<u64> = 0;
    /// The same, chosen by `enqueue` since `select_cpu` was not asked.
    static NR_DDSP_FROM_ENQ as "nr_ddsp_from_enq": Global<u64> = 0;
    /// Tasks that a higher class drove off their CPU.
    static NR_REENQUEUED as "nr_reenqueued": Global<u64> = 0;
    /// Tasks that were taken back.
    static NR_DEQUEUED as "nr_dequeued": Global<u64> = 0;
    /// Tasks that found their FIFO full.
    static NR_OVERFLOWS as "nr_overflows": Global<u64> = 0;
    /// Tasks that were gone when their turn came.
    static NR_GONE as "nr_gone": Global<u64> = 0;
    /// Tasks that were forgotten, as a fault.
    static NR_DROPPED as "nr_dropped": Global<u64> = 0;
    /// Tasks that went on in their level's turn, as no other of that level waited.
    static NR_KEPT as "nr_kept": Global<u64> = 0;
    /// 1: a task woke up and waits in a FIFO.
    static WOKEN as "woken": Global<u32> = 0;
    /// Questions of core scheduling.
    static NR_CORE_SCHED as "nr_core_sched": Global<u64> = 0;
    /// Tasks of the highest priority that wait.
    static NR_HIGHPRI_QUEUED as "nr_highpri_queued": Global<i64> = 0;
    /// Such tasks that were sent to the CPU that looked.
    static NR_EXPEDITED_LOCAL as "nr_expedited_local": Global<u64> = 0;
    /// Such tasks that were sent to another CPU.
    static NR_EXPEDITED_REMOTE as "nr_expedited_remote": Global<u64> = 0;
    /// Such tasks that the timer sent.
    static NR_EXPEDITED_TIMER as "nr_expedited_timer": Global<u64> = 0;
    /// Such tasks that were gone.
    static NR_EXPEDITED_LOST as "nr_expedited_lost": Global<u64> = 0;
    /// What such tasks are ordered by.
    static HIGHPRI_SEQ as "highpri_seq": Global<u64> = 0;
    /// Least performance of a CPU, of 1024, as the timer saw it.
    static PERF_MIN as "perf_min": Global<u32> = 0;
    /// Mean performance.
    static PERF_AVG as "perf_avg": Global<u32> = 0;
    /// Greatest performance.
    static PERF_MAX as "perf_max": Global<u32> = 0;
    /// Least performance that was asked for.
    static PERF_TARGET_MIN as "perf_target_min": Global<u32> = 0;
    /// Mean of what was asked for.
    static PERF_TARGET_AVG as "perf_target_avg": Global<u32> = 0;
    /// Greatest performance that was asked for.
    static PERF_TARGET_MAX as "perf_target_max": Global<u32> = 0;

    /// Ids of tasks, weight 25 and less.
    static FIFO0 as "fifo0": Queue<i32, 4096>;
    /// Ids of tasks, weight 50 and less.
    static FIFO1 as "fifo1": Queue<i32, 4096>;
    /// Ids of tasks, weight below 200.
    static FIFO2 as "fifo2": Queue<i32, 4096>;
    /// Ids of tasks, weight below 400.
    static FIFO3 as "fifo3": Queue<i32, 4096>;
    /// Ids of tasks, weight 400 and more.
    static FIFO4 as "fifo4": Queue<i32, 4096>;
    /// The FIFOs by level.
    static FIFOS as "fifos": ArrayOfMaps<Queue<i32, 4096>, 5> = [&FIFO0, &FIFO1, &FIFO2, &FIFO3, &FIFO4];
    /// Numbers by level.
    static SEQS as "seqs": Array<Seqs, 5>;
    /// Performance of the CPUs, and what was asked for, while it is looked at.
    static SPREADS as "spreads": Array<Spread, 2>;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// By CPU.
    static CPUS as "cpus": PerCpu<CpuCtx>;
    /// Looks after what `dispatch` may have missed.
    static TIMER as "timer": Timer;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

/// The level of a weight.
#[inline(always)]
fn level(weight: Weight) -> u32 {
    match weight.0 {
        0..=25 => 0,
        26..=50 => 1,
        51..=199 => 2,
        200..=399 => 3,
        _ => 4,
    }
}

/// Gives the task the next number of its level.
#[inline(always)]
fn stamp(p: Task<'_>, task: &TaskCtx) {
    if let Some(seqs) = SEQS.get(level(p.weight())) {
        task.core_sched_seq.set(seqs.tail.fetch_add(1));
    }
}

/// How far a task is from its turn: 0 is now, negative is overdue. A level that has twice the turns gets twice as far in the same time.
#[inline(always)]
fn distance(p: Task<'_>) -> i64 {
    let level = level(p.weight());
    let (Some(task), Some(seqs)) = (TASKS.get(p), SEQS.get(level)) else { return 0 };
    let distance = task.core_sched_seq.get().wrapping_sub(seqs.head.get()) as i64;
    if distance >= 0 { distance.wrapping_shl(NR_LEVELS - 1 - level) } else { distance.wrapping_shl(level) }
}

/// An idle CPU for a task that was on `cpu`, now claimed.
#[inline(always)]
fn pick(p: Task<'_>, cpu: Cpu) -> Option<Cpu> {
    if p.cpus().test(cpu) && cpu.test_and_clear_idle() {
        return Some(cpu);
    }
    p.cpus().pick_idle(PickFlags::NONE)
}

/// Has an idle CPU on which the task may run look for it.
#[inline(always)]
fn wake_idle(p: Task<'_>) {
    if let Some(cpu) = p.cpus().pick_idle(PickFlags::NONE) {
        cpu.kick(KickFlags::IDLE);
    }
}

/// Should it be forgotten? `nth`: every so many.
#[inline(always)]
fn dropped(p: Task<'_>) -> bool {
    let nth = if p.is_kthread() { DROP_KERNEL_NTH.get() } else { DROP_USER_NTH.get() };
    if nth == 0 || !NR_ENQUEUED.get().is_multiple_of(nth) {
        return false;
    }
    NR_DROPPED.fetch_add(1);
    true
}

/// The task waits no longer, as far as the highest priority is concerned; did it?
#[inline(always)]
fn not_highpri(task: &TaskCtx) -> bool {
    let was = task.highpri.get() != 0 && task.highpri.swap(0) != 0;
    if was {
        NR_HIGHPRI_QUEUED.fetch_sub(1);
    }
    was
}

/// Sends tasks of the highest priority to CPUs, which have to make room: from the shared queue to that of their own, and from there on. By a CPU: until it
/// has one for itself.
#[inline(always)]
fn expedite(cx: &impl MayMove, by_timer: bool) -> bool {
    if NR_HIGHPRI_QUEUED.get() <= 0 {
        return false;
    }
    for p in waiting!(SHARED) {
        let highpri = TASKS.get(*p).is_some_and(|task| task.highpri.get() != 0);
        if highpri {
            p.set_move_slice(SLICE.get() + SLICE.get());
            p.set_move_vtime(Vtime(HIGHPRI_SEQ.fetch_add(1)));
            p.move_to_vtime(cx, HIGHPRI_DSQ, EnqFlags::NONE);
        }
    }
    let this = Cpu::current();
    for p in waiting!(HIGHPRI_DSQ) {
        let here = p.cpus().test(this);
        let to = if here { Some(this) } else { p.cpus().any() };
        let Some(to) = to else { continue };
        if let Some(task) = TASKS.get(*p) {
            not_highpri(&task);
        }
        if !p.move_to(cx, Dsq::local_on(to), EnqFlags::PREEMPT) {
            NR_EXPEDITED_LOST.fetch_add(1);
        } else if by_timer {
            NR_EXPEDITED_TIMER.fetch_add(1);
        } else if here {
            NR_EXPEDITED_LOCAL.fetch_add(1);
            return true;
        } else {
            NR_EXPEDITED_REMOTE.fetch_add(1);
        }
    }
    false
}

/// Takes the next task out of the FIFO of the level whose turn it is into the shared queue, or finds that it is empty.
#[inline(always)]
fn take(cx: &Dispatch, ctx: &CpuCtx, cpu: Cpu) {
    if ctx.left.get() == 0 {
        next_turn(ctx);
    }
    let level = ctx.level.get();
    let Some(pid) = FIFOS.get(level).and_then(|fifo| fifo.pop()) else {
        ctx.left.set(0);
        ctx.nr_empty.add(1);
        return;
    };
    if let Some(seqs) = SEQS.get(level) {
        seqs.head.fetch_add(1);
    }
    let Some(found) = OwnedTask::from_pid(pid) else {
        NR_GONE.fetch_add(1);
        return;
    };
    let p = found.task();
    NR_DISPATCHED.fetch_add(1);
    SHARED.insert(cx, p, SLICE.get(), EnqFlags::NONE);
    if !p.cpus().test(cpu) {
        wake_idle(p);
    }
    ctx.left.sub(1);
    ctx.nr_taken.add(1);
    ctx.nr_empty.set(0);
}

/// Takes tasks out of the FIFOs, by turns, until the batch is full, the class takes no more, or all FIFOs are empty. (What is counted is kept in a map, where
/// the verifier does not follow it: else each round would be new to it.)
#[inline(always)]
fn take_batch(cx: &Dispatch, ctx: &CpuCtx, cpu: Cpu) {
    ctx.nr_taken.set(0);
    ctx.nr_empty.set(0);
    let batch = if BATCH.get() == 0 { 1 } else { BATCH.get() };
    for _ in bounded!(0..4096) {
        // all levels, and the rest of the turn in which the last time ended
        if ctx.nr_taken.get() >= batch || ctx.nr_empty.get() > NR_LEVELS || Dsq::nr_slots(cx) == 0 {
            break;
        }
        take(cx, ctx, cpu);
    }
}

/// A task that used up its slice while its level has the turn, and no other of the level waits: it goes on, which counts as one more of the turn. Without
/// this a task that is alone in its level would get no more than one in the lowest.
#[inline(always)]
fn goes_on(p: Task<'_>, ctx: &CpuCtx) -> bool {
    let level = level(p.weight());
    if ctx.left.get() == 0 || ctx.level.get() != level || p.slice() != Ns::ZERO || !p.is_queued() {
        return false;
    }
    if FIFOS.get(level).is_none_or(|fifo| fifo.peek().is_some()) {
        return false;
    }
    // who sleeps now and then does not wait for the whole turn
    if WOKEN.get() != 0 && WOKEN.swap(0) != 0 {
        return false;
    }
    ctx.left.sub(1);
    NR_KEPT.fetch_add(1);
    p.set_slice(SLICE.get());
    true
}

/// A fault: the same task, which does not wait, is dispatched for ever.
#[inline(always)]
fn loops(cx: &Dispatch) -> bool {
    if LOOP_AFTER.get() == 0 || NR_DISPATCHED.get() < LOOP_AFTER.get() {
        return false;
    }
    let Some(kthreadd) = OwnedTask::from_pid(KTHREADD) else { return false };
    Dsq::GLOBAL.insert(cx, kthreadd.task(), SLICE.get(), EnqFlags::NONE);
    true
}

/// The next turn of a CPU: level `i` has `2^i` tasks in it.
#[inline(always)]
fn next_turn(ctx: &CpuCtx) {
    let next = ctx.level.get() + 1;
    let next = if next < NR_LEVELS { next } else { 0 };
    ctx.level.set(next);
    ctx.left.set(1 << (next & 7));
}

/// Notes a figure of a CPU.
#[inline(always)]
fn note(spread: &Spread, value: u32) {
    if value < spread.min.get() {
        spread.min.set(value);
    }
    if value > spread.max.get() {
        spread.max.set(value);
    }
    spread.sum.add(value);
    spread.nr.add(1);
}

/// Looks at the performance of the CPUs that are online: what it is, and what was asked for.
#[inline(always)]
fn monitor() {
    let (Some(cur), Some(target)) = (SPREADS.get(0), SPREADS.get(1)) else { return };
    for spread in [&cur, &target] {
        spread.min.set(u32::MAX);
        spread.max.set(0);
        spread.sum.set(0);
        spread.nr.set(0);
    }
    let online = HeldMask::online();
    for cpu in bounded!(0..Cpu::nr_ids() as i32) {
        let cpu = Cpu(cpu);
        if online.mask().test(cpu)
            && let Some(ctx) = CPUS.on(cpu)
        {
            note(&cur, cpu.perf_cur());
            note(&target, ctx.perf_target.get());
        }
    }
    PERF_MIN.set(cur.min.get());
    PERF_AVG.set(cur.sum.get().checked_div(cur.nr.get()).unwrap_or(0));
    PERF_MAX.set(cur.max.get());
    PERF_TARGET_MIN.set(target.min.get());
    PERF_TARGET_AVG.set(target.sum.get().checked_div(target.nr.get()).unwrap_or(0));
    PERF_TARGET_MAX.set(target.max.get());
}

/// Traces who waits in the shared queue.
#[inline(always)]
fn print_shared() {
    for p in waiting!(SHARED) {
        scx_print!("%s[%d] waits, weight %u", p.comm(), p.pid(), p.weight());
    }
}

/// Once a second.
fn beat(cx: &Unlocked) {
    if HIGHPRI.get() {
        expedite(cx, true);
    }
    monitor();
    if PRINT_SHARED.get() {
        print_shared();
    }
    TIMER.start(BEAT, beat);
}

scheduler! {
    /// Five FIFOs by weight, served in weighted turns.
    pub struct Qmap { name: "qmap", timeout_ms: 5000 }

    impl Ops for Qmap {
        /// An idle CPU is claimed here, and used in `enqueue`.
        fn select_cpu(_cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            let Some(task) = TASKS.get(p) else { return prev_cpu };
            match pick(p, prev_cpu) {
                Some(cpu) => {
                    task.force_local.set(true);
                    cpu
                }
                None => prev_cpu,
            }
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let nr = NR_ENQUEUED.fetch_add(1);
            if dropped(p) {
                return;
            }
            if ERROR_AFTER.get() != 0 && nr == ERROR_AFTER.get() {
                scx_error!("an error after %llu tasks, as asked for", nr);
            }
            let Some(task) = TASKS.get(p) else {
                SHARED.insert(cx, p, SLICE.get(), enq_flags);
                return;
            };
            stamp(p, &task);
            if task.force_local.get() {
                task.force_local.set(false);
                NR_DIRECT.fetch_add(1);
                Dsq::LOCAL.insert(cx, p, SLICE.get(), enq_flags);
                return;
            }
            if !enq_flags.contains(EnqFlags::cpu_selected()) && let Some(cpu) = pick(p, p.cpu()) {
                NR_DDSP_FROM_ENQ.fetch_add(1);
                Dsq::local_on(cpu).insert(cx, p, SLICE.get(), enq_flags);
                cpu.kick(KickFlags::IDLE);
                return;
            }
            if enq_flags.contains(EnqFlags::REENQ) {
                // driven off in the middle of its slice: the first CPU that is free goes on with it
                NR_REENQUEUED.fetch_add(1);
                SHARED.insert(cx, p, Ns::ZERO, enq_flags);
                wake_idle(p);
                return;
            }
            // the first CPU that looks finds one of the highest priority, and sends it where it can run at once
            let highpri = HIGHPRI.get() && p.weight() >= HIGHPRI_WEIGHT;
            if highpri && task.highpri.swap(1) == 0 {
                NR_HIGHPRI_QUEUED.fetch_add(1);
            }
            if highpri {
                SHARED.insert(cx, p, SLICE.get(), enq_flags);
            } else if !FIFOS.get(level(p.weight())).is_some_and(|fifo| fifo.push(p.pid())) {
                NR_OVERFLOWS.fetch_add(1);
                SHARED.insert(cx, p, SLICE.get(), enq_flags);
            }
            if enq_flags.contains(EnqFlags::WAKEUP) && WOKEN.get() == 0 {
                WOKEN.set(1);
            }
            // a CPU that went idle since `select_cpu` looked has not seen it
            wake_idle(p);
        }

        fn dequeue(_cx: &Event, p: Task<'_>, _deq_flags: EnqFlags) {
            NR_DEQUEUED.fetch_add(1);
            if let Some(task) = TASKS.get(p) && not_highpri(&task) {
                NR_EXPEDITED_LOST.fetch_add(1);
            }
        }

        fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {
            if HIGHPRI.get() && expedite(cx, false) {
                return;
            }
            let Some(ctx) = CPUS.get() else { return };
            // what lies in the shared queue already goes first, but not always: more may come there all the time
            if ctx.nr_shared.get() & 1 == 0 && SHARED.move_to_local(cx) {
                ctx.nr_shared.add(1);
                return;
            }
            ctx.nr_shared.set(0);
            if loops(cx) {
                return;
            }
            if let Some(p) = prev && goes_on(p, &ctx) {
                return;
            }
            take_batch(cx, &ctx, cpu);
            if SHARED.move_to_local(cx) {
                return;
            }
            if let Some(p) = prev && p.is_queued() && let Some(task) = TASKS.get(p) {
                // nobody else: it goes on, and is as far from its turn as one that comes now
                stamp(p, &task);
            }
        }

        /// Asks for performance by the mean weight of what runs here.
        fn tick(_cx: &Event, p: Task<'_>) {
            let Some(ctx) = CPUS.get() else { return };
            let avg = ctx.avg_weight.get() * 3 / 4 + p.weight().0 / 4;
            let target = level(Weight(avg)) * 256;
            ctx.avg_weight.set(avg);
            ctx.perf_target.set(target);
            p.cpu().set_perf(target);
        }

        fn core_sched_before(_cx: &Event, a: Task<'_>, b: Task<'_>) -> bool {
            NR_CORE_SCHED.fetch_add(1);
            distance(a) < distance(b)
        }

        /// What waits on a CPU that a higher class takes goes elsewhere.
        fn cpu_release(cx: &CpuRelease, _cpu: Cpu, _args: Release<'_>) {
            Dsq::reenqueue_local(cx);
        }

        /// CPUs may come and go: whoever is free takes from the FIFOs.
        fn cpu_online(_cx: &Init, cpu: Cpu) {
            scx_print!("cpu %d is online", cpu);
        }

        fn cpu_offline(_cx: &Init, cpu: Cpu) {
            scx_print!("cpu %d is offline", cpu);
        }

        fn init_task(cx: &Init, p: Task<'_>, args: InitTask<'_>) -> Result<(), Errno> {
            if TASKS.get_or_create(p).is_none() {
                return Err(Errno(-12));
            }
            if !args.is_fork() && DISALLOW_TGID.get() != 0 && p.tgid() == DISALLOW_TGID.get() {
                p.set_disallow(cx, true);
            }
            Ok(())
        }

        fn exit_task(_cx: &Event, p: Task<'_>, _args: ExitTask<'_>) {
            if let Some(task) = TASKS.get(p) {
                not_highpri(&task);
            }
        }

        fn dump(cx: &Dump) {
            for level in 0..NR_LEVELS {
                if let Some(seqs) = SEQS.get(level) {
                    scx_dump!(cx, "level %u: %llu came, %llu went\n", level, seqs.tail.get(), seqs.head.get());
                }
            }
            scx_dump!(cx, "highest priority: %lld wait\n", NR_HIGHPRI_QUEUED.get());
        }

        fn dump_cpu(cx: &Dump, cpu: Cpu, idle: bool) {
            if idle {
                return;
            }
            if let Some(ctx) = CPUS.on(cpu) {
                let (level, left) = (ctx.level.get(), ctx.left.get());
                let (weight, perf) = (ctx.avg_weight.get(), ctx.perf_target.get());
                scx_dump!(cx, "level %u, %u left, mean weight %u, performance %u", level, left, weight, perf);
            }
        }

        fn dump_task(cx: &Dump, p: Task<'_>) {
            if let Some(task) = TASKS.get(p) {
                scx_dump!(cx, "force_local %u, number %llu", task.force_local.get(), task.core_sched_seq.get());
            }
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            SHARED.create(cx)?;
            HIGHPRI_DSQ.create(cx)?;
            if TIMER.start(BEAT, beat) { Ok(()) } else { Err(Errno(-22)) }
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
