//! The native back end: the policy as an ordinary module, its calls going to a [`Host`].
//!
//! A [`PolicyDef`] is what [`scheduler!`](crate::scheduler) makes of a policy: constant, shared by all. An [`Instance`] is
//! one running scheduler with its own state; many may live in one process. [`Instance::call`] runs an operation: for its
//! duration, instance and host are the current ones of the thread, which is how the policy's statics find their values.
//!
//! A host's method may suspend the caller (a simulated CPU is a coroutine) and let other operations run meanwhile, of this
//! instance or another, on the same thread. The back end is made for that: while a host's method runs there is no current
//! instance, and when it returns, the caller's is set again. The host has nothing to do for it but to resume a coroutine
//! on the thread that it was suspended on. State is in cells that are never borrowed across a call.

mod ambient;
#[doc(hidden)]
pub mod arena;
#[doc(hidden)]
pub mod cell;
#[doc(hidden)]
pub mod cmask;
mod instance;
#[doc(hidden)]
pub mod iter;
pub mod kernel;
pub mod library;
#[doc(hidden)]
pub mod maps;
mod mask;
#[doc(hidden)]
pub mod objects;
#[doc(hidden)]
pub mod outer;
#[doc(hidden)]
pub mod rings;
#[doc(hidden)]
pub mod slots;
pub mod state;
#[doc(hidden)]
pub mod timer;
#[doc(hidden)]
pub mod variables;
#[doc(hidden)]
pub mod walk;

use std::fmt;

use crate::Task;

pub use instance::{GlobalValue, Instance, NoSuchGlobal};
pub use mask::{MaskSource, MaskWords};
pub use state::{Item, ItemDef, ItemKind, StateItem};
pub use walk::Walk;

