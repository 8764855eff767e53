//! One function of BPF to Cranelift's IR.
//!
//! Registers are variables; the count of executed instructions is one, too, brought up to date at the end of each block, so that
//! straight code counts for nothing. Every access is checked against the bounds of guest memory unless [`flow`](super::flow)
//! knows its address; what lies outside takes a cold path to the machine.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{AliasRegion, Block, BlockArg, FuncRef, Function, InstBuilder, MemFlags, Type, Value};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};

use super::flow::{self, Blocks, Known, NR_REGS, Next, Regs};
use super::runtime::{Context, end};
use crate::vm::decode::FRAME_SIZE;
use crate::vm::interp::MAX_LOOPS;
use crate::vm::machine::MAX_FRAMES;
use crate::vm::memory::GUEST_BASE;
use crate::vm::ops::{Code, Op, atomic};

/// Bounds of guest memory that hold for all machines that share the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Bounds {
    /// `[0, ro_end)` is read-only.
    pub(in super::super) ro_end: u64,
    /// `[0, initial)` is accessible from the beginning.
    pub(in super::super) initial: u64,
}

/// The functions that compiled code calls.
pub(super) struct Imports {
    pub(super) helper: FuncRef,
    pub(super) kfunc: FuncRef,
    pub(super) load: FuncRef,
    pub(super) store: FuncRef,
    pub(super) bad_atomic: FuncRef,
    pub(super) fail: FuncRef,
}

/// Translates the function whose first operation is `entry` into `func`, which has its signature. `callee` gives the function
/// at an operation.
pub(super) fn function(
    func: &mut Function,
    scratch: &mut FunctionBuilderContext,
    (ops, entry): (&[Op], u32),
    bounds: Bounds,
    imports: Imports,
    callee: &mut dyn FnMut(&mut Function, u32) -> FuncRef,
) {
    let mut b = FunctionBuilder::new(func, scratch);
    let blocks = flow::blocks(ops, entry);
    let regs = std::array::from_fn(|_| b.declare_var(I64));
    let (count, loops) = (b.declare_var(I64), b.declare_var(I64));
    let first = b.create_block();
    let gone = b.create_block();
    b.append_block_params_for_function_params(first);
    b.switch_to_block(first);
    let params = b.block_params(first).to_vec();
    let starts = blocks.keys().map(|at| (*at, b.create_block())).collect();
    let mut e = Emitter {
        cx: params[0],
        b,
        ops,
        blocks,
        starts,
        regs,
        count,
        loops,
        gone,
        bounds,
        imports,
        at: 0,
        done: 0,
        back: None,
    };
    e.prologue(&params[1..], entry);
    let leaders: Vec<(u32, Regs)> = e.blocks.iter().map(|(at, known)| (*at, *known)).collect();
    for (at, known) in leaders {
        e.block(at, known, callee);
    }
    e.b.switch_to_block(gone);
    e.b.set_cold_block(gone);
    let (zero, one) = (e.imm(0), e.imm(1));
    e.b.ins().return_(&[zero, one]);
    e.b.seal_all_blocks();
    e.b.finalize();
}

struct Emitter<'a> {
    b: FunctionBuilder<'a>,
    /// The context's address.
    cx: Value,
    ops: &'a [Op],
    blocks: Blocks,
    starts: std::collections::BTreeMap<u32, Block>,
    regs: [Variable; NR_REGS],
    /// Instructions executed before the current block.
    count: Variable,
    /// What is left of `may_goto`'s count.
    loops: Variable,
    /// Returns "ended".
    gone: Block,
    bounds: Bounds,
    imports: Imports,
    /// The operation that is translated.
    at: u32,
    /// Operations of the block up to it, itself included.
    done: i64,
    /// A way back that the block takes: where its check is to be, and where it leads.
    back: Option<(Block, Block)>,
}

/// Flags of an access to the context: another region than guest memory, in bounds.
fn context() -> MemFlags {
    MemFlags::trusted().with_alias_region(Some(AliasRegion::Vmctx))
}

