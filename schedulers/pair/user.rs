//! pair, the user-space half: its options.

use scxr_runtime::{Opt, Setting, Takes};

/// Name of the scheduler.
pub const NAME: &str = "pair";

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt {
        long: "slice",
        short: Some('s'),
        takes: Takes::Time,
        default: 20_000_000,
        help: "how long a cgroup has a pair, if others wait",
    },
    Opt {
        long: "stride",
        short: Some('S'),
        takes: Takes::Number,
        default: 0,
        help: "how far the two CPUs of a pair are apart; 0: half the machine",
    },
];

/// The variables that they set.
pub const SETTINGS: &[Setting] =
    &[Setting { option: "slice", variable: "slice" }, Setting { option: "stride", variable: "stride" }];
