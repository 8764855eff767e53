//! Iterators over tasks and cgroups: the host's.

use super::ambient::call;
use super::kernel::{RawCgroup, RawTask};

/// What is walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// `bpf_iter_task_new`: the task, or 0, and flags.
    Tasks(u64, u32),
    /// `bpf_iter_css_task_new`: the cgroup.
    Members(u64),
    /// `bpf_iter_css_new`: the cgroup and flags.
    Cgroups(u64, u32),
}

macro_rules! walks {
    ($($(#[$doc:meta])* $name:ident($raw:ty, $flags:ident) = $walk:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name(Option<u64>);

        impl $name {
            #[doc(hidden)]
            pub fn new() -> Self {
                Self::default()
            }

            #[doc(hidden)]
            pub fn start(&mut self, of: $raw, $flags: u32) {
                self.0 = call(|h| h.walk_new($walk(of)));
            }

            #[doc(hidden)]
            pub fn step(&mut self) -> Option<u64> {
                let walk = self.0?;
                call(|h| h.walk_next(walk))
            }

            #[doc(hidden)]
            pub fn end(&mut self) {
                if let Some(walk) = self.0.take() {
                    call(|h| h.walk_destroy(walk));
                }
            }
        }
    )*};
}

walks! {
    /// Where an iterator over tasks is: the host's handle.
    TaskSlot(RawTask, flags) = |of| Walk::Tasks(of, flags);
    /// Where an iterator over the tasks of a cgroup is.
    MemberSlot(RawCgroup, _flags) = Walk::Members;
    /// Where an iterator over cgroups is.
    CgroupWalk(RawCgroup, flags) = |of| Walk::Cgroups(of, flags);
}

#[doc(hidden)]
pub fn no_task() -> RawTask {
    0
}
