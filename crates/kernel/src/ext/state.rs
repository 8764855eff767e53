//! The class's part of the state: what belongs to no scheduler alone.

use std::collections::{BTreeMap, VecDeque};

use super::call::OpCx;
use super::dsq::Dsq;
use super::dump::Dumps;
use super::events::Events;
use super::flags::dsq_id;
use super::idle::IdleTracking;
use super::iter::Cursor;
use super::ops::ExitInfo;
use super::sched::{Sched, SchedId, Scheds};
use crate::ids::{CpuId, Ns, PerCpu, TaskId};
use crate::lock::SimLock;
use crate::topology::Topology;

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

impl EnableState {
    /// As /sys/kernel/sched_ext/state says it [scx_enable_state_str].
    pub fn name(self) -> &'static str {
        match self {
            EnableState::Enabling => "enabling",
            EnableState::Enabled => "enabled",
            EnableState::Disabling => "disabling",
            EnableState::Disabled => "disabled",
        }
    }
}

/// A scheduler that was refused before it was enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cgroup that it was for; 0 and 1: all of the machine.
    pub sub_cgroup_id: u64,
    /// -errno.
    pub errno: i32,
    /// In words.
    pub why: String,
}

/// Ext part of the machine.
pub struct Ext {
    /// Loaded schedulers.
    pub(crate) scheds: Scheds,
    pub(super) root: Option<SchedId>,
    /// Global state.
    pub state: EnableState,
    pub(crate) enabled: bool,
    pub(crate) switching_all: bool,
    pub(crate) switched_all: bool,
    pub(crate) init_task_armed: bool,
    pub(crate) fork_readers: u32,
    pub(crate) fork_writer: bool,
    /// Ends of sub-schedulers, the oldest first.
    pub sub_exits: Vec<super::SubExit>,
    /// The sub-scheduler that is taking its tasks over.
    pub(crate) enabling_sub: Option<SchedId>,
    /// Exit of the last root scheduler that ended.
    pub exit_info: Option<ExitInfo>,
    /// Why the last enabling was refused, if it was: errno and text.
    pub enable_error: Option<(i32, String)>,
    /// All refusals before a scheduler was enabled, the oldest first.
    pub enable_refusals: Vec<Refusal>,
    /// Tasks whose policy was changed because the scheduler did not take them (E-39).
    pub nr_rejected: u64,
    /// Schedulers enabled so far.
    pub enable_seq: u64,
    /// CPUs that came and went so far; at boot all but the first have come.
    pub hotplug_seq: u64,
    /// Last values of the counters of a root scheduler that ended.
    pub(crate) last_events: Events,
    /// Dispatch queues: the local ones, by CPU, then the schedulers'.
    pub(crate) dsqs: Vec<Dsq>,
    /// Slots of `dsqs` that are free.
    pub(crate) dsqs_free: VecDeque<u32>,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) cursors_free: Vec<u32>,
    pub(crate) cx: PerCpu<OpCx>,
    pub(crate) idle: IdleTracking,
    pub(crate) next_tid: u64,
    /// Tasks by tid, while the root scheduler wants them found (SCX_OPS_TID_TO_TASK).
    pub(crate) tids: Option<BTreeMap<u64, TaskId>>,
    pub(crate) watchdog_due: Ns,
    pub(crate) watchdog_stamp: Ns,
    pub(crate) bypass_locked: bool,
    /// CPUs by topological id, as of the last enabling.
    pub(crate) cids: super::cid::Cids,
    pub(crate) cgroup_locked: bool,
    /// The root scheduler knows the cgroups [scx_cgroup_enabled].
    pub(crate) cgroup_enabled: bool,
    /// Numbers the armings of schedulers' timers.
    pub(crate) timer_seq: u64,
    /// Debug dumps that somebody asked for, and the one under way.
    pub dumps: Dumps,
    pub(crate) work: super::enable::Work,
}

impl Ext {
    pub(crate) fn new(t: &Topology) -> Ext {
        let n = t.nr_cpus();
        let local = |cpu: CpuId| Dsq::new(dsq_id::LOCAL, Some(cpu));
        Ext {
            scheds: Scheds::default(),
            root: None,
            state: EnableState::Disabled,
            enabled: false,
            switching_all: false,
            switched_all: false,
            init_task_armed: false,
            fork_readers: 0,
            fork_writer: false,
            sub_exits: Vec::new(),
            enabling_sub: None,
            exit_info: None,
            enable_error: None,
            enable_refusals: Vec::new(),
            nr_rejected: 0,
            enable_seq: 0,
            hotplug_seq: n as u64 - 1,
            last_events: Events::default(),
            dsqs: PerCpu::new(n, local).0,
            dsqs_free: VecDeque::new(),
            cursors: Vec::new(),
            cursors_free: Vec::new(),
            cx: PerCpu::new(n, |_| OpCx::default()),
            idle: IdleTracking::new(t),
            next_tid: 1,
            tids: None,
            watchdog_due: Ns::MAX,
            watchdog_stamp: 0,
            bypass_locked: false,
            cids: Default::default(),
            cgroup_locked: false,
            cgroup_enabled: false,
            timer_seq: 0,
            dumps: Dumps::default(),
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

    /// A scheduler, as long as it is there.
    pub fn sched(&self, id: SchedId) -> Option<&Sched> {
        self.scheds.get(id)
    }

    /// The root scheduler.
    pub fn root(&self) -> Option<&Sched> {
        self.root.map(|id| &self.scheds[id])
    }

    /// The root scheduler has all ordinary tasks [scx_switched_all].
    pub fn is_switched_all(&self) -> bool {
        self.switched_all
    }

    /// Name of the root scheduler.
    pub fn root_name(&self) -> Option<&str> {
        self.root().map(|s| s.attrs.name.as_str())
    }

    /// Counters of the root scheduler, or of the last one.
    pub fn events(&self) -> Events {
        self.root().map_or(self.last_events, |s| s.events)
    }
}
