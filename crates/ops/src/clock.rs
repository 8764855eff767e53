//! What clocks show to schedulers.
//!
//! A run begins at 0, and a real machine has been up for a while when a scheduler is loaded: one that asks whether a time has
//! passed since 0, as the first look at a zeroed variable does, gets "yes" there. So all clocks that programs, native policies
//! and user-space halves read, and all points in time in what the kernel tells them, begin at [`UPTIME`].

use scxr_kernel::ids::Ns;

/// What clocks show when a run begins, ns.
pub const UPTIME: Ns = 100_000_000_000;

/// What clocks show at time `at` of a run.
pub(crate) fn shown(at: Ns) -> u64 {
    at.saturating_add(UPTIME)
}

/// The same of a time that is 0 while there is none.
pub(crate) fn since(at: Ns) -> u64 {
    if at == 0 { 0 } else { shown(at) }
}

/// Time of the run at which clocks show `shown`.
pub(crate) fn meant(shown: u64) -> Ns {
    shown.saturating_sub(UPTIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for at in [0, 1, 5_000_000_000] {
            assert_eq!(meant(shown(at)), at);
        }
        assert_eq!((meant(0), shown(u64::MAX)), (0, u64::MAX));
    }
}
