//! Schedulers in a few lines each.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use scxr_kernel::Kernel;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::*;
use scxr_kernel::ids::{CpuId, TaskId};

use crate::harness::*;

/// One queue for all, by weighted vtime.
#[derive(Default)]
pub(crate) struct Simple {
    pub(crate) vtime_now: Cell<u64>,
    pub(crate) fifo: bool,
}

fn before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

impl SchedExtOps for Simple {
    fn attrs(&self) -> OpsAttrs {
        use Op::*;
        let mut a = attrs("simple", &[select_cpu, enqueue, dispatch, running, stopping, enable, init]);
        a.timeout_ms = 0; // a light task waits for long beside heavy ones
        a
    }
    fn init(&self, k: &mut Kernel) -> i32 {
        scx_bpf_create_dsq(k, 0, -1)
    }
    fn select_cpu(&self, k: &mut Kernel, p: TaskId, prev: CpuId, wake_flags: u64) -> i32 {
        let (cpu, idle) = scx_bpf_select_cpu_dfl(k, p, prev.0 as i32, wake_flags);
        if idle {
            scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
        }
        cpu
    }
    fn enqueue(&self, k: &mut Kernel, p: TaskId, flags: u64) {
        if self.fifo {
            scx_bpf_dsq_insert(k, p, 0, SLICE_DFL, flags & !(0xff << 56));
            return;
        }
        let now = self.vtime_now.get();
        let mut vtime = k.task(p).scx.dsq_vtime;
        if before(vtime, now.wrapping_sub(SLICE_DFL)) {
            vtime = now.wrapping_sub(SLICE_DFL);
        }
        scx_bpf_dsq_insert_vtime(k, p, 0, SLICE_DFL, vtime, flags);
    }
    fn dispatch(&self, k: &mut Kernel, _cpu: CpuId, _prev: Option<TaskId>) {
        scx_bpf_dsq_move_to_local(k, 0, 0);
    }
    fn running(&self, k: &mut Kernel, p: TaskId) {
        let v = k.task(p).scx.dsq_vtime;
        if before(self.vtime_now.get(), v) {
            self.vtime_now.set(v);
        }
    }
    fn stopping(&self, k: &mut Kernel, p: TaskId, _runnable: bool) {
        let e = &k.task(p).scx;
        let v = e.dsq_vtime + (SLICE_DFL - e.slice) * 100 / u64::from(e.weight);
        scx_bpf_task_set_dsq_vtime(k, p, v);
    }
    fn enable(&self, k: &mut Kernel, p: TaskId) {
        let v = self.vtime_now.get();
        scx_bpf_task_set_dsq_vtime(k, p, v);
    }
}

/// CPU 0 decides for all CPUs and sends tasks to their local queues.
#[derive(Default)]
pub(crate) struct Central {
    queue: RefCell<VecDeque<TaskId>>,
}

impl SchedExtOps for Central {
    fn attrs(&self) -> OpsAttrs {
        attrs("central", &[Op::select_cpu, Op::enqueue, Op::dispatch])
    }
    fn select_cpu(&self, _k: &mut Kernel, _p: TaskId, _prev: CpuId, _f: u64) -> i32 {
        0
    }
    fn enqueue(&self, k: &mut Kernel, p: TaskId, _flags: u64) {
        self.queue.borrow_mut().push_back(p);
        scx_bpf_kick_cpu(k, 0, 2); // PREEMPT
    }
    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, _prev: Option<TaskId>) {
        if cpu.0 != 0 {
            return scx_bpf_kick_cpu(k, 0, 2);
        }
        for to in (0..k.nr_cpus() as u32).rev().map(CpuId) {
            let full = scx_bpf_dsq_nr_queued(k, LOCAL_ON | u64::from(to.0)) > 0;
            if full || !k.rqs[to].is_idle() && to.0 != 0 {
                continue;
            }
            let mut left = self.queue.borrow().len();
            while left > 0 && scx_bpf_dispatch_nr_slots(k) > 0 {
                left -= 1;
                let Some(p) = self.queue.borrow_mut().pop_front() else {
                    break;
                };
                let Some(t) = k.find_task(p) else { continue };
                if !t.cpus.test(to) {
                    self.queue.borrow_mut().push_back(p);
                    continue;
                }
                scx_bpf_dsq_insert(k, p, LOCAL_ON | u64::from(to.0), 5 * MS, 0);
                if to.0 != 0 {
                    scx_bpf_kick_cpu(k, to.0 as i32, 1);
                }
                break;
            }
        }
    }
}

/// A queue for each CPU; idle CPUs steal.
#[derive(Default)]
pub(crate) struct PerCpuQueues;

impl SchedExtOps for PerCpuQueues {
    fn attrs(&self) -> OpsAttrs {
        attrs("percpu", &[Op::init, Op::enqueue, Op::dispatch])
    }
    fn init(&self, k: &mut Kernel) -> i32 {
        for cpu in 0..scx_bpf_nr_cpu_ids(k) {
            scx_bpf_create_dsq(k, u64::from(cpu), -1);
        }
        0
    }
    fn enqueue(&self, k: &mut Kernel, p: TaskId, flags: u64) {
        let cpu = scx_bpf_task_cpu(k, p);
        scx_bpf_dsq_insert(k, p, u64::from(cpu.0), 5 * MS, flags);
        let mask = k.task(p).cpus;
        let idle = scx_bpf_pick_idle_cpu(k, &mask, 0);
        if idle >= 0 {
            scx_bpf_kick_cpu(k, idle, 1);
        }
    }
    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, _prev: Option<TaskId>) {
        let n = k.nr_cpus() as u32;
        for i in 0..n {
            if scx_bpf_dsq_move_to_local(k, u64::from((cpu.0 + i) % n), 0) {
                return;
            }
        }
    }
}
