//! The class's own counters.

use crate::backend::kernel::{self, RawEvents};

/// Values of the class's counters at one moment (`scx_bpf_events`, from 6.15). Each is `None` where the running kernel has no such
/// counter.
#[derive(Debug)]
pub struct Events(RawEvents);

impl Events {
    /// Reads them; `None`: the kernel has none.
    #[inline(always)]
    pub fn read() -> Option<Self> {
        kernel::events().map(Self)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl Events {$(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name(&self) -> Option<i64> {
                kernel::event::$name(&self.0)
            }
        )*}
    };
}

counters! {
    /// `select_cpu` gave a CPU that the task could not use, and another was taken.
    select_cpu_fallback;
    /// A task for the local queue of a CPU that is offline went to the global queue.
    dispatch_local_dsq_offline;
    /// A task went on because its CPU had no other.
    dispatch_keep_last;
    /// An exiting task was inserted without `enqueue`.
    enq_skip_exiting;
    /// A task that may not migrate was inserted without `enqueue`.
    enq_skip_migration_disabled;
    /// A task came back because it could not run at once.
    reenq_immed;
    /// A task came back from a local queue more than once in a row.
    reenq_local_repeat;
    /// A task's slice was filled up with the default.
    refill_slice_dfl;
    /// Time in bypass mode, ns.
    bypass_duration;
    /// Dispatches in bypass mode.
    bypass_dispatch;
    /// Times that bypass mode began.
    bypass_activate;
    /// An insertion of a task that belongs to another scheduler was ignored.
    insert_not_owned;
    /// Dispatches of a sub-scheduler in bypass mode.
    sub_bypass_dispatch;
}
