//! The analyzer: constant time for each event.

use std::collections::BTreeMap;

use scxr_trace::{EventKind, Sink, SwitchOut};

use crate::fairness::{Got, fairness};
use crate::latency::Hist;
use crate::report::{CpuReport, Distances, GroupReport, Latencies, Report, TaskReport, Totals, Waiting, WorkReport};
use crate::tasks::{State, Task, Tasks};

/// Where a CPU is. Numbers are those of the whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Core.
    pub core: u32,
    /// Last-level cache.
    pub llc: u32,
    /// NUMA node.
    pub node: u32,
}

/// What the analyzer has to know besides the events.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The place of each CPU; as many as the machine has. CPUs are idle until they run something.
    pub places: Vec<Place>,
    /// When the run ends, if that is known before. What happens later, on a CPU that has begun something in time, is taken to
    /// happen then.
    pub end_ns: Option<u64>,
}

impl Options {
    /// `n` CPUs in one cache, without SMT.
    pub fn flat(n: usize) -> Options {
        let place = |core| Place { core: core as u32, ..Place::default() };
        Options { places: (0..n).map(place).collect(), end_ns: None }
    }
}

#[derive(Debug)]
struct Cpu {
    place: Place,
    idle: bool,
    idle_from: u64,
    /// When it began to run the task that it runs.
    busy_from: Option<u64>,
    report: CpuReport,
}

/// Takes events, keeps sums. Pid 0 is the idle task and is left out; whether other tasks are of interest is the reader's decision.
#[derive(Debug)]
pub struct Analyzer {
    cpus: Vec<Cpu>,
    tasks: Tasks,
    workload_from: u32,
    end: u64,
    groups: BTreeMap<String, u32>,
    totals: Totals,
    distances: Distances,
    wakeup: Hist,
    runqueue: Hist,
    work: Hist,
    last_work_at: u64,
    idle: IdleClock,
    idle_with_work_ns_max: u64,
    now: u64,
}

/// Integrates over time how many CPUs idle and how many tasks wait.
#[derive(Debug, Default)]
struct IdleClock {
    now: u64,
    nr_idle: u64,
    nr_waiting: u64,
    /// Time in which at least one CPU was idle.
    any_idle_ns: u64,
    /// Integral of min(idle, waiting).
    with_work_ns: u64,
}

impl IdleClock {
    /// Goes on to `t`; the clocks of CPUs differ by the length of a kernel path, so `t` may lie a little back.
    #[inline]
    fn advance(&mut self, t: u64) {
        if t > self.now {
            let dt = t - self.now;
            self.now = t;
            if self.nr_idle > 0 {
                self.any_idle_ns += dt;
                self.with_work_ns += dt * self.nr_idle.min(self.nr_waiting);
            }
        }
    }
}

impl Sink for Analyzer {
    #[inline]
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.take(t, cpu, &kind);
    }
}

impl Analyzer {
    /// An analyzer of a run that begins at time 0.
    pub fn new(options: Options) -> Analyzer {
        let cpu = |(i, &place): (usize, &Place)| Cpu {
            place,
            idle: true,
            idle_from: 0,
            busy_from: None,
            report: CpuReport { cpu: i as u32, ..CpuReport::default() },
        };
        Analyzer {
            idle: IdleClock { nr_idle: options.places.len() as u64, ..IdleClock::default() },
            cpus: options.places.iter().enumerate().map(cpu).collect(),
            tasks: Tasks::default(),
            workload_from: 1,
            end: options.end_ns.unwrap_or(u64::MAX),
            groups: BTreeMap::new(),
            totals: Totals::default(),
            distances: Distances::default(),
            wakeup: Hist::new(),
            runqueue: Hist::new(),
            work: Hist::new(),
            last_work_at: 0,
            idle_with_work_ns_max: 0,
            now: 0,
        }
    }

    /// Tasks with a lower pid than this are the machine's own: they count for CPUs and latencies, not for fairness.
    pub fn workload_from(&mut self, pid: u32) {
        self.workload_from = pid;
    }

