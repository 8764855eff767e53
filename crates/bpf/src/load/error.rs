//! What can be wrong with an object, alone or together with a kernel.

use crate::btf::BtfError;

/// Why an object cannot be read, edited or loaded. Every message names the object, the place and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum LoadError {
    #[error("{object}: not an ELF file; give a BPF object, made by `scxr build` or `clang -target bpf -O2 -g`")]
    NotElf { object: String },
    #[error("{object}: the file is truncated: {what}; copy or build it again")]
    Truncated { object: String, what: String },
    #[error("{object}: an ELF file, but not a little-endian BPF object ({what}); compile with -target bpf")]
    NotBpf { object: String, what: String },
    #[error("{object}: corrupt ELF: {what}; build it again")]
    Corrupt { object: String, what: String },
    #[error("{object}: no .BTF section; compile with -g (and do not strip it: use llvm-strip -g)")]
    NoBtf { object: String },
    #[error("{object}: section {section}: {source}; build the object again")]
    Btf { object: String, section: &'static str, source: BtfError },
    #[error("{object}: no struct_ops variable: nothing in it is a scheduler; define one in SEC(\".struct_ops.link\")")]
    NoStructOps { object: String },
    #[error("{object}: {} struct_ops variables ({}); one is expected: build an object for each", names.len(), names.join(", "))]
    ManyStructOps { object: String, names: Vec<String> },
    #[error("{object}: section {section}, instruction {insn}{}: {what}", at.as_deref().map(|a| format!(" ({a})")).unwrap_or_default())]
    Code { object: String, section: String, insn: u64, at: Option<String>, what: String },
    #[error("{object}: map {map}: {what}")]
    Map { object: String, map: String, what: String },
    #[error("{object}: extern {name}: {what}")]
    Extern { object: String, name: String, what: String },
    #[error(
        "{object}: kernel function {name} does not exist in {kernel}, and the object needs it (it is not weak); use a kernel that has it, or declare it __weak and guard calls with bpf_ksym_exists()"
    )]
    MissingKfunc { object: String, name: String, kernel: String },
    #[error(
        "{object}: kernel function {name} has another prototype in {kernel}: `{theirs}` there, `{ours}` in the object; regenerate vmlinux.h, or declare a weak ___flavor of each form"
    )]
    KfuncPrototype { object: String, name: String, kernel: String, ours: String, theirs: String },
    #[error(
        "{object}: kernel function {name}: {type_name} in its prototype is declared and not defined in the object, and loaders take that for another type than {kernel}'s; include vmlinux.h, or define it"
    )]
    KfuncDeclaredOnly { object: String, name: String, kernel: String, type_name: String },
    #[error(
        "{object}: kernel variable {name} does not exist in {kernel}, and the object needs it (it is not weak); use a kernel that has it, or declare it __weak"
    )]
    MissingKsym { object: String, name: String, kernel: String },
    #[error(
        "{object}: kernel configuration value {name} is not known for {kernel}, and the object needs it; set it, or declare it __weak"
    )]
    MissingKconfig { object: String, name: String, kernel: String },
    #[error("{object}: CO-RE relocation of {subject} at {at}: {what}")]
    CoRe { object: String, subject: String, at: String, what: String },
    #[error("{message}")]
    Unguarded { message: String },
    #[error("{object}: struct_ops {ops}: {kernel} has no struct {type_name}; use a kernel that has it")]
    StructOpsType { object: String, ops: String, type_name: String, kernel: String },
    #[error("{object}: struct_ops {ops}, member {member}: {what}")]
    StructOpsMember { object: String, ops: String, member: String, what: String },
    #[error("{object}: no {kind} named {name}{}", hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    NotFound { object: String, kind: &'static str, name: String, hint: Option<String> },
    #[error("{object}: global {name}: {what}{}", said.as_deref().map(|s| format!(" ({s})")).unwrap_or_default())]
    Global { object: String, name: String, what: String, said: Option<String> },
    #[error("{object}: not implemented yet: {what}")]
    NotYet { object: String, what: String },
}
