//! The BPF half of schedulers whose decisions are made in user space: it tells of tasks that are ready, and carries out what is decided.
//!
//! The user-space half does not sleep where it has nothing to do, but yields, and is held back until it is needed: a CPU that looks for tasks lets it go first
//! if it was told something new, or if it has tasks and the CPU has none. That takes no wakeup.
//!
//! It serves by itself what cannot wait for user space, or must not depend on it: the user-space half itself, kernel threads, tasks that may not
//! run on every CPU, and tasks that find the ring full.

use crate::{Ns, plain};

plain! {
    /// What user space is told.
    pub struct TaskEvent {
        /// See [`kind`].
        pub kind: u32,
        /// Which task.
        pub pid: i32,
        /// The CPU that it was last on, or that asks.
        pub cpu: i32,
        /// Its weight.
        pub weight: u32,
        /// CPU time that it has had.
        pub ran: Ns,
        /// When.
        pub at: Ns,
    }

    /// What user space decides.
    pub struct Decision {
        /// The task that is to run,
        pub pid: i32,
        /// where: a CPU, or [`ANY_CPU`],
        pub cpu: i32,
        /// and how long; 0: the default.
        pub slice: Ns,
    }
}

/// The first CPU that is free.
pub const ANY_CPU: i32 = -1;

/// No decision: the task is the one that decides, and yields from now on where it has nothing to do; 0: it does so no more.
pub const YIELDS: i32 = -2;

/// How often the task that decides runs at least.
pub const BEAT: Ns = Ns::from_ms(100);

/// What a [`TaskEvent`] tells of.
pub mod kind {
    /// A task is ready.
    pub const READY: u32 = 0;
    /// A task is gone.
    pub const GONE: u32 = 1;
    /// A CPU has no task to run, but user space has some.
    pub const WANT: u32 = 2;
}

/// What the BPF half counts, by CPU.
pub mod counter {
    /// Tasks that user space was told of.
    pub const USER: u32 = 0;
    /// Tasks that were served in the kernel.
    pub const KERNEL: u32 = 1;
    /// Tasks that found the ring full and were served in the kernel.
    pub const FULL: u32 = 2;
    /// Decisions that were carried out.
    pub const PLACED: u32 = 3;
    /// Decisions about tasks that were gone.
    pub const LOST: u32 = 4;
    /// Tasks that went on, as nobody else waited.
    pub const KEPT: u32 = 5;
    /// Times that user space was let run because a CPU had nothing to run.
    pub const WANTED: u32 = 6;
    /// Times that a CPU looked for tasks.
    pub const TURNS: u32 = 7;
    /// Their names.
    pub const NAMES: [&str; 7] = ["user", "kernel", "full", "placed", "lost", "kept", "wanted"];
}

