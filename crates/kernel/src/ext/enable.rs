//! Enabling a scheduler, and the threads that enable and disable (E-193 to E-199).

use std::cmp::Reverse;
use std::rc::Rc;

use scxr_trace::{EventKind, ExitKind};

use super::bypass::bypass;
use super::call;
use super::cid::Cids;
use super::entity::TaskState;
use super::exit::{begin_disable, error, finish_disable, scx_disable, scx_exit};
use super::flags::{self, EFLAG_INITIALIZED, consts, dsq_id, errno, exit_code};
use super::ops::{Op, OpsAttrs, SchedExtOps};
use super::sched::{Sched, SchedId};
use super::state::{EnableState, Refusal};
use super::sub_disable::sub_disable;
use super::sub_enable::sub_enable;
use super::task::{
    BROKEN, cancel_fork, exit_task, find_by_tid, fork, fork_write_lock, fork_write_unlock, init_task, init_task_failed,
    post_fork, pre_fork, set_state,
};
use super::{cgroup, idle, watchdog};
use crate::cgroup::CgroupId;
use crate::class::{self, ClassId, deq, dl};
use crate::executor::Kernel;
use crate::ids::{CpuId, PerCpu, TaskId};
use crate::lock::LockId;
use crate::state::State;
use crate::task::KthreadNext;

/// What the threads are to do.
#[derive(Default)]
pub(crate) struct Work {
    enable_thread: Option<TaskId>,
    helper: Option<TaskId>,
    enable: Option<Rc<dyn SchedExtOps>>,
    /// The helpers are to disable the schedulers whose exit was claimed.
    pub(crate) disable: bool,
    /// Those that are bypassed, and not disabled yet.
    disabling: Vec<SchedId>,
    /// What sub-schedulers have a helper of their own for: the root's may wait for them. There from the first one on.
    sub_helper: Option<TaskId>,
    /// Somebody enables or disables [scx_enable_mutex].
    mutex: bool,
    /// Who waits for the end of all this, and of whom; `None`: of enabling.
    waiter: Option<(TaskId, Option<SchedId>)>,
}

/// Makes the class's kernel threads, at boot.
pub(crate) fn boot(s: &mut State) {
    let enable = crate::boot::add_fifo_kthread(s, "scx_enable_help", enable_thread);
    let helper = crate::boot::add_fifo_kthread(s, "sched_ext_helpe", helper_thread);
    s.ext.work.enable_thread = Some(enable);
    s.ext.work.helper = Some(helper);
}

/// Is someone waiting for a scheduler to be enabled or disabled?
pub(crate) fn in_progress(k: &Kernel) -> bool {
    k.ext.work.waiter.is_some()
}

fn wait_or_go_on(k: &Kernel) -> KthreadNext {
    // Nothing can come between this and the caller's falling asleep.
    match in_progress(k) {
        true => KthreadNext::Block,
        false => KthreadNext::Again,
    }
}

/// Asks the enable thread to enable `ops`; `waiter` is woken when that is done (E-193) [scx_enable].
pub(crate) fn request(k: &mut Kernel, ops: Rc<dyn SchedExtOps>, waiter: TaskId) -> KthreadNext {
    k.ext.work.waiter = Some((waiter, None));
    k.ext.work.enable = Some(ops);
    if let Some(thread) = k.ext.work.enable_thread {
        k.wake_up_process(thread);
    }
    wait_or_go_on(k)
}

/// Asks the helper thread to disable the root scheduler, or the sub-scheduler of a cgroup; `waiter` is woken when that is done (E-180)
/// [bpf_scx_unreg].
pub(crate) fn unregister(k: &mut Kernel, waiter: TaskId, cgroup: Option<CgroupId>) -> KthreadNext {
    let sched = match cgroup {
        Some(cgroup) => k.ext.sub_of(cgroup.0.into()),
        None => k.ext.root_id(),
    };
    let Some(sched) = sched else {
        return KthreadNext::Again;
    };
    k.ext.work.waiter = Some((waiter, Some(sched)));
    scx_disable(k, sched, ExitKind::Unreg);
    wait_or_go_on(k)
}

/// Wakes the helper threads.
pub(crate) fn wake_helper(k: &mut Kernel) {
    for helper in [k.ext.work.helper, k.ext.work.sub_helper].into_iter().flatten() {
        k.wake_up_process(helper);
    }
}

