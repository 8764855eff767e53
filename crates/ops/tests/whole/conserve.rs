//! Work conservation, judged from events: a CPU that idles while a task that may run there waits in a queue that it serves.

use std::collections::BTreeMap;

use scxr_kernel::cost::CostTable;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::{CpuId, Ns};
use scxr_trace::EventKind;

const BUILTIN: u64 = 1 << 63;
const LOCAL_ON: u64 = 3 << 62;
/// From a CPU's last look at the queues to its idling, at most.
const IDLE_ENTRY_NS: Ns = 2_000;

/// The cost of a wake-up: an interrupt to the farthest CPU, the way out of the deepest idle state, one pass through the
/// scheduler, the switch; and each lock on the way passed on once by each other CPU.
pub(crate) fn wakeup_cost(c: &CostTable, nr_cpus: usize) -> Ns {
    const CALLBACKS: Ns = 8;
    const LOCKS: Ns = 4;
    let locks = LOCKS * nr_cpus as Ns * c.lock_handover[3];
    let wakeup = c.wakeup + c.enqueue + c.ipi_send + c.ipi_latency[3] + c.idle_exit_deep + c.interrupt;
    wakeup + c.schedule + c.context_switch + CALLBACKS * (c.callback + c.kfunc) + locks
}

/// The worst case so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Worst {
    /// How long the task waited and the CPU idled at the same time.
    pub(crate) ns: Ns,
    pub(crate) pid: u32,
    pub(crate) cpu: u32,
    pub(crate) dsq: u64,
    /// When that ended.
    pub(crate) t: Ns,
}

/// Listens to a run.
pub(crate) struct Conservation {
    idle_since: Vec<Option<Ns>>,
    /// Queue of each waiting task, and since when.
    waiting: BTreeMap<u32, (u64, Ns)>,
    /// When a CPU was last selected for each task.
    selected: BTreeMap<u32, Ns>,
    affinity: BTreeMap<u32, CpuMask>,
    pub(crate) worst: Worst,
}

impl Conservation {
    pub(crate) fn new(nr_cpus: usize) -> Conservation {
        Conservation {
            idle_since: vec![Some(0); nr_cpus],
            waiting: BTreeMap::new(),
            selected: BTreeMap::new(),
            affinity: BTreeMap::new(),
            worst: Worst::default(),
        }
    }

    pub(crate) fn event(&mut self, t: Ns, cpu: u32, kind: &EventKind) {
        match *kind {
            EventKind::Affinity { pid, ref cpus } => {
                self.affinity.insert(pid, CpuMask::parse(cpus).expect("a list of CPUs"));
            }
            EventKind::IdleIn => self.idle_since[cpu as usize] = Some(t),
            EventKind::IdleOut => self.busy(t, cpu),
            EventKind::Select { pid, .. } => _ = self.selected.insert(pid, t),
            EventKind::Insert { pid, dsq, .. } => self.wait(t, pid, dsq),
            EventKind::Move { pid, to, .. } => self.wait(t, pid, to),
            EventKind::SwitchIn { pid } => {
                self.busy(t, cpu);
                self.leave(t, pid);
            }
            // An enqueue is told after the insertion that it consisted of: it ends no wait.
            EventKind::Dequeue { pid, .. } | EventKind::Exit { pid } => self.leave(t, pid),
            EventKind::Disabled { .. } => self.waiting.clear(),
            _ => {}
        }
    }

    fn wait(&mut self, t: Ns, pid: u32, dsq: u64) {
        self.leave(t, pid);
        self.waiting.insert(pid, (dsq, t));
    }

    fn leave(&mut self, t: Ns, pid: u32) {
        let Some((dsq, since)) = self.waiting.remove(&pid) else { return };
        for cpu in 0..self.idle_since.len() as u32 {
            if let Some(idle) = self.idle_since[cpu as usize] {
                self.judge(t, pid, dsq, since, cpu, idle);
            }
        }
    }

    fn busy(&mut self, t: Ns, cpu: u32) {
        let Some(idle) = self.idle_since[cpu as usize].take() else { return };
        let waiting: Vec<_> = self.waiting.iter().map(|(&pid, &(dsq, since))| (pid, dsq, since)).collect();
        for (pid, dsq, since) in waiting {
            self.judge(t, pid, dsq, since, cpu, idle);
        }
    }

    fn judge(&mut self, t: Ns, pid: u32, dsq: u64, since: Ns, cpu: u32, idle: Ns) {
        let serves = dsq & BUILTIN == 0 || dsq & LOCAL_ON == LOCAL_ON && dsq as u32 == cpu;
        let may = self.affinity.get(&pid).is_none_or(|m| m.test(CpuId(cpu)));
        let ns = t.saturating_sub(since.max(idle));
        // A CPU that looked for work after it was passed over as busy, and before the task was in the queue, has missed it: a
        // scheduler that kicks nobody leaves it at that.
        let missed = self.selected.get(&pid).is_some_and(|&at| at <= idle && idle <= since + IDLE_ENTRY_NS);
        if serves && may && !missed && ns > self.worst.ns {
            self.worst = Worst { ns, pid, cpu, dsq, t };
        }
    }
}
