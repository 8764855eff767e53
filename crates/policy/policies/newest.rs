//! Operations that not all kernels have; an object with them is for 7.1 and later.

use scxr_policy::prelude::*;

state! {
    /// Calls of them.
    static NR_CALLS as "nr_calls": Global<u64> = 0;
    /// The last bandwidth, in tenths of a percent.
    static PERMILLE as "permille": Global<u64> = 0;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// Only for tasks that ask for it.
    pub struct Newest { name: "newest", flags: OpsFlags::SWITCH_PARTIAL | OpsFlags::BUILTIN_IDLE_PER_NODE }

    impl Ops for Newest {
        fn cgroup_set_bandwidth(_cx: &Unlocked, _cgrp: Cgroup<'_>, period_us: u64, quota_us: u64, _burst_us: u64) {
            NR_CALLS.fetch_add(1);
            PERMILLE.set(quota_us.wrapping_mul(1000).checked_div(period_us).unwrap_or(0));
        }

        fn cgroup_set_idle(_cx: &Unlocked, _cgrp: Cgroup<'_>, idle: bool) {
            NR_CALLS.fetch_add(idle.into());
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
