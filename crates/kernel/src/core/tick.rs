//! The periodic tick: when it comes, when it stops (NO_HZ), what it does.

use scxr_trace::EventKind;

use crate::class;
use crate::executor::{Kernel, NEVER};
use crate::ids::{CpuId, Ns, TaskId};
use crate::lock::LockId;
use crate::{ext, fair};

impl Kernel {
    /// First tick strictly after `t`. Ticks of all CPUs coincide, as without skew_tick.
    fn tick_after(&self, t: Ns) -> Ns {
        let period = self.config.tick_ns();
        (t / period + 1) * period
    }

    /// The tick follows a switch: it stops on an idle CPU, and on a full-nohz CPU that does not need it.
    pub(crate) fn tick_switch(&mut self, cpu: CpuId, _prev: TaskId, next: TaskId) {
        let idle = next == self.rqs[cpu].idle;
        let stop = if idle { self.config.nohz_idle } else { self.can_stop_tick(cpu) };
        self.set_tick(cpu, !stop);
    }

    /// Starts or stops the tick of `cpu`.
    pub(crate) fn set_tick(&mut self, cpu: CpuId, on: bool) {
        let now = self.now().max(self.cpus[cpu].clock);
        match (on, self.cpus[cpu].irq.next_tick) {
            (true, NEVER) => self.cpus[cpu].irq.next_tick = self.tick_after(now),
            (false, _) => self.cpus[cpu].irq.next_tick = NEVER,
            _ => {}
        }
    }

    /// [sched_can_stop_tick] for a full-nohz CPU.
    pub(crate) fn can_stop_tick(&self, cpu: CpuId) -> bool {
        self.config.nohz_full.test(cpu)
            && self.rqs[cpu].nr_running <= 1
            && self.rqs[cpu].fair.nr_queued() <= 1
            && ext::can_stop_tick(self, cpu)
    }

    /// [tick_nohz_dep_set_cpu]: something has come to `cpu` that needs the tick.
    pub(crate) fn reevaluate_tick(&mut self, cpu: CpuId) {
        if self.config.nohz_full.test(cpu) && !self.rqs[cpu].is_idle() {
            let stop = self.can_stop_tick(cpu);
            self.set_tick(cpu, !stop);
        }
    }

    /// [sched_tick], as an interrupt on this CPU.
    pub(crate) fn sched_tick(&mut self) {
        let cpu = self.this_cpu();
        let now = self.now();
        self.cpus[cpu].irq.next_tick = self.tick_after(now);
        let cost = self.cost.tick;
        self.charge(cost);
        let idle = self.rqs[cpu].is_idle();
        if !idle {
            let pid = self.curr(cpu).pid;
            self.emit(EventKind::Tick { pid });
        }
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        class::task_tick(self, cpu);
        ext::scx_tick(self, cpu);
        class::run_balance_callbacks(self, cpu);
        ext::rq_clock_invalidate(self, cpu);
        self.unlock(LockId::Rq(cpu));
        if !self.ext.switched_all() {
            fair::trigger_load_balance(self, cpu);
        }
        self.reevaluate_tick(cpu);
    }
}
