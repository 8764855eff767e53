//! A policy compiled natively as the class's scheduler: the twin of its BPF object.

use std::cell::{Cell, RefCell};

use scxr_abi::Form;
use scxr_bpf::vm::format::format;
use scxr_kernel::Kernel;
use scxr_kernel::cgroup::{Bandwidth, Cgroup, CgroupId};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::exit::exit_kind_number;
use scxr_kernel::ext::flags::enq;
use scxr_kernel::ext::kfunc;
use scxr_kernel::ext::ops::{
    DumpCtx, ExitInfo, ExitTaskArgs, InitTaskArgs, Op, OpSet, OpsAttrs, PreemptReason, SchedExtOps, SubArgs,
};
use scxr_kernel::ext::{DsqIter, Events};
use scxr_kernel::ids::{CpuId, TaskId, WaitQueueId};
use scxr_kernel::task::TaskState;
use scxr_policy::native::{ExitDetails, Host, Instance, MaskSource, MaskWords, PolicyDef, TaskField, Walk};

use crate::addr::{Kind, Place, addr};
use crate::clock::shown;
use crate::host::Told;
use crate::iters::Iters;
use crate::kfuncs::walk;
use crate::scheduler::{EFAULT, Random};
use crate::table::op_name;
use crate::timers;
use crate::variables;
use crate::walks::Walks;

/// In the handle of a walk: it is over tasks.
const TASKS: u64 = 1 << 63;

/// A native policy, for one run on one simulated machine.
pub struct NativeScheduler {
    instance: Instance,
    attrs: OpsAttrs,
    /// Index in the policy of each operation, by [`Op`].
    index: Vec<Option<usize>>,
    random: RefCell<Random>,
    iters: Iters,
    walks: Walks,
    printed: RefCell<Vec<String>>,
    /// Where the user-space half waits for messages.
    pub(crate) ring_waiters: Cell<Option<WaitQueueId>>,
}

impl NativeScheduler {
    /// A fresh instance of `policy` for a machine of `nr_cpus` CPUs, with the random numbers of seed 1.
    pub fn new(policy: &'static PolicyDef, nr_cpus: usize) -> NativeScheduler {
        NativeScheduler::with_seed(policy, nr_cpus, 1)
    }

    /// The same with other random numbers: those that a BPF object gets with that seed.
    pub fn with_seed(policy: &'static PolicyDef, nr_cpus: usize, seed: u64) -> NativeScheduler {
        let form = if policy.is_cid { Form::Cid } else { Form::Cpu };
        let index: Vec<_> = Op::ALL.iter().map(|op| policy.op(op_name(form, *op))).collect();
        let has = |ops: OpSet, op: &Op| if index[*op as usize].is_some() { ops.with(*op) } else { ops };
        let ops = Op::ALL.iter().fold(OpSet::default(), has);
        let attrs = OpsAttrs {
            name: policy.name.into(),
            flags: policy.flags,
            timeout_ms: policy.timeout_ms,
            cid: policy.is_cid,
            ops,
            ..OpsAttrs::default()
        };
        NativeScheduler {
            instance: Instance::new(policy, nr_cpus),
            attrs,
            index,
            random: RefCell::new(Random::new(seed)),
            iters: Iters::default(),
            walks: Walks::default(),
            printed: RefCell::default(),
            ring_waiters: Cell::default(),
        }
    }

    /// A CPU as operations are told of it: by its number, or its cid.
    fn cpu(&self, k: &Kernel, cpu: CpuId) -> u64 {
        match self.attrs.cid {
            true => kfunc::cpu_arg(k, cpu) as u32,
            false => cpu.0,
        }
        .into()
    }

    /// What the policy printed with `scx_print!` so far.
    pub fn printed(&self) -> Vec<String> {
        self.printed.borrow().clone()
    }

    /// The policy's state.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Global variables and per-CPU maps.
    pub fn globals(&self) -> Vec<(String, crate::Value)> {
        crate::globals::read_native(&self.instance)
    }

    /// r0; a native policy has no faults.
    fn call(&self, k: &mut Kernel, op: Op, args: &[u64]) -> Option<u64> {
        self.call_with(k, op, args, Told::Nothing)
    }

