//! struct_ops variables: what the object sets, and how it meets the kernel's type.

use super::elf::Elf;
use super::error::LoadError;
use super::object::{Object, Sections, Target, variables};
use crate::btf::{KernelBtf, Kind, TypeId, essential_name};
use crate::image::{OpsMember, StructOps};

/// A struct_ops variable.
#[derive(Clone, Debug)]
pub(super) struct OpsDecl {
    pub(super) name: String,
    /// Local struct type, modifiers resolved.
    pub(super) type_id: TypeId,
    /// Attached by loaders (`.struct_ops.link`).
    pub(super) link: bool,
    /// Left out unless asked for (`?` before the section name).
    pub(super) optional: bool,
    /// Data of the variable; zero where functions are set.
    pub(super) data: Vec<u8>,
    /// Member index → index into `Object::funcs`.
    pub(super) funcs: std::collections::BTreeMap<usize, usize>,
}

pub(super) fn read(object: &Object, elf: &Elf, map: &Sections) -> Result<Vec<OpsDecl>, LoadError> {
    let mut out = Vec::new();
    for (section, s) in elf.sections.iter().enumerate() {
        let plain = s.name.strip_prefix('?').unwrap_or(&s.name);
        if plain != ".struct_ops" && plain != ".struct_ops.link" {
            continue;
        }
        let first = out.len();
        let vars = variables(elf, &object.btf, section);
        for var in &vars {
            let range = var.offset as usize..(var.offset + var.size) as usize;
            let type_id = object.btf.resolve(var.type_id);
            if object.btf.ty(type_id).kind.members().is_none() {
                let what = "the variable is no struct".to_owned();
                let (object, ops) = (object.name.clone(), var.name.clone());
                return Err(LoadError::StructOpsMember { object, ops, member: "*".to_owned(), what });
            }
            out.push(OpsDecl {
                name: var.name.clone(),
                type_id,
                link: plain == ".struct_ops.link",
                optional: s.name.starts_with('?'),
                data: s.data.get(range).unwrap_or(&[]).to_vec(),
                funcs: Default::default(),
            });
        }
        for r in &s.relocs {
            let at = vars
                .iter()
                .position(|v| r.offset >= u64::from(v.offset) && r.offset < u64::from(v.offset) + u64::from(v.size));
            let Some(at) = at else {
                let what = format!("a relocation at byte {} of {} belongs to no variable", r.offset, s.name);
                return Err(LoadError::Corrupt { object: object.name.clone(), what });
            };
            let inside = (r.offset - u64::from(vars[at].offset)) as u32;
            set_func(object, elf, map, &mut out[first + at], inside, r.symbol)?;
        }
    }
    Ok(out)
}

fn set_func(
    object: &Object,
    elf: &Elf,
    map: &Sections,
    decl: &mut OpsDecl,
    offset: u32,
    symbol: usize,
) -> Result<(), LoadError> {
    let sym = &elf.symbols[symbol];
    let members = object.btf.ty(decl.type_id).kind.members().unwrap_or(&[]);
    let index = members.iter().position(|m| m.bit_offset == offset.saturating_mul(8));
    let member = index.map_or(format!("at byte {offset}"), |i| object.btf.string(members[i].name).to_owned());
    let bad = |what: String| LoadError::StructOpsMember {
        object: object.name.clone(),
        ops: decl.name.clone(),
        member: member.clone(),
        what,
    };
    let index = index.filter(|i| object.btf.is_func_ptr(members[*i].type_id));
    let index = index.ok_or_else(|| bad("it is set to a symbol but is no function pointer".to_owned()))?;
    let addend = decl.data.get(offset as usize..offset as usize + 8).and_then(|b| b.try_into().ok());
    let value = sym.value.wrapping_add(addend.map_or(0, u64::from_le_bytes));
    let code = sym.section.and_then(|s| map.code.get(&s)).copied();
    let func = code.and_then(|c| object.func_at(c, (value / 8) as i64).ok());
    let Some(Target::Func { code, slot }) = func else {
        return Err(bad(format!("`{}` is no function of this object", sym.name)));
    };
    let func = object.func_index(code, slot).unwrap_or_default();
    if !object.programs.iter().any(|p| p.func == func && p.kind == crate::image::ProgramKind::StructOps) {
        let name = &object.funcs[func].name;
        return Err(bad(format!("`{name}` is no struct_ops program; put it into SEC(\"struct_ops/{name}\")")));
    }
    decl.data[offset as usize..offset as usize + 8].fill(0);
    decl.funcs.insert(index, func);
    Ok(())
}

