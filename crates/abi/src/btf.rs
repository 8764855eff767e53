//! Writes the types as raw BTF, as a kernel shows them in `/sys/kernel/btf/vmlinux`.
//!
//! Format: header (magic 0xeb9f, version 1), type section, string section; little endian. Type ids are the indexes of
//! the [`TypeTable`].

use std::collections::BTreeMap;

use crate::types::{Composite, Enum, Type, TypeTable};

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: u32 = 24;

/// BTF kinds, as numbered by the format.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const CONST: u32 = 10;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const ENUM64: u32 = 19;
}

/// Encodes `table`. `array_index` is the BTF id of the integer that indexes arrays.
pub(crate) fn encode(table: &TypeTable, array_index: u32) -> Vec<u8> {
    let mut writer = Writer { types: Vec::with_capacity(1 << 16), strings: vec![0], offsets: BTreeMap::new() };
    for (_, ty) in table.iter().skip(1) {
        writer.write(ty, array_index);
    }
    let (types, strings) = (writer.types, writer.strings);
    let mut out = Vec::with_capacity(HEADER_LEN as usize + types.len() + strings.len());
    out.extend(MAGIC.to_le_bytes());
    out.extend([1u8, 0]);
    for word in [HEADER_LEN, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend(types);
    out.extend(strings);
    out
}

struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    offsets: BTreeMap<&'static str, u32>,
}

impl Writer {
    fn word(&mut self, value: u32) {
        self.types.extend(value.to_le_bytes());
    }

    fn string(&mut self, text: &'static str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.offsets.get(text) {
            return offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend(text.bytes());
        self.strings.push(0);
        self.offsets.insert(text, offset);
        offset
    }

    /// The common three words of every type.
    fn head(&mut self, name: &'static str, kind: u32, flag: bool, vlen: usize, size_or_type: u32) {
        let name = self.string(name);
        self.word(name);
        self.word((u32::from(flag) << 31) | (kind << 24) | vlen as u32);
        self.word(size_or_type);
    }

    fn write(&mut self, ty: &Type, array_index: u32) {
        match ty {
            Type::Void => {}
            Type::Int { name, size, signed } => {
                self.head(name, kind::INT, false, 0, *size);
                let encoding = if *name == "_Bool" { 4 } else { u32::from(*signed) };
                // Kernel BTF gives plain `char` no sign.
                let encoding = if *name == "char" { 0 } else { encoding };
                self.word((encoding << 24) | (size * 8));
            }
            Type::Ptr(target) => self.head("", kind::PTR, false, 0, target.0),
            Type::Array { elem, len } => {
                self.head("", kind::ARRAY, false, 0, 0);
                self.word(elem.0);
                self.word(array_index);
                self.word(*len);
            }
            Type::Composite(composite) => self.composite(composite),
            Type::Enum(e) => self.enumeration(e),
            Type::Fwd { name, union } => self.head(name, kind::FWD, *union, 0, 0),
            Type::Typedef { name, ty } => self.head(name, kind::TYPEDEF, false, 0, ty.0),
            Type::Const(ty) => self.head("", kind::CONST, false, 0, ty.0),
            Type::Proto { ret, params } => {
                self.head("", kind::FUNC_PROTO, false, params.len(), ret.0);
                for param in params {
                    let name = self.string(param.name);
                    self.word(name);
                    self.word(param.ty.0);
                }
            }
            Type::Func { name, proto } => self.head(name, kind::FUNC, false, 0, proto.0),
            Type::Var { name, ty } => {
                self.head(name, kind::VAR, false, 0, ty.0);
                self.word(1); // global linkage
            }
            Type::DataSec { name, vars, size } => {
                self.head(name, kind::DATASEC, false, vars.len(), *size);
                for (var, offset, size) in vars {
                    self.word(var.0);
                    self.word(*offset);
                    self.word(*size);
                }
            }
            Type::DeclTag { name, ty } => {
                self.head(name, kind::DECL_TAG, false, 0, ty.0);
                self.word(u32::MAX); // the declaration itself, not one of its parameters
            }
        }
    }

    fn composite(&mut self, composite: &Composite) {
        let kind = if composite.union { kind::UNION } else { kind::STRUCT };
        self.head(composite.name, kind, false, composite.members.len(), composite.size);
        for member in &composite.members {
            let name = self.string(member.name);
            self.word(name);
            self.word(member.ty.0);
            self.word(member.offset * 8);
        }
    }

    fn enumeration(&mut self, e: &Enum) {
        let kind = if e.size == 8 { kind::ENUM64 } else { kind::ENUM };
        self.head(e.name, kind, e.signed, e.values.len(), e.size);
        for (name, value) in &e.values {
            let name = self.string(name);
            self.word(name);
            self.word(*value as u32);
            if e.size == 8 {
                self.word((value >> 32) as u32);
            }
        }
    }
}
