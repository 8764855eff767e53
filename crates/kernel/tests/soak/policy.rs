//! A scheduler that makes random choices. Which operations it has, its flags, queues and sins follow from its seed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use scxr_kernel::Kernel;
use scxr_kernel::cgroup::{Bandwidth, CgroupId};
use scxr_kernel::ext::DsqIter;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::*;
use scxr_kernel::ids::{CpuId, TaskId};

use crate::Draw;
use crate::life::{Lives, Told};

const MS: u64 = 1_000_000;
const SLICE_DFL: u64 = 20 * MS;
const SLICE_INF: u64 = u64::MAX;
const GLOBAL: u64 = 1 << 63 | 1;
const LOCAL: u64 = 1 << 63 | 2;
const LOCAL_ON: u64 = 3 << 62;
const BOGUS: u64 = 0xcafe_f00d;
/// User queues: in order of insertion, and of vtime.
const FIFO: [u64; 3] = [0, 1, 2];
const VTIME: [u64; 2] = [10, 11];
/// SCX_ENQ_*: HEAD, PREEMPT, IMMED, REENQ.
const HEAD: u64 = 0x1_0000;
const PREEMPT: u64 = 1 << 32;
const IMMED: u64 = 1 << 33;
const REENQ: u64 = 1 << 40;
/// SCX_KICK_*.
const KICK_IDLE: u64 = 1;

/// Where a task is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The scheduler keeps it.
    Keep,
    Dsq(u64),
    Vtime(u64),
}

pub(crate) struct Chaos {
    name: String,
    attrs: OpsAttrs,
    draw: RefCell<Draw>,
    /// Chance of something illegal at each occasion, of a million.
    sins: u64,
    kept: RefCell<VecDeque<TaskId>>,
    lives: RefCell<Lives>,
    /// References that it holds on tasks.
    held: RefCell<Vec<TaskId>>,
    subs: RefCell<Vec<u64>>,
    exits: Cell<u32>,
    /// CPUs that were released and acquired, and which they were last. What another scheduler left behind is not known.
    released: RefCell<BTreeMap<CpuId, bool>>,
}

/// Operations that a table may have, for a form; those that it must have for tasks to get on come besides.
fn draw_ops(draw: &mut Draw, cid: bool, sub: bool) -> OpSet {
    let plenty = draw.pick(&[1, 2, 3]);
    let mut ops = OpSet::default().with(Op::init).with(Op::exit);
    for &op in Op::ALL {
        let allowed = match op {
            Op::cpu_acquire | Op::cpu_release => !cid,
            Op::sub_attach | Op::sub_detach => cid && !sub,
            Op::cpu_online | Op::cpu_offline => !sub,
            Op::update_idle => draw.chance(1, 3),
            _ => true,
        };
        if allowed && draw.chance(plenty, 3) {
            ops = ops.with(op);
        }
    }
    if ops.has(Op::enqueue) { ops.with(Op::dispatch) } else { ops }
}

impl Chaos {
    /// `sub`: for a cgroup, as a sub-scheduler.
    pub(crate) fn new(seed: u64, sub: Option<u64>) -> Chaos {
        let mut draw = Draw::new(seed, 7);
        let cid = sub.is_some() || draw.chance(1, 3);
        let ops = draw_ops(&mut draw, cid, sub.is_some());
        let mut flags = draw.below(1 << 9); // SCX_OPS_*
        if !ops.has(Op::enqueue) {
            flags &= !(1 << 1);
        }
        flags &= !(1 << 6); // what is asked for CPUs below is not asked by node
        if sub.is_some() {
            flags &= !(1 << 3 | 1 << 8);
        }
        let sins = draw.pick(&[0, 0, 20, 200, 2_000]);
        if sins == 0 {
            flags &= !(1 << 7); // tasks that come back without end are an error
        }
        let name = format!("chaos_{seed}");
        let attrs = OpsAttrs {
            name: name.clone(),
            cid,
            flags,
            timeout_ms: draw.pick(&[0, 2_000, 5_000]) as u32,
            dispatch_max_batch: draw.pick(&[0, 1, 4]) as u32,
            exit_dump_len: draw.pick(&[0, 100, 4_000]) as u32,
            sub_cgroup_id: sub.unwrap_or(0),
            ops,
            ..OpsAttrs::default()
        };
        Chaos {
            name,
            attrs,
            draw: RefCell::new(draw),
            sins,
            kept: RefCell::default(),
            lives: RefCell::new(Lives::new(ops)),
            held: RefCell::default(),
            subs: RefCell::default(),
            exits: Cell::new(0),
            released: RefCell::default(),
        }
    }