    /// The same as [`Sink::event`], for those who keep the event.
    #[inline]
    pub fn take(&mut self, t: u64, cpu: u32, kind: &EventKind) {
        self.totals.events += 1;
        let t = t.min(self.end);
        self.now = self.now.max(t);
        match *kind {
            EventKind::Waking { pid, .. } => self.waking(t, pid),
            EventKind::Enqueue { pid, .. } => self.enqueue(t, pid),
            EventKind::SwitchIn { pid } => self.switch_in(t, cpu, pid),
            EventKind::SwitchOut { pid, why, ran_ns } => self.switch_out(t, cpu, pid, why, ran_ns),
            EventKind::Migrate { pid, from, to } => self.migrate(t, pid, from, to),
            EventKind::IdleIn => self.set_idle(t, cpu, true),
            EventKind::IdleOut => self.set_idle(t, cpu, false),
            EventKind::Work { pid, ns } => {
                self.work.record(ns);
                self.last_work_at = self.last_work_at.max(t);
                self.tasks.get(pid, t).report.operations += 1;
            }
            EventKind::Exec { pid, ref comm } => self.tasks.get(pid, t).report.comm.clone_from(comm),
            EventKind::Exit { pid } => self.tasks.get(pid, t).dead = true,
            EventKind::Weight { pid, weight, policy } => self.tasks.get(pid, t).set_weight(weight, policy),
            EventKind::Fork { pid, ref comm, ref group, weight, policy, .. } => {
                self.fork(t, pid, comm, group, (weight, policy))
            }
            EventKind::Affinity { pid, ref cpus } => {
                let free = covers(cpus, self.cpus.len());
                self.set_free(t, pid, free);
            }
            EventKind::Select { .. }
            | EventKind::Insert { .. }
            | EventKind::Move { .. }
            | EventKind::Dequeue { .. }
            | EventKind::Tick { .. }
            | EventKind::Kick { .. }
            | EventKind::Enabled { .. }
            | EventKind::Disabled { .. }
            | EventKind::Ext { .. } => {}
        }
    }

    fn fork(&mut self, t: u64, pid: u32, comm: &str, group: &str, (weight, policy): (u32, u32)) {
        let next = self.groups.len() as u32;
        let index = match self.groups.get(group) {
            Some(&index) => index,
            None => *self.groups.entry(group.to_string()).or_insert(next),
        };
        let task = self.tasks.get(pid, t);
        task.group = index;
        task.report.comm = comm.to_string();
        task.report.group = group.to_string();
        task.set_weight(weight, policy);
    }

    fn waking(&mut self, t: u64, pid: u32) {
        self.totals.wakeups += 1;
        let task = self.tasks.get(pid, t);
        task.report.wakeups += 1;
        task.waking_at = Some(t);
        if matches!(task.state, State::New | State::Asleep) {
            self.wait(t, pid);
        }
    }

    /// A woken task is on a run queue now. A task that sleeps and was not woken may be moved between run queues too, where
    /// its dequeue is delayed: that is no wait.
    fn enqueue(&mut self, t: u64, pid: u32) {
        let task = self.tasks.get(pid, t);
        match task.state {
            State::New => self.wait(t, pid),
            // Woken before it had left its CPU.
            State::Asleep if task.waking_at.is_some() => self.wait(t, pid),
            State::Waiting if task.waking_at.is_some() && !task.enqueued => task.since = t,
            State::Asleep | State::Waiting | State::Running => {}
        }
        self.tasks.get(pid, t).enqueued = true;
    }

    /// May the task use every CPU? A waiting one is counted, or not, from now on.
    fn set_free(&mut self, t: u64, pid: u32, free: bool) {
        self.idle.advance(t);
        let task = self.tasks.get(pid, t);
        let before = std::mem::replace(&mut task.free, free);
        if task.state == State::Waiting {
            task.idle_at = self.idle.any_idle_ns;
            self.idle.nr_waiting += u64::from(free);
            self.idle.nr_waiting -= u64::from(before);
        }
    }

    /// The task waits from now on.
    #[inline]
    fn wait(&mut self, t: u64, pid: u32) {
        self.idle.advance(t);
        let task = self.tasks.get(pid, t);
        task.state = State::Waiting;
        task.since = t;
        task.enqueued = false;
        task.idle_at = self.idle.any_idle_ns;
        self.idle.nr_waiting += u64::from(task.free);
    }

