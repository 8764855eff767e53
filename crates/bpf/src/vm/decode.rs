//! From an image's text to [`Op`]s, with the static checks that need no analysis of values: known operation, no stray bits in
//! unused fields, registers, jump targets, whole 64-bit loads, known helpers. Only code that a program can reach is looked at;
//! the linker leaves dead duplicates behind.

use super::fault::MachineError;
use super::helpers;
use super::machine::{Handles, Options};
use super::names::helper_name;
use super::ops::{Code, Op, atomic};
use crate::image::{Func, Image, Insn, ProgramKind, pseudo};

/// Bytes of stack that a frame has.
pub(super) const FRAME_SIZE: i32 = 512;

/// Decoded text.
pub(super) struct Text {
    /// Operations of all functions.
    pub(super) ops: Box<[Op]>,
    /// Slot of each operation.
    pub(super) slots: Box<[u32]>,
    /// First operation of each function.
    pub(super) entries: Box<[u32]>,
    /// Messages of [`Code::Trap`].
    pub(super) traps: Vec<Trap>,
}

/// What executing a [`Code::Trap`] says.
pub(super) enum Trap {
    /// The kernel lacks what the object uses here.
    Missing(String),
    /// This machine lacks it.
    NotImplemented(String),
}

/// How strictly a function is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// No program gets here.
    Dead,
    /// Only programs that nobody may ever attach: what is not implemented becomes a trap.
    Lenient,
    /// What is not implemented is an error.
    Strict,
}

/// Checks and decodes the whole text. `value_addr(map, offset)` is the address of a byte of a map's only value;
pub(super) fn decode(
    image: &Image,
    opts: &Options<'_>,
    value_addr: impl Fn(usize, u32) -> Option<u64>,
) -> Result<Text, MachineError> {
    let reach = reach(image)?;
    let text = &image.text;
    let mut at = vec![u32::MAX; text.len()];
    let mut slots = Vec::with_capacity(text.len());
    let mut pc = 0;
    while pc < text.len() {
        at[pc] = slots.len() as u32;
        slots.push(pc as u32);
        pc += if text[pc].code == 0x18 { 2 } else { 1 };
    }
    let mut decoder =
        Decoder { image, opts, value_addr, at: &at, traps: Vec::new(), func: &image.funcs[..0], reach: Reach::Dead };
    let dead = Op { code: Code::Trap, dst: 0, src: 0, off: 0, imm: 0 };
    decoder.traps.push(Trap::Missing("code that no program reaches".into()));
    let mut ops = vec![dead; slots.len()];
    for (i, func) in image.funcs.iter().enumerate() {
        decoder.func = std::slice::from_ref(func);
        decoder.reach = reach[i];
        if reach[i] == Reach::Dead {
            continue;
        }
        let end = func.start + func.len;
        let mut pc = func.start;
        let mut last = 0;
        while pc < end {
            last = pc;
            ops[at[pc as usize] as usize] = decoder.insn(pc)?;
            pc += if text[pc as usize].code == 0x18 { 2 } else { 1 };
        }
        let ends = matches!(text[last as usize].code, 0x95 | 0x05 | 0x06);
        let ends = ends || (text[last as usize].code == 0x85 && text[last as usize].src == pseudo::POISON);
        if pc != end || !ends {
            return Err(decoder.bad(last, "the function runs past its end"));
        }
    }
    let entries = image.funcs.iter().map(|f| at.get(f.start as usize).copied().unwrap_or(0)).collect();
    Ok(Text { ops: ops.into(), slots: slots.into(), entries, traps: decoder.traps })
}

/// Which functions programs reach, by calls and by taking addresses. Checks functions' bounds and calls' targets.
fn reach(image: &Image) -> Result<Vec<Reach>, MachineError> {
    let mut end = 0;
    for f in &image.funcs {
        let bad = |what: &str| MachineError::BadFunc { func: f.name.clone(), what: what.into() };
        if f.start < end {
            return Err(bad("overlaps the function before it, or is out of order"));
        }
        end = f
            .start
            .checked_add(f.len)
            .filter(|e| *e as usize <= image.text.len())
            .ok_or_else(|| bad("lies outside of the text"))?;
        if f.len == 0 {
            return Err(bad("has no instructions"));
        }
    }
    let mut reach = vec![Reach::Dead; image.funcs.len()];
    for level in [Reach::Strict, Reach::Lenient] {
        let programs =
            image.programs.iter().filter(|p| matches!(p.kind, ProgramKind::Other(_)) == (level == Reach::Lenient));
        let mut todo = Vec::new();
        for p in programs {
            if p.func >= image.funcs.len() {
                return Err(MachineError::BadFunc { func: p.name.clone(), what: "its function does not exist".into() });
            }
            todo.push(p.func);
        }
        while let Some(i) = todo.pop() {
            if reach[i] >= level {
                continue;
            }
            reach[i] = level;
            let func = &image.funcs[i];
            for pc in func.start..func.start + func.len {
                if let Some(callee) = referred(image, pc)? {
                    todo.push(callee);
                }
            }
        }
    }
    Ok(reach)
}

