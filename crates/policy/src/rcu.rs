//! Sections in which what was read stays valid, and those in which nobody else gets the CPU.

use crate::backend::kernel;

/// A section in which the kernel frees nothing that could be read before it (`bpf_rcu_read_lock`), until this is dropped. Operations that
/// may not sleep are such sections already.
#[derive(Debug)]
pub struct Rcu(());

impl Rcu {
    /// Begins one.
    #[inline(always)]
    pub fn lock() -> Self {
        kernel::rcu_lock();
        Self(())
    }
}

impl Drop for Rcu {
    #[inline(always)]
    fn drop(&mut self) {
        kernel::rcu_unlock();
    }
}

/// A section in which no other task gets this CPU (`bpf_preempt_disable`), until this is dropped.
#[derive(Debug)]
pub struct NoPreempt(());

impl NoPreempt {
    /// Begins one.
    #[inline(always)]
    pub fn begin() -> Self {
        kernel::preempt_disable();
        Self(())
    }
}

impl Drop for NoPreempt {
    #[inline(always)]
    fn drop(&mut self) {
        kernel::preempt_enable();
    }
}
