//! Schedulers whose decisions are Rust in user space: a generic BPF half tells of tasks that are ready, a [`Scheduler`] decides, the BPF
//! half carries that out.
//!
//! The BPF half is a policy of two lines, `userspace! { … }` of the policy crate. It tells of each task that becomes ready by a message, takes
//! decisions as messages, and serves by itself what must not wait for user space: the half itself, kernel threads, tasks that may not run
//! everywhere, and what finds the ring full. Where there are messages, or a CPU asks for a task and none is decided upon, it lets the half run, which yields
//! where it has done everything.
//!
//! [`drive`] is the half: it reads messages, asks the scheduler, and sends decisions, as many as there are CPUs that are free, so that the scheduler's
//! order is the order in which tasks run.

use std::collections::VecDeque;

pub use scxr_policy::userspace::{ANY_CPU, Decision, TaskEvent, YIELDS, counter, kind};

use crate::args::{Args, Opt};
use crate::error::Error;
use crate::runtime::Runtime;
use crate::stats::Stats;
use crate::{Cpu, Ns};

/// A task that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub pid: i32,
    /// The CPU that it was last on.
    pub cpu: Cpu,
    /// Its weight, 1 to 10000; 100 is nice 0.
    pub weight: u32,
    /// CPU time that it has had in its life.
    pub ran: Ns,
    /// When it became ready.
    pub at: Ns,
}

/// A scheduler. Each task given to [`Scheduler::enqueue`] is to come out of [`Scheduler::dispatch`] once.
pub trait Scheduler {
    /// The CPU on which a task is to run; `None`: on the first that is free.
    fn select_cpu(&mut self, task: &Task) -> Option<Cpu> {
        let _ = task;
        None
    }

    /// A task is ready.
    fn enqueue(&mut self, task: Task);

    /// The task that is to run next, and its slice; `None` if none is ready. A slice of 0 is the default one.
    fn dispatch(&mut self) -> Option<(Task, Ns)>;

    /// The task is gone. It may be in the queue still and is to come out of there all the same: what is decided about it then has no effect.
    fn exit_task(&mut self, pid: i32) {
        let _ = pid;
    }

    /// Tasks that are ready and not decided upon.
    fn nr_queued(&self) -> usize;

    /// What a message or a decision costs on the simulated machine. On a real one it costs what it costs.
    fn cost(&self) -> Ns {
        Ns(200)
    }

    /// Adds figures of its own.
    fn stats(&self, out: &mut Stats) {
        let _ = out;
    }
}

/// A FIFO, in whose place a scheduler's own order goes.
#[derive(Debug, Default)]
pub struct Fifo {
    tasks: VecDeque<Task>,
    slice: Ns,
}

impl Fifo {
    /// With slices of that length; 0: the default.
    pub fn new(slice: Ns) -> Fifo {
        Fifo { tasks: VecDeque::with_capacity(TASKS), slice }
    }
}

/// Tasks for which there is room from the start, so that nothing is allocated on the path.
pub const TASKS: usize = 4096;

impl Scheduler for Fifo {
    fn enqueue(&mut self, task: Task) {
        self.tasks.push_back(task);
    }

    fn dispatch(&mut self) -> Option<(Task, Ns)> {
        self.tasks.pop_front().map(|task| (task, self.slice))
    }

    fn nr_queued(&self) -> usize {
        self.tasks.len()
    }
}

/// How the half goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drive {
    /// Tasks that are decided upon before a CPU is free for them. 0 keeps the scheduler's order exactly, and lets a task run twice in a row; each more
    /// saves a CPU from waiting for the half.
    pub ahead: u64,
}

/// Options of a scheduler on this framework: `--slice`, and `--ahead` with the default that is given. [`Drive::of`] goes with them.
///
/// ```
/// use scxr_runtime::framework::{Drive, Fifo, drive, options};
/// use scxr_runtime::HalfDef;
///
/// const HALF: HalfDef = HalfDef {
///     name: "mine",
///     main: |rt, args| drive(rt, Drive::of(args), &mut Fifo::new(args.time("slice"))),
///     options: &options(4),
/// };
/// assert_eq!(HALF.options[1].long, "ahead");
/// ```
pub const fn options(ahead: u64) -> [Opt; 2] {
    let slice = Opt::time("slice", Ns::from_ms(20), "length of a slice").short('s').sets("slice");
    [slice, Opt::number("ahead", ahead, "tasks decided upon before a CPU is free").short('a').within(0, TASKS as u64)]
}

impl Drive {
    /// As the [`options`] say.
    pub fn of(args: &Args) -> Drive {
        Drive { ahead: args.number("ahead") }
    }
}

