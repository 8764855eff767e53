//! What a workload is, whoever runs it: tasks, their programs, and the things that they share.
//!
//! The form is independent of where it came from (a preset, rt-app's JSON) and of what executes it: [`crate::sim`] makes
//! simulated tasks of it; an executor with real threads reads the same structures.

use scxr_kernel::behavior::Policy;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::Ns;

/// Number of times that something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// For ever.
    Forever,
    /// So many times.
    Times(u64),
}

/// A length of time, fixed or drawn anew each time from the task's own random stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dur {
    /// Always the same.
    Fixed(Ns),
    /// Even between the two, both included.
    Uniform(Ns, Ns),
    /// Exponential with this mean, cut at ten times the mean.
    Exp(Ns),
}

macro_rules! resource_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub u32);
    };
}

resource_id!(
    /// A mutex of the workload.
    MutexId
);
resource_id!(
    /// A condition variable.
    CondId
);
resource_id!(
    /// A barrier.
    BarrierId
);
resource_id!(
    /// What tasks of one name suspend on and are resumed through.
    SuspendId
);
resource_id!(
    /// A counting semaphore.
    SemId
);
resource_id!(
    /// A bounded queue of messages.
    PipeId
);

/// Whose timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerRef {
    /// One for all that name it.
    Shared(u32),
    /// One for each instance of the task.
    Own(u32),
}

/// Which pipe of a row of pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    One(PipeId),
    /// The row begins here; the one with the task's instance number.
    Own(PipeId),
    /// The row begins here; the one with the number of the sender of the message received last.
    Reply(PipeId),
}

/// From when the latency of a unit of work counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The last [`Op::Mark`].
    Mark,
    /// The time at which the last sleep or timer was due.
    Release,
    /// The time at which the message received last was sent.
    Message,
}

/// One step of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Compute so much work: its time is that of a CPU at full capacity and speed.
    Run(Dur),
    /// Compute until so much time has passed.
    Runtime(Dur),
    /// Sleep.
    Sleep(Dur),
    /// Sleep until `period` after the last time that this timer was due.
    Timer {
        /// Which.
        timer: TimerRef,
        /// Distance of two expiries.
        period: Ns,
        /// After a miss the next period counts from now, and not from when it was due.
        relative: bool,
    },
    /// Lock.
    Lock(MutexId),
    /// Unlock.
    Unlock(MutexId),
    /// Release `mutex`, wait for a signal, lock it again.
    CondWait {
        /// What to wait for.
        cond: CondId,
        /// Held by the caller.
        mutex: MutexId,
    },
    /// Wake one waiter.
    Signal(CondId),
    /// Wake all waiters.
    Broadcast(CondId),
    /// Wait until all users have arrived.
    Barrier(BarrierId),
    /// Wait to be resumed.
    Suspend(SuspendId),
    /// Resume all that are suspended there.
    Resume(SuspendId),
    /// Add one.
    SemPost(SemId),
    /// Take one, or wait for it.
    SemWait(SemId),
    /// Put a message in a pipe, or wait for room.
    Send {
        /// Where.
        to: Target,
        /// The sender is about to sleep (WF_SYNC).
        sync: bool,
    },
    /// Take a message out of a pipe, or wait for one.
    Recv {
        /// Where.
        from: Target,
    },
    /// sched_yield(2).
    Yield,
    /// Make a task from a template, by its number in [`Workload::tasks`].
    Fork(usize),
    /// Remember this moment.
    Mark,
    /// One operation is done.
    Work(Since),
    /// Do the steps so many times.
    Repeat(u64, Vec<Op>),
}

/// Attributes that a phase sets when it begins. What is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseAttrs {
    /// CPUs; `None`: those of the task.
    pub cpus: Option<CpuMask>,
    /// Policy.
    pub policy: Option<Policy>,
    /// Nice value.
    pub nice: Option<i8>,
}

/// Steps that are repeated together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// How often.
    pub loops: Loops,
    /// Set at the beginning.
    pub attrs: PhaseAttrs,
    /// The steps.
    pub ops: Vec<Op>,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// How often all phases together.
    pub loops: Loops,
    /// One after another.
    pub phases: Vec<Phase>,
}

impl Program {
    /// One phase, for ever.
    pub fn forever(ops: Vec<Op>) -> Program {
        Program::looped(Loops::Forever, ops)
    }

    /// One phase.
    pub fn looped(loops: Loops, ops: Vec<Op>) -> Program {
        let attrs = PhaseAttrs::default();
        Program { loops: Loops::Times(1), phases: vec![Phase { loops, attrs, ops }] }
    }
}

/// A kind of task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskTemplate {
    /// Name; with several instances, `-0`, `-1`, … follow.
    pub name: String,
    /// How many at the start. 0: only those that are forked.
    pub instances: u32,
    /// Policy at the start.
    pub policy: Policy,
    /// Nice value at the start.
    pub nice: i8,
    /// CPUs; `None`: all.
    pub cpus: Option<CpuMask>,
    /// Cgroup path; `/` is the root.
    pub cgroup: String,
    /// Cookie of core scheduling: tasks with different ones do not run on one core at a time. 0: none.
    pub core_cookie: u64,
    /// Sleeps so long before it begins.
    pub delay: Ns,
    /// What it does.
    pub program: Program,
}

