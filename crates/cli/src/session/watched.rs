//! A run in a virtual machine as it is set up and watched there, for a simulation that is compared with one: the process that makes
//! the workload's threads and lets them go, the tasks that watch, and the kernel's own.
//!
//! The process and its new threads are real-time tasks; each thread takes its own policy and waits, all before the scheduler comes.
//! Where a thread is when it is let go is where it was born: on one CPU after the other, but for that of the process.

use std::cell::Cell;
use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Behavior, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::{CpuId, Ns, WaitQueueId};
use scxr_trace::EventKind;
use scxr_workload::threads::stretch;

use super::Interference;

const MS: Ns = 1_000_000;

/// Sleeps until each multiple of `period` (and `phase`), and computes.
fn periodic(period: Ns, phase: Ns, run: Ns) -> impl FnMut(&TaskCx) -> Action {
    let mut due = phase;
    let mut sleeps = false;
    move |_: &TaskCx| {
        sleeps = !sleeps;
        match sleeps {
            true => Action::SleepUntil(due),
            false => {
                due += period;
                Action::Run(run)
            }
        }
    }
}

/// The kernel's own threads, which every scheduler serves: RCU's grace periods after a start (the first of them 6.7 ms on, one
/// each 8 ms, two ticks), and on each CPU a worker twice a second. When and for how long they ran was seen in the guest.
const RCU_FIRST_NS: Ns = 6_700_000;
const RCU_EACH_NS: Ns = 8 * MS;
const RCU_NR: u64 = 4;
const RCU_NS: Ns = 18_000;
const WORKER_EACH_NS: Ns = 500 * MS;
const WORKER_FIRST_NS: Ns = 74 * MS;
/// Workers of neighbouring CPUs are apart by so much.
const WORKER_NEXT_NS: Ns = 376 * MS;
const WORKER_NS: Ns = 30_000;

/// The process measures how fast it computes before it makes threads.
const MEASURE_NS: Ns = 6 * MS;
/// Time for the fork of a task until it waits, and for what comes before the first.
const FORK_NS: Ns = 400_000;
const SETUP_NS: Ns = MS;
/// From the last thread to the scheduler's coming: tracepoints are set up. Not measured: the threads' loads have decayed by the start,
/// as wakeups then choose their own CPUs in the guest, not the idle-looking one of the process.
const TRACING_NS: Ns = 120 * MS;
/// Time for the scheduler to take over, and for each task of it.
const ENABLE_NS: Ns = 10 * MS;
const ENABLE_TASK_NS: Ns = 50_000;
const PRIORITY: Policy = Policy::Fifo(50);

/// A task of the workload that does as a real thread does: it begins as its maker's like, takes its own attributes and waits at the
/// gate; while it computes it looks at its CPU time now and then, upon which the kernel accounts it.
struct Thread {
    /// What it does first, the last thing first.
    begin: Vec<Action>,
    /// Counts those that are ready.
    ready: Rc<Cell<usize>>,
    behavior: Box<dyn Behavior>,
    /// What is left to compute, ns.
    left: Ns,
    /// It has not looked yet.
    first: bool,
    /// It is about to look.
    looks: bool,
}

impl Thread {
    /// `ready`: its maker waits there.
    fn of(spec: TaskSpec, gate: WaitQueueId, ready: WaitQueueId, nr_ready: &Rc<Cell<usize>>) -> TaskSpec {
        let TaskSpec { comm, policy, nice, affinity, cgroup, behavior, .. } = spec;
        let mut begin = vec![Action::Wait(gate), Action::Wake { queue: ready, nr: 1, sync: false }];
        begin.push(Action::SetPolicy(Whom::Myself, policy));
        begin.push(Action::SetNice(Whom::Myself, nice));
        begin.extend(affinity.map(|mask| Action::SetAffinity(Whom::Myself, mask)));
        let ready = Rc::clone(nr_ready);
        let thread = Thread { begin, ready, behavior, left: 0, first: true, looks: false };
        TaskSpec { policy: PRIORITY, cgroup, thread: true, ..TaskSpec::new(comm, thread) }
    }
}

