//! Declarations that the compiler driver understands: kernel types, kernel functions, helpers.
//!
//! Every external function here has a link name that says what is meant; the driver replaces the calls. See the
//! driver's page on markers.

/// Kernel structures with the members in use; each member becomes a method that gives its address, relocated at load.
macro_rules! kernel_types {
    ($($s:ident { $($f:ident: $t:ty),* $(,)? })*) => {$(
        #[repr(C)]
        #[derive(Debug)]
        pub struct $s { _opaque: [u8; 0] }

        impl $s {$(
            #[inline(always)]
            #[allow(non_snake_case, reason = "the kernel's names")]
            pub fn $f(this: *const Self) -> *mut $t {
                unsafe extern "C" {
                    #[link_name = concat!("scxr.field:", stringify!($s), ".", stringify!($f), ":", stringify!($t))]
                    safe fn address(this: *const $s) -> *mut $t;
                }
                address(this)
            }
        )*}
    )*};
}

/// Like [`kernel_types`], for members that some kernels lack: a method that asks.
macro_rules! kernel_optional {
    ($($s:ident.$f:ident: $t:ty as $exists:ident;)*) => {$(
        #[inline(always)]
        pub fn $exists() -> bool {
            unsafe extern "C" {
                #[link_name = concat!("scxr.field_exists:", stringify!($s), ".", stringify!($f), ":", stringify!($t))]
                safe fn exists() -> bool;
            }
            exists()
        }
    )*};
}

/// Enumerators whose value the loader fills in; 0 where the kernel has none.
macro_rules! enumerators {
    ($(fn $n:ident = $e:ident.$v:ident: $value:literal;)*) => {$(
        #[inline(always)]
        pub fn $n() -> u64 {
            unsafe extern "C" {
                #[link_name = concat!("scxr.enum_exists:", stringify!($e), ".", stringify!($v), ":", stringify!($value))]
                safe fn exists() -> bool;
                #[link_name = concat!("scxr.enum_value:", stringify!($e), ".", stringify!($v), ":", stringify!($value))]
                safe fn value() -> u64;
            }
            if exists() { value() } else { 0 }
        }
    )*};
}

/// Kernel functions: a module each, with `call`, and `exists` if the symbol is weak.
macro_rules! kfuncs {
    ($(fn $n:ident($($a:ident: $t:ty),* $(,)?) $(-> $r:ty)?;)*) => {$(
        pub mod $n {
            #[allow(unused_imports, reason = "not all take pointers")]
            use super::super::*;
            unsafe extern "C" {
                #[link_name = concat!("scxr.kfunc:", stringify!($n), "(", $(stringify!($a), ":", stringify!($t), ",",)* ")" $(, "->", stringify!($r))?)]
                pub fn call($($a: $t),*) $(-> $r)?;
            }
        }
    )*};
}

/// Kernel functions that some kernels lack.
macro_rules! weak_kfuncs {
    ($(fn $n:ident($($a:ident: $t:ty),* $(,)?) $(-> $r:ty)?;)*) => {$(
        pub mod $n {
            #[allow(unused_imports, reason = "not all take pointers")]
            use super::super::*;
            unsafe extern "C" {
                #[link_name = concat!("scxr.kfunc_weak:", stringify!($n), "(", $(stringify!($a), ":", stringify!($t), ",",)* ")" $(, "->", stringify!($r))?)]
                pub fn call($($a: $t),*) $(-> $r)?;
                #[link_name = concat!("scxr.ksym_exists:", stringify!($n), "(", $(stringify!($a), ":", stringify!($t), ",",)* ")" $(, "->", stringify!($r))?)]
                pub safe fn exists() -> bool;
            }
        }
    )*};
}

/// BPF helpers, by number.
macro_rules! helpers {
    ($($number:literal fn $n:ident $(<$g:ident>)? ($($a:ident: $t:ty),*) $(-> $r:ty)?;)*) => {$(
        #[inline(always)]
        pub unsafe fn $n($($a: $t),*) $(-> $r)? {
            unsafe extern "C" {
                #[link_name = concat!("scxr.helper:", stringify!($number))]
                fn helper($($a: $t),*) $(-> $r)?;
            }
            // SAFETY: the caller's.
            unsafe { helper($($a),*) }
        }
    )*};
}

