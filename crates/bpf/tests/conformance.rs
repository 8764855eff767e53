//! The public BPF conformance suite as an oracle. It is not part of this repository: `SCXR_BPF_CONFORMANCE` names the directory of its
//! `*.data` files. Without it the test says that it is skipped, in CI too, where the suite cannot be had.

#[path = "support/skip.rs"]
mod skip;
mod support;

use std::path::Path;

use support::host::TestHost;
use support::{asm, image, options};

use scxr_bpf::image::Insn;
use scxr_bpf::vm::{Machine, MachineError};

/// Cases that Linux's own rules exclude, and why.
const EXCEPTED: &[(&str, &str)] =
    &[("callx.data", "calls through a register: Linux refuses them, and so does the machine, when it is made")];

#[derive(Default)]
struct Case {
    asm: String,
    raw: String,
    mem: Vec<u8>,
    result: String,
}

fn parse(text: &str) -> Case {
    let mut case = Case::default();
    let mut section = "";
    for line in text.lines() {
        if line.starts_with('#') && section != "asm" {
            continue;
        }
        if let Some(name) = line.strip_prefix("-- ") {
            section = match name.trim() {
                "asm" => "asm",
                "raw" => "raw",
                "mem" => "mem",
                "result" => "result",
                _ => "other",
            };
            continue;
        }
        match section {
            "asm" => case.asm += &format!("{line}\n"),
            "raw" => case.raw += &format!("{line}\n"),
            "result" => case.result += line.trim(),
            "mem" => {
                let line = line.split('#').next().unwrap_or("");
                case.mem.extend(line.split_whitespace().map(|b| u8::from_str_radix(b, 16).expect("hexadecimal bytes")));
            }
            _ => {}
        }
    }
    case
}

fn text_of(case: &Case) -> Vec<Insn> {
    if !case.asm.is_empty() {
        return asm::assemble(&case.asm).unwrap_or_else(|e| panic!("{e}")).text;
    }
    let word = |w: &str| u64::from_str_radix(w.trim_start_matches("0x"), 16).expect("a hexadecimal word");
    case.raw
        .split_whitespace()
        .map(word)
        .map(|w| Insn {
            code: w as u8,
            dst: (w >> 8) as u8 & 15,
            src: (w >> 12) as u8 & 15,
            off: (w >> 16) as i16,
            imm: (w >> 32) as i32,
        })
        .collect()
}

/// The suite's calling convention: r1 points to the memory, r2 is its length.
fn run(case: &Case) -> Result<u64, String> {
    let machine =
        Machine::new(image(text_of(case), Vec::new()), &options()).map_err(|e: MachineError| e.to_string())?;
    let mut host = TestHost::default();
    let memory = machine.alloc(case.mem.len()).expect("memory");
    assert!(machine.write_bytes(memory, &case.mem));
    let args = [memory, case.mem.len() as u64, 0, 0, 0];
    machine.call_function(Some(0), machine.func_address(0), args, &mut host).map(|o| o.ret).map_err(|e| e.to_string())
}

fn expected(text: &str) -> u64 {
    let text = text.trim();
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).expect("a result"),
        None => text.parse().expect("a result"),
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn conformance_suite() {
    let Some(dir) = std::env::var_os("SCXR_BPF_CONFORMANCE") else {
        skip::skipped("set SCXR_BPF_CONFORMANCE to the directory of the suite's .data files");
        return;
    };
    let mut paths: Vec<_> =
        std::fs::read_dir(Path::new(&dir)).expect("the suite's directory").map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "data"));
    paths.sort();
    assert!(!paths.is_empty(), "no .data files");
    let mut failures = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let case = parse(&std::fs::read_to_string(path).expect("a readable case"));
        let result = run(&case);
        if EXCEPTED.iter().any(|(excepted, _)| *excepted == name) {
            assert!(result.is_err(), "{name} is excepted, but runs");
            continue;
        }
        let want = expected(&case.result);
        if result != Ok(want) {
            failures.push(format!("{name}: expected {want:#x}, got {result:x?}"));
        }
    }
    eprintln!("{} cases, {} failures, {} excepted: {EXCEPTED:?}", paths.len(), failures.len(), EXCEPTED.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
