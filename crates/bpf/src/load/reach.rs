//! Are poisoned instructions reached? Constants (existence checks, `.rodata`, `.kconfig`) are followed through registers
//! and stack, into subprograms; branches on them are taken one way. A branch on a value that the kernel's verifier cannot
//! know either (memory, helpers' results) is taken both ways; one on a value that only this analysis lost (joined
//! paths) is taken both ways as well, but then nothing behind it is certain. Only a certain poison refuses the object.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{CALL, LD_IMM64};
use super::value::{Value, alu, decide, load_constant};
use crate::image::{Image, Insn, pseudo};

/// Instructions walked in all; beyond, what is left is for the run to find.
const STEPS_MAX: u32 = 2_000_000;
/// Nested calls.
const DEPTH_MAX: u32 = 8;

#[derive(Clone, PartialEq, Eq)]
struct State {
    regs: [Value; 11],
    /// Known stack contents: offset from the frame's end → bytes, value.
    stack: BTreeMap<i64, (i64, Value)>,
    /// Reached for certain.
    sure: bool,
}

impl State {
    fn entry(args: [Value; 5], sure: bool) -> State {
        let mut regs = [Value::Opaque; 11];
        regs[1..6].copy_from_slice(&args);
        regs[10] = Value::Stack(0);
        State { regs, stack: BTreeMap::new(), sure }
    }

    /// Join another path's state; did anything change?
    fn join(&mut self, other: &State) -> bool {
        let before = self.clone();
        for (a, b) in self.regs.iter_mut().zip(other.regs) {
            *a = a.join(b);
        }
        self.stack.retain(|off, slot| match other.stack.get(off) {
            Some(o) if o.0 == slot.0 => {
                slot.1 = slot.1.join(o.1);
                true
            }
            _ => false,
        });
        self.sure |= other.sure;
        *self != before
    }

    fn store(&mut self, base: Value, off: i16, size: i64, value: Value) {
        match base {
            Value::Stack(at) => {
                let at = at.saturating_add(off.into());
                self.stack.retain(|o, (n, _)| o.saturating_add(*n) <= at || *o >= at.saturating_add(size));
                self.stack.insert(at, (size, value));
            }
            Value::Vague => self.stack.clear(),
            _ => {}
        }
    }
}

struct Walk<'a> {
    image: &'a Image,
    steps: u32,
    /// Certain poisons, by slot.
    found: BTreeSet<u32>,
    /// Result of a function by its arguments and certainty.
    memo: BTreeMap<(usize, [Value; 5], bool), Value>,
}

/// The message of the first poison that is certainly reached.
pub(super) fn check(image: &Image) -> Result<(), String> {
    if image.poisons.is_empty() {
        return Ok(());
    }
    let mut walk = Walk { image, steps: 0, found: BTreeSet::new(), memo: BTreeMap::new() };
    for p in &image.programs {
        walk.function(p.func, [Value::Opaque; 5], true, 0);
    }
    let poison = walk.found.first().and_then(|pc| image.text.get(*pc as usize));
    match poison.and_then(|i| image.poisons.get(i.imm as usize)) {
        Some(message) => Err(message.clone()),
        None => Ok(()),
    }
}

fn is_jump(code: u8) -> bool {
    matches!(code & 7, 5 | 6) && !matches!(code, 0x85 | 0x8d | 0x95)
}

/// Where a jump goes.
fn target(pc: u32, insn: &Insn) -> i64 {
    let distance = if insn.code == 0x06 { i64::from(insn.imm) } else { i64::from(insn.off) };
    i64::from(pc) + 1 + distance
}

