//! Tasks and RCU.

use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::ext::kfunc;

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, addr};
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    // Sections in which nothing is freed, and the CPU is not taken away: an invocation as a whole is one.
    ("bpf_rcu_read_lock", |_, _, _| Ok(0)),
    ("bpf_rcu_read_unlock", |_, _, _| Ok(0)),
    ("bpf_preempt_disable", |_, _, _| Ok(0)),
    ("bpf_preempt_enable", |_, _, _| Ok(0)),
    ("bpf_local_irq_save", |_, m, a| written(m, a[0])),
    ("bpf_local_irq_restore", |_, _, _| Ok(0)),
    // What a pointer is taken for is the verifier's business.
    ("bpf_rdonly_cast", |_, _, a| Ok(a[0])),
    ("bpf_cast_to_kern_ctx", |_, _, a| Ok(a[0])),
    ("bpf_task_from_pid", from_pid),
    ("bpf_task_from_vpid", from_pid),
    ("bpf_task_acquire", |c, _, a| match c.find_task(a[0]) {
        Some(p) if kfunc::bpf_task_acquire(c.k, p) => Ok(c.acquired(a[0])),
        _ => Ok(0),
    }),
    ("bpf_task_release", |c, _, a| {
        let p = c.task(a[0])?;
        c.give_away(a[0])?;
        kfunc::bpf_task_release(c.k, p);
        Ok(0)
    }),
];

/// Interrupts come only where the simulated kernel lets them: there are no flags to keep.
pub(super) fn written(m: &Machine, flags: u64) -> KfuncResult {
    match m.write_u64(flags, 0) {
        true => Ok(0),
        false => Err(HostError::BadAccess(format!("{flags:#x} is no place for flags"))),
    }
}

fn from_pid(c: &mut Context<'_>, _m: &Machine, a: [u64; 5]) -> KfuncResult {
    Ok(kfunc::bpf_task_from_pid(c.k, a[0] as i32).map_or(0, |p| c.acquired(addr(Kind::Task, p.0))))
}
