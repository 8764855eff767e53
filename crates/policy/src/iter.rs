//! Loops that the verifier can follow: over numbers, over the tasks of a DSQ.
//!
//! An iterator of the kernel's lives on the stack and must not be moved; [`bounded!`](crate::bounded) and
//! [`waiting!`](crate::waiting) therefore put it where the loop is.

use core::marker::PhantomData;
use core::ops::Deref;

use crate::backend::iter;
use crate::{Dsq, EnqFlags, MayMove, Ns, TakesLast, TakesVtime, Task, Vtime};

/// `for i in bounded!(0..n)`: a loop over `i32` numbers with a bound, at most 8 Mi steps, which the verifier walks once (the kernel's
/// open-coded iterator `bpf_iter_num`). A plain `for` is right where the bound is a small constant.
///
/// ```
/// use scxr_policy::prelude::*;
/// state! { static SUM as "sum": Global<u64> = 0; }
/// scheduler! {
///     struct Summing { name: "summing" }
///     impl Ops for Summing {
///         fn tick(_cx: &Event, p: Task<'_>) {
///             for i in bounded!(0..p.nr_cpus_allowed()) {
///                 SUM.fetch_add(i as u64);
///             }
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! bounded {
    ($range:expr) => {
        $crate::Bounded::__start(&mut $crate::__NumSlot::new(), $range)
    };
}

/// `for p in waiting!(DSQ)`: the tasks that wait in a user queue, first to last ([`QueuedTask`]); `waiting!(DSQ, rev)`: last to
/// first. Tasks that come in meanwhile are left out.
///
/// ```
/// use scxr_policy::prelude::*;
/// const QUEUE: Dsq<Fifo> = Dsq::fifo(0);
/// state! {}
/// scheduler! {
///     struct Affine { name: "affine" }
///     impl Ops for Affine {
///         /// The first task that was here before.
///         fn dispatch(cx: &Dispatch, cpu: Cpu, _prev: Option<Task<'_>>) {
///             for p in waiting!(QUEUE) {
///                 if p.cpu() == cpu && p.move_to(cx, Dsq::LOCAL, EnqFlags::NONE) {
///                     return;
///                 }
///             }
///             QUEUE.move_to_local(cx);
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! waiting {
    ($dsq:expr) => {
        $crate::Waiting::__start(&mut $crate::__DsqSlot::new(), $dsq, 0)
    };
    ($dsq:expr, rev) => {
        $crate::Waiting::__start(&mut $crate::__DsqSlot::new(), $dsq, 1 << 16)
    };
}

/// A loop over numbers; see [`bounded!`](crate::bounded).
#[derive(Debug)]
pub struct Bounded<'s>(&'s mut iter::NumSlot);

impl<'s> Bounded<'s> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __start(slot: &'s mut iter::NumSlot, range: core::ops::Range<i32>) -> Self {
        slot.start(range.start, range.end);
        Self(slot)
    }
}

impl Iterator for Bounded<'_> {
    type Item = i32;
    #[inline(always)]
    fn next(&mut self) -> Option<i32> {
        self.0.step()
    }
}

impl Drop for Bounded<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A loop over waiting tasks; see [`waiting!`](crate::waiting).
#[derive(Debug)]
pub struct Waiting<'s>(&'s mut iter::DsqSlot);

impl<'s> Waiting<'s> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __start<Order>(slot: &'s mut iter::DsqSlot, dsq: Dsq<Order>, flags: u64) -> Self {
        slot.start(dsq.id(), flags);
        Self(slot)
    }
}

impl<'s> Iterator for Waiting<'s> {
    type Item = QueuedTask<'s>;
    #[inline(always)]
    fn next(&mut self) -> Option<QueuedTask<'s>> {
        let task = Task::__new(self.0.step()?);
        Some(QueuedTask { task, queue: self.0.cursor(), life: PhantomData })
    }
}

impl Drop for Waiting<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A task that a loop over its queue has come to, which can be moved from there. It is a [`Task`].
#[derive(Debug)]
pub struct QueuedTask<'s> {
    task: Task<'s>,
    queue: iter::DsqCursor,
    life: PhantomData<&'s ()>,
}

impl<'s> Deref for QueuedTask<'s> {
    type Target = Task<'s>;
    #[inline(always)]
    fn deref(&self) -> &Task<'s> {
        &self.task
    }
}

impl QueuedTask<'_> {
    /// The slice that it gets when it is moved (`scx_bpf_dsq_move_set_slice`).
    #[inline(always)]
    pub fn set_move_slice(&self, slice: Ns) {
        self.queue.set_slice(slice.0);
    }

    /// The virtual time that it gets when it is moved (`scx_bpf_dsq_move_set_vtime`).
    #[inline(always)]
    pub fn set_move_vtime(&self, vtime: Vtime) {
        self.queue.set_vtime(vtime.0);
    }

    /// Moves it to the end of another queue (`scx_bpf_dsq_move`); `false`: it is gone from its own.
    #[inline(always)]
    pub fn move_to<Order: TakesLast>(&self, _cx: &impl MayMove, to: Dsq<Order>, enq_flags: EnqFlags) -> bool {
        self.queue.move_to(self.task.raw(), to.id(), enq_flags.0)
    }

    /// Moves it to another queue in the order of virtual time (`scx_bpf_dsq_move_vtime`).
    #[inline(always)]
    pub fn move_to_vtime<Order: TakesVtime>(&self, _cx: &impl MayMove, to: Dsq<Order>, enq_flags: EnqFlags) -> bool {
        self.queue.move_to_vtime(self.task.raw(), to.id(), enq_flags.0)
    }
}
