//! Ending by the scheduler's own will (E-217).

use scxr_trace::ExitKind;

use super::super::exit::scx_exit;
use crate::executor::Kernel;

/// Ends the scheduler with a code and a text.
pub fn scx_bpf_exit(k: &mut Kernel, code: i64, msg: &str) {
    if let Some(sched) = k.prog_sched() {
        scx_exit(k, sched, ExitKind::UnregBpf, code, msg);
    }
}

/// Ends the scheduler with an error.
pub fn scx_bpf_error(k: &mut Kernel, msg: &str) {
    if let Some(sched) = k.prog_sched() {
        scx_exit(k, sched, ExitKind::ErrorBpf, 0, msg);
    }
}
