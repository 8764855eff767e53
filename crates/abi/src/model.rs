//! One kernel version: everything the tables say about it, indexed.

use std::collections::BTreeMap;

use crate::groups::Groups;
use crate::kfuncs::{Caller, Kfunc};
use crate::layout::{FieldInfo, Layout, LeafHit};
use crate::ops::{Form, OpsMember};
use crate::table::{self, Decl, Item, TableError, Tag};
use crate::types::{Type, TypeId, TypeTable};
use crate::version::KernelVersion;
use crate::{btf, tables};

/// The modelled kernel of one version.
///
/// ```
/// use scxr_abi::{KernelModel, KernelVersion};
/// let kernel = KernelModel::new(KernelVersion::NEWEST);
/// assert_eq!(kernel.constant("SCX_SLICE_DFL"), Some(20_000_000));
/// let field = kernel.field("task_struct", "scx.dsq_vtime").unwrap();
/// let hit = kernel.field_at("task_struct", field.offset, 8).unwrap();
/// assert_eq!(hit.leaf.path, "scx.dsq_vtime");
/// ```
#[derive(Clone, Debug)]
pub struct KernelModel {
    version: KernelVersion,
    types: TypeTable,
    layouts: BTreeMap<TypeId, Layout>,
    ops: Vec<OpsMember>,
    ops_cid: Vec<OpsMember>,
    kfuncs: BTreeMap<&'static str, Kfunc>,
    constants: BTreeMap<&'static str, u64>,
    array_index: u32,
}

impl KernelModel {
    /// The model of `version`.
    ///
    /// # Panics
    /// On a defect of the compiled-in tables or a version outside [`KernelVersion::ALL`] whose entries contradict each
    /// other; both are bugs of this crate.
    pub fn new(version: KernelVersion) -> Self {
        Self::build(version).unwrap_or_else(|defect| panic!("table of kernel {version}: {defect}"))
    }

    fn build(version: KernelVersion) -> Result<Self, TableError> {
        let mut types = TypeTable::new(version);
        let mut ops = (Vec::new(), Vec::new());
        let mut kfunc_decls: Vec<(TypeId, Decl)> = Vec::new();
        let mut vars = Vec::new();
        for (name, text) in tables::ALL {
            for item in table::parse(name, text)? {
                let Some(id) = types.define(&item)? else {
                    continue;
                };
                match item {
                    Item::Composite { tag: Tag::Struct, name: "sched_ext_ops", members, .. } => ops.0 = members,
                    Item::Composite { tag: Tag::Struct, name: "sched_ext_ops_cid", members, .. } => ops.1 = members,
                    Item::Func(decl) if decl.notes.has("kfunc") => kfunc_decls.push((id, decl)),
                    Item::Var(_) => vars.push(id),
                    _ => {}
                }
            }
        }
        types.check_typedefs()?;
        types.lay_out()?;
        let array_index = types.ordinary_id("__ARRAY_SIZE_TYPE__").map_or(0, |id| id.0);
        for (id, _) in &kfunc_decls {
            types.push(Type::DeclTag { name: "bpf_kfunc", ty: *id });
        }
        push_percpu(&mut types, &vars);
        let kfuncs = kfunc_decls
            .iter()
            .map(|(id, decl)| Ok((decl.name, Kfunc::from_decl(&types, *id, decl)?)))
            .collect::<Result<_, TableError>>()?;
        Ok(Self {
            version,
            ops: OpsMember::list(&types, "sched_ext_ops", &ops.0)?,
            ops_cid: OpsMember::list(&types, "sched_ext_ops_cid", &ops.1)?,
            layouts: types.layouts(),
            constants: constants(&types),
            kfuncs,
            types,
            array_index,
        })
    }

    /// The version that is modelled.
    pub fn version(&self) -> KernelVersion {
        self.version
    }

    /// Raw BTF of the kernel, as `/sys/kernel/btf/vmlinux` holds it.
    pub fn btf(&self) -> Vec<u8> {
        btf::encode(&self.types, self.array_index)
    }

    /// All types; ids are BTF ids.
    pub fn types(&self) -> &TypeTable {
        &self.types
    }

    /// Members of the operations table of `form`, in the kernel's order, data members included. Empty if the version
    /// lacks that form.
    pub fn ops(&self, form: Form) -> &[OpsMember] {
        match form {
            Form::Cpu => &self.ops,
            Form::Cid => &self.ops_cid,
        }
    }

    /// One member of an operations table.
    pub fn op(&self, form: Form, name: &str) -> Option<&OpsMember> {
        self.ops(form).iter().find(|member| member.name == name)
    }

