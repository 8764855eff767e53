//! The core of the scheduler: switching, waking, moving, changing and creating tasks. Class-independent.

pub(crate) mod attr;
pub(crate) mod cgroup;
pub(crate) mod core_sched;
pub(crate) mod fork;
pub(crate) mod hotplug;
pub(crate) mod migrate;
pub(crate) mod sched_info;
pub(crate) mod schedule;
pub(crate) mod tick;
pub(crate) mod wakeup;
