//! Properties that every run must have, judged from its events alone.
//!
//! Events are judged in the order of emission, in which a cause comes before its effect; times of different CPUs may overtake
//! each other. A trace that begins in the middle of a run may leave tasks and CPUs unknown; what is unknown is not judged.

use std::collections::BTreeMap;
use std::fmt;

use crate::custody::{Custody, is_builtin, local_cpu};
use crate::event::{EventKind, Sink, SwitchOut};

/// Violations that are kept in full; the rest is counted.
const KEPT_MAX: usize = 100;

/// What was violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A task runs on one CPU at most.
    TaskRunsOnce,
    /// A CPU runs one task at most, and none while it idles.
    CpuRunsOne,
    /// Only a task that was woken, forked or preempted is switched in; nobody runs while blocked or dead.
    RunnableOnly,
    /// Wakeups, switches and exits follow each other as a task's life does.
    Lifecycle,
    /// A task runs where it was last migrated to.
    Placement,
    /// A task runs on CPUs that it may use.
    Affinity,
    /// CPU time adds up: a stint is as long as the time between its switches, and running and idling no longer than the run.
    CpuTime,
    /// A CPU's own events come in order of time.
    CpuClock,
    /// A queue holds tasks in order of vtime or of insertion, not both; a built-in one in order of insertion.
    DsqOrder,
    /// A task leaves a queue in order of vtime.
    VtimeOrder,
    /// A task is in one place.
    OnePlace,
    /// No task waits past the watchdog's time.
    Watchdog,
    /// A scheduler that is gone inserts and kicks no more.
    AfterDisabled,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the event in order of emission, from 0; the number of events where the end of the run is concerned.
    pub index: u64,
    /// Its time, ns.
    pub t: u64,
    /// Its CPU.
    pub cpu: u32,
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, t, cpu) = (self.index, self.t, self.cpu);
        write!(f, "event {index} at {t} ns on cpu{cpu}: {:?}: {}", self.rule, self.what)
    }
}

/// Rules that hold for some schedulers only.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Tasks leave a vtime queue for a CPU in order of vtime. Holds for schedulers that take tasks from the head only.
    pub vtime_order: bool,
    /// Each departure from a dispatch queue has its event (move, dequeue, enqueue, switch in), so that a task can be said to be
    /// in two places.
    pub one_place: bool,
    /// A CPU's time belongs to the tasks that it runs and to idling, and to nothing else: a switch takes no time of its own, as
    /// with sched_switch. `ran_ns` is the time between the switches. A trace that lost events, or that counts only parts
    /// of the time, does not keep it.
    pub whole_time: bool,
    /// Kernel code can be preempted: a task may lose its CPU on its way to sleep, and be woken before it has slept. A wakeup of
    /// a task that has not left its CPU is told like any other. So it is on Linux.
    pub preemptible: bool,
    /// No task waits longer than this, ns, while a scheduler is enabled.
    pub watchdog_ns: Option<u64>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not heard of before, or made and not yet queued.
    New,
    /// Could run, and waits.
    Runnable,
    /// Runs there.
    Running(u32),
    /// Sleeps.
    Blocked,
    /// Gone.
    Dead,
}

#[derive(Debug)]
struct Task {
    state: State,
    /// Made by an event that was seen.
    known: bool,
    /// It was there when the trace began, and may have been doing anything.
    from_start: bool,
    exiting: bool,
    /// Woken before it left its CPU, which it was about to do.
    woken_early: bool,
    cpu: Option<u32>,
    since: u64,
    /// CPUs that it may use, one bit each; `None`: all.
    cpus: Option<Vec<u64>>,
    /// The CPU that it was running on when it lost the right to: it goes on there until the stopper has come.
    leaving: Option<u32>,
}

impl Task {
    fn may_use(&self, cpu: u32) -> bool {
        let word = |m: &Vec<u64>| m.get(cpu as usize / 64).copied().unwrap_or(0);
        self.cpus.as_ref().is_none_or(|m| word(m) >> (cpu % 64) & 1 != 0)
    }
}

#[derive(Debug, Default)]
struct Cpu {
    seen: bool,
    last: u64,
    running: Option<(u32, u64)>,
    /// `None`: not known.
    idle: Option<bool>,
    idle_from: u64,
    idle_ns: u64,
    ran_ns: u64,
    /// From when on it is known what it does.
    known_from: Option<u64>,
}

/// Judges events while they happen.
#[derive(Debug, Default)]
pub struct Checker {
    rules: Rules,
    tasks: BTreeMap<u32, Task>,
    cpus: Vec<Cpu>,
    custody: Custody,
    enabled_at: Option<u64>,
    disabled: bool,
    index: u64,
    now: u64,
    violations: Vec<Violation>,
    nr_violations: u64,
}

