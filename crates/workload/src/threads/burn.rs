//! Computing for a given amount of work.

use std::hint::black_box;

use super::sys::monotonic_ns;

/// Iterations of one measurement.
const SAMPLE: u64 = 200_000;
/// Measurements; the fastest counts, since anything that interferes makes one slower.
const SAMPLES: u32 = 7;

/// How fast a CPU of this machine computes: iterations of [`Speed::burn`]'s loop in 2^20 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u64);

impl Speed {
    /// Measures it on the CPU on which the caller runs. On a machine of instruction-counted time it is the same each time.
    pub fn measure() -> Speed {
        let sample = |_| {
            let from = monotonic_ns();
            iterate(SAMPLE);
            monotonic_ns() - from
        };
        let ns = (0..SAMPLES).map(sample).min().unwrap_or(0).max(1);
        Speed((SAMPLE << 20) / ns)
    }

    /// Computes what a CPU at full speed needs `ns` for, however often it is interrupted meanwhile.
    pub(super) fn burn(self, ns: u64) {
        iterate(((u128::from(ns) * u128::from(self.0)) >> 20) as u64);
    }
}

#[inline(never)]
fn iterate(n: u64) {
    let mut x = n;
    for _ in 0..n {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
