//! Tasks and exit information, borrowed from the kernel for the time of one operation.

use core::marker::PhantomData;

use crate::backend::kernel::{self, RawExitInfo, RawTask};
use crate::{Cpu, MayPick, Ns, Picked, Vtime, WakeFlags, Weight};

/// A task. Each read of a field goes to the kernel: another CPU may have changed it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Task<'a>(RawTask, PhantomData<&'a ()>);

impl Task<'_> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __new(raw: RawTask) -> Self {
        Self(raw, PhantomData)
    }

    #[inline(always)]
    pub(crate) fn raw(self) -> RawTask {
        self.0
    }

    /// Thread id (`p->pid`).
    #[inline(always)]
    pub fn pid(self) -> i32 {
        kernel::task_pid(self.0)
    }

    /// Weight (`p->scx.weight`).
    #[inline(always)]
    pub fn weight(self) -> Weight {
        Weight(kernel::task_weight(self.0))
    }

    /// What is left of its slice (`p->scx.slice`); 0 after a yield.
    #[inline(always)]
    pub fn slice(self) -> Ns {
        Ns(kernel::task_slice(self.0))
    }

    /// Its virtual time (`p->scx.dsq_vtime`), which the kernel keeps and the policy defines.
    #[inline(always)]
    pub fn dsq_vtime(self) -> Vtime {
        Vtime(kernel::task_dsq_vtime(self.0))
    }

    /// Number of CPUs that it may run on (`p->nr_cpus_allowed`).
    #[inline(always)]
    pub fn nr_cpus_allowed(self) -> i32 {
        kernel::task_nr_cpus_allowed(self.0)
    }

    /// Is it ready to run (`SCX_TASK_QUEUED` in `p->scx.flags`)? Asked of `prev` in `dispatch`: could it go on?
    #[inline(always)]
    pub fn is_queued(self) -> bool {
        kernel::task_scx_flags(self.0) & 1 != 0
    }

    /// Sets its virtual time (`scx_bpf_task_set_dsq_vtime`; a store where the kernel has no such function).
    #[inline(always)]
    pub fn set_dsq_vtime(self, vtime: Vtime) {
        kernel::task_set_dsq_vtime(self.0, vtime.0);
    }

    /// Sets what is left of its slice (`scx_bpf_task_set_slice`; a store where the kernel has no such function).
    #[inline(always)]
    pub fn set_slice(self, slice: Ns) {
        kernel::task_set_slice(self.0, slice.0);
    }

    /// The CPU that the kernel's own rules choose (`scx_bpf_select_cpu_dfl`).
    #[inline(always)]
    pub fn select_cpu_dfl(self, _cx: &impl MayPick, prev_cpu: Cpu, wake_flags: WakeFlags) -> Picked {
        let (cpu, is_idle) = kernel::select_cpu_dfl(self.0, prev_cpu.0, wake_flags.0);
        Picked { cpu: Cpu(cpu), is_idle }
    }
}

/// Why the scheduler ends, as `exit` is told.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct ExitInfo<'a>(RawExitInfo, PhantomData<&'a ()>);

impl ExitInfo<'_> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __new(raw: RawExitInfo) -> Self {
        Self(raw, PhantomData)
    }

    #[inline(always)]
    pub(crate) fn raw(self) -> RawExitInfo {
        self.0
    }
}
