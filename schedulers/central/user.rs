//! central, the user-space half: its options.

use scxr_runtime::{Ns, Opt};

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt::time("slice", Ns::from_ms(20), "time after which a task makes room, if another waits")
        .short('s')
        .sets("slice"),
    Opt::cpu("cpu", 0, "number of the CPU that decides").short('c').sets("central_cpu"),
    Opt::time("interval", Ns::from_ms(1), "how often that CPU looks who ran for long enough")
        .short('i')
        .within(50_000, 1_000_000_000)
        .sets("interval"),
];
