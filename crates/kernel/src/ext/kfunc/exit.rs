//! Ending by the scheduler's own will, and saying why (E-189, E-217).

use scxr_trace::ExitKind;

use super::super::dump;
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

/// Adds to the debug dump under way (E-189); an error where none is [scx_bpf_dump_bstr].
pub fn scx_bpf_dump(k: &mut Kernel, text: &str) {
    if !dump::add(k, text) {
        super::error(k, "scx_bpf_dump() must only be called from ops.dump() and friends");
    }
}
