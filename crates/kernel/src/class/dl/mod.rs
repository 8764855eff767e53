//! The deadline class: earliest deadline first, each task or server within its bandwidth [kernel/sched/deadline.c].
//!
//! | file | idea |
//! | --- | --- |
//! | `cbs` | a reservation: runtime and deadline, when it is used up, when it is filled again |
//! | `queue` | the queue of a CPU by deadline; the hooks of the class |
//! | `server` | reservations of the fair and the extensible class, so that real-time tasks do not starve them |
//! | `push` | which CPU a task runs on: wakeup, push, pull |
//! | `admission` | parameters that are refused; bandwidth of the machine |
//!
//! Bandwidth that is not used is not given to others (no SCHED_FLAG_RECLAIM), overruns send no signal, and nobody inherits a
//! deadline: the modelled mutexes have no priority inheritance.

mod admission;
mod cbs;
mod push;
mod queue;
mod server;

pub use admission::{Dl, ParamsError};
pub use cbs::Entity;
pub use queue::DlRq;
pub use server::Which;

pub(crate) use admission::{admit, check_deactivation, check_params, confined, release_bandwidth, released};
pub(crate) use push::{balance, pull_tasks, push_tasks, select_task_rq, task_woken};
pub(crate) use queue::{
    dequeue_task, enqueue_task, first_deadline, pick_task, prio_changed, put_prev_task, set_next_task, switched_to,
    task_tick, task_timer, update_curr, wakeup_preempt, yield_task,
};
pub(crate) use server::{
    attach as attach_server, detach as detach_server, due as servers_due, start as start_server, stop as stop_server,
    swap as swap_servers, update as update_server, update_idle,
};