/// The function that the instruction at `pc` calls or takes the address of.
fn referred(image: &Image, pc: u32) -> Result<Option<usize>, MachineError> {
    let insn = image.text[pc as usize];
    let bad = |what: String| match image.locate(pc) {
        Some(location) => MachineError::BadInsn { location: location.into(), what },
        None => MachineError::BadFunc { func: format!("slot {pc}"), what },
    };
    match (insn.code, insn.src) {
        (0x85, pseudo::CALL) => {
            let target = i64::from(pc) + 1 + i64::from(insn.imm);
            let func = image.funcs.iter().position(|f| i64::from(f.start) == target);
            func.map(Some).ok_or_else(|| bad(format!("call of slot {target}, where no function starts")))
        }
        (0x18, pseudo::FUNC) => match usize::try_from(insn.imm) {
            Ok(i) if i < image.funcs.len() => Ok(Some(i)),
            _ => Err(bad(format!("address of function {}, which does not exist", insn.imm))),
        },
        _ => Ok(None),
    }
}

struct Decoder<'a, F> {
    image: &'a Image,
    opts: &'a Options<'a>,
    value_addr: F,
    /// Operation of each slot; `u32::MAX`: second half of a 64-bit load.
    at: &'a [u32],
    traps: Vec<Trap>,
    /// The function being decoded (one, or none before the first).
    func: &'a [Func],
    reach: Reach,
}

