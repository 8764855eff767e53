//! What a scheduler of either form may do.

/// The methods of [`Ops`](crate::Ops) and [`CidOps`](crate::CidOps) that are the same in both, since they tell of no CPU. The bodies stand
/// for the kernel's defaults.
macro_rules! operations {
    () => {
        /// A task is ready to run and has to be inserted somewhere, or kept.
        #[inline(always)]
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {}

        /// A task that was enqueued is taken back.
        #[inline(always)]
        fn dequeue(cx: &Event, p: Task<'_>, deq_flags: EnqFlags) {}

        /// A tick while the task runs.
        #[inline(always)]
        fn tick(cx: &Event, p: Task<'_>) {}

        /// The task becomes ready to run.
        #[inline(always)]
        fn runnable(cx: &Event, p: Task<'_>, enq_flags: EnqFlags) {}

        /// The task starts to run.
        #[inline(always)]
        fn running(cx: &Event, p: Task<'_>) {}

        /// The task stops running, still ready if `runnable`.
        #[inline(always)]
        fn stopping(cx: &Event, p: Task<'_>, runnable: bool) {}

        /// The task is no longer ready to run.
        #[inline(always)]
        fn quiescent(cx: &Event, p: Task<'_>, deq_flags: EnqFlags) {}

        /// The task yields, to another one if that is given; `true`: it was done. (`yield` is a word of Rust's: the underscore
        /// is not part of the operation's name.)
        #[inline(always)]
        fn yield_(cx: &Event, from: Task<'_>, to: Option<Task<'_>>) -> bool {
            false
        }

        /// Core scheduling asks: should `a` run before `b`?
        #[inline(always)]
        fn core_sched_before(cx: &Event, a: Task<'_>, b: Task<'_>) -> bool {
            false
        }

        /// The task's weight changes.
        #[inline(always)]
        fn set_weight(cx: &Event, p: Task<'_>, weight: Weight) {}

        /// A task comes to be known, by a fork or when the scheduler starts.
        #[inline(always)]
        fn init_task(cx: &Init, p: Task<'_>, args: InitTask<'_>) -> Result<(), Errno> {
            Ok(())
        }

        /// A known task goes.
        #[inline(always)]
        fn exit_task(cx: &Event, p: Task<'_>, args: ExitTask<'_>) {}

        /// The scheduler takes charge of the task.
        #[inline(always)]
        fn enable(cx: &Event, p: Task<'_>) {}

        /// The scheduler loses charge of the task.
        #[inline(always)]
        fn disable(cx: &Event, p: Task<'_>) {}

        /// The scheduler was ejected: say what helps to find out why ([`scx_dump!`](crate::scx_dump)).
        #[inline(always)]
        fn dump(cx: &Dump) {}

        /// The same about a task.
        #[inline(always)]
        fn dump_task(cx: &Dump, p: Task<'_>) {}

        /// A cgroup comes to be known.
        #[inline(always)]
        fn cgroup_init(cx: &Init, cgrp: Cgroup<'_>, args: CgroupInit<'_>) -> Result<(), Errno> {
            Ok(())
        }

        /// A known cgroup goes.
        #[inline(always)]
        fn cgroup_exit(cx: &Init, cgrp: Cgroup<'_>) {}

        /// A task is about to change its cgroup.
        #[inline(always)]
        fn cgroup_prep_move(cx: &Init, p: Task<'_>, from: Cgroup<'_>, to: Cgroup<'_>) -> Result<(), Errno> {
            Ok(())
        }

        /// The task changes its cgroup.
        #[inline(always)]
        fn cgroup_move(cx: &Event, p: Task<'_>, from: Cgroup<'_>, to: Cgroup<'_>) {}

        /// It will not, after all.
        #[inline(always)]
        fn cgroup_cancel_move(cx: &Unlocked, p: Task<'_>, from: Cgroup<'_>, to: Cgroup<'_>) {}

        /// The cgroup's weight changes.
        #[inline(always)]
        fn cgroup_set_weight(cx: &Unlocked, cgrp: Cgroup<'_>, weight: Weight) {}

        /// The cgroup's bandwidth changes (from 6.17).
        #[inline(always)]
        fn cgroup_set_bandwidth(cx: &Unlocked, cgrp: Cgroup<'_>, period_us: u64, quota_us: u64, burst_us: u64) {}

        /// The cgroup's tasks are to run only when nobody else does, or no longer (from 6.19).
        #[inline(always)]
        fn cgroup_set_idle(cx: &Unlocked, cgrp: Cgroup<'_>, idle: bool) {}

        /// The scheduler starts.
        #[inline(always)]
        fn init(cx: &Init) -> Result<(), Errno> {
            Ok(())
        }

        /// The scheduler has ended.
        #[inline(always)]
        fn exit(cx: &Event, ei: ExitInfo<'_>) {}
    };
}
pub(crate) use operations;
