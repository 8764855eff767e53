//! Interrupts: inter-processor interrupts, irq work, timers, the tick.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::class::dl;
use crate::cost::CostTable;
use crate::executor::{Kernel, NEVER};
use crate::ext::SchedId;
use crate::ids::{CpuId, Ns, TaskId, WaitQueueId};
use crate::{ext, fair};

/// Inter-processor interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipi {
    /// Look at need_resched.
    Resched,
    /// Queue the tasks of the wake list.
    Wakeups,
    /// Run irq work queued here by another CPU.
    IrqWork(IrqWork),
    /// Balance on behalf of CPUs whose tick is stopped.
    NohzBalance,
    /// Something has come that needs the tick [nohz_full_kick_work].
    NohzFull,
    /// Start the timer of the slice [rq->hrtick_csd].
    Hrtick,
}

/// Work that runs as soon as interrupts are on again [irq_work].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqWork {
    /// Deliver the ext class's kicks.
    ScxKick,
    /// Run the ext class's deferred work.
    ScxDeferred,
    /// A scheduler exits: dump it and have the helper disable it.
    ScxDisable,
    /// Wake all that wait on a queue.
    Wake(WaitQueueId),
}

/// What a timer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Wake a sleeper, if it is still in the sleep with that number.
    Wake(TaskId, u64),
    /// End a timed wait likewise.
    WaitTimeout(TaskId, u64, WaitQueueId),
    /// The ext class's watchdog.
    ScxWatchdog,
    /// Balances the bypass queues of a scheduler of the ext class.
    ScxBypassLb(SchedId),
    /// A timer of a scheduler's own, by its number and that of the arming.
    ScxOwn(SchedId, u64, u64),
    /// New runtime for a deadline task, if the timer has that number still.
    Deadline(TaskId, u64),
    /// Bandwidth of a task that left the deadline class is free.
    DeadlineBandwidth(u64),
    /// A planned event, by number.
    Event(usize),
}

/// What kind of interrupt was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Tick,
    Other,
}

/// Interrupts and timers of a CPU.
#[derive(Debug)]
pub(crate) struct CpuIrq {
    /// Inter-processor interrupts under way, by time of arrival.
    ipis: VecDeque<(Ns, Ipi)>,
    works: VecDeque<IrqWork>,
    timers: BinaryHeap<Reverse<(Ns, u64, Timer)>>,
    timer_seq: u64,
    /// When the next tick comes; NEVER while it is stopped.
    pub(crate) next_tick: Ns,
    /// When the slice of the running fair task ends [rq->hrtick_timer]; NEVER while nothing is to be seen to then.
    pub(crate) hrtick: Ns,
    /// When a deadline server of this CPU is to be looked at; NEVER while none is.
    pub(crate) servers: Ns,
    /// A balancing softirq is pending.
    pub(crate) balance_softirq: bool,
}

impl Default for CpuIrq {
    fn default() -> Self {
        CpuIrq {
            ipis: VecDeque::new(),
            works: VecDeque::new(),
            timers: BinaryHeap::new(),
            timer_seq: 0,
            next_tick: NEVER,
            hrtick: NEVER,
            servers: NEVER,
            balance_softirq: false,
        }
    }
}

impl CpuIrq {
    /// Is such an interrupt under way?
    pub(crate) fn has_ipi(&self, ipi: Ipi) -> bool {
        self.ipis.iter().any(|&(_, i)| i == ipi)
    }

    fn add_ipi(&mut self, at: Ns, ipi: Ipi) {
        let pos = self.ipis.partition_point(|&(t, _)| t <= at);
        self.ipis.insert(pos, (at, ipi));
    }

    /// Takes the earliest timer away.
    pub(crate) fn pop_timer(&mut self) -> Option<Reverse<(Ns, u64, Timer)>> {
        self.timers.pop()
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Ns {
        let timer = self.timers.peek().map_or(NEVER, |Reverse((t, ..))| *t);
        timer.min(self.next_tick).min(self.hrtick).min(self.servers)
    }

    /// When the next interrupt comes.
    pub(crate) fn next_event(&self) -> Ns {
        if !self.works.is_empty() {
            return 0;
        }
        let ipi = self.ipis.front().map_or(NEVER, |&(t, _)| t);
        ipi.min(self.next_timer())
    }
}

impl Kernel {
    /// Interrupts `target`.
    pub(crate) fn send_ipi(&mut self, target: CpuId, ipi: Ipi) {
        let cost = self.cost.ipi_send;
        self.charge(cost);
        let me = self.this_cpu();
        let latency = CostTable::by_distance(&self.cost.ipi_latency, self.topology.distance(me, target));
        let at = self.now() + latency;
        self.cpus[target].irq.add_ipi(at, ipi);
        self.exec.bring_forward(target, at);
    }

    /// Queues work for this CPU [irq_work_queue].
    pub(crate) fn irq_work_queue(&mut self, work: IrqWork) {
        let me = self.this_cpu();
        let works = &mut self.cpus[me].irq.works;
        if !works.contains(&work) {
            works.push_back(work);
        }
    }

    /// Wakes all that wait on `queue` as soon as interrupts are on again: what code does that may hold any lock, such as that which
    /// fills a ring buffer for user space [bpf_ringbuf_notify].
    pub fn wake_soon(&mut self, queue: WaitQueueId) {
        self.irq_work_queue(IrqWork::Wake(queue));
    }

