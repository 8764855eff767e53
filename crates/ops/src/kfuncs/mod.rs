//! Kernel functions that programs call, by name.
//!
//! A function turns the five argument words into what the simulated kernel takes, and its result into r0. Checks and
//! messages, time and points of interleaving are the class's (`scxr_kernel::ext::kfunc`).

mod cgroup;
mod cid;
mod cpumask;
mod iter;
mod memory;
mod objects;
mod scx;
mod task;
pub(crate) mod walk;

use scxr_bpf::vm::{HostError, Machine};

use crate::host::Context;

/// r0, or why the call failed.
pub(crate) type KfuncResult = Result<u64, HostError>;
pub(crate) type KfuncFn = fn(&mut Context<'_>, &Machine, [u64; 5]) -> KfuncResult;

const TABLES: [&[(&str, KfuncFn)]; 9] = [
    scx::TABLE,
    task::TABLE,
    cpumask::TABLE,
    iter::TABLE,
    walk::TABLE,
    cgroup::TABLE,
    memory::TABLE,
    objects::TABLE,
    cid::TABLE,
];

/// The function with that name in the kernel; `None`: not implemented yet.
pub(crate) fn find(name: &str) -> Option<KfuncFn> {
    let mut table = TABLES.into_iter().flatten();
    table.find(|(n, _)| *n == name).map(|(_, run)| *run)
}

/// Names of all kfuncs that are implemented.
pub fn implemented() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().flatten().map(|(name, _)| *name)
}
