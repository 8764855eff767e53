//! Tasks, borrowed from the kernel for the time of one operation.

use core::marker::PhantomData;
use core::ops::Deref;

use crate::backend::kernel::{self, RawTask};
use crate::{
    Cgroup, Cpu, CpuMask, Init, MayPick, Ns, OwnedCgroup, PickFlags, Picked, TaskFlags, Vtime, WakeFlags, Weight,
};

/// A task. Each read of a field goes to the kernel: another CPU may have changed it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Task<'a>(RawTask, PhantomData<&'a ()>);

impl<'a> Task<'a> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __new(raw: RawTask) -> Self {
        Self(raw, PhantomData)
    }

    #[inline(always)]
    pub(crate) fn raw(self) -> RawTask {
        self.0
    }

    /// The task that the operation runs in (`bpf_get_current_task_btf`).
    #[inline(always)]
    pub fn current() -> Option<Self> {
        kernel::current_task().map(Self::__new)
    }

    /// Holds it beyond the operation (`bpf_task_acquire`); `None`: it is going.
    #[inline(always)]
    pub fn acquire(self) -> Option<OwnedTask> {
        kernel::task_acquire(self.0).map(OwnedTask)
    }

    /// The cgroup that it is in (`scx_bpf_task_cgroup`); `None`: the kernel has no such function.
    #[inline(always)]
    pub fn cgroup(self) -> Option<OwnedCgroup> {
        kernel::task_cgroup(self.0).map(OwnedCgroup::__from_raw)
    }

    /// Thread id (`p->pid`).
    #[inline(always)]
    pub fn pid(self) -> i32 {
        kernel::task_pid(self.0)
    }

    /// Process id (`p->tgid`).
    #[inline(always)]
    pub fn tgid(self) -> i32 {
        kernel::task_tgid(self.0)
    }

    /// Flags (`p->flags`).
    #[inline(always)]
    pub fn flags(self) -> TaskFlags {
        TaskFlags(kernel::task_flags(self.0).into())
    }

    /// Is it a thread of the kernel's?
    #[inline(always)]
    pub fn is_kthread(self) -> bool {
        self.flags().contains(TaskFlags::KTHREAD)
    }

    /// Its name (`p->comm`).
    #[inline(always)]
    pub fn comm(self) -> Comm {
        Comm(kernel::task_comm(self.0))
    }

    /// Static priority: 120 plus nice (`p->static_prio`).
    #[inline(always)]
    pub fn static_prio(self) -> i32 {
        kernel::task_static_prio(self.0)
    }

    /// Priority as the kernel has it now: below 100 real-time, 100 to 139 else (`p->prio`).
    #[inline(always)]
    pub fn prio(self) -> i32 {
        kernel::task_prio(self.0)
    }

    /// Its scheduling policy: `SCHED_NORMAL` is 0, `SCHED_BATCH` 3, `SCHED_IDLE` 5, `SCHED_EXT` 7 (`p->policy`).
    #[inline(always)]
    pub fn policy(self) -> u32 {
        kernel::task_policy(self.0)
    }

    /// What it does: 0 if it runs or could, else bits of why it sleeps (`p->__state`).
    #[inline(always)]
    pub fn state(self) -> u32 {
        kernel::task_state(self.0)
    }

    /// How many hold it on its CPU (`p->migration_disabled`). Kernels from 6.13 on hold the current task there while an operation runs.
    #[inline(always)]
    pub fn migration_disabled(self) -> u16 {
        kernel::task_migration_disabled(self.0)
    }

    /// Who made it (`p->real_parent`).
    #[inline(always)]
    pub fn parent(self) -> Option<Task<'a>> {
        kernel::task_parent(self.0).map(Task::__new)
    }

    /// The first task of its process (`p->group_leader`).
    #[inline(always)]
    pub fn leader(self) -> Option<Task<'a>> {
        kernel::task_leader(self.0).map(Task::__new)
    }

    /// Has it memory of its own (`p->mm`)? Threads of the kernel's have none.
    #[inline(always)]
    pub fn has_mm(self) -> bool {
        kernel::task_has_mm(self.0)
    }

    /// How long it ran outside the kernel (`p->utime`).
    #[inline(always)]
    pub fn utime(self) -> Ns {
        Ns(kernel::task_utime(self.0))
    }

    /// How long it ran in the kernel (`p->stime`).
    #[inline(always)]
    pub fn stime(self) -> Ns {
        Ns(kernel::task_stime(self.0))
    }

    /// The node that its memory is on, as far as the kernel knows; -1: it does not (`p->numa_preferred_nid`). `None`: the kernel does not look.
    #[inline(always)]
    pub fn preferred_node(self) -> Option<i32> {
        kernel::task_preferred_node(self.0)
    }

    /// The number that no other task ever has (`p->scx.tid`); `None`: the kernel gives none (before 7.2).
    #[inline(always)]
    pub fn tid(self) -> Option<u64> {
        kernel::task_tid(self.0)
    }

    /// The task with that [`tid`](Self::tid) (`scx_bpf_tid_to_task`), of a scheduler with the flag
    /// [`TID_TO_TASK`](crate::OpsFlags::TID_TO_TASK). `None`: it is gone, or the kernel has no such function (before 7.2). In an operation that may
    /// sleep: only under [`Rcu`](crate::Rcu).
    #[inline(always)]
    pub fn from_tid(tid: u64) -> Option<Self> {
        kernel::task_from_tid(tid).map(Self::__new)
    }

    /// Is it in that cgroup or below (`bpf_task_under_cgroup`)?
    #[inline(always)]
    pub fn is_under(self, cgroup: Cgroup<'_>) -> bool {
        kernel::task_is_under(self.0, cgroup.raw())
    }

    /// The cgroup that it is in, whatever the operation is about (`p->cgroups->dfl_cgrp`). In an operation that may sleep: only under
    /// [`Rcu`](crate::Rcu).
    #[inline(always)]
    pub fn default_cgroup(self) -> Cgroup<'a> {
        Cgroup::__new(kernel::task_default_cgroup(self.0))
    }

    /// Keeps a task of policy `SCHED_EXT` out of the class (`p->scx.disallow`), in `init_task` while the scheduler is enabled: the kernel ends one that
    /// says it of a fork.
    #[inline(always)]
    pub fn set_disallow(self, _cx: &Init, disallow: bool) {
        kernel::task_set_disallow(self.0, disallow);
    }

    /// How long it ran in all (`p->se.sum_exec_runtime`).
    #[inline(always)]
    pub fn sum_exec_runtime(self) -> Ns {
        Ns(kernel::task_sum_exec(self.0))
    }

    /// How often it slept (`p->nvcsw`).
    #[inline(always)]
    pub fn nvcsw(self) -> u64 {
        kernel::task_nvcsw(self.0)
    }

    /// How often it had to make room (`p->nivcsw`).
    #[inline(always)]
    pub fn nivcsw(self) -> u64 {
        kernel::task_nivcsw(self.0)
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

    /// The CPUs that it may run on (`p->cpus_ptr`).
    #[inline(always)]
    pub fn cpus(self) -> CpuMask<'a> {
        CpuMask::__new(kernel::task_cpus(self.0))
    }

    /// The CPU that it is on, or was on last (`scx_bpf_task_cpu`).
    #[inline(always)]
    pub fn cpu(self) -> Cpu {
        Cpu(kernel::task_cpu(self.0))
    }

    /// The topological id of that CPU (`scx_bpf_task_cid`); `None`: the kernel has none (before 7.2).
    #[inline(always)]
    pub fn cid(self) -> Option<crate::Cid> {
        let cid = kernel::task_cid(self.0);
        if cid >= 0 { Some(crate::Cid(cid)) } else { None }
    }

    /// Does it run right now (`scx_bpf_task_running`)?
    #[inline(always)]
    pub fn is_running(self) -> bool {
        kernel::task_running(self.0)
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

    /// An idle CPU of `allowed` that the kernel's own rules choose, now claimed (`scx_bpf_select_cpu_and`, from 6.16). `None`:
    /// there is none, or the kernel cannot tell.
    #[inline(always)]
    pub fn select_cpu_and(
        self,
        _cx: &impl MayPick,
        prev_cpu: Cpu,
        wake_flags: WakeFlags,
        allowed: CpuMask<'_>,
        flags: PickFlags,
    ) -> Option<Cpu> {
        Cpu::found(kernel::select_cpu_and(self.0, prev_cpu.0, wake_flags.0, allowed.raw(), flags.0))
    }
}

