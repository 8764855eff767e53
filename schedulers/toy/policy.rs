//! toy, the BPF half: tells user space of every task that is ready, and does what user space decides.

scxr_policy::userspace! {
    /// First come, first served, in user space.
    pub struct Toy { name: "toy" }
}
