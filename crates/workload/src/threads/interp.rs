//! One thread's way through its program.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use scxr_kernel::behavior::Policy;
use scxr_kernel::cpumask::CpuMask;

use super::sync::Msg;
use super::{Done, Record, Speed, World, lock, sys};
use crate::ir::{Loops, Op, Phase, Since, Target, TaskTemplate, TimerRef};
use crate::rng::Stream;
use crate::sim::{RUNTIME_SLICE_NS, stream_name};

/// A thread and what it remembers.
struct Runner<'a> {
    world: &'a Arc<World>,
    template: &'a TaskTemplate,
    instance: u32,
    tid: u32,
    record: &'a Record,
    rng: Stream,
    speed: Speed,
    cpus: Option<CpuMask>,
    policy: Policy,
    nice: i8,
    own_timers: Vec<Option<u64>>,
    first_due: u64,
    mark: u64,
    release: u64,
    message: Option<Msg>,
}

/// Runs a task's program to its end.
pub(super) fn run(world: &Arc<World>, index: usize, instance: u32, fork: Option<u32>, record: &Record) {
    let template = &world.workload.tasks[index];
    let due = world.start_ns.load(Ordering::Relaxed) + template.delay;
    let mut runner = Runner {
        world,
        template,
        instance,
        tid: sys::tid(),
        record,
        rng: Stream::new(world.workload.seed, &stream_name(&world.workload, index, instance, fork)),
        speed: world.speed,
        cpus: template.cpus,
        policy: template.policy,
        nice: template.nice,
        own_timers: vec![None; world.workload.resources.own_timers as usize],
        first_due: due,
        mark: due,
        release: due,
        message: None,
    };
    if template.delay > 0 {
        sys::sleep_until(due);
    }
    let mut rounds = 0;
    while more(template.program.loops, rounds) {
        for phase in &template.program.phases {
            let mut passes = 0;
            while more(phase.loops, passes) {
                runner.enter(phase);
                runner.steps(&phase.ops);
                passes += 1;
            }
        }
        rounds += 1;
    }
}

fn more(loops: Loops, done: u64) -> bool {
    match loops {
        Loops::Forever => true,
        Loops::Times(n) => done < n,
    }
}

impl Runner<'_> {
    /// Sets the attributes that are due at the beginning of a pass.
    fn enter(&mut self, phase: &Phase) {
        let cpus = phase.attrs.cpus.or(self.template.cpus);
        if cpus != self.cpus {
            self.cpus = cpus;
            self.attempt("affinity", sys::set_affinity(cpus.as_ref()));
        }
        if let Some(policy) = phase.attrs.policy.filter(|p| *p != self.policy) {
            self.policy = policy;
            self.attempt("policy", sys::set_policy(policy));
        }
        if let Some(nice) = phase.attrs.nice.filter(|n| *n != self.nice) {
            self.nice = nice;
            self.attempt("nice value", sys::set_nice(nice));
        }
    }

    fn attempt(&self, what: &str, result: std::io::Result<()>) {
        if let Err(error) = result {
            let mut record = lock(self.record);
            let text = format!("{}: {what}: {error}", record.task.comm);
            if !record.refused.contains(&text) {
                record.refused.push(text);
            }
        }
    }

    fn steps(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Repeat(times, body) => (0..*times).for_each(|_| self.steps(body)),
                op => self.step(op),
            }
        }
    }

    fn step(&mut self, op: &Op) {
        let world = Arc::clone(self.world);
        let shared = &world.shared;
        match *op {
            Op::Run(dur) => {
                let ns = self.rng.draw(dur).max(1);
                self.speed.burn(ns);
            }
            Op::Runtime(dur) => {
                let end = sys::monotonic_ns() + self.rng.draw(dur);
                while let Some(left) = end.checked_sub(sys::monotonic_ns()).filter(|left| *left > 0) {
                    self.speed.burn(left.min(RUNTIME_SLICE_NS));
                }
            }
            Op::Sleep(dur) => {
                let ns = self.rng.draw(dur);
                self.release = sys::monotonic_ns() + ns;
                sys::sleep_until(self.release);
            }
            Op::Timer { timer, period, relative } => self.timer(timer, period, relative),
            Op::Lock(m) => shared.mutexes[m.0 as usize].lock(),
            Op::Unlock(m) => shared.mutexes[m.0 as usize].unlock(),
            Op::CondWait { cond, mutex } => {
                shared.conds[cond.0 as usize].wait(&shared.mutexes[mutex.0 as usize]);
            }
            Op::Signal(c) => shared.conds[c.0 as usize].signal(1),
            Op::Broadcast(c) => shared.conds[c.0 as usize].signal(usize::MAX),
            Op::Barrier(b) => shared.barriers[b.0 as usize].pass(true),
            Op::Suspend(s) => shared.suspends[s.0 as usize].pass(false),
            Op::Resume(s) => shared.suspends[s.0 as usize].open(),
            Op::SemPost(s) => shared.sems[s.0 as usize].post(),
            Op::SemWait(s) => shared.sems[s.0 as usize].wait(),
            Op::Send { to, .. } => {
                shared.pipes[self.pipe(to)].put(Msg { sent: sys::monotonic_ns(), from: self.instance })
            }
            Op::Recv { from } => self.message = Some(shared.pipes[self.pipe(from)].take()),
            Op::Yield => rustix::thread::sched_yield(),
            Op::Fork(index) => {
                let n = shared.forked[index].fetch_add(1, Ordering::Relaxed);
                if let Err(error) = super::spawn(self.world, index, 0, Some((n, self.tid))) {
                    self.attempt("fork", Err(std::io::Error::other(error)));
                }
            }
            Op::Mark => self.mark = sys::monotonic_ns(),
            Op::Work(since) => self.work(since),
            // `steps` enters repetitions.
            Op::Repeat(..) => {}
        }
    }

    fn work(&mut self, since: Since) {
        let now = sys::monotonic_ns();
        let from = match since {
            Since::Mark => self.mark,
            Since::Release => self.release,
            Since::Message => self.message.map_or(now, |m| m.sent),
        };
        lock(self.record).done.push(Done { at_ns: now, tid: self.tid, ns: now.saturating_sub(from) });
    }

    fn pipe(&self, target: Target) -> usize {
        let index = match target {
            Target::One(p) => p.0,
            Target::Own(first) => first.0 + self.instance,
            Target::Reply(first) => first.0 + self.message.map_or(0, |m| m.from),
        };
        index as usize
    }

    fn timer(&mut self, timer: TimerRef, period: u64, relative: bool) {
        let world = Arc::clone(self.world);
        let mut shared;
        let last = match timer {
            TimerRef::Shared(n) => {
                shared = lock(&world.shared.timers[n as usize]);
                &mut *shared
            }
            TimerRef::Own(n) => &mut self.own_timers[n as usize],
        };
        let due = last.unwrap_or(self.first_due) + period;
        let now = sys::monotonic_ns();
        let late = now >= due;
        *last = Some(if late && relative { now } else { due });
        self.release = due;
        if !late {
            // A shared timer is not held while waiting for it.
            sys::sleep_until(due);
        }
    }
}
