//! The tables of a parsed BTF.

/// Number of a type; 0 is void.
pub type TypeId = u32;

/// What an integer's bits mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IntEncoding {
    /// Two's complement.
    pub signed: bool,
    /// `char`.
    pub is_char: bool,
    /// `_Bool`.
    pub is_bool: bool,
    /// Bit offset of the value (only old compilers set it).
    pub bit_offset: u32,
    /// Bits of the value.
    pub bits: u32,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name, as an offset into the strings; 0 for an anonymous one.
    pub name: u32,
    /// Type.
    pub type_id: TypeId,
    /// Offset from the start of the composite, in bits.
    pub bit_offset: u32,
    /// Bits of a bit field; 0: not a bit field.
    pub bit_size: u32,
}

/// An enumerator, widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumValue {
    /// Name, as an offset into the strings.
    pub name: u32,
    /// Value: sign-extended for signed enums, zero-extended for others.
    pub value: u64,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name, as an offset into the strings.
    pub name: u32,
    /// Type; 0 in the last one: variadic.
    pub type_id: TypeId,
}

/// A variable (or extern function) in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecVar {
    /// The VAR or FUNC.
    pub type_id: TypeId,
    /// Byte offset in the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Linkage of variables and functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Local to its file.
    Static,
    /// Defined here, visible outside.
    Global,
    /// Defined elsewhere.
    Extern,
}

/// A type's kind and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Void,
    Int { size: u32, encoding: IntEncoding },
    Ptr(TypeId),
    Array { elem: TypeId, index: TypeId, len: u32 },
    Struct { size: u32, members: Box<[Member]> },
    Union { size: u32, members: Box<[Member]> },
    Enum { size: u32, signed: bool, values: Box<[EnumValue]> },
    Enum64 { size: u32, signed: bool, values: Box<[EnumValue]> },
    Fwd { is_union: bool },
    Typedef(TypeId),
    Volatile(TypeId),
    Const(TypeId),
    Restrict(TypeId),
    Func { proto: TypeId, linkage: Linkage },
    FuncProto { ret: TypeId, params: Box<[Param]> },
    Var { type_id: TypeId, linkage: Linkage },
    Datasec { size: u32, vars: Box<[SecVar]> },
    Float { size: u32 },
    DeclTag { type_id: TypeId, component: i32 },
    TypeTag(TypeId),
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Name, as an offset into the strings; 0 for none.
    pub name: u32,
    /// Kind.
    pub kind: Kind,
}

/// A parsed BTF. [`Btf::default`] holds void alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Btf {
    pub(super) types: Vec<Type>,
    pub(super) strings: String,
}

impl Default for Btf {
    fn default() -> Self {
        Btf { types: vec![Type { name: 0, kind: Kind::Void }], strings: "\0".to_owned() }
    }
}

impl Kind {
    /// The kind's name, as messages print it.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Void => "void",
            Kind::Int { .. } => "int",
            Kind::Ptr(_) => "pointer",
            Kind::Array { .. } => "array",
            Kind::Struct { .. } => "struct",
            Kind::Union { .. } => "union",
            Kind::Enum { .. } | Kind::Enum64 { .. } => "enum",
            Kind::Fwd { is_union: false } => "forward struct",
            Kind::Fwd { is_union: true } => "forward union",
            Kind::Typedef(_) => "typedef",
            Kind::Volatile(_) => "volatile",
            Kind::Const(_) => "const",
            Kind::Restrict(_) => "restrict",
            Kind::Func { .. } => "function",
            Kind::FuncProto { .. } => "function prototype",
            Kind::Var { .. } => "variable",
            Kind::Datasec { .. } => "data section",
            Kind::Float { .. } => "float",
            Kind::DeclTag { .. } => "declaration tag",
            Kind::TypeTag(_) => "type tag",
        }
    }

    /// Members of a struct or union.
    pub fn members(&self) -> Option<&[Member]> {
        match self {
            Kind::Struct { members, .. } | Kind::Union { members, .. } => Some(members),
            _ => None,
        }
    }

    /// Enumerators of an enum of either width.
    pub fn enumerators(&self) -> Option<&[EnumValue]> {
        match self {
            Kind::Enum { values, .. } | Kind::Enum64 { values, .. } => Some(values),
            _ => None,
        }
    }
}