impl Sink for Checker {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.judge(t, cpu, &kind);
        self.index += 1;
        self.now = self.now.max(t);
    }
}

impl Checker {
    /// Judges by all rules that hold for every scheduler, and by those of `rules`.
    pub fn new(rules: Rules) -> Checker {
        Checker { rules, ..Checker::default() }
    }

    /// Violations so far: the first hundred.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many violations there were.
    pub fn nr_violations(&self) -> u64 {
        self.nr_violations
    }

    /// Judges the end of a run at `end_ns`: sums, and tasks that still wait. The first violations of all; empty if the run is sound.
    pub fn finish(&mut self, end_ns: u64) -> Vec<Violation> {
        let end = end_ns.max(self.now);
        for id in 0..self.cpus.len() {
            let c = &self.cpus[id];
            let running = c.running.map_or(0, |(_, from)| end.saturating_sub(from));
            let idle = match c.idle {
                Some(true) => end.saturating_sub(c.idle_from),
                _ => 0,
            };
            let sum = c.ran_ns + running + c.idle_ns + idle;
            let known = c.known_from.map_or(0, |from| end - from);
            if sum > end || sum != known && self.rules.whole_time {
                let what = format!(
                    "it ran and idled for {sum} ns of the {known} ns in which it is known, in a run of {end} ns"
                );
                self.violation(end, id as u32, Rule::CpuTime, what);
            }
        }
        let waiting =
            |(&pid, task): (&u32, &Task)| (task.state == State::Runnable).then_some((pid, task.since, task.cpu));
        let waiting: Vec<_> = self.tasks.iter().filter_map(waiting).collect();
        for (pid, since, cpu) in waiting {
            self.watchdog(end, cpu.unwrap_or(0), pid, since);
        }
        std::mem::take(&mut self.violations)
    }

    fn violation(&mut self, t: u64, cpu: u32, rule: Rule, what: String) {
        self.nr_violations += 1;
        if self.violations.len() < KEPT_MAX {
            self.violations.push(Violation { index: self.index, t, cpu, rule, what });
        }
    }

    fn task(&mut self, pid: u32) -> &mut Task {
        self.tasks.entry(pid).or_insert(Task {
            state: State::New,
            known: false,
            from_start: false,
            exiting: false,
            woken_early: false,
            cpu: None,
            since: 0,
            cpus: None,
            leaving: None,
        })
    }

    fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        let index = cpu as usize;
        if self.cpus.len() <= index {
            self.cpus.resize_with(index + 1, Cpu::default);
        }
        &mut self.cpus[index]
    }

    fn judge(&mut self, t: u64, cpu: u32, kind: &EventKind) {
        match *kind {
            EventKind::SwitchIn { pid: 0 } | EventKind::SwitchOut { pid: 0, .. } => {}
            EventKind::Fork { pid, parent, .. } => self.fork(t, cpu, pid, parent),
            EventKind::Waking { pid, .. } => self.waking(t, cpu, pid),
            EventKind::Select { pid, .. } => self.select(t, cpu, pid),
            EventKind::Enqueue { pid, on, .. } => self.enqueue(t, cpu, pid, on),
            EventKind::Insert { pid, dsq, vtime, .. } => self.insert(t, cpu, pid, dsq, vtime),
            EventKind::Move { pid, from, to } => self.moved(t, cpu, pid, from, to),
            EventKind::Dequeue { pid, .. } => drop(self.custody.remove(pid)),
            EventKind::Migrate { pid, from, to } => self.migrate(t, cpu, pid, from, to),
            EventKind::SwitchIn { pid } => self.switch_in(t, cpu, pid),
            EventKind::SwitchOut { pid, why, ran_ns } => self.switch_out(t, cpu, pid, why, ran_ns),
            EventKind::Exec { pid, .. } => self.executes(t, cpu, pid),
            EventKind::Exit { pid } => self.exit(t, cpu, pid),
            EventKind::Tick { .. } => self.clock(t, cpu),
            EventKind::IdleIn => self.idle(t, cpu, true),
            EventKind::IdleOut => self.idle(t, cpu, false),
            EventKind::Kick { target, .. } => {
                if self.disabled {
                    let what = format!("cpu{target} is kicked although no scheduler is enabled");
                    self.violation(t, cpu, Rule::AfterDisabled, what);
                }
            }
            EventKind::Affinity { pid, ref cpus } => {
                let task = self.task(pid);
                task.cpus = bits(cpus);
                task.leaving = match task.state {
                    State::Running(cpu) if !task.may_use(cpu) => Some(cpu),
                    _ => None,
                };
            }
            EventKind::Enabled { .. } => {
                self.enabled_at = Some(t);
                self.disabled = false;
            }
            EventKind::Disabled { .. } => {
                self.enabled_at = None;
                self.disabled = true;
                self.custody.clear();
            }
            EventKind::Weight { .. } | EventKind::Ext { .. } | EventKind::Work { .. } => {}
        }
    }

    fn fork(&mut self, t: u64, cpu: u32, pid: u32, parent: u32) {
        let task = self.task(pid);
        task.from_start = parent == 0;
        if std::mem::replace(&mut task.known, true) || task.state != State::New {
            self.violation(t, cpu, Rule::Lifecycle, format!("pid {pid} is made twice"));
        }
    }

    fn waking(&mut self, t: u64, cpu: u32, pid: u32) {
        let preemptible = self.rules.preemptible;
        let task = self.task(pid);
        match task.state {
            State::New | State::Blocked => {
                task.state = State::Runnable;
                task.since = t;
            }
            State::Running(_) => task.woken_early = true,
            State::Runnable if preemptible => {}
            State::Runnable => {
                let what = format!("pid {pid} is woken although it waits to run");
                self.violation(t, cpu, Rule::Lifecycle, what);
            }
            State::Dead => {
                let what = format!("pid {pid} is woken after its death");
                self.violation(t, cpu, Rule::Lifecycle, what);
            }
        }
    }

    /// Only who runs can execute a program, and only where it runs. Of a task that was not yet seen nothing is known.
    fn executes(&mut self, t: u64, cpu: u32, pid: u32) {
        let state = self.task(pid).state;
        if state != State::New && state != State::Running(cpu) {
            let what = format!("pid {pid} executes a program: it is {state:?}");
            self.violation(t, cpu, Rule::Lifecycle, what);
        }
    }

    fn select(&mut self, t: u64, cpu: u32, pid: u32) {
        self.leave_early(t, pid);
        if self.task(pid).state == State::Dead {
            let what = format!("a CPU is selected for pid {pid} after its death");
            self.violation(t, cpu, Rule::Lifecycle, what);
        }
    }

    /// A wakeup that came before the task had left its CPU takes effect when it has.
    fn leave_early(&mut self, t: u64, pid: u32) {
        let task = self.task(pid);
        if task.state == State::Blocked && std::mem::take(&mut task.woken_early) {
            task.state = State::Runnable;
            task.since = t;
        }
    }

    fn enqueue(&mut self, t: u64, cpu: u32, pid: u32, on: u32) {
        self.leave_early(t, pid);
        let preemptible = self.rules.preemptible;
        let task = self.task(pid);
        let at = task.cpu;
        match task.state {
            State::New => {
                task.state = State::Runnable;
                task.since = t;
            }
            State::Running(_) if preemptible => task.woken_early = false,
            // A sleeper whose dequeue is delayed may be moved like a waiting task.
            State::Runnable | State::Blocked => {}
            State::Running(at) => {
                let what = format!("pid {pid} is enqueued while it runs on cpu{at}");
                self.violation(t, cpu, Rule::Lifecycle, what);
            }
            State::Dead => {
                let what = format!("pid {pid} is enqueued after its death");
                self.violation(t, cpu, Rule::Lifecycle, what);
            }
        }
        if at.is_some_and(|at| at != on) {
            let what = format!("pid {pid} is enqueued on cpu{on} but belongs to cpu{}", at.unwrap_or(0));
            self.violation(t, cpu, Rule::Placement, what);
        }
        self.task(pid).cpu = Some(on);
    }

    fn insert(&mut self, t: u64, cpu: u32, pid: u32, dsq: u64, vtime: Option<u64>) {
        if self.disabled {
            let what = format!("pid {pid} is inserted although no scheduler is enabled");
            self.violation(t, cpu, Rule::AfterDisabled, what);
        }
        if self.task(pid).state == State::Dead {
            let what = format!("pid {pid} is inserted after its death");
            self.violation(t, cpu, Rule::Lifecycle, what);
        }
        if vtime.is_some() && is_builtin(dsq) {
            let what = format!("pid {pid} is inserted by vtime in the built-in queue {dsq:#x}");
            self.violation(t, cpu, Rule::DsqOrder, what);
        }
        let before = self.custody.place(pid);
        if let Some(p) = before.filter(|_| self.rules.one_place) {
            let what = format!("pid {pid} is inserted in {dsq:#x} while it is in {:#x}", p.dsq);
            self.violation(t, cpu, Rule::OnePlace, what);
        }
        if self.custody.insert(pid, dsq, vtime) {
            let what = format!("{dsq:#x} holds tasks in order of vtime and of insertion");
            self.violation(t, cpu, Rule::DsqOrder, what);
        }
    }

    fn moved(&mut self, t: u64, cpu: u32, pid: u32, from: u64, to: u64) {
        let place = self.custody.place(pid);
        if self.rules.one_place && place.is_some_and(|p| p.dsq != from) {
            let at = place.map_or(0, |p| p.dsq);
            let what = format!("pid {pid} is moved from {from:#x} while it is in {at:#x}");
            self.violation(t, cpu, Rule::OnePlace, what);
        }
        let ordered = place.filter(|p| p.dsq == from && p.vtime.is_some());
        if let (true, Some(place), Some(target)) = (self.rules.vtime_order, ordered, local_cpu(to)) {
            let tasks = &self.tasks;
            let may = |pid: &u32| tasks.get(pid).is_none_or(|t| t.may_use(target));
            let first = self.custody.before(place).find(may);
            if let Some(first) = first {
                let what = format!("pid {pid} leaves {from:#x} before pid {first}, which has less vtime");
                self.violation(t, cpu, Rule::VtimeOrder, what);
            }
        }
        // A user queue is one of vtimes if the task came with one; it keeps its own until another is told.
        let vtime = place.and_then(|p| p.vtime).filter(|_| !is_builtin(to));
        self.custody.insert(pid, to, vtime);
    }

    fn migrate(&mut self, t: u64, cpu: u32, pid: u32, from: u32, to: u32) {
        let task = self.task(pid);
        task.leaving = None;
        let (state, at) = (task.state, task.cpu.replace(to));
        if let State::Running(on) = state {
            let what = format!("pid {pid} is migrated to cpu{to} while it runs on cpu{on}");
            self.violation(t, cpu, Rule::Placement, what);
        }
        if at.is_some_and(|at| at != from) {
            let what = format!("pid {pid} is migrated from cpu{from} but belongs to cpu{}", at.unwrap_or(0));
            self.violation(t, cpu, Rule::Placement, what);
        }
    }

    fn switch_in(&mut self, t: u64, cpu: u32, pid: u32) {
        self.clock(t, cpu);
        self.cpu(cpu).known_from.get_or_insert(t);
        let c = self.cpu(cpu);
        let (running, idle) = (c.running.replace((pid, t)), c.idle.replace(false));
        if let Some((other, _)) = running {
            let what = format!("pid {pid} is switched in while pid {other} runs");
            self.violation(t, cpu, Rule::CpuRunsOne, what);
        }
        if idle == Some(true) {
            let what = format!("pid {pid} is switched in while the CPU idles");
            self.violation(t, cpu, Rule::CpuRunsOne, what);
        }
        let task = self.task(pid);
        let allowed = task.may_use(cpu) || task.leaving == Some(cpu);
        let (known, since) = (task.known, task.since);
        let from_start = task.from_start;
        let state = std::mem::replace(&mut task.state, State::Running(cpu));
        let at = task.cpu.replace(cpu);
        task.woken_early = false;
        match state {
            State::Runnable => self.watchdog(t, cpu, pid, since),
            State::New if !known || from_start => {}
            State::Running(other) => {
                let what = format!("pid {pid} is switched in while it runs on cpu{other}");
                self.violation(t, cpu, Rule::TaskRunsOnce, what);
            }
            State::New | State::Blocked | State::Dead => {
                let what = format!("pid {pid} is switched in: it is {state:?}");
                self.violation(t, cpu, Rule::RunnableOnly, what);
            }
        }
        if at.is_some_and(|at| at != cpu) {
            let what = format!("pid {pid} is switched in but belongs to cpu{}", at.unwrap_or(0));
            self.violation(t, cpu, Rule::Placement, what);
        }
        if !allowed {
            let what = format!("pid {pid} is switched in on a CPU that it may not use");
            self.violation(t, cpu, Rule::Affinity, what);
        }
        let place = self.custody.remove(pid);
        let wrong = place.filter(|p| local_cpu(p.dsq) != Some(cpu) && self.rules.one_place);
        if let Some(place) = wrong {
            let what = format!("pid {pid} is switched in while it is in {:#x}", place.dsq);
            self.violation(t, cpu, Rule::OnePlace, what);
        }
    }

    fn switch_out(&mut self, t: u64, cpu: u32, pid: u32, why: SwitchOut, ran_ns: u64) {
        self.clock(t, cpu);
        let exact = self.rules.whole_time;
        let c = self.cpu(cpu);
        c.known_from.get_or_insert(t.saturating_sub(ran_ns));
        c.ran_ns += ran_ns;
        let (running, seen) = (c.running.take(), c.seen);
        let from_start = running.is_none() && !seen;
        match running {
            Some((p, from)) if p == pid => {
                let length = t.saturating_sub(from);
                if ran_ns > length || ran_ns != length && exact {
                    let what = format!("pid {pid} ran for {ran_ns} ns of the {length} ns since it was switched in");
                    self.violation(t, cpu, Rule::CpuTime, what);
                }
            }
            Some((other, _)) => {
                let what = format!("pid {pid} is switched out but pid {other} runs");
                self.violation(t, cpu, Rule::CpuRunsOne, what);
            }
            // The first that is heard of this CPU.
            None if !seen => {}
            None => {
                let what = format!("pid {pid} is switched out but nothing runs");
                self.violation(t, cpu, Rule::CpuRunsOne, what);
            }
        }
        self.cpu(cpu).seen = true;
        let task = self.task(pid);
        task.cpu = Some(cpu);
        let exiting = task.exiting;
        // Who has run from the start on, unseen, and was woken: it was about to sleep.
        task.woken_early |= from_start && task.state == State::Runnable;
        task.state = match why {
            SwitchOut::Blocked => State::Blocked,
            SwitchOut::Dead => State::Dead,
            SwitchOut::Preempted | SwitchOut::Yielded => {
                task.woken_early = false;
                task.since = t;
                State::Runnable
            }
        };
        if why == SwitchOut::Dead && !exiting {
            let what = format!("pid {pid} is dead without having exited");
            self.violation(t, cpu, Rule::Lifecycle, what);
        }
    }

    fn exit(&mut self, t: u64, cpu: u32, pid: u32) {
        let task = self.task(pid);
        let again = std::mem::replace(&mut task.exiting, true);
        let refused = task.known && task.state == State::New; // a fork that failed
        if refused {
            task.state = State::Dead;
        }
        let running = matches!(task.state, State::Running(_)) || !task.known || refused;
        if again || !running {
            let what = format!("pid {pid} exits twice, or without running");
            self.violation(t, cpu, Rule::Lifecycle, what);
        }
    }

    fn idle(&mut self, t: u64, cpu: u32, idle: bool) {
        self.clock(t, cpu);
        let c = self.cpu(cpu);
        // A CPU that is first heard of when it leaves idle was idle from the start.
        c.known_from.get_or_insert(if idle { t } else { 0 });
        let before = c.idle.replace(idle);
        match idle {
            true => c.idle_from = t,
            // What came before the first event was idle time, if it ends here.
            false if before != Some(false) => c.idle_ns += t.saturating_sub(c.idle_from),
            false => {}
        }
        let running = c.running;
        if before == Some(idle) {
            let what = format!("it goes {} idle twice", if idle { "into" } else { "out of" });
            self.violation(t, cpu, Rule::CpuRunsOne, what);
        }
        if let Some((pid, _)) = running.filter(|_| idle) {
            let what = format!("it goes idle while pid {pid} runs");
            self.violation(t, cpu, Rule::CpuRunsOne, what);
        }
    }

    /// The CPU's own events: those about other CPUs' queues carry the clock of the CPU that emits them.
    fn clock(&mut self, t: u64, cpu: u32) {
        let c = self.cpu(cpu);
        c.seen |= c.running.is_some() || c.idle.is_some();
        let last = std::mem::replace(&mut c.last, t);
        if t < last {
            let what = format!("its clock goes back from {last} ns to {t} ns");
            self.violation(t, cpu, Rule::CpuClock, what);
        }
    }

    fn watchdog(&mut self, t: u64, cpu: u32, pid: u32, since: u64) {
        let (Some(limit), Some(enabled_at)) = (self.rules.watchdog_ns, self.enabled_at) else {
            return;
        };
        let waited = t.saturating_sub(since.max(enabled_at));
        if waited > limit {
            let what = format!("pid {pid} waited for {waited} ns, longer than {limit} ns");
            self.violation(t, cpu, Rule::Watchdog, what);
        }
    }
}

/// A CPU list as bits; `None` if it is not one.
fn bits(list: &str) -> Option<Vec<u64>> {
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (lo, hi) = part.split_once('-').unwrap_or((part, part));
        let (lo, hi): (usize, usize) = (lo.trim().parse().ok()?, hi.trim().parse().ok()?);
        for cpu in lo..=hi.min(1 << 16) {
            let word = cpu / 64;
            if mask.len() <= word {
                mask.resize(word + 1, 0);
            }
            mask[word] |= 1 << (cpu % 64);
        }
    }
    Some(mask)
}
