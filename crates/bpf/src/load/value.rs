//! Values of the reachability analysis, and arithmetic on them.

use crate::image::Insn;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    /// This number.
    Const(u64),
    /// This distance from the end of the function's stack frame.
    Stack(i64),
    /// A place in a map that nobody writes.
    ReadOnly { map: usize, offset: u64 },
    /// Some address other than 0.
    Address,
    /// Unknown, to the kernel's verifier as well.
    Opaque,
    /// Lost here, perhaps known to the verifier.
    Vague,
}

impl Value {
    /// What holds on both of two paths.
    pub(super) fn join(self, other: Value) -> Value {
        if self == other { self } else { Value::Vague }
    }

    fn is_address(self) -> bool {
        matches!(self, Value::Stack(_) | Value::ReadOnly { .. } | Value::Address)
    }
}

/// The constant at a place of read-only data.
pub(super) fn load_constant(bytes: &[u8], offset: u64, size: i64, sign: bool) -> Value {
    let end = offset.saturating_add(size as u64);
    let slice = usize::try_from(offset).ok().zip(usize::try_from(end).ok()).and_then(|(a, b)| bytes.get(a..b));
    let Some(slice) = slice else { return Value::Opaque };
    let raw = slice.iter().rev().fold(0u64, |acc, b| acc << 8 | u64::from(*b));
    let unused = 64 - 8 * size as u32;
    Value::Const(if sign { ((raw << unused) as i64 >> unused) as u64 } else { raw })
}

/// Result of an ALU instruction.
pub(super) fn alu(insn: &Insn, dst: Value, src: Value) -> Value {
    let wide = insn.code & 7 == 7;
    let op = insn.code & 0xf0;
    if op == 0xb0 && wide && insn.off == 0 {
        return src;
    }
    let (a, b) = match (dst, src) {
        (Value::Const(a), Value::Const(b)) => (a, b),
        (_, Value::Const(b)) if op == 0xb0 => (0, b),
        (_, Value::Vague) if op == 0xb0 => return Value::Vague,
        _ if op == 0xb0 => return Value::Opaque,
        (Value::Stack(at), Value::Const(b)) if wide && op == 0x00 => return Value::Stack(at.wrapping_add(b as i64)),
        (Value::ReadOnly { map, offset }, Value::Const(b)) if wide && op == 0x00 => {
            return Value::ReadOnly { map, offset: offset.wrapping_add(b) };
        }
        (_, Value::Const(0)) | (Value::Const(0), _) if op == 0x50 || op == 0x20 => return Value::Const(0),
        (Value::Stack(_), _) | (_, Value::Stack(_)) | (Value::Vague, _) | (_, Value::Vague) => return Value::Vague,
        _ if dst.is_address() || src.is_address() => return if op == 0x00 { Value::Address } else { Value::Opaque },
        _ => return Value::Opaque,
    };
    let out = if wide { alu64(op, insn.off, a, b) } else { alu32(op, insn.off, a as u32, b as u32).map(u64::from) };
    out.map_or(Value::Vague, Value::Const)
}

fn sign_extend(value: u64, bits: i16) -> Option<u64> {
    let unused = 64u32.checked_sub(u32::try_from(bits).ok()?)?;
    (unused < 64).then(|| ((value << unused) as i64 >> unused) as u64)
}

fn alu64(op: u8, off: i16, a: u64, b: u64) -> Option<u64> {
    Some(match op {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 if off == 0 => a.checked_div(b).unwrap_or(0),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a << (b & 63),
        0x70 => a >> (b & 63),
        0x80 => a.wrapping_neg(),
        0x90 if off == 0 => a.checked_rem(b).unwrap_or(a),
        0xa0 => a ^ b,
        0xb0 if off == 0 => b,
        0xb0 => return sign_extend(b, off),
        0xc0 => ((a as i64) >> (b & 63)) as u64,
        _ => return None,
    })
}

fn alu32(op: u8, off: i16, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 if off == 0 => a.checked_div(b).unwrap_or(0),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a << (b & 31),
        0x70 => a >> (b & 31),
        0x80 => a.wrapping_neg(),
        0x90 if off == 0 => a.checked_rem(b).unwrap_or(a),
        0xa0 => a ^ b,
        0xb0 if off == 0 => b,
        0xb0 => return sign_extend(b.into(), off).map(|v| v as u32),
        0xc0 => ((a as i32) >> (b & 31)) as u32,
        _ => return None,
    })
}

/// Is a conditional jump taken, where that is certain?
pub(super) fn decide(code: u8, left: Value, right: Value) -> Option<bool> {
    let wide = code & 7 == 5;
    let op = code & 0xf0;
    let (a, b) = match (left, right) {
        (Value::Const(a), Value::Const(b)) => (a, b),
        (l, Value::Const(0)) if wide && l.is_address() => {
            return match op {
                0x10 => Some(false),
                0x50 => Some(true),
                _ => None,
            };
        }
        _ => return None,
    };
    let (a, b, sa, sb) = if wide {
        (a, b, a as i64, b as i64)
    } else {
        (u64::from(a as u32), u64::from(b as u32), i64::from(a as i32), i64::from(b as i32))
    };
    Some(match op {
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x40 => a & b != 0,
        0x50 => a != b,
        0x60 => sa > sb,
        0x70 => sa >= sb,
        0xa0 => a < b,
        0xb0 => a <= b,
        0xc0 => sa < sb,
        0xd0 => sa <= sb,
        _ => return None,
    })
}
