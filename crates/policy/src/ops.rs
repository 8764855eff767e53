//! The operations of a scheduler.

use crate::{
    Cgroup, CgroupInit, Cpu, CpuMask, CpuRelease, Dispatch, Dump, EnqFlags, Enqueue, Errno, Event, ExitInfo, ExitTask,
    Init, InitTask, Release, SelectCpu, Task, Unlocked, WakeFlags, Weight,
};

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

    /// A CPU has nothing to run. `prev` is the task that just ran there, if it could go on.
    #[inline(always)]
    fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {}

    /// The task may run on other CPUs from now on.
    #[inline(always)]
    fn set_cpumask(cx: &Event, p: Task<'_>, cpus: CpuMask<'_>) {}

    /// A CPU enters or leaves idle.
    #[inline(always)]
    fn update_idle(cx: &Event, cpu: Cpu, idle: bool) {}

    /// A CPU comes back from a higher class.
    #[inline(always)]
    fn cpu_acquire(cx: &Event, cpu: Cpu) {}

    /// A higher class takes a CPU.
    #[inline(always)]
    fn cpu_release(cx: &CpuRelease, cpu: Cpu, args: Release<'_>) {}

    /// A CPU comes online.
    #[inline(always)]
    fn cpu_online(cx: &Init, cpu: Cpu) {}

    /// A CPU goes offline.
    #[inline(always)]
    fn cpu_offline(cx: &Init, cpu: Cpu) {}

    /// The same about a CPU.
    #[inline(always)]
    fn dump_cpu(cx: &Dump, cpu: Cpu, idle: bool) {}

    crate::both::operations!();
}

