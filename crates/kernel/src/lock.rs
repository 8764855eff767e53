//! Spin locks of the simulated kernel: who waits spends time, and passing a contended lock on costs more the farther it goes.

use std::collections::VecDeque;

use crate::cost::CostTable;
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::state::State;

/// Which lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockId {
    /// A task's pi_lock.
    Pi(TaskId),
    /// A CPU's run queue.
    Rq(CpuId),
    /// A dispatch queue, by index in the class's table.
    Dsq(u32),
    /// Debug dumps [scx_dump_lock].
    ScxDump,
}

/// State of a lock.
#[derive(Clone, Debug, Default)]
pub struct SimLock {
    owner: Option<CpuId>,
    waiters: VecDeque<CpuId>,
    /// When, and by whom, it was last released.
    released: (Ns, CpuId),
}

impl SimLock {
    /// Who holds it.
    pub fn owner(&self) -> Option<CpuId> {
        self.owner
    }
}

impl State {
    /// Who waits for which lock, for a message.
    pub(crate) fn waiting(&self) -> String {
        let waits = self.exec.waits_for.iter().enumerate();
        let waits = waits.filter_map(|(cpu, id)| id.map(|id| format!("{} waits for {id:?}", CpuId(cpu as u32))));
        waits.collect::<Vec<_>>().join(", ")
    }
}

impl Kernel {
    fn lock_state(&mut self, id: LockId) -> &mut SimLock {
        match id {
            LockId::Pi(p) => &mut self.task_mut(p).pi_lock,
            LockId::Rq(cpu) => {
                let lead = self.rq_lead(cpu);
                &mut self.rqs[lead].lock
            }
            LockId::Dsq(i) => self.ext.dsq_lock(i),
            LockId::ScxDump => &mut self.ext.dumps.lock,
        }
    }

    /// Takes a lock, waiting in line for it. Taking one that this CPU holds is a bug of ours.
    ///
    /// CPUs that come earlier go first, so that none of them waits for a CPU that takes the lock later than it.
    pub fn lock(&mut self, id: LockId) {
        self.keep_in_step();
        self.acquire(id);
    }

    #[inline]
    fn acquire(&mut self, id: LockId) {
        let me = self.this_cpu();
        let cost = self.cost.lock;
        self.charge(cost);
        let now = self.now();
        let l = self.lock_state(id);
        match l.owner {
            None => {
                l.owner = Some(me);
                let (free_at, by) = l.released;
                if free_at > now && by != me {
                    // It was still held at our local time: we would have waited for it.
                    let handover = CostTable::by_distance(&self.cost.lock_handover, self.topology.distance(me, by));
                    self.cpus[me].clock = free_at + handover;
                }
            }
            Some(owner) => {
                assert_ne!(owner, me, "{me:?} takes {id:?} twice");
                l.waiters.push_back(me);
                self.exec.waits_for[me.idx()] = Some(id);
                self.check_for_deadlock(owner);
                self.block();
                debug_assert_eq!(self.lock_state(id).owner, Some(me));
            }
        }
    }

    /// This CPU is about to wait for `owner`; who waits for whom must not come back to it.
    fn check_for_deadlock(&mut self, owner: CpuId) {
        let (me, mut at) = (self.this_cpu(), owner);
        while let Some(id) = self.exec.waits_for[at.idx()] {
            let Some(next) = self.lock_state(id).owner else { break };
            assert_ne!(next, me, "deadlock: {}", self.waiting());
            at = next;
        }
    }

    /// Takes a lock if nobody holds it.
    pub fn try_lock(&mut self, id: LockId) -> bool {
        self.keep_in_step();
        let free = self.lock_state(id).owner.is_none();
        if free {
            self.acquire(id);
        }
        free
    }

    /// Releases a lock and hands it to the first in line.
    pub fn unlock(&mut self, id: LockId) {
        let me = self.this_cpu();
        let now = self.now();
        let l = self.lock_state(id);
        assert_eq!(l.owner, Some(me), "{me:?} releases {id:?}, which it does not hold");
        l.released = (now, me);
        l.owner = l.waiters.pop_front();
        let next = l.owner;
        if let LockId::Rq(cpu) = id {
            crate::ext::rq_clock_invalidate(self, cpu);
            if self.config.core_sched {
                let core = *self.topology.smt_mask(cpu);
                core.iter().for_each(|c| crate::ext::rq_clock_invalidate(self, c));
            }
        }
        if let Some(next) = next {
            self.exec.waits_for[next.idx()] = None;
            let handover = CostTable::by_distance(&self.cost.lock_handover, self.topology.distance(me, next));
            let at = now.max(self.cpus[next].clock) + handover;
            self.exec.unblock(next, at);
        }
    }

    /// Does this CPU hold the lock?
    pub fn holds(&mut self, id: LockId) -> bool {
        let me = self.this_cpu();
        self.lock_state(id).owner == Some(me)
    }

    /// Takes two run queues' locks in the order of CPU numbers [double_rq_lock].
    pub fn double_rq_lock(&mut self, a: CpuId, b: CpuId) {
        let (a, b) = (self.rq_lead(a), self.rq_lead(b));
        self.lock(LockId::Rq(a.min(b)));
        if a != b {
            self.lock(LockId::Rq(a.max(b)));
        }
    }

    /// Releases both.
    pub fn double_rq_unlock(&mut self, a: CpuId, b: CpuId) {
        self.unlock(LockId::Rq(a));
        if self.rq_lead(a) != self.rq_lead(b) {
            self.unlock(LockId::Rq(b));
        }
    }
}
