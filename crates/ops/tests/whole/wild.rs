//! A scheduler that does anything that a scheduler may do: each decision is drawn from a stream.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::Kernel;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::flags::{enq, iter, kick};
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::{Op, OpSet, OpsAttrs, SchedExtOps};
use scxr_kernel::ids::{CpuId, TaskId};

use crate::common::{MS, US};
use crate::policies::LOCAL_ON;
use crate::random::Random;

const GLOBAL: u64 = 0x8000_0000_0000_0001;
const LOCAL: u64 = 0x8000_0000_0000_0002;
/// Queues with even ids are in order of insertion, those with odd ids in order of vtime.
const NR_DSQS: u64 = 5;
const KICKS: [u64; 5] = [0, kick::IDLE, kick::PREEMPT, kick::WAIT, kick::PREEMPT | kick::WAIT];

pub(crate) struct Wild {
    random: RefCell<Random>,
    /// Bits of a vtime.
    vtime_bits: u32,
    /// Moves tasks between its queues, too.
    moves: bool,
}

impl Wild {
    pub(crate) fn new_ops(seed: u64) -> Rc<dyn SchedExtOps> {
        Rc::new(Wild::new(seed, false))
    }

    pub(crate) fn that_moves(seed: u64) -> Rc<dyn SchedExtOps> {
        Rc::new(Wild::new(seed, true))
    }

    fn new(seed: u64, moves: bool) -> Wild {
        let mut random = Random::new(seed, 0x5c4ed);
        let vtime_bits = random.pick(&[8, 40, 64]);
        Wild { random: RefCell::new(random), vtime_bits, moves }
    }

    // Nothing is borrowed across a kfunc: other CPUs may run other operations meanwhile.
    fn below(&self, n: u64) -> u64 {
        self.random.borrow_mut().below(n)
    }

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        self.random.borrow_mut().pick(from)
    }

    fn vtime(&self) -> u64 {
        self.random.borrow_mut().bits() >> (64 - self.vtime_bits)
    }

    fn slice(&self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            _ => self.below(3 * MS) + US,
        }
    }

    fn cpu(&self, of: &CpuMask) -> CpuId {
        let cpus: Vec<_> = of.iter().collect();
        self.pick(&cpus)
    }

    fn enq_flags(&self) -> u64 {
        self.pick(&[0, 0, 0, enq::HEAD, enq::PREEMPT, enq::HEAD | enq::PREEMPT])
    }

    fn insert(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
        let (slice, enq_flags) = (self.slice(), enq_flags | self.enq_flags());
        match self.below(10) {
            0 => drop(scx_bpf_dsq_insert(k, p, GLOBAL, slice, enq_flags & !enq::PREEMPT)),
            1 => drop(scx_bpf_dsq_insert(k, p, LOCAL, slice, enq_flags)),
            2 => {
                let cpus = k.task(p).cpus;
                let to = LOCAL_ON | u64::from(self.cpu(&cpus).0);
                scx_bpf_dsq_insert(k, p, to, slice, enq_flags);
            }
            n if n % 2 == 0 => drop(scx_bpf_dsq_insert(k, p, n % NR_DSQS / 2 * 2, slice, enq_flags & !enq::PREEMPT)),
            n => {
                let (dsq, vtime) = (n % (NR_DSQS / 2) * 2 + 1, self.vtime());
                scx_bpf_dsq_insert_vtime(k, p, dsq, slice, vtime, 0);
            }
        }
    }

    /// Looks at some tasks of a queue, moves some elsewhere.
    fn rummage(&self, k: &mut Kernel) {
        let flags = self.pick(&[0, iter::REV]);
        let (it, err) = bpf_iter_scx_dsq_new(k, self.below(NR_DSQS), flags);
        let mut left = self.below(6);
        while err == 0 && left > 0 {
            left -= 1;
            let Some(p) = bpf_iter_scx_dsq_next(k, it) else { break };
            if self.below(2) == 0 {
                scx_bpf_dsq_move_set_slice(k, it, self.slice());
            }
            let me = k.this_cpu();
            let allowed = k.find_task(p).is_some_and(|t| t.cpus.test(me));
            match self.below(4) {
                0 if self.moves || allowed => drop(scx_bpf_dsq_move(k, it, p, LOCAL, 0)),
                1 if self.moves => drop(scx_bpf_dsq_move(k, it, p, self.below(NR_DSQS) / 2 * 2, 0)),
                2 if self.moves => {
                    scx_bpf_dsq_move_set_vtime(k, it, self.vtime());
                    scx_bpf_dsq_move_vtime(k, it, p, 1, 0);
                }
                _ => {}
            }
        }
        bpf_iter_scx_dsq_destroy(k, it);
    }
}

impl SchedExtOps for Wild {
    fn attrs(&self) -> OpsAttrs {
        let ops =
            [Op::select_cpu, Op::enqueue, Op::dispatch, Op::tick, Op::running, Op::stopping, Op::set_cpumask, Op::init];
        OpsAttrs {
            name: "wild".into(),
            dispatch_max_batch: 4,
            ops: ops.into_iter().fold(OpSet::default(), OpSet::with),
            ..OpsAttrs::default()
        }
    }

    fn init(&self, k: &mut Kernel) -> i32 {
        (0..NR_DSQS).map(|id| scx_bpf_create_dsq(k, id, -1)).find(|&err| err != 0).unwrap_or(0)
    }

    fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64) -> i32 {
        match self.below(4) {
            0 => prev.0 as i32,
            // Any CPU: one that is not allowed is put right by the class.
            1 => self.below(k.nr_cpus() as u64) as i32,
            2 => {
                self.insert(k, p, 0);
                prev.0 as i32
            }
            _ => {
                let (cpu, idle) = scx_bpf_select_cpu_dfl(k, p, prev.0 as i32, wake_flags);
                if idle && self.below(2) == 0 {
                    scx_bpf_dsq_insert(k, p, LOCAL, self.slice(), 0);
                }
                cpu
            }
        }
    }

    fn enqueue(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
        self.insert(k, p, enq_flags);
        if self.below(2) == 0 {
            let cpus = k.task(p).cpus;
            let cpu = scx_bpf_pick_any_cpu(k, &cpus, 0);
            scx_bpf_kick_cpu(k, cpu, self.pick(&KICKS));
        }
    }

    fn dispatch(&self, k: &mut Kernel, _cpu: CpuId, prev: Option<TaskId>) {
        if self.below(4) == 0 {
            self.rummage(k);
        }
        let start = self.below(NR_DSQS);
        for i in 0..NR_DSQS {
            if scx_bpf_dsq_move_to_local(k, (start + i) % NR_DSQS, 0) && self.below(3) > 0 {
                return;
            }
        }
        if let Some(prev) = prev
            && self.below(2) == 0
        {
            scx_bpf_task_set_slice(k, prev, self.slice());
        }
    }

    fn tick(&self, k: &mut Kernel, p: TaskId) {
        if self.below(4) == 0 {
            scx_bpf_task_set_slice(k, p, self.slice());
        }
    }

    fn running(&self, k: &mut Kernel, p: TaskId) {
        if self.below(4) == 0 {
            scx_bpf_task_set_dsq_vtime(k, p, self.vtime());
        }
    }

    fn stopping(&self, k: &mut Kernel, _p: TaskId, _runnable: bool) {
        if self.below(8) == 0 {
            let cpu = self.below(k.nr_cpus() as u64) as i32;
            scx_bpf_kick_cpu(k, cpu, self.pick(&KICKS));
        }
    }
}
