//! What happens during a run besides the workload: `AT EVENT`, as `--inject` and scenarios give it.
//!
//! A change of a task's attributes is made by a task of its own, at real-time priority, through the same system calls that
//! taskset(1) and renice(1) use. Its target is looked up by name just before.

use std::cell::Cell;
use std::rc::Rc;

use scxr_host::{GroupChange, Injected, What};
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::cgroup::Bandwidth;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::dump::sysrq_dump;
use scxr_kernel::ext::exit::sysrq_reset;
use scxr_kernel::ids::{CpuId, Ns, TaskId};
use scxr_kernel::{CgroupChange, Machine};
use scxr_workload::params::parse_duration;
use scxr_workload::threads::Change;

use crate::failure::{Failure, Result};
use crate::session::Halves;
use scxr_workload::suggest;

/// Real-time priority of tasks that injections make.
const PRIORITY: u8 = 50;
/// Name of the tasks that change others.
const COMM: &str = "inject";

/// What can be injected, for messages.
const KNOWN: &str = "affinity TASK CPUS; nice TASK N; cookie TASK N; policy TASK POLICY[:PRIORITY]; rt cpuN TIME; hotplug cpuN on|off; \
    move TASK CGROUP; cgroup CGROUP make|remove|weight N|idle on|off|max QUOTA|unlimited [PERIOD]; kill-half; sysrq-s; sysrq-d";
const WORDS: [&str; 11] =
    ["affinity", "nice", "cookie", "policy", "rt", "sysrq-s", "hotplug", "move", "cgroup", "sysrq-d", "kill-half"];
const POLICIES: &str = "other, batch, idle, ext, fifo[:1-99] and rr[:1-99]";

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Injection {
    /// When, ns.
    pub(crate) at: Ns,
    /// What.
    pub(crate) event: Event,
    /// As it was given.
    pub(crate) text: String,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The CPUs that a task may use change.
    Affinity {
        /// Name of the task.
        task: String,
        /// The CPUs.
        cpus: CpuMask,
    },
    /// A task's nice value changes.
    Nice {
        /// Name of the task.
        task: String,
        /// -20 to 19.
        nice: i8,
    },
    /// A task gets another cookie of core scheduling.
    Cookie {
        /// Name of the task.
        task: String,
        /// 0: none.
        cookie: u64,
    },
    /// A task's policy changes.
    Policy {
        /// Name of the task.
        task: String,
        /// The policy.
        policy: Policy,
    },
    /// A CPU goes offline or comes online.
    Hotplug {
        /// The CPU; not the first.
        cpu: CpuId,
        /// Which of the two.
        online: bool,
    },
    /// A real-time task takes a CPU for a time.
    Rt {
        /// The CPU.
        cpu: CpuId,
        /// For how long, ns of computing.
        length: Ns,
    },
    /// SysRq-S: the scheduler is disabled as by the key combination.
    SysrqS,
    /// SysRq-D: the state of the scheduler is dumped.
    SysrqD,
    /// The scheduler's user-space half is killed; its scheduler stays.
    KillHalf,
    /// A task goes to a cgroup.
    Move {
        /// Name of the task.
        task: String,
        /// Path of the cgroup.
        to: String,
    },
    /// A cgroup is made, removed or set otherwise.
    Cgroup {
        /// Its path.
        path: String,
        /// How.
        change: CgroupChange,
    },
}

