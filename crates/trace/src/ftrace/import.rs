//! From a kernel's records to our events.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::format::{Format, Formats};
use super::ring;
use crate::event::{EventKind, Sink, SwitchOut};

/// Bits of `prev_state` that tell of a task that sleeps; what is above says that it was preempted.
const STATES: u64 = 0xff;
/// Bits of `prev_state` of a task that is dead.
const DEAD: u64 = 0x30;

/// A task that is known from elsewhere, so that it has a weight and a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTask {
    /// Its thread id.
    pub pid: u32,
    /// Its parent, where that matters.
    pub parent: u32,
    /// Its name.
    pub comm: String,
    /// Its cgroup.
    pub group: String,
    /// Its weight, cgroup scale.
    pub weight: u32,
    /// Its policy's number.
    pub policy: u32,
    /// The CPUs that it may use, as a list; `None`: all.
    pub cpus: Option<String>,
    /// When it was there, in the kernel's time; before the start for those that were there from the start.
    pub born_ns: u64,
}

/// What a recording shows.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Number of events.
    pub nr_events: u64,
    /// Some records were lost: the kernel's buffer was full.
    pub lost: bool,
    /// The class's debug dump, where a scheduler was ejected.
    pub dump: String,
}

/// What a recording was made of. All times in the kernel's clock (CLOCK_MONOTONIC), ns.
#[derive(Clone, Debug, Default)]
pub struct Importer {
    /// How records look.
    pub formats: Formats,
    /// The run began then: it is time 0 of the events. What was before is left out.
    pub start_ns: u64,
    /// The run ended then. What was after is left out.
    pub end_ns: u64,
    /// Tasks of the workload.
    pub tasks: Vec<KnownTask>,
    /// Operations of the workload: time, pid, latency.
    pub work: Vec<(u64, u32, u64)>,
}

/// A record of a CPU.
struct Raw<'a> {
    t: u64,
    cpu: u32,
    format: &'a Format,
    record: Vec<u8>,
}

