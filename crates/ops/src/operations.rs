//! The operations that a loaded object and a native policy have in common: what each is told, and what its answer means. Both
//! differ in how they are called, which `call` and `call_with` of the type say: r0, or `None` where the invocation ended in a fault; and
//! in how they are told of a CPU, which `cpu` says.

/// Expands to those operations, inside of an `impl SchedExtOps`.
macro_rules! operations {
    () => {
        fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
            let prev = self.cpu(k, prev_cpu);
            self.call(k, Op::select_cpu, &[task(p), prev, wake_flags]).map_or(prev as i32, |cpu| cpu as i32)
        }

        fn enqueue(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
            self.call(k, Op::enqueue, &[task(p), enq_flags]);
        }

        fn dequeue(&self, k: &mut Kernel, p: TaskId, deq_flags: u64) {
            self.call(k, Op::dequeue, &[task(p), deq_flags]);
        }

        fn dispatch(&self, k: &mut Kernel, cpu: CpuId, prev: Option<TaskId>) {
            let cpu = self.cpu(k, cpu);
            self.call(k, Op::dispatch, &[cpu, prev.map_or(0, task)]);
        }

        fn tick(&self, k: &mut Kernel, p: TaskId) {
            self.call(k, Op::tick, &[task(p)]);
        }

        fn runnable(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
            self.call(k, Op::runnable, &[task(p), enq_flags]);
        }

        fn running(&self, k: &mut Kernel, p: TaskId) {
            self.call(k, Op::running, &[task(p)]);
        }

        fn stopping(&self, k: &mut Kernel, p: TaskId, runnable: bool) {
            self.call(k, Op::stopping, &[task(p), runnable.into()]);
        }

        fn quiescent(&self, k: &mut Kernel, p: TaskId, deq_flags: u64) {
            self.call(k, Op::quiescent, &[task(p), deq_flags]);
        }

        fn yield_(&self, k: &mut Kernel, from: TaskId, to: Option<TaskId>) -> bool {
            self.call(k, Op::yield_, &[task(from), to.map_or(0, task)]).is_some_and(|r| r & 0xff != 0)
        }

        fn core_sched_before(&self, k: &mut Kernel, a: TaskId, b: TaskId) -> bool {
            self.call(k, Op::core_sched_before, &[task(a), task(b)]).is_some_and(|r| r & 0xff != 0)
        }

        fn set_weight(&self, k: &mut Kernel, p: TaskId, weight: u32) {
            self.call(k, Op::set_weight, &[task(p), weight.into()]);
        }

        fn update_idle(&self, k: &mut Kernel, cpu: CpuId, idle: bool) {
            let cpu = self.cpu(k, cpu);
            self.call(k, Op::update_idle, &[cpu, idle.into()]);
        }

        fn init_task(&self, k: &mut Kernel, p: TaskId, args: InitTaskArgs) -> i32 {
            self.call(k, Op::init_task, &[task(p), crate::addr::init_task_args(args)]).map_or(EFAULT, |r| r as i32)
        }

        fn exit_task(&self, k: &mut Kernel, p: TaskId, args: ExitTaskArgs) {
            self.call(k, Op::exit_task, &[task(p), addr(Kind::ExitTaskArgs, args.cancelled.into())]);
        }

        fn enable(&self, k: &mut Kernel, p: TaskId) {
            self.call(k, Op::enable, &[task(p)]);
        }

        fn disable(&self, k: &mut Kernel, p: TaskId) {
            self.call(k, Op::disable, &[task(p)]);
        }

        fn cpu_acquire(&self, k: &mut Kernel, cpu: CpuId) {
            self.call(k, Op::cpu_acquire, &[cpu.0.into(), addr(Kind::CpuAcquireArgs, 0)]);
        }

        fn cpu_release(&self, k: &mut Kernel, cpu: CpuId, reason: PreemptReason, task: TaskId) {
            let args = [cpu.0.into(), addr(Kind::CpuReleaseArgs, 0)];
            self.call_with(k, Op::cpu_release, &args, Told::Release(reason, task));
        }

        fn dump(&self, k: &mut Kernel, ctx: &DumpCtx) {
            self.call_with(k, Op::dump, &[addr(Kind::DumpCtx, 0)], Told::Dump(ctx));
        }

        fn dump_cpu(&self, k: &mut Kernel, ctx: &DumpCtx, cpu: CpuId, idle: bool) {
            let args = [addr(Kind::DumpCtx, 0), self.cpu(k, cpu), idle.into()];
            self.call_with(k, Op::dump_cpu, &args, Told::Dump(ctx));
        }

        fn dump_task(&self, k: &mut Kernel, ctx: &DumpCtx, p: TaskId) {
            self.call_with(k, Op::dump_task, &[addr(Kind::DumpCtx, 0), task(p)], Told::Dump(ctx));
        }

        fn cgroup_init(&self, k: &mut Kernel, cgrp: CgroupId) -> i32 {
            self.call(k, Op::cgroup_init, &[cgroup(cgrp), addr(Kind::CgroupInitArgs, cgrp.0)])
                .map_or(EFAULT, |r| r as i32)
        }

        fn cgroup_exit(&self, k: &mut Kernel, cgrp: CgroupId) {
            self.call(k, Op::cgroup_exit, &[cgroup(cgrp)]);
        }

        fn cgroup_prep_move(&self, k: &mut Kernel, p: TaskId, from: CgroupId, to: CgroupId) -> i32 {
            self.call(k, Op::cgroup_prep_move, &[task(p), cgroup(from), cgroup(to)]).map_or(EFAULT, |r| r as i32)
        }

        fn cgroup_move(&self, k: &mut Kernel, p: TaskId, from: CgroupId, to: CgroupId) {
            self.call(k, Op::cgroup_move, &[task(p), cgroup(from), cgroup(to)]);
        }

        fn cgroup_cancel_move(&self, k: &mut Kernel, p: TaskId, from: CgroupId, to: CgroupId) {
            self.call(k, Op::cgroup_cancel_move, &[task(p), cgroup(from), cgroup(to)]);
        }

        fn cgroup_set_weight(&self, k: &mut Kernel, cgrp: CgroupId, weight: u32) {
            self.call(k, Op::cgroup_set_weight, &[cgroup(cgrp), weight.into()]);
        }

        fn cgroup_set_bandwidth(&self, k: &mut Kernel, cgrp: CgroupId, b: Bandwidth) {
            self.call(k, Op::cgroup_set_bandwidth, &[cgroup(cgrp), b.period_us, b.quota_us, b.burst_us]);
        }

        fn cgroup_set_idle(&self, k: &mut Kernel, cgrp: CgroupId, idle: bool) {
            self.call(k, Op::cgroup_set_idle, &[cgroup(cgrp), idle.into()]);
        }

        fn sub_attach(&self, k: &mut Kernel, args: &SubArgs) -> i32 {
            let told = [addr(Kind::SubArgs, 0)];
            self.call_with(k, Op::sub_attach, &told, Told::Sub(args)).map_or(EFAULT, |r| r as i32)
        }

        fn sub_detach(&self, k: &mut Kernel, args: &SubArgs) {
            self.call_with(k, Op::sub_detach, &[addr(Kind::SubArgs, 0)], Told::Sub(args));
        }

        fn cpu_online(&self, k: &mut Kernel, cpu: CpuId) {
            let cpu = self.cpu(k, cpu);
            self.call(k, Op::cpu_online, &[cpu]);
        }

        fn cpu_offline(&self, k: &mut Kernel, cpu: CpuId) {
            let cpu = self.cpu(k, cpu);
            self.call(k, Op::cpu_offline, &[cpu]);
        }

        fn init(&self, k: &mut Kernel) -> i32 {
            self.call(k, Op::init, &[]).map_or(EFAULT, |r| r as i32)
        }

        fn exit(&self, k: &mut Kernel, info: &ExitInfo) {
            self.call_with(k, Op::exit, &[addr(Kind::ExitInfo, 0)], Told::Exit(info));
        }
    };
}
