//! Kernel functions and fields, with the fallbacks for kernels that lack the newest form.

use core::cell::UnsafeCell;

use super::sys::kfunc::*;
use super::sys::types::{sched_ext_entity, scx_bpf_dsq_insert_vtime_args, task_struct};
use super::sys::{helper, types};

/// A task, as the kernel points to it.
pub type RawTask = *mut task_struct;
/// Exit information, as the kernel points to it.
pub type RawExitInfo = *mut types::scx_exit_info;

/// Reads a relocated field. Volatile: another CPU may write it, and each read of a policy is one read of the kernel's memory.
#[inline(always)]
pub(crate) fn load<T: Copy>(address: *const T) -> T {
    // SAFETY: the verifier lets a program read the fields of a kernel object that it was given.
    unsafe { address.read_volatile() }
}

#[inline(always)]
fn scx(p: RawTask) -> *mut sched_ext_entity {
    task_struct::scx(p)
}

#[inline(always)]
pub fn task_pid(p: RawTask) -> i32 {
    load(task_struct::pid(p))
}

/// Arguments of `init_task`.
pub type RawInitTask = *mut types::scx_init_task_args;
/// Arguments of `exit_task`.
pub type RawExitTask = *mut types::scx_exit_task_args;
/// Arguments of `cpu_release`.
pub type RawRelease = *mut types::scx_cpu_release_args;
/// Arguments of `cgroup_init`.
pub type RawCgroupInit = *mut types::scx_cgroup_init_args;
/// A cgroup, as the kernel points to it.
pub type RawCgroup = *mut types::cgroup;
/// A set of CPUs, as the kernel points to it.
pub type RawMask = *const types::cpumask;
/// A set of CPUs of the policy's own.
pub type RawOwnedMask = *mut types::bpf_cpumask;

macro_rules! task_fields {
    ($($n:ident: $f:ident -> $t:ty;)*) => {$(
        #[inline(always)]
        pub fn $n(p: RawTask) -> $t {
            load(task_struct::$f(p))
        }
    )*};
}

task_fields! {
    task_state: __state -> u32;
    task_prio: prio -> i32;
    task_policy: policy -> u32;
    task_utime: utime -> u64;
    task_stime: stime -> u64;
    task_tgid: tgid -> i32;
    task_flags: flags -> u32;
    task_static_prio: static_prio -> i32;
    task_nvcsw: nvcsw -> u64;
    task_nivcsw: nivcsw -> u64;
    task_cpus: cpus_ptr -> RawMask;
}

#[inline(always)]
pub fn task_sum_exec(p: RawTask) -> u64 {
    load(types::sched_entity::sum_exec_runtime(task_struct::se(p)))
}

#[inline(always)]
pub fn task_parent(p: RawTask) -> Option<RawTask> {
    given(load(task_struct::real_parent(p)))
}

#[inline(always)]
pub fn task_leader(p: RawTask) -> Option<RawTask> {
    given(load(task_struct::group_leader(p)))
}

#[inline(always)]
pub fn task_has_mm(p: RawTask) -> bool {
    !load(task_struct::mm(p)).is_null()
}

#[inline(always)]
pub fn task_migration_disabled(p: RawTask) -> u16 {
    if types::has_migration_disabled() { load(task_struct::migration_disabled(p)) } else { 0 }
}

#[inline(always)]
pub fn task_preferred_node(p: RawTask) -> Option<i32> {
    if types::has_numa_preferred_nid() { Some(load(task_struct::numa_preferred_nid(p))) } else { None }
}

#[inline(always)]
pub fn task_tid(p: RawTask) -> Option<u64> {
    if types::has_tid() { Some(load(sched_ext_entity::tid(scx(p)))) } else { None }
}

#[inline(always)]
pub fn task_default_cgroup(p: RawTask) -> RawCgroup {
    load(types::css_set::dfl_cgrp(load(task_struct::cgroups(p))))
}

#[inline(always)]
pub fn task_set_disallow(p: RawTask, disallow: bool) {
    // SAFETY: the class lets programs store this field.
    unsafe { sched_ext_entity::disallow(scx(p)).write_volatile(disallow) }
}

