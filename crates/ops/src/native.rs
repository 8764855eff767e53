//! A policy compiled natively as the class's scheduler: the twin of its BPF object.

use std::cell::RefCell;

use scxr_bpf::vm::format::format;
use scxr_kernel::Kernel;
use scxr_kernel::ext::exit::exit_kind_number;
use scxr_kernel::ext::kfunc;
use scxr_kernel::ext::ops::{ExitInfo, ExitTaskArgs, InitTaskArgs, Op, OpSet, OpsAttrs, SchedExtOps};
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_policy::native::{ExitDetails, Host, Instance, PolicyDef, TaskField};

use crate::addr::{Kind, addr};

/// A native policy, for one run on one simulated machine.
pub struct NativeScheduler {
    instance: Instance,
    attrs: OpsAttrs,
    /// Index in the policy of each operation, by [`Op`].
    index: Vec<Option<usize>>,
}

impl NativeScheduler {
    /// A fresh instance of `policy` for a machine of `nr_cpus` CPUs.
    pub fn new(policy: &'static PolicyDef, nr_cpus: usize) -> NativeScheduler {
        let index: Vec<_> = Op::ALL.iter().map(|op| policy.op(op.name())).collect();
        let has = |ops: OpSet, op: &Op| if index[*op as usize].is_some() { ops.with(*op) } else { ops };
        let ops = Op::ALL.iter().fold(OpSet::default(), has);
        let attrs = OpsAttrs {
            name: policy.name.into(),
            flags: policy.flags,
            timeout_ms: policy.timeout_ms,
            dispatch_max_batch: 0,
            exit_dump_len: 0,
            hotplug_seq: 0,
            ops,
        };
        NativeScheduler { instance: Instance::new(policy, nr_cpus), attrs, index }
    }

    /// The policy's state.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Global variables and per-CPU maps.
    pub fn globals(&self) -> Vec<(String, crate::Value)> {
        crate::globals::read_native(&self.instance)
    }

    fn call(&self, k: &mut Kernel, op: Op, args: &[u64]) -> i64 {
        self.call_with(k, op, args, None)
    }

    fn call_with(&self, k: &mut Kernel, op: Op, args: &[u64], exit_info: Option<&ExitInfo>) -> i64 {
        let Some(index) = self.index[op as usize] else { return 0 };
        self.instance.call(index, args, &NativeHost { k: RefCell::new(k), exit_info })
    }
}

/// One invocation. The kernel is borrowed for the length of a host call; another CPU that runs meanwhile has a host of its own.
struct NativeHost<'a> {
    k: RefCell<&'a mut Kernel>,
    exit_info: Option<&'a ExitInfo>,
}

impl NativeHost<'_> {
    fn with<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        f(&mut self.k.borrow_mut())
    }
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
        self.with(kfunc::scx_bpf_now)
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
        // A native policy has no strings in guest memory; its formats take numbers.
        let text = format(fmt.as_bytes(), args, |_, _| None).unwrap_or_else(|_| fmt.as_bytes().to_vec());
        self.with(|k| kfunc::scx_bpf_error(k, &String::from_utf8_lossy(&text)));
    }

    fn exit_info(&self, _info: u64) -> ExitDetails {
        self.exit_info.map_or_else(ExitDetails::default, |i| ExitDetails {
            kind: exit_kind_number(i.kind) as i32,
            exit_cpu: i.cpu,
            exit_code: i.code,
            reason: i.reason.into(),
            msg: i.msg.clone(),
        })
    }
}

fn task(p: TaskId) -> u64 {
    addr(Kind::Task, p.0)
}

impl SchedExtOps for NativeScheduler {
    fn attrs(&self) -> OpsAttrs {
        self.attrs.clone()
    }

    fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        self.call(k, Op::select_cpu, &[task(p), prev_cpu.0.into(), wake_flags]) as i32
    }

    fn enqueue(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
        self.call(k, Op::enqueue, &[task(p), enq_flags]);
    }

    fn dequeue(&self, k: &mut Kernel, p: TaskId, deq_flags: u64) {
        self.call(k, Op::dequeue, &[task(p), deq_flags]);
    }

    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, prev: Option<TaskId>) {
        self.call(k, Op::dispatch, &[cpu.0.into(), prev.map_or(0, task)]);
    }

    fn tick(&self, k: &mut Kernel, p: TaskId) {
        self.call(k, Op::tick, &[task(p)]);
    }

    fn runnable(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
        self.call(k, Op::runnable, &[task(p), enq_flags]);
    }

    fn running(&self, k: &mut Kernel, p: TaskId) {
        self.call(k, Op::running, &[task(p)]);
    }

    fn stopping(&self, k: &mut Kernel, p: TaskId, runnable: bool) {
        self.call(k, Op::stopping, &[task(p), runnable.into()]);
    }

    fn quiescent(&self, k: &mut Kernel, p: TaskId, deq_flags: u64) {
        self.call(k, Op::quiescent, &[task(p), deq_flags]);
    }

    fn set_weight(&self, k: &mut Kernel, p: TaskId, weight: u32) {
        self.call(k, Op::set_weight, &[task(p), weight.into()]);
    }

    fn update_idle(&self, k: &mut Kernel, cpu: CpuId, idle: bool) {
        self.call(k, Op::update_idle, &[cpu.0.into(), idle.into()]);
    }

    fn init_task(&self, k: &mut Kernel, p: TaskId, args: InitTaskArgs) -> i32 {
        self.call(k, Op::init_task, &[task(p), addr(Kind::InitTaskArgs, args.fork.into())]) as i32
    }

    fn exit_task(&self, k: &mut Kernel, p: TaskId, args: ExitTaskArgs) {
        self.call(k, Op::exit_task, &[task(p), addr(Kind::ExitTaskArgs, args.cancelled.into())]);
    }

    fn enable(&self, k: &mut Kernel, p: TaskId) {
        self.call(k, Op::enable, &[task(p)]);
    }

    fn disable(&self, k: &mut Kernel, p: TaskId) {
        self.call(k, Op::disable, &[task(p)]);
    }

    fn cpu_online(&self, k: &mut Kernel, cpu: CpuId) {
        self.call(k, Op::cpu_online, &[cpu.0.into()]);
    }

    fn cpu_offline(&self, k: &mut Kernel, cpu: CpuId) {
        self.call(k, Op::cpu_offline, &[cpu.0.into()]);
    }

    fn init(&self, k: &mut Kernel) -> i32 {
        self.call(k, Op::init, &[]) as i32
    }

    fn exit(&self, k: &mut Kernel, info: &ExitInfo) {
        self.call_with(k, Op::exit, &[addr(Kind::ExitInfo, 0)], Some(info));
    }
}
