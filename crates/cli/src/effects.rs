//! Options that would have no effect are refused, so that nobody takes a run for what it was not.

use std::path::PathBuf;

use crate::args::{BpfArg, InterleaveArg, MachineArgs, On};
use crate::failure::{Failure, Result};
use crate::scheduler::{Kind, Scheduler};

/// Refuses options that mean nothing for any of the schedulers that a command runs.
pub(crate) fn check(schedulers: &[Scheduler], machine: &MachineArgs, globals: bool) -> Result<()> {
    programs(schedulers, machine, globals)?;
    let is_native = |s: &Scheduler| matches!(s.kind, Kind::Native(_));
    let only_eevdf = schedulers.iter().all(|s| matches!(s.kind, Kind::Eevdf));
    let given = [
        ("--native", machine.native),
        ("--direct", machine.direct),
        ("--globals", globals),
        ("--interleave", machine.interleave.is_some()),
        ("--bpf", machine.bpf.is_some()),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given && only_eevdf) {
        let why = "eevdf is Linux's fair class: it has no BPF half";
        return Err(Failure::input(format_args!("{option}: {why}, so the option has no effect")));
    }
    let of_bpf_half = [
        ("--globals", globals),
        ("--set", !machine.set.is_empty()),
        ("--resize", !machine.resize.is_empty()),
        ("--bpf", machine.bpf.is_some()),
        ("--interleave insn", machine.interleave == Some(InterleaveArg::Insn)),
    ];
    if let (true, Some((option, _))) = (machine.direct, of_bpf_half.iter().find(|(_, given)| *given)) {
        return Err(Failure::input(format_args!(
            "{option}: with --direct there is no BPF half; leave one of the two out"
        )));
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
    let is_program = |s: &Scheduler| matches!(s.kind, Kind::Program(_));
    if !machine.take.is_empty() && machine.exec.is_none() && !schedulers.iter().any(is_program) {
        return Err(Failure::input(
            "--take: it takes files into a virtual machine for programs; it goes with --on vm --exec, or with a scheduler that is a program",
        ));
    }
    let takes_loader = |s: &Scheduler| s.object.as_deref().is_some_and(|o| o.ends_with(".o") || o.ends_with(".c"));
    if let (Some(file), false) = (&machine.loader, schedulers.iter().any(takes_loader)) {
        return Err(Failure::input(format_args!(
            "--loader {}: it is for objects (X.bpf.o, X.bpf.c); policies in Rust and programs bring what they need",
            file.display()
        )));
    }
    let files: Vec<&str> = schedulers.iter().map(|s| s.object.as_deref().unwrap_or(&s.name)).collect();
    headers(&files, &machine.include)
}

/// What is said where a simulated kernel is to run a scheduler's own program.
pub(crate) fn no_program(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or(name);
    format!(
        "{name} is a program: it is machine code for Linux that loads a BPF object, and a simulated kernel runs BPF alone; run it with \
         --on vm (a Linux kernel in QEMU) or --on host, or give its object: scxr run {stem}.bpf.o, with --loader FILE.toml for what the \
         program sets (docs/loaders.md)"
    )
}

/// Refuses what means nothing where a scheduler is a program: it loads its own object.
fn programs(schedulers: &[Scheduler], machine: &MachineArgs, globals: bool) -> Result<()> {
    let Some(one) = schedulers.iter().find(|s| matches!(s.kind, Kind::Program(_))) else { return Ok(()) };
    if machine.on.is_empty() || machine.on.contains(&On::Sim) {
        return Err(Failure::input(no_program(&one.name)));
    }
    let given = [("--set", !machine.set.is_empty()), ("--resize", !machine.resize.is_empty()), ("--globals", globals)];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::input(format_args!(
            "{option}: {} is a program, which loads its own object; its options stand behind --",
            one.name
        )));
    }
    match machine.record.is_some() {
        true => Err(Failure::input(format_args!("--record: runs of programs, as {} is one, are not kept", one.name))),
        false => Ok(()),
    }
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
