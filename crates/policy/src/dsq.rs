//! Dispatch queues.

use crate::backend::kernel;
use crate::{Cpu, EnqFlags, Errno, MayDispatch, MayInsert, MayReenqueue, Ns, Sleepable, Task, Vtime};

/// A dispatch queue, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Dsq(u64);

impl Dsq {
    /// The kernel's global queue (`SCX_DSQ_GLOBAL`): first in, first out.
    pub const GLOBAL: Self = Self(0x8000_0000_0000_0001);
    /// The local queue of the CPU that the task is on or was picked for (`SCX_DSQ_LOCAL`).
    pub const LOCAL: Self = Self(0x8000_0000_0000_0002);

    /// A queue of the policy's own, to be [created](Self::create) in `init`. The top bit of an id is the kernel's and is
    /// cleared.
    pub const fn user(id: u64) -> Self {
        Self(id & !(1 << 63))
    }

    /// The local queue of a certain CPU (`SCX_DSQ_LOCAL_ON | cpu`).
    pub const fn local_on(cpu: Cpu) -> Self {
        Self(0xc000_0000_0000_0000 | cpu.0 as u32 as u64)
    }

    /// Its id, as the kernel's functions take it.
    pub const fn id(self) -> u64 {
        self.0
    }

    /// Makes the queue (`scx_bpf_create_dsq`), on any NUMA node.
    #[inline(always)]
    pub fn create(self, _cx: &impl Sleepable) -> Result<(), Errno> {
        Errno::check(kernel::create_dsq(self.0, -1))
    }

    /// The same, with its memory on a NUMA node.
    #[inline(always)]
    pub fn create_on(self, _cx: &impl Sleepable, node: i32) -> Result<(), Errno> {
        Errno::check(kernel::create_dsq(self.0, node))
    }

    /// Ends the queue, which has to be empty (`scx_bpf_destroy_dsq`).
    #[inline(always)]
    pub fn destroy(self) {
        kernel::destroy_dsq(self.0);
    }

    /// Has the tasks on this CPU's local queue enqueued again (`scx_bpf_reenqueue_local`).
    #[inline(always)]
    pub fn reenqueue_local(_cx: &impl MayReenqueue) {
        kernel::reenqueue_local();
    }

    /// How many more tasks `dispatch` may insert before they are passed on (`scx_bpf_dispatch_nr_slots`).
    #[inline(always)]
    pub fn nr_slots(_cx: &impl MayDispatch) -> u32 {
        kernel::dispatch_nr_slots()
    }

    /// Takes the last insertion of `dispatch` back (`scx_bpf_dispatch_cancel`).
    #[inline(always)]
    pub fn cancel_insert(_cx: &impl MayDispatch) {
        kernel::dispatch_cancel();
    }

    /// Puts `p` at the end (`scx_bpf_dsq_insert`), to run for `slice`. `false`: the kernel refused, which older ones
    /// do not tell.
    #[inline(always)]
    pub fn insert(self, _cx: &impl MayInsert, p: Task<'_>, slice: Ns, enq_flags: EnqFlags) -> bool {
        kernel::dsq_insert(p.raw(), self.0, slice.0, enq_flags.0)
    }

    /// Puts `p` in the order of virtual time (`scx_bpf_dsq_insert_vtime`). Not for built-in queues, nor for one that is
    /// also used first in, first out.
    #[inline(always)]
    pub fn insert_vtime(self, _cx: &impl MayInsert, p: Task<'_>, slice: Ns, vtime: Vtime, enq_flags: EnqFlags) -> bool {
        kernel::dsq_insert_vtime(p.raw(), self.0, slice.0, vtime.0, enq_flags.0)
    }

    /// Moves the first task that may run on this CPU to its local queue (`scx_bpf_dsq_move_to_local`). `false`: none was.
    #[inline(always)]
    pub fn move_to_local(self, _cx: &impl MayDispatch) -> bool {
        kernel::dsq_move_to_local(self.0)
    }

    /// The first waiting task, left where it is (`scx_bpf_dsq_peek`). `None`: there is none, or the kernel (before 6.19)
    /// cannot tell. Not for built-in queues.
    #[inline(always)]
    pub fn peek<'a>(self) -> Option<Task<'a>> {
        kernel::dsq_peek(self.0).map(Task::__new)
    }

    /// Number of waiting tasks, or why it cannot be told (`scx_bpf_dsq_nr_queued`).
    #[inline(always)]
    pub fn nr_queued(self) -> Result<u32, Errno> {
        let nr = kernel::dsq_nr_queued(self.0);
        Errno::check(nr).map(|()| nr as u32)
    }
}