/// Flags of an access to guest memory, once it is checked: in bounds, of any alignment.
fn guest() -> MemFlags {
    MemFlags::new().with_notrap().with_alias_region(Some(AliasRegion::Heap))
}

impl Emitter<'_> {
    fn prologue(&mut self, args: &[Value], entry: u32) {
        let zero = self.imm(0);
        for (i, var) in self.regs.into_iter().enumerate() {
            let value = if (1..=5).contains(&i) { args[i - 1] } else { zero };
            self.b.def_var(var, value);
        }
        // The frame pointer is the frame's end.
        let depth = self.field(offset_of!(Context<'_>, depth));
        let stack = self.constant(offset_of!(Context<'_>, stack));
        let bytes = self.b.ins().imul_imm(depth, i64::from(FRAME_SIZE));
        let fp = self.b.ins().iadd(stack, bytes);
        self.b.def_var(self.regs[10], fp);
        let insns = self.field(offset_of!(Context<'_>, insns));
        self.b.def_var(self.count, insns);
        let loops = self.imm(i64::from(MAX_LOOPS));
        self.b.def_var(self.loops, loops);
        let to = self.starts[&entry];
        self.b.ins().jump(to, &[]);
    }

    fn block(&mut self, start: u32, mut known: Regs, callee: &mut dyn FnMut(&mut Function, u32) -> FuncRef) {
        self.b.switch_to_block(self.starts[&start]);
        (self.at, self.done) = (start, 0);
        loop {
            let op = self.ops[self.at as usize];
            self.done += 1;
            match flow::next(&op) {
                Next::Through => {
                    self.op(&op, &known, callee);
                    flow::step(&op, &mut known);
                    self.at += 1;
                    if let Some(next) = self.starts.get(&self.at).copied() {
                        self.settle();
                        self.b.ins().jump(next, &[]);
                        return;
                    }
                }
                Next::Jump(to) => {
                    self.settle();
                    let to = self.edge(to);
                    self.b.ins().jump(to, &[]);
                    return self.check_back();
                }
                Next::Branch(to) => return self.branch(&op, to),
                Next::Leaves => return self.leave(&op),
            }
        }
    }

    // Small things.

    fn imm(&mut self, value: i64) -> Value {
        self.b.ins().iconst(I64, value)
    }

    fn reg(&mut self, r: u8) -> Value {
        self.b.use_var(self.regs[usize::from(r)])
    }

    fn set(&mut self, r: u8, value: Value) {
        self.b.def_var(self.regs[usize::from(r)], value);
    }

    /// A field of the context that changes.
    fn field(&mut self, offset: usize) -> Value {
        self.b.ins().load(I64, context(), self.cx, offset as i32)
    }

    /// A field of the context that does not.
    fn constant(&mut self, offset: usize) -> Value {
        self.b.ins().load(I64, context().with_readonly(), self.cx, offset as i32)
    }

    fn set_field(&mut self, offset: usize, value: Value) {
        self.b.ins().store(context(), value, self.cx, offset as i32);
    }

    /// Instructions executed, the current one included.
    fn executed(&mut self) -> Value {
        let before = self.b.use_var(self.count);
        self.b.ins().iadd_imm(before, self.done)
    }

    /// Brings the count up to date at a block's end.
    fn settle(&mut self) {
        let count = self.executed();
        self.b.def_var(self.count, count);
        self.done = 0;
    }

    /// Says where control leaves compiled code.
    fn sync(&mut self) {
        let count = self.executed();
        self.set_field(offset_of!(Context<'_>, insns), count);
        let pc = self.imm(i64::from(self.at));
        self.set_field(offset_of!(Context<'_>, pc), pc);
    }

    /// A block off the main path, to which the builder switches; gives the one that it was in.
    fn cold(&mut self) -> Block {
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        block
    }

    /// Calls one of the machine's functions from the current block; goes on where it did not end the program.
    fn call(&mut self, func: FuncRef, args: &[Value]) -> Value {
        let call = self.b.ins().call(func, args);
        let (value, ended) = (self.b.inst_results(call)[0], self.b.inst_results(call)[1]);
        let on = self.b.create_block();
        self.b.ins().brif(ended, self.gone, &[], on, &[]);
        self.b.switch_to_block(on);
        value
    }

    /// Ends the program for reason `why` where `condition` holds.
    fn ends_if(&mut self, condition: Value, why: u64) {
        let (over, on) = (self.cold(), self.b.create_block());
        self.b.ins().brif(condition, over, &[], on, &[]);
        self.b.switch_to_block(over);
        self.sync();
        let why = self.imm(why as i64);
        let fail = self.imports.fail;
        self.b.ins().call(fail, &[self.cx, why]);
        self.b.ins().jump(self.gone, &[]);
        self.b.switch_to_block(on);
    }

    fn over_budget(&mut self) -> Value {
        let (count, budget) = (self.executed(), self.constant(offset_of!(Context<'_>, budget)));
        self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, count, budget)
    }

    // Control.

    /// The block to jump to for operation `to`, which looks at the budget first when that is back. The count is settled.
    fn edge(&mut self, to: u32) -> Block {
        let target = self.starts[&to];
        if to > self.at {
            return target;
        }
        let check = self.b.create_block();
        self.back = Some((check, target));
        check
    }

    /// The look at the budget on the way back, once the block that goes there has ended.
    fn check_back(&mut self) {
        let Some((check, target)) = self.back.take() else { return };
        self.b.switch_to_block(check);
        let over = self.over_budget();
        self.ends_if(over, end::BUDGET);
        self.b.ins().jump(target, &[]);
    }

    fn branch(&mut self, op: &Op, to: u32) {
        let condition = if op.code == Code::MayGoto { self.may_goto() } else { self.condition(op) };
        self.settle();
        let taken = self.edge(to);
        let falls = self.starts[&(self.at + 1)];
        self.b.ins().brif(condition, taken, &[], falls, &[]);
        self.check_back();
    }

    /// Is the loop over? If not, one is taken off its count.
    fn may_goto(&mut self) -> Value {
        let count = self.executed();
        let budget = self.constant(offset_of!(Context<'_>, budget));
        let half = self.b.ins().ushr_imm(budget, 1);
        let spent = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, count, half);
        let loops = self.b.use_var(self.loops);
        let none = self.b.ins().icmp_imm(IntCC::Equal, loops, 0);
        let over = self.b.ins().bor(spent, none);
        let one_less = self.b.ins().iadd_imm(loops, -1);
        let left = self.b.ins().select(over, loops, one_less);
        self.b.def_var(self.loops, left);
        over
    }

    fn leave(&mut self, op: &Op) {
        if op.code == Code::Exit {
            let count = self.executed();
            self.set_field(offset_of!(Context<'_>, insns), count);
            let (value, zero) = (self.reg(0), self.imm(0));
            self.b.ins().return_(&[value, zero]);
            return;
        }
        self.sync();
        let why = self.imm(end::TRAP as i64);
        let fail = self.imports.fail;
        self.b.ins().call(fail, &[self.cx, why]);
        self.b.ins().jump(self.gone, &[]);
    }

    fn call_local(&mut self, callee: FuncRef) {
        let depth = self.field(offset_of!(Context<'_>, depth));
        let deep = self.b.ins().icmp_imm(IntCC::Equal, depth, MAX_FRAMES as i64);
        self.ends_if(deep, end::DEPTH);
        let over = self.over_budget();
        self.ends_if(over, end::BUDGET);
        let deeper = self.b.ins().iadd_imm(depth, 1);
        self.set_field(offset_of!(Context<'_>, depth), deeper);
        let count = self.executed();
        self.set_field(offset_of!(Context<'_>, insns), count);
        let args = [self.cx, self.reg(1), self.reg(2), self.reg(3), self.reg(4), self.reg(5)];
        let value = self.call(callee, &args);
        self.set_field(offset_of!(Context<'_>, depth), depth);
        self.recount();
        self.set(0, value);
        let zero = self.imm(0);
        (1..=5).for_each(|r| self.set(r, zero));
    }

    /// Takes over the count after a call that may have added to it.
    fn recount(&mut self) {
        let insns = self.field(offset_of!(Context<'_>, insns));
        let before = self.b.ins().iadd_imm(insns, -self.done);
        self.b.def_var(self.count, before);
    }

    fn condition(&mut self, op: &Op) -> Value {
        // The codes come by sorts of four: 64 and 32 bits, each with a register and with the immediate.
        let form = (op.code as u8 - Code::Jeq64R as u8) % 4;
        let sort = (op.code as u8 - form - Code::Jeq64R as u8) / 4;
        let (a, b) = self.operands(op, form);
        let cc = [
            IntCC::Equal,
            IntCC::NotEqual,
            IntCC::UnsignedGreaterThan,
            IntCC::UnsignedGreaterThanOrEqual,
            IntCC::UnsignedLessThan,
            IntCC::UnsignedLessThanOrEqual,
            IntCC::NotEqual,
            IntCC::SignedGreaterThan,
            IntCC::SignedGreaterThanOrEqual,
            IntCC::SignedLessThan,
            IntCC::SignedLessThanOrEqual,
        ][usize::from(sort)];
        if sort == 6 {
            let both = self.b.ins().band(a, b);
            return self.b.ins().icmp_imm(cc, both, 0);
        }
        self.b.ins().icmp(cc, a, b)
    }

    /// Both operands of a four-form operation: 0 and 1 are 64 bits wide, 0 and 2 take a register.
    fn operands(&mut self, op: &Op, form: u8) -> (Value, Value) {
        let a = self.reg(op.dst);
        let (ty, a) = if form < 2 { (I64, a) } else { (I32, self.b.ins().ireduce(I32, a)) };
        let b = match (form % 2, ty) {
            (0, I64) => self.reg(op.src),
            (0, _) => {
                let b = self.reg(op.src);
                self.b.ins().ireduce(I32, b)
            }
            (_, I64) => self.imm(op.imm as i64),
            _ => self.b.ins().iconst(I32, i64::from(op.imm as u32)),
        };
        (a, b)
    }

    // Arithmetic.

    fn op(&mut self, op: &Op, known: &Regs, callee: &mut dyn FnMut(&mut Function, u32) -> FuncRef) {
        match op.code {
            code if (code as u8) < Code::Mov64R as u8 => self.arithmetic(op),
            Code::Mov64R => {
                let v = self.reg(op.src);
                self.set(op.dst, v);
            }
            Code::Mov64I => {
                let v = self.imm(op.imm as i64);
                self.set(op.dst, v);
            }
            Code::Mov32R => self.narrow(op.dst, op.src, I32, false, I64),
            Code::Movsx8to64 => self.narrow(op.dst, op.src, I8, true, I64),
            Code::Movsx16to64 => self.narrow(op.dst, op.src, I16, true, I64),
            Code::Movsx32to64 => self.narrow(op.dst, op.src, I32, true, I64),
            Code::Movsx8to32 => self.narrow(op.dst, op.src, I8, true, I32),
            Code::Movsx16to32 => self.narrow(op.dst, op.src, I16, true, I32),
            Code::Zext16 => self.narrow(op.dst, op.dst, I16, false, I64),
            Code::Zext32 => self.narrow(op.dst, op.dst, I32, false, I64),
            Code::Nop => {}
            Code::Neg64 => {
                let v = self.reg(op.dst);
                let v = self.b.ins().ineg(v);
                self.set(op.dst, v);
            }
            Code::Neg32 => {
                let v = self.reg(op.dst);
                let v = self.b.ins().ireduce(I32, v);
                let v = self.b.ins().ineg(v);
                let v = self.b.ins().uextend(I64, v);
                self.set(op.dst, v);
            }
            Code::Swap16 => self.swap(op.dst, I16),
            Code::Swap32 => self.swap(op.dst, I32),
            Code::Swap64 => self.swap(op.dst, I64),
            Code::Ldx8 => self.load(op, known, I8, false),
            Code::Ldx16 => self.load(op, known, I16, false),
            Code::Ldx32 => self.load(op, known, I32, false),
            Code::Ldx64 => self.load(op, known, I64, false),
            Code::Ldxs8 => self.load(op, known, I8, true),
            Code::Ldxs16 => self.load(op, known, I16, true),
            Code::Ldxs32 => self.load(op, known, I32, true),
            Code::StR8 | Code::StR16 | Code::StR32 | Code::StR64 => {
                let ty = [I8, I16, I32, I64][usize::from(op.code as u8 - Code::StR8 as u8)];
                let value = self.reg(op.src);
                self.store(op, known, ty, value);
            }
            Code::StI8 | Code::StI16 | Code::StI32 | Code::StI64 => {
                let ty = [I8, I16, I32, I64][usize::from(op.code as u8 - Code::StI8 as u8)];
                let value = self.imm(op.imm as i64);
                self.store(op, known, ty, value);
            }
            Code::Atomic32 => self.atomic(op, known, I32),
            Code::Atomic64 => self.atomic(op, known, I64),
            Code::CallLocal => {
                let callee = callee(self.b.func, op.off as u32);
                self.call_local(callee);
            }
            Code::CallHelper | Code::CallKfunc => {
                self.sync();
                let func = if op.code == Code::CallHelper { self.imports.helper } else { self.imports.kfunc };
                let args = [self.cx, self.reg(1), self.reg(2), self.reg(3), self.reg(4), self.reg(5)];
                let value = self.call(func, &args);
                if op.code == Code::CallHelper {
                    self.recount();
                }
                self.set(0, value);
            }
            _ => unreachable!("{:?} ends a block", op.code),
        }
    }

    fn arithmetic(&mut self, op: &Op) {
        let (form, sort) = (op.code as u8 % 4, op.code as u8 / 4);
        let (a, b) = self.operands(op, form);
        let ins = |e: &mut Self| match sort {
            0 => e.b.ins().iadd(a, b),
            1 => e.b.ins().isub(a, b),
            2 => e.b.ins().imul(a, b),
            3 => e.divide(op, form, a, b, Division { signed: false, rest: false }),
            4 => e.divide(op, form, a, b, Division { signed: false, rest: true }),
            5 => e.divide(op, form, a, b, Division { signed: true, rest: false }),
            6 => e.divide(op, form, a, b, Division { signed: true, rest: true }),
            7 => e.b.ins().bor(a, b),
            8 => e.b.ins().band(a, b),
            9 => e.b.ins().bxor(a, b),
            10 => e.b.ins().ishl(a, b),
            11 => e.b.ins().ushr(a, b),
            _ => e.b.ins().sshr(a, b),
        };
        let v = ins(self);
        let v = if form < 2 { v } else { self.b.ins().uextend(I64, v) };
        self.set(op.dst, v);
    }

    /// Division as BPF has it: by 0 it gives 0 (and leaves all as the rest), and the least number by -1 wraps.
    fn divide(&mut self, op: &Op, form: u8, a: Value, b: Value, what: Division) -> Value {
        let ty = if form < 2 { I64 } else { I32 };
        let zero = self.b.ins().iconst(ty, 0);
        let by = |e: &mut Self, b: Value| match (what.signed, what.rest) {
            (false, false) => e.b.ins().udiv(a, b),
            (false, true) => e.b.ins().urem(a, b),
            (true, false) => e.b.ins().sdiv(a, b),
            (true, true) => e.b.ins().srem(a, b),
        };
        let imm = if form < 2 { op.imm as i64 } else { i64::from(op.imm as u32 as i32) };
        if form % 2 == 1 && imm != 0 && !(what.signed && imm == -1) {
            return by(self, b);
        }
        // The processor traps on both exceptions: divide by 1 there, and choose afterwards.
        let one = self.b.ins().iconst(ty, 1);
        let none = self.b.ins().icmp_imm(IntCC::Equal, b, 0);
        let mut safe = self.b.ins().select(none, one, b);
        if what.signed {
            let minus_one = self.b.ins().icmp_imm(IntCC::Equal, b, -1);
            safe = self.b.ins().select(minus_one, one, safe);
            let quotient = by(self, safe);
            let negated = if what.rest { zero } else { self.b.ins().ineg(a) };
            let v = self.b.ins().select(minus_one, negated, quotient);
            return self.b.ins().select(none, if what.rest { a } else { zero }, v);
        }
        let v = by(self, safe);
        self.b.ins().select(none, if what.rest { a } else { zero }, v)
    }

    /// The low part of a register, extended to `to` bits and from there with zeroes.
    fn narrow(&mut self, dst: u8, src: u8, ty: Type, signed: bool, to: Type) {
        let v = self.reg(src);
        let v = self.b.ins().ireduce(ty, v);
        let v = if signed { self.b.ins().sextend(to, v) } else { self.b.ins().uextend(to, v) };
        let v = if to == I64 { v } else { self.b.ins().uextend(I64, v) };
        self.set(dst, v);
    }

    fn swap(&mut self, dst: u8, ty: Type) {
        let v = self.reg(dst);
        let v = if ty == I64 { v } else { self.b.ins().ireduce(ty, v) };
        let v = self.b.ins().bswap(v);
        let v = if ty == I64 { v } else { self.b.ins().uextend(I64, v) };
        self.set(dst, v);
    }

    // Memory.

    /// Is this access in bounds whatever happens?
    fn is_safe(&self, known: Known, off: i32, ty: Type, writes: bool) -> bool {
        let size = i64::from(ty.bytes());
        match known {
            Known::Any => false,
            Known::Frame(at) => {
                let at = at.saturating_add(i64::from(off));
                at >= -i64::from(FRAME_SIZE) && at <= -size
            }
            Known::Const(addr) => {
                let at = addr.wrapping_add(i64::from(off) as u64).wrapping_sub(GUEST_BASE);
                let first = if writes { self.bounds.ro_end } else { 0 };
                at >= first && at <= self.bounds.initial - size as u64
            }
        }
    }

    /// The guest address of an access and the host's, which may be used where the condition holds; no condition: always.
    fn address(&mut self, base: u8, known: &Regs, off: i32, ty: Type, writes: bool) -> (Value, Value, Option<Value>) {
        let known = known[usize::from(base)];
        let base = self.reg(base);
        let addr = if off == 0 { base } else { self.b.ins().iadd_imm(base, i64::from(off)) };
        let memory = self.constant(offset_of!(Context<'_>, memory));
        let host = self.b.ins().iadd(memory, addr);
        if self.is_safe(known, off, ty, writes) {
            return (addr, host, None);
        }
        let first = if writes { self.bounds.ro_end } else { 0 };
        let at = self.b.ins().iadd_imm(addr, (GUEST_BASE + first).wrapping_neg() as i64);
        let limit = self.constant(offset_of!(Context<'_>, limit));
        let limit = self.b.ins().load(I64, context(), limit, 0);
        // At least 16 bytes are accessible, of which this cannot take more than there are.
        let last = self.b.ins().iadd_imm(limit, -((first + u64::from(ty.bytes())) as i64));
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, at, last);
        (addr, host, Some(inside))
    }

    fn extend(&mut self, v: Value, ty: Type, signed: bool) -> Value {
        match (ty, signed) {
            (I64, _) => v,
            (_, true) => self.b.ins().sextend(I64, v),
            (_, false) => self.b.ins().uextend(I64, v),
        }
    }

    fn load(&mut self, op: &Op, known: &Regs, ty: Type, signed: bool) {
        let (addr, host, inside) = self.address(op.src, known, op.off, ty, false);
        let Some(inside) = inside else {
            let v = self.b.ins().load(ty, guest(), host, 0);
            let v = self.extend(v, ty, signed);
            return self.set(op.dst, v);
        };
        let (fast, slow, on) = (self.b.create_block(), self.cold(), self.b.create_block());
        self.b.append_block_param(on, I64);
        self.b.ins().brif(inside, fast, &[], slow, &[]);
        self.b.switch_to_block(fast);
        let v = self.b.ins().load(ty, guest(), host, 0);
        let v = self.extend(v, ty, signed);
        self.b.ins().jump(on, &[BlockArg::Value(v)]);
        self.b.switch_to_block(slow);
        self.sync();
        let (size, func) = (self.imm(i64::from(ty.bytes())), self.imports.load);
        let v = self.call(func, &[self.cx, addr, size]);
        let v = if ty == I64 { v } else { self.b.ins().ireduce(ty, v) };
        let v = self.extend(v, ty, signed);
        self.b.ins().jump(on, &[BlockArg::Value(v)]);
        self.b.switch_to_block(on);
        let v = self.b.block_params(on)[0];
        self.set(op.dst, v);
    }

    fn store(&mut self, op: &Op, known: &Regs, ty: Type, value: Value) {
        let (addr, host, inside) = self.address(op.dst, known, op.off, ty, true);
        let narrow = |e: &mut Self| if ty == I64 { value } else { e.b.ins().ireduce(ty, value) };
        let Some(inside) = inside else {
            let v = narrow(self);
            self.b.ins().store(guest(), v, host, 0);
            return;
        };
        let (fast, slow, on) = (self.b.create_block(), self.cold(), self.b.create_block());
        self.b.ins().brif(inside, fast, &[], slow, &[]);
        self.b.switch_to_block(fast);
        let v = narrow(self);
        self.b.ins().store(guest(), v, host, 0);
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(slow);
        self.sync();
        let (size, func) = (self.imm(i64::from(ty.bytes())), self.imports.store);
        self.call(func, &[self.cx, addr, size, value]);
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(on);
    }

    /// One thread runs all programs, so that an atomic operation is a load and a store.
    fn atomic(&mut self, op: &Op, known: &Regs, ty: Type) {
        let (addr, host, inside) = self.address(op.dst, known, op.off, ty, true);
        if let Some(inside) = inside {
            let (slow, on) = (self.cold(), self.b.create_block());
            self.b.ins().brif(inside, on, &[], slow, &[]);
            self.b.switch_to_block(slow);
            self.sync();
            let func = self.imports.bad_atomic;
            self.b.ins().call(func, &[self.cx, addr]);
            self.b.ins().jump(self.gone, &[]);
            self.b.switch_to_block(on);
        }
        let reduced = |e: &mut Self, r: u8| {
            let v = e.reg(r);
            if ty == I64 { v } else { e.b.ins().ireduce(ty, v) }
        };
        let src = reduced(self, op.src);
        let old = self.b.ins().load(ty, guest(), host, 0);
        let new = match op.imm {
            atomic::XCHG => src,
            atomic::CMPXCHG => {
                let r0 = reduced(self, 0);
                let same = self.b.ins().icmp(IntCC::Equal, old, r0);
                self.b.ins().select(same, src, old)
            }
            imm => match imm & !atomic::FETCH {
                atomic::ADD => self.b.ins().iadd(old, src),
                atomic::OR => self.b.ins().bor(old, src),
                atomic::AND => self.b.ins().band(old, src),
                _ => self.b.ins().bxor(old, src),
            },
        };
        self.b.ins().store(guest(), new, host, 0);
        let old = self.extend(old, ty, false);
        if op.imm == atomic::CMPXCHG {
            self.set(0, old);
        } else if op.imm & atomic::FETCH != 0 {
            self.set(op.src, old);
        }
    }
}

/// A kind of division.
#[derive(Clone, Copy)]
struct Division {
    signed: bool,
    rest: bool,
}
