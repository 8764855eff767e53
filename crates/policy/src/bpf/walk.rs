//! The kernel's open-coded iterators over tasks and cgroups. Each is on the stack and must not be moved.

use core::mem::MaybeUninit;

use super::kernel::{RawCgroup, RawTask};
use super::sys::kfunc::*;
use super::sys::types::{bpf_iter_css, bpf_iter_css_task, bpf_iter_task, cgroup_subsys_state};
use crate::backend::kernel::load;

macro_rules! walks {
    ($($(#[$doc:meta])* $name:ident($iter:ident: $new:ident($($arg:ident: $ty:ty = $value:expr),*), $next:ident, $destroy:ident) -> $item:ty, $found:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(C)]
        pub struct $name(MaybeUninit<$iter>);

        impl $name {
            #[inline(always)]
            #[allow(clippy::new_without_default, reason = "for macros")]
            pub fn new() -> Self {
                Self(MaybeUninit::uninit())
            }

            #[inline(always)]
            pub fn start(&mut self, $($arg: $ty),*) {
                // SAFETY: the iterator is ours; what it refuses gives nothing.
                unsafe { $new::call(self.0.as_mut_ptr(), $($value),*) };
            }

            #[inline(always)]
            pub fn step(&mut self) -> Option<$item> {
                // SAFETY: `start` made it.
                let found = unsafe { $next::call(self.0.as_mut_ptr()) };
                if found.is_null() { None } else { Some($found(found)) }
            }

            #[inline(always)]
            pub fn end(&mut self) {
                // SAFETY: `start` made it.
                unsafe { $destroy::call(self.0.as_mut_ptr()) }
            }
        }
    )*};
}

/// A cgroup's own state, with which it begins.
#[inline(always)]
fn own(cgrp: RawCgroup) -> *mut cgroup_subsys_state {
    cgrp.cast()
}

walks! {
    /// Where an iterator over tasks is.
    TaskSlot(bpf_iter_task: bpf_iter_task_new(of: RawTask = of, flags: u32 = flags), bpf_iter_task_next, bpf_iter_task_destroy) -> RawTask, |p| p;
    /// Where an iterator over the tasks of a cgroup is.
    MemberSlot(bpf_iter_css_task: bpf_iter_css_task_new(of: RawCgroup = own(of), flags: u32 = flags), bpf_iter_css_task_next, bpf_iter_css_task_destroy) -> RawTask, |p| p;
    /// Where an iterator over cgroups is.
    CgroupWalk(bpf_iter_css: bpf_iter_css_new(of: RawCgroup = own(of), flags: u32 = flags), bpf_iter_css_next, bpf_iter_css_destroy) -> RawCgroup, |css| load(cgroup_subsys_state::cgroup(css));
}

/// No task.
#[inline(always)]
pub fn no_task() -> RawTask {
    core::ptr::null_mut()
}
