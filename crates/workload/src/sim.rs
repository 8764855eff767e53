//! Simulated tasks that run a workload's programs.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::behavior::{Action, Behavior, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::{Ns, WaitQueueId};

use crate::call::{Call, Dir};
use crate::ir::{Loops, Op, Phase, Since, Target, TaskTemplate, TimerRef, Workload};
use crate::rng::Stream;
use crate::shared::{Msg, Pipe, Shared, Ticket, Timer};

/// What a step costs that needs no kernel: an uncontended lock, a signal that nobody waits for.
const FAST_PATH_NS: Ns = 30;
/// `runtime` looks at the clock this often, as rt-app does.
pub(crate) const RUNTIME_SLICE_NS: Ns = 32_000;
/// Most steps in one call that take no time, before time is charged all the same.
const FREE_STEPS_MAX: u32 = 1000;

impl Workload {
    /// The tasks that exist from the start, to be forked at the beginning of the run; those with a delay sleep first.
    /// `alloc` makes a wait queue of the machine on which they will run.
    pub fn tasks(&self, alloc: &mut dyn FnMut() -> WaitQueueId) -> Vec<TaskSpec> {
        let shared = Shared::new(self, alloc);
        let workload = Rc::new(self.clone());
        let world = World { workload: Rc::clone(&workload), shared: Rc::new(RefCell::new(shared)) };
        let instances = |(index, t): (usize, &TaskTemplate)| {
            let world = world.clone();
            (0..t.instances).map(move |i| world.spec(index, i, None))
        };
        workload.tasks.iter().enumerate().flat_map(instances).collect()
    }
}

/// Name of a task's random stream, whoever runs it.
pub(crate) fn stream_name(workload: &Workload, index: usize, instance: u32, fork: Option<u32>) -> String {
    let kind = format!("{}/{index}.{}", workload.stream_name(), workload.tasks[index].name);
    match fork {
        None => format!("{kind}/{instance}"),
        Some(n) => format!("{kind}/fork{n}"),
    }
}

/// A workload that is being run.
#[derive(Clone)]
struct World {
    workload: Rc<Workload>,
    shared: Rc<RefCell<Shared>>,
}

impl World {
    /// A task made from template `index`; `fork` is how many were forked from it before.
    fn spec(&self, index: usize, instance: u32, fork: Option<u32>) -> TaskSpec {
        let template = &self.workload.tasks[index];
        let stream = stream_name(&self.workload, index, instance, fork);
        let behavior = Interpreter {
            world: self.clone(),
            template: index,
            instance,
            rng: Stream::new(self.workload.seed, &stream),
            at: Position::default(),
            stage: Stage::Begin,
            attrs: Attrs::of(template),
            own_timers: vec![None; self.workload.resources.own_timers as usize],
            mark: 0,
            release: 0,
            message: None,
            call: None,
        };
        TaskSpec {
            comm: template.instance_name(instance),
            policy: template.policy,
            nice: template.nice,
            affinity: template.cpus,
            cgroup: template.cgroup.clone(),
            core_cookie: template.core_cookie,
            thread: fork.is_some(),
            behavior: Box::new(behavior),
        }
    }
}

/// Where in its program a task is.
#[derive(Debug, Default)]
struct Position {
    /// Passes over all phases that are done.
    rounds: u64,
    phase: usize,
    /// Passes over this phase that are done.
    passes: u64,
    /// The pass has begun.
    entered: bool,
    /// Step, and inside of each [`Op::Repeat`] the repetitions done and the step there.
    op: usize,
    inner: Vec<(u64, usize)>,
}

/// How far a step has come that takes several.
#[derive(Debug)]
enum Stage {
    /// The task has not run yet.
    Begin,
    /// The step has not begun.
    Start,
    /// `Runtime` ends at this time.
    Until(Ns),
    /// Waits at a gate that had opened so often.
    Gate(u64),
    /// Released the mutex, waits for the signal.
    Signal(Ticket),
    /// Has the signal and wants the mutex back.
    Relock,
    /// The step is done.
    Done,
}

/// Attributes that are in force.
#[derive(Debug)]
struct Attrs {
    cpus: Option<CpuMask>,
    policy: Policy,
    nice: i8,
}

impl Attrs {
    fn of(t: &TaskTemplate) -> Attrs {
        Attrs { cpus: t.cpus, policy: t.policy, nice: t.nice }
    }
}

