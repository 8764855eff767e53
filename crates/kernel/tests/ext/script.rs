//! A scheduler of which each operation is a closure.

use scxr_kernel::Kernel;
use scxr_kernel::cgroup::{Bandwidth, CgroupId};
use scxr_kernel::ext::ops::*;
use scxr_kernel::ids::{CpuId, TaskId};

use crate::harness::attrs;

macro_rules! script {
    ($($f:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty = $default:expr)?;)*) => {
        /// The closures; those that are there are in the table.
        #[derive(Default)]
        #[allow(clippy::type_complexity)]
        pub(crate) struct Script {
            pub(crate) flags: u64,
            pub(crate) batch: u32,
            pub(crate) timeout_ms: u32,
            pub(crate) cid: bool,
            pub(crate) sub_cgroup_id: u64,
            pub(crate) exit_dump_len: u32,
            pub(crate) name: &'static str,
            /// Operations that are in the table though they have no closure here.
            pub(crate) also: Vec<Op>,
            /// What its timers do.
            pub(crate) timer: Option<Box<dyn Fn(&mut Kernel, u64)>>,
            $(pub(crate) $f: Option<Box<dyn Fn(&mut Kernel, $($ty),*) $(-> $ret)?>>,)*
        }

        impl SchedExtOps for Script {
            fn attrs(&self) -> OpsAttrs {
                let set = [$((Op::$f, self.$f.is_some())),*];
                let on = set.iter().filter(|(_, on)| *on).map(|(op, _)| *op);
                let ops: Vec<Op> = on.chain(self.also.iter().copied()).collect();
                OpsAttrs {
                    flags: self.flags,
                    dispatch_max_batch: self.batch,
                    cid: self.cid,
                    sub_cgroup_id: self.sub_cgroup_id,
                    exit_dump_len: self.exit_dump_len,
                    timeout_ms: if self.timeout_ms == 0 { 1000 } else { self.timeout_ms },
                    ..attrs(if self.name.is_empty() { "script" } else { self.name }, &ops)
                }
            }
            fn timer(&self, k: &mut Kernel, id: u64) {
                if let Some(f) = &self.timer {
                    f(k, id);
                }
            }
            $(fn $f(&self, k: &mut Kernel, $($arg: $ty),*) $(-> $ret)? {
                match &self.$f {
                    Some(f) => f(k, $($arg),*),
                    None => { $($default)? }
                }
            })*
        }
    };
}

script! {
    select_cpu(p: TaskId, prev: CpuId, flags: u64) -> i32 = { let _ = (p, flags); prev.0 as i32 };
    enqueue(p: TaskId, flags: u64) ;
    dequeue(p: TaskId, flags: u64) ;
    dispatch(cpu: CpuId, prev: Option<TaskId>) ;
    tick(p: TaskId) ;
    runnable(p: TaskId, flags: u64) ;
    running(p: TaskId) ;
    stopping(p: TaskId, runnable: bool) ;
    quiescent(p: TaskId, flags: u64) ;
    core_sched_before(a: TaskId, b: TaskId) -> bool = { let _ = (a, b); false };
    set_weight(p: TaskId, weight: u32) ;
    set_cpumask(p: TaskId) ;
    update_idle(cpu: CpuId, idle: bool) ;
    init_task(p: TaskId, args: InitTaskArgs) -> i32 = 0;
    exit_task(p: TaskId, args: ExitTaskArgs) ;
    enable(p: TaskId) ;
    disable(p: TaskId) ;
    init() -> i32 = 0;
    exit(info: &ExitInfo) ;
    dump(ctx: &DumpCtx) ;
    dump_cpu(ctx: &DumpCtx, cpu: CpuId, idle: bool) ;
    dump_task(ctx: &DumpCtx, p: TaskId) ;
    cpu_acquire(cpu: CpuId) ;
    cpu_release(cpu: CpuId, reason: PreemptReason, task: TaskId) ;
    cgroup_init(cgrp: CgroupId) -> i32 = { let _ = cgrp; 0 };
    cgroup_exit(cgrp: CgroupId) ;
    cgroup_prep_move(p: TaskId, from: CgroupId, to: CgroupId) -> i32 = { let _ = (p, from, to); 0 };
    cgroup_move(p: TaskId, from: CgroupId, to: CgroupId) ;
    cgroup_cancel_move(p: TaskId, from: CgroupId, to: CgroupId) ;
    cgroup_set_weight(cgrp: CgroupId, weight: u32) ;
    cgroup_set_bandwidth(cgrp: CgroupId, bandwidth: Bandwidth) ;
    cgroup_set_idle(cgrp: CgroupId, idle: bool) ;
    sub_attach(args: &SubArgs) -> i32 = { let _ = args; 0 };
    sub_detach(args: &SubArgs) ;
    cpu_online(cpu: CpuId) ;
    cpu_offline(cpu: CpuId) ;
}
