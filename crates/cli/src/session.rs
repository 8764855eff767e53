//! One run, from a request to a result. Prints nothing.

mod half;
mod interference;
mod loaded;
mod restart;
mod stats;
mod subs;
mod watched;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use indexmap::IndexMap;
use scxr_analyze::{Analyzer, Options, Report};
use scxr_host::class::ClassState;
use scxr_host::{ExecRecord, ProgramRecord};
use scxr_kernel::CgroupChange;
use scxr_kernel::Machine;
use scxr_kernel::ext::Events;
use scxr_kernel::ext::ops::ExitInfo;
use scxr_kernel::ids::{CpuId, Ns};
use scxr_kernel::topology::Topology;
use scxr_trace::{Checker, EventKind, Recorder, Rules, Sink};
use scxr_workload::Workload;
use scxr_workload::ir::TaskGroup;
use serde::Serialize;

use crate::crash::{self, Position};
use crate::failure::{Failure, Result};
use crate::inject::{Event, Injector};
use crate::interrupt;
use crate::resolve::{Place, Request};
use crate::scheduler::{Kind, Scheduler};
pub(crate) use half::{HalfResult, Halves};
pub(crate) use interference::Interference;
use loaded::{Loaded, Refusal};
pub(crate) use loaded::{plan, value_json};
use restart::{LOOK_EVERY, Restarter};
pub(crate) use stats::{FIGURES_MAX, StatsJson, numbers};
pub(crate) use subs::SubResult;
use watched::{Stage, Window};

/// Number of stretches in which a run is made, for the progress bar. Where they end has no influence on the run.
const STRETCHES: u64 = 100;
/// A stretch at most, ns: a signal is seen after it.
const STRETCH_MAX: Ns = 10_000_000;

/// The class's watchdog unless a scheduler asks for less, and what it may be late by: it looks at every half of it, ns.
pub(crate) const WATCHDOG_NS: u64 = 45_000_000_000;

/// What a run is to keep besides its report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keep {
    /// All events.
    pub(crate) trace: bool,
    /// The scheduler's variables.
    pub(crate) globals: bool,
    /// How often the scheduler is to give its figures, ns; 0: never.
    pub(crate) stats_every: Ns,
}

/// How a scheduler's time ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Exit {
    /// The kernel's name without its prefix, in lower case; `load`: refused before it was enabled.
    pub(crate) kind: String,
    /// Exit code.
    pub(crate) code: i64,
    /// Reason in words.
    pub(crate) reason: String,
    /// Details.
    pub(crate) msg: String,
    /// Backtrace, one symbol a line.
    pub(crate) bt: Vec<String>,
    /// Debug dump.
    pub(crate) dump: String,
}

impl Exit {
    /// Nothing happened.
    fn none() -> Exit {
        Exit { kind: "none".into(), ..Exit::default() }
    }

    /// It was refused before it was enabled.
    fn refused(errno: i32, why: &str) -> Exit {
        let reason = "refused before it was enabled".into();
        Exit { kind: "load".into(), code: i64::from(errno), reason, msg: why.into(), ..Exit::default() }
    }

    /// It ended.
    fn of(info: &ExitInfo) -> Exit {
        Exit {
            kind: info.kind.name().into(),
            code: info.code,
            reason: info.reason.into(),
            msg: info.msg.clone(),
            bt: info.bt.clone(),
            dump: info.dump.clone(),
        }
    }

    /// Did the scheduler do something wrong?
    pub(crate) fn is_fault(&self) -> bool {
        self.kind == "load" || self.kind.starts_with("error")
    }
}

