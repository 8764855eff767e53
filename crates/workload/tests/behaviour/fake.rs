//! A machine with a CPU for each task: enough to drive behaviours and to see what they do and when.

use std::collections::{BTreeSet, VecDeque};

use scxr_kernel::behavior::{Action, Behavior, TaskCx, TaskSpec};
use scxr_kernel::ids::{CpuId, Ns, TaskId, WaitQueueId};
use scxr_workload::Workload;

/// What a task did, or rather asked for, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) t: Ns,
    pub(crate) comm: String,
    pub(crate) what: String,
}

struct Task {
    comm: String,
    behavior: Box<dyn Behavior>,
}

/// The machine.
pub(crate) struct Fake {
    tasks: Vec<Task>,
    queues: Vec<VecDeque<usize>>,
    /// (time, order, task): who is asked for its next step when.
    ready: BTreeSet<(Ns, u64, usize)>,
    order: u64,
    pub(crate) log: Vec<Done>,
}

/// Time of a system call.
const SYSCALL: Ns = 100;

impl Fake {
    /// Runs a workload up to a time, or to a number of steps (so that no test hangs).
    pub(crate) fn run(workload: &Workload, until: Ns) -> Fake {
        let mut queues = 0;
        let specs = workload.tasks(&mut || {
            queues += 1;
            WaitQueueId(queues - 1)
        });
        let mut fake = Fake {
            tasks: Vec::new(),
            queues: vec![VecDeque::new(); queues as usize],
            ready: BTreeSet::new(),
            order: 0,
            log: Vec::new(),
        };
        specs.into_iter().for_each(|s| fake.spawn(0, s));
        for _ in 0..1_000_000 {
            match fake.ready.pop_first() {
                Some((t, _, task)) if t <= until => fake.step(t, task),
                _ => return fake,
            }
        }
        panic!("a million steps and no end");
    }

    fn spawn(&mut self, t: Ns, spec: TaskSpec) {
        self.tasks.push(Task { comm: spec.comm, behavior: spec.behavior });
        self.at(t, self.tasks.len() - 1);
    }

    fn at(&mut self, t: Ns, task: usize) {
        self.order += 1;
        self.ready.insert((t, self.order, task));
    }

    fn step(&mut self, now: Ns, task: usize) {
        let cx = TaskCx {
            now,
            cpu: CpuId(task as u32),
            task: TaskId(task as u32),
            pid: task as u32 + 1,
            last_child: None,
            timed_out: false,
        };
        let action = self.tasks[task].behavior.next(&cx);
        let what = describe(&action);
        let comm = self.tasks[task].comm.clone();
        self.log.push(Done { t: now, comm, what });
        match action {
            Action::Run(ns) => self.at(now + ns, task),
            Action::Sleep(ns) => self.at(now + SYSCALL + ns, task),
            Action::SleepUntil(t) => self.at(t.max(now + SYSCALL), task),
            Action::Wait(queue) => self.queues[queue.0 as usize].push_back(task),
            Action::Wake { queue, nr, .. } => {
                for _ in 0..nr {
                    if let Some(woken) = self.queues[queue.0 as usize].pop_front() {
                        self.at(now + SYSCALL, woken);
                    }
                }
                self.at(now + SYSCALL, task);
            }
            Action::Fork(spec) => {
                self.spawn(now + SYSCALL, *spec);
                self.at(now + SYSCALL, task);
            }
            Action::Work(_) => self.at(now, task),
            Action::Exit => {}
            _ => self.at(now + SYSCALL, task),
        }
    }

    /// What tasks with this name did.
    pub(crate) fn of(&self, comm: &str) -> Vec<String> {
        let own = self.log.iter().filter(|d| d.comm == comm);
        own.map(|d| d.what.clone()).collect()
    }

    /// When a task with this name did that.
    pub(crate) fn times(&self, comm: &str, what: &str) -> Vec<Ns> {
        let own = self.log.iter().filter(|d| d.comm == comm && d.what == what);
        own.map(|d| d.t).collect()
    }

    /// How often any task did what begins so.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.log.iter().filter(|d| d.what.starts_with(what)).count()
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Run(ns) => format!("run {ns}"),
        Action::Sleep(ns) => format!("sleep {ns}"),
        Action::SleepUntil(t) => format!("until {t}"),
        Action::Wait(_) => "wait".into(),
        Action::WaitTimeout(_, ns) => format!("wait {ns}"),
        Action::Wake { nr, sync, .. } => format!("wake {nr}{}", if *sync { " sync" } else { "" }),
        Action::CpuTime => "look".into(),
        Action::Call(call) => format!("{call:?}"),
        Action::Lock(_) => "lock".into(),
        Action::Locked => "locked".into(),
        Action::Unlock => "unlock".into(),
        Action::Yield => "yield".into(),
        Action::Fork(spec) => format!("fork {}", spec.comm),
        Action::Exec => "exec".into(),
        Action::SetCookie(_, cookie) => format!("cookie {cookie}"),
        Action::SetAffinity(_, mask) if mask.weight() == 1024 => "cpus all".into(),
        Action::SetAffinity(_, mask) => format!("cpus {mask}"),
        Action::SetNice(_, nice) => format!("nice {nice}"),
        Action::SetPolicy(_, policy) => format!("policy {policy:?}"),
        Action::Cgroup(path, change) => format!("cgroup {path} {change:?}"),
        Action::SetCpuOnline(cpu, online) => format!("cpu {cpu} {online}"),
        Action::Work(ns) => format!("work {ns}"),
        Action::Exit => "exit".into(),
    }
}
