//! One run on this kernel, from a job to a record.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scxr_runtime::Stats;
use scxr_workload::threads::{monotonic_ns, real_time, remove_groups};

use crate::class;
use crate::exec::Running;
use crate::exit::{self, KernelLog};
use crate::half::{self, Half};
use crate::inject::{self, Injector};
use crate::job::{Call, Job};
use crate::loader::{self, LoadError, Loaded};
use crate::machine;
use crate::program::{Program, Refusal};
use crate::record::{Exit, MapDump, Record, Recording};
use crate::stats::{Sample, Watch};
use crate::tracing::{Tracing, What};
use crate::workers::{PRIORITY, Workers};

/// How often it is looked at whether the run is to end early.
const STEP: Duration = Duration::from_millis(50);
/// How long the kernel may take to let a scheduler go.
const DISABLE_MAX: Duration = Duration::from_secs(10);
/// Bit of an exit code that asks for the scheduler to be started again.
const RESTART: i64 = 1 << 48;

/// Set to end a run before its time.
pub type Stop = Arc<AtomicBool>;

/// What a run is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The scheduler is attached, the workload is about to start.
    Begins,
    /// So much of its time has passed, ns.
    Time(u64),
    /// The last second; only where there is no workload.
    Second(Sample),
    /// The scheduler asked to be started again, which it is.
    Restarted(Exit),
    /// Figures of the user-space half.
    Stats(Stats),
}

/// Why nothing could be run.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The user may not.
    #[error(
        "running a scheduler on this machine needs root: run the same command with sudo, or use --on vm or --on sim"
    )]
    NotRoot,
    /// The kernel is built without the class.
    #[error(
        "this machine's kernel ({release}) has no sched_ext (CONFIG_SCHED_CLASS_EXT, Linux 6.12 or newer); use --on vm, \
         or boot a kernel of a distribution that turns it on"
    )]
    NoClass {
        /// Its release.
        release: String,
    },
    /// The kernel has no type information.
    #[error(
        "this machine's kernel ({release}) has no BTF (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF), which loading a scheduler needs; use --on vm"
    )]
    NoBtf {
        /// Its release.
        release: String,
    },
    /// Somebody else's scheduler is there.
    #[error(
        "the scheduler `{name}` is attached already ({state}), and a kernel has one at a time; stop it first (for example: systemctl stop scx)"
    )]
    Occupied {
        /// Its name.
        name: String,
        /// The class's state.
        state: String,
    },
    /// Tracing cannot be had.
    #[error("the kernel's tracepoints cannot be used: {source}")]
    Tracing {
        /// Why.
        #[from]
        source: io::Error,
    },
    /// The workload cannot be run.
    #[error("the workload cannot be run: {reason}")]
    Workload {
        /// Why.
        reason: String,
    },
    /// The scheduler's user-space half cannot be run.
    #[error("the scheduler's user-space half cannot be run: {reason}")]
    Half {
        /// Why.
        reason: String,
    },
    /// A real-time priority cannot be had.
    #[error(
        "a real-time priority cannot be had, which is needed to watch a scheduler that may starve others: {source}"
    )]
    Priority {
        /// Why.
        source: io::Error,
    },
}

