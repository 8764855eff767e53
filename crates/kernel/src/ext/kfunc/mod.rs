//! What a scheduler may call: the kfuncs, by the kernel's names. CPU numbers and queue ids come unvalidated, as from BPF. A
//! task that is gone is as a task of another scheduler.

mod cid;
mod cpu;
mod exit;
mod idle;
mod insert;
mod queue;
mod task;
mod timer;
mod view;

pub use cid::*;
pub use cpu::*;
pub use exit::*;
pub use idle::*;
pub use insert::*;
pub use queue::*;
pub use task::*;
pub use timer::*;
pub use view::{cpumask_any_distribute, idle_cpumask_view, scx_abort};

use super::exit::prog_error as error;
