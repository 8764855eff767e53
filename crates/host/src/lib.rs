//! The kernel of this machine: a BPF object is loaded through libbpf and attached, a workload of real threads runs under it,
//! and what happens is recorded from the kernel's own tracepoints and counters.
//!
//! A [`Job`] says what to do, [`run`] does it, a [`Record`] is what came of it. Both can be written down, so that a guest
//! does the job and its host reads the record. The workload runs in a process of its own, which the caller starts with
//! [`workers::serve`] in it; it dies with the process that started it.
//!
//! The library prints nothing. libbpf's messages are kept ([`log`]) and are part of a refusal.

pub mod class;
mod exec;
mod exit;
mod half;
mod inject;
mod job;
mod loader;
mod log;
mod machine;
mod mapped;
mod program;
mod record;
mod session;
mod stats;
mod tracing;
mod verdict;
pub mod workers;

pub use exec::{Exec, ExecRecord};
pub use half::{Half, HalfJob, HalfRecord, StatRecord, StatsRecord};
pub use inject::{GroupChange, Injected, What};
pub use job::{Call, Edit, Element, Fill, Job, Store, Then, Uei};
pub use loader::{LoadError, ProgramReport, verify};
pub use machine::nr_cpus;
pub use program::ProgramRecord;
pub use record::{Exit, MapDump, Place, Record, RecordError, Recording};
pub use session::{HostError, Progress, Stop, check, run};
pub use stats::Sample;