/// Reads all pages of each CPU and gives the events in order of time to `sink`.
pub fn import(from: &Importer, pages: &[Vec<Vec<u8>>], sink: &mut dyn Sink) -> Imported {
    let mut out = Imported::default();
    let mut raw = Vec::new();
    for (cpu, pages) in pages.iter().enumerate() {
        for page in pages {
            out.lost |= ring::records(page, &mut |t, record| {
                let id = record.get(..2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
                if let Some(format) = from.formats.get(id) {
                    raw.push(Raw { t, cpu: cpu as u32, format, record: record.to_vec() });
                }
            });
        }
    }
    raw.sort_by_key(|r| r.t);
    for r in raw.iter().filter(|r| r.format.name == "sched_ext_dump") {
        out.dump += &r.format.text(&r.record, "line");
        out.dump.push('\n');
    }
    let known = from.tasks.iter().map(|t| (t.pid, t)).collect();
    let mut teller = Teller { sink, known, names: names(&raw), running: BTreeMap::new(), nr: 0, told: false };
    let end = from.end_ns;
    let mut work = from.work.clone();
    work.sort_by_key(|w| w.0);
    let mut work = work.into_iter().peekable();
    for r in raw.iter().filter(|r| r.t <= end) {
        while let Some((t, pid, ns)) = work.next_if(|w| w.0 <= r.t) {
            teller.work(t.saturating_sub(from.start_ns), pid, ns);
        }
        teller.record(r, from.start_ns);
    }
    work.filter(|w| w.0 <= end).for_each(|(t, pid, ns)| teller.work(t.saturating_sub(from.start_ns), pid, ns));
    out.nr_events = teller.nr;
    out
}

/// The last name of each task that was forked: what a fork's record has is the name of the parent, until a program or the
/// task itself gives it its own.
fn names(raw: &[Raw<'_>]) -> BTreeMap<u32, String> {
    let number = |r: &Raw<'_>, field: &str| r.format.number(&r.record, field) as u32;
    let forks = raw.iter().filter(|r| r.format.name == "sched_process_fork");
    let mut wanted: BTreeSet<u32> = forks.map(|r| number(r, "child_pid")).collect();
    let mut names = BTreeMap::new();
    for r in raw.iter().rev().filter(|r| r.format.name == "sched_switch") {
        if wanted.is_empty() {
            break;
        }
        let pid = number(r, "prev_pid");
        if wanted.remove(&pid) {
            names.insert(pid, r.format.text(&r.record, "prev_comm"));
        }
    }
    names
}

/// Tells records in our words.
struct Teller<'a> {
    sink: &'a mut dyn Sink,
    known: BTreeMap<u32, &'a KnownTask>,
    /// Names of forked tasks.
    names: BTreeMap<u32, String>,
    /// For each CPU the task on it and since when.
    running: BTreeMap<u32, (u32, u64)>,
    nr: u64,
    told: bool,
}

impl<'a> Teller<'a> {
    fn emit(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.nr += 1;
        self.sink.event(t, cpu, kind);
    }

    /// Tasks that were there from the start.
    fn first(&mut self, start: u64) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let tasks: Vec<&KnownTask> = self.known.values().copied().filter(|t| t.born_ns <= start).collect();
        for task in tasks {
            self.tell_task(0, 0, task, 0);
        }
    }

    fn tell_task(&mut self, t: u64, cpu: u32, task: &KnownTask, parent: u32) {
        let KnownTask { pid, weight, policy, .. } = *task;
        let (comm, group) = (task.comm.clone(), task.group.clone());
        self.emit(t, cpu, EventKind::Fork { pid, parent, comm, group, weight, policy });
        if let Some(cpus) = task.cpus.clone() {
            self.emit(t, cpu, EventKind::Affinity { pid, cpus });
        }
    }

    fn work(&mut self, t: u64, pid: u32, ns: u64) {
        let cpu = self.running.iter().find(|(_, r)| r.0 == pid).map_or(0, |(cpu, _)| *cpu);
        self.emit(t, cpu, EventKind::Work { pid, ns });
    }

    fn record(&mut self, r: &Raw<'_>, start: u64) {
        let number = |field: &str| r.format.number(&r.record, field) as u32;
        if r.format.name == "sched_switch" && r.t < start {
            // Who was on the CPU when the run began.
            self.running.insert(r.cpu, (number("next_pid"), 0));
        }
        if r.t < start {
            return;
        }
        self.first(start);
        let (t, cpu) = (r.t - start, r.cpu);
        match r.format.name.as_str() {
            "sched_switch" => self.switch(r, t),
            "sched_waking" => {
                let kind = EventKind::Waking { pid: number("pid"), waker: number("common_pid"), sync: false };
                self.emit(t, cpu, kind);
            }
            "sched_wakeup" | "sched_wakeup_new" => {
                self.emit(t, cpu, EventKind::Enqueue { pid: number("pid"), on: number("target_cpu"), flags: 0 });
            }
            "sched_migrate_task" => {
                let (from, to) = (number("orig_cpu"), number("dest_cpu"));
                self.emit(t, cpu, EventKind::Migrate { pid: number("pid"), from, to });
            }
            "sched_process_fork" => {
                let (pid, parent) = (number("child_pid"), number("parent_pid"));
                let unknown = KnownTask {
                    pid,
                    comm: self.names.get(&pid).cloned().unwrap_or_else(|| r.format.text(&r.record, "child_comm")),
                    group: "/".into(),
                    weight: 100,
                    ..KnownTask::default()
                };
                let task = self.known.get(&pid).copied().cloned().unwrap_or(unknown);
                self.tell_task(t, cpu, &task, parent);
            }
            "sched_ext_event" => {
                let (name, delta) = (r.format.text(&r.record, "name"), r.format.number(&r.record, "delta") as i64);
                self.emit(t, cpu, EventKind::Ext { name, delta });
            }
            "sched_process_exit" => self.emit(t, cpu, EventKind::Exit { pid: number("pid") }),
            _ => {}
        }
    }

    fn switch(&mut self, r: &Raw<'_>, t: u64) {
        let number = |field: &str| r.format.number(&r.record, field);
        let (prev, next, state) = (number("prev_pid") as u32, number("next_pid") as u32, number("prev_state"));
        let since = self.running.insert(r.cpu, (next, t)).filter(|(pid, _)| *pid == prev).map_or(0, |(_, t)| t);
        if prev == 0 {
            self.emit(t, r.cpu, EventKind::IdleOut);
        } else {
            let why = match state & STATES {
                0 => SwitchOut::Preempted,
                s if s & DEAD != 0 => SwitchOut::Dead,
                _ => SwitchOut::Blocked,
            };
            self.emit(t, r.cpu, EventKind::SwitchOut { pid: prev, why, ran_ns: t.saturating_sub(since) });
        }
        match next {
            0 => self.emit(t, r.cpu, EventKind::IdleIn),
            pid => self.emit(t, r.cpu, EventKind::SwitchIn { pid }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::Recorder;

    const SWITCH: &str = "ID: 1\nfield:unsigned short common_type;\toffset:0;\tsize:2;\nfield:pid_t prev_pid;\toffset:4;\tsize:4;\n\
        field:long prev_state;\toffset:8;\tsize:4;\nfield:pid_t next_pid;\toffset:12;\tsize:4;\n";

    /// A page at time 100 of switches: time since the one before, who leaves, in which state, who comes.
    fn page(switches: &[(u32, u32, u32, u32)]) -> Vec<u8> {
        let mut out = 100u64.to_le_bytes().to_vec();
        out.extend((switches.len() as u64 * 20).to_le_bytes());
        for (delta, prev, state, next) in switches {
            [4 | delta << 5, 1, *prev, *state, *next].iter().for_each(|w| out.extend(w.to_le_bytes()));
        }
        out
    }

    #[test]
    fn switches_become_events() {
        let mut formats = Formats::default();
        formats.add("sched_switch", SWITCH).unwrap();
        let task = KnownTask { pid: 7, comm: "seven".into(), group: "/".into(), weight: 100, ..KnownTask::default() };
        let from = Importer { formats, start_ns: 115, end_ns: 1000, tasks: vec![task], work: vec![(131, 7, 9)] };
        // 7 came at 110, before the start; it is preempted at 120, comes again at 130, blocks at 140; 2000 is too late.
        let page = page(&[(10, 0, 0, 7), (10, 7, 0x100, 0), (10, 0, 0, 7), (10, 7, 1, 0), (1860, 0, 0, 7)]);
        let mut recorder = Recorder::new();
        let out = import(&from, &[vec![page]], &mut recorder);
        let events: Vec<(u64, EventKind)> = recorder.finish().into_iter().map(|e| (e.t, e.kind)).collect();
        let off = |why, ran_ns| EventKind::SwitchOut { pid: 7, why, ran_ns };
        assert!(matches!(events[0], (0, EventKind::Fork { pid: 7, .. })), "{events:?}");
        assert_eq!(
            events[1..],
            [
                (5, off(SwitchOut::Preempted, 5)),
                (5, EventKind::IdleIn),
                (15, EventKind::IdleOut),
                (15, EventKind::SwitchIn { pid: 7 }),
                (16, EventKind::Work { pid: 7, ns: 9 }),
                (25, off(SwitchOut::Blocked, 10)),
                (25, EventKind::IdleIn),
            ]
        );
        assert_eq!((out.nr_events, out.lost), (8, false));
    }
}
