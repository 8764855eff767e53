//! `scxr inspect`: what is in an object, and which kernels would take it.

use std::collections::BTreeMap;

use scxr_abi::KernelVersion;
use scxr_bpf::btf::{CoreRelocKind, Kind};
use scxr_bpf::load::{ExternInfo, ExternKind, Object};
use scxr_bpf::vm::{helper_name, map_type_name};
use scxr_ops::{BpfScheduler, Model, OpsError, SchedulerOptions};
use serde::Serialize;

use crate::args::InspectArgs;
use crate::effects;
use crate::failure::{Failure, Outcome, Result};
use crate::report;
use crate::scheduler;

/// CPUs of the machine that an object is loaded for by way of trial.
const NR_CPUS: u32 = 8;

/// What is in an object.
#[derive(Debug, Serialize)]
struct Inspection {
    schema: &'static str,
    name: String,
    object: String,
    size: usize,
    license: String,
    struct_ops: Vec<Table>,
    programs: Vec<Program>,
    maps: Vec<Map>,
    globals: Vec<Global>,
    kfuncs: Vec<Extern>,
    ksyms: Vec<Extern>,
    kconfig: Vec<Extern>,
    helpers: Vec<String>,
    fields: Vec<Access>,
    kernels: Vec<Kernel>,
}

#[derive(Debug, Serialize)]
struct Table {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    /// Member and function.
    ops: BTreeMap<String, String>,
    /// Members that hold data.
    data: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Program {
    name: String,
    section: String,
    insns: u32,
    sleepable: bool,
    autoload: bool,
}

#[derive(Debug, Serialize)]
struct Map {
    name: String,
    #[serde(rename = "type")]
    map_type: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    #[serde(flatten)]
    said: Said,
}

#[derive(Debug, Serialize)]
struct Global {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    section: String,
    size: u32,
    read_only: bool,
    /// The value that it has if it is not set, of integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    initial: Option<i128>,
    #[serde(flatten)]
    said: Said,
}

/// What a variable, a map or a member says of itself.
#[derive(Debug, Serialize)]
struct Said {
    /// Type as written in Rust.
    #[serde(skip_serializing_if = "Option::is_none")]
    rust_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc: Option<String>,
    /// Documented members of the value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
}

/// A documented member of a value.
#[derive(Debug, Serialize)]
struct Member {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(flatten)]
    said: Said,
}

impl Said {
    fn of(said: scxr_bpf::load::Said, members: Vec<scxr_bpf::load::MemberInfo>) -> Said {
        let member = |m: scxr_bpf::load::MemberInfo| Member {
            name: m.name,
            type_name: m.type_name,
            said: Said::of(m.said, Vec::new()),
        };
        Said { rust_type: said.written, doc: said.doc, members: members.into_iter().map(member).collect() }
    }

    /// Below the line of what says it.
    fn lines(&self) -> Vec<String> {
        let own = [self.rust_type.as_deref(), self.doc.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let own = (!own.is_empty()).then(|| format!("      {own}"));
        let member = |m: &Member| {
            let doc = m.said.doc.as_deref().map(|d| format!(": {d}")).unwrap_or_default();
            format!("        .{} {}{doc}", m.name, m.said.rust_type.as_deref().unwrap_or(&m.type_name))
        };
        own.into_iter().chain(self.members.iter().map(member)).collect()
    }
}

#[derive(Debug, Serialize)]
struct Extern {
    name: String,
    weak: bool,
}

/// Something of the kernel's types that the object asks for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Access {
    /// Type and path.
    subject: String,
    /// It only asks whether it is there.
    existence: bool,
}