impl Injection {
    /// Reads `AT EVENT`.
    pub(crate) fn parse(text: &str, nr_cpus: usize) -> Result<Injection> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let fail = |why: String| Failure::input(format_args!("--inject '{text}': {why}"));
        let [at, word, rest @ ..] = &words[..] else {
            return Err(fail(format!("write 'AT EVENT', with EVENT one of: {KNOWN}")));
        };
        let at = parse_duration(at).map_err(fail)?;
        let cpus = |list: &str| {
            let mask = CpuMask::parse(list)?;
            match mask.is_empty() || !mask.subset_of(&CpuMask::first_n(nr_cpus)) {
                true => Err(format!("the machine has CPUs 0 to {} only", nr_cpus - 1)),
                false => Ok(mask),
            }
        };
        let one = |text: &str| {
            let mask = cpus(text.strip_prefix("cpu").unwrap_or(text)).map_err(fail)?;
            let cpu = mask.first().filter(|_| mask.weight() == 1);
            cpu.ok_or_else(|| fail("give one CPU, such as cpu2".into()))
        };
        let event = match (*word, rest) {
            ("affinity", [task, list]) => Event::Affinity { task: task.to_string(), cpus: cpus(list).map_err(fail)? },
            ("nice", [task, nice]) => Event::Nice { task: task.to_string(), nice: parse_nice(nice).map_err(fail)? },
            ("cookie", [task, cookie]) => {
                let cookie = cookie.parse().map_err(|_| fail(format!("'{cookie}' is not a cookie (0 or more)")))?;
                Event::Cookie { task: task.to_string(), cookie }
            }
            ("policy", [task, policy]) => {
                Event::Policy { task: task.to_string(), policy: parse_policy(policy).map_err(fail)? }
            }
            ("rt", [cpu, length]) => Event::Rt { cpu: one(cpu)?, length: parse_duration(length).map_err(fail)? },
            ("hotplug", [cpu, state @ ("on" | "off")]) => match one(cpu)? {
                CpuId(0) => return Err(fail("CPU 0 cannot go offline".into())),
                cpu => Event::Hotplug { cpu, online: *state == "on" },
            },
            ("move", [task, to]) => Event::Move { task: task.to_string(), to: to.to_string() },
            ("cgroup", [path, change @ ..]) if !change.is_empty() => {
                let known = parse_change(change).map_err(fail)?;
                let change = known.ok_or_else(|| fail(format!("'cgroup' takes other arguments: {KNOWN}")))?;
                Event::Cgroup { path: path.to_string(), change }
            }
            ("kill-half", []) => Event::KillHalf,
            ("sysrq-d", []) => Event::SysrqD,
            ("sysrq-s", []) => Event::SysrqS,
            (word, _) if WORDS.contains(&word) => {
                return Err(fail(format!("'{word}' takes other arguments: {KNOWN}")));
            }
            (word, _) => {
                let hint = suggest::hint(word, WORDS);
                return Err(fail(format!("unknown event '{word}'{hint}; there are: {KNOWN}")));
            }
        };
        let text = words.join(" ");
        Ok(Injection { at, event, text })
    }
}

fn parse_nice(text: &str) -> Result<i8, String> {
    let nice = text.parse::<i8>().ok().filter(|n| (-20..=19).contains(n));
    nice.ok_or_else(|| format!("'{text}' is not a nice value (-20 to 19)"))
}

fn parse_policy(text: &str) -> Result<Policy, String> {
    let (name, priority) = text.split_once(':').unwrap_or((text, "10"));
    let priority = priority.parse::<u8>().ok().filter(|p| (1..=99).contains(p));
    let policy = match (name, priority, text.contains(':')) {
        ("fifo", Some(priority), _) => Some(Policy::Fifo(priority)),
        ("rr", Some(priority), _) => Some(Policy::RoundRobin(priority)),
        ("other" | "normal", _, false) => Some(Policy::Normal),
        ("batch", _, false) => Some(Policy::Batch),
        ("idle", _, false) => Some(Policy::Idle),
        ("ext", _, false) => Some(Policy::Ext),
        _ => None,
    };
    policy.ok_or_else(|| format!("'{text}' is no policy; there are {POLICIES}"))
}