#[allow(non_camel_case_types)]
pub mod types {
    kernel_types! {
        task_struct {
            pid: i32,
            tgid: i32,
            flags: u32,
            comm: [u8; 16],
            __state: u32,
            prio: i32,
            static_prio: i32,
            policy: u32,
            migration_disabled: u16,
            real_parent: *mut task_struct,
            group_leader: *mut task_struct,
            mm: *const mm_struct,
            utime: u64,
            stime: u64,
            numa_preferred_nid: i32,
            cgroups: *const css_set,
            nvcsw: u64,
            nivcsw: u64,
            nr_cpus_allowed: i32,
            cpus_ptr: *const cpumask,
            se: sched_entity,
            scx: sched_ext_entity,
        }
        sched_entity {
            sum_exec_runtime: u64,
        }
        scx_event_stats {
            SCX_EV_SELECT_CPU_FALLBACK: i64,
            SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE: i64,
            SCX_EV_DISPATCH_KEEP_LAST: i64,
            SCX_EV_ENQ_SKIP_EXITING: i64,
            SCX_EV_ENQ_SKIP_MIGRATION_DISABLED: i64,
            SCX_EV_REENQ_IMMED: i64,
            SCX_EV_REENQ_LOCAL_REPEAT: i64,
            SCX_EV_REFILL_SLICE_DFL: i64,
            SCX_EV_BYPASS_DURATION: i64,
            SCX_EV_BYPASS_DISPATCH: i64,
            SCX_EV_BYPASS_ACTIVATE: i64,
            SCX_EV_INSERT_NOT_OWNED: i64,
            SCX_EV_SUB_BYPASS_DISPATCH: i64,
        }
        mm_struct {}
        rq {
            curr: *mut task_struct,
        }
        css_set {
            dfl_cgrp: *mut cgroup,
        }
        cgroup_subsys_state {
            cgroup: *mut cgroup,
        }
        cpumask {}
        bpf_cpumask {}
        scx_cid_topo {}
        bpf_rb_root {}
        bpf_rb_node {}
        bpf_list_head {}
        bpf_list_node {}
        cgroup {
            kn: *const kernfs_node,
            level: i32,
        }
        kernfs_node {
            id: u64,
        }
        scx_init_task_args {
            fork: bool,
            cgroup: *mut cgroup,
        }
        scx_exit_task_args {
            cancelled: bool,
        }
        scx_cpu_release_args {
            task: *mut task_struct,
        }
        scx_cgroup_init_args {
            weight: u32,
            bw_period_us: u64,
            bw_quota_us: u64,
            bw_burst_us: u64,
        }
        sched_ext_entity {
            dsq_vtime: u64,
            slice: u64,
            weight: u32,
            flags: u32,
            disallow: bool,
            tid: u64,
        }
        scx_exit_info {
            kind: Enum<scx_exit_kind>,
            exit_cpu: i32,
            exit_code: i64,
            reason: *const u8,
            msg: *const u8,
        }
    }

    /// A value of a kernel enumeration of 32 bits.
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub struct Enum<T>(pub i32, core::marker::PhantomData<T>);

    #[derive(Clone, Copy, Debug)]
    pub enum scx_exit_kind {}

