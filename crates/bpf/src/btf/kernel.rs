//! A kernel's BTF with the indices that loading needs.

use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use super::parse::BtfError;
use super::query::{Field, essential_name};
use super::types::{Btf, Kind, Param, TypeId};

/// A function's prototype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncProto {
    /// The FUNC.
    pub id: TypeId,
    /// The FUNC_PROTO.
    pub proto: TypeId,
    /// Result; 0: void.
    pub ret: TypeId,
    /// Parameters.
    pub params: Vec<Param>,
}

/// A kernel's BTF: `vmlinux`'s, or the modelled kernel's.
#[derive(Clone, Debug)]
pub struct KernelBtf {
    btf: Btf,
    /// Named types in order of (name without flavor, id).
    by_name: Vec<TypeId>,
    /// Enumerators in order of (name, enum, position).
    enumerators: Vec<(u32, TypeId, u32)>,
}

impl KernelBtf {
    /// From raw BTF bytes, as in `/sys/kernel/btf/vmlinux`, or from an ELF file with a `.BTF` section.
    pub fn parse(bytes: &[u8]) -> Result<KernelBtf, BtfError> {
        let raw = if bytes.starts_with(b"\x7fELF") { section(bytes)? } else { bytes };
        Ok(KernelBtf::new(Btf::parse(raw)?))
    }

    /// Index a parsed BTF.
    pub fn new(btf: Btf) -> KernelBtf {
        let names = btf.iter().filter(|(_, t)| t.name != 0);
        let mut names: Vec<(&str, TypeId)> = names.map(|(id, t)| (essential_name(btf.string(t.name)), id)).collect();
        names.sort_unstable();
        let by_name = names.into_iter().map(|(_, id)| id).collect();
        let mut values: Vec<(&str, TypeId, u32, u32)> = Vec::new();
        for (id, t) in btf.iter() {
            let list = t.kind.enumerators().unwrap_or(&[]).iter().enumerate();
            values.extend(list.map(|(i, v)| (btf.string(v.name), id, i as u32, v.name)));
        }
        values.sort_unstable();
        let enumerators = values.into_iter().map(|(_, id, i, name)| (name, id, i)).collect();
        KernelBtf { btf, by_name, enumerators }
    }

    /// The types.
    pub fn btf(&self) -> &Btf {
        &self.btf
    }

    /// All types whose name without flavor is `name`, in order of ids.
    pub fn candidates(&self, name: &str) -> &[TypeId] {
        let key = |id: &TypeId| essential_name(self.btf.name(*id));
        let from = self.by_name.partition_point(|id| key(id) < name);
        let len = self.by_name[from..].partition_point(|id| key(id) == name);
        &self.by_name[from..from + len]
    }

    /// First type of exactly this name that `want` accepts.
    pub fn find(&self, name: &str, want: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        let ids = self.candidates(essential_name(name)).iter().copied();
        ids.filter(|id| self.btf.name(*id) == name).find(|id| want(&self.btf.ty(*id).kind))
    }

    /// A struct.
    pub fn struct_id(&self, name: &str) -> Option<TypeId> {
        self.find(name, |k| matches!(k, Kind::Struct { .. }))
    }

    /// A field of a struct, by path: `field("task_struct", "scx.dsq_vtime")`.
    pub fn field(&self, struct_name: &str, path: &str) -> Option<Field> {
        self.btf.field(self.struct_id(struct_name)?, path)
    }

    /// Value of an enumerator, in whichever enum it is.
    pub fn enumerator(&self, name: &str) -> Option<u64> {
        let at = self.enumerators.partition_point(|(n, ..)| self.btf.string(*n) < name);
        let (n, id, i) = *self.enumerators.get(at)?;
        if self.btf.string(n) != name {
            return None;
        }
        Some(self.btf.ty(id).kind.enumerators()?.get(i as usize)?.value)
    }

    /// A function.
    pub fn func(&self, name: &str) -> Option<FuncProto> {
        let id = self.find(name, |k| matches!(k, Kind::Func { .. }))?;
        let Kind::Func { proto, .. } = self.btf.ty(id).kind else { return None };
        let Kind::FuncProto { ret, params } = &self.btf.ty(proto).kind else { return None };
        Some(FuncProto { id, proto, ret: *ret, params: params.to_vec() })
    }

    /// A variable.
    pub fn var(&self, name: &str) -> Option<TypeId> {
        self.find(name, |k| matches!(k, Kind::Var { .. }))
    }
}

/// The `.BTF` section of an ELF file.
fn section(bytes: &[u8]) -> Result<&[u8], BtfError> {
    let bad = |_| BtfError::Strings { what: "the ELF file around it is corrupt" };
    let endian = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(bad)?;
    let sections = header.sections(endian, bytes).map_err(bad)?;
    let found = sections.section_by_name(endian, b".BTF");
    let (_, section) = found.ok_or(BtfError::Truncated { what: "the ELF file's .BTF section", need: 24, have: 0 })?;
    section.data(endian, bytes).map_err(bad)
}
