//! central: one CPU decides for all, the others run without ticks.

use scxr_policy::prelude::*;

/// Tasks that cannot wait for a decision: those that found the queue full, and those that may not run where they were to.
const FALLBACK: Dsq<Fifo> = Dsq::fifo(0);

shared! {
    /// What is kept for each CPU.
    pub struct CpuCtx {
        /// Tasks that it took out of the fallback queue.
        pub nr_fallback: u32,
        /// 1: it has nothing to run and waits for a decision.
        pub wants: u32,
        /// Since when its task runs; 0: it has none of this scheduler.
        pub started_at: Ns,
    }
}

state! {
    /// Time after which a task makes room, if another waits.
    pub static SLICE as "slice": Tunable<Ns> = Ns::SLICE_DFL;
    /// How often the deciding CPU looks who ran for long enough.
    pub static INTERVAL as "interval": Tunable<Ns> = Ns::from_ms(1);
    /// The CPU that decides. Another one does once that goes offline.
    static CENTRAL_CPU as "central_cpu": Global<i32> = 0;
    /// 1: the timer runs, on the deciding CPU.
    static TIMER_STARTED as "timer_started": Global<u32> = 0;
    /// The kernel lets timers be pinned to a CPU.
    static TIMER_PINNED as "timer_pinned": Global<bool> = true;

    /// Tasks that came to be enqueued.
    static NR_TOTAL as "nr_total": Global<u64> = 0;
    /// Of them, threads of the kernel's that belong to a CPU: they went to it at once.
    static NR_LOCALS as "nr_locals": Global<u64> = 0;
    /// Tasks that wait for a decision.
    static NR_QUEUED as "nr_queued": Global<i64> = 0;
    /// 1: of them, one woke up since the last time that none waited.
    static WOKEN as "woken": Global<u32> = 0;
    /// CPUs that wait for one.
    static NR_WANTING as "nr_wanting": Global<i64> = 0;
    /// Of them, those that found the queue full.
    static NR_OVERFLOWS as "nr_overflows": Global<u64> = 0;
    /// Tasks that were gone when their turn came.
    static NR_LOST_PIDS as "nr_lost_pids": Global<u64> = 0;
    /// Times that the timer was due.
    static NR_TIMERS as "nr_timers": Global<u64> = 0;
    /// Tasks that the deciding CPU sent to a CPU.
    static NR_DISPATCHES as "nr_dispatches": Global<u64> = 0;
    /// Tasks that may not run on the CPU that they were for.
    static NR_MISMATCHES as "nr_mismatches": Global<u64> = 0;
    /// Times that there were more decisions to make than at one time can be.
    static NR_RETRIES as "nr_retries": Global<u64> = 0;
    /// Tasks that the timer had make room.
    static NR_PREEMPTIONS as "nr_preemptions": Global<u64> = 0;
    /// Times that another CPU took the decisions over.
    static NR_TAKEOVERS as "nr_takeovers": Global<u64> = 0;

    /// Ids of tasks that wait for a decision.
    static WAITING as "waiting": Queue<i32, 4096>;
    /// By CPU.
    static CPUS as "cpus": PerCpu<CpuCtx>;
    /// Looks who ran for long enough.
    static TIMER as "timer": Timer;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

/// The CPU that decides.
#[inline(always)]
fn central() -> Cpu {
    Cpu(CENTRAL_CPU.get())
}

/// Has an idle CPU on which the task may run take it from the fallback queue.
#[inline(always)]
fn wake_idle(p: Task<'_>) {
    if let Some(cpu) = p.cpus().pick_idle(PickFlags::NONE) {
        cpu.kick(KickFlags::IDLE);
    }
}

/// A CPU has nothing to run.
#[inline(always)]
fn want(ctx: &CpuCtx) {
    if ctx.wants.swap(1) == 0 {
        NR_WANTING.fetch_add(1);
    }
}

/// A CPU has something to run, or is gone.
#[inline(always)]
fn satisfied(ctx: &CpuCtx) {
    if ctx.wants.get() != 0 && ctx.wants.swap(0) != 0 {
        NR_WANTING.fetch_sub(1);
    }
}

/// What came of taking the next task out of the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// It was sent to the CPU.
    Sent,
    /// It was not one for the CPU: the one after it may be.
    Passed,
    /// None waits, or no more can be decided now.
    Nothing,
}

/// Takes the next task for a CPU.
#[inline(always)]
fn take(cx: &Dispatch, cpu: Cpu) -> Taken {
    if Dsq::nr_slots(cx) == 0 {
        return Taken::Nothing;
    }
    let Some(pid) = WAITING.pop() else { return Taken::Nothing };
    NR_QUEUED.fetch_sub(1);
    let Some(found) = OwnedTask::from_pid(pid) else {
        NR_LOST_PIDS.fetch_add(1);
        return Taken::Passed;
    };
    let p = found.task();
    if !p.cpus().test(cpu) {
        NR_MISMATCHES.fetch_add(1);
        FALLBACK.insert(cx, p, Ns::SLICE_INF, EnqFlags::NONE);
        wake_idle(p);
        return Taken::Passed;
    }
    NR_DISPATCHES.fetch_add(1);
    Dsq::local_on(cpu).insert(cx, p, Ns::SLICE_INF, EnqFlags::NONE);
    if cpu != central() {
        cpu.kick(KickFlags::IDLE);
    }
    Taken::Sent
}

