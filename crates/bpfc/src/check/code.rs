//! Instructions that BPF has no code for, and control that does not end.
//!
//! LLVM's back end ends the process where it meets an atomic operation that it cannot select, and writes a call through a
//! pointer and an endless loop that the verifier then refuses without a word about Rust.

use std::collections::BTreeSet;

use super::{ARGUMENTS, Places, WIDE};
use crate::compiler::Cpu;
use crate::error::Refusal;
use crate::llvm::{Code, Module};

/// `LLVMAtomicOrderingMonotonic`: Rust's `Relaxed`.
const RELAXED: i32 = 2;
/// Words of arguments that a function can have.
const ARGUMENTS_MAX: u32 = 5;
/// `LLVMAtomicRMWBinOpAdd`.
const ADD: i32 = 1;
/// `LLVMAtomicRMWBinOp`: exchange, add, subtract, and, or, exclusive or.
const CHANGES: [i32; 6] = [0, 1, 2, 3, 5, 6];

/// All such places of an optimised module. Relaxed atomic loads and stores, which BPF has as plain ones, become volatile;
/// relaxed changes whose result is used become ordered ones, because LLVM writes those that are relaxed without a result.
pub(crate) fn refusals(module: &Module<'_>, cpu: Cpu, places: &Places<'_>) -> Vec<Refusal> {
    let mut found = BTreeSet::new();
    for function in module.functions().into_iter().filter(|&f| !module.is_declaration(f)) {
        for instruction in module.instructions(function) {
            let code = module.code(instruction);
            if let Code::Load(RELAXED | 1) | Code::Store(RELAXED | 1) = code {
                module.make_volatile(instruction);
            }
            if let Code::Change(_, _, true) = code {
                module.make_ordered(instruction);
            }
            if let Some((what, hint)) = judge(code, cpu) {
                found.insert(Refusal { site: places.site(module, instruction), what: what.to_owned(), hint });
            }
        }
        if module.returns_several(function) {
            // LLVM ends the process over most of these
            let (what, hint) =
                ("a function that returns several values and is not inlined", "make it #[inline(always)]");
            let site = module.instructions(function).into_iter().find_map(|i| places.site(module, i));
            found.insert(Refusal { site, what: what.to_owned(), hint });
        }
        if let Some(instruction) = module.endless(function) {
            let (what, hint) = ("a loop that does not end", "use a bounded iterator such as bounded!(0..n)");
            found.insert(Refusal { site: places.site(module, instruction), what: what.to_owned(), hint });
        }
    }
    found.into_iter().collect()
}

fn judge(code: Code, cpu: Cpu) -> Option<(&'static str, &'static str)> {
    const WIDTH: (&str, &str) = ("an atomic operation of 8 or 16 bits", "BPF has them for 32 and 64 bits");
    const V3: (&str, &str) = (
        "an atomic operation that instruction sets before v3 lack",
        "compile for v3 or v4; v1 and v2 add without looking",
    );
    const ORDERED: &str = "use Ordering::Relaxed, or swap, fetch_or(0), fetch_add, which are ordered with all others";
    match code {
        Code::Fence => Some(("a fence", "swap, fetch_add and compare_exchange are ordered with all other accesses")),
        Code::CompilerFence => Some((
            "a fence for the compiler",
            "leave it out: reads and writes of state are neither left out nor put in another order",
        )),
        Code::Load(order) if order > RELAXED && cpu < Cpu::V4 => Some(("an atomic load that is ordered", ORDERED)),
        Code::Store(order) if order > RELAXED && cpu < Cpu::V4 => Some(("an atomic store that is ordered", ORDERED)),
        Code::CompareExchange(_) if cpu < Cpu::V3 => Some(V3),
        Code::Change(operation, _, used) if cpu < Cpu::V3 && (operation != ADD || used) => Some(V3),
        Code::Change(_, bits, _) | Code::CompareExchange(bits) if bits != 32 && bits != 64 => Some(WIDTH),
        Code::Change(operation, _, _) if !CHANGES.contains(&operation) => {
            Some(("an atomic minimum, maximum or nand", "use compare_exchange in a bounded loop"))
        }
        // LLVM refuses these two by itself up to 22; from 23 on it passes arguments in a way that the kernels of today do not know
        Code::Call(words) if words > ARGUMENTS_MAX => Some(ARGUMENTS),
        Code::Foreign => Some((
            "assembly, or an instruction of the processor that rustc compiles for",
            "BPF has none of it: use what scxr_policy has, such as now()",
        )),
        Code::Product(bits) if bits > 64 => Some(WIDE),
        Code::CheckedProduct(bits) if bits > 32 => Some((
            "a product of 64 bits that is checked for overflow, which takes 128 bits",
            "multiply u32 values as u64, which cannot overflow; or use wrapping_mul, or ask checked_div first",
        )),
        Code::IndirectCall => Some((
            "a call through a function pointer or trait object",
            "BPF calls functions that are known when it is built: use generics, or an enum and match",
        )),
        _ => None,
    }
}
