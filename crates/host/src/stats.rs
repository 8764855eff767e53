//! What the system and its scheduler did in the last second, for who watches a scheduler that just schedules.

use std::fs;
use std::time::{Duration, Instant};

use crate::class;
use crate::loader::Loaded;
use crate::record::MapDump;

/// How often.
const EACH: Duration = Duration::from_secs(1);

/// One look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since when the run goes on, ns.
    pub at_ns: u64,
    /// CPU time of all CPUs since the look before: spent on tasks and interrupts, and all of it, in ticks of the kernel's.
    pub busy: (u64, u64),
    /// Context switches since then.
    pub switches: u64,
    /// The class's counters, since the scheduler was attached.
    pub counters: Vec<(String, i64)>,
    /// The scheduler's variables and per-CPU arrays.
    pub maps: Vec<MapDump>,
}

/// Looks once a second.
#[derive(Debug)]
pub(crate) struct Watch {
    next: Instant,
    before: Totals,
}

/// /proc/stat since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    busy: u64,
    all: u64,
    switches: u64,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch { next: Instant::now() + EACH, before: totals() }
    }

    /// A look, where it is time for one.
    pub(crate) fn look(&mut self, at_ns: u64, scheduler: Option<&Loaded>) -> Option<Sample> {
        if Instant::now() < self.next {
            return None;
        }
        // A look that is late does not make the next ones early.
        self.next = Instant::now() + EACH;
        let (now, before) = (totals(), self.before);
        self.before = now;
        let since = |now: u64, before: u64| now.saturating_sub(before);
        Some(Sample {
            at_ns,
            busy: (since(now.busy, before.busy), since(now.all, before.all)),
            switches: since(now.switches, before.switches),
            counters: class::events(),
            maps: scheduler.map(Loaded::maps).unwrap_or_default(),
        })
    }
}

fn totals() -> Totals {
    parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// `cpu` is followed by user, nice, system, idle, iowait, irq, softirq and steal time (proc_stat(5)).
fn parse(text: &str) -> Totals {
    let numbers = |key: &str| -> Vec<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("");
        line.split_whitespace().filter_map(|n| n.parse().ok()).collect()
    };
    let cpu = numbers("cpu ");
    let all: u64 = cpu.iter().take(8).sum();
    let idle: u64 = cpu.iter().skip(3).take(2).sum();
    Totals { busy: all - idle, all, switches: numbers("ctxt ").first().copied().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_off_proc_stat() {
        let text = "cpu  10 1 5 100 20 2 3 0 7 7\ncpu0 10 1 5 100 20 2 3 0 7 7\nintr 5\nctxt 1234\n";
        assert_eq!(parse(text), Totals { busy: 21, all: 141, switches: 1234 });
        assert_eq!(parse(""), Totals::default());
    }
}
