//! simple, the user-space half: its options.

use scxr_runtime::Opt;

/// Its options.
pub const OPTIONS: &[Opt] =
    &[Opt::flag("fifo", "first in, first out instead of by virtual time").short('f').sets("fifo_sched")];
