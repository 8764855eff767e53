//! Tasks and their phases.

use scxr_kernel::behavior::Policy;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;

use super::events::{EVENTS, TaskOf, event_of};
use super::object::{Object, fault_at, integer};
use super::{Fault, Reader, Result2};
use crate::ir::{Loops, Op, Phase, PhaseAttrs, Program, Since, TaskTemplate};
use crate::json::{Member, Pos, Value};
use crate::suggest::hint;

/// Settings of a task and of a phase.
const BOTH: &[&str] = &["loop", "policy", "priority", "cpus", "taskgroup"];
/// Settings of a task only.
const TASK: &[&str] = &["instance", "delay", "phases", "core_cookie"];
/// Settings that the simulated kernel has no use for.
const IGNORED: &[&str] = &[
    "nodes_membind",
    "membind_nodes",
    "util_min",
    "util_max",
    "dl-runtime",
    "dl-period",
    "dl-deadline",
    "period",
    "deadline",
];
/// Those of them that the deadline policy has a use for.
const DEADLINE: &[&str] = &["dl-runtime", "dl-period", "dl-deadline", "period", "deadline"];
/// Longest time of a deadline task, us (an hour).
const DEADLINE_US_MAX: i64 = 3_600_000_000;
/// Shortest CPU time that the kernel grants, us [__checkparam_dl].
const DEADLINE_US_MIN: i64 = 2;
/// Most instances of one task.
const INSTANCES_MAX: i64 = 1_000_000;
/// Longest initial delay, us (a day).
const DELAY_US_MAX: i64 = 86_400_000_000;

const POLICIES: &[&str] =
    &["SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_RR", "SCHED_FIFO", "SCHED_EXT", "SCHED_DEADLINE"];

/// A policy by its name; `SCHED_EXT` besides rt-app's own. RT ones have rt-app's default priority; a deadline needs more than
/// a name.
pub(super) fn policy(o: &Object<'_>, pos: Pos, key: &str, name: &str) -> Result2<Policy> {
    Ok(match o.one_of(pos, key, name, POLICIES)? {
        0 => Policy::Normal,
        1 => Policy::Batch,
        2 => Policy::Idle,
        3 => Policy::RoundRobin(10),
        4 => Policy::Fifo(10),
        5 => Policy::Ext,
        _ => deadline(o, pos, key)?,
    })
}

/// SCHED_DEADLINE with its times, us: a period that is not given is as long as the CPU time, a deadline as the period.
fn deadline(o: &Object<'_>, pos: Pos, key: &str) -> Result2<Policy> {
    let time = |keys: [&str; 2], low: i64| -> Result2<Option<i64>> {
        match o.integer(keys[0], low, DEADLINE_US_MAX)? {
            None => o.integer(keys[1], low, DEADLINE_US_MAX),
            given => Ok(given),
        }
    };
    let Some(runtime) = o.integer("dl-runtime", DEADLINE_US_MIN, DEADLINE_US_MAX)? else {
        let why = "SCHED_DEADLINE needs \"dl-runtime\" (CPU time in each \"dl-period\", us) beside it";
        return Err(Fault { pos, key: Some(key.into()), why: why.into() });
    };
    let period = time(["dl-period", "period"], 1)?.unwrap_or(runtime);
    let deadline = time(["dl-deadline", "deadline"], 1)?.unwrap_or(period);
    if runtime > deadline || deadline > period {
        let why = format!(
            "\"dl-runtime\" ({runtime} us) may not be longer than \"dl-deadline\" ({deadline} us), nor that than \"dl-period\" \
             ({period} us)"
        );
        return Err(Fault { pos, key: Some(key.into()), why });
    }
    let [runtime, deadline, period] = [runtime, deadline, period].map(|us| us as u64 * 1000);
    Ok(Policy::Deadline { runtime, deadline, period })
}

/// Policy and nice value as far as an object sets them.
struct Sched {
    policy: Option<Policy>,
    nice: Option<i8>,
}

impl Reader {
    pub(super) fn tasks(&mut self, tasks: &Object<'_>) -> Result2<Vec<TaskTemplate>> {
        let names: Vec<&str> = tasks.members.iter().map(|m| m.key.as_str()).collect();
        tasks.members.iter().map(|m| self.task(m, &names)).collect()
    }

