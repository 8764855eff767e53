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

/// Kernel functions: a module each, with `call`, and `exists` if the symbol is weak.
macro_rules! kfuncs {
    ($(fn $n:ident($($a:ident: $t:ty),* $(,)?) $(-> $r:ty)?;)*) => {$(
        pub mod $n {
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
            nr_cpus_allowed: i32,
            scx: sched_ext_entity,
        }
        sched_ext_entity {
            dsq_vtime: u64,
            slice: u64,
            weight: u32,
            flags: u32,
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

    /// What the newest form of vtime insertion takes: a structure of the kernel's ABI, passed whole.
    #[repr(C)]
    #[derive(Debug)]
    pub struct scx_bpf_dsq_insert_vtime_args {
        pub dsq_id: u64,
        pub slice: u64,
        pub vtime: u64,
        pub enq_flags: u64,
    }

    kernel_optional! {
        scx_exit_info.exit_cpu: i32 as has_exit_cpu;
        scx_exit_info.exit_code: i64 as has_exit_code;
    }
}

use types::{scx_bpf_dsq_insert_vtime_args, task_struct};

#[allow(improper_ctypes)]
pub mod kfunc {
    kfuncs! {
        fn scx_bpf_select_cpu_dfl(p: *mut task_struct, prev_cpu: i32, wake_flags: u64, is_idle: *mut bool) -> i32;
        fn scx_bpf_create_dsq(dsq_id: u64, node: i32) -> i32;
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
    }
}

pub mod helper {
    use core::ffi::c_void;

    helpers! {
        1 fn map_lookup_elem(map: *const c_void, key: *const u32) -> *mut c_void;
        5 fn ktime_get_ns() -> u64;
        8 fn get_smp_processor_id() -> u32;
        115 fn probe_read_kernel_str(dst: *mut u8, size: u32, from: *const u8) -> i64;
    }
}
