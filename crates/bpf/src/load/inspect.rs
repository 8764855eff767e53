//! What an unresolved object contains.

use std::collections::{BTreeMap, BTreeSet};

use super::core_spec;
use super::error::LoadError;
use super::externs::ExternDecl;
use super::object::{CALL, Data, Object, Variable};
use super::said::{MemberInfo, Said, Tags};
use crate::btf::{Btf, CoreRelocKind};
use crate::image::ProgramKind;

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Function.
    pub name: String,
    /// Section.
    pub section: String,
    /// Kind.
    pub kind: ProgramKind,
    /// May sleep.
    pub sleepable: bool,
    /// Loaded by default.
    pub autoload: bool,
    /// Instructions (8-byte slots), without subprograms.
    pub insns: u32,
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Name.
    pub name: String,
    /// `BPF_MAP_TYPE_*`.
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Value's type as C names it, where BTF knows it.
    pub value_type: Option<String>,
    /// It is a section of global data.
    pub global_data: bool,
    /// What it says of itself.
    pub said: Said,
    /// Documented members of its values.
    pub members: Vec<MemberInfo>,
}

/// A global variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalInfo {
    /// Name.
    pub name: String,
    /// Its section.
    pub section: String,
    pub(super) section_index: usize,
    /// Byte offset in the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// BTF id of its type in [`Object::btf`].
    pub type_id: u32,
    /// Type as C names it.
    pub type_name: String,
    /// Programs cannot write it.
    pub read_only: bool,
    /// What it says of itself.
    pub said: Said,
    /// Its documented members.
    pub members: Vec<MemberInfo>,
}

/// What an extern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExternKind {
    /// A kernel function.
    Kfunc,
    /// A kernel variable.
    Ksym,
    /// Kernel configuration.
    Kconfig,
}

/// Something that the object takes from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternInfo {
    /// Name in the object.
    pub name: String,
    /// Name in the kernel: without `___flavor`.
    pub kernel_name: String,
    /// Kind.
    pub kind: ExternKind,
    /// May be missing.
    pub weak: bool,
}

/// A struct_ops variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructOpsInfo {
    /// Name of the variable.
    pub name: String,
    /// Its type, without flavor.
    pub type_name: String,
    /// Attached by loaders.
    pub link: bool,
    /// Members set, in the object's order: name, and function (or `None` for data).
    pub members: Vec<(String, Option<String>)>,
}

/// A CO-RE relocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreInfo {
    /// Section.
    pub section: String,
    /// Slot in the section.
    pub insn: u32,
    /// What it asks.
    pub kind: CoreRelocKind,
    /// Root type and access path: `struct task_struct.scx.weight`.
    pub subject: String,
}

/// Tunables that an error lists at most.
const TUNABLES_LISTED: usize = 12;

/// `slice (Tunable<Ns>: The slice.)`
fn described(g: &GlobalInfo) -> String {
    format!("{} ({})", g.name, g.said.in_short().unwrap_or_else(|| g.type_name.clone()))
}

impl Object {
    /// Name given at parse.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `license` section.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The object's BTF.
    pub fn btf(&self) -> &Btf {
        &self.btf
    }

    /// Programs, in the file's order.
    pub fn programs(&self) -> Vec<ProgramInfo> {
        let one = |p: &super::object::ProgramDecl| {
            let f = &self.funcs[p.func];
            ProgramInfo {
                name: f.name.clone(),
                section: self.codes[f.code].name.clone(),
                kind: p.kind.clone(),
                sleepable: p.sleepable,
                autoload: p.autoload,
                insns: f.len,
            }
        };
        self.programs.iter().map(one).collect()
    }

    /// Maps, sections of global data included.
    pub fn maps(&self) -> Vec<MapInfo> {
        let tags = Tags::of(&self.btf);
        let declared = self.maps.iter().map(|m| MapInfo {
            name: m.name.clone(),
            map_type: m.map_type,
            key_size: m.key_size,
            value_size: m.value_size,
            max_entries: m.max_entries,
            flags: m.flags,
            value_type: m.value_type.map(|t| self.btf.type_name(t)),
            global_data: false,
            said: tags.variable(&m.name),
            members: m.value_type.map(|t| tags.members(t)).unwrap_or_default(),
        });
        let data = self.data.iter().filter(|d| !d.bytes.is_empty()).map(|d| MapInfo {
            name: d.name.clone(),
            map_type: super::maps::map_type::ARRAY,
            key_size: 4,
            value_size: d.bytes.len() as u32,
            max_entries: 1,
            flags: 0,
            value_type: None,
            global_data: true,
            said: Said::default(),
            members: Vec::new(),
        });
        declared.chain(data).collect()
    }

    /// Global variables, by section and offset.
    pub fn globals(&self) -> Vec<GlobalInfo> {
        let tags = Tags::of(&self.btf);
        let mut out = Vec::new();
        for (section_index, d) in self.data.iter().enumerate() {
            out.extend(d.vars.iter().map(|v| self.described_as(&tags, section_index, v)));
        }
        out
    }

    fn described_as(&self, tags: &Tags<'_>, section_index: usize, v: &Variable) -> GlobalInfo {
        let d = &self.data[section_index];
        GlobalInfo {
            name: v.name.clone(),
            section: d.name.clone(),
            section_index,
            offset: v.offset,
            size: v.size,
            type_id: v.type_id,
            type_name: self.btf.type_name(v.type_id),
            read_only: Object::is_read_only(d),
            said: tags.variable(&v.name),
            members: tags.members(v.type_id),
        }
    }

