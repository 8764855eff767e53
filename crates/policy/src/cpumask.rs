//! Sets of CPUs: borrowed from the kernel, held, and owned.

use core::marker::PhantomData;

use crate::backend::kernel::{self, RawMask, RawOwnedMask};
use crate::{Cpu, PickFlags};

/// A set of CPUs that belongs to the kernel: a task's affinity, for example. What it holds may change.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct CpuMask<'a>(RawMask, PhantomData<&'a ()>);

impl CpuMask<'_> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __new(raw: RawMask) -> Self {
        Self(raw, PhantomData)
    }

    #[inline(always)]
    pub(crate) fn raw(self) -> RawMask {
        self.0
    }

    /// Is `cpu` in it (`bpf_cpumask_test_cpu`)?
    #[inline(always)]
    pub fn test(self, cpu: Cpu) -> bool {
        kernel::mask_test(self.0, cpu.0)
    }

    /// The first CPU in it (`bpf_cpumask_first`).
    #[inline(always)]
    pub fn first(self) -> Option<Cpu> {
        Cpu::below_nr_ids(kernel::mask_first(self.0))
    }

    /// The first CPU that is not in it (`bpf_cpumask_first_zero`).
    #[inline(always)]
    pub fn first_zero(self) -> Option<Cpu> {
        Cpu::below_nr_ids(kernel::mask_first_zero(self.0))
    }

    /// The first CPU that is in both (`bpf_cpumask_first_and`).
    #[inline(always)]
    pub fn first_and(self, other: CpuMask<'_>) -> Option<Cpu> {
        Cpu::below_nr_ids(kernel::mask_first_and(self.0, other.0))
    }

    /// Any CPU in it, another one each time (`bpf_cpumask_any_distribute`).
    #[inline(always)]
    pub fn any(self) -> Option<Cpu> {
        Cpu::below_nr_ids(kernel::mask_any(self.0))
    }

    /// Any CPU that is in both, another one each time (`bpf_cpumask_any_and_distribute`).
    #[inline(always)]
    pub fn any_and(self, other: CpuMask<'_>) -> Option<Cpu> {
        Cpu::below_nr_ids(kernel::mask_any_and(self.0, other.0))
    }

    /// Is there none in it (`bpf_cpumask_empty`)?
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        kernel::mask_empty(self.0)
    }

    /// Are all possible CPUs in it (`bpf_cpumask_full`)?
    #[inline(always)]
    pub fn is_full(self) -> bool {
        kernel::mask_full(self.0)
    }

    /// Is there a CPU that is in both (`bpf_cpumask_intersects`)?
    #[inline(always)]
    pub fn intersects(self, other: CpuMask<'_>) -> bool {
        kernel::mask_intersects(self.0, other.0)
    }

    /// Are all of its CPUs in `other` (`bpf_cpumask_subset`)?
    #[inline(always)]
    pub fn is_subset(self, other: CpuMask<'_>) -> bool {
        kernel::mask_subset(self.0, other.0)
    }

    /// Do both hold the same CPUs (`bpf_cpumask_equal`)?
    #[inline(always)]
    pub fn equals(self, other: CpuMask<'_>) -> bool {
        kernel::mask_equal(self.0, other.0)
    }

    /// How many there are in it (`bpf_cpumask_weight`).
    #[inline(always)]
    pub fn weight(self) -> u32 {
        kernel::mask_weight(self.0)
    }

    /// An idle CPU of it, now claimed (`scx_bpf_pick_idle_cpu`).
    #[inline(always)]
    pub fn pick_idle(self, flags: PickFlags) -> Option<Cpu> {
        Cpu::found(kernel::pick_idle_cpu(self.0, flags.0))
    }

    /// An idle CPU of it, now claimed, else any (`scx_bpf_pick_any_cpu`); `None` if it is empty.
    #[inline(always)]
    pub fn pick_any(self, flags: PickFlags) -> Option<Cpu> {
        Cpu::found(kernel::pick_any_cpu(self.0, flags.0))
    }

    /// An idle CPU of it, now claimed, of a node if it has one there (`scx_bpf_pick_idle_cpu_node`, from 6.15; of any node before). Of a scheduler with
    /// the flag [`BUILTIN_IDLE_PER_NODE`](crate::OpsFlags::BUILTIN_IDLE_PER_NODE), as the other functions about nodes.
    #[inline(always)]
    pub fn pick_idle_node(self, node: i32, flags: PickFlags) -> Option<Cpu> {
        Cpu::found(kernel::pick_idle_cpu_node(self.0, node, flags.0))
    }

    /// The same, else any (`scx_bpf_pick_any_cpu_node`, from 6.15); `None` if it is empty.
    #[inline(always)]
    pub fn pick_any_node(self, node: i32, flags: PickFlags) -> Option<Cpu> {
        Cpu::found(kernel::pick_any_cpu_node(self.0, node, flags.0))
    }
}

/// A set of CPUs that the kernel lends until this is dropped.
#[derive(Debug)]
pub struct HeldMask {
    mask: RawMask,
    of_idle: bool,
}

