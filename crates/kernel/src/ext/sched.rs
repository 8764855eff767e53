//! Schedulers: the slab of those that are loaded, and the one place that says which of them is meant.
//!
//! Three questions have one answer each: the scheduler of a task ([`State::task_sched`]), the root scheduler
//! ([`Ext::root_id`]), which answers for what belongs to no task, and the scheduler whose program runs on this CPU
//! ([`State::prog_sched`]), which kfuncs act for. All else is handed the [`SchedId`].

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};
use std::rc::Rc;

use scxr_trace::ExitKind;

use super::events::{Ev, Events};
use super::exit::no_exit;
use super::flags::consts;
use super::ops::{ExitInfo, Op, OpSet, OpsAttrs, SchedExtOps};
use super::state::Ext;
use crate::cgroup::CgroupId;
use crate::ids::{CpuId, Ns, PerCpu, TaskId};
use crate::state::State;

/// A scheduler, by its slot in the slab. The slot is used again only after a grace period, so that code that was told an
/// id finds that scheduler until it passes through its CPU's outermost loop (E-241). What keeps an id for longer (a timer)
/// asks with [`Scheds::get`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchedId(NonZeroU32);

/// An insertion that waits in the dispatch buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DspEntry {
    pub(crate) task: TaskId,
    /// Queue sequence at insertion; 0 never matches.
    pub(crate) qseq: u64,
    pub(crate) dsq_id: u64,
    pub(crate) enq_flags: u64,
}

/// Dispatch buffer of a scheduler on a CPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct DspBuf {
    pub(crate) entries: Vec<DspEntry>,
    pub(crate) nr_tasks: u32,
}

/// What a scheduler asked for: the local queue of a CPU is to be enqueued again (E-95).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReenqLocal {
    /// Flags of the request that waits in the run queue's list, if one does.
    pub(crate) flags: Option<u64>,
    /// Pass of the run queue that served it last.
    pub(crate) pass: u32,
    /// How often that pass did.
    pub(crate) nr: u32,
}

/// Part of a scheduler that belongs to a CPU [struct scx_sched_pcpu].
#[derive(Clone, Debug)]
pub(crate) struct SchedPcpu {
    /// Is the scheduler ignored on the CPU?
    pub(crate) bypassing: bool,
    /// Index of the bypass queue.
    pub(crate) bypass_dsq: u32,
    /// Visits of the dispatcher while descendants' tasks wait on its bypass queues.
    pub(crate) bypass_host_seq: u64,
    pub(crate) dsp: DspBuf,
    pub(crate) reenq_local: ReenqLocal,
}

/// A loaded scheduler [struct scx_sched].
pub struct Sched {
    pub(crate) ops: Rc<dyn SchedExtOps>,
    /// Data members of its table.
    pub attrs: OpsAttrs,
    /// The scheduler that it is a sub-scheduler of; the root has none.
    pub parent: Option<SchedId>,
    /// Steps from the root.
    pub level: u32,
    /// It is the how manieth that was loaded.
    pub(crate) seq: u64,
    /// The cgroup whose tasks are its own.
    pub cgroup: CgroupId,
    /// What it was at when it attached.
    pub(crate) cgroup_path: String,
    /// Its cgroup's tasks are forked into it [cgroup->scx_sched].
    pub(crate) owns_cgroup: bool,
    /// It is among its parent's children [scx_link_sched].
    pub(crate) linked: bool,
    /// It has ended, and its parent need not wait for it.
    pub(crate) gone: bool,
    /// The parent has accepted it.
    pub(crate) attached: bool,
    /// Operations that may be called now (E-27).
    pub(crate) active: OpSet,
    pub(crate) exit_kind: ExitKind,
    pub(crate) aborting: bool,
    pub(crate) exit: ExitInfo,
    pub(crate) bypass_depth: u32,
    pub(crate) bypass_since: Ns,
    /// It has its own and its parent's bypass queues served (E-167).
    pub(crate) bypass_dsp_claim: bool,
    /// How many have the bypass queues served: itself and its children.
    pub(crate) bypass_dsp_depth: u32,
    /// When its bypass queues are to be balanced next.
    pub(crate) bypass_lb_due: Ns,
    /// Global queues by node.
    pub(crate) global_dsqs: Vec<u32>,
    pub(crate) user_dsqs: BTreeMap<u64, u32>,
    /// What a slice is refilled with.
    pub slice_dfl: u64,
    pub(crate) pcpu: PerCpu<SchedPcpu>,
    pub(crate) dsp_max_batch: usize,
    /// The watchdog's: how long a task of it may wait.
    pub(crate) timeout: Ns,
    /// Its tasks are let go: it is dumped no more [dump_disabled].
    pub(crate) dump_disabled: bool,
    /// Counters.
    pub events: Events,
    pub(crate) timers: super::timer::Timers,
}