/// The kernel that a native policy runs on. Tasks and exit information are handles that the host gave as an operation's
/// arguments; the policy passes them back and looks at nothing but through these methods.
///
/// What a host does not implement ends the scheduler with a message ([`Host::missing`]): a test needs no more of a kernel than
/// its policy uses.
pub trait Host {
    /// The CPU that the caller runs on.
    fn cpu(&self) -> i32;
    /// The time of that CPU in nanoseconds (`scx_bpf_now`).
    fn now(&self) -> u64;
    /// A field of a task, in the low bits.
    fn task_field(&self, task: u64, field: TaskField) -> u64;
    /// `scx_bpf_task_set_dsq_vtime`.
    fn task_set_dsq_vtime(&self, task: u64, vtime: u64) -> bool;
    /// `scx_bpf_task_set_slice`.
    fn task_set_slice(&self, task: u64, slice: u64) -> bool;
    /// `scx_bpf_select_cpu_dfl`: the CPU, and whether it is idle and now claimed.
    fn select_cpu_dfl(&self, task: u64, prev_cpu: i32, wake_flags: u64) -> (i32, bool);
    /// `scx_bpf_create_dsq`.
    fn create_dsq(&self, dsq_id: u64, node: i32) -> i32;
    /// `scx_bpf_dsq_nr_queued`.
    fn dsq_nr_queued(&self, dsq_id: u64) -> i32;
    /// `scx_bpf_dsq_peek`: the first task, if there is one.
    fn dsq_peek(&self, dsq_id: u64) -> Option<u64>;
    /// `scx_bpf_dsq_insert`.
    fn dsq_insert(&self, task: u64, dsq_id: u64, slice: u64, enq_flags: u64) -> bool;
    /// `scx_bpf_dsq_insert_vtime`.
    fn dsq_insert_vtime(&self, task: u64, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool;
    /// `scx_bpf_dsq_move_to_local`.
    fn dsq_move_to_local(&self, dsq_id: u64) -> bool;
    /// `scx_bpf_kick_cpu`.
    fn kick_cpu(&self, cpu: i32, flags: u64);
    /// `scx_bpf_error`, with the kernel's format and its arguments.
    fn error(&self, format: &str, args: &[u64]);
    /// What exit information says.
    fn exit_info(&self, info: u64) -> ExitDetails;

    /// Something that this kernel does not do yet: ends the scheduler with a message that names it.
    fn missing(&self, what: &str) {
        self.error(&format!("not implemented yet: {what}"), &[]);
    }
    /// A record of ring buffer `ring`, by its number among the state's items, is finished, and user space, which has read all before it, is
    /// to be told.
    fn ringbuf_ready(&self, ring: usize) {
        let _ = ring;
    }
    /// `bpf_ktime_get_ns`.
    fn ktime(&self) -> u64 {
        self.missing("ktime");
        0
    }
    /// Number of CPUs that can be (`scx_bpf_nr_cpu_ids`).
    fn nr_cpu_ids(&self) -> u32 {
        self.missing("nr_cpu_ids");
        0
    }
    /// `p->comm`, with its NUL.
    fn task_comm(&self, task: u64) -> [u8; 16] {
        let _ = task;
        self.missing("task_comm");
        [0; 16]
    }
    /// A set of the kernel's as it is now; of [`MaskSource::Owned`] the host is not asked.
    fn mask(&self, mask: MaskSource) -> MaskWords {
        let _ = mask;
        self.missing("mask");
        MaskWords::default()
    }
    /// The CPUs that a task may run on, by their cids, and how many cids there are.
    fn cmask(&self, task: u64) -> (MaskWords, u32) {
        let _ = task;
        self.missing("cmask");
        (MaskWords::default(), 0)
    }
    /// The set is taken by `scx_bpf_get_*_cpumask`: a call that costs.
    fn mask_borrowed(&self, mask: MaskSource) {
        let _ = mask;
        self.missing("mask_borrowed");
    }
    /// `scx_bpf_pick_idle_cpu`.
    fn pick_idle_cpu(&self, mask: MaskWords, flags: u64) -> i32 {
        let _ = (mask, flags);
        self.missing("pick_idle_cpu");
        -1
    }
    /// `scx_bpf_pick_any_cpu`.
    fn pick_any_cpu(&self, mask: MaskWords, flags: u64) -> i32 {
        let _ = (mask, flags);
        self.missing("pick_any_cpu");
        -1
    }
    /// `bpf_cpumask_any_distribute`.
    fn any_distribute(&self, mask: MaskWords) -> Option<u32> {
        let _ = mask;
        self.missing("any_distribute");
        None
    }
    /// `scx_bpf_select_cpu_and`.
    fn select_cpu_and(&self, task: u64, prev_cpu: i32, wake_flags: u64, allowed: MaskWords, flags: u64) -> i32 {
        let _ = (task, prev_cpu, wake_flags, allowed, flags);
        self.missing("select_cpu_and");
        -1
    }
    /// `scx_bpf_test_and_clear_cpu_idle`.
    fn test_and_clear_cpu_idle(&self, cpu: i32) -> bool {
        let _ = cpu;
        self.missing("test_and_clear_cpu_idle");
        false
    }
    /// `scx_bpf_nr_node_ids`.
    fn nr_nodes(&self) -> u32 {
        self.missing("nr_nodes");
        1
    }
    /// `scx_bpf_pick_idle_cpu_node`.
    fn pick_idle_cpu_node(&self, mask: MaskWords, node: i32, flags: u64) -> i32 {
        let _ = (mask, node, flags);
        self.missing("pick_idle_cpu_node");
        -1
    }
    /// `scx_bpf_pick_any_cpu_node`.
    fn pick_any_cpu_node(&self, mask: MaskWords, node: i32, flags: u64) -> i32 {
        let _ = (mask, node, flags);
        self.missing("pick_any_cpu_node");
        -1
    }
    /// `scx_bpf_cpu_curr`.
    fn cpu_curr(&self, cpu: i32) -> Option<u64> {
        let _ = cpu;
        self.missing("cpu_curr");
        None
    }
    /// `scx_bpf_tid_to_task`.
    fn task_from_tid(&self, tid: u64) -> Option<u64> {
        let _ = tid;
        self.missing("task_from_tid");
        None
    }
    /// `bpf_task_under_cgroup`.
    fn task_is_under(&self, task: u64, cgroup: u64) -> bool {
        let _ = (task, cgroup);
        self.missing("task_is_under");
        false
    }
    /// `p->cgroups->dfl_cgrp`.
    fn task_default_cgroup(&self, task: u64) -> u64 {
        let _ = task;
        self.missing("cgroups");
        0
    }
    /// Stores `p->scx.disallow`.
    fn task_set_disallow(&self, task: u64, disallow: bool) {
        let _ = (task, disallow);
        self.missing("scx.disallow");
    }
    /// `scx_bpf_dsq_reenq`; `false`: the kernel has no such function.
    fn dsq_reenq(&self, dsq_id: u64) -> bool {
        let _ = dsq_id;
        false
    }
    /// `bpf_iter_task_new` and its like: a handle; `None`: it was refused.
    fn walk_new(&self, walk: Walk) -> Option<u64> {
        let _ = walk;
        self.missing("walk_new");
        None
    }
    /// The next task or cgroup.
    fn walk_next(&self, walk: u64) -> Option<u64> {
        let _ = walk;
        None
    }
    /// Ends it.
    fn walk_destroy(&self, walk: u64) {
        let _ = walk;
    }
    /// `args->cgroup` of `init_task`.
    fn init_task_cgroup(&self, args: u64) -> Option<u64> {
        let _ = args;
        None
    }
    /// Period, quota and burst of `cgroup_init`'s arguments, in microseconds.
    fn cgroup_init_bandwidth(&self, args: u64) -> Option<[u64; 3]> {
        let _ = args;
        None
    }
    /// `scx_bpf_cidperf_cap`.
    fn cidperf_cap(&self, cid: i32) -> Option<u32> {
        let _ = cid;
        None
    }
    /// `scx_bpf_cidperf_cur`.
    fn cidperf_cur(&self, cid: i32) -> Option<u32> {
        let _ = cid;
        None
    }
    /// `scx_bpf_cidperf_set`; `false`: the kernel has no such function.
    fn cidperf_set(&self, cid: i32, perf: u32) -> bool {
        let _ = (cid, perf);
        false
    }
    /// `scx_bpf_cid_curr`.
    fn cid_curr(&self, cid: i32) -> Option<u64> {
        let _ = cid;
        None
    }
    /// `scx_bpf_cpu_node`.
    fn cpu_node(&self, cpu: i32) -> i32 {
        let _ = cpu;
        self.missing("cpu_node");
        0
    }
    /// `scx_bpf_task_cpu`.
    fn task_cpu(&self, task: u64) -> i32 {
        let _ = task;
        self.missing("task_cpu");
        0
    }
    /// `scx_bpf_task_running`.
    fn task_running(&self, task: u64) -> bool {
        let _ = task;
        self.missing("task_running");
        false
    }
    /// `bpf_get_current_task_btf`.
    fn current_task(&self) -> Option<u64> {
        self.missing("current_task");
        None
    }
    /// `bpf_task_from_pid`.
    fn task_from_pid(&self, pid: i32) -> Option<u64> {
        let _ = pid;
        self.missing("task_from_pid");
        None
    }
    /// `args->fork` of `init_task`.
    fn init_task_fork(&self, args: u64) -> bool {
        let _ = args;
        self.missing("init_task_fork");
        false
    }
    /// `args->cancelled` of `exit_task`.
    fn exit_task_cancelled(&self, args: u64) -> bool {
        let _ = args;
        self.missing("exit_task_cancelled");
        false
    }
    /// `scx_bpf_destroy_dsq`.
    fn destroy_dsq(&self, dsq_id: u64) {
        let _ = dsq_id;
        self.missing("destroy_dsq");
    }
    /// `scx_bpf_reenqueue_local`.
    fn reenqueue_local(&self) {
        self.missing("reenqueue_local");
    }
    /// `scx_bpf_dispatch_nr_slots`.
    fn dispatch_nr_slots(&self) -> u32 {
        self.missing("dispatch_nr_slots");
        0
    }
    /// `scx_bpf_dispatch_cancel`.
    fn dispatch_cancel(&self) {
        self.missing("dispatch_cancel");
    }
    /// `scx_bpf_cpuperf_cap`.
    fn cpuperf_cap(&self, cpu: i32) -> u32 {
        let _ = cpu;
        self.missing("cpuperf_cap");
        0
    }
    /// `scx_bpf_cpuperf_cur`.
    fn cpuperf_cur(&self, cpu: i32) -> u32 {
        let _ = cpu;
        self.missing("cpuperf_cur");
        0
    }
    /// `scx_bpf_cpuperf_set`.
    fn cpuperf_set(&self, cpu: i32, perf: u32) {
        let _ = (cpu, perf);
        self.missing("cpuperf_set");
    }
    /// `bpf_get_prandom_u32`.
    fn random_u32(&self) -> u32 {
        self.missing("random_u32");
        0
    }
    /// `SCX_ENQ_HEAD` of the kernel that this is.
    fn enq_head(&self) -> u64 {
        self.missing("enq_head");
        0
    }
    /// `SCX_ENQ_CPU_SELECTED` of the kernel that this is.
    fn enq_cpu_selected(&self) -> u64 {
        self.missing("enq_cpu_selected");
        0
    }
    /// `bpf_iter_scx_dsq_new`: a handle; `None`: it was refused.
    fn dsq_iter_new(&self, dsq_id: u64, flags: u64) -> Option<u64> {
        let _ = (dsq_id, flags);
        self.missing("dsq_iter_new");
        None
    }
    /// `bpf_iter_scx_dsq_next`.
    fn dsq_iter_next(&self, iter: u64) -> Option<u64> {
        let _ = iter;
        self.missing("dsq_iter_next");
        None
    }
    /// `bpf_iter_scx_dsq_destroy`.
    fn dsq_iter_destroy(&self, iter: u64) {
        let _ = iter;
        self.missing("dsq_iter_destroy");
    }
    /// `scx_bpf_dsq_move_set_slice`.
    fn dsq_move_set_slice(&self, iter: u64, slice: u64) {
        let _ = (iter, slice);
        self.missing("dsq_move_set_slice");
    }
    /// `scx_bpf_dsq_move_set_vtime`.
    fn dsq_move_set_vtime(&self, iter: u64, vtime: u64) {
        let _ = (iter, vtime);
        self.missing("dsq_move_set_vtime");
    }
    /// `scx_bpf_dsq_move`, or `scx_bpf_dsq_move_vtime` if it is to be `by_vtime`.
    fn dsq_move(&self, iter: u64, task: u64, dsq_id: u64, enq_flags: u64, by_vtime: bool) -> bool {
        let _ = (iter, task, dsq_id, enq_flags, by_vtime);
        self.missing("dsq_move");
        false
    }
    /// `scx_bpf_exit`.
    fn exit(&self, code: i64, format: &str, args: &[u64]) {
        let _ = (code, format, args);
        self.missing("exit");
    }
    /// `bpf_printk`.
    fn print(&self, format: &str, args: &[u64]) {
        let _ = (format, args);
        self.missing("print");
    }

    /// `scx_bpf_events`: the counters by name; `None`: the kernel has none.
    fn events(&self) -> Option<Vec<(&'static str, i64)>> {
        self.missing("scx_bpf_events");
        None
    }
    /// `scx_bpf_dump`.
    fn dump(&self, format: &str, args: &[u64]) {
        let _ = (format, args);
        self.missing("scx_bpf_dump");
    }
    /// `args->task` of `cpu_release`.
    fn release_task(&self, args: u64) -> Option<u64> {
        let _ = args;
        self.missing("ops.cpu_release");
        None
    }
    /// `args->weight` of `cgroup_init`.
    fn cgroup_init_weight(&self, args: u64) -> u32 {
        let _ = args;
        self.missing("ops.cgroup_init");
        0
    }
    /// `cgrp->kn->id`.
    fn cgroup_id(&self, cgroup: u64) -> u64 {
        let _ = cgroup;
        self.missing("cgroups");
        0
    }
    /// `cgrp->level`.
    fn cgroup_level(&self, cgroup: u64) -> i32 {
        let _ = cgroup;
        self.missing("cgroups");
        0
    }
    /// A value of the kernel's configuration, or one that loaders make up; `None`: it is not set.
    fn kconfig(&self, name: &str) -> Option<u64> {
        let _ = name;
        None
    }
    /// A variable of the kernel, a CPU's where each has one; `None`: there is none that BTF describes.
    fn kernel_var(&self, name: &str, cpu: Option<i32>) -> Option<u64> {
        let _ = (name, cpu);
        None
    }
    /// The running CPU's counter of a map of them: what it counted, how long it has been on, how long it counted.
    fn perf_event(&self, map: &str) -> Option<[u64; 3]> {
        let _ = map;
        None
    }
    /// Where a symbol of the kernel is.
    fn kernel_symbol(&self, name: &str) -> Option<u64> {
        let _ = name;
        None
    }
    /// `scx_bpf_nr_cids`; `None`: the kernel has no cids.
    fn nr_cids(&self) -> Option<u32> {
        None
    }
    /// `scx_bpf_nr_online_cids`.
    fn nr_online_cids(&self) -> Option<u32> {
        None
    }
    /// `scx_bpf_this_cid`; negative: there is none.
    fn this_cid(&self) -> i32 {
        -38
    }
    /// `scx_bpf_cpu_to_cid`.
    fn cpu_to_cid(&self, cpu: i32) -> i32 {
        let _ = cpu;
        -38
    }
    /// `scx_bpf_cid_to_cpu`.
    fn cid_to_cpu(&self, cid: i32) -> i32 {
        let _ = cid;
        -38
    }
    /// `scx_bpf_task_cid`.
    fn task_cid(&self, task: u64) -> i32 {
        let _ = task;
        -38
    }
    /// `scx_bpf_kick_cid`.
    fn kick_cid(&self, cid: i32, flags: u64) -> bool {
        let _ = (cid, flags);
        false
    }
    /// `scx_bpf_cid_topo`: first cid and number of the core, the cache, the node.
    fn cid_topo(&self, cid: i32) -> Option<[i32; 6]> {
        let _ = cid;
        None
    }
    /// `bpf_task_acquire`; `None`: the task is going.
    fn task_acquire(&self, task: u64) -> Option<u64> {
        let _ = task;
        self.missing("task_acquire");
        None
    }
    /// `bpf_task_release`, of a task from [`Host::task_from_pid`] or [`Host::task_acquire`].
    fn task_release(&self, task: u64) {
        let _ = task;
    }
    /// `scx_bpf_task_cgroup`.
    fn task_cgroup(&self, task: u64) -> Option<u64> {
        let _ = task;
        self.missing("scx_bpf_task_cgroup");
        None
    }
    /// `bpf_cgroup_from_id`.
    fn cgroup_from_id(&self, id: u64) -> Option<u64> {
        let _ = id;
        self.missing("bpf_cgroup_from_id");
        None
    }
    /// `bpf_cgroup_ancestor`.
    fn cgroup_ancestor(&self, cgroup: u64, level: i32) -> Option<u64> {
        let _ = (cgroup, level);
        self.missing("bpf_cgroup_ancestor");
        None
    }
    /// `bpf_cgroup_acquire`.
    fn cgroup_acquire(&self, cgroup: u64) -> Option<u64> {
        let _ = cgroup;
        self.missing("bpf_cgroup_acquire");
        None
    }
    /// `bpf_cgroup_release`.
    fn cgroup_release(&self, cgroup: u64) {
        let _ = cgroup;
    }
    /// Starts the timer with that number of the calling instance; when it is due, the host calls [`Instance::fire`].
    /// `flags` as `bpf_timer_start` takes them.
    fn timer_start(&self, timer: usize, nsecs: u64, flags: u64) -> bool {
        let _ = (timer, nsecs, flags);
        self.missing("bpf_timer_start");
        false
    }
    /// Stops it; whether it was on. `None`: its own function asked, which is refused.
    fn timer_cancel(&self, timer: usize) -> Option<bool> {
        let _ = timer;
        self.missing("bpf_timer_cancel");
        None
    }
}

/// The fields of a task that a policy may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskField {
    /// `pid`, an i32.
    Pid,
    /// `nr_cpus_allowed`, an i32.
    NrCpusAllowed,
    /// `scx.weight`, a u32.
    Weight,
    /// `scx.slice`, a u64.
    Slice,
    /// `scx.dsq_vtime`, a u64.
    DsqVtime,
    /// `scx.flags`, a u32.
    ScxFlags,
    /// `tgid`, an i32.
    Tgid,
    /// `flags`, a u32.
    Flags,
    /// `static_prio`, an i32.
    StaticPrio,
    /// `prio`, an i32.
    Prio,
    /// `policy`, a u32.
    Policy,
    /// `__state`, a u32.
    State,
    /// `migration_disabled`, a u16.
    MigrationDisabled,
    /// `utime`, a u64.
    Utime,
    /// `stime`, a u64.
    Stime,
    /// `numa_preferred_nid`, an i32.
    PreferredNode,
    /// `mm`: 0 if there is none.
    Mm,
    /// `real_parent`, a task.
    Parent,
    /// `group_leader`, a task.
    Leader,
    /// `scx.tid`, a u64.
    Tid,
    /// `nvcsw`, a u64.
    Nvcsw,
    /// `nivcsw`, a u64.
    Nivcsw,
    /// `se.sum_exec_runtime`, a u64.
    SumExecRuntime,
}

