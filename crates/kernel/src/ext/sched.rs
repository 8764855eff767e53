//! The class's part of the state: the loaded scheduler, its queues, its counters.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use scxr_trace::ExitKind;

use super::call::OpCx;
use super::dsq::Dsq;
use super::flags::{consts, dsq_id};
use super::idle::IdleTracking;
use super::iter::Cursor;
use super::ops::{ExitInfo, Op, OpSet, OpsAttrs, SchedExtOps};
use crate::config::Config;
use crate::ids::{CpuId, Ns, PerCpu, TaskId};
use crate::lock::SimLock;
use crate::topology::Topology;

/// Event counters, in the kernel's order (E-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ev {
    SelectCpuFallback,
    DispatchLocalDsqOffline,
    DispatchKeepLast,
    EnqSkipExiting,
    EnqSkipMigrationDisabled,
    ReenqImmed,
    ReenqLocalRepeat,
    RefillSliceDfl,
    BypassDuration,
    BypassDispatch,
    BypassActivate,
    InsertNotOwned,
    SubBypassDispatch,
}

/// Values of all counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub [i64; 13]);

impl Events {
    /// Names in order, as in /sys/kernel/sched_ext/root/events.
    pub const NAMES: [&str; 13] = [
        "SCX_EV_SELECT_CPU_FALLBACK",
        "SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE",
        "SCX_EV_DISPATCH_KEEP_LAST",
        "SCX_EV_ENQ_SKIP_EXITING",
        "SCX_EV_ENQ_SKIP_MIGRATION_DISABLED",
        "SCX_EV_REENQ_IMMED",
        "SCX_EV_REENQ_LOCAL_REPEAT",
        "SCX_EV_REFILL_SLICE_DFL",
        "SCX_EV_BYPASS_DURATION",
        "SCX_EV_BYPASS_DISPATCH",
        "SCX_EV_BYPASS_ACTIVATE",
        "SCX_EV_INSERT_NOT_OWNED",
        "SCX_EV_SUB_BYPASS_DISPATCH",
    ];

    /// One value.
    pub fn get(&self, ev: Ev) -> i64 {
        self.0[ev as usize]
    }
}

/// Global state of the class (E-14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EnableState {
    Enabling,
    Enabled,
    Disabling,
    #[default]
    Disabled,
}

/// An insertion that waits in the dispatch buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DspEntry {
    pub(crate) task: TaskId,
    /// Queue sequence at insertion; 0 never matches.
    pub(crate) qseq: u64,
    pub(crate) dsq_id: u64,
    pub(crate) enq_flags: u64,
}

/// Dispatch buffer of a CPU.
#[derive(Clone, Debug, Default)]
pub(crate) struct DspBuf {
    pub(crate) entries: Vec<DspEntry>,
    pub(crate) nr_tasks: u32,
}

/// A loaded scheduler [struct scx_sched].
pub struct Sched {
    pub(crate) ops: Rc<dyn SchedExtOps>,
    /// Data members of its table.
    pub attrs: OpsAttrs,
    pub(crate) exit_kind: ExitKind,
    pub(crate) aborting: bool,
    pub(crate) exit: ExitInfo,
    pub(crate) bypass_depth: u32,
    pub(crate) bypassing: PerCpu<bool>,
    pub(crate) bypass_since: Ns,
    pub(crate) bypass_dsp: bool,
    pub(crate) bypass_dsqs: PerCpu<u32>,
    pub(crate) global_dsqs: Vec<u32>,
    pub(crate) user_dsqs: BTreeMap<u64, u32>,
    /// What a slice is refilled with.
    pub slice_dfl: u64,
    pub(crate) dsp: PerCpu<DspBuf>,
    pub(crate) dsp_max_batch: usize,
    pub(crate) timeout: Ns,
    /// Counters.
    pub events: Events,
    pub(crate) timers: super::timer::Timers,
}

impl Sched {
    /// Is a SCX_OPS_* flag set?
    pub(crate) fn flag(&self, flag: u64) -> bool {
        self.attrs.flags & flag != 0
    }
}