/// Wakes who waits for the end of enabling, or of a scheduler.
pub(crate) fn finish_waiter(k: &mut Kernel, of: Option<SchedId>) {
    if let Some((waiter, _)) = k.ext.work.waiter.take_if(|(_, awaited)| *awaited == of) {
        k.wake_up_process(waiter);
    }
}

/// No CPU is going or coming any more: a scheduler may be enabled.
pub(crate) fn hotplug_done(k: &mut Kernel) {
    if let Some(thread) = k.ext.work.enable_thread.filter(|_| k.ext.work.enable.is_some()) {
        k.wake_up_process(thread);
    }
}

fn enable_thread(k: &mut Kernel, _me: TaskId) -> KthreadNext {
    if k.hotplug.writer || k.ext.work.mutex {
        return KthreadNext::Block; // woken by `hotplug_done`, `mutex_unlock`
    }
    let Some(ops) = k.ext.work.enable.take() else {
        return KthreadNext::Block;
    };
    k.ext.work.mutex = true;
    let sub_cgroup_id = ops.attrs().sub_cgroup_id;
    let result = enable(k, ops);
    k.ext.work.mutex = false;
    match result {
        Ok(()) => finish_waiter(k, None),
        Err(Refused::Early(err, why)) => {
            k.ext.enable_refusals.push(Refusal { sub_cgroup_id, errno: err, why: why.clone() });
            k.ext.enable_error = Some((err, why));
            finish_waiter(k, None);
        }
        Err(Refused::Late(sched, err)) => {
            let what = if k.ext.scheds[sched].parent.is_some() { "sub" } else { "root" };
            error(k, sched, format!("scx_{what}_enable() failed ({err})"));
            if let Some((_, awaited)) = &mut k.ext.work.waiter {
                *awaited = Some(sched);
            }
        }
    }
    mutex_unlocked(k);
    KthreadNext::Again
}

/// E-193 [scx_enable]
fn enable(k: &mut Kernel, ops: Rc<dyn SchedExtOps>) -> Result<()> {
    k.ext.enable_error = None;
    let attrs = ops.attrs();
    check_attrs(&attrs)?;
    match attrs.sub_cgroup_id {
        0 | 1 => root_enable(k, ops, attrs),
        _ => {
            add_sub_helper(k);
            sub_enable(k, ops, attrs)
        }
    }
}

/// Whoever waits for the mutex may have it now.
fn mutex_unlocked(k: &mut Kernel) {
    if let Some(thread) = k.ext.work.enable_thread.filter(|_| k.ext.work.enable.is_some()) {
        k.wake_up_process(thread);
    }
    if k.ext.work.disable || !k.ext.work.disabling.is_empty() {
        wake_helper(k);
    }
}

/// Sub-schedulers have a thread that disables them, made with the first of them.
pub(crate) fn add_sub_helper(k: &mut Kernel) {
    if k.ext.work.sub_helper.is_none() {
        pre_fork(k);
        let helper = crate::boot::add_fifo_kthread(k, "sched_ext_subs", sub_helper_thread);
        // A kernel thread that no scheduler can refuse: its failure would be the enabling's.
        match fork(k, helper) {
            Ok(()) => post_fork(k, helper),
            Err(_) => cancel_fork(k, helper),
        }
        k.ext.work.sub_helper = Some(helper);
    }
}

/// The root's helper: it carries claims out as far as they have to be at once, and disables the root.
fn helper_thread(k: &mut Kernel, _me: TaskId) -> KthreadNext {
    if std::mem::take(&mut k.ext.work.disable) {
        let begun = begin_disable(k);
        k.ext.work.disabling.extend(begun);
        if let Some(helper) = k.ext.work.sub_helper {
            k.wake_up_process(helper);
        }
    }
    let root = |k: &Kernel| {
        let is_ready = |&s: &SchedId| k.ext.scheds[s].parent.is_none() && !k.ext.is_parent(s);
        k.ext.work.disabling.iter().position(is_ready)
    };
    if !k.ext.work.mutex
        && let Some(at) = root(k)
    {
        disable_with_mutex(k, at, finish_disable);
    }
    match k.ext.work.disable || root(k).is_some() && !k.ext.work.mutex {
        true => KthreadNext::Again,
        false => KthreadNext::Block,
    }
}