/// Declares a scheduler whose decisions are made in user space: state and operations. It is all that its `policy.rs` needs. The class's
/// watchdog ends it where a task waits for longer than `timeout_ms`, 5000 unless that is given.
///
/// ```
/// scxr_policy::userspace! {
///     /// First come, first served, in user space.
///     pub struct Toy { name: "toy" }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! userspace {
    ($(#[$doc:meta])* $vis:vis struct $S:ident { name: $name:literal $(,)? }) => {
        $crate::userspace! { $(#[$doc])* $vis struct $S { name: $name, timeout_ms: 5000 } }
    };
    ($(#[$doc:meta])* $vis:vis struct $S:ident { name: $name:literal, timeout_ms: $timeout_ms:expr $(,)? }) => {
        #[allow(unused_imports)]
        use $crate::prelude::*;
        use $crate::userspace::{ANY_CPU, BEAT, Decision, TaskEvent, YIELDS, counter, kind};

        /// The user-space half's task: it goes before all others.
        const HALF: $crate::Dsq<$crate::Fifo> = $crate::Dsq::fifo(0);
        /// What is decided, in order of arrival.
        const SHARED: $crate::Dsq<$crate::Fifo> = $crate::Dsq::fifo(1);
        /// What is served in the kernel.
        const KERNEL: $crate::Dsq<$crate::Fifo> = $crate::Dsq::fifo(2);

        $crate::state! {
            /// The process of the user-space half, set before the scheduler is attached.
            static HALF_TGID as "half_tgid": Global<i32> = 0;
            /// The task that decides, once it has said that it yields.
            static HALF_PID as "half_pid": Global<i32> = 0;
            /// 1: it has yielded, or its slice was over, and it waits until it is needed.
            static HALF_HELD as "half_held": Global<u64> = 0;
            /// 1: it is to run, needed or not.
            static HALF_DUE as "half_due": Global<u64> = 0;
            /// The timer that says so.
            static HALF_TIMER as "half_timer": Timer;
            /// Tasks that were put into [`HALF`] and not seen to leave it: a few more than are there, where some left otherwise.
            static NR_HALF as "nr_half": Global<u64> = 0;
            /// The same of [`KERNEL`].
            static NR_KERNEL as "nr_kernel": Global<u64> = 0;
            /// The slice of tasks for which none is decided.
            pub static SLICE as "slice": Tunable<Ns> = Ns::SLICE_DFL;
            /// Tasks that user space was told of.
            static NR_SENT as "nr_sent": Global<u64> = 0;
            /// Decisions that were taken from user space.
            static NR_PLACED as "nr_placed": Global<u64> = 0;
            /// CPUs that the machine can have.
            static NR_CPUS as "nr_cpus": Global<u32> = 0;
            /// Tasks that run, but for the user-space half.
            static NR_RUNNING as "nr_running": Global<u64> = 0;
            /// Decided tasks that had not started to run, when a CPU last looked.
            static NR_SHARED as "nr_shared": Global<u64> = 0;
            /// By CPU, what was counted.
            pub static STATS as "stats": PerCpuArray<u64, 8>;
            /// What user space is told.
            static READY as "ready": RingBuf<262144>;
            /// What it decides.
            static DECIDED as "decided": UserRingBuf<262144>;
            /// Why the scheduler ended.
            static UEI as "uei": ExitRecord;
        }

        #[inline(always)]
        fn count(stat: u32) {
            if let Some(counter) = STATS.get(stat) {
                counter.add(1);
            }
        }

        /// Every other time on a CPU.
        #[inline(always)]
        fn turn() -> bool {
            let Some(turns) = STATS.get(counter::TURNS) else { return false };
            turns.add(1);
            turns.get() & 1 == 0
        }

        #[inline(always)]
        fn is_half(p: Task<'_>) -> bool {
            p.tgid() == HALF_TGID.get()
        }

        #[inline(always)]
        fn decides(p: Task<'_>) -> bool {
            p.pid() == HALF_PID.get()
        }

        /// Tells user space, which is woken only if it does not look by itself.
        #[inline(always)]
        fn tell(event: TaskEvent) -> bool {
            READY.send_with(event, if HALF_PID.get() == 0 { RingFlags::NONE } else { RingFlags::NO_WAKEUP })
        }

        /// Takes the next task of a queue that is mostly empty.
        #[inline(always)]
        fn take(cx: &Dispatch, from: Dsq<$crate::Fifo>, nr: &Global<u64>) -> bool {
            let found = nr.get() != 0 && from.move_to_local(cx);
            if found {
                nr.fetch_sub(1);
            }
            found
        }

        /// The task that decides is held back no more; whether it was.
        #[inline(always)]
        fn release(cx: &Dispatch) -> bool {
            // Several CPUs may look at once.
            if HALF_HELD.get() == 0 || HALF_HELD.swap(0) == 0 {
                return false;
            }
            let Some(half) = OwnedTask::from_pid(HALF_PID.get()) else { return false };
            NR_HALF.fetch_add(1);
            HALF.insert(cx, half.task(), SLICE.get(), EnqFlags::NONE);
            true
        }

        /// Lets it run here, if it is held back. Where it may not, another CPU takes it.
        #[inline(always)]
        fn let_half_run(cx: &Dispatch) -> bool {
            if !release(cx) {
                return false;
            }
            HALF_DUE.set(0);
            if take(cx, HALF, &NR_HALF) {
                return true;
            }
            if let Some(half) = OwnedTask::from_pid(HALF_PID.get()) {
                wake_idle(half.task());
            }
            false
        }

        /// It shows that it is alive, and gives figures.
        fn beat(_cx: &Unlocked) {
            HALF_DUE.set(1);
            if HALF_HELD.get() | NR_HALF.get() != 0 {
                wake_any_idle();
            }
            HALF_TIMER.start(BEAT, beat);
        }

        /// Is it served in the kernel?
        #[inline(always)]
        fn stays(p: Task<'_>) -> bool {
            p.is_kthread() || (p.nr_cpus_allowed() as u32) < NR_CPUS.get()
        }

        #[inline(always)]
        fn event(kind: u32, p: Task<'_>) -> TaskEvent {
            TaskEvent {
                kind,
                pid: p.pid(),
                cpu: p.cpu().0,
                weight: p.weight().0,
                ran: p.sum_exec_runtime(),
                at: Ns::now(),
            }
        }

        /// Has an idle CPU look for tasks.
        #[inline(always)]
        fn wake_any_idle() {
            if let Some(cpu) = HeldMask::possible().mask().pick_idle(PickFlags::NONE) {
                cpu.kick(KickFlags::IDLE);
            }
        }

        /// Has an idle CPU on which the task may run look for it.
        #[inline(always)]
        fn wake_idle(p: Task<'_>) {
            if let Some(cpu) = p.cpus().pick_idle(PickFlags::NONE) {
                cpu.kick(KickFlags::IDLE);
            }
        }

        /// Carries out a decision; whether there is room for another.
        #[inline(always)]
        fn place(cx: &Dispatch, decision: Decision) -> bool {
            if decision.cpu == YIELDS {
                if decision.pid == 0 {
                    release(cx);
                }
                HALF_PID.set(decision.pid);
                return true;
            }
            NR_PLACED.fetch_add(1);
            let Some(owned) = OwnedTask::from_pid(decision.pid) else {
                count(counter::LOST);
                return true;
            };
            let p = owned.task();
            let slice = if decision.slice.0 == 0 { SLICE.get() } else { decision.slice };
            count(counter::PLACED);
            if decision.cpu != ANY_CPU && p.cpus().test(Cpu(decision.cpu)) {
                Dsq::local_on(Cpu(decision.cpu)).insert(cx, p, slice, EnqFlags::NONE);
                Cpu(decision.cpu).kick(KickFlags::IDLE);
            } else {
                SHARED.insert(cx, p, slice, EnqFlags::NONE);
                wake_idle(p);
            }
            Dsq::nr_slots(cx) > 0
        }

        $crate::scheduler! {
            $(#[$doc])*
            $vis struct $S { name: $name, flags: OpsFlags::ENQ_LAST, timeout_ms: $timeout_ms }

            impl Ops for $S {
                /// What is served in the kernel takes an idle CPU at once; for others, that one lets user space decide.
                fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
                    let picked = p.select_cpu_dfl(cx, prev_cpu, wake_flags);
                    if picked.is_idle && (is_half(p) || stays(p)) {
                        Dsq::LOCAL.insert(cx, p, SLICE.get(), EnqFlags::NONE);
                    }
                    picked.cpu
                }

                fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
                    if is_half(p) {
                        let woken = enq_flags.contains(EnqFlags::WAKEUP);
                        if decides(p) && !woken {
                            HALF_HELD.swap(1);
                            if READY.nr_unread() == 0 || HALF_HELD.swap(0) == 0 {
                                if NR_SENT.get() > NR_PLACED.get() {
                                    // what it has just decided may be on its way yet, and this CPU busy with something else
                                    wake_idle(p);
                                }
                                return;
                            }
                            // somebody told it something before it was held back, and this CPU may have found another task
                            p.cpu().kick(KickFlags::PREEMPT);
                        }
                        NR_HALF.fetch_add(1);
                        HALF.insert(cx, p, SLICE.get(), enq_flags);
                        if woken {
                            wake_idle(p);
                        }
                        return;
                    }
                    if p.is_kthread() {
                        count(counter::KERNEL);
                        Dsq::LOCAL.insert(cx, p, SLICE.get(), enq_flags);
                        return;
                    }
                    if stays(p) {
                        count(counter::KERNEL);
                    } else if tell(event(kind::READY, p)) {
                        NR_SENT.fetch_add(1);
                        count(counter::USER);
                        if !enq_flags.contains(EnqFlags::WAKEUP) {
                            // no CPU was looked for
                            wake_idle(p);
                        }
                        return;
                    } else {
                        count(counter::FULL);
                    }
                    NR_KERNEL.fetch_add(1);
                    KERNEL.insert(cx, p, SLICE.get(), enq_flags);
                    wake_idle(p);
                }

                fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {
                    if take(cx, HALF, &NR_HALF) {
                        return;
                    }
                    if DECIDED.drain_in(cx, place).is_err() {
                        // another CPU is at it: look again
                        cpu.kick(KickFlags::NONE);
                    }
                    let told = READY.nr_unread() > 0 || HALF_DUE.get() != 0;
                    if told && let_half_run(cx) {
                        return;
                    }
                    // both kinds of tasks in turn
                    let turn = turn();
                    let found = turn && take(cx, KERNEL, &NR_KERNEL) || SHARED.move_to_local(cx) || !turn && take(cx, KERNEL, &NR_KERNEL);
                    let left = SHARED.nr_queued().unwrap_or(0);
                    NR_SHARED.set(left.into());
                    let waits = NR_SENT.get() > NR_PLACED.get();
                    let wants = left == 0 && waits;
                    if let Some(p) = prev && !found && p.is_queued() {
                        // the task that decides goes on while it is needed, another one while nobody waits
                        let on = if decides(p) { told || wants } else { !waits || is_half(p) };
                        if on {
                            if decides(p) {
                                HALF_DUE.set(0);
                            } else {
                                count(counter::KEPT);
                            }
                            p.set_slice(SLICE.get());
                            return;
                        }
                    }
                    if !wants {
                        return;
                    }
                    if found {
                        // another CPU may have nothing to run
                        wake_any_idle();
                        return;
                    }
                    if let_half_run(cx) {
                        count(counter::WANTED);
                        return;
                    }
                    let want = TaskEvent { kind: kind::WANT, pid: 0, cpu: cpu.0, weight: 0, ran: Ns::ZERO, at: Ns::now() };
                    if READY.nr_unread() == 0 && tell(want) {
                        count(counter::WANTED);
                    }
                    // it may have been held back without having seen that
                    let_half_run(cx);
                }

                fn running(_cx: &Event, p: Task<'_>) {
                    if !is_half(p) {
                        NR_RUNNING.fetch_add(1);
                    }
                }

                fn stopping(_cx: &Event, p: Task<'_>, _runnable: bool) {
                    if !is_half(p) {
                        NR_RUNNING.fetch_sub(1);
                    }
                }

                fn exit_task(_cx: &Event, p: Task<'_>, _args: ExitTask<'_>) {
                    if decides(p) {
                        HALF_PID.set(0);
                    }
                    tell(event(kind::GONE, p));
                }

                /// User space need not know: a decision for a CPU that is gone goes to another.
                fn cpu_online(_cx: &Init, _cpu: Cpu) {}

                fn cpu_offline(_cx: &Init, _cpu: Cpu) {}

                fn init(cx: &Init) -> Result<(), Errno> {
                    NR_CPUS.set(HeldMask::possible().mask().weight());
                    HALF.create(cx)?;
                    SHARED.create(cx)?;
                    KERNEL.create(cx)?;
                    HALF_TIMER.start(BEAT, beat);
                    Ok(())
                }

                fn exit(_cx: &Event, ei: ExitInfo<'_>) {
                    UEI.record(ei);
                }
            }
        }
    };
}