/// `struct scx_exit_info`, the parts that a policy records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitDetails {
    /// Kind, as the kernel numbers it.
    pub kind: i32,
    /// CPU that ended it, or -1.
    pub exit_cpu: i32,
    /// Code given by the policy or the user.
    pub exit_code: i64,
    /// What happened, in general.
    pub reason: String,
    /// What happened, in particular.
    pub msg: String,
}

/// An operation that a policy implements.
pub struct OpDef {
    /// Its name in `struct sched_ext_ops`.
    pub name: &'static str,
    #[doc(hidden)]
    pub call: fn(Words<'_>) -> i64,
}

impl fmt::Debug for OpDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is constant of a policy.
pub struct PolicyDef {
    /// Name of the scheduler.
    pub name: &'static str,
    /// `SCX_OPS_*`.
    pub flags: u64,
    /// Watchdog timeout in milliseconds; 0 for the kernel's own.
    pub timeout_ms: u32,
    /// Whether it knows CPUs by their cids (`struct sched_ext_ops_cid`).
    pub is_cid: bool,
    /// The operations that are implemented, in the source's order.
    pub ops: &'static [OpDef],
    #[doc(hidden)]
    pub state: &'static [StateItem],
    #[doc(hidden)]
    pub enter: fn(&Instance, &dyn Host, &mut dyn FnMut()),
}

impl PolicyDef {
    /// What there is to be set and to be read, as declared: with name, type and documentation.
    pub fn state(&self) -> &'static [StateItem] {
        self.state
    }

