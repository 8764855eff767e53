//! How long tasks have waited for a CPU, as the kernel keeps it for each of them [kernel/sched/stats.h].

use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::task::TaskState;

/// [struct sched_info]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedInfo {
    /// How often it was switched in.
    pub pcount: u64,
    /// How long it was runnable and did not run, ns.
    pub run_delay: Ns,
    /// When it was last switched in.
    pub last_arrival: Ns,
    /// Since when it has waited; 0: it does not wait.
    pub last_queued: Ns,
}

impl SchedInfo {
    /// [sched_info_enqueue]
    pub(crate) fn enqueue(&mut self, now: Ns) {
        if self.last_queued == 0 {
            self.last_queued = now;
        }
    }

    /// [sched_info_dequeue]
    pub(crate) fn dequeue(&mut self, now: Ns) {
        if self.last_queued != 0 {
            self.run_delay += now.saturating_sub(self.last_queued);
            self.last_queued = 0;
        }
    }

    /// [sched_info_arrive]
    fn arrive(&mut self, now: Ns) {
        self.dequeue(now);
        self.last_arrival = now;
        self.pcount += 1;
    }
}

impl Kernel {
    /// [sched_info_switch]
    pub(crate) fn sched_info_switch(&mut self, cpu: CpuId, prev: TaskId, next: TaskId) {
        let (now, idle) = (self.rqs[cpu].clock, self.rqs[cpu].idle);
        if prev != idle && self.task(prev).state == TaskState::Running {
            self.task_mut(prev).sched_info.enqueue(now);
        }
        if next != idle {
            self.task_mut(next).sched_info.arrive(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_counted_once() {
        let mut s = SchedInfo::default();
        s.enqueue(100);
        s.enqueue(150);
        s.arrive(180);
        assert_eq!(s, SchedInfo { pcount: 1, run_delay: 80, last_arrival: 180, last_queued: 0 });
        s.enqueue(200);
        s.dequeue(230);
        s.dequeue(250);
        assert_eq!((s.pcount, s.run_delay, s.last_queued), (1, 110, 0));
    }
}
