//! Topological CPU ids, which Linux 7.2 has: numbers in the order of nodes, last-level caches and cores; and sets of them.

use crate::backend::cell::{Field, opaque};
use crate::backend::kernel;
use crate::{Cpu, KickFlags, MapCell, MapValue};

/// A CPU's number in the order of the machine's topology: CPUs of a core, of a cache and of a node are next to each other. All functions give
/// `None` where the kernel has no such numbers (before 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Cid(pub i32);

/// Where a [`Cid`] is, in cids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidTopo {
    /// Its core.
    pub core: CidUnit,
    /// Its last-level cache.
    pub llc: CidUnit,
    /// Its node.
    pub node: CidUnit,
}

/// A core, cache or node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidUnit {
    /// The first cid of it; -1: it is not known.
    pub first: Cid,
    /// Its number among its like, in the order of cids; -1: it is not known.
    pub index: i32,
}

impl Cid {
    #[inline(always)]
    fn found(cid: i32) -> Option<Self> {
        if cid >= 0 { Some(Self(cid)) } else { None }
    }

    /// How many there are: all are below (`scx_bpf_nr_cids`).
    #[inline(always)]
    pub fn nr_ids() -> Option<u32> {
        kernel::nr_cids()
    }

    /// How many are online (`scx_bpf_nr_online_cids`).
    #[inline(always)]
    pub fn nr_online() -> Option<u32> {
        kernel::nr_online_cids()
    }

    /// That of the CPU that the operation runs on (`scx_bpf_this_cid`).
    #[inline(always)]
    pub fn current() -> Option<Self> {
        Self::found(kernel::this_cid())
    }

    /// That of a CPU (`scx_bpf_cpu_to_cid`); an invalid CPU ends the scheduler.
    #[inline(always)]
    pub fn of(cpu: Cpu) -> Option<Self> {
        Self::found(kernel::cpu_to_cid(cpu.0))
    }

    /// The CPU (`scx_bpf_cid_to_cpu`); an invalid cid ends the scheduler.
    #[inline(always)]
    pub fn cpu(self) -> Option<Cpu> {
        Cpu::found(kernel::cid_to_cpu(self.0))
    }

    /// Makes the CPU look again (`scx_bpf_kick_cid`); `false`: the kernel has no such function.
    #[inline(always)]
    pub fn kick(self, flags: KickFlags) -> bool {
        kernel::kick_cid(self.0, flags.0)
    }

    /// The performance that its CPU can have, of 1024 for the fastest one (`scx_bpf_cidperf_cap`).
    #[inline(always)]
    pub fn perf_cap(self) -> Option<u32> {
        kernel::cidperf_cap(self.0)
    }

    /// Its CPU's performance now, of 1024 for its own greatest (`scx_bpf_cidperf_cur`).
    #[inline(always)]
    pub fn perf_cur(self) -> Option<u32> {
        kernel::cidperf_cur(self.0)
    }

    /// Asks for a performance, of 1024 for its CPU's own greatest (`scx_bpf_cidperf_set`); `false`: the kernel has no such function.
    #[inline(always)]
    pub fn set_perf(self, perf: u32) -> bool {
        kernel::cidperf_set(self.0, perf)
    }

    /// The task that runs there (`scx_bpf_cid_curr`). In an operation that may sleep: only under [`Rcu`](crate::Rcu).
    #[inline(always)]
    pub fn curr<'a>(self) -> Option<crate::Task<'a>> {
        kernel::cid_curr(self.0).map(crate::Task::__new)
    }

    /// Where it is (`scx_bpf_cid_topo`).
    #[inline(always)]
    pub fn topo(self) -> Option<CidTopo> {
        let [core, core_nr, llc, llc_nr, node, node_nr] = kernel::cid_topo(self.0)?;
        let unit = |first, index| CidUnit { first: Self(first), index };
        Some(CidTopo { core: unit(core, core_nr), llc: unit(llc, llc_nr), node: unit(node, node_nr) })
    }
}

/// A set of cids that maps hold in place: `WORDS` (a power of two) times 64 of them, from 0. Each change of one is atomic.
#[derive(Debug)]
#[repr(C)]
pub struct CidMask<const WORDS: usize> {
    bits: [Field<u64>; WORDS],
}

impl<const WORDS: usize> MapValue for CidMask<WORDS> {
    type Cell = Self;
}