    fn switch_in(&mut self, t: u64, cpu: u32, pid: u32) {
        if pid == 0 {
            return;
        }
        self.set_idle(t, cpu, false);
        self.idle.advance(t);
        self.totals.context_switches += 1;
        if let Some(c) = self.cpus.get_mut(cpu as usize) {
            c.report.switches += 1;
            c.busy_from = Some(t);
        }
        let task = self.tasks.get(pid, t);
        let waking_at = task.waking_at.take();
        let since = match task.state {
            State::Waiting => {
                self.idle.nr_waiting = self.idle.nr_waiting.saturating_sub(u64::from(task.free));
                if task.free {
                    let idled = self.idle.any_idle_ns.saturating_sub(task.idle_at);
                    self.idle_with_work_ns_max = self.idle_with_work_ns_max.max(idled);
                }
                Some(task.since)
            }
            State::New | State::Asleep | State::Running => None,
        };
        task.state = State::Running;
        task.ran_from = t;
        if let Some(since) = since {
            let wait = t.saturating_sub(since);
            task.report.wait_ns += wait;
            task.report.wait_ns_max = task.report.wait_ns_max.max(wait);
            self.runqueue.record(wait);
        }
        if let Some(waking_at) = waking_at {
            self.wakeup.record(t.saturating_sub(waking_at));
        }
    }

    fn switch_out(&mut self, t: u64, cpu: u32, pid: u32, why: SwitchOut, ran_ns: u64) {
        if pid == 0 {
            return;
        }
        let mut ran_ns = ran_ns.min(t);
        if let Some(c) = self.cpus.get_mut(cpu as usize) {
            if let Some(from) = c.busy_from.take() {
                ran_ns = ran_ns.min(t - from.min(t));
            }
            c.report.busy_ns += ran_ns;
        }
        let task = self.tasks.get(pid, t);
        task.report.cpu_ns += ran_ns;
        match why {
            SwitchOut::Blocked | SwitchOut::Dead => {
                task.report.nvcsw += 1;
                task.blocked_at = t;
                task.state = State::Asleep;
                task.dead |= why == SwitchOut::Dead;
            }
            SwitchOut::Preempted | SwitchOut::Yielded => {
                task.report.nivcsw += 1;
                task.waking_at = None;
                self.wait(t, pid);
            }
        }
    }

    fn migrate(&mut self, t: u64, pid: u32, from: u32, to: u32) {
        self.totals.migrations += 1;
        self.tasks.get(pid, t).report.migrations += 1;
        let (Some(a), Some(b)) = (self.cpus.get(from as usize), self.cpus.get(to as usize)) else {
            return;
        };
        let (a, b) = (a.place, b.place);
        let d = &mut self.distances;
        let count = match () {
            () if a.core == b.core => &mut d.smt,
            () if a.llc == b.llc => &mut d.llc,
            () if a.node == b.node => &mut d.node,
            () => &mut d.remote,
        };
        *count += 1;
    }

    #[inline]
    fn set_idle(&mut self, t: u64, cpu: u32, idle: bool) {
        let Some(c) = self.cpus.get_mut(cpu as usize) else {
            return;
        };
        if c.idle == idle {
            return;
        }
        self.idle.advance(t);
        c.idle = idle;
        if idle {
            c.idle_from = t;
            self.idle.nr_idle += 1;
        } else {
            c.report.idle_ns += t.saturating_sub(c.idle_from);
            self.idle.nr_idle -= 1;
        }
    }

