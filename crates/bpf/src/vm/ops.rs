//! The internal form of an instruction: dense operation codes, operands extended, targets absolute.

/// Operation. `R`: second operand is a register; `I`: the immediate. 64 or 32: width.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Code {
    Add64R, Add64I, Add32R, Add32I,
    Sub64R, Sub64I, Sub32R, Sub32I,
    Mul64R, Mul64I, Mul32R, Mul32I,
    Div64R, Div64I, Div32R, Div32I,
    Mod64R, Mod64I, Mod32R, Mod32I,
    Sdiv64R, Sdiv64I, Sdiv32R, Sdiv32I,
    Smod64R, Smod64I, Smod32R, Smod32I,
    Or64R, Or64I, Or32R, Or32I,
    And64R, And64I, And32R, And32I,
    Xor64R, Xor64I, Xor32R, Xor32I,
    Lsh64R, Lsh64I, Lsh32R, Lsh32I,
    Rsh64R, Rsh64I, Rsh32R, Rsh32I,
    Arsh64R, Arsh64I, Arsh32R, Arsh32I,
    Mov64R, Mov64I, Mov32R,
    Movsx8to64, Movsx16to64, Movsx32to64, Movsx8to32, Movsx16to32,
    Neg64, Neg32,
    Zext16, Zext32, Nop, Swap16, Swap32, Swap64,
    Ldx8, Ldx16, Ldx32, Ldx64, Ldxs8, Ldxs16, Ldxs32,
    StR8, StR16, StR32, StR64, StI8, StI16, StI32, StI64,
    Atomic32, Atomic64,
    Ja, MayGoto,
    Jeq64R, Jeq64I, Jeq32R, Jeq32I,
    Jne64R, Jne64I, Jne32R, Jne32I,
    Jgt64R, Jgt64I, Jgt32R, Jgt32I,
    Jge64R, Jge64I, Jge32R, Jge32I,
    Jlt64R, Jlt64I, Jlt32R, Jlt32I,
    Jle64R, Jle64I, Jle32R, Jle32I,
    Jset64R, Jset64I, Jset32R, Jset32I,
    Jsgt64R, Jsgt64I, Jsgt32R, Jsgt32I,
    Jsge64R, Jsge64I, Jsge32R, Jsge32I,
    Jslt64R, Jslt64I, Jslt32R, Jslt32I,
    Jsle64R, Jsle64I, Jsle32R, Jsle32I,
    /// Calls the function at op `off`.
    CallLocal,
    /// Calls helper `imm`.
    CallHelper,
    /// Calls kfunc `imm`.
    CallKfunc,
    Exit,
    /// Faults with message `imm` of the machine's traps.
    Trap,
}

/// One operation. A 64-bit load is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) code: Code,
    /// Destination register, 0..10.
    pub(super) dst: u8,
    /// Source register, 0..10.
    pub(super) src: u8,
    /// Memory: offset in bytes. Jump, local call: index of the target operation.
    pub(super) off: i32,
    /// The immediate, sign-extended; of a 32-bit move, zero-extended; of a 64-bit load, the value.
    pub(super) imm: u64,
}

/// Atomic operations, as the immediate encodes them.
pub(super) mod atomic {
    pub(in super::super) const ADD: u64 = 0x00;
    pub(in super::super) const OR: u64 = 0x40;
    pub(in super::super) const AND: u64 = 0x50;
    pub(in super::super) const XOR: u64 = 0xa0;
    pub(in super::super) const FETCH: u64 = 0x01;
    pub(in super::super) const XCHG: u64 = 0xe1;
    pub(in super::super) const CMPXCHG: u64 = 0xf1;
    pub(in super::super) const LOAD_ACQ: u64 = 0x100;
    pub(in super::super) const STORE_REL: u64 = 0x110;
}