    fn call_with(&self, k: &mut Kernel, op: Op, args: &[u64], told: Told<'_>) -> Option<u64> {
        let Some(index) = self.index[op as usize] else { return Some(0) };
        Some(self.instance.call(index, args, &NativeHost { k: RefCell::new(k), s: self, told }) as u64)
    }
}

/// One invocation. The kernel is borrowed for the length of a host call; another CPU that runs meanwhile has a host of its own.
struct NativeHost<'a> {
    k: RefCell<&'a mut Kernel>,
    s: &'a NativeScheduler,
    told: Told<'a>,
}

impl NativeHost<'_> {
    fn with<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        f(&mut self.k.borrow_mut())
    }

    /// The cgroup that a handle of a kind is about.
    fn cgroup(&self, handle: u64, kind: Kind) -> Option<Cgroup> {
        let place = Place::at(handle).filter(|p| p.kind == kind)?;
        self.k.borrow().cgroups.get(CgroupId(place.id)).cloned()
    }

    /// The iterator with that handle.
    fn iter(&self, handle: u64) -> Option<DsqIter> {
        self.s.iters.get(handle as u32)
    }
}

/// Formats as the kernel does. A native policy has no strings in guest memory; its formats take numbers.
fn text(fmt: &str, args: &[u64]) -> String {
    let text = format(fmt.as_bytes(), args, |_, _| None).unwrap_or_else(|_| fmt.as_bytes().to_vec());
    String::from_utf8_lossy(&text).into_owned()
}

fn mask(words: MaskWords) -> CpuMask {
    let mut mask = CpuMask::EMPTY;
    mask.words_mut().iter_mut().zip(words.0).for_each(|(to, from)| *to = from);
    mask
}

fn words(mask: &CpuMask) -> MaskWords {
    let mut words = MaskWords::default();
    words.0.iter_mut().zip(mask.words()).for_each(|(to, from)| *to = *from);
    words
}

fn task_id(k: &Kernel, handle: u64) -> Option<TaskId> {
    let place = crate::addr::Place::at(handle).filter(|p| p.kind == Kind::Task)?;
    k.find_task(TaskId(place.id)).map(|t| t.id)
}

