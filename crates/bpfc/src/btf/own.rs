//! What libbpf and the verifier want to know of a policy's own structures: which number an object's type has, what a tree or list holds, which
//! maps are in a map.

use super::{Btf, kind, word};
use crate::lower::STAND_IN;

/// Name of a member without size whose elements are the structure that a place for objects is about.
const CONTAINS: &str = "contains";
/// Name of the root of a tree, the head of a list.
const ROOT: &str = "root";
/// Name of the node in an object.
const NODE: &str = "__node";
/// Name of the inner maps of a map of maps.
const VALUES: &str = "values";
/// `BPF_CORE_TYPE_ID_LOCAL`.
const TYPE_ID_LOCAL: u32 = 6;

impl Btf {
    /// Positions of the members of a structure: of their names, types and offsets, three words each.
    fn members(&self, at: usize, vlen: usize) -> impl Iterator<Item = usize> + use<> {
        (0..vlen).map(move |i| at + 12 + 12 * i)
    }

    fn member_type(&self, member: usize) -> u32 {
        word(&self.types, member + 4).unwrap_or_default()
    }

    /// The number of the structure of that name that has members.
    fn structure(&self, name: &str) -> Option<u32> {
        let is = |r: &super::Record| r.kind == kind::STRUCT && r.size_or_type > 0 && self.name_at(r.at) == name;
        self.records.iter().position(is).map(|at| at as u32 + 1)
    }

    /// Lets the records about types' numbers name the policy's structures instead of those that stand for them; `ext` is `.BTF.ext`.
    pub(crate) fn name_own_types(&self, ext: &mut [u8]) -> Result<(), &'static str> {
        let short = ".BTF.ext ends early";
        let header = word(ext, 4).ok_or(short)? as usize;
        if header < 32 {
            return Ok(());
        }
        let (offset, len) = (word(ext, 24).ok_or(short)? as usize, word(ext, 28).ok_or(short)? as usize);
        let (start, end) = (header + offset, header + offset + len);
        if len == 0 {
            return Ok(());
        }
        let (record_len, mut at) = (word(ext, start).ok_or(short)? as usize, start + 4);
        while at < end {
            let nr = word(ext, at + 4).ok_or(short)? as usize;
            for record in (0..nr).map(|i| at + 8 + i * record_len) {
                let (id, what) = (word(ext, record + 4).ok_or(short)?, word(ext, record + 12).ok_or(short)?);
                let name = self.record(id).map(|r| self.name_at(r.at)).unwrap_or_default();
                let Some(own) = name.strip_prefix(STAND_IN).filter(|_| what == TYPE_ID_LOCAL) else { continue };
                let own = self.structure(own).ok_or("objects are made that no tree, list or slot of `state!` holds")?;
                ext[record + 4..record + 8].copy_from_slice(&own.to_le_bytes());
            }
            at += 8 + nr * record_len;
        }
        Ok(())
    }

    /// Tags the roots of trees and heads of lists with what they contain.
    pub(crate) fn tag_collections(&mut self) {
        for (i, record) in self.records.clone().into_iter().enumerate().filter(|(_, r)| r.kind == kind::STRUCT) {
            let members: Vec<usize> = self.members(record.at, record.vlen).collect();
            let named = |name: &str| members.iter().position(|&m| self.name_at(m) == name);
            let (Some(root), Some(contains)) = (named(ROOT), named(CONTAINS)) else { continue };
            let array = self.record(self.member_type(members[contains])).filter(|r| r.kind == kind::ARRAY);
            let element = array.and_then(|r| self.record(word(&self.types, r.at + 12)?));
            let Some(object) = element.map(|r| self.name_at(r.at)) else { continue };
            let tag = self.add_string(&format!("contains:{object}:{NODE}"));
            self.add_type(tag, kind::DECL_TAG, i as u32 + 1);
            self.types.extend((root as u32).to_le_bytes());
        }
    }

    /// libbpf wants `values` of a map of maps to be an array without length, of pointers to the structure that declares the inner maps.
    pub(crate) fn open_inner_maps(&mut self) {
        for record in self.records.clone().into_iter().filter(|r| r.kind == kind::STRUCT && r.vlen > 0) {
            let Some(last) = self.members(record.at, record.vlen).last() else { continue };
            let array = self.record(self.member_type(last)).filter(|r| r.kind == kind::ARRAY);
            let Some(array) = array.filter(|_| self.name_at(last) == VALUES) else { continue };
            let element = word(&self.types, array.at + 12).and_then(|id| self.record(id));
            let Some(pointer) = element.filter(|r| r.kind == kind::PTR) else { continue };
            self.put(array.at + 20, 0);
            let inner = self.whole(pointer.size_or_type);
            self.put(pointer.at + 8, inner);
        }
    }
}