#[inline(always)]
pub fn task_is_under(p: RawTask, cgrp: RawCgroup) -> bool {
    // SAFETY: both are the kernel's.
    unsafe { bpf_task_under_cgroup::call(p, cgrp) == 1 }
}

#[inline(always)]
pub fn task_from_tid(tid: u64) -> Option<RawTask> {
    if !scx_bpf_tid_to_task::exists() {
        return None;
    }
    // SAFETY: a plain number.
    given(unsafe { scx_bpf_tid_to_task::call(tid) })
}

/// Before 6.18 the run queue is looked at.
#[inline(always)]
pub fn cpu_curr(cpu: i32) -> Option<RawTask> {
    // SAFETY: plain numbers.
    unsafe {
        if scx_bpf_cpu_curr::exists() {
            given(scx_bpf_cpu_curr::call(cpu))
        } else if scx_bpf_cpu_rq::exists() {
            let rq = given(scx_bpf_cpu_rq::call(cpu))?;
            given(load(types::rq::curr(rq)))
        } else {
            None
        }
    }
}

/// Before 7.1 only what is on this CPU's local queue, before 6.19 nothing.
#[inline(always)]
pub fn dsq_reenq(dsq_id: u64) -> bool {
    const LOCAL: u64 = 1 << 63 | 2;
    // SAFETY: plain numbers.
    unsafe {
        if scx_bpf_dsq_reenq::exists() {
            scx_bpf_dsq_reenq::call(dsq_id, 0);
            true
        } else if dsq_id == LOCAL && scx_bpf_reenqueue_local___v2___compat::exists() {
            scx_bpf_reenqueue_local___v2___compat::call();
            true
        } else {
            false
        }
    }
}

#[inline(always)]
pub fn nr_nodes() -> u32 {
    // SAFETY: no arguments.
    if scx_bpf_nr_node_ids::exists() { unsafe { scx_bpf_nr_node_ids::call() } } else { 1 }
}

#[inline(always)]
pub fn get_idle_mask_node(node: i32) -> RawMask {
    // SAFETY: a plain number.
    unsafe {
        if scx_bpf_get_idle_cpumask_node::exists() {
            scx_bpf_get_idle_cpumask_node::call(node)
        } else {
            scx_bpf_get_idle_cpumask::call()
        }
    }
}

#[inline(always)]
pub fn get_idle_smtmask_node(node: i32) -> RawMask {
    // SAFETY: a plain number.
    unsafe {
        if scx_bpf_get_idle_smtmask_node::exists() {
            scx_bpf_get_idle_smtmask_node::call(node)
        } else {
            scx_bpf_get_idle_smtmask::call()
        }
    }
}

#[inline(always)]
pub fn pick_idle_cpu_node(mask: RawMask, node: i32, flags: u64) -> i32 {
    // SAFETY: the mask is the kernel's.
    unsafe {
        if scx_bpf_pick_idle_cpu_node::exists() {
            scx_bpf_pick_idle_cpu_node::call(mask, node, flags)
        } else {
            scx_bpf_pick_idle_cpu::call(mask, flags)
        }
    }
}

#[inline(always)]
pub fn pick_any_cpu_node(mask: RawMask, node: i32, flags: u64) -> i32 {
    // SAFETY: the mask is the kernel's.
    unsafe {
        if scx_bpf_pick_any_cpu_node::exists() {
            scx_bpf_pick_any_cpu_node::call(mask, node, flags)
        } else {
            scx_bpf_pick_any_cpu::call(mask, flags)
        }
    }
}

#[inline(always)]
pub fn init_task_cgroup(args: RawInitTask) -> Option<RawCgroup> {
    if types::has_init_task_cgroup() { given(load(types::scx_init_task_args::cgroup(args))) } else { None }
}

/// Period, quota and burst in microseconds.
#[inline(always)]
pub fn cgroup_init_bandwidth(args: RawCgroupInit) -> Option<[u64; 3]> {
    use types::scx_cgroup_init_args as init;
    if !types::has_bandwidth() {
        return None;
    }
    Some([load(init::bw_period_us(args)), load(init::bw_quota_us(args)), load(init::bw_burst_us(args))])
}