impl Sched {
    /// A scheduler that no operation of may be called yet, with its built-in queues. [scx_alloc_and_add_sched]
    pub(crate) fn new(
        ops: Rc<dyn SchedExtOps>,
        attrs: OpsAttrs,
        bypass_dsqs: PerCpu<u32>,
        global_dsqs: Vec<u32>,
    ) -> Sched {
        let batch = match attrs.dispatch_max_batch {
            0 => consts::DSP_DFL_MAX_BATCH,
            n => n,
        };
        let timeout_ms = match attrs.timeout_ms {
            0 => consts::WATCHDOG_MAX_TIMEOUT_MS,
            ms => ms,
        };
        let pcpu = |bypass_dsq| SchedPcpu {
            bypassing: false,
            bypass_dsq,
            bypass_host_seq: 0,
            dsp: DspBuf::default(),
            reenq_local: ReenqLocal::default(),
        };
        Sched {
            ops,
            attrs,
            parent: None,
            level: 0,
            seq: 0,
            cgroup: CgroupId::ROOT,
            cgroup_path: "/".into(),
            owns_cgroup: false,
            linked: false,
            gone: false,
            attached: false,
            active: OpSet::default(),
            exit_kind: ExitKind::None,
            aborting: false,
            exit: no_exit(),
            bypass_depth: 0,
            bypass_since: 0,
            bypass_dsp_claim: false,
            bypass_dsp_depth: 0,
            bypass_lb_due: Ns::MAX,
            global_dsqs,
            user_dsqs: BTreeMap::new(),
            slice_dfl: consts::SLICE_DFL,
            pcpu: PerCpu(bypass_dsqs.0.into_iter().map(pcpu).collect()),
            dsp_max_batch: batch as usize,
            timeout: u64::from(timeout_ms) * 1_000_000,
            dump_disabled: false,
            events: Events::default(),
            timers: Default::default(),
        }
    }

    /// Is a SCX_OPS_* flag set?
    #[inline]
    pub(crate) fn flag(&self, flag: u64) -> bool {
        self.attrs.flags & flag != 0
    }

    /// May this operation be called?
    #[inline]
    pub(crate) fn has(&self, op: Op) -> bool {
        self.active.has(op)
    }

    /// Is the scheduler ignored on `cpu`?
    #[inline]
    pub(crate) fn bypassing(&self, cpu: CpuId) -> bool {
        self.pcpu[cpu].bypassing
    }

    /// Are its bypass queues served (E-167)? [bypass_dsp_enabled]
    #[inline]
    pub(crate) fn bypass_dsp(&self) -> bool {
        self.bypass_dsp_depth > 0
    }

    /// Counts an event.
    #[inline]
    pub(crate) fn count(&mut self, ev: Ev, n: i64) {
        self.events.0[ev as usize] += n;
    }

    /// All its queues: its users' and the built-in ones, but for the local ones, which are the machine's.
    pub(crate) fn dsqs(&self) -> impl Iterator<Item = u32> + '_ {
        let bypass = self.pcpu.0.iter().map(|p| p.bypass_dsq);
        bypass.chain(self.global_dsqs.iter().copied()).chain(self.user_dsqs.values().copied())
    }
}

