//! An assembler for tests, in the syntax of the public conformance suite:
//!
//! ```text
//! func:                       ; a label; `.func name` starts a function at a label of that name
//!     mov %r0, 1              ; 64-bit; mov32, add, sub32, sdiv, movsx832, be16, swap64, neg, …
//!     lddw %r1, 0x1234        ; also: lddw %r1, map:0 / value:0+8 / func:name / ksym:0
//!     ldxdw %r0, [%r1+8]      ; ldxb, ldxsw, stxw [%r10-8], %r0, stw [%r10-8], 7
//!     lock fetch add [%r1], %r2 ; lock cmpxchg32 …; lock load_acq %r1, [%r2]; lock store_rel [%r1], %r2
//!     jeq32 %r0, 1, label     ; ja, ja32, may_goto label, jsgt %r0, %r1, +3
//!     call 5 / call local func / call kfunc 0 / callx %r2
//!     exit
//! ```

use std::collections::BTreeMap;

use scxr_bpf::image::Insn;

/// Assembled text.
pub struct Assembled {
    pub text: Vec<Insn>,
    /// `.func` names and slots.
    pub funcs: Vec<(String, u32)>,
}

const ALU: &[(&str, u8, i16)] = &[
    ("add", 0x0, 0),
    ("sub", 0x1, 0),
    ("mul", 0x2, 0),
    ("div", 0x3, 0),
    ("sdiv", 0x3, 1),
    ("or", 0x4, 0),
    ("and", 0x5, 0),
    ("lsh", 0x6, 0),
    ("rsh", 0x7, 0),
    ("mod", 0x9, 0),
    ("smod", 0x9, 1),
    ("xor", 0xa, 0),
    ("mov", 0xb, 0),
    ("arsh", 0xc, 0),
];
const JUMPS: &[(&str, u8)] = &[
    ("jeq", 0x1),
    ("jgt", 0x2),
    ("jge", 0x3),
    ("jset", 0x4),
    ("jne", 0x5),
    ("jsgt", 0x6),
    ("jsge", 0x7),
    ("jlt", 0xa),
    ("jle", 0xb),
    ("jslt", 0xc),
    ("jsle", 0xd),
];
const SIZES: &[(&str, u8)] = &[("b", 0x10), ("h", 0x08), ("w", 0x00), ("dw", 0x18)];

/// Assembles `source`; comments start with `#` or `;`.
pub fn assemble(source: &str) -> Result<Assembled, String> {
    let mut labels = BTreeMap::new();
    let mut funcs = Vec::new();
    let mut lines = Vec::new();
    let mut slot = 0u32;
    for (number, raw) in source.lines().enumerate() {
        let line = raw.split(['#', ';']).next().unwrap_or("").trim();
        if let Some(name) = line.strip_prefix(".func ") {
            labels.insert(name.trim().to_owned(), slot);
            funcs.push((name.trim().to_owned(), slot));
        } else if let Some(label) = line.strip_suffix(':') {
            labels.insert(label.trim().to_owned(), slot);
        } else if !line.is_empty() {
            lines.push((number + 1, slot, line.to_owned()));
            slot += if line.starts_with("lddw") { 2 } else { 1 };
        }
    }
    labels.entry("exit".into()).or_insert_with(|| {
        let exit = lines.iter().rev().find(|(_, _, l)| l == "exit");
        exit.map_or(slot.saturating_sub(1), |(_, s, _)| *s)
    });
    let mut text = Vec::new();
    for (number, slot, line) in lines {
        let insn = Line { slot, labels: &labels, funcs: &funcs };
        insn.encode(&line, &mut text).map_err(|e| format!("line {number}: {line}: {e}"))?;
    }
    Ok(Assembled { text, funcs })
}

struct Line<'a> {
    slot: u32,
    labels: &'a BTreeMap<String, u32>,
    funcs: &'a [(String, u32)],
}

fn reg(s: &str) -> Result<u8, String> {
    let number = s.trim().strip_prefix("%r").ok_or("not a register")?;
    number.parse().map_err(|_| "not a register".to_owned())
}

