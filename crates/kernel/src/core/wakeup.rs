//! Wakeups: from a sleeping task to one that is queued on the CPU chosen for it.

use scxr_trace::EventKind;

use crate::class::{self, ClassId, enq, wf};
use crate::executor::Kernel;
use crate::ext;
use crate::ids::{CpuId, TaskId};
use crate::irq::Ipi;
use crate::lock::LockId;
use crate::task::{OnRq, TaskState};

impl Kernel {
    /// [wake_up_process]
    pub fn wake_up_process(&mut self, p: TaskId) -> bool {
        self.try_to_wake_up(p, 0)
    }

    /// [try_to_wake_up]: makes a sleeping task runnable; false if it was not sleeping. `flags`: [`wf::SYNC`] or 0.
    pub fn try_to_wake_up(&mut self, p: TaskId, flags: u64) -> bool {
        let flags = flags | wf::TTWU;
        if self.find_task(p).is_none_or(|t| t.state != TaskState::Sleeping) {
            return false;
        }
        self.lock(LockId::Pi(p));
        let woken = self.find_task(p).is_some_and(|t| t.state == TaskState::Sleeping);
        if woken {
            self.emit_waking(p, flags);
            let in_irq = self.cpus[self.this_cpu()].in_irq;
            let cost = self.cost.wakeup + if in_irq { self.cost.wakeup_irq } else { 0 };
            self.charge(cost);
            self.wake_sleeper(p, flags);
        }
        self.unlock(LockId::Pi(p));
        woken
    }

    fn emit_waking(&mut self, p: TaskId, flags: u64) {
        let (pid, waker) = (self.task(p).pid, self.curr(self.this_cpu()).pid);
        self.emit(EventKind::Waking { pid, waker, sync: flags & wf::SYNC != 0 });
    }

    fn wake_sleeper(&mut self, p: TaskId, flags: u64) {
        self.task_mut(p).waits_on = None;
        self.task_mut(p).sleep_seq += 1;
        if self.task(p).on_rq != OnRq::No && self.wake_queued(p, flags) {
            return;
        }
        self.task_mut(p).state = TaskState::Running;
        let prev = self.task(p).cpu;
        if self.task(p).on_cpu && self.ttwu_queue_wakelist(p, prev, flags) {
            return;
        }
        self.wait_until_off_cpu(p);
        let (cpu, mut flags) = self.select_task_rq(p, prev, flags);
        if cpu != prev {
            flags |= wf::MIGRATED;
            self.set_task_cpu(p, cpu);
        }
        if self.ttwu_queue_wakelist(p, cpu, flags) {
            return;
        }
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        self.ttwu_do_activate(cpu, p, flags);
        self.unlock(LockId::Rq(cpu));
    }

    /// Leaves it to another CPU to queue a task, where that has nothing to run or shares no cache with this one (rule 7.13)
    /// [ttwu_queue_wakelist, ttwu_queue_cond, scx_allow_ttwu_queue].
    fn ttwu_queue_wakelist(&mut self, p: TaskId, cpu: CpuId, flags: u64) -> bool {
        let me = self.this_cpu();
        let shares = self.topology.cpus[me].llc == self.topology.cpus[cpu].llc;
        let allowed = match self.task(p).class {
            ClassId::Stop => false,
            ClassId::Ext => ext::allows_queued_wakeups(self, p),
            _ => true,
        };
        if cpu == me || !allowed || !self.is_cpu_allowed(p, cpu) || !self.rqs[cpu].active {
            return false;
        }
        if shares && self.rqs[cpu].nr_running > 0 {
            return false;
        }
        self.task_mut(p).remote_wakeup = flags & wf::MIGRATED != 0;
        let list = &mut self.rqs[cpu].wake_list;
        list.push(p);
        if list.len() == 1 {
            self.send_ipi(cpu, Ipi::Wakeups);
        }
        true
    }

    /// Queues those that other CPUs have woken [sched_ttwu_pending]. Who may not run here any more goes elsewhere.
    pub(crate) fn sched_ttwu_pending(&mut self, cpu: CpuId) {
        if self.rqs[cpu].wake_list.is_empty() {
            return;
        }
        let mut others = Vec::new();
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        for p in std::mem::take(&mut self.rqs[cpu].wake_list) {
            let flags = if self.task(p).remote_wakeup { wf::MIGRATED } else { 0 };
            match self.is_cpu_allowed(p, cpu) {
                true => self.ttwu_do_activate(cpu, p, flags),
                false => others.push(p),
            }
        }
        self.unlock(LockId::Rq(cpu));
        for p in others {
            self.lock(LockId::Pi(p));
            let to = self.select_fallback_rq(p, cpu);
            self.set_task_cpu(p, to);
            self.lock(LockId::Rq(to));
            self.update_rq_clock(to);
            self.ttwu_do_activate(to, p, wf::MIGRATED);
            self.unlock(LockId::Rq(to));
            self.unlock(LockId::Pi(p));
        }
    }