/// Would a kernel take it?
#[derive(Debug, Serialize)]
struct Kernel {
    version: String,
    loads: bool,
    /// It is scxr that lacks something for it, not the kernel.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    not_implemented: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Shows what is in an object.
pub(crate) fn inspect(args: &InspectArgs) -> Result<Outcome> {
    effects::headers(&[&args.object], &args.include)?;
    let prepared = scheduler::object(&args.object, &args.include)?;
    if !prepared.warnings.is_empty() {
        report::note(&prepared.warnings);
    }
    let versions = match &args.kernel {
        None => KernelVersion::ALL.to_vec(),
        Some(text) => vec![text.parse().map_err(|e| Failure::input(format_args!("--kernel: {e}")))?],
    };
    let o = &prepared.object;
    let inspection = Inspection {
        schema: "scxr-inspect/1",
        name: prepared.name.clone(),
        object: args.object.clone(),
        size: prepared.bytes.len(),
        license: o.license().to_string(),
        struct_ops: tables(o),
        programs: programs(o),
        maps: maps(o),
        globals: globals(o),
        kfuncs: externs(o, ExternKind::Kfunc),
        ksyms: externs(o, ExternKind::Ksym),
        kconfig: externs(o, ExternKind::Kconfig),
        helpers: o.helpers().keys().map(|&id| helper(id)).collect(),
        fields: fields(o),
        kernels: versions.into_iter().map(|v| try_load(o, v)).collect(),
    };
    match args.json {
        true => report::print(&report::json_text(&inspection))?,
        false => report::print(&human(&inspection))?,
    }
    Ok(Outcome::Fine)
}

fn tables(o: &Object) -> Vec<Table> {
    let table = |t: scxr_bpf::load::StructOpsInfo| {
        let (ops, data): (Vec<_>, Vec<_>) = t.members.into_iter().partition(|(_, f)| f.is_some());
        Table {
            name: t.name,
            type_name: t.type_name,
            ops: ops.into_iter().filter_map(|(member, f)| Some((member, f?))).collect(),
            data: data.into_iter().map(|(member, _)| member).collect(),
        }
    };
    o.struct_ops().into_iter().map(table).collect()
}

fn programs(o: &Object) -> Vec<Program> {
    let program = |p: scxr_bpf::load::ProgramInfo| Program {
        name: p.name,
        section: p.section,
        insns: p.insns,
        sleepable: p.sleepable,
        autoload: p.autoload,
    };
    o.programs().into_iter().map(program).collect()
}

fn maps(o: &Object) -> Vec<Map> {
    let map = |m: scxr_bpf::load::MapInfo| Map {
        name: m.name,
        map_type: if m.global_data { "data".into() } else { map_type_name(m.map_type).to_lowercase() },
        key_size: m.key_size,
        value_size: m.value_size,
        max_entries: m.max_entries,
        said: Said::of(m.said, m.members),
    };
    o.maps().into_iter().map(map).collect()
}

fn globals(o: &Object) -> Vec<Global> {
    let global = |g: scxr_bpf::load::GlobalInfo| Global {
        initial: initial(o, &g),
        name: g.name,
        type_name: g.type_name,
        section: g.section,
        size: g.size,
        read_only: g.read_only,
        said: Said::of(g.said, g.members),
    };
    o.globals().into_iter().map(global).collect()
}

/// What an integer is before it is set.
fn initial(o: &Object, g: &scxr_bpf::load::GlobalInfo) -> Option<i128> {
    let Kind::Int { encoding, .. } = o.btf().resolved(g.type_id) else { return None };
    let bytes = o.read_global(&g.name).ok().filter(|b| b.len() <= 8)?;
    let value = bytes.iter().rev().fold(0i128, |value, byte| value << 8 | i128::from(*byte));
    let bits = 8 * bytes.len();
    Some(if encoding.signed && bits > 0 && value >> (bits - 1) == 1 { value - (1 << bits) } else { value })
}

fn externs(o: &Object, kind: ExternKind) -> Vec<Extern> {
    let one = |e: ExternInfo| Extern { name: e.name, weak: e.weak };
    let mut all: Vec<Extern> = o.externs().into_iter().filter(|e| e.kind == kind).map(one).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn helper(id: u32) -> String {
    let name = i32::try_from(id).ok().and_then(helper_name);
    name.unwrap_or_else(|| format!("helper {id}"))
}

/// What CO-RE asks of the kernel's types; types of the object's own are left out.
fn fields(o: &Object) -> Vec<Access> {
    let access = |c: scxr_bpf::load::CoreInfo| {
        use CoreRelocKind::{EnumvalExists, FieldExists, TypeExists, TypeIdLocal};
        let existence = matches!(c.kind, FieldExists | TypeExists | EnumvalExists);
        (c.kind != TypeIdLocal).then_some(Access { subject: c.subject, existence })
    };
    let mut all: Vec<Access> = o.core_relocations().into_iter().filter_map(access).collect();
    all.sort();
    all.dedup();
    all
}

fn try_load(o: &Object, version: KernelVersion) -> Kernel {
    let options = SchedulerOptions { nr_cpus: NR_CPUS, ..SchedulerOptions::default() };
    let loaded = BpfScheduler::load(o, &Model::new(version), &options);
    let error = loaded.err();
    let not_implemented = error.as_ref().is_some_and(OpsError::is_gap);
    let why = error.map(|e| e.to_string());
    Kernel { version: version.to_string(), loads: why.is_none(), not_implemented, why }
}

fn human(i: &Inspection) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out += &text;
        out += "\n";
    };
    line(format!("{} · {} bytes · licence {}", i.object, i.size, i.license));
    for t in &i.struct_ops {
        line(format!("\nstruct {} {}", t.type_name, t.name));
        t.ops.iter().for_each(|(op, f)| line(format!("  {op:<22} {f}")));
        if !t.data.is_empty() {
            line(format!("  {:<22} {}", "data", t.data.join(", ")));
        }
    }
    line("\nprograms".into());
    for p in &i.programs {
        let insns = format!("{} insns", p.insns);
        let load = if p.autoload { "" } else { " (not loaded by default)" };
        line(format!("  {:<28} {insns:>12}  {}{load}", p.name, p.section));
    }
    if !i.maps.is_empty() {
        line("\nmaps".into());
    }
    for m in &i.maps {
        let size = format!("{} x {} B", m.max_entries, m.value_size);
        line(format!("  {:<28} {size:>12}  {}", m.name, m.map_type));
        m.said.lines().into_iter().for_each(&mut line);
    }
    if !i.globals.is_empty() {
        line("\nglobals".into());
    }
    for g in &i.globals {
        let when = if g.read_only { ", set before load" } else { "" };
        let initial = g.initial.filter(|_| g.read_only).map(|v| format!(", {v} if not set")).unwrap_or_default();
        line(format!("  {:<28} {:>12}  {}{when}{initial}", g.name, g.type_name, g.section));
        g.said.lines().into_iter().for_each(&mut line);
    }
    let names = |list: &[Extern], weak: bool| -> Vec<String> {
        list.iter().filter(|e| e.weak == weak).map(|e| e.name.clone()).collect()
    };
    let subjects = |existence: bool| -> Vec<String> {
        i.fields.iter().filter(|a| a.existence == existence).map(|a| a.subject.clone()).collect()
    };
    for (what, list) in [
        ("kfuncs that it needs", names(&i.kfuncs, false)),
        ("kfuncs that it uses if they are there", names(&i.kfuncs, true)),
        ("kernel variables that it needs", names(&i.ksyms, false)),
        ("kernel variables that it uses if they are there", names(&i.ksyms, true)),
        ("kernel configuration", i.kconfig.iter().map(|e| e.name.clone()).collect()),
        ("helpers", i.helpers.clone()),
        ("fields and constants", subjects(false)),
        ("fields and constants that it asks for", subjects(true)),
    ] {
        if !list.is_empty() {
            line(format!("\n{what}"));
            list.iter().for_each(|name| line(format!("  {name}")));
        }
    }
    line("\nkernels (loading and registration as modelled; the kernel's verifier is not asked)".into());
    let (good, bad): (Vec<&Kernel>, Vec<&Kernel>) = i.kernels.iter().partition(|k| k.loads);
    if !good.is_empty() {
        let versions: Vec<&str> = good.iter().map(|k| k.version.as_str()).collect();
        line(format!("  loads on {}", versions.join(", ")));
    }
    for k in bad {
        let verdict = if k.not_implemented { "scxr cannot tell for" } else { "refused on" };
        line(format!("  {verdict} {}: {}", k.version, k.why.as_deref().unwrap_or_default()));
    }
    out
}
