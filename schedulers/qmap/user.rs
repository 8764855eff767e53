//! qmap, the user-space half: its options.

use scxr_runtime::{Opt, Setting, Takes};

/// Name of the scheduler.
pub const NAME: &str = "qmap";

/// An option that takes a count, which is 0 where it is not given.
const fn count(long: &'static str, help: &'static str) -> Opt {
    Opt { long, short: None, takes: Takes::Number, default: 0, help }
}

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt { long: "slice", short: Some('s'), takes: Takes::Time, default: 20_000_000, help: "length of a slice" },
    Opt { long: "batch", short: Some('b'), takes: Takes::Number, default: 1, help: "tasks that a dispatch takes out" },
    Opt {
        long: "highpri",
        short: Some('H'),
        takes: Takes::Nothing,
        default: 0,
        help: "tasks of nice -20 go before all others",
    },
    Opt {
        long: "print",
        short: Some('P'),
        takes: Takes::Nothing,
        default: 0,
        help: "trace the shared queue, once a second",
    },
    count("disallow", "process that may not be SCHED_EXT, by id; 0: none"),
    count("drop-user", "fault: forget every N-th user task; 0: none"),
    count("drop-kernel", "fault: forget every N-th kernel thread; 0: none"),
    count("error-after", "fault: an error after N enqueued tasks; 0: none"),
    count("loop-after", "fault: dispatch for ever after N dispatched tasks; 0: no"),
];

/// The variables that they set.
pub const SETTINGS: &[Setting] = &[
    Setting { option: "slice", variable: "slice" },
    Setting { option: "batch", variable: "batch" },
    Setting { option: "highpri", variable: "highpri" },
    Setting { option: "print", variable: "print_shared" },
    Setting { option: "disallow", variable: "disallow_tgid" },
    Setting { option: "drop-user", variable: "drop_user_nth" },
    Setting { option: "drop-kernel", variable: "drop_kernel_nth" },
    Setting { option: "error-after", variable: "error_after" },
    Setting { option: "loop-after", variable: "loop_after" },
];
