//! The interpreter: one loop over [`Op`](super::ops::Op)s.
//!
//! [Compiled code](super::jit) does the same faster, and must be kept the same.
//!
//! Executed instructions are `base + pc` at any time, `base` being corrected at every transfer of control; so counting costs
//! nothing on straight code, and is exact.

use super::decode::{FRAME_SIZE, Trap};
use super::fault::{AccessError, Fault, FaultKind, HostError};
use super::host::{Call, Host};
use super::machine::{Invocation, MAX_FRAMES, Machine};
use super::memory::Word;
use super::ops::{Code, Op, atomic};

/// How often `may_goto` continues in one frame (BPF_MAX_LOOPS).
pub(super) const MAX_LOOPS: u32 = 8 << 20;

/// What a caller's frame keeps while its callee runs.
#[derive(Clone, Copy, Default)]
pub(super) struct Frame {
    /// Operation to return to.
    ret: u32,
    /// What is left of `may_goto`'s count.
    loops: u32,
    /// r6 to r9.
    saved: [u64; 4],
}

impl Machine {
    /// Runs the function whose first operation is `entry`, in a new frame. Returns r0.
    pub(super) fn exec(
        &self,
        inv: &mut Invocation<'_>,
        entry: u32,
        args: [u64; 5],
        host: &mut dyn Host,
    ) -> Result<u64, Box<Fault>> {
        if self.per_insn {
            return self.interpret::<true>(inv, entry, args, host);
        }
        match self.code.as_ref().and_then(|shared| shared.code(self.exec)) {
            None => self.interpret::<false>(inv, entry, args, host),
            Some(_) if inv.depth == MAX_FRAMES => Err(self.too_deep(inv, entry as usize)),
            Some(_) if inv.insns >= inv.limit => Err(self.over_budget(inv, entry as usize)),
            Some(code) => code.run(self, inv, entry, args, host),
        }
    }