/// Finds a task for a CPU that wants one. `false`: none waits, or no more can be decided now.
#[inline(always)]
fn decide(cx: &Dispatch, cpu: Cpu) -> bool {
    // where nobody waits there is no need to begin to look
    if NR_QUEUED.get() <= 0 {
        return false;
    }
    for _ in bounded!(0..4096) {
        match take(cx, cpu) {
            Taken::Sent => return true,
            Taken::Passed => {}
            Taken::Nothing => return false,
        }
    }
    false
}

/// For how long the deciding CPU's own task may run while others wait. Where one of them woke up it is a short time: no other CPU makes room before a slice is
/// over, and whoever sleeps much needs little.
#[inline(always)]
fn quantum() -> Ns {
    if WOKEN.get() != 0 && INTERVAL.get().0 < SLICE.get().0 { INTERVAL.get() } else { SLICE.get() }
}

/// Takes a task out of the fallback queue; while others wait for a decision every other time only, as more may come there all the time.
#[inline(always)]
fn fall_back(cx: &Dispatch, ctx: &CpuCtx) -> bool {
    let turn = ctx.nr_fallback.get() & 1 == 0 || NR_QUEUED.get() <= 0;
    if turn && FALLBACK.move_to_local(cx) {
        ctx.nr_fallback.add(1);
        return true;
    }
    ctx.nr_fallback.set(0);
    false
}

/// Lets the deciding CPU's own task go on, which had to make room for a decision only.
#[inline(always)]
fn goes_on(prev: Option<Task<'_>>) -> bool {
    let Some(p) = prev.filter(|p| p.is_queued()) else { return false };
    let Some(ctx) = CPUS.get() else { return false };
    let goes_on = (Ns::now() - ctx.started_at.get()).0 < quantum().0;
    if goes_on {
        p.set_slice(Ns::SLICE_INF);
    }
    goes_on
}

/// Decides for all other CPUs that want it.
#[inline(always)]
fn decide_for_others(cx: &Dispatch, this: Cpu) {
    for cpu in bounded!(0..Cpu::nr_ids() as i32) {
        if Dsq::nr_slots(cx) == 0 || NR_QUEUED.get() <= 0 || NR_WANTING.get() <= 0 {
            break;
        }
        let Some(ctx) = CPUS.on(Cpu(cpu)) else { continue };
        if ctx.wants.get() != 0 && Cpu(cpu) != this && decide(cx, Cpu(cpu)) {
            satisfied(&ctx);
        }
    }
}

/// Decides for all that want it, and at last for the deciding CPU itself.
#[inline(always)]
fn decide_for_all(cx: &Dispatch, this: Cpu, prev: Option<Task<'_>>) {
    start_timer();
    if NR_QUEUED.get() > 0 && NR_WANTING.get() > 0 {
        decide_for_others(cx, this);
    }
    if NR_QUEUED.get() <= 0 && WOKEN.get() != 0 {
        WOKEN.set(0);
    }
    let goes_on = goes_on(prev);
    if Dsq::nr_slots(cx) == 0 {
        // at once again, with room for more
        NR_RETRIES.fetch_add(1);
        this.kick(KickFlags::PREEMPT);
        return;
    }
    let Some(ctx) = CPUS.get() else { return };
    if !goes_on && !fall_back(cx, &ctx) && !decide(cx, this) && !FALLBACK.move_to_local(cx) {
        want(&ctx);
    }
}

/// Is there something that could run on a CPU instead of its task?
#[inline(always)]
fn others_wait(cpu: Cpu, budget: &mut i64) -> bool {
    if FALLBACK.nr_queued() != Ok(0) || Dsq::local_on(cpu).nr_queued() != Ok(0) {
        return true;
    }
    // each that waits makes one task leave, not all of them
    if *budget <= 0 {
        return false;
    }
    *budget -= 1;
    true
}