/// The kernel's struct for a variable's type.
pub(super) fn kernel_type(
    object: &Object,
    decl: &OpsDecl,
    kernel: &KernelBtf,
    kernel_name: &str,
) -> Result<TypeId, LoadError> {
    let type_name = essential_name(object.btf.name(decl.type_id));
    kernel.struct_id(type_name).ok_or_else(|| LoadError::StructOpsType {
        object: object.name.clone(),
        ops: decl.name.clone(),
        type_name: type_name.to_owned(),
        kernel: kernel_name.to_owned(),
    })
}

/// Resolve one variable against the kernel's type. `program` gives the image's program for a function.
pub(super) fn resolve(
    object: &Object,
    decl: &OpsDecl,
    kernel: &KernelBtf,
    kernel_name: &str,
    program: impl Fn(usize) -> Option<usize>,
) -> Result<StructOps, LoadError> {
    let type_name = essential_name(object.btf.name(decl.type_id)).to_owned();
    let kernel_id = kernel_type(object, decl, kernel, kernel_name)?;
    let theirs = kernel.btf().ty(kernel_id).kind.members().unwrap_or(&[]);
    let mut set: Vec<(usize, (String, OpsMember))> = Vec::new();
    for (i, m) in object.btf.ty(decl.type_id).kind.members().unwrap_or(&[]).iter().enumerate() {
        let name = object.btf.string(m.name);
        let bad = |what: String| LoadError::StructOpsMember {
            object: object.name.clone(),
            ops: decl.name.clone(),
            member: name.to_owned(),
            what,
        };
        let size = object.btf.size(m.type_id).unwrap_or(0) as usize;
        let from = (m.bit_offset / 8) as usize;
        let bytes = decl.data.get(from..from.saturating_add(size)).unwrap_or(&[]);
        let func = decl.funcs.get(&i).copied();
        let is_set = func.is_some() || bytes.iter().any(|b| *b != 0);
        let at = theirs.iter().position(|k| k.name != 0 && kernel.btf().string(k.name) == essential_name(name));
        let Some(at) = at else {
            if is_set {
                return Err(bad(format!(
                    "struct {type_name} of {kernel_name} has no such member; leave it unset, or drop it before load"
                )));
            }
            continue;
        };
        if !is_set {
            continue;
        }
        if m.bit_size != 0 || theirs[at].bit_size != 0 {
            return Err(bad("it is a bit field, which struct_ops does not support".to_owned()));
        }
        let member = match func {
            Some(func) => {
                if !kernel.btf().is_func_ptr(theirs[at].type_id) {
                    return Err(bad(format!("it is no function pointer in {kernel_name}")));
                }
                let index = program(func).ok_or_else(|| bad("its program is not loaded".to_owned()))?;
                OpsMember::Program(index)
            }
            None => {
                let (ours, their) = (object.btf.resolved(m.type_id), kernel.btf().resolved(theirs[at].type_id));
                if std::mem::discriminant(ours) != std::mem::discriminant(their) {
                    return Err(bad(format!("it is {} here and {} in {kernel_name}", ours.word(), their.word())));
                }
                if matches!(ours, Kind::Ptr(_)) {
                    return Err(bad("it is a pointer and set to a number".to_owned()));
                }
                if kernel.btf().size(theirs[at].type_id) != Some(size as u32) {
                    return Err(bad(format!("it has another size in {kernel_name}")));
                }
                OpsMember::Data(bytes.to_vec())
            }
        };
        set.push((at, (name.to_owned(), member)));
    }
    set.sort_by_key(|(at, _)| *at);
    let members = set.into_iter().map(|(_, m)| m).collect();
    Ok(StructOps { name: decl.name.clone(), type_name, members, link: decl.link })
}
