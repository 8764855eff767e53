//! Making, changing and removing cgroups, and moving tasks between them [cgroup.c, sched/core.c].

use crate::cgroup::{Bandwidth, CgroupId};
use crate::class::deq;
use crate::executor::Kernel;
use crate::ext;
use crate::ids::TaskId;
use crate::lock::LockId;

/// Why a cgroup, or a task's place in one, stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupError {
    /// There is no such cgroup, or no id for one is left (ENOENT, ENOSPC).
    NoSuchGroup,
    /// It has tasks or cgroups in it (EBUSY).
    Busy,
    /// A value is out of range, or not for the root (EINVAL, ERANGE).
    Invalid,
    /// The scheduler refuses, with this -errno.
    Refused(i32),
}

/// A change of cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupChange {
    /// A directory is made, with all on the way to it.
    Make,
    /// The directory is removed.
    Remove,
    /// cpu.weight, 1 to 10000.
    Weight(u32),
    /// cpu.idle.
    Idle(bool),
    /// cpu.max and cpu.max.burst.
    Bandwidth(Bandwidth),
    /// Tasks go there.
    Attach(Vec<TaskId>),
}

type Result<T> = std::result::Result<T, CgroupError>;

impl Kernel {
    /// Changes a cgroup, or tasks' place. For a task, with no lock held.
    pub fn change_cgroup(&mut self, path: &str, change: CgroupChange) -> Result<()> {
        ext::cgroup_lock(self);
        let result = self.change_locked(path, change);
        ext::cgroup_unlock(self);
        result
    }

    fn change_locked(&mut self, path: &str, change: CgroupChange) -> Result<()> {
        if change == CgroupChange::Make {
            return self.make_locked(path).1;
        }
        let id = self.cgroups.find(path).ok_or(CgroupError::NoSuchGroup)?;
        let not_root = if id == CgroupId::ROOT { Err(CgroupError::Invalid) } else { Ok(()) };
        match change {
            CgroupChange::Make => Ok(()),
            CgroupChange::Attach(tasks) => self.attach(id, tasks),
            CgroupChange::Remove => not_root.and_then(|()| self.remove_cgroup(id)),
            CgroupChange::Weight(weight) => not_root.and_then(|()| self.set_cgroup_weight(id, weight)),
            CgroupChange::Idle(idle) => {
                not_root?;
                ext::tg_set_idle(self, id, idle);
                Ok(())
            }
            CgroupChange::Bandwidth(bandwidth) => not_root.and_then(|()| self.set_cgroup_bandwidth(id, bandwidth)),
        }
    }

    /// The cgroup with a path, made with all that it is in, unless they exist. Where one cannot be made, what it would be in.
    pub(crate) fn make_cgroup(&mut self, path: &str) -> CgroupId {
        if let (id, None) = self.cgroups.way(path) {
            return id;
        }
        ext::cgroup_lock(self);
        let (id, _) = self.make_locked(path);
        ext::cgroup_unlock(self);
        id
    }

    fn make_locked(&mut self, path: &str) -> (CgroupId, Result<()>) {
        loop {
            let (at, Some(next)) = self.cgroups.way(path) else {
                return (self.cgroups.way(path).0, Ok(()));
            };
            let Some(id) = self.cgroups.add(&next, at) else {
                return (at, Err(CgroupError::NoSuchGroup));
            };
            if let Err(errno) = ext::tg_online(self, id) {
                self.cgroups.remove(id);
                return (at, Err(CgroupError::Refused(errno)));
            }
        }
    }

    /// [cgroup_rmdir]
    fn remove_cgroup(&mut self, id: CgroupId) -> Result<()> {
        let used = self.all_tasks().into_iter().any(|p| self.task(p).cgroup == id);
        if used || self.cgroups.children(id).next().is_some() {
            return Err(CgroupError::Busy);
        }
        ext::tg_offline(self, id);
        self.cgroups.remove(id);
        Ok(())
    }

    fn set_cgroup_weight(&mut self, id: CgroupId, weight: u32) -> Result<()> {
        if !(1..=10_000).contains(&weight) {
            return Err(CgroupError::Invalid);
        }
        ext::tg_set_weight(self, id, weight);
        Ok(())
    }

    /// E-229 [tg_set_bandwidth]
    fn set_cgroup_bandwidth(&mut self, id: CgroupId, b: Bandwidth) -> Result<()> {
        let limited = b.quota_us != Bandwidth::UNLIMITED;
        let period = (1_000..=1_000_000).contains(&b.period_us);
        if !period || limited && (b.quota_us < 1_000 || b.burst_us > b.quota_us) {
            return Err(CgroupError::Invalid);
        }
        ext::tg_set_bandwidth(self, id, b);
        Ok(())
    }

    /// Tasks change their cgroup, all or none (E-228) [cgroup_migrate].
    fn attach(&mut self, to: CgroupId, tasks: Vec<TaskId>) -> Result<()> {
        let moving = |k: &Kernel, p: &TaskId| k.find_task(*p).is_some_and(|t| t.cgroup != to && !t.is_exiting());
        let tasks: Vec<TaskId> = tasks.into_iter().filter(|p| moving(self, p)).collect();
        let told = ext::can_attach(self, &tasks, to).map_err(CgroupError::Refused)?;
        for p in told {
            self.sched_move_task(p, to);
        }
        Ok(())
    }

    /// [sched_move_task]
    fn sched_move_task(&mut self, p: TaskId, to: CgroupId) {
        if self.find_task(p).is_none_or(|t| t.state == crate::task::TaskState::Dead) {
            return;
        }
        self.lock(LockId::Pi(p));
        let cpu = self.lock_task_rq(p);
        let from = self.task(p).cgroup;
        let c = self.sched_change_begin(p, deq::SAVE | deq::MOVE);
        self.task_mut(p).cgroup = to;
        ext::cgroup_move_task(self, cpu, p, from, to);
        self.sched_change_end(c);
        if self.rqs[cpu].curr == p {
            self.resched_curr(cpu);
        }
        crate::class::run_balance_callbacks(self, cpu);
        self.unlock(LockId::Rq(cpu));
        self.unlock(LockId::Pi(p));
    }
}