    /// A global variable by name.
    ///
    /// # Errors
    /// There is none; a similar name is suggested.
    pub fn global(&self, name: &str) -> Result<GlobalInfo, LoadError> {
        let (section_index, v) = self.variable(name)?;
        Ok(self.described_as(&Tags::of(&self.btf), section_index, v))
    }

    /// The section and declaration of a global variable.
    pub(super) fn variable(&self, name: &str) -> Result<(usize, &Variable), LoadError> {
        let of = |(at, d): (usize, &Data)| d.vars.iter().position(|v| v.name == name).map(|i| (at, i));
        match self.data.iter().enumerate().find_map(of) {
            Some((at, i)) => Ok((at, &self.data[at].vars[i])),
            None => Err(self.no_variable(name)),
        }
    }

    fn no_variable(&self, name: &str) -> LoadError {
        let all = self.globals();
        let distance = |g: &GlobalInfo| strsim::osa_distance(&g.name, name);
        let near = all.iter().filter(|g| distance(g) <= 1 + name.len() / 4).min_by_key(|g| distance(g));
        let tunables: Vec<String> = all.iter().filter(|g| g.read_only).map(described).collect();
        let hint = match near {
            Some(g) => format!("did you mean {}?", described(g)),
            None if (1..=TUNABLES_LISTED).contains(&tunables.len()) => {
                format!("before it is loaded these can be set:\n  {}", tunables.join("\n  "))
            }
            None => "`scxr inspect` lists the globals".to_owned(),
        };
        let hint = Some(hint);
        LoadError::NotFound { object: self.name.clone(), kind: "global", name: name.to_owned(), hint }
    }

    /// Kernel functions, variables and configuration that the object declares.
    pub fn externs(&self) -> Vec<ExternInfo> {
        let one = |e: &super::externs::Extern| {
            let kind = match e.decl {
                ExternDecl::Func { .. } => ExternKind::Kfunc,
                ExternDecl::Var { .. } => ExternKind::Ksym,
                ExternDecl::Kconfig { .. } => ExternKind::Kconfig,
            };
            let kernel_name = if kind == ExternKind::Kconfig { &e.name } else { e.kernel_name() };
            ExternInfo { name: e.name.clone(), kernel_name: kernel_name.to_owned(), kind, weak: e.weak }
        };
        self.externs.iter().map(one).collect()
    }

    /// struct_ops variables.
    pub fn struct_ops(&self) -> Vec<StructOpsInfo> {
        let mut out = Vec::new();
        for o in &self.ops {
            let mut members = Vec::new();
            for (i, m) in self.btf.ty(o.type_id).kind.members().unwrap_or(&[]).iter().enumerate() {
                let name = self.btf.string(m.name).to_owned();
                let from = (m.bit_offset / 8) as usize;
                let size = self.btf.size(m.type_id).unwrap_or(0) as usize;
                let data = o.data.get(from..from.saturating_add(size)).unwrap_or(&[]);
                match o.funcs.get(&i) {
                    Some(f) => members.push((name, Some(self.funcs[*f].name.clone()))),
                    None if data.iter().any(|b| *b != 0) => members.push((name, None)),
                    None => {}
                }
            }
            let type_name = crate::btf::essential_name(self.btf.name(o.type_id)).to_owned();
            out.push(StructOpsInfo { name: o.name.clone(), type_name, link: o.link, members });
        }
        out
    }

    /// The name of the only struct_ops variable.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn only_struct_ops(&self) -> Result<&str, LoadError> {
        match self.ops.as_slice() {
            [one] => Ok(&one.name),
            [] => Err(LoadError::NoStructOps { object: self.name.clone() }),
            many => Err(LoadError::ManyStructOps {
                object: self.name.clone(),
                names: many.iter().map(|o| o.name.clone()).collect(),
            }),
        }
    }

    /// CO-RE relocations, by section and slot.
    pub fn core_relocations(&self) -> Vec<CoreInfo> {
        let mut out = Vec::new();
        for code in &self.codes {
            out.extend(code.core.iter().map(|(insn, rec)| CoreInfo {
                section: code.name.clone(),
                insn: *insn,
                kind: rec.kind,
                subject: match core_spec::local(&self.btf, rec) {
                    Ok(spec) => spec.describe(&self.btf),
                    Err(_) => self.btf.type_name(rec.type_id),
                },
            }));
        }
        out
    }

    /// Helper ids called, with the number of call sites, in all code sections (dead code included).
    pub fn helpers(&self) -> BTreeMap<u32, usize> {
        let mut out = BTreeMap::new();
        for code in &self.codes {
            for (slot, insn) in code.insns.iter().enumerate() {
                let plain = insn.code == CALL && insn.src == 0 && !code.targets.contains_key(&(slot as u32));
                if plain && insn.imm > 0 {
                    *out.entry(insn.imm as u32).or_insert(0) += 1;
                }
            }
        }
        out
    }

    /// Sections that hold code.
    pub fn code_sections(&self) -> BTreeSet<String> {
        self.codes.iter().map(|c| c.name.clone()).collect()
    }
}