    /// Index of the operation of that name, for [`Instance::call`]; `None` if the policy does not implement it.
    pub fn op(&self, name: &str) -> Option<usize> {
        self.ops.iter().position(|op| op.name == name)
    }
}

impl fmt::Debug for PolicyDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyDef").field("name", &self.name).field("ops", &self.ops).finish_non_exhaustive()
    }
}

/// The state of a policy that declares none.
#[doc(hidden)]
pub const NO_STATE: &[StateItem] = &[];

/// The arguments of an operation, one word each, as in a BPF program's context.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [u64]);

impl<'a> Words<'a> {
    #[doc(hidden)]
    pub fn word(self, i: usize) -> u64 {
        self.0.get(i).copied().unwrap_or_default()
    }

    #[doc(hidden)]
    pub fn flag(self, i: usize) -> bool {
        self.word(i) & 0xff != 0
    }

    #[doc(hidden)]
    pub fn task(self, i: usize) -> Task<'a> {
        Task::__new(self.word(i))
    }

    #[doc(hidden)]
    pub fn optional_task(self, i: usize) -> Option<Task<'a>> {
        (self.word(i) != 0).then(|| self.task(i))
    }

    #[doc(hidden)]
    pub fn cpumask(self, i: usize) -> crate::CpuMask<'a> {
        crate::CpuMask::__new(MaskSource::Task(self.word(i)))
    }

    #[doc(hidden)]
    pub fn cpu(self, i: usize) -> crate::Cpu {
        crate::Cpu(self.word(i) as i32)
    }

    #[doc(hidden)]
    pub fn cid(self, i: usize) -> crate::Cid {
        crate::Cid(self.word(i) as i32)
    }

    #[doc(hidden)]
    pub fn cmask(self, i: usize) -> crate::CmaskArg<'a> {
        crate::CmaskArg::__new(self.word(i))
    }

    #[doc(hidden)]
    pub fn weight(self, i: usize) -> crate::Weight {
        crate::Weight(self.word(i) as u32)
    }

    #[doc(hidden)]
    pub fn wake(self, i: usize) -> crate::WakeFlags {
        crate::WakeFlags(self.word(i))
    }

    #[doc(hidden)]
    pub fn enq(self, i: usize) -> crate::EnqFlags {
        crate::EnqFlags(self.word(i))
    }
}

