//! The modelled kernel's types: one array, indexed by what is also the BTF type id.

use std::collections::BTreeMap;

use crate::table::{Decl, EnumItem, Expr, Item, TableError, Tag};
use crate::version::KernelVersion;

/// Index of a type; the same number is its BTF id. 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`
    pub const VOID: Self = Self(0);
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Name; empty for an anonymous struct or union.
    pub name: &'static str,
    /// Type.
    pub ty: TypeId,
    /// Offset in bytes from the start of the owner.
    pub offset: u32,
    /// Alignment in bytes asked for beyond the natural one, 1 if none.
    pub align: u32,
}

/// A struct or union. Members are at their natural alignment unless the table asks for more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Composite {
    /// Tag; empty for an anonymous one.
    pub name: &'static str,
    /// Whether it is a union.
    pub union: bool,
    /// Members of this kernel version, in order.
    pub members: Vec<Member>,
    /// Size in bytes, with tail padding.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
}

/// An enum of this kernel version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Enum {
    /// Tag.
    pub name: &'static str,
    /// 4, or 8 if a value needs more than 32 bits.
    pub size: u32,
    /// Whether a value is negative.
    pub signed: bool,
    /// Enumerators in order; negative values are sign-extended to 64 bits.
    pub values: Vec<(&'static str, u64)>,
}

/// A parameter of a function type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Param {
    /// Name; empty behind function pointers, as in kernel BTF.
    pub name: &'static str,
    /// Type.
    pub ty: TypeId,
}

/// A type of the modelled kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// `void`, at index 0 only.
    Void,
    /// An integer: name as in kernel BTF, size in bytes, signedness. `_Bool` is the one named so.
    Int {
        /// E.g. `long unsigned int`.
        name: &'static str,
        /// Size in bytes.
        size: u32,
        /// Whether it is signed.
        signed: bool,
    },
    /// Pointer, 8 bytes.
    Ptr(TypeId),
    /// Array of `len` elements; `len` 0 is a flexible array.
    Array {
        /// Element type.
        elem: TypeId,
        /// Number of elements.
        len: u32,
    },
    /// Struct or union.
    Composite(Composite),
    /// Enum.
    Enum(Enum),
    /// A struct or union of which only the name is known.
    Fwd {
        /// Tag.
        name: &'static str,
        /// Whether it is a union.
        union: bool,
    },
    /// Typedef.
    Typedef {
        /// Name.
        name: &'static str,
        /// Aliased type.
        ty: TypeId,
    },
    /// `const`
    Const(TypeId),
    /// Function type.
    Proto {
        /// Return type.
        ret: TypeId,
        /// Parameters.
        params: Vec<Param>,
    },
    /// A function of the kernel, kfunc or not.
    Func {
        /// Name.
        name: &'static str,
        /// Its [`Type::Proto`].
        proto: TypeId,
    },
    /// A per-CPU variable.
    Var {
        /// Name.
        name: &'static str,
        /// Type.
        ty: TypeId,
    },
    /// The per-CPU section: `(variable, offset, size)` in bytes.
    DataSec {
        /// Section name.
        name: &'static str,
        /// Contents.
        vars: Vec<(TypeId, u32, u32)>,
        /// Size in bytes.
        size: u32,
    },
    /// A decl tag on a function (`bpf_kfunc`).
    DeclTag {
        /// Tag text.
        name: &'static str,
        /// The tagged type.
        ty: TypeId,
    },
}

/// A name space of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Tagged(Tag),
    Ordinary,
}

