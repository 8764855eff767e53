//! Computing for a given CPU time.
//!
//! What counts is the thread's own CPU time as its kernel accounts it, so that being preempted does not shorten the work.
//! The clock is read now and then only, as reading it is a system call: between two looks a loop runs whose speed was
//! measured, and is measured again with each look. A speed is no constant: in a guest of instruction-counted time all
//! CPUs share the instructions, and on other machines clocks and neighbours change it.

use std::hint::black_box;

use super::sys::{monotonic_ns, thread_ns};

/// Iterations of one measurement.
const SAMPLE: u64 = 100_000;
/// Measurements; the fastest counts, since anything that interferes makes one slower.
const SAMPLES: u32 = 5;
/// What is shorter is not checked against the clock, ns.
const UNCHECKED_NS: u64 = 5_000;
/// The speed is measured anew over the first part of each stretch, at most so long, ns.
const FIRST_NS: u64 = 40_000;

/// How fast a CPU computes: iterations of the loop in 2^20 ns.
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
        Speed::of(SAMPLE, (0..SAMPLES).map(sample).min().unwrap_or(0))
    }

    fn of(iterations: u64, ns: u64) -> Speed {
        Speed((iterations << 20) / ns.max(1))
    }

    fn iterations(self, ns: u64) -> u64 {
        ((u128::from(ns) * u128::from(self.0)) >> 20) as u64
    }

    /// Computes for `ns` of the calling thread's CPU time; keeps what was learnt of the speed.
    pub fn burn(&mut self, ns: u64) {
        if ns < UNCHECKED_NS {
            return iterate(self.iterations(ns));
        }
        let start = thread_ns();
        let (mut now, end) = (start, start + ns);
        let mut learnt = false;
        while now < end {
            let part = stretch(end - now, !learnt);
            let n = self.iterations(part).max(16);
            iterate(n);
            let then = thread_ns();
            if then > now && (!learnt || part > UNCHECKED_NS) {
                learnt = true;
                *self = Speed::of(n, then - now);
            }
            now = then;
        }
    }
}

/// How long a thread computes before it looks at its CPU time again, where `left` ns are left to compute, ns. It does not look
/// where that is all.
pub fn stretch(left: u64, first: bool) -> u64 {
    match left {
        left if left <= UNCHECKED_NS => left,
        left if first => left.min(FIRST_NS) / 2,
        // Half of what is left, so that a wrong idea of the speed does not lead past the end.
        left => left / 2,
    }
}

#[inline(never)]
fn iterate(n: u64) {
    let mut x = n;
    for _ in 0..n {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_burnt_whatever_was_measured() {
        for mut speed in [Speed::measure(), Speed(1), Speed(1 << 18)] {
            let from = thread_ns();
            speed.burn(2_000_000);
            assert!(thread_ns() - from >= 2_000_000);
        }
    }
}
