//! From a request to a job for a real kernel: which bytes are changed before libbpf loads the object.
//!
//! What a loader of the kernel's tools does for its own object is done here for every one: constants that the object asks
//! for by `__SCX_NAME` are filled in from the kernel's type information, operations and members that this kernel lacks are
//! left out, and the number of hotplug events is handed over.

use scxr_bpf::btf::{KernelBtf, Kind as Type};
use scxr_bpf::load::{Changes, GlobalValue, Object, StructOpsInfo};
use scxr_host::{Edit, Element, Exec, Fill, HalfJob, Job};

use crate::exec::CommandLine;
use crate::failure::{Failure, Result};
use crate::inject;
use crate::resolve::Request;
use crate::scheduler::{Kind, Scheduler};
use crate::session::{self, Keep};

/// The kernel's operations table.
const OPS: &str = "sched_ext_ops";
/// What user-space halves of the kernel's tools call their exit record.
const UEI: &str = "user_exit_info";

/// A job, and what the user should know about it.
pub(super) struct Planned {
    pub(super) job: Job,
    pub(super) notes: Vec<String>,
}

/// The job of a run. `btf`: the kernel's raw type information, where it is known.
pub(super) fn plan(
    request: &Request,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    btf: Option<&[u8]>,
) -> Result<Planned> {
    let job = Job {
        name: kernel_name(&scheduler.name),
        workload: request.has_workload.then(|| request.workload.clone()),
        exec: request.exec.as_ref().map(exec),
        inject: inject::real(&request.inject),
        seed,
        duration_ns: request.duration,
        globals: keep.globals,
        half: scheduler.half.map(|half| HalfJob {
            name: half.name.to_owned(),
            library: scheduler.half_library.clone(),
            args: scheduler.options.values().iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        }),
        stats_every_ns: keep.stats_every,
        ..Job::default()
    };
    let own = scheduler.set.iter().map(|(name, value)| ((*name).to_owned(), value.to_string()));
    let set: Vec<(String, String)> = own.chain(request.set.iter().cloned()).collect();
    match &scheduler.kind {
        Kind::Eevdf if !set.is_empty() || !request.resize.is_empty() => {
            Err(Failure::input("--set and --resize: eevdf has no variables and no maps"))
        }
        Kind::Eevdf => Ok(Planned { job, notes: Vec::new() }),
        Kind::Program(line) => Ok(Planned { job: Job { program: Some(exec(line)), ..job }, notes: Vec::new() }),
        Kind::Native(_) => {
            Err(Failure::input("--native: a real kernel takes BPF objects only; leave it out, or use --on sim"))
        }
        Kind::Bpf(object) => {
            let btf = btf.map(KernelBtf::parse).transpose();
            let btf = btf.map_err(|e| Failure::environment(format_args!("the kernel's BTF: {e}")))?;
            let enumerator = |name: &str| btf.as_ref().and_then(|btf| btf.enumerator(name));
            let plan = session::plan(request, scheduler, object, &enumerator)?;
            let mut changes = plan.changes;
            changes.set.extend(set);
            changes.resize.extend(request.resize.iter().cloned());
            let values = plan.elements.into_iter().map(|e| Element { map: e.map, key: e.key, value: e.value });
            let job = Job { elements: values.collect(), calls: plan.calls, ..job };
            of_object(job, object, &changes, btf.as_ref())
        }
    }
}

/// A command line, as jobs have it.
fn exec(line: &CommandLine) -> Exec {
    Exec { program: line.program.clone().into(), argv: line.words.clone(), cwd: line.cwd.clone().into() }
}

/// libbpf names maps after the object: letters, digits and underscores.
fn kernel_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(15).collect()
}

/// The changes to an object.
pub(super) fn of_object(mut job: Job, object: &Object, changes: &Changes, btf: Option<&KernelBtf>) -> Result<Planned> {
    object.only_struct_ops().map_err(Failure::input)?;
    let mut changed = object.clone();
    changed.change(changes).map_err(Failure::input)?;
    let name = |path: &String| path.split(['.', '[']).next().unwrap_or(path).to_owned();
    let mut edited: Vec<String> = changes.set.iter().map(|(path, _)| name(path)).collect();
    for (map, entries) in &changes.resize {
        match changed.globals().iter().find(|g| g.section == *map || g.name == *map).map(|g| g.section.clone()) {
            Some(section) => {
                let end =
                    |o: &Object| o.globals().iter().filter(|g| g.section == section).map(|g| g.offset + g.size).max();
                job.resize_data.push((section.clone(), end(&changed).unwrap_or(0)));
            }
            None => job.resize.push((map.clone(), *entries)),
        }
    }
    if let Some(btf) = btf {
        edited.extend(constants(&mut changed, btf));
    }
    edited.sort();
    edited.dedup();
    for name in edited {
        let global = changed.global(&name).map_err(Failure::input)?;
        let bytes = changed.read_global(&name).map_err(Failure::input)?;
        job.edits.push(Edit { map: global.section, offset: global.offset, bytes });
    }
    for map in &changes.fill {
        let shape = object.inner_shape(map).map_err(Failure::input)?;
        job.fill.push(Fill {
            map: map.clone(),
            map_type: shape.map_type,
            key_size: shape.key_size,
            value_size: shape.value_size,
            max_entries: shape.max_entries,
            flags: shape.flags,
            slots: shape.slots,
        });
    }
    job.autoload.clone_from(&changes.programs);
    members(&mut job, object, &changes.members)?;
    let mut notes = Vec::new();
    if let (Some(btf), Some(ops)) = (btf, object.struct_ops().into_iter().find(|o| o.type_name == OPS)) {
        notes = leave_out(&mut job, object, &ops, btf);
    }
    job.uei = exit_record(object);
    Ok(Planned { job, notes })
}