/// The sub-schedulers' helper: it disables them, those below first.
fn sub_helper_thread(k: &mut Kernel, _me: TaskId) -> KthreadNext {
    let sub = |k: &Kernel| {
        let subs = k.ext.work.disabling.iter().enumerate().filter(|(_, s)| k.ext.scheds[**s].parent.is_some());
        let ready = subs.filter(|(_, s)| !k.ext.is_parent(**s));
        ready.min_by_key(|(_, s)| Reverse(k.ext.scheds[**s].level)).map(|(at, _)| at)
    };
    if !k.ext.work.mutex
        && let Some(at) = sub(k)
    {
        disable_with_mutex(k, at, sub_disable);
    }
    match sub(k).is_some() && !k.ext.work.mutex {
        true => KthreadNext::Again,
        false => KthreadNext::Block,
    }
}

fn disable_with_mutex(k: &mut Kernel, at: usize, disable: fn(&mut Kernel, SchedId)) {
    k.ext.work.mutex = true;
    let sched = k.ext.work.disabling.remove(at);
    disable(k, sched);
    k.ext.work.mutex = false;
    finish_waiter(k, Some(sched));
    mutex_unlocked(k);
}

/// Why a scheduler is not enabled.
pub(super) enum Refused {
    /// Told to the caller: errno and text.
    Early(i32, String),
    /// After it was published: told to `ops.exit` (E-199).
    Late(SchedId, i32),
}

pub(super) type Result<T> = std::result::Result<T, Refused>;

/// Member validation at load (E-23) [bpf_scx_init_member].
fn check_attrs(a: &OpsAttrs) -> Result<()> {
    let refuse = |err, why: String| Err(Refused::Early(err, why));
    if a.name.is_empty() || a.name.len() >= consts::OPS_NAME_LEN {
        return refuse(-errno::EINVAL, "the scheduler has no name, or one of more than 127 bytes".into());
    }
    if a.flags & !flags::ops::ALL != 0 {
        let unknown = a.flags & !flags::ops::ALL;
        return refuse(-errno::EINVAL, format!("unknown flags 0x{unknown:x}"));
    }
    if a.timeout_ms > consts::WATCHDOG_MAX_TIMEOUT_MS {
        let ms = a.timeout_ms;
        return refuse(-errno::E2BIG, format!("timeout_ms is {ms}, more than 30000"));
    }
    if a.dispatch_max_batch > i32::MAX as u32 {
        return refuse(-errno::E2BIG, "dispatch_max_batch is too large".into());
    }
    Ok(())
}

/// E-34 [ops_sanitize_err]
pub(crate) fn sanitize_errno(k: &mut Kernel, sched: SchedId, op: Op, err: i32) -> i32 {
    if (-errno::MAX_ERRNO..0).contains(&err) {
        return err;
    }
    let msg = format!("ops.{}() returned an invalid errno {err}", op.name());
    error(k, sched, msg);
    BROKEN
}

/// E-194 to E-198 [scx_root_enable_workfn]
fn root_enable(k: &mut Kernel, ops: Rc<dyn SchedExtOps>, attrs: OpsAttrs) -> Result<()> {
    if k.ext.state != EnableState::Disabled {
        let why = "another scheduler is enabled".into();
        return Err(Refused::Early(-errno::EBUSY, why));
    }
    k.ext.state = EnableState::Enabling;
    k.ext.nr_rejected = 0;
    k.ext.exit_info = None;
    k.ext.cids = Cids::new(&k.topology, &k.online);
    let sched = alloc_sched(k, ops, attrs);
    publish(k, sched);
    k.hotplug.readers += 1; // this thread does not begin while a CPU goes or comes
    let result = init(k, sched);
    k.hotplug.readers -= 1;
    result?;
    validate_ops(k, sched)?;
    attach_servers(k).map_err(|err| Refused::Late(sched, err))?;
    bypass(k, sched, true);
    let s = &mut k.ext.scheds[sched];
    s.active = s.attrs.ops;
    fork_write_lock(k);
    k.ext.init_task_armed = true;
    let by_tid = k.ext.scheds[sched].flag(flags::ops::TID_TO_TASK);
    find_by_tid(k, by_tid);
    cgroup::cgroup_lock(k);
    let result = cgroup::init_all(k, sched).map_err(|err| Refused::Late(sched, err));
    let result = result.and_then(|()| init_all_tasks(k, sched));
    cgroup::cgroup_unlock(k);
    fork_write_unlock(k);
    result?;
    k.ext.switching_all = !k.ext.scheds[sched].flag(flags::ops::SWITCH_PARTIAL);
    k.ext.enabled = true;
    let name = k.ext.scheds[sched].attrs.name.clone();
    k.emit(EventKind::Enabled { name });
    fork_write_lock(k);
    for p in k.all_tasks() {
        switch_task(k, p);
    }
    fork_write_unlock(k);
    bypass(k, sched, false);
    if k.ext.state != EnableState::Enabling {
        return Err(Refused::Late(sched, -errno::EBUSY)); // an exit was claimed meanwhile
    }
    k.ext.state = EnableState::Enabled;
    k.ext.switched_all = k.ext.switching_all;
    if k.ext.switched_all && k.config.servers.exchanged {
        for_each_rq(k, |k, cpu| dl::detach_server(k, cpu, dl::Which::Fair));
    }
    k.frequencies_changed();
    k.ext.enable_seq += 1;
    Ok(())
}