/// How far the workload was set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Setup {
    /// Tasks that the workload begins with.
    pub(crate) tasks: usize,
    /// Those of them whose turn to be forked came.
    pub(crate) started: usize,
    /// Forks that failed for want of room, at any time.
    pub(crate) forks_refused: u64,
    /// Changes of policy that tasks asked for and did not get.
    pub(crate) policies_refused: u64,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct RunResult {
    /// Name of the scheduler.
    pub(crate) scheduler: String,
    /// Seed.
    pub(crate) seed: u64,
    /// How the scheduler's time ended.
    pub(crate) exit: Exit,
    /// A signal came before the end: the report is of the time before.
    pub(crate) interrupted: bool,
    /// What the program did that was the workload.
    pub(crate) exec: Option<ExecRecord>,
    /// What the program did that is the scheduler.
    pub(crate) program: Option<ProgramRecord>,
    /// Its sub-schedulers.
    pub(crate) subs: Vec<SubResult>,
    /// How far the workload was set up.
    pub(crate) setup: Setup,
    /// What the run was like; `tasks` are those of the workload.
    pub(crate) report: Report,
    /// The scheduler's variables.
    pub(crate) globals: Option<IndexMap<String, serde_json::Value>>,
    /// The class's event counters; empty for the fair class.
    pub(crate) counters: IndexMap<String, i64>,
    /// The class's state at the end; `None`: it was not asked, or the kernel does not have it.
    pub(crate) class: Option<ClassState>,
    /// Debug dumps that SysRq-D asked for.
    pub(crate) dumps: Vec<String>,
    /// Instructions of BPF that its operations executed, in a simulation.
    pub(crate) bpf_instructions: Option<u64>,
    /// What the scheduler printed (`bpf_printk`, `scx_bpf_print`), in a simulation.
    pub(crate) printed: Vec<String>,
    /// All events, as text.
    pub(crate) trace: Option<String>,
    /// Real time from the start of loading to the end of the run, ns.
    pub(crate) wall_ns: u64,
    /// Real time of that in which the machine ran, ns.
    pub(crate) run_ns: u64,
    /// Events.
    pub(crate) nr_events: u64,
    /// Release of the real kernel that it ran on; `None`: simulated.
    pub(crate) kernel: Option<String>,
    /// The machine, where it is not the one that was asked for.
    pub(crate) topology: Option<Topology>,
    /// What the user should know; for standard error.
    pub(crate) notes: Vec<String>,
    /// What its user-space half did, if it has one.
    pub(crate) half: Option<HalfResult>,
    /// What it said of itself, where it was asked to.
    pub(crate) stats: Option<Vec<StatsJson>>,
    /// How often a task of the workload was preempted by one of the system's.
    pub(crate) interference: u64,
    /// Rules of every run that the events break (on a real kernel; in a simulation that is a bug of ours).
    pub(crate) violations: Vec<String>,
}

impl RunResult {
    /// Did the scheduler, or a sub-scheduler, do something wrong?
    pub(crate) fn is_fault(&self) -> bool {
        let failed = self.program.as_ref().is_some_and(ProgramRecord::failed);
        failed || self.exit.is_fault() || self.subs.iter().any(|s| s.exit.is_fault())
    }

    /// How long it went on, ns. `asked`: how long it should; 0: until something ended it.
    pub(crate) fn length(&self, asked: Ns) -> Ns {
        if asked == 0 || self.interrupted || self.exec.as_ref().is_some_and(|e| e.ended) {
            self.report.duration_ns
        } else {
            asked
        }
    }

    /// Events per second of real time.
    pub(crate) fn events_per_sec(&self) -> u64 {
        let per_sec = u128::from(self.nr_events) * 1_000_000_000 / u128::from(self.run_ns.max(1));
        u64::try_from(per_sec).unwrap_or(u64::MAX)
    }
}

/// Runs `scheduler` where the request says. `progress` is told the time that has passed there now and then.
pub(crate) fn run(
    request: &Request,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    replay: String,
    mut progress: impl FnMut(Ns),
) -> Result<RunResult> {
    let has_half = scheduler.half.is_some() || matches!(scheduler.kind, Kind::Program(_));
    if let Some(i) = request.inject.iter().find(|i| i.event == Event::KillHalf && !has_half) {
        return Err(Failure::input(format_args!(
            "--inject '{}': {} has no user-space half that takes part in scheduling",
            i.text, scheduler.name
        )));
    }
    match request.place {
        Place::Sim => simulate(request, scheduler, seed, keep, replay, progress),
        Place::Vm | Place::Host => crate::real::run(request, scheduler, seed, keep, &mut progress),
    }
}

/// The workload's cgroups that have weights of their own, before the scheduler comes.
fn make_groups(m: &mut Machine, workload: &Workload) -> Result<()> {
    for TaskGroup { path, weight } in &workload.groups {
        let made = m.with_kernel(|k| {
            k.change_cgroup(path, CgroupChange::Make)?;
            k.change_cgroup(path, CgroupChange::Weight(*weight))
        });
        made.map_err(|e| Failure::input(format_args!("taskgroup {path}: {e:?}")))?;
    }
    Ok(())
}

