//! What a run came to, to compare two of them.

use serde_json::Value;

/// Figures of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) switches: u64,
    /// CPU time of the workload's tasks.
    pub(crate) busy_ns: u64,
    /// Operations a second of the workload's.
    pub(crate) work: f64,
    /// From a wakeup to when the task runs, ns: 99 %.
    pub(crate) wakeup_p99: u64,
}

impl Measured {
    /// Those of a run whose scheduler was there to the end.
    pub(crate) fn of(report: &Value) -> Measured {
        assert_eq!(report["exit"]["kind"], "none", "{}", report["exit"]);
        let tasks = report["tasks"].as_array().expect("tasks");
        Measured {
            switches: report["totals"]["context_switches"].as_u64().expect("a number"),
            busy_ns: tasks.iter().filter_map(|t| t["cpu_ns"].as_u64()).sum(),
            work: report["work"]["per_second"].as_f64().expect("a number"),
            wakeup_p99: report["latency_ns"]["wakeup"]["p99"].as_u64().expect("a number"),
        }
    }

    /// As much is done as by the other, or nine tenths of it. What is done in less time is no worse.
    pub(crate) fn as_much_as(&self, other: &Measured) -> bool {
        self.busy_ns * 10 >= other.busy_ns * 9 || self.work > other.work
    }

    pub(crate) fn row(&self) -> String {
        let (busy, p99) = (self.busy_ns / 1_000_000, self.wakeup_p99 / 1_000);
        format!("({}) {busy} ms, {:.0}/s, {p99} us", self.switches, self.work)
    }
}
