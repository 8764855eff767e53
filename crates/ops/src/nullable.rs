//! What the verifier says of an argument that may be NULL: a program tests it before it follows it.
//!
//! All paths from the program's entry are walked with what each register and each spilled word is on it. Functions that the
//! program calls are not entered: what a pointer is used for there is not seen.

use std::collections::{BTreeMap, BTreeSet};

use scxr_bpf::image::{Image, Insn};

/// Paths are walked until so many steps: a program for which that is too few is taken for good.
const STEPS_MAX: usize = 200_000;

/// What a word is on a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// Nothing that matters.
    #[default]
    Other,
    /// The context: where the arguments are.
    Context,
    /// The argument, not tested yet.
    Untested,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    regs: [Word; 11],
    /// Spilled words that matter, by offset from the frame pointer.
    stack: BTreeMap<i16, Word>,
}

const FP: usize = 10;

impl State {
    /// The argument was tested: whether it is NULL or not, it is known on this path.
    fn tested(mut self) -> State {
        let forget = |w: &mut Word| {
            if *w == Word::Untested {
                *w = Word::Other;
            }
        };
        self.regs.iter_mut().for_each(forget);
        self.stack.values_mut().for_each(forget);
        self
    }

    fn reg(&self, r: u8) -> Word {
        self.regs.get(usize::from(r)).copied().unwrap_or_default()
    }

    fn set(&mut self, r: u8, w: Word) {
        if let Some(reg) = self.regs.get_mut(usize::from(r)) {
            *reg = w;
        }
    }
}

/// The slot at which a function follows its `arg`th argument without a test, if it does.
pub(crate) fn followed_unchecked(image: &Image, func: usize, arg: usize) -> Option<u32> {
    let f = image.funcs.get(func)?;
    let mut entry = State::default();
    entry.regs[1] = Word::Context;
    let (mut todo, mut seen) = (vec![(f.start, entry)], BTreeSet::new());
    while let Some((slot, state)) = todo.pop() {
        if !(f.start..f.start + f.len).contains(&slot) || seen.len() >= STEPS_MAX || !seen.insert((slot, state.clone()))
        {
            continue;
        }
        let insn = *image.text.get(slot as usize)?;
        match step(insn, slot, state, arg) {
            Ok(next) => todo.extend(next),
            Err(()) => return Some(slot),
        }
    }
    None
}

/// The states after an instruction, or that it follows the argument.
fn step(insn: Insn, slot: u32, mut s: State, arg: usize) -> Result<Vec<(u32, State)>, ()> {
    const LD: u8 = 0;
    const LDX: u8 = 1;
    const ST: u8 = 2;
    const STX: u8 = 3;
    const JMP: u8 = 5;
    const JMP32: u8 = 6;
    const ALU64: u8 = 7;
    const DW: u8 = 0x18;
    let class = insn.code & 7;
    let wide = insn.code & 0x18 == DW;
    match class {
        LD => {
            s.set(insn.dst, Word::Other);
            return Ok(vec![(slot + 2, s)]);
        }
        LDX => {
            let loaded = match s.reg(insn.src) {
                Word::Untested => return Err(()),
                Word::Context if wide && insn.off as usize == 8 * arg => Word::Untested,
                _ if wide && usize::from(insn.src) == FP => s.stack.get(&insn.off).copied().unwrap_or_default(),
                _ => Word::Other,
            };
            s.set(insn.dst, loaded);
        }
        ST | STX => {
            if s.reg(insn.dst) == Word::Untested {
                return Err(());
            }
            if usize::from(insn.dst) == FP {
                let plain = class == STX && wide && insn.code & 0xe0 == 0x60;
                let word = if plain { s.reg(insn.src) } else { Word::Other };
                s.stack.insert(if plain { insn.off } else { insn.off & !7 }, word);
            }
        }
        JMP | JMP32 => return Ok(jump(insn, slot, s, class == JMP32)),
        // A copy; anything else makes a number of it, or, for the argument itself, is refused.
        ALU64 if insn.code == 0xbf && insn.off == 0 => {
            let word = s.reg(insn.src);
            s.set(insn.dst, word);
        }
        ALU64 if matches!(insn.code & 0xf0, 0x00 | 0x10) && s.reg(insn.dst) == Word::Untested => return Err(()),
        _ => s.set(insn.dst, Word::Other),
    }
    Ok(vec![(slot + 1, s)])
}

