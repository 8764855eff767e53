//! Changing a task's affinity, nice value, policy and class while it runs, waits or sleeps.

use scxr_trace::EventKind;

use crate::behavior::Policy;
use crate::class::dl::{self, ParamsError};
use crate::class::{self, ClassId, deq, enq};
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;
use crate::prio;
use crate::rq::StopWork;
use crate::task::{OnRq, TaskState};

/// Why an attribute was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrError {
    /// The task is gone (ESRCH).
    NoSuchTask,
    /// No CPU that is online is in the mask (EINVAL).
    NoUsableCpu,
    /// The scheduler does not take the task (EACCES).
    NotPermitted,
    /// A deadline task is to have parameters that make no sense, an affinity, or more bandwidth than there is.
    Deadline(ParamsError),
    /// The deadline class places its tasks on all CPUs (EBUSY).
    DeadlineAffinity,
}

/// What a change bracket remembers between its two halves.
pub(crate) struct SchedChange {
    p: TaskId,
    cpu: CpuId,
    flags: u64,
    queued: bool,
    running: bool,
    class: ClassId,
    prio: i32,
}

impl Kernel {
    /// [sched_change_begin]: takes `p` out of its class for a change. `flags`: [`deq::SAVE`], [`deq::MOVE`],
    /// [`deq::NOCLOCK`], [`deq::CLASS`]. Rq lock of its CPU held.
    pub(crate) fn sched_change_begin(&mut self, p: TaskId, flags: u64) -> SchedChange {
        let t = self.task(p);
        let (cpu, class, prio) = (t.cpu, t.class, t.prio);
        if flags & deq::NOCLOCK == 0 {
            self.update_rq_clock(cpu);
        }
        let flags = flags | deq::NOCLOCK;
        let queued = self.task(p).on_rq == OnRq::Queued;
        let running = self.rqs[cpu].curr == p;
        if queued {
            class::dequeue_task(self, cpu, p, flags);
            if !running {
                self.emit_dequeue(cpu, p, flags);
            }
        }
        if running {
            class::put_prev_task(self, cpu, p, None);
        }
        if flags & deq::CLASS != 0 {
            class::switched_from(self, cpu, p, class);
        }
        SchedChange { p, cpu, flags, queued, running, class, prio }
    }

    /// [sched_change_end]: puts it back.
    pub(crate) fn sched_change_end(&mut self, c: SchedChange) {
        let SchedChange { p, cpu, flags, queued, running, class, prio } = c;
        if flags & deq::CLASS != 0 {
            class::switching_to(self, p);
        }
        // A task whose delayed dequeue was completed by the change sleeps for good now.
        let queued = queued && self.task(p).on_rq == OnRq::Queued;
        if queued {
            class::enqueue_task(self, cpu, p, flags | enq::NOCLOCK);
        }
        if running {
            class::set_next_task(self, cpu, p, false);
            if queued && self.task(p).class == ClassId::Ext {
                self.emit_dequeue(cpu, p, flags); // the enqueue put it in a queue; it goes on running
            }
        }
        if flags & deq::CLASS == 0 {
            class::prio_changed(self, cpu, p, prio);
            return;
        }
        let new = self.task(p).class;
        if queued {
            if new > self.rqs[cpu].next_class {
                class::wakeup_preempt(self, cpu, p, 0);
            }
            if running && new < class {
                self.resched_curr(cpu);
            }
        }
        class::switched_to(self, cpu, p);
    }

    /// [set_user_nice]
    pub fn set_user_nice(&mut self, p: TaskId, nice: i8) -> Result<(), AttrError> {
        let policy = self.find_task(p).ok_or(AttrError::NoSuchTask)?.policy;
        self.set_scheduler(p, policy, nice)
    }

    /// [__sched_setscheduler]: sets policy and nice value; the class follows (E-37).
    pub fn set_scheduler(&mut self, p: TaskId, policy: Policy, nice: i8) -> Result<(), AttrError> {
        if self.find_task(p).is_none_or(|t| t.state == TaskState::Dead) {
            return Err(AttrError::NoSuchTask);
        }
        if !dl::check_params(policy) {
            return Err(AttrError::Deadline(ParamsError::Invalid));
        }
        self.lock(LockId::Pi(p));
        let cpu = self.lock_task_rq(p);
        let result = self.change_scheduler(cpu, p, policy, nice.clamp(-20, 19));
        class::run_balance_callbacks(self, cpu);
        self.unlock(LockId::Rq(cpu));
        self.unlock(LockId::Pi(p));
        result
    }

    /// The same for a task that does not look at the result, which is counted.
    pub(crate) fn ask_for_policy(&mut self, p: TaskId, policy: Policy, nice: i8) {
        let refused = |e| e != AttrError::NoSuchTask;
        self.nr_policies_refused += u64::from(self.set_scheduler(p, policy, nice).is_err_and(refused));
    }

