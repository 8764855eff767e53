//! The flow of control inside one function, and what is known of its registers before each block: which of them hold a constant
//! or an address of the frame. An access through such a register needs no check at run time.

use std::collections::BTreeMap;

use crate::vm::ops::{Code, Op, atomic};

/// Registers that programs have.
pub(super) const NR_REGS: usize = 11;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    Any,
    /// The frame pointer plus so many bytes.
    Frame(i64),
    /// This value.
    Const(u64),
}

/// What is known of all registers.
pub(super) type Regs = [Known; NR_REGS];

/// Blocks of a function: first operation → what is known there. A block ends at a jump, or where the next one begins.
pub(super) type Blocks = BTreeMap<u32, Regs>;

/// Where control goes after an operation.
pub(super) enum Next {
    /// To the next operation.
    Through,
    /// There.
    Jump(u32),
    /// There, or to the next operation.
    Branch(u32),
    /// Nowhere: the function is left.
    Leaves,
}

/// Where control goes after `op`.
pub(super) fn next(op: &Op) -> Next {
    match op.code {
        Code::Ja => Next::Jump(op.off as u32),
        Code::Exit | Code::Trap => Next::Leaves,
        code if code == Code::MayGoto || is_branch(code) => Next::Branch(op.off as u32),
        _ => Next::Through,
    }
}

/// Is this a conditional jump?
fn is_branch(code: Code) -> bool {
    (Code::Jeq64R as u8..=Code::Jsle32I as u8).contains(&(code as u8))
}

/// The blocks of the function that begins at operation `entry`.
pub(super) fn blocks(ops: &[Op], entry: u32) -> Blocks {
    let mut start = [Known::Any; NR_REGS];
    for r in [0, 6, 7, 8, 9] {
        start[r] = Known::Const(0);
    }
    start[10] = Known::Frame(0);
    // First the leaders: the meet below must be of whole blocks.
    let mut blocks = Blocks::from([(entry, start)]);
    let mut seen = vec![false; ops.len()];
    let mut todo = vec![entry];
    while let Some(mut at) = todo.pop() {
        while !std::mem::replace(&mut seen[at as usize], true) {
            match next(&ops[at as usize]) {
                Next::Through => at += 1,
                Next::Leaves => break,
                Next::Jump(to) => {
                    blocks.entry(to).or_insert(start);
                    at = to;
                }
                Next::Branch(to) => {
                    blocks.entry(to).or_insert(start);
                    blocks.entry(at + 1).or_insert(start);
                    todo.push(to);
                    at += 1;
                }
            }
        }
    }
    know(ops, entry, start, &mut blocks);
    blocks
}

/// Fills in what is known, until nothing changes: what all ways into a block agree on.
fn know(ops: &[Op], entry: u32, start: Regs, blocks: &mut Blocks) {
    let mut known: BTreeMap<u32, Regs> = BTreeMap::from([(entry, start)]);
    let mut todo = vec![entry];
    while let Some(block) = todo.pop() {
        let mut regs = known[&block];
        let mut at = block;
        let mut reaches = |to: u32, regs: Regs| {
            let met = match known.get(&to) {
                None => regs,
                Some(old) => std::array::from_fn(|r| if old[r] == regs[r] { old[r] } else { Known::Any }),
            };
            if known.insert(to, met) != Some(met) {
                todo.push(to);
            }
        };
        loop {
            let op = &ops[at as usize];
            step(op, &mut regs);
            at += 1;
            match next(op) {
                Next::Through if blocks.contains_key(&at) => reaches(at, regs),
                Next::Through => continue,
                Next::Jump(to) => reaches(to, regs),
                Next::Branch(to) => {
                    reaches(to, regs);
                    reaches(at, regs);
                }
                Next::Leaves => {}
            }
            break;
        }
    }
    *blocks = known;
}

/// What `op` makes of what is known.
pub(super) fn step(op: &Op, regs: &mut Regs) {
    let (d, s) = (usize::from(op.dst), usize::from(op.src));
    let add = |k: Known, n: u64| match k {
        Known::Any => Known::Any,
        Known::Frame(at) => Known::Frame(at.wrapping_add(n as i64)),
        Known::Const(c) => Known::Const(c.wrapping_add(n)),
    };
    match op.code {
        Code::Mov64R => regs[d] = regs[s],
        Code::Mov64I => regs[d] = Known::Const(op.imm),
        Code::Add64I => regs[d] = add(regs[d], op.imm),
        Code::Sub64I => regs[d] = add(regs[d], op.imm.wrapping_neg()),
        Code::Add64R => {
            regs[d] = match (regs[d], regs[s]) {
                (k, Known::Const(n)) | (Known::Const(n), k) => add(k, n),
                _ => Known::Any,
            }
        }
        Code::CallLocal => {
            regs[0] = Known::Any;
            regs[1..6].fill(Known::Const(0));
        }
        Code::CallHelper | Code::CallKfunc => regs[0] = Known::Any,
        Code::Atomic32 | Code::Atomic64 => {
            if op.imm == atomic::CMPXCHG {
                regs[0] = Known::Any;
            } else if op.imm & atomic::FETCH != 0 {
                regs[s] = Known::Any;
            }
        }
        _ if writes_dst(op.code) => regs[d] = Known::Any,
        _ => {}
    }
}

/// Arithmetic and loads write their destination; stores and jumps do not.
fn writes_dst(code: Code) -> bool {
    (code as u8) < Code::StR8 as u8 && code != Code::Nop
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(code: Code, dst: u8, src: u8, off: i32, imm: u64) -> Op {
        Op { code, dst, src, off, imm }
    }

    #[test]
    fn what_all_ways_agree_on_is_known() {
        let ops = [
            op(Code::Mov64R, 2, 10, 0, 0),
            op(Code::Mov64I, 3, 0, 0, 7),
            op(Code::Jeq64I, 1, 0, 4, 0),
            op(Code::Mov64I, 3, 0, 0, 8),
            // Reached with r3 = 7 and with r3 = 8; then from below.
            op(Code::Add64I, 2, 0, 0, (-8i64) as u64),
            op(Code::Jne64I, 1, 0, 4, 0),
            op(Code::Exit, 0, 0, 0, 0),
        ];
        let blocks = blocks(&ops, 0);
        assert_eq!(blocks.keys().copied().collect::<Vec<_>>(), [0, 3, 4, 6]);
        assert_eq!((blocks[&3][2], blocks[&3][3]), (Known::Frame(0), Known::Const(7)));
        // The loop moves r2, and r3 came from two places.
        assert_eq!((blocks[&4][2], blocks[&4][3]), (Known::Any, Known::Any));
        assert_eq!((blocks[&6][10], blocks[&6][6]), (Known::Frame(0), Known::Const(0)));
    }
}
