//! The periodic tick: when it comes, when it stops (NO_HZ), what it does.

use scxr_trace::EventKind;

use crate::class;
use crate::executor::{Kernel, NEVER};
use crate::ids::{CpuId, Ns, TaskId};
use crate::irq::Ipi;
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
        if idle {
            self.cpus[cpu].irq.hrtick = NEVER;
        }
        let stop = if idle { self.config.nohz_idle || !self.online.test(cpu) } else { self.can_stop_tick(cpu) };
        self.set_tick(cpu, !stop);
    }

    /// `cpu` has come online, idle.
    pub(crate) fn start_tick(&mut self, cpu: CpuId) {
        if !self.config.nohz_idle {
            let at = self.tick_after(self.now());
            self.cpus[cpu].irq.next_tick = at;
            self.exec.bring_forward(cpu, at);
        }
    }

    /// The next tick of `cpu`, which is this CPU.
    fn arm_tick(&mut self, cpu: CpuId) {
        let now = self.now();
        self.cpus[cpu].irq.next_tick = self.tick_after(now);
    }

    /// Starts or stops the tick of `cpu`, which is this CPU.
    fn set_tick(&mut self, cpu: CpuId, on: bool) {
        match (on, self.cpus[cpu].irq.next_tick) {
            (true, NEVER) => self.arm_tick(cpu),
            (false, _) => self.cpus[cpu].irq.next_tick = NEVER,
            _ => {}
        }
    }

    /// [sched_can_stop_tick] for a full-nohz CPU: deadline tasks need it; RT tasks need it if two share a time slice, and hide what is below them;
    /// else the ext class decides (E-151), and the fair class needs it for two tasks.
    pub(crate) fn can_stop_tick(&self, cpu: CpuId) -> bool {
        let rq = &self.rqs[cpu];
        let by_classes = || match rq.rt.nr_running() {
            _ if rq.dl.nr_running() > 0 => false,
            0 => ext::can_stop_tick(self, cpu) && rq.fair.nr_queued() <= 1,
            _ => rq.rt.nr_round_robin() <= 1,
        };
        self.config.nohz_full.test(cpu) && by_classes()
    }

    /// Something has changed on `cpu` (rq lock held) that its tick may depend on [sched_update_tick_dependency]. Another CPU
    /// is interrupted to start its tick [tick_nohz_dep_set_cpu]; that it can stop, it sees at the next one.
    #[inline]
    pub(crate) fn reevaluate_tick(&mut self, cpu: CpuId) {
        if self.config.nohz_full.test(cpu) && !self.rqs[cpu].is_idle() {
            self.update_tick_dependency(cpu);
        }
    }

    #[cold]
    fn update_tick_dependency(&mut self, cpu: CpuId) {
        let stop = self.can_stop_tick(cpu);
        if cpu == self.this_cpu() {
            self.set_tick(cpu, !stop);
        } else if !stop && self.cpus[cpu].irq.next_tick == NEVER && !self.cpus[cpu].irq.has_ipi(Ipi::NohzFull) {
            self.send_ipi(cpu, Ipi::NohzFull);
        }
    }

    /// [sched_tick], as an interrupt on this CPU. Ticks that would have come while it runs are skipped.
    pub(crate) fn sched_tick(&mut self) {
        let cpu = self.this_cpu();
        self.arm_tick(cpu);
        let cost = self.cost.tick;
        self.charge(cost);
        let idle = self.rqs[cpu].is_idle();
        if !idle {
            let pid = self.curr(cpu).pid;
            self.emit(EventKind::Tick { pid });
        }
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        if self.rqs[cpu].need_resched_lazy {
            self.resched_curr(cpu);
        }
        class::task_tick(self, cpu);
        ext::scx_tick(self, cpu);
        class::run_balance_callbacks(self, cpu);
        ext::rq_clock_invalidate(self, cpu);
        self.unlock(LockId::Rq(cpu));
        if !self.ext.switched_all() {
            fair::trigger_load_balance(self, cpu);
        }
        if self.cpus[cpu].irq.next_tick <= self.now() {
            self.arm_tick(cpu);
        }
        self.reevaluate_tick(cpu);
    }
}