/// The schedulers there are, and those that may still be looked at. The first slot has none, so that an `Option<SchedId>` is
/// as small as an id.
pub(crate) struct Scheds {
    slots: Vec<Option<Box<Sched>>>,
    free: VecDeque<SchedId>,
    nr_added: u64,
}

impl Default for Scheds {
    fn default() -> Scheds {
        Scheds { slots: vec![None], free: VecDeque::new(), nr_added: 0 }
    }
}

impl Scheds {
    /// One more scheduler.
    pub(crate) fn add(&mut self, mut sched: Sched) -> SchedId {
        self.nr_added += 1;
        sched.seq = self.nr_added;
        let unused = self.free.pop_front();
        let id = unused.unwrap_or_else(|| {
            self.slots.push(None);
            SchedId(NonZeroU32::MIN.saturating_add(self.slots.len() as u32 - 2))
        });
        self.slots[id.idx()] = Some(Box::new(sched));
        id
    }

    /// Nobody can know the id any more: the scheduler goes, and its slot may be used again.
    pub(crate) fn free(&mut self, id: SchedId) {
        self.slots[id.idx()] = None;
        self.free.push_back(id);
    }

    /// A scheduler that may be gone for long.
    pub(crate) fn get(&self, id: SchedId) -> Option<&Sched> {
        self.slots.get(id.idx())?.as_deref()
    }

    /// A scheduler that may be gone for long.
    pub(crate) fn get_mut(&mut self, id: SchedId) -> Option<&mut Sched> {
        self.slots.get_mut(id.idx())?.as_deref_mut()
    }

    /// All of them, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SchedId, &Sched)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(n, s)| Some((SchedId(NonZeroU32::new(n)?), s.as_deref()?)))
    }
}

#[cold]
fn freed(id: SchedId) -> ! {
    unreachable!("{id:?} was freed while somebody knew it")
}

#[cold]
fn homeless(p: TaskId) -> ! {
    unreachable!("{p:?} is in the class and has no scheduler")
}

impl SchedId {
    #[inline]
    fn idx(self) -> usize {
        self.0.get() as usize
    }
}

impl Index<SchedId> for Scheds {
    type Output = Sched;

    #[inline]
    fn index(&self, id: SchedId) -> &Sched {
        match &self.slots[id.idx()] {
            Some(s) => s,
            None => freed(id),
        }
    }
}

impl IndexMut<SchedId> for Scheds {
    #[inline]
    fn index_mut(&mut self, id: SchedId) -> &mut Sched {
        match &mut self.slots[id.idx()] {
            Some(s) => s,
            None => freed(id),
        }
    }
}

impl Ext {
    /// The root scheduler [scx_root].
    #[inline]
    pub fn root_id(&self) -> Option<SchedId> {
        self.root
    }
}

impl State {
    /// The scheduler of a task that is in the class, or is about to be [scx_task_sched].
    #[inline]
    pub(crate) fn task_sched(&self, p: TaskId) -> SchedId {
        match self.task(p).scx.sched {
            Some(sched) => sched,
            None => homeless(p),
        }
    }

    /// Is `p` a task of `sched` (E-239)? A task that is gone is nobody's. [scx_task_on_sched]
    #[inline]
    pub(crate) fn task_on_sched(&self, p: TaskId, sched: SchedId) -> bool {
        self.find_task(p).is_some_and(|t| t.scx.sched == Some(sched))
    }

    /// The scheduler whose program runs on this CPU; for a program that is no operation's, the root [scx_prog_sched].
    #[inline]
    pub(crate) fn prog_sched(&self) -> Option<SchedId> {
        self.ext.cx[self.exec.this_cpu].sched.or(self.ext.root)
    }
}

#[cfg(test)]
mod tests {
    use scxr_trace::NullSink;