    fn interpret<const PER_INSN: bool>(
        &self,
        inv: &mut Invocation<'_>,
        entry: u32,
        args: [u64; 5],
        host: &mut dyn Host,
    ) -> Result<u64, Box<Fault>> {
        let ops = &self.text.ops[..];
        let mem = &self.mem;
        if inv.depth == MAX_FRAMES {
            return Err(self.too_deep(inv, entry as usize));
        }
        inv.depth += 1;
        let floor = inv.depth;
        let stack = inv.stack();
        let limit = inv.limit;
        let mut loops = MAX_LOOPS;
        let mut r = [0u64; 16];
        (r[1], r[2], r[3], r[4], r[5]) = (args[0], args[1], args[2], args[3], args[4]);
        r[10] = stack + (floor as u64) * FRAME_SIZE as u64;
        let mut pc = entry as usize;
        let mut base = inv.insns.wrapping_sub(pc as u64);
        if inv.insns >= limit {
            return Err(self.over_budget(inv, entry as usize));
        }

        // Continues at `$target`; counts; looks at the budget when going back.
        macro_rules! go {
            ($target:expr) => {{
                let target = $target as usize;
                base = base.wrapping_add(pc as u64).wrapping_sub(target as u64);
                if target < pc && base.wrapping_add(target as u64) >= limit {
                    inv.insns = base.wrapping_add(target as u64);
                    return Err(self.over_budget(inv, pc - 1));
                }
                pc = target;
            }};
        }
        // Publishes the count before anybody else looks at it.
        macro_rules! sync {
            () => {
                inv.insns = base.wrapping_add(pc as u64)
            };
        }

        loop {
            if PER_INSN {
                sync!();
                if let Err(e) = host.before_insn(self, self.text.slots[pc], inv.insns) {
                    return Err(self.fault(inv, pc, e));
                }
            }
            let op = ops[pc];
            pc += 1;
            let d = usize::from(op.dst & 15);
            let s = usize::from(op.src & 15);
            macro_rules! r64 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d], r[s]);
                    r[d] = $e;
                }};
            }
            macro_rules! i64 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d], op.imm);
                    r[d] = $e;
                }};
            }
            macro_rules! r32 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d] as u32, r[s] as u32);
                    r[d] = u64::from($e);
                }};
            }
            macro_rules! i32 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d] as u32, op.imm as u32);
                    r[d] = u64::from($e);
                }};
            }
            macro_rules! jr64 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d], r[s]);
                    if $e {
                        go!(op.off)
                    }
                }};
            }
            macro_rules! ji64 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d], op.imm);
                    if $e {
                        go!(op.off)
                    }
                }};
            }
            macro_rules! jr32 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d] as u32, r[s] as u32);
                    if $e {
                        go!(op.off)
                    }
                }};
            }
            macro_rules! ji32 {
                (|$a:ident, $b:ident| $e:expr) => {{
                    let ($a, $b) = (r[d] as u32, op.imm as u32);
                    if $e {
                        go!(op.off)
                    }
                }};
            }
            macro_rules! ldx {
                ($t:ty, |$v:ident| $e:expr) => {{
                    let addr = r[s].wrapping_add(op.off as i64 as u64);
                    let $v: $t = match mem.load::<$t>(addr) {
                        Some(v) => v,
                        None => {
                            sync!();
                            self.load_outside(inv, pc - 1, addr, size_of::<$t>() as u8, host)? as $t
                        }
                    };
                    r[d] = $e;
                }};
            }
            macro_rules! st {
                ($t:ty, $value:expr) => {{
                    let addr = r[d].wrapping_add(op.off as i64 as u64);
                    let value = $value as $t;
                    if !mem.store::<$t>(addr, value) {
                        sync!();
                        self.store_outside(inv, pc - 1, addr, size_of::<$t>() as u8, u64::from(value), host)?;
                    }
                }};
            }
            match op.code {
                Code::Add64R => r64!(|a, b| a.wrapping_add(b)),
                Code::Add64I => i64!(|a, b| a.wrapping_add(b)),
                Code::Add32R => r32!(|a, b| a.wrapping_add(b)),
                Code::Add32I => i32!(|a, b| a.wrapping_add(b)),
                Code::Sub64R => r64!(|a, b| a.wrapping_sub(b)),
                Code::Sub64I => i64!(|a, b| a.wrapping_sub(b)),
                Code::Sub32R => r32!(|a, b| a.wrapping_sub(b)),
                Code::Sub32I => i32!(|a, b| a.wrapping_sub(b)),
                Code::Mul64R => r64!(|a, b| a.wrapping_mul(b)),
                Code::Mul64I => i64!(|a, b| a.wrapping_mul(b)),
                Code::Mul32R => r32!(|a, b| a.wrapping_mul(b)),
                Code::Mul32I => i32!(|a, b| a.wrapping_mul(b)),
                Code::Div64R => r64!(|a, b| a.checked_div(b).unwrap_or(0)),
                Code::Div64I => i64!(|a, b| a.checked_div(b).unwrap_or(0)),
                Code::Div32R => r32!(|a, b| a.checked_div(b).unwrap_or(0)),
                Code::Div32I => i32!(|a, b| a.checked_div(b).unwrap_or(0)),
                Code::Mod64R => r64!(|a, b| a.checked_rem(b).unwrap_or(a)),
                Code::Mod64I => i64!(|a, b| a.checked_rem(b).unwrap_or(a)),
                Code::Mod32R => r32!(|a, b| a.checked_rem(b).unwrap_or(a)),
                Code::Mod32I => i32!(|a, b| a.checked_rem(b).unwrap_or(a)),
                Code::Sdiv64R => r64!(|a, b| sdiv64(a, b)),
                Code::Sdiv64I => i64!(|a, b| sdiv64(a, b)),
                Code::Sdiv32R => r32!(|a, b| sdiv32(a, b)),
                Code::Sdiv32I => i32!(|a, b| sdiv32(a, b)),
                Code::Smod64R => r64!(|a, b| smod64(a, b)),
                Code::Smod64I => i64!(|a, b| smod64(a, b)),
                Code::Smod32R => r32!(|a, b| smod32(a, b)),
                Code::Smod32I => i32!(|a, b| smod32(a, b)),
                Code::Or64R => r64!(|a, b| a | b),
                Code::Or64I => i64!(|a, b| a | b),
                Code::Or32R => r32!(|a, b| a | b),
                Code::Or32I => i32!(|a, b| a | b),
                Code::And64R => r64!(|a, b| a & b),
                Code::And64I => i64!(|a, b| a & b),
                Code::And32R => r32!(|a, b| a & b),
                Code::And32I => i32!(|a, b| a & b),
                Code::Xor64R => r64!(|a, b| a ^ b),
                Code::Xor64I => i64!(|a, b| a ^ b),
                Code::Xor32R => r32!(|a, b| a ^ b),
                Code::Xor32I => i32!(|a, b| a ^ b),
                Code::Lsh64R => r64!(|a, b| a.wrapping_shl(b as u32)),
                Code::Lsh64I => i64!(|a, b| a.wrapping_shl(b as u32)),
                Code::Lsh32R => r32!(|a, b| a.wrapping_shl(b)),
                Code::Lsh32I => i32!(|a, b| a.wrapping_shl(b)),
                Code::Rsh64R => r64!(|a, b| a.wrapping_shr(b as u32)),
                Code::Rsh64I => i64!(|a, b| a.wrapping_shr(b as u32)),
                Code::Rsh32R => r32!(|a, b| a.wrapping_shr(b)),
                Code::Rsh32I => i32!(|a, b| a.wrapping_shr(b)),
                Code::Arsh64R => r64!(|a, b| (a as i64).wrapping_shr(b as u32) as u64),
                Code::Arsh64I => i64!(|a, b| (a as i64).wrapping_shr(b as u32) as u64),
                Code::Arsh32R => r32!(|a, b| (a as i32).wrapping_shr(b) as u32),
                Code::Arsh32I => i32!(|a, b| (a as i32).wrapping_shr(b) as u32),
                Code::Mov64R => r[d] = r[s],
                Code::Mov64I => r[d] = op.imm,
                Code::Mov32R => r[d] = u64::from(r[s] as u32),
                Code::Movsx8to64 => r[d] = r[s] as i8 as u64,
                Code::Movsx16to64 => r[d] = r[s] as i16 as u64,
                Code::Movsx32to64 => r[d] = r[s] as i32 as u64,
                Code::Movsx8to32 => r[d] = u64::from(r[s] as i8 as u32),
                Code::Movsx16to32 => r[d] = u64::from(r[s] as i16 as u32),
                Code::Neg64 => r[d] = r[d].wrapping_neg(),
                Code::Neg32 => r[d] = u64::from((r[d] as u32).wrapping_neg()),
                Code::Zext16 => r[d] = u64::from(r[d] as u16),
                Code::Zext32 => r[d] = u64::from(r[d] as u32),
                Code::Nop => {}
                Code::Swap16 => r[d] = u64::from((r[d] as u16).swap_bytes()),
                Code::Swap32 => r[d] = u64::from((r[d] as u32).swap_bytes()),
                Code::Swap64 => r[d] = r[d].swap_bytes(),
                Code::Ldx8 => ldx!(u8, |v| u64::from(v)),
                Code::Ldx16 => ldx!(u16, |v| u64::from(v)),
                Code::Ldx32 => ldx!(u32, |v| u64::from(v)),
                Code::Ldx64 => ldx!(u64, |v| v),
                Code::Ldxs8 => ldx!(u8, |v| v as i8 as u64),
                Code::Ldxs16 => ldx!(u16, |v| v as i16 as u64),
                Code::Ldxs32 => ldx!(u32, |v| v as i32 as u64),
                Code::StR8 => st!(u8, r[s]),
                Code::StR16 => st!(u16, r[s]),
                Code::StR32 => st!(u32, r[s]),
                Code::StR64 => st!(u64, r[s]),
                Code::StI8 => st!(u8, op.imm),
                Code::StI16 => st!(u16, op.imm),
                Code::StI32 => st!(u32, op.imm),
                Code::StI64 => st!(u64, op.imm),
                Code::Atomic32 => {
                    sync!();
                    let addr = r[d].wrapping_add(op.off as i64 as u64);
                    let old = self.atomic::<u32>(inv, pc - 1, addr, |old| {
                        rmw(op.imm, u64::from(old), r[s] as u32 as u64, r[0] as u32 as u64) as u32
                    })?;
                    fetch(&op, &mut r, u64::from(old));
                }
                Code::Atomic64 => {
                    sync!();
                    let addr = r[d].wrapping_add(op.off as i64 as u64);
                    let old = self.atomic::<u64>(inv, pc - 1, addr, |old| rmw(op.imm, old, r[s], r[0]))?;
                    fetch(&op, &mut r, old);
                }
                Code::Ja => go!(op.off),
                Code::MayGoto => {
                    // Linux ends the loop by count or by time; time stands for instructions here, half of the budget.
                    let spent = base.wrapping_add(pc as u64) >= limit / 2;
                    if loops == 0 || spent {
                        go!(op.off)
                    } else {
                        loops -= 1;
                    }
                }
                Code::Jeq64R => jr64!(|a, b| a == b),
                Code::Jeq64I => ji64!(|a, b| a == b),
                Code::Jeq32R => jr32!(|a, b| a == b),
                Code::Jeq32I => ji32!(|a, b| a == b),
                Code::Jne64R => jr64!(|a, b| a != b),
                Code::Jne64I => ji64!(|a, b| a != b),
                Code::Jne32R => jr32!(|a, b| a != b),
                Code::Jne32I => ji32!(|a, b| a != b),
                Code::Jgt64R => jr64!(|a, b| a > b),
                Code::Jgt64I => ji64!(|a, b| a > b),
                Code::Jgt32R => jr32!(|a, b| a > b),
                Code::Jgt32I => ji32!(|a, b| a > b),
                Code::Jge64R => jr64!(|a, b| a >= b),
                Code::Jge64I => ji64!(|a, b| a >= b),
                Code::Jge32R => jr32!(|a, b| a >= b),
                Code::Jge32I => ji32!(|a, b| a >= b),
                Code::Jlt64R => jr64!(|a, b| a < b),
                Code::Jlt64I => ji64!(|a, b| a < b),
                Code::Jlt32R => jr32!(|a, b| a < b),
                Code::Jlt32I => ji32!(|a, b| a < b),
                Code::Jle64R => jr64!(|a, b| a <= b),
                Code::Jle64I => ji64!(|a, b| a <= b),
                Code::Jle32R => jr32!(|a, b| a <= b),
                Code::Jle32I => ji32!(|a, b| a <= b),
                Code::Jset64R => jr64!(|a, b| a & b != 0),
                Code::Jset64I => ji64!(|a, b| a & b != 0),
                Code::Jset32R => jr32!(|a, b| a & b != 0),
                Code::Jset32I => ji32!(|a, b| a & b != 0),
                Code::Jsgt64R => jr64!(|a, b| a as i64 > b as i64),
                Code::Jsgt64I => ji64!(|a, b| a as i64 > b as i64),
                Code::Jsgt32R => jr32!(|a, b| a as i32 > b as i32),
                Code::Jsgt32I => ji32!(|a, b| a as i32 > b as i32),
                Code::Jsge64R => jr64!(|a, b| a as i64 >= b as i64),
                Code::Jsge64I => ji64!(|a, b| a as i64 >= b as i64),
                Code::Jsge32R => jr32!(|a, b| a as i32 >= b as i32),
                Code::Jsge32I => ji32!(|a, b| a as i32 >= b as i32),
                Code::Jslt64R => jr64!(|a, b| (a as i64) < b as i64),
                Code::Jslt64I => ji64!(|a, b| (a as i64) < b as i64),
                Code::Jslt32R => jr32!(|a, b| (a as i32) < b as i32),
                Code::Jslt32I => ji32!(|a, b| (a as i32) < b as i32),
                Code::Jsle64R => jr64!(|a, b| a as i64 <= b as i64),
                Code::Jsle64I => ji64!(|a, b| a as i64 <= b as i64),
                Code::Jsle32R => jr32!(|a, b| a as i32 <= b as i32),
                Code::Jsle32I => ji32!(|a, b| a as i32 <= b as i32),
                Code::CallLocal => {
                    if inv.depth == MAX_FRAMES {
                        sync!();
                        return Err(self.too_deep(inv, pc - 1));
                    }
                    if base.wrapping_add(pc as u64) >= limit {
                        sync!();
                        return Err(self.over_budget(inv, pc - 1));
                    }
                    *inv.frame() = Frame { ret: pc as u32, loops, saved: [r[6], r[7], r[8], r[9]] };
                    // What verified programs never look at is defined, too.
                    (r[0], r[6], r[7], r[8], r[9]) = (0, 0, 0, 0, 0);
                    loops = MAX_LOOPS;
                    inv.depth += 1;
                    r[10] += FRAME_SIZE as u64;
                    base = base.wrapping_add(pc as u64).wrapping_sub(op.off as u64);
                    pc = op.off as usize;
                }
                Code::CallHelper => {
                    sync!();
                    let call = self.call_at(inv, pc - 1);
                    let args = [r[1], r[2], r[3], r[4], r[5]];
                    r[0] = match self.helper(inv, call, args, host) {
                        Ok(v) => v,
                        Err(e) => return Err(self.fault(inv, pc - 1, e)),
                    };
                    // A callback of the helper's counts too.
                    base = inv.insns.wrapping_sub(pc as u64);
                }
                Code::CallKfunc => {
                    sync!();
                    let call = self.call_at(inv, pc - 1);
                    r[0] = match host.kfunc(self, call, [r[1], r[2], r[3], r[4], r[5]]) {
                        Ok(v) => v,
                        Err(e) => return Err(self.fault(inv, pc - 1, e)),
                    };
                }
                Code::Exit => {
                    if inv.depth == floor {
                        sync!();
                        inv.depth -= 1;
                        return Ok(r[0]);
                    }
                    inv.depth -= 1;
                    let frame = *inv.frame();
                    r[1..6].fill(0);
                    r[6..10].copy_from_slice(&frame.saved);
                    r[10] -= FRAME_SIZE as u64;
                    loops = frame.loops;
                    base = base.wrapping_add(pc as u64).wrapping_sub(u64::from(frame.ret));
                    pc = frame.ret as usize;
                }
                Code::Trap => {
                    sync!();
                    return Err(self.trapped(inv, pc - 1));
                }
            }
        }
    }

    /// The call that the operation at `pc` is.
    #[inline(always)]
    pub(super) fn call_at(&self, inv: &Invocation<'_>, pc: usize) -> Call {
        let id = self.text.ops[pc].imm as usize;
        Call { program: inv.program, id, insns: inv.insns, slot: self.text.slots[pc] }
    }

    /// The fault that the trap at `pc` is.
    #[cold]
    pub(super) fn trapped(&self, inv: &Invocation<'_>, pc: usize) -> Box<Fault> {
        let error = match &self.text.traps[self.text.ops[pc].imm as usize] {
            Trap::Missing(what) => HostError::Misuse(what.clone()),
            Trap::NotImplemented(what) => HostError::NotImplemented(what.clone()),
        };
        self.fault(inv, pc, error)
    }

    /// A load that guest memory does not satisfy: the null page and bad kernel addresses read zero, as on Linux; guest addresses
    /// out of bounds are a fault.
    #[inline(never)]
    pub(super) fn load_outside(
        &self,
        inv: &Invocation<'_>,
        pc: usize,
        addr: u64,
        size: u8,
        host: &mut dyn Host,
    ) -> Result<u64, Box<Fault>> {
        if addr < 4096 {
            return Ok(0);
        }
        if self.owns(addr) {
            let message = format!("load of {size} bytes at {addr:#x}: not a valid address of the program's own memory");
            return Err(self.fault_at(inv, pc, FaultKind::BadAccess, message));
        }
        if wraps(addr, size) {
            return Ok(0);
        }
        match host.kernel_load(self, addr, size) {
            Ok(value) => Ok(value),
            Err(AccessError::Bad | AccessError::ReadOnly(_)) => Ok(0),
            Err(AccessError::NotImplemented(what)) => Err(self.fault(inv, pc, HostError::NotImplemented(what))),
        }
    }

    /// A store that guest memory does not take.
    #[inline(never)]
    pub(super) fn store_outside(
        &self,
        inv: &Invocation<'_>,
        pc: usize,
        addr: u64,
        size: u8,
        value: u64,
        host: &mut dyn Host,
    ) -> Result<(), Box<Fault>> {
        if addr < 4096 {
            let message = format!("store of {size} bytes through a null pointer (address {addr:#x})");
            return Err(self.fault_at(inv, pc, FaultKind::NullStore, message));
        }
        if self.mem.is_read_only(addr) {
            let message = format!("store of {size} bytes at {addr:#x}: read-only memory");
            return Err(self.fault_at(inv, pc, FaultKind::ReadOnly, message));
        }
        if self.owns(addr) {
            let message =
                format!("store of {size} bytes at {addr:#x}: not a valid address of the program's own memory");
            return Err(self.fault_at(inv, pc, FaultKind::BadAccess, message));
        }
        let stored = if wraps(addr, size) { Err(AccessError::Bad) } else { host.kernel_store(self, addr, size, value) };
        match stored {
            Ok(()) => Ok(()),
            Err(AccessError::NotImplemented(what)) => Err(self.fault(inv, pc, HostError::NotImplemented(what))),
            Err(AccessError::Bad) => Err(self.fault_at(
                inv,
                pc,
                FaultKind::BadAccess,
                format!("store of {size} bytes at {addr:#x}: bad address"),
            )),
            Err(AccessError::ReadOnly(what)) => {
                let message = format!("store of {size} bytes at {addr:#x}: programs may not write {what}");
                Err(self.fault_at(inv, pc, FaultKind::ReadOnly, message))
            }
        }
    }

    /// Replaces the integer at `addr` by `f` of it; returns the old one. Kernel objects take no atomics.
    #[inline(always)]
    fn atomic<T: Word>(
        &self,
        inv: &Invocation<'_>,
        pc: usize,
        addr: u64,
        f: impl FnOnce(T) -> T,
    ) -> Result<T, Box<Fault>> {
        match self.mem.load::<T>(addr) {
            Some(old) if self.mem.store::<T>(addr, f(old)) => Ok(old),
            _ => Err(self.bad_atomic(inv, pc, addr)),
        }
    }

    #[cold]
    pub(super) fn bad_atomic(&self, inv: &Invocation<'_>, pc: usize, addr: u64) -> Box<Fault> {
        let (kind, why) = match addr {
            0..4096 => (FaultKind::NullStore, "a null pointer"),
            _ if self.mem.is_read_only(addr) => (FaultKind::ReadOnly, "read-only memory"),
            _ => (FaultKind::BadAccess, "not the program's own memory"),
        };
        self.fault_at(inv, pc, kind, format!("atomic operation at {addr:#x}: {why}"))
    }

    #[cold]
    pub(super) fn over_budget(&self, inv: &Invocation<'_>, pc: usize) -> Box<Fault> {
        let message =
            format!("more than {} instructions in one invocation: an endless loop, or one far too long", self.budget);
        self.fault_at(inv, pc, FaultKind::Budget, message)
    }

    #[cold]
    pub(super) fn too_deep(&self, inv: &Invocation<'_>, pc: usize) -> Box<Fault> {
        self.fault_at(inv, pc, FaultKind::CallDepth, format!("more than {MAX_FRAMES} frames: stack exhausted"))
    }

    /// A fault of kind `kind` at operation `pc`.
    #[cold]
    pub(super) fn fault_at(&self, inv: &Invocation<'_>, pc: usize, kind: FaultKind, message: String) -> Box<Fault> {
        let location = self.text.slots.get(pc).and_then(|slot| self.image.locate(*slot));
        Box::new(Fault { kind, program: self.program_name(inv.program), location, message, insns: inv.insns })
    }

    /// The fault that a host's or helper's error is.
    #[cold]
    pub(super) fn fault(&self, inv: &Invocation<'_>, pc: usize, error: HostError) -> Box<Fault> {
        let (kind, message) = match error {
            HostError::Misuse(m) => (FaultKind::Misuse, m),
            HostError::NotImplemented(m) => (FaultKind::NotImplemented, format!("not implemented yet: {m}")),
            HostError::Aborted(m) => (FaultKind::Aborted, m),
            HostError::BadAccess(m) => (FaultKind::BadAccess, m),
            HostError::Fault(fault) => return fault,
        };
        self.fault_at(inv, pc, kind, message)
    }
}

