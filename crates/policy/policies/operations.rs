//! Every operation, each counted; those that the kernel has from a later version on are left out of `struct sched_ext_ops` where it lacks them.

use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);

state! {
    /// Calls of operations that tell of tasks.
    pub static CALLS as "calls": PerCpuArray<u64, 40>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

#[inline(always)]
fn count(op: u32) {
    if let Some(calls) = CALLS.get(op) {
        calls.add(1);
    }
}

scheduler! {
    /// First in, first out.
    pub struct Operations { name: "operations", timeout_ms: 5000 }

    impl Ops for Operations {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            count(0);
            p.select_cpu_dfl(cx, prev_cpu, wake_flags).cpu
        }
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            count(1);
            QUEUE.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }
        fn dequeue(_cx: &Event, _p: Task<'_>, _deq_flags: EnqFlags) {
            count(2);
        }
        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            count(3);
            QUEUE.move_to_local(cx);
        }
        fn tick(_cx: &Event, _p: Task<'_>) {
            count(4);
        }
        fn runnable(_cx: &Event, _p: Task<'_>, _enq_flags: EnqFlags) {
            count(5);
        }
        fn running(_cx: &Event, _p: Task<'_>) {
            count(6);
        }
        fn stopping(_cx: &Event, _p: Task<'_>, _runnable: bool) {
            count(7);
        }
        fn quiescent(_cx: &Event, _p: Task<'_>, _deq_flags: EnqFlags) {
            count(8);
        }
        fn yield_(_cx: &Event, from: Task<'_>, _to: Option<Task<'_>>) -> bool {
            count(9);
            from.set_slice(Ns::ZERO);
            false
        }
        fn core_sched_before(_cx: &Event, a: Task<'_>, b: Task<'_>) -> bool {
            count(10);
            a.dsq_vtime().before(b.dsq_vtime())
        }
        fn set_weight(_cx: &Event, _p: Task<'_>, _weight: Weight) {
            count(11);
        }
        fn set_cpumask(_cx: &Event, _p: Task<'_>, _cpus: CpuMask<'_>) {
            count(12);
        }
        fn cpu_acquire(_cx: &Event, _cpu: Cpu) {
            count(28);
        }
        fn cpu_release(cx: &CpuRelease, _cpu: Cpu, args: Release<'_>) {
            count(if args.task().is_some() { 29 } else { 30 });
            Dsq::reenqueue_local(cx);
        }
        fn cpu_online(_cx: &Init, _cpu: Cpu) {
            count(14);
        }
        fn cpu_offline(_cx: &Init, _cpu: Cpu) {
            count(15);
        }
        fn init_task(_cx: &Init, _p: Task<'_>, _args: InitTask<'_>) -> Result<(), Errno> {
            count(16);
            Ok(())
        }
        fn exit_task(_cx: &Event, _p: Task<'_>, _args: ExitTask<'_>) {
            count(17);
        }
        fn enable(_cx: &Event, _p: Task<'_>) {
            count(18);
        }
        fn disable(_cx: &Event, _p: Task<'_>) {
            count(19);
        }
        fn dump(cx: &Dump) {
            scx_dump!(cx, "%d waiting", QUEUE.nr_queued().unwrap_or(0));
        }
        fn dump_cpu(cx: &Dump, cpu: Cpu, idle: bool) {
            if !idle {
                scx_dump!(cx, "cpu %d is busy", cpu.0);
            }
        }
        fn dump_task(cx: &Dump, p: Task<'_>) {
            scx_dump!(cx, "%s has %llu ns left", p.comm(), p.slice());
        }
        fn cgroup_init(_cx: &Init, _cgrp: Cgroup<'_>, args: CgroupInit<'_>) -> Result<(), Errno> {
            count(if args.weight() == Weight::DEFAULT { 20 } else { 21 });
            Ok(())
        }
        fn cgroup_exit(_cx: &Init, _cgrp: Cgroup<'_>) {
            count(22);
        }
        fn cgroup_prep_move(_cx: &Init, _p: Task<'_>, _from: Cgroup<'_>, _to: Cgroup<'_>) -> Result<(), Errno> {
            count(23);
            Ok(())
        }
        fn cgroup_move(_cx: &Event, _p: Task<'_>, _from: Cgroup<'_>, to: Cgroup<'_>) {
            count(24 + (to.level() & 1) as u32);
        }
        fn cgroup_cancel_move(_cx: &Unlocked, _p: Task<'_>, _from: Cgroup<'_>, _to: Cgroup<'_>) {
            count(26);
        }
        fn cgroup_set_weight(_cx: &Unlocked, _cgrp: Cgroup<'_>, _weight: Weight) {
            count(27);
        }
        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)
        }
        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
