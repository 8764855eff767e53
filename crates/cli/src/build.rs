//! `scxr build`: a policy in Rust becomes a BPF object.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use scxr_bpfc::{Cpu, Emit, Options, Output};
use serde_json::json;

use crate::failure::{Failure, Outcome, Result};
use crate::report;
use crate::scheduler::{compile_failure, policy_in};

/// Arguments of `build`.
#[derive(Debug, Args)]
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
    /// 64-bit jumps
    V1,
    /// More jump conditions
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
    let output = scxr_bpfc::build(&source, args.output.as_deref(), &options).map_err(compile_failure)?;
    if !args.quiet {
        talk(&output);
    }
    if args.json {
        report::print(&report::json_text(&json(&output)))?;
    }
    Ok(Outcome::Fine)
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
