//! `cargo run -p scxr-bpfc --example build -- policy.rs OUT [ir|asm]`: compiles one policy.

use std::error::Error;
use std::path::Path;

use scxr_bpfc::{Compiler, Emit, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, out, rest @ ..] = args.as_slice() else { return Err("usage: build SOURCE OUT [ir|asm]".into()) };
    let emit = match rest.first().map(String::as_str) {
        Some("ir") => Emit::LlvmIr,
        Some("asm") => Emit::Assembly,
        _ => Emit::Object,
    };
    let built = Compiler::new()?.compile(Path::new(source), &Options { emit, ..Options::default() })?;
    std::fs::write(out, &built.bytes)?;
    Ok(())
}
