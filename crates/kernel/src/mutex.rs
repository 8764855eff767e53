//! Mutexes of the kernel that tasks sleep on, as a pipe's: who finds one locked spins while the owner runs, and sleeps otherwise.
//!
//! A mutex is named by the wait queue with which it was made. A task asks for it by [`crate::behavior::Action::Lock`]; what follows is done
//! in steps ([`Kernel::mutex_lock`]), between which interrupts are taken and the task may be preempted, as it may between lock and
//! unlock: then the others have to wait until it runs again.

use std::collections::{BTreeMap, VecDeque};

use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId, WaitQueueId};
use crate::task::TaskState;

/// A mutex.
#[derive(Debug, Default)]
struct Mutex {
    owner: Option<TaskId>,
    /// The first waiter has been woken in vain: the next unlock gives it the mutex [MUTEX_FLAG_HANDOFF].
    handoff: bool,
    /// Those that sleep, or were woken and have not got it yet; the longest waiting first.
    waiters: VecDeque<TaskId>,
    /// Those that spin in line [mutex->osq].
    line: VecDeque<TaskId>,
}

/// All mutexes of the machine that have been locked.
#[derive(Debug, Default)]
pub(crate) struct Mutexes(BTreeMap<WaitQueueId, Mutex>);

impl Mutexes {
    fn get(&mut self, m: WaitQueueId) -> &mut Mutex {
        self.0.entry(m).or_default()
    }
}

impl Mutex {
    /// [__mutex_trylock_or_handoff]
    fn try_lock(&mut self, p: TaskId) -> bool {
        let free = self.owner.is_none() || self.owner == Some(p);
        if free {
            self.owner = Some(p);
            self.line.retain(|q| *q != p);
            self.handoff &= self.waiters.front() != Some(&p);
            self.waiters.retain(|q| *q != p);
        }
        free
    }

    /// May `p` look at the owner now: it is the first of its line, or was woken as the first waiter.
    fn is_next(&self, p: TaskId) -> bool {
        self.line.front() == Some(&p) || self.waiters.front() == Some(&p)
    }
}

impl Kernel {
    /// One step of the running task towards the mutex that it wants [__mutex_lock_common].
    pub(crate) fn mutex_lock(&mut self, cpu: CpuId, p: TaskId, m: WaitQueueId) {
        self.keep_in_step();
        let mutex = self.mutexes.get(m);
        let first_try = !mutex.line.contains(&p);
        if (first_try || mutex.is_next(p)) && mutex.try_lock(p) {
            let t = self.task_mut(p);
            (t.wants, t.holds) = (None, Some(m));
            return;
        }
        let is_waiter = mutex.waiters.contains(&p);
        // Only the first waiter spins again, and asks to be given the mutex [mutex_optimistic_spin].
        mutex.handoff |= mutex.waiters.front() == Some(&p);
        let may_spin = !is_waiter || mutex.is_next(p);
        let owner = mutex.owner;
        let runs = owner.is_none_or(|q| self.find_task(q).is_some_and(|t| t.on_cpu));
        if may_spin && runs {
            return self.mutex_spin(cpu, p, m);
        }
        let mutex = self.mutexes.get(m);
        mutex.line.retain(|q| *q != p);
        if !is_waiter {
            mutex.waiters.push_back(p);
        }
        self.poke_spinners(m);
        self.task_mut(p).state = TaskState::Sleeping;
        self.schedule();
    }

    /// Spins until the mutex changes hands, its owner stops running, or an interrupt comes. Pausing CPUs of a virtual machine leave
    /// their turns to the others.
    fn mutex_spin(&mut self, cpu: CpuId, p: TaskId, m: WaitQueueId) {
        let mutex = self.mutexes.get(m);
        if !mutex.line.contains(&p) && !mutex.waiters.contains(&p) {
            mutex.line.push_back(p);
        }
        let until = self.cpus[cpu].irq.next_event().max(self.now());
        self.cpus[cpu].spins = true;
        self.suspend_until(until);
        self.cpus[cpu].spins = false;
        if self.rqs[cpu].need_resched {
            self.mutexes.get(m).line.retain(|q| *q != p);
        }
    }

    /// Gives up the mutex that the running task holds [__mutex_unlock_slowpath].
    pub(crate) fn mutex_unlock(&mut self, p: TaskId) {
        let Some(m) = self.task_mut(p).holds.take() else { return };
        self.keep_in_step();
        let mutex = self.mutexes.get(m);
        let first = mutex.waiters.front().copied();
        mutex.owner = first.filter(|_| mutex.handoff);
        mutex.handoff = false;
        self.poke_spinners(m);
        if let Some(q) = first {
            self.try_to_wake_up(q, 0);
        }
    }

