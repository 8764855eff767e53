//! From a kernel's records to our events.
//!
//! A CPU that is not online records nothing: the kernel leaves out all tracepoints there [cpu_online in TRACE_EVENT's condition], yet
//! the CPU still switches tasks and wakes others on its way off and on. What is missing is seen from what follows: a
//! `sched_wakeup` without its `sched_waking`, a CPU that leaves idle though it was never seen to idle, a sleeper that runs
//! while such a CPU is away. It is told as happening then, so that a task is not said to run on a CPU that is gone, nor
//! without having been woken.

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
    /// CPUs that were offline at the end.
    pub offline: Vec<u32>,
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
    let mut teller = Teller {
        sink,
        known,
        names: names(&raw),
        execs: execs(&raw),
        running: BTreeMap::new(),
        woken: BTreeSet::new(),
        asleep: BTreeSet::new(),
        away: BTreeSet::new(),
        nr: 0,
        told: false,
    };
    let end = from.end_ns;
    let mut gone = departures(&raw, &from.offline).into_iter().peekable();
    let mut work = from.work.clone();
    work.sort_by_key(|w| w.0);
    let mut work = work.into_iter().peekable();
    for r in raw.iter().filter(|r| r.t <= end) {
        while let Some((t, pid, ns)) = work.next_if(|w| w.0 <= r.t) {
            teller.work(t.saturating_sub(from.start_ns), pid, ns);
        }
        while let Some((t, cpu)) = gone.next_if(|g| g.0 < r.t) {
            teller.gone(t, cpu, from.start_ns);
        }
        teller.record(r, from.start_ns);
    }
    work.filter(|w| w.0 <= end).for_each(|(t, pid, ns)| teller.work(t.saturating_sub(from.start_ns), pid, ns));
    gone.filter(|g| g.0 <= end).for_each(|(t, cpu)| teller.gone(t, cpu, from.start_ns));
    out.nr_events = teller.nr;
    out
}

