//! Whose affair a failure is, and the exit code that says so.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | it worked |
//! | 1 | the scheduler's fault: refused, ejected, or not what a scenario expects |
//! | 2 | the user's input |
//! | 3 | our own bug ([`crate::crash`]) |
//! | 4 | something is missing on this system |
//! | 128 + n | signal n ended it before its time (130: Ctrl-C); what there was to report is reported |

use std::fmt::Display;
use std::io;
use std::path::Path;

use thiserror::Error;

/// Exit code of a fault of the scheduler.
pub(crate) const CODE_SCHEDULER: u8 = 1;

/// How a command ended that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Well.
    Fine,
    /// Well too, but the scheduler did something wrong; the report says what.
    SchedulerAtFault,
    /// A signal came; what was done by then was reported.
    Interrupted,
}

/// Why a command could not be carried out.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The user can put it right: an option, a file, an object.
    #[error("{0:#}")]
    Input(anyhow::Error),
    /// Something has to be installed first; the message names the command.
    #[error("{0:#}")]
    Environment(anyhow::Error),
    /// A signal came, and there is nothing to report.
    #[error("{0}")]
    Interrupted(&'static str),
    /// Help was asked for: that is all there is to do.
    #[error("{0}")]
    Help(String),
    /// The reader of our output has gone.
    #[error("the reader of the output has gone")]
    BrokenPipe,
}

/// What commands return.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A fault of the input.
    pub(crate) fn input(message: impl Display) -> Failure {
        Failure::Input(anyhow::anyhow!("{message}"))
    }

    /// Something is missing on this system.
    pub(crate) fn environment(message: impl Display) -> Failure {
        Failure::Environment(anyhow::anyhow!("{message}"))
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Failure {
        Failure::input(format_args!("{}: {}", path.display(), plain(error)))
    }

    /// Output that cannot be written.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::input(format_args!("standard output: {}", plain(error))),
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Input(_) => 2,
            Failure::Environment(_) => 4,
            Failure::Interrupted(_) => crate::interrupt::code(),
            Failure::Help(_) | Failure::BrokenPipe => 0,
        }
    }
}

/// The system's reason without the number that Rust adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
