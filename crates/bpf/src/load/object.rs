//! A parsed object, not yet resolved against a kernel.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::elf::{Elf, Symbol, SymbolKind};
use super::error::LoadError;
use super::externs::{self, Extern};
use super::maps::{self, MapDecl};
use super::ops::{self, OpsDecl};
use crate::btf::{Btf, BtfExt, CoreRecord, Kind, LineRecord, Linkage, TypeId};
use crate::image::{Insn, Line, ProgramKind, pseudo};

/// `call`.
pub(super) const CALL: u8 = 0x85;
/// `ld_imm64`, first slot.
pub(super) const LD_IMM64: u8 = 0x18;

/// What a relocated instruction refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The map itself.
    Map(usize),
    /// A byte of a data section.
    Data { data: usize, offset: u32 },
    /// The function that starts at this slot of this code section.
    Func { code: usize, slot: u32 },
    /// Something of the kernel.
    Extern(usize),
}

/// A section of instructions.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) insns: Vec<Insn>,
    pub(super) targets: BTreeMap<u32, Target>,
    pub(super) core: BTreeMap<u32, CoreRecord>,
    pub(super) lines: Vec<LineRecord>,
}

/// A function in a code section.
#[derive(Clone, Debug)]
pub(super) struct FuncDef {
    pub(super) name: String,
    pub(super) code: usize,
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) is_static: bool,
}

/// A function that a section name makes a program.
#[derive(Clone, Debug)]
pub(super) struct ProgramDecl {
    pub(super) func: usize,
    pub(super) kind: ProgramKind,
    pub(super) sleepable: bool,
    /// Loaded unless asked otherwise (no `?` before the section name).
    pub(super) autoload: bool,
}

/// How programs see a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataKind {
    Writable,
    ReadOnly,
    /// Globals in an arena.
    Arena,
}

/// A variable in a data section.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) offset: u32,
    pub(super) type_id: TypeId,
    pub(super) size: u32,
}

/// A section of global data.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) name: String,
    pub(super) kind: DataKind,
    pub(super) bytes: Vec<u8>,
    pub(super) datasec: Option<TypeId>,
    pub(super) vars: Vec<Variable>,
}

/// A BPF object, read but not resolved against a kernel.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) name: String,
    pub(super) license: String,
    pub(super) btf: Arc<Btf>,
    pub(super) codes: Vec<Code>,
    pub(super) funcs: Vec<FuncDef>,
    pub(super) programs: Vec<ProgramDecl>,
    pub(super) data: Vec<Data>,
    pub(super) maps: Vec<MapDecl>,
    pub(super) externs: Vec<Extern>,
    pub(super) ops: Vec<OpsDecl>,
}

