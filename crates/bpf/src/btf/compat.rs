//! When a local type stands for a kernel's: the rules by which libbpf compares them.

use super::query::essential_name;
use super::types::{Btf, EnumValue, Kind, TypeId};

/// Nesting of prototypes in prototypes, and length of pointer chains.
const DEPTH_MAX: u32 = 32;

fn kinds_agree(a: &Kind, b: &Kind) -> bool {
    let any_enum = |k: &Kind| matches!(k, Kind::Enum { .. } | Kind::Enum64 { .. });
    if any_enum(a) && any_enum(b) {
        return true;
    }
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Do two types have the same shape? Names, members and sizes do not matter; kinds do, also behind pointers, in arrays
/// and in the parameters and results of prototypes. Used for existence of types and for kernel functions.
/// Rule: libbpf [bpf_core_types_are_compat].
pub fn types_compatible(local: &Btf, local_id: TypeId, target: &Btf, target_id: TypeId) -> bool {
    compatible(local, local_id, target, target_id, DEPTH_MAX)
}

fn compatible(local: &Btf, mut l: TypeId, target: &Btf, mut t: TypeId, level: u32) -> bool {
    if level == 0 {
        return false;
    }
    for _ in 0..DEPTH_MAX {
        l = local.resolve(l);
        t = target.resolve(t);
        let (lk, tk) = (&local.ty(l).kind, &target.ty(t).kind);
        if !kinds_agree(lk, tk) {
            return false;
        }
        match (lk, tk) {
            (Kind::Int { encoding: a, .. }, Kind::Int { encoding: b, .. }) => {
                return a.bit_offset == 0 && b.bit_offset == 0;
            }
            (Kind::Ptr(a), Kind::Ptr(b)) => (l, t) = (*a, *b),
            (Kind::Array { elem: a, .. }, Kind::Array { elem: b, .. }) => (l, t) = (*a, *b),
            (Kind::FuncProto { ret: a, params: ap }, Kind::FuncProto { ret: b, params: bp }) => {
                let same = ap.len() == bp.len()
                    && ap
                        .iter()
                        .zip(bp)
                        .all(|(a, b)| compatible(local, a.type_id, target, b.type_id, level.min(6) - 1));
                if !same {
                    return false;
                }
                (l, t) = (*a, *b);
            }
            (
                Kind::Void
                | Kind::Struct { .. }
                | Kind::Union { .. }
                | Kind::Enum { .. }
                | Kind::Enum64 { .. }
                | Kind::Fwd { .. },
                _,
            ) => return true,
            _ => return false,
        }
    }
    false
}

fn names_match(local: &Btf, l: u32, target: &Btf, t: u32) -> bool {
    let (l, t) = (local.string(l), target.string(t));
    if t.is_empty() { l.is_empty() } else { essential_name(l) == essential_name(t) }
}

/// Do two types match, member by member? Every local member and enumerator must exist in the target, with matching
/// types; behind pointers only names and kinds count. Rule: libbpf [bpf_core_types_match].
pub fn types_match(local: &Btf, local_id: TypeId, target: &Btf, target_id: TypeId) -> bool {
    let mut budget = 100_000;
    matches(local, local_id, target, target_id, false, DEPTH_MAX, &mut budget)
}

fn matches(
    local: &Btf,
    mut l: TypeId,
    target: &Btf,
    mut t: TypeId,
    mut behind_ptr: bool,
    level: u32,
    budget: &mut u32,
) -> bool {
    if level == 0 {
        return false;
    }
    for _ in 0..DEPTH_MAX {
        if *budget == 0 {
            return false;
        }
        *budget -= 1;
        l = local.resolve(l);
        t = target.resolve(t);
        let (lt, tt) = (local.ty(l), target.ty(t));
        if !names_match(local, lt.name, target, tt.name) {
            return false;
        }
        match (&lt.kind, &tt.kind) {
            (Kind::Void, Kind::Void) => return true,
            (Kind::Fwd { is_union: a }, Kind::Fwd { is_union: b }) => return a == b,
            (Kind::Fwd { is_union }, Kind::Struct { .. }) => return behind_ptr && !is_union,
            (Kind::Fwd { is_union }, Kind::Union { .. }) => return behind_ptr && *is_union,
            (Kind::Struct { .. }, Kind::Fwd { is_union }) => return behind_ptr && !is_union,
            (Kind::Union { .. }, Kind::Fwd { is_union }) => return behind_ptr && *is_union,
            (
                Kind::Enum { size: a, values: av, .. } | Kind::Enum64 { size: a, values: av, .. },
                Kind::Enum { size: b, values: bv, .. } | Kind::Enum64 { size: b, values: bv, .. },
            ) => return a == b && enums_match(local, av, target, bv),
            (Kind::Struct { members: a, .. }, Kind::Struct { members: b, .. })
            | (Kind::Union { members: a, .. }, Kind::Union { members: b, .. }) => {
                if behind_ptr {
                    return true;
                }
                return a.len() <= b.len()
                    && a.iter().all(|m| {
                        b.iter()
                            .filter(|n| names_match(local, m.name, target, n.name))
                            .any(|n| matches(local, m.type_id, target, n.type_id, behind_ptr, level - 1, budget))
                    });
            }
            (Kind::Int { size: a, encoding: x }, Kind::Int { size: b, encoding: y }) => {
                return a == b && x.signed == y.signed;
            }
            (Kind::Ptr(a), Kind::Ptr(b)) => {
                behind_ptr = true;
                (l, t) = (*a, *b);
            }
            (Kind::Array { elem: a, len: x, .. }, Kind::Array { elem: b, len: y, .. }) => {
                if x != y {
                    return false;
                }
                (l, t) = (*a, *b);
            }
            (Kind::FuncProto { ret: a, params: ap }, Kind::FuncProto { ret: b, params: bp }) => {
                let same = ap.len() == bp.len()
                    && ap
                        .iter()
                        .zip(bp)
                        .all(|(x, y)| matches(local, x.type_id, target, y.type_id, behind_ptr, level - 1, budget));
                if !same {
                    return false;
                }
                (l, t) = (*a, *b);
            }
            _ => return false,
        }
    }
    false
}

fn enums_match(local: &Btf, l: &[EnumValue], target: &Btf, t: &[EnumValue]) -> bool {
    l.len() <= t.len() && l.iter().all(|a| t.iter().any(|b| names_match(local, a.name, target, b.name)))
}