/// Has tasks make room that ran for long enough. It begins with another CPU each time, so that all have their turn where few wait.
fn look(_cx: &Unlocked) {
    let nr_cpus = Cpu::nr_ids();
    let (now, first) = (Ns::now(), NR_TIMERS.get() as u32);
    let mut budget = NR_QUEUED.get();
    for i in bounded!(0..nr_cpus as i32) {
        let cpu = Cpu(first.wrapping_add(i as u32).checked_rem(nr_cpus).unwrap_or(0) as i32);
        let Some(ctx) = CPUS.on(cpu) else { continue };
        let started_at = ctx.started_at.get();
        let limit = if cpu == central() { quantum() } else { SLICE.get() };
        if started_at == Ns::ZERO && ctx.wants.get() != 0 && FALLBACK.nr_queued() != Ok(0) {
            // it wanted a decision, and others had them
            cpu.kick(KickFlags::IDLE);
        }
        if started_at == Ns::ZERO || ((now - started_at).0 as i64) < limit.0 as i64 {
            continue;
        }
        if others_wait(cpu, &mut budget) {
            NR_PREEMPTIONS.fetch_add(1);
            cpu.kick(KickFlags::PREEMPT);
        }
    }
    NR_TIMERS.fetch_add(1);
    restart_timer();
}

/// Starts the timer: on this CPU alone, where the kernel can.
#[inline(always)]
fn restart_timer() {
    if TIMER_PINNED.get() && TIMER.start_with(INTERVAL.get(), TimerFlags::CPU_PIN, look) {
        return;
    }
    TIMER_PINNED.set(false);
    if !TIMER.start(INTERVAL.get(), look) {
        scx_error!("the timer cannot be started");
    }
}

/// The first dispatch on the deciding CPU starts the timer: `init` may run anywhere.
#[inline(always)]
fn start_timer() {
    if TIMER_STARTED.get() == 0 && TIMER_STARTED.swap(1) == 0 {
        restart_timer();
    }
}

scheduler! {
    /// One CPU decides for all.
    pub struct Central { name: "central", flags: OpsFlags::ENQ_LAST }

    impl Ops for Central {
        /// Tasks wake on the deciding CPU, so that no other one has to be disturbed.
        fn select_cpu(_cx: &SelectCpu, _p: Task<'_>, _prev_cpu: Cpu, _wake_flags: WakeFlags) -> Cpu {
            central()
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            NR_TOTAL.fetch_add(1);
            if p.is_kthread() && p.nr_cpus_allowed() == 1 {
                // its CPU needs it before all else
                NR_LOCALS.fetch_add(1);
                Dsq::LOCAL.insert(cx, p, Ns::SLICE_INF, enq_flags | EnqFlags::PREEMPT);
                return;
            }
            if WAITING.push(p.pid()) {
                NR_QUEUED.fetch_add(1);
            } else {
                NR_OVERFLOWS.fetch_add(1);
                FALLBACK.insert(cx, p, Ns::SLICE_INF, enq_flags);
                wake_idle(p);
            }
            if enq_flags.contains(EnqFlags::WAKEUP) && WOKEN.get() == 0 {
                WOKEN.set(1);
            }
            // where nobody wants it, the timer makes room. A task that comes as its CPU's last one leaves that idle.
            if NR_WANTING.get() > 0 || enq_flags.contains(EnqFlags::LAST) {
                central().kick(KickFlags::PREEMPT);
            }
        }

        fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {
            if cpu == central() {
                decide_for_all(cx, cpu, prev);
                return;
            }
            let Some(ctx) = CPUS.get() else { return };
            if !fall_back(cx, &ctx) {
                want(&ctx);
                central().kick(KickFlags::PREEMPT);
            }
        }

        fn running(_cx: &Event, _p: Task<'_>) {
            if let Some(ctx) = CPUS.get() {
                satisfied(&ctx);
                let now = Ns::now();
                ctx.started_at.set(if now == Ns::ZERO { Ns(1) } else { now });
            }
        }

        fn stopping(_cx: &Event, _p: Task<'_>, _runnable: bool) {
            if let Some(ctx) = CPUS.get() {
                ctx.started_at.set(Ns::ZERO);
            }
        }

        fn cpu_online(_cx: &Init, _cpu: Cpu) {}

        /// Another CPU decides from now on, if it was this one that did.
        fn cpu_offline(_cx: &Init, cpu: Cpu) {
            if let Some(ctx) = CPUS.on(cpu) {
                satisfied(&ctx);
            }
            if cpu != central() {
                return;
            }
            let online = HeldMask::online();
            for next in bounded!(0..Cpu::nr_ids() as i32) {
                if Cpu(next) != cpu && online.mask().test(Cpu(next)) {
                    CENTRAL_CPU.set(next);
                    TIMER_STARTED.swap(0);
                    NR_TAKEOVERS.fetch_add(1);
                    Cpu(next).kick(KickFlags::PREEMPT);
                    break;
                }
            }
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            let (cpu, nr_cpus) = (CENTRAL_CPU.get(), Cpu::nr_ids());
            if cpu as u32 >= nr_cpus {
                scx_error!("CPU %d is to decide, there are %u", cpu, nr_cpus);
                return Err(Errno(-22));
            }
            if INTERVAL.get() == Ns::ZERO {
                scx_error!("an interval of 0 leaves no time for anything else");
                return Err(Errno(-22));
            }
            FALLBACK.create(cx)?;
            central().kick(KickFlags::PREEMPT);
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