impl Object {
    /// Read an object. `name` is for messages and [`Image::name`](crate::image::Image::name).
    ///
    /// # Errors
    /// Anything but a little-endian relocatable BPF ELF file with consistent BTF.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Object, LoadError> {
        let elf = Elf::parse(name, bytes)?;
        let own = || name.to_owned();
        let btf_at = elf.section(".BTF").ok_or_else(|| LoadError::NoBtf { object: own() })?;
        let btf = Btf::parse(&elf.sections[btf_at].data).map_err(|source| LoadError::Btf {
            object: own(),
            section: ".BTF",
            source,
        })?;
        let ext = match elf.section(".BTF.ext") {
            Some(at) => BtfExt::parse(&elf.sections[at].data, &btf).map_err(|source| LoadError::Btf {
                object: own(),
                section: ".BTF.ext",
                source,
            })?,
            None => BtfExt::default(),
        };
        let mut object = Object {
            name: own(),
            license: license(&elf),
            btf: Arc::new(btf),
            codes: Vec::new(),
            funcs: Vec::new(),
            programs: Vec::new(),
            data: Vec::new(),
            maps: Vec::new(),
            externs: Vec::new(),
            ops: Vec::new(),
        };
        let mut map = Sections { code: BTreeMap::new(), data: BTreeMap::new() };
        object.read_data(&elf, &mut map);
        object.read_code(&elf, &mut map, &ext)?;
        object.read_funcs(&elf, &map)?;
        object.maps = maps::read(name, &elf, &object.btf)?;
        object.externs = externs::read(name, &elf, &object.btf)?;
        object.ops = ops::read(&object, &elf, &map)?;
        object.read_targets(&elf, &map)?;
        Ok(object)
    }

    fn read_data(&mut self, elf: &Elf, map: &mut Sections) {
        for (i, s) in elf.sections.iter().enumerate() {
            let is = |stem: &str| s.name == stem || s.name.strip_prefix(stem).is_some_and(|r| r.starts_with('.'));
            let kind = match () {
                () if s.exec => continue,
                () if is(".rodata") => DataKind::ReadOnly,
                () if is(".data") || is(".bss") => DataKind::Writable,
                () if s.name == ".addr_space.1" => DataKind::Arena,
                () => continue,
            };
            let vars = variables(elf, &self.btf, i);
            let datasec = self.btf.find(&s.name, |k| matches!(k, Kind::Datasec { .. }));
            map.data.insert(i, self.data.len());
            self.data.push(Data { name: s.name.clone(), kind, bytes: s.data.clone(), datasec, vars });
        }
    }

    fn read_code(&mut self, elf: &Elf, map: &mut Sections, ext: &BtfExt) -> Result<(), LoadError> {
        for (i, s) in elf.sections.iter().enumerate().filter(|(_, s)| s.exec && !s.data.is_empty()) {
            if s.data.len() % 8 != 0 {
                let what = format!("the section's size, {} bytes, is no multiple of 8", s.data.len());
                return Err(self.code_error(&s.name, s.data.len() as u64 / 8, what));
            }
            let insns: Vec<Insn> = s.data.as_chunks::<8>().0.iter().map(decode).collect();
            let mut lines: Vec<LineRecord> =
                ext.lines.iter().filter(|(n, _)| *n == s.name).flat_map(|(_, l)| l.iter().copied()).collect();
            lines.sort_by_key(|l| l.insn_off);
            let mut core = BTreeMap::new();
            for rec in ext.core.iter().filter(|(n, _)| *n == s.name).flat_map(|(_, r)| r) {
                let slot = rec.insn_off / 8;
                if rec.insn_off % 8 != 0 || slot as usize >= insns.len() {
                    let what = "a CO-RE record points at no instruction; build the object again".to_owned();
                    return Err(self.code_error(&s.name, u64::from(slot), what));
                }
                if core.insert(slot, *rec).is_some() {
                    let what = "two CO-RE records for one instruction; build the object again".to_owned();
                    return Err(self.code_error(&s.name, u64::from(slot), what));
                }
            }
            map.code.insert(i, self.codes.len());
            self.codes.push(Code { name: s.name.clone(), insns, targets: BTreeMap::new(), core, lines });
        }
        Ok(())
    }

    fn read_funcs(&mut self, elf: &Elf, map: &Sections) -> Result<(), LoadError> {
        for sym in elf.symbols.iter().filter(|s| s.kind == SymbolKind::Func) {
            let Some(code) = sym.section.and_then(|s| map.code.get(&s)).copied() else { continue };
            let len = self.codes[code].insns.len() as u64;
            let end = sym.value.saturating_add(sym.size);
            if sym.value % 8 != 0 || sym.size % 8 != 0 || sym.size == 0 || end > len * 8 {
                let section = self.codes[code].name.clone();
                let what = format!("function {} lies outside the section; build the object again", sym.name);
                return Err(self.code_error(&section, sym.value / 8, what));
            }
            self.funcs.push(FuncDef {
                name: sym.name.clone(),
                code,
                start: (sym.value / 8) as u32,
                len: (sym.size / 8) as u32,
                is_static: sym.local,
            });
        }
        self.funcs.sort_by_key(|f| (f.code, f.start, f.is_static));
        self.funcs.dedup_by_key(|f| (f.code, f.start));
        for pair in self.funcs.windows(2) {
            if pair[0].code == pair[1].code && pair[0].start + pair[0].len > pair[1].start {
                let section = self.codes[pair[0].code].name.clone();
                let what = format!("functions {} and {} overlap; build the object again", pair[0].name, pair[1].name);
                return Err(self.code_error(&section, u64::from(pair[1].start), what));
            }
        }
        for (i, f) in self.funcs.iter().enumerate() {
            let section = &self.codes[f.code].name;
            if section != ".text" && !f.is_static {
                let (kind, sleepable, autoload) = program_kind(section);
                self.programs.push(ProgramDecl { func: i, kind, sleepable, autoload });
            }
        }
        Ok(())
    }

    /// Resolve every relocation of code to what it refers to.
    fn read_targets(&mut self, elf: &Elf, map: &Sections) -> Result<(), LoadError> {
        for (&section, &code) in &map.code {
            for r in &elf.sections[section].relocs {
                let slot = r.offset / 8;
                let sym = &elf.symbols[r.symbol];
                let target = self.target(elf, map, code, r.offset, sym).map_err(|what| {
                    let what = format!("relocation against `{}`: {what}", symbol_name(elf, sym));
                    self.code_error_at(code, slot, what)
                })?;
                self.codes[code].targets.insert(slot as u32, target);
            }
            // calls within a section need no relocation
            for slot in 0..self.codes[code].insns.len() as u32 {
                let insn = self.codes[code].insns[slot as usize];
                if insn.code == CALL && insn.src == pseudo::CALL && !self.codes[code].targets.contains_key(&slot) {
                    let callee = i64::from(slot) + 1 + i64::from(insn.imm);
                    let target =
                        self.func_at(code, callee).map_err(|what| self.code_error_at(code, slot.into(), what))?;
                    self.codes[code].targets.insert(slot, target);
                }
            }
        }
        Ok(())
    }

    fn target(&self, elf: &Elf, map: &Sections, code: usize, offset: u64, sym: &Symbol) -> Result<Target, String> {
        let insns = &self.codes[code].insns;
        let insn = match insns.get((offset / 8) as usize) {
            Some(insn) if offset.is_multiple_of(8) => insn,
            _ => return Err("it points at no instruction".to_owned()),
        };
        let call = match insn.code {
            CALL => true,
            LD_IMM64 => false,
            code => return Err(format!("instruction code {code:#04x} takes no relocation")),
        };
        if sym.undefined {
            let at = self.externs.binary_search_by(|e| e.name.as_str().cmp(&sym.name)).ok();
            return at.map(Target::Extern).ok_or_else(|| "undefined, and BTF does not know it".to_owned());
        }
        let Some(section) = sym.section else { return Err("the symbol is in no section".to_owned()) };
        let imm = i64::from(insn.imm);
        if let Some(&callee) = map.code.get(&section) {
            let slot = if call { (sym.value / 8) as i64 + imm + 1 } else { (sym.value as i64).wrapping_add(imm) / 8 };
            return self.func_at(callee, slot);
        }
        if call {
            return Err("a call of something that is no function".to_owned());
        }
        let offset = (sym.value as i64).wrapping_add(imm);
        if elf.sections[section].name == ".maps" {
            let at = self.maps.iter().position(|m| i64::from(m.offset) == offset);
            return at.map(Target::Map).ok_or_else(|| format!("no map starts at byte {offset} of .maps"));
        }
        if let Some(&data) = map.data.get(&section) {
            let size = self.data[data].bytes.len() as i64;
            // one past the end is a pointer that C may form
            return match u32::try_from(offset) {
                Ok(at) if offset <= size => Ok(Target::Data { data, offset: at }),
                _ => Err(format!("offset {offset} lies outside its section of {size} bytes")),
            };
        }
        let name = &elf.sections[section].name;
        Err(format!(
            "section {name} holds neither functions, maps nor data; put variables into .data.NAME or .rodata.NAME"
        ))
    }

    pub(super) fn func_at(&self, code: usize, slot: i64) -> Result<Target, String> {
        let slot = u32::try_from(slot).ok().filter(|s| self.func_index(code, *s).is_some());
        slot.map(|slot| Target::Func { code, slot }).ok_or_else(|| "no function starts at the called place".to_owned())
    }

    /// The function that starts at a slot.
    pub(super) fn func_index(&self, code: usize, slot: u32) -> Option<usize> {
        self.funcs.binary_search_by_key(&(code, slot), |f| (f.code, f.start)).ok()
    }

    /// The source line of a slot of a section.
    pub(super) fn line(&self, code: usize, slot: u32) -> Option<Line> {
        let lines = &self.codes[code].lines;
        let at = lines.partition_point(|l| l.insn_off / 8 <= slot).checked_sub(1)?;
        Some(self.image_line(&lines[at], 0))
    }

    pub(super) fn image_line(&self, l: &LineRecord, slot: u32) -> Line {
        Line {
            slot,
            file: self.btf.string(l.file).to_owned(),
            line: l.line,
            column: l.column,
            text: self.btf.string(l.text).to_owned(),
        }
    }

    fn code_error(&self, section: &str, insn: u64, what: String) -> LoadError {
        LoadError::Code { object: self.name.clone(), section: section.to_owned(), insn, at: None, what }
    }

    pub(super) fn code_error_at(&self, code: usize, insn: u64, what: String) -> LoadError {
        let at = self.line(code, insn as u32).map(|l| format!("{}:{}: {}", l.file, l.line, l.text.trim()));
        let section = self.codes[code].name.clone();
        LoadError::Code { object: self.name.clone(), section, insn, at, what }
    }
}