    /// The report of a run that ended at `end_ns`. Tasks that still run are credited up to the end; those that still wait
    /// have waited until then, in their own waits and in the latencies.
    pub fn finish(mut self, end_ns: u64) -> Report {
        let end = end_ns.max(self.now);
        self.idle.advance(end);
        let waiting = self.close(end);
        let total: u64 = self.tasks.iter().map(|t| t.report.cpu_ns).sum();
        let share = |ns: u64| match total {
            0 => 0.0,
            total => ns as f64 / total as f64,
        };
        let fairness = fairness(&self.always_runnable(end), end);
        let mut groups: Vec<GroupReport> = vec![GroupReport::default(); self.groups.len()];
        for (name, &index) in &self.groups {
            groups[index as usize].group = name.clone();
        }
        for task in self.tasks.iter_mut() {
            task.report.share = share(task.report.cpu_ns);
            if let Some(g) = groups.get_mut(task.group as usize) {
                g.nr_tasks += 1;
                g.cpu_ns += task.report.cpu_ns;
                g.share = share(g.cpu_ns);
            }
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        let mut tasks: Vec<TaskReport> = self.tasks.iter().map(|t| t.report.clone()).collect();
        tasks.retain(|t| t.pid != 0);
        tasks.sort_by_key(|t| t.pid);
        self.totals.idle_with_work_ns = self.idle.with_work_ns;
        let work = self.work.summary();
        let completed = work.count > 0 && self.tasks.iter().all(|t| t.dead || t.report.operations == 0);
        self.totals.completed_ns = completed.then_some(self.last_work_at);
        let work_ns = self.totals.completed_ns.unwrap_or(end).max(1);
        Report {
            totals: self.totals,
            latency_ns: Latencies { wakeup: self.wakeup.summary(), runqueue: self.runqueue.summary(), waiting },
            tasks,
            groups,
            cpus: self.cpus.into_iter().map(|c| c.report).collect(),
            migrations: self.distances,
            work: WorkReport { per_second: work.count as f64 * 1e9 / work_ns as f64, latency_ns: work },
            fairness,
            idle_with_work_ns_max: self.idle_with_work_ns_max,
            duration_ns: end,
        }
    }

    /// Ends what is going on at the end of the run; the waits among it.
    fn close(&mut self, end: u64) -> Waiting {
        let mut waiting = Waiting::default();
        for cpu in self.cpus.iter_mut().filter(|c| c.idle) {
            cpu.report.idle_ns += end.saturating_sub(cpu.idle_from);
        }
        for cpu in &mut self.cpus {
            cpu.report.busy_ns += cpu.busy_from.map_or(0, |from| end.saturating_sub(from));
        }
        for task in self.tasks.iter_mut() {
            match task.state {
                State::Running => task.report.cpu_ns += end.saturating_sub(task.ran_from),
                State::Waiting => {
                    let wait = end.saturating_sub(task.since);
                    task.report.wait_ns += wait;
                    task.report.wait_ns_max = task.report.wait_ns_max.max(wait);
                    waiting.count += 1;
                    waiting.max = waiting.max.max(wait);
                    self.runqueue.record(wait);
                    if let Some(waking_at) = task.waking_at {
                        self.wakeup.record(end.saturating_sub(waking_at));
                    }
                    if task.free {
                        let idled = self.idle.any_idle_ns.saturating_sub(task.idle_at);
                        self.idle_with_work_ns_max = self.idle_with_work_ns_max.max(idled);
                    }
                }
                State::New | State::Asleep => {}
            }
        }
        waiting
    }

    /// Tasks that wanted to run all the time.
    fn always_runnable(&self, end: u64) -> Vec<Got> {
        let wants = |t: &&Task| {
            let from_the_start = t.born.max(t.blocked_at) <= end / 100;
            t.report.pid >= self.workload_from && t.free && !t.ranked && !t.dead && from_the_start && {
                t.state == State::Running || t.state == State::Waiting
            }
        };
        let got = |t: &Task| Got { weight: t.report.weight, cpu_ns: t.report.cpu_ns };
        self.tasks.iter().filter(wants).map(got).collect()
    }
}

/// Does a CPU list name all CPUs below `n`?
fn covers(list: &str, n: usize) -> bool {
    let number = |s: &str| s.trim().parse::<usize>().ok();
    let mut ranges: Vec<(usize, usize)> = list
        .split(',')
        .filter_map(|part| match part.split_once('-') {
            Some((a, b)) => Some((number(a)?, number(b)?)),
            None => number(part).map(|a| (a, a)),
        })
        .collect();
    ranges.sort_unstable();
    let reached = ranges.iter().fold(0, |next, &(a, b)| match a <= next {
        true => next.max(b + 1),
        false => next,
    });
    reached >= n
}
