//! Questions to a BTF: names, sizes, fields, printed types.

use super::types::{Btf, Kind, Linkage, Member, Type, TypeId};

/// Longest chain of modifiers, typedefs, arrays or nested composites that is followed.
pub(crate) const DEPTH_MAX: u32 = 32;

/// Members looked at in a search through anonymous ones.
const MEMBERS_MAX: u32 = 100_000;

/// A field found by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Offset from the start of the outermost type, in bytes, rounded down for bit fields.
    pub offset: u32,
    /// Offset in bits; `offset * 8` if not a bit field.
    pub bit_offset: u32,
    /// Bits of a bit field; 0: not a bit field.
    pub bit_size: u32,
    /// Bytes of its type.
    pub size: u32,
    /// Its type, as declared.
    pub type_id: TypeId,
}

/// A name without its `___flavor`, as libbpf cuts it: before the last `___` that has something on both sides and no
/// further underscore at its ends.
pub fn essential_name(name: &str) -> &str {
    let b = name.as_bytes();
    let mut i = b.len().saturating_sub(5) as isize;
    while i >= 0 {
        let at = i as usize;
        // x___y with x and y not an underscore
        if at + 4 < b.len() && b[at] != b'_' && &b[at + 1..at + 4] == b"___" && b[at + 4] != b'_' {
            return &name[..=at];
        }
        i -= 1;
    }
    name
}

impl Btf {
    /// Number of types, void included.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Never: void is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A type; void for an id out of range.
    pub fn ty(&self, id: TypeId) -> &Type {
        self.types.get(id as usize).unwrap_or(&self.types[0])
    }