#[inline(always)]
pub fn task_comm(p: RawTask) -> [u8; 16] {
    let mut comm = [0; 16];
    // SAFETY: 16 bytes of ours, and a string of the kernel's.
    unsafe { helper::probe_read_kernel_str(comm.as_mut_ptr(), 16, task_struct::comm(p).cast()) };
    comm
}

#[inline(always)]
pub fn current_task() -> Option<RawTask> {
    // SAFETY: no arguments.
    let p = unsafe { helper::get_current_task_btf() };
    if p.is_null() { None } else { Some(p) }
}

#[inline(always)]
pub fn task_from_pid(pid: i32) -> Option<RawTask> {
    // SAFETY: a plain number; the reference is released by `OwnedTask`.
    let p = unsafe { bpf_task_from_pid::call(pid) };
    if p.is_null() { None } else { Some(p) }
}

/// A pointer that the kernel gave, unless it is null.
#[inline(always)]
fn given<T>(pointer: *mut T) -> Option<*mut T> {
    if pointer.is_null() { None } else { Some(pointer) }
}

#[inline(always)]
pub fn task_acquire(p: RawTask) -> Option<RawTask> {
    // SAFETY: the task is the kernel's; the reference is released by `OwnedTask`.
    given(unsafe { bpf_task_acquire::call(p) })
}

#[inline(always)]
pub fn task_cgroup(p: RawTask) -> Option<RawCgroup> {
    if !scx_bpf_task_cgroup::exists() {
        return None;
    }
    // SAFETY: the task is the kernel's; the reference is released by `OwnedCgroup`.
    given(unsafe { scx_bpf_task_cgroup::call(p) })
}

#[inline(always)]
pub fn cgroup_from_id(id: u64) -> Option<RawCgroup> {
    // SAFETY: a plain number; the reference is released by `OwnedCgroup`.
    given(unsafe { bpf_cgroup_from_id::call(id) })
}

#[inline(always)]
pub fn cgroup_ancestor(cgrp: RawCgroup, level: i32) -> Option<RawCgroup> {
    // SAFETY: the cgroup is the kernel's; the reference is released by `OwnedCgroup`.
    given(unsafe { bpf_cgroup_ancestor::call(cgrp, level) })
}

#[inline(always)]
pub fn cgroup_acquire(cgrp: RawCgroup) -> Option<RawCgroup> {
    // SAFETY: as in `cgroup_ancestor`.
    given(unsafe { bpf_cgroup_acquire::call(cgrp) })
}

#[inline(always)]
pub fn cgroup_release(cgrp: RawCgroup) {
    // SAFETY: `OwnedCgroup` held it.
    unsafe { bpf_cgroup_release::call(cgrp) }
}

#[inline(always)]
pub fn task_release(p: RawTask) {
    // SAFETY: `task_from_pid` acquired it.
    unsafe { bpf_task_release::call(p) }
}

#[inline(always)]
pub fn init_task_fork(args: RawInitTask) -> bool {
    load(types::scx_init_task_args::fork(args))
}

#[inline(always)]
pub fn exit_task_cancelled(args: RawExitTask) -> bool {
    load(types::scx_exit_task_args::cancelled(args))
}

#[inline(always)]
pub fn release_task(args: RawRelease) -> Option<RawTask> {
    let p = load(types::scx_cpu_release_args::task(args));
    if p.is_null() { None } else { Some(p) }
}

#[inline(always)]
pub fn cgroup_init_weight(args: RawCgroupInit) -> u32 {
    load(types::scx_cgroup_init_args::weight(args))
}

#[inline(always)]
pub fn cgroup_id(cgrp: RawCgroup) -> u64 {
    load(types::kernfs_node::id(load(types::cgroup::kn(cgrp))))
}

#[inline(always)]
pub fn cgroup_level(cgrp: RawCgroup) -> i32 {
    load(types::cgroup::level(cgrp))
}