impl Host for NativeHost<'_> {
    fn cpu(&self) -> i32 {
        self.k.borrow().this_cpu().0 as i32
    }

    fn now(&self) -> u64 {
        shown(self.with(kfunc::scx_bpf_now))
    }

    fn task_field(&self, task: u64, field: TaskField) -> u64 {
        let k = self.k.borrow();
        let Some(p) = task_id(&k, task) else { return 0 };
        let t = k.task(p);
        match field {
            TaskField::Pid => t.pid.into(),
            TaskField::NrCpusAllowed => t.nr_cpus_allowed as u64,
            TaskField::Weight => t.scx.weight.into(),
            TaskField::Slice => t.scx.slice,
            TaskField::DsqVtime => t.scx.dsq_vtime,
            TaskField::ScxFlags => t.scx.flags.into(),
            TaskField::Tgid => t.tgid.into(),
            TaskField::Flags => t.flags.into(),
            TaskField::StaticPrio => (120 + i64::from(t.nice)) as u64,
            TaskField::Nvcsw => t.nvcsw,
            TaskField::Nivcsw => t.nivcsw,
            TaskField::SumExecRuntime | TaskField::Utime => t.sum_exec_runtime,
            TaskField::Stime => 0,
            TaskField::Prio => t.prio as u64,
            TaskField::Policy => t.policy.number().into(),
            TaskField::State => match t.state {
                TaskState::Running => 0,
                TaskState::Sleeping => 1,
                TaskState::Dead => 0x80,
                TaskState::New => 0x800,
            },
            TaskField::MigrationDisabled => t.migration_disabled.into(),
            TaskField::PreferredNode => u64::MAX,
            TaskField::Mm => u64::from(!t.is_kthread()),
            TaskField::Parent => {
                let alive = |q: &TaskId| k.find_task(*q).is_some_and(|t| t.state != TaskState::Dead);
                t.parent.filter(alive).or_else(|| k.task_by_pid(1)).map_or(0, self::task)
            }
            TaskField::Leader => self::task(k.task_by_pid(t.tgid).unwrap_or(p)),
            TaskField::Tid => t.scx.tid,
        }
    }

    fn task_set_dsq_vtime(&self, task: u64, vtime: u64) -> bool {
        self.with(|k| task_id(k, task).is_some_and(|p| kfunc::scx_bpf_task_set_dsq_vtime(k, p, vtime)))
    }

    fn task_set_slice(&self, task: u64, slice: u64) -> bool {
        self.with(|k| task_id(k, task).is_some_and(|p| kfunc::scx_bpf_task_set_slice(k, p, slice)))
    }

    fn select_cpu_dfl(&self, task: u64, prev_cpu: i32, wake_flags: u64) -> (i32, bool) {
        self.with(|k| match task_id(k, task) {
            Some(p) => kfunc::scx_bpf_select_cpu_dfl(k, p, prev_cpu, wake_flags),
            None => (prev_cpu, false),
        })
    }

    fn create_dsq(&self, dsq_id: u64, node: i32) -> i32 {
        self.with(|k| kfunc::scx_bpf_create_dsq(k, dsq_id, node))
    }

    fn dsq_nr_queued(&self, dsq_id: u64) -> i32 {
        self.with(|k| kfunc::scx_bpf_dsq_nr_queued(k, dsq_id))
    }

    fn dsq_peek(&self, dsq_id: u64) -> Option<u64> {
        self.with(|k| kfunc::scx_bpf_dsq_peek(k, dsq_id)).map(task)
    }

    fn dsq_insert(&self, task: u64, dsq_id: u64, slice: u64, enq_flags: u64) -> bool {
        self.with(|k| task_id(k, task).is_some_and(|p| kfunc::scx_bpf_dsq_insert(k, p, dsq_id, slice, enq_flags)))
    }

    fn dsq_insert_vtime(&self, task: u64, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool {
        self.with(|k| {
            task_id(k, task).is_some_and(|p| kfunc::scx_bpf_dsq_insert_vtime(k, p, dsq_id, slice, vtime, enq_flags))
        })
    }

    fn dsq_move_to_local(&self, dsq_id: u64) -> bool {
        self.with(|k| kfunc::scx_bpf_dsq_move_to_local(k, dsq_id, 0))
    }

    fn kick_cpu(&self, cpu: i32, flags: u64) {
        self.with(|k| kfunc::scx_bpf_kick_cpu(k, cpu, flags));
    }

    fn error(&self, fmt: &str, args: &[u64]) {
        self.with(|k| kfunc::scx_bpf_error(k, &text(fmt, args)));
    }

    fn exit(&self, code: i64, fmt: &str, args: &[u64]) {
        self.with(|k| kfunc::scx_bpf_exit(k, code, &text(fmt, args)));
    }

    fn print(&self, fmt: &str, args: &[u64]) {
        self.s.printed.borrow_mut().push(text(fmt, args));
    }

    fn ringbuf_ready(&self, _ring: usize) {
        if let Some(queue) = self.s.ring_waiters.get() {
            self.with(|k| k.wake_soon(queue));
        }
    }

    fn ktime(&self) -> u64 {
        shown(self.k.borrow().now())
    }

    fn dump(&self, fmt: &str, args: &[u64]) {
        self.with(|k| kfunc::scx_bpf_dump(k, &text(fmt, args)));
    }

    fn cgroup_init_weight(&self, args: u64) -> u32 {
        self.cgroup(args, Kind::CgroupInitArgs).map_or(0, |g| g.weight)
    }

    fn cgroup_id(&self, cgroup: u64) -> u64 {
        Place::at(cgroup).filter(|p| p.kind == Kind::Cgroup).map_or(0, |p| p.id.into())
    }

    fn cgroup_level(&self, cgroup: u64) -> i32 {
        self.cgroup(cgroup, Kind::Cgroup).map_or(0, |g| g.level as i32)
    }

    fn task_cgroup(&self, task: u64) -> Option<u64> {
        self.with(|k| task_id(k, task).map(|p| kfunc::scx_bpf_task_cgroup(k, p))).map(cgroup)
    }

    fn cgroup_from_id(&self, id: u64) -> Option<u64> {
        let id = CgroupId(u32::try_from(id).ok()?);
        self.k.borrow().cgroups.get(id).filter(|g| !g.removed).map(|_| cgroup(id))
    }

    fn cgroup_ancestor(&self, handle: u64, level: i32) -> Option<u64> {
        let place = Place::at(handle).filter(|p| p.kind == Kind::Cgroup)?;
        self.k.borrow().cgroups.ancestor(CgroupId(place.id), level).map(cgroup)
    }

    /// One that is removed can still be looked at, so that references need no count.
    fn cgroup_acquire(&self, handle: u64) -> Option<u64> {
        self.cgroup(handle, Kind::Cgroup).map(|_| handle)
    }

    fn cgroup_release(&self, _handle: u64) {}

    fn release_task(&self, _args: u64) -> Option<u64> {
        match self.told {
            Told::Release(_, p) => Some(task(p)),
            _ => None,
        }
    }

    fn nr_cpu_ids(&self) -> u32 {
        self.k.borrow().nr_cpus() as u32
    }

    fn task_comm(&self, task: u64) -> [u8; 16] {
        let k = self.k.borrow();
        let mut comm = [0; 16];
        if let Some(p) = task_id(&k, task) {
            let name = k.task(p).comm.as_bytes();
            comm[..name.len().min(15)].copy_from_slice(&name[..name.len().min(15)]);
        }
        comm
    }

    fn mask(&self, source: MaskSource) -> MaskWords {
        let k = self.k.borrow();
        let found = match source {
            MaskSource::Task(task) => task_id(&k, task).map(|p| k.task(p).cpus),
            MaskSource::Idle => Some(kfunc::idle_cpumask_view(&k, None, false)),
            MaskSource::IdleSmt => Some(kfunc::idle_cpumask_view(&k, None, true)),
            MaskSource::IdleNode(node) => Some(kfunc::idle_cpumask_view(&k, Some(node as u32 & 0xffff), false)),
            MaskSource::IdleSmtNode(node) => Some(kfunc::idle_cpumask_view(&k, Some(node as u32 & 0xffff), true)),
            MaskSource::Online => Some(k.online),
            MaskSource::Possible => Some(CpuMask::first_n(k.nr_cpus())),
            MaskSource::Owned(_) => None,
        };
        found.map_or_else(MaskWords::default, |m| words(&m))
    }

    fn cmask(&self, task: u64) -> (MaskWords, u32) {
        let k = self.k.borrow();
        let mut cids = CpuMask::EMPTY;
        if let Some(p) = task_id(&k, task) {
            let all = k.task(p).cpus;
            for cid in all.iter().filter_map(|cpu| u32::try_from(kfunc::cpu_arg(&k, cpu)).ok()) {
                cids.set(CpuId(cid));
            }
        }
        (words(&cids), k.nr_cpus() as u32)
    }

    fn mask_borrowed(&self, source: MaskSource) {
        match source {
            MaskSource::Idle => _ = self.with(kfunc::scx_bpf_get_idle_cpumask),
            MaskSource::IdleNode(node) => _ = self.with(|k| kfunc::scx_bpf_get_idle_cpumask_node(k, node)),
            MaskSource::IdleSmtNode(node) => _ = self.with(|k| kfunc::scx_bpf_get_idle_smtmask_node(k, node)),
            MaskSource::IdleSmt => _ = self.with(kfunc::scx_bpf_get_idle_smtmask),
            _ => {}
        }
    }

    fn pick_idle_cpu(&self, allowed: MaskWords, flags: u64) -> i32 {
        self.with(|k| kfunc::scx_bpf_pick_idle_cpu(k, &mask(allowed), flags))
    }

    fn pick_any_cpu(&self, allowed: MaskWords, flags: u64) -> i32 {
        self.with(|k| kfunc::scx_bpf_pick_any_cpu(k, &mask(allowed), flags))
    }

    fn any_distribute(&self, allowed: MaskWords) -> Option<u32> {
        self.with(|k| kfunc::cpumask_any_distribute(k, &mask(allowed))).map(|cpu| cpu.0)
    }

    fn select_cpu_and(&self, task: u64, prev_cpu: i32, wake_flags: u64, allowed: MaskWords, flags: u64) -> i32 {
        self.with(|k| match task_id(k, task) {
            Some(p) => kfunc::scx_bpf_select_cpu_and(k, p, prev_cpu, wake_flags, &mask(allowed), flags),
            None => prev_cpu,
        })
    }

    fn test_and_clear_cpu_idle(&self, cpu: i32) -> bool {
        self.with(|k| kfunc::scx_bpf_test_and_clear_cpu_idle(k, cpu))
    }

    fn nr_nodes(&self) -> u32 {
        self.k.borrow().topology.nodes.len() as u32
    }

    fn pick_idle_cpu_node(&self, allowed: MaskWords, node: i32, flags: u64) -> i32 {
        self.with(|k| kfunc::scx_bpf_pick_idle_cpu_node(k, &mask(allowed), node, flags))
    }

    fn pick_any_cpu_node(&self, allowed: MaskWords, node: i32, flags: u64) -> i32 {
        self.with(|k| kfunc::scx_bpf_pick_any_cpu_node(k, &mask(allowed), node, flags))
    }

    fn cpu_curr(&self, cpu: i32) -> Option<u64> {
        self.with(|k| kfunc::scx_bpf_cpu_curr(k, cpu)).map(task)
    }

    fn task_from_tid(&self, tid: u64) -> Option<u64> {
        self.with(|k| kfunc::scx_bpf_tid_to_task(k, tid)).map(task)
    }

    fn task_is_under(&self, task: u64, cgroup: u64) -> bool {
        let k = self.k.borrow();
        let Some(of) = Place::at(cgroup).filter(|p| p.kind == Kind::Cgroup) else { return false };
        task_id(&k, task).is_some_and(|p| k.cgroups.ways_up(k.task(p).cgroup).any(|up| up.0 == of.id))
    }

    fn task_default_cgroup(&self, task: u64) -> u64 {
        let k = self.k.borrow();
        task_id(&k, task).map_or(0, |p| cgroup(k.task(p).cgroup))
    }

    fn task_set_disallow(&self, task: u64, disallow: bool) {
        self.with(|k| {
            if let Some(p) = task_id(k, task) {
                k.task_mut(p).scx.disallow = disallow;
            }
        });
    }

    fn dsq_reenq(&self, dsq_id: u64) -> bool {
        self.with(|k| kfunc::scx_bpf_dsq_reenq(k, dsq_id, 0));
        true
    }

    fn walk_new(&self, what: Walk) -> Option<u64> {
        let k = self.k.borrow();
        let (items, tag) = match what {
            Walk::Tasks(of, flags) => (walk::tasks(&k, task_id(&k, of), flags), TASKS),
            Walk::Members(of) => (walk::members(&k, of, 0), TASKS),
            Walk::Cgroups(of, flags) => (walk::cgroups(&k, of, flags), 0),
        };
        items.ok().map(|items| tag | self.s.walks.open(items))
    }

    fn walk_next(&self, handle: u64) -> Option<u64> {
        let k = self.k.borrow();
        let of_tasks = handle & TASKS != 0;
        loop {
            let id = self.s.walks.next(handle & !TASKS)? as u32;
            if of_tasks && k.find_task(TaskId(id)).is_some() {
                return Some(task(TaskId(id)));
            }
            if !of_tasks && k.cgroups.get(CgroupId(id)).is_some_and(|g| !g.removed) {
                return Some(cgroup(CgroupId(id)));
            }
        }
    }

    fn walk_destroy(&self, handle: u64) {
        self.s.walks.close(handle & !TASKS);
    }

    fn init_task_cgroup(&self, args: u64) -> Option<u64> {
        let place = Place::at(args).filter(|p| p.kind == Kind::InitTaskArgs)?;
        Some(cgroup(CgroupId(place.id >> 1)))
    }

    fn cgroup_init_bandwidth(&self, args: u64) -> Option<[u64; 3]> {
        let limit = self.cgroup(args, Kind::CgroupInitArgs)?.bandwidth;
        Some([limit.period_us, limit.quota_us, limit.burst_us])
    }

    fn cidperf_cap(&self, cid: i32) -> Option<u32> {
        Some(self.with(|k| kfunc::scx_bpf_cidperf_cap(k, cid)))
    }

    fn cidperf_cur(&self, cid: i32) -> Option<u32> {
        Some(self.with(|k| kfunc::scx_bpf_cidperf_cur(k, cid)))
    }

    fn cidperf_set(&self, cid: i32, perf: u32) -> bool {
        self.with(|k| kfunc::scx_bpf_cidperf_set(k, cid, perf));
        true
    }

    fn cid_curr(&self, cid: i32) -> Option<u64> {
        self.with(|k| kfunc::scx_bpf_cid_curr(k, cid)).map(task)
    }

    fn cpu_node(&self, cpu: i32) -> i32 {
        self.with(|k| kfunc::scx_bpf_cpu_node(k, cpu))
    }

    fn task_cpu(&self, task: u64) -> i32 {
        self.with(|k| task_id(k, task).map_or(0, |p| kfunc::scx_bpf_task_cpu(k, p).0 as i32))
    }

    fn task_running(&self, task: u64) -> bool {
        self.with(|k| task_id(k, task).is_some_and(|p| kfunc::scx_bpf_task_running(k, p)))
    }

    fn current_task(&self) -> Option<u64> {
        let k = self.k.borrow();
        Some(task(k.rqs[k.this_cpu()].curr))
    }

    fn task_from_pid(&self, pid: i32) -> Option<u64> {
        self.with(|k| kfunc::bpf_task_from_pid(k, pid)).map(task)
    }

    fn task_acquire(&self, task: u64) -> Option<u64> {
        self.with(|k| task_id(k, task).filter(|&p| kfunc::bpf_task_acquire(k, p)).map(|_| task))
    }

    fn task_release(&self, task: u64) {
        self.with(|k| {
            if let Some(p) = task_id(k, task) {
                kfunc::bpf_task_release(k, p);
            }
        });
    }

    fn events(&self) -> Option<Vec<(&'static str, i64)>> {
        let events = self.with(kfunc::scx_bpf_events);
        Some(Events::NAMES.into_iter().zip(events.0).collect())
    }

    fn init_task_fork(&self, args: u64) -> bool {
        Place::at(args).is_some_and(|place| place.kind == Kind::InitTaskArgs && place.id & 1 != 0)
    }

    fn exit_task_cancelled(&self, args: u64) -> bool {
        Place::at(args).is_some_and(|place| place.kind == Kind::ExitTaskArgs && place.id != 0)
    }

    fn destroy_dsq(&self, dsq_id: u64) {
        self.with(|k| kfunc::scx_bpf_destroy_dsq(k, dsq_id));
    }

    fn reenqueue_local(&self) {
        self.with(kfunc::scx_bpf_reenqueue_local);
    }

    fn dispatch_nr_slots(&self) -> u32 {
        self.with(kfunc::scx_bpf_dispatch_nr_slots)
    }

    fn dispatch_cancel(&self) {
        self.with(kfunc::scx_bpf_dispatch_cancel);
    }

    fn cpuperf_cap(&self, cpu: i32) -> u32 {
        self.with(|k| kfunc::scx_bpf_cpuperf_cap(k, cpu))
    }

    fn cpuperf_cur(&self, cpu: i32) -> u32 {
        self.with(|k| kfunc::scx_bpf_cpuperf_cur(k, cpu))
    }

    fn cpuperf_set(&self, cpu: i32, perf: u32) {
        self.with(|k| kfunc::scx_bpf_cpuperf_set(k, cpu, perf));
    }

    fn random_u32(&self) -> u32 {
        self.s.random.borrow_mut().next_u32()
    }

    fn enq_head(&self) -> u64 {
        enq::HEAD
    }

    fn enq_cpu_selected(&self) -> u64 {
        // the class of the newest kernel, whose table of operations this is
        1 << 20
    }

    fn dsq_iter_new(&self, dsq_id: u64, flags: u64) -> Option<u64> {
        Some(self.with(|k| self.s.iters.open(k, dsq_id, flags)).0.into())
    }

    fn dsq_iter_next(&self, iter: u64) -> Option<u64> {
        let iter = self.iter(iter)?;
        self.with(|k| kfunc::bpf_iter_scx_dsq_next(k, iter)).map(task)
    }

    fn dsq_iter_destroy(&self, iter: u64) {
        self.with(|k| self.s.iters.close(k, iter as u32));
    }

    fn dsq_move_set_slice(&self, iter: u64, slice: u64) {
        if let Some(iter) = self.iter(iter) {
            self.with(|k| kfunc::scx_bpf_dsq_move_set_slice(k, iter, slice));
        }
    }

    fn dsq_move_set_vtime(&self, iter: u64, vtime: u64) {
        if let Some(iter) = self.iter(iter) {
            self.with(|k| kfunc::scx_bpf_dsq_move_set_vtime(k, iter, vtime));
        }
    }

    fn dsq_move(&self, iter: u64, task: u64, dsq_id: u64, enq_flags: u64, by_vtime: bool) -> bool {
        let Some(iter) = self.iter(iter) else { return false };
        let run = if by_vtime { kfunc::scx_bpf_dsq_move_vtime } else { kfunc::scx_bpf_dsq_move };
        self.with(|k| task_id(k, task).is_some_and(|p| run(k, iter, p, dsq_id, enq_flags)))
    }

    fn kconfig(&self, name: &str) -> Option<u64> {
        let hz = self.with(|k| k.config.hz);
        match scxr_abi::kconfig(scxr_abi::KernelVersion::NEWEST, hz, name)? {
            scxr_abi::KconfigValue::Int(n) => Some(n),
            scxr_abi::KconfigValue::Yes => Some(1),
            scxr_abi::KconfigValue::Str(_) => None,
        }
    }

    fn kernel_var(&self, name: &str, cpu: Option<i32>) -> Option<u64> {
        let cpu = u32::try_from(cpu?).ok()?;
        self.with(|k| variables::integer(k, name, cpu))
    }

    fn nr_cids(&self) -> Option<u32> {
        Some(self.with(kfunc::scx_bpf_nr_cids))
    }

    fn nr_online_cids(&self) -> Option<u32> {
        Some(self.with(kfunc::scx_bpf_nr_online_cids))
    }

    fn this_cid(&self) -> i32 {
        self.with(kfunc::scx_bpf_this_cid)
    }

    fn cpu_to_cid(&self, cpu: i32) -> i32 {
        self.with(|k| kfunc::scx_bpf_cpu_to_cid(k, cpu))
    }

    fn cid_to_cpu(&self, cid: i32) -> i32 {
        self.with(|k| kfunc::scx_bpf_cid_to_cpu(k, cid))
    }

    fn task_cid(&self, task: u64) -> i32 {
        self.with(|k| task_id(k, task).map_or(-22, |p| kfunc::scx_bpf_task_cid(k, p)))
    }

    fn kick_cid(&self, cid: i32, flags: u64) -> bool {
        self.with(|k| kfunc::scx_bpf_kick_cid(k, cid, flags));
        true
    }

    fn cid_topo(&self, cid: i32) -> Option<[i32; 6]> {
        let t = self.with(|k| kfunc::scx_bpf_cid_topo(k, cid));
        Some([t.core.0, t.core.1, t.llc.0, t.llc.1, t.node.0, t.node.1])
    }

    fn timer_start(&self, timer: usize, nsecs: u64, flags: u64) -> bool {
        flags & !(timers::ABS | timers::CPU_PIN) == 0
            && self.with(|k| {
                let at = timers::expiry(k, nsecs, flags);
                kfunc::bpf_timer_start(k, timer as u64, at);
                true
            })
    }

    fn timer_cancel(&self, timer: usize) -> Option<bool> {
        self.with(|k| kfunc::bpf_timer_cancel(k, timer as u64))
    }

    fn exit_info(&self, _info: u64) -> ExitDetails {
        let Told::Exit(i) = self.told else { return ExitDetails::default() };
        ExitDetails {
            kind: exit_kind_number(i.kind) as i32,
            exit_cpu: i.cpu,
            exit_code: i.code,
            reason: i.reason.into(),
            msg: i.msg.clone(),
        }
    }
}

fn cgroup(id: CgroupId) -> u64 {
    addr(Kind::Cgroup, id.0)
}

fn task(p: TaskId) -> u64 {
    addr(Kind::Task, p.0)
}

impl SchedExtOps for NativeScheduler {
    fn attrs(&self) -> OpsAttrs {
        self.attrs.clone()
    }

    operations!();

    fn set_cpumask(&self, k: &mut Kernel, p: TaskId) {
        self.call(k, Op::set_cpumask, &[task(p), task(p)]);
    }

    fn timer(&self, k: &mut Kernel, id: u64) {
        self.instance.fire(id as usize, &NativeHost { k: RefCell::new(k), s: self, told: Told::Nothing });
    }

    fn unloaded(&self, k: &mut Kernel) {
        self.instance.unload(&NativeHost { k: RefCell::new(k), s: self, told: Told::Nothing });
    }

    fn task_freed(&self, p: TaskId) {
        self.instance.task_gone(task(p));
    }
}
