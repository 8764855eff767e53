//! What exists when the machine starts, and the task that loads schedulers and starts the workload.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::behavior::{Policy, TaskSpec};
use crate::cgroup::CgroupId;
use crate::class::ClassId;
use crate::core::migrate::stopper;
use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ext::ops::SchedExtOps;
use crate::ids::{CpuId, TaskId};
use crate::irq::Timer;
use crate::state::State;
use crate::task::{Body, KthreadNext, OnRq, Task, TaskState, pf};

/// What the loader task is to do next.
pub(crate) enum Step {
    /// Enable a scheduler and wait until that is done.
    Enable(Rc<dyn SchedExtOps>),
    /// Disable the root scheduler, or the sub-scheduler of a cgroup, and wait until that is done.
    Disable(Option<CgroupId>),
    /// Start a task of the workload.
    Fork(Box<TaskSpec>),
}

type PlannedEvent = Box<dyn FnOnce(&mut Kernel)>;

/// Boot's part of the state.
#[derive(Default)]
pub(crate) struct Boot {
    pub(crate) loader: Option<TaskId>,
    pub(crate) steps: VecDeque<Step>,
    /// Planned events to come, by number.
    events: BTreeMap<usize, PlannedEvent>,
    nr_planned: usize,
}

/// Makes the tasks that every machine has: idle tasks, init, kthreadd, the stoppers, the class's helpers and the loader.
pub(crate) fn boot(state: &mut State) {
    let n = state.nr_cpus();
    for cpu in (0..n as u32).map(CpuId) {
        let mut idle = Task::new(TaskId(cpu.0), 0, &format!("swapper/{cpu}"), Body::Idle, n);
        idle.class = ClassId::Idle;
        idle.state = TaskState::Running;
        idle.on_rq = OnRq::Queued;
        idle.on_cpu = true;
        idle.cpu = cpu;
        idle.flags |= pf::IDLE | pf::NO_SETAFFINITY;
        idle.set_cpus(CpuMask::of(cpu));
        state.tasks.push(Some(Box::new(idle)));
    }
    state.next_pid = 1;
    state.add_kthread("init", sleep_forever);
    state.task_mut(TaskId(n as u32)).flags &= !pf::KTHREAD;
    state.add_kthread("kthreadd", sleep_forever);
    for cpu in (0..n as u32).map(CpuId) {
        let stop = state.add_kthread(&format!("migration/{cpu}"), stopper);
        let t = state.task_mut(stop);
        t.class = ClassId::Stop;
        t.set_attributes(Policy::Fifo(99), 0);
        t.set_cpus(CpuMask::of(cpu));
        t.cpu = cpu;
        t.flags |= pf::NO_SETAFFINITY;
        state.emit_affinity(stop);
        state.rqs[cpu].stop = stop;
    }
    crate::ext::boot(state);
    let loader = state.add_kthread("scxr", run_loader);
    state.task_mut(loader).flags &= !pf::KTHREAD;
    state.boot.loader = Some(loader);
    for p in (n..state.tasks.len()).map(|p| TaskId(p as u32)) {
        crate::ext::give_tid(state, p);
    }
}

/// A kernel thread of real-time priority, as the class's helpers are.
pub(crate) fn add_fifo_kthread(state: &mut State, comm: &str, body: crate::task::KthreadFn) -> TaskId {
    let p = state.add_kthread(comm, body);
    let t = state.task_mut(p);
    t.class = ClassId::Rt;
    t.set_attributes(Policy::Fifo(50), 0);
    p
}

fn sleep_forever(_k: &mut Kernel, _me: TaskId) -> KthreadNext {
    KthreadNext::Block
}

/// Body of the loader: one step after the other.
fn run_loader(k: &mut Kernel, me: TaskId) -> KthreadNext {
    if crate::ext::enable::in_progress(k) {
        return KthreadNext::Block; // woken for a step that was added meanwhile
    }
    match k.boot.steps.pop_front() {
        None => KthreadNext::Block,
        Some(Step::Fork(spec)) => {
            k.fork(*spec);
            KthreadNext::Again
        }
        Some(Step::Enable(ops)) => crate::ext::enable::request(k, ops, me),
        Some(Step::Disable(cgroup)) => crate::ext::enable::unregister(k, me, cgroup),
    }
}

impl State {
    /// Plans an event; the result is its number for [`Timer::Event`].
    pub(crate) fn plan(&mut self, event: PlannedEvent) -> Timer {
        let n = self.boot.nr_planned;
        self.boot.nr_planned += 1;
        self.boot.events.insert(n, event);
        Timer::Event(n)
    }
}

impl Kernel {
    pub(crate) fn run_planned_event(&mut self, n: usize) {
        if let Some(event) = self.boot.events.remove(&n) {
            event(self);
        }
    }
}
