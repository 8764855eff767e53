//! Completes the BTF that LLVM wrote: names that the kernel accepts, names of kernel functions' parameters, plain types
//! behind Rust's transparent wrappers, and file names that do not tell where the build ran.
//!
//! All edits keep the length of every type; new strings and types are appended.

mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::lower::Kfuncs;
use crate::session::plain_len;

const HEADER_LEN: usize = 24;
const MAGIC: u16 = 0xeb9f;

/// BTF kinds that are looked at.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const ENUM64: u32 = 19;
}

/// What the name of a counted pointer begins with, once it is an identifier.
const KPTR: &str = "Kptr_";

/// Parameters that kernels take in the prototype of a function [MAX_BPF_FUNC_REG_ARGS].
const PARAMETERS_MAX: usize = 5;

/// One type record: where it is, and its three common words.
#[derive(Clone, Copy)]
struct Record {
    at: usize,
    kind: u32,
    vlen: usize,
    size_or_type: u32,
}

/// A function's symbol.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) is_local: bool,
}

/// A BTF section in parts.
pub(crate) struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
    records: Vec<Record>,
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

/// Integers in Rust and in C.
const INTEGERS: [(&str, &str); 11] = [
    ("u8", "unsigned char"),
    ("i8", "char"),
    ("u16", "unsigned short"),
    ("i16", "short"),
    ("u32", "unsigned int"),
    ("i32", "int"),
    ("u64", "unsigned long long"),
    ("i64", "long long"),
    ("usize", "unsigned long long"),
    ("isize", "long long"),
    ("bool", "_Bool"),
];

/// A symbol's name as [`Btf::sanitize_names`] leaves it.
pub(crate) fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii() && is_plain(c as u8) { c } else { '_' }).collect()
}

/// Bytes after the common words: a fixed part, and one for each member.
fn tail(kind: u32) -> (usize, usize) {
    match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => (4, 0),
        kind::ARRAY => (12, 0),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => (0, 12),
        kind::ENUM | kind::FUNC_PROTO => (0, 8),
        _ => (0, 0),
    }
}

