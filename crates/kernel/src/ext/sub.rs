//! Sub-schedulers: each has a cgroup's tasks, below a scheduler that agreed to it (E-233 to E-241).

use super::exit::scx_exit;
use super::flags::{errno, exit_code};
use super::ops::SubArgs;
use super::sched::{Sched, SchedId};
use super::state::Ext;
use crate::cgroup::CgroupId;
use crate::executor::Kernel;
use crate::state::State;
use scxr_trace::ExitKind;

/// Levels of schedulers there can be, the root's included.
pub(super) const MAX_DEPTH: u32 = 4;

impl Ext {
    /// The direct sub-schedulers of one, in order of their attaching.
    pub(crate) fn sub_scheds(&self, parent: SchedId) -> impl Iterator<Item = SchedId> + '_ {
        let children = self.scheds.iter().filter(move |(_, s)| s.linked && s.parent == Some(parent));
        let mut children: Vec<(u64, SchedId)> = children.map(|(id, s)| (s.seq, id)).collect();
        children.sort_unstable();
        children.into_iter().map(|(_, id)| id)
    }

    /// A scheduler and all below it, parents first (E-240) [scx_next_descendant_pre].
    pub(crate) fn subtree(&self, sched: SchedId) -> Vec<SchedId> {
        let mut all = vec![sched];
        let mut at = 0;
        while let Some(&s) = all.get(at) {
            at += 1;
            let children: Vec<SchedId> = self.sub_scheds(s).collect();
            all.splice(at..at, children);
        }
        all
    }

    /// Is `sched` `above`, or below it? [scx_is_descendant]
    #[inline]
    pub(crate) fn is_below(&self, sched: SchedId, above: SchedId) -> bool {
        let mut at = Some(sched);
        while let Some(s) = at {
            if s == above {
                return true;
            }
            at = self.scheds[s].parent;
        }
        false
    }

    /// Is there any sub-scheduler?
    pub(crate) fn has_subs(&self) -> bool {
        self.scheds.iter().any(|(_, s)| s.linked)
    }

    /// Does a sub-scheduler of `sched` have to end yet, be it one that was never linked? It uses its parent until then.
    pub(crate) fn is_parent(&self, sched: SchedId) -> bool {
        self.scheds.iter().any(|(_, s)| s.parent == Some(sched) && !s.gone)
    }

    /// The sub-scheduler that was attached to a cgroup [scx_find_sub_sched].
    pub(crate) fn sub_of(&self, cgroup: u64) -> Option<SchedId> {
        let there = |s: &Sched| s.linked && u64::from(s.cgroup.0) == cgroup;
        self.scheds.iter().find_map(|(id, s)| there(s).then_some(id))
    }
}

impl Sched {
    /// What the parent is told of it.
    pub(super) fn sub_args(&self) -> SubArgs {
        SubArgs { attrs: self.attrs.clone(), cgroup_path: self.cgroup_path.clone() }
    }

    /// How dumps call it (E-184, E-186).
    pub(crate) fn place(&self) -> String {
        match self.level {
            0 => "root".into(),
            level => format!("sub{level}-{}", self.cgroup.0),
        }
    }
}

impl State {
    /// The scheduler that a cgroup's tasks are forked into (E-233): that of the nearest cgroup above that has its own.
    pub(crate) fn cgroup_sched(&self, cgroup: CgroupId) -> Option<SchedId> {
        if !self.ext.has_subs() {
            return self.ext.root_id();
        }
        let own = |id: CgroupId| self.ext.sub_of(id.0.into()).filter(|&s| self.ext.scheds[s].owns_cgroup);
        self.cgroups.ways_up(cgroup).find_map(own).or(self.ext.root_id())
    }

    /// Is `cgroup` `above`, or in it?
    pub(super) fn cgroup_is_in(&self, cgroup: CgroupId, above: CgroupId) -> bool {
        self.cgroups.ways_up(cgroup).any(|id| id == above)
    }
}

/// The scheduler that one for `cgroup` would be below, or why there cannot be one (E-233) [find_parent_sched].
pub(super) fn find_parent(k: &Kernel, cgroup: CgroupId) -> Result<SchedId, (i32, String)> {
    let path = match k.cgroups.get(cgroup) {
        Some(group) if !group.removed => &group.path,
        _ => return Err((-errno::ENOENT, format!("there is no cgroup {}", cgroup.0))),
    };
    let Some(parent) = k.cgroup_sched(cgroup) else {
        return Err((-errno::ENODEV, "no scheduler is enabled".into()));
    };
    let s = &k.ext.scheds[parent];
    if s.level > 0 && s.cgroup == cgroup {
        return Err((-errno::EBUSY, format!("cgroup {path} has a sub-scheduler already: {}", s.attrs.name)));
    }
    if !s.attrs.ops.has(super::ops::Op::sub_attach) {
        return Err((-errno::EOPNOTSUPP, format!("scheduler {} takes no sub-schedulers", s.attrs.name)));
    }
    if let Some(below) = k.ext.sub_scheds(parent).find(|&c| k.cgroup_is_in(k.ext.scheds[c].cgroup, cgroup)) {
        let name = &k.ext.scheds[below].attrs.name;
        return Err((-errno::EBUSY, format!("sub-scheduler {name} is below cgroup {path} already")));
    }
    Ok(parent)
}

/// A cgroup goes: its scheduler, if it has one of its own, goes too (E-237) [scx_cgroup_lifetime_notify].
pub(super) fn cgroup_offline(k: &mut Kernel, cgroup: CgroupId) {
    if let Some(sub) = k.ext.sub_of(cgroup.0.into()) {
        let msg = format!("cgroup {} going offline", cgroup.0);
        scx_exit(k, sub, ExitKind::UnregKern, exit_code::RSN_CGROUP_OFFLINE, msg);
    }
}
