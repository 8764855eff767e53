//! Each instruction of the ISA against a second evaluation, written from RFC 9669's text in mathematical integers (`i128`); the two
//! share no code.

mod support;

use proptest::prelude::*;
use scxr_bpf::image::Insn;
use scxr_bpf::vm::Machine;
use support::host::TestHost;
use support::{image, options};

/// The integers modulo 2^bits, as the smallest non-negative one.
fn modulo(v: i128, bits: u32) -> i128 {
    v.rem_euclid(1 << bits)
}

/// The signed reading of a value below 2^bits.
fn signed(v: i128, bits: u32) -> i128 {
    if v >= 1 << (bits - 1) { v - (1 << bits) } else { v }
}

/// An arithmetic instruction's result; `None`: not one.
fn alu(code: u8, off: i16, imm: i32, dst: u64, src: u64) -> Option<u64> {
    let class = code & 7;
    let bits: u32 = match class {
        7 => 64,
        4 => 32,
        _ => return None,
    };
    let a = modulo(i128::from(dst), bits);
    let b = if code & 8 != 0 { modulo(i128::from(src), bits) } else { modulo(i128::from(imm), bits) };
    let shift = 1i128 << (b % i128::from(bits));
    // Truncated division, as RFC 9669 wants it; `/` and `%` of i128 truncate.
    let result = match (code >> 4, off) {
        (0x0, 0) => a + b,
        (0x1, 0) => a - b,
        (0x2, 0) => bigmul(a, b, bits),
        (0x3, 0) => {
            if b == 0 {
                0
            } else {
                a / b
            }
        }
        (0x3, 1) => {
            if b == 0 {
                0
            } else {
                signed(a, bits) / signed(b, bits)
            }
        }
        (0x4, 0) => bitwise(a, b, |x, y| x || y),
        (0x5, 0) => bitwise(a, b, |x, y| x && y),
        (0x6, 0) => bigmul(a, shift, bits),
        (0x7, 0) => a / shift,
        (0x8, 0) => -a,
        (0x9, 0) => {
            if b == 0 {
                a
            } else {
                a % b
            }
        }
        (0x9, 1) => {
            if b == 0 {
                a
            } else {
                signed(a, bits) % signed(b, bits)
            }
        }
        (0xa, 0) => bitwise(a, b, |x, y| x != y),
        (0xb, 0) => b,
        (0xb, 8 | 16 | 32) => signed(modulo(b, off as u32), off as u32),
        (0xc, 0) => signed(a, bits).div_euclid(shift),
        (0xd, 0) => {
            let width = imm as u32;
            let value = modulo(i128::from(dst), width);
            // Class ALU with source flag 0 is "to little endian", a truncation on a little-endian machine; all others reverse.
            return Some(if class == 4 && code & 8 == 0 { value } else { reversed(value, width / 8) } as u64);
        }
        _ => return None,
    };
    Some(modulo(result, bits) as u64)
}

/// Schoolbook product modulo 2^bits, which does not overflow.
fn bigmul(a: i128, b: i128, bits: u32) -> i128 {
    (0..bits).filter(|i| b >> i & 1 == 1).fold(0, |sum, i| modulo(sum + modulo(modulo(a, bits - i) << i, bits), bits))
}

fn bitwise(a: i128, b: i128, f: impl Fn(bool, bool) -> bool) -> i128 {
    (0..64).filter(|i| f(a >> i & 1 == 1, b >> i & 1 == 1)).map(|i| 1i128 << i).sum()
}

fn reversed(v: i128, bytes: u32) -> i128 {
    (0..bytes).map(|i| (v >> (8 * i) & 0xff) << (8 * (bytes - 1 - i))).sum()
}

/// Is a conditional jump taken?
fn taken(code: u8, imm: i32, dst: u64, src: u64) -> bool {
    let bits = if code & 7 == 5 { 64 } else { 32 };
    let a = modulo(i128::from(dst), bits);
    let b = if code & 8 != 0 { modulo(i128::from(src), bits) } else { modulo(i128::from(imm), bits) };
    let (sa, sb) = (signed(a, bits), signed(b, bits));
    match code >> 4 {
        0x1 => a == b,
        0x2 => a > b,
        0x3 => a >= b,
        0x4 => bitwise(a, b, |x, y| x && y) > 0,
        0x5 => a != b,
        0x6 => sa > sb,
        0x7 => sa >= sb,
        0xa => a < b,
        0xb => a <= b,
        0xc => sa < sb,
        _ => sa <= sb,
    }
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

fn load(dst: u8, v: u64) -> [Insn; 2] {
    [insn(0x18, dst, 0, 0, v as i32), insn(0, 0, 0, 0, (v >> 32) as i32)]
}

fn run(text: Vec<Insn>) -> Result<u64, String> {
    let shown = format!("{text:?}");
    let machine = Machine::new(image(text, Vec::new()), &options()).map_err(|e| format!("{e}: {shown}"))?;
    machine.run(0, &[], &mut TestHost::default()).map(|o| o.ret).map_err(|e| e.to_string())
}

/// Values near the edges of every width, and any others.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u32..64, -2i64..=2).prop_map(|(bit, d)| (1u64 << bit).wrapping_add(d as u64)),
        (-3i64..=3).prop_map(|v| v as u64),
        any::<u32>().prop_map(u64::from),
        Just(0x8000_0000),
        Just(0xffff_ffff_8000_0000),
    ]
}

