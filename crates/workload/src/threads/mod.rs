//! Real threads that run a workload's programs, on Linux.
//!
//! The same programs as [`crate::sim`] runs, by the same random streams: [`Crew::new`] makes one parked thread for each
//! task, [`Crew::go`] lets them begin together, [`Crew::collect`] says what they did. Threads are never stopped one by one:
//! the process that holds a crew ends, and they with it.

mod burn;
mod change;
mod interp;
mod sync;
mod sys;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scxr_kernel::prio::{cgroup_weight, weight_of};

use crate::ir::{TaskTemplate, Workload};
use sync::Shared;

pub use burn::{Speed, stretch};
pub use change::{Change, change};
pub use sys::{
    class_ext, group_folder, make_group, monotonic_ns, move_to_group, name_thread, ordinary, real_time, remove_groups,
    sleep_until, tid,
};

/// How long a thread may take to get ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// A real task of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealTask {
    /// Its thread id.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// Cgroup as the workload names it.
    pub group: String,
    /// Weight in the cgroup scale.
    pub weight: u32,
    /// Policy number.
    pub policy: u32,
    /// Its CPUs as a list; `None`: all.
    pub cpus: Option<String>,
    /// The thread that forked it; 0: it was there at the start.
    pub parent: u32,
    /// When it was there, CLOCK_MONOTONIC; 0: at the start.
    pub born_ns: u64,
}

/// One operation of a workload that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// When, CLOCK_MONOTONIC, ns.
    pub at_ns: u64,
    /// By which thread.
    pub tid: u32,
    /// Its latency, ns.
    pub ns: u64,
}

/// What a crew did.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// All tasks, forked ones included, in the order in which they came.
    pub tasks: Vec<RealTask>,
    /// All operations, by thread.
    pub done: Vec<Done>,
    /// What threads were refused.
    pub refused: Vec<String>,
}

/// Why there are no threads.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
    /// A thread cannot be had.
    #[error("task {task}: a thread cannot be started: {source}")]
    Spawn {
        /// Which task.
        task: String,
        /// Why.
        source: io::Error,
    },
    /// A pipe cannot be had.
    #[error("a pipe of the workload cannot be made: {source}")]
    Pipe {
        /// Why.
        source: io::Error,
    },
    /// A thread did not get ready.
    #[error("the threads of the workload did not get ready within {} s", READY_MAX.as_secs())]
    NotReady,
}

/// What all threads of a workload see.
struct World {
    workload: Workload,
    shared: Shared,
    speed: Speed,
    /// 0 until all may begin.
    gate: AtomicU32,
    /// When they began.
    start_ns: std::sync::atomic::AtomicU64,
    records: Mutex<Vec<Record>>,
    /// What was refused to no thread in particular.
    refused: Vec<String>,
    ready: mpsc::Sender<()>,
}

/// What one thread leaves behind while it runs.
type Record = Arc<Mutex<TaskRecord>>;

#[derive(Debug)]
struct TaskRecord {
    task: RealTask,
    done: Vec<Done>,
    refused: Vec<String>,
}

/// The threads of a workload.
pub struct Crew {
    world: Arc<World>,
}

impl Crew {
    /// One parked thread for each task that exists from the start. `speed`: how fast this machine computes.
    pub fn new(workload: &Workload, speed: Speed) -> Result<Crew, CrewError> {
        let (ready, is_ready) = mpsc::channel();
        let shared = Shared::new(workload).map_err(|source| CrewError::Pipe { source })?;
        let refused = workload.groups.iter().filter_map(|group| {
            let error = sys::set_group_weight(&group.path, group.weight).err()?;
            Some(format!("taskgroup {}: weight {}: {error}", group.path, group.weight))
        });
        let world = Arc::new(World {
            refused: refused.collect(),
            workload: workload.clone(),
            shared,
            speed,
            gate: AtomicU32::new(0),
            start_ns: 0.into(),
            records: Mutex::default(),
            ready,
        });
        let mut nr = 0;
        for (index, template) in workload.tasks.iter().enumerate() {
            for instance in 0..template.instances {
                spawn(&world, index, instance, None)?;
                // One at a time: ids, and so the order of tasks, are the same in every run.
                is_ready.recv_timeout(READY_MAX).map_err(|_| CrewError::NotReady)?;
                nr += 1;
            }
        }
        debug_assert_eq!(nr, lock(&world.records).len());
        Ok(Crew { world })
    }

    /// The tasks so far.
    pub fn tasks(&self) -> Vec<RealTask> {
        lock(&self.world.records).iter().map(|r| lock(r).task.clone()).collect()
    }