    fn task(&mut self, m: &Member, names: &[&str]) -> Result2<TaskTemplate> {
        let o = Object::of_member(m)?;
        let phases = o.get("phases")?;
        let instances = o.integer("instance", 0, INSTANCES_MAX)?.unwrap_or(1) as u32;
        self.names.next_task();
        let of = TaskOf { name: &m.key, instances, tasks: names };
        let sched = sched(&o, Some(self.default_policy))?;
        let cpus = self.cpus(&o)?;
        let delay = o.integer("delay", 0, DELAY_US_MAX)?.unwrap_or(0) as u64 * 1000;
        let loops = loops(&o)?;
        let program = match phases {
            None => Program {
                // The loop of a task without phases is that of its only phase.
                loops: loops.map_or(Loops::Forever, |_| Loops::Times(1)),
                phases: vec![Phase {
                    loops: loops.unwrap_or(Loops::Times(1)),
                    attrs: PhaseAttrs::default(),
                    ops: self.ops(&o, &of, TASK)?,
                }],
            },
            Some(phases) => {
                self.settings_only(&o)?;
                Program { loops: loops.unwrap_or(Loops::Forever), phases: self.phases(phases, &of)? }
            }
        };
        let cgroup = self.cgroup(&o, phases)?;
        let core_cookie = o.integer("core_cookie", 0, i64::MAX)?.unwrap_or(0) as u64;
        Ok(TaskTemplate {
            name: m.key.clone(),
            instances,
            policy: sched.policy.unwrap_or(self.default_policy),
            nice: sched.nice.unwrap_or(0),
            cpus,
            cgroup,
            core_cookie,
            delay,
            program,
        })
    }

    /// A task with phases has no events of its own.
    fn settings_only(&mut self, o: &Object<'_>) -> Result2<()> {
        for m in o.members {
            let known = [BOTH, TASK, IGNORED].concat();
            if known.contains(&m.key.as_str()) {
                self.ignored(&m.key, o);
            } else if event_of(&m.key).is_some() {
                let why = "a task with \"phases\" has its events there, not beside them";
                return Err(fault_at(m, why));
            } else {
                return Err(unknown(m, &known));
            }
        }
        Ok(())
    }

    fn phases(&mut self, m: &Member, of: &TaskOf<'_>) -> Result2<Vec<Phase>> {
        let phases = Object::of_member(m)?;
        if phases.members.is_empty() {
            return Err(fault_at(m, "there is no phase"));
        }
        let mut all = Vec::new();
        for m in phases.members {
            let o = Object::of_member(m)?;
            let sched = sched(&o, None)?;
            all.push(Phase {
                loops: loops(&o)?.unwrap_or(Loops::Times(1)),
                attrs: PhaseAttrs { cpus: self.cpus(&o)?, policy: sched.policy, nice: sched.nice },
                ops: self.ops(&o, of, &[])?,
            });
        }
        Ok(all)
    }

