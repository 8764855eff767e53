//! The event schema, the recorder and the canonical text form.
//!
//! An event is one thing that a scheduler did or that happened to a task, with the CPU and the simulated time at which it
//! happened. The simulated kernel and the importer of a real kernel's tracepoints emit the same events, so that one
//! analysis judges both sides.
//!
//! A [`Sink`] takes events while they happen: [`Recorder`] keeps them, [`Counter`] counts them, [`Checker`] judges them,
//! [`Tee`] gives them to several. [`text`] is how they are written down.

#![forbid(unsafe_code)]

mod check;
mod custody;
mod event;
pub mod ftrace;
mod sinks;
pub mod text;

pub use check::{Checker, Rule, Rules, Violation};
pub use event::{DsqId, Event, EventKind, ExitKind, NullSink, Sink, SwitchOut};
pub use sinks::{Counter, Recorder, Tee};