    macro_rules! opaque {
        ($($(#[$doc:meta])* $name:ident: $words:literal;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            #[repr(C)]
            pub struct $name { __opaque: [u64; $words] }
        )*};
    }

    opaque! {
        /// An iterator over numbers, on the stack.
        bpf_iter_num: 1;
        /// An iterator over a DSQ, on the stack.
        bpf_iter_scx_dsq: 6;
        /// An iterator over tasks, on the stack.
        bpf_iter_task: 3;
        /// An iterator over cgroups, on the stack.
        bpf_iter_css: 3;
        /// An iterator over the tasks of a cgroup, on the stack.
        bpf_iter_css_task: 1;
    }

    /// A pointer that the kernel counts: the driver marks it so in BTF.
    #[derive(Debug)]
    #[repr(transparent)]
    pub struct Kptr<T>(pub core::cell::UnsafeCell<*mut T>);

    /// What the newest form of picking within a set takes.
    #[repr(C)]
    #[derive(Debug)]
    pub struct scx_bpf_select_cpu_and_args {
        pub prev_cpu: i32,
        pub wake_flags: u64,
        pub flags: u64,
    }

    /// What the newest form of vtime insertion takes: a structure of the kernel's ABI, passed whole.
    #[repr(C)]
    #[derive(Debug)]
    pub struct scx_bpf_dsq_insert_vtime_args {
        pub dsq_id: u64,
        pub slice: u64,
        pub vtime: u64,
        pub enq_flags: u64,
    }

    enumerators! {
        fn enq_head = scx_enq_flags.SCX_ENQ_HEAD: 0x10000;
        fn enq_cpu_selected = scx_enq_flags.SCX_ENQ_CPU_SELECTED: 0x100000;
    }

    kernel_optional! {
        task_struct.migration_disabled: u16 as has_migration_disabled;
        task_struct.numa_preferred_nid: i32 as has_numa_preferred_nid;
        sched_ext_entity.tid: u64 as has_tid;
        scx_init_task_args.cgroup: *mut cgroup as has_init_task_cgroup;
        scx_cgroup_init_args.bw_period_us: u64 as has_bandwidth;
        scx_exit_info.exit_cpu: i32 as has_exit_cpu;
        scx_event_stats.SCX_EV_SELECT_CPU_FALLBACK: i64 as has_select_cpu_fallback;
        scx_event_stats.SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE: i64 as has_dispatch_local_dsq_offline;
        scx_event_stats.SCX_EV_DISPATCH_KEEP_LAST: i64 as has_dispatch_keep_last;
        scx_event_stats.SCX_EV_ENQ_SKIP_EXITING: i64 as has_enq_skip_exiting;
        scx_event_stats.SCX_EV_ENQ_SKIP_MIGRATION_DISABLED: i64 as has_enq_skip_migration_disabled;
        scx_event_stats.SCX_EV_REENQ_IMMED: i64 as has_reenq_immed;
        scx_event_stats.SCX_EV_REENQ_LOCAL_REPEAT: i64 as has_reenq_local_repeat;
        scx_event_stats.SCX_EV_REFILL_SLICE_DFL: i64 as has_refill_slice_dfl;
        scx_event_stats.SCX_EV_BYPASS_DURATION: i64 as has_bypass_duration;
        scx_event_stats.SCX_EV_BYPASS_DISPATCH: i64 as has_bypass_dispatch;
        scx_event_stats.SCX_EV_BYPASS_ACTIVATE: i64 as has_bypass_activate;
        scx_event_stats.SCX_EV_INSERT_NOT_OWNED: i64 as has_insert_not_owned;
        scx_event_stats.SCX_EV_SUB_BYPASS_DISPATCH: i64 as has_sub_bypass_dispatch;
        scx_exit_info.exit_code: i64 as has_exit_code;
    }
}

use core::ffi::c_void;

use types::{
    bpf_cpumask, bpf_iter_css, bpf_iter_css_task, bpf_iter_num, bpf_iter_scx_dsq, bpf_iter_task, bpf_list_head,
    bpf_list_node, bpf_rb_node, bpf_rb_root, cgroup, cgroup_subsys_state, cpumask, rq, scx_bpf_dsq_insert_vtime_args,
    scx_bpf_select_cpu_and_args, scx_cid_topo, scx_event_stats, task_struct,
};

use super::cell::bpf_res_spin_lock;

#[allow(improper_ctypes)]
pub mod kfunc {
    kfuncs! {
        fn scx_bpf_select_cpu_dfl(p: *mut task_struct, prev_cpu: i32, wake_flags: u64, is_idle: *mut bool) -> i32;
        fn scx_bpf_create_dsq(dsq_id: u64, node: i32) -> i32;
        fn scx_bpf_destroy_dsq(dsq_id: u64);
        fn scx_bpf_dispatch_nr_slots() -> u32;
        fn scx_bpf_dispatch_cancel();
        fn bpf_iter_scx_dsq_new(it: *mut bpf_iter_scx_dsq, dsq_id: u64, flags: u64) -> i32;
        fn bpf_iter_scx_dsq_next(it: *mut bpf_iter_scx_dsq) -> *mut task_struct;
        fn bpf_iter_scx_dsq_destroy(it: *mut bpf_iter_scx_dsq);
        fn bpf_iter_num_new(it: *mut bpf_iter_num, start: i32, end: i32) -> i32;
        fn bpf_iter_num_next(it: *mut bpf_iter_num) -> *mut i32;
        fn bpf_iter_num_destroy(it: *mut bpf_iter_num);
        fn scx_bpf_pick_idle_cpu(cpus_allowed: *const cpumask, flags: u64) -> i32;
        fn scx_bpf_pick_any_cpu(cpus_allowed: *const cpumask, flags: u64) -> i32;
        fn scx_bpf_test_and_clear_cpu_idle(cpu: i32) -> bool;
        fn scx_bpf_get_idle_cpumask() -> *const cpumask;
        fn scx_bpf_get_idle_smtmask() -> *const cpumask;
        fn scx_bpf_put_idle_cpumask(idle_mask: *const cpumask);
        fn scx_bpf_get_possible_cpumask() -> *const cpumask;
        fn scx_bpf_get_online_cpumask() -> *const cpumask;
        fn scx_bpf_put_cpumask(cpumask: *const cpumask);
        fn scx_bpf_nr_cpu_ids() -> u32;
        fn scx_bpf_cpuperf_cap(cpu: i32) -> u32;
        fn scx_bpf_cpuperf_cur(cpu: i32) -> u32;
        fn scx_bpf_cpuperf_set(cpu: i32, perf: u32);
        fn scx_bpf_task_running(p: *const task_struct) -> bool;
        fn scx_bpf_task_cpu(p: *const task_struct) -> i32;
        fn scx_bpf_exit_bstr(exit_code: i64, fmt: *mut u8, data: *mut u64, data__sz: u32);
        fn scx_bpf_dump_bstr(fmt: *mut u8, data: *mut u64, data__sz: u32);
        fn bpf_task_from_pid(pid: i32) -> *mut task_struct;
        fn bpf_task_acquire(p: *mut task_struct) -> *mut task_struct;
        fn bpf_task_release(p: *mut task_struct);
        fn bpf_cgroup_acquire(cgrp: *mut cgroup) -> *mut cgroup;
        fn bpf_cgroup_release(cgrp: *mut cgroup);
        fn bpf_cgroup_ancestor(cgrp: *mut cgroup, level: i32) -> *mut cgroup;
        fn bpf_cgroup_from_id(cgid: u64) -> *mut cgroup;
        fn bpf_arena_alloc_pages(p__map: *const c_void, addr__ign: *mut c_void, page_cnt: u32, node_id: i32, flags: u64) -> *mut c_void;
        fn bpf_arena_free_pages(p__map: *const c_void, ptr__ign: *mut c_void, page_cnt: u32);
        fn bpf_obj_new_impl(local_type_id__k: u64, meta__ign: *mut c_void) -> *mut c_void;
        fn bpf_refcount_acquire_impl(p__refcounted_kptr: *mut c_void, meta__ign: *mut c_void) -> *mut c_void;
        fn bpf_obj_drop_impl(p__alloc: *mut c_void, meta__ign: *mut c_void);
        fn bpf_rbtree_add_impl(root: *mut bpf_rb_root, node: *mut bpf_rb_node, less: extern "C" fn(*mut bpf_rb_node, *const bpf_rb_node) -> bool, meta__ign: *mut c_void, off: u64) -> i32;
        fn bpf_rbtree_first(root: *mut bpf_rb_root) -> *mut bpf_rb_node;
        fn bpf_rbtree_remove(root: *mut bpf_rb_root, node: *mut bpf_rb_node) -> *mut bpf_rb_node;
        fn bpf_list_push_front_impl(head: *mut bpf_list_head, node: *mut bpf_list_node, meta__ign: *mut c_void, off: u64) -> i32;
        fn bpf_list_push_back_impl(head: *mut bpf_list_head, node: *mut bpf_list_node, meta__ign: *mut c_void, off: u64) -> i32;
        fn bpf_list_pop_front(head: *mut bpf_list_head) -> *mut bpf_list_node;
        fn bpf_list_pop_back(head: *mut bpf_list_head) -> *mut bpf_list_node;
        fn bpf_iter_task_new(it: *mut bpf_iter_task, task__nullable: *mut task_struct, flags: u32) -> i32;
        fn bpf_iter_task_next(it: *mut bpf_iter_task) -> *mut task_struct;
        fn bpf_iter_task_destroy(it: *mut bpf_iter_task);
        fn bpf_iter_css_new(it: *mut bpf_iter_css, start: *mut cgroup_subsys_state, flags: u32) -> i32;
        fn bpf_iter_css_next(it: *mut bpf_iter_css) -> *mut cgroup_subsys_state;
        fn bpf_iter_css_destroy(it: *mut bpf_iter_css);
        fn bpf_iter_css_task_new(it: *mut bpf_iter_css_task, css: *mut cgroup_subsys_state, flags: u32) -> i32;
        fn bpf_iter_css_task_next(it: *mut bpf_iter_css_task) -> *mut task_struct;
        fn bpf_iter_css_task_destroy(it: *mut bpf_iter_css_task);
        fn bpf_task_under_cgroup(task: *mut task_struct, ancestor: *mut cgroup) -> i64;
        fn bpf_preempt_disable();
        fn bpf_preempt_enable();
        fn bpf_cpumask_first_zero(cpumask: *const cpumask) -> u32;
        fn bpf_rcu_read_lock();
        fn bpf_rcu_read_unlock();
        fn bpf_cpumask_create() -> *mut bpf_cpumask;
        fn bpf_cpumask_release(cpumask: *mut bpf_cpumask);
        fn bpf_cpumask_first(cpumask: *const cpumask) -> u32;
        fn bpf_cpumask_first_and(src1: *const cpumask, src2: *const cpumask) -> u32;
        fn bpf_cpumask_set_cpu(cpu: u32, cpumask: *mut bpf_cpumask);
        fn bpf_cpumask_clear_cpu(cpu: u32, cpumask: *mut bpf_cpumask);
        fn bpf_cpumask_test_cpu(cpu: u32, cpumask: *const cpumask) -> bool;
        fn bpf_cpumask_test_and_set_cpu(cpu: u32, cpumask: *mut bpf_cpumask) -> bool;
        fn bpf_cpumask_test_and_clear_cpu(cpu: u32, cpumask: *mut bpf_cpumask) -> bool;
        fn bpf_cpumask_setall(cpumask: *mut bpf_cpumask);
        fn bpf_cpumask_clear(cpumask: *mut bpf_cpumask);
        fn bpf_cpumask_and(dst: *mut bpf_cpumask, src1: *const cpumask, src2: *const cpumask) -> bool;
        fn bpf_cpumask_or(dst: *mut bpf_cpumask, src1: *const cpumask, src2: *const cpumask);
        fn bpf_cpumask_xor(dst: *mut bpf_cpumask, src1: *const cpumask, src2: *const cpumask);
        fn bpf_cpumask_equal(src1: *const cpumask, src2: *const cpumask) -> bool;
        fn bpf_cpumask_intersects(src1: *const cpumask, src2: *const cpumask) -> bool;
        fn bpf_cpumask_subset(src1: *const cpumask, src2: *const cpumask) -> bool;
        fn bpf_cpumask_empty(cpumask: *const cpumask) -> bool;
        fn bpf_cpumask_full(cpumask: *const cpumask) -> bool;
        fn bpf_cpumask_copy(dst: *mut bpf_cpumask, src: *const cpumask);
        fn bpf_cpumask_any_distribute(cpumask: *const cpumask) -> u32;
        fn bpf_cpumask_any_and_distribute(src1: *const cpumask, src2: *const cpumask) -> u32;
        fn bpf_cpumask_weight(cpumask: *const cpumask) -> u32;
        fn scx_bpf_dsq_nr_queued(dsq_id: u64) -> i32;
        fn scx_bpf_kick_cpu(cpu: i32, flags: u64);
        fn scx_bpf_error_bstr(fmt: *mut u8, data: *mut u64, data__sz: u32);
    }

