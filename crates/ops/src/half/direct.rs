//! A scheduler that is made for user space, straight in the kernel: what it decides without the way to user space and back.

use crate::clock::shown;
use std::cell::RefCell;
use std::collections::BTreeSet;

use scxr_kernel::Kernel;
use scxr_kernel::ext::flags::{dsq_id, enq, kick};
use scxr_kernel::ext::kfunc;
use scxr_kernel::ext::ops::{ExitTaskArgs, Op, OpSet, OpsAttrs, SchedExtOps};
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_runtime::framework::{Scheduler, Task};
use scxr_runtime::{Args, Cpu, HalfDef, Ns, Schema, Stats};

use super::asked::Asked;

/// A [`Scheduler`] as the class's scheduler.
pub struct DirectScheduler {
    name: String,
    scheduler: RefCell<Box<dyn Scheduler>>,
    /// Tasks whose slice is over that were given to the scheduler before the kernel enqueued them, so that they can be the next.
    given: RefCell<BTreeSet<TaskId>>,
}

/// The default slice.
const SLICE: u64 = Ns::SLICE_DFL.0;

impl DirectScheduler {
    /// With that name in the kernel.
    pub fn new(name: &str, scheduler: Box<dyn Scheduler>) -> DirectScheduler {
        DirectScheduler { name: name.to_owned(), scheduler: RefCell::new(scheduler), given: RefCell::default() }
    }

    /// The scheduler of a half that hands it to the framework's `drive`; why there is none.
    pub fn of_half(
        name: &str,
        def: HalfDef,
        args: Args,
        schema: Schema,
        nr_cpus: u32,
    ) -> Result<DirectScheduler, String> {
        Ok(DirectScheduler::new(name, Box::new(Asked::new(def, args, schema, nr_cpus)?)))
    }

    /// Its figures.
    pub fn stats(&self, at: Ns) -> Stats {
        let (mut stats, scheduler) = (Stats { at, ..Stats::default() }, self.scheduler.borrow());
        stats.number("queued", scheduler.nr_queued() as u64);
        scheduler.stats(&mut stats);
        stats
    }

    /// Asks the scheduler, at its cost.
    fn ask<R>(&self, k: &mut Kernel, question: impl FnOnce(&mut dyn Scheduler) -> R) -> R {
        let mut scheduler = self.scheduler.borrow_mut();
        k.charge(scheduler.cost().0);
        question(&mut **scheduler)
    }

    fn give(&self, k: &mut Kernel, p: TaskId) {
        let t = k.task(p);
        let (cpu, weight) = (Cpu(t.cpu.0 as i32), t.scx.weight);
        let task = Task { pid: t.pid as i32, cpu, weight, ran: Ns(t.sum_exec_runtime), at: Ns(shown(k.now())) };
        self.ask(k, |s| s.enqueue(task));
    }
}

/// Tasks that user space would not be asked about.
fn stays(k: &Kernel, p: TaskId) -> bool {
    let t = k.task(p);
    t.is_kthread() || t.nr_cpus_allowed < k.nr_cpus()
}

impl SchedExtOps for DirectScheduler {
    fn attrs(&self) -> OpsAttrs {
        let ops =
            [Op::enqueue, Op::dispatch, Op::quiescent, Op::exit_task].into_iter().fold(OpSet::default(), OpSet::with);
        OpsAttrs { name: self.name.clone(), timeout_ms: 5_000, ops, ..OpsAttrs::default() }
    }

    fn enqueue(&self, k: &mut Kernel, p: TaskId, enq_flags: u64) {
        if stays(k, p) {
            kfunc::scx_bpf_dsq_insert(k, p, dsq_id::GLOBAL, SLICE, enq_flags & !enq::INTERNAL_MASK);
            return;
        }
        if !self.given.borrow_mut().remove(&p) {
            self.give(k, p);
        }
        let allowed = k.task(p).cpus;
        let idle = kfunc::scx_bpf_pick_idle_cpu(k, &allowed, 0);
        if idle >= 0 {
            kfunc::scx_bpf_kick_cpu(k, idle, kick::IDLE);
        }
    }

    fn dispatch(&self, k: &mut Kernel, cpu: CpuId, prev: Option<TaskId>) {
        let prev = prev.filter(|&p| k.task(p).scx.flags & QUEUED != 0 && !stays(k, p));
        if let Some(p) = prev
            && self.given.borrow_mut().insert(p)
        {
            self.give(k, p);
        }
        while kfunc::scx_bpf_dispatch_nr_slots(k) > 0 {
            let next = self.ask(k, |s| s.dispatch().map(|(task, slice)| (task, slice, s.select_cpu(&task))));
            let Some((task, slice, wanted)) = next else { return };
            let slice = if slice.0 == 0 { SLICE } else { slice.0 };
            let Some(p) = kfunc::bpf_task_from_pid(k, task.pid) else { continue };
            if prev != Some(p) && self.given.borrow_mut().remove(&p) {
                // Another CPU is about to enqueue it, and gives it again.
                kfunc::bpf_task_release(k, p);
                continue;
            }
            let elsewhere = wanted.filter(|w| w.0 >= 0 && w.0 != cpu.0 as i32 && (w.0 as usize) < k.nr_cpus());
            match elsewhere {
                Some(w) if prev != Some(p) => {
                    kfunc::scx_bpf_dsq_insert(k, p, dsq_id::LOCAL_ON | w.0 as u64, slice, 0);
                    kfunc::scx_bpf_kick_cpu(k, w.0, kick::IDLE);
                }
                _ if prev == Some(p) => {
                    // It goes on.
                    self.given.borrow_mut().remove(&p);
                    kfunc::scx_bpf_task_set_slice(k, p, slice);
                }
                _ => _ = kfunc::scx_bpf_dsq_insert(k, p, dsq_id::LOCAL, slice, 0),
            }
            kfunc::bpf_task_release(k, p);
            if elsewhere.is_none() || prev == Some(p) {
                return;
            }
        }
    }

    fn quiescent(&self, _k: &mut Kernel, p: TaskId, _deq_flags: u64) {
        self.given.borrow_mut().remove(&p);
    }

    fn exit_task(&self, k: &mut Kernel, p: TaskId, _args: ExitTaskArgs) {
        let pid = k.task(p).pid as i32;
        self.given.borrow_mut().remove(&p);
        self.ask(k, |s| s.exit_task(pid));
    }
}

/// SCX_TASK_QUEUED.
const QUEUED: u32 = 1;