/// Ext part of the machine.
pub struct Ext {
    /// The loaded scheduler: the root.
    pub(crate) root: Option<Box<Sched>>,
    /// Operations that may be called now (E-27).
    pub(crate) active: OpSet,
    /// Global state.
    pub state: EnableState,
    pub(crate) enabled: bool,
    pub(crate) switching_all: bool,
    pub(crate) switched_all: bool,
    pub(crate) init_task_armed: bool,
    pub(crate) fork_readers: u32,
    pub(crate) fork_writer: bool,
    /// Exit of the last scheduler that ended.
    pub exit_info: Option<ExitInfo>,
    /// Why the last enabling was refused, if it was: errno and text.
    pub enable_error: Option<(i32, String)>,
    /// Tasks whose policy was changed because the scheduler did not take them (E-39).
    pub nr_rejected: u64,
    /// Schedulers enabled so far.
    pub enable_seq: u64,
    /// CPUs that came and went so far.
    pub hotplug_seq: u64,
    /// Last values of the counters of a scheduler that ended.
    pub(crate) last_events: Events,
    pub(crate) dsqs: Vec<Dsq>,
    /// Slots of `dsqs` that are free.
    pub(crate) dsqs_free: VecDeque<u32>,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) cursors_free: Vec<u32>,
    pub(crate) cx: PerCpu<OpCx>,
    pub(crate) idle: IdleTracking,
    pub(crate) next_tid: u64,
    pub(crate) watchdog_due: Ns,
    pub(crate) watchdog_stamp: Ns,
    pub(crate) bypass_lb_due: Ns,
    pub(crate) bypass_locked: bool,
    /// CPUs by topological id, as of the last enabling.
    pub(crate) cids: super::cid::Cids,
    /// Numbers the armings of schedulers' timers.
    pub(crate) timer_seq: u64,
    pub(crate) work: super::enable::Work,
}

impl Ext {
    pub(crate) fn new(t: &Topology, _c: &Config) -> Ext {
        let n = t.nr_cpus();
        let local = |cpu: CpuId| Dsq::new(dsq_id::LOCAL, Some(cpu));
        Ext {
            root: None,
            active: OpSet::default(),
            state: EnableState::Disabled,
            enabled: false,
            switching_all: false,
            switched_all: false,
            init_task_armed: false,
            fork_readers: 0,
            fork_writer: false,
            exit_info: None,
            enable_error: None,
            nr_rejected: 0,
            enable_seq: 0,
            hotplug_seq: 0,
            last_events: Events::default(),
            dsqs: PerCpu::new(n, local).0,
            dsqs_free: VecDeque::new(),
            cursors: Vec::new(),
            cursors_free: Vec::new(),
            cx: PerCpu::new(n, |_| OpCx::default()),
            idle: IdleTracking::new(t),
            next_tid: 1,
            watchdog_due: Ns::MAX,
            watchdog_stamp: 0,
            bypass_lb_due: Ns::MAX,
            bypass_locked: false,
            cids: Default::default(),
            timer_seq: 0,
            work: Default::default(),
        }
    }

    pub(crate) fn dsq_lock(&mut self, i: u32) -> &mut SimLock {
        &mut self.dsqs[i as usize].lock
    }

    /// Nobody can be on the way to a destroyed queue any more.
    pub(crate) fn free_dsq_slot(&mut self, i: u32) {
        self.dsqs_free.push_back(i);
    }

    /// Is a scheduler enabled, so that tasks can be in the class?
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Are all fair tasks in the class?
    pub fn switched_all(&self) -> bool {
        self.switched_all
    }

    /// The loaded scheduler.
    pub fn root(&self) -> Option<&Sched> {
        self.root.as_deref()
    }

    /// Name of the loaded scheduler.
    pub fn root_name(&self) -> Option<&str> {
        self.root().map(|s| s.attrs.name.as_str())
    }

    /// Counters of the loaded scheduler, or of the last one.
    pub fn events(&self) -> Events {
        self.root().map_or(self.last_events, |s| s.events)
    }

    /// May this operation be called?
    #[inline]
    pub(crate) fn has(&self, op: Op) -> bool {
        self.active.has(op)
    }

    /// Is a SCX_OPS_* flag of the scheduler set?
    #[inline]
    pub(crate) fn flag(&self, flag: u64) -> bool {
        self.root().is_some_and(|s| s.flag(flag))
    }

    /// Is the scheduler ignored on `cpu`?
    #[inline]
    pub(crate) fn bypassing(&self, cpu: CpuId) -> bool {
        self.root().is_some_and(|s| s.bypassing[cpu])
    }

    /// Counts an event.
    #[inline]
    pub(crate) fn count(&mut self, ev: Ev, n: i64) {
        if let Some(s) = &mut self.root {
            s.events.0[ev as usize] += n;
        }
    }

    /// What a slice is refilled with now.
    pub(crate) fn slice_dfl(&self) -> u64 {
        self.root().map_or(consts::SLICE_DFL, |s| s.slice_dfl)
    }
}
