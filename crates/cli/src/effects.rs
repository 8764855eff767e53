//! Options that would have no effect are refused, so that nobody takes a run for what it was not.

use std::path::PathBuf;

use crate::args::{BpfArg, InterleaveArg, MachineArgs};
use crate::failure::{Failure, Result};
use crate::scheduler::{Kind, Scheduler};

/// Refuses options that mean nothing for any of the schedulers that a command runs.
pub(crate) fn check(schedulers: &[Scheduler], machine: &MachineArgs, globals: bool) -> Result<()> {
    let is_native = |s: &Scheduler| matches!(s.kind, Kind::Native(_));
    let only_eevdf = schedulers.iter().all(|s| matches!(s.kind, Kind::Eevdf));
    let given = [
        ("--native", machine.native),
        ("--globals", globals),
        ("--interleave", machine.interleave.is_some()),
        ("--bpf", machine.bpf.is_some()),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given && only_eevdf) {
        let why = "eevdf is Linux's fair class: it has no BPF half";
        return Err(Failure::input(format_args!("{option}: {why}, so the option has no effect")));
    }
    if machine.interleave == Some(InterleaveArg::Insn) && schedulers.iter().any(is_native) {
        return Err(Failure::input(
            "--interleave insn: native code has no BPF instructions to interleave at; leave out --native, or use \
             --interleave kfunc",
        ));
    }
    if machine.bpf.is_some() && machine.native && !schedulers.iter().any(|s| matches!(s.kind, Kind::Bpf(_))) {
        return Err(Failure::input("--bpf: with --native nothing is executed as BPF; leave one of the two out"));
    }
    if machine.bpf == Some(BpfArg::Jit) && machine.interleave == Some(InterleaveArg::Insn) {
        return Err(Failure::input(
            "--bpf jit: --interleave insn stops at each instruction, which the interpreter alone does",
        ));
    }
    let takes_loader = |s: &Scheduler| s.object.as_deref().is_some_and(|o| o.ends_with(".o") || o.ends_with(".c"));
    if let (Some(file), false) = (&machine.loader, schedulers.iter().any(takes_loader)) {
        return Err(Failure::input(format_args!(
            "--loader {}: it is for objects (X.bpf.o, X.bpf.c); policies in Rust bring what they need",
            file.display()
        )));
    }
    let files: Vec<&str> = schedulers.iter().map(|s| s.object.as_deref().unwrap_or(&s.name)).collect();
    headers(&files, &machine.include)
}

/// Refuses folders of headers where no scheduler is compiled from C.
pub(crate) fn headers(schedulers: &[&str], include: &[PathBuf]) -> Result<()> {
    let (Some(dir), false) = (include.first(), schedulers.iter().any(|s| s.ends_with(".c"))) else {
        return Ok(());
    };
    let names = schedulers.join(", ");
    Err(Failure::input(format_args!(
        "-I {}: headers are for schedulers in C (X.bpf.c), and {names} is none, so the option has no effect",
        dir.display()
    )))
}
