//! Traces of a real kernel: the pages of its trace buffer, read as events of our schema.
//!
//! A kernel says itself what its records look like ([`Formats`]) and hands out the pages of each CPU as they are in memory
//! ([`ring`]). [`import`] merges them by time and tells them in our words; what a record does not say (whether a task that
//! left its CPU had yielded, the length of its slice) stays unsaid.

mod format;
mod import;
mod ring;

pub use format::{FormatError, Formats};
pub use import::{Imported, Importer, KnownTask, import};

/// The tracepoints that are read, by subsystem; a kernel may lack the last ones.
pub const EVENTS: [(&str, &str); 10] = [
    ("sched", "sched_switch"),
    ("sched", "sched_waking"),
    ("sched", "sched_wakeup"),
    ("sched", "sched_wakeup_new"),
    ("sched", "sched_migrate_task"),
    ("sched", "sched_process_fork"),
    ("sched", "sched_process_exec"),
    ("sched", "sched_process_exit"),
    ("sched_ext", "sched_ext_dump"),
    ("sched_ext", "sched_ext_event"),
];
