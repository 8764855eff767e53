//! Ending by the scheduler's own will (E-217).

use scxr_trace::ExitKind;

use super::super::exit::scx_error;
use crate::executor::Kernel;

/// Ends the scheduler with a code and a text.
pub fn scx_bpf_exit(k: &mut Kernel, code: i64, msg: &str) {
    scx_error(k, ExitKind::UnregBpf, code, msg);
}

/// Ends the scheduler with an error.
pub fn scx_bpf_error(k: &mut Kernel, msg: &str) {
    scx_error(k, ExitKind::ErrorBpf, 0, msg);
}