    weak_kfuncs! {
        fn scx_bpf_dsq_insert___v2___compat(p: *mut task_struct, dsq_id: u64, slice: u64, enq_flags: u64) -> bool;
        fn scx_bpf_dsq_insert___v1(p: *mut task_struct, dsq_id: u64, slice: u64, enq_flags: u64);
        fn scx_bpf_dispatch___compat(p: *mut task_struct, dsq_id: u64, slice: u64, enq_flags: u64);
        fn __scx_bpf_dsq_insert_vtime(p: *mut task_struct, args: *mut scx_bpf_dsq_insert_vtime_args) -> bool;
        fn scx_bpf_dsq_insert_vtime___compat(p: *mut task_struct, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64);
        fn scx_bpf_dispatch_vtime___compat(p: *mut task_struct, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64);
        fn scx_bpf_dsq_move_to_local___v2___compat(dsq_id: u64, enq_flags: u64) -> bool;
        fn scx_bpf_dsq_move_to_local___v1(dsq_id: u64) -> bool;
        fn scx_bpf_consume___compat(dsq_id: u64) -> bool;
        fn scx_bpf_task_set_dsq_vtime(p: *mut task_struct, vtime: u64) -> bool;
        fn scx_bpf_task_set_slice(p: *mut task_struct, slice: u64) -> bool;
        fn scx_bpf_now() -> u64;
        fn scx_bpf_dsq_peek(dsq_id: u64) -> *mut task_struct;
        fn __scx_bpf_select_cpu_and(p: *mut task_struct, cpus_allowed: *const cpumask, args: *mut scx_bpf_select_cpu_and_args) -> i32;
        fn scx_bpf_select_cpu_and___compat(p: *mut task_struct, prev_cpu: i32, wake_flags: u64, cpus_allowed: *const cpumask, flags: u64) -> i32;
        fn scx_bpf_cpu_node(cpu: i32) -> i32;
        fn scx_bpf_nr_node_ids() -> u32;
        fn scx_bpf_get_idle_cpumask_node(node: i32) -> *const cpumask;
        fn scx_bpf_get_idle_smtmask_node(node: i32) -> *const cpumask;
        fn scx_bpf_pick_idle_cpu_node(cpus_allowed: *const cpumask, node: i32, flags: u64) -> i32;
        fn scx_bpf_pick_any_cpu_node(cpus_allowed: *const cpumask, node: i32, flags: u64) -> i32;
        fn scx_bpf_cpu_curr(cpu: i32) -> *mut task_struct;
        fn scx_bpf_cpu_rq(cpu: i32) -> *mut rq;
        fn scx_bpf_tid_to_task(tid: u64) -> *mut task_struct;
        fn scx_bpf_dsq_reenq(dsq_id: u64, reenq_flags: u64);
        fn bpf_res_spin_lock(lock: *mut bpf_res_spin_lock) -> i32;
        fn bpf_res_spin_unlock(lock: *mut bpf_res_spin_lock);
        fn scx_bpf_cidperf_cap(cid: i32) -> u32;
        fn scx_bpf_cidperf_cur(cid: i32) -> u32;
        fn scx_bpf_cidperf_set(cid: i32, perf: u32);
        fn scx_bpf_cid_curr(cid: i32) -> *mut task_struct;
        fn scx_bpf_reenqueue_local___v2___compat();
        fn scx_bpf_reenqueue_local___v1() -> u32;
        fn scx_bpf_dsq_move_set_slice___new(it__iter: *mut bpf_iter_scx_dsq, slice: u64);
        fn scx_bpf_dsq_move_set_vtime___new(it__iter: *mut bpf_iter_scx_dsq, vtime: u64);
        fn scx_bpf_dsq_move___new(it__iter: *mut bpf_iter_scx_dsq, p: *mut task_struct, dsq_id: u64, enq_flags: u64) -> bool;
        fn scx_bpf_dsq_move_vtime___new(it__iter: *mut bpf_iter_scx_dsq, p: *mut task_struct, dsq_id: u64, enq_flags: u64) -> bool;
        fn scx_bpf_dispatch_from_dsq_set_slice___compat(it__iter: *mut bpf_iter_scx_dsq, slice: u64);
        fn scx_bpf_dispatch_from_dsq_set_vtime___compat(it__iter: *mut bpf_iter_scx_dsq, vtime: u64);
        fn scx_bpf_dispatch_from_dsq___compat(it__iter: *mut bpf_iter_scx_dsq, p: *mut task_struct, dsq_id: u64, enq_flags: u64) -> bool;
        fn scx_bpf_dispatch_vtime_from_dsq___compat(it__iter: *mut bpf_iter_scx_dsq, p: *mut task_struct, dsq_id: u64, enq_flags: u64) -> bool;
        fn scx_bpf_nr_cids() -> u32;
        fn scx_bpf_nr_online_cids() -> u32;
        fn scx_bpf_this_cid() -> i32;
        fn scx_bpf_cpu_to_cid(cpu: i32) -> i32;
        fn scx_bpf_cid_to_cpu(cid: i32) -> i32;
        fn scx_bpf_task_cid(p: *mut task_struct) -> i32;
        fn scx_bpf_kick_cid(cid: i32, flags: u64);
        fn scx_bpf_cid_topo(cid: i32, out: *mut scx_cid_topo, out__sz: usize);
        fn scx_bpf_task_cgroup(p: *mut task_struct) -> *mut cgroup;
        fn scx_bpf_events(events: *mut scx_event_stats, events__sz: usize);
    }
}

/// A pointer that may be followed, from one into an arena.
#[inline(always)]
pub fn arena_cast(at: u64) -> *mut c_void {
    unsafe extern "C" {
        #[link_name = "scxr.arena_cast:"]
        safe fn cast(at: u64) -> *mut c_void;
    }
    cast(at)
}

pub mod helper {
    use core::ffi::c_void;

