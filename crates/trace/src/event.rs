//! The event schema.

use std::cell::RefCell;
use std::rc::Rc;

/// Id of a dispatch queue, as the class numbers them (bit 63: built-in, bit 62 with it: the local queue of a CPU).
pub type DsqId = u64;

/// Why a task left its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchOut {
    /// It blocked (sleep, wait).
    Blocked,
    /// It was preempted or its slice ended; it is still runnable.
    Preempted,
    /// It gave the CPU up of its own accord and is still runnable.
    Yielded,
    /// It exited.
    Dead,
}

/// State of a scheduler, as exit information names it (the kernel's name without its prefix, in lower case).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the kernel's")]
pub enum ExitKind {
    None,
    Done,
    Unreg,
    UnregBpf,
    UnregKern,
    Sysrq,
    Parent,
    Error,
    ErrorBpf,
    ErrorStall,
}

/// One record. `pid` is the task concerned; CPUs are numbers; times are nanoseconds of simulated time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are said in each variant's text; pid, cpu and t are the same everywhere")]
pub enum EventKind {
    /// A task exists from now on: at boot (`parent` 0) or by fork. `group` is its cgroup path.
    Fork { pid: u32, parent: u32, comm: String, group: String, weight: u32, policy: u32 },
    /// Weight (cgroup scale, 1..10000) or policy changed.
    Weight { pid: u32, weight: u32, policy: u32 },
    /// The CPUs that the task may use, as a list (`0-3,8`). A task without this record may use all.
    Affinity { pid: u32, cpus: String },
    /// A sleeping task was woken; `waker` is the pid of the running task (0: an interrupt on an idle CPU).
    Waking { pid: u32, waker: u32, sync: bool },
    /// CPU selection for a waking or new task ended with `cpu`.
    Select { pid: u32, prev: u32, cpu: u32 },
    /// The task became runnable on `on` (waking, fork, class change or migration by the core).
    Enqueue { pid: u32, on: u32, flags: u64 },
    /// The task was put in a dispatch queue.
    Insert { pid: u32, dsq: DsqId, slice: u64, vtime: Option<u64> },
    /// The task went from one dispatch queue, or CPU, to another.
    Move { pid: u32, from: DsqId, to: DsqId },
    /// The task left the queues of its class for a moment, still runnable (a change of attributes, class or CPU): what
    /// follows for it is an insertion or an enqueue. For a task that runs: it left the queue in which the change had put it.
    Dequeue { pid: u32, flags: u64 },
    /// The task's CPU changed.
    Migrate { pid: u32, from: u32, to: u32 },
    /// The task starts to run on the event's CPU.
    SwitchIn { pid: u32 },
    /// The task stops running; it ran for `ran_ns` since it was switched in.
    SwitchOut { pid: u32, why: SwitchOut, ran_ns: u64 },
    /// The task executes another program from now on, on the event's CPU, and has its name.
    Exec { pid: u32, comm: String },
    /// The task exited.
    Exit { pid: u32 },
    /// A tick on a busy CPU; `pid` is the running task.
    Tick { pid: u32 },
    /// The CPU asked `target` to reschedule on behalf of a scheduler (`flags` as in scx_bpf_kick_cpu).
    Kick { target: u32, flags: u64 },
    /// The CPU went idle.
    IdleIn,
    /// The CPU left idle.
    IdleOut,
    /// A scheduler was enabled.
    Enabled { name: String },
    /// A scheduler is gone; every task runs under the fair class from here on.
    Disabled { name: String, kind: ExitKind },
    /// The class counted an event of its own, of those that `scx_bpf_events` tells (traces of real kernels only).
    Ext { name: String, delta: i64 },
    /// A unit of work that a workload counts as one operation ended (a message, a request, a frame); `ns` is its latency.
    Work { pid: u32, ns: u64 },
}

impl EventKind {
    /// Names of all kinds, as a trace writes them, in the order of the schema.
    pub const NAMES: [&'static str; 22] = [
        "fork",
        "weight",
        "affinity",
        "waking",
        "select",
        "enqueue",
        "insert",
        "move",
        "dequeue",
        "migrate",
        "switch_in",
        "switch_out",
        "exit",
        "tick",
        "kick",
        "idle_in",
        "idle_out",
        "enabled",
        "disabled",
        "ext",
        "work",
        "exec",
    ];

    /// Its place in [`EventKind::NAMES`].
    #[inline]
    pub fn index(&self) -> usize {
        match self {
            EventKind::Fork { .. } => 0,
            EventKind::Weight { .. } => 1,
            EventKind::Affinity { .. } => 2,
            EventKind::Waking { .. } => 3,
            EventKind::Select { .. } => 4,
            EventKind::Enqueue { .. } => 5,
            EventKind::Insert { .. } => 6,
            EventKind::Move { .. } => 7,
            EventKind::Dequeue { .. } => 8,
            EventKind::Migrate { .. } => 9,
            EventKind::SwitchIn { .. } => 10,
            EventKind::SwitchOut { .. } => 11,
            EventKind::Exit { .. } => 12,
            EventKind::Tick { .. } => 13,
            EventKind::Kick { .. } => 14,
            EventKind::IdleIn => 15,
            EventKind::IdleOut => 16,
            EventKind::Enabled { .. } => 17,
            EventKind::Disabled { .. } => 18,
            EventKind::Ext { .. } => 19,
            EventKind::Work { .. } => 20,
            EventKind::Exec { .. } => 21,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }
}

/// A record with its time and CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Simulated time, ns.
    pub t: u64,
    /// CPU on which it happened.
    pub cpu: u32,
    /// What happened.
    pub kind: EventKind,
}

/// Where events go. Events of one CPU come in order of time; those of different CPUs may overtake each other by the length
/// of a kernel path (a few microseconds), but a cause always comes before its effect.
pub trait Sink {
    /// Takes one record.
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind);
}

/// Takes everything and keeps nothing.
#[derive(Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn event(&mut self, _t: u64, _cpu: u32, _kind: EventKind) {}
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        (**self).event(t, cpu, kind);
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        (**self).event(t, cpu, kind);
    }
}

/// A sink that its owner reads after the run.
impl<S: Sink + ?Sized> Sink for Rc<RefCell<S>> {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.borrow_mut().event(t, cpu, kind);
    }
}
