//! Where things are: sizes and offsets by C's rules for LP64, and flat maps from offsets back to fields.
//!
//! The modelled kernel's structs are compact: they hold the fields that schedulers can reach, not all of Linux's, so
//! offsets differ from any real build. Programs learn them from the modelled BTF, as they do on a real kernel.

use std::collections::BTreeMap;

use crate::table::TableError;
use crate::types::{Composite, Type, TypeId, TypeTable};

/// Arrays of structs are flattened element by element, up to this many; so are flexible ones, past the struct's end.
const FLATTEN_MAX: u32 = 16;

/// What a scalar field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Integer, enum or `bool`; whether it is signed.
    Int {
        /// Sign-extend on a widening load.
        signed: bool,
    },
    /// Pointer.
    Ptr,
}

/// A scalar field, or array of scalars, at its place in an outermost struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Dotted path from the outermost struct, e.g. `scx.dsq_vtime`, `numbers[0].nr`; an array of scalars has no index.
    pub path: String,
    /// Offset in bytes.
    pub offset: u32,
    /// Size of one element in bytes.
    pub size: u32,
    /// Number of elements: 1 for a plain field, 0 for a flexible array.
    pub count: u32,
    /// Type of one element.
    pub ty: TypeId,
    /// What it holds.
    pub scalar: Scalar,
}

/// A named field found by [`field`](crate::KernelModel::field).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Offset in bytes from the start of the outermost struct.
    pub offset: u32,
    /// Size in bytes; 0 for a flexible array.
    pub size: u32,
    /// Type of the field.
    pub ty: TypeId,
}

/// The answer to "which field is at this offset?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafHit<'a> {
    /// Index in [`Layout::leaves`]; stable for a kernel version, so adapters may index their own tables by it.
    pub index: usize,
    /// The field.
    pub leaf: &'a Leaf,
    /// Element of an array, 0 for a plain field.
    pub element: u64,
    /// First byte of the access within that element.
    pub byte: u32,
}

/// A struct or union, flattened.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The type.
    pub ty: TypeId,
    /// Tag, or typedef name of an anonymous struct.
    pub name: &'static str,
    /// Size in bytes.
    pub size: u32,
    /// Scalar fields by offset; those of a union keep the order of the declaration.
    pub leaves: Vec<Leaf>,
    /// For each byte, 1 + index of the first leaf that covers it; 0 for padding.
    at: Vec<u16>,
}

impl Layout {
    /// The field that an access of `size` bytes at `offset` lies in. In a union, one of exactly that place and size is
    /// preferred. `None` for padding, beyond the end, or an access across fields.
    pub fn field_at(&self, offset: u32, size: u32) -> Option<LeafHit<'_>> {
        let first = match self.at.get(offset as usize) {
            Some(0) => return None,
            Some(&slot) => usize::from(slot) - 1,
            None => self.leaves.iter().rposition(|leaf| leaf.count == 0 && leaf.offset <= offset)?,
        };
        let rest = || self.leaves[first..].iter().enumerate().take_while(|(_, leaf)| leaf.offset <= offset);
        let (step, leaf) = rest()
            .find(|(_, leaf)| leaf.offset == offset && leaf.size == size)
            .or_else(|| rest().find(|(_, leaf)| leaf.covers(offset, size)))?;
        let within = offset - leaf.offset;
        Some(LeafHit { index: first + step, leaf, element: u64::from(within / leaf.size), byte: within % leaf.size })
    }

    /// Index of the leaf with that path.
    pub fn leaf_index(&self, path: &str) -> Option<usize> {
        self.leaves.iter().position(|leaf| leaf.path == path)
    }
}

impl Leaf {
    fn covers(&self, offset: u32, size: u32) -> bool {
        let end = u64::from(offset) + u64::from(size);
        offset >= self.offset
            && (self.count == 0 || end <= u64::from(self.offset) + u64::from(self.size) * u64::from(self.count))
    }
}