    use super::super::bypass::tests::Nothing;
    use super::*;
    use crate::Machine;
    use crate::behavior::{Action, TaskCx, TaskSpec};
    use crate::config::Config;
    use crate::executor::Kernel;
    use crate::ext::{call, kfunc};
    use crate::topology::Topology;

    fn sched(nr_cpus: usize) -> Sched {
        Sched::new(Rc::new(Nothing), Nothing.attrs(), PerCpu::new(nr_cpus, |_| 0), vec![0])
    }

    #[test]
    fn slots_are_used_again_in_the_order_of_their_end() {
        let mut s = Scheds::default();
        let ids: Vec<SchedId> = (0..3).map(|_| s.add(sched(1))).collect();
        assert_eq!(s.iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
        s.free(ids[1]);
        s.free(ids[0]);
        assert!(s.get(ids[1]).is_none() && s.get(ids[2]).is_some());
        assert_eq!([s.add(sched(1)), s.add(sched(1))], [ids[1], ids[0]]);
        assert!(s.add(sched(1)) > ids[2]);
        assert_eq!(size_of::<Option<SchedId>>(), size_of::<SchedId>());
    }

    /// Two schedulers, as far as there can be two: queues, counters, errors and authority are each one's own.
    fn with_two(f: impl FnOnce(&mut Kernel, TaskId, [SchedId; 2])) {
        let mut m = Machine::new(Topology::parse("2").expect("a machine"), Config::default(), Box::new(NullSink));
        m.spawn(TaskSpec::new("t", |_: &TaskCx| Action::Run(1_000_000)));
        m.with_kernel(|k| {
            let ids = [(); 2].map(|()| k.ext.scheds.add(sched(2)));
            k.ext.root = Some(ids[0]);
            let p = k.all_tasks().last().copied().expect("a task");
            k.task_mut(p).scx.sched = Some(ids[1]);
            f(k, p, ids);
        });
    }

    /// What `f` gives as part of an operation of `sched`.
    fn within<R>(k: &mut Kernel, sched: SchedId, f: impl FnOnce(&mut Kernel) -> R) -> R {
        call::op(k, sched, Op::dispatch, None, None, |_, k| f(k)).expect("no task is needed")
    }

    #[test]
    fn a_program_acts_for_its_scheduler() {
        with_two(|k, p, [root, other]| {
            let slice = |k: &mut Kernel| kfunc::scx_bpf_task_set_slice(k, p, 5);
            assert_eq!([slice(k), within(k, root, slice), within(k, other, slice)], [false, false, true]);
            let insert = |k: &mut Kernel| kfunc::scx_bpf_dsq_insert(k, p, 7, 0, 0);
            assert_eq!([within(k, root, insert), within(k, other, insert)], [false, true]);
            let not_owned = |k: &Kernel, s: SchedId| k.ext.scheds[s].events.get(Ev::InsertNotOwned);
            assert_eq!([not_owned(k, root), not_owned(k, other)], [1, 0]);
            let buffered = |k: &Kernel, s: SchedId| k.ext.scheds[s].pcpu[k.this_cpu()].dsp.entries.len();
            assert_eq!([buffered(k, root), buffered(k, other)], [0, 1]);
            assert_eq!((k.prog_sched(), k.task_sched(p)), (Some(root), other));
        });
    }

    #[test]
    fn queues_and_errors_are_a_schedulers_own() {
        with_two(|k, _, [root, other]| {
            let create = |k: &mut Kernel| kfunc::scx_bpf_create_dsq(k, 7, -1);
            assert_eq!([within(k, root, create), within(k, other, create), create(k)], [0, 0, -17]);
            assert_ne!(k.user_dsq(root, 7), k.user_dsq(other, 7));
            within(k, other, |k| {
                within(k, root, |_| ());
                kfunc::scx_bpf_error(k, "the outer operation's");
            });
            let kinds = [root, other].map(|s| k.ext.scheds[s].exit_kind);
            assert_eq!(kinds, [ExitKind::None, ExitKind::ErrorBpf]);
        });
    }
}
