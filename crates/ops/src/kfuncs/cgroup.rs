//! Cgroups. One that is removed can still be looked at, so that references are counted for the program's sake alone.

use scxr_bpf::vm::HostError;
use scxr_kernel::cgroup::CgroupId;
use scxr_kernel::ext::kfunc;

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, Place, addr};
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("scx_bpf_task_cgroup", |c, _, a| {
        let p = c.task(a[0])?;
        let group = kfunc::scx_bpf_task_cgroup(c.k, p);
        Ok(c.acquired(addr(Kind::Cgroup, group.0)))
    }),
    ("bpf_cgroup_from_id", |c, _, a| {
        let id = u32::try_from(a[0]).ok().map(CgroupId).filter(|&id| c.k.cgroups.get(id).is_some_and(|g| !g.removed));
        reference(c, id)
    }),
    ("bpf_cgroup_acquire", |c, _, a| {
        let id = group(c, a[0])?;
        reference(c, Some(id))
    }),
    ("bpf_cgroup_ancestor", |c, _, a| {
        let id = group(c, a[0])?;
        let found = c.k.cgroups.ancestor(id, a[1] as i32);
        reference(c, found)
    }),
    ("bpf_task_under_cgroup", |c, _, a| {
        let (p, above) = (c.task(a[0])?, group(c, a[1])?);
        let own = c.k.task(p).cgroup;
        Ok(c.k.cgroups.ways_up(own).any(|id| id == above).into())
    }),
    // There are no hierarchies of version 1.
    ("bpf_task_get_cgroup1", |c, _, a| c.task(a[0]).map(|_| 0)),
    ("bpf_cgroup_release", |c, _, a| {
        group(c, a[0])?;
        c.give_away(a[0]).map(|()| 0)
    }),
];

/// The cgroup behind a `struct cgroup *`.
fn group(c: &Context<'_>, address: u64) -> Result<CgroupId, HostError> {
    let place = Place::at(address).filter(|p| p.kind == Kind::Cgroup && p.offset == 0);
    let id = place.map(|p| CgroupId(p.id)).filter(|&id| c.k.cgroups.get(id).is_some());
    id.ok_or_else(|| HostError::BadAccess(format!("{address:#x} is not a cgroup")))
}

fn reference(c: &mut Context<'_>, id: Option<CgroupId>) -> KfuncResult {
    Ok(id.map_or(0, |id| c.acquired(addr(Kind::Cgroup, id.0))))
}
