//! userland, the BPF half: tells user space of every task that is ready, and does what user space decides.

scxr_policy::userspace! {
    /// Weighted virtual run time, in user space.
    pub struct Userland { name: "userland" }
}
