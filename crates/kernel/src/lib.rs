//! The simulated kernel: CPUs, clock, run queues, scheduling classes, topology. Knows no BPF.
