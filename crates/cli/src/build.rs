//! `scxr build`: a policy in Rust becomes a BPF object.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use scxr_bpfc::{Cpu, Emit, Options, Output};
use serde_json::json;

use crate::failure::{Failure, Outcome, Result};
use crate::report;
use crate::scheduler::{compile_failure, policy_in};

/// What of the environment decides, for the help's end.
const ENVIRONMENT: &str = "Environment:
  RUSTC      The compiler [default: the first that can be used of the one on the path and those that are installed]
  SCXR_LLVM  A libLLVM.so instead of the compiler's own, of the same version or a later one, with the BPF back end";

/// Arguments of `build`.
#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct BuildArgs {
    /// The policy: X.rs, or a folder that holds policy.rs or src/policy.rs
    #[arg(value_name = "X.rs|DIR")]
    source: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    emit: EmitArg,
    /// Where to write it [default: NAME.bpf.o, NAME.ll or NAME.s in the current folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Instruction set: v1 to v4
    #[arg(long, value_enum, default_value_t)]
    cpu: CpuArg,
    /// Name of the scheduler [default: from the file's or folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// No notes on standard error
    #[arg(long, short)]
    quiet: bool,
}

/// Characters of a scheduler's name at most.
pub(crate) const NAME_MAX: usize = 63;

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum EmitArg {
    /// The object that loaders take
    #[default]
    Obj,
    /// Optimised LLVM IR
    Ll,
    /// BPF assembly
    Asm,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum CpuArg {
    /// 64-bit jumps; atomics only add
    V1,
    /// More jump conditions; atomics only add
    V2,
    /// 32-bit registers and atomics
    #[default]
    V3,
    /// Signed division, long jumps: kernels from 6.6 on
    V4,
}

/// Builds.
pub(crate) fn build(args: &BuildArgs) -> Result<Outcome> {
    let options = Options {
        name: args.name.clone(),
        emit: match args.emit {
            EmitArg::Obj => Emit::Object,
            EmitArg::Ll => Emit::LlvmIr,
            EmitArg::Asm => Emit::Assembly,
        },
        cpu: match args.cpu {
            CpuArg::V1 => Cpu::V1,
            CpuArg::V2 => Cpu::V2,
            CpuArg::V3 => Cpu::V3,
            CpuArg::V4 => Cpu::V4,
        },
        cache: None,
    };
    let source = source(&args.source)?;
    check_output(args.output.as_deref())?;
    check_name(args.name.as_deref())?;
    let output = scxr_bpfc::build(&source, args.output.as_deref(), &options).map_err(compile_failure)?;
    if !args.quiet {
        talk(&output);
    }
    if args.json {
        report::print(&report::json_text(&json(&output)))?;
    }
    Ok(Outcome::Fine)
}

/// What is written is no source of Rust, and no folder.
fn check_output(output: Option<&Path>) -> Result<()> {
    let Some(output) = output else { return Ok(()) };
    let bad = |why: &str| Err(Failure::input(format_args!("--output {}: {why}", output.display())));
    if output.is_dir() {
        return bad("is a folder; name the file to write in it");
    }
    match output.extension().and_then(|e| e.to_str()) {
        Some("rs") => bad("is the name of a Rust source; objects are called X.bpf.o"),
        _ => Ok(()),
    }
}

/// A name that the kernel takes, and that a crate can have.
fn check_name(name: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match plain && name.len() <= NAME_MAX {
        true => Ok(()),
        false => Err(Failure::input(format_args!(
            "--name {name}: a name has letters, digits and _, begins with no digit, and is {NAME_MAX} characters long at most"
        ))),
    }
}

/// The file that is meant.
fn source(given: &Path) -> Result<PathBuf> {
    if given.is_dir() {
        return policy_in(given);
    }
    match given.extension().and_then(|e| e.to_str()) {
        _ if !given.exists() => Err(Failure::input(format_args!("{}: No such file or directory", given.display()))),
        Some("rs") => Ok(given.to_path_buf()),
        _ => Err(Failure::input(format_args!(
            "{}: policies are Rust files (X.rs); schedulers in C are compiled by `scxr run X.bpf.c`",
            given.display()
        ))),
    }
}

fn talk(output: &Output) {
    if !output.warnings.is_empty() {
        report::note(&format!("rustc says:\n{}", output.warnings.trim_end()));
    }
    let done = if output.compiled { "built" } else { "up to date" };
    report::note(&format!("{}: {done}, {} bytes ({})", output.path.display(), output.size, output.toolchain));
}

fn json(output: &Output) -> serde_json::Value {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    json!({
        "schema": "scxr-build/1",
        "scheduler": output.name,
        "output": text(&output.path),
        "bytes": output.size,
        "compiled": output.compiled,
        "toolchain": output.toolchain,
        "sources": output.sources.iter().map(|s| text(s)).collect::<Vec<_>>(),
        "warnings": output.warnings,
    })
}