    fn below(&self, n: u64) -> u64 {
        self.draw.borrow_mut().below(n)
    }

    fn chance(&self, n: u64, of: u64) -> bool {
        self.draw.borrow_mut().chance(n, of)
    }

    fn pick<T: Copy>(&self, among: &[T]) -> T {
        self.draw.borrow_mut().pick(among)
    }

    fn sin(&self) -> bool {
        self.sins > 0 && self.chance(self.sins, 1_000_000)
    }

    #[track_caller]
    fn told(&self, p: TaskId, told: Told) {
        let result = self.lives.borrow_mut().told(p, told);
        if let Err(why) = result {
            panic!("{}: {why}", self.name);
        }
    }

    /// A CPU as this form of the table names it.
    fn named(&self, k: &mut Kernel, cpu: CpuId) -> i32 {
        if self.attrs.cid { cpu_arg(k, cpu) } else { cpu.0 as i32 }
    }

    fn any_cpu(&self, k: &Kernel) -> CpuId {
        CpuId(self.below(k.nr_cpus() as u64) as u32)
    }

    /// A CPU that `p` may use.
    fn allowed_cpu(&self, k: &Kernel, p: TaskId) -> CpuId {
        let t = k.task(p);
        let usable: Vec<CpuId> = t.cpus.and(&k.online).iter().collect();
        if t.migration_disabled > 0 || usable.is_empty() { t.cpu } else { self.pick(&usable) }
    }

    fn slice(&self) -> u64 {
        match self.below(8) {
            0 => SLICE_INF,
            1 => 0,
            2 => 1 + self.below(20_000),
            _ => self.below(SLICE_DFL),
        }
    }

    fn kick(&self, k: &mut Kernel, cpu: CpuId, flags: u64) {
        if !k.ext.enabled() {
            return; // the judge knows of no scheduler before it is enabled, and no event tells of its beginning
        }
        let cpu = if self.sin() { self.pick(&[-1, 4_000, i32::MAX]) } else { self.named(k, cpu) };
        match self.attrs.cid {
            true => scx_bpf_kick_cid(k, cpu, flags),
            false => scx_bpf_kick_cpu(k, cpu, flags),
        }
    }

    fn target(&self, k: &mut Kernel, p: TaskId, keep: bool) -> Target {
        let queues = self.attrs.ops.has(Op::dispatch);
        match self.below(12) {
            _ if self.sin() => Target::Dsq(self.pick(&[BOGUS, 1 << 63, LOCAL_ON | 4_000, FIFO[0] + 1_000])),
            _ if self.sin() => Target::Vtime(self.pick(&[GLOBAL, LOCAL])),
            0..2 if keep && queues => Target::Keep,
            2..5 if queues => Target::Dsq(self.pick(&FIFO)),
            5..7 if queues => Target::Vtime(self.pick(&VTIME)),
            7..9 => Target::Dsq(LOCAL),
            9 => {
                let cpu = self.allowed_cpu(k, p);
                let cpu = self.named(k, cpu);
                Target::Dsq(LOCAL_ON | u64::from(cpu as u32))
            }
            _ => Target::Dsq(GLOBAL),
        }
    }

    /// Sends `p` somewhere. True: it is in a queue of the scheduler's.
    fn insert(&self, k: &mut Kernel, p: TaskId, target: Target, again: bool) -> bool {
        let slice = self.slice();
        let mut flags = self.pick(&[0, 0, 0, HEAD, PREEMPT]);
        if self.sin() {
            flags |= self.pick(&[1 << 60, IMMED, 1 << 56]);
        }
        match target {
            Target::Keep => return true,
            Target::Vtime(dsq) => {
                let vtime = (k.now() / 1_000).wrapping_add(self.below(2_000));
                scx_bpf_dsq_insert_vtime(k, p, dsq, slice, vtime, flags);
            }
            Target::Dsq(dsq) => {
                let local = dsq == LOCAL || dsq >> 62 == 3;
                if local && !again && self.chance(1, 8) {
                    flags |= IMMED;
                }
                scx_bpf_dsq_insert(k, p, dsq, slice, flags);
            }
        }
        if self.sin() {
            scx_bpf_dsq_insert(k, p, GLOBAL, slice, 0);
        }
        matches!(target, Target::Dsq(dsq) | Target::Vtime(dsq) if dsq < 1 << 63)
    }

