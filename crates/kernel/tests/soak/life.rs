//! What a scheduler may be told of a task, and in which order (E-42 to E-54, E-59, E-136).

use std::collections::BTreeMap;

use scxr_kernel::ext::ops::{Op, OpSet};
use scxr_kernel::ids::TaskId;

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    inited: bool,
    enabled: bool,
    runnable: bool,
    running: bool,
    /// Given to the scheduler and not taken back: surely, or perhaps (an insertion that is carried out later).
    held: bool,
    perhaps_held: bool,
}

/// Of all tasks, as told to one scheduler. Only operations that it has are told.
#[derive(Debug)]
pub(crate) struct Lives {
    ops: OpSet,
    tasks: BTreeMap<TaskId, Life>,
    /// What it is told does not matter any more.
    given_up: bool,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Init,
    Exit,
    Enable,
    Disable,
    Runnable,
    Quiescent,
    Running,
    Stopping,
    /// It left a queue of the scheduler's, or the scheduler.
    Dequeue,
    /// Its cgroup changes, which it may in any class.
    Moved,
    /// Anything else that only a task of the scheduler's can be in.
    Other,
}

impl Lives {
    pub(crate) fn new(ops: OpSet) -> Lives {
        Lives { ops, tasks: BTreeMap::new(), given_up: false }
    }

    fn both(&self, a: Op, b: Op) -> bool {
        self.ops.has(a) && self.ops.has(b)
    }

    /// The task is told of; what contradicts what came before is an error.
    pub(crate) fn told(&mut self, p: TaskId, told: Told) -> Result<(), String> {
        let inits = self.both(Op::init_task, Op::exit_task);
        let enables = self.both(Op::enable, Op::disable);
        let runnables = self.both(Op::runnable, Op::quiescent);
        let runs = self.both(Op::running, Op::stopping);
        let holds = self.both(Op::enqueue, Op::dequeue);
        let life = self.tasks.entry(p).or_default();
        let before = *life;
        let known = before.inited || !inits || told == Told::Init;
        let in_class =
            before.enabled || !enables || matches!(told, Told::Init | Told::Exit | Told::Enable | Told::Moved);
        let (right, pair) = match told {
            Told::Init => (!std::mem::replace(&mut life.inited, true), inits),
            Told::Exit => (std::mem::take(&mut life.inited), inits),
            Told::Enable => (!std::mem::replace(&mut life.enabled, true), enables),
            Told::Disable => (std::mem::take(&mut life.enabled), enables),
            Told::Runnable => (!std::mem::replace(&mut life.runnable, true), runnables),
            Told::Quiescent => (std::mem::take(&mut life.runnable), runnables),
            Told::Running => (!std::mem::replace(&mut life.running, true), runs),
            Told::Stopping => (std::mem::take(&mut life.running), runs),
            Told::Dequeue => {
                (life.held, life.perhaps_held) = (false, false);
                (before.held || before.perhaps_held, holds)
            }
            Told::Moved | Told::Other => (true, true),
        };
        let nested = match told {
            Told::Running => (before.runnable || !runnables) && (!before.held || !holds),
            Told::Quiescent => !before.running || !runs,
            Told::Disable => (!before.runnable || !runnables) && (!before.running || !runs),
            Told::Exit => (!before.enabled || !enables) && (!before.held || !holds),
            _ => true,
        };
        if told == Told::Exit {
            self.tasks.remove(&p);
        }
        let fine = self.given_up || known && in_class && nested && (right || !pair);
        if fine { Ok(()) } else { Err(format!("{p:?} is told {told:?}, but is {before:?}")) }
    }

    /// The scheduler has failed to know a task.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// The scheduler has it in its own queues from now on.
    pub(crate) fn hold(&mut self, p: TaskId, surely: bool) {
        let life = self.tasks.entry(p).or_default();
        life.held |= surely;
        life.perhaps_held = true;
    }
}
