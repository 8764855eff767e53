//! What an object declares `extern`: kernel functions (`.ksyms`), kernel variables, kernel configuration (`.kconfig`).

use std::collections::BTreeMap;

use super::elf::Elf;
use super::error::LoadError;
use crate::btf::{Btf, Kind, Linkage, TypeId, essential_name};

/// A value of the kernel's configuration, or one that libbpf makes up (`LINUX_KERNEL_VERSION`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KconfigValue {
    /// `n`.
    No,
    /// `y`.
    Yes,
    /// `m`.
    Module,
    /// A number.
    Int(u64),
    /// A string.
    Str(String),
}

/// How a `.kconfig` variable is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KconfigKind {
    Bool,
    Tristate,
    Char,
    Int { size: u32, signed: bool },
    Chars { len: u32 },
}

/// What an extern is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExternDecl {
    /// A kernel function; its prototype.
    Func { proto: TypeId },
    /// A kernel variable; its type, void for typeless ones.
    Var { type_id: TypeId },
    /// Kernel configuration.
    Kconfig { kind: KconfigKind, size: u32, align: u32 },
}

#[derive(Clone, Debug)]
pub(super) struct Extern {
    pub(super) name: String,
    pub(super) weak: bool,
    pub(super) decl: ExternDecl,
}

impl Extern {
    /// The name in the kernel.
    pub(super) fn kernel_name(&self) -> &str {
        essential_name(&self.name)
    }
}

pub(super) fn read(object: &str, elf: &Elf, btf: &Btf) -> Result<Vec<Extern>, LoadError> {
    let mut types: BTreeMap<&str, TypeId> = BTreeMap::new();
    let mut sections: BTreeMap<TypeId, &str> = BTreeMap::new();
    for (id, ty) in btf.iter() {
        if btf.linkage(id) == Some(Linkage::Extern) {
            types.entry(btf.string(ty.name)).or_insert(id);
        }
        if let Kind::Datasec { vars, .. } = &ty.kind {
            for v in vars {
                sections.entry(v.type_id).or_insert(btf.string(ty.name));
            }
        }
    }
    let mut out: BTreeMap<&str, Extern> = BTreeMap::new();
    for sym in elf.symbols.iter().filter(|s| s.undefined && !s.local && !s.name.is_empty()) {
        let bad =
            |what: &str| LoadError::Extern { object: object.to_owned(), name: sym.name.clone(), what: what.to_owned() };
        let Some(&type_id) = types.get(sym.name.as_str()) else {
            return Err(bad("undefined, and BTF does not know it; declare it with __ksym or __kconfig, or define it"));
        };
        let decl = match (&btf.ty(type_id).kind, sections.get(&type_id).copied()) {
            (Kind::Func { proto, .. }, Some(".ksyms")) => ExternDecl::Func { proto: *proto },
            (Kind::Var { type_id, .. }, Some(".ksyms")) => ExternDecl::Var { type_id: *type_id },
            (Kind::Var { type_id, .. }, Some(".kconfig")) => kconfig(btf, *type_id)
                .ok_or_else(|| bad("no type for .kconfig; use bool, enum libbpf_tristate, an integer or char[]"))?,
            _ => {
                return Err(bad(
                    "neither a kernel symbol nor kernel configuration; mark it __ksym or __kconfig, or define it",
                ));
            }
        };
        out.entry(&sym.name).or_insert_with(|| Extern { name: sym.name.clone(), weak: sym.weak, decl });
    }
    Ok(out.into_values().collect())
}

fn kconfig(btf: &Btf, type_id: TypeId) -> Option<ExternDecl> {
    let id = btf.resolve(type_id);
    let kind = match &btf.ty(id).kind {
        Kind::Int { encoding, .. } if encoding.is_bool => KconfigKind::Bool,
        Kind::Int { size: 1, encoding } if encoding.is_char || btf.name(id) == "char" => KconfigKind::Char,
        Kind::Int { size, encoding } if *size <= 8 => KconfigKind::Int { size: *size, signed: encoding.signed },
        Kind::Enum { size: 4, .. } if btf.name(id) == "libbpf_tristate" => KconfigKind::Tristate,
        Kind::Array { elem, len, .. } if *len > 0 && btf.size(*elem) == Some(1) => KconfigKind::Chars { len: *len },
        _ => return None,
    };
    Some(ExternDecl::Kconfig { kind, size: btf.size(id)?, align: btf.align(id).max(1) })
}

/// The bytes of a configuration value in its variable.
pub(super) fn kconfig_bytes(kind: KconfigKind, size: u32, value: &KconfigValue) -> Result<Vec<u8>, String> {
    let number = match (kind, value) {
        (KconfigKind::Bool, KconfigValue::Yes) => 1,
        (KconfigKind::Bool, KconfigValue::No) => 0,
        (KconfigKind::Tristate, KconfigValue::No) => 0,
        (KconfigKind::Tristate, KconfigValue::Yes) => 1,
        (KconfigKind::Tristate, KconfigValue::Module) => 2,
        (KconfigKind::Char, KconfigValue::Yes) => u64::from(b'y'),
        (KconfigKind::Char, KconfigValue::No) => u64::from(b'n'),
        (KconfigKind::Char, KconfigValue::Module) => u64::from(b'm'),
        (KconfigKind::Bool, KconfigValue::Int(n)) if *n <= 1 => *n,
        (KconfigKind::Int { size, signed }, KconfigValue::Int(n)) => {
            let bits = size * 8;
            let fits = match (signed, bits) {
                (_, 64) => true,
                (false, _) => n >> bits == 0,
                (true, _) => (*n as i64) >> (bits - 1) == 0 || (*n as i64) >> (bits - 1) == -1,
            };
            if !fits {
                return Err(format!("value {n} does not fit {size} bytes"));
            }
            *n
        }
        (KconfigKind::Chars { len }, KconfigValue::Str(text)) => {
            let mut bytes: Vec<u8> = text.bytes().take(len as usize - 1).collect();
            bytes.resize(len as usize, 0);
            return Ok(bytes);
        }
        _ => return Err(format!("value {value:?} does not fit its type")),
    };
    Ok(number.to_le_bytes().into_iter().chain(std::iter::repeat(0)).take(size as usize).collect())
}