    fn change_scheduler(&mut self, cpu: CpuId, p: TaskId, policy: Policy, nice: i8) -> Result<(), AttrError> {
        if !crate::ext::check_setscheduler(self, p, policy) {
            return Err(AttrError::NotPermitted);
        }
        let t = self.task(p);
        if (t.policy, t.nice) == (policy, nice) {
            return Ok(());
        }
        dl::admit(self, p, policy).map_err(AttrError::Deadline)?;
        let t = self.task(p);
        let class = self.class_for(policy);
        if t.policy == policy && matches!(class, ClassId::Rt | ClassId::Dl) {
            self.task_mut(p).set_attributes(policy, nice); // for later: it means nothing to these tasks [set_user_nice]
        } else {
            self.change_class(cpu, p, policy, nice, class);
        }
        let t = self.task(p);
        let (pid, weight) = (t.pid, prio::cgroup_weight(t.weight()));
        self.emit(EventKind::Weight { pid, weight, policy: policy.number() });
        Ok(())
    }

    /// The change itself. A task whose priority stays keeps its place in a queue by priority; one whose priority is lowered by a
    /// change of policy comes first in its new one.
    fn change_class(&mut self, cpu: CpuId, p: TaskId, policy: Policy, nice: i8, class: ClassId) {
        let t = self.task(p);
        let (old, new) = (t.prio, prio::prio_of(policy, nice));
        let rt = t.class == class && matches!(class, ClassId::Rt | ClassId::Dl);
        let mut flags = if class == t.class { deq::SAVE } else { deq::SAVE | deq::CLASS };
        flags |= if rt && old == new { 0 } else { deq::MOVE };
        let mut c = self.sched_change_begin(p, flags);
        if rt && old < new {
            c.flags |= enq::HEAD;
        }
        self.task_mut(p).set_attributes(policy, nice);
        self.task_mut(p).class = class;
        class::reweight_task(self, cpu, p);
        self.sched_change_end(c);
    }

    /// [__setscheduler_class]
    pub(crate) fn class_for(&self, policy: Policy) -> ClassId {
        match policy {
            Policy::Deadline { .. } => ClassId::Dl,
            Policy::Fifo(_) | Policy::RoundRobin(_) => ClassId::Rt,
            _ if crate::ext::task_should_scx(self, policy) => ClassId::Ext,
            _ => ClassId::Fair,
        }
    }

    /// [__set_cpus_allowed_ptr]: changes the affinity and moves the task if it may not stay. CPUs that the machine does not
    /// have are left out, as sched_setaffinity(2) does it.
    pub fn set_cpus_allowed(&mut self, p: TaskId, mask: CpuMask) -> Result<(), AttrError> {
        if self.find_task(p).is_none_or(|t| t.state == TaskState::Dead) {
            return Err(AttrError::NoSuchTask);
        }
        let usable: CpuMask = self.online.iter().filter(|&c| self.rqs[c].active).collect();
        let mask = mask.and(&self.possible());
        let valid = mask.and(&usable);
        let Some(first) = valid.first() else {
            return Err(AttrError::NoUsableCpu);
        };
        if self.task(p).class == ClassId::Dl && dl::confined(self, &mask) {
            return Err(AttrError::DeadlineAffinity);
        }
        self.lock(LockId::Pi(p));
        let cpu = self.lock_task_rq(p);
        if self.task(p).cpus != mask {
            self.do_set_cpus_allowed(p, mask);
        }
        let stop = self.leave_forbidden_cpu(cpu, p, valid, first);
        self.unlock(LockId::Pi(p));
        if let Some(to) = stop {
            self.stop_one_cpu(cpu, StopWork::Migrate(p, to));
        }
        Ok(())
    }

    /// Changes the affinity in a change bracket and tells the class. pi_lock and rq lock held [do_set_cpus_allowed].
    pub(crate) fn do_set_cpus_allowed(&mut self, p: TaskId, mask: CpuMask) {
        let c = self.sched_change_begin(p, deq::SAVE);
        self.task_mut(p).set_cpus(mask);
        self.emit_affinity(p);
        class::set_cpus_allowed(self, p);
        self.sched_change_end(c);
    }

    /// [affine_move_task]: moves a waiting task at once; the result is where the stopper is to move a running one. The
    /// rq lock is released.
    fn leave_forbidden_cpu(&mut self, cpu: CpuId, p: TaskId, valid: CpuMask, first: CpuId) -> Option<CpuId> {
        let t = self.task(p);
        let mut held = cpu;
        let mut stop = None;
        if !valid.test(cpu) && t.migration_disabled == 0 {
            if t.on_cpu || t.state == TaskState::New {
                stop = (t.state != TaskState::New).then_some(first);
            } else if t.on_rq == OnRq::Queued {
                self.update_rq_clock(cpu);
                self.move_queued_task(cpu, p, first);
                held = first;
            }
        }
        class::run_balance_callbacks(self, held);
        self.unlock(LockId::Rq(held));
        stop
    }
}