    /// A kfunc by its name in the kernel, e.g. `scx_bpf_dsq_insert___v2`.
    pub fn kfunc(&self, name: &str) -> Option<&Kfunc> {
        self.kfuncs.get(name)
    }

    /// The kfunc that an extern of an object resolves to, by libbpf's rule: the literal name without its last
    /// `___flavor`; a name without flavor is taken as it is.
    pub fn kfunc_for_extern(&self, symbol: &str) -> Option<&Kfunc> {
        self.kfunc(crate::kfuncs::essential_name(symbol))
    }

    /// All kfuncs, by name.
    pub fn kfuncs(&self) -> impl Iterator<Item = &Kfunc> {
        self.kfuncs.values()
    }

    /// Whether a program may call a kfunc (E-28 to E-30). `false` for an unknown operation or kfunc.
    ///
    /// From 7.1 on the kernel decides at load time, before that by a run-time check that ejects the scheduler; see
    /// [`kfuncs_checked_at_load`](Self::kfuncs_checked_at_load).
    pub fn kfunc_allowed(&self, caller: Caller<'_>, kfunc: &str) -> bool {
        let Some(kfunc) = self.kfunc(kfunc) else {
            return false;
        };
        if kfunc.groups == Groups::CORE {
            return true;
        }
        let always = Groups::ANY | Groups::IDLE;
        let allowed = match caller {
            Caller::Op(form, name) => {
                if form == Form::Cid && kfunc.cpu_only {
                    return false;
                }
                match self.op(form, name) {
                    Some(op) => always | op.groups,
                    None => return false,
                }
            }
            Caller::Syscall => always | Groups::UNLOCKED | Groups::SELECT_CPU,
            Caller::OtherProgram => always,
            Caller::OtherStructOps => Groups::NONE,
        };
        kfunc.groups.intersects(allowed)
    }

    /// Whether the context of kfuncs is checked when a program is loaded (7.1 on) instead of when it runs.
    pub fn kfuncs_checked_at_load(&self) -> bool {
        self.version >= KernelVersion::new(7, 1)
    }

    /// The flattened layout of a struct or union, by tag or typedef name.
    pub fn layout(&self, ty: &str) -> Option<&Layout> {
        self.layout_of(self.types.aggregate_id(ty)?)
    }

    /// The flattened layout of a struct or union, by id.
    pub fn layout_of(&self, ty: TypeId) -> Option<&Layout> {
        self.layouts.get(&ty)
    }

    /// A field by dotted path, e.g. `field("task_struct", "scx.flags")`, `field("signal_struct", "pids[1]")`.
    pub fn field(&self, ty: &str, path: &str) -> Option<FieldInfo> {
        self.types.field(self.types.aggregate_id(ty)?, path)
    }

    /// The scalar field that an access of `size` bytes at `offset` of `ty` lies in.
    pub fn field_at(&self, ty: &str, offset: u32, size: u32) -> Option<LeafHit<'_>> {
        self.layout(ty)?.field_at(offset, size)
    }

    /// Value of an enumerator of one enum; negative values are sign-extended to 64 bits.
    pub fn enum_value(&self, enumeration: &str, name: &str) -> Option<u64> {
        let Type::Enum(e) = self.types.get(self.types.enum_id(enumeration)?) else {
            return None;
        };
        e.values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Value of an enumerator of any enum. C has one name space for them, so the name is enough.
    pub fn constant(&self, name: &str) -> Option<u64> {
        self.constants.get(name).copied()
    }

    /// All enumerators, by name.
    pub fn constants(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.constants.iter().map(|(name, value)| (*name, *value))
    }
}

fn constants(types: &TypeTable) -> BTreeMap<&'static str, u64> {
    let enums = types.iter().filter_map(|(_, ty)| if let Type::Enum(e) = ty { Some(e) } else { None });
    enums.flat_map(|e| e.values.iter().copied()).collect()
}

fn push_percpu(types: &mut TypeTable, vars: &[TypeId]) {
    let mut size = 0u32;
    let mut entries = Vec::new();
    for &var in vars {
        let len = types.size_of(var).unwrap_or(0);
        let offset = size.next_multiple_of(64);
        entries.push((var, offset, len));
        size = offset + len;
    }
    types.push(Type::DataSec { name: ".data..percpu", vars: entries, size });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_builds() {
        for version in KernelVersion::ALL {
            let model = KernelModel::build(version);
            assert!(model.is_ok(), "{version}: {:?}", model.err());
        }
    }
}
