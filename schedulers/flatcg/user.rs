//! flatcg, the user-space half: its options.

use scxr_runtime::{Opt, Setting, Takes};

/// Name of the scheduler.
pub const NAME: &str = "flatcg";

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt {
        long: "slice",
        short: Some('s'),
        takes: Takes::Time,
        default: 20_000_000,
        help: "how long a CPU stays with a cgroup, and the length of a task's slice",
    },
    Opt {
        long: "fifo",
        short: Some('f'),
        takes: Takes::Nothing,
        default: 0,
        help: "tasks of a cgroup first in, first out instead of by virtual time",
    },
];

/// The variables that they set.
pub const SETTINGS: &[Setting] =
    &[Setting { option: "slice", variable: "slice" }, Setting { option: "fifo", variable: "fifo" }];
