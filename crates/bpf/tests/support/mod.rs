//! What the machine's tests share: an assembler, images by hand, and a host with nothing behind it.
#![allow(dead_code, unreachable_pub)]

pub mod asm;
pub mod host;
pub mod random;

use scxr_bpf::image::{Func, Image, Insn, Kfunc, MapDef, Program, ProgramKind};
use scxr_bpf::vm::{Exec, Machine, MachineError, Options};

/// How the machine's tests execute programs: `compiled.rs` builds them again, for compiled code.
pub const EXEC: Exec = match env!("CARGO_CRATE_NAME").as_bytes() {
    b"compiled" => Exec::Jit,
    _ => Exec::Interp,
};

/// An image of one program called `main`, whose text is `text`; slots that are called start functions of their own.
pub fn image(text: Vec<Insn>, maps: Vec<MapDef>) -> Image {
    let mut starts = vec![0u32];
    for (pc, insn) in text.iter().enumerate() {
        if insn.code == 0x85 && insn.src == 1 {
            starts.push((pc as i64 + 1 + i64::from(insn.imm)) as u32);
        }
    }
    with_funcs(text, starts, maps)
}

/// The same, with functions at `starts`.
pub fn with_funcs(text: Vec<Insn>, mut starts: Vec<u32>, maps: Vec<MapDef>) -> Image {
    starts.sort_unstable();
    starts.dedup();
    let end = text.len() as u32;
    let funcs = starts
        .iter()
        .enumerate()
        .map(|(i, start)| Func {
            name: if i == 0 { "main".into() } else { format!("func{i}") },
            section: "struct_ops/main".into(),
            start: *start,
            len: starts.get(i + 1).copied().unwrap_or(end) - start,
            lines: Vec::new(),
        })
        .collect();
    let program = Program {
        name: "main".into(),
        section: "struct_ops/main".into(),
        kind: ProgramKind::StructOps,
        sleepable: false,
        func: 0,
    };
    let kfuncs = vec![
        Kfunc { symbol: "kfunc_echo".into(), name: "kfunc_echo".into(), kernel_btf_id: Some(1) },
        Kfunc { symbol: "kfunc_absent".into(), name: "kfunc_absent".into(), kernel_btf_id: None },
        Kfunc { symbol: "kfunc_run".into(), name: "kfunc_run".into(), kernel_btf_id: Some(2) },
    ];
    Image { name: "test".into(), text, funcs, programs: vec![program], maps, kfuncs, ..Image::default() }
}

/// A map definition.
pub fn map(name: &str, map_type: u32, key_size: u32, value_size: u32, max_entries: u32) -> MapDef {
    MapDef {
        name: name.into(),
        map_type,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        initial: None,
        read_only: false,
        value_type: None,
        inner: None,
        inner_values: Vec::new(),
    }
}

/// Little memory, so that thousands of machines are cheap.
pub fn options() -> Options<'static> {
    Options { dynamic_bytes: 1 << 20, nr_cpus: 4, exec: EXEC, ..Options::default() }
}

/// A machine of assembled text.
pub fn machine(source: &str, maps: Vec<MapDef>) -> Result<Machine, MachineError> {
    let program = asm::assemble(source).unwrap_or_else(|e| panic!("{e}"));
    let mut starts: Vec<u32> = program.funcs.iter().map(|(_, slot)| *slot).collect();
    starts.push(0);
    for (pc, insn) in program.text.iter().enumerate() {
        if insn.code == 0x85 && insn.src == 1 {
            starts.push((pc as i64 + 1 + i64::from(insn.imm)) as u32);
        }
    }
    Machine::new(with_funcs(program.text, starts, maps), &options())
}
