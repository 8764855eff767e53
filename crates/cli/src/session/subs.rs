//! Sub-schedulers of a run: each is loaded for a cgroup, which is made.

use std::rc::Rc;

use scxr_bpf::load::{Changes, Object};
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::{CgroupChange, Machine};
use scxr_ops::{BpfScheduler, Model};
use serde::Serialize;

use super::Exit;
use super::loaded::{Refusal, options};
use crate::failure::Failure;
use crate::resolve::{Request, Sub};
use crate::scheduler::Kind;

/// The variable that objects have for the number of their cgroup, which is also a member of their table.
const CGROUP_ID: &str = "sub_cgroup_id";

/// How a sub-scheduler fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SubResult {
    /// Name.
    pub(crate) name: String,
    /// Path of its cgroup.
    pub(crate) cgroup: String,
    /// How its time ended, or that it goes on.
    pub(crate) exit: Exit,
}

/// A sub-scheduler that is asked for.
pub(super) struct Loaded {
    name: String,
    cgroup: String,
    /// Number of the cgroup.
    id: u32,
    scheduler: Rc<BpfScheduler>,
}

/// Loads `sub` and asks for it to be attached, after what was asked for before.
pub(super) fn attach(m: &mut Machine, request: &Request, sub: &Sub, seed: u64) -> Result<Loaded, Refusal> {
    let input = |e: &dyn std::fmt::Display| Refusal::Input(Failure::input(format_args!("--sub {}: {e}", sub.cgroup)));
    let Kind::Bpf(object) = &sub.scheduler.kind else {
        return Err(input(&"a sub-scheduler is a BPF object, with a table of struct sched_ext_ops_cid"));
    };
    let id = m.with_kernel(|k| {
        k.change_cgroup(&sub.cgroup, CgroupChange::Make).map_err(|e| input(&format!("{e:?}")))?;
        k.cgroups.find(&sub.cgroup).ok_or_else(|| input(&"there is no such cgroup"))
    })?;
    let mut object = Object::clone(object);
    let table = object.only_struct_ops().map_err(|e| input(&e))?.to_owned();
    object.set_struct_ops_member(&table, CGROUP_ID, id.0.into()).map_err(|e| input(&e))?;
    let mut set = sub.set.clone();
    if object.globals().iter().any(|g| g.name == CGROUP_ID) {
        set.push((CGROUP_ID.into(), id.0.to_string()));
    }
    let model = Model::new(request.kernel);
    let loaded = BpfScheduler::load(&object, &model, &options(request, Changes { set, ..Changes::default() }, seed));
    let scheduler = loaded.map_err(|e| match e.is_refusal() {
        true => Refusal::ByKernel(e.to_string()),
        false => input(&e),
    })?;
    m.enable(scheduler.clone());
    Ok(Loaded { name: sub.scheduler.name.clone(), cgroup: sub.cgroup.clone(), id: id.0, scheduler })
}

impl Loaded {
    /// What it used that is not implemented yet, and that ended it.
    pub(super) fn gap(&self) -> Option<String> {
        self.scheduler.gap()
    }

    /// How it fared.
    pub(super) fn result(&self, m: &Machine) -> SubResult {
        let ext = &m.state().ext;
        let own = self.scheduler.attrs().name;
        let end = ext.sub_exits.iter().find(|e| e.cgroup.0 == self.id && e.name == own);
        let refusal = ext.enable_refusals.iter().find(|r| r.sub_cgroup_id == u64::from(self.id));
        let exit = match (end, refusal) {
            (Some(end), _) => Exit::of(&end.info),
            (None, Some(r)) => Exit::refused(r.errno, &r.why),
            (None, None) => Exit::none(),
        };
        SubResult { name: self.name.clone(), cgroup: self.cgroup.clone(), exit }
    }
}
