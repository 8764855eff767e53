//! `.BTF.ext`: functions, source lines and CO-RE records, by section.

use std::fmt;

use super::parse::{BtfError, Reader, header, part};
use super::types::{Btf, TypeId};

/// A function's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncRecord {
    /// Byte offset of its first instruction in the section.
    pub insn_off: u32,
    /// Its FUNC.
    pub type_id: TypeId,
}

/// A source position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRecord {
    /// Byte offset of the first instruction in the section.
    pub insn_off: u32,
    /// File name, as an offset into BTF's strings.
    pub file: u32,
    /// Text of the line, likewise.
    pub text: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// What a CO-RE relocation asks of the kernel's BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum CoreRelocKind {
    FieldByteOffset,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldLshiftU64,
    FieldRshiftU64,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumvalExists,
    EnumvalValue,
    TypeMatches,
}

impl CoreRelocKind {
    fn from_number(n: u32) -> Option<Self> {
        use CoreRelocKind::*;
        const ALL: [CoreRelocKind; 13] = [
            FieldByteOffset,
            FieldByteSize,
            FieldExists,
            FieldSigned,
            FieldLshiftU64,
            FieldRshiftU64,
            TypeIdLocal,
            TypeIdTarget,
            TypeExists,
            TypeSize,
            EnumvalExists,
            EnumvalValue,
            TypeMatches,
        ];
        ALL.get(n as usize).copied()
    }

    /// Asks about a whole type.
    pub fn is_type(self) -> bool {
        use CoreRelocKind::*;
        matches!(self, TypeIdLocal | TypeIdTarget | TypeExists | TypeSize | TypeMatches)
    }

    /// Asks about an enumerator.
    pub fn is_enumval(self) -> bool {
        matches!(self, CoreRelocKind::EnumvalExists | CoreRelocKind::EnumvalValue)
    }
}

impl fmt::Display for CoreRelocKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CoreRelocKind::*;
        f.write_str(match self {
            FieldByteOffset => "byte_off",
            FieldByteSize => "byte_sz",
            FieldExists => "field_exists",
            FieldSigned => "signed",
            FieldLshiftU64 => "lshift_u64",
            FieldRshiftU64 => "rshift_u64",
            TypeIdLocal => "local_type_id",
            TypeIdTarget => "target_type_id",
            TypeExists => "type_exists",
            TypeSize => "type_size",
            EnumvalExists => "enumval_exists",
            EnumvalValue => "enumval_value",
            TypeMatches => "type_matches",
        })
    }
}

/// A CO-RE relocation, as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreRecord {
    /// Byte offset of the instruction in the section.
    pub insn_off: u32,
    /// Local root type.
    pub type_id: TypeId,
    /// Access string such as `0:1:2`, as an offset into BTF's strings.
    pub access: u32,
    /// What it asks.
    pub kind: CoreRelocKind,
}

/// The records of one section each: section name, records in file order.
type BySection<T> = Vec<(String, Vec<T>)>;

/// A parsed `.BTF.ext`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfExt {
    /// Types of functions.
    pub funcs: BySection<FuncRecord>,
    /// Source lines.
    pub lines: BySection<LineRecord>,
    /// CO-RE relocations.
    pub core: BySection<CoreRecord>,
}

impl BtfExt {
    /// Parse; `btf` has the section names and the types that records refer to.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<BtfExt, BtfError> {
        let mut r = Reader::new(bytes, "the header of BTF.ext");
        let hdr_len = header(&mut r)?;
        if hdr_len < 24 {
            return Err(BtfError::Ext { what: "the header is too short" });
        }
        let body = bytes.get(hdr_len as usize..).ok_or(BtfError::Ext { what: "the header is longer than the data" })?;
        let (func_off, func_len, line_off, line_len) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let (core_off, core_len) = if hdr_len >= 32 { (r.u32()?, r.u32()?) } else { (0, 0) };
        let type_id = |r: &mut Reader<'_>| match r.u32()? {
            id if (id as usize) < btf.len() => Ok(id),
            _ => Err(BtfError::Ext { what: "a record refers to a type that does not exist" }),
        };
        Ok(BtfExt {
            funcs: records(part(body, func_off, func_len, "function records")?, btf, 8, |r| {
                Ok(FuncRecord { insn_off: r.u32()?, type_id: type_id(r)? })
            })?,
            lines: records(part(body, line_off, line_len, "line records")?, btf, 16, |r| {
                let (insn_off, file, text, at) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
                Ok(LineRecord { insn_off, file, text, line: at >> 10, column: at & 0x3ff })
            })?,
            core: records(part(body, core_off, core_len, "CO-RE records")?, btf, 16, |r| {
                let (insn_off, type_id, access, kind) = (r.u32()?, type_id(r)?, r.u32()?, r.u32()?);
                let kind = CoreRelocKind::from_number(kind)
                    .ok_or(BtfError::Ext { what: "a CO-RE record of an unknown kind" })?;
                Ok(CoreRecord { insn_off, type_id, access, kind })
            })?,
        })
    }
}

/// A record size, then for each section its name, a count and that many records.
fn records<T>(
    bytes: &[u8],
    btf: &Btf,
    size_min: u32,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, BtfError>,
) -> Result<BySection<T>, BtfError> {
    let mut out = Vec::new();
    if bytes.is_empty() {
        return Ok(out);
    }
    let mut r = Reader::new(bytes, "records of BTF.ext");
    let size = r.u32()?;
    if size < size_min || size % 4 != 0 || size > 256 {
        return Err(BtfError::Ext { what: "impossible record size" });
    }
    while !r.is_empty() {
        let (name, count) = (r.u32()?, r.u32()?);
        let mut list = Vec::new();
        for _ in 0..count {
            let mut rec = Reader::new(r.take(size as usize)?, "a record of BTF.ext");
            list.push(one(&mut rec)?);
        }
        out.push((btf.string(name).to_owned(), list));
    }
    Ok(out)
}
