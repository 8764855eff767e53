//! `scxr`: run, compare and inspect schedulers.
//!
//! Arguments are read raw ([`args`]), resolved into a request that can be carried out ([`resolve`]), run without printing
//! ([`session`]) and reported ([`report`]). Data goes to standard output, talk to standard error. The exit code tells whose
//! affair a failure is ([`failure`]).

#![forbid(unsafe_code)]

mod args;
mod build;
mod compare;
mod cost;
mod crash;
mod effects;
mod exec;
mod failure;
mod fidelity;
mod inject;
mod inspect;
mod interrupt;
mod kernels;
mod list;
mod loader;
mod new;
mod progress;
mod real;
mod replay;
mod report;
mod resolve;
mod run;
mod scenario;
mod scheduler;
mod session;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    if scxr_lab::guest::is_init() {
        scxr_lab::guest::init_main(real::outrun);
    }
    crash::install();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::New(args) => new::new(&args),
        Command::Build(args) => build::build(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::List(args) => list::list(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Kernels(args) => kernels::kernels(&args),
        Command::Verify(args) => real::verify(&args),
        Command::Guest(args) => real::guest(&args),
        Command::Workers => real::workers(),
        Command::Version(args) => list::version(&args),
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::SchedulerAtFault) => ExitCode::from(failure::CODE_SCHEDULER),
        Ok(Outcome::Interrupted) => ExitCode::from(interrupt::code()),
        // Who reads our output has seen enough.
        Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Help(text)) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let mut stderr = io::stderr();
            // Nothing is left to be done if nobody can be told.
            let _ = writeln!(stderr, "scxr: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
