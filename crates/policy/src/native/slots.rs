//! Places for the kernel's objects.

use super::ambient::with;
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Cgroup, CpuMask, OwnedCgroup, OwnedCpuMask, OwnedTask, Task};

maps! {
    /// A place for an [`OwnedCpuMask`] that outlives the operation.
    MaskSlot<;> = Slot[1];
    /// A place for an [`OwnedTask`] that outlives the operation.
    TaskSlot<;> = TaskSlot[1];
    /// A place for an [`OwnedCgroup`] that outlives the operation.
    CgroupSlot<;> = CgroupSlot[1];
}

macro_rules! slots {
    ($($name:ident holds $Owned:ident, gives $Borrowed:ident($raw:expr);)*) => {$(
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
    MaskSlot holds OwnedCpuMask, gives CpuMask(|id| super::MaskSource::Owned(id as u32));
    TaskSlot holds OwnedTask, gives Task(|raw| raw);
    CgroupSlot holds OwnedCgroup, gives Cgroup(|raw| raw);
}