/// Whether a run is possible here at all. `scheduler`: one is to be attached.
pub fn check(scheduler: bool) -> Result<(), HostError> {
    let release = release();
    if !rustix::process::geteuid().is_root() {
        return Err(HostError::NotRoot);
    }
    if !scheduler {
        return Ok(());
    }
    if !class::exists() {
        return Err(HostError::NoClass { release });
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(HostError::NoBtf { release });
    }
    match class::state() {
        Ok(state) if state != "disabled" => {
            Err(HostError::Occupied { name: class::root_ops().unwrap_or_else(|| "?".into()), state })
        }
        _ => Ok(()),
    }
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Does a job. `workers`: the command line of a process that calls [`crate::workers::serve`]. `half`: the user-space half that the job
/// names. `stop` ends it early;
/// `progress` is told what it is at.
pub fn run(
    job: &Job,
    workers: &[OsString],
    half: Option<&Half>,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recording, HostError> {
    check(job.object.is_some() || job.program.is_some())?;
    real_time(PRIORITY).map_err(|source| HostError::Priority { source })?;
    let places = machine::places();
    let nr_cpus = places.len() as u32;
    let mut record = Record { release: release(), places, ..Record::default() };
    let failed = |reason| HostError::Workload { reason };
    let mut crew = match (&job.exec, &job.workload) {
        (Some(exec), _) => Crew::Program(Running::start(workers, exec).map_err(failed)?),
        (None, Some(workload)) => Crew::Threads(Workers::start(workers, workload, nr_cpus, job.seed).map_err(failed)?),
        (None, None) => Crew::None,
    };
    let killed = Arc::default();
    let injector = Injector::new(&job.inject, crew.process(), &killed).map_err(|e| failed(e.to_string()))?;
    let what = if matches!(crew, Crew::None) { What::Dump } else { What::All };
    let tracing = Tracing::new(nr_cpus, what)?;
    let mut log = KernelLog::open().ok();
    let mut job = job.clone();
    if let Some(half) = half {
        job.edits.extend(half::introduce(&half.schema));
        if let Err(e) = half::lock_memory() {
            record.notes.push(format!("memory could not be locked ({e}): the user-space half may wait for pages"));
        }
    }
    let job = &job;
    record.formats = tracing.formats();
    tracing.on()?;
    let mut scheduler = match attach(job, workers, stop) {
        Ok(scheduler) => scheduler,
        Err(refusal) => {
            let Refusal { error, did } = *refusal;
            wait_disabled();
            let said = log.as_mut().map(KernelLog::messages).unwrap_or_default();
            record.exit = refused(&error, exit::of_log(&said));
            (record.refused, record.program) = (Some(error), did);
            record.stopped = stop.load(Ordering::Relaxed);
            let pages = read(tracing, nr_cpus, &mut record)?;
            return Ok(Recording { record, pages });
        }
    };
    let user =
        half::Running::of(job, half, scheduler.loaded(), &killed).map_err(|reason| HostError::Half { reason })?;
    scheduler.program().into_iter().for_each(Program::begin);
    progress(Progress::Begins);
    record.start_ns = crew.go().map_err(failed)?;
    injector.go(record.start_ns);
    let (notes, restarts, samples) = Default::default();
    let mut run = Run {
        job,
        half,
        killed: &killed,
        user,
        scheduler: &mut scheduler,
        crew: &mut crew,
        notes,
        restarts,
        samples,
        called_ns: 0,
    };
    let ended = run.wait(record.start_ns, stop, progress);
    let notes = run.notes;
    let user = run.user;
    record.samples = run.samples;
    record.restarts = run.restarts;
    record.end_ns = monotonic_ns();
    record.stopped = stop.load(Ordering::Relaxed);
    tracing.off()?;
    scheduler.program().into_iter().for_each(Program::end);
    record.offline = machine::offline();
    let program = match crew {
        Crew::None => None,
        Crew::Threads(workers) => {
            let did = workers.stop().map_err(failed)?;
            remove_groups(did.tasks.iter().map(|t| t.group.as_str()).chain(inject::groups(&job.inject)));
            (record.tasks, record.work, record.notes) = (did.tasks, did.work, did.refused);
            None
        }
        Crew::Program(running) => Some(running),
    };
    record.notes.extend(notes);
    let (injected, missed) = injector.finish();
    record.tasks.extend(injected);
    record.missed = missed;
    if let Some(user) = &user {
        // Its tasks are the fair class's in a moment.
        user.stop();
    }
    record.class = class::snapshot();
    record.exit = none();
    if !matches!(scheduler, Scheduler::Fair) {
        record.counters = class::events();
    }
    let gone = class::state().is_ok_and(|s| s == "disabled" || s == "disabling");
    let mut messages = || log.as_mut().map(KernelLog::messages).unwrap_or_default();
    match scheduler {
        Scheduler::Fair => {}
        Scheduler::Object(mut loaded) => {
            let before = recorded(job, &loaded);
            if job.globals {
                record.maps = loaded.maps();
            }
            loaded.detach();
            wait_disabled();
            let said = messages();
            record.exit = match (before, gone || ended) {
                (Some(exit), _) => Exit { bt: exit::of_log(&said).map_or(Vec::new(), |e| e.bt), ..exit },
                (None, true) => recorded(job, &loaded).or_else(|| exit::of_log(&said)).unwrap_or_else(none),
                (None, false) => none(),
            };
        }
        Scheduler::Program(mut program) => {
            let gone = gone || ended || program.has_ended();
            let did = program.finish();
            wait_disabled();
            let said = messages();
            if gone {
                record.exit = exit::of_log(&said).unwrap_or_else(none);
            }
            if did.failed() && record.exit.msg.is_empty() {
                record.exit.msg = format!("the program {}", did.how());
            }
            record.program = Some(did);
            record.restarts = exit::restarts_of_log(&said);
        }
    }
    record.half = user.map(half::Running::join);
    if let Some(running) = program {
        // It is ended under the fair class, which nobody can starve under.
        record.tasks.push(running.task());
        record.exec = Some(running.stop());
    }
    let pages = read(tracing, nr_cpus, &mut record)?;
    Ok(Recording { record, pages })
}

/// Who does the workload's work.
enum Crew {
    None,
    Threads(Workers),
    Program(Running),
}

impl Crew {
    /// All begin; when, CLOCK_MONOTONIC, ns.
    fn go(&mut self) -> Result<u64, String> {
        match self {
            Crew::None => Ok(monotonic_ns()),
            Crew::Threads(workers) => workers.go(),
            Crew::Program(running) => running.go(),
        }
    }

    /// The process whose tasks are meant where a task is named; `None`: those of all processes.
    fn process(&self) -> Option<u32> {
        match self {
            Crew::Threads(workers) => Some(workers.child().id()),
            Crew::None | Crew::Program(_) => None,
        }
    }

    /// Waits; whether all of the work is done.
    fn wait(&mut self, at_most: Duration) -> bool {
        match self {
            Crew::None | Crew::Threads(_) => {
                std::thread::sleep(at_most);
                false
            }
            Crew::Program(running) => running.wait(at_most),
        }
    }
}

fn none() -> Exit {
    Exit { kind: "none".into(), ..Exit::default() }
}

/// What is attached.
enum Scheduler {
    Fair,
    Object(Box<Loaded>),
    Program(Box<Program>),
}

impl Scheduler {
    /// The object that we have loaded.
    fn loaded(&self) -> Option<&Loaded> {
        match self {
            Scheduler::Object(loaded) => Some(loaded),
            _ => None,
        }
    }

    /// The program that has attached one.
    fn program(&mut self) -> Option<&mut Program> {
        match self {
            Scheduler::Program(program) => Some(program),
            _ => None,
        }
    }
}

/// Attaches the scheduler of a job.
fn attach(job: &Job, workers: &[OsString], stop: &Stop) -> Result<Scheduler, Box<Refusal>> {
    match (&job.program, &job.object) {
        (Some(exec), _) => Program::attach(workers, exec, stop).map(|p| Scheduler::Program(Box::new(p))),
        (None, Some(path)) => match loader::attach(job, path) {
            Ok(loaded) => Ok(Scheduler::Object(Box::new(loaded))),
            Err(error) => Err(Box::new(Refusal { error, did: None })),
        },
        (None, None) => Ok(Scheduler::Fair),
    }
}

/// What the scheduler itself has recorded of its end.
fn recorded(job: &Job, loaded: &Loaded) -> Option<Exit> {
    let uei = job.uei.as_ref()?;
    exit::of_record(uei, &loaded.section(&uei.section)?)
}

/// How a refusal is reported. What the class itself said comes first.
fn refused(error: &LoadError, said: Option<Exit>) -> Exit {
    let code = match error {
        LoadError::Attach { errno, .. } => i64::from(*errno),
        _ => 0,
    };
    let kernel = said.map(|e| if e.msg.is_empty() { e.reason } else { format!("{}: {}", e.reason, e.msg) });
    let msg = match kernel {
        Some(kernel) => format!("{error}; the kernel says: {kernel}"),
        None => error.to_string(),
    };
    Exit { kind: "load".into(), code, reason: "refused before it was enabled".into(), msg, bt: Vec::new() }
}

/// A run that goes on.
struct Run<'a> {
    job: &'a Job,
    half: Option<&'a Half>,
    killed: &'a Arc<AtomicBool>,
    user: Option<half::Running>,
    scheduler: &'a mut Scheduler,
    crew: &'a mut Crew,
    notes: Vec<String>,
    restarts: Vec<Exit>,
    samples: Vec<(u64, Vec<MapDump>)>,
    /// Programs that were due by then have been run, ns.
    called_ns: u64,
}

impl Run<'_> {
    /// Waits for the end of the run; whether it was ended before its time, or by the scheduler where there is no other end.
    fn wait(&mut self, start: u64, stop: &Stop, progress: &mut dyn FnMut(Progress)) -> bool {
        // Nobody looks while a workload of ours is measured.
        let idle = matches!(self.crew, Crew::None);
        let mut watch = idle.then(Watch::new);
        loop {
            let passed = monotonic_ns().saturating_sub(start);
            progress(Progress::Time(passed));
            self.user.iter_mut().flat_map(half::Running::look).for_each(|s| progress(Progress::Stats(s.stats(start))));
            if let Some(sample) = watch.as_mut().and_then(|w| w.look(passed, self.scheduler.loaded())) {
                progress(Progress::Second(sample));
            }
            self.look(passed);
            self.call(passed);
            if self.killed.load(Ordering::Relaxed) {
                self.scheduler.program().into_iter().for_each(Program::kill);
            }
            if stop.load(Ordering::Relaxed) {
                return true;
            }
            let left = match self.job.duration_ns {
                0 => STEP,
                end if passed >= end => return false,
                end => STEP.min(Duration::from_nanos(end - passed)),
            };
            let left = left.min(self.next_look(passed)).min(self.next_call(passed));
            let may_go = !matches!(self.crew, Crew::Threads(_)) || !self.job.inject.is_empty();
            if may_go && self.is_gone() && !self.restart(progress) && idle {
                return true;
            }
            if self.crew.wait(left) {
                return false;
            }
        }
    }

    /// How long it is until the scheduler's variables are to be looked at.
    fn next_look(&self, passed: u64) -> Duration {
        match self.job.stats_every_ns {
            every if every > 0 && self.user.is_none() => Duration::from_nanos(every - passed % every),
            _ => STEP,
        }
    }

    /// Looks at the scheduler's variables where it is time to.
    fn look(&mut self, passed: u64) {
        let (every, before) = (self.job.stats_every_ns, self.samples.last().map_or(0, |(at, _)| *at));
        if let (Some(loaded), None) = (self.scheduler.loaded(), &self.user)
            && every > 0
            && passed / every > before / every
        {
            self.samples.push((passed, loaded.maps()));
        }
    }

    /// How long it is until a program is to be run.
    fn next_call(&self, passed: u64) -> Duration {
        let due = self.job.calls.iter().filter_map(|c| c.at_ns).filter(|&at| at > self.called_ns).min();
        due.map_or(STEP, |at| Duration::from_nanos(at.saturating_sub(passed)))
    }

    /// Runs the programs that are due.
    fn call(&mut self, passed: u64) {
        let is_due = |at: u64| at > self.called_ns && at <= passed;
        let mut due: Vec<&Call> = self.job.calls.iter().filter(|c| c.at_ns.is_some_and(is_due)).collect();
        due.sort_by_key(|c| c.at_ns);
        if let Scheduler::Object(loaded) = self.scheduler {
            due.iter().for_each(|c| loaded.call(c));
            self.notes.append(&mut loaded.notes);
        }
        self.called_ns = passed.max(self.called_ns);
    }

    /// The scheduler is no longer there, and does not come again by itself.
    fn is_gone(&mut self) -> bool {
        match self.scheduler {
            Scheduler::Fair => false,
            Scheduler::Object(_) => class::state().is_ok_and(|s| s == "disabled"),
            Scheduler::Program(program) => program.has_ended(),
        }
    }

    /// Starts the scheduler again where it has asked for that (its CPUs changed); whether it did.
    fn restart(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        let (Scheduler::Object(loaded), Some(path)) = (&self.scheduler, &self.job.object) else { return false };
        let exit = recorded(self.job, loaded).filter(|e| e.code & RESTART != 0);
        let Some(exit) = exit else { return false };
        match loader::attach(self.job, path) {
            Ok(again) => {
                let before = self.user.take().map(half::Running::join);
                match half::Running::of(self.job, self.half, Some(&again), self.killed) {
                    Ok(user) => self.user = user.map(|u| u.after(before)),
                    Err(why) => self.notes.push(format!("the user-space half was not started again: {why}")),
                }
                *self.scheduler = Scheduler::Object(Box::new(again));
                self.restarts.push(exit.clone());
                progress(Progress::Restarted(exit));
                true
            }
            // Its end is then the one that it recorded.
            Err(error) => {
                self.notes.push(format!("the scheduler asked to be started again, which failed: {error}"));
                false
            }
        }
    }
}

/// Waits until the kernel has let the scheduler go, so that the next one finds the class free.
fn wait_disabled() {
    let from = Instant::now();
    while from.elapsed() < DISABLE_MAX && class::state().is_ok_and(|s| s != "disabled") {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// All that was traced.
fn read(tracing: Tracing, nr_cpus: u32, record: &mut Record) -> Result<Vec<Vec<Vec<u8>>>, HostError> {
    tracing.off()?;
    let dropped = tracing.dropped(nr_cpus);
    if dropped > 0 {
        record.notes.push(format!(
            "{dropped} records of the kernel's tracepoints had no room: figures cover the time before; take a shorter --duration"
        ));
    }
    Ok((0..nr_cpus).map(|cpu| tracing.pages(cpu)).collect::<io::Result<_>>()?)
}