/// Functions that pass their arguments on.
macro_rules! plain_calls {
    ($($n:ident = $k:ident($($a:ident: $t:ty),*) $(-> $r:ty)?;)*) => {$(
        #[inline(always)]
        pub fn $n($($a: $t),*) $(-> $r)? {
            // SAFETY: plain numbers, and pointers that the kernel gave; the verifier checks what each may be.
            unsafe { $k::call($($a as _),*) }
        }
    )*};
}

plain_calls! {
    destroy_dsq = scx_bpf_destroy_dsq(dsq_id: u64);
    dispatch_nr_slots = scx_bpf_dispatch_nr_slots() -> u32;
    dispatch_cancel = scx_bpf_dispatch_cancel();
    task_cpu = scx_bpf_task_cpu(p: RawTask) -> i32;
    task_running = scx_bpf_task_running(p: RawTask) -> bool;
    nr_cpu_ids = scx_bpf_nr_cpu_ids() -> u32;
    test_and_clear_cpu_idle = scx_bpf_test_and_clear_cpu_idle(cpu: i32) -> bool;
    cpuperf_cap = scx_bpf_cpuperf_cap(cpu: i32) -> u32;
    cpuperf_cur = scx_bpf_cpuperf_cur(cpu: i32) -> u32;
    cpuperf_set = scx_bpf_cpuperf_set(cpu: i32, perf: u32);
    pick_idle_cpu = scx_bpf_pick_idle_cpu(mask: RawMask, flags: u64) -> i32;
    pick_any_cpu = scx_bpf_pick_any_cpu(mask: RawMask, flags: u64) -> i32;
    get_idle_mask = scx_bpf_get_idle_cpumask() -> RawMask;
    get_idle_smtmask = scx_bpf_get_idle_smtmask() -> RawMask;
    get_online_mask = scx_bpf_get_online_cpumask() -> RawMask;
    get_possible_mask = scx_bpf_get_possible_cpumask() -> RawMask;
    put_idle_mask = scx_bpf_put_idle_cpumask(mask: RawMask);
    put_mask = scx_bpf_put_cpumask(mask: RawMask);
    mask_first = bpf_cpumask_first(mask: RawMask) -> u32;
    mask_first_and = bpf_cpumask_first_and(a: RawMask, b: RawMask) -> u32;
    mask_any = bpf_cpumask_any_distribute(mask: RawMask) -> u32;
    mask_any_and = bpf_cpumask_any_and_distribute(a: RawMask, b: RawMask) -> u32;
    mask_empty = bpf_cpumask_empty(mask: RawMask) -> bool;
    mask_full = bpf_cpumask_full(mask: RawMask) -> bool;
    mask_intersects = bpf_cpumask_intersects(a: RawMask, b: RawMask) -> bool;
    mask_subset = bpf_cpumask_subset(a: RawMask, b: RawMask) -> bool;
    mask_equal = bpf_cpumask_equal(a: RawMask, b: RawMask) -> bool;
    mask_weight = bpf_cpumask_weight(mask: RawMask) -> u32;
    owned_release = bpf_cpumask_release(mask: RawOwnedMask);
    owned_set_all = bpf_cpumask_setall(mask: RawOwnedMask);
    owned_clear_all = bpf_cpumask_clear(mask: RawOwnedMask);
    owned_copy = bpf_cpumask_copy(to: RawOwnedMask, from: RawMask);
    owned_and = bpf_cpumask_and(to: RawOwnedMask, a: RawMask, b: RawMask) -> bool;
    owned_or = bpf_cpumask_or(to: RawOwnedMask, a: RawMask, b: RawMask);
    owned_xor = bpf_cpumask_xor(to: RawOwnedMask, a: RawMask, b: RawMask);
    mask_first_zero = bpf_cpumask_first_zero(mask: RawMask) -> u32;
    preempt_disable = bpf_preempt_disable();
    preempt_enable = bpf_preempt_enable();
    rcu_lock = bpf_rcu_read_lock();
    rcu_unlock = bpf_rcu_read_unlock();
}