fn number(s: &str) -> Result<i128, String> {
    let s = s.trim();
    let (sign, digits) = match s.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, s.strip_prefix('+').unwrap_or(s)),
    };
    let value = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.map(|v| v * sign).map_err(|_| format!("{s} is not a number"))
}

fn imm32(s: &str) -> Result<i32, String> {
    let v = number(s)?;
    let fits = (i128::from(i32::MIN)..=i128::from(u32::MAX)).contains(&v);
    if fits { Ok(v as i32) } else { Err(format!("{v} does not fit into 32 bits")) }
}

/// `[%r1+8]`
fn mem(s: &str) -> Result<(u8, i16), String> {
    let inner = s.trim().strip_prefix('[').and_then(|s| s.strip_suffix(']')).ok_or("not a memory operand")?;
    let at = inner.find(['+', '-']).unwrap_or(inner.len());
    let off = if at == inner.len() { 0 } else { number(&inner[at..])? as i16 };
    Ok((reg(&inner[..at])?, off))
}

impl Line<'_> {
    /// Distance to a label, or a number as it is.
    fn target(&self, s: &str) -> Result<i32, String> {
        match self.labels.get(s.trim()) {
            Some(slot) => Ok(*slot as i32 - self.slot as i32 - 1),
            None => imm32(s).map_err(|_| format!("no label {s}")),
        }
    }

    fn encode(&self, line: &str, out: &mut Vec<Insn>) -> Result<(), String> {
        let (op, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let args: Vec<&str> = rest.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
        let arg = |i: usize| args.get(i).copied().ok_or_else(|| "too few operands".to_owned());
        let insn = |code: u8, dst: u8, src: u8, off: i16, imm: i32| Insn { code, dst, src, off, imm };
        if op == "lddw" {
            let (src, low, high) = self.constant(arg(1)?)?;
            out.push(insn(0x18, reg(arg(0)?)?, src, 0, low));
            out.push(insn(0, 0, 0, 0, high));
            return Ok(());
        }
        out.push(match op {
            "exit" => insn(0x95, 0, 0, 0, 0),
            "ja" => insn(0x05, 0, 0, self.target(arg(0)?)? as i16, 0),
            "ja32" => insn(0x06, 0, 0, 0, self.target(arg(0)?)?),
            "may_goto" => insn(0xe5, 0, 0, self.target(arg(0)?)? as i16, 0),
            "callx" => insn(0x8d, reg(arg(0)?)?, 0, 0, 0),
            "call" => match rest.split_once(' ') {
                Some(("local", target)) => insn(0x85, 0, 1, 0, self.target(target)?),
                Some(("kfunc", index)) => insn(0x85, 0, 2, 0, imm32(index)?),
                _ if rest.starts_with("%r") => insn(0x8d, reg(rest)?, 0, 0, 0),
                _ => insn(0x85, 0, 0, 0, imm32(rest)?),
            },
            "lock" => self.lock(rest)?,
            "neg" => insn(0x87, reg(arg(0)?)?, 0, 0, 0),
            "neg32" => insn(0x84, reg(arg(0)?)?, 0, 0, 0),
            _ => self.regular(op, &args)?,
        });
        Ok(())
    }

    fn constant(&self, s: &str) -> Result<(u8, i32, i32), String> {
        if let Some(map) = s.strip_prefix("map:") {
            return Ok((1, imm32(map)?, 0));
        }
        if let Some(value) = s.strip_prefix("value:") {
            let (map, off) = value.split_once('+').unwrap_or((value, "0"));
            return Ok((2, imm32(map)?, imm32(off)?));
        }
        if let Some(ksym) = s.strip_prefix("ksym:") {
            return Ok((3, imm32(ksym)?, 0));
        }
        if let Some(name) = s.strip_prefix("func:") {
            // Functions are in order of slots; the first one is at slot 0.
            let slot = self.labels.get(name).ok_or("no such function")?;
            let before = self.funcs.iter().filter(|(_, s)| s < slot && *s != 0).count();
            return Ok((4, before as i32 + i32::from(*slot != 0), 0));
        }
        let v = number(s)?;
        Ok((0, v as u64 as u32 as i32, (v as u64 >> 32) as i32))
    }

    fn lock(&self, rest: &str) -> Result<Insn, String> {
        let (fetch, rest) = match rest.strip_prefix("fetch ") {
            Some(rest) => (1, rest),
            None => (0, rest),
        };
        let (name, args) = rest.trim().split_once(' ').ok_or("too few operands")?;
        let (name, narrow) = match name.strip_suffix("32") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (a, b) = args.split_once(',').ok_or("too few operands")?;
        let code = if narrow { 0xc3 } else { 0xdb };
        if name == "load_acq" {
            let (src, off) = mem(b)?;
            return Ok(Insn { code, dst: reg(a)?, src, off, imm: 0x100 });
        }
        let imm = match name {
            "add" => fetch,
            "or" => 0x40 | fetch,
            "and" => 0x50 | fetch,
            "xor" => 0xa0 | fetch,
            "xchg" => 0xe1,
            "cmpxchg" => 0xf1,
            "store_rel" => 0x110,
            _ => return Err("unknown atomic operation".into()),
        };
        let (dst, off) = mem(a)?;
        Ok(Insn { code, dst, src: reg(b)?, off, imm })
    }

    fn regular(&self, op: &str, args: &[&str]) -> Result<Insn, String> {
        let arg = |i: usize| args.get(i).copied().ok_or_else(|| "too few operands".to_owned());
        if let Some(bits) = op.strip_prefix("movsx") {
            let (off, class) = match bits {
                "832" => (8, 4),
                "1632" => (16, 4),
                "864" => (8, 7),
                "1664" => (16, 7),
                "3264" => (32, 7),
                _ => return Err("unknown width".into()),
            };
            return Ok(Insn { code: 0xb8 | class, dst: reg(arg(0)?)?, src: reg(arg(1)?)?, off, imm: 0 });
        }
        for (name, code) in [("le", 0xd4), ("be", 0xdc), ("bswap", 0xd7), ("swap", 0xd7)] {
            if let Some(Ok(bits @ (16 | 32 | 64))) = op.strip_prefix(name).map(str::parse::<i32>) {
                return Ok(Insn { code, dst: reg(arg(0)?)?, src: 0, off: 0, imm: bits });
            }
        }
        let (stem, wide) = match op.strip_suffix("32") {
            Some(stem) => (stem, false),
            None => (op.strip_suffix("64").unwrap_or(op), true),
        };
        if let Some((_, code, off)) = ALU.iter().find(|(name, ..)| *name == stem) {
            let class = if wide { 7 } else { 4 };
            let (source, src, imm) = self.operand(arg(1)?)?;
            return Ok(Insn { code: code << 4 | source | class, dst: reg(arg(0)?)?, src, off: *off, imm });
        }
        if let Some((_, code)) = JUMPS.iter().find(|(name, _)| *name == stem) {
            let class = if wide { 5 } else { 6 };
            let (source, src, imm) = self.operand(arg(1)?)?;
            let off = self.target(arg(2)?)? as i16;
            return Ok(Insn { code: code << 4 | source | class, dst: reg(arg(0)?)?, src, off, imm });
        }
        for (size_name, size) in SIZES {
            if op == format!("ldx{size_name}") || op == format!("ldxs{size_name}") {
                let mode = if op.starts_with("ldxs") { 0x80 } else { 0x60 };
                let (src, off) = mem(arg(1)?)?;
                return Ok(Insn { code: mode | size | 1, dst: reg(arg(0)?)?, src, off, imm: 0 });
            }
            if op == format!("stx{size_name}") {
                let (dst, off) = mem(arg(0)?)?;
                return Ok(Insn { code: 0x60 | size | 3, dst, src: reg(arg(1)?)?, off, imm: 0 });
            }
            if op == format!("st{size_name}") {
                let (dst, off) = mem(arg(0)?)?;
                return Ok(Insn { code: 0x60 | size | 2, dst, src: 0, off, imm: imm32(arg(1)?)? });
            }
        }
        Err("unknown instruction".into())
    }

    /// Source flag, register, immediate.
    fn operand(&self, s: &str) -> Result<(u8, u8, i32), String> {
        if s.starts_with("%r") { Ok((0x08, reg(s)?, 0)) } else { Ok((0, 0, imm32(s)?)) }
    }
}