/// A change of a cgroup; `None`: there is none that is written so.
fn parse_change(words: &[&str]) -> Result<Option<CgroupChange>, String> {
    let us = |text: &str| parse_duration(text).map(|ns| ns / 1000);
    Ok(Some(match words {
        ["make"] => CgroupChange::Make,
        ["remove"] => CgroupChange::Remove,
        ["weight", n] => {
            let weight = n.parse().ok().filter(|n| (1..=10_000).contains(n));
            CgroupChange::Weight(weight.ok_or_else(|| format!("'{n}' is not a weight (1 to 10000)"))?)
        }
        ["idle", on @ ("on" | "off")] => CgroupChange::Idle(*on == "on"),
        ["max", quota, period @ ..] if period.len() < 2 => {
            let mut b = Bandwidth::default();
            if *quota != "unlimited" {
                b.quota_us = us(quota)?;
            }
            if let Some(period) = period.first() {
                b.period_us = us(period)?;
            }
            CgroupChange::Bandwidth(b)
        }
        _ => return Ok(None),
    }))
}

/// The file of a cgroup that is written, and what.
fn group_change(change: CgroupChange) -> Option<GroupChange> {
    let set = |file: &str, text: String| GroupChange::Set { file: file.into(), text };
    Some(match change {
        CgroupChange::Make => GroupChange::Make,
        CgroupChange::Remove => GroupChange::Remove,
        CgroupChange::Weight(weight) => set("cpu.weight", weight.to_string()),
        CgroupChange::Idle(on) => set("cpu.idle", u32::from(on).to_string()),
        CgroupChange::Bandwidth(b) if b.quota_us == Bandwidth::UNLIMITED => {
            set("cpu.max", format!("max {}", b.period_us))
        }
        CgroupChange::Bandwidth(b) => set("cpu.max", format!("{} {}", b.quota_us, b.period_us)),
        // That is a `move`.
        CgroupChange::Attach(_) => return None,
    })
}

/// For a real kernel.
pub(crate) fn real(injections: &[Injection]) -> Vec<Injected> {
    let what = |event: &Event| {
        Some(match event.clone() {
            Event::Affinity { task, cpus } => What::Change { task, to: Change::affinity(&cpus) },
            Event::Nice { task, nice } => What::Change { task, to: Change::Nice { nice } },
            // Refused where the run was asked for.
            Event::Cookie { .. } => return None,
            Event::Policy { task, policy } => What::Change { task, to: Change::policy(policy) },
            Event::Rt { cpu, length } => What::Rt { cpu: cpu.0, length_ns: length },
            Event::Hotplug { cpu, online } => What::Hotplug { cpu: cpu.0, online },
            Event::SysrqS => What::SysrqS,
            Event::SysrqD => What::SysrqD,
            Event::KillHalf => What::KillHalf,
            Event::Move { task, to } => What::Move { task, to },
            Event::Cgroup { path, change } => What::Group { path, change: group_change(change)? },
        })
    };
    let injected = |i: &Injection| Some(Injected { at_ns: i.at, what: what(&i.event)?, text: i.text.clone() });
    injections.iter().filter_map(injected).collect()
}

/// The injections of a run, under way.
pub(crate) struct Injector {
    /// In order of time.
    pending: Vec<Pending>,
    /// Of the tasks that the machine forks first, by number from 0: those that only change others.
    changers: Vec<u32>,
}

struct Pending {
    injection: Injection,
    target: Rc<Cell<Option<TaskId>>>,
}

impl Injector {
    /// Prepares all of them on a machine that has not run yet. `halves`: the scheduler's user-space halves; the last one is killed.
    pub(crate) fn new(m: &mut Machine, injections: &[Injection], halves: &Halves) -> Injector {
        let (mut pending, mut changers) = (Vec::new(), Vec::new());
        let mut nr_tasks = 0;
        for injection in injections {
            let is_task = !matches!(injection.event, Event::SysrqS | Event::SysrqD | Event::KillHalf);
            if is_task && !matches!(injection.event, Event::Rt { .. }) {
                changers.push(nr_tasks);
            }
            nr_tasks += u32::from(is_task);
            let target = Rc::new(Cell::new(None));
            prepare(m, injection, halves, &target);
            pending.push(Pending { injection: injection.clone(), target });
        }
        pending.sort_by_key(|p| p.injection.at);
        Injector { pending, changers }
    }

