//! Random streams with names, so that one more draw in a task never shifts another's.

use rand_core::RngCore;
use rand_pcg::Pcg32;
use scxr_kernel::ids::Ns;

use crate::ir::Dur;

/// The random stream of one task.
#[derive(Debug)]
pub(crate) struct Stream(Pcg32);

impl Stream {
    /// The stream `name` of a run with `seed`.
    pub(crate) fn new(seed: u64, name: &str) -> Stream {
        let mix = |start: u64| {
            name.bytes().chain(seed.to_le_bytes()).fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
        };
        Stream(Pcg32::new(mix(0xcbf2_9ce4_8422_2325), mix(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number from 0 to `bound` - 1, by multiplication (the bias of 2^-64 · bound is of no account here).
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An exponential variate with mean 1, as a fixed-point number with 32 fraction bits. Integers only, so that every
    /// host draws the same: von Neumann's method compares uniform numbers ("Various techniques used in connection with
    /// random digits", 1951): the length of a falling run that starts at u is odd with probability exp(-u).
    fn exp_q32(&mut self) -> u64 {
        for whole in 0..10 {
            let first = self.0.next_u32();
            let (mut last, mut length) = (first, 1u32);
            loop {
                let u = self.0.next_u32();
                if u >= last {
                    break;
                }
                last = u;
                length += 1;
            }
            if length % 2 == 1 {
                return (whole << 32) + u64::from(first);
            }
        }
        10 << 32
    }

    /// Draws a length of time.
    pub(crate) fn draw(&mut self, dur: Dur) -> Ns {
        match dur {
            Dur::Fixed(ns) => ns,
            Dur::Uniform(lo, hi) => lo + self.below(hi.saturating_sub(lo).saturating_add(1)),
            Dur::Exp(mean) => ((u128::from(mean) * u128::from(self.exp_q32())) >> 32) as Ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(dur: Dur) -> u64 {
        let mut s = Stream::new(7, "mean");
        (0..20_000).map(|_| s.draw(dur)).sum::<u64>() / 20_000
    }

    #[test]
    fn means_are_right() {
        for (dur, low, high) in
            [(Dur::Fixed(1000), 1000, 1000), (Dur::Uniform(0, 2000), 980, 1020), (Dur::Exp(1000), 975, 1025)]
        {
            let m = mean(dur);
            assert!((low..=high).contains(&m), "{dur:?}: {m}");
        }
    }

    #[test]
    fn exponential_tail_is_right() {
        let mut s = Stream::new(1, "tail");
        let over = (0..20_000).filter(|_| s.draw(Dur::Exp(1000)) > 3000).count();
        // exp(-3) = 4.98 %
        assert!((900..1100).contains(&over), "{over}");
    }

    #[test]
    fn streams_differ_by_name_and_seed_only() {
        let first = |seed, name: &str| Stream::new(seed, name).draw(Dur::Uniform(0, u64::MAX - 1));
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }
}