/// Functions that take the CPU first.
macro_rules! cpu_calls {
    ($($n:ident = $k:ident($m:ty) $(-> $r:ty)?;)*) => {$(
        #[inline(always)]
        pub fn $n(mask: $m, cpu: i32) $(-> $r)? {
            // SAFETY: as in `plain_calls`.
            unsafe { $k::call(cpu as u32, mask) }
        }
    )*};
}

cpu_calls! {
    mask_test = bpf_cpumask_test_cpu(RawMask) -> bool;
    owned_set = bpf_cpumask_set_cpu(RawOwnedMask);
    owned_clear = bpf_cpumask_clear_cpu(RawOwnedMask);
    owned_test_and_set = bpf_cpumask_test_and_set_cpu(RawOwnedMask) -> bool;
    owned_test_and_clear = bpf_cpumask_test_and_clear_cpu(RawOwnedMask) -> bool;
}

#[inline(always)]
pub fn owned_create() -> Option<RawOwnedMask> {
    // SAFETY: no arguments; the reference is released by `OwnedCpuMask`.
    let mask = unsafe { bpf_cpumask_create::call() };
    if mask.is_null() { None } else { Some(mask) }
}

/// A `bpf_cpumask` begins with its `cpumask`.
#[inline(always)]
pub fn owned_mask(mask: RawOwnedMask) -> RawMask {
    mask.cast_const().cast()
}

/// `-ENOSYS` where the kernel cannot (before 6.16).
#[inline(always)]
pub fn select_cpu_and(p: RawTask, prev_cpu: i32, wake_flags: u64, allowed: RawMask, flags: u64) -> i32 {
    // SAFETY: pointers of the kernel's, a structure of ours.
    unsafe {
        if __scx_bpf_select_cpu_and::exists() {
            let mut args = types::scx_bpf_select_cpu_and_args { prev_cpu, wake_flags, flags };
            __scx_bpf_select_cpu_and::call(p, allowed, &mut args)
        } else if scx_bpf_select_cpu_and___compat::exists() {
            scx_bpf_select_cpu_and___compat::call(p, prev_cpu, wake_flags, allowed, flags)
        } else {
            -38
        }
    }
}

#[inline(always)]
pub fn cpu_node(cpu: i32) -> i32 {
    // SAFETY: a plain number.
    if scx_bpf_cpu_node::exists() { unsafe { scx_bpf_cpu_node::call(cpu) } } else { 0 }
}

#[inline(always)]
pub fn reenqueue_local() {
    // SAFETY: no arguments.
    unsafe {
        if scx_bpf_reenqueue_local___v2___compat::exists() {
            scx_bpf_reenqueue_local___v2___compat::call();
        } else {
            scx_bpf_reenqueue_local___v1::call();
        }
    }
}

/// Room for `struct scx_event_stats`, which grows from kernel to kernel, in words.
const EVENTS_MAX: usize = 20;

/// Each counter is read at once: a structure that a function of the kernel's wrote to would be copied wherever it goes, since nothing
/// tells the compiler that the kernel does not keep its address. What is not used of these values goes away.
macro_rules! counters {
    ($($name:ident: $has:ident $field:ident;)*) => {
        /// The counters; `None`: this kernel has no such one.
        #[derive(Debug)]
        pub struct RawEvents { $($name: Option<i64>,)* }

        #[inline(always)]
        pub fn events() -> Option<RawEvents> {
            if !scx_bpf_events::exists() {
                return None;
            }
            let mut events = [0u64; EVENTS_MAX];
            // SAFETY: the structure is ours and has that size.
            unsafe { scx_bpf_events::call(events.as_mut_ptr().cast(), EVENTS_MAX * 8) };
            let at = events.as_ptr().cast();
            // SAFETY: the loader places each field that there is within the structure.
            let value = |address: *const i64| unsafe { address.read() };
            Some(RawEvents {
                $($name: if types::$has() { Some(value(types::scx_event_stats::$field(at))) } else { None },)*
            })
        }

        pub mod event {
            use super::RawEvents;

            $(
                #[inline(always)]
                pub fn $name(events: &RawEvents) -> Option<i64> {
                    events.$name
                }
            )*
        }
    };
}

