//! The stack of a chain of calls: 512 bytes and eight frames for all of it, by the verifier's rule.
//!
//! LLVM checks each function for itself. How deep a function reaches is read off its code: accesses through r10, and addresses
//! made of it.

use std::collections::BTreeMap;

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::Places;
use crate::error::Refusal;
use crate::llvm::{Module, Value};

/// Bytes for all frames of a chain of calls [MAX_BPF_STACK].
const STACK_MAX: u32 = 512;
/// Frames of a chain of calls [MAX_CALL_FRAMES].
const FRAMES_MAX: u32 = 8;
/// Each frame is rounded up to this.
const FRAME_STEP: u32 = 32;
const FRAME_POINTER: u8 = 10;

/// The chains that are too deep, each at the first call of it. `elf` is the module's object.
pub(crate) fn refusals(module: &Module<'_>, elf: &[u8], places: &Places<'_>) -> Vec<Refusal> {
    let depths = depths(elf).unwrap_or_default();
    let defined: Vec<Value> = module.functions().into_iter().filter(|&f| !module.is_declaration(f)).collect();
    let called: Vec<Value> = defined.iter().flat_map(|&f| calls(module, f)).map(|(_, to)| to).collect();
    let roots = defined.iter().filter(|f| !called.contains(f));
    roots.filter_map(|&root| refusal(module, &depths, root, places)).collect()
}

fn calls(module: &Module<'_>, function: Value) -> Vec<(Value, Value)> {
    let call = |i| module.as_call(i).and_then(|call| Some((call, module.callee(call)?)));
    let all = module.instructions(function).into_iter().filter_map(call);
    all.filter(|&(_, to)| !module.is_declaration(to)).collect()
}

fn refusal(module: &Module<'_>, depths: &BTreeMap<String, u32>, root: Value, places: &Places<'_>) -> Option<Refusal> {
    let (bytes, frames, first) = deepest(module, depths, root);
    let site = || first.and_then(|call| places.site(module, call));
    let name = module.name(root);
    if bytes > STACK_MAX {
        let what = format!("{bytes} bytes of stack in the calls from `{name}` down, of {STACK_MAX}");
        return Some(Refusal { site: site(), what, hint: "keep large values in a map or a global" });
    }
    let what = format!("{frames} functions that call each other from `{name}` down, of {FRAMES_MAX}");
    (frames > FRAMES_MAX).then(|| Refusal { site: site(), what, hint: "make some of them #[inline(always)]" })
}

/// Bytes and frames of the deepest chain from `function` down, and its first call. There is no recursion.
fn deepest(module: &Module<'_>, depths: &BTreeMap<String, u32>, function: Value) -> (u32, u32, Option<Value>) {
    let own = depths.get(&module.name(function)).copied().unwrap_or(0).max(1).next_multiple_of(FRAME_STEP);
    let below = calls(module, function).into_iter().map(|(call, to)| {
        let (bytes, frames, _) = deepest(module, depths, to);
        (bytes, frames, Some(call))
    });
    let (bytes, frames, first) = below.max_by_key(|&(bytes, frames, _)| (bytes, frames)).unwrap_or((0, 0, None));
    (own + bytes, 1 + frames, first)
}

/// How far below r10 each function reaches, by symbol.
fn depths(elf: &[u8]) -> Option<BTreeMap<String, u32>> {
    let file = object::File::parse(elf).ok()?;
    let functions = file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0);
    let depth = |s: object::Symbol<'_, '_>| {
        let section = file.section_by_index(s.section_index()?).ok()?;
        let code = section.data_range(s.address(), s.size()).ok()??;
        Some((s.name().ok()?.to_owned(), reach(code)))
    };
    Some(functions.filter_map(depth).collect())
}

/// The greatest distance below r10 that `code` accesses or makes an address of.
fn reach(code: &[u8]) -> u32 {
    const MOV64: u8 = 0xbf;
    const ADD64: u8 = 0x07;
    let mut deepest = 0i64;
    // register that was just set to r10
    let mut copy = None;
    for insn in code.chunks_exact(8) {
        let (op, dst, src) = (insn[0], insn[1] & 15, insn[1] >> 4);
        let off = i64::from(i16::from_le_bytes([insn[2], insn[3]]));
        let imm = i64::from(i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]));
        let (class, is_load) = (op & 7, op & 7 == 1);
        let base = if is_load { src } else { dst };
        if matches!(class, 1..=3) && base == FRAME_POINTER {
            deepest = deepest.max(-off);
        }
        if op == ADD64 && copy == Some(dst) {
            deepest = deepest.max(-imm);
        }
        copy = (op == MOV64 && src == FRAME_POINTER).then_some(dst);
    }
    u32::try_from(deepest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_of_code() {
        let store = [0x7b, 0x1a, 0xf0, 0xff, 0, 0, 0, 0]; // *(u64 *)(r10 - 16) = r1
        let load = [0x79, 0xa1, 0xe8, 0xff, 0, 0, 0, 0]; // r1 = *(u64 *)(r10 - 24)
        let copy = [0xbf, 0xa2, 0, 0, 0, 0, 0, 0]; // r2 = r10
        let add = [0x07, 0x02, 0, 0, 0xd8, 0xff, 0xff, 0xff]; // r2 += -40
        let other = [0x07, 0x03, 0, 0, 0x00, 0xff, 0xff, 0xff]; // r3 += -256
        for (code, expect) in [
            (vec![], 0),
            (vec![store], 16),
            (vec![store, load], 24),
            (vec![copy, add], 40),
            (vec![add], 0),
            (vec![copy, other, store], 16),
        ] {
            assert_eq!(reach(&code.concat()), expect, "{code:?}");
        }
    }
}
