//! Places for the kernel's objects: pointers that the kernel counts.

use core::cell::UnsafeCell;
use core::ptr::null_mut;

use super::cell::launder;
use super::maps::{kind, lookup, maps};
use super::sys::helper;
use super::sys::types::{Kptr, bpf_cpumask, cgroup, task_struct};
use crate::{Cgroup, CpuMask, OwnedCgroup, OwnedCpuMask, OwnedTask, Task};

impl<T> Kptr<T> {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self(UnsafeCell::new(null_mut()));

    /// What is there, left there.
    #[inline(always)]
    fn held(&self) -> *mut T {
        // SAFETY: the pointer is in a map's value; it is read in one access.
        unsafe { self.0.get().read_volatile() }
    }

    /// Puts a reference in; the one that was there.
    #[inline(always)]
    pub(super) fn exchange(&self, new: *mut T) -> *mut T {
        // SAFETY: the pointer is in a map's value; the reference goes from us to it, the old one from it to us.
        unsafe { helper::kptr_xchg(self.0.get().cast(), new.cast()).cast() }
    }
}

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident($value:ident.$field:ident: $raw:ident) as $cell:ident holds $Owned:ident, gives $Borrowed:ident;)*) => {
        $(
            /// The same as a field of a value in a map.
            pub type $cell = Kptr<$raw>;

            /// The value of a map that holds it.
            #[allow(non_camel_case_types)]
            #[derive(Debug)]
            #[repr(C)]
            pub struct $value { $field: $cell }
        )*

        maps! {$(
            $(#[$doc])*
            $name<;> {
                r#type: *const [i32; kind::ARRAY],
                key: *const u32,
                value: *const $value,
                max_entries: *const [i32; 1],
            }
        )*}

        $(
            impl Kptr<$raw> {
                /// Puts one in, or nothing; what was there before (`bpf_kptr_xchg`).
                #[inline(always)]
                pub fn replace(&self, new: Option<$Owned>) -> Option<$Owned> {
                    let old = self.exchange(new.map_or(null_mut(), |new| launder(new.__into_raw())));
                    if old.is_null() { None } else { Some($Owned::__from_raw(old)) }
                }

                /// What is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
                #[inline(always)]
                pub fn get(&self) -> Option<$Borrowed<'_>> {
                    let held = self.held();
                    if held.is_null() { None } else { Some($Borrowed::__new(held.cast())) }
                }
            }

            impl $name {
                #[inline(always)]
                fn slot(&self) -> Option<&$cell> {
                    // SAFETY: the look-up gave a value of this type.
                    unsafe { lookup(self.map(), &0u32).cast::<$value>().as_ref() }.map(|value| &value.$field)
                }

                /// Puts one in, or nothing; what was there before (`bpf_kptr_xchg`).
                #[inline(always)]
                pub fn replace(&self, new: Option<$Owned>) -> Option<$Owned> {
                    self.slot()?.replace(new)
                }

                /// What is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
                #[inline(always)]
                pub fn get(&self) -> Option<$Borrowed<'_>> {
                    self.slot()?.get()
                }
            }
        )*
    };
}

slots! {
    /// A place for an [`OwnedCpuMask`] that outlives the operation: a map of the kind ARRAY with one value, or a field.
    MaskSlot(mask_slot.mask: bpf_cpumask) as MaskCell holds OwnedCpuMask, gives CpuMask;
    /// A place for an [`OwnedTask`] that outlives the operation: a map of the kind ARRAY with one value, or a field.
    TaskSlot(task_slot.task: task_struct) as TaskCell holds OwnedTask, gives Task;
    /// A place for an [`OwnedCgroup`] that outlives the operation: a map of the kind ARRAY with one value, or a field.
    CgroupSlot(cgroup_slot.cgroup: cgroup) as CgroupCell holds OwnedCgroup, gives Cgroup;
}
