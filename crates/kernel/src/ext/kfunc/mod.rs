//! What a scheduler may call: the kfuncs, by the kernel's names. CPU numbers and queue ids come unvalidated, as from BPF. A
//! task that is gone is as a task of another scheduler.

mod cpu;
mod exit;
mod idle;
mod insert;
mod queue;
mod task;
mod view;

pub use cpu::*;
pub use exit::*;
pub use idle::*;
pub use insert::*;
pub use queue::*;
pub use task::*;
pub use view::{cpumask_any_distribute, idle_cpumask_view, scx_abort};

use scxr_trace::ExitKind;

use crate::executor::Kernel;

/// The scheduler's error, with the kernel's text.
fn error(k: &mut Kernel, msg: impl Into<String>) {
    super::exit::scx_error(k, ExitKind::Error, 0, msg);
}
