//! Sets of CPUs.

use std::fmt;

use crate::ids::CpuId;

/// Most CPUs that a machine can have.
pub const MAX_CPUS: usize = 1024;
const WORDS: usize = MAX_CPUS / 64;

/// A set of CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuMask {
    bits: [u64; WORDS],
}

impl CpuMask {
    /// The empty set.
    pub const EMPTY: CpuMask = CpuMask { bits: [0; WORDS] };

    /// CPUs 0 to `n` - 1.
    pub fn first_n(n: usize) -> CpuMask {
        (0..n as u32).map(CpuId).collect()
    }

    /// One CPU.
    pub fn of(cpu: CpuId) -> CpuMask {
        let mut m = CpuMask::EMPTY;
        m.set(cpu);
        m
    }

    /// The words, lowest CPUs first, as the kernel lays a cpumask out.
    pub fn words(&self) -> &[u64] {
        &self.bits
    }

    /// The words, for writing.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.bits
    }

    /// Is `cpu` in the set?
    #[inline]
    pub fn test(&self, cpu: CpuId) -> bool {
        self.bits.get(cpu.idx() / 64).is_some_and(|w| w >> (cpu.0 % 64) & 1 != 0)
    }

    /// Adds `cpu`.
    #[inline]
    pub fn set(&mut self, cpu: CpuId) {
        self.bits[cpu.idx() / 64] |= 1 << (cpu.0 % 64);
    }

    /// Removes `cpu`.
    #[inline]
    pub fn clear(&mut self, cpu: CpuId) {
        self.bits[cpu.idx() / 64] &= !(1 << (cpu.0 % 64));
    }

    /// Number of CPUs in the set.
    pub fn weight(&self) -> usize {
        self.bits.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|&w| w == 0)
    }

    /// Lowest CPU.
    pub fn first(&self) -> Option<CpuId> {
        self.next_from(0)
    }

    /// Lowest CPU at or above `from`.
    pub fn next_from(&self, from: u32) -> Option<CpuId> {
        let mut at = from as usize / 64;
        if at >= WORDS {
            return None;
        }
        let mut word = self.bits[at] & (u64::MAX << (from % 64));
        loop {
            if word != 0 {
                return Some(CpuId((at * 64) as u32 + word.trailing_zeros()));
            }
            at += 1;
            if at == WORDS {
                return None;
            }
            word = self.bits[at];
        }
    }

    /// First CPU strictly after `cursor`, wrapping to the lowest [cpumask_any_distribute].
    pub fn next_wrap(&self, cursor: u32) -> Option<CpuId> {
        self.next_from(cursor + 1).or_else(|| self.first())
    }

    /// Members of both.
    #[inline]
    pub fn and(&self, other: &CpuMask) -> CpuMask {
        self.zip(other, |a, b| a & b)
    }

    /// Members of either.
    pub fn or(&self, other: &CpuMask) -> CpuMask {
        self.zip(other, |a, b| a | b)
    }

    /// Members of `self` that are not in `other`.
    pub fn and_not(&self, other: &CpuMask) -> CpuMask {
        self.zip(other, |a, b| a & !b)
    }

    /// Members of exactly one.
    pub fn xor(&self, other: &CpuMask) -> CpuMask {
        self.zip(other, |a, b| a ^ b)
    }

    /// Have they a member in common?
    #[inline]
    pub fn intersects(&self, other: &CpuMask) -> bool {
        self.bits.iter().zip(&other.bits).any(|(a, b)| a & b != 0)
    }

    /// Is every member of `self` in `other`?
    pub fn subset_of(&self, other: &CpuMask) -> bool {
        self.bits.iter().zip(&other.bits).all(|(a, b)| a & !b == 0)
    }

    /// Members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let cpu = self.next_from(from)?;
            from = cpu.0 + 1;
            Some(cpu)
        })
    }

    #[inline]
    fn zip(&self, other: &CpuMask, f: impl Fn(u64, u64) -> u64) -> CpuMask {
        let mut bits = [0; WORDS];
        for (i, w) in bits.iter_mut().enumerate() {
            *w = f(self.bits[i], other.bits[i]);
        }
        CpuMask { bits }
    }

    /// In hexadecimal, 32 bits a group, for a machine of `nr` CPUs [%*pb].
    pub fn hex(&self, nr: usize) -> String {
        let word = |group: usize| (self.words()[group / 2] >> (group % 2 * 32)) as u32;
        let groups = nr.div_ceil(32).max(1);
        let first = nr - (groups - 1) * 32;
        let mut out = format!("{:0width$x}", word(groups - 1), width = first.div_ceil(4).max(1));
        for group in (0..groups - 1).rev() {
            out += &format!(",{:08x}", word(group));
        }
        out
    }

    /// Reads a list such as `0-3,8` (the format of `taskset -c`).
    pub fn parse(list: &str) -> Result<CpuMask, String> {
        let mut mask = CpuMask::EMPTY;
        let number = |s: &str| {
            let n: u32 = s.trim().parse().map_err(|_| format!("'{s}' in the CPU list '{list}' is not a number"))?;
            if n as usize >= MAX_CPUS {
                return Err(format!(
                    "CPU {n} in the list '{list}' is above the most that can be modelled ({})",
                    MAX_CPUS - 1
                ));
            }
            Ok(n)
        };
        for part in list.split(',') {
            let (lo, hi) = match part.split_once('-') {
                Some((a, b)) => (number(a)?, number(b)?),
                None => (number(part)?, number(part)?),
            };
            if lo > hi {
                return Err(format!("the range '{part}' in the CPU list '{list}' runs backwards"));
            }
            (lo..=hi).for_each(|n| mask.set(CpuId(n)));
        }
        Ok(mask)
    }
}

impl FromIterator<CpuId> for CpuMask {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut m = CpuMask::EMPTY;
        cpus.into_iter().for_each(|c| m.set(c));
        m
    }
}

impl fmt::Display for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut first = true;
        while let Some(lo) = cpus.next() {
            let mut hi = lo;
            while cpus.peek().is_some_and(|c| c.0 == hi.0 + 1) {
                hi = cpus.next().unwrap_or(hi);
            }
            let comma = if first { "" } else { "," };
            first = false;
            if lo == hi { write!(f, "{comma}{lo}")? } else { write!(f, "{comma}{lo}-{hi}")? }
        }
        Ok(())
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_round_trip() {
        for (list, shown) in
            [("0", "0"), ("0-3,8", "0-3,8"), ("3,1,2", "1-3"), ("1023", "1023"), ("0,2,4-5", "0,2,4-5")]
        {
            assert_eq!(CpuMask::parse(list).unwrap().to_string(), shown);
        }
        for bad in ["", "a", "3-1", "1024", "1-"] {
            assert!(CpuMask::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrap_goes_past_the_cursor_first() {
        let m = CpuMask::parse("0,5,64").unwrap();
        let next = |c| m.next_wrap(c).unwrap().0;
        assert_eq!([next(0), next(5), next(63), next(64), next(900)], [5, 64, 64, 0, 0]);
        assert_eq!(CpuMask::EMPTY.next_wrap(0), None);
    }
}
