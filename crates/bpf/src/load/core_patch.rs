//! Writing a CO-RE answer into its instruction.

use super::core_relo::Answer;
use crate::image::Insn;

/// What happened to the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patched {
    Done,
    /// It must not run; the caller replaces it.
    Poison,
    /// The same, because a field of this kernel has another width that the instruction cannot be given.
    WidthPoison,
}

fn width(code: u8) -> u32 {
    match code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

fn width_bits(size: u32) -> Option<u8> {
    Some(match size {
        4 => 0x00,
        2 => 0x08,
        1 => 0x10,
        8 => 0x18,
        _ => return None,
    })
}

/// Patch the instruction at `insns[0]`. Rule: libbpf [bpf_core_patch_insn].
pub(super) fn patch(insns: &mut [Insn], answer: &Answer) -> Result<Patched, String> {
    let Some((insn, rest)) = insns.split_first_mut() else { return Err("no instruction".to_owned()) };
    if answer.poison {
        return Ok(Patched::Poison);
    }
    let expect = |have: u64, name: &str| {
        if answer.validate && have != answer.orig {
            return Err(format!("the {name} is {have}, the object's types say {}", answer.orig));
        }
        Ok(())
    };
    match insn.code & 0x07 {
        // ALU, ALU64
        0x04 | 0x07 => {
            if insn.code & 0x08 != 0 {
                return Err("the instruction takes a register instead of an immediate".to_owned());
            }
            expect(u64::from(insn.imm as u32), "immediate").or_else(|e| {
                // a negative enumerator compiles to a sign-extended immediate
                if insn.imm as i64 as u64 == answer.orig { Ok(()) } else { Err(e) }
            })?;
            insn.imm = answer.value as u32 as i32;
        }
        // LDX, ST, STX
        0x01..=0x03 => {
            expect(insn.off as i64 as u64, "offset")?;
            if answer.value > i16::MAX as u64 {
                return Err(format!("offset {} does not fit the instruction", answer.value));
            }
            if answer.width_fixed {
                return Ok(Patched::WidthPoison);
            }
            insn.off = answer.value as i16;
            if let Some((ours, theirs)) = answer.size.filter(|(a, b)| a != b) {
                if width(insn.code) != ours {
                    return Err(format!("it accesses {} bytes of a field of {ours}", width(insn.code)));
                }
                let bits = width_bits(theirs).ok_or_else(|| format!("no instruction accesses {theirs} bytes"))?;
                insn.code = insn.code & !0x18 | bits;
            }
        }
        // ld_imm64
        0x00 if insn.code == 0x18 && insn.src == 0 => {
            let Some(high) = rest.first_mut().filter(|h| h.code == 0 && h.dst == 0 && h.src == 0 && h.off == 0) else {
                return Err("the second half of a 64-bit load is missing".to_owned());
            };
            let have = u64::from(high.imm as u32) << 32 | u64::from(insn.imm as u32);
            expect(have, "immediate")?;
            insn.imm = answer.value as u32 as i32;
            high.imm = (answer.value >> 32) as u32 as i32;
        }
        _ => return Err(format!("instruction code {:#04x} takes no CO-RE relocation", insn.code)),
    }
    Ok(Patched::Done)
}
