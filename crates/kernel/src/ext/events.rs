//! Event counters of a scheduler (E-17).

/// Event counters, in the kernel's order (E-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ev {
    SelectCpuFallback,
    DispatchLocalDsqOffline,
    DispatchKeepLast,
    EnqSkipExiting,
    EnqSkipMigrationDisabled,
    ReenqImmed,
    ReenqLocalRepeat,
    RefillSliceDfl,
    BypassDuration,
    BypassDispatch,
    BypassActivate,
    InsertNotOwned,
    SubBypassDispatch,
}

/// Values of all counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub [i64; 13]);

impl Events {
    /// Names in order, as in /sys/kernel/sched_ext/root/events.
    pub const NAMES: [&str; 13] = [
        "SCX_EV_SELECT_CPU_FALLBACK",
        "SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE",
        "SCX_EV_DISPATCH_KEEP_LAST",
        "SCX_EV_ENQ_SKIP_EXITING",
        "SCX_EV_ENQ_SKIP_MIGRATION_DISABLED",
        "SCX_EV_REENQ_IMMED",
        "SCX_EV_REENQ_LOCAL_REPEAT",
        "SCX_EV_REFILL_SLICE_DFL",
        "SCX_EV_BYPASS_DURATION",
        "SCX_EV_BYPASS_DISPATCH",
        "SCX_EV_BYPASS_ACTIVATE",
        "SCX_EV_INSERT_NOT_OWNED",
        "SCX_EV_SUB_BYPASS_DISPATCH",
    ];

    /// One value.
    pub fn get(&self, ev: Ev) -> i64 {
        self.0[ev as usize]
    }
}
