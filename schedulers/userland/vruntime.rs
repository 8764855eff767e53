//! Tasks in order of virtual run time: CPU time divided by weight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use scxr_runtime::framework::{Scheduler, TASKS, Task};
use scxr_runtime::{Ns, Stats};

/// Tasks for whose times there is room from the start: pids go so far on a small machine.
const PIDS: usize = 32_768;

/// What is kept for each pid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    /// Its virtual run time, ns.
    vruntime: u64,
    /// CPU time that is in it, ns; `None`: the task is new.
    charged: Option<u64>,
}

/// A task that waits: first by virtual run time, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    vruntime: u64,
    arrival: u64,
    task: Task,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.vruntime, self.arrival).cmp(&(other.vruntime, other.arrival))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The scheduler. Nothing is allocated while it runs, unless there are more tasks or higher pids than it has room for.
#[derive(Debug)]
pub struct ByVruntime {
    accounts: Vec<Account>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// The virtual run time of the task that was farthest when it was let go: nobody starts behind it.
    min_vruntime: u64,
    arrivals: u64,
    slice: Ns,
}

impl ByVruntime {
    /// With slices of that length; 0: the default.
    pub fn new(slice: Ns) -> ByVruntime {
        ByVruntime {
            accounts: vec![Account::default(); PIDS],
            waiting: BinaryHeap::with_capacity(TASKS),
            min_vruntime: 0,
            arrivals: 0,
            slice,
        }
    }

    fn account(&mut self, pid: i32) -> &mut Account {
        let pid = usize::try_from(pid).unwrap_or(0);
        if pid >= self.accounts.len() {
            self.accounts.resize((pid + 1).next_power_of_two(), Account::default());
        }
        &mut self.accounts[pid]
    }
}

impl Scheduler for ByVruntime {
    fn enqueue(&mut self, task: Task) {
        let min_vruntime = self.min_vruntime;
        let account = self.account(task.pid);
        let ran = task.ran.0.saturating_sub(account.charged.unwrap_or(task.ran.0));
        account.vruntime = (account.vruntime + ran * 100 / u64::from(task.weight.max(1))).max(min_vruntime);
        account.charged = Some(task.ran.0);
        let vruntime = account.vruntime;
        self.arrivals += 1;
        self.waiting.push(Reverse(Waiting { vruntime, arrival: self.arrivals, task }));
    }

    fn dispatch(&mut self) -> Option<(Task, Ns)> {
        let Reverse(first) = self.waiting.pop()?;
        self.min_vruntime = self.min_vruntime.max(first.vruntime);
        Some((first.task, self.slice))
    }

    fn exit_task(&mut self, pid: i32) {
        *self.account(pid) = Account::default();
    }

    fn nr_queued(&self) -> usize {
        self.waiting.len()
    }

    fn stats(&self, out: &mut Stats) {
        out.time("min_vruntime", Ns(self.min_vruntime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scxr_runtime::Cpu;

    fn task(pid: i32, weight: u32, ran: u64) -> Task {
        Task { pid, cpu: Cpu(0), weight, ran: Ns(ran), at: Ns::ZERO }
    }

    fn next(s: &mut ByVruntime) -> i32 {
        s.dispatch().map_or(0, |(task, _)| task.pid)
    }

    #[test]
    fn who_had_least_goes_first() {
        let mut s = ByVruntime::new(Ns::ZERO);
        [task(1, 100, 0), task(2, 100, 500), task(3, 200, 0)].into_iter().for_each(|t| s.enqueue(t));
        assert_eq!(
            [next(&mut s), next(&mut s), next(&mut s), next(&mut s)],
            [1, 2, 3, 0],
            "new ones in order of arrival"
        );
        // 1 and 3 ran for as long, but 3 has twice the weight; 2 ran least
        [task(1, 100, 1000), task(2, 100, 600), task(3, 200, 1000)].into_iter().for_each(|t| s.enqueue(t));
        assert_eq!(s.nr_queued(), 3);
        assert_eq!([next(&mut s), next(&mut s), next(&mut s)], [2, 3, 1]);
    }

    #[test]
    fn a_sleeper_gets_no_credit_and_a_pid_that_comes_again_no_debt() {
        let mut s = ByVruntime::new(Ns::ZERO);
        s.enqueue(task(1, 100, 0));
        assert_eq!(next(&mut s), 1);
        s.enqueue(task(1, 100, 1_000_000));
        assert_eq!(next(&mut s), 1);
        assert_eq!(s.min_vruntime, 1_000_000);
        s.enqueue(task(2, 100, 0));
        assert_eq!(s.account(2).vruntime, 1_000_000);
        s.exit_task(1);
        s.enqueue(task(1, 100, 5));
        assert_eq!(s.account(1).vruntime, 1_000_000);
        s.enqueue(task(1_000_000, 100, 5));
        assert_eq!(s.account(1_000_000).vruntime, 1_000_000);
    }
}