fn simulate(
    request: &Request,
    scheduler: &Scheduler,
    seed: u64,
    keep: Keep,
    replay: String,
    mut progress: impl FnMut(Ns),
) -> Result<RunResult> {
    let start = Instant::now();
    let position = Rc::new(Position { seed, replay, ..Position::default() });
    crash::watch(Rc::clone(&position));
    let workload = request.load_workload(seed)?;
    let loaded = match loaded::load(request, scheduler, seed) {
        Ok(loaded) => loaded,
        Err(Refusal::ByKernel(msg)) => return Ok(refused(scheduler, seed, keep, msg, start)),
        Err(Refusal::Input(failure)) => return Err(failure),
    };
    let rules = rules(scheduler, &loaded);
    let sink = Rc::new(RefCell::new(RunSink::new(request, keep, rules, Rc::clone(&position))));
    let mut config = request.config.clone();
    config.seed = seed;
    let mut m = Machine::new(request.topology.clone(), config, Box::new(Rc::clone(&sink)));
    if !request.subs.is_empty() {
        m.expect_sub_schedulers();
    }
    make_groups(&mut m, &workload)?;
    let mut last_boot_pid = last_pid(&m);
    let stage = request.watched.then(|| {
        let specs = workload.tasks(&mut || m.wait_queue());
        Stage::set(&mut m, specs)
    });
    last_boot_pid += stage.as_ref().map_or(0, |stage| stage.nr);
    let halves = Halves::default();
    half::spawn(&mut m, request, scheduler, &loaded, keep, &halves)?;
    let has_half = !halves.borrow().is_empty();
    last_boot_pid += u32::from(has_half);
    sink.borrow_mut().window = stage.as_ref().map(|stage| Window::new(last_boot_pid + 1, &stage.begun));
    sink.borrow_mut().analyzer.iter_mut().for_each(|a| a.workload_from(last_boot_pid + 1));
    let mut injector = Injector::new(&mut m, &request.inject, &halves);
    let failed_calls = loaded.call_programs(&mut m);
    if let Some(stage) = &stage {
        m.run_until(stage.enable_at);
    }
    if let Some(ops) = loaded.ops() {
        m.enable(ops);
    }
    let mut subs = Vec::new();
    for sub in &request.subs {
        match subs::attach(&mut m, request, sub, seed) {
            Ok(sub) => subs.push(sub),
            Err(Refusal::ByKernel(msg)) => return Ok(refused(&sub.scheduler, seed, keep, msg, start)),
            Err(Refusal::Input(failure)) => return Err(failure),
        }
    }
    let nr_tasks = workload.tasks.iter().map(|t| t.instances as usize).sum();
    let mut setup = Setup { tasks: nr_tasks, ..Setup::default() };
    if stage.is_none() {
        workload.tasks(&mut || m.wait_queue()).into_iter().for_each(|spec| m.spawn(spec));
    }
    let start_ns = stage.as_ref().map_or(0, |stage| stage.start);
    let begin = Instant::now();
    let mut looks = Looks {
        every: if has_half { 0 } else { keep.stats_every },
        stats: Vec::new(),
        // Sub-schedulers would have to be attached again, too.
        may_restart: subs.is_empty() && loaded.ops().is_some(),
        restarter: Restarter::new(request, scheduler, seed, keep, loaded, Rc::clone(&halves)),
    };
    let until = start_ns + request.duration;
    let end = advance(&mut m, &mut injector, until, &mut looks, &mut |t| progress(t.saturating_sub(start_ns)))?;
    let Looks { mut stats, restarter, .. } = looks;
    let loaded = restarter.loaded();
    let run_ns = begin.elapsed().as_nanos() as u64;
    let globals = keep.globals.then(|| loaded.globals());
    let halves = halves.borrow();
    if let Some(half) = halves.last() {
        half.finish(end);
        let all = halves.iter().flat_map(|half| half.done.stats.take());
        stats = all.map(|stats| StatsJson::of(&stats)).collect();
    }
    if let Some(what) = loaded.gap().or_else(|| subs.iter().find_map(subs::Loaded::gap)) {
        crash::unwatch();
        return Err(Failure::input(what));
    }
    let exit = exit(&m);
    let subs = subs.iter().map(|sub| sub.result(&m)).collect();
    let ending = m.state().ext.ending().is_some();
    let nr_events = m.state().nr_events;
    let counters = counters(&m, scheduler);
    let class = Some(class(&m));
    let (printed, bpf_instructions) = (loaded.printed(), loaded.bpf_instructions());
    let dumps = m.state().ext.dumps.asked_for().map(str::to_owned).collect();
    setup.started = setup.tasks - m.nr_spawns_pending().min(setup.tasks);
    setup.forks_refused = m.state().nr_forks_refused;
    setup.policies_refused = m.state().nr_policies_refused;
    drop(m);
    let interference = sink.borrow().window.as_ref().map_or(0, |w| w.interference.nr());
    let (mut report, trace) = sink.borrow_mut().finish(end, start_ns);
    crash::unwatch();
    let is_half = |pid| halves.iter().any(|half| half.pid() == Some(pid));
    report
        .tasks
        .retain(|t| t.pid > last_boot_pid && !injector.is_changer(t.pid - last_boot_pid - 1) && !is_half(t.pid));
    if stage.is_some() {
        own_shares(&mut report);
    }
    if setup.started < setup.tasks {
        report.totals.completed_ns = None; // those to come have work to do, too
    }
    Ok(RunResult {
        scheduler: scheduler.name.clone(),
        seed,
        exit,
        interrupted: end < until,
        exec: None,
        program: None,
        subs,
        setup,
        report,
        globals,
        counters,
        class,
        dumps,
        bpf_instructions,
        printed,
        trace,
        wall_ns: start.elapsed().as_nanos() as u64,
        run_ns,
        nr_events,
        kernel: None,
        topology: None,
        notes: ending
            .then(|| ENDING.to_owned())
            .into_iter()
            .chain(failed_calls.take())
            .chain(restarter.notes())
            .collect(),
        half: HalfResult::of(&halves),
        stats: (keep.stats_every > 0).then_some(stats),
        interference,
        violations: Vec::new(),
    })
}

