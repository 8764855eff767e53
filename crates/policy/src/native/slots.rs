//! Places for the kernel's objects.

use std::cell::Cell;

use super::ambient::with;
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Cgroup, CpuMask, OwnedCgroup, OwnedCpuMask, OwnedTask, Task};

maps! {
    /// A place for an [`OwnedCpuMask`] that outlives the operation: an item of state, or a field of a value in a map ([`MaskCell`]).
    MaskSlot<;> = Slot[1];
    /// A place for an [`OwnedTask`] that outlives the operation: an item of state, or a field of a value in a map ([`TaskCell`]).
    TaskSlot<;> = TaskSlot[1];
    /// A place for an [`OwnedCgroup`] that outlives the operation: an item of state, or a field of a value in a map ([`CgroupCell`]).
    CgroupSlot<;> = CgroupSlot[1];
}

macro_rules! slots {
    ($($name:ident, $(#[$doc:meta])* $cell:ident in $kind:ident holds $Owned:ident, gives $Borrowed:ident($raw:expr);)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $cell(Cell<Option<u64>>);

        impl $cell {
            #[doc(hidden)]
            #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
            pub const __EMPTY: Self = Self(Cell::new(None));

            /// Puts one in, or nothing; what was there before.
            pub fn replace(&self, new: Option<$Owned>) -> Option<$Owned> {
                let new = new.map(|new| new.__into_raw().into());
                let old = self.0.replace(new);
                with(|instance| instance.exchanged(ItemKind::$kind, new, old));
                old.map(|raw| $Owned::__from_raw(raw as _))
            }

            /// What is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
            pub fn get(&self) -> Option<$Borrowed<'_>> {
                Some($Borrowed::__new($raw(self.0.get()?)))
            }
        }

        impl $name {
            /// Puts one in, or nothing; what was there before.
            pub fn replace(&self, new: Option<$Owned>) -> Option<$Owned> {
                let new = new.map(|new| new.__into_raw().into());
                let old: Option<u64> = with(|instance| instance.replace_in_slot(self.slot, new));
                old.map(|raw| $Owned::__from_raw(raw as _))
            }

            /// What is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
            pub fn get(&self) -> Option<$Borrowed<'_>> {
                let raw = with(|instance| instance.in_slot(self.slot))?;
                Some($Borrowed::__new($raw(raw)))
            }
        }
    )*};
}

slots! {
    MaskSlot,
    /// A [`MaskSlot`] that is a field of a value in a map.
    MaskCell in Slot holds OwnedCpuMask, gives CpuMask(|id| super::MaskSource::Owned(id as u32));
    TaskSlot,
    /// A [`TaskSlot`] that is a field of a value in a map.
    TaskCell in TaskSlot holds OwnedTask, gives Task(|raw| raw);
    CgroupSlot,
    /// A [`CgroupSlot`] that is a field of a value in a map.
    CgroupCell in CgroupSlot holds OwnedCgroup, gives Cgroup(|raw| raw);
}
