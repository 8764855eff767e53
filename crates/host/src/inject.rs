//! What happens during a run besides the workload. Each is done by a thread of its own at real-time priority, as in a
//! simulation, which is there and waits from before the run begins.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use scxr_trace::ftrace::KnownTask;
use scxr_workload::threads::{
    Change, Speed, change, group_folder, make_group, move_to_group, name_thread, sleep_until, tid,
};
use serde::{Deserialize, Serialize};

/// Name of the threads that take a CPU for a time, which are tasks of the run.
const RT: &str = "rt";
/// Name of the threads that change something.
const COMM: &str = "inject";
/// Characters of a task's name.
const COMM_LEN: usize = 15;

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// When, ns from the start.
    pub at_ns: u64,
    /// What.
    pub what: What,
    /// As the user wrote it.
    pub text: String,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A task's attribute changes.
    Change {
        /// Name of the task.
        task: String,
        /// Which, and to what.
        to: Change,
    },
    /// A real-time task computes on a CPU.
    Rt {
        /// The CPU.
        cpu: u32,
        /// For how long, ns of CPU time.
        length_ns: u64,
    },
    /// A task goes to a cgroup.
    Move {
        /// Name of the task.
        task: String,
        /// The cgroup, below that of `scxr`.
        to: String,
    },
    /// A cgroup is made, removed or set otherwise.
    Group {
        /// Its path, below that of `scxr`.
        path: String,
        /// How.
        change: GroupChange,
    },
    /// The scheduler is disabled as by the key combination.
    SysrqS,
    /// Its state is dumped as by the key combination.
    SysrqD,
    /// The scheduler's user-space half ends, as if it were killed.
    KillHalf,
    /// A CPU goes offline or comes online.
    Hotplug {
        /// The CPU.
        cpu: u32,
        /// Which of the two.
        online: bool,
    },
}

/// How a cgroup changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum GroupChange {
    /// It is made.
    Make,
    /// It is removed.
    Remove,
    /// One of its files is written.
    Set {
        /// Which, such as `cpu.weight`.
        file: String,
        /// What.
        text: String,
    },
}

/// Cgroups that injections make, or may.
pub(crate) fn groups(injected: &[Injected]) -> impl Iterator<Item = &str> {
    injected.iter().filter_map(|i| match &i.what {
        What::Move { to, .. } => Some(to.as_str()),
        What::Group { path, .. } => Some(path.as_str()),
        _ => None,
    })
}