    /// [ttwu_runnable]: the task is still queued: it has not blocked yet, or its dequeue is delayed.
    fn wake_queued(&mut self, p: TaskId, flags: u64) -> bool {
        let cpu = self.lock_task_rq(p);
        let queued = self.task(p).on_rq == OnRq::Queued;
        if queued {
            self.update_rq_clock(cpu);
            if self.task(p).class == ClassId::Fair && self.task(p).se.is_delayed() {
                let flags = enq::NOCLOCK | enq::DELAYED;
                class::enqueue_task(self, cpu, p, flags);
                let pid = self.task(p).pid;
                self.emit_on(cpu, EventKind::Enqueue { pid, on: cpu.0, flags });
            }
            if !self.task(p).on_cpu {
                class::wakeup_preempt(self, cpu, p, flags);
            }
            self.task_mut(p).state = TaskState::Running;
        }
        self.unlock(LockId::Rq(cpu));
        queued
    }

    /// The task has left the run queue but its CPU may still be switching away from it.
    fn wait_until_off_cpu(&mut self, p: TaskId) {
        while self.task(p).on_cpu {
            let me = self.this_cpu();
            self.task_mut(p).on_cpu_waiters.push(me);
            self.block();
        }
    }

    /// [ttwu_do_activate] Rq lock held.
    fn ttwu_do_activate(&mut self, cpu: CpuId, p: TaskId, wake_flags: u64) {
        let mut flags = enq::WAKEUP | enq::NOCLOCK;
        if wake_flags & wf::RQ_SELECTED != 0 {
            flags |= enq::RQ_SELECTED;
        }
        if wake_flags & wf::MIGRATED != 0 {
            flags |= enq::MIGRATED;
        }
        self.activate_task(cpu, p, flags);
        class::wakeup_preempt(self, cpu, p, wake_flags);
        class::task_woken(self, cpu, p);
    }

    /// [select_task_rq]: where `p` goes, and the wake flags with what was found out. pi_lock held.
    pub(crate) fn select_task_rq(&mut self, p: TaskId, prev: CpuId, mut flags: u64) -> (CpuId, u64) {
        let t = self.task(p);
        let mut cpu = if t.nr_cpus_allowed > 1 && t.migration_disabled == 0 {
            flags |= wf::RQ_SELECTED;
            class::select_task_rq(self, p, prev, flags)
        } else if t.migration_disabled > 0 {
            t.cpu
        } else {
            t.cpus.first().unwrap_or(prev)
        };
        if !self.is_cpu_allowed(p, cpu) {
            cpu = self.select_fallback_rq(p, cpu);
        }
        let pid = self.task(p).pid;
        self.emit(EventKind::Select { pid, prev: prev.0, cpu: cpu.0 });
        (cpu, flags)
    }

    /// [is_cpu_allowed]
    pub(crate) fn is_cpu_allowed(&self, p: TaskId, cpu: CpuId) -> bool {
        let t = self.task(p);
        match () {
            () if !t.cpus.test(cpu) => false,
            () if t.is_kthread() => self.online.test(cpu),
            () => self.rqs[cpu].active,
        }
    }

    /// [select_fallback_rq]: an allowed CPU of the same node, any allowed CPU, or, when there is none, any CPU: the affinity
    /// is widened to all then [set_cpus_allowed_force]. pi_lock held, no rq lock.
    pub(crate) fn select_fallback_rq(&mut self, p: TaskId, cpu: CpuId) -> CpuId {
        let usable: crate::cpumask::CpuMask = self.online.iter().filter(|&c| self.rqs[c].active).collect();
        let allowed = self.task(p).cpus.and(&usable);
        let near = allowed.and(self.topology.node_mask(cpu));
        match near.first().or_else(|| allowed.first()) {
            Some(c) => c,
            None => {
                let all = crate::cpumask::CpuMask::first_n(self.nr_cpus());
                let rq = self.lock_task_rq(p);
                self.do_set_cpus_allowed(p, all);
                self.unlock(LockId::Rq(rq));
                usable.first().unwrap_or(cpu)
            }
        }
    }

    /// Locks the run queue on which the task is, whichever that is in the end [task_rq_lock]. The task cannot leave it
    /// by itself meanwhile.
    pub(crate) fn lock_task_rq(&mut self, p: TaskId) -> CpuId {
        loop {
            let cpu = self.task(p).cpu;
            self.lock(LockId::Rq(cpu));
            if self.task(p).cpu == cpu && self.task(p).on_rq != OnRq::Migrating {
                return cpu;
            }
            self.unlock(LockId::Rq(cpu));
            self.charge(1); // time moves even if locks are free, so that the mover gets on
            self.let_earlier_cpus_run();
        }
    }

    /// [wake_up_new_task]: a new task becomes runnable for the first time.
    pub(crate) fn wake_up_new_task(&mut self, p: TaskId) {
        self.lock(LockId::Pi(p));
        self.task_mut(p).state = TaskState::Running;
        let prev = self.task(p).cpu;
        let (cpu, _) = self.select_task_rq(p, prev, wf::FORK);
        if cpu != prev {
            self.set_task_cpu(p, cpu);
        }
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        crate::fair::post_init_entity(self, cpu, p);
        self.activate_task(cpu, p, enq::NOCLOCK | enq::INITIAL);
        class::wakeup_preempt(self, cpu, p, wf::FORK);
        class::task_woken(self, cpu, p);
        self.unlock(LockId::Rq(cpu));
        self.unlock(LockId::Pi(p));
    }
}
