//! Kernel functions that BPF programs may call.

use crate::groups::Groups;
use crate::ops::{Arg, Form, arg};
use crate::table::{Decl, TableError};
use crate::types::{Type, TypeId, TypeTable};
use crate::version::Span;

/// A kfunc of the modelled kernel.
#[derive(Clone, Debug)]
pub struct Kfunc {
    /// Name in the kernel; `___v2` suffixes are part of it.
    pub name: &'static str,
    /// BTF id of the function.
    pub func: TypeId,
    /// Return type.
    pub ret: TypeId,
    /// Tag of the struct that a returned pointer points to.
    pub ret_pointee: Option<&'static str>,
    /// Arguments.
    pub args: Vec<Arg>,
    /// Groups that it is registered in (E-28); [`Groups::CORE`] for those that are not sched_ext's.
    pub groups: Groups,
    /// Refused to programs of cid-form schedulers (E-30).
    pub cpu_only: bool,
    /// Only sleepable programs may call it.
    pub sleepable: bool,
    /// Returns a reference that the program must release.
    pub acquire: bool,
    /// Releases the reference that it is given.
    pub release: bool,
    /// May return NULL, for which the program must test.
    pub ret_null: bool,
    /// Releases of the kernel that have it with this prototype.
    pub span: Span,
}

/// A program that calls a kfunc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'a> {
    /// The operation of that name of a sched_ext table.
    Op(Form, &'a str),
    /// A `BPF_PROG_TYPE_SYSCALL` program.
    Syscall,
    /// Tracing and other programs that are no struct_ops.
    OtherProgram,
    /// A struct_ops program of another subsystem.
    OtherStructOps,
}

impl Kfunc {
    pub(crate) fn from_decl(types: &TypeTable, func: TypeId, decl: &Decl) -> Result<Self, TableError> {
        let (ret, params) = match types.get(func) {
            Type::Func { proto, .. } => match types.get(*proto) {
                Type::Proto { ret, params } => (*ret, params.as_slice()),
                _ => (TypeId::VOID, [].as_slice()),
            },
            _ => (TypeId::VOID, [].as_slice()),
        };
        let notes = &decl.notes;
        Ok(Self {
            name: decl.name,
            func,
            ret,
            ret_pointee: types.pointee(ret),
            args: params.iter().map(|param| arg(types, param.name, param.ty)).collect(),
            groups: Groups::parse(notes.args("kfunc"))?,
            cpu_only: notes.has("cpu_only"),
            sleepable: notes.has("sleepable"),
            acquire: notes.has("acquire"),
            release: notes.has("release"),
            ret_null: notes.has("null"),
            span: notes.span,
        })
    }
}

/// `symbol` without its last `___flavor`, as libbpf looks up ksyms and CO-RE types. A separator is exactly three
/// underscores between other characters.
pub fn essential_name(symbol: &str) -> &str {
    let bytes = symbol.as_bytes();
    let is_separator = |at: usize| bytes[at] != b'_' && &bytes[at + 1..at + 4] == b"___" && bytes[at + 4] != b'_';
    let starts = 0..bytes.len().saturating_sub(4);
    starts.rev().find(|&at| is_separator(at)).map_or(symbol, |at| &symbol[..=at])
}

#[cfg(test)]
mod tests {
    use super::essential_name;

    #[test]
    fn flavors_are_stripped_once() {
        for (symbol, expect) in [
            ("scx_bpf_dsq_insert___v2___compat", "scx_bpf_dsq_insert___v2"),
            ("scx_bpf_consume___old", "scx_bpf_consume"),
            ("scx_bpf_kick_cpu", "scx_bpf_kick_cpu"),
            ("___x", "___x"),
            ("x___", "x___"),
            ("a____b", "a____b"),
            ("scx_bpf_dsq_insert___v2", "scx_bpf_dsq_insert"),
            ("", ""),
        ] {
            assert_eq!(essential_name(symbol), expect);
        }
    }
}
