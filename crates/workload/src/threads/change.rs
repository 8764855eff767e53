//! Changes of other tasks' attributes, as taskset(1), renice(1) and chrt(1) make them.

use std::io;

use scxr_kernel::behavior::Policy;
use scxr_kernel::cpumask::CpuMask;
use serde::{Deserialize, Serialize};

use super::sys;

/// An attribute, and what it is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attribute", rename_all = "snake_case")]
pub enum Change {
    /// The CPUs that the task may use.
    Affinity {
        /// As a list, `0-3,8`.
        cpus: String,
    },
    /// Its nice value.
    Nice {
        /// -20 to 19.
        nice: i8,
    },
    /// Its policy.
    Policy {
        /// Its number, as sched_setscheduler(2) has it.
        number: u32,
        /// Its real-time priority; 0 where it has none.
        priority: u8,
    },
}

impl Change {
    /// Another policy.
    pub fn policy(policy: Policy) -> Change {
        Change::Policy { number: policy.number(), priority: policy.priority() }
    }

    /// Other CPUs.
    pub fn affinity(cpus: &CpuMask) -> Change {
        Change::Affinity { cpus: sys::cpu_list(cpus) }
    }
}

/// Changes a task, by its thread id.
pub fn change(tid: u32, to: &Change) -> io::Result<()> {
    match to {
        Change::Affinity { cpus } => {
            let cpus = CpuMask::parse(cpus).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
            sys::set_affinity_of(tid, Some(&cpus))
        }
        Change::Nice { nice } => sys::set_nice_of(tid, *nice),
        Change::Policy { number, priority } => sys::set_policy_of(tid, *number, *priority),
    }
}