/// Every type of one kernel version.
#[derive(Clone, Debug)]
pub struct TypeTable {
    version: KernelVersion,
    types: Vec<Type>,
    named: BTreeMap<(Space, &'static str), TypeId>,
    derived: BTreeMap<Type, TypeId>,
}

/// Integers of an LP64 kernel.
const INTS: [(&str, u32, bool); 13] = [
    ("long unsigned int", 8, false),
    ("char", 1, true),
    ("unsigned int", 4, false),
    ("int", 4, true),
    ("unsigned char", 1, false),
    ("short unsigned int", 2, false),
    ("short int", 2, true),
    ("long int", 8, true),
    ("long long unsigned int", 8, false),
    ("long long int", 8, true),
    ("signed char", 1, true),
    ("_Bool", 1, false),
    ("__ARRAY_SIZE_TYPE__", 4, false),
];

impl TypeTable {
    /// The table of `version` with nothing but integers in it.
    pub(crate) fn new(version: KernelVersion) -> Self {
        let mut table = Self { version, types: vec![Type::Void], named: BTreeMap::new(), derived: BTreeMap::new() };
        for (name, size, signed) in INTS {
            let id = table.push(Type::Int { name, size, signed });
            table.named.insert((Space::Ordinary, name), id);
        }
        table
    }

    /// The kernel version that the types are of.
    pub fn version(&self) -> KernelVersion {
        self.version
    }

    /// Number of types, `void` included.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Never: `void` is always there.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// The type behind `id`; `void` for an id that is out of range.
    pub fn get(&self, id: TypeId) -> &Type {
        self.types.get(id.0 as usize).unwrap_or(&Type::Void)
    }

    /// All types with their ids, `void` included.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, ty)| (TypeId(i as u32), ty))
    }

    pub(crate) fn get_mut(&mut self, id: TypeId) -> &mut Type {
        &mut self.types[id.0 as usize]
    }

    pub(crate) fn push(&mut self, ty: Type) -> TypeId {
        self.types.push(ty);
        TypeId(self.types.len() as u32 - 1)
    }

    fn derive(&mut self, ty: Type) -> TypeId {
        if let Some(&id) = self.derived.get(&ty) {
            return id;
        }
        let id = self.push(ty.clone());
        self.derived.insert(ty, id);
        id
    }

    /// `struct name` or `union name`, if this kernel defines it.
    pub fn composite_id(&self, name: &str) -> Option<TypeId> {
        [Tag::Struct, Tag::Union]
            .into_iter()
            .find_map(|tag| self.lookup(Space::Tagged(tag), name))
            .filter(|&id| matches!(self.get(id), Type::Composite(_)))
    }

    /// `enum name`, if this kernel defines it.
    pub fn enum_id(&self, name: &str) -> Option<TypeId> {
        self.lookup(Space::Tagged(Tag::Enum), name).filter(|&id| matches!(self.get(id), Type::Enum(_)))
    }

    /// The struct or union behind `name`: its tag, or a typedef of one (`atomic_t`).
    pub fn aggregate_id(&self, name: &str) -> Option<TypeId> {
        self.composite_id(name).or_else(|| {
            let id = self.strip(self.lookup(Space::Ordinary, name)?);
            matches!(self.get(id), Type::Composite(_)).then_some(id)
        })
    }

    /// Function, variable, typedef or basic integer of that name.
    pub fn ordinary_id(&self, name: &str) -> Option<TypeId> {
        self.lookup(Space::Ordinary, name)
    }

    fn lookup(&self, space: Space, name: &str) -> Option<TypeId> {
        self.named.get(&(space, name)).copied()
    }

    /// `id` without typedefs and `const`.
    pub fn strip(&self, id: TypeId) -> TypeId {
        let mut id = id;
        while let Type::Typedef { ty, .. } | Type::Const(ty) = self.get(id) {
            id = *ty;
        }
        id
    }