impl Behavior for Thread {
    fn next(&mut self, cx: &TaskCx) -> Action {
        if let Some(step) = self.begin.pop() {
            self.ready.set(self.ready.get() + usize::from(matches!(step, Action::Wake { .. })));
            return step;
        }
        if std::mem::take(&mut self.looks) {
            return Action::CpuTime;
        }
        if self.left == 0 {
            match self.behavior.next(cx) {
                Action::Run(ns) => (self.left, self.first) = (ns, true),
                other => return other,
            }
        }
        let part = stretch(self.left, self.first);
        self.looks = part < self.left;
        self.first = false;
        self.left -= part;
        Action::Run(part)
    }
}

/// The process that makes the workload's threads, one after the other, and lets them go.
struct Crew {
    steps: std::vec::IntoIter<Action>,
    nr_made: usize,
    nr_ready: Rc<Cell<usize>>,
    ready: WaitQueueId,
    gate: WaitQueueId,
    begun: Rc<Cell<Ns>>,
}

impl Behavior for Crew {
    fn next(&mut self, cx: &TaskCx) -> Action {
        if self.nr_ready.get() < self.nr_made {
            return Action::Wait(self.ready);
        }
        let step = self.steps.next().unwrap_or(Action::Wait(self.ready));
        match step {
            Action::Fork(_) => self.nr_made += 1,
            Action::Wake { queue, .. } if queue == self.gate => self.begun.set(cx.now),
            _ => {}
        }
        step
    }
}

/// A run that is set up as in a virtual machine.
pub(super) struct Stage {
    /// How many tasks there are besides the workload's.
    pub(super) nr: u32,
    /// When the workload's tasks begin; `Ns::MAX`: not yet.
    pub(super) begun: Rc<Cell<Ns>>,
    /// When the scheduler is to come.
    pub(super) enable_at: Ns,
    /// When the workload's tasks are to begin.
    pub(super) start: Ns,
}

impl Stage {
    /// Has all tasks forked, `specs` being those of the workload. Periods are those of `scxr_host` and of the guest's init, times were
    /// measured there.
    pub(super) fn set(m: &mut Machine, specs: Vec<TaskSpec>) -> Stage {
        let [gate, ready, started] = [(); 3].map(|()| m.wait_queue());
        let cpus: Vec<CpuId> = m.state().possible().iter().collect();
        let (nr, nr_tasks) = (4 + cpus.len(), specs.len());
        let forked = SETUP_NS + FORK_NS * nr as Ns;
        let enable_at = forked + MEASURE_NS + FORK_NS * nr_tasks as Ns + TRACING_NS;
        let start = enable_at + ENABLE_NS + ENABLE_TASK_NS * (nr_tasks + nr) as Ns;
        let begun = Rc::new(Cell::new(Ns::MAX));
        let nr_ready = Rc::default();
        let mut steps = vec![Action::SleepUntil(forked), Action::Run(MEASURE_NS)];
        steps.extend(specs.into_iter().map(|s| Action::Fork(Box::new(Thread::of(s, gate, ready, &nr_ready)))));
        steps.push(Action::SleepUntil(start));
        steps.extend([gate, started].map(|queue| Action::Wake { queue, nr: u32::MAX, sync: false }));
        let steps = steps.into_iter();
        let crew = Crew { steps, nr_made: 0, nr_ready, ready, gate, begun: Rc::clone(&begun) };
        let crew = TaskSpec { policy: PRIORITY, ..TaskSpec::new("crew", crew) };
        spawn_watchers(m, crew, started, start);
        spawn_kernels(m, &cpus, start);
        Stage { nr: nr as u32, begun, enable_at, start }
    }
}

/// Who makes the crew and looks whether the run is over, once it has begun, and who says that the guest lives.
fn spawn_watchers(m: &mut Machine, crew: TaskSpec, started: WaitQueueId, start: Ns) {
    let mut begin = vec![Action::Wait(started), Action::Fork(Box::new(crew))];
    let mut looks = false;
    let watch = move |_: &TaskCx| {
        if let Some(step) = begin.pop() {
            return step;
        }
        looks = !looks;
        if looks { Action::Run(3_000) } else { Action::Sleep(50 * MS) }
    };
    m.spawn(TaskSpec { policy: PRIORITY, ..TaskSpec::new("watch", watch) });
    let beat = periodic(100 * MS, start + 20 * MS, 12_000);
    m.spawn(TaskSpec { policy: Policy::Fifo(98), ..TaskSpec::new("beat", beat) });
}

