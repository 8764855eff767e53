//! CPUs that take turns, as those of a virtual machine do whose time is its instructions: one executes at a time, while the clocks of
//! all go on ([`crate::cost::CostTable::turn`]).
//!
//! A timer ends a round; so does any other timer of the machine. What is left until then is divided by the number of CPUs, idle ones
//! among them, and those that have something to do execute for such a part, one after the other, by number; then what is left is
//! divided again, and so on. Who halts, or pauses because it waits for a lock, leaves the rest of its part to the next. An interrupt
//! is seen when its CPU's turn has come.

use crate::executor::{CpuPhase, NEVER};
use crate::ids::{CpuId, Ns};
use crate::state::State;

/// The shortest part, ns.
const PART_MIN: Ns = 100;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The machine's time.
    pub(crate) now: Ns,
    /// When the part of the CPU that executes is over.
    pub(crate) part_end: Ns,
    /// A time at which a round ends, below the length of a round.
    pub(crate) phase: Ns,
    /// Length of a part in this pass.
    part: Ns,
    /// The CPU that comes next.
    next: u32,
    /// Somebody has executed in this pass.
    busy: bool,
}

impl Turns {
    pub(crate) fn new(phase: Ns) -> Turns {
        Turns { phase, ..Turns::default() }
    }
}

impl State {
    /// Do CPUs take turns?
    #[inline]
    pub(crate) fn has_turns(&self) -> bool {
        self.cost.turn > 0
    }

    /// The CPU that executes next, if one does before `horizon`; the time and its part are set.
    pub(crate) fn next_turn(&mut self, horizon: Ns) -> Option<CpuId> {
        while self.turns.now <= horizon {
            if self.turns.next as usize == self.nr_cpus() {
                self.next_pass(horizon)?;
            }
            let cpu = CpuId(self.turns.next);
            self.turns.next += 1;
            if let Some(left) = self.left_to_execute(cpu) {
                self.turns.part_end = self.turns.now + left;
                return Some(cpu);
            }
        }
        None
    }

    /// What is left of the part of `cpu` for code of the kernel, after what it computes for its task.
    fn left_to_execute(&mut self, cpu: CpuId) -> Option<Ns> {
        let part = self.turns.part;
        let due = self.exec.ready.key(cpu);
        let wait = due.saturating_sub(self.turns.now);
        match self.exec.phase(cpu) {
            CpuPhase::Blocked => None,
            _ if wait == 0 => {
                self.turns.busy = true;
                Some(part)
            }
            CpuPhase::Waiting if self.cpus[cpu].user_run.is_some() => {
                self.turns.busy = true;
                self.turns.now += wait.min(part);
                part.checked_sub(wait)
            }
            _ => None,
        }
    }

    /// Begins a pass; where nobody had anything to do, when somebody will. `None`: that is later than `horizon`.
    fn next_pass(&mut self, horizon: Ns) -> Option<()> {
        let cpus = (0..self.nr_cpus() as u32).map(CpuId);
        if !self.turns.busy {
            let due = cpus.clone().map(|c| self.exec.ready.key(c)).min().unwrap_or(NEVER);
            if due > horizon {
                return None;
            }
            self.turns.now = self.turns.now.max(due);
        }
        let now = self.turns.now;
        let round = self.cost.turn;
        let end = now + round - (now + round - self.turns.phase) % round;
        let timers = cpus.map(|c| self.cpus[c].irq.next_timer()).filter(|t| *t > now);
        let until = timers.min().unwrap_or(NEVER).min(end);
        self.turns.part = ((until - now) / self.nr_cpus() as Ns).max(PART_MIN);
        (self.turns.next, self.turns.busy) = (0, false);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use scxr_trace::Recorder;

    use crate::behavior::{Action, TaskCx, TaskSpec};
    use crate::config::Config;
    use crate::cost::CostTable;
    use crate::{Machine, topology::Topology};

    const MS: u64 = 1_000_000;

    /// How many system calls of 1 us each of `n` tasks makes in 10 ms on `cpus` CPUs that share rounds of 50 us.
    fn calls(cpus: usize, n: usize) -> Vec<u64> {
        let cost = CostTable { turn: 50_000, syscall: 1_000, ..CostTable::free() };
        let config = Config { cost, ..Config::default() };
        let mut machine = Machine::new(Topology::new(1, 1, cpus as u32, 1), config, Box::new(Recorder::new()));
        let counts: Vec<_> = (0..n).map(|_| std::rc::Rc::new(std::cell::Cell::new(0))).collect();
        let queue = machine.wait_queue();
        for count in &counts {
            let count = std::rc::Rc::clone(count);
            machine.spawn(TaskSpec::new("calls", move |_: &TaskCx| {
                count.set(count.get() + 1);
                Action::Wake { queue, nr: 0, sync: false }
            }));
        }
        machine.run_until(10 * MS);
        counts.iter().map(|c| c.get()).collect()
    }

    #[test]
    fn one_executes_at_a_time() {
        for (cpus, n) in [(1, 1), (4, 1), (2, 2), (4, 3), (8, 8)] {
            let calls = calls(cpus, n);
            let total: u64 = calls.iter().sum();
            assert!((9_000..=10_100).contains(&total), "{cpus} CPUs: {calls:?}");
            let even = total / n as u64;
            assert!(calls.iter().all(|c| c.abs_diff(even) <= even / 10), "{cpus} CPUs: {calls:?}");
        }
    }
}