impl TaskTemplate {
    /// Normal tasks at nice 0 that may run everywhere.
    pub fn new(name: impl Into<String>, instances: u32, program: Program) -> TaskTemplate {
        TaskTemplate {
            name: name.into(),
            instances,
            policy: Policy::Normal,
            nice: 0,
            cpus: None,
            cgroup: "/".into(),
            core_cookie: 0,
            delay: 0,
            program,
        }
    }

    /// The same at another nice value.
    pub fn nice(mut self, nice: i8) -> TaskTemplate {
        self.nice = nice;
        self
    }

    /// Name of one instance.
    pub fn instance_name(&self, instance: u32) -> String {
        match self.instances {
            0 | 1 => self.name.clone(),
            _ => format!("{}-{instance}", self.name),
        }
    }
}

/// How many of each kind of shared thing there are. Ids are numbers below these counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Mutexes.
    pub mutexes: u32,
    /// Condition variables.
    pub conds: u32,
    /// For each barrier, how many arrivals open it.
    pub barriers: Vec<u32>,
    /// Suspend points.
    pub suspends: u32,
    /// Semaphores.
    pub sems: u32,
    /// For each pipe, how many messages it holds.
    pub pipes: Vec<u32>,
    /// Shared timers.
    pub timers: u32,
    /// Timers that each instance has of its own; the most that one task uses.
    pub own_timers: u32,
}

impl Resources {
    /// A row of `n` pipes that hold `capacity` messages each; the first of them.
    pub fn pipes(&mut self, n: u32, capacity: u32) -> PipeId {
        let first = PipeId(self.pipes.len() as u32);
        self.pipes.extend(std::iter::repeat_n(capacity.max(1), n as usize));
        first
    }
}

/// A cgroup of a workload that is not as cgroups are when they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskGroup {
    /// Its path, which begins with `/`.
    pub path: String,
    /// Its weight (cpu.weight), 1 to 10000; 100 without one.
    pub weight: u32,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// As it was asked for.
    pub name: String,
    /// Seed of all its random streams.
    pub seed: u64,
    /// How long it lasts, where it says so.
    pub duration: Option<Ns>,
    /// Kinds of tasks.
    pub tasks: Vec<TaskTemplate>,
    /// What they share.
    pub resources: Resources,
    /// Cgroups with weights of their own, those above before those below them.
    pub groups: Vec<TaskGroup>,
    /// What was accepted and means nothing here; for the user to read.
    pub warnings: Vec<String>,
}

impl Workload {
    /// What its random streams are named after: the preset without its parameters, or the file without its folder, so that
    /// neither a parameter nor a path changes what tasks draw.
    pub(crate) fn stream_name(&self) -> &str {
        let file = self.name.rsplit('/').next().unwrap_or(&self.name);
        match self.name.ends_with(".json") {
            true => file,
            false => self.name.split(':').next().unwrap_or(&self.name),
        }
    }

    /// Which pipes are pipes of the kernel, and not queues in memory: those that are written by tasks that are about to sleep.
    pub(crate) fn kernel_pipes(&self) -> Vec<bool> {
        fn mark(ops: &[Op], instances: u32, kernel: &mut [bool]) {
            for op in ops {
                let (first, n) = match op {
                    Op::Repeat(_, body) => {
                        mark(body, instances, kernel);
                        continue;
                    }
                    Op::Send { to: Target::One(p), sync: true } => (p.0, 1),
                    Op::Send { to: Target::Own(p) | Target::Reply(p), sync: true } => (p.0, instances.max(1)),
                    _ => continue,
                };
                kernel.iter_mut().skip(first as usize).take(n as usize).for_each(|k| *k = true);
            }
        }
        let mut kernel = vec![false; self.resources.pipes.len()];
        for task in &self.tasks {
            task.program.phases.iter().for_each(|phase| mark(&phase.ops, task.instances, &mut kernel));
        }
        kernel
    }
}

/// Bytes of a page, the unit in which pipes of the kernel hold messages.
const PAGE_BYTES: usize = 4096;
/// Bytes that they hold by default.
const PIPE_BYTES: usize = 65_536;

/// A pipe of the kernel that holds about as many messages as a workload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelPipe {
    /// Bytes of a message.
    pub(crate) size: usize,
    /// Bytes of the pipe, in whole pages, a power of two.
    pub(crate) bytes: usize,
}

impl KernelPipe {
    pub(crate) fn new(capacity: u32) -> KernelPipe {
        let size = (PIPE_BYTES / capacity.max(1) as usize).clamp(16, 128);
        let bytes = (capacity as usize * size).next_power_of_two().clamp(PAGE_BYTES, PIPE_BYTES);
        KernelPipe { size, bytes }
    }

    pub(crate) fn pages(self) -> usize {
        self.bytes / PAGE_BYTES
    }

    /// Messages that a page holds; none lies in two pages.
    pub(crate) fn messages_per_page(self) -> u32 {
        (PAGE_BYTES / self.size) as u32
    }
}