    use super::types::{cgroup, task_struct};
    use crate::backend::timer::bpf_timer;

    helpers! {
        1 fn map_lookup_elem(map: *const c_void, key: *const u32) -> *mut c_void;
        1 fn map_lookup(map: *const c_void, key: *const c_void) -> *mut c_void;
        2 fn map_update_elem(map: *const c_void, key: *const c_void, value: *const c_void, flags: u64) -> i64;
        3 fn map_delete_elem(map: *const c_void, key: *const c_void) -> i64;
        5 fn ktime_get_ns() -> u64;
        7 fn get_prandom_u32() -> u32;
        8 fn get_smp_processor_id() -> u32;
        55 fn perf_event_read_value(map: *const c_void, flags: u64, buf: *mut u64, size: u32) -> i64;
        87 fn map_push_elem(map: *const c_void, value: *const c_void, flags: u64) -> i64;
        88 fn map_pop_elem(map: *const c_void, value: *mut c_void) -> i64;
        89 fn map_peek_elem(map: *const c_void, value: *mut c_void) -> i64;
        93 fn spin_lock(lock: *mut c_void) -> i64;
        94 fn spin_unlock(lock: *mut c_void) -> i64;
        115 fn probe_read_kernel_str(dst: *mut u8, size: u32, from: *const u8) -> i64;
        130 fn ringbuf_output(map: *const c_void, data: *const c_void, size: u64, flags: u64) -> i64;
        131 fn ringbuf_reserve(map: *const c_void, size: u64, flags: u64) -> *mut c_void;
        132 fn ringbuf_submit(data: *mut c_void, flags: u64);
        133 fn ringbuf_discard(data: *mut c_void, flags: u64);
        134 fn ringbuf_query(map: *const c_void, flags: u64) -> u64;
        153 fn per_cpu_ptr(var: *const c_void, cpu: u32) -> *const c_void;
        154 fn this_cpu_ptr(var: *const c_void) -> *const c_void;
        156 fn task_storage_get(map: *const c_void, task: *mut task_struct, value: *const c_void, flags: u64) -> *mut c_void;
        157 fn task_storage_delete(map: *const c_void, task: *mut task_struct) -> i64;
        158 fn get_current_task_btf() -> *mut task_struct;
        169 fn timer_init(timer: *mut bpf_timer, map: *const c_void, flags: u64) -> i64;
        170 fn timer_set_callback(timer: *mut bpf_timer, callback: extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> i32) -> i64;
        171 fn timer_start(timer: *mut bpf_timer, nsecs: u64, flags: u64) -> i64;
        172 fn timer_cancel(timer: *mut bpf_timer) -> i64;
        177 fn trace_vprintk(fmt: *const u8, fmt_size: u32, data: *const u64, data_len: u32) -> i64;
        194 fn kptr_xchg(map_value: *mut c_void, ptr: *mut c_void) -> *mut c_void;
        201 fn dynptr_read(dst: *mut c_void, len: u32, src: *const c_void, offset: u32, flags: u64) -> i64;
        209 fn user_ringbuf_drain(map: *const c_void, callback: extern "C" fn(*mut c_void, *mut c_void) -> i64, ctx: *mut c_void, flags: u64) -> i64;
        210 fn cgrp_storage_get(map: *const c_void, cgroup: *mut cgroup, value: *const c_void, flags: u64) -> *mut c_void;
        211 fn cgrp_storage_delete(map: *const c_void, cgroup: *mut cgroup) -> i64;
        195 fn map_lookup_percpu_elem(map: *const c_void, key: *const c_void, cpu: u32) -> *mut c_void;
    }
}
