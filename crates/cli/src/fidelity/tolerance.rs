//! How close two figures have to be to agree. The numbers are in a file, written before the runs; verdicts follow from
//! them alone.

use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// The built-in tolerances.
const DEFAULT: &str = include_str!("../../fidelity/tolerances.toml");
/// A p99 needs so many times the samples of a median.
const P99_SAMPLES: u64 = 5;

/// What a figure is, and so how close it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of the whole, 0 to 1.
    Share,
    /// A number of things.
    Count,
    /// A time in ns of so many samples.
    Latency {
        /// Samples of the side that has fewer.
        samples: u64,
        /// Is it the 99th percentile?
        p99: bool,
    },
    /// A number that has to be the same.
    Exact,
}

/// Whether both sides agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Agree,
    Differ,
    /// There was too little to count.
    NotMeasured,
}

/// Of shares.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Share {
    points: f64,
}

impl Default for Share {
    fn default() -> Self {
        Share { points: 2.0 }
    }
}

/// Of counts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Count {
    percent: f64,
    least: u64,
}

impl Default for Count {
    fn default() -> Self {
        Count { percent: 10.0, least: 20 }
    }
}

/// Of latencies.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Latency {
    percent: f64,
    us: f64,
    samples: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { percent: 25.0, us: 20.0, samples: 20 }
    }
}

/// Of one figure.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Figure {
    points: Option<f64>,
    percent: Option<f64>,
    us: Option<f64>,
}

/// All tolerances.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tolerances {
    share: Share,
    count: Count,
    latency: Latency,
    figure: IndexMap<String, Figure>,
}

impl Tolerances {
    /// Those of a file; without one the built-in ones.
    pub(super) fn read(path: Option<&Path>) -> Result<Tolerances> {
        let Some(path) = path else { return Tolerances::parse(DEFAULT).map_err(Failure::input) };
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e))?;
        Tolerances::parse(&text).map_err(|e| Failure::input(format_args!("--tolerance {}: {e}", path.display())))
    }

    fn parse(text: &str) -> Result<Tolerances, String> {
        let all: Tolerances = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let figures = all.figure.values().flat_map(|f| [f.points, f.percent, f.us]).flatten();
        let numbers = [all.share.points, all.count.percent, all.latency.percent, all.latency.us];
        match figures.chain(numbers).find(|n| !n.is_finite() || *n < 0.0) {
            Some(n) => Err(format!("{n} is no tolerance: a number from 0 on is one")),
            None => Ok(all),
        }
    }

    /// Do the figures of both sides agree?
    pub(super) fn verdict(&self, figure: &str, kind: Kind, a: f64, b: f64) -> Verdict {
        let own = self.figure.get(figure).copied().unwrap_or_default();
        let part = |percent: f64| (a - b).abs() <= own.percent.unwrap_or(percent) / 100.0 * a.abs().max(b.abs());
        let agree = match kind {
            Kind::Share => 100.0 * (a - b).abs() <= own.points.unwrap_or(self.share.points),
            Kind::Count if a.max(b) < self.count.least as f64 => return Verdict::NotMeasured,
            Kind::Count => part(self.count.percent),
            Kind::Latency { samples, p99 } => {
                let needed = self.latency.samples * if p99 { P99_SAMPLES } else { 1 };
                if samples < needed {
                    return Verdict::NotMeasured;
                }
                part(self.latency.percent) || (a - b).abs() <= 1000.0 * own.us.unwrap_or(self.latency.us)
            }
            Kind::Exact => a == b,
        };
        if agree { Verdict::Agree } else { Verdict::Differ }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_decide() {
        use Verdict::{Agree, Differ, NotMeasured};
        let of = Tolerances::read(None).unwrap();
        let median = |samples| Kind::Latency { samples, p99: false };
        let p99 = |samples| Kind::Latency { samples, p99: true };
        for (kind, a, b, expect) in [
            (Kind::Share, 0.25, 0.269, Agree),
            (Kind::Share, 0.25, 0.28, Differ),
            (Kind::Count, 100.0, 91.0, Agree),
            (Kind::Count, 100.0, 89.0, Differ),
            (Kind::Count, 19.0, 0.0, NotMeasured),
            (median(20), 1e6, 1.3e6, Agree),
            (median(20), 1e6, 1.4e6, Differ),
            (median(20), 1e3, 20e3, Agree),
            (median(19), 1e3, 1e6, NotMeasured),
            (p99(99), 1e3, 1e6, NotMeasured),
            (p99(100), 1e3, 1e6, Differ),
            (Kind::Exact, 0.0, 1.0, Differ),
        ] {
            assert_eq!(of.verdict("x", kind, a, b), expect, "{kind:?} {a} {b}");
        }
    }

    #[test]
    fn a_file_says_what_differs() {
        let of = Tolerances::parse("[count]\npercent = 1\n[figure.blocked]\npercent = 50").unwrap();
        assert_eq!(of.verdict("blocked", Kind::Count, 100.0, 60.0), Verdict::Agree);
        assert_eq!(of.verdict("preempted", Kind::Count, 100.0, 95.0), Verdict::Differ);
        assert_eq!(of.verdict("share", Kind::Share, 0.5, 0.51), Verdict::Agree);
        for (text, why) in [
            ("[count]\npercent = -1", "is no tolerance"),
            ("[count]\npercents = 1", "unknown field"),
            ("[counts]", "unknown field"),
            ("[figure.x]\nus = nan", "is no tolerance"),
        ] {
            let e = Tolerances::parse(text).unwrap_err();
            assert!(e.contains(why), "{text}: {e}");
        }
    }
}