counters! {
    select_cpu_fallback: has_select_cpu_fallback SCX_EV_SELECT_CPU_FALLBACK;
    dispatch_local_dsq_offline: has_dispatch_local_dsq_offline SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE;
    dispatch_keep_last: has_dispatch_keep_last SCX_EV_DISPATCH_KEEP_LAST;
    enq_skip_exiting: has_enq_skip_exiting SCX_EV_ENQ_SKIP_EXITING;
    enq_skip_migration_disabled: has_enq_skip_migration_disabled SCX_EV_ENQ_SKIP_MIGRATION_DISABLED;
    reenq_immed: has_reenq_immed SCX_EV_REENQ_IMMED;
    reenq_local_repeat: has_reenq_local_repeat SCX_EV_REENQ_LOCAL_REPEAT;
    refill_slice_dfl: has_refill_slice_dfl SCX_EV_REFILL_SLICE_DFL;
    bypass_duration: has_bypass_duration SCX_EV_BYPASS_DURATION;
    bypass_dispatch: has_bypass_dispatch SCX_EV_BYPASS_DISPATCH;
    bypass_activate: has_bypass_activate SCX_EV_BYPASS_ACTIVATE;
    insert_not_owned: has_insert_not_owned SCX_EV_INSERT_NOT_OWNED;
    sub_bypass_dispatch: has_sub_bypass_dispatch SCX_EV_SUB_BYPASS_DISPATCH;
}

#[inline(always)]
pub fn random_u32() -> u32 {
    // SAFETY: no arguments.
    unsafe { helper::get_prandom_u32() }
}

/// BPF's division: 0 where `by` is 0.
#[inline(always)]
pub fn divide(number: u64, by: u64) -> u64 {
    unsafe extern "C" {
        #[link_name = "scxr.divide:"]
        safe fn divide(number: u64, by: u64) -> u64;
    }
    divide(number, by)
}

pub use types::{enq_cpu_selected, enq_head};

#[inline(always)]
pub fn task_nr_cpus_allowed(p: RawTask) -> i32 {
    load(task_struct::nr_cpus_allowed(p))
}

#[inline(always)]
pub fn task_weight(p: RawTask) -> u32 {
    load(sched_ext_entity::weight(scx(p)))
}

#[inline(always)]
pub fn task_slice(p: RawTask) -> u64 {
    load(sched_ext_entity::slice(scx(p)))
}

#[inline(always)]
pub fn task_dsq_vtime(p: RawTask) -> u64 {
    load(sched_ext_entity::dsq_vtime(scx(p)))
}

#[inline(always)]
pub fn task_scx_flags(p: RawTask) -> u32 {
    load(sched_ext_entity::flags(scx(p)))
}

#[inline(always)]
pub fn task_set_dsq_vtime(p: RawTask, vtime: u64) {
    // SAFETY: `p` is the kernel's; where there is no function the class lets programs store this field.
    unsafe {
        if scx_bpf_task_set_dsq_vtime::exists() {
            scx_bpf_task_set_dsq_vtime::call(p, vtime);
        } else {
            sched_ext_entity::dsq_vtime(scx(p)).write_volatile(vtime);
        }
    }
}

#[inline(always)]
pub fn task_set_slice(p: RawTask, slice: u64) {
    // SAFETY: as in `task_set_dsq_vtime`.
    unsafe {
        if scx_bpf_task_set_slice::exists() {
            scx_bpf_task_set_slice::call(p, slice);
        } else {
            sched_ext_entity::slice(scx(p)).write_volatile(slice);
        }
    }
}

#[inline(always)]
pub fn select_cpu_dfl(p: RawTask, prev_cpu: i32, wake_flags: u64) -> (i32, bool) {
    let mut is_idle = false;
    // SAFETY: `p` is the kernel's, the flag is ours.
    let cpu = unsafe { scx_bpf_select_cpu_dfl::call(p, prev_cpu, wake_flags, &mut is_idle) };
    (cpu, is_idle)
}

#[inline(always)]
pub fn create_dsq(dsq_id: u64, node: i32) -> i32 {
    // SAFETY: plain numbers.
    unsafe { scx_bpf_create_dsq::call(dsq_id, node) }
}

