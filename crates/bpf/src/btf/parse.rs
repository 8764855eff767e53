//! Raw BTF bytes to [`Btf`], checked: lengths, string offsets, type references.

use super::types::{Btf, EnumValue, IntEncoding, Kind, Linkage, Member, Param, SecVar, Type, TypeId};

/// Why bytes are not BTF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Fewer bytes than what they announce.
    #[error("BTF is truncated: {what} needs bytes up to {need}, there are {have}")]
    Truncated {
        /// What was read.
        what: &'static str,
        /// End of it.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The first two bytes are not BTF's magic.
    #[error("not BTF: the magic is {magic:#06x} instead of 0xeb9f{}", if *.magic == 0x9feb { " (big-endian BTF is not supported)" } else { "" })]
    Magic {
        /// What is there.
        magic: u16,
    },
    /// A version that this reader does not know.
    #[error("BTF version {version} is unknown; version 1 is")]
    Version {
        /// What is there.
        version: u8,
    },
    /// The strings are no strings.
    #[error("BTF strings are corrupt: {what}")]
    Strings {
        /// What is wrong.
        what: &'static str,
    },
    /// A type with impossible contents.
    #[error("BTF type {id} is corrupt: {what}")]
    Type {
        /// Which.
        id: TypeId,
        /// What is wrong.
        what: &'static str,
    },
    /// A kind that this reader does not know.
    #[error("BTF type {id} has kind {kind}, which is unknown")]
    Kind {
        /// Which.
        id: TypeId,
        /// Its kind.
        kind: u8,
    },
    /// BTF.ext with impossible contents.
    #[error("BTF.ext is corrupt: {what}")]
    Ext {
        /// What is wrong.
        what: &'static str,
    },
}

