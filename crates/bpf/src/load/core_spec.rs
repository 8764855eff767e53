//! CO-RE accesses: a local one, from its record; the same one in a kernel's type.
//!
//! A raw access is a list of member and element numbers. Only its turning points carry over to another kernel: named
//! members and array elements; anonymous structs on the way may differ.

use crate::btf::CoreRelocKind as K;
use crate::btf::{Btf, CoreRecord, Kind, TypeId, essential_name, types_compatible, types_match};

/// Longest access.
const SPEC_MAX: usize = 64;
/// Members looked at in a search through anonymous ones.
const MEMBERS_MAX: u32 = 100_000;

/// A turning point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The composite whose member it is, or the element type of an array (or of the root pointer).
    pub(super) type_id: TypeId,
    /// Member or element number.
    pub(super) index: u32,
    /// Named member or enumerator; otherwise an array element.
    pub(super) named: bool,
}

/// An access in one BTF.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) root: TypeId,
    pub(super) kind: K,
    pub(super) steps: Vec<Step>,
    pub(super) bit_offset: u32,
    raw_len: usize,
}

impl Spec {
    fn new(root: TypeId, kind: K) -> Spec {
        Spec { root, kind, steps: Vec::new(), bit_offset: 0, raw_len: 0 }
    }

    fn advance(&mut self, bits: Option<u32>) -> Result<(), String> {
        let sum = bits.and_then(|b| self.bit_offset.checked_add(b));
        self.bit_offset = sum.ok_or("the access lies beyond 512 MiB")?;
        Ok(())
    }

    /// `struct task_struct.scx.weight`, `enum x.Y`, or a type.
    pub(super) fn describe(&self, btf: &Btf) -> String {
        let mut out = btf.type_name(self.root);
        for (i, s) in self.steps.iter().enumerate() {
            let ty = &btf.ty(s.type_id).kind;
            let name = match (ty.members(), ty.enumerators()) {
                (Some(m), _) if s.named => m.get(s.index as usize).map(|m| m.name),
                (_, Some(v)) if s.named => v.get(s.index as usize).map(|v| v.name),
                _ => None,
            };
            match name {
                Some(name) => {
                    out.push('.');
                    out.push_str(btf.string(name));
                }
                None if i == 0 && s.index == 0 => {}
                None => out.push_str(&format!("[{}]", s.index)),
            }
        }
        out
    }
}

fn element_bits(btf: &Btf, id: TypeId, index: u32) -> Option<u32> {
    btf.size(id)?.checked_mul(8)?.checked_mul(index)
}

/// Is this array of length 0 and the last member of its composite, so that any index is meant?
fn is_flexible(btf: &Btf, last: Option<&Step>, len: u32) -> bool {
    let Some(step) = last.filter(|s| s.named && len == 0) else { return false };
    btf.ty(step.type_id).kind.members().is_some_and(|m| step.index as usize + 1 == m.len())
}

/// The local access of a record. Rule: libbpf [bpf_core_parse_spec].
pub(super) fn local(btf: &Btf, rec: &CoreRecord) -> Result<Spec, String> {
    let text = btf.string(rec.access);
    let mut spec = Spec::new(rec.type_id, rec.kind);
    if rec.kind.is_type() {
        return if text == "0" { Ok(spec) } else { Err(format!("access string `{text}` of a type")) };
    }
    let raw: Result<Vec<u32>, _> = text.split(':').take(SPEC_MAX + 1).map(str::parse::<u32>).collect();
    let raw = raw.ok().filter(|r| r.len() <= SPEC_MAX).ok_or_else(|| format!("access string `{text}`"))?;
    spec.raw_len = raw.len();
    let first = raw[0];
    let mut id = btf.resolve(rec.type_id);
    if rec.kind.is_enumval() {
        let values = btf.ty(id).kind.enumerators().ok_or("an enumerator of something that is no enum")?;
        if raw.len() != 1 || first as usize >= values.len() {
            return Err(format!("access string `{text}` of an enum"));
        }
        spec.steps.push(Step { type_id: id, index: first, named: true });
        return Ok(spec);
    }
    spec.steps.push(Step { type_id: id, index: first, named: false });
    spec.advance(if first == 0 { Some(0) } else { element_bits(btf, id, first) })?;
    for &index in &raw[1..] {
        id = btf.resolve(id);
        match &btf.ty(id).kind {
            Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                let m =
                    members.get(index as usize).ok_or_else(|| format!("access string `{text}`: no member {index}"))?;
                spec.advance(Some(m.bit_offset))?;
                if m.name != 0 {
                    spec.steps.push(Step { type_id: id, index, named: true });
                }
                id = m.type_id;
            }
            Kind::Array { elem, len, .. } => {
                if index >= *len && !is_flexible(btf, spec.steps.last(), *len) {
                    return Err(format!("access string `{text}`: no element {index}"));
                }
                id = btf.resolve(*elem);
                spec.steps.push(Step { type_id: id, index, named: false });
                spec.advance(element_bits(btf, id, index))?;
            }
            other => return Err(format!("access string `{text}` goes into a {}", other.word())),
        }
    }
    Ok(spec)
}

