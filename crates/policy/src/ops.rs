//! The operations of a scheduler.

use crate::{Cpu, Dispatch, EnqFlags, Enqueue, Errno, Event, ExitInfo, Init, SelectCpu, Task, WakeFlags, Weight};

/// What a scheduler may do, one method for each member of `struct sched_ext_ops`. [`crate::scheduler!`] puts into the table
/// what its `impl` block holds and nothing else; for the rest the kernel has its own behaviour, and the bodies here are
/// never called.
#[allow(unused_variables, reason = "the bodies stand for the kernel's defaults")]
pub trait Ops {
    /// A task wakes: where should it run? A hint; a task may be inserted here at once, which skips `enqueue`.
    #[inline(always)]
    fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
        prev_cpu
    }

    /// A task is ready to run and has to be inserted somewhere, or kept.
    #[inline(always)]
    fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {}

    /// A task that was enqueued is taken back.
    #[inline(always)]
    fn dequeue(cx: &Event, p: Task<'_>, deq_flags: EnqFlags) {}

    /// A CPU has nothing to run. `prev` is the task that just ran there, if it could go on.
    #[inline(always)]
    fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {}

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

    /// The task's weight changes.
    #[inline(always)]
    fn set_weight(cx: &Event, p: Task<'_>, weight: Weight) {}

    /// A CPU enters or leaves idle.
    #[inline(always)]
    fn update_idle(cx: &Event, cpu: Cpu, idle: bool) {}

    /// A CPU comes online.
    #[inline(always)]
    fn cpu_online(cx: &Init, cpu: Cpu) {}

    /// A CPU goes offline.
    #[inline(always)]
    fn cpu_offline(cx: &Init, cpu: Cpu) {}

    /// A task comes to be known, by a fork or when the scheduler starts.
    #[inline(always)]
    fn init_task(cx: &Init, p: Task<'_>) -> Result<(), Errno> {
        Ok(())
    }

    /// A known task goes.
    #[inline(always)]
    fn exit_task(cx: &Event, p: Task<'_>) {}

    /// The scheduler takes charge of the task.
    #[inline(always)]
    fn enable(cx: &Event, p: Task<'_>) {}

    /// The scheduler loses charge of the task.
    #[inline(always)]
    fn disable(cx: &Event, p: Task<'_>) {}

    /// The scheduler starts.
    #[inline(always)]
    fn init(cx: &Init) -> Result<(), Errno> {
        Ok(())
    }

    /// The scheduler has ended.
    #[inline(always)]
    fn exit(cx: &Event, ei: ExitInfo<'_>) {}
}

/// Gives the body of an operation for raw context words: `$word(i)` is the i-th one, `$task` and `$info` make pointers of
/// words. One arm for each operation; the result is an `i64`.
#[doc(hidden)]
#[macro_export]
macro_rules! __operation {
    (select_cpu, $S:ident, $w:ident) => {
        i64::from(
            <$S as $crate::Ops>::select_cpu(
                &$crate::SelectCpu::__new(),
                $w.task(0),
                $crate::Cpu($w.word(1) as i32),
                $crate::WakeFlags($w.word(2)),
            )
            .0,
        )
    };
    (enqueue, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::enqueue(&$crate::Enqueue::__new(), $w.task(0), $crate::EnqFlags($w.word(1)));
        0
    }};
    (dequeue, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::dequeue(&$crate::Event::__new(), $w.task(0), $crate::EnqFlags($w.word(1)));
        0
    }};
    (dispatch, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::dispatch(&$crate::Dispatch::__new(), $crate::Cpu($w.word(0) as i32), $w.optional_task(1));
        0
    }};
    (tick, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::tick(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (runnable, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::runnable(&$crate::Event::__new(), $w.task(0), $crate::EnqFlags($w.word(1)));
        0
    }};
    (running, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::running(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (stopping, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::stopping(&$crate::Event::__new(), $w.task(0), $w.flag(1));
        0
    }};
    (quiescent, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::quiescent(&$crate::Event::__new(), $w.task(0), $crate::EnqFlags($w.word(1)));
        0
    }};
    (set_weight, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::set_weight(&$crate::Event::__new(), $w.task(0), $crate::Weight($w.word(1) as u32));
        0
    }};
    (update_idle, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::update_idle(&$crate::Event::__new(), $crate::Cpu($w.word(0) as i32), $w.flag(1));
        0
    }};
    (cpu_online, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::cpu_online(&$crate::Init::__new(), $crate::Cpu($w.word(0) as i32));
        0
    }};
    (cpu_offline, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::cpu_offline(&$crate::Init::__new(), $crate::Cpu($w.word(0) as i32));
        0
    }};
    (init_task, $S:ident, $w:ident) => {
        match <$S as $crate::Ops>::init_task(&$crate::Init::__new(), $w.task(0)) {
            Ok(()) => 0,
            Err(errno) => i64::from(errno.0),
        }
    };
    (exit_task, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::exit_task(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (enable, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::enable(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (disable, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::disable(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (init, $S:ident, $w:ident) => {{
        let _ = &$w;
        match <$S as $crate::Ops>::init(&$crate::Init::__new()) {
            Ok(()) => 0,
            Err(errno) => i64::from(errno.0),
        }
    }};
    (exit, $S:ident, $w:ident) => {{
        <$S as $crate::Ops>::exit(&$crate::Event::__new(), $w.exit_info(0));
        0
    }};
}