/// Does something under the lock of each run queue, offline ones too.
pub(super) fn for_each_rq(k: &mut Kernel, mut f: impl FnMut(&mut Kernel, CpuId)) {
    for cpu in (0..k.nr_cpus() as u32).map(CpuId) {
        k.lock(LockId::Rq(cpu));
        k.update_rq_clock(cpu);
        f(k, cpu);
        super::rq_clock_invalidate(k, cpu);
        k.unlock(LockId::Rq(cpu));
    }
}

/// The class's deadline servers get their bandwidth, or the scheduler is not enabled (E-153).
fn attach_servers(k: &mut Kernel) -> std::result::Result<(), i32> {
    if !k.config.servers.exchanged {
        return Ok(());
    }
    let mut all = true;
    for_each_rq(k, |k, cpu| all = all && dl::attach_server(k, cpu, dl::Which::Ext));
    if all { Ok(()) } else { Err(-errno::EBUSY) }
}

/// E-195 [scx_alloc_and_add_sched]
pub(super) fn alloc_sched(k: &mut Kernel, ops: Rc<dyn SchedExtOps>, attrs: OpsAttrs) -> SchedId {
    let (nr_cpus, nr_nodes) = (k.nr_cpus(), k.topology.nodes.len());
    let bypass_dsqs = PerCpu::new(nr_cpus, |cpu| k.alloc_dsq(dsq_id::BYPASS, Some(cpu)));
    let global_dsqs = (0..nr_nodes).map(|_| k.alloc_dsq(dsq_id::GLOBAL, None)).collect();
    k.ext.scheds.add(Sched::new(ops, attrs, bypass_dsqs, global_dsqs))
}

/// `sched` is the root from now on (E-196).
fn publish(k: &mut Kernel, sched: SchedId) {
    let n = k.nr_cpus();
    for cpu in (0..n as u32).map(CpuId) {
        let rq = &mut k.rqs[cpu].scx;
        rq.cpuperf_target = consts::CPUPERF_ONE;
        rq.kick_snapshots = vec![0; n];
    }
    k.ext.root = Some(sched);
    let attrs = &k.ext.scheds[sched].attrs;
    let (has_update_idle, flags) = (attrs.ops.has(Op::update_idle), attrs.flags);
    watchdog::start(k);
    idle::enable(k, has_update_idle, flags);
}

/// `ops.init`, and what the kernel sets up then (E-196).
pub(super) fn run_init(k: &mut Kernel, sched: SchedId) -> Result<()> {
    if k.ext.scheds[sched].attrs.ops.has(Op::init) {
        let err = call::op(k, sched, Op::init, None, None, |ops, k| ops.init(k)).unwrap_or(0);
        if err != 0 {
            let err = sanitize_errno(k, sched, Op::init, err);
            error(k, sched, format!("ops.init() failed ({err})"));
            return Err(Refused::Late(sched, err));
        }
        k.ext.scheds[sched].exit.flags |= EFLAG_INITIALIZED;
    }
    let ops = k.ext.scheds[sched].ops.clone();
    match ops.set_up(k) {
        0 => Ok(()),
        err => Err(Refused::Late(sched, err)),
    }
}

