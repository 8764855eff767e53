//! Loops over tasks and cgroups, as the kernel's iterators run them.

use crate::backend::walk;
use crate::{Cgroup, Sleepable, Task};

/// `for p in tasks!()`: all tasks of the machine (`bpf_iter_task`). In an operation that may sleep: only under [`Rcu`](crate::Rcu).
///
/// ```
/// use scxr_policy::prelude::*;
/// state! { static NR as "nr": Global<u64> = 0; }
/// scheduler! {
///     struct Counting { name: "counting" }
///     impl Ops for Counting {
///         fn init(_cx: &Init) -> Result<(), Errno> {
///             let _rcu = Rcu::lock();
///             for p in tasks!() {
///                 NR.fetch_add(u64::from(!p.is_kthread()));
///             }
///             Ok(())
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! tasks {
    () => {
        $crate::Tasks::__start(&mut $crate::__TaskSlot::new(), None, 1)
    };
}

/// `for p in processes!()`: the first task of each process, as [`tasks!`](crate::tasks) gives all.
#[macro_export]
macro_rules! processes {
    () => {
        $crate::Tasks::__start(&mut $crate::__TaskSlot::new(), None, 0)
    };
}

/// `for t in threads!(p)`: the tasks of the process of `p`, as [`tasks!`](crate::tasks) gives all.
#[macro_export]
macro_rules! threads {
    ($p:expr) => {
        $crate::Tasks::__start(&mut $crate::__TaskSlot::new(), Some($p), 2)
    };
}

/// `for p in members!(cx, cgroup)`: the tasks of a cgroup itself (`bpf_iter_css_task`), which only operations that may sleep can walk.
///
/// ```
/// use scxr_policy::prelude::*;
/// state! { static NR as "nr": Global<u64> = 0; }
/// scheduler! {
///     struct Counting { name: "counting" }
///     impl Ops for Counting {
///         fn init(cx: &Init) -> Result<(), Errno> {
///             if let Some(root) = OwnedCgroup::from_id(1) {
///                 for _p in members!(cx, root.cgroup()) {
///                     NR.fetch_add(1);
///                 }
///             }
///             Ok(())
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! members {
    ($cx:expr, $cgroup:expr) => {
        $crate::Members::__start($cx, &mut $crate::__MemberSlot::new(), $cgroup)
    };
}

/// `for c in descendants!(cgroup)`: the cgroup and all below it, each before what is in it; `descendants!(cgroup, post)`: each after what is in it
/// (`bpf_iter_css`). It must be what the operation is about, or held ([`OwnedCgroup`](crate::OwnedCgroup)). In an operation that may sleep: only under
/// [`Rcu`](crate::Rcu).
///
/// ```
/// use scxr_policy::prelude::*;
/// state! { static NR as "nr": Global<u64> = 0; }
/// scheduler! {
///     struct Counting { name: "counting" }
///     impl Ops for Counting {
///         fn cgroup_move(_cx: &Event, _p: Task<'_>, _from: Cgroup<'_>, to: Cgroup<'_>) {
///             for cgroup in descendants!(to) {
///                 NR.fetch_add(u64::from(cgroup.level() > 1));
///             }
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! descendants {
    ($cgroup:expr) => {
        $crate::Cgroups::__start(&mut $crate::__CgroupWalk::new(), $cgroup, 2)
    };
    ($cgroup:expr, post) => {
        $crate::Cgroups::__start(&mut $crate::__CgroupWalk::new(), $cgroup, 3)
    };
}

/// `for c in ancestors!(cgroup)`: the cgroup and all that it is in, up to the root, as [`descendants!`](crate::descendants) gives those below.
#[macro_export]
macro_rules! ancestors {
    ($cgroup:expr) => {
        $crate::Cgroups::__start(&mut $crate::__CgroupWalk::new(), $cgroup, 4)
    };
}

macro_rules! walks {
    ($($(#[$doc:meta])* $name:ident($slot:ident) gives $Item:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'s>(&'s mut walk::$slot);

        impl<'s> Iterator for $name<'s> {
            type Item = $Item<'s>;
            #[inline(always)]
            fn next(&mut self) -> Option<$Item<'s>> {
                self.0.step().map($Item::__new)
            }
        }

        impl Drop for $name<'_> {
            #[inline(always)]
            fn drop(&mut self) {
                self.0.end();
            }
        }
    )*};
}

walks! {
    /// A loop over tasks; see [`tasks!`](crate::tasks).
    Tasks(TaskSlot) gives Task;
    /// A loop over the tasks of a cgroup; see [`members!`](crate::members).
    Members(MemberSlot) gives Task;
    /// A loop over cgroups; see [`descendants!`](crate::descendants).
    Cgroups(CgroupWalk) gives Cgroup;
}

impl<'s> Tasks<'s> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __start(slot: &'s mut walk::TaskSlot, of: Option<Task<'_>>, flags: u32) -> Self {
        let of = match of {
            Some(p) => p.raw(),
            None => walk::no_task(),
        };
        slot.start(of, flags);
        Self(slot)
    }
}

impl<'s> Members<'s> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __start(_cx: &impl Sleepable, slot: &'s mut walk::MemberSlot, of: Cgroup<'_>) -> Self {
        slot.start(of.raw(), 0);
        Self(slot)
    }
}

impl<'s> Cgroups<'s> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __start(slot: &'s mut walk::CgroupWalk, of: Cgroup<'_>, flags: u32) -> Self {
        slot.start(of.raw(), flags);
        Self(slot)
    }
}