    /// Tag of the struct or union that `id` points to: `task_struct` for `const struct task_struct *`.
    pub fn pointee(&self, id: TypeId) -> Option<&'static str> {
        let Type::Ptr(target) = self.get(self.strip(id)) else {
            return None;
        };
        match self.get(self.strip(*target)) {
            Type::Composite(composite) if !composite.name.is_empty() => Some(composite.name),
            Type::Fwd { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The type as C would write it without a name, e.g. `const struct cpumask *`; a function is shown as a pointer to it.
    pub fn c_name(&self, id: TypeId) -> String {
        match self.get(id) {
            Type::Void => "void".to_owned(),
            Type::Int { name, .. } | Type::Typedef { name, .. } => (*name).to_owned(),
            Type::Ptr(target) if matches!(self.get(*target), Type::Proto { .. }) => self.c_name(*target),
            Type::Ptr(target) => {
                let target = self.c_name(*target);
                if target.ends_with('*') { format!("{target}*") } else { format!("{target} *") }
            }
            Type::Array { elem, len } => format!("{}[{len}]", self.c_name(*elem)),
            Type::Composite(c) => {
                format!("{} {}", if c.union { "union" } else { "struct" }, c.name)
            }
            Type::Enum(e) => format!("enum {}", e.name),
            Type::Fwd { name, union } => {
                format!("{} {name}", if *union { "union" } else { "struct" })
            }
            Type::Const(ty) if matches!(self.get(*ty), Type::Ptr(_)) => format!("{}const", self.c_name(*ty)),
            Type::Const(ty) => format!("const {}", self.c_name(*ty)),
            Type::Proto { ret, params } => {
                let params: Vec<String> = params.iter().map(|p| self.c_name(p.ty)).collect();
                format!("{} (*)({})", self.c_name(*ret), params.join(", "))
            }
            Type::Func { name, .. } | Type::Var { name, .. } => (*name).to_owned(),
            Type::DataSec { name, .. } | Type::DeclTag { name, .. } => (*name).to_owned(),
        }
    }

    /// Adds a live item; `None` if the version lacks it or it has no id of its own.
    pub(crate) fn define(&mut self, item: &Item) -> Result<Option<TypeId>, TableError> {
        match item {
            Item::Composite { tag, name, members, notes } if notes.span.contains(self.version) => {
                let id = self.tagged(*tag, name);
                if !matches!(self.get(id), Type::Fwd { .. }) {
                    return Err(TableError::Duplicate { name });
                }
                let body = self.composite(name, *tag, members)?;
                *self.get_mut(id) = body;
                Ok(Some(id))
            }
            Item::Enum { name, items, notes } if notes.span.contains(self.version) => {
                let id = self.tagged(Tag::Enum, name);
                if matches!(self.get(id), Type::Enum(e) if !e.values.is_empty()) {
                    return Err(TableError::Duplicate { name });
                }
                *self.get_mut(id) = self.enumeration(name, items);
                Ok(Some(id))
            }
            Item::Typedef(decl) if decl.notes.span.contains(self.version) => {
                let ty = self.resolve(&decl.ty)?;
                let id = self.typedef(decl.name);
                match self.get_mut(id) {
                    Type::Typedef { ty: slot, .. } if *slot == TypeId::VOID => *slot = ty,
                    _ => return Err(TableError::Duplicate { name: decl.name }),
                }
                Ok(Some(id))
            }
            Item::Func(decl) if decl.notes.span.contains(self.version) => {
                let Expr::Func(ret, params) = &decl.ty else {
                    return Ok(None);
                };
                let proto = self.proto(ret, params, true)?;
                self.ordinary(decl.name, Type::Func { name: decl.name, proto }).map(Some)
            }
            Item::Var(decl) if decl.notes.span.contains(self.version) => {
                let ty = self.resolve(&decl.ty)?;
                self.ordinary(decl.name, Type::Var { name: decl.name, ty }).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn ordinary(&mut self, name: &'static str, ty: Type) -> Result<TypeId, TableError> {
        let id = self.push(ty);
        match self.named.insert((Space::Ordinary, name), id) {
            None => Ok(id),
            Some(_) => Err(TableError::Duplicate { name }),
        }
    }

    /// The slot of a tagged type: defined, or forward so far.
    fn tagged(&mut self, tag: Tag, name: &'static str) -> TypeId {
        if let Some(&id) = self.named.get(&(Space::Tagged(tag), name)) {
            return id;
        }
        let id = self.push(match tag {
            Tag::Enum => Type::Enum(Enum { name, size: 4, signed: false, values: Vec::new() }),
            _ => Type::Fwd { name, union: tag == Tag::Union },
        });
        self.named.insert((Space::Tagged(tag), name), id);
        id
    }

    /// The slot of a typedef; its target is `void` until it is defined.
    fn typedef(&mut self, name: &'static str) -> TypeId {
        if let Some(&id) = self.named.get(&(Space::Ordinary, name)) {
            return id;
        }
        let id = self.push(Type::Typedef { name, ty: TypeId::VOID });
        self.named.insert((Space::Ordinary, name), id);
        id
    }

    /// Fails if a typedef is used but was never defined.
    pub(crate) fn check_typedefs(&self) -> Result<(), TableError> {
        for ty in &self.types {
            if let Type::Typedef { name, ty: TypeId::VOID } = ty {
                return Err(TableError::UnknownTypedef { name });
            }
        }
        Ok(())
    }

    /// The id of a type as written.
    pub(crate) fn resolve(&mut self, expr: &Expr) -> Result<TypeId, TableError> {
        Ok(match expr {
            Expr::Void => TypeId::VOID,
            Expr::Int(name) | Expr::Name(name) => self.typedef(name),
            Expr::Tagged(tag, name) => self.tagged(*tag, name),
            Expr::Inline(tag, members) => {
                let body = self.composite("", *tag, members)?;
                self.push(body)
            }
            Expr::Ptr(target) => {
                let target = match &**target {
                    Expr::Func(ret, params) => self.proto(ret, params, false)?,
                    other => self.resolve(other)?,
                };
                self.derive(Type::Ptr(target))
            }
            Expr::Const(ty) => {
                let ty = self.resolve(ty)?;
                self.derive(Type::Const(ty))
            }
            Expr::Array(elem, len) => {
                let elem = self.resolve(elem)?;
                self.derive(Type::Array { elem, len: *len })
            }
            Expr::Func(ret, params) => self.proto(ret, params, true)?,
        })
    }

    fn proto(&mut self, ret: &Expr, params: &[Decl], named: bool) -> Result<TypeId, TableError> {
        let ret = self.resolve(ret)?;
        let params = params
            .iter()
            .map(|p| Ok(Param { name: if named { p.name } else { "" }, ty: self.resolve(&p.ty)? }))
            .collect::<Result<Vec<_>, TableError>>()?;
        Ok(self.derive(Type::Proto { ret, params }))
    }

    fn composite(&mut self, name: &'static str, tag: Tag, members: &[Decl]) -> Result<Type, TableError> {
        let version = self.version;
        let members = members
            .iter()
            .filter(|m| m.notes.span.contains(version))
            .map(|m| Ok(Member { name: m.name, ty: self.resolve(&m.ty)?, offset: 0, align: m.notes.align }))
            .collect::<Result<Vec<_>, TableError>>()?;
        // Size 0, alignment 0: not laid out yet.
        Ok(Type::Composite(Composite { name, union: tag == Tag::Union, members, size: 0, align: 0 }))
    }

    fn enumeration(&self, name: &'static str, items: &[EnumItem]) -> Type {
        let live: Vec<&EnumItem> = items.iter().filter(|item| item.span.contains(self.version)).collect();
        let signed = live.iter().any(|item| item.value < 0);
        let fits = |value: i128| {
            if signed { i32::try_from(value).is_ok() } else { u32::try_from(value).is_ok() }
        };
        let size = if live.iter().all(|item| fits(item.value)) { 4 } else { 8 };
        // Truncation keeps the two's complement bits of negative values.
        let values = live.iter().map(|item| (item.name, item.value as u64)).collect();
        Type::Enum(Enum { name, size, signed, values })
    }
}
