//! Declarations that a policy's machine code carries in the names of external functions.
//!
//! Stable Rust has no words for a kernel function's prototype, a weak symbol or a relocatable field. The policy crate's
//! macros therefore declare external functions whose link name says what is meant, and the driver replaces every call:
//!
//! | link name | Rust signature | becomes |
//! |---|---|---|
//! | `scxr.field:STRUCT.FIELD:TYPE` | `fn(*const STRUCT) -> *const TYPE` | address of the field, relocated by the loader |
//! | `scxr.field_exists:STRUCT.FIELD:TYPE` | `fn() -> bool` | whether the running kernel has the field |
//! | `scxr.field_size:STRUCT.FIELD:TYPE` | `fn() -> u32` | its size there |
//! | `scxr.type_exists:STRUCT` | `fn() -> bool` | whether the running kernel has the type |
//! | `scxr.type_size:STRUCT` | `fn() -> u64` | its size there |
//! | `scxr.type_id:STRUCT` | `fn() -> u64` | the number that the object's BTF gives the policy's own structure |
//! | `scxr.enum_exists:ENUM.NAME:VALUE` | `fn() -> bool` | whether the running kernel has the enumerator |
//! | `scxr.enum_value:ENUM.NAME:VALUE` | `fn() -> u64` | its value there |
//! | `scxr.kfunc:NAME(ARG: TYPE, …) -> TYPE` | the same | a call of the kernel function |
//! | `scxr.kfunc_weak:…` | the same | the same, and the symbol may be absent |
//! | `scxr.ksym_exists:NAME(ARG: TYPE, …) -> TYPE` | `fn() -> bool` | whether a weak kernel function is there |
//! | `scxr.var:NAME:TYPE` | `fn() -> *const TYPE` | address of a kernel variable, which may be absent; `()`: one without a type |
//! | `scxr.var_exists:NAME:TYPE` | `fn() -> bool` | whether it is there |
//! | `scxr.kconfig:NAME:TYPE` | `fn() -> *const TYPE` | address of a value of the kernel's configuration |
//! | `scxr.kconfig_weak:NAME:TYPE` | the same | the same, zero where it is not set |
//! | `scxr.arena_cast:` | `fn(u64) -> *mut c_void` | a pointer into an arena as one that may be followed |
//! | `scxr.helper:NUMBER` | any | a call of the numbered helper |
//! | `scxr.divide:` | `fn(u64, u64) -> u64` | BPF's own division, which makes 0 of a division by 0 |
//!
//! No link name reaches the object.

use crate::error::{Error, Result};

/// The prefix of every link name above.
pub(crate) const PREFIX: &str = "scxr.";

/// A C type, as far as kernel structures and prototypes need them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CType {
    /// `()`: no result.
    Void,
    /// `bool`.
    Bool,
    /// An integer by its Rust name, bits, signedness.
    Int(String, u64, bool),
    /// A pointer; to [`CType::Void`] for an opaque one.
    Pointer(Box<CType>),
    /// A pointer to a function: its parameters and its result.
    Function(Vec<CType>, Box<CType>),
    /// An array and its length.
    Array(Box<CType>, u64),
    /// A structure, by name.
    Struct(String),
    /// An enumeration of 32 bits, by name: `Enum<NAME>` in Rust.
    Enum(String),
}

/// A member of a kernel structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) ty: CType,
}

/// An enumerator and the value that it has in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enumerator {
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) value: u64,
}

/// A kernel function's prototype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kfunc {
    pub(crate) name: String,
    pub(crate) params: Vec<(String, CType)>,
    pub(crate) ret: CType,
}

/// A variable that the kernel or the loader provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// `.ksyms` or `.kconfig`.
    pub(crate) section: &'static str,
    pub(crate) weak: bool,
    pub(crate) name: String,
    pub(crate) ty: CType,
}

/// One declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    FieldAddress(Field),
    FieldExists(Field),
    FieldSize(Field),
    TypeExists(String),
    TypeSize(String),
    TypeId(String),
    EnumExists(Enumerator),
    EnumValue(Enumerator),
    Kfunc { weak: bool, kfunc: Kfunc },
    KsymExists(Kfunc),
    Variable(Variable),
    VariableExists(Variable),
    Helper(u64),
    ArenaCast,
    Divide,
}