fn immediate() -> impl Strategy<Value = i32> {
    prop_oneof![any::<i32>(), -40i32..=70, Just(i32::MIN), Just(i32::MAX)]
}

/// Operation nibble, offset.
fn operation() -> impl Strategy<Value = (u8, i16)> {
    let plain = prop::sample::select(vec![0x0u8, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xa, 0xb, 0xc, 0xd])
        .prop_map(|n| (n, 0i16));
    prop_oneof![4 => plain, 1 => prop::sample::select(vec![(0x3u8, 1i16), (0x9, 1), (0xb, 8), (0xb, 16), (0xb, 32)])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arithmetic((nibble, off) in operation(), wide: bool, reg: bool, width in prop::sample::select(vec![16, 32, 64]), a in value(), b in value(), imm in immediate()) {
        let (class, mut reg, mut imm) = (if wide { 7 } else { 4 }, reg, imm);
        match nibble {
            0xd => (reg, imm) = (reg && !wide, width),
            0x8 => (reg, imm) = (false, 0),
            0xb if off != 0 => reg = true,
            _ => {}
        }
        prop_assume!(!(nibble == 0xb && off == 32 && !wide));
        let uses_register = reg && nibble != 0xd;
        if uses_register {
            imm = 0;
        }
        let code = nibble << 4 | if reg { 8 } else { 0 } | class;
        let mut text = load(3, a).to_vec();
        text.extend(load(4, b));
        text.push(insn(code, 3, if uses_register { 4 } else { 0 }, off, imm));
        text.extend([insn(0xbf, 0, 3, 0, 0), insn(0x95, 0, 0, 0, 0)]);
        let expect = alu(code, off, imm, a, b).expect("an arithmetic instruction");
        prop_assert_eq!(run(text), Ok(expect), "code {:#x} off {} imm {} on {:#x}, {:#x}", code, off, imm, a, b);
    }

    #[test]
    fn jumps(nibble in prop::sample::select(vec![0x1u8, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xa, 0xb, 0xc, 0xd]), wide: bool, reg: bool, a in value(), b in value(), imm in immediate(), same: bool) {
        let b = if same { a } else { b };
        let imm = if reg { 0 } else if same { a as i32 } else { imm };
        let code = nibble << 4 | if reg { 8 } else { 0 } | if wide { 5 } else { 6 };
        let mut text = load(3, a).to_vec();
        text.extend(load(4, b));
        text.extend([
            insn(code, 3, if reg { 4 } else { 0 }, 2, imm),
            insn(0xb7, 0, 0, 0, 0),
            insn(0x95, 0, 0, 0, 0),
            insn(0xb7, 0, 0, 0, 1),
            insn(0x95, 0, 0, 0, 0),
        ]);
        prop_assert_eq!(run(text), Ok(u64::from(taken(code, imm, a, b))), "code {:#x} imm {} on {:#x}, {:#x}", code, imm, a, b);
    }

    #[test]
    fn loads_and_stores(bytes in prop::sample::select(vec![1u32, 2, 4, 8]), kind in 0..3u8, at in -16i16..=-8, before in value(), v in value(), imm in immediate()) {
        let size = match bytes { 1 => 0x10, 2 => 0x08, 4 => 0x00, _ => 0x18 };
        prop_assume!(!(kind == 2 && bytes == 8));
        let mut text = load(3, before).to_vec();
        text.extend([insn(0x7b, 10, 3, -16, 0), insn(0x7b, 10, 3, -8, 0)]);
        text.extend(load(4, v));
        text.push(if kind == 1 { insn(0x62 | size, 10, 0, at, imm) } else { insn(0x63 | size, 10, 4, at, 0) });
        text.push(insn(if kind == 2 { 0x81 } else { 0x61 } | size, 0, 10, at, 0));
        // The rest of the sixteen bytes is as before: fold it in.
        text.extend([insn(0x79, 5, 10, -16, 0), insn(0xaf, 0, 5, 0, 0), insn(0x79, 5, 10, -8, 0), insn(0xaf, 0, 5, 0, 0), insn(0x95, 0, 0, 0, 0)]);
        let stored = if kind == 1 { imm as i64 as u64 } else { v };
        let mut memory: Vec<u8> = before.to_le_bytes().repeat(2);
        let start = (at + 16) as usize;
        memory[start..start + bytes as usize].copy_from_slice(&stored.to_le_bytes()[..bytes as usize]);
        let low = modulo(i128::from(stored), bytes * 8);
        let loaded = if kind == 2 { modulo(signed(low, bytes * 8), 64) } else { low } as u64;
        let words = memory.chunks(8).map(|c| u64::from_le_bytes(c.try_into().expect("eight")));
        prop_assert_eq!(run(text), Ok(words.fold(loaded, |x, w| x ^ w)));
    }

    #[test]
    fn atomics(op in prop::sample::select(vec![0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1]), wide: bool, old in value(), src in value(), r0 in value(), equal: bool) {
        let bits = if wide { 64 } else { 32 };
        let r0 = if equal { old } else { r0 };
        let mut text = load(3, old).to_vec();
        text.push(insn(0x7b, 10, 3, -8, 0));
        text.extend(load(0, r0));
        text.extend(load(4, src));
        text.push(insn(if wide { 0xdb } else { 0xc3 }, 10, 4, -8, op));
        // memory, rotated away from the source register, rotated away from r0
        text.extend([
            insn(0x79, 5, 10, -8, 0),
            insn(0x27, 4, 0, 0, 3),
            insn(0x27, 5, 0, 0, 5),
            insn(0x0f, 0, 4, 0, 0),
            insn(0x0f, 0, 5, 0, 0),
            insn(0x95, 0, 0, 0, 0),
        ]);
        let (m, s) = (modulo(i128::from(old), bits), modulo(i128::from(src), bits));
        let new = match op & !1 {
            0x00 => m + s,
            0x40 => bitwise(m, s, |x, y| x || y),
            0x50 => bitwise(m, s, |x, y| x && y),
            0xa0 => bitwise(m, s, |x, y| x != y),
            0xe0 => s,
            _ => if m == modulo(i128::from(r0), bits) { s } else { m },
        };
        let memory = (i128::from(old) - m + modulo(new, bits)) as u64;
        let (mut src_after, mut r0_after) = (src, r0);
        match op {
            0xf1 => r0_after = m as u64,
            _ if op & 1 == 1 => src_after = m as u64,
            _ => {}
        }
        let expect = r0_after.wrapping_add(src_after.wrapping_mul(3)).wrapping_add(memory.wrapping_mul(5));
        prop_assert_eq!(run(text), Ok(expect), "op {:#x} wide {}", op, wide);
    }

    /// Whatever the text: the machine refuses it, or it ends, in a result or a fault. It ends the same way twice.
    #[test]
    fn any_text_ends(words in prop::collection::vec((prop::sample::select(vec![0x07u8, 0xb7, 0xbf, 0x79, 0x7b, 0x61, 0x63, 0x15, 0x05, 0x2d, 0x85, 0x18, 0x00, 0xdb, 0xe5, 0x95, 0x1f, 0x35, 0x71, 0x72]), 0..11u8, 0..11u8, -6..6i16, -2..200i32), 1..24)) {
        let mut text: Vec<Insn> = words.into_iter().map(|(code, dst, src, off, imm)| insn(code, dst, src, off, imm)).collect();
        text.push(insn(0x95, 0, 0, 0, 0));
        for i in &mut text {
            i.src = match i.code { 0x07 | 0xb7 | 0x05 | 0x15 | 0x35 | 0x72 | 0x95 | 0xe5 | 0x85 | 0x18 => 0, _ => i.src };
            (i.dst, i.off) = match i.code { 0x95 | 0x85 => (0, 0), 0x05 | 0xe5 => (0, i.off), _ => (i.dst, i.off) };
            i.imm = match i.code { 0xbf | 0x79 | 0x7b | 0x61 | 0x63 | 0x05 | 0x2d | 0x1f | 0x71 | 0xe5 | 0x95 => 0, _ => i.imm };
            i.off = match i.code { 0x07 | 0xb7 | 0xbf | 0x1f => 0, _ => i.off };
        }
        let maps = || vec![support::map("m", 2, 4, 8, 2), support::map("h", 1, 4, 8, 2)];
        let once = || {
            let opts = scxr_bpf::vm::Options { insn_budget: 10_000, ..options() };
            Machine::new(image(text.clone(), maps()), &opts).map_err(|e| e.to_string()).and_then(|m| m.run(0, &[1, 2], &mut TestHost::default()).map_err(|f| f.to_string()))
        };
        prop_assert_eq!(once(), once());
    }
}
