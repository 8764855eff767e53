//! What is printed once a second where a scheduler just schedules this machine: CPU use, switches, the class's counters, and
//! what the scheduler counts itself.

use std::collections::BTreeMap;

use scxr_host::{Exit, Sample};
use scxr_runtime::Stats;

use super::report::globals;
use crate::report::units::{count, percent, time};
use crate::report::{self, human};
use crate::resolve::Request;
use crate::scheduler::Scheduler;
use crate::session::{FIGURES_MAX, StatsJson, numbers};

/// How the kernel's names of its counters begin.
const PREFIX: &str = "SCX_EV_";

/// Prints, and remembers the second before.
pub(super) struct Seconds<'a> {
    scheduler: &'a Scheduler,
    /// One JSON object is to be printed, and nothing else.
    silent: bool,
    /// There is no workload, and so no end that anybody waits for.
    endless: bool,
    before: BTreeMap<String, i128>,
}

impl Seconds<'_> {
    pub(super) fn new<'a>(scheduler: &'a Scheduler, request: &Request) -> Seconds<'a> {
        Seconds { scheduler, silent: request.json, endless: !request.has_workload, before: BTreeMap::new() }
    }

    /// Prints a second.
    pub(super) fn show(&mut self, sample: &Sample) {
        if self.silent {
            return;
        }
        let figures = figures(self.scheduler, sample);
        // A reader who has gone is told at the end; the scheduler goes on.
        let _ = report::print(&line(sample, &self.before, &figures));
        self.before = figures;
    }

    /// Prints what the user-space half said of itself, where no report will.
    pub(super) fn stats(&mut self, stats: &Stats) {
        if self.silent || !self.endless {
            return;
        }
        // As for a second.
        let _ = report::print(&human::stats_line(&self.scheduler.name, &StatsJson::of(stats)));
    }

    /// Tells that the scheduler was started again.
    pub(super) fn restarted(&mut self, exit: &Exit) {
        self.before.clear();
        if !self.silent {
            report::note(&format!("started again, as the scheduler asked for: {} {}", exit.reason, exit.msg));
        }
    }
}

/// All that counts something: integers, elements of short arrays, per-CPU arrays as their sums.
fn figures(scheduler: &Scheduler, sample: &Sample) -> BTreeMap<String, i128> {
    let mut out: BTreeMap<String, i128> = sample.counters.iter().map(|(n, v)| (n.clone(), i128::from(*v))).collect();
    out.extend(numbers(&globals(scheduler, &sample.maps)));
    out
}

/// `12 s · CPU 37 % · 4,812 switches · stats[0] +4,312 · …`: what changed.
fn line(sample: &Sample, before: &BTreeMap<String, i128>, now: &BTreeMap<String, i128>) -> String {
    let (busy, all) = sample.busy;
    let mut parts = vec![
        time(sample.at_ns as f64),
        format!("CPU {}", percent(busy as f64 / all.max(1) as f64)),
        format!("{} switches", count(sample.switches)),
    ];
    let changed = now.iter().filter_map(|(name, value)| {
        let change = value - before.get(name).copied().unwrap_or(0);
        let name = name.strip_prefix(PREFIX).map_or(name.clone(), |n| n.to_lowercase());
        let size = count(u64::try_from(change.unsigned_abs()).unwrap_or(u64::MAX));
        (change != 0).then(|| format!("{name} {}{size}", if change > 0 { '+' } else { '-' }))
    });
    parts.extend(changed.take(FIGURES_MAX));
    parts.join(" · ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_changed() {
        let sample = Sample { at_ns: 3_000_000_000, busy: (50, 200), switches: 4812, ..Sample::default() };
        let of = |list: &[(&str, i128)]| list.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
        let before = of(&[("SCX_EV_X_Y", 1), ("a", 5), ("same", 2)]);
        let now = of(&[("SCX_EV_X_Y", 1001), ("a", 2), ("b[1]", 7), ("same", 2)]);
        assert_eq!(
            line(&sample, &before, &now),
            "3.00 s · CPU 25.0 % · 4,812 switches · x_y +1,000 · a -3 · b[1] +7\n"
        );
    }
}
