//! Preemptions that are not the scheduler's doing.

use std::collections::BTreeMap;

use scxr_trace::{EventKind, SwitchOut};

/// Counts how often a task of the workload goes on where it was preempted after none but tasks of the system ran there.
#[derive(Debug, Default)]
pub(crate) struct Interference {
    /// Tasks of the workload that were preempted and not seen since, by CPU.
    preempted: BTreeMap<u32, u32>,
    nr: u64,
}

impl Interference {
    /// Takes an event; `own`: is a task of the workload.
    pub(crate) fn see(&mut self, cpu: u32, kind: &EventKind, own: impl Fn(u32) -> bool) {
        match kind {
            EventKind::SwitchOut { pid, why: SwitchOut::Preempted, .. } if own(*pid) => {
                self.preempted.insert(cpu, *pid);
            }
            EventKind::SwitchIn { pid } if own(*pid) => {
                self.nr += u64::from(self.preempted.remove(&cpu) == Some(*pid));
            }
            _ => {}
        }
    }

    /// How often that was.
    pub(crate) fn nr(&self) -> u64 {
        self.nr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_task_on_the_same_cpu_counts() {
        let mut i = Interference::default();
        let out = |pid| EventKind::SwitchOut { pid, why: SwitchOut::Preempted, ran_ns: 1 };
        let on = |pid| EventKind::SwitchIn { pid };
        // 1 and 2 are the workload's, 9 is the system's.
        for (cpu, kind, nr) in [
            (0, out(1), 0),
            (0, on(9), 0),
            (0, out(9), 0),
            (0, on(1), 1),
            (0, out(1), 1),
            (0, on(2), 1),
            (0, out(2), 1),
            (1, on(2), 1),
            (0, on(9), 1),
            (0, on(1), 1),
        ] {
            i.see(cpu, &kind, |pid| pid < 9);
            assert_eq!(i.nr(), nr, "{kind:?}");
        }
    }
}