/// A task that was looked up and is held until this is dropped.
#[derive(Debug)]
pub struct OwnedTask(RawTask);

impl OwnedTask {
    /// The task with that thread id (`bpf_task_from_pid`).
    #[inline(always)]
    pub fn from_pid(pid: i32) -> Option<Self> {
        kernel::task_from_pid(pid).map(Self)
    }

    /// The task.
    #[inline(always)]
    pub fn task(&self) -> Task<'_> {
        Task::__new(self.0)
    }
}

impl OwnedTask {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __from_raw(raw: RawTask) -> Self {
        Self(raw)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __into_raw(self) -> RawTask {
        core::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for OwnedTask {
    #[inline(always)]
    fn drop(&mut self) {
        kernel::task_release(self.0);
    }
}

/// A task's name: at most 15 bytes and a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// As text.
    #[cfg(not(bpf))]
    pub(crate) fn text(&self) -> String {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..len]).into_owned()
    }

    /// Does it begin so?
    #[inline(always)]
    pub fn starts_with(&self, prefix: &str) -> bool {
        let mut bytes = self.0.iter();
        prefix.bytes().all(|wanted| bytes.next() == Some(&wanted))
    }

    /// Is it this?
    #[inline(always)]
    pub fn is(&self, name: &str) -> bool {
        let mut bytes = self.0.iter();
        name.bytes().all(|wanted| bytes.next() == Some(&wanted)) && bytes.next() == Some(&0)
    }
}

impl Deref for Comm {
    type Target = [u8; 16];
    #[inline(always)]
    fn deref(&self) -> &[u8; 16] {
        &self.0
    }
}