/// A task's program, its place in it, and what it remembers.
struct Interpreter {
    world: World,
    template: usize,
    instance: u32,
    rng: Stream,
    at: Position,
    stage: Stage,
    attrs: Attrs,
    own_timers: Vec<Timer>,
    mark: Ns,
    release: Ns,
    message: Option<Msg>,
    /// The system call that the step is making.
    call: Option<(Dir, Call)>,
}

impl Behavior for Interpreter {
    fn next(&mut self, cx: &TaskCx) -> Action {
        let world = self.world.clone();
        let template = &world.workload.tasks[self.template];
        for _ in 0..FREE_STEPS_MAX {
            if let Stage::Begin = self.stage
                && let Some(action) = self.begin(cx, template)
            {
                return action;
            }
            let Some(phase) = self.phase(template) else {
                return Action::Exit;
            };
            if !self.at.entered {
                match self.set_attrs(phase, template) {
                    Some(action) => return action,
                    None => self.at.entered = true,
                }
            }
            let Some(op) = self.op(phase) else {
                continue;
            };
            let action = self.step(op, cx, &mut world.shared.borrow_mut());
            if let Stage::Done = self.stage {
                self.stage = Stage::Start;
                self.advance(phase);
            }
            if let Some(action) = action {
                return action;
            }
        }
        Action::Run(FREE_STEPS_MAX as Ns * FAST_PATH_NS)
    }
}

impl Interpreter {
    /// First call: the workload's clock starts with its first task.
    fn begin(&mut self, cx: &TaskCx, template: &TaskTemplate) -> Option<Action> {
        let start = *self.world.shared.borrow_mut().start.get_or_insert(cx.now);
        self.stage = Stage::Start;
        let due = start + template.delay;
        self.release = due;
        self.mark = due;
        // CPUs have clocks of their own: one that is behind the first is no reason to sleep.
        (template.delay > 0 && due > cx.now).then_some(Action::SleepUntil(due))
    }

