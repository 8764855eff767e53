//! Places for the kernel's objects: pointers that the kernel counts.

use core::ptr::null_mut;

use super::cell::launder;
use super::maps::{kind, lookup, maps};
use super::sys::helper;
use super::sys::types::{Kptr, bpf_cpumask, cgroup, task_struct};
use crate::{Cgroup, CpuMask, OwnedCgroup, OwnedCpuMask, OwnedTask, Task};

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident($value:ident.$field:ident: $raw:ident) holds $Owned:ident, gives $Borrowed:ident;)*) => {
        $(
            /// The value of a map that holds it.
            #[allow(non_camel_case_types)]
            #[derive(Debug)]
            #[repr(C)]
            pub struct $value { $field: Kptr<$raw> }
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

        $(impl $name {
            #[inline(always)]
            fn slot(&self) -> Option<*mut $value> {
                let slot: *mut $value = lookup(self.map(), &0u32).cast();
                if slot.is_null() { None } else { Some(slot) }
            }

            /// Puts one in, or nothing; what was there before (`bpf_kptr_xchg`).
            #[inline(always)]
            pub fn replace(&self, new: Option<$Owned>) -> Option<$Owned> {
                let slot = self.slot()?;
                let new = new.map_or(null_mut(), |new| launder(new.__into_raw()));
                // SAFETY: the slot is in this map; the reference goes from us to it, the old one from it to us.
                let old = unsafe { helper::kptr_xchg((&raw mut (*slot).$field).cast(), new.cast()) };
                if old.is_null() { None } else { Some($Owned::__from_raw(old.cast())) }
            }

            /// What is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
            #[inline(always)]
            pub fn get(&self) -> Option<$Borrowed<'_>> {
                let slot = self.slot()?;
                // SAFETY: the look-up gave a value of this type.
                let held = unsafe { (&raw const (*slot).$field.0).read_volatile() };
                if held.is_null() { None } else { Some($Borrowed::__new(held.cast())) }
            }
        })*
    };
}

slots! {
    /// A place for an [`OwnedCpuMask`] that outlives the operation: a map of the kind ARRAY with one value.
    MaskSlot(mask_slot.mask: bpf_cpumask) holds OwnedCpuMask, gives CpuMask;
    /// A place for an [`OwnedTask`] that outlives the operation: a map of the kind ARRAY with one value.
    TaskSlot(task_slot.task: task_struct) holds OwnedTask, gives Task;
    /// A place for an [`OwnedCgroup`] that outlives the operation: a map of the kind ARRAY with one value.
    CgroupSlot(cgroup_slot.cgroup: cgroup) holds OwnedCgroup, gives Cgroup;
}
