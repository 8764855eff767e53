//! The BPF half of {{name}}: tells user space of tasks that are ready, and carries out what it decides.

scxr_policy::userspace! {
    /// Decisions in user space.
    pub struct Scheduler { name: "{{crate}}" }
}
