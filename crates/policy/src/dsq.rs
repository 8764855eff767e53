//! Dispatch queues.

use core::marker::PhantomData;

use crate::backend::kernel;
use crate::{Cpu, EnqFlags, Errno, MayDispatch, MayInsert, MayReenqueue, Ns, Sleepable, Task, Vtime};

/// The order of a queue that is first in, first out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fifo(());

/// The order of a queue by virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByVtime(());

/// An order that is chosen at run time, such as by a tunable. The kernel ends a scheduler that mixes both in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Either(());

/// Orders of queues that tasks can be put at the end of.
pub trait TakesLast: Copy {}
impl TakesLast for Fifo {}
impl TakesLast for Either {}

/// Orders of queues that take tasks by virtual time.
pub trait TakesVtime: Copy {}
impl TakesVtime for ByVtime {}
impl TakesVtime for Either {}

/// A dispatch queue, by its id, with the order that it is in.
///
/// ```compile_fail
/// use scxr_policy::prelude::*;
/// const QUEUE: Dsq<ByVtime> = Dsq::by_vtime(0);
/// fn enqueue(cx: &Enqueue, p: Task<'_>) {
///     // no method named `insert` for what is ordered by virtual time
///     QUEUE.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Dsq<Order = Either>(u64, PhantomData<Order>);

/// The bit of ids that are the kernel's.
const BUILTIN: u64 = 1 << 63;

impl Dsq<Fifo> {
    /// The kernel's global queue (`SCX_DSQ_GLOBAL`): first in, first out.
    pub const GLOBAL: Self = Self(BUILTIN | 1, PhantomData);
    /// The local queue of the CPU that the task is on or was picked for (`SCX_DSQ_LOCAL`).
    pub const LOCAL: Self = Self(BUILTIN | 2, PhantomData);

    /// A queue of the policy's own, first in, first out, to be [created](Self::create) in `init`. The top bit of an id is the kernel's and is
    /// cleared.
    pub const fn fifo(id: u64) -> Self {
        Self(id & !BUILTIN, PhantomData)
    }

    /// The local queue of a certain CPU (`SCX_DSQ_LOCAL_ON | cpu`).
    pub const fn local_on(cpu: Cpu) -> Self {
        Self(0xc000_0000_0000_0000 | cpu.0 as u32 as u64, PhantomData)
    }

    /// The local queue of a certain CPU, for schedulers that know CPUs by their cids ([`CidOps`](crate::CidOps)).
    pub const fn local_on_cid(cid: crate::Cid) -> Self {
        Self(0xc000_0000_0000_0000 | cid.0 as u32 as u64, PhantomData)
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
}

impl Dsq<ByVtime> {
    /// A queue of the policy's own in the order of virtual time, to be [created](Self::create) in `init`.
    pub const fn by_vtime(id: u64) -> Self {
        Self(id & !BUILTIN, PhantomData)
    }
}

impl Dsq {
    /// A queue of the policy's own that is used in one order or the other, as is decided at run time.
    pub const fn user(id: u64) -> Self {
        Self(id & !BUILTIN, PhantomData)
    }
}

impl<Order: TakesLast> Dsq<Order> {
    /// Puts `p` at the end (`scx_bpf_dsq_insert`), to run for `slice`. `false`: the kernel refused, which older ones
    /// do not tell.
    #[inline(always)]
    pub fn insert(self, _cx: &impl MayInsert, p: Task<'_>, slice: Ns, enq_flags: EnqFlags) -> bool {
        kernel::dsq_insert(p.raw(), self.0, slice.0, enq_flags.0)
    }
}

impl<Order: TakesVtime> Dsq<Order> {
    /// Puts `p` in the order of virtual time (`scx_bpf_dsq_insert_vtime`).
    #[inline(always)]
    pub fn insert_vtime(self, _cx: &impl MayInsert, p: Task<'_>, slice: Ns, vtime: Vtime, enq_flags: EnqFlags) -> bool {
        kernel::dsq_insert_vtime(p.raw(), self.0, slice.0, vtime.0, enq_flags.0)
    }
}

impl<Order> Dsq<Order> {
    /// The same queue with its order left open, where one of several is chosen.
    pub const fn untyped(&self) -> Dsq {
        Dsq(self.0, PhantomData)
    }

    /// Has all its tasks enqueued again, soon (`scx_bpf_dsq_reenq`, from 7.1; of [`Dsq::LOCAL`] alone `scx_bpf_reenqueue_local`, from 6.19). Queues of
    /// the policy's own and local ones. `false`: the kernel cannot.
    #[inline(always)]
    pub fn reenqueue(&self) -> bool {
        kernel::dsq_reenq(self.0)
    }

    /// Its id, as the kernel's functions take it.
    pub const fn id(&self) -> u64 {
        self.0
    }

    /// Makes the queue (`scx_bpf_create_dsq`), on any NUMA node.
    #[inline(always)]
    pub fn create(&self, _cx: &impl Sleepable) -> Result<(), Errno> {
        Errno::check(kernel::create_dsq(self.0, -1))
    }

    /// The same, with its memory on a NUMA node.
    #[inline(always)]
    pub fn create_on(&self, _cx: &impl Sleepable, node: i32) -> Result<(), Errno> {
        Errno::check(kernel::create_dsq(self.0, node))
    }

    /// Ends the queue, which has to be empty (`scx_bpf_destroy_dsq`).
    #[inline(always)]
    pub fn destroy(&self) {
        kernel::destroy_dsq(self.0);
    }

    /// Moves the first task that may run on this CPU to its local queue (`scx_bpf_dsq_move_to_local`). `false`: none was.
    #[inline(always)]
    pub fn move_to_local(&self, _cx: &impl MayDispatch) -> bool {
        kernel::dsq_move_to_local(self.0)
    }

    /// The first waiting task, left where it is (`scx_bpf_dsq_peek`). `None`: there is none, or the kernel (before 6.19)
    /// cannot tell. Not for built-in queues.
    #[inline(always)]
    pub fn peek<'a>(&self) -> Option<Task<'a>> {
        kernel::dsq_peek(self.0).map(Task::__new)
    }

    /// Number of waiting tasks, or why it cannot be told (`scx_bpf_dsq_nr_queued`).
    #[inline(always)]
    pub fn nr_queued(&self) -> Result<u32, Errno> {
        let nr = kernel::dsq_nr_queued(self.0);
        Errno::check(nr).map(|()| nr as u32)
    }
}
