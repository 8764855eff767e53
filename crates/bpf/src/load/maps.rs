//! BTF-defined maps: `.maps`.

use super::elf::Elf;
use super::error::LoadError;
use super::object::variables;
use crate::btf::{Btf, Kind, TypeId};

/// UAPI numbers of the map types that the loader treats specially.
pub(super) mod map_type {
    pub(crate) const ARRAY: u32 = 2;
    pub(crate) const PERF_EVENT_ARRAY: u32 = 4;
    pub(crate) const ARRAY_OF_MAPS: u32 = 12;
    pub(crate) const HASH_OF_MAPS: u32 = 13;
    pub(crate) const RINGBUF: u32 = 27;
    pub(crate) const USER_RINGBUF: u32 = 31;
    pub(crate) const ARENA: u32 = 33;
}

/// A map's declaration.
#[derive(Clone, Debug, Default)]
pub(super) struct MapDecl {
    pub(super) name: String,
    /// Byte offset of its variable in `.maps`.
    pub(super) offset: u32,
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    pub(super) extra: u64,
    pub(super) key_type: Option<TypeId>,
    pub(super) value_type: Option<TypeId>,
    pub(super) inner: Option<Box<MapDecl>>,
    /// Byte offset of `values` in the variable.
    values_offset: Option<u32>,
    /// Initial inner maps, by slot: indices of maps.
    pub(super) inner_values: Vec<Option<usize>>,
}

/// Slots of an initialised map in maps.
const INNER_SLOTS_MAX: u64 = 1 << 16;

pub(super) fn read(object: &str, elf: &Elf, btf: &Btf) -> Result<Vec<MapDecl>, LoadError> {
    let Some(section) = elf.section(".maps") else { return Ok(Vec::new()) };
    let mut maps = Vec::new();
    for var in variables(elf, btf, section) {
        let bad = |what: String| LoadError::Map { object: object.to_owned(), map: var.name.clone(), what };
        let mut decl = MapDecl { name: var.name.clone(), offset: var.offset, ..MapDecl::default() };
        declare(&mut decl, btf, var.type_id, true).map_err(bad)?;
        maps.push((decl, var.size));
    }
    for r in &elf.sections[section].relocs {
        let sym = &elf.symbols[r.symbol];
        let Some(outer) = maps.iter().position(|(m, size)| {
            r.offset >= u64::from(m.offset) && r.offset < u64::from(m.offset) + u64::from(*size).max(8)
                || m.values_offset.is_some_and(|v| r.offset >= u64::from(m.offset) + u64::from(v))
                    && maps_after(&maps, m.offset, r.offset)
        }) else {
            let what = format!("a relocation at byte {} of .maps belongs to no map", r.offset);
            return Err(LoadError::Corrupt { object: object.to_owned(), what });
        };
        let bad = |what: String| LoadError::Map { object: object.to_owned(), map: maps[outer].0.name.clone(), what };
        let values =
            maps[outer].0.values_offset.ok_or_else(|| bad("it has initial values but no `values`".to_owned()))?;
        let first = u64::from(maps[outer].0.offset) + u64::from(values);
        let slot =
            r.offset.checked_sub(first).filter(|b| b % 8 == 0 && b / 8 < INNER_SLOTS_MAX).map(|b| (b / 8) as usize);
        let slot = slot.ok_or_else(|| bad("an initial value lies outside `values`".to_owned()))?;
        let inner = maps.iter().position(|(m, _)| sym.section == Some(section) && u64::from(m.offset) == sym.value);
        let inner = inner.ok_or_else(|| bad(format!("initial value {slot}, `{}`, is no map", sym.name)))?;
        let list = &mut maps[outer].0.inner_values;
        list.resize(list.len().max(slot + 1), None);
        list[slot] = Some(inner);
    }
    Ok(maps.into_iter().map(|(m, _)| m).collect())
}

/// Does no other map start between `from` and `at`?
fn maps_after(maps: &[(MapDecl, u32)], from: u32, at: u64) -> bool {
    !maps.iter().any(|(m, _)| m.offset > from && u64::from(m.offset) <= at)
}

fn declare(decl: &mut MapDecl, btf: &Btf, type_id: TypeId, outer: bool) -> Result<(), String> {
    let Some(members) = btf.resolved(type_id).members() else {
        return Err("its variable is no struct; declare maps with __uint() and __type()".to_owned());
    };
    for m in members {
        let name = btf.string(m.name);
        let number = || number(btf, m.type_id).ok_or_else(|| format!("`{name}` is no __uint()"));
        let number32 = || number().and_then(|n| u32::try_from(n).map_err(|_| format!("`{name}` exceeds 32 bits")));
        match name {
            "type" => decl.map_type = number32()?,
            "max_entries" => decl.max_entries = number32()?,
            "map_flags" => decl.flags = number32()?,
            "map_extra" => decl.extra = number()?,
            "numa_node" | "pinning" => {
                number()?;
            }
            "key_size" => same(&mut decl.key_size, number32()?, "key_size")?,
            "value_size" => same(&mut decl.value_size, number32()?, "value_size")?,
            "key" | "value" => {
                let Kind::Ptr(to) = *btf.resolved(m.type_id) else { return Err(format!("`{name}` is no __type()")) };
                let size = btf.size(to).ok_or_else(|| format!("the type of `{name}` has no size"))?;
                if name == "key" {
                    decl.key_type = Some(to);
                    same(&mut decl.key_size, size, "key")?;
                } else {
                    decl.value_type = Some(to);
                    same(&mut decl.value_size, size, "value")?;
                }
            }
            "values" if outer => {
                decl.values_offset = Some(m.bit_offset / 8);
                let Kind::Array { elem, .. } = *btf.resolved(m.type_id) else {
                    return Err("`values` is no __array()".to_owned());
                };
                let Kind::Ptr(to) = *btf.resolved(elem) else {
                    return Err("`values` is no array of pointers".to_owned());
                };
                same(&mut decl.value_size, 4, "values")?;
                if btf.resolved(to).members().is_some() {
                    let mut inner = MapDecl { name: format!("{}.inner", decl.name), ..MapDecl::default() };
                    declare(&mut inner, btf, to, false)?;
                    decl.inner = Some(Box::new(inner));
                }
            }
            other => return Err(format!("unknown attribute `{other}`")),
        }
    }
    if decl.map_type == 0 {
        return Err("it has no `type`".to_owned());
    }
    if outer && matches!(decl.map_type, map_type::ARRAY_OF_MAPS | map_type::HASH_OF_MAPS) {
        decl.key_size = if decl.key_size == 0 { 4 } else { decl.key_size };
        decl.value_size = 4;
    }
    Ok(())
}

fn same(slot: &mut u32, new: u32, name: &str) -> Result<(), String> {
    if *slot != 0 && *slot != new {
        return Err(format!("`{name}` says {new} bytes where another attribute says {slot}"));
    }
    *slot = new;
    Ok(())
}

/// `__uint(x, N)`: a pointer to an array of N; `__ulong(x, N)`: an enum of one enumerator.
fn number(btf: &Btf, id: TypeId) -> Option<u64> {
    match btf.resolved(id) {
        Kind::Ptr(to) => match btf.resolved(*to) {
            Kind::Array { len, .. } => Some(u64::from(*len)),
            _ => None,
        },
        k => match k.enumerators()? {
            [one] => Some(one.value),
            _ => None,
        },
    }
}