/// The threads of a run.
#[derive(Debug, Default)]
pub(crate) struct Injector {
    starts: Vec<mpsc::Sender<u64>>,
    tasks: Vec<KnownTask>,
    cancelled: Arc<AtomicBool>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Injector {
    /// Their threads, parked. `of`: the process whose tasks are meant; `None`: those of all. `killed`: tells the half that it is.
    pub(crate) fn new(injected: &[Injected], of: Option<u32>, killed: &Arc<AtomicBool>) -> io::Result<Injector> {
        let mut injector = Injector::default();
        for lot in lots(injected) {
            let (ready, is_ready) = mpsc::channel();
            let (start, started) = mpsc::channel();
            let (cancelled, failed) = (Arc::clone(&injector.cancelled), Arc::clone(&injector.failed));
            let killed = Arc::clone(killed);
            let is_rt = lot.iter().any(|one| matches!(one.what, What::Rt { .. }));
            let comm = if is_rt { RT } else { COMM };
            let thread = std::thread::Builder::new().name(comm.into());
            thread.spawn(move || {
                name_thread(comm);
                let prepared: Vec<_> = lot.iter().map(|one| prepare(&one.what)).collect();
                let _ = ready.send(tid());
                // Where the run was given up there is nothing to do.
                let Ok(start_ns) = started.recv() else { return };
                for (one, prepared) in lot.iter().zip(prepared) {
                    sleep_until(start_ns + one.at_ns);
                    if cancelled.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(why) = prepared.and_then(|speed| act(&one.what, speed, of, &killed)) {
                        let text = format!("--inject '{}': {why}", one.text);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            })?;
            let pid = is_ready.recv().unwrap_or_default();
            if is_rt {
                let (comm, group) = (RT.into(), "/".into());
                injector.tasks.push(KnownTask { pid, comm, group, weight: 100, policy: 1, ..KnownTask::default() });
            }
            injector.starts.push(start);
        }
        Ok(injector)
    }

    /// The run began then, CLOCK_MONOTONIC, ns.
    pub(crate) fn go(&self, start_ns: u64) {
        for start in &self.starts {
            // A thread that is gone has nothing to do.
            let _ = start.send(start_ns);
        }
    }

    /// The run is over: its tasks, and what failed.
    pub(crate) fn finish(self) -> (Vec<KnownTask>, Vec<String>) {
        self.cancelled.store(true, Ordering::Relaxed);
        let failed = std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner));
        (self.tasks, failed)
    }
}

/// Injections by the thread that does them. What befalls the same thing (the cgroups, a task, a CPU) is done by one thread, one after
/// the other: a thread may have to wait for a CPU, and a cgroup must not be removed before a task has moved into it.
fn lots(injected: &[Injected]) -> Vec<Vec<Injected>> {
    #[derive(PartialEq)]
    enum Thing {
        Groups,
        Task(String),
        Cpu(u32),
        Own(usize),
    }
    let mut lots: Vec<(Thing, Vec<Injected>)> = Vec::new();
    for (i, one) in injected.iter().cloned().enumerate() {
        let thing = match &one.what {
            What::Move { .. } | What::Group { .. } => Thing::Groups,
            What::Change { task, .. } => Thing::Task(task.clone()),
            What::Hotplug { cpu, .. } => Thing::Cpu(*cpu),
            What::Rt { .. } | What::SysrqS | What::SysrqD | What::KillHalf => Thing::Own(i),
        };
        match lots.iter_mut().find(|(t, _)| *t == thing) {
            Some((_, lot)) => lot.push(one),
            None => lots.push((thing, vec![one])),
        }
    }
    let in_order = |(_, mut lot): (Thing, Vec<Injected>)| {
        lot.sort_by_key(|one| one.at_ns);
        lot
    };
    lots.into_iter().map(in_order).collect()
}

/// What takes time, and is done before the run.
fn prepare(what: &What) -> Result<Option<Speed>, String> {
    let What::Rt { cpu, .. } = what else { return Ok(None) };
    let pinned = change(tid(), &Change::Affinity { cpus: cpu.to_string() });
    pinned.map(|()| Some(Speed::measure())).map_err(|e| e.to_string())
}

fn act(what: &What, speed: Option<Speed>, of: Option<u32>, killed: &AtomicBool) -> Result<(), String> {
    let write = |path: PathBuf, text: &str| fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()));
    match what {
        What::Change { task, to } => {
            let pid = find(task, of).ok_or_else(|| format!("no task has the name '{task}' at that time"))?;
            change(pid, to).map_err(|e| e.to_string())
        }
        What::Rt { length_ns, .. } => {
            if let Some(mut speed) = speed {
                speed.burn(*length_ns);
            }
            Ok(())
        }
        What::Move { task, to } => {
            let pid = find(task, of).ok_or_else(|| format!("no task has the name '{task}' at that time"))?;
            move_to_group(pid, to).map_err(|e| e.to_string())
        }
        What::Group { path, change } => {
            let folder = group_folder(path).map_err(|e| e.to_string())?;
            match change {
                GroupChange::Make => make_group(path).map(drop).map_err(|e| e.to_string()),
                GroupChange::Remove => fs::remove_dir(&folder).map_err(|e| format!("{}: {e}", folder.display())),
                GroupChange::Set { file, text } => write(folder.join(file), text),
            }
        }
        What::SysrqS => write("/proc/sysrq-trigger".into(), "S"),
        What::SysrqD => write("/proc/sysrq-trigger".into(), "D"),
        What::KillHalf => {
            killed.store(true, Ordering::Relaxed);
            Ok(())
        }
        What::Hotplug { cpu, online } => {
            let file = Path::new("/sys/devices/system/cpu").join(format!("cpu{cpu}/online"));
            write(file, if *online { "1" } else { "0" })
        }
    }
}

/// The first task of this name, of one process or of all but this one.
fn find(name: &str, of: Option<u32>) -> Option<u32> {
    let name: String = name.chars().take(COMM_LEN).collect();
    let numbers = |dir: PathBuf| -> Vec<u32> {
        let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
        let mut all: Vec<u32> = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        all.sort_unstable();
        all
    };
    let own = std::process::id();
    let processes = of.map_or_else(|| numbers("/proc".into()), |pid| vec![pid]);
    let tasks = processes.into_iter().filter(|p| *p != own).map(|p| format!("/proc/{p}/task"));
    tasks.flat_map(|dir| numbers(dir.into())).find(|tid| {
        fs::read_to_string(format!("/proc/{tid}/comm")).is_ok_and(|comm| comm.trim_end_matches('\n') == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_by_name() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        // It has its name once it has become the program.
        while find("sleep", Some(child.id())).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(find("sleep", Some(child.id())), Some(child.id()));
        assert_eq!(find("no such task", None), None);
        let to = Change::Affinity { cpus: "0".into() };
        let what = What::Change { task: "sleep".into(), to };
        assert_eq!(act(&what, None, Some(child.id()), &AtomicBool::default()), Ok(()));
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            act(&what, None, Some(child.id()), &AtomicBool::default())
                .unwrap_err()
                .contains("no task has the name 'sleep'")
        );
    }
}
