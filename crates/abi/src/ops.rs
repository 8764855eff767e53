//! `struct sched_ext_ops` and its cid form, member by member.

use crate::groups::Groups;
use crate::table::{Decl, Expr, TableError};
use crate::types::{Type, TypeId, TypeTable};
use crate::version::Span;

/// The two forms of the operations table (E-21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `struct sched_ext_ops`: CPUs by their number.
    Cpu,
    /// `struct sched_ext_ops_cid` (7.2): CPUs by topological id.
    Cid,
}

impl Form {
    /// The struct's tag.
    pub const fn struct_name(self) -> &'static str {
        match self {
            Self::Cpu => "sched_ext_ops",
            Self::Cid => "sched_ext_ops_cid",
        }
    }

    /// The tag of the map value that wraps it.
    pub const fn wrapper_name(self) -> &'static str {
        match self {
            Self::Cpu => "bpf_struct_ops_sched_ext_ops",
            Self::Cid => "bpf_struct_ops_sched_ext_ops_cid",
        }
    }
}

/// An argument of a callback or kfunc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Name; a `__suffix` is the kernel's annotation for the verifier.
    pub name: &'static str,
    /// Type.
    pub ty: TypeId,
    /// Tag of the struct that a pointer points to, e.g. `task_struct`.
    pub pointee: Option<&'static str>,
    /// Whether the verifier makes the program test it for NULL (or lets it pass NULL).
    pub nullable: bool,
}

/// A member of an operations table.
#[derive(Clone, Debug)]
pub struct OpsMember {
    /// Name.
    pub name: &'static str,
    /// Position, from 0.
    pub index: usize,
    /// Offset in bytes in the table.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Type.
    pub ty: TypeId,
    /// Signature, for callbacks; `None` for data members.
    pub callback: Option<Callback>,
    /// Groups allowed besides ANY and IDLE (E-29).
    pub groups: Groups,
    /// Whether a sleepable program may implement it (E-24).
    pub sleepable: bool,
    /// Releases with this member at this place.
    pub span: Span,
}

/// Signature of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Return type; [`TypeId::VOID`] for none.
    pub ret: TypeId,
    /// Arguments.
    pub args: Vec<Arg>,
}

impl OpsMember {
    /// Members of `name` that the version has. `decls` is the table's text of the struct.
    pub(crate) fn list(types: &TypeTable, name: &str, decls: &[Decl]) -> Result<Vec<Self>, TableError> {
        let Some(id) = types.composite_id(name) else {
            return Ok(Vec::new());
        };
        let Type::Composite(composite) = types.get(id) else {
            return Ok(Vec::new());
        };
        // A member that moved is there twice in the text; the live one is the one whose span matches.
        let mut live = Vec::new();
        for member in &composite.members {
            let decl = decls.iter().find(|d| d.name == member.name && d.notes.span.contains(types.version()));
            let Some(decl) = decl else { continue };
            live.push(Self {
                name: member.name,
                index: live.len(),
                offset: member.offset,
                size: types.size_of(member.ty).unwrap_or(0),
                ty: member.ty,
                callback: callback(types, member.ty, &decl.ty),
                groups: Groups::parse(decl.notes.args("allow"))?,
                sleepable: decl.notes.has("sleepable"),
                span: decl.notes.span,
            });
        }
        Ok(live)
    }
}

fn callback(types: &TypeTable, ty: TypeId, text: &Expr) -> Option<Callback> {
    let Type::Ptr(target) = types.get(ty) else {
        return None;
    };
    let Type::Proto { ret, params } = types.get(*target) else {
        return None;
    };
    let Expr::Ptr(text) = text else { return None };
    let Expr::Func(_, names) = &**text else {
        return None;
    };
    let args = params.iter().zip(names).map(|(param, decl)| arg(types, decl.name, param.ty)).collect();
    Some(Callback { ret: *ret, args })
}

pub(crate) fn arg(types: &TypeTable, name: &'static str, ty: TypeId) -> Arg {
    Arg { name, ty, pointee: types.pointee(ty), nullable: name.ends_with("__nullable") }
}
