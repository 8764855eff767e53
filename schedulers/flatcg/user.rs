//! flatcg, the user-space half: its options.

use scxr_runtime::{Ns, Opt};

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt::time("slice", Ns::from_ms(20), "how long a CPU stays with a cgroup, and the length of a task's slice")
        .short('s')
        .sets("slice"),
    Opt::flag("fifo", "tasks of a cgroup first in, first out instead of by virtual time").short('f').sets("fifo"),
];
