//! Metrics and comparison, from traces alone.
//!
//! [`Analyzer`] is a sink: it takes events while a run produces them, keeps no event, and answers with a [`Report`] at the
//! end. It knows neither the simulated kernel nor BPF, so that a real kernel's trace is judged by the same code.

#![forbid(unsafe_code)]

mod analyzer;
pub mod compare;
mod fairness;
mod latency;
pub mod report;
mod tasks;

pub use analyzer::{Analyzer, Options, Place};
pub use compare::compare;
pub use report::Report;