/// What comes before the root's operations may be called (E-196).
fn init(k: &mut Kernel, sched: SchedId) -> Result<()> {
    run_init(k, sched)?;
    let s = &mut k.ext.scheds[sched];
    for op in [Op::cpu_online, Op::cpu_offline].into_iter().filter(|&op| s.attrs.ops.has(op)) {
        s.active = s.active.with(op); // E-27
    }
    check_hotplug_seq(k, sched)?;
    idle::update_selcpu_topology(k, sched);
    Ok(())
}

/// E-159 [check_hotplug_seq]
fn check_hotplug_seq(k: &mut Kernel, sched: SchedId) -> Result<()> {
    let expected = k.ext.scheds[sched].attrs.hotplug_seq;
    let actual = k.ext.hotplug_seq;
    if expected == 0 || expected == actual {
        return Ok(());
    }
    let code = exit_code::ACT_RESTART | exit_code::RSN_HOTPLUG;
    let msg = format!("expected hotplug seq {expected} did not match actual {actual}");
    scx_exit(k, sched, ExitKind::UnregKern, code, msg);
    Err(Refused::Late(sched, -errno::EBUSY))
}

/// E-26 [validate_ops]
pub(super) fn validate_ops(k: &mut Kernel, sched: SchedId) -> Result<()> {
    let s = &k.ext.scheds[sched];
    let has = |op| s.attrs.ops.has(op);
    let why = if s.flag(flags::ops::ENQ_LAST) && !has(Op::enqueue) {
        "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented"
    } else if s.parent.is_some() && s.flag(flags::ops::TID_TO_TASK) && k.ext.tids.is_none() {
        "SCX_OPS_TID_TO_TASK requires root scheduler to enable it"
    } else if s.flag(flags::ops::BUILTIN_IDLE_PER_NODE)
        && has(Op::update_idle)
        && !s.flag(flags::ops::KEEP_BUILTIN_IDLE)
    {
        "SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled"
    } else if s.parent.is_some() && !s.attrs.cid {
        "sub-sched requires cid-form struct_ops"
    } else if !s.attrs.cid && (has(Op::sub_attach) || has(Op::sub_detach)) {
        "sub_attach/sub_detach requires cid-form struct_ops"
    } else {
        return Ok(());
    };
    error(k, sched, why);
    Err(Refused::Late(sched, -errno::EINVAL))
}

/// `init_task` for every task (E-197). Fork lock held for writing.
fn init_all_tasks(k: &mut Kernel, sched: SchedId) -> Result<()> {
    for p in k.all_tasks() {
        if !k.get_task(p) {
            continue;
        }
        let result = match k.task(p).scx.state {
            TaskState::None => init_one_task(k, sched, p),
            _ => Ok(()),
        };
        k.put_task(p);
        result?;
    }
    Ok(())
}

/// `p` may die meanwhile; the scheduler, which has been told of it, is then told that it is gone.
fn init_one_task(k: &mut Kernel, sched: SchedId, p: TaskId) -> Result<()> {
    set_state(k, p, TaskState::InitBegin);
    let result = init_task(k, sched, p, false);
    let died = k.task(p).scx.state == TaskState::Dead;
    match result {
        Ok(()) if died => exit_task(k, sched, p, true),
        Ok(()) => {
            set_state(k, p, TaskState::Init);
            k.task_mut(p).scx.sched = Some(sched);
            set_state(k, p, TaskState::Ready);
        }
        Err(err) => {
            if !died {
                set_state(k, p, TaskState::None);
            }
            let msg = init_task_failed(k, p, err);
            error(k, sched, msg);
            return Err(Refused::Late(sched, err));
        }
    }
    Ok(())
}

/// Switches a task to the class that its policy has now (E-198).
fn switch_task(k: &mut Kernel, p: TaskId) {
    if k.find_task(p).is_none() {
        return;
    }
    k.lock(LockId::Pi(p));
    let cpu = k.lock_task_rq(p);
    if k.task(p).scx.state == TaskState::Ready {
        let slice = k.ext.scheds[k.task_sched(p)].slice_dfl;
        k.task_mut(p).scx.slice = slice;
        let new = k.class_after(p);
        let old = k.task(p).class;
        if new != old {
            debug_assert_eq!(new, ClassId::Ext);
            let c = k.sched_change_begin(p, deq::SAVE | deq::MOVE | deq::CLASS);
            k.task_mut(p).class = new;
            k.sched_change_end(c);
        }
    }
    class::run_balance_callbacks(k, cpu);
    k.unlock(LockId::Rq(cpu));
    k.unlock(LockId::Pi(p));
}
