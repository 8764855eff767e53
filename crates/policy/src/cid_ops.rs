//! The operations of a scheduler that knows CPUs by their topological ids, and what only these are told.

use core::marker::PhantomData;

use crate::backend::cmask;
use crate::{
    Arena, Cgroup, CgroupInit, Cid, CidMask, Dispatch, Dump, EnqFlags, Enqueue, Errno, Event, ExitInfo, ExitTask, Init,
    InitTask, SelectCpu, Task, Unlocked, WakeFlags, Weight,
};

/// What a scheduler of the other form may do: one method for each member of `struct sched_ext_ops_cid`, which Linux has from 7.2 on. It is told of
/// CPUs by [`Cid`], and answers so; what takes a [`Cpu`](crate::Cpu) or a set of CPUs is refused by the kernel, and there is no built-in tracking of
/// idle CPUs to ask: it looks at `update_idle`, or leaves `select_cid` to the kernel. The kernel wants it to have one [`Arena`], which some operation
/// looks into ([`CmaskArg::get`]).
///
/// ```
/// use scxr_policy::prelude::*;
/// state! {
///     /// Where the kernel shows sets of CPUs.
///     static PAGES as "pages": Arena<16>;
///     /// Tasks that may run on one CPU alone.
///     static NR_PINNED as "nr_pinned": Global<u64> = 0;
/// }
/// scheduler! {
///     struct First { name: "first" }
///     impl CidOps for First {
///         fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
///             Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
///         }
///         fn set_cmask(_cx: &Event, _p: Task<'_>, cpus: CmaskArg<'_>) {
///             let cpus = cpus.get(&PAGES);
///             NR_PINNED.fetch_add(u64::from(cpus.test(Cid(0)) && !cpus.test(Cid(1))));
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[allow(unused_variables, reason = "the bodies stand for the kernel's defaults")]
pub trait CidOps {
    /// A task wakes: where should it run? A hint; a task may be inserted here at once, which skips `enqueue`.
    #[inline(always)]
    fn select_cid(cx: &SelectCpu, p: Task<'_>, prev_cid: Cid, wake_flags: WakeFlags) -> Cid {
        prev_cid
    }

    /// A CPU has nothing to run. `prev` is the task that just ran there, if it could go on.
    #[inline(always)]
    fn dispatch(cx: &Dispatch, cid: Cid, prev: Option<Task<'_>>) {}

    /// The task may run on other CPUs from now on.
    #[inline(always)]
    fn set_cmask(cx: &Event, p: Task<'_>, cpus: CmaskArg<'_>) {}

    /// A CPU enters or leaves idle.
    #[inline(always)]
    fn update_idle(cx: &Event, cid: Cid, idle: bool) {}

    /// A CPU comes online.
    #[inline(always)]
    fn cid_online(cx: &Init, cid: Cid) {}

    /// A CPU goes offline.
    #[inline(always)]
    fn cid_offline(cx: &Init, cid: Cid) {}

    /// The same about a CPU.
    #[inline(always)]
    fn dump_cid(cx: &Dump, cid: Cid, idle: bool) {}

    crate::both::operations!();
}

/// The CPUs that a task may run on from now on, as [`CidOps::set_cmask`] is told: in the scheduler's arena, while the operation runs.
#[derive(Clone, Copy, Debug)]
pub struct CmaskArg<'a>(cmask::RawCmask, PhantomData<&'a ()>);

impl<'a> CmaskArg<'a> {
    #[doc(hidden)]
    #[inline(always)]
    pub fn __new(raw: cmask::RawCmask) -> Self {
        Self(raw, PhantomData)
    }

    /// The set; `arena` is the scheduler's.
    #[inline(always)]
    pub fn get<const N: usize>(self, arena: &'a Arena<N>) -> Cmask<'a> {
        Cmask(cmask::open(self.0, arena), PhantomData)
    }
}

/// A set of cids that is the kernel's (`struct scx_cmask`).
#[derive(Clone, Copy, Debug)]
pub struct Cmask<'a>(cmask::Shown, PhantomData<&'a ()>);

impl Cmask<'_> {
    /// Is `cid` in it?
    #[inline(always)]
    pub fn test(self, cid: Cid) -> bool {
        let at = cid.0 as u32;
        at < cmask::nr(self.0) && cmask::word(self.0, at / 64) >> (at % 64) & 1 != 0
    }

    /// Makes `to` the same, as far as it has room.
    #[inline(always)]
    pub fn copy_to<const WORDS: usize>(self, to: &CidMask<WORDS>) {
        let nr = cmask::nr(self.0);
        for i in 0..WORDS as u32 {
            to.set_word(i as usize, if i.wrapping_mul(64) < nr { cmask::word(self.0, i) } else { 0 });
        }
    }
}

/// Gives the body of an operation as `__operation` does, for the other form.
#[doc(hidden)]
#[macro_export]
macro_rules! __cid_operation {
    (select_cid, $S:ident, $w:ident) => {{ i64::from(<$S as $crate::CidOps>::select_cid(&$crate::SelectCpu::__new(), $w.task(0), $w.cid(1), $w.wake(2)).0) }};
    (dispatch, $S:ident, $w:ident) => {{
        <$S as $crate::CidOps>::dispatch(&$crate::Dispatch::__new(), $w.cid(0), $w.optional_task(1));
        0
    }};
    (update_idle, $S:ident, $w:ident) => {{
        <$S as $crate::CidOps>::update_idle(&$crate::Event::__new(), $w.cid(0), $w.flag(1));
        0
    }};
    (set_cmask, $S:ident, $w:ident) => {{
        <$S as $crate::CidOps>::set_cmask(&$crate::Event::__new(), $w.task(0), $w.cmask(1));
        0
    }};
    (dump_cid, $S:ident, $w:ident) => {{
        <$S as $crate::CidOps>::dump_cid(&$crate::Dump::__new(), $w.cid(1), $w.flag(2));
        0
    }};
    (cid_online, $S:ident, $w:ident) => {{
        <$S as $crate::CidOps>::cid_online(&$crate::Init::__new(), $w.cid(0));
        0
    }};
    (cid_offline, $S:ident, $w:ident) => {{
        <$S as $crate::CidOps>::cid_offline(&$crate::Init::__new(), $w.cid(0));
        0
    }};
    ($op:ident, $S:ident, $w:ident) => {
        $crate::__operation!($op, $S, $w, CidOps)
    };
}
