//! What the loader hands to the machine: one text, its functions, maps, externs and struct_ops tables, all resolved
//! against one kernel's BTF.

use std::fmt;
use std::sync::Arc;

use crate::btf::Btf;

/// One 8-byte slot of BPF code, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Operation code.
    pub code: u8,
    /// Destination register, 0..10.
    pub dst: u8,
    /// Source register, or the pseudo kind of calls and 64-bit loads.
    pub src: u8,
    /// Jump or memory offset.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

/// Pseudo source registers of `ld_imm64` and `call`, as the kernel's UAPI numbers them. In an [`Image`]:
///
/// | instruction | src | meaning of the immediate |
/// |---|---|---|
/// | ld_imm64 | [`pseudo::MAP_FD`] | index into [`Image::maps`]: the address of the map |
/// | ld_imm64 | [`pseudo::MAP_VALUE`] | low word: index into [`Image::maps`], high word: byte offset in its (only) value |
/// | ld_imm64 | [`pseudo::BTF_ID`] | index into [`Image::ksyms`] |
/// | ld_imm64 | [`pseudo::FUNC`] | index into [`Image::funcs`]: the address of a callback |
/// | call | 0 | helper id |
/// | call | [`pseudo::CALL`] | signed distance in slots to the callee's first one, from the slot after the call |
/// | call | [`pseudo::KFUNC_CALL`] | index into [`Image::kfuncs`] |
/// | call | [`pseudo::POISON`] | index into [`Image::poisons`]: executing it is a fault with that message |
///
/// An absent weak symbol's address is a plain `ld_imm64` of 0.
pub mod pseudo {
    #![allow(missing_docs)]
    pub const MAP_FD: u8 = 1;
    pub const MAP_VALUE: u8 = 2;
    pub const BTF_ID: u8 = 3;
    pub const FUNC: u8 = 4;
    pub const CALL: u8 = 1;
    pub const KFUNC_CALL: u8 = 2;
    /// Ours: not in the UAPI, so no object can hold it by chance.
    pub const POISON: u8 = 15;
}

/// A source position of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Slot, absolute in [`Image::text`], from which on the line applies.
    pub slot: u32,
    /// File name as the compiler gave it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The line's text, where the object carries it.
    pub text: String,
}

/// A program's entry or a subprogram.
#[derive(Clone, Debug)]
pub struct Func {
    /// Symbol name.
    pub name: String,
    /// Section that it came from.
    pub section: String,
    /// First slot in [`Image::text`].
    pub start: u32,
    /// Number of slots.
    pub len: u32,
    /// Source lines, by slot.
    pub lines: Vec<Line>,
}

/// What kind of program a section holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// A struct_ops member (`struct_ops/`, `struct_ops.s/`).
    StructOps,
    /// Run on request (`syscall`).
    Syscall,
    /// Anything else, by its section name (tracing, tp_btf, …); loaded, and attached by who can.
    Other(String),
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Function name.
    pub name: String,
    /// Section name.
    pub section: String,
    /// Kind.
    pub kind: ProgramKind,
    /// May sleep (`.s`).
    pub sleepable: bool,
    /// Index of its entry in [`Image::funcs`].
    pub func: usize,
}

/// A map, as declared, after the user's changes.
#[derive(Clone, Debug)]
pub struct MapDef {
    /// Name: of the variable, or of the section for global data.
    pub name: String,
    /// Type number of the UAPI (`BPF_MAP_TYPE_*`).
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Global data: the section's contents.
    pub initial: Option<Vec<u8>>,
    /// Programs may not write it (`.rodata*`, `.kconfig`).
    pub read_only: bool,
    /// BTF id of the value's type in the object's BTF.
    pub value_type: Option<u32>,
    /// Template of the inner map, for maps in maps.
    pub inner: Option<Box<MapDef>>,
    /// Initial inner maps by slot: indices into [`Image::maps`].
    pub inner_values: Vec<Option<usize>>,
}

/// A kernel function that the object calls.
#[derive(Clone, Debug)]
pub struct Kfunc {
    /// Name in the object, with any `___flavor`.
    pub symbol: String,
    /// Name in the kernel.
    pub name: String,
    /// BTF id of the kernel's FUNC; `None`: the kernel has no such function and the symbol is weak.
    pub kernel_btf_id: Option<u32>,
}

/// A kernel variable that the object refers to.
#[derive(Clone, Debug)]
pub struct Ksym {
    /// Name in the kernel.
    pub name: String,
    /// `None`: absent and weak; its address is 0.
    pub kernel_btf_id: Option<u32>,
}

/// One member of a struct_ops table that the object sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpsMember {
    /// A function: index into [`Image::programs`].
    Program(usize),
    /// Plain data, the member's bytes.
    Data(Vec<u8>),
}

/// A struct_ops table.
#[derive(Clone, Debug)]
pub struct StructOps {
    /// Name of the variable.
    pub name: String,
    /// Name of the kernel's type, such as `sched_ext_ops`.
    pub type_name: String,
    /// Set members by name, in order of the kernel's table. Members that are zero or null are left out.
    pub members: Vec<(String, OpsMember)>,
    /// Should a loader attach it by itself (`.struct_ops.link`)?
    pub link: bool,
}

/// A global variable in one of the data maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Name.
    pub name: String,
    /// Index into [`Image::maps`].
    pub map: usize,
    /// Byte offset in the map's value.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// BTF id of its type in [`Image::btf`].
    pub type_id: u32,
}

/// A loaded and resolved object.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Name of the object (its file's stem).
    pub name: String,
    /// All code, each function contiguous.
    pub text: Vec<Insn>,
    /// Functions in order of `start`.
    pub funcs: Vec<Func>,
    /// Programs.
    pub programs: Vec<Program>,
    /// Maps, global data included.
    pub maps: Vec<MapDef>,
    /// Kernel functions.
    pub kfuncs: Vec<Kfunc>,
    /// Kernel variables.
    pub ksyms: Vec<Ksym>,
    /// struct_ops tables.
    pub struct_ops: Vec<StructOps>,
    /// The `license` section.
    pub license: String,
    /// Messages of poisoned instructions: what is missing in the kernel, and where it was used.
    pub poisons: Vec<String>,
    /// Global variables, by map and offset.
    pub globals: Vec<Global>,
    /// The object's own BTF, that [`MapDef::value_type`] and [`Global::type_id`] refer to.
    pub btf: Arc<Btf>,
}

/// Where an instruction is: program or subprogram, slot in it, and source line where known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Function.
    pub func: String,
    /// Section.
    pub section: String,
    /// Slot in the function.
    pub slot: u32,
    /// `file:line: text`, where known.
    pub line: Option<Line>,
}

impl Image {
    /// The place of slot `pc`.
    pub fn locate(&self, pc: u32) -> Option<Location> {
        let at = self.funcs.partition_point(|f| f.start <= pc).checked_sub(1)?;
        let func = &self.funcs[at];
        let line = func.lines.partition_point(|l| l.slot <= pc).checked_sub(1).map(|i| func.lines[i].clone());
        Some(Location { func: func.name.clone(), section: func.section.clone(), slot: pc - func.start, line })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{} ({})", self.func, self.slot, self.section)?;
        match &self.line {
            Some(l) => write!(f, " at {}:{}: {}", l.file, l.line, l.text.trim()),
            None => Ok(()),
        }
    }
}
