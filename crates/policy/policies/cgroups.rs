//! Cgroups: a queue's worth of weight for each, a value in storage that goes with it, one that is kept.

use scxr_policy::prelude::*;

shared! {
    /// What is kept for each cgroup.
    pub struct Group {
        /// Its weight.
        pub weight: u32,
        /// Starts of its tasks.
        pub nr_starts: u64,
    }
}

state! {
    /// Cgroups that came to be known.
    static NR_GROUPS as "nr_groups": Global<u64> = 0;
    /// Starts of tasks in cgroups below the root.
    static NR_BELOW as "nr_below": Global<u64> = 0;
    /// Starts in the cgroup that is kept.
    static NR_KEPT as "nr_kept": Global<u64> = 0;
    /// Changes of weight.
    static NR_CHANGES as "nr_changes": Global<u64> = 0;
    /// Checks that failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// By cgroup.
    static GROUPS as "groups": CgroupStorage<Group>;
    /// The first cgroup that was seen.
    static KEPT as "kept": CgroupSlot;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Counts a start.
#[inline(always)]
fn count(p: Task<'_>) -> Option<()> {
    let held = p.cgroup()?;
    let cgroup = held.cgroup();
    if let Some(group) = GROUPS.get(cgroup) {
        group.nr_starts.fetch_add(1);
    }
    if cgroup.level() > 0 {
        NR_BELOW.fetch_add(1);
    }
    match KEPT.get() {
        Some(kept) => NR_KEPT.fetch_add(u64::from(kept.id() == cgroup.id())),
        None => {
            drop(KEPT.replace(cgroup.acquire()));
            0
        }
    };
    let root = cgroup.ancestor(0)?;
    let found = OwnedCgroup::from_id(root.cgroup().id())?;
    if found.cgroup().id() != root.cgroup().id() {
        NR_WRONG.fetch_add(1);
    }
    Some(())
}

scheduler! {
    /// First in, first out, with a look at cgroups.
    pub struct Cgroups { name: "cgroups" }

    impl Ops for Cgroups {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            _ = count(p);
        }

        fn cgroup_init(_cx: &Init, cgrp: Cgroup<'_>, args: CgroupInit<'_>) -> Result<(), Errno> {
            let Some(group) = GROUPS.get_or_create(cgrp) else { return Err(Errno(-12)) };
            group.weight.set(args.weight().0);
            NR_GROUPS.fetch_add(1);
            Ok(())
        }

        fn cgroup_exit(_cx: &Init, cgrp: Cgroup<'_>) {
            GROUPS.remove(cgrp);
        }

        fn cgroup_set_weight(_cx: &Unlocked, cgrp: Cgroup<'_>, weight: Weight) {
            if let Some(group) = GROUPS.get(cgrp) {
                group.weight.set(weight.0);
                NR_CHANGES.fetch_add(1);
            }
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
