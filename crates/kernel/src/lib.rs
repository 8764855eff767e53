//! The simulated kernel: CPUs, clock, run queues, scheduling classes, topology. Knows no BPF.

pub mod behavior;
mod boot;
pub mod cgroup;
pub mod class;
pub mod config;
mod core;
pub mod cost;
pub mod cpumask;
pub mod executor;
pub mod ext;
pub mod fair;
pub mod ids;
pub mod irq;
pub mod lock;
mod machine;
mod mutex;
pub mod prio;
mod rcu;
pub mod rq;
pub mod state;
pub mod task;
pub mod topology;
mod turn;
mod user;
mod wait;

pub use crate::core::attr::AttrError;
pub use crate::core::cgroup::{CgroupChange, CgroupError};
pub use crate::core::hotplug::HotplugError;
pub use executor::Kernel;
pub use machine::Machine;