/// Does an access run over the end of the address space?
fn wraps(addr: u64, size: u8) -> bool {
    addr.checked_add(u64::from(size) - 1).is_none()
}

fn sdiv64(a: u64, b: u64) -> u64 {
    if b == 0 { 0 } else { (a as i64).wrapping_div(b as i64) as u64 }
}

fn sdiv32(a: u32, b: u32) -> u32 {
    if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 }
}

fn smod64(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }
}

fn smod32(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }
}

/// The new value of atomic operation `op` on `old`; `r0` is what cmpxchg compares with.
fn rmw(op: u64, old: u64, src: u64, r0: u64) -> u64 {
    match op {
        atomic::XCHG => src,
        atomic::CMPXCHG => {
            if old == r0 {
                src
            } else {
                old
            }
        }
        _ => match op & !atomic::FETCH {
            atomic::ADD => old.wrapping_add(src),
            atomic::OR => old | src,
            atomic::AND => old & src,
            _ => old ^ src,
        },
    }
}

/// Where the old value goes: r0 for cmpxchg, the source register for other fetching operations.
fn fetch(op: &Op, r: &mut [u64; 16], old: u64) {
    if op.imm == atomic::CMPXCHG {
        r[0] = old;
    } else if op.imm & atomic::FETCH != 0 {
        r[usize::from(op.src & 15)] = old;
    }
}
