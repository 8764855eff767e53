//! Changes before load, as users of libbpf make them: globals, map sizes, struct_ops members.

use super::error::LoadError;
use super::object::{Data, DataKind, Object};
use crate::btf::{Field, Kind};

/// A new value for a global variable, or for an element or field of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobalValue {
    /// A number, for integers, enums and bools.
    Int(i128),
    /// A string, for `char[]`; it is padded with zeros.
    Text(String),
    /// The bytes as they are.
    Bytes(Vec<u8>),
}

impl GlobalValue {
    /// As a user writes it: a decimal, `0x` or negative number, `true`, `false`, or text (quoted or not).
    pub fn parse(text: &str) -> GlobalValue {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) => i128::from_str_radix(hex, 16),
            None => digits.parse::<i128>(),
        };
        match (number, text) {
            (Ok(n), _) if !digits.starts_with(['+', '-']) => GlobalValue::Int(sign * n),
            (_, "true") => GlobalValue::Int(1),
            (_, "false") => GlobalValue::Int(0),
            _ => {
                let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
                GlobalValue::Text(inner.unwrap_or(text).to_owned())
            }
        }
    }
}

/// Bytes that a resized section may have.
const DATA_SIZE_MAX: u64 = 1 << 30;

impl Object {
    fn bad_global(&self, path: &str, what: String) -> LoadError {
        let name = path.split(['.', '[']).next().unwrap_or(path);
        LoadError::Global { object: self.name.clone(), name: path.to_owned(), what, said: self.said(name).in_short() }
    }

    /// What a path such as `var`, `arr[3]` or `cfg.limits[1].max` stands for: section, and the place within it.
    fn place(&self, path: &str) -> Result<(usize, Field), LoadError> {
        let name = path.split(['.', '[']).next().unwrap_or(path);
        let (at, info) = self.variable(name)?;
        let whole = Field { offset: info.offset, bit_offset: 0, bit_size: 0, size: info.size, type_id: info.type_id };
        let rest = &path[name.len()..];
        if rest.is_empty() {
            return Ok((at, whole));
        }
        let bad = |what: String| self.bad_global(path, what);
        // a resized array has more elements than its type says
        let mut field = None;
        if let (Some(inner), Kind::Array { elem, .. }) = (rest.strip_prefix('['), self.btf.resolved(info.type_id)) {
            let (index, rest) = inner.split_once(']').ok_or_else(|| bad("a `[` without `]`".to_owned()))?;
            let index: u32 = index.trim().parse().map_err(|_| bad(format!("`{index}` is no index")))?;
            let size = self.btf.size(*elem).unwrap_or(0);
            let start = size.checked_mul(index).filter(|s| s.saturating_add(size) <= info.size && size > 0);
            let start = start.ok_or_else(|| bad(format!("index {index} lies outside its {} bytes", info.size)))?;
            let found = self.btf.field(*elem, rest.trim_start_matches('.'));
            field = found.map(|f| Field { offset: f.offset + start, ..f });
        } else if let Some(rest) = rest.strip_prefix('.') {
            field = self.btf.field(info.type_id, rest);
        }
        let field = field.ok_or_else(|| bad(format!("{} has no such field", self.btf.type_name(info.type_id))))?;
        if field.bit_size != 0 {
            return Err(bad("it is a bit field; set the whole variable".to_owned()));
        }
        Ok((at, Field { offset: info.offset + field.offset, ..field }))
    }

    /// Bytes and type of a global, or of an element or field of one.
    pub fn extent(&self, path: &str) -> Result<(u32, u32), LoadError> {
        let (_, field) = self.place(path)?;
        Ok((field.size, field.type_id))
    }

    /// Initial bytes of a global, or of an element or field of one.
    pub fn read_global(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        let (at, field) = self.place(path)?;
        let bytes = &self.data[at].bytes;
        let range = field.offset as usize..field.offset as usize + field.size as usize;
        let outside = || self.bad_global(path, "it lies outside its section".to_owned());
        bytes.get(range).map(<[u8]>::to_vec).ok_or_else(outside)
    }

    /// Set a global, or an element or field of one, before load.
    ///
    /// # Errors
    /// No such global or field; the value does not fit its type.
    pub fn set_global(&mut self, path: &str, value: &GlobalValue) -> Result<(), LoadError> {
        let (at, field) = self.place(path)?;
        let bytes = self.encode(field.type_id, field.size, value).map_err(|what| self.bad_global(path, what))?;
        let range = field.offset as usize..field.offset as usize + field.size as usize;
        match self.data[at].bytes.get_mut(range) {
            Some(slot) => {
                slot.copy_from_slice(&bytes);
                Ok(())
            }
            None => Err(self.bad_global(path, "it lies outside its section".to_owned())),
        }
    }

