//! The whole of it: objects and policies on simulated machines under workloads, judged by the checker of traces and by the
//! class's own invariants.

mod cgroups;
mod checks;
mod cids;
#[path = "../../../cli/src/scheduler/clang/programs.rs"]
mod clang;
mod common;
mod conserve;
mod memory;
mod misbehaving;
mod objects;
mod policies;
mod random;
#[path = "../support/skip.rs"]
mod skip;
mod stress;
mod told;
mod twins;
mod walks;
mod wild;
