//! qmap, the user-space half: its options.

use scxr_runtime::{Ns, Opt};

/// Its options.
pub const OPTIONS: &[Opt] = &[
    Opt::time("slice", Ns::from_ms(20), "length of a slice").short('s').sets("slice"),
    Opt::number("batch", 1, "tasks that a dispatch takes out").short('b').within(1, 4096).sets("batch"),
    Opt::flag("highpri", "tasks of nice -20 go before all others").short('H').sets("highpri"),
    Opt::flag("print", "trace the shared queue, once a second").short('P').sets("print_shared"),
    Opt::number("disallow", 0, "process that may not be SCHED_EXT, by id; 0: none").sets("disallow_tgid"),
    Opt::number("drop-user", 0, "fault: forget every N-th user task; 0: none").sets("drop_user_nth"),
    Opt::number("drop-kernel", 0, "fault: forget every N-th kernel thread; 0: none").sets("drop_kernel_nth"),
    Opt::number("error-after", 0, "fault: an error after N enqueued tasks; 0: none").sets("error_after"),
    Opt::number("loop-after", 0, "fault: dispatch for ever after N dispatched tasks; 0: no").sets("loop_after"),
];
