//! What declarations say of themselves, in BTF's declaration tags: `doc:TEXT` and `rust:TYPE`. `scxr build` writes them; C has
//! `__attribute__((btf_decl_tag("doc:…")))`.

use std::collections::BTreeMap;

use super::object::Object;
use crate::btf::{Btf, Kind, TypeId};

/// What a variable, a map or a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its type as it was written in the source: `Tunable<Ns>`.
    pub written: Option<String>,
    /// Its documentation, on one line.
    pub doc: Option<String>,
}

impl Said {
    /// On one line: `Tunable<Ns>: The slice.`; `None` if it says nothing.
    pub fn in_short(&self) -> Option<String> {
        match (&self.written, &self.doc) {
            (Some(written), Some(doc)) => Some(format!("{written}: {doc}")),
            (one, other) => one.clone().or(other.clone()),
        }
    }
}

/// A documented member of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Name.
    pub name: String,
    /// Type as C names it.
    pub type_name: String,
    /// What it says of itself.
    pub said: Said,
}

/// All that is said in an object, by variable and by member of a type.
pub(super) struct Tags<'o> {
    btf: &'o Btf,
    variables: BTreeMap<&'o str, Said>,
    members: BTreeMap<(TypeId, i32), Said>,
}

impl<'o> Tags<'o> {
    pub(super) fn of(btf: &'o Btf) -> Self {
        let mut tags = Tags { btf, variables: BTreeMap::new(), members: BTreeMap::new() };
        for (id, ty) in btf.iter() {
            let Kind::DeclTag { type_id, component } = ty.kind else { continue };
            let said = match &btf.ty(type_id).kind {
                Kind::Var { .. } if component < 0 => tags.variables.entry(btf.name(type_id)).or_default(),
                _ if component >= 0 => tags.members.entry((type_id, component)).or_default(),
                _ => continue,
            };
            match btf.name(id).split_once(':') {
                Some(("doc", text)) => said.doc = Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
                Some(("rust", text)) => said.written = Some(text.to_owned()),
                _ => {}
            }
        }
        tags
    }

    pub(super) fn variable(&self, name: &str) -> Said {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    /// Members that say something, of a structure or of what an array consists of.
    pub(super) fn members(&self, type_id: TypeId) -> Vec<MemberInfo> {
        let mut id = self.btf.resolve(type_id);
        if let Kind::Array { elem, .. } = self.btf.ty(id).kind {
            id = self.btf.resolve(elem);
        }
        let members = self.btf.ty(id).kind.members().unwrap_or(&[]).iter().zip(0..);
        let one = |(m, i): (&crate::btf::Member, i32)| {
            let said = self.members.get(&(id, i))?.clone();
            Some(MemberInfo {
                name: self.btf.string(m.name).to_owned(),
                type_name: self.btf.type_name(m.type_id),
                said,
            })
        };
        members.filter_map(one).collect()
    }
}

impl Object {
    /// What a variable or a map says of itself.
    pub fn said(&self, name: &str) -> Said {
        Tags::of(self.btf()).variable(name)
    }
}
