//! The BPF half of schedulers whose decisions are made in user space: it tells of tasks that are ready, and carries out what is decided.
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
    /// Times that user space was woken because a CPU had nothing to run.
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
        use $crate::userspace::{ANY_CPU, Decision, TaskEvent, counter, kind};

        /// The user-space half's task: it goes before all others.
        const HALF: $crate::Dsq<$crate::Fifo> = $crate::Dsq::fifo(0);
        /// What is decided, in order of arrival.
        const SHARED: $crate::Dsq<$crate::Fifo> = $crate::Dsq::fifo(1);
        /// What is served in the kernel.
        const KERNEL: $crate::Dsq<$crate::Fifo> = $crate::Dsq::fifo(2);

        $crate::state! {
            /// The process of the user-space half, set before the scheduler is attached.
            static HALF_TGID as "half_tgid": Global<i32> = 0;
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
                /// What is served in the kernel takes an idle CPU at once.
                fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
                    if !is_half(p) && !stays(p) {
                        return prev_cpu;
                    }
                    let picked = p.select_cpu_dfl(cx, prev_cpu, wake_flags);
                    if picked.is_idle {
                        Dsq::LOCAL.insert(cx, p, SLICE.get(), EnqFlags::NONE);
                    }
                    picked.cpu
                }

                fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
                    if is_half(p) {
                        HALF.insert(cx, p, SLICE.get(), enq_flags);
                        wake_idle(p);
                        return;
                    }
                    if p.is_kthread() {
                        count(counter::KERNEL);
                        Dsq::LOCAL.insert(cx, p, SLICE.get(), enq_flags);
                        return;
                    }
                    if stays(p) {
                        count(counter::KERNEL);
                    } else if READY.send(event(kind::READY, p)) {
                        NR_SENT.fetch_add(1);
                        count(counter::USER);
                        return;
                    } else {
                        count(counter::FULL);
                    }
                    KERNEL.insert(cx, p, SLICE.get(), enq_flags);
                    wake_idle(p);
                }

                fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {
                    if HALF.move_to_local(cx) {
                        return;
                    }
                    if DECIDED.drain_in(cx, place).is_err() {
                        // another CPU is at it: look again
                        cpu.kick(KickFlags::NONE);
                    }
                    // both kinds of tasks in turn
                    let turn = turn();
                    let found = turn && KERNEL.move_to_local(cx) || SHARED.move_to_local(cx) || !turn && KERNEL.move_to_local(cx);
                    let left = SHARED.nr_queued().unwrap_or(0);
                    NR_SHARED.set(left.into());
                    let waits = NR_SENT.get() > NR_PLACED.get();
                    if left == 0 && waits {
                        let want = TaskEvent { kind: kind::WANT, pid: 0, cpu: cpu.0, weight: 0, ran: Ns::ZERO, at: Ns::now() };
                        if READY.nr_unread() == 0 && READY.send(want) {
                            count(counter::WANTED);
                        }
                    }
                    if !found && let Some(p) = prev && p.is_queued() && (!waits || is_half(p)) {
                        count(counter::KEPT);
                        p.set_slice(SLICE.get());
                    }
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
                    READY.send(event(kind::GONE, p));
                }

                /// User space need not know: a decision for a CPU that is gone goes to another.
                fn cpu_online(_cx: &Init, _cpu: Cpu) {}

                fn cpu_offline(_cx: &Init, _cpu: Cpu) {}

                fn init(cx: &Init) -> Result<(), Errno> {
                    NR_CPUS.set(HeldMask::possible().mask().weight());
                    HALF.create(cx)?;
                    SHARED.create(cx)?;
                    KERNEL.create(cx)
                }

                fn exit(_cx: &Event, ei: ExitInfo<'_>) {
                    UEI.record(ei);
                }
            }
        }
    };
}