    /// Is this task, by its number among all that were forked after boot, one that only changes others?
    pub(crate) fn is_changer(&self, nr: u32) -> bool {
        self.changers.contains(&nr)
    }

    /// Time just before the next one, up to which the machine may run now.
    pub(crate) fn next_stop(&self) -> Option<Ns> {
        Some(self.pending.first()?.injection.at.saturating_sub(1))
    }

    /// Looks the targets up of all that come now.
    pub(crate) fn arm(&mut self, m: &Machine) -> Result<()> {
        let now = self.next_stop();
        while self.next_stop().is_some() && self.next_stop() == now {
            let p = self.pending.remove(0);
            if let Event::Affinity { task, .. }
            | Event::Nice { task, .. }
            | Event::Cookie { task, .. }
            | Event::Policy { task, .. }
            | Event::Move { task, .. } = &p.injection.event
            {
                p.target.set(Some(find(m, task, &p.injection.text)?));
            }
        }
        Ok(())
    }
}

fn find(m: &Machine, name: &str, text: &str) -> Result<TaskId> {
    let state = m.state();
    let tasks = state.all_tasks();
    let comms: Vec<&str> = tasks.iter().map(|&p| state.task(p).comm.as_str()).collect();
    if let Some(at) = comms.iter().position(|c| *c == name) {
        return Ok(tasks[at]);
    }
    let hint = suggest::hint(name, comms.iter().copied());
    Err(Failure::input(format_args!("--inject '{text}': no task has the name '{name}' at that time{hint}")))
}

fn prepare(m: &mut Machine, injection: &Injection, halves: &Halves, target: &Rc<Cell<Option<TaskId>>>) {
    let at = injection.at;
    let change: Box<dyn Fn(TaskId) -> Action> = match injection.event.clone() {
        Event::Affinity { cpus, .. } => Box::new(move |p| Action::SetAffinity(Whom::Task(p), cpus)),
        Event::Nice { nice, .. } => Box::new(move |p| Action::SetNice(Whom::Task(p), nice)),
        Event::Cookie { cookie, .. } => Box::new(move |p| Action::SetCookie(Whom::Task(p), cookie)),
        Event::Rt { cpu, length } => {
            let mut spec = once("rt", at, move || Some(Action::Run(length)));
            spec.affinity = Some(CpuMask::of(cpu));
            return m.spawn(spec);
        }
        Event::Policy { policy, .. } => Box::new(move |p| Action::SetPolicy(Whom::Task(p), policy)),
        Event::Move { to, .. } => {
            Box::new(move |p| Action::Cgroup(to.clone(), Box::new(CgroupChange::Attach(vec![p]))))
        }
        Event::Cgroup { path, change } => {
            let act = move || Some(Action::Cgroup(path.clone(), Box::new(change.clone())));
            return m.spawn(once(COMM, at, act));
        }
        Event::Hotplug { cpu, online } => {
            let mut spec = once(COMM, at, move || Some(Action::SetCpuOnline(cpu, online)));
            spec.affinity = Some(CpuMask::of(CpuId(0))); // which stays
            return m.spawn(spec);
        }
        Event::SysrqS => return m.at(at, sysrq_reset),
        Event::SysrqD => return m.at(at, sysrq_dump),
        Event::KillHalf => {
            let halves = Rc::clone(halves);
            return m.at(at, move |_| halves.borrow().last().iter().for_each(|half| half.killer()()));
        }
    };
    let target = Rc::clone(target);
    m.spawn(once(COMM, at, move || target.get().map(&change)));
}

