//! Streams of random numbers.

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;

/// A random stream.
pub(crate) struct Random(Pcg32);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        Random(Pcg32::seed_from_u64(seed.wrapping_mul(1_000_003) ^ stream))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        u64::from(self.0.next_u32()) % n
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// One CPU, and some others.
    pub(crate) fn mask(&mut self, nr_cpus: u64) -> CpuMask {
        let mut mask = CpuMask::of(CpuId(self.below(nr_cpus) as u32));
        for cpu in 0..nr_cpus {
            if self.below(3) == 0 {
                mask.set(CpuId(cpu as u32));
            }
        }
        mask
    }
}
