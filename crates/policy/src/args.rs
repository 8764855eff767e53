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

impl<'a> InitTask<'a> {
    /// The cgroup that it is in (`cgroup`); `None`: the kernel tells none.
    #[inline(always)]
    pub fn cgroup(self) -> Option<Cgroup<'a>> {
        kernel::init_task_cgroup(self.0).map(Cgroup::__new)
    }

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

impl CgroupInit<'_> {
    /// The CPU time that it may use: every `period` `quota`, which is `u64::MAX` for no limit, and `burst` beyond, all in microseconds
    /// (`bw_period_us`, …); `None`: the kernel tells none (before 6.17).
    #[inline(always)]
    pub fn bandwidth(self) -> Option<[u64; 3]> {
        kernel::cgroup_init_bandwidth(self.0)
    }
}

impl Cgroup<'_> {
    #[inline(always)]
    pub(crate) fn raw(self) -> RawCgroup {
        self.0
    }

    /// The cgroup that this one is in, `level` steps from the root; itself at its own level (`bpf_cgroup_ancestor`). `None`: it is not so deep.
    #[inline(always)]
    pub fn ancestor(self, level: i32) -> Option<OwnedCgroup> {
        kernel::cgroup_ancestor(self.0, level).map(OwnedCgroup)
    }

    /// Holds it beyond the operation (`bpf_cgroup_acquire`); `None`: it is going.
    #[inline(always)]
    pub fn acquire(self) -> Option<OwnedCgroup> {
        kernel::cgroup_acquire(self.0).map(OwnedCgroup)
    }

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

/// A cgroup that was looked up and is held until this is dropped.
#[derive(Debug)]
pub struct OwnedCgroup(RawCgroup);

impl OwnedCgroup {
    /// The cgroup with that id (`bpf_cgroup_from_id`).
    #[inline(always)]
    pub fn from_id(id: u64) -> Option<Self> {
        kernel::cgroup_from_id(id).map(Self)
    }

    /// The cgroup.
    #[inline(always)]
    pub fn cgroup(&self) -> Cgroup<'_> {
        Cgroup::__new(self.0)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __from_raw(raw: RawCgroup) -> Self {
        Self(raw)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __into_raw(self) -> RawCgroup {
        core::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for OwnedCgroup {
    #[inline(always)]
    fn drop(&mut self) {
        kernel::cgroup_release(self.0);
    }
}
