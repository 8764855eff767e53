//! What both halves of simple know.

/// Index into `stats`: tasks that went straight to an idle CPU.
pub const LOCAL: u32 = 0;
/// Index into `stats`: tasks that went to the shared queue.
pub const GLOBAL: u32 = 1;
