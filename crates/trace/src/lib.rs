//! The event schema, the recorder and the canonical text form.
//!
//! An event is one thing that a scheduler did or that happened to a task, with the CPU and the simulated time at which it
//! happened. The simulated kernel and the importer of a real kernel's tracepoints emit the same events, so that one
//! analysis judges both sides.

mod event;

pub use event::{DsqId, Event, EventKind, ExitKind, NullSink, Sink, SwitchOut};