macro_rules! handles {
    ($($n:ident: $t:ident),* $(,)?) => {
        impl<'a> Words<'a> {$(
            #[doc(hidden)]
            pub fn $n(self, i: usize) -> crate::$t<'a> {
                crate::$t::__new(self.word(i))
            }
        )*}
    };
}

handles! {
    exit_info: ExitInfo, init_task: InitTask, exit_task: ExitTask, release: Release, cgroup_init: CgroupInit, cgroup: Cgroup,
}

/// The name of an operation's method without the underscore that keeps it apart from a word of Rust's.
#[doc(hidden)]
pub const fn op_name(method: &'static str) -> &'static str {
    match method.as_bytes() {
        [.., b'_'] => method.split_at(method.len() - 1).0,
        _ => method,
    }
}

/// Is it the form of schedulers that know CPUs by their cids?
#[doc(hidden)]
pub const fn is_cid(form: &str) -> bool {
    form.len() == "CidOps".len()
}

/// The description of a scheduler.
#[doc(hidden)]
#[macro_export]
macro_rules! __scheduler {
    ($Form:ident $table:ident $S:ident, $name:literal, [$flags:expr], [$timeout_ms:expr], $($op:ident)*) => {
        /// The scheduler, for running it natively.
        pub static POLICY: $crate::native::PolicyDef = $crate::native::PolicyDef {
            name: $name,
            flags: $flags.0,
            timeout_ms: $timeout_ms,
            is_cid: $crate::native::is_cid(stringify!($Form)),
            ops: &[$($crate::native::OpDef {
                name: $crate::native::op_name(stringify!($op)),
                call: |words| -> i64 { $crate::__operation_in_form!($Form, $op, $S, words) },
            }),*],
            state: __STATE,
            enter: $crate::native::library::enter,
        };
    };
}