impl Marker {
    /// Reads a link name.
    pub(crate) fn parse(link_name: &str) -> Result<Self> {
        let fail = |why: &str| Error::Declaration { declaration: link_name.to_owned(), why: why.to_owned() };
        let text = link_name.strip_prefix(PREFIX).ok_or_else(|| fail("no prefix"))?;
        let (kind, rest) = text.split_once(':').ok_or_else(|| fail("no colon"))?;
        let marker = match kind {
            "field" => field(rest).map(Self::FieldAddress),
            "field_exists" => field(rest).map(Self::FieldExists),
            "field_size" => field(rest).map(Self::FieldSize),
            "type_exists" => Some(Self::TypeExists(ident(rest))),
            "type_size" => Some(Self::TypeSize(ident(rest))),
            "type_id" => Some(Self::TypeId(ident(rest))),
            "enum_exists" => enumerator(rest).map(Self::EnumExists),
            "enum_value" => enumerator(rest).map(Self::EnumValue),
            "kfunc" => kfunc(rest).map(|kfunc| Self::Kfunc { weak: false, kfunc }),
            "kfunc_weak" => kfunc(rest).map(|kfunc| Self::Kfunc { weak: true, kfunc }),
            "ksym_exists" => kfunc(rest).map(Self::KsymExists),
            "var" => variable(".ksyms", true, rest).map(Self::Variable),
            "var_exists" => variable(".ksyms", true, rest).map(Self::VariableExists),
            "kconfig" => variable(".kconfig", false, rest).map(Self::Variable),
            "kconfig_weak" => variable(".kconfig", true, rest).map(Self::Variable),
            "arena_cast" => Some(Self::ArenaCast),
            "divide" => Some(Self::Divide),
            "helper" => rest.trim().parse().ok().map(Self::Helper),
            _ => return Err(fail("unknown kind")),
        };
        marker.ok_or_else(|| fail("not of the form that its kind has"))
    }
}

/// The last segment of a path, without the raw prefix.
fn ident(text: &str) -> String {
    let last = text.rsplit("::").next().unwrap_or(text).trim();
    last.strip_prefix("r#").unwrap_or(last).to_owned()
}

fn field(text: &str) -> Option<Field> {
    let (owner, member) = text.split_once('.')?;
    let (name, ty) = member.split_once(':')?;
    Some(Field { owner: ident(owner), name: ident(name), ty: ctype(ty)? })
}

fn enumerator(text: &str) -> Option<Enumerator> {
    let (owner, enumerator) = text.split_once('.')?;
    let (name, value) = enumerator.split_once(':')?;
    let digits = value.trim().replace('_', "");
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(Enumerator { owner: ident(owner), name: ident(name), value })
}

fn variable(section: &'static str, weak: bool, text: &str) -> Option<Variable> {
    let (name, ty) = text.split_once(':')?;
    let ty = match ctype(ty)? {
        // the policy crate's times are integers
        CType::Struct(name) if name == "Ns" || name == "Vtime" => CType::Int("u64".to_owned(), 64, false),
        ty @ (CType::Void | CType::Bool | CType::Int(..)) => ty,
        _ => return None,
    };
    Some(Variable { section, weak, name: ident(name), ty })
}

fn kfunc(text: &str) -> Option<Kfunc> {
    let (name, rest) = text.split_once('(')?;
    let (params, ret) = rest.split_at(closing(rest)?);
    let ret = &ret[1..];
    let param = |p: &str| p.split_once(':').and_then(|(n, t)| Some((ident(n), ctype(t)?)));
    let params = split(params).into_iter().map(param).collect::<Option<Vec<_>>>()?;
    let ret = match ret.trim().strip_prefix("->") {
        Some(ty) if !ty.trim().is_empty() => ctype(ty)?,
        _ => CType::Void,
    };
    Some(Kfunc { name: ident(name), params, ret })
}

/// Where the parenthesis ends that `text` begins inside of.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    })
}

/// The parts between the commas outside of parentheses; empty ones left out.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.filter(|p| !p.trim().is_empty()).collect()
}

/// Reads a Rust type as a C one.
fn ctype(text: &str) -> Option<CType> {
    let text = text.trim();
    let function = text.strip_prefix("extern \"C\" ").unwrap_or(text);
    if let Some(rest) = function.strip_prefix("fn").map(str::trim_start).and_then(|t| t.strip_prefix('(')) {
        let (params, ret) = rest.split_at(closing(rest)?);
        let params = split(params).into_iter().map(ctype).collect::<Option<Vec<_>>>()?;
        let ret = match ret[1..].trim().strip_prefix("->") {
            Some(ty) => ctype(ty)?,
            None => CType::Void,
        };
        return Some(CType::Function(params, Box::new(ret)));
    }
    if let Some(pointee) = text.strip_prefix('*') {
        let pointee = pointee.trim_start();
        let pointee = pointee.strip_prefix("const ").or_else(|| pointee.strip_prefix("mut "))?;
        let pointee = if pointee.ends_with("c_void") { CType::Void } else { ctype(pointee)? };
        return Some(CType::Pointer(Box::new(pointee)));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let (element, len) = inner.strip_suffix(']')?.rsplit_once(';')?;
        return Some(CType::Array(Box::new(ctype(element)?), len.trim().parse().ok()?));
    }
    Some(match text {
        "()" => CType::Void,
        "bool" => CType::Bool,
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" => {
            CType::Int(text.to_owned(), text[1..].parse().ok()?, text.starts_with('i'))
        }
        "usize" => CType::Int("u64".to_owned(), 64, false),
        _ if text.starts_with("Enum") => {
            let name = text["Enum".len()..].trim().strip_prefix('<')?.strip_suffix('>')?;
            CType::Enum(Some(ident(name)).filter(|name| is_identifier(name))?)
        }
        _ => CType::Struct(Some(ident(text)).filter(|name| is_identifier(name))?),
    })
}

