//! Schedulers in Rust, against the class itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use scxr_kernel::Kernel;
use scxr_kernel::ext::kfunc::{scx_bpf_dispatch_nr_slots, scx_bpf_dsq_insert, scx_bpf_dsq_nr_queued, scx_bpf_kick_cpu};
use scxr_kernel::ext::ops::{Op, OpSet, OpsAttrs, SchedExtOps};
use scxr_kernel::ids::{CpuId, TaskId};

use crate::common::MS;

pub(crate) const LOCAL_ON: u64 = 0xc000_0000_0000_0000;
const KICK_IDLE: u64 = 1;
const KICK_PREEMPT: u64 = 2;

/// CPU 0 decides for all CPUs, first come, first served, and sends tasks to their local queues.
#[derive(Default)]
pub(crate) struct Central {
    queue: RefCell<VecDeque<TaskId>>,
}

impl Central {
    pub(crate) fn new_ops(_seed: u64) -> Rc<dyn SchedExtOps> {
        Rc::new(Central::default())
    }

    /// The first waiting task that may run on `cpu`.
    fn take(&self, k: &Kernel, cpu: CpuId) -> Option<TaskId> {
        let mut queue = self.queue.borrow_mut();
        queue.retain(|&p| k.find_task(p).is_some());
        let at = queue.iter().position(|&p| k.task(p).cpus.test(cpu))?;
        queue.remove(at)
    }
}

impl SchedExtOps for Central {
    fn attrs(&self) -> OpsAttrs {
        let ops = [Op::select_cpu, Op::enqueue, Op::dequeue, Op::dispatch];
        OpsAttrs {
            name: "central".into(),
            ops: ops.into_iter().fold(OpSet::default(), OpSet::with),
            ..OpsAttrs::default()
        }
    }

    fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev: CpuId, _wake_flags: u64) -> i32 {
        let to = if k.task(p).cpus.test(CpuId(0)) { CpuId(0) } else { prev };
        to.0 as i32
    }

    fn enqueue(&self, k: &mut Kernel, p: TaskId, _enq_flags: u64) {
        self.queue.borrow_mut().push_back(p);
        // CPU 0 itself dispatches when it is done here; to preempt it again and again would leave nobody time.
        let how = if k.this_cpu() == CpuId(0) { KICK_IDLE } else { KICK_PREEMPT };
        scx_bpf_kick_cpu(k, 0, how);
    }

    fn dequeue(&self, _k: &mut Kernel, p: TaskId, _deq_flags: u64) {
        self.queue.borrow_mut().retain(|&q| q != p);
    }

    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, _prev: Option<TaskId>) {
        if cpu.0 != 0 {
            return scx_bpf_kick_cpu(k, 0, KICK_PREEMPT);
        }
        for to in (0..k.nr_cpus() as u32).rev().map(CpuId) {
            let local = LOCAL_ON | u64::from(to.0);
            if scx_bpf_dispatch_nr_slots(k) == 0 {
                return;
            }
            if scx_bpf_dsq_nr_queued(k, local) > 0 || to.0 != 0 && !k.rqs[to].is_idle() {
                continue;
            }
            let Some(p) = self.take(k, to) else { continue };
            scx_bpf_dsq_insert(k, p, local, 5 * MS, 0);
            scx_bpf_kick_cpu(k, to.0 as i32, KICK_IDLE);
        }
    }
}