/// Where the kernel's helper thread has not had its turn.
const ENDING: &str = "the scheduler's exit was not carried out yet when the run ended: its tasks were still its own";

/// The rules that a run is held to. A scheduler that comes with scxr serves the heads of its queues, so order by virtual time
/// is to be seen; others may take from the middle.
fn rules(scheduler: &Scheduler, loaded: &Loaded) -> Rules {
    let timeout_ms = loaded.ops().map_or(0, |ops| u64::from(ops.attrs().timeout_ms));
    let watchdog_ns = if timeout_ms == 0 { WATCHDOG_NS } else { timeout_ms * 1_500_000 };
    let vtime_order = scheduler.object.is_none() && !matches!(scheduler.kind, Kind::Eevdf);
    Rules { watchdog_ns: Some(watchdog_ns), one_place: true, whole_time: true, vtime_order, preemptible: false }
}

/// The result where the kernel, or its verifier, would have refused the scheduler: nothing ran.
fn refused(scheduler: &Scheduler, seed: u64, keep: Keep, msg: String, start: Instant) -> RunResult {
    crash::unwatch();
    RunResult {
        scheduler: scheduler.name.clone(),
        seed,
        exit: Exit { kind: "load".into(), reason: "refused before it was enabled".into(), msg, ..Exit::default() },
        interrupted: false,
        exec: None,
        program: None,
        subs: Vec::new(),
        setup: Setup::default(),
        report: Report::default(),
        globals: keep.globals.then(IndexMap::new),
        counters: IndexMap::new(),
        class: None,
        dumps: Vec::new(),
        bpf_instructions: None,
        printed: Vec::new(),
        trace: keep.trace.then(|| scxr_trace::text::write(&[])),
        wall_ns: start.elapsed().as_nanos() as u64,
        run_ns: 0,
        nr_events: 0,
        kernel: None,
        topology: None,
        notes: Vec::new(),
        half: None,
        stats: None,
        interference: 0,
        violations: Vec::new(),
    }
}

/// How the scheduler's time ended, or that it goes on.
fn exit(m: &Machine) -> Exit {
    let ext = &m.state().ext;
    if let Some(r) = ext.enable_refusals.iter().find(|r| r.sub_cgroup_id <= 1) {
        return Exit::refused(r.errno, &r.why);
    }
    let ended = ext.ending().or_else(|| ext.exit_info.clone());
    ended.map_or_else(Exit::none, |info| Exit::of(&info))
}

/// What /sys/kernel/sched_ext would say.
fn class(m: &Machine) -> ClassState {
    let ext = &m.state().ext;
    ClassState {
        state: ext.state.name().to_owned(),
        ops: ext.root_name().map(str::to_owned),
        switch_all: ext.is_switched_all(),
        nr_rejected: ext.nr_rejected,
        hotplug_seq: ext.hotplug_seq,
        enable_seq: ext.enable_seq,
    }
}

/// The class's event counters.
fn counters(m: &Machine, scheduler: &Scheduler) -> IndexMap<String, i64> {
    match scheduler.kind {
        Kind::Eevdf => IndexMap::new(),
        _ => Events::NAMES.into_iter().map(str::to_owned).zip(m.state().ext.events().0).collect(),
    }
}

/// Tasks' shares of the CPU time that they had together.
pub(crate) fn own_shares(report: &mut Report) {
    let total: u64 = report.tasks.iter().map(|t| t.cpu_ns).sum();
    for task in &mut report.tasks {
        task.share = if total == 0 { 0.0 } else { task.cpu_ns as f64 / total as f64 };
    }
}

