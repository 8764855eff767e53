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
pub(super) fn load<T: Copy>(address: *const T) -> T {
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

#[inline(always)]
pub fn error<const M: usize, const N: usize>(format: &'static Format<M>, args: [u64; N]) {
    let mut args = args;
    // SAFETY: the format ends with a NUL (`__format!`), the arguments are ours.
    unsafe { scx_bpf_error_bstr::call(format.0.get().cast(), args.as_mut_ptr(), (N * 8) as u32) }
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
