//! One text from the functions that loaded programs reach, with every reference resolved.

use std::collections::BTreeMap;

use super::core_patch::{Patched, patch};
use super::core_relo::CoreResolver;
use super::error::LoadError;
use super::externs::ExternDecl;
use super::object::{CALL, LD_IMM64, Object, Target};
use super::resolve::{LoadOptions, Resolved};
use crate::btf::KernelBtf;
use crate::image::{Func, Image, Insn, Kfunc, Ksym, Location, Program, pseudo};

pub(super) struct Linker<'a> {
    object: &'a Object,
    kernel: &'a KernelBtf,
    options: &'a LoadOptions,
    resolved: Vec<Resolved>,
    /// Data section → map; behind them, the map of `.kconfig`.
    data_map: Vec<Option<usize>>,
    image: &'a mut Image,
    core: CoreResolver<'a>,
    /// Function of the object → function of the image.
    placed: BTreeMap<usize, usize>,
    /// Functions of the object in order of their place in the text.
    order: Vec<usize>,
    kfuncs: BTreeMap<usize, usize>,
    ksyms: BTreeMap<usize, usize>,
}

impl<'a> Linker<'a> {
    pub(super) fn new(
        object: &'a Object,
        kernel: &'a KernelBtf,
        options: &'a LoadOptions,
        resolved: Vec<Resolved>,
        data_map: Vec<Option<usize>>,
        image: &'a mut Image,
    ) -> Self {
        let core = CoreResolver::new(&object.btf, kernel);
        let (placed, kfuncs, ksyms) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Linker { object, kernel, options, resolved, data_map, image, core, placed, order: Vec::new(), kfuncs, ksyms }
    }

    /// Fill the image's code. `programs` are indices into the object's.
    pub(super) fn link(mut self, programs: &[usize]) -> Result<(), LoadError> {
        for &p in programs {
            self.place(self.object.programs[p].func)?;
        }
        // callees join behind; the list grows while it is walked
        let mut at = 0;
        while at < self.order.len() {
            let func = &self.object.funcs[self.order[at]];
            let callees: Vec<(usize, u32)> = self.object.codes[func.code]
                .targets
                .range(func.start..func.start + func.len)
                .filter_map(|(_, t)| match t {
                    Target::Func { code, slot } => Some((*code, *slot)),
                    _ => None,
                })
                .collect();
            for (code, slot) in callees {
                if let Some(index) = self.object.func_index(code, slot) {
                    self.place(index)?;
                }
            }
            at += 1;
        }
        for at in 0..self.order.len() {
            self.relocate(at)?;
        }
        for &p in programs {
            let decl = &self.object.programs[p];
            let func = &self.object.funcs[decl.func];
            self.image.programs.push(Program {
                name: func.name.clone(),
                section: self.object.codes[func.code].name.clone(),
                kind: decl.kind.clone(),
                sleepable: decl.sleepable,
                func: self.placed[&decl.func],
            });
        }
        Ok(())
    }

    /// Append a function to the text, once.
    fn place(&mut self, index: usize) -> Result<(), LoadError> {
        if self.placed.contains_key(&index) {
            return Ok(());
        }
        let f = &self.object.funcs[index];
        let code = &self.object.codes[f.code];
        let start = self.image.text.len() as u32;
        let range = f.start as usize..(f.start + f.len) as usize;
        self.image.text.extend_from_slice(&code.insns[range]);
        let lines = code.lines.iter().filter(|l| l.insn_off / 8 >= f.start && l.insn_off / 8 < f.start + f.len);
        let lines = lines.map(|l| self.object.image_line(l, start + l.insn_off / 8 - f.start)).collect();
        self.placed.insert(index, self.image.funcs.len());
        self.order.push(index);
        self.image.funcs.push(Func { name: f.name.clone(), section: code.name.clone(), start, len: f.len, lines });
        Ok(())
    }

    /// Resolve the references of one placed function.
    fn relocate(&mut self, at: usize) -> Result<(), LoadError> {
        let object = self.object;
        let f = &object.funcs[self.order[at]];
        let code = &object.codes[f.code];
        let base = self.image.funcs[at].start;
        let to_text = |slot: u32| base + (slot - f.start);
        for (&slot, rec) in code.core.range(f.start..f.start + f.len) {
            let pc = to_text(slot);
            let end = (base + f.len) as usize;
            let error = |what: String, linker: &Self| LoadError::CoRe {
                object: object.name.clone(),
                subject: linker.core.describe(rec),
                at: linker.place_of(pc),
                what,
            };
            let answer = self.core.resolve(rec).map_err(|what| error(what, self))?;
            let patched = patch(&mut self.image.text[pc as usize..end], &answer).map_err(|what| error(what, self))?;
            let why = match patched {
                Patched::Done => continue,
                Patched::Poison => format!("which {} does not have", self.options.kernel),
                Patched::WidthPoison => {
                    format!(
                        "which has another size in {}, and signed or composite values cannot be adapted",
                        self.options.kernel
                    )
                }
            };
            let guard = match rec.kind {
                k if k.is_enumval() => "bpf_core_enum_value_exists()",
                k if k.is_type() => "bpf_core_type_exists()",
                _ => "bpf_core_field_exists()",
            };
            let subject = self.core.describe(rec);
            let message = format!(
                "{}: {} uses {subject} ({}), {why}; guard it with {guard}",
                object.name,
                self.place_of(pc),
                rec.kind
            );
            self.poison(pc, message);
        }
        for (&slot, &target) in code.targets.range(f.start..f.start + f.len) {
            let wide = code.insns[slot as usize].code == LD_IMM64;
            if wide && slot + 1 >= f.start + f.len {
                let what = "the second half of a 64-bit load is missing".to_owned();
                return Err(object.code_error_at(f.code, slot.into(), what));
            }
            self.apply(to_text(slot), target)?;
        }
        Ok(())
    }

