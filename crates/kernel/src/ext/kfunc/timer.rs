//! Timers of the scheduler's own (`bpf_timer`). Whether a timer was made, and has a function, is its owner's affair.

use super::super::call::kfunc;
use super::super::timer;
use crate::executor::Kernel;
use crate::ids::Ns;

/// Arms timer `id`, on this CPU, for time `at` [bpf_timer_start]. When it is due, [`SchedExtOps::timer`] is called.
///
/// [`SchedExtOps::timer`]: super::super::ops::SchedExtOps::timer
pub fn bpf_timer_start(k: &mut Kernel, id: u64, at: Ns) {
    kfunc(k);
    timer::start(k, id, at);
}

/// Disarms timer `id` and waits for its function to end; was it armed? `None`: its own function asks (-EDEADLK)
/// [bpf_timer_cancel].
pub fn bpf_timer_cancel(k: &mut Kernel, id: u64) -> Option<bool> {
    kfunc(k);
    timer::cancel(k, id)
}