#[inline(always)]
pub fn dsq_nr_queued(dsq_id: u64) -> i32 {
    // SAFETY: plain numbers.
    unsafe { scx_bpf_dsq_nr_queued::call(dsq_id) }
}

/// Before 6.19 the first task cannot be looked at.
#[inline(always)]
pub fn dsq_peek(dsq_id: u64) -> Option<RawTask> {
    if !scx_bpf_dsq_peek::exists() {
        return None;
    }
    // SAFETY: plain numbers.
    let p = unsafe { scx_bpf_dsq_peek::call(dsq_id) };
    if p.is_null() { None } else { Some(p) }
}

/// 7.0 and later tell whether they took the task; before 6.13 the function was called dispatch.
#[inline(always)]
pub fn dsq_insert(p: RawTask, dsq_id: u64, slice: u64, enq_flags: u64) -> bool {
    // SAFETY: `p` is the kernel's.
    unsafe {
        if scx_bpf_dsq_insert___v2___compat::exists() {
            return scx_bpf_dsq_insert___v2___compat::call(p, dsq_id, slice, enq_flags);
        }
        if scx_bpf_dsq_insert___v1::exists() {
            scx_bpf_dsq_insert___v1::call(p, dsq_id, slice, enq_flags);
        } else {
            scx_bpf_dispatch___compat::call(p, dsq_id, slice, enq_flags);
        }
        true
    }
}

