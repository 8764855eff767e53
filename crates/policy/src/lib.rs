//! What the BPF half of a scheduler is written against, in Rust; two back ends behind one API.
//!
//! A *policy* is one source file: its state ([`state!`]), its operations ([`scheduler!`]), and what they call. It is compiled
//! twice. With `cfg(bpf)`, set by the driver, it becomes a BPF object: statics are maps, calls are kernel functions,
//! fields are relocated by the loader. Without, it is an ordinary module whose every call goes to a [`native::Host`]: the
//! simulated kernel. Both make the same decisions, call for call.
//!
//! ```
//! use scxr_policy::prelude::*;
//!
//! state! {
//!     /// Tasks that had to wait.
//!     pub static NR_QUEUED as "nr_queued": Global<u64> = 0;
//! }
//!
//! scheduler! {
//!     /// First come, first served.
//!     pub struct First { name: "first" }
//!
//!     impl Ops for First {
//!         fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
//!             NR_QUEUED.fetch_add(1);
//!             Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
//!         }
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Rules of a policy:
//! - No `unsafe`, no `static` but in [`state!`], no `std`: on BPF there is `core` alone.
//! - Time and virtual time are [`Ns`] and [`Vtime`], which wrap; plain integers do so only through `wrapping_*`. (BPF code is
//!   compiled without checks of overflow, a native debug build with them.)
//! - What could panic is refused when the object is built: use `get`, `checked_*`, `if let`.
//! - An operation takes a context, and what the kernel does not allow there does not compile: a [`Dsq`] cannot be
//!   inserted into from `running`.

#![cfg_attr(bpf, no_std)]

mod args;
mod both;
mod cid;
mod cid_ops;
mod context;
mod cpumask;
mod dsq;
mod events;
mod holds;
mod iter;
mod objects;
mod ops;
mod print;
mod rcu;
mod scheduler;
mod shared;
mod state;
mod task;
mod units;
pub mod userspace;
mod variables;
mod walk;

#[cfg(bpf)]
#[doc(hidden)]
#[path = "bpf/mod.rs"]
pub mod backend;

#[cfg(not(bpf))]
pub mod native;
#[cfg(not(bpf))]
#[doc(hidden)]
pub use native as backend;

pub use args::{Cgroup, CgroupInit, ExitInfo, ExitTask, InitTask, OwnedCgroup, Release};
pub use backend::arena::{Arena, ArenaPtr};
pub use backend::cell::{Field, Ref, ResSpinGuard, ResSpinLock, SpinGuard, SpinLock};
#[doc(hidden)]
pub use backend::iter::{DsqSlot as __DsqSlot, NumSlot as __NumSlot};
pub use backend::maps::{Array, CgroupStorage, HashMap, LruHashMap, PerCpu, PerCpuHashMap, Queue, Stack, TaskStorage};
pub use backend::objects::{List, ListGuard, ObjectCell, ObjectSlot, Owned, Tree, TreeGuard};
pub use backend::outer::{ArrayOfMaps, HashOfMaps};
pub use backend::rings::{Reserved, RingBuf, UserRingBuf};
pub use backend::slots::{CgroupCell, CgroupSlot, MaskCell, MaskSlot, TaskCell, TaskSlot};
pub use backend::state::{ExitRecord, Global, PerCpuArray, PerCpuValue, Tunable};
pub use backend::timer::{Timer, TimerCell};
pub use backend::variables::{Kconfig, KernelPerCpu, KernelSymbol, KernelVar, PerfEventArray};
#[doc(hidden)]
pub use backend::walk::{CgroupWalk as __CgroupWalk, MemberSlot as __MemberSlot, TaskSlot as __TaskSlot};
pub use cid::{Cid, CidMask, CidTopo, CidUnit};
pub use cid_ops::{CidOps, Cmask, CmaskArg};
pub use context::{
    CpuRelease, Dispatch, Dump, Enqueue, Event, Init, MayDispatch, MayDump, MayInsert, MayMove, MayPick, MayReenqueue,
    SelectCpu, Sleepable, Unlocked,
};
pub use cpumask::{CpuMask, HeldMask, OwnedCpuMask};
pub use dsq::{ByVtime, Dsq, Either, Fifo, TakesLast, TakesVtime};
pub use events::Events;
#[doc(hidden)]
pub use holds::{Holds, Takes};
pub use iter::{Bounded, QueuedTask, Waiting};
pub use objects::{Counted, InList, InSlot, InTree, Object};
pub use ops::Ops;
pub use print::Argument;
#[doc(hidden)]
pub use print::conversions;
pub use rcu::{NoPreempt, Rcu};
#[doc(hidden)]
pub use scheduler::is_name;
pub use shared::{MapCell, MapValue, Plain, TimerMap};
pub use state::Value;
pub use task::{Comm, OwnedTask, Task};
pub use units::{
    Cpu, EnqFlags, Errno, KickFlags, Ns, OpsFlags, PickFlags, Picked, RingFlags, TaskFlags, TimerFlags, Vtime,
    WakeFlags, Weight, quotient, random_u32,
};
pub use variables::{PerfCount, Setting};
pub use walk::{Cgroups, Members, Tasks};

/// Everything that a policy names.
pub mod prelude {
    // a policy that declares state has one of its own, which goes before
    #[cfg(not(bpf))]
    #[doc(hidden)]
    pub use crate::native::NO_STATE as __STATE;

    pub use crate::{
        Arena, ArenaPtr, Array, ArrayOfMaps, ByVtime, Cgroup, CgroupCell, CgroupInit, CgroupSlot, CgroupStorage, Cid,
        CidMask, CidOps, CidTopo, CidUnit, Cmask, CmaskArg, Comm, Cpu, CpuMask, CpuRelease, Dispatch, Dsq, Dump,
        Either, EnqFlags, Enqueue, Errno, Event, Events, ExitInfo, ExitRecord, ExitTask, Field, Fifo, Global, HashMap,
        HashOfMaps, HeldMask, Init, InitTask, Kconfig, KernelPerCpu, KernelSymbol, KernelVar, KickFlags, List,
        LruHashMap, MaskCell, MaskSlot, MayDispatch, MayDump, MayInsert, MayMove, MayPick, MayReenqueue, NoPreempt, Ns,
        ObjectCell, ObjectSlot, Ops, OpsFlags, Owned, OwnedCgroup, OwnedCpuMask, OwnedTask, PerCpu, PerCpuArray,
        PerCpuHashMap, PerCpuValue, PerfCount, PerfEventArray, PickFlags, Picked, Queue, QueuedTask, Rcu, Ref, Release,
        ResSpinLock, Reserved, RingBuf, RingFlags, SelectCpu, Sleepable, SpinLock, Stack, TakesLast, TakesVtime, Task,
        TaskCell, TaskFlags, TaskSlot, TaskStorage, Timer, TimerCell, TimerFlags, TimerMap, Tree, Tunable, Unlocked,
        UserRingBuf, Vtime, WakeFlags, Weight, ancestors, bounded, descendants, members, object, plain, processes,
        quotient, random_u32, scheduler, scx_dump, scx_error, scx_exit, scx_print, shared, state, tasks, threads,
        waiting,
    };
}