/// A real-time task that does one thing at time `at` and exits.
fn once(comm: &str, at: Ns, act: impl Fn() -> Option<Action> + 'static) -> TaskSpec {
    let mut step = 0;
    let behavior = move |_: &TaskCx| {
        step += 1;
        match step {
            1 => Action::SleepUntil(at),
            2 => act().unwrap_or(Action::Exit),
            _ => Action::Exit,
        }
    };
    let mut spec = TaskSpec::new(comm, behavior);
    spec.policy = Policy::Fifo(PRIORITY);
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        let check = |text: &str, at, event| {
            let i = Injection::parse(text, 4).expect(text);
            assert_eq!((i.at, i.event), (at, event), "{text}");
        };
        let task = || "worker-2".to_string();
        let cpus = CpuMask::parse("0-2").unwrap();
        check("1s affinity worker-2 0-2", 1_000_000_000, Event::Affinity { task: task(), cpus });
        check("  2ms  nice worker-2 -5 ", 2_000_000, Event::Nice { task: task(), nice: -5 });
        let (cpu, length) = (CpuId(2), 20_000_000);
        check("50ms rt cpu2 20ms", 50_000_000, Event::Rt { cpu, length });
        check("1ns policy worker-2 fifo:7", 1, Event::Policy { task: task(), policy: Policy::Fifo(7) });
        check("1ns policy worker-2 ext", 1, Event::Policy { task: task(), policy: Policy::Ext });
        check("1ns cookie worker-2 7", 1, Event::Cookie { task: task(), cookie: 7 });
        check("1ns hotplug cpu3 off", 1, Event::Hotplug { cpu: CpuId(3), online: false });
        check("1s move worker-2 /a/b", 1_000_000_000, Event::Move { task: task(), to: "/a/b".into() });
        let cgroup = |change| Event::Cgroup { path: "/a".into(), change };
        check("1s cgroup /a weight 200", 1_000_000_000, cgroup(CgroupChange::Weight(200)));
        let limit = Bandwidth { period_us: 50_000, quota_us: 20_000, burst_us: 0 };
        check("1s cgroup /a max 20ms 50ms", 1_000_000_000, cgroup(CgroupChange::Bandwidth(limit)));
        check("1s cgroup /a max unlimited", 1_000_000_000, cgroup(CgroupChange::Bandwidth(Bandwidth::default())));
        check("300ms sysrq-s", 300_000_000, Event::SysrqS);
        check("300ms kill-half", 300_000_000, Event::KillHalf);
        check("300ms sysrq-d", 300_000_000, Event::SysrqD);
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, why) in [
            ("", "write 'AT EVENT'"),
            ("1s", "write 'AT EVENT'"),
            ("1 sysrq-s", "no unit"),
            ("1s sysrqs", "did you mean 'sysrq-s'?"),
            ("1s hotplg 3 off", "did you mean 'hotplug'?"),
            ("1s hotplug 3 of", "takes other arguments"),
            ("1s hotplug 4 off", "CPUs 0 to 3"),
            ("1s hotplug 0 off", "CPU 0 cannot go offline"),
            ("1s cgroup /a weight 0", "1 to 10000"),
            ("1s cgroup /a heavy", "takes other arguments"),
            ("1s cgroup /a max 5", "no unit"),
            ("1s policy worker fair", "'fair' is no policy; there are other, batch"),
            ("1s policy worker fifo:100", "is no policy"),
            ("1s policy worker idle:1", "is no policy"),
            ("1s cookie worker -1", "is not a cookie (0 or more)"),
            ("1s nice worker 20", "-20 to 19"),
            ("1s nice worker", "takes other arguments"),
            ("1s affinity worker 4", "CPUs 0 to 3"),
            ("1s rt cpu9 1ms", "CPUs 0 to 3"),
            ("1s rt 0-1 1ms", "give one CPU"),
        ] {
            let e = Injection::parse(text, 4).unwrap_err();
            assert!(e.to_string().contains(why), "{text}: {e}");
            assert_eq!(e.code(), 2);
        }
    }
}
