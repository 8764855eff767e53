//! schedule(): picking the next task and switching to it; the run queue's clock; rescheduling another CPU.

use scxr_trace::{EventKind, SwitchOut};

use crate::class::{self, ClassId, deq};
use crate::config::Preemption;
use crate::cost::CostTable;
use crate::executor::Kernel;
use crate::ext;
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::Ipi;
use crate::lock::LockId;
use crate::task::{OnRq, TaskState};

impl Kernel {
    /// [update_rq_clock]: the clock of `cpu`'s run queue is now, as the CPU that runs this code sees it. Never goes back.
    #[inline]
    pub fn update_rq_clock(&mut self, cpu: CpuId) {
        let now = self.now();
        let rq = &mut self.rqs[cpu];
        rq.clock = rq.clock.max(now);
        ext::rq_clock_updated(self, cpu);
    }

    /// The running task's time starts to count now.
    pub(crate) fn set_exec_start(&mut self, cpu: CpuId, p: TaskId) {
        let clock = self.rqs[cpu].clock;
        self.task_mut(p).exec_start = clock;
    }

    /// [update_curr_common]: accounts the running task's time since the last call and returns it.
    pub(crate) fn update_curr_common(&mut self, cpu: CpuId) -> Ns {
        let clock = self.rqs[cpu].clock;
        let curr = self.rqs[cpu].curr;
        let t = self.task_mut(curr);
        let delta = clock.saturating_sub(t.exec_start);
        t.exec_start = t.exec_start.max(clock);
        t.sum_exec_runtime += delta;
        delta
    }

    /// [resched_curr]: the running task of `cpu` is to be rescheduled; a remote CPU is interrupted.
    pub fn resched_curr(&mut self, cpu: CpuId) {
        if self.rqs[cpu].need_resched {
            return;
        }
        self.rqs[cpu].need_resched = true;
        if cpu != self.this_cpu() {
            self.send_ipi(cpu, Ipi::Resched);
        }
    }

    /// [resched_curr_lazy]: the same on behalf of the fair class (rule 3.6).
    pub(crate) fn resched_curr_lazy(&mut self, cpu: CpuId) {
        match self.config.preemption {
            Preemption::Lazy if !self.rqs[cpu].is_idle() => self.rqs[cpu].need_resched_lazy = true,
            _ => self.resched_curr(cpu),
        }
    }

    /// [resched_cpu]: the same from outside the run queue's lock.
    pub fn resched_cpu(&mut self, cpu: CpuId) {
        self.lock(LockId::Rq(cpu));
        if self.online.test(cpu) || cpu == self.this_cpu() {
            self.resched_curr(cpu);
        }
        self.unlock(LockId::Rq(cpu));
    }

    /// [schedule]: lets another task run on this CPU, if there is a better one or the running one cannot go on.
    pub(crate) fn schedule(&mut self) {
        let cpu = self.this_cpu();
        let cost = self.cost.schedule;
        self.charge(cost);
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        let prev = self.rqs[cpu].curr;
        let blocked = self.task(prev).state != TaskState::Running;
        if blocked {
            self.task_mut(prev).nvcsw += 1;
            self.block_task(cpu, prev);
        }
        let next = class::pick_next_task(self, cpu);
        self.charge_pick(cpu, prev, next, blocked);
        self.rqs[cpu].need_resched = false;
        self.rqs[cpu].need_resched_lazy = false;
        self.put_prev_set_next(cpu, prev, next);
        let next_class = self.task(next).class;
        self.rqs[cpu].next_class = next_class;
        if prev == next {
            self.task_mut(prev).yielding = false;
            class::run_balance_callbacks(self, cpu);
            ext::rq_clock_invalidate(self, cpu);
            self.unlock(LockId::Rq(cpu));
            return;
        }
        self.context_switch(cpu, prev, next, blocked);
    }

    /// Choosing a task costs more than finding none, and so does putting one back that could go on.
    fn charge_pick(&mut self, cpu: CpuId, prev: TaskId, next: TaskId, blocked: bool) {
        let idle = self.rqs[cpu].idle;
        let pick = if next == idle { 0 } else { self.cost.pick };
        let put = if blocked || prev == next || prev == idle { 0 } else { self.cost.put_prev };
        self.charge(pick + put);
    }

    /// [put_prev_set_next_task]
    fn put_prev_set_next(&mut self, cpu: CpuId, prev: TaskId, next: TaskId) {
        if prev != next {
            class::put_prev_task(self, cpu, prev, Some(next));
            class::set_next_task(self, cpu, next, true);
        }
    }

    /// [try_to_block_task]: the running task leaves the run queue, or stays delayed.
    fn block_task(&mut self, cpu: CpuId, prev: TaskId) {
        class::dequeue_task(self, cpu, prev, deq::SLEEP | deq::NOCLOCK).then(|| self.task_mut(prev).on_rq = OnRq::No);
        if self.task(prev).class == ClassId::Dl && self.task(prev).state == TaskState::Dead {
            class::dl::release_bandwidth(self, cpu, prev);
        }
    }