    /// Somebody has to come for what waits in a queue.
    fn call_for(&self, k: &mut Kernel, p: TaskId) {
        let cpu = self.allowed_cpu(k, p);
        let flags = self.pick(&[0, KICK_IDLE, KICK_IDLE, 2, 4]);
        self.kick(k, cpu, flags);
        if flags != KICK_IDLE {
            let own = k.task(p).cpu;
            self.kick(k, own, KICK_IDLE);
        }
    }

    /// What can be called from anywhere.
    fn anything(&self, k: &mut Kernel, p: Option<TaskId>) {
        if !self.chance(1, 4) {
            return;
        }
        let cpu = self.any_cpu(k);
        match self.below(20) {
            0..3 => {
                let flags = if self.sin() { KICK_IDLE | 2 } else { self.pick(&[0, KICK_IDLE, 2, 4, 6]) };
                self.kick(k, cpu, flags);
            }
            3 => {
                let dsq = if self.sin() { GLOBAL } else { self.pick(&[FIFO[0], FIFO[1], VTIME[0], LOCAL]) };
                scx_bpf_dsq_reenq(k, dsq, 0);
            }
            4 => scx_bpf_reenqueue_local(k),
            5 => _ = scx_bpf_dsq_nr_queued(k, self.pick(&[FIFO[0], VTIME[1], LOCAL, BOGUS])),
            6 => {
                let dsq = if self.sin() { self.pick(&[GLOBAL, BOGUS]) } else { self.pick(&[FIFO[0], VTIME[1]]) };
                if let Some(q) = scx_bpf_dsq_peek(k, dsq).filter(|&q| bpf_task_acquire(k, q)) {
                    self.held.borrow_mut().push(q);
                }
            }
            7 => {
                let held = self.held.borrow_mut().pop();
                held.into_iter().for_each(|q| bpf_task_release(k, q));
            }
            8 => {
                // Of the run queue that is locked, if one is: the task's.
                let cpu = match p {
                    _ if self.sin() => cpu,
                    Some(p) => k.task(p).cpu,
                    None => return,
                };
                let perf = if self.sin() { 1_025 } else { self.below(1_025) as u32 };
                match self.attrs.cid {
                    true => {
                        let cid = self.named(k, cpu);
                        scx_bpf_cidperf_set(k, cid, perf);
                    }
                    false => scx_bpf_cpuperf_set(k, cpu.0 as i32, perf),
                }
            }
            9 if p.is_some() => {
                let slice = self.slice();
                p.into_iter().for_each(|p| _ = scx_bpf_task_set_slice(k, p, slice));
            }
            10 if self.sin() => scx_bpf_error(k, "a sin"),
            11 if self.sin() => scx_bpf_exit(k, self.below(1_000) as i64, "enough"),
            12 => {
                let at = k.now() + self.below(5 * MS);
                bpf_timer_start(k, self.below(4), at);
            }
            13 => _ = scx_bpf_events(k),
            14 if !self.attrs.cid && !self.attrs.ops.has(Op::update_idle) => {
                _ = scx_bpf_test_and_clear_cpu_idle(k, cpu.0 as i32);
            }
            15 => {
                let tid = self.below(200);
                if self.attrs.flags & 1 << 8 != 0 && k.ext.enabled() {
                    _ = scx_bpf_tid_to_task(k, tid);
                }
            }
            16 => _ = scx_bpf_now(k),
            17 => _ = bpf_task_from_pid(k, self.below(200) as i32).map(|q| bpf_task_release(k, q)),
            _ => {}
        }
    }

    /// What can be called while no run queue is locked.
    fn unlocked(&self, k: &mut Kernel) {
        match self.below(6) {
            0 => {
                let id = if self.sin() { GLOBAL } else { 20 + self.below(4) };
                _ = scx_bpf_create_dsq(k, id, if self.sin() { 77 } else { -1 });
            }
            1 => scx_bpf_destroy_dsq(k, if self.sin() { FIFO[0] } else { 20 + self.below(4) }),
            2 => self.walk(k),
            _ => self.anything(k, None),
        }
    }

