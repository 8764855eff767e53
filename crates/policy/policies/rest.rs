//! What the other examples do not show: functions that take any context of a kind, all flags, all counters of the class, atomic changes of
//! every sort, what else the kernel knows of a task.

use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

shared! {
    /// Counts of flags that were seen.
    pub struct Seen {
        /// Wakeups after an exec, a fork, by a wakeup, by a task that is about to sleep.
        pub wakes: [u64; 4],
        /// Insertions that were asked for: after a wakeup, again, of a CPU's last task, with the CPU chosen.
        pub enqueues: [u64; 4],
        /// Tasks that are idle tasks, end, are virtual CPUs, are workers of a work queue.
        pub tasks: [u64; 4],
    }
}

state! {
    /// Which idle CPUs are taken: 0 any, 1 of whole cores, 2 of a node that is asked for.
    pub static PICK as "pick": Tunable<u64> = 1;
    /// CPUs that went idle.
    static NR_IDLE as "nr_idle": Global<u64> = 0;
    /// Bits of the CPUs that are idle, the first 64 of them.
    static IDLE as "idle": Global<u64> = 0;
    /// Tasks that came, less those that went.
    static NR_TASKS as "nr_tasks": Global<i64> = 0;
    /// The last task's switches.
    static SWITCHES as "switches": Global<u64> = 0;
    /// CPU time of the longest task.
    static LONGEST as "longest": Global<Ns> = Ns::ZERO;
    /// The shortest slice that was left.
    static SHORTEST as "shortest": Global<Ns> = Ns::SLICE_INF;
    /// Sum of all counters of the class.
    static EVENTS as "events": Global<i64> = 0;
    /// Names of tasks that were seen to be the workload's.
    static NR_HOGS as "nr_hogs": Global<u64> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// What was seen.
    static SEEN as "seen": Array<Seen, 1>;
    /// Starts of this CPU, for user space.
    static STARTS as "starts": PerCpuArray<u64, 1>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Inserts where any context allows it.
#[inline(always)]
fn insert(cx: &impl MayInsert, p: Task<'_>, slice: Ns, flags: EnqFlags) {
    if !QUEUE.insert(cx, p, slice, flags) {
        NR_WRONG.fetch_add(1);
    }
}

/// Picks a CPU where any context allows it.
#[inline(always)]
fn pick(cx: &impl MayPick, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Picked {
    p.select_cpu_dfl(cx, prev_cpu, wake_flags)
}

/// Moves a task on, where any context allows it.
#[inline(always)]
fn take(cx: &impl MayMove, p: &QueuedTask<'_>) -> bool {
    p.move_to(cx, Dsq::LOCAL, EnqFlags::NONE)
}

/// Takes the first, where any context allows it.
#[inline(always)]
fn take_first(cx: &impl MayDispatch) {
    QUEUE.untyped().move_to_local(cx);
}

/// Makes the queue, where any context allows it.
#[inline(always)]
fn make(cx: &impl Sleepable) -> Result<(), Errno> {
    QUEUE.create(cx)
}

/// Adds one to a counter if a flag is set.
#[inline(always)]
fn add_if(counter: &Field<u64>, set: bool) {
    if set {
        counter.add(1);
    }
}

/// Is it a name of the workload's?
#[inline(always)]
fn is_hog(comm: &Comm) -> bool {
    comm.starts_with("hog") || comm.is("periodic-0")
}

/// Adds the kernel's counters up.
#[inline(always)]
fn sum(events: &Events) -> i64 {
    let all = [
        events.select_cpu_fallback(),
        events.dispatch_local_dsq_offline(),
        events.dispatch_keep_last(),
        events.enq_skip_exiting(),
        events.enq_skip_migration_disabled(),
        events.reenq_immed(),
        events.reenq_local_repeat(),
        events.refill_slice_dfl(),
        events.bypass_dispatch(),
        events.bypass_activate(),
        events.insert_not_owned(),
        events.sub_bypass_dispatch(),
    ];
    let bypassed = events.bypass_duration().is_some();
    all.iter().fold(i64::from(bypassed), |sum, n| sum.wrapping_add(n.unwrap_or(0)))
}

scheduler! {
    /// First in, first out.
    pub struct Rest {
        name: "rest",
        flags: OpsFlags::KEEP_BUILTIN_IDLE | OpsFlags::ENQ_LAST | OpsFlags::ENQ_EXITING
            | OpsFlags::ENQ_MIGRATION_DISABLED | OpsFlags::ALLOW_QUEUED_WAKEUP,
    }

    impl Ops for Rest {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            let picked = pick(cx, p, prev_cpu, wake_flags);
            if let Some(seen) = SEEN.get(0) {
                add_if(&seen.wakes[0], wake_flags.contains(WakeFlags::EXEC));
                add_if(&seen.wakes[1], wake_flags.contains(WakeFlags::FORK));
                add_if(&seen.wakes[2], wake_flags.contains(WakeFlags::TTWU));
                add_if(&seen.wakes[3], wake_flags.contains(WakeFlags::SYNC));
            }
            if picked.is_idle {
                insert(cx, p, Ns::from_us(3000), EnqFlags::NONE);
            }
            picked.cpu
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if let Some(seen) = SEEN.get(0) {
                add_if(&seen.enqueues[0], enq_flags.contains(EnqFlags::WAKEUP));
                add_if(&seen.enqueues[1], enq_flags.contains(EnqFlags::REENQ));
                add_if(&seen.enqueues[2], enq_flags.contains(EnqFlags::LAST));
                add_if(&seen.enqueues[3], enq_flags.contains(EnqFlags::cpu_selected()));
                add_if(&seen.tasks[0], p.flags().contains(TaskFlags::IDLE));
                add_if(&seen.tasks[1], p.flags().contains(TaskFlags::EXITING));
                add_if(&seen.tasks[2], p.flags().contains(TaskFlags::VCPU));
                add_if(&seen.tasks[3], p.flags().contains(TaskFlags::WQ_WORKER));
            }
            let preempt = if p.static_prio() < 120 { EnqFlags::PREEMPT } else { EnqFlags::NONE };
            if enq_flags.contains(EnqFlags::LAST) {
                Dsq::LOCAL.insert(cx, p, Ns::SLICE_DFL.min(Ns::from_ms(4)), EnqFlags::NONE);
                return;
            }
            let flags = match PICK.get() {
                0 => PickFlags::NONE,
                1 => PickFlags::CORE,
                _ => PickFlags::IN_NODE,
            };
            let idle = HeldMask::idle();
            if idle.mask().intersects(p.cpus())
                && let Some(cpu) = p.cpus().pick_any(flags)
            {
                Dsq::local_on(cpu).insert(cx, p, Ns::from_ms(4), preempt);
                return;
            }
            insert(cx, p, Ns::from_ms(4), EnqFlags::NONE);
        }

        fn dispatch(cx: &Dispatch, cpu: Cpu, _prev: Option<Task<'_>>) {
            for p in waiting!(QUEUE, rev) {
                if p.cpus().test(cpu) && p.cpu() == cpu && take(cx, &p) {
                    return;
                }
            }
            take_first(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let starts: Option<PerCpuValue<'_, u64>> = STARTS.get(0);
            if let Some(starts) = starts {
                starts.add(1);
            }
            NR_HOGS.fetch_add(is_hog(&p.comm()).into());
            SWITCHES.swap(p.nvcsw().wrapping_add(p.nivcsw()));
            LONGEST.set(LONGEST.get().max(p.sum_exec_runtime()));
            if Cpu::current().perf_cur() > 1024 {
                NR_WRONG.fetch_add(1);
            }
        }

        fn stopping(_cx: &Event, p: Task<'_>, runnable: bool) {
            SHORTEST.set(SHORTEST.get().min(p.slice()));
            if runnable && QUEUE.nr_queued() == Ok(0) {
                Cpu::current().kick(KickFlags::PREEMPT);
            }
        }

        fn tick(_cx: &Event, _p: Task<'_>) {
            if let Some(events) = Events::read() {
                EVENTS.set(sum(&events));
            }
        }

        fn update_idle(_cx: &Event, cpu: Cpu, idle: bool) {
            let bit = 1u64 << (cpu.0 & 63);
            let before = if idle { IDLE.fetch_or(bit) } else { IDLE.fetch_and(!bit) };
            if idle && before & bit == 0 {
                NR_IDLE.fetch_add(1);
            }
        }

        fn init_task(_cx: &Init, p: Task<'_>, _args: InitTask<'_>) -> Result<(), Errno> {
            NR_TASKS.fetch_add(1);
            if p.is_kthread() != p.flags().contains(TaskFlags::KTHREAD) {
                NR_WRONG.fetch_add(1);
            }
            Errno::check(p.pid())
        }

        fn exit_task(_cx: &Event, p: Task<'_>, _args: ExitTask<'_>) {
            scx_print!("%s[%d] goes", p.comm(), p.pid());
            NR_TASKS.fetch_sub(1);
            if let Some(seen) = SEEN.get(0) {
                seen.tasks[1].sub(0);
            }
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            make(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            Cpu(0).kick(KickFlags::WAIT);
            UEI.record(ei);
        }
    }
}