/// When CPUs went offline, which no record says: after the last one of the task that runs there, where the CPU leaves idle next
/// without having been seen to idle, or is offline at the end.
fn departures(raw: &[Raw<'_>], offline: &[u32]) -> Vec<(u64, u32)> {
    // For each CPU the task that runs there, and its last record.
    let mut last: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut gone = Vec::new();
    for r in raw {
        let number = |field: &str| r.format.number(&r.record, field);
        if r.format.name == "sched_switch" {
            let before = last.insert(r.cpu, (number("next_pid"), r.t));
            gone.extend(before.filter(|b| b.0 != 0 && number("prev_pid") == 0).map(|b| (b.1, r.cpu)));
        } else if let Some((pid, t)) = last.get_mut(&r.cpu)
            && number("common_pid") == *pid
        {
            *t = r.t;
        }
    }
    gone.extend(offline.iter().filter_map(|cpu| last.get(cpu).filter(|l| l.0 != 0).map(|l| (l.1, *cpu))));
    gone.sort_unstable();
    gone
}

/// The last name of each task that was forked: what a fork's record has is the name of the parent, until a program or the
/// task itself gives it its own. A task that executes a program has this name from then on.
fn names(raw: &[Raw<'_>]) -> BTreeMap<u32, String> {
    let number = |r: &Raw<'_>, field: &str| r.format.number(&r.record, field) as u32;
    let forks = raw.iter().filter(|r| r.format.name == "sched_process_fork");
    let mut wanted: BTreeSet<u32> = forks.map(|r| number(r, "child_pid")).collect();
    let mut names = BTreeMap::new();
    for r in raw.iter().rev() {
        if wanted.is_empty() {
            break;
        }
        match r.format.name.as_str() {
            "sched_switch" => {}
            // What it was called before says nothing of the program.
            "sched_process_exec" => {
                wanted.remove(&number(r, "pid"));
                continue;
            }
            _ => continue,
        }
        let pid = number(r, "prev_pid");
        if wanted.remove(&pid) {
            names.insert(pid, r.format.text(&r.record, "prev_comm"));
        }
    }
    names
}

/// How often each task executes a program.
fn execs(raw: &[Raw<'_>]) -> BTreeMap<u32, u32> {
    let mut execs = BTreeMap::new();
    for r in raw.iter().filter(|r| r.format.name == "sched_process_exec") {
        *execs.entry(r.format.number(&r.record, "pid") as u32).or_default() += 1;
    }
    execs
}

/// The name that the kernel gives to a task that executes this file: its last part, in 15 bytes.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or_default();
    let end = (0..=name.len().min(15)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    name[..end].to_owned()
}

/// Tells records in our words.
struct Teller<'a> {
    sink: &'a mut dyn Sink,
    known: BTreeMap<u32, &'a KnownTask>,
    /// Names of forked tasks.
    names: BTreeMap<u32, String>,
    /// For each task how many programs it will yet execute.
    execs: BTreeMap<u32, u32>,
    /// For each CPU the task on it and since when.
    running: BTreeMap<u32, (u32, u64)>,
    /// Tasks whose wakeup has begun and not ended.
    woken: BTreeSet<u32>,
    /// Tasks that sleep.
    asleep: BTreeSet<u32>,
    /// CPUs that are offline, or have switched no task since.
    away: BTreeSet<u32>,
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
        match r.format.name.as_str() {
            "sched_waking" => {
                self.asleep.remove(&number("pid"));
                self.woken.insert(number("pid"));
            }
            "sched_wakeup" => drop(self.asleep.remove(&number("pid"))),
            _ => {}
        }
        if r.t < start {
            if r.format.name == "sched_wakeup" {
                self.woken.remove(&number("pid"));
            }
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
                let begun = self.woken.remove(&number("pid")) || r.format.name == "sched_wakeup_new";
                if !begun {
                    // By a CPU that is not online; who ran there is not known.
                    self.emit(t, cpu, EventKind::Waking { pid: number("pid"), waker: 0, sync: false });
                }
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
                    comm: match self.names.get(&pid).filter(|_| !self.execs.contains_key(&pid)) {
                        Some(name) => name.clone(),
                        None => r.format.text(&r.record, "child_comm"),
                    },
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
            "sched_process_exec" => self.exec(r, t),
            "sched_process_exit" => self.emit(t, cpu, EventKind::Exit { pid: number("pid") }),
            _ => {}
        }
    }

    /// What it executes last may give itself another name, which no record says but that of a switch.
    fn exec(&mut self, r: &Raw<'_>, t: u64) {
        let pid = r.format.number(&r.record, "pid") as u32;
        let left = self.execs.get_mut(&pid).map_or(0, |left| {
            *left = left.saturating_sub(1);
            *left
        });
        let last = self.names.get(&pid).filter(|_| left == 0).cloned();
        let comm = last.unwrap_or_else(|| name_of(&r.format.text(&r.record, "filename")));
        self.emit(t, r.cpu, EventKind::Exec { pid, comm });
    }

    /// A CPU goes offline: it idles as far as anybody can see.
    fn gone(&mut self, t: u64, cpu: u32, start: u64) {
        let before = self.running.insert(cpu, (0, t.saturating_sub(start)));
        self.away.insert(cpu);
        let Some((pid, since)) = before.filter(|r| r.0 != 0 && t >= start) else { return };
        let t = t - start;
        let ran_ns = t.saturating_sub(since);
        self.emit(t, cpu, EventKind::SwitchOut { pid, why: SwitchOut::Blocked, ran_ns });
        self.emit(t, cpu, EventKind::IdleIn);
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
            if why == SwitchOut::Blocked {
                self.asleep.insert(prev);
            }
            self.emit(t, r.cpu, EventKind::SwitchOut { pid: prev, why, ran_ns: t.saturating_sub(since) });
        }
        self.away.remove(&r.cpu);
        if self.asleep.remove(&next) && !self.away.is_empty() {
            self.emit(t, r.cpu, EventKind::Waking { pid: next, waker: 0, sync: false });
            self.emit(t, r.cpu, EventKind::Enqueue { pid: next, on: r.cpu, flags: 0 });
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
        let from = Importer {
            formats,
            start_ns: 115,
            end_ns: 1000,
            tasks: vec![task],
            work: vec![(131, 7, 9)],
            offline: vec![],
        };
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
    const WAKING: &str = "ID: 2\nfield:unsigned short common_type;\toffset:0;\tsize:2;\nfield:int common_pid;\toffset:4;\tsize:4;\n\
        field:pid_t pid;\toffset:8;\tsize:4;\nfield:int target_cpu;\toffset:12;\tsize:4;\n";

    /// A page from time 0 on of records of 16 bytes: when, and what is in them.
    fn records(all: &[(u32, [u32; 4])]) -> Vec<u8> {
        let mut out = 0u64.to_le_bytes().to_vec();
        out.extend((all.len() as u64 * 20).to_le_bytes());
        let mut before = 0;
        for (t, words) in all {
            out.extend((4 | (t - before) << 5).to_le_bytes());
            words.iter().for_each(|w| out.extend(w.to_le_bytes()));
            before = *t;
        }
        out
    }

    fn told(pages: [Vec<u8>; 2], offline: Vec<u32>) -> Vec<String> {
        let mut formats = Formats::default();
        formats.add("sched_switch", SWITCH).unwrap();
        formats.add("sched_waking", WAKING).unwrap();
        formats.add("sched_wakeup", &WAKING.replace("ID: 2", "ID: 3")).unwrap();
        let from = Importer { formats, end_ns: 1000, offline, ..Importer::default() };
        let (mut recorder, mut checker) = (Recorder::new(), crate::Checker::new(rules()));
        let pages = pages.map(|p| vec![p]);
        import(&from, &pages, &mut recorder);
        import(&from, &pages, &mut checker);
        assert_eq!(checker.finish(1000), []);
        crate::text::write(&recorder.finish()).lines().skip(1).map(str::to_owned).collect()
    }

    fn rules() -> crate::Rules {
        crate::Rules { preemptible: true, ..crate::Rules::default() }
    }

    /// `inject` (111) on CPU 0 takes CPU 1 offline, whose stopper (24) is the last that is seen there, and wakes it when the CPU is gone.
    #[test]
    fn what_a_cpu_does_on_its_way_offline_is_not_recorded() {
        let cpu0 = [
            (10, [1, 0, 0, 111]),  // 111 comes
            (20, [2, 111, 24, 1]), // and wakes 24
            (30, [1, 111, 2, 0]),  // and sleeps
            (50, [3, 0, 111, 0]),  // its wakeup has an end, and no beginning
            (60, [1, 0, 0, 111]),
            (70, [1, 111, 1, 0]),
        ];
        let cpu1 = [(22, [3, 0, 24, 1]), (25, [1, 0, 0, 24])];
        let off = [
            "10 0 idle_out",
            "10 0 switch_in pid=111",
            "20 0 waking pid=24 waker=111 sync=0",
            "22 1 enqueue pid=24 on=1 flags=0x0",
            "25 1 idle_out",
            "25 1 switch_in pid=24",
            "25 1 switch_out pid=24 why=blocked ran_ns=0",
            "25 1 idle_in",
            "30 0 switch_out pid=111 why=blocked ran_ns=20",
            "30 0 idle_in",
            "50 0 waking pid=111 waker=0 sync=0",
            "50 0 enqueue pid=111 on=0 flags=0x0",
            "60 0 idle_out",
            "60 0 switch_in pid=111",
            "70 0 switch_out pid=111 why=blocked ran_ns=10",
            "70 0 idle_in",
        ];
        assert_eq!(told([records(&cpu0), records(&cpu1)], vec![1]), off);
        // It comes back, and wakes who sleeps on CPU 0 before it is online; the next that is seen there is its idle task.
        let cpu0 = [cpu0.as_slice(), &[(80, [1, 0, 0, 111]), (85, [1, 111, 1, 0])]].concat();
        let back = [cpu1.as_slice(), &[(90, [2, 0, 24, 1]), (91, [3, 0, 24, 1]), (95, [1, 0, 0, 24])]].concat();
        let on = [
            "80 0 idle_out",
            "80 0 waking pid=111 waker=0 sync=0",
            "80 0 enqueue pid=111 on=0 flags=0x0",
            "80 0 switch_in pid=111",
            "85 0 switch_out pid=111 why=blocked ran_ns=5",
            "85 0 idle_in",
            "90 1 waking pid=24 waker=0 sync=0",
            "91 1 enqueue pid=24 on=1 flags=0x0",
            "95 1 idle_out",
            "95 1 switch_in pid=24",
        ];
        assert_eq!(told([records(&cpu0), records(&back)], vec![]), [off.as_slice(), &on].concat());
    }

    const FORK: &str = "ID: 4\nfield:pid_t parent_pid;\toffset:4;\tsize:4;\nfield:pid_t child_pid;\toffset:8;\tsize:4;\n\
        field:char child_comm[4];\toffset:12;\tsize:4;\n";
    const EXEC: &str =
        "ID: 5\nfield:__data_loc char[] filename;\toffset:4;\tsize:4;\nfield:pid_t pid;\toffset:8;\tsize:4;\n";

    #[test]
    fn a_program_gives_its_name() {
        let mut formats = Formats::default();
        formats.add("sched_process_fork", FORK).unwrap();
        formats.add("sched_process_exec", EXEC).unwrap();
        let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
        let file = 12 | 4 << 16;
        let page = records(&[
            (10, [4, 1, 7, word(b"top\0")]),
            (20, [5, file, 7, word(b"/sh\0")]),
            (30, [5, file, 7, word(b"cc\0\0")]),
        ]);
        let from = Importer { formats, end_ns: 1000, ..Importer::default() };
        let mut recorder = Recorder::new();
        import(&from, &[vec![page]], &mut recorder);
        let told = crate::text::write(&recorder.finish());
        let told: Vec<&str> = told.lines().skip(1).collect();
        assert_eq!(
            told,
            [
                "10 0 fork pid=7 parent=1 comm=top group=/ weight=100 policy=0",
                "20 0 exec pid=7 comm=sh",
                "30 0 exec pid=7 comm=cc"
            ]
        );
        for (file, name) in [
            ("/usr/bin/make", "make"),
            ("a-name-of-twenty-one", "a-name-of-twent"),
            ("/x/", ""),
            ("aaaaaaaaaaaaaaé", "aaaaaaaaaaaaaa"),
        ] {
            assert_eq!(name_of(file), name);
        }
    }
}
