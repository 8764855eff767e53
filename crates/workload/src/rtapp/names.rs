//! Names of shared things. rt-app makes a resource when its name is first used; each kind has names of its own.

use crate::ir::{BarrierId, CondId, MutexId, Resources, SemId, SuspendId, TimerRef};

/// Names of one kind; the position is the id.
#[derive(Debug, Default)]
struct Table(Vec<String>);

impl Table {
    fn id(&mut self, name: &str) -> u32 {
        let at = self.0.iter().position(|n| n == name);
        at.unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len() - 1
        }) as u32
    }

    fn len(&self) -> u32 {
        self.0.len() as u32
    }
}

/// Names of all kinds.
#[derive(Debug, Default)]
pub(super) struct Names {
    mutexes: Table,
    conds: Table,
    barriers: Table,
    /// For each barrier, who uses it: an event counts once for each instance of its task.
    users: Vec<u32>,
    suspends: Table,
    sems: Table,
    timers: Table,
    /// Timers of the task that is being read.
    own_timers: Table,
    own_timers_max: u32,
}

impl Names {
    pub(super) fn mutex(&mut self, name: &str) -> MutexId {
        MutexId(self.mutexes.id(name))
    }

    pub(super) fn cond(&mut self, name: &str) -> CondId {
        CondId(self.conds.id(name))
    }

    /// A use of a barrier by a task with so many instances.
    pub(super) fn barrier(&mut self, name: &str, instances: u32) -> BarrierId {
        let id = self.barriers.id(name);
        self.users.resize(self.barriers.0.len(), 0);
        self.users[id as usize] += instances;
        BarrierId(id)
    }

    pub(super) fn suspend(&mut self, task: &str) -> SuspendId {
        SuspendId(self.suspends.id(task))
    }

    pub(super) fn sem(&mut self, name: &str) -> SemId {
        SemId(self.sems.id(name))
    }

    /// Names that begin with `unique` are timers of each instance of the task.
    pub(super) fn timer(&mut self, name: &str) -> TimerRef {
        if name.starts_with("unique") {
            let id = self.own_timers.id(name);
            self.own_timers_max = self.own_timers_max.max(self.own_timers.len());
            return TimerRef::Own(id);
        }
        TimerRef::Shared(self.timers.id(name))
    }

    /// Another task begins.
    pub(super) fn next_task(&mut self) {
        self.own_timers = Table::default();
    }

    /// How many there are of each.
    pub(super) fn resources(self) -> Resources {
        Resources {
            mutexes: self.mutexes.len(),
            conds: self.conds.len(),
            barriers: self.users,
            suspends: self.suspends.len(),
            sems: self.sems.len(),
            pipes: Vec::new(),
            timers: self.timers.len(),
            own_timers: self.own_timers_max,
        }
    }
}
