//! pair, the user-space half: its options.

use scxr_runtime::{Ns, Opt};

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt::time("slice", Ns::from_ms(20), "how long a cgroup has a pair, if others wait").short('s').sets("slice"),
    Opt::cpu("stride", 0, "how far the two CPUs of a pair are apart; 0: half the machine").short('S').sets("stride"),
];
