//! Operations and flags that not all kernels have; an object with them is for 7.2 and later.

use scxr_policy::prelude::*;

state! {
    /// Calls of them.
    static NR_CALLS as "nr_calls": Global<u64> = 0;
    /// The last bandwidth, in tenths of a percent.
    static PERMILLE as "permille": Global<u64> = 0;
    /// Tasks that were found by the number that no other has.
    static NR_FOUND as "nr_found": Global<u64> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// The greatest performance of the CPU with the first topological id.
    static CAP as "cap": Global<u32> = 0;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// Only for tasks that ask for it.
    pub struct Newest { name: "newest", flags: OpsFlags::SWITCH_PARTIAL | OpsFlags::BUILTIN_IDLE_PER_NODE | OpsFlags::TID_TO_TASK | OpsFlags::ALWAYS_ENQ_IMMED }

    impl Ops for Newest {
        fn cgroup_set_bandwidth(_cx: &Unlocked, _cgrp: Cgroup<'_>, period_us: u64, quota_us: u64, _burst_us: u64) {
            NR_CALLS.fetch_add(1);
            let Some(p) = Task::current() else { return };
            match p.tid().and_then(Task::from_tid) {
                Some(found) if found.pid() == p.pid() => _ = NR_FOUND.fetch_add(1),
                _ => _ = NR_WRONG.fetch_add(1),
            }
            PERMILLE.set(quota_us.wrapping_mul(1000).checked_div(period_us).unwrap_or(0));
        }

        fn cgroup_set_idle(_cx: &Unlocked, _cgrp: Cgroup<'_>, idle: bool) {
            NR_CALLS.fetch_add(idle.into());
        }

        fn init(_cx: &Init) -> Result<(), Errno> {
            let first = Cid(0);
            CAP.set(first.perf_cap().unwrap_or(0));
            if first.perf_cur().unwrap_or(0) > 1024 || !first.set_perf(1024) {
                NR_WRONG.fetch_add(1);
            }
            let _rcu = Rcu::lock();
            if first.curr().is_none() {
                NR_WRONG.fetch_add(1);
            }
            Ok(())
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