impl HeldMask {
    /// The idle CPUs (`scx_bpf_get_idle_cpumask`).
    #[inline(always)]
    pub fn idle() -> Self {
        Self { mask: kernel::get_idle_mask(), of_idle: true }
    }

    /// The CPUs of wholly idle cores (`scx_bpf_get_idle_smtmask`).
    #[inline(always)]
    pub fn idle_smt() -> Self {
        Self { mask: kernel::get_idle_smtmask(), of_idle: true }
    }

    /// The idle CPUs of a node (`scx_bpf_get_idle_cpumask_node`, from 6.15; of all nodes before).
    #[inline(always)]
    pub fn idle_node(node: i32) -> Self {
        Self { mask: kernel::get_idle_mask_node(node), of_idle: true }
    }

    /// The CPUs of wholly idle cores of a node (`scx_bpf_get_idle_smtmask_node`, from 6.15; of all nodes before).
    #[inline(always)]
    pub fn idle_smt_node(node: i32) -> Self {
        Self { mask: kernel::get_idle_smtmask_node(node), of_idle: true }
    }

    /// The CPUs that are online (`scx_bpf_get_online_cpumask`).
    #[inline(always)]
    pub fn online() -> Self {
        Self { mask: kernel::get_online_mask(), of_idle: false }
    }

    /// The CPUs that can be (`scx_bpf_get_possible_cpumask`).
    #[inline(always)]
    pub fn possible() -> Self {
        Self { mask: kernel::get_possible_mask(), of_idle: false }
    }

    /// The set.
    #[inline(always)]
    pub fn mask(&self) -> CpuMask<'_> {
        CpuMask::__new(self.mask)
    }
}

impl Drop for HeldMask {
    #[inline(always)]
    fn drop(&mut self) {
        if self.of_idle { kernel::put_idle_mask(self.mask) } else { kernel::put_mask(self.mask) }
    }
}

/// A set of CPUs of the policy's own (`bpf_cpumask_create`), freed when it is dropped.
#[derive(Debug)]
pub struct OwnedCpuMask(RawOwnedMask);

impl OwnedCpuMask {
    /// An empty one; `None`: there is no memory.
    #[inline(always)]
    pub fn new() -> Option<Self> {
        kernel::owned_create().map(Self)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __from_raw(raw: RawOwnedMask) -> Self {
        Self(raw)
    }

    #[doc(hidden)]
    #[inline(always)]
    pub fn __into_raw(self) -> RawOwnedMask {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// The set, for reading.
    #[inline(always)]
    pub fn mask(&self) -> CpuMask<'_> {
        CpuMask::__new(kernel::owned_mask(self.0))
    }

    /// Puts `cpu` in (`bpf_cpumask_set_cpu`); a CPU that cannot be is ignored.
    #[inline(always)]
    pub fn set(&mut self, cpu: Cpu) {
        kernel::owned_set(self.0, cpu.0);
    }

    /// Takes `cpu` out (`bpf_cpumask_clear_cpu`).
    #[inline(always)]
    pub fn clear(&mut self, cpu: Cpu) {
        kernel::owned_clear(self.0, cpu.0);
    }

    /// Puts `cpu` in and tells whether it was (`bpf_cpumask_test_and_set_cpu`).
    #[inline(always)]
    pub fn test_and_set(&mut self, cpu: Cpu) -> bool {
        kernel::owned_test_and_set(self.0, cpu.0)
    }

    /// Takes `cpu` out and tells whether it was in (`bpf_cpumask_test_and_clear_cpu`).
    #[inline(always)]
    pub fn test_and_clear(&mut self, cpu: Cpu) -> bool {
        kernel::owned_test_and_clear(self.0, cpu.0)
    }

    /// Puts all CPUs in (`bpf_cpumask_setall`).
    #[inline(always)]
    pub fn set_all(&mut self) {
        kernel::owned_set_all(self.0);
    }

    /// Takes all CPUs out (`bpf_cpumask_clear`).
    #[inline(always)]
    pub fn clear_all(&mut self) {
        kernel::owned_clear_all(self.0);
    }

    /// Makes it the same as `other` (`bpf_cpumask_copy`).
    #[inline(always)]
    pub fn copy_from(&mut self, other: CpuMask<'_>) {
        kernel::owned_copy(self.0, other.0);
    }

    /// Makes it what is in both (`bpf_cpumask_and`); `true`: there is something.
    #[inline(always)]
    pub fn set_and(&mut self, a: CpuMask<'_>, b: CpuMask<'_>) -> bool {
        kernel::owned_and(self.0, a.0, b.0)
    }

    /// Makes it what is in one or both (`bpf_cpumask_or`).
    #[inline(always)]
    pub fn set_or(&mut self, a: CpuMask<'_>, b: CpuMask<'_>) {
        kernel::owned_or(self.0, a.0, b.0);
    }

    /// Makes it what is in one but not in both (`bpf_cpumask_xor`).
    #[inline(always)]
    pub fn set_xor(&mut self, a: CpuMask<'_>, b: CpuMask<'_>) {
        kernel::owned_xor(self.0, a.0, b.0);
    }
}

impl Drop for OwnedCpuMask {
    #[inline(always)]
    fn drop(&mut self) {
        kernel::owned_release(self.0);
    }
}