#[inline(always)]
pub fn dsq_insert_vtime(p: RawTask, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool {
    // SAFETY: `p` is the kernel's, the arguments' structure is ours.
    unsafe {
        if __scx_bpf_dsq_insert_vtime::exists() {
            let mut args = scx_bpf_dsq_insert_vtime_args { dsq_id, slice, vtime, enq_flags };
            return __scx_bpf_dsq_insert_vtime::call(p, &mut args);
        }
        if scx_bpf_dsq_insert_vtime___compat::exists() {
            scx_bpf_dsq_insert_vtime___compat::call(p, dsq_id, slice, vtime, enq_flags);
        } else {
            scx_bpf_dispatch_vtime___compat::call(p, dsq_id, slice, vtime, enq_flags);
        }
        true
    }
}

#[inline(always)]
pub fn dsq_move_to_local(dsq_id: u64) -> bool {
    // SAFETY: plain numbers.
    unsafe {
        if scx_bpf_dsq_move_to_local___v2___compat::exists() {
            scx_bpf_dsq_move_to_local___v2___compat::call(dsq_id, 0)
        } else if scx_bpf_dsq_move_to_local___v1::exists() {
            scx_bpf_dsq_move_to_local___v1::call(dsq_id)
        } else {
            scx_bpf_consume___compat::call(dsq_id)
        }
    }
}

#[inline(always)]
pub fn kick_cpu(cpu: i32, flags: u64) {
    // SAFETY: plain numbers.
    unsafe { scx_bpf_kick_cpu::call(cpu, flags) }
}

#[inline(always)]
pub fn cpu() -> i32 {
    // SAFETY: no arguments.
    unsafe { helper::get_smp_processor_id() as i32 }
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { if scx_bpf_now::exists() { scx_bpf_now::call() } else { helper::ktime_get_ns() } }
}

/// What a kernel without cids says.
const ENOSYS: i32 = -38;

macro_rules! cids {
    ($($n:ident = $k:ident($($a:ident: $t:ty),*) -> $r:ty, $none:expr, $some:expr;)*) => {$(
        #[inline(always)]
        pub fn $n($($a: $t),*) -> $r {
            // SAFETY: plain numbers, and a task that the kernel gave.
            if $k::exists() { $some(unsafe { $k::call($($a),*) }) } else { $none }
        }
    )*};
}

cids! {
    nr_cids = scx_bpf_nr_cids() -> Option<u32>, None, Some;
    nr_online_cids = scx_bpf_nr_online_cids() -> Option<u32>, None, Some;
    this_cid = scx_bpf_this_cid() -> i32, ENOSYS, |cid| cid;
    cpu_to_cid = scx_bpf_cpu_to_cid(cpu: i32) -> i32, ENOSYS, |cid| cid;
    cid_to_cpu = scx_bpf_cid_to_cpu(cid: i32) -> i32, ENOSYS, |cpu| cpu;
    task_cid = scx_bpf_task_cid(p: RawTask) -> i32, ENOSYS, |cid| cid;
    kick_cid = scx_bpf_kick_cid(cid: i32, flags: u64) -> bool, false, |()| true;
    cidperf_cap = scx_bpf_cidperf_cap(cid: i32) -> Option<u32>, None, Some;
    cidperf_cur = scx_bpf_cidperf_cur(cid: i32) -> Option<u32>, None, Some;
    cidperf_set = scx_bpf_cidperf_set(cid: i32, perf: u32) -> bool, false, |()| true;
    cid_curr = scx_bpf_cid_curr(cid: i32) -> Option<RawTask>, None, given;
}

#[inline(always)]
pub fn cid_topo(cid: i32) -> Option<[i32; 6]> {
    if !scx_bpf_cid_topo::exists() {
        return None;
    }
    let mut topo = [-1; 6];
    // SAFETY: the structure is six numbers, and ours.
    unsafe { scx_bpf_cid_topo::call(cid, topo.as_mut_ptr().cast(), size_of_val(&topo)) };
    Some(topo)
}

#[inline(always)]
pub fn ktime() -> u64 {
    // SAFETY: no arguments.
    unsafe { helper::ktime_get_ns() }
}

/// A NUL-terminated format in writable memory: the kernel's function takes a `char *`, and the verifier refuses it
/// read-only memory.
#[derive(Debug)]
#[repr(transparent)]
pub struct Format<const N: usize>(UnsafeCell<[u8; N]>);

// SAFETY: nobody writes it.
unsafe impl<const N: usize> Sync for Format<N> {}

impl<const N: usize> Format<N> {
    pub const fn new(text: &str) -> Self {
        let (mut bytes, mut i) = ([0; N], 0);
        while i < text.len() && i < N {
            bytes[i] = text.as_bytes()[i];
            i += 1;
        }
        Self(UnsafeCell::new(bytes))
    }
}

/// An argument of a message: an integer, or where a text is.
pub type Word = u64;

#[inline(always)]
pub fn number(value: u64) -> Word {
    value
}

#[inline(always)]
pub fn text(text: &crate::Comm) -> Word {
    text.0.as_ptr() as u64
}

#[inline(always)]
pub fn error<const M: usize, const N: usize>(format: &'static Format<M>, args: [u64; N]) {
    let mut args = args;
    // SAFETY: the format ends with a NUL (`__format!`), the arguments are ours.
    unsafe { scx_bpf_error_bstr::call(format.0.get().cast(), args.as_mut_ptr(), (N * 8) as u32) }
}

#[inline(always)]
pub fn exit<const M: usize, const N: usize>(code: i64, format: &'static Format<M>, args: [u64; N]) {
    let mut args = args;
    // SAFETY: as in `error`.
    unsafe { scx_bpf_exit_bstr::call(code, format.0.get().cast(), args.as_mut_ptr(), (N * 8) as u32) }
}

#[inline(always)]
pub fn dump<const M: usize, const N: usize>(format: &'static Format<M>, args: [u64; N]) {
    let mut args = args;
    // SAFETY: as in `error`.
    unsafe { scx_bpf_dump_bstr::call(format.0.get().cast(), args.as_mut_ptr(), (N * 8) as u32) }
}

#[inline(always)]
pub fn print<const M: usize, const N: usize>(format: &'static Format<M>, args: [u64; N]) {
    // SAFETY: as in `error`; M counts the NUL.
    unsafe { helper::trace_vprintk(format.0.get().cast(), M as u32, args.as_ptr(), (N * 8) as u32) };
}

/// A format, as [`error`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __format {
    ($format:literal) => {{
        static FORMAT: $crate::backend::kernel::Format<{ concat!($format, "\0").len() }> =
            $crate::backend::kernel::Format::new(concat!($format, "\0"));
        &FORMAT
    }};
}