    fn context_switch(&mut self, cpu: CpuId, prev: TaskId, next: TaskId, blocked: bool) {
        self.rqs[cpu].nr_switches += 1;
        self.rqs[cpu].curr = next;
        self.sched_info_switch(cpu, prev, next);
        self.emit_switch_out(cpu, prev, blocked);
        self.emit_switch_in(next);
        let idle = next == self.rqs[cpu].idle;
        let cost = if idle { self.cost.idle_enter } else { self.cost.context_switch };
        self.charge(cost);
        self.task_mut(next).on_cpu = true;
        self.tick_switch(cpu, prev, next);
        let debt = std::mem::take(&mut self.task_mut(next).migration_debt);
        self.finish_task_switch(cpu, prev);
        self.charge(debt); // paid by the task, not under the lock
    }

    /// `next` is the running task from the very moment at which the last one stops to be it, as the tracepoint sched_switch has
    /// it: the switch itself is its time, as it is in `sum_exec_runtime`, which counts from the pick's clock on.
    fn emit_switch_in(&mut self, next: TaskId) {
        let now = self.now();
        let t = self.task_mut(next);
        t.switched_in_at = now;
        let (pid, idle) = (t.pid, t.class == ClassId::Idle);
        self.emit(if idle { EventKind::IdleIn } else { EventKind::SwitchIn { pid } });
    }

    fn emit_switch_out(&mut self, cpu: CpuId, prev: TaskId, blocked: bool) {
        if prev == self.rqs[cpu].idle {
            self.emit(EventKind::IdleOut);
            return;
        }
        let now = self.now();
        let t = self.task_mut(prev);
        let why = match () {
            () if t.state == TaskState::Dead => SwitchOut::Dead,
            () if blocked => SwitchOut::Blocked,
            () if t.yielding => SwitchOut::Yielded,
            () => SwitchOut::Preempted,
        };
        if !blocked {
            t.nivcsw += 1;
        }
        t.yielding = false;
        let (pid, ran_ns) = (t.pid, now.saturating_sub(t.switched_in_at));
        self.emit(EventKind::SwitchOut { pid, why, ran_ns });
    }

    /// [finish_task_switch]: the stack of `prev` is free, the lock is released, a dead task is buried.
    fn finish_task_switch(&mut self, cpu: CpuId, prev: TaskId) {
        // From here on it may run, and die, elsewhere: other CPUs' work may come in between.
        let dead = self.task(prev).state == TaskState::Dead;
        self.task_mut(prev).on_cpu = false;
        let waiters = std::mem::take(&mut self.task_mut(prev).on_cpu_waiters);
        let now = self.now();
        for waiter in waiters {
            let at = now.max(self.cpus[waiter].clock);
            self.exec.unblock(waiter, at);
        }
        self.owner_stopped(prev);
        class::run_balance_callbacks(self, cpu);
        ext::rq_clock_invalidate(self, cpu);
        self.unlock(LockId::Rq(cpu));
        self.core_speed_changed(cpu);
        if dead {
            self.bury(prev);
        }
    }

    /// [sched_yield]: the running task of this CPU gives way.
    pub(crate) fn sched_yield(&mut self) {
        let cpu = self.this_cpu();
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        let curr = self.rqs[cpu].curr;
        self.task_mut(curr).yielding = true;
        class::yield_task(self, cpu);
        self.unlock(LockId::Rq(cpu));
        self.schedule();
    }

    /// [activate_task]: `p` goes onto `cpu`'s run queue. Rq lock held.
    pub(crate) fn activate_task(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        class::enqueue_task(self, cpu, p, flags);
        self.task_mut(p).on_rq = OnRq::Queued;
        let pid = self.task(p).pid;
        self.emit_on(cpu, EventKind::Enqueue { pid, on: cpu.0, flags });
    }

    /// Takes `p` off a run queue in order to move it [deactivate_task]. Rq lock held.
    pub(crate) fn deactivate_for_migration(&mut self, cpu: CpuId, p: TaskId) {
        self.task_mut(p).on_rq = OnRq::Migrating;
        class::dequeue_task(self, cpu, p, deq::MIGRATING | deq::NOCLOCK);
        self.emit_dequeue(cpu, p, deq::MIGRATING);
    }

    /// Tells the trace that a task left its queue for a moment.
    pub(crate) fn emit_dequeue(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        let pid = self.task(p).pid;
        self.emit_on(cpu, EventKind::Dequeue { pid, flags });
    }

    /// [set_task_cpu]: `p` now belongs to `to`.
    pub(crate) fn set_task_cpu(&mut self, p: TaskId, to: CpuId) {
        let from = self.task(p).cpu;
        if from == to {
            return;
        }
        class::migrate_task_rq(self, p, to);
        let debt = CostTable::by_distance(&self.cost.migration, self.topology.distance(from, to));
        let t = self.task_mut(p);
        t.cpu = to;
        t.nr_migrations += 1;
        t.migration_debt = t.migration_debt.max(debt);
        let pid = t.pid;
        self.emit(EventKind::Migrate { pid, from: from.0, to: to.0 });
    }
}
