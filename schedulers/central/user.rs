//! central, the user-space half: its options.

use scxr_runtime::{Opt, Setting, Takes};

/// Name of the scheduler.
pub const NAME: &str = "central";

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt {
        long: "slice",
        short: Some('s'),
        takes: Takes::Time,
        default: 20_000_000,
        help: "time after which a task makes room, if another waits",
    },
    Opt { long: "cpu", short: Some('c'), takes: Takes::Number, default: 0, help: "number of the CPU that decides" },
    Opt {
        long: "interval",
        short: Some('i'),
        takes: Takes::Time,
        default: 1_000_000,
        help: "how often that CPU looks who ran for long enough",
    },
];

/// The variables that they set.
pub const SETTINGS: &[Setting] = &[
    Setting { option: "slice", variable: "slice" },
    Setting { option: "cpu", variable: "central_cpu" },
    Setting { option: "interval", variable: "interval" },
];
