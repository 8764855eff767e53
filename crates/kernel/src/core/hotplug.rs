//! CPUs that go and come while the machine runs (E-158 to E-161) [kernel/cpu.c, sched_cpu_activate, sched_cpu_deactivate].
//!
//! A CPU is taken down in two steps, as on Linux: it becomes inactive, so that nothing is placed on it any more, and the
//! scheduler is told; then its stopper thread moves away what is left there and the CPU goes. CPU 0 stays.

use std::cmp::Reverse;

use crate::class::{self, ClassId};
use crate::executor::{Kernel, NEVER};
use crate::ext;
use crate::ids::{CpuId, TaskId};
use crate::lock::LockId;
use crate::rcu::synchronize_rcu;
use crate::rq::StopWork;
use crate::task::OnRq;

/// Who changes the set of CPUs, and who wants it to stay [cpu_hotplug_lock].
#[derive(Debug, Default)]
pub(crate) struct Hotplug {
    /// A CPU is going or coming.
    pub(crate) writer: bool,
    /// Those who must not see that.
    pub(crate) readers: u32,
}

/// Why a CPU stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotplugError {
    /// The machine has no such CPU (EINVAL).
    NoSuchCpu,
    /// The first CPU cannot go (EPERM).
    FirstCpu,
    /// The caller runs on it (EBUSY).
    OwnCpu,
    /// Deadline tasks were promised more bandwidth than the others have (EBUSY).
    Bandwidth,
}

impl Kernel {
    /// Takes a CPU down or brings it up; nothing happens if it is so already. For a task, with no lock held; `cpu` is
    /// another than its own.
    pub fn set_cpu_online(&mut self, cpu: CpuId, online: bool) -> Result<(), HotplugError> {
        match () {
            () if cpu.idx() >= self.nr_cpus() => return Err(HotplugError::NoSuchCpu),
            () if cpu == CpuId(0) => return Err(HotplugError::FirstCpu),
            () if cpu == self.this_cpu() => return Err(HotplugError::OwnCpu),
            () => {}
        }
        self.wait_asleep(|k| !k.hotplug.writer);
        self.hotplug.writer = true;
        self.wait_asleep(|k| k.hotplug.readers == 0);
        let mut result = Ok(());
        match (self.online.test(cpu), online) {
            (true, false) if !class::dl::check_deactivation(self, cpu) => result = Err(HotplugError::Bandwidth),
            (true, false) => self.cpu_down(cpu),
            (false, true) => self.cpu_up(cpu),
            _ => {}
        }
        self.hotplug.writer = false;
        ext::hotplug_done(self);
        result
    }

    /// Waits for other CPUs as a task that sleeps does: nobody who waits for this CPU waits in vain.
    fn wait_asleep(&mut self, done: impl Fn(&Kernel) -> bool) {
        let me = self.this_cpu();
        while !done(self) {
            self.quiescent_state(me);
            self.rqs[me].scx.kick_sync += 1;
            ext::call::cpu_relax(self);
        }
    }

    /// [_cpu_down, sched_cpu_deactivate]
    fn cpu_down(&mut self, cpu: CpuId) {
        self.rqs[cpu].active = false;
        self.fair.idle.clear(cpu);
        synchronize_rcu(self); // who still took it for active has placed its task
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        ext::rq_offline(self, cpu);
        class::run_balance_callbacks(self, cpu);
        self.unlock(LockId::Rq(cpu));
        ext::handle_hotplug(self, cpu, false);
        self.stop_one_cpu(cpu, StopWork::TakeDown);
        self.wait_asleep(|k| !k.online.test(cpu));
    }

    /// [_cpu_up, sched_cpu_activate]
    fn cpu_up(&mut self, cpu: CpuId) {
        self.online.set(cpu);
        self.rqs[cpu].active = true;
        if self.rqs[cpu].is_idle() {
            self.fair.idle.set(cpu);
        }
        ext::handle_hotplug(self, cpu, true);
        self.lock(LockId::Rq(cpu));
        self.update_rq_clock(cpu);
        ext::rq_online(self, cpu);
        self.unlock(LockId::Rq(cpu));
        self.start_tick(cpu);
        self.resched_cpu(cpu);
    }
}

/// On the stopper of the CPU that goes: everything leaves it [take_cpu_down, migrate_tasks].
pub(crate) fn take_down(k: &mut Kernel, cpu: CpuId) {
    let stays = |k: &Kernel, p: TaskId| {
        k.find_task(p).is_none_or(|t| t.cpu != cpu || t.on_rq != OnRq::Queued || t.class == ClassId::Stop)
    };
    k.sched_ttwu_pending(cpu);
    loop {
        let left: Vec<TaskId> = k.all_tasks().into_iter().filter(|&p| !stays(k, p)).collect();
        if left.is_empty() {
            break;
        }
        for p in left {
            push_away(k, cpu, p);
        }
    }
    k.lock(LockId::Rq(cpu));
    for which in class::dl::Which::ALL {
        class::dl::stop_server(k, cpu, which);
    }
    k.unlock(LockId::Rq(cpu));
    let target = k.online.iter().find(|&c| c != cpu && k.rqs[c].active).unwrap_or(CpuId(0));
    while let Some(Reverse((at, _, timer))) = k.cpus[cpu].irq.pop_timer() {
        k.start_timer_on(target, at, timer);
    }
    (k.cpus[cpu].irq.next_tick, k.cpus[cpu].irq.hrtick) = (NEVER, NEVER);
    k.online.clear(cpu);
}

/// [__balance_push_cpu_stop]
fn push_away(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    k.lock(LockId::Pi(p));
    let to = k.select_fallback_rq(p, cpu);
    k.lock(LockId::Rq(cpu));
    k.update_rq_clock(cpu);
    let mut held = cpu;
    let t = k.task(p);
    if t.cpu == cpu && t.on_rq == OnRq::Queued && k.rqs[cpu].curr != p {
        k.move_queued_task(cpu, p, to);
        held = to;
    }
    class::run_balance_callbacks(k, held);
    k.unlock(LockId::Rq(held));
    k.unlock(LockId::Pi(p));
}