    fn apply(&mut self, pc: u32, target: Target) -> Result<(), LoadError> {
        let is_call = self.image.text[pc as usize].code == CALL;
        match target {
            Target::Map(index) => self.wide(pc, pseudo::MAP_FD, index as i32, 0),
            Target::Data { data, offset } => {
                let Some(map) = self.data_map[data] else {
                    let section = &self.object.data[data];
                    let what = match section.bytes.is_empty() {
                        true => format!("a pointer into the empty section {}", section.name),
                        false => format!("variables in {} without a map that is an arena", section.name),
                    };
                    return Err(LoadError::NotYet { object: self.object.name.clone(), what });
                };
                self.wide(pc, pseudo::MAP_VALUE, map as i32, offset as i32);
            }
            Target::Func { code, slot } => {
                let index =
                    self.object.func_index(code, slot).and_then(|i| self.placed.get(&i)).copied().unwrap_or_default();
                if is_call {
                    let distance = i64::from(self.image.funcs[index].start) - i64::from(pc) - 1;
                    let insn = &mut self.image.text[pc as usize];
                    insn.src = pseudo::CALL;
                    insn.imm = distance as i32;
                } else {
                    self.wide(pc, pseudo::FUNC, index as i32, 0);
                }
            }
            Target::Extern(index) => self.apply_extern(pc, index, is_call)?,
        }
        Ok(())
    }

    fn apply_extern(&mut self, pc: u32, index: usize, is_call: bool) -> Result<(), LoadError> {
        let e = &self.object.externs[index];
        match (self.resolved[index], is_call) {
            (Resolved::Kfunc(Some(id)), true) => {
                let at = *self.kfuncs.entry(index).or_insert_with(|| {
                    let name = self.kernel.btf().name(id).to_owned();
                    self.image.kfuncs.push(Kfunc { symbol: e.name.clone(), name, kernel_btf_id: Some(id) });
                    self.image.kfuncs.len() - 1
                });
                let insn = &mut self.image.text[pc as usize];
                insn.src = pseudo::KFUNC_CALL;
                insn.imm = at as i32;
            }
            (Resolved::Kfunc(None), true) => {
                let ExternDecl::Func { proto } = e.decl else { return Ok(()) };
                let message = format!(
                    "{}: {} calls kernel function {} (`{}`), which {} does not have in this form; guard the call with bpf_ksym_exists({})",
                    self.object.name,
                    self.place_of(pc),
                    e.name,
                    self.object.btf.type_name(proto),
                    self.options.kernel,
                    e.name
                );
                self.poison(pc, message);
            }
            (Resolved::Ksym(_) | Resolved::Kconfig(_), true) => {
                let what = format!("{}: it is called but is no function", self.place_of(pc));
                return Err(LoadError::Extern { object: self.object.name.clone(), name: e.name.clone(), what });
            }
            (Resolved::Kfunc(id) | Resolved::Ksym(id), false) => match id {
                None => self.wide(pc, 0, 0, 0),
                Some(id) => {
                    let at = *self.ksyms.entry(index).or_insert_with(|| {
                        let name = self.kernel.btf().name(id).to_owned();
                        self.image.ksyms.push(Ksym { name, kernel_btf_id: Some(id) });
                        self.image.ksyms.len() - 1
                    });
                    self.wide(pc, pseudo::BTF_ID, at as i32, 0);
                }
            },
            (Resolved::Kconfig(offset), false) => {
                let addend = self.image.text[pc as usize].imm;
                let map = self.data_map.last().copied().flatten().unwrap_or_default();
                self.wide(pc, pseudo::MAP_VALUE, map as i32, (offset as i32).wrapping_add(addend));
            }
        }
        Ok(())
    }

    /// Set a 64-bit load.
    fn wide(&mut self, pc: u32, src: u8, low: i32, high: i32) {
        let at = pc as usize;
        self.image.text[at].src = src;
        self.image.text[at].imm = low;
        self.image.text[at + 1].imm = high;
    }

    /// Replace an instruction (both halves of a 64-bit load) by one that faults with a message.
    fn poison(&mut self, pc: u32, message: String) {
        let at = pc as usize;
        let bad = Insn { code: CALL, dst: 0, src: pseudo::POISON, off: 0, imm: self.image.poisons.len() as i32 };
        if self.image.text[at].code == LD_IMM64
            && let Some(high) = self.image.text.get_mut(at + 1)
        {
            *high = bad;
        }
        self.image.text[at] = bad;
        self.image.poisons.push(message);
    }

    fn place_of(&self, pc: u32) -> String {
        self.image.locate(pc).as_ref().map_or_else(String::new, Location::to_string)
    }
}