/// The highest pid of the tasks that exist from boot on.
fn last_pid(m: &Machine) -> u32 {
    let state = m.state();
    let pids = state.all_tasks().into_iter().map(|p| state.task(p).pid);
    pids.max().unwrap_or(0)
}

/// What is looked at while a run goes on.
struct Looks<'a> {
    /// How often the scheduler's variables are, ns; 0: never.
    every: Ns,
    stats: Vec<StatsJson>,
    /// A scheduler that asks for it is started again.
    may_restart: bool,
    restarter: Restarter<'a>,
}

impl Looks<'_> {
    /// When the next look at the variables is due.
    fn due(&self, now: Ns) -> Option<Ns> {
        (self.every > 0).then(|| (now / self.every + 1) * self.every)
    }

    /// Looks, at a time at which a look is due.
    fn look(&mut self, m: &mut Machine, now: Ns) -> Result<()> {
        if self.every > 0 && now.is_multiple_of(self.every) {
            let loaded = self.restarter.loaded();
            let one = match loaded.stats(now) {
                Some(stats) => StatsJson::of(&stats),
                None => StatsJson::of_variables(now, &loaded.globals(), self.stats.last()),
            };
            self.stats.push(one);
        }
        if self.may_restart && now.is_multiple_of(LOOK_EVERY) {
            self.restarter.look(m)?;
        }
        Ok(())
    }
}

/// Runs to the end, with stops where something is to be injected or looked at; how far it came before a signal.
fn advance(
    m: &mut Machine,
    injector: &mut Injector,
    end: Ns,
    looks: &mut Looks<'_>,
    progress: &mut dyn FnMut(Ns),
) -> Result<Ns> {
    let stretch = (end / STRETCHES).clamp(1, STRETCH_MAX);
    let mut now = m.now();
    while now < end && !interrupt::came() {
        let stop = injector.next_stop().filter(|&t| t < end);
        if stop.is_some_and(|t| t <= now) {
            injector.arm(m)?;
            continue;
        }
        let due = looks.due(now).unwrap_or(end).min((now / LOOK_EVERY + 1) * LOOK_EVERY);
        now = (now + stretch).min(end).min(stop.unwrap_or(end)).min(due);
        m.run_until(now);
        looks.look(m, now)?;
        progress(now);
    }
    Ok(now)
}

/// Everything that listens to a run.
struct RunSink {
    position: Rc<Position>,
    analyzer: Option<Analyzer>,
    recorder: Option<Recorder>,
    /// Judges our own work, in debug builds.
    checker: Option<Checker>,
    /// What of it is looked at, where it is compared with a real kernel's.
    window: Option<Window>,
}

impl RunSink {
    fn new(request: &Request, keep: Keep, rules: Rules, position: Rc<Position>) -> RunSink {
        RunSink {
            position,
            analyzer: Some(Analyzer::new(Options {
                places: places(&request.topology),
                end_ns: Some(request.duration),
            })),
            recorder: keep.trace.then(Recorder::new),
            checker: cfg!(debug_assertions).then(|| Checker::new(rules)),
            window: None,
        }
    }

    /// # Panics
    /// If a rule that holds for every run was violated: that is a bug of ours.
    fn finish(&mut self, end: Ns, start: Ns) -> (Report, Option<String>) {
        let violations = self.checker.take().map(|mut c| c.finish(end)).unwrap_or_default();
        if let Some(first) = violations.first() {
            panic!("{} rules of every run were violated; first: {first}", violations.len());
        }
        let report = self.analyzer.take().map(|a| a.finish(end - start));
        let trace = self.recorder.take();
        let trace = trace.map(|mut r| scxr_trace::text::write(&r.finish()));
        (report.unwrap_or_default(), trace)
    }
}

impl Sink for RunSink {
    #[inline]
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.position.event.set(self.position.event.get() + 1);
        self.position.t.set(t);
        let seen = self.window.as_mut().map_or(Some(t), |window| window.see(t, cpu, &kind));
        if let (Some(analyzer), Some(t)) = (&mut self.analyzer, seen) {
            analyzer.take(t, cpu, &kind);
        }
        if let Some(checker) = &mut self.checker {
            checker.event(t, cpu, kind.clone());
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.event(t, cpu, kind);
        }
    }
}

fn places(topology: &Topology) -> Vec<scxr_analyze::Place> {
    let cpus = (0..topology.nr_cpus() as u32).map(CpuId);
    cpus.map(|c| topology.cpus[c]).map(|p| scxr_analyze::Place { core: p.core, llc: p.llc, node: p.node }).collect()
}
