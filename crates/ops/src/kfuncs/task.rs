//! Tasks and RCU.

use super::KfuncFn;
use crate::addr::{Kind, addr};

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    // Sections in which nothing can be freed: nothing is freed under a running program here.
    ("bpf_rcu_read_lock", |_, _, _| Ok(0)),
    ("bpf_rcu_read_unlock", |_, _, _| Ok(0)),
    ("bpf_preempt_disable", |_, _, _| Ok(0)),
    ("bpf_preempt_enable", |_, _, _| Ok(0)),
    ("bpf_task_from_pid", |c, _, a| Ok(c.k.task_by_pid(a[0] as u32).map_or(0, |p| addr(Kind::Task, p.0)))),
    ("bpf_task_from_vpid", |c, _, a| Ok(c.k.task_by_pid(a[0] as u32).map_or(0, |p| addr(Kind::Task, p.0)))),
    ("bpf_task_acquire", |c, _, a| Ok(c.find_task(a[0]).map_or(0, |p| addr(Kind::Task, p.0)))),
    ("bpf_task_release", |_, _, _| Ok(0)),
];