/// Gives the body of an operation for raw context words: `$w.task(i)` makes a task of the i-th one, and so on. One arm for each
/// operation, and one for what is none; the result is an `i64`.
#[doc(hidden)]
#[macro_export]
macro_rules! __operation {
    (select_cpu, $S:ident, $w:ident, $T:ident) => {{ i64::from(<$S as $crate::$T>::select_cpu(&$crate::SelectCpu::__new(), $w.task(0), $w.cpu(1), $w.wake(2)).0) }};
    (enqueue, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::enqueue(&$crate::Enqueue::__new(), $w.task(0), $w.enq(1));
        0
    }};
    (dequeue, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::dequeue(&$crate::Event::__new(), $w.task(0), $w.enq(1));
        0
    }};
    (dispatch, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::dispatch(&$crate::Dispatch::__new(), $w.cpu(0), $w.optional_task(1));
        0
    }};
    (tick, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::tick(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (runnable, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::runnable(&$crate::Event::__new(), $w.task(0), $w.enq(1));
        0
    }};
    (running, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::running(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (stopping, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::stopping(&$crate::Event::__new(), $w.task(0), $w.flag(1));
        0
    }};
    (quiescent, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::quiescent(&$crate::Event::__new(), $w.task(0), $w.enq(1));
        0
    }};
    (yield_, $S:ident, $w:ident, $T:ident) => {{ i64::from(<$S as $crate::$T>::yield_(&$crate::Event::__new(), $w.task(0), $w.optional_task(1))) }};
    (core_sched_before, $S:ident, $w:ident, $T:ident) => {{ i64::from(<$S as $crate::$T>::core_sched_before(&$crate::Event::__new(), $w.task(0), $w.task(1))) }};
    (set_weight, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::set_weight(&$crate::Event::__new(), $w.task(0), $w.weight(1));
        0
    }};
    (set_cpumask, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::set_cpumask(&$crate::Event::__new(), $w.task(0), $w.cpumask(1));
        0
    }};
    (update_idle, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::update_idle(&$crate::Event::__new(), $w.cpu(0), $w.flag(1));
        0
    }};
    (cpu_acquire, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cpu_acquire(&$crate::Event::__new(), $w.cpu(0));
        0
    }};
    (cpu_release, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cpu_release(&$crate::CpuRelease::__new(), $w.cpu(0), $w.release(1));
        0
    }};
    (cpu_online, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cpu_online(&$crate::Init::__new(), $w.cpu(0));
        0
    }};
    (cpu_offline, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cpu_offline(&$crate::Init::__new(), $w.cpu(0));
        0
    }};
    (init_task, $S:ident, $w:ident, $T:ident) => {{
        match <$S as $crate::$T>::init_task(&$crate::Init::__new(), $w.task(0), $w.init_task(1)) {
            Ok(()) => 0,
            Err(errno) => i64::from(errno.0),
        }
    }};
    (exit_task, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::exit_task(&$crate::Event::__new(), $w.task(0), $w.exit_task(1));
        0
    }};
    (enable, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::enable(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (disable, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::disable(&$crate::Event::__new(), $w.task(0));
        0
    }};
    (dump, $S:ident, $w:ident, $T:ident) => {{
        let _ = &$w;
        <$S as $crate::$T>::dump(&$crate::Dump::__new());
        0
    }};
    (dump_cpu, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::dump_cpu(&$crate::Dump::__new(), $w.cpu(1), $w.flag(2));
        0
    }};
    (dump_task, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::dump_task(&$crate::Dump::__new(), $w.task(1));
        0
    }};
    (cgroup_init, $S:ident, $w:ident, $T:ident) => {{
        match <$S as $crate::$T>::cgroup_init(&$crate::Init::__new(), $w.cgroup(0), $w.cgroup_init(1)) {
            Ok(()) => 0,
            Err(errno) => i64::from(errno.0),
        }
    }};
    (cgroup_exit, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cgroup_exit(&$crate::Init::__new(), $w.cgroup(0));
        0
    }};
    (cgroup_prep_move, $S:ident, $w:ident, $T:ident) => {{
        match <$S as $crate::$T>::cgroup_prep_move(&$crate::Init::__new(), $w.task(0), $w.cgroup(1), $w.cgroup(2)) {
            Ok(()) => 0,
            Err(errno) => i64::from(errno.0),
        }
    }};
    (cgroup_move, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cgroup_move(&$crate::Event::__new(), $w.task(0), $w.cgroup(1), $w.cgroup(2));
        0
    }};
    (cgroup_cancel_move, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cgroup_cancel_move(&$crate::Unlocked::__new(), $w.task(0), $w.cgroup(1), $w.cgroup(2));
        0
    }};
    (cgroup_set_weight, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cgroup_set_weight(&$crate::Unlocked::__new(), $w.cgroup(0), $w.weight(1));
        0
    }};
    (cgroup_set_bandwidth, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cgroup_set_bandwidth(
            &$crate::Unlocked::__new(),
            $w.cgroup(0),
            $w.word(1),
            $w.word(2),
            $w.word(3),
        );
        0
    }};
    (cgroup_set_idle, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::cgroup_set_idle(&$crate::Unlocked::__new(), $w.cgroup(0), $w.flag(1));
        0
    }};
    (init, $S:ident, $w:ident, $T:ident) => {{
        let _ = &$w;
        match <$S as $crate::$T>::init(&$crate::Init::__new()) {
            Ok(()) => 0,
            Err(errno) => i64::from(errno.0),
        }
    }};
    (exit, $S:ident, $w:ident, $T:ident) => {{
        <$S as $crate::$T>::exit(&$crate::Event::__new(), $w.exit_info(0));
        0
    }};
    ($other:ident, $S:ident, $w:ident, $T:ident) => {
        compile_error!(concat!(
            "there is no operation `",
            stringify!($other),
            "`; there are: select_cpu, enqueue, dequeue, dispatch, tick, runnable, running, stopping, quiescent, yield_, \
             core_sched_before, set_weight, set_cpumask, update_idle, cpu_acquire, cpu_release, cpu_online, \
             cpu_offline, init_task, exit_task, enable, disable, dump, dump_cpu, dump_task, cgroup_init, \
             cgroup_exit, cgroup_prep_move, cgroup_move, cgroup_cancel_move, cgroup_set_weight, \
             cgroup_set_bandwidth, cgroup_set_idle, init, exit"
        ))
    };
}