fn jump(insn: Insn, slot: u32, mut s: State, narrow: bool) -> Vec<(u32, State)> {
    const JA: u8 = 0x00;
    const CALL: u8 = 0x80;
    const EXIT: u8 = 0x90;
    const JEQ: u8 = 0x10;
    const JNE: u8 = 0x50;
    let to = |off: i64| u32::try_from(i64::from(slot) + 1 + off).unwrap_or(u32::MAX);
    let near = to(i64::from(insn.off));
    let op = insn.code & 0xf0;
    match op {
        EXIT => vec![],
        CALL => {
            s.regs[..6].fill(Word::Other);
            vec![(slot + 1, s)]
        }
        JA => vec![(if narrow { to(i64::from(insn.imm)) } else { near }, s)],
        _ => {
            let with_zero = insn.code & 0x08 == 0 && insn.imm == 0 && !narrow;
            if matches!(op, JEQ | JNE) && with_zero && s.reg(insn.dst) == Word::Untested {
                s = s.tested();
            }
            vec![(slot + 1, s.clone()), (near, s)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: Insn = Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 };

    fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, dst, src, off, imm }
    }

    /// `r6 = ctx[1]`, then `body`, then exit: is the argument followed?
    #[track_caller]
    fn check(body: &[Insn], expect: Option<u32>) {
        let mut text = vec![insn(0x79, 6, 1, 8, 0)];
        text.extend_from_slice(body);
        text.push(EXIT);
        let len = text.len() as u32;
        let func = scxr_bpf::image::Func { name: "f".into(), section: "s".into(), start: 0, len, lines: vec![] };
        let image = Image { text, funcs: vec![func], ..Image::default() };
        assert_eq!(followed_unchecked(&image, 0, 1), expect);
        assert_eq!(followed_unchecked(&image, 0, 0), None, "another argument");
    }

    #[test]
    fn only_a_test_makes_it_good() {
        let load = |r| insn(0x79, 2, r, 100, 0);
        check(&[load(6)], Some(1));
        check(&[insn(0x15, 6, 0, 1, 0), load(6)], None);
        check(&[insn(0x55, 6, 0, 1, 0), EXIT, load(6)], None);
        check(&[insn(0x15, 6, 0, 1, 5), load(6)], Some(2));
        check(&[insn(0x16, 6, 0, 1, 0), load(6)], Some(2));
        check(&[insn(0x07, 6, 0, 0, 8)], Some(1));
        check(&[insn(0x7b, 6, 2, 0, 0)], Some(1));
        check(&[insn(0x15, 3, 0, 1, 0), insn(0x15, 6, 0, 1, 0), load(6)], Some(3));
    }

    #[test]
    fn copies_and_spills_are_the_same_pointer() {
        let load = |r| insn(0x79, 2, r, 100, 0);
        check(&[insn(0xbf, 7, 6, 0, 0), load(7)], Some(2));
        check(&[insn(0xbf, 7, 6, 0, 0), insn(0x15, 6, 0, 1, 0), load(7)], None);
        let (spill, fill) = (insn(0x7b, 10, 6, -8, 0), insn(0x79, 3, 10, -8, 0));
        check(&[spill, fill, load(3)], Some(3));
        check(&[spill, insn(0x15, 6, 0, 2, 0), fill, load(3)], None);
        check(&[spill, insn(0x62, 10, 0, -8, 0), fill, load(3)], None);
        check(&[insn(0xbf, 1, 6, 0, 0), insn(0x85, 0, 0, 0, 5), insn(0xbf, 2, 1, 0, 0)], None);
    }

    #[test]
    fn loops_end() {
        check(&[insn(0x15, 6, 0, 2, 0), insn(0x79, 2, 6, 100, 0), insn(0x05, 0, 0, -3, 0)], None);
    }
}