impl<F: Fn(usize, u32) -> Option<u64>> Decoder<'_, F> {
    fn bad(&self, pc: u32, what: impl Into<String>) -> MachineError {
        match self.image.locate(pc) {
            Some(location) => MachineError::BadInsn { location: location.into(), what: what.into() },
            None => MachineError::BadFunc { func: format!("slot {pc}"), what: what.into() },
        }
    }

    /// Something valid that the machine does not have: an error, or a trap in programs that may never run.
    fn lacks(&mut self, pc: u32, what: String) -> Result<Op, MachineError> {
        match self.image.locate(pc) {
            Some(location) if self.reach == Reach::Strict => {
                Err(MachineError::NotImplemented { location: location.into(), what })
            }
            _ => Ok(self.trap(Trap::NotImplemented(what))),
        }
    }

    fn trap(&mut self, trap: Trap) -> Op {
        self.traps.push(trap);
        Op { code: Code::Trap, dst: 0, src: 0, off: 0, imm: self.traps.len() as u64 - 1 }
    }

    /// The operation index of a jump from `pc` over `distance` slots.
    fn target(&self, pc: u32, distance: i64) -> Result<i32, MachineError> {
        let target = i64::from(pc) + 1 + distance;
        let func = &self.func[0];
        let inside = target >= i64::from(func.start) && target < i64::from(func.start) + i64::from(func.len);
        if !inside {
            return Err(self.bad(pc, "jump out of the function"));
        }
        match self.at[target as usize] {
            u32::MAX => Err(self.bad(pc, "jump into the middle of a 64-bit load")),
            op => Ok(op as i32),
        }
    }

    fn insn(&mut self, pc: u32) -> Result<Op, MachineError> {
        let i = self.image.text[pc as usize];
        let pseudo_src = i.code == 0x18 || i.code == 0x85;
        if i.dst > 10 || (!pseudo_src && i.src > 10) {
            return Err(self.bad(pc, format!("register r{} does not exist", i.dst.max(i.src))));
        }
        let writes = matches!(i.code & 7, 0 | 1 | 4 | 7) && i.code != 0x95;
        if writes && i.dst == 10 {
            return Err(self.bad(pc, "the frame pointer is read-only"));
        }
        match i.code & 7 {
            4 | 7 => self.alu(pc, i),
            5 | 6 => self.jump(pc, i),
            0 => self.load_imm64(pc, i),
            _ => self.memory(pc, i),
        }
    }

    fn unused(&self, pc: u32, fields: &[(bool, &str)]) -> Result<(), MachineError> {
        match fields.iter().find(|(stray, _)| *stray) {
            Some((_, name)) => Err(self.bad(pc, format!("the instruction does not use its {name}, which must be 0"))),
            None => Ok(()),
        }
    }

    fn unknown(&self, pc: u32, i: Insn) -> MachineError {
        self.bad(
            pc,
            format!("unknown instruction {:#04x} (src {}, offset {}, immediate {})", i.code, i.src, i.off, i.imm),
        )
    }

    fn alu(&mut self, pc: u32, i: Insn) -> Result<Op, MachineError> {
        let wide = i.code & 7 == 7;
        let reg = i.code & 8 != 0;
        let form = match (wide, reg) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let op = |code: Code, imm: u64| Op { code, dst: i.dst, src: i.src, off: 0, imm };
        let nibble = i.code >> 4;
        match nibble {
            0x8 => {
                self.unused(
                    pc,
                    &[(i.src != 0, "source"), (i.off != 0, "offset"), (i.imm != 0, "immediate"), (reg, "source flag")],
                )?;
                return Ok(op(if wide { Code::Neg64 } else { Code::Neg32 }, 0));
            }
            0xd => {
                self.unused(pc, &[(i.src != 0, "source"), (i.off != 0, "offset"), (wide && reg, "source flag")])?;
                // Class ALU: to little (source 0) or big endian; class ALU64: swap whatever the host's order is.
                let swap = wide || reg;
                let code = match (swap, i.imm) {
                    (true, 16) => Code::Swap16,
                    (true, 32) => Code::Swap32,
                    (true, 64) => Code::Swap64,
                    (false, 16) => Code::Zext16,
                    (false, 32) => Code::Zext32,
                    (false, 64) => Code::Nop,
                    _ => return Err(self.unknown(pc, i)),
                };
                return Ok(op(code, 0));
            }
            _ => {}
        }
        self.unused(
            pc,
            &[(reg && i.imm != 0 && !(nibble == 0xb && i.off == 1), "immediate"), (!reg && i.src != 0, "source")],
        )?;
        use Code::*;
        let codes = match (nibble, i.off) {
            (0x0, 0) => [Add64R, Add64I, Add32R, Add32I],
            (0x1, 0) => [Sub64R, Sub64I, Sub32R, Sub32I],
            (0x2, 0) => [Mul64R, Mul64I, Mul32R, Mul32I],
            (0x3, 0) => [Div64R, Div64I, Div32R, Div32I],
            (0x3, 1) => [Sdiv64R, Sdiv64I, Sdiv32R, Sdiv32I],
            (0x4, 0) => [Or64R, Or64I, Or32R, Or32I],
            (0x5, 0) => [And64R, And64I, And32R, And32I],
            (0x6, 0) => [Lsh64R, Lsh64I, Lsh32R, Lsh32I],
            (0x7, 0) => [Rsh64R, Rsh64I, Rsh32R, Rsh32I],
            (0x9, 0) => [Mod64R, Mod64I, Mod32R, Mod32I],
            (0x9, 1) => [Smod64R, Smod64I, Smod32R, Smod32I],
            (0xa, 0) => [Xor64R, Xor64I, Xor32R, Xor32I],
            (0xb, 0) => [Mov64R, Mov64I, Mov32R, Mov64I],
            (0xc, 0) => [Arsh64R, Arsh64I, Arsh32R, Arsh32I],
            (0xb, 8) if reg => [Movsx8to64, Nop, Movsx8to32, Nop],
            (0xb, 16) if reg => [Movsx16to64, Nop, Movsx16to32, Nop],
            (0xb, 32) if reg && wide => [Movsx32to64, Nop, Nop, Nop],
            // An arena pointer is the same in both address spaces.
            (0xb, 1) if reg && wide && matches!(i.imm, 1 | 0x1_0000) => [Mov64R, Nop, Nop, Nop],
            (0xb, -1) if reg && wide => return self.lacks(pc, "per-CPU addresses (mov_percpu)".into()),
            _ => return Err(self.unknown(pc, i)),
        };
        let imm = match (nibble, wide) {
            (0xb, false) => u64::from(i.imm as u32),
            _ => i64::from(i.imm) as u64,
        };
        Ok(op(codes[form], imm))
    }

    fn jump(&mut self, pc: u32, i: Insn) -> Result<Op, MachineError> {
        let wide = i.code & 7 == 5;
        let reg = i.code & 8 != 0;
        let op = |code: Code, off: i32| Op { code, dst: i.dst, src: i.src, off, imm: i64::from(i.imm) as u64 };
        match (i.code >> 4, wide, reg) {
            (0x0, true, false) => {
                self.unused(pc, &[(i.dst != 0, "destination"), (i.src != 0, "source"), (i.imm != 0, "immediate")])?;
                return Ok(op(Code::Ja, self.target(pc, i64::from(i.off))?));
            }
            (0x0, false, false) => {
                self.unused(pc, &[(i.dst != 0, "destination"), (i.src != 0, "source"), (i.off != 0, "offset")])?;
                return Ok(op(Code::Ja, self.target(pc, i64::from(i.imm))?));
            }
            (0x0, true, true) => return self.lacks(pc, "indirect jumps (gotox)".into()),
            (0xe, true, false) if i.src == 0 => {
                self.unused(pc, &[(i.dst != 0, "destination"), (i.imm != 0, "immediate")])?;
                return Ok(op(Code::MayGoto, self.target(pc, i64::from(i.off))?));
            }
            (0x8, true, false) => return self.call(pc, i),
            (0x8, true, true) => return Err(self.bad(pc, "calls through a register are not BPF on Linux")),
            (0x9, true, false) => {
                let stray = [
                    (i.dst != 0, "destination"),
                    (i.src != 0, "source"),
                    (i.off != 0, "offset"),
                    (i.imm != 0, "immediate"),
                ];
                self.unused(pc, &stray)?;
                return Ok(op(Code::Exit, 0));
            }
            _ => {}
        }
        self.unused(pc, &[(reg && i.imm != 0, "immediate"), (!reg && i.src != 0, "source")])?;
        use Code::*;
        let codes = match i.code >> 4 {
            0x1 => [Jeq64R, Jeq64I, Jeq32R, Jeq32I],
            0x2 => [Jgt64R, Jgt64I, Jgt32R, Jgt32I],
            0x3 => [Jge64R, Jge64I, Jge32R, Jge32I],
            0x4 => [Jset64R, Jset64I, Jset32R, Jset32I],
            0x5 => [Jne64R, Jne64I, Jne32R, Jne32I],
            0x6 => [Jsgt64R, Jsgt64I, Jsgt32R, Jsgt32I],
            0x7 => [Jsge64R, Jsge64I, Jsge32R, Jsge32I],
            0xa => [Jlt64R, Jlt64I, Jlt32R, Jlt32I],
            0xb => [Jle64R, Jle64I, Jle32R, Jle32I],
            0xc => [Jslt64R, Jslt64I, Jslt32R, Jslt32I],
            0xd => [Jsle64R, Jsle64I, Jsle32R, Jsle32I],
            _ => return Err(self.unknown(pc, i)),
        };
        let form = if wide { 0 } else { 2 } + usize::from(!reg);
        Ok(op(codes[form], self.target(pc, i64::from(i.off))?))
    }

    fn call(&mut self, pc: u32, i: Insn) -> Result<Op, MachineError> {
        self.unused(pc, &[(i.dst != 0, "destination"), (i.off != 0 && i.src != pseudo::KFUNC_CALL, "offset")])?;
        let op = |code: Code, off: i32| Op { code, dst: 0, src: 0, off, imm: i64::from(i.imm) as u64 };
        match i.src {
            0 => match helper_name(i.imm) {
                None => match self.image.locate(pc) {
                    Some(location) => Err(MachineError::UnknownHelper { location: location.into(), id: i.imm }),
                    None => Err(self.bad(pc, format!("call to unknown helper {}", i.imm))),
                },
                Some(_) if helpers::is_supported(i.imm) => Ok(op(Code::CallHelper, 0)),
                Some(name) => self.lacks(pc, format!("helper {name}")),
            },
            pseudo::CALL => {
                let slot = i64::from(pc) + 1 + i64::from(i.imm);
                Ok(op(Code::CallLocal, self.at[slot as usize] as i32))
            }
            pseudo::KFUNC_CALL => match usize::try_from(i.imm).ok().and_then(|k| self.image.kfuncs.get(k)) {
                None => Err(self.bad(pc, format!("call of kfunc {}, which the object does not declare", i.imm))),
                Some(k) if k.kernel_btf_id.is_none() => {
                    let what = format!("call of kfunc {}, which this kernel does not have", k.symbol);
                    Ok(self.trap(Trap::Missing(what)))
                }
                Some(_) => Ok(op(Code::CallKfunc, 0)),
            },
            pseudo::POISON => match usize::try_from(i.imm).ok().and_then(|p| self.image.poisons.get(p)) {
                Some(what) => Ok(self.trap(Trap::Missing(what.clone()))),
                None => Err(self.unknown(pc, i)),
            },
            _ => Err(self.unknown(pc, i)),
        }
    }

    fn load_imm64(&mut self, pc: u32, i: Insn) -> Result<Op, MachineError> {
        if i.code != 0x18 {
            let legacy = matches!(i.code & 0xe0, 0x20 | 0x40) && i.code & 0x18 != 0x18;
            let what = "packet loads (ld_abs, ld_ind) do not exist in these programs";
            return Err(if legacy { self.bad(pc, what) } else { self.unknown(pc, i) });
        }
        let func = &self.func[0];
        let whole = pc + 1 < func.start + func.len && self.image.text[pc as usize + 1].code == 0;
        if !whole {
            return Err(self.bad(pc, "64-bit load without its second half"));
        }
        let high = self.image.text[pc as usize + 1];
        let stray = i.off != 0 || high.off != 0 || high.dst != 0 || high.src != 0;
        self.unused(pc, &[(stray, "other fields")])?;
        let index = usize::try_from(i.imm).ok();
        let imm = match i.src {
            0 => u64::from(i.imm as u32) | (high.imm as u32 as u64) << 32,
            pseudo::MAP_FD => match index.filter(|m| *m < self.image.maps.len()) {
                Some(map) => Handles::map(map),
                None => return Err(self.bad(pc, format!("map {} does not exist", i.imm))),
            },
            pseudo::MAP_VALUE => match index.and_then(|map| (self.value_addr)(map, high.imm as u32)) {
                Some(addr) => addr,
                None => return Err(self.bad(pc, format!("byte {} of map {}'s value does not exist", high.imm, i.imm))),
            },
            pseudo::BTF_ID => match index.and_then(|k| Some((k, self.image.ksyms.get(k)?))) {
                Some((k, ksym)) => (self.opts.ksym_address)(k, ksym),
                None => return Err(self.bad(pc, format!("kernel symbol {} does not exist", i.imm))),
            },
            pseudo::FUNC => Handles::func(index.unwrap_or(0)),
            _ => return Err(self.unknown(pc, i)),
        };
        Ok(Op { code: Code::Mov64I, dst: i.dst, src: 0, off: 0, imm })
    }

    fn memory(&mut self, pc: u32, i: Insn) -> Result<Op, MachineError> {
        let (class, mode, size) = (i.code & 7, i.code & 0xe0, (i.code >> 3) & 3);
        let bytes = [4, 2, 1, 8][size as usize];
        let pick = |codes: [Code; 4]| codes[size as usize];
        let imm = i64::from(i.imm) as u64;
        use Code::*;
        let (code, base) = match (class, mode) {
            (1, 0x60) => (pick([Ldx32, Ldx16, Ldx8, Ldx64]), i.src),
            (1, 0x80) if bytes < 8 => (pick([Ldxs32, Ldxs16, Ldxs8, Nop]), i.src),
            (2, 0x60) => (pick([StI32, StI16, StI8, StI64]), i.dst),
            (3, 0x60) => (pick([StR32, StR16, StR8, StR64]), i.dst),
            (3, 0xc0) => match imm {
                // One thread runs all programs, so that ordered loads and stores are plain ones.
                atomic::LOAD_ACQ if i.dst != 10 => (pick([Ldx32, Ldx16, Ldx8, Ldx64]), i.src),
                atomic::STORE_REL => (pick([StR32, StR16, StR8, StR64]), i.dst),
                _ if bytes < 4 => return Err(self.unknown(pc, i)),
                atomic::XCHG | atomic::CMPXCHG => (pick([Atomic32, Nop, Nop, Atomic64]), i.dst),
                _ if matches!(imm & !atomic::FETCH, atomic::ADD | atomic::OR | atomic::AND | atomic::XOR) => {
                    (pick([Atomic32, Nop, Nop, Atomic64]), i.dst)
                }
                _ => return Err(self.unknown(pc, i)),
            },
            _ => return Err(self.unknown(pc, i)),
        };
        if mode != 0xc0 {
            self.unused(pc, &[(class != 2 && i.imm != 0, "immediate"), (class == 2 && i.src != 0, "source")])?;
        }
        let fetches = mode == 0xc0 && imm & atomic::FETCH != 0 && imm != atomic::CMPXCHG;
        if fetches && i.src == 10 {
            return Err(self.bad(pc, "the frame pointer is read-only"));
        }
        let off = i32::from(i.off);
        if base == 10 && (off < -FRAME_SIZE || off + bytes > 0) {
            return Err(
                self.bad(pc, format!("{bytes} bytes at r10{off:+} lie outside of the frame of {FRAME_SIZE} bytes"))
            );
        }
        Ok(Op { code, dst: i.dst, src: i.src, off, imm })
    }
}
