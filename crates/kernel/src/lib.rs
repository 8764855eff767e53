//! The simulated kernel: CPUs, clock, run queues, scheduling classes, topology. Knows no BPF.

pub mod behavior;
pub mod cost;
pub mod cpumask;
pub mod ids;
pub mod topology;
