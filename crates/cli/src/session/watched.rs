//! The tasks by which a run in a virtual machine is watched, and its kernel's own, for a simulation that is compared with one: what
//! they take, they take on both sides.

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Behavior, Policy, TaskCx, TaskSpec};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::{CpuId, Ns, WaitQueueId};
use scxr_workload::threads::stretch;

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

/// Time for the fork of a task, and for what comes before the first.
const FORK_NS: Ns = 200_000;
const SETUP_NS: Ns = MS;

/// The workload's tasks wait here until all are there, and are then woken together. They do as real threads do.
pub(super) struct Gate(WaitQueueId);

impl Gate {
    /// The task as it is, but that it waits first.
    pub(super) fn before(&self, spec: TaskSpec) -> TaskSpec {
        let thread = Thread { gate: Some(self.0), behavior: spec.behavior, left: 0, first: true, looks: false };
        TaskSpec { behavior: Box::new(thread), ..spec }
    }
}

/// A task of the workload that does as a real thread does: it waits at the gate, and while it computes it looks at its CPU time
/// now and then, upon which the kernel accounts it.
struct Thread {
    gate: Option<WaitQueueId>,
    behavior: Box<dyn Behavior>,
    /// What is left to compute, ns.
    left: Ns,
    /// It has not looked yet.
    first: bool,
    /// It is about to look.
    looks: bool,
}

impl Behavior for Thread {
    fn next(&mut self, cx: &TaskCx) -> Action {
        if let Some(gate) = self.gate.take() {
            return Action::Wait(gate);
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

/// Has them forked; how many there are, and the gate at which `nr_tasks` of the workload are to wait. Periods are those of
/// `scxr_host` and of the guest's init, times were measured there.
pub(super) fn spawn(m: &mut Machine, nr_tasks: usize) -> (u32, Gate) {
    let gate = m.wait_queue();
    let cpus: Vec<CpuId> = m.state().possible().iter().collect();
    let nr = 4 + cpus.len();
    // All are forked by then, these here too.
    let start = SETUP_NS + FORK_NS * (nr_tasks + nr) as Ns;
    let mut step = 0;
    let open = move |_: &TaskCx| {
        step += 1;
        match step {
            1 => Action::SleepUntil(start),
            2 => Action::Wake { queue: gate, nr: u32::MAX, sync: false },
            _ => Action::Exit,
        }
    };
    let mut go = TaskSpec::new("go", open);
    go.policy = Policy::Fifo(50);
    m.spawn(go);
    let mut watch = TaskSpec::new("watch", periodic(50 * MS, 50 * MS, 3_000));
    watch.policy = Policy::Fifo(50);
    let mut beat = TaskSpec::new("beat", periodic(100 * MS, 96 * MS, 12_000));
    beat.policy = Policy::Fifo(98);
    m.spawn(watch);
    m.spawn(beat);
    let mut rcu = periodic(RCU_EACH_NS, start + RCU_FIRST_NS, RCU_NS);
    let mut steps = 0;
    m.spawn(TaskSpec::new("rcu", move |cx: &TaskCx| {
        steps += 1;
        if steps > 2 * RCU_NR { Action::Exit } else { rcu(cx) }
    }));
    for cpu in &cpus {
        let first = (WORKER_FIRST_NS + WORKER_NEXT_NS * u64::from(cpu.0)) % WORKER_EACH_NS;
        let mut worker = TaskSpec::new("kworker", periodic(WORKER_EACH_NS, start + first, WORKER_NS));
        worker.affinity = Some(CpuMask::of(*cpu));
        m.spawn(worker);
    }
    (nr as u32, Gate(gate))
}