/// What the half counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    enqueued: u64,
    decided: u64,
    /// Decisions that found no room at first.
    held: u64,
    wakeups: u64,
}

/// What a simulated kernel asks of a [`Scheduler`] that decides right in it: without a BPF half, and without the way to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// [`Scheduler::enqueue`].
    Enqueue(Task),
    /// [`Scheduler::dispatch`] and [`Scheduler::select_cpu`].
    Dispatch,
    /// [`Scheduler::exit_task`].
    Exit(i32),
    /// [`Scheduler::nr_queued`].
    Queued,
    /// [`Scheduler::cost`].
    Cost,
    /// [`Scheduler::stats`].
    Stats,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// That is done; at first: it is there to be asked.
    Done,
    /// A task, its slice, and the CPU that it is to run on.
    Next(Option<(Task, Ns, Option<Cpu>)>),
    /// A number.
    Queued(usize),
    /// A time.
    Cost(Ns),
    /// Figures.
    Stats(Stats),
}

fn answer(scheduler: &mut dyn Scheduler, question: Question) -> Answer {
    match question {
        Question::Enqueue(task) => scheduler.enqueue(task),
        Question::Exit(pid) => scheduler.exit_task(pid),
        Question::Dispatch => {
            let next = scheduler.dispatch();
            return Answer::Next(next.map(|(task, slice)| (task, slice, scheduler.select_cpu(&task))));
        }
        Question::Queued => return Answer::Queued(scheduler.nr_queued()),
        Question::Cost => return Answer::Cost(scheduler.cost()),
        Question::Stats => {
            let mut stats = Stats::default();
            scheduler.stats(&mut stats);
            return Answer::Stats(stats);
        }
    }
    Answer::Done
}

/// Is the half: until the scheduler ends.
pub fn drive(rt: &Runtime<'_>, how: Drive, scheduler: &mut dyn Scheduler) -> Result<(), Error> {
    let mut asked = rt.world.asked(Answer::Done);
    while let Some(question) = asked {
        asked = rt.world.asked(answer(scheduler, question));
    }
    let ready = rt.ringbuf::<TaskEvent>("ready")?;
    let decided = rt.user_ringbuf::<Decision>("decided")?;
    let half_pid = rt.global::<i32>("half_pid")?;
    let placed = rt.global::<u64>("nr_placed")?;
    let depth = rt.global::<u64>("nr_shared")?;
    let running = rt.global::<u64>("nr_running")?;
    let bpf = rt.map::<u32, u64>("stats")?;
    let wanted = u64::from(rt.nr_cpus()) + how.ahead;
    let mut counted = Counted::default();
    let mut held: Option<Decision> = None;
    let yields = |pid| decided.send(Decision { pid, cpu: YIELDS, slice: Ns::ZERO });
    yields(rt.pid());
    while half_pid.get() != rt.pid() && !rt.is_over() {
        // A CPU that looks for tasks takes the message, such as this one once the half sleeps.
        rt.sleep(Ns::from_ms(1));
    }
    while !rt.is_over() {
        while let Some(event) = ready.receive() {
            match event.kind {
                kind::READY => {
                    counted.enqueued += 1;
                    rt.work(scheduler.cost());
                    scheduler.enqueue(task(&event));
                }
                kind::GONE => scheduler.exit_task(event.pid),
                _ => {}
            }
        }
        let on_the_way = counted.decided.saturating_sub(placed.get()) + depth.get();
        for _ in on_the_way + running.get()..wanted {
            let next = held.take().or_else(|| {
                let (task, slice) = scheduler.dispatch()?;
                rt.work(scheduler.cost());
                let cpu = scheduler.select_cpu(&task).map_or(ANY_CPU, |cpu| cpu.0.max(ANY_CPU));
                Some(Decision { pid: task.pid, cpu, slice })
            });
            let Some(decision) = next else { break };
            if !decided.send(decision) {
                counted.held += 1;
                held = Some(decision);
                break;
            }
            counted.decided += 1;
        }
        rt.stats(|out| {
            let of = |i: u32| bpf.get_all(i).map_or(0, |all| all.iter().sum::<u64>());
            out.number("enqueued", counted.enqueued);
            out.number("decided", counted.decided);
            out.number("queued", scheduler.nr_queued() as u64);
            out.number("held", counted.held);
            out.number("wakeups", counted.wakeups);
            for (i, name) in counter::NAMES.iter().enumerate() {
                out.number(name, of(i as u32));
            }
            scheduler.stats(out);
        });
        counted.wakeups += 1;
        rt.sched_yield();
    }
    yields(0);
    Ok(())
}

fn task(event: &TaskEvent) -> Task {
    Task { pid: event.pid, cpu: Cpu(event.cpu), weight: event.weight, ran: event.ran, at: event.at }
}