    pub(super) fn encode(&self, type_id: u32, size: u32, value: &GlobalValue) -> Result<Vec<u8>, String> {
        let ty = || self.btf.type_name(type_id);
        match value {
            GlobalValue::Bytes(b) if b.len() == size as usize => Ok(b.clone()),
            GlobalValue::Bytes(b) => Err(format!("{} bytes given, {} has {size}", b.len(), ty())),
            GlobalValue::Int(n) => {
                let (low, high) = match self.btf.resolved(type_id) {
                    Kind::Int { encoding, .. } if encoding.is_bool => (0, 1),
                    Kind::Int { .. } | Kind::Enum { .. } | Kind::Enum64 { .. } if (1..=8).contains(&size) => {
                        (-(1i128 << (size * 8 - 1)), (1i128 << (size * 8)) - 1)
                    }
                    _ => return Err(format!("it is {}, which takes no number", ty())),
                };
                if *n < low || *n > high {
                    return Err(format!("{n} does not fit {}", ty()));
                }
                Ok(n.to_le_bytes()[..size as usize].to_vec())
            }
            GlobalValue::Text(text) => {
                let is_char =
                    matches!(self.btf.resolved(type_id), Kind::Array { elem, .. } if self.btf.size(*elem) == Some(1));
                if !is_char {
                    return Err(format!("it is {}, and `{text}` is no value of that type", ty()));
                }
                if text.len() >= size as usize {
                    return Err(format!("`{text}` and its terminator do not fit {size} bytes"));
                }
                let mut bytes = text.clone().into_bytes();
                bytes.resize(size as usize, 0);
                Ok(bytes)
            }
        }
    }

    /// Set the number of entries of a map, or the number of elements of a data section's last variable, an array
    /// (`resize_map(".data.uei_dump", 32768)`; the variable's name does as well).
    pub fn resize_map(&mut self, name: &str, entries: u32) -> Result<(), LoadError> {
        if let Some(map) = self.maps.iter_mut().find(|m| m.name == name) {
            map.max_entries = entries;
            return Ok(());
        }
        let is_last = |d: &Data| d.name == name || d.vars.last().is_some_and(|v| v.name == name);
        let Some(at) = self.data.iter().position(is_last) else {
            let known: Vec<&str> =
                self.maps.iter().map(|m| m.name.as_str()).chain(self.data.iter().map(|d| d.name.as_str())).collect();
            return Err(LoadError::NotFound {
                object: self.name.clone(),
                kind: "map",
                name: name.to_owned(),
                hint: Some(format!("there are {}", known.join(", "))),
            });
        };
        let bad =
            |what: &str| LoadError::Map { object: self.name.clone(), map: name.to_owned(), what: what.to_owned() };
        let last = self.data[at].vars.last().ok_or_else(|| bad("it has no variable, so it cannot be resized"))?;
        let Kind::Array { elem, .. } = *self.btf.resolved(last.type_id) else {
            return Err(bad("its last variable is no array, so it cannot be resized"));
        };
        let size = u64::from(self.btf.size(elem).unwrap_or(0)) * u64::from(entries);
        let end = u64::from(last.offset) + size;
        if end > DATA_SIZE_MAX || size == 0 {
            return Err(bad("the new size must be between 1 element and 1 GiB"));
        }
        let data = &mut self.data[at];
        data.bytes.resize(end as usize, 0);
        if let Some(v) = data.vars.last_mut() {
            v.size = size as u32;
        }
        Ok(())
    }

    /// Set a data member of a struct_ops variable, such as `timeout_ms`.
    pub fn set_struct_ops_member(&mut self, ops: &str, member: &str, value: u64) -> Result<(), LoadError> {
        let (at, field) = self.ops_member(ops, member)?;
        let bad = |what: String| LoadError::StructOpsMember {
            object: self.name.clone(),
            ops: ops.to_owned(),
            member: member.to_owned(),
            what,
        };
        let bytes = self.encode(field.type_id, field.size, &GlobalValue::Int(value.into())).map_err(bad)?;
        let from = field.offset as usize;
        if let Some(slot) = self.ops[at].data.get_mut(from..from + bytes.len()) {
            slot.copy_from_slice(&bytes);
        }
        Ok(())
    }

    /// Unset a member of a struct_ops variable, as loaders do for callbacks that a kernel lacks. Its program is not
    /// loaded unless another variable uses it.
    pub fn drop_struct_ops_member(&mut self, ops: &str, member: &str) -> Result<(), LoadError> {
        let (at, field) = self.ops_member(ops, member)?;
        let members = self.btf.ty(self.ops[at].type_id).kind.members().unwrap_or(&[]);
        let index = members.iter().position(|m| m.name != 0 && self.btf.string(m.name) == member);
        let decl = &mut self.ops[at];
        if let Some(index) = index {
            decl.funcs.remove(&index);
        }
        let from = field.offset as usize;
        if let Some(slot) = decl.data.get_mut(from..from + field.size as usize) {
            slot.fill(0);
        }
        Ok(())
    }

    fn ops_member(&self, ops: &str, member: &str) -> Result<(usize, Field), LoadError> {
        let missing = |kind, name: &str, hint| LoadError::NotFound {
            object: self.name.clone(),
            kind,
            name: name.to_owned(),
            hint,
        };
        let at = self.ops.iter().position(|o| o.name == ops).ok_or_else(|| {
            let names: Vec<&str> = self.ops.iter().map(|o| o.name.as_str()).collect();
            missing("struct_ops variable", ops, Some(format!("there are: {}", names.join(", "))))
        })?;
        let field = self.btf.field(self.ops[at].type_id, member).filter(|f| f.bit_size == 0);
        let field = field.ok_or_else(|| missing("struct_ops member", &format!("{ops}.{member}"), None))?;
        Ok((at, field))
    }

    /// Programs cannot write it.
    pub(super) fn is_read_only(data: &Data) -> bool {
        data.kind == DataKind::ReadOnly
    }
}
