//! The machine, as its user sees it.

use std::rc::Rc;

use rand_core::RngCore as _;
use scxr_trace::Sink;

use crate::behavior::TaskSpec;
use crate::boot::{self, Boot, Step};
use crate::cgroup::CgroupId;
use crate::config::Config;
use crate::cpumask::CpuMask;
use crate::executor::{ExecState, Executor, Kernel};
use crate::ext::ops::SchedExtOps;
use crate::ids::{CpuId, Ns, PerCpu, WaitQueueId};
use crate::irq::CpuIrq;
use crate::rq::Rq;
use crate::state::{Cpu, State};
use crate::topology::Topology;
use crate::turn::Turns;
use crate::{ext, fair, user};

/// Number of the random stream of `Turns::phase`.
const TURN_STREAM: u64 = 0x7475_726e;

/// A simulated machine. Many can live in one process; they have nothing in common.
pub struct Machine {
    exec: Executor,
    now: Ns,
}

impl Machine {
    /// Boots a machine at time 0.
    pub fn new(topology: Topology, config: Config, sink: Box<dyn Sink>) -> Machine {
        let n = topology.nr_cpus();
        let cpu =
            |_| Cpu { clock: 0, irq: CpuIrq::default(), user_run: None, idle_since: None, in_irq: false, spins: false };
        let draw = Ns::from(rand_pcg::Pcg32::new(config.seed, TURN_STREAM).next_u32());
        let phase = draw.checked_rem(config.cost.turn).unwrap_or(0);
        let mut state = Box::new(State {
            cost: config.cost.clone(),
            cpus: PerCpu::new(n, cpu),
            rqs: PerCpu::new(n, |c| Rq::new(c, crate::ids::TaskId(c.0), config.servers)),
            online: CpuMask::first_n(n),
            hotplug: Default::default(),
            distributed: PerCpu::new(n, |_| 0),
            tasks: Vec::new(),
            task_list: Default::default(),
            next_pid: 1,
            wait_queues: Default::default(),
            mutexes: Default::default(),
            exec: ExecState::new(n),
            rcu: Default::default(),
            fair: fair::Fair::new(&topology, &config),
            ext: ext::Ext::new(&topology),
            cgroups: Default::default(),
            rt: Default::default(),
            dl: Default::default(),
            sink,
            nr_events: 0,
            nr_forks_refused: 0,
            nr_policies_refused: 0,
            core_sched: crate::core::core_sched::CoreSched::new(&topology, config.core_sched),
            turns: Turns::new(phase),
            stop: false,
            boot: Boot::default(),
            config,
            topology,
        });
        boot::boot(&mut state);
        let exec = Executor::new(state, user::cpu_main);
        Machine { exec, now: 0 }
    }

    /// A new wait queue, for behaviours to share.
    pub fn wait_queue(&mut self) -> WaitQueueId {
        self.exec.state_mut().wait_queues.alloc()
    }

    /// Has the loader task enable a scheduler, after the steps asked for before.
    pub fn enable(&mut self, ops: Rc<dyn SchedExtOps>) {
        self.step(Step::Enable(ops));
    }

    /// Has the loader task unregister the scheduler, after the steps asked for before.
    pub fn disable(&mut self) {
        self.step(Step::Disable(None));
    }

    /// Makes the thread that disables sub-schedulers now, instead of with the first of them.
    pub fn expect_sub_schedulers(&mut self) {
        self.exec.with_kernel(crate::ext::enable::add_sub_helper);
    }

    /// Has the loader task unregister the sub-scheduler of a cgroup, after the steps asked for before.
    pub fn disable_sub(&mut self, cgroup: CgroupId) {
        self.step(Step::Disable(Some(cgroup)));
    }

    /// Has the loader task fork a task of the workload, after the steps asked for before.
    pub fn spawn(&mut self, spec: TaskSpec) {
        self.step(Step::Fork(Box::new(spec)));
    }

    /// Tasks given to [`Machine::spawn`] whose turn has not come yet.
    pub fn nr_spawns_pending(&self) -> usize {
        self.exec.state().boot.steps.iter().filter(|s| matches!(s, Step::Fork(_))).count()
    }

    fn step(&mut self, step: Step) {
        self.exec.state_mut().boot.steps.push_back(step);
        let now = self.now();
        self.at(now, |k| {
            if let Some(loader) = k.boot.loader {
                k.wake_up_process(loader);
            }
        });
    }

    /// Plans an event for time `t`: it runs as a timer interrupt on CPU 0.
    pub fn at(&mut self, t: Ns, event: impl FnOnce(&mut Kernel) + 'static) {
        self.at_on(CpuId(0), t, event);
    }

    /// The same on another CPU, which should be online then.
    pub fn at_on(&mut self, cpu: CpuId, t: Ns, event: impl FnOnce(&mut Kernel) + 'static) {
        let timer = self.exec.state_mut().plan(Box::new(event));
        self.exec.with_kernel(|k| {
            k.start_timer_on(cpu, t, timer);
            k.exec.bring_forward(cpu, t);
        });
    }

    /// Time up to which all CPUs have run.
    pub fn now(&self) -> Ns {
        self.now
    }

    /// Runs up to time `t`.
    pub fn run_until(&mut self, t: Ns) {
        self.exec.run_until(t);
        self.now = self.now.max(t);
    }

    /// The state.
    pub fn state(&self) -> &State {
        self.exec.state()
    }

    /// Runs `f` between two runs, as code on CPU 0: what user space reads or writes from outside.
    ///
    /// `f` cannot wait, as no CPU runs meanwhile. What may have to wait is planned with [`Machine::at`] instead.
    ///
    /// # Panics
    /// If `f` takes a lock that a CPU holds in the middle of what it does.
    pub fn with_kernel<R>(&mut self, f: impl FnOnce(&mut Kernel) -> R) -> R {
        self.exec.with_kernel(f)
    }
}