    /// Queues work for another CPU [irq_work_queue_on].
    pub(crate) fn irq_work_queue_on(&mut self, cpu: CpuId, work: IrqWork) {
        if cpu == self.this_cpu() {
            self.irq_work_queue(work);
        } else {
            self.send_ipi(cpu, Ipi::IrqWork(work));
        }
    }

    /// Starts a timer on this CPU.
    pub(crate) fn start_timer(&mut self, at: Ns, timer: Timer) {
        let me = self.this_cpu();
        self.start_timer_on(me, at, timer);
    }

    /// Starts a timer on a CPU.
    pub(crate) fn start_timer_on(&mut self, cpu: CpuId, at: Ns, timer: Timer) {
        let irq = &mut self.cpus[cpu].irq;
        irq.timer_seq += 1;
        irq.timers.push(Reverse((at, irq.timer_seq, timer)));
        if cpu != self.this_cpu() {
            let at = at.max(self.now());
            self.exec.bring_forward(cpu, at);
        }
    }

    /// Takes the interrupts that are due on this CPU, at most one tick among them. Those that come due meanwhile may be left
    /// for the next pass: the caller looks at need_resched in between, so that a CPU gets on however long they take.
    pub(crate) fn take_interrupts(&mut self) {
        let me = self.this_cpu();
        while self.cpus[me].irq.next_event() <= self.now() {
            self.cpus[me].in_irq = true;
            let taken = self.take_one();
            self.cpus[me].in_irq = false;
            if taken == Taken::Tick {
                break;
            }
        }
        if self.cpus[me].irq.balance_softirq {
            self.cpus[me].irq.balance_softirq = false;
            fair::run_rebalance_domains(self, me);
        }
    }

    fn take_one(&mut self) -> Taken {
        let me = self.this_cpu();
        let now = self.now();
        let (cost, exit, ipi_cost) = (self.cost.interrupt, self.cost.interrupt_exit, self.cost.ipi);
        let irq = &mut self.cpus[me].irq;
        if let Some(work) = irq.works.pop_front() {
            self.charge(ipi_cost);
            self.run_irq_work(work);
            return Taken::Other;
        }
        let timer_at = irq.timers.peek().map_or(NEVER, |Reverse((t, ..))| *t);
        match irq.ipis.front() {
            Some(&(t, ipi)) if t <= timer_at.min(irq.next_tick).min(irq.hrtick).min(irq.servers) => {
                irq.ipis.pop_front();
                self.charge(ipi_cost);
                self.run_ipi(ipi);
            }
            _ if irq.servers < timer_at.min(irq.next_tick).min(irq.hrtick) => {
                self.charge(cost);
                dl::servers_due(self, me);
                self.charge(exit);
            }
            _ if irq.hrtick < timer_at.min(irq.next_tick) => {
                irq.hrtick = NEVER;
                self.charge(cost);
                crate::class::hrtick(self, me);
                self.charge(exit);
            }
            _ if timer_at <= irq.next_tick => {
                if let Some(Reverse((_, _, timer))) = irq.timers.pop() {
                    self.charge(cost);
                    self.run_timer(timer);
                    self.charge(exit);
                }
            }
            _ => {
                debug_assert!(irq.next_tick <= now);
                self.sched_tick();
                return Taken::Tick;
            }
        }
        Taken::Other
    }

    fn run_ipi(&mut self, ipi: Ipi) {
        let me = self.this_cpu();
        match ipi {
            Ipi::Resched => {} // the flag is set already
            Ipi::Wakeups => self.sched_ttwu_pending(me),
            Ipi::IrqWork(work) => self.run_irq_work(work),
            Ipi::NohzBalance => fair::nohz_balance(self, me),
            Ipi::NohzFull => self.reevaluate_tick(me),
            Ipi::Hrtick => fair::hrtick_start(self, me),
        }
    }

    fn run_irq_work(&mut self, work: IrqWork) {
        let me = self.this_cpu();
        match work {
            IrqWork::ScxKick => ext::kick::deliver(self, me),
            IrqWork::ScxDeferred => ext::run_deferred_irq(self, me),
            IrqWork::ScxDisable => ext::disable_irq_work(self),
            IrqWork::Wake(queue) => self.wake_waiters(queue, u32::MAX, false),
        }
    }

    fn run_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Wake(p, seq) => {
                if self.find_task(p).is_some_and(|t| t.sleep_seq == seq) {
                    self.wake_up_process(p);
                }
            }
            Timer::WaitTimeout(p, seq, queue) => {
                if self.find_task(p).is_some_and(|t| t.sleep_seq == seq) && self.wait_queues.remove(queue, p) {
                    self.task_mut(p).timed_out = true;
                    self.wake_up_process(p);
                }
            }
            Timer::ScxWatchdog => ext::watchdog_timer(self),
            Timer::ScxBypassLb(sched) => ext::lb_timer(self, sched),
            Timer::ScxOwn(sched, id, seq) => ext::own_timer_due(self, sched, id, seq),
            Timer::Deadline(p, seq) => dl::task_timer(self, p, seq),
            Timer::DeadlineBandwidth(bandwidth) => dl::released(self, bandwidth),
            Timer::Event(i) => self.run_planned_event(i),
        }
    }
}