impl TypeTable {
    /// Size in bytes; `None` for `void`, functions and incomplete types. A flexible array has size 0.
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        match self.get(id) {
            Type::Int { size, .. } => Some(*size),
            Type::Ptr(_) => Some(8),
            Type::Array { elem, len } => self.size_of(*elem)?.checked_mul(*len),
            Type::Composite(composite) => Some(composite.size),
            Type::Enum(e) => Some(e.size),
            Type::Typedef { ty, .. } | Type::Const(ty) | Type::Var { ty, .. } => self.size_of(*ty),
            _ => None,
        }
    }

    fn align_of(&self, id: TypeId) -> u32 {
        match self.get(id) {
            Type::Array { elem, .. } => self.align_of(*elem),
            Type::Composite(composite) => composite.align,
            Type::Typedef { ty, .. } | Type::Const(ty) => self.align_of(*ty),
            _ => self.size_of(id).unwrap_or(1),
        }
    }

    /// Gives every struct and union its size and its members their offsets.
    pub(crate) fn lay_out(&mut self) -> Result<(), TableError> {
        for i in 0..self.len() as u32 {
            self.lay_out_one(TypeId(i), 0)?;
        }
        Ok(())
    }

    fn lay_out_one(&mut self, id: TypeId, depth: u32) -> Result<(), TableError> {
        let mut composite = match self.get(id) {
            Type::Composite(c) if c.align == 0 => c.clone(),
            Type::Array { elem, .. } => return self.lay_out_one(*elem, depth),
            Type::Typedef { ty, .. } | Type::Const(ty) => return self.lay_out_one(*ty, depth),
            _ => return Ok(()),
        };
        if depth > 64 {
            return Err(TableError::Recursive { name: composite.name });
        }
        let (mut end, mut align) = (0u32, 1);
        for member in &mut composite.members {
            self.lay_out_one(member.ty, depth + 1)?;
            let incomplete = TableError::Incomplete { owner: composite.name, member: member.name };
            let size = self.size_of(member.ty).ok_or(incomplete)?;
            let member_align = self.align_of(member.ty).max(member.align);
            align = align.max(member_align);
            member.offset = if composite.union { 0 } else { end.next_multiple_of(member_align) };
            end = end.max(member.offset + size);
        }
        composite.size = end.next_multiple_of(align);
        composite.align = align;
        *self.get_mut(id) = Type::Composite(composite);
        Ok(())
    }

    /// The field at a dotted path such as `scx.flags`, `pids[1]` or `thread_node.next`, below `owner`.
    pub(crate) fn field(&self, owner: TypeId, path: &str) -> Option<FieldInfo> {
        let mut here = FieldInfo { offset: 0, size: self.size_of(owner)?, ty: owner };
        for part in path.split('.') {
            let (name, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
            let Type::Composite(composite) = self.get(self.strip(here.ty)) else {
                return None;
            };
            let (ty, offset) = self.member(composite, name)?;
            here = FieldInfo { offset: here.offset + offset, size: self.size_of(ty)?, ty };
            for index in indexes.split_terminator(']').map(|text| text.trim_start_matches('[')) {
                let Type::Array { elem, .. } = self.get(self.strip(here.ty)) else {
                    return None;
                };
                let size = self.size_of(*elem)?;
                let offset = index.parse::<u32>().ok()?.checked_mul(size)?.checked_add(here.offset)?;
                here = FieldInfo { offset, size, ty: *elem };
            }
        }
        Some(here)
    }

    /// A member by name, looking into anonymous structs and unions.
    fn member(&self, composite: &Composite, name: &str) -> Option<(TypeId, u32)> {
        composite.members.iter().find_map(|member| {
            if !member.name.is_empty() {
                return (member.name == name).then_some((member.ty, member.offset));
            }
            let Type::Composite(inner) = self.get(self.strip(member.ty)) else {
                return None;
            };
            self.member(inner, name).map(|(ty, offset)| (ty, offset + member.offset))
        })
    }

    /// Flattens every struct and union with a name.
    pub(crate) fn layouts(&self) -> BTreeMap<TypeId, Layout> {
        let mut layouts = BTreeMap::new();
        for (id, ty) in self.iter() {
            let (id, name) = match ty {
                Type::Composite(c) if !c.name.is_empty() => (id, c.name),
                Type::Typedef { name, ty } => match self.get(*ty) {
                    Type::Composite(c) if c.name.is_empty() => (*ty, *name),
                    _ => continue,
                },
                _ => continue,
            };
            layouts.insert(id, self.layout(id, name));
        }
        layouts
    }

    fn layout(&self, id: TypeId, name: &'static str) -> Layout {
        let size = self.size_of(id).unwrap_or(0);
        let mut leaves = Vec::new();
        self.flatten(id, 0, &mut String::new(), &mut leaves);
        leaves.sort_by_key(|leaf| leaf.offset);
        let end = leaves.iter().map(|leaf| leaf.offset + leaf.size * leaf.count).max().unwrap_or(0);
        let mut at = vec![0u16; end.max(size) as usize];
        for (index, leaf) in leaves.iter().enumerate() {
            let end = leaf.offset + leaf.size * leaf.count;
            for slot in &mut at[leaf.offset as usize..end as usize] {
                if *slot == 0 {
                    *slot = index as u16 + 1;
                }
            }
        }
        Layout { ty: id, name, size, leaves, at }
    }

    fn flatten(&self, id: TypeId, offset: u32, path: &mut String, leaves: &mut Vec<Leaf>) {
        let stripped = self.strip(id);
        match self.get(stripped) {
            Type::Composite(composite) => {
                for member in &composite.members {
                    let len = path.len();
                    if !member.name.is_empty() {
                        if len > 0 {
                            path.push('.');
                        }
                        path.push_str(member.name);
                    }
                    self.flatten(member.ty, offset + member.offset, path, leaves);
                    path.truncate(len);
                }
            }
            Type::Array { elem, len } => self.flatten_array(*elem, *len, offset, path, leaves),
            _ => self.push_leaf(id, 1, offset, path, leaves),
        }
    }

    fn flatten_array(&self, elem: TypeId, len: u32, offset: u32, path: &mut String, leaves: &mut Vec<Leaf>) {
        let scalar = self.scalar(elem).is_some();
        if scalar {
            return self.push_leaf(elem, len, offset, path, leaves);
        }
        let size = self.size_of(elem).unwrap_or(0);
        let shown = if len == 0 { FLATTEN_MAX } else { len.min(FLATTEN_MAX) };
        for i in 0..shown {
            let keep = path.len();
            path.push_str(&format!("[{i}]"));
            self.flatten(elem, offset + i * size, path, leaves);
            path.truncate(keep);
        }
    }

    fn push_leaf(&self, ty: TypeId, count: u32, offset: u32, path: &str, leaves: &mut Vec<Leaf>) {
        if let (Some(scalar), Some(size)) = (self.scalar(ty), self.size_of(ty)) {
            leaves.push(Leaf { path: path.to_owned(), offset, size, count, ty, scalar });
        }
    }

    fn scalar(&self, id: TypeId) -> Option<Scalar> {
        match self.get(self.strip(id)) {
            Type::Int { signed, .. } => Some(Scalar::Int { signed: *signed }),
            Type::Enum(e) => Some(Scalar::Int { signed: e.signed }),
            Type::Ptr(_) => Some(Scalar::Ptr),
            _ => None,
        }
    }
}