    /// All types with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, t)| (i as TypeId, t))
    }

    /// The string at an offset; empty when there is none.
    pub fn string(&self, off: u32) -> &str {
        let rest = self.strings.get(off as usize..).unwrap_or("");
        let len = rest.bytes().position(|b| b == 0).unwrap_or(rest.len());
        &rest[..len]
    }

    /// A type's name; empty for anonymous ones.
    pub fn name(&self, id: TypeId) -> &str {
        self.string(self.ty(id).name)
    }

    /// Behind const, volatile, restrict, type tags and typedefs.
    pub fn resolve(&self, mut id: TypeId) -> TypeId {
        for _ in 0..DEPTH_MAX {
            match self.ty(id).kind {
                Kind::Typedef(to) | Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) | Kind::TypeTag(to) => {
                    id = to;
                }
                _ => return id,
            }
        }
        0
    }

    /// Kind behind modifiers and typedefs.
    pub fn resolved(&self, id: TypeId) -> &Kind {
        &self.ty(self.resolve(id)).kind
    }

    /// Size in bytes; `None` for void, functions and forward declarations, or when it does not fit 32 bits.
    pub fn size(&self, mut id: TypeId) -> Option<u32> {
        let mut count: u32 = 1;
        for _ in 0..DEPTH_MAX {
            let one = match &self.ty(id).kind {
                Kind::Int { size, .. }
                | Kind::Struct { size, .. }
                | Kind::Union { size, .. }
                | Kind::Enum { size, .. }
                | Kind::Enum64 { size, .. }
                | Kind::Datasec { size, .. }
                | Kind::Float { size } => *size,
                Kind::Ptr(_) => 8,
                Kind::Array { elem, len, .. } => {
                    count = count.checked_mul(*len)?;
                    id = *elem;
                    continue;
                }
                Kind::Typedef(to) | Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) | Kind::TypeTag(to) => {
                    id = *to;
                    continue;
                }
                Kind::Var { type_id, .. } => {
                    id = *type_id;
                    continue;
                }
                _ => return None,
            };
            return one.checked_mul(count);
        }
        None
    }

    /// Alignment in bytes.
    pub fn align(&self, id: TypeId) -> u32 {
        self.align_at(id, DEPTH_MAX)
    }

    fn align_at(&self, id: TypeId, depth: u32) -> u32 {
        if depth == 0 {
            return 1;
        }
        match self.resolved(id) {
            Kind::Int { size, .. } | Kind::Enum { size, .. } | Kind::Enum64 { size, .. } | Kind::Float { size } => {
                (*size).clamp(1, 8)
            }
            Kind::Ptr(_) => 8,
            Kind::Array { elem, .. } => self.align_at(*elem, depth - 1),
            Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                // one level only for the widest members: bounded work on hostile nesting
                members.iter().take(64).map(|m| self.align_at(m.type_id, depth.min(4) - 1)).max().unwrap_or(1)
            }
            _ => 1,
        }
    }

    /// Is it a function pointer (behind typedefs)?
    pub fn is_func_ptr(&self, id: TypeId) -> bool {
        matches!(self.resolved(id), Kind::Ptr(to) if matches!(self.resolved(*to), Kind::FuncProto { .. }))
    }

    /// First type of this name that `want` accepts.
    pub fn find(&self, name: &str, want: impl Fn(&Kind) -> bool) -> Option<TypeId> {
        self.iter().find(|(_, t)| want(&t.kind) && self.string(t.name) == name).map(|(id, _)| id)
    }

    /// Follow a path such as `scx.dsq_vtime` or `values[2].x` from a type. Anonymous members are looked through.
    pub fn field(&self, root: TypeId, path: &str) -> Option<Field> {
        let size = self.size(root)?;
        let mut at = Field { offset: 0, bit_offset: 0, bit_size: 0, size, type_id: root };
        for part in path.split('.').filter(|p| !p.is_empty()) {
            let (name, indices) = part.split_once('[').map_or((part, ""), |(n, _)| (n, &part[n.len()..]));
            if !name.is_empty() {
                let (m, base) = self.member(at.type_id, name)?;
                at.bit_offset = at.bit_offset.checked_add(base)?;
                at.bit_size = m.bit_size;
                at.type_id = m.type_id;
            }
            for index in indices.split('[').skip(1) {
                let index: u32 = index.strip_suffix(']')?.trim().parse().ok()?;
                let Kind::Array { elem, len, .. } = *self.resolved(at.type_id) else { return None };
                if index >= len {
                    return None;
                }
                let bits = self.size(elem)?.checked_mul(index)?.checked_mul(8)?;
                at.bit_offset = at.bit_offset.checked_add(bits)?;
                at.type_id = elem;
            }
        }
        at.offset = at.bit_offset / 8;
        at.size = self.size(at.type_id)?;
        Some(at)
    }

    /// A member by name, also inside anonymous members, and its bit offset in the outer type.
    pub fn member(&self, id: TypeId, name: &str) -> Option<(Member, u32)> {
        self.member_at(id, name, 8, &mut { MEMBERS_MAX })
    }

    fn member_at(&self, id: TypeId, name: &str, depth: u32, budget: &mut u32) -> Option<(Member, u32)> {
        let members = self.resolved(id).members()?;
        *budget = budget.checked_sub(members.len() as u32)?;
        if let Some(m) = members.iter().find(|m| m.name != 0 && self.string(m.name) == name) {
            return Some((*m, m.bit_offset));
        }
        if depth == 0 {
            return None;
        }
        members.iter().filter(|m| m.name == 0).find_map(|m| {
            let (inner, off) = self.member_at(m.type_id, name, depth - 1, budget)?;
            Some((inner, off.checked_add(m.bit_offset)?))
        })
    }

    /// A type as C would name it, such as `struct task_struct *`.
    pub fn type_name(&self, id: TypeId) -> String {
        self.type_name_at(id, DEPTH_MAX)
    }

    fn type_name_at(&self, id: TypeId, depth: u32) -> String {
        if depth == 0 {
            return "…".to_owned();
        }
        let ty = self.ty(id);
        let name = self.string(ty.name);
        let tagged = |word: &str| if name.is_empty() { format!("{word} {{…}}") } else { format!("{word} {name}") };
        match &ty.kind {
            Kind::Void => "void".to_owned(),
            Kind::Struct { .. } | Kind::Fwd { is_union: false } => tagged("struct"),
            Kind::Union { .. } | Kind::Fwd { is_union: true } => tagged("union"),
            Kind::Enum { .. } | Kind::Enum64 { .. } => tagged("enum"),
            Kind::Ptr(to) => match self.ty(*to).kind {
                Kind::FuncProto { .. } => self.type_name_at(*to, depth - 1).replacen(" (", " (*)(", 1),
                _ => {
                    let inner = self.type_name_at(*to, depth - 1);
                    format!("{inner}{}", if inner.ends_with('*') { "*" } else { " *" })
                }
            },
            Kind::Array { elem, len, .. } => format!("{}[{len}]", self.type_name_at(*elem, depth - 1)),
            Kind::Const(to) => format!("const {}", self.type_name_at(*to, depth - 1)),
            Kind::Volatile(to) => format!("volatile {}", self.type_name_at(*to, depth - 1)),
            Kind::Restrict(to) | Kind::TypeTag(to) => self.type_name_at(*to, depth - 1),
            Kind::FuncProto { ret, params } => {
                let params: Vec<String> =
                    params
                        .iter()
                        .take(16)
                        .map(|p| {
                            if p.type_id == 0 {
                                "...".to_owned()
                            } else {
                                self.type_name_at(p.type_id, depth.min(4) - 1)
                            }
                        })
                        .collect();
                format!("{} ({})", self.type_name_at(*ret, depth.min(4) - 1), params.join(", "))
            }
            Kind::Var { type_id, .. } => self.type_name_at(*type_id, depth - 1),
            _ => name.to_owned(),
        }
    }

    /// Linkage of a variable or function.
    pub fn linkage(&self, id: TypeId) -> Option<Linkage> {
        match self.ty(id).kind {
            Kind::Var { linkage, .. } | Kind::Func { linkage, .. } => Some(linkage),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::essential_name;

    #[test]
    fn flavors_are_cut_as_libbpf_cuts_them() {
        for (name, expect) in [
            ("task_struct", "task_struct"),
            ("task_struct___old", "task_struct"),
            ("f___v2___compat", "f___v2"),
            ("___x", "___x"),
            ("a____b", "a____b"),
            ("x___", "x___"),
            ("__SCX_X", "__SCX_X"),
        ] {
            assert_eq!(essential_name(name), expect, "{name}");
        }
    }
}