/// Writes members of the operations table. Operations that are left out take their programs along.
fn members(job: &mut Job, object: &Object, members: &[(String, Option<u64>)]) -> Result<()> {
    let ops = object.struct_ops().into_iter().next().ok_or_else(|| Failure::input("there is no table"))?;
    let types = object.btf();
    let table = types.find(&ops.type_name, |k| matches!(k, Type::Struct { .. }));
    for (member, value) in members {
        let Some(at) = table.and_then(|t| types.field(t, member)) else { continue };
        let mut bytes = value.unwrap_or(0).to_le_bytes().to_vec();
        bytes.resize(at.size as usize, 0);
        job.edits.push(Edit { map: ops.name.clone(), offset: at.offset, bytes });
        let program = ops.members.iter().find(|(name, _)| name == member).and_then(|(_, p)| p.clone());
        job.leave_out.extend(program.filter(|_| value.is_none()));
    }
    Ok(())
}

/// Fills in the constants that loaders fill in: `__SCX_NAME` from the kernel's `SCX_NAME`. Their names.
fn constants(object: &mut Object, btf: &KernelBtf) -> Vec<String> {
    let globals = object.globals();
    let asked = globals.iter().filter_map(|g| {
        let value = btf.enumerator(g.name.strip_prefix("__").filter(|n| n.starts_with("SCX_"))?)?;
        Some((g.name.clone(), value))
    });
    let asked: Vec<(String, u64)> = asked.collect();
    // A variable of that name that takes no number is none of these.
    let set = |(name, value): &(String, u64)| object.set_global(name, &GlobalValue::Int((*value).into())).is_ok();
    asked.into_iter().filter(set).map(|(name, _)| name).collect()
}

/// Leaves out the members of the table that this kernel lacks. What was left out, for the user.
fn leave_out(job: &mut Job, object: &Object, ops: &StructOpsInfo, btf: &KernelBtf) -> Vec<String> {
    let types = object.btf();
    let is_ops = |k: &Type| matches!(k, Type::Struct { .. });
    let Some(table) = types.find(&ops.type_name, is_ops) else { return Vec::new() };
    let place = |member: &str| types.field(table, member);
    let mut notes = Vec::new();
    for (member, program) in &ops.members {
        let Some(at) = place(member).filter(|_| btf.field(OPS, member).is_none()) else { continue };
        job.edits.push(Edit { map: ops.name.clone(), offset: at.offset, bytes: vec![0; at.size as usize] });
        match program {
            Some(program) => {
                job.leave_out.push(program.clone());
                notes.push(format!("this kernel has no operation {member}: it is left out"));
            }
            None => notes.push(format!("this kernel has no setting {member}: it is left out")),
        }
    }
    if btf.field(OPS, "hotplug_seq").is_some() {
        job.hotplug_seq = place("hotplug_seq").map(|at| at.offset);
    }
    notes
}

/// Where the object keeps why it ended, if it does.
fn exit_record(object: &Object) -> Option<scxr_host::Uei> {
    let types = object.btf();
    let global = object.globals().into_iter().find(|g| g.type_name.trim_start_matches("struct ") == UEI)?;
    let id = types.resolve(global.type_id);
    let fields = ["kind", "exit_code", "reason", "msg"].map(|f| types.field(id, f).map(|f| f.offset));
    Some(scxr_host::Uei { section: global.section, offset: global.offset, fields })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{self, Options};

    #[test]
    fn an_objects_changes_are_bytes() {
        let simple = scheduler::prepare("simple", &Options::default()).unwrap();
        let Kind::Bpf(object) = &simple.kind else { panic!() };
        let name =
            object.globals().iter().find(|g| g.read_only && g.size == 8 || g.type_name == "_Bool").unwrap().clone();
        let named = [(name.name.clone(), "1".to_owned())];
        let set = |set: &[(String, String)]| Changes { set: set.to_vec(), ..Changes::default() };
        let Planned { job, .. } = of_object(Job::default(), object, &set(&named), None).unwrap();
        assert_eq!(job.edits.len(), 1, "{:?}", job.edits);
        assert_eq!((job.edits[0].offset, job.edits[0].bytes[0]), (name.offset, 1));
        let uei = job.uei.unwrap();
        assert!(uei.fields.iter().all(Option::is_some), "{uei:?}");
        let wrong = of_object(Job::default(), object, &set(&[("nonsense".into(), "1".into())]), None);
        assert_eq!(wrong.err().unwrap().code(), 2);
    }
}
