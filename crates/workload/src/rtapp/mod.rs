//! Reader of rt-app's JSON.
//!
//! The format is that of rt-app's documentation: an object with `tasks`, and possibly `global` and `resources`. Times are in
//! microseconds there. An event's key is its name with anything after it (`run`, `run1`, `run_b`); keys may be there
//! several times and are done in the order in which they are written. Differences, all of them on the strict side: a key that is neither
//! known nor an event is an error, and so is a setting that is given twice.

mod events;
mod names;
mod object;
mod task;

use scxr_kernel::behavior::Policy;
use scxr_kernel::ids::Ns;

use crate::error::WorkloadError;
use crate::ir::{TaskGroup, TaskTemplate, Workload};
use crate::json::{self, Pos};
use object::{Object, fault_at};

/// Reads a file.
pub(crate) fn load(path: &str, nr_cpus: usize, seed: u64) -> Result<Workload, WorkloadError> {
    let text =
        std::fs::read_to_string(path).map_err(|e| WorkloadError::Io { file: path.into(), why: e.to_string() })?;
    read(path, &text, nr_cpus, seed)
}

/// Reads the text of a file; `file` is its name for messages.
pub(crate) fn read(file: &str, text: &str, nr_cpus: usize, seed: u64) -> Result<Workload, WorkloadError> {
    let mut reader =
        Reader { nr_cpus, default_policy: Policy::Normal, names: names::Names::default(), warnings: Vec::new() };
    let result = json::parse(text)
        .map_err(|e| Fault { pos: e.pos, key: None, why: e.why })
        .and_then(|root| reader.workload(&root, seed));
    result.map(|w| Workload { name: file.into(), ..w }).map_err(|f| WorkloadError::Json {
        file: file.into(),
        line: f.pos.line,
        column: f.pos.column,
        key: f.key,
        why: f.why,
    })
}

/// Something wrong in the file.
#[derive(Debug)]
pub(crate) struct Fault {
    pos: Pos,
    key: Option<String>,
    why: String,
}

type Result2<T> = Result<T, Fault>;

/// What is known while a file is read.
struct Reader {
    nr_cpus: usize,
    default_policy: Policy,
    names: names::Names,
    warnings: Vec<String>,
}

/// Settings of `global` that say how rt-app measures and logs, and mean nothing in a simulation.
const GLOBAL_IGNORED: &[&str] = &[
    "calibration",
    "pi_enabled",
    "lock_pages",
    "logdir",
    "log_basename",
    "log_size",
    "ftrace",
    "gnuplot",
    "io_device",
    "mem_buffer_size",
    "cumulative_slack",
    "frag",
];

/// Kinds of entries in `resources`.
const RESOURCE_KINDS: &[&str] = &[
    "mutex",
    "wait",
    "signal",
    "broad",
    "sync",
    "sync_wait",
    "timer",
    "suspend",
    "resume",
    "barrier",
    "sleep",
    "run",
    "yield",
    "fork",
    "lock",
    "unlock",
    "mem",
    "iorun",
    "sem_post",
    "sem_wait",
];

impl Reader {
    fn workload(&mut self, root: &json::Node, seed: u64) -> Result2<Workload> {
        let root = Object::of(root, "the file")?;
        root.only(&["tasks", "global", "resources", "taskgroups"], &[])?;
        let duration = match root.get("global")? {
            Some(m) => self.global(&Object::of_member(m)?)?,
            None => None,
        };
        if let Some(m) = root.get("resources")? {
            for m in Object::of_member(m)?.members {
                let entry = Object::of_member(m)?;
                entry.only(&["type"], &[])?;
                if let Some((pos, kind)) = entry.string("type")? {
                    entry.one_of(pos, "type", kind, RESOURCE_KINDS)?;
                }
            }
        }
        let Some(tasks) = root.get("tasks")? else {
            return Err(root.fault(None, "the object \"tasks\" is missing"));
        };
        let tasks = Object::of_member(tasks)?;
        if tasks.members.is_empty() {
            return Err(tasks.fault(Some("tasks"), "there is no task"));
        }
        let tasks = self.tasks(&tasks)?;
        let groups = match root.get("taskgroups")? {
            Some(m) => groups(&Object::of_member(m)?, &tasks)?,
            None => Vec::new(),
        };
        let names = std::mem::take(&mut self.names);
        Ok(Workload {
            name: String::new(),
            seed,
            duration,
            resources: names.resources(),
            tasks,
            groups,
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    fn global(&mut self, global: &Object<'_>) -> Result2<Option<Ns>> {
        global.only(&["duration", "default_policy"], GLOBAL_IGNORED)?;
        let ignored: Vec<&str> =
            GLOBAL_IGNORED.iter().copied().filter(|k| global.members.iter().any(|m| m.key == *k)).collect();
        if !ignored.is_empty() {
            let list = ignored.join(", ");
            self.warnings.push(format!("global: without effect in a simulation: {list}"));
        }
        if let Some((pos, name)) = global.string("default_policy")? {
            if name == "SCHED_DEADLINE" {
                let why = "SCHED_DEADLINE cannot be the default policy: each task has times of its own; write it there"
                    .into();
                return Err(Fault { pos, key: Some("default_policy".into()), why });
            }
            self.default_policy = task::policy(global, pos, "default_policy", name)?;
        }
        match global.integer("duration", -1, i64::from(u32::MAX))? {
            None | Some(-1) => Ok(None),
            Some(seconds) => Ok(Some(seconds as Ns * 1_000_000_000)),
        }
    }
}

/// `taskgroups`, which rt-app has not: weights of the cgroups that tasks name as their `taskgroup`, or that those are in.
fn groups(all: &Object<'_>, tasks: &[TaskTemplate]) -> Result2<Vec<TaskGroup>> {
    let mut groups = Vec::new();
    for m in all.members {
        let group = Object::of_member(m)?;
        all.get(&m.key)?; // not twice
        group.only(&["weight"], &[])?;
        let path = m.key.trim_end_matches('/');
        let used =
            |t: &TaskTemplate| t.cgroup == path || t.cgroup.strip_prefix(path).is_some_and(|r| r.starts_with('/'));
        if !path.starts_with('/') || !tasks.iter().any(used) {
            let mut named: Vec<&str> = tasks.iter().map(|t| t.cgroup.as_str()).filter(|g| *g != "/").collect();
            named.sort_unstable();
            named.dedup();
            let have = if named.is_empty() {
                "no task has one".to_owned()
            } else {
                format!("tasks have {}", named.join(", "))
            };
            return Err(fault_at(m, format!("this is the \"taskgroup\" of no task; {have}")));
        }
        if let Some(weight) = group.integer("weight", 1, 10_000)? {
            groups.push(TaskGroup { path: path.into(), weight: weight as u32 });
        }
    }
    groups.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(groups)
}