impl Walk<'_> {
    /// Walk a function; its result.
    fn function(&mut self, index: usize, args: [Value; 5], sure: bool, depth: u32) -> Value {
        let key = (index, args, sure);
        if let Some(known) = self.memo.get(&key) {
            return *known;
        }
        let Some(func) = self.image.funcs.get(index) else { return Value::Vague };
        if depth >= DEPTH_MAX {
            return Value::Vague;
        }
        // a recursive call finds this
        self.memo.insert(key, Value::Vague);
        let range = func.start..func.start + func.len;
        let inside = |to: i64| u32::try_from(to).ok().filter(|to| range.contains(to));
        let jumps = range.clone().filter(|pc| is_jump(self.image.text[*pc as usize].code));
        let leaders: BTreeSet<u32> = jumps.filter_map(|pc| inside(target(pc, &self.image.text[pc as usize]))).collect();
        let mut states: BTreeMap<u32, State> = BTreeMap::from([(func.start, State::entry(args, sure))]);
        let mut work = BTreeSet::from([func.start]);
        let mut result: Option<Value> = None;
        while let Some(from) = work.pop_first() {
            let mut state = states[&from].clone();
            let mut pc = from;
            loop {
                if self.steps >= STEPS_MAX {
                    return Value::Vague;
                }
                self.steps += 1;
                let Some(next) = self.step(pc, &mut state, depth) else { break };
                let flow = match next {
                    // go straight on where nothing joins
                    Next::At(to) if inside(to.into()).is_some() && !leaders.contains(&to) => {
                        pc = to;
                        continue;
                    }
                    Next::At(to) => vec![(i64::from(to), state)],
                    Next::Branch(list) => list,
                    Next::Exit => {
                        let r0 = state.regs[0];
                        result = Some(result.map_or(r0, |r| r.join(r0)));
                        Vec::new()
                    }
                };
                for (to, s) in flow {
                    let Some(to) = inside(to) else { continue };
                    let changed = match states.get_mut(&to) {
                        Some(old) => old.join(&s),
                        None => {
                            states.insert(to, s);
                            true
                        }
                    };
                    if changed {
                        work.insert(to);
                    }
                }
                break;
            }
        }
        let result = result.unwrap_or(Value::Opaque);
        let result = if matches!(result, Value::Stack(_)) { Value::Vague } else { result };
        self.memo.insert(key, result);
        result
    }

    /// Execute one instruction; `None`: the path ends.
    fn step(&mut self, pc: u32, s: &mut State, depth: u32) -> Option<Next> {
        let insn = self.image.text[pc as usize];
        let (dst, src) = (usize::from(insn.dst.min(10)), usize::from(insn.src.min(10)));
        let operand = if insn.code & 8 != 0 { s.regs[src] } else { Value::Const(insn.imm as i64 as u64) };
        match insn.code & 7 {
            0 if insn.code == LD_IMM64 => {
                let high = self.image.text.get(pc as usize + 1).map_or(0, |i| i.imm);
                s.regs[dst] = self.wide(&insn, high, s.sure, depth);
                return Some(Next::At(pc + 2));
            }
            0 => s.regs[0] = Value::Opaque,
            1 => {
                let sign = insn.code & 0xe0 == 0x80;
                s.regs[dst] = self.load(s, s.regs[src], insn.off, size(insn.code), sign);
            }
            2 => s.store(s.regs[dst], insn.off, size(insn.code), Value::Const(insn.imm as i64 as u64)),
            3 if insn.code & 0xe0 == 0xc0 => {
                s.store(s.regs[dst], insn.off, size(insn.code), Value::Vague);
                s.regs[if insn.imm == 0xf1 { 0 } else { src }] = Value::Opaque;
            }
            3 => s.store(s.regs[dst], insn.off, size(insn.code), s.regs[src]),
            4 | 7 => s.regs[dst] = alu(&insn, s.regs[dst], operand),
            _ => return self.jump(pc, &insn, s, operand, depth),
        }
        Some(Next::At(pc + 1))
    }

    fn jump(&mut self, pc: u32, insn: &Insn, s: &mut State, operand: Value, depth: u32) -> Option<Next> {
        let to = target(pc, insn);
        match insn.code {
            CALL if insn.src == pseudo::POISON => {
                if s.sure {
                    self.found.insert(pc);
                }
                return None;
            }
            CALL => {
                self.call(pc, insn, s, depth);
                return Some(Next::At(pc + 1));
            }
            0x95 => return Some(Next::Exit),
            0x05 | 0x06 => return Some(Next::Branch(vec![(to, s.clone())])),
            // may_goto
            0xe5 => return Some(Next::Branch(vec![(to, s.clone()), (i64::from(pc) + 1, s.clone())])),
            _ => {}
        }
        let dst = usize::from(insn.dst.min(10));
        let left = s.regs[dst];
        let on = i64::from(pc) + 1;
        Some(Next::Branch(match decide(insn.code, left, operand) {
            Some(true) => vec![(to, s.clone())],
            Some(false) => vec![(on, s.clone())],
            None => {
                s.sure &= left != Value::Vague && operand != Value::Vague;
                let (mut taken, mut not) = (s.clone(), s.clone());
                // equality makes a constant of it
                if let (Value::Const(_), true) = (operand, insn.code & 7 == 5) {
                    match insn.code & 0xf0 {
                        0x10 => taken.regs[dst] = operand,
                        0x50 => not.regs[dst] = operand,
                        _ => {}
                    }
                }
                vec![(to, taken), (on, not)]
            }
        }))
    }

    fn call(&mut self, pc: u32, insn: &Insn, s: &mut State, depth: u32) {
        let mut args = [Value::Opaque; 5];
        args.copy_from_slice(&s.regs[1..6]);
        let shares_stack = args.iter().any(|a| matches!(a, Value::Stack(_) | Value::Vague));
        s.regs[0] = Value::Opaque;
        if insn.src == pseudo::CALL {
            let start = i64::from(pc) + 1 + i64::from(insn.imm);
            let callee = self.image.funcs.binary_search_by_key(&start, |f| i64::from(f.start));
            let args = args.map(|a| if matches!(a, Value::Stack(_)) { Value::Vague } else { a });
            s.regs[0] = callee.map_or(Value::Vague, |f| self.function(f, args, s.sure, depth + 1));
        }
        if shares_stack {
            s.stack.clear();
        }
        s.regs[1..6].fill(Value::Opaque);
    }

    fn wide(&mut self, insn: &Insn, high: i32, sure: bool, depth: u32) -> Value {
        match insn.src {
            0 => Value::Const(u64::from(high as u32) << 32 | u64::from(insn.imm as u32)),
            pseudo::MAP_VALUE => match self.image.maps.get(insn.imm as usize) {
                Some(map) if map.read_only => {
                    Value::ReadOnly { map: insn.imm as usize, offset: u64::from(high as u32) }
                }
                _ => Value::Address,
            },
            pseudo::FUNC => {
                // whoever gets it may call it
                self.function(insn.imm as usize, [Value::Vague; 5], sure, depth + 1);
                Value::Address
            }
            _ => Value::Address,
        }
    }

    fn load(&self, s: &State, base: Value, off: i16, size: i64, sign: bool) -> Value {
        match base {
            Value::ReadOnly { map, offset } => {
                let bytes = self.image.maps[map].initial.as_deref().unwrap_or(&[]);
                load_constant(bytes, offset.wrapping_add(off as i64 as u64), size, sign)
            }
            Value::Stack(at) => match s.stack.get(&at.saturating_add(off.into())) {
                Some((n, value)) if *n == size => match value {
                    Value::Const(c) => load_constant(&c.to_le_bytes(), 0, size, sign),
                    other if size == 8 => *other,
                    Value::Opaque => Value::Opaque,
                    _ => Value::Vague,
                },
                _ => Value::Vague,
            },
            Value::Vague => Value::Vague,
            _ => Value::Opaque,
        }
    }
}

enum Next {
    At(u32),
    Branch(Vec<(i64, State)>),
    Exit,
}

/// Bytes of a load or store.
fn size(code: u8) -> i64 {
    match code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}