    /// The owner of a mutex does not run any more: nobody spins for it.
    pub(crate) fn owner_stopped(&mut self, p: TaskId) {
        if let Some(m) = self.task(p).holds {
            self.poke_spinners(m);
        }
    }

    /// Those that spin look again.
    fn poke_spinners(&mut self, m: WaitQueueId) {
        let now = self.now();
        let mutex = self.mutexes.get(m);
        let spinners: Vec<TaskId> = mutex.line.iter().chain(mutex.waiters.front()).copied().collect();
        for q in spinners {
            let cpu = self.task(q).cpu;
            if self.rqs[cpu].curr == q && self.cpus[cpu].spins {
                self.exec.bring_forward(cpu, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use scxr_trace::{Checker, Rules};

    use crate::Machine;
    use crate::behavior::{Action, Call, TaskCx, TaskSpec};
    use crate::config::Config;
    use crate::cost::CostTable;
    use crate::ids::WaitQueueId;
    use crate::topology::Topology;

    const MS: u64 = 1_000_000;

    /// What happened to a mutex.
    #[derive(Default)]
    struct Seen {
        holders: u32,
        most: u32,
        times: Vec<u32>,
    }

    /// A task that takes the mutex again and again, holds it for a while, and computes in between.
    fn taker(me: usize, m: WaitQueueId, seen: Rc<RefCell<Seen>>) -> impl FnMut(&TaskCx) -> Action {
        let mut step = 0;
        move |_| {
            step = (step + 1) % 6;
            let mut seen = seen.borrow_mut();
            match step {
                1 => Action::Call(Call::PipeWrite),
                2 => Action::Lock(m),
                3 => {
                    seen.holders += 1;
                    seen.most = seen.most.max(seen.holders);
                    Action::Locked
                }
                4 => {
                    seen.times[me] += 1;
                    seen.holders -= 1;
                    Action::Unlock
                }
                _ => Action::Run(2_000 + 100 * me as u64),
            }
        }
    }

    /// Takers on a machine, for 200 ms: how often each had it, and how many waits there were.
    fn run(cpus: u32, n: usize, turn: u64) -> (Vec<u32>, u64) {
        let cost = CostTable { turn, pipe_write: 3_000, pipe_locked: 2_000, ..CostTable::default() };
        let rules = Rules { whole_time: true, ..Rules::default() };
        let checker = Rc::new(RefCell::new(Checker::new(rules)));
        let config = Config { cost, ..Config::default() };
        let mut machine = Machine::new(Topology::new(1, 1, cpus, 1), config, Box::new(Shared(Rc::clone(&checker))));
        let seen = Rc::new(RefCell::new(Seen { times: vec![0; n], ..Seen::default() }));
        let m = machine.wait_queue();
        (0..n).for_each(|i| machine.spawn(TaskSpec::new("taker", taker(i, m, Rc::clone(&seen)))));
        machine.run_until(200 * MS);
        let s = machine.state();
        let waits = s.all_tasks().into_iter().map(|p| s.task(p)).filter(|t| t.comm == "taker").map(|t| t.nvcsw).sum();
        assert_eq!(seen.borrow().most, 1, "{cpus} CPUs, {n} tasks");
        assert!(checker.borrow().violations().is_empty(), "{:?}", checker.borrow().violations());
        (seen.take().times, waits)
    }

    struct Shared(Rc<RefCell<Checker>>);

    impl scxr_trace::Sink for Shared {
        fn event(&mut self, t: u64, cpu: u32, kind: scxr_trace::EventKind) {
            self.0.borrow_mut().event(t, cpu, kind);
        }
    }

    #[test]
    fn one_task_holds_it_and_all_get_it() {
        for turn in [0, 50_000] {
            for (cpus, n) in [(1, 1), (1, 3), (2, 2), (2, 5), (4, 4), (8, 20)] {
                let (times, _) = run(cpus, n, turn);
                let most = *times.iter().max().unwrap();
                assert!(times.iter().all(|t| *t * 50 > most), "{cpus} CPUs, turn {turn}: {times:?}");
            }
        }
    }

    #[test]
    fn who_finds_the_owner_running_spins_and_sleeps_otherwise() {
        // As many CPUs as tasks: the owner always runs. More tasks: it is preempted with the mutex now and then.
        let (_, spins) = run(4, 4, 0);
        let (_, sleeps) = run(1, 4, 0);
        assert!(spins == 0 && sleeps > 0, "{spins} {sleeps}");
    }
}
