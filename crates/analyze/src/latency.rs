//! Latency histograms.

use hdrhistogram::Histogram;

use crate::report::Latency;

/// Longest latency that is told apart, ns (an hour).
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// A histogram with three significant digits, and the exact maximum and sum.
#[derive(Debug)]
pub(crate) struct Hist {
    hist: Histogram<u64>,
    sum: u128,
    max: u64,
}

impl Hist {
    pub(crate) fn new() -> Hist {
        let hist = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .expect("the bounds are constants that the histogram accepts");
        Hist { hist, sum: 0, max: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.hist.saturating_record(ns);
        self.sum += u128::from(ns);
        self.max = self.max.max(ns);
    }

    pub(crate) fn summary(&self) -> Latency {
        // A bucket's upper end may lie above the largest value that was seen.
        let at = |q| self.hist.value_at_quantile(q).min(self.max);
        let count = self.hist.len();
        Latency {
            count,
            mean: (self.sum / u128::from(count.max(1))) as u64,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max,
        }
    }
}