    /// The steps of a phase. One pass over them is one operation, as one line of rt-app's log is.
    fn ops(&mut self, o: &Object<'_>, of: &TaskOf<'_>, more: &[&'static str]) -> Result2<Vec<Op>> {
        let settings = [BOTH, more, IGNORED].concat();
        let mut ops = vec![Op::Mark];
        for m in o.members {
            if settings.contains(&m.key.as_str()) {
                self.ignored(&m.key, o);
            } else if let Some(event) = event_of(&m.key) {
                let steps = self.event(m, event, of, &settings, &ops)?;
                ops.extend(steps);
            } else {
                return Err(unknown(m, &settings));
            }
        }
        if ops.len() == 1 {
            return Err(o.fault(None, "there are no events here; write \"run\", \"sleep\", …"));
        }
        ops.push(Op::Work(Since::Mark));
        Ok(ops)
    }

    fn ignored(&mut self, key: &str, o: &Object<'_>) {
        let is_deadline = matches!(o.string("policy"), Ok(Some((_, "SCHED_DEADLINE"))));
        if IGNORED.contains(&key) && !(is_deadline && DEADLINE.contains(&key)) {
            let text = format!("tasks: without effect in a simulation: {key}");
            if !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
    }

    fn cpus(&self, o: &Object<'_>) -> Result2<Option<CpuMask>> {
        let Some(m) = o.get("cpus")? else {
            return Ok(None);
        };
        let Value::Array(list) = &m.node.value else {
            let why = format!("expected an array of CPUs such as [0, 1], found {}", m.node.value.kind());
            return Err(fault_at(m, why));
        };
        let mut mask = CpuMask::EMPTY;
        for node in list {
            let last = self.nr_cpus as i64 - 1;
            let element = Member { key: m.key.clone(), pos: node.pos, node: node.clone() };
            let cpu = integer(&element, 0, last)
                .map_err(|f| Fault { why: format!("{} (the machine has CPUs 0 to {last})", f.why), ..f })?;
            mask.set(CpuId(cpu as u32));
        }
        match mask.is_empty() {
            true => Err(fault_at(m, "a task needs at least one CPU")),
            false => Ok(Some(mask)),
        }
    }

    /// The task's cgroup. A phase may name one where all of them say the same, or where the task says it too.
    fn cgroup(&self, o: &Object<'_>, phases: Option<&Member>) -> Result2<String> {
        let own = o.string("taskgroup")?.filter(|s| !s.1.is_empty());
        let mut group = own.map(|s| s.1);
        if let Some((pos, path)) = own {
            absolute(pos, path)?;
        }
        let members = match phases.map(|m| &m.node.value) {
            Some(Value::Object(members)) => members.as_slice(),
            _ => &[],
        };
        for (i, m) in members.iter().enumerate() {
            let phase = Object::of_member(m)?;
            let Some((pos, path)) = phase.string("taskgroup")?.filter(|s| !s.1.is_empty()) else {
                continue;
            };
            absolute(pos, path)?;
            if i > 0 && group != Some(path) {
                return Err(Fault {
                    pos,
                    key: Some("taskgroup".into()),
                    why: "not implemented yet: a task that changes its taskgroup between phases".into(),
                });
            }
            group = Some(path);
        }
        Ok(group.unwrap_or("/").into())
    }
}

fn absolute(pos: Pos, path: &str) -> Result2<()> {
    match path.starts_with('/') {
        true => Ok(()),
        false => Err(Fault { pos, key: Some("taskgroup".into()), why: format!("'{path}' must begin with '/'") }),
    }
}

fn unknown(m: &Member, settings: &[&str]) -> Fault {
    let all = || settings.iter().chain(EVENTS).copied();
    let hint = hint(&m.key, all());
    let list = all().filter(|k| !IGNORED.contains(k)).collect::<Vec<_>>();
    let why = format!("unknown key{hint}; known here are {}", list.join(", "));
    fault_at(m, why)
}

/// -1 is for ever.
fn loops(o: &Object<'_>) -> Result2<Option<Loops>> {
    match o.integer("loop", -1, i64::MAX)? {
        None => Ok(None),
        Some(-1) => Ok(Some(Loops::Forever)),
        Some(0) => match o.get("loop")? {
            Some(m) => Err(fault_at(m, "0 loops do nothing; write -1 for no end, or 1 and more")),
            None => Ok(None),
        },
        Some(n) => Ok(Some(Loops::Times(n as u64))),
    }
}

/// `policy` and `priority`: a nice value for the fair policies, 1 to 99 for the real-time ones, as the policy in force has it.
/// `default` is the policy of an object that must have one (a task).
fn sched(o: &Object<'_>, default: Option<Policy>) -> Result2<Sched> {
    let named = match o.string("policy")? {
        Some((pos, name)) => Some(policy(o, pos, "policy", name)?),
        None => None,
    };
    match named.or(default) {
        Some(Policy::Fifo(p)) => {
            let p = o.integer("priority", 1, 99)?.map_or(p, |n| n as u8);
            Ok(Sched { policy: Some(Policy::Fifo(p)), nice: None })
        }
        Some(Policy::Deadline { .. }) => {
            o.integer("priority", 0, 0)?;
            Ok(Sched { policy: named, nice: None })
        }
        Some(Policy::RoundRobin(p)) => {
            let p = o.integer("priority", 1, 99)?.map_or(p, |n| n as u8);
            Ok(Sched { policy: Some(Policy::RoundRobin(p)), nice: None })
        }
        // A policy without a priority puts the nice value back to 0, as rt-app does.
        Some(other) => {
            Ok(Sched { policy: Some(other), nice: Some(o.integer("priority", -20, 19)?.unwrap_or(0) as i8) })
        }
        None => Ok(Sched { policy: None, nice: o.integer("priority", -20, 19)?.map(|n| n as i8) }),
    }
}