/// From ELF section numbers to ours.
pub(super) struct Sections {
    pub(super) code: BTreeMap<usize, usize>,
    pub(super) data: BTreeMap<usize, usize>,
}

fn decode(b: &[u8; 8]) -> Insn {
    Insn {
        code: b[0],
        dst: b[1] & 0xf,
        src: b[1] >> 4,
        off: i16::from_le_bytes([b[2], b[3]]),
        imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    }
}

fn license(elf: &Elf) -> String {
    let bytes = elf.section("license").map_or(&[][..], |at| &elf.sections[at].data);
    let text = bytes.split(|b| *b == 0).next().unwrap_or(&[]);
    String::from_utf8_lossy(text).into_owned()
}

fn symbol_name<'a>(elf: &'a Elf, sym: &'a Symbol) -> &'a str {
    match sym.section {
        Some(s) if sym.name.is_empty() => &elf.sections[s].name,
        _ => &sym.name,
    }
}

/// Kind, sleepable, autoload, from a section's name.
fn program_kind(section: &str) -> (ProgramKind, bool, bool) {
    let name = section.strip_prefix('?').unwrap_or(section);
    let stem = name.split('/').next().unwrap_or(name);
    let kind = match stem {
        "struct_ops" | "struct_ops.s" => ProgramKind::StructOps,
        "syscall" => ProgramKind::Syscall,
        _ => ProgramKind::Other(name.to_owned()),
    };
    let sleepable = stem.ends_with(".s") || kind == ProgramKind::Syscall;
    (kind, sleepable, !section.starts_with('?'))
}

/// The variables of a data-like section, by BTF; offsets of visible ones from the symbols, as the compiler leaves them
/// zero in BTF until a linker or loader fills them.
pub(super) fn variables(elf: &Elf, btf: &Btf, section: usize) -> Vec<Variable> {
    let name = &elf.sections[section].name;
    let Some(id) = btf.find(name, |k| matches!(k, Kind::Datasec { .. })) else { return Vec::new() };
    let Kind::Datasec { vars, .. } = &btf.ty(id).kind else { return Vec::new() };
    let mut out = Vec::new();
    for v in vars {
        let Kind::Var { type_id, linkage } = btf.ty(v.type_id).kind else { continue };
        let name = btf.name(v.type_id).to_owned();
        let offset = match elf.defined(&name, section) {
            Some(sym) if linkage != Linkage::Static => sym.value as u32,
            _ => v.offset,
        };
        let size = btf.size(type_id).filter(|s| *s > 0).unwrap_or(v.size);
        let fits = u64::from(offset) + u64::from(size) <= elf.sections[section].data.len() as u64;
        if fits && linkage != Linkage::Extern {
            out.push(Variable { name, offset, type_id, size });
        }
    }
    out.sort_by_key(|v| v.offset);
    out
}
