//! Programs from bytes: valid text, most of whose accesses hit something, whatever the bytes are.

use scxr_bpf::image::{Image, Insn};
use scxr_bpf::vm::map_type;

use super::host::KERNEL;
use super::{map, with_funcs};

/// Instructions of 64-bit and 32-bit arithmetic by code; the flag of a register as source is added.
const ALU: [(u8, i16); 14] = [
    (0x00, 0),
    (0x10, 0),
    (0x20, 0),
    (0x30, 0),
    (0x30, 1),
    (0x40, 0),
    (0x50, 0),
    (0x60, 0),
    (0x70, 0),
    (0x90, 0),
    (0x90, 1),
    (0xa0, 0),
    (0xb0, 0),
    (0xc0, 0),
];
const JUMPS: [u8; 11] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
const IMMEDIATES: [i32; 8] = [0, 1, -1, 8, 31, 63, i32::MIN, i32::MAX];
const SIZES: [u8; 4] = [0x00, 0x08, 0x10, 0x18];
const ATOMICS: [i32; 10] = [0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1];
/// Helpers that need nothing: map_lookup_elem, ktime_get_ns, get_prandom_u32, get_smp_processor_id.
const HELPERS: [i32; 4] = [1, 5, 7, 8];

/// Reads choices; zeroes, when there are no more.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    fn immediate(&mut self) -> i32 {
        let b = self.byte();
        match b & 1 {
            0 => IMMEDIATES[usize::from(b >> 1) % IMMEDIATES.len()],
            _ => i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

/// Sets registers to something worth using: bytes of a map and of the kernel, of the stack, and numbers.
fn prologue(text: &mut Vec<Insn>) {
    let (low, high) = (KERNEL as i32, (KERNEL >> 32) as i32);
    text.extend([
        insn(0x18, 6, 2, 0, 0),
        insn(0, 0, 0, 0, 0),
        insn(0xbf, 7, 10, 0, 0),
        insn(0x07, 7, 0, 0, -64),
        insn(0x18, 8, 0, 0, low),
        insn(0, 0, 0, 0, high),
        insn(0x7a, 10, 0, -8, 1),
        insn(0x7a, 10, 0, -16, -1),
        insn(0xb7, 0, 0, 0, 5),
        insn(0xb7, 9, 0, 0, 3),
    ]);
}

/// The image that `bytes` choose: up to three functions of up to 40 instructions each.
pub fn image(bytes: &[u8]) -> Image {
    let mut c = Choices(bytes);
    let nr_funcs = 1 + c.byte() % 3;
    let mut text = Vec::new();
    let mut starts = Vec::new();
    // Calls get their targets when all functions have their places.
    let mut calls = Vec::new();
    for _ in 0..nr_funcs {
        let start = text.len();
        starts.push(start as u32);
        prologue(&mut text);
        let body = text.len();
        for _ in 0..1 + c.byte() % 40 {
            let at = text.len();
            one(&mut c, &mut text);
            if text[at].code == 0x85 && text[at].src == 1 {
                calls.push((at, usize::from(c.byte()) % usize::from(nr_funcs)));
            }
        }
        text.push(insn(0x95, 0, 0, 0, 0));
        // Jumps go to some instruction of the body.
        let mut whole: Vec<usize> = Vec::new();
        let mut pc = body;
        while pc < text.len() {
            whole.push(pc);
            pc += if text[pc].code == 0x18 { 2 } else { 1 };
        }
        for &pc in &whole {
            let jumps = matches!(text[pc].code & 7, 5 | 6) && !matches!(text[pc].code, 0x85 | 0x95);
            if jumps {
                let to = whole[text[pc].off as u16 as usize % whole.len()];
                let distance = to as i64 - pc as i64 - 1;
                match text[pc].code {
                    0x06 => (text[pc].imm, text[pc].off) = (distance as i32, 0),
                    _ => text[pc].off = distance as i16,
                }
            }
        }
    }
    for (at, callee) in calls {
        text[at].imm = (i64::from(starts[callee]) - at as i64 - 1) as i32;
    }
    let mut bytes = map("bytes", map_type::ARRAY, 4, 64, 1);
    bytes.initial = Some((0..64).collect());
    with_funcs(text, starts, vec![bytes, map("hash", map_type::HASH, 4, 8, 4)])
}

/// Adds one instruction, or a few that belong together.
fn one(c: &mut Choices<'_>, text: &mut Vec<Insn>) {
    let kind = c.byte() % 16;
    let (dst, src) = (c.byte() % 10, c.byte() % 11);
    let place = i16::from(c.byte() as i8);
    // The frame's own bytes, as often as not.
    let near = -8 * (1 + place.rem_euclid(9));
    match kind {
        0..=3 => {
            let ((code, off), wide) = (c.of(&ALU), if c.byte() & 1 == 0 { 7 } else { 4 });
            match c.byte() & 1 {
                0 => text.push(insn(code | wide, dst, 0, off, c.immediate())),
                _ => text.push(insn(code | wide | 8, dst, src, off, 0)),
            }
        }
        4 => {
            let (code, off) = c.of(&[(0xbf, 8), (0xbf, 16), (0xbf, 32), (0xbc, 8), (0xbc, 16)]);
            text.push(insn(code, dst, src, off, 0));
        }
        5 => text.push(insn(c.of(&[0xd4, 0xdc, 0xd7]), dst, 0, 0, c.of(&[16, 32, 64]))),
        6 => text.push(insn(c.of(&[0x87, 0x84]), dst, 0, 0, 0)),
        7 | 8 => {
            // Loads, through a register or from the frame.
            let (size, sign) = (c.of(&SIZES), c.byte() & 3 == 0);
            let mode = if sign && size != 0x18 { 0x81 } else { 0x61 };
            match c.byte() & 1 {
                0 => text.push(insn(mode | size, dst, c.of(&[6, 6, 7, 8, src.min(9)]), place, 0)),
                _ => text.push(insn(mode | size, dst, 10, near, 0)),
            }
        }
        9 | 10 => {
            let (size, base) = (c.of(&SIZES), c.of(&[6, 7, 8, 10, dst]));
            let off = if base == 10 { near } else { place };
            match c.byte() & 1 {
                0 => text.push(insn(0x62 | size, base, 0, off, c.immediate())),
                _ => text.push(insn(0x63 | size, base, src, off, 0)),
            }
        }
        11 => {
            let (base, op) = (c.of(&[6, 7, 10, dst]), c.of(&ATOMICS));
            let off = if base == 10 { near } else { place & !7 };
            text.push(insn(c.of(&[0xc3, 0xdb]), base, src.min(9), off, op));
        }
        12 | 13 => {
            let (code, wide, target) = (c.of(&JUMPS), c.of(&[5, 6]), i16::from(c.byte()));
            match c.byte() & 1 {
                0 => text.push(insn(code | wide, dst, 0, target, c.immediate())),
                _ => text.push(insn(code | wide | 8, dst, src, target, 0)),
            }
        }
        14 => {
            let target = i16::from(c.byte());
            text.push(insn(c.of(&[0x05, 0x06, 0xe5]), 0, 0, target, 0));
        }
        _ => match c.byte() % 4 {
            0 => text.push(insn(0x85, 0, 1, 0, 0)),
            1 => text.push(insn(0x85, 0, 2, 0, c.of(&[0, 1]))),
            2 => {
                // A look-up: the helper needs a map and a key.
                text.extend([insn(0x18, 1, 1, 0, i32::from(place & 1)), insn(0, 0, 0, 0, 0)]);
                text.extend([insn(0xbf, 2, 10, 0, 0), insn(0x07, 2, 0, 0, -8), insn(0x85, 0, 0, 0, 1)]);
            }
            _ => text.push(insn(0x85, 0, 0, 0, c.of(&HELPERS))),
        },
    }
}