/// The same access from a kernel's candidate type; `None`: the candidate does not have it.
/// Rule: libbpf [bpf_core_spec_match].
pub(super) fn find(local_btf: &Btf, spec: &Spec, btf: &Btf, root: TypeId) -> Result<Option<Spec>, String> {
    let mut out = Spec::new(root, spec.kind);
    if spec.kind.is_type() {
        let same = if spec.kind == K::TypeMatches { types_match } else { types_compatible };
        return Ok(same(local_btf, spec.root, btf, root).then_some(out));
    }
    let mut id = btf.resolve(root);
    if spec.kind.is_enumval() {
        let Some(values) = btf.ty(id).kind.enumerators() else { return Ok(None) };
        let step = spec.steps[0];
        let name = local_btf.ty(step.type_id).kind.enumerators().and_then(|v| v.get(step.index as usize));
        let name = essential_name(local_btf.string(name.map_or(0, |v| v.name)));
        let at = values.iter().position(|v| essential_name(btf.string(v.name)) == name);
        return Ok(at.map(|at| {
            out.steps.push(Step { type_id: id, index: at as u32, named: true });
            out
        }));
    }
    for (i, step) in spec.steps.iter().enumerate() {
        id = btf.resolve(id);
        if step.named {
            match member(local_btf, step, btf, id, &mut out, &mut { MEMBERS_MAX })? {
                Some(next) => id = next,
                None => return Ok(None),
            }
            continue;
        }
        if i > 0 {
            let Kind::Array { elem, len, .. } = btf.ty(id).kind else { return Ok(None) };
            if step.index >= len && !is_flexible(btf, out.steps.last(), len) {
                return Ok(None);
            }
            id = btf.resolve(elem);
        }
        out.steps.push(Step { type_id: id, index: step.index, named: false });
        out.raw_len += 1;
        let bits = if step.index == 0 { Some(0) } else { element_bits(btf, id, step.index) };
        out.advance(bits)?;
    }
    Ok(Some(out))
}

/// Find a named member in a kernel's composite, through anonymous members. Rule: libbpf [bpf_core_match_member].
fn member(
    local_btf: &Btf,
    step: &Step,
    btf: &Btf,
    id: TypeId,
    out: &mut Spec,
    budget: &mut u32,
) -> Result<Option<TypeId>, String> {
    let id = btf.resolve(id);
    let Some(members) = btf.ty(id).kind.members() else { return Ok(None) };
    let ours = local_btf.ty(step.type_id).kind.members().and_then(|m| m.get(step.index as usize));
    let Some(ours) = ours else { return Ok(None) };
    let name = local_btf.string(ours.name);
    if out.raw_len >= SPEC_MAX {
        return Err("the access is nested too deeply".to_owned());
    }
    for (i, m) in members.iter().enumerate() {
        *budget = budget.checked_sub(1).ok_or("too many anonymous members")?;
        let before = out.bit_offset;
        if m.name != 0 && btf.string(m.name) != name {
            continue;
        }
        out.advance(Some(m.bit_offset))?;
        out.raw_len += 1;
        if m.name == 0 {
            if let Some(found) = member(local_btf, step, btf, m.type_id, out, budget)? {
                return Ok(Some(found));
            }
        } else {
            if !fields_agree(local_btf, ours.type_id, btf, m.type_id) {
                return Ok(None);
            }
            out.steps.push(Step { type_id: id, index: i as u32, named: true });
            return Ok(Some(m.type_id));
        }
        out.bit_offset = before;
        out.raw_len -= 1;
    }
    Ok(None)
}

/// May a local field stand for a kernel's? Rule: libbpf [bpf_core_fields_are_compat].
fn fields_agree(local: &Btf, mut l: TypeId, btf: &Btf, mut t: TypeId) -> bool {
    for _ in 0..32 {
        l = local.resolve(l);
        t = btf.resolve(t);
        let names = || {
            let (a, b) = (essential_name(local.name(l)), essential_name(btf.name(t)));
            a.is_empty() || b.is_empty() || a == b
        };
        match (&local.ty(l).kind, &btf.ty(t).kind) {
            (Kind::Struct { .. } | Kind::Union { .. }, Kind::Struct { .. } | Kind::Union { .. }) => return true,
            (Kind::Ptr(_), Kind::Ptr(_)) | (Kind::Float { .. }, Kind::Float { .. }) => return true,
            (Kind::Fwd { .. }, Kind::Fwd { .. }) => return names(),
            (Kind::Enum { .. } | Kind::Enum64 { .. }, Kind::Enum { .. } | Kind::Enum64 { .. }) => return names(),
            (Kind::Int { encoding: a, .. }, Kind::Int { encoding: b, .. }) => {
                return a.bit_offset == 0 && b.bit_offset == 0;
            }
            (Kind::Array { elem: a, .. }, Kind::Array { elem: b, .. }) => (l, t) = (*a, *b),
            _ => return false,
        }
    }
    false
}