    /// The phase that the task is in; `None` when the program is over.
    fn phase<'a>(&self, template: &'a TaskTemplate) -> Option<&'a Phase> {
        match template.program.loops {
            Loops::Times(n) if self.at.rounds >= n => None,
            _ => template.program.phases.get(self.at.phase),
        }
    }

    /// One change of attributes that is due at the beginning of the pass, if any is left.
    fn set_attrs(&mut self, phase: &Phase, template: &TaskTemplate) -> Option<Action> {
        let cpus = phase.attrs.cpus.or(template.cpus);
        if cpus != self.attrs.cpus {
            self.attrs.cpus = cpus;
            // The kernel leaves out what the machine does not have.
            let all = CpuMask::first_n(scxr_kernel::cpumask::MAX_CPUS);
            return Some(Action::SetAffinity(Whom::Myself, cpus.unwrap_or(all)));
        }
        if let Some(policy) = phase.attrs.policy.filter(|&p| p != self.attrs.policy) {
            self.attrs.policy = policy;
            return Some(Action::SetPolicy(Whom::Myself, policy));
        }
        let nice = phase.attrs.nice.filter(|&n| n != self.attrs.nice)?;
        self.attrs.nice = nice;
        Some(Action::SetNice(Whom::Myself, nice))
    }

    /// The step that comes next, with the repetitions around it entered; `None` if the pass over the phase had no step left.
    fn op<'a>(&mut self, phase: &'a Phase) -> Option<&'a Op> {
        let mut op = match phase.ops.get(self.at.op) {
            Some(op) => op,
            None => {
                self.end_pass(phase);
                return None;
            }
        };
        let mut depth = 0;
        while let Op::Repeat(times, body) = op {
            if depth == self.at.inner.len() {
                self.at.inner.push((0, 0));
            }
            let (done, at) = self.at.inner[depth];
            if *times == 0 || body.is_empty() || done >= *times {
                self.at.inner.truncate(depth);
                self.advance(phase);
                return None;
            }
            op = &body[at];
            depth += 1;
        }
        Some(op)
    }

    /// Goes past the step that is done.
    fn advance(&mut self, phase: &Phase) {
        // Lengths of the bodies around the step, outermost first.
        let mut bodies = Vec::new();
        let mut ops = &phase.ops;
        let mut at = self.at.op;
        for (_, inner) in &self.at.inner {
            let Some(Op::Repeat(times, body)) = ops.get(at) else {
                break;
            };
            bodies.push((*times, body.len()));
            (ops, at) = (body, *inner);
        }
        while let (Some((done, at)), Some((times, len))) = (self.at.inner.last_mut(), bodies.pop()) {
            *at += 1;
            if *at < len {
                return;
            }
            *at = 0;
            *done += 1;
            if *done < times {
                return;
            }
            self.at.inner.pop();
        }
        self.at.op += 1;
        if self.at.op >= phase.ops.len() {
            self.end_pass(phase);
        }
    }

    /// The pass over the phase is over.
    fn end_pass(&mut self, phase: &Phase) {
        self.at.op = 0;
        self.at.inner.clear();
        self.at.entered = false;
        self.at.passes += 1;
        if matches!(phase.loops, Loops::Times(n) if self.at.passes >= n) {
            self.at.passes = 0;
            self.at.phase += 1;
        }
        let phases = &self.world.workload.tasks[self.template].program.phases;
        if self.at.phase >= phases.len() {
            self.at.phase = 0;
            self.at.rounds += 1;
        }
    }

    /// Does (a part of) a step. [`Stage::Done`] says that it is over after the action returned.
    fn step(&mut self, op: &Op, cx: &TaskCx, shared: &mut Shared) -> Option<Action> {
        match *op {
            Op::Run(dur) => {
                let work = self.rng.draw(dur).max(1);
                self.done(Action::Run(work))
            }
            Op::Runtime(dur) => self.runtime(dur, cx),
            Op::Sleep(dur) => {
                let ns = self.rng.draw(dur);
                self.release = cx.now + ns;
                self.done(Action::Sleep(ns))
            }
            Op::Timer { timer, period, relative } => self.timer(timer, period, relative, cx, shared),
            Op::Lock(m) => match shared.mutexes[m.0 as usize].try_lock() {
                true => self.fast(None),
                false => Some(shared.mutexes[m.0 as usize].waiters.wait()),
            },
            Op::Unlock(m) => {
                let wake = shared.mutexes[m.0 as usize].unlock();
                self.fast(wake)
            }
            Op::CondWait { cond, mutex } => self.cond_wait(cond.0 as usize, mutex.0 as usize, shared),
            Op::Signal(c) => {
                let wake = shared.conds[c.0 as usize].signal(1);
                self.fast(wake)
            }
            Op::Broadcast(c) => {
                let wake = shared.conds[c.0 as usize].signal(usize::MAX);
                self.fast(wake)
            }
            Op::Barrier(b) => self.barrier(b.0 as usize, shared),
            Op::Suspend(s) => self.suspend(s.0 as usize, shared),
            Op::Resume(s) => {
                let wake = shared.suspends[s.0 as usize].open();
                self.fast(wake)
            }
            Op::SemPost(s) => {
                let sem = &mut shared.sems[s.0 as usize];
                sem.count += 1;
                let wake = sem.waiters.wake(1, false);
                self.fast(wake)
            }
            Op::SemWait(s) => {
                let sem = &mut shared.sems[s.0 as usize];
                match sem.count.checked_sub(1) {
                    None => Some(sem.waiters.wait()),
                    Some(rest) => {
                        sem.count = rest;
                        self.fast(None)
                    }
                }
            }
            Op::Send { to, sync } => {
                let pipe = &mut shared.pipes[self.pipe(to)];
                let msg = Msg { sent: cx.now, from: self.instance };
                if pipe.is_kernel() {
                    return self.call(Dir::Write(msg), pipe);
                }
                match pipe.push(msg) {
                    false => Some(pipe.writers.wait()),
                    true => {
                        let wake = pipe.readers.wake(1, sync);
                        self.fast(wake)
                    }
                }
            }
            Op::Recv { from } => {
                let pipe = &mut shared.pipes[self.pipe(from)];
                if pipe.is_kernel() {
                    return self.call(Dir::Read, pipe);
                }
                match pipe.pop() {
                    None => Some(pipe.readers.wait()),
                    Some(msg) => {
                        let wake = pipe.writers.wake(1, false);
                        self.message = Some(msg);
                        self.fast(wake)
                    }
                }
            }
            Op::Yield => self.done(Action::Yield),
            Op::Fork(index) => {
                let n = shared.forked[index];
                shared.forked[index] += 1;
                let spec = self.world.spec(index, 0, Some(n));
                self.done(Action::Fork(Box::new(spec)))
            }
            Op::Mark => {
                self.mark = cx.now;
                self.stage = Stage::Done;
                None
            }
            Op::Work(since) => {
                let from = match since {
                    Since::Mark => self.mark,
                    Since::Release => self.release,
                    Since::Message => self.message.map_or(cx.now, |m| m.sent),
                };
                self.done(Action::Work(cx.now.saturating_sub(from)))
            }
            // `op` enters repetitions and returns what is inside.
            Op::Repeat(..) => None,
        }
    }

    fn done(&mut self, action: Action) -> Option<Action> {
        self.stage = Stage::Done;
        Some(action)
    }

    /// The step is over; it costs a system call if there is somebody to wake, and next to nothing otherwise.
    fn fast(&mut self, wake: Option<Action>) -> Option<Action> {
        self.done(wake.unwrap_or(Action::Run(FAST_PATH_NS)))
    }

    /// The next step of a system call on a pipe.
    fn call(&mut self, dir: Dir, pipe: &mut Pipe) -> Option<Action> {
        let (dir, call) = self.call.get_or_insert_with(|| (dir, Call::default()));
        let action = call.next(*dir, pipe);
        if action.is_none() {
            self.message = call.got.or(self.message);
            self.call = None;
            self.stage = Stage::Done;
        }
        action
    }

    fn pipe(&self, target: Target) -> usize {
        let index = match target {
            Target::One(p) => p.0,
            Target::Own(first) => first.0 + self.instance,
            Target::Reply(first) => first.0 + self.message.map_or(0, |m| m.from),
        };
        index as usize
    }

    fn runtime(&mut self, dur: crate::ir::Dur, cx: &TaskCx) -> Option<Action> {
        let end = match self.stage {
            Stage::Until(end) => end,
            _ => cx.now + self.rng.draw(dur),
        };
        if cx.now >= end {
            self.stage = Stage::Done;
            return None;
        }
        self.stage = Stage::Until(end);
        Some(Action::Run((end - cx.now).min(RUNTIME_SLICE_NS)))
    }

    fn timer(
        &mut self,
        timer: TimerRef,
        period: Ns,
        relative: bool,
        cx: &TaskCx,
        shared: &mut Shared,
    ) -> Option<Action> {
        let delay = self.world.workload.tasks[self.template].delay;
        let first = shared.start.unwrap_or(cx.now) + delay;
        let last = match timer {
            TimerRef::Shared(n) => &mut shared.timers[n as usize],
            TimerRef::Own(n) => &mut self.own_timers[n as usize],
        };
        let due = last.unwrap_or(first) + period;
        self.release = due;
        if cx.now < due {
            *last = Some(due);
            return self.done(Action::SleepUntil(due));
        }
        *last = Some(if relative { cx.now } else { due });
        self.fast(None)
    }

    fn cond_wait(&mut self, cond: usize, mutex: usize, shared: &mut Shared) -> Option<Action> {
        if let Stage::Start = self.stage {
            let ticket = shared.conds[cond].register();
            self.stage = Stage::Signal(ticket);
            if let Some(wake) = shared.mutexes[mutex].unlock() {
                return Some(wake);
            }
        }
        if let Stage::Signal(ticket) = &self.stage {
            if let Some(wait) = shared.conds[cond].wait(ticket) {
                return Some(wait);
            }
            self.stage = Stage::Relock;
        }
        match shared.mutexes[mutex].try_lock() {
            true => self.fast(None),
            false => Some(shared.mutexes[mutex].waiters.wait()),
        }
    }

    fn barrier(&mut self, index: usize, shared: &mut Shared) -> Option<Action> {
        let gate = &mut shared.barriers[index];
        match self.stage {
            Stage::Gate(opened) if gate.opened > opened => self.fast(None),
            Stage::Gate(_) => Some(gate.waiters.wait()),
            _ => {
                let opened = gate.opened;
                match gate.arrive() {
                    Some(wake) => self.fast(wake),
                    None => {
                        self.stage = Stage::Gate(opened);
                        Some(gate.waiters.wait())
                    }
                }
            }
        }
    }

    fn suspend(&mut self, index: usize, shared: &mut Shared) -> Option<Action> {
        let gate = &mut shared.suspends[index];
        match self.stage {
            Stage::Gate(opened) if gate.opened > opened => self.fast(None),
            _ => {
                self.stage = Stage::Gate(gate.opened);
                Some(gate.waiters.wait())
            }
        }
    }
}
