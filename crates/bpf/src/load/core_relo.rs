//! CO-RE relocations: the value that a record gets on a kernel.

use std::collections::BTreeMap;

use super::core_spec::{self, Spec};
use crate::btf::CoreRelocKind as K;
use crate::btf::{Btf, CoreRecord, KernelBtf, Kind, TypeId, essential_name};

/// What to write into the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The value by the object's own types, which the instruction holds as compiled.
    pub(super) orig: u64,
    /// The value on this kernel.
    pub(super) value: u64,
    /// The kernel lacks it: the instruction must not run.
    pub(super) poison: bool,
    /// The instruction must hold `orig`.
    pub(super) validate: bool,
    /// Bytes of the field, here and on this kernel (offsets of whole fields only).
    pub(super) size: Option<(u32, u32)>,
    /// The sizes differ and the field is not something that can be read with another width.
    pub(super) width_fixed: bool,
}

/// One side's value.
#[derive(Clone, Copy, Default)]
struct Value {
    value: u64,
    /// Field's bytes and type.
    field: Option<(u32, TypeId)>,
    bitfield: bool,
    missing: bool,
}

/// Resolves the records of one object against one kernel.
pub(super) struct CoreResolver<'a> {
    local: &'a Btf,
    kernel: &'a KernelBtf,
    /// Candidates by local root type; narrowed to those that matched, as libbpf does.
    candidates: BTreeMap<TypeId, Vec<TypeId>>,
}

impl<'a> CoreResolver<'a> {
    pub(super) fn new(local: &'a Btf, kernel: &'a KernelBtf) -> Self {
        CoreResolver { local, kernel, candidates: BTreeMap::new() }
    }

    /// What the record asks about, for messages.
    pub(super) fn describe(&self, rec: &CoreRecord) -> String {
        match core_spec::local(self.local, rec) {
            Ok(spec) => spec.describe(self.local),
            Err(_) => self.local.type_name(rec.type_id),
        }
    }

    /// Rule: libbpf [bpf_core_calc_relo_insn].
    pub(super) fn resolve(&mut self, rec: &CoreRecord) -> Result<Answer, String> {
        let spec = core_spec::local(self.local, rec)?;
        if rec.kind == K::TypeIdLocal {
            let value = u64::from(rec.type_id);
            return Ok(Answer { orig: value, value, poison: false, validate: false, size: None, width_fixed: false });
        }
        if self.local.name(rec.type_id).is_empty() {
            return Err("the type has no name, so no kernel type can be found for it".to_owned());
        }
        let kernel = self.kernel.btf();
        let mut found: Option<(Spec, Answer)> = None;
        let mut matched = Vec::new();
        for id in self.candidates(rec.type_id) {
            let Some(theirs) = core_spec::find(self.local, &spec, kernel, id)? else { continue };
            let answer = self.answer(&spec, Some(&theirs))?;
            if let Some((first, best)) = &found {
                if first.bit_offset != theirs.bit_offset || best.poison != answer.poison || best.value != answer.value {
                    return Err(format!(
                        "ambiguous: the kernel's types {} and {} of this name disagree",
                        first.root, theirs.root
                    ));
                }
            } else {
                found = Some((theirs, answer));
            }
            matched.push(id);
        }
        match found {
            Some((_, answer)) => {
                self.candidates.insert(rec.type_id, matched);
                Ok(answer)
            }
            None => self.answer(&spec, None),
        }
    }

    /// Kernel types of the same kind and name, flavor aside. Rule: libbpf [bpf_core_add_cands].
    fn candidates(&mut self, local_id: TypeId) -> Vec<TypeId> {
        let (local, kernel) = (self.local, self.kernel);
        let list = self.candidates.entry(local_id).or_insert_with(|| {
            let is_enum = |k: &Kind| k.enumerators().is_some();
            let ours = &local.ty(local_id).kind;
            let ids = kernel.candidates(essential_name(local.name(local_id))).iter().copied();
            ids.filter(|id| {
                let theirs = &kernel.btf().ty(*id).kind;
                is_enum(ours) && is_enum(theirs) || std::mem::discriminant(ours) == std::mem::discriminant(theirs)
            })
            .collect()
        });
        list.clone()
    }

    /// Rule: libbpf [bpf_core_calc_relo].
    fn answer(&self, local: &Spec, target: Option<&Spec>) -> Result<Answer, String> {
        let ours = value(self.local, local.kind, Some(local))?;
        let theirs = value(self.kernel.btf(), local.kind, target)?;
        let mut answer = Answer {
            orig: ours.value,
            value: theirs.value,
            poison: theirs.missing,
            validate: match local.kind {
                K::FieldByteOffset | K::FieldByteSize => !ours.bitfield,
                K::FieldSigned | K::FieldLshiftU64 | K::TypeIdTarget => false,
                _ => true,
            },
            size: None,
            width_fixed: false,
        };
        if let (Some((a, at)), Some((b, bt))) = (ours.field, theirs.field) {
            answer.size = Some((a, b));
            if a != b {
                answer.width_fixed = match (self.local.resolved(at), self.kernel.btf().resolved(bt)) {
                    (Kind::Ptr(_), Kind::Ptr(_)) => false,
                    (Kind::Int { encoding: x, .. }, Kind::Int { encoding: y, .. }) => x.signed || y.signed,
                    _ => true,
                };
            }
        }
        Ok(answer)
    }
}