fn is_identifier(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(name: &str) -> CType {
        CType::Int(name.to_owned(), name[1..].parse().unwrap(), name.starts_with('i'))
    }

    fn structure(name: &str) -> CType {
        CType::Struct(name.to_owned())
    }

    #[track_caller]
    fn check(text: &str, expect: Marker) {
        assert_eq!(Marker::parse(text).unwrap(), expect);
    }

    #[test]
    fn markers_are_read() {
        let field = |owner: &str, name: &str, ty| Field { owner: owner.to_owned(), name: name.to_owned(), ty };
        check("scxr.field:task_struct.pid:i32", Marker::FieldAddress(field("task_struct", "pid", int("i32"))));
        let comm = CType::Array(Box::new(int("u8")), 16);
        check("scxr.field:task_struct.comm:[u8; 16]", Marker::FieldAddress(field("task_struct", "comm", comm)));
        let kind = CType::Enum("scx_exit_kind".to_owned());
        check(
            "scxr.field:scx_exit_info.kind:Enum<scx_exit_kind>",
            Marker::FieldAddress(field("scx_exit_info", "kind", kind)),
        );
        let mask = CType::Pointer(Box::new(structure("cpumask")));
        check(
            "scxr.field_exists:a::task_struct.r#cpus_ptr:*const b::cpumask",
            Marker::FieldExists(field("task_struct", "cpus_ptr", mask)),
        );
        check("scxr.type_size:cpumask", Marker::TypeSize("cpumask".to_owned()));
        let slice = Enumerator { owner: "e".to_owned(), name: "A".to_owned(), value: 20_000_000 };
        check("scxr.enum_value:e.A:20_000_000", Marker::EnumValue(slice));
        let task = CType::Pointer(Box::new(structure("task_struct")));
        let kfunc = Kfunc {
            name: "f".to_owned(),
            params: vec![("p".to_owned(), task), ("idle".to_owned(), CType::Pointer(Box::new(CType::Bool)))],
            ret: int("i32"),
        };
        check("scxr.kfunc_weak:f(p: *mut task_struct, idle: * mut bool)-> i32", Marker::Kfunc { weak: true, kfunc });
        let less = Kfunc {
            name: "add".to_owned(),
            params: vec![
                ("less".to_owned(), CType::Function(vec![int("i32"), int("u8")], Box::new(CType::Bool))),
                ("off".to_owned(), int("u64")),
            ],
            ret: CType::Void,
        };
        check("scxr.kfunc:add(less: fn(i32, u8) -> bool, off: u64)", Marker::Kfunc { weak: false, kfunc: less });
        check("scxr.type_id:Node", Marker::TypeId("Node".to_owned()));
        let none = Kfunc { name: "g".to_owned(), params: Vec::new(), ret: CType::Void };
        check("scxr.ksym_exists:g()", Marker::KsymExists(none));
        check("scxr.helper:1", Marker::Helper(1));
        check("scxr.divide:", Marker::Divide);
        let int = CType::Int("i32".into(), 32, true);
        let llc = Variable { section: ".ksyms", weak: true, name: "sd_llc_id".into(), ty: int.clone() };
        check("scxr.var:sd_llc_id:i32", Marker::Variable(llc.clone()));
        check("scxr.var_exists:sd_llc_id:i32", Marker::VariableExists(llc));
        let time = CType::Int("u64".into(), 64, false);
        let time = Variable { section: ".ksyms", weak: true, name: "t".into(), ty: time };
        check("scxr.var:t:Ns", Marker::Variable(time));
        let hz = Variable { section: ".kconfig", weak: false, name: "CONFIG_HZ".into(), ty: int };
        check("scxr.kconfig:CONFIG_HZ:i32", Marker::Variable(hz));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "scxr.what:x",
            "scxr.field:a",
            "scxr.field:a.b",
            "scxr.field:a.b:Option<u8>",
            "scxr.kfunc:f",
            "scxr.var:x",
            "scxr.var:runqueues:rq",
            "scxr.kconfig:CONFIG_HZ:Option<u32>",
            "scxr.helper:x",
            "scxr",
        ] {
            assert!(Marker::parse(text).is_err(), "{text}");
        }
    }
}