    /// Moves tasks of a queue to others.
    fn walk(&self, k: &mut Kernel) {
        let (it, err) = bpf_iter_scx_dsq_new(k, self.pick(&[FIFO[0], FIFO[2], VTIME[0]]), self.pick(&[0, 1 << 16]));
        if err == 0 {
            for _ in 0..1 + self.below(6) {
                let Some(p) = bpf_iter_scx_dsq_next(k, it) else { break };
                self.move_one(k, it, p);
            }
        }
        bpf_iter_scx_dsq_destroy(k, it);
    }

    fn move_one(&self, k: &mut Kernel, it: DsqIter, p: TaskId) {
        if self.chance(1, 3) {
            scx_bpf_dsq_move_set_slice(k, it, self.slice());
        }
        match self.below(5) {
            0 => {
                scx_bpf_dsq_move_set_vtime(k, it, k.now() / 1_000);
                scx_bpf_dsq_move_vtime(k, it, p, self.pick(&VTIME), 0);
            }
            1 => _ = scx_bpf_dsq_move(k, it, p, self.pick(&FIFO), self.pick(&[0, HEAD])),
            2 => {
                let cpu = self.allowed_cpu(k, p);
                let cpu = self.named(k, cpu);
                scx_bpf_dsq_move(k, it, p, LOCAL_ON | u64::from(cpu as u32), 0);
            }
            3 => _ = scx_bpf_dsq_move(k, it, p, GLOBAL, 0),
            _ => {}
        }
    }

    /// Lets tasks that were kept go.
    fn let_go(&self, k: &mut Kernel) {
        let slots = scx_bpf_dispatch_nr_slots(k);
        for _ in 0..slots.min(4) {
            let Some(p) = self.kept.borrow_mut().pop_front() else { return };
            if k.find_task(p).is_none() {
                continue;
            }
            let target = self.target(k, p, false);
            self.insert(k, p, target, false);
            if self.chance(1, 30) {
                scx_bpf_dispatch_cancel(k); // it is forgotten: the scheduler must know it still
                self.kept.borrow_mut().push_back(p);
            }
        }
    }

    fn errno(&self) -> i32 {
        if self.sin() { self.pick(&[-12, -1, 5, -100_000]) } else { 0 }
    }

    fn is_cpu_form(&self) -> bool {
        !self.attrs.cid
    }
}

impl SchedExtOps for Chaos {
    fn attrs(&self) -> OpsAttrs {
        self.attrs.clone()
    }

    fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64) -> i32 {
        self.told(p, Told::Other);
        self.anything(k, Some(p));
        let mut cpu = self.named(k, prev);
        if self.is_cpu_form() && !self.attrs.ops.has(Op::update_idle) && self.chance(1, 2) {
            let mask = k.task(p).cpus;
            cpu = match self.below(3) {
                0 => scx_bpf_select_cpu_dfl(k, p, prev.0 as i32, wake_flags).0,
                1 => scx_bpf_select_cpu_and(k, p, prev.0 as i32, wake_flags, &mask, 0),
                _ => scx_bpf_pick_any_cpu(k, &mask, 0),
            };
        }
        if self.chance(1, 3) {
            let target = self.target(k, p, false);
            if self.insert(k, p, target, true) {
                self.lives.borrow_mut().hold(p, false);
                self.call_for(k, p);
            }
        }
        match cpu {
            _ if self.sin() => self.pick(&[-1, 9_999, i32::MIN]),
            cpu if cpu < 0 => self.named(k, prev),
            cpu => cpu,
        }
    }

    fn enqueue(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
        self.told(p, Told::Other);
        self.anything(k, Some(p));
        let target = self.target(k, p, true);
        if target == Target::Keep {
            self.kept.borrow_mut().push_back(p);
        }
        if self.insert(k, p, target, enq_flags & REENQ != 0) {
            // Kernels before 7.1 do not say when it is dispatched (E-250).
            self.lives.borrow_mut().hold(p, target == Target::Keep && k.config.custody);
            self.call_for(k, p);
        } else if self.sins > 0 {
            self.lives.borrow_mut().hold(p, false); // an insertion that was refused
        }
    }

    fn dequeue(&self, k: &mut Kernel, p: TaskId, _flags: u64) {
        if !self.attrs.ops.has(Op::enqueue) {
            self.told(p, Told::Other);
        } else {
            self.told(p, Told::Dequeue);
        }
        self.anything(k, Some(p));
    }

    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, prev: Option<TaskId>) {
        if let Some(prev) = prev {
            self.told(prev, Told::Other);
        }
        self.anything(k, prev);
        self.let_go(k);
        if self.chance(1, 6) {
            self.walk(k);
        }
        let subs = self.subs.borrow().clone();
        if !subs.is_empty() && self.chance(1, 2) {
            scx_bpf_sub_dispatch(k, self.pick(&subs));
        }
        let first = self.below(5) as usize;
        let mut queues = FIFO.into_iter().chain(VTIME).cycle().skip(first).take(5);
        let flags = self.pick(&[0, 0, HEAD]);
        _ = queues.any(|dsq| scx_bpf_dsq_move_to_local(k, dsq, flags));
        if self.sin() {
            scx_bpf_dsq_move_to_local(k, BOGUS, 0);
        }
        _ = cpu;
    }

    fn tick(&self, k: &mut Kernel, p: TaskId) {
        self.told(p, Told::Other);
        self.anything(k, Some(p));
    }

    fn runnable(&self, k: &mut Kernel, p: TaskId, _flags: u64) {
        self.told(p, Told::Runnable);
        self.anything(k, Some(p));
    }

    fn running(&self, k: &mut Kernel, p: TaskId) {
        self.told(p, Told::Running);
        self.anything(k, Some(p));
    }

    fn stopping(&self, k: &mut Kernel, p: TaskId, _runnable: bool) {
        self.told(p, Told::Stopping);
        self.anything(k, Some(p));
    }

    fn quiescent(&self, k: &mut Kernel, p: TaskId, _flags: u64) {
        self.told(p, Told::Quiescent);
        self.anything(k, Some(p));
    }

    fn yield_(&self, k: &mut Kernel, from: TaskId, _to: Option<TaskId>) -> bool {
        self.told(from, Told::Other);
        if self.chance(1, 2) {
            scx_bpf_task_set_slice(k, from, 0);
        }
        self.chance(1, 2)
    }

    fn set_weight(&self, k: &mut Kernel, p: TaskId, weight: u32) {
        assert!((1..=10_000).contains(&weight));
        self.told(p, Told::Other);
        self.anything(k, Some(p));
    }

    fn set_cpumask(&self, k: &mut Kernel, p: TaskId) {
        self.told(p, Told::Other);
        self.anything(k, Some(p));
    }

    fn update_idle(&self, k: &mut Kernel, _cpu: CpuId, _idle: bool) {
        self.anything(k, None);
    }

    fn init_task(&self, k: &mut Kernel, p: TaskId, args: InitTaskArgs) -> i32 {
        let err = self.errno();
        match err {
            0 => self.told(p, Told::Init),
            // It may get tasks all the same, from a sub-scheduler that ends.
            _ => self.lives.borrow_mut().give_up(),
        }
        if !args.fork && self.attrs.sub_cgroup_id == 0 && self.chance(1, 20) {
            k.task_mut(p).scx.disallow = true;
        }
        self.unlocked(k);
        err
    }

    fn exit_task(&self, k: &mut Kernel, p: TaskId, _args: ExitTaskArgs) {
        self.told(p, Told::Exit);
        self.kept.borrow_mut().retain(|q| *q != p);
        self.anything(k, None);
    }

    fn enable(&self, k: &mut Kernel, p: TaskId) {
        self.told(p, Told::Enable);
        self.anything(k, Some(p));
    }

    fn disable(&self, k: &mut Kernel, p: TaskId) {
        self.told(p, Told::Disable);
        self.anything(k, None);
    }

    fn cpu_acquire(&self, k: &mut Kernel, cpu: CpuId) {
        if self.attrs.ops.has(Op::cpu_release) {
            let before = self.released.borrow_mut().insert(cpu, false);
            assert_ne!(before, Some(false), "{}: {cpu} is acquired and was not released", self.name);
        }
        self.anything(k, None);
    }

    fn cpu_release(&self, k: &mut Kernel, cpu: CpuId, _reason: PreemptReason, _task: TaskId) {
        if self.attrs.ops.has(Op::cpu_acquire) {
            let before = self.released.borrow_mut().insert(cpu, true);
            assert_ne!(before, Some(true), "{}: {cpu} is released twice", self.name);
        }
        if self.chance(1, 2) {
            scx_bpf_reenqueue_local_now(k);
        }
    }

    fn cgroup_init(&self, k: &mut Kernel, _cgrp: CgroupId) -> i32 {
        self.unlocked(k);
        self.errno()
    }

    fn cgroup_exit(&self, k: &mut Kernel, _cgrp: CgroupId) {
        self.unlocked(k);
    }

    fn cgroup_prep_move(&self, k: &mut Kernel, p: TaskId, _from: CgroupId, _to: CgroupId) -> i32 {
        if self.sins == 0 && self.is_cpu_form() {
            // Who fails to know a task, or has left it to a sub-scheduler, is told all the same.
            self.told(p, Told::Moved);
        }
        self.unlocked(k);
        if self.chance(1, 20) { -13 } else { self.errno() }
    }

    fn cgroup_move(&self, k: &mut Kernel, p: TaskId, _from: CgroupId, _to: CgroupId) {
        if self.sins == 0 && self.is_cpu_form() {
            // Who fails to know a task, or has left it to a sub-scheduler, is told all the same.
            self.told(p, Told::Moved);
        }
        self.anything(k, Some(p));
    }

    fn cgroup_cancel_move(&self, k: &mut Kernel, _p: TaskId, _from: CgroupId, _to: CgroupId) {
        self.unlocked(k);
    }

    fn cgroup_set_weight(&self, k: &mut Kernel, _cgrp: CgroupId, _weight: u32) {
        self.unlocked(k);
    }

    fn cgroup_set_bandwidth(&self, k: &mut Kernel, _cgrp: CgroupId, _bandwidth: Bandwidth) {
        self.unlocked(k);
    }

    fn cgroup_set_idle(&self, k: &mut Kernel, _cgrp: CgroupId, _idle: bool) {
        self.unlocked(k);
    }

    fn sub_attach(&self, k: &mut Kernel, args: &SubArgs) -> i32 {
        if self.chance(1, 5) {
            return -1;
        }
        self.subs.borrow_mut().push(args.attrs.sub_cgroup_id);
        self.unlocked(k);
        0
    }

    fn sub_detach(&self, k: &mut Kernel, args: &SubArgs) {
        self.subs.borrow_mut().retain(|&s| s != args.attrs.sub_cgroup_id);
        self.unlocked(k);
    }

    fn cpu_online(&self, k: &mut Kernel, _cpu: CpuId) {
        self.unlocked(k);
    }

    fn cpu_offline(&self, k: &mut Kernel, _cpu: CpuId) {
        self.unlocked(k);
    }

    fn dump(&self, k: &mut Kernel, _ctx: &DumpCtx) {
        scx_bpf_dump(k, &self.name);
    }

    fn dump_task(&self, k: &mut Kernel, _ctx: &DumpCtx, _p: TaskId) {
        scx_bpf_dump(k, "a task");
    }

    fn init(&self, k: &mut Kernel) -> i32 {
        for dsq in FIFO.into_iter().chain(VTIME) {
            let node = if self.chance(1, 3) { self.below(k.topology.nodes.len() as u64) as i32 } else { -1 };
            scx_bpf_create_dsq(k, dsq, node);
        }
        self.unlocked(k);
        self.errno()
    }

    fn exit(&self, k: &mut Kernel, info: &ExitInfo) {
        self.exits.set(self.exits.get() + 1);
        assert_eq!(self.exits.get(), 1, "{}: it ends once: {info:?}", self.name);
        self.unlocked(k);
        let held = self.held.take();
        held.into_iter().for_each(|p| bpf_task_release(k, p));
    }

    fn timer(&self, k: &mut Kernel, id: u64) {
        self.unlocked(k);
        if self.chance(1, 2) {
            let at = k.now() + self.below(3 * MS);
            bpf_timer_start(k, id, at);
        }
        if self.chance(1, 4) {
            _ = bpf_timer_cancel(k, (id + 1) % 4);
        }
    }

    fn unloaded(&self, k: &mut Kernel) {
        let held = self.held.take();
        held.into_iter().for_each(|p| bpf_task_release(k, p));
    }
}