    /// All begin; when, CLOCK_MONOTONIC, ns.
    pub fn go(&self) -> u64 {
        let now = monotonic_ns();
        self.world.start_ns.store(now, Ordering::Relaxed);
        self.world.gate.store(1, Ordering::Release);
        sys::wake_all(&self.world.gate);
        now
    }

    /// What they did up to now. They go on until their process ends.
    pub fn collect(&self) -> Work {
        let mut work = Work { refused: self.world.refused.clone(), ..Work::default() };
        for record in lock(&self.world.records).iter() {
            let record = lock(record);
            work.tasks.push(record.task.clone());
            work.done.extend_from_slice(&record.done);
            work.refused.extend_from_slice(&record.refused);
        }
        work
    }
}

/// A thread that died holding a lock left nothing half-done that others read.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread of a task; `fork`: how many were forked from the template before, and by which thread.
fn spawn(world: &Arc<World>, index: usize, instance: u32, fork: Option<(u32, u32)>) -> Result<(), CrewError> {
    let template = &world.workload.tasks[index];
    let comm = template.instance_name(instance);
    let world = Arc::clone(world);
    // No std name: it would be the whole of it, and Linux keeps 15 bytes; `begin` sets it.
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let spawned = thread.spawn(move || begin(&world, index, instance, fork));
    spawned.map(drop).map_err(|source| CrewError::Spawn { task: comm, source })
}

fn begin(world: &Arc<World>, index: usize, instance: u32, fork: Option<(u32, u32)>) {
    let template: &TaskTemplate = &world.workload.tasks[index];
    let comm: String = template.instance_name(instance).chars().take(15).collect();
    let mut refused = Vec::new();
    sys::name_thread(&comm);
    sys::exact_timers();
    let mut attempt = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            refused.push(format!("{comm}: {what}: {error}"));
        }
    };
    attempt("cgroup", sys::join_group(&template.cgroup));
    if let Some(cpus) = &template.cpus {
        attempt("affinity", sys::set_affinity(Some(cpus)));
    }
    attempt("nice value", sys::set_nice(template.nice));
    attempt("policy", sys::set_policy(template.policy));
    let task = RealTask {
        tid: sys::tid(),
        comm: comm.clone(),
        group: template.cgroup.clone(),
        weight: cgroup_weight(weight_of(template.policy, template.nice)),
        policy: template.policy.number(),
        cpus: template.cpus.as_ref().map(sys::cpu_list),
        parent: fork.map_or(0, |(_, parent)| parent),
        born_ns: fork.map_or(0, |_| monotonic_ns()),
    };
    let record = Arc::new(Mutex::new(TaskRecord { task, done: Vec::with_capacity(1 << 12), refused }));
    lock(&world.records).push(Arc::clone(&record));
    if fork.is_none() {
        // Nobody waits only where the crew was given up.
        let _ = world.ready.send(());
    }
    sys::wait_while(&world.gate, 0);
    interp::run(world, index, instance, fork.map(|(n, _)| n), &record);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, ms: u64) -> Work {
        let workload = crate::load(spec, 2, 1).unwrap();
        let crew = Crew::new(&workload, Speed::measure()).unwrap();
        let names: Vec<String> = crew.tasks().iter().map(|t| t.comm.clone()).collect();
        assert_eq!(names.len(), workload.tasks.iter().map(|t| t.instances as usize).sum::<usize>());
        let start = crew.go();
        // How long it takes depends on the machine; that it gets there does not.
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(ms));
            let work = crew.collect();
            if !work.done.is_empty() {
                assert!(work.done.iter().all(|d| d.at_ns >= start));
                return work;
            }
        }
        panic!("{spec}: no operation ended");
    }

    #[test]
    fn presets_get_work_done() {
        for spec in ["pipe:pairs=2", "hackbench:groups=1,fds=2,msg=0", "schbench:t=2", "mixed:hogs=1", "idle"] {
            let work = check(spec, 100);
            assert!(work.tasks.iter().all(|t| t.tid > 0 && t.parent == 0), "{spec}");
        }
    }

    #[test]
    fn all_events_of_rt_app_are_done_by_threads() {
        let text = r#"{ "tasks": {
            "a": { "instance": 2, "loop": -1, "phases": { "p": { "loop": 2, "lock": "m", "run": 50, "unlock": "m",
                "barrier": "b", "yield": "", "sem_post": "s", "timer": { "ref": "unique", "period": 500 } } } },
            "w": { "loop": -1, "lock": "l", "wait": { "ref": "c", "mutex": "l" }, "unlock": "l", "run": 10 },
            "s": { "loop": -1, "sleep": 200, "signal": "c", "sem_wait": "s", "runtime": 40 }
        } }"#;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.json");
        std::fs::write(&path, text).unwrap();
        let work = check(path.to_str().unwrap(), 100);
        assert_eq!(work.tasks.len(), 4);
    }
}