/// The kernel's threads.
fn spawn_kernels(m: &mut Machine, cpus: &[CpuId], start: Ns) {
    let mut rcu = periodic(RCU_EACH_NS, start + RCU_FIRST_NS, RCU_NS);
    let mut steps = 0;
    m.spawn(TaskSpec::new("rcu", move |cx: &TaskCx| {
        steps += 1;
        if steps > 2 * RCU_NR { Action::Exit } else { rcu(cx) }
    }));
    for cpu in cpus {
        let first = (WORKER_FIRST_NS + WORKER_NEXT_NS * u64::from(cpu.0)) % WORKER_EACH_NS;
        let mut worker = TaskSpec::new("kworker", periodic(WORKER_EACH_NS, start + first, WORKER_NS));
        worker.affinity = Some(CpuMask::of(*cpu));
        m.spawn(worker);
    }
}

/// What a real kernel's recording has: what happens from the start on, and how the workload's own tasks wait.
pub(super) struct Window {
    /// First pid of the workload.
    first: u32,
    begun: Rc<Cell<Ns>>,
    pub(super) interference: Interference,
}

impl Window {
    pub(super) fn new(first: u32, begun: &Rc<Cell<Ns>>) -> Window {
        Window { first, begun: Rc::clone(begun), interference: Interference::default() }
    }

    /// Takes an event; when it happened, from the start on, if it is in the recording. Tasks and their attributes are there from
    /// the start.
    pub(super) fn see(&mut self, t: Ns, cpu: u32, kind: &EventKind) -> Option<Ns> {
        let Some(since) = t.checked_sub(self.begun.get()) else {
            let kept = matches!(
                kind,
                EventKind::Fork { .. } | EventKind::Affinity { .. } | EventKind::Weight { .. } | EventKind::Exit { .. }
            );
            return kept.then_some(0);
        };
        self.interference.see(cpu, kind, |pid| pid >= self.first);
        match kind {
            EventKind::Waking { pid, .. } | EventKind::Enqueue { pid, .. } if *pid < self.first => None,
            _ => Some(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::args::MachineArgs;
    use crate::session::{self, Keep};
    use crate::{resolve, scheduler};

    /// Time and CPU of the lines of the trace that are of this kind and task.
    fn of<'a>(trace: &'a str, kind: &'a str, task: &'a str) -> impl Iterator<Item = (u64, u32)> + 'a {
        trace.lines().filter_map(move |line| {
            let words: Vec<&str> = line.split(' ').collect();
            let it = words.get(2) == Some(&kind) && words.contains(&task);
            it.then(|| Some((words[0].parse().ok()?, words[1].parse().ok()?))).flatten()
        })
    }

    /// The process runs on CPU 1 where there are several; its threads are born on the others, one after the other. The scheduler has
    /// come when they are let go.
    #[test]
    fn tasks_begin_where_real_threads_do() {
        for (machine, cpus) in [("1", vec![0, 0, 0]), ("2", vec![0, 0, 0, 0]), ("4", vec![2, 3, 0, 2, 3, 0, 2])] {
            let args = MachineArgs {
                workload: Some(format!("spin:n={}", cpus.len())),
                machine: Some(machine.into()),
                cost: Some("lab".into()),
                duration: Some("5ms".into()),
                ..MachineArgs::default()
            };
            let mut request = resolve::request(&args).unwrap();
            request.watched = true;
            let simple = scheduler::prepare("simple", &scheduler::Options::default()).unwrap();
            let keep = Keep { trace: true, ..Keep::default() };
            let run = session::run(&request, &simple, 1, keep, String::new(), |_| {}).unwrap();
            assert_eq!(run.report.tasks.len(), cpus.len());
            let trace = run.trace.unwrap();
            let (enabled, _) = of(&trace, "enabled", "name=simple").next().unwrap();
            for (task, cpu) in run.report.tasks.iter().zip(cpus) {
                let pid = format!("pid={}", task.pid);
                let born = of(&trace, "switch_in", &pid).next().unwrap();
                assert!(born.0 < enabled && born.1 == cpu, "{machine}: {pid} {born:?}");
                let woken: Vec<_> = of(&trace, "waking", &pid).collect();
                assert!(woken.len() == 1 && woken[0].0 > enabled, "{machine}: {pid} {woken:?}");
            }
        }
    }
}
