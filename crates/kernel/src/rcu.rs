//! How long things live that somebody may still be looking at: references to tasks, and grace periods.
//!
//! Code on a CPU (a program that was handed a task, a dispatch that found a queue) may hold a number of something that is
//! ended meanwhile by another CPU. What ends is therefore freed only after a grace period: when every CPU that was in kernel
//! code has been through its outermost loop, where it holds nothing [call_rcu, synchronize_rcu]. A CPU that waits for an
//! event in idle or user code is there already.

use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ext::SchedId;
use crate::ids::{CpuId, TaskId};
use crate::state::State;

/// What is freed after a grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// A task without references.
    Task(TaskId),
    /// The slot of a dispatch queue, by its index.
    Dsq(u32),
    /// A scheduler that ended, and its slot.
    Sched(SchedId),
}

/// Grace periods.
#[derive(Debug, Default)]
pub(crate) struct Rcu {
    /// Is one under way?
    active: bool,
    /// CPUs that it waits for.
    waiting: CpuMask,
    /// What it frees.
    garbage: Vec<Garbage>,
    /// Is another one wanted after it, and what for?
    again: bool,
    next: Vec<Garbage>,
    /// Grace periods ended.
    completed: u64,
}

impl State {
    /// One more reference to `p`. False: it has none left, or is gone [refcount_inc_not_zero].
    pub fn get_task(&mut self, p: TaskId) -> bool {
        match self.tasks.get_mut(p.0 as usize).and_then(|t| t.as_deref_mut()) {
            Some(t) if t.nr_refs > 0 => {
                t.nr_refs += 1;
                true
            }
            _ => false,
        }
    }

    /// One reference to `p` less. Without any it is freed after a grace period [put_task_struct].
    pub fn put_task(&mut self, p: TaskId) {
        let refs = &mut self.task_mut(p).nr_refs;
        *refs -= 1;
        if *refs == 0 {
            self.call_rcu(Garbage::Task(p));
        }
    }

    /// Frees something after a grace period [call_rcu].
    pub(crate) fn call_rcu(&mut self, what: Garbage) {
        self.rcu.next.push(what);
        self.want_grace_period();
    }

    /// Sees to it that a grace period begins from now on; the number of ended ones when that one has ended.
    fn want_grace_period(&mut self) -> u64 {
        if self.rcu.active {
            self.rcu.again = true;
            return self.rcu.completed + 2;
        }
        self.start_grace_period();
        self.rcu.completed + 1
    }

    fn start_grace_period(&mut self) {
        let busy = (0..self.nr_cpus() as u32).map(CpuId).filter(|&cpu| !self.exec.is_waiting(cpu)).collect();
        let rcu = &mut self.rcu;
        (rcu.active, rcu.again, rcu.waiting) = (true, false, busy);
        rcu.garbage.append(&mut rcu.next);
    }

    /// `cpu` is in its outermost loop, or waits where it holds nothing either [rcu_qs].
    #[inline]
    pub(crate) fn quiescent_state(&mut self, cpu: CpuId) {
        if self.rcu.active {
            self.rcu.waiting.clear(cpu);
            if self.rcu.waiting.is_empty() {
                self.end_grace_period();
            }
        }
    }

    #[cold]
    fn end_grace_period(&mut self) {
        self.rcu.active = false;
        self.rcu.completed += 1;
        for what in std::mem::take(&mut self.rcu.garbage) {
            match what {
                Garbage::Task(p) => self.free_task(p),
                Garbage::Dsq(i) => self.ext.free_dsq_slot(i),
                Garbage::Sched(id) => self.ext.scheds.free(id),
            }
        }
        if self.rcu.again {
            self.start_grace_period();
        }
    }

    fn free_task(&mut self, p: TaskId) {
        debug_assert_eq!(self.task(p).nr_refs, 0);
        debug_assert!(self.task(p).pi_lock.owner().is_none(), "{p:?} is locked when it is freed");
        crate::ext::task_freed(self, p);
        self.tasks[p.0 as usize] = None;
    }
}

/// Waits until no CPU is left in kernel code that began before. The caller holds nothing itself [synchronize_rcu].
pub(crate) fn synchronize_rcu(k: &mut Kernel) {
    let me = k.this_cpu();
    let target = k.want_grace_period();
    while k.rcu.completed < target {
        k.quiescent_state(me);
        crate::ext::call::cpu_relax(k);
    }
}