fn value(btf: &Btf, kind: K, spec: Option<&Spec>) -> Result<Value, String> {
    let plain = |value: u64| Ok(Value { value, ..Value::default() });
    match kind {
        K::FieldExists | K::TypeExists | K::TypeMatches | K::EnumvalExists => return plain(spec.is_some().into()),
        _ => {}
    }
    let Some(spec) = spec else {
        // a missing type has id and size 0; a missing field or enumerator must not be used
        return Ok(Value { missing: !kind.is_type(), ..Value::default() });
    };
    match kind {
        K::TypeIdLocal | K::TypeIdTarget => plain(spec.root.into()),
        K::TypeSize => {
            plain(btf.size(spec.root).ok_or_else(|| format!("{} has no size", btf.type_name(spec.root)))?.into())
        }
        K::EnumvalValue => {
            let step = spec.steps.first().ok_or("an enumerator without a position")?;
            let value = btf.ty(step.type_id).kind.enumerators().and_then(|v| v.get(step.index as usize));
            plain(value.ok_or("no such enumerator")?.value)
        }
        _ => field_value(btf, kind, spec),
    }
}

/// Rule: libbpf [bpf_core_calc_field_relo].
fn field_value(btf: &Btf, kind: K, spec: &Spec) -> Result<Value, String> {
    let step = spec.steps.last().ok_or("an access without steps")?;
    let no_size = |id: TypeId| format!("{} has no size", btf.type_name(id));
    if !step.named {
        let size = btf.size(step.type_id);
        let access = element_size(btf, step.type_id);
        return match kind {
            K::FieldByteOffset => Ok(Value {
                value: u64::from(spec.bit_offset / 8),
                field: access.map(|s| (s, step.type_id)),
                ..Value::default()
            }),
            K::FieldByteSize => {
                Ok(Value { value: size.ok_or_else(|| no_size(step.type_id))?.into(), ..Value::default() })
            }
            _ => Err(format!("{kind} of an array element")),
        };
    }
    let members = btf.ty(step.type_id).kind.members().unwrap_or(&[]);
    let m = members.get(step.index as usize).ok_or("no such member")?;
    let field_type = btf.resolve(m.type_id);
    let bit_off = spec.bit_offset;
    let bitfield = m.bit_size > 0;
    let (byte_off, byte_size, bits) = if bitfield {
        let (off, size) = storage(btf.size(field_type).unwrap_or(0), bit_off, m.bit_size)?;
        (off, size, m.bit_size)
    } else {
        let size = btf.size(field_type);
        let needs_size = !matches!(kind, K::FieldByteOffset | K::FieldSigned);
        let size = if needs_size { size.ok_or_else(|| no_size(field_type))? } else { size.unwrap_or(0) };
        (bit_off / 8, size, size.wrapping_mul(8))
    };
    let mut out = Value { bitfield, ..Value::default() };
    out.value = match kind {
        K::FieldByteOffset => {
            let access = element_size(btf, field_type).filter(|_| !bitfield);
            out.field = access.map(|s| (s, field_type));
            byte_off.into()
        }
        K::FieldByteSize => byte_size.into(),
        K::FieldSigned => match &btf.ty(field_type).kind {
            Kind::Int { encoding, .. } => encoding.signed.into(),
            Kind::Enum { signed, .. } | Kind::Enum64 { signed, .. } => (*signed).into(),
            _ => 0,
        },
        K::FieldLshiftU64 => {
            let used = (bit_off - byte_off * 8).wrapping_add(bits);
            u64::from(64u32.wrapping_sub(used))
        }
        K::FieldRshiftU64 => u64::from(64u32.wrapping_sub(bits)),
        _ => return Err(format!("{kind} of a field")),
    };
    Ok(out)
}

/// Bytes that one load of a field reads: of arrays, an element's.
fn element_size(btf: &Btf, mut id: TypeId) -> Option<u32> {
    for _ in 0..32 {
        match btf.resolved(id) {
            Kind::Array { elem, .. } => id = *elem,
            _ => return btf.size(id),
        }
    }
    None
}

/// Offset and size of the smallest aligned integer, at least as wide as the declared type, that holds a bit field.
fn storage(declared: u32, bit_off: u32, bits: u32) -> Result<(u32, u32), String> {
    let mut size = declared;
    while (1..=8).contains(&size) {
        let off = bit_off / 8 / size * size;
        if bit_off + bits - off * 8 <= size * 8 {
            return Ok((off, size));
        }
        size *= 2;
    }
    Err("a bit field that no 8-byte load covers".to_owned())
}