impl<const WORDS: usize> MapCell for CidMask<WORDS> {
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    const ZERO: Self = Self { bits: [const { Field::new(0) }; WORDS] };
    #[cfg(not(bpf))]
    fn put(&self, bytes: &mut [u8]) {
        self.bits.put(bytes);
    }
}

impl<const WORDS: usize> CidMask<WORDS> {
    #[inline(always)]
    fn word(&self, cid: Cid) -> Option<(&Field<u64>, u64)> {
        const { assert!(WORDS.is_power_of_two(), "the number of words must be a power of two") };
        let at = cid.0 as u32;
        if at >= 64 * WORDS as u32 {
            return None;
        }
        // the verifier wants to see the bound where the address is made
        let at = opaque(at) & (64 * WORDS as u32 - 1);
        Some((self.bits.get((at / 64) as usize)?, 1 << (at % 64)))
    }

    /// Sets 64 of them at once.
    #[inline(always)]
    pub(crate) fn set_word(&self, at: usize, bits: u64) {
        if let Some(word) = self.bits.get(at) {
            word.set(bits);
        }
    }

    /// Puts `cid` in; was it in? One that has no place is not.
    #[inline(always)]
    pub fn set(&self, cid: Cid) -> bool {
        self.word(cid).is_some_and(|(word, bit)| word.fetch_or(bit) & bit != 0)
    }

    /// Takes `cid` out; was it in?
    #[inline(always)]
    pub fn clear(&self, cid: Cid) -> bool {
        self.word(cid).is_some_and(|(word, bit)| word.fetch_and(!bit) & bit != 0)
    }

    /// Is `cid` in?
    #[inline(always)]
    pub fn test(&self, cid: Cid) -> bool {
        self.word(cid).is_some_and(|(word, bit)| word.get() & bit != 0)
    }

    /// The first in it.
    #[inline(always)]
    pub fn first(&self) -> Option<Cid> {
        let mut from = 0;
        for word in &self.bits {
            let bits = word.get();
            if bits != 0 {
                return Some(Cid(from + trailing_zeros(bits)));
            }
            from += 64;
        }
        None
    }

    /// The first that is in both.
    #[inline(always)]
    pub fn first_and(&self, other: &Self) -> Option<Cid> {
        let mut from = 0;
        for (word, also) in self.bits.iter().zip(&other.bits) {
            let bits = word.get() & also.get();
            if bits != 0 {
                return Some(Cid(from + trailing_zeros(bits)));
            }
            from += 64;
        }
        None
    }

    /// How many are in it.
    #[inline(always)]
    pub fn weight(&self) -> u32 {
        self.bits.iter().map(|word| ones(word.get())).sum()
    }
}

/// Bits that are set, by halves: BPF has no instruction for it.
#[inline(always)]
const fn ones(bits: u64) -> u32 {
    let pairs = bits.wrapping_sub(bits >> 1 & 0x5555_5555_5555_5555);
    let fours = (pairs & 0x3333_3333_3333_3333).wrapping_add(pairs >> 2 & 0x3333_3333_3333_3333);
    let bytes = fours.wrapping_add(fours >> 4) & 0x0f0f_0f0f_0f0f_0f0f;
    (bytes.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

/// Zeros below the lowest bit that is set.
#[inline(always)]
const fn trailing_zeros(bits: u64) -> i32 {
    ones(!bits & bits.wrapping_sub(1)) as i32
}

#[cfg(all(test, not(bpf)))]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted() {
        for bits in [0, 1, 6, u64::MAX, 1 << 63, 0x8000_0001_0000_0000, 0x1234_5678_9abc_def0] {
            assert_eq!(ones(bits), bits.count_ones(), "{bits:#x}");
            if bits != 0 {
                assert_eq!(trailing_zeros(bits), bits.trailing_zeros() as i32, "{bits:#x}");
            }
        }
    }

    #[test]
    fn sets_of_cids() {
        let set = CidMask::<2>::ZERO;
        assert!(!set.set(Cid(65)) && set.set(Cid(65)) && !set.set(Cid(3)) && !set.set(Cid(128)) && !set.set(Cid(-1)));
        assert_eq!((set.weight(), set.first(), set.test(Cid(65)), set.test(Cid(64))), (2, Some(Cid(3)), true, false));
        assert!(set.clear(Cid(3)) && !set.clear(Cid(3)));
        assert_eq!(set.first(), Some(Cid(65)));
    }
}
