//! What operations are told besides tasks and CPUs, and cgroups; all borrowed from the kernel for the time of one operation.

use core::marker::PhantomData;

use crate::backend::kernel::{self, RawCgroup, RawCgroupInit, RawExitInfo, RawExitTask, RawInitTask, RawRelease};
use crate::{Task, Weight};

macro_rules! borrowed {
    ($($(#[$doc:meta])* $name:ident($raw:ident);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub struct $name<'a>($raw, PhantomData<&'a ()>);

        impl $name<'_> {
            #[doc(hidden)]
            #[inline(always)]
            pub fn __new(raw: $raw) -> Self {
                Self(raw, PhantomData)
            }
        }
    )*};
}

borrowed! {
    /// Why the scheduler ends, as `exit` is told.
    ExitInfo(RawExitInfo);
    /// How a task comes to be known.
    InitTask(RawInitTask);
    /// How a known task goes.
    ExitTask(RawExitTask);
    /// Why a CPU is taken.
    Release(RawRelease);
    /// What a new cgroup is like.
    CgroupInit(RawCgroupInit);
    /// A cgroup.
    Cgroup(RawCgroup);
}

impl ExitInfo<'_> {
    #[inline(always)]
    pub(crate) fn raw(self) -> RawExitInfo {
        self.0
    }
}

impl InitTask<'_> {
    /// By a fork; else the scheduler is being enabled (`fork`).
    #[inline(always)]
    pub fn is_fork(self) -> bool {
        kernel::init_task_fork(self.0)
    }
}

impl ExitTask<'_> {
    /// It never got beyond `init_task` (`cancelled`).
    #[inline(always)]
    pub fn is_cancelled(self) -> bool {
        kernel::exit_task_cancelled(self.0)
    }
}

impl<'a> Release<'a> {
    /// The task of a higher class that takes the CPU (`task`).
    #[inline(always)]
    pub fn task(self) -> Option<Task<'a>> {
        kernel::release_task(self.0).map(Task::__new)
    }
}

impl CgroupInit<'_> {
    /// The cgroup's weight (`weight`).
    #[inline(always)]
    pub fn weight(self) -> Weight {
        Weight(kernel::cgroup_init_weight(self.0))
    }
}

impl Cgroup<'_> {
    /// Its id, as in `/sys/fs/cgroup` (`cgrp->kn->id`).
    #[inline(always)]
    pub fn id(self) -> u64 {
        kernel::cgroup_id(self.0)
    }

    /// How far it is from the root (`cgrp->level`), which is 0.
    #[inline(always)]
    pub fn level(self) -> i32 {
        kernel::cgroup_level(self.0)
    }
}
