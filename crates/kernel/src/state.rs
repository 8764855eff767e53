//! The state of the simulated machine.

use scxr_trace::{EventKind, Sink};

use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::core::hotplug::Hotplug;
use crate::cost::CostTable;
use crate::cpumask::CpuMask;
use crate::executor::ExecState;
use crate::ids::{CpuId, Ns, PerCpu, TaskId};
use crate::irq::CpuIrq;
use crate::rq::Rq;
use crate::task::Task;
use crate::topology::Topology;
use crate::wait::WaitQueues;
use crate::{ext, fair};

/// A CPU apart from its run queue: clock, interrupts, the run of user code.
pub struct Cpu {
    /// Local time.
    pub clock: Ns,
    /// Interrupts and timers.
    pub(crate) irq: CpuIrq,
    /// The run of user code that it is waiting in.
    pub(crate) user_run: Option<crate::user::UserRun>,
    /// Idle since, while it waits in idle.
    pub(crate) idle_since: Option<Ns>,
    /// It is in an interrupt.
    pub(crate) in_irq: bool,
    /// It waits for a mutex, and pauses.
    pub(crate) spins: bool,
}

/// Everything. A run is a function of it and of nothing else.
pub struct State {
    /// Settings.
    pub config: Config,
    /// Costs.
    pub cost: CostTable,
    /// Shape of the machine.
    pub topology: Topology,
    /// CPUs.
    pub cpus: PerCpu<Cpu>,
    /// Run queues.
    pub rqs: PerCpu<Rq>,
    /// CPUs that are online.
    pub online: CpuMask,
    pub(crate) hotplug: Hotplug,
    /// Where each CPU's last pick by turns from a mask ended [distribute_cpu_mask_prev].
    pub(crate) distributed: PerCpu<u32>,
    pub(crate) tasks: Vec<Option<Box<Task>>>,
    /// Tasks that are not dead, idle tasks excepted, in order of creation.
    pub(crate) task_list: std::collections::BTreeSet<TaskId>,
    pub(crate) next_pid: u32,
    pub(crate) wait_queues: WaitQueues,
    pub(crate) mutexes: crate::mutex::Mutexes,
    pub(crate) exec: ExecState,
    pub(crate) rcu: crate::rcu::Rcu,
    /// Fair class: domains and what is not per CPU.
    pub fair: fair::Fair,
    /// Ext class: the scheduler and what is not per CPU.
    pub ext: ext::Ext,
    /// Cgroups.
    pub cgroups: Cgroups,
    /// RT class: what is not per CPU.
    pub(crate) rt: crate::class::rt::Rt,
    /// Deadline class: what is not per CPU.
    pub(crate) dl: crate::class::dl::Dl,
    pub(crate) sink: Box<dyn Sink>,
    /// Events emitted so far.
    pub nr_events: u64,
    /// Forks that failed because there were [`Config::nr_tasks_max`] tasks.
    pub nr_forks_refused: u64,
    /// Changes of policy that tasks asked for and did not get.
    pub nr_policies_refused: u64,
    pub(crate) core_sched: crate::core::core_sched::CoreSched,
    /// Turns of the CPUs, where they take turns.
    pub(crate) turns: crate::turn::Turns,
    /// Set to end the run early.
    pub stop: bool,
    pub(crate) boot: crate::boot::Boot,
}

impl State {
    /// A task that is known to exist.
    #[inline]
    pub fn task(&self, p: TaskId) -> &Task {
        self.tasks[p.0 as usize].as_deref().expect("a task that has not been freed")
    }

    /// A task that is known to exist.
    #[inline]
    pub fn task_mut(&mut self, p: TaskId) -> &mut Task {
        self.tasks[p.0 as usize].as_deref_mut().expect("a task that has not been freed")
    }

    /// A task, unless it has been freed. A dead one is there as long as a CPU or a reference may still lead to it ([`crate::rcu`]).
    pub fn find_task(&self, p: TaskId) -> Option<&Task> {
        self.tasks.get(p.0 as usize)?.as_deref()
    }

    /// The task with a pid, from the end of its fork to its last steps [find_task_by_vpid]. Idle tasks are not found.
    pub fn task_by_pid(&self, pid: u32) -> Option<TaskId> {
        let first = self.cpus.0.len() as u32;
        let id = TaskId(pid.checked_sub(1)? + first);
        let found = self.task_list.contains(&id) && self.task(id).state != crate::task::TaskState::Dead;
        found.then_some(id)
    }

    /// Tasks that are not dead, idle tasks excepted, in order of creation.
    pub fn all_tasks(&self) -> Vec<TaskId> {
        self.task_list.iter().copied().collect()
    }

    /// The task that runs on `cpu`.
    #[inline]
    pub fn curr(&self, cpu: CpuId) -> &Task {
        self.task(self.rqs[cpu].curr)
    }

    /// Number of possible CPUs.
    pub fn nr_cpus(&self) -> usize {
        self.cpus.0.len()
    }

    /// CPUs that the machine has, online or not [cpu_possible_mask].
    pub fn possible(&self) -> CpuMask {
        CpuMask::first_n(self.nr_cpus())
    }

    /// A CPU of the mask, the next one by number after that which this CPU got last, whoever asked [cpumask_any_distribute] (E4).
    pub(crate) fn any_distribute(&mut self, mask: &CpuMask) -> Option<CpuId> {
        let me = self.exec.this_cpu;
        let cpu = mask.next_wrap(self.distributed[me])?;
        self.distributed[me] = cpu.0;
        Some(cpu)
    }

    /// Emits one record at the local time of the running CPU.
    #[inline]
    pub fn emit(&mut self, kind: EventKind) {
        let cpu = self.exec.this_cpu;
        self.nr_events += 1;
        self.sink.event(self.cpus[cpu].clock, cpu.0, kind);
    }

    /// Emits one record about another CPU, at the local time of the running one.
    #[inline]
    pub fn emit_on(&mut self, cpu: CpuId, kind: EventKind) {
        let t = self.cpus[self.exec.this_cpu].clock;
        self.nr_events += 1;
        self.sink.event(t, cpu.0, kind);
    }
}