impl Btf {
    /// Takes a `.BTF` section apart; the error says what is wrong with it.
    pub(crate) fn parse(section: &[u8]) -> Result<Self, &'static str> {
        let magic = section.get(..2).ok_or(".BTF is empty")?;
        if magic != MAGIC.to_le_bytes() {
            return Err(".BTF has no magic number");
        }
        let at = |i| word(section, i).map(|w| w as usize).ok_or(".BTF ends in its header");
        let (header, types, types_len, strings, strings_len) = (at(4)?, at(8)?, at(12)?, at(16)?, at(20)?);
        let part =
            |start: usize, len: usize| section.get(header + start..header + start + len).ok_or(".BTF ends early");
        let mut btf = Self {
            types: part(types, types_len)?.to_vec(),
            strings: part(strings, strings_len)?.to_vec(),
            records: Vec::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), &'static str> {
        let mut at = 0;
        while at < self.types.len() {
            let short = ".BTF ends in a type";
            let info = word(&self.types, at + 4).ok_or(short)?;
            let size_or_type = word(&self.types, at + 8).ok_or(short)?;
            let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            self.records.push(Record { at, kind, vlen, size_or_type });
            let (fixed, each) = tail(kind);
            at += 12 + fixed + each * vlen;
        }
        if at == self.types.len() { Ok(()) } else { Err(".BTF ends in a type") }
    }

    /// The section again.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.types.len() + self.strings.len());
        out.extend(MAGIC.to_le_bytes());
        out.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for value in [HEADER_LEN as u32, 0, types, types, strings] {
            out.extend(value.to_le_bytes());
        }
        out.extend(&self.types);
        out.extend(&self.strings);
        out
    }

    fn put(&mut self, at: usize, value: u32) {
        self.types[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn record(&self, id: u32) -> Option<Record> {
        self.records.get((id as usize).checked_sub(1)?).copied()
    }

    fn name_at(&self, at: usize) -> String {
        self.string(word(&self.types, at).unwrap_or_default())
    }

    fn string(&self, start: u32) -> String {
        let rest = self.strings.get(start as usize..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        String::from_utf8_lossy(&rest[..end]).into_owned()
    }

    fn add_string(&mut self, text: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// Positions of the name words of a record and of its members.
    fn name_words(&self, record: Record) -> Vec<usize> {
        let (fixed, each) = tail(record.kind);
        let named = !matches!(record.kind, kind::DATASEC);
        let mut words = if named { vec![record.at] } else { Vec::new() };
        if named && each > 0 {
            words.extend((0..record.vlen).map(|i| record.at + 12 + fixed + each * i));
        }
        words
    }

    /// Replaces what the kernel does not take in a name by underscores, in place.
    ///
    /// The kernel wants identifiers (names of sections excepted); rustc writes `Option<(u64, u32)>`. Pointers and the like it wants without a name:
    /// LLVM before 22 passes on what rustc calls them.
    pub(crate) fn sanitize_names(&mut self) {
        for record in self.records.clone() {
            let nameless = [kind::PTR, kind::ARRAY, kind::FUNC_PROTO].contains(&record.kind);
            if nameless || (kind::VOLATILE..=kind::RESTRICT).contains(&record.kind) {
                self.put(record.at, 0);
            }
        }
        let starts: BTreeSet<usize> = self
            .records
            .iter()
            .flat_map(|&r| self.name_words(r))
            .filter_map(|at| word(&self.types, at).map(|w| w as usize))
            .collect();
        for start in starts {
            let mut at = start;
            while let Some(byte) = self.strings.get_mut(at).filter(|b| **b != 0) {
                let first_digit = at == start && byte.is_ascii_digit();
                if first_digit || !is_plain(*byte) {
                    *byte = b'_';
                }
                at += 1;
            }
        }
    }

    /// Puts the members of structures in the order of their offsets, which the kernel wants: rustc lists them as they are
    /// written, and places them as it likes. A union whose members begin at different places, as an enum's variants and its
    /// discriminant do, becomes a structure whose members overlap: kernels want 0 in unions. [btf_struct_check_meta]
    pub(crate) fn order_members(&mut self) {
        const LEN: usize = 12;
        for index in 0..self.records.len() {
            let record = self.records[index];
            let offsets = (0..record.vlen).map(|i| word(&self.types, record.at + 12 + LEN * i + 8));
            if record.kind == kind::UNION && offsets.into_iter().any(|offset| offset != Some(0)) {
                let info = word(&self.types, record.at + 4).unwrap_or_default();
                self.put(record.at + 4, info & !(0x1f << 24) | kind::STRUCT << 24);
                self.records[index].kind = kind::STRUCT;
            }
        }
        for record in self.records.clone().into_iter().filter(|r| r.kind == kind::STRUCT) {
            let place = record.at + 12..record.at + 12 + LEN * record.vlen;
            // Of bit fields, which Rust has not, the upper byte is their size.
            let is_packed = word(&self.types, record.at + 4).is_some_and(|info| info >> 31 == 1);
            let offset = |m: &Vec<u8>| word(m, 8).unwrap_or(0) & if is_packed { 0x00ff_ffff } else { u32::MAX };
            let mut members: Vec<Vec<u8>> = self.types[place.clone()].chunks_exact(LEN).map(<[u8]>::to_vec).collect();
            members.sort_by_key(offset);
            self.types[place].copy_from_slice(&members.concat());
        }
    }

    /// Gives integers the names that C has for them: tools write types of variables into headers by their names.
    pub(crate) fn name_integers(&mut self) {
        for record in self.records.clone().into_iter().filter(|r| r.kind == kind::INT) {
            let name = self.name_at(record.at);
            if let Some((_, c)) = INTEGERS.iter().find(|(rust, _)| *rust == name) {
                let name = self.add_string(c);
                self.put(record.at, name);
            }
        }
    }

    /// Cuts off what [`crate::session`] added to the names of kernel structures.
    pub(crate) fn cut_session(&mut self) {
        let mut at = 0;
        while at < self.strings.len() {
            let len = self.strings[at..].iter().position(|&b| b == 0).unwrap_or(self.strings.len() - at);
            if let Some(plain) = plain_len(&self.strings[at..at + len]) {
                self.strings[at + plain..at + len].fill(0);
            }
            at += len + 1;
        }
    }

    /// Names the parameters of the kernel functions' prototypes.
    pub(crate) fn name_parameters(&mut self, kfuncs: &Kfuncs) {
        for record in self.records.clone().into_iter().filter(|r| r.kind == kind::FUNC) {
            let Some(params) = kfuncs.get(&self.name_at(record.at)) else { continue };
            let Some(proto) = self.record(record.size_or_type).filter(|p| p.kind == kind::FUNC_PROTO) else { continue };
            for (i, param) in params.iter().enumerate().take(proto.vlen) {
                let name = self.add_string(param);
                self.put(proto.at + 12 + 8 * i, name);
            }
        }
    }

    /// Names of the functions and variables that are external symbols.
    pub(crate) fn externs(&self) -> BTreeSet<String> {
        let linkage = |r: &Record| word(&self.types, r.at + 12);
        let is_extern = |r: &&Record| match r.kind {
            kind::FUNC => r.vlen == 2,
            kind::VAR => linkage(r) == Some(2),
            _ => false,
        };
        self.records.iter().filter(is_extern).map(|r| self.name_at(r.at)).collect()
    }

    /// Names of the sections that have a DATASEC.
    pub(crate) fn sections(&self) -> BTreeSet<String> {
        self.records.iter().filter(|r| r.kind == kind::DATASEC).map(|r| self.name_at(r.at)).collect()
    }

    /// Lets variables, members, elements, parameters and results whose type is a transparent wrapper have the wrapped type.
    ///
    /// `Global<Vtime>` is a structure around a structure around a `u64`; a loader that lists or sets globals wants the
    /// `u64`. Structures of the kernel (`kernel_structs`) are left alone.
    pub(crate) fn peel_wrappers(&mut self, kernel_structs: &[String]) {
        for record in self.records.clone() {
            let words: Vec<usize> = match record.kind {
                kind::VAR => vec![record.at + 8],
                kind::ARRAY => vec![record.at + 12],
                kind::STRUCT if !self.is_kernel(record, kernel_structs) => {
                    (0..record.vlen).map(|i| record.at + 12 + 12 * i + 4).collect()
                }
                kind::PTR => vec![record.at + 8],
                kind::FUNC_PROTO => {
                    let params = (0..record.vlen).map(|i| record.at + 12 + 8 * i + 4);
                    params.chain([record.at + 8]).collect()
                }
                _ => continue,
            };
            for at in words {
                let mut id = word(&self.types, at).unwrap_or_default();
                while let Some(inner) = self.wrapped(id, kernel_structs) {
                    id = inner;
                }
                self.put(at, id);
            }
        }
    }

    /// Is it a structure that the verifier looks for by its name in a map's value: a lock, a timer, a counted pointer?
    fn is_special(&self, record: Record) -> bool {
        let name = self.name_at(record.at);
        record.kind == kind::STRUCT && (name.starts_with("bpf_") || name.starts_with(KPTR))
    }

    /// Makes members and elements that are `Kptr<T>` in Rust pointers to `T` with the type tag that tells the kernel to count them.
    pub(crate) fn tag_kptrs(&mut self) {
        for record in self.records.clone() {
            let members = if record.kind == kind::STRUCT { record.vlen } else { 0 };
            let element = (record.kind == kind::ARRAY).then_some(record.at + 12);
            for at in (0..members).map(|i| record.at + 12 + 12 * i + 4).chain(element) {
                let holder = word(&self.types, at).and_then(|id| self.record(id)).filter(|r| self.is_special(*r));
                let holder = holder.filter(|r| self.name_at(r.at).starts_with(KPTR));
                let pointer = holder.and_then(|r| self.record(word(&self.types, r.at + 12 + 4)?));
                let Some(pointer) = pointer.filter(|p| p.kind == kind::PTR) else { continue };
                let target = self.whole(pointer.size_or_type);
                let name = self.add_string("kptr");
                let tag = self.add_type(name, kind::TYPE_TAG, target);
                let tagged = self.add_type(0, kind::PTR, tag);
                self.put(at, tagged);
            }
        }
    }

    /// The structure of the same name where `id` is only declared: LLVM declares what members point to.
    fn whole(&self, id: u32) -> u32 {
        let name = |r: &Record| self.name_at(r.at);
        let Some(declared) = self.record(id).filter(|r| r.kind == kind::FWD) else { return id };
        let same = |r: &Record| r.kind == kind::STRUCT && name(r) == name(&declared);
        self.records.iter().position(same).map_or(id, |at| at as u32 + 1)
    }

    /// Appends a type that has no members; its id.
    fn add_type(&mut self, name: u32, kind: u32, target: u32) -> u32 {
        let at = self.types.len();
        for value in [name, kind << 24, target] {
            self.types.extend(value.to_le_bytes());
        }
        self.records.push(Record { at, kind, vlen: 0, size_or_type: target });
        self.records.len() as u32
    }

    /// Attaches what is said of variables, maps (`NAME`) and members (`TYPE.NAME`), as declaration tags.
    pub(crate) fn describe(&mut self, descriptions: &BTreeMap<String, Vec<String>>) {
        for (of, tags) in descriptions {
            let Some((target, component)) = self.described(of) else { continue };
            for tag in tags {
                let name = self.add_string(tag);
                self.add_type(name, kind::DECL_TAG, target);
                self.types.extend(component.to_le_bytes());
                debug_assert_eq!(self.records.last().map(|r| r.at + 16), Some(self.types.len()));
            }
        }
    }

    /// The type that a tag is for, and which of its components; `-1`: the whole.
    fn described(&self, of: &str) -> Option<(u32, i32)> {
        let find = |kind: u32, name: &str| {
            let at = self.records.iter().position(|r| r.kind == kind && self.name_at(r.at) == name)?;
            Some((at as u32 + 1, self.records[at]))
        };
        let Some((structure, member)) = of.split_once('.') else { return Some((find(kind::VAR, of)?.0, -1)) };
        let (id, record) = find(kind::STRUCT, structure)?;
        let index = (0..record.vlen).position(|i| self.name_at(record.at + 12 + 12 * i) == member)?;
        Some((id, index as i32))
    }

    /// Gives members of the table of operations the kernel's names: a method that is a word of Rust's has an underscore behind it.
    pub(crate) fn name_operations(&mut self) {
        for record in self.records.clone().into_iter().filter(|r| r.kind == kind::STRUCT) {
            if !self.name_at(record.at).starts_with("sched_ext_ops") {
                continue;
            }
            for at in (0..record.vlen).map(|i| record.at + 12 + 12 * i) {
                if let Some(plain) = self.name_at(at).strip_suffix('_') {
                    let name = self.add_string(plain);
                    self.put(at, name);
                }
            }
        }
    }

    fn is_kernel(&self, record: Record, kernel_structs: &[String]) -> bool {
        kernel_structs.contains(&self.name_at(record.at))
    }

    /// The type of the only member that has a size, if that is the structure's size.
    fn wrapped(&self, id: u32, kernel_structs: &[String]) -> Option<u32> {
        let record = self.record(id).filter(|r| r.kind == kind::STRUCT && r.size_or_type > 0)?;
        if self.is_kernel(record, kernel_structs) || self.is_special(record) {
            return None;
        }
        let member = |i: usize| word(&self.types, record.at + 12 + 12 * i + 4);
        let mut sized = (0..record.vlen).filter_map(member).filter(|&m| self.size(m, 16) != Some(0));
        let only = sized.next()?;
        if self.record(only).is_some_and(|r| self.is_special(r)) {
            return None;
        }
        (sized.next().is_none() && self.size(only, 16) == Some(record.size_or_type.into())).then_some(only)
    }

    /// Size in bytes; `None` where it cannot be told within `depth` steps.
    fn size(&self, id: u32, depth: u32) -> Option<u64> {
        if id == 0 {
            return Some(0);
        }
        let record = self.record(id)?;
        let deeper = |id| self.size(id, depth.checked_sub(1)?);
        match record.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => Some(record.size_or_type.into()),
            kind::PTR => Some(8),
            kind::ARRAY => {
                let (element, count) = (word(&self.types, record.at + 12)?, word(&self.types, record.at + 20)?);
                Some(deeper(element)? * u64::from(count))
            }
            8..=11 | 18 => deeper(record.size_or_type),
            _ => None,
        }
    }

    /// Gives every section of data its size, and its variables the places that the symbol table says, in order.
    ///
    /// LLVM leaves this to relocations of `.BTF`. `sections` and `symbols` are those of the ELF file.
    pub(crate) fn place_variables(&mut self, sections: &BTreeMap<String, u64>, symbols: &BTreeMap<String, u64>) {
        for record in self.records.clone().into_iter().filter(|r| r.kind == kind::DATASEC) {
            let Some(&size) = sections.get(&self.name_at(record.at)) else { continue };
            let entries = (0..record.vlen).map(|i| record.at + 12 + 12 * i);
            let place = |at| {
                let (var, len) = (word(&self.types, at)?, word(&self.types, at + 8)?);
                let offset = *symbols.get(&self.name_at(self.record(var)?.at))?;
                Some((offset as u32, var, len))
            };
            let Some(mut places) = entries.map(place).collect::<Option<Vec<_>>>() else { continue };
            places.sort_unstable();
            self.put(record.at + 8, size as u32);
            for (i, (offset, var, len)) in places.into_iter().enumerate() {
                for (j, value) in [var, offset, len].into_iter().enumerate() {
                    self.put(record.at + 12 + 12 * i + 4 * j, value);
                }
            }
        }
    }

    /// Gives functions the names of their symbols where these are not mangled (a program is then called the same in BTF and in
    /// the symbol table), and makes those static whose symbols are local: the verifier checks a static function as part of
    /// its callers, a global one alone. `ext` is `.BTF.ext`, `symbols` the functions by section and byte offset, `left` the parameters that
    /// functions have in LLVM's end, by symbol.
    pub(crate) fn match_functions(
        &mut self,
        ext: &[u8],
        symbols: &BTreeMap<(String, u64), Function>,
        left: &BTreeMap<String, Vec<String>>,
    ) -> Option<()> {
        let start = (word(ext, 4)? + word(ext, 8)?) as usize;
        let info = ext.get(start..start + word(ext, 12)? as usize)?;
        if info.is_empty() {
            return Some(());
        }
        let (record_len, mut at) = (word(info, 0)? as usize, 4);
        while at < info.len() {
            let (section, nr) = (self.string(word(info, at)?), word(info, at + 4)? as usize);
            at += 8;
            for record in info.get(at..at + nr * record_len)?.chunks_exact(record_len) {
                let place = (section.clone(), word(record, 0)?.into());
                let (function, Some(symbol)) = (self.record(word(record, 4)?)?, symbols.get(&place)) else { continue };
                if !(symbol.name.starts_with("_R") || symbol.name.starts_with("_ZN")) {
                    let name = self.add_string(&symbol.name);
                    self.put(function.at, name);
                }
                if symbol.is_local {
                    self.put(function.at + 4, kind::FUNC << 24);
                }
                if let Some(left) = left.get(&symbol.name) {
                    self.cut_parameters(function, left);
                }
            }
            at += nr * record_len;
        }
        Some(())
    }

    /// Lets the prototype of a function with more than five parameters, which kernels refuse, have those that LLVM left: the ones of these
    /// names, or as many where it made new ones of them.
    fn cut_parameters(&mut self, function: Record, left: &[String]) {
        let proto = self.record(function.size_or_type).filter(|r| r.kind == kind::FUNC_PROTO);
        let Some(proto) = proto.filter(|r| r.vlen > PARAMETERS_MAX) else { return };
        let all: Vec<usize> = (0..proto.vlen).map(|i| proto.at + 12 + 8 * i).collect();
        let mut kept: Vec<usize> = all.iter().copied().filter(|&p| left.contains(&self.name_at(p))).collect();
        if kept.len() != left.len() || kept.len() > PARAMETERS_MAX {
            kept = all.into_iter().take(left.len().min(PARAMETERS_MAX)).collect();
        }
        let (at, words) = (self.types.len(), kept.iter().flat_map(|&p| [p, p + 4]).collect::<Vec<usize>>());
        let words: Vec<u32> = words.into_iter().filter_map(|at| word(&self.types, at)).collect();
        let (vlen, info) = (kept.len(), kind::FUNC_PROTO << 24 | kept.len() as u32);
        for value in [0, info, proto.size_or_type].into_iter().chain(words) {
            self.types.extend(value.to_le_bytes());
        }
        self.records.push(Record { at, kind: kind::FUNC_PROTO, vlen, size_or_type: proto.size_or_type });
        let id = self.records.len() as u32;
        self.put(function.at + 8, id);
        self.records.iter_mut().filter(|r| r.at == function.at).for_each(|r| r.size_or_type = id);
    }

    /// Writes the strings anew, those in use and each once, with the folders of `remaps` replaced where a string begins with one.
    ///
    /// After edits in place the length of what was cut off, and the place of a build, would still show. `ext` is `.BTF.ext`,
    /// whose references are changed too.
    pub(crate) fn rewrite_strings(&mut self, ext: &mut [u8], remaps: &[(&Path, &str)]) -> Option<()> {
        let mut table = Strings { bytes: vec![0], places: BTreeMap::from([(Vec::new(), 0)]) };
        let sections = self.records.iter().filter(|r| r.kind == kind::DATASEC).map(|r| r.at);
        let names = self.records.iter().flat_map(|&record| self.name_words(record));
        for at in sections.chain(names).collect::<Vec<_>>() {
            let name = table.add(self.string(word(&self.types, at)?).into_bytes());
            self.put(at, name);
        }
        for at in references(ext)? {
            let text = remapped(&self.string(word(ext, at)?), remaps);
            ext.get_mut(at..at + 4)?.copy_from_slice(&table.add(text.into_bytes()).to_le_bytes());
        }
        self.strings = table.bytes;
        Some(())
    }
}

/// A table of strings in the making.
struct Strings {
    bytes: Vec<u8>,
    places: BTreeMap<Vec<u8>, u32>,
}

impl Strings {
    fn add(&mut self, text: Vec<u8>) -> u32 {
        let end = self.bytes.len() as u32;
        let bytes = &mut self.bytes;
        *self.places.entry(text).or_insert_with_key(|text| {
            bytes.extend(text);
            bytes.push(0);
            end
        })
    }
}

/// `text` with the first of the folders that it begins with replaced.
fn remapped(text: &str, remaps: &[(&Path, &str)]) -> String {
    let inside =
        |(from, to): &(&Path, &str)| Some(format!("{to}{}", Path::new(text).strip_prefix(from).ok()?.display()));
    remaps.iter().find_map(inside).unwrap_or_else(|| text.to_owned())
}

/// Positions of the references to strings in `.BTF.ext`.
fn references(ext: &[u8]) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    // position of offset and length in the header, and the words of a record that are strings
    for (header, words) in [(8, &[][..]), (16, &[1, 2][..]), (24, &[2][..])] {
        if header + 8 > word(ext, 4)? as usize {
            continue;
        }
        let start = (word(ext, 4)? + word(ext, header)?) as usize;
        let end = start + word(ext, header + 4)? as usize;
        if start == end {
            continue;
        }
        let (record_len, mut at) = (word(ext, start)? as usize, start + 4);
        while at < end {
            let nr = word(ext, at + 4)? as usize;
            found.push(at);
            let records = (0..nr).map(|i| at + 8 + i * record_len);
            found.extend(records.flat_map(|record| words.iter().map(move |w| record + 4 * w)));
            at += 8 + nr * record_len;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `*const u64`, as LLVM 20 writes it.
    #[test]
    fn pointers_have_no_name_and_integers_c_names() {
        let (int, pointer) = ([1, kind::INT << 24, 8, 64], [5, kind::PTR << 24, 1]);
        let types: Vec<u8> = int.iter().chain(&pointer).flat_map(|w: &u32| w.to_le_bytes()).collect();
        let mut btf = Btf { types, strings: b"\0u64\0*const u64\0".to_vec(), records: Vec::new() };
        btf.index().expect("two types");
        btf.sanitize_names();
        btf.name_integers();
        let names: Vec<String> = btf.records.iter().map(|r| btf.name_at(r.at)).collect();
        assert_eq!(names, ["unsigned long long", ""]);
    }
}