/// A cursor over little-endian bytes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { bytes, pos: 0, what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], BtfError> {
        let end = self.pos.saturating_add(len);
        let out = self.bytes.get(self.pos..end).ok_or(BtfError::Truncated {
            what: self.what,
            need: end as u64,
            have: self.bytes.len() as u64,
        })?;
        self.pos = end;
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Result<u8, BtfError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, BtfError> {
        let b = self.take(2)?;
        Ok(u16::from_le_bytes([b[0], b[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, BtfError> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }
}

/// The part `off..off+len` behind the header.
pub(super) fn part<'a>(body: &'a [u8], off: u32, len: u32, what: &'static str) -> Result<&'a [u8], BtfError> {
    let end = u64::from(off) + u64::from(len);
    body.get(off as usize..end as usize).ok_or(BtfError::Truncated { what, need: end, have: body.len() as u64 })
}

pub(super) const MAGIC: u16 = 0xeb9f;

/// Magic, version and header length, common to BTF and BTF.ext; leaves the reader behind the flags.
pub(super) fn header(r: &mut Reader<'_>) -> Result<u32, BtfError> {
    let magic = r.u16()?;
    if magic != MAGIC {
        return Err(BtfError::Magic { magic });
    }
    let version = r.u8()?;
    if version != 1 {
        return Err(BtfError::Version { version });
    }
    r.u8()?;
    r.u32()
}

impl Btf {
    /// Parse raw BTF, as in an object's `.BTF` section or `/sys/kernel/btf/vmlinux`. Trailing bytes are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Btf, BtfError> {
        let mut r = Reader::new(bytes, "the header");
        let hdr_len = header(&mut r)?;
        let (type_off, type_len, str_off, str_len) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        if hdr_len < 24 {
            return Err(BtfError::Truncated { what: "the header", need: 24, have: u64::from(hdr_len) });
        }
        let body = part(bytes, hdr_len, (bytes.len() as u32).saturating_sub(hdr_len), "the header")?;
        let strings = part(body, str_off, str_len, "the strings")?;
        let strings = std::str::from_utf8(strings).map_err(|_| BtfError::Strings { what: "not UTF-8" })?;
        if !strings.starts_with('\0') || !strings.ends_with('\0') {
            return Err(BtfError::Strings { what: "the first and the last byte must be 0" });
        }
        let mut btf = Btf { strings: strings.to_owned(), ..Btf::default() };
        let mut r = Reader::new(part(body, type_off, type_len, "the types")?, "a type");
        while !r.is_empty() {
            let id = btf.types.len() as TypeId;
            let ty = read_type(&mut r, id)?;
            btf.types.push(ty);
        }
        btf.check()?;
        Ok(btf)
    }

    /// Every reference and name must exist.
    fn check(&self) -> Result<(), BtfError> {
        for (id, ty) in self.types.iter().enumerate() {
            let id = id as TypeId;
            let type_ok = |to: TypeId| {
                if (to as usize) < self.types.len() {
                    Ok(())
                } else {
                    Err(BtfError::Type { id, what: "it refers to a type that does not exist" })
                }
            };
            let name_ok = |name: u32| {
                if self.strings.is_char_boundary(name as usize) && (name as usize) < self.strings.len() {
                    Ok(())
                } else {
                    Err(BtfError::Type { id, what: "a name lies outside the strings" })
                }
            };
            name_ok(ty.name)?;
            match &ty.kind {
                Kind::Ptr(to)
                | Kind::Typedef(to)
                | Kind::Volatile(to)
                | Kind::Const(to)
                | Kind::Restrict(to)
                | Kind::TypeTag(to) => type_ok(*to)?,
                Kind::Func { proto: to, .. } | Kind::Var { type_id: to, .. } | Kind::DeclTag { type_id: to, .. } => {
                    type_ok(*to)?;
                }
                Kind::Array { elem, index, .. } => {
                    type_ok(*elem)?;
                    type_ok(*index)?;
                }
                Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                    for m in members {
                        name_ok(m.name)?;
                        type_ok(m.type_id)?;
                    }
                }
                Kind::Enum { values, .. } | Kind::Enum64 { values, .. } => {
                    values.iter().try_for_each(|v| name_ok(v.name))?;
                }
                Kind::FuncProto { ret, params } => {
                    type_ok(*ret)?;
                    for p in params {
                        name_ok(p.name)?;
                        type_ok(p.type_id)?;
                    }
                }
                Kind::Datasec { vars, .. } => vars.iter().try_for_each(|v| type_ok(v.type_id))?,
                Kind::Void | Kind::Int { .. } | Kind::Fwd { .. } | Kind::Float { .. } => {}
            }
        }
        Ok(())
    }
}

fn linkage(id: TypeId, n: u32) -> Result<Linkage, BtfError> {
    match n {
        0 => Ok(Linkage::Static),
        1 => Ok(Linkage::Global),
        2 => Ok(Linkage::Extern),
        _ => Err(BtfError::Type { id, what: "unknown linkage" }),
    }
}

fn list<T>(
    r: &mut Reader<'_>,
    len: u32,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, BtfError>,
) -> Result<Box<[T]>, BtfError> {
    (0..len).map(|_| one(r)).collect()
}

fn read_type(r: &mut Reader<'_>, id: TypeId) -> Result<Type, BtfError> {
    let name = r.u32()?;
    let info = r.u32()?;
    let word = r.u32()?;
    let (vlen, kind, flag) = (info & 0xffff, ((info >> 24) & 0x1f) as u8, info >> 31 == 1);
    let kind = match kind {
        1 => read_int(r, id, word)?,
        2 => Kind::Ptr(word),
        3 => Kind::Array { elem: r.u32()?, index: r.u32()?, len: r.u32()? },
        4 => Kind::Struct { size: word, members: read_members(r, vlen, flag)? },
        5 => Kind::Union { size: word, members: read_members(r, vlen, flag)? },
        6 => {
            let widen = |v: u32| if flag { v as i32 as u64 } else { u64::from(v) };
            let values = list(r, vlen, |r| Ok(EnumValue { name: r.u32()?, value: widen(r.u32()?) }))?;
            Kind::Enum { size: word, signed: flag, values }
        }
        7 => Kind::Fwd { is_union: flag },
        8 => Kind::Typedef(word),
        9 => Kind::Volatile(word),
        10 => Kind::Const(word),
        11 => Kind::Restrict(word),
        12 => Kind::Func { proto: word, linkage: linkage(id, vlen)? },
        13 => {
            Kind::FuncProto { ret: word, params: list(r, vlen, |r| Ok(Param { name: r.u32()?, type_id: r.u32()? }))? }
        }
        14 => Kind::Var { type_id: word, linkage: linkage(id, r.u32()?)? },
        15 => Kind::Datasec {
            size: word,
            vars: list(r, vlen, |r| Ok(SecVar { type_id: r.u32()?, offset: r.u32()?, size: r.u32()? }))?,
        },
        16 => Kind::Float { size: word },
        17 => Kind::DeclTag { type_id: word, component: r.u32()? as i32 },
        18 => Kind::TypeTag(word),
        19 => {
            let one = |r: &mut Reader<'_>| {
                let (name, lo, hi) = (r.u32()?, r.u32()?, r.u32()?);
                Ok(EnumValue { name, value: u64::from(hi) << 32 | u64::from(lo) })
            };
            Kind::Enum64 { size: word, signed: flag, values: list(r, vlen, one)? }
        }
        kind => return Err(BtfError::Kind { id, kind }),
    };
    Ok(Type { name, kind })
}

fn read_int(r: &mut Reader<'_>, id: TypeId, size: u32) -> Result<Kind, BtfError> {
    let data = r.u32()?;
    let enc = (data >> 24) & 0xf;
    let (bit_offset, bits) = ((data >> 16) & 0xff, data & 0xff);
    if !matches!(size, 1 | 2 | 4 | 8 | 16) || bits > size * 8 {
        return Err(BtfError::Type { id, what: "an integer of impossible size" });
    }
    let encoding = IntEncoding { signed: enc & 1 != 0, is_char: enc & 2 != 0, is_bool: enc & 4 != 0, bit_offset, bits };
    Ok(Kind::Int { size, encoding })
}

fn read_members(r: &mut Reader<'_>, vlen: u32, bitfields: bool) -> Result<Box<[Member]>, BtfError> {
    list(r, vlen, |r| {
        let (name, type_id, off) = (r.u32()?, r.u32()?, r.u32()?);
        let (bit_offset, bit_size) = if bitfields { (off & 0x00ff_ffff, off >> 24) } else { (off, 0) };
        Ok(Member { name, type_id, bit_offset, bit_size })
    })
}
