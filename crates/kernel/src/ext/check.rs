//! Invariants of the class's state, checked in tests and in debug builds.

use super::entity::{OpsState, TaskState};
use super::flags::task;
use crate::class::ClassId;
use crate::ids::{CpuId, TaskId};
use crate::state::State;
use crate::task::OnRq;

/// Checks everything that must hold whenever no lock is held: what a CPU is changing under a lock now is left out.
pub fn invariants(s: &State) -> Result<(), String> {
    for dsq in 0..s.ext.dsqs.len() as u32 {
        dsq_is_consistent(s, dsq)?;
    }
    for p in s.all_tasks() {
        task_is_consistent(s, p)?;
    }
    for cpu in (0..s.nr_cpus() as u32).map(CpuId) {
        counts_add_up(s, cpu)?;
        crate::core::core_sched::is_consistent(s, cpu)?;
    }
    Ok(())
}

/// A run queue's tasks are those of its classes.
fn counts_add_up(s: &State, cpu: CpuId) -> Result<(), String> {
    let rq = &s.rqs[cpu];
    let stop = u32::from(s.task(rq.stop).on_rq == OnRq::Queued);
    let of_classes = [stop, rq.dl.nr_tasks(), rq.rt.nr_running(), rq.fair.nr_queued, rq.scx.nr_running];
    match s.is_rq_locked(cpu) {
        false if of_classes.iter().sum::<u32>() != rq.nr_running => {
            Err(format!("{cpu} counts {} tasks, its classes, from above, {of_classes:?}", rq.nr_running))
        }
        _ => Ok(()),
    }
}

fn dsq_is_consistent(s: &State, dsq: u32) -> Result<(), String> {
    let d = &s.ext.dsqs[dsq as usize];
    let locked = if s.is_local_dsq(dsq) { s.is_rq_locked(CpuId(dsq)) } else { d.lock.owner().is_some() };
    if locked {
        return Ok(());
    }
    let name = format!("DSQ {:#x} (entry {dsq})", d.trace_id());
    let mut tasks = Vec::new();
    let mut at = s.dsq_first(dsq);
    while let Some(p) = at {
        let e = &s.task(p).scx;
        if e.dsq != Some(dsq) {
            return Err(format!("{name}: {p:?} is on its list but points to {:?}", e.dsq));
        }
        tasks.push(p.0);
        at = s.dsq_next(p);
    }
    if tasks.len() != d.nr as usize {
        return Err(format!("{name}: {} tasks on the list, {} counted", tasks.len(), d.nr));
    }
    let ordered = d.prio.sequence(|n| s.task(TaskId(n)).scx.prio);
    if !ordered.is_empty() && ordered != tasks {
        return Err(format!("{name}: the list has {tasks:?}, the order by vtime {ordered:?}"));
    }
    Ok(())
}

fn task_is_consistent(s: &State, p: TaskId) -> Result<(), String> {
    let t = s.task(p);
    let e = &t.scx;
    let fail = |why: String| Err(format!("{p:?} {}[{}]: {why}: {e:?}", t.comm, t.pid));
    if s.is_rq_locked(t.cpu) || t.on_rq == OnRq::Migrating || e.sticky_cpu.is_some() {
        return Ok(()); // on its way
    }
    // A parent that failed to take a task back from a sub-scheduler has it unprepared, until it ends itself (E-236).
    let ends = e.sched.and_then(|id| s.ext.scheds.get(id)).is_some_and(|s| s.exit_kind != scxr_trace::ExitKind::None);
    if t.class == ClassId::Ext && e.state != TaskState::Enabled && !ends && t.pi_lock.owner().is_none() {
        let forked = t.state == crate::task::TaskState::New;
        if !forked {
            return fail(format!("is in the class in state {:?}", e.state));
        }
    }
    if e.sched.is_some_and(|sched| s.ext.scheds.get(sched).is_none()) {
        return fail("is bound to a scheduler that is gone".into());
    }
    let known = e.state >= TaskState::Init && e.state != TaskState::Dead;
    if e.sched.is_some() != known && (known || !ends) && t.pi_lock.owner().is_none() {
        return fail(format!("has scheduler {:?} in state {:?}", e.sched, e.state));
    }
    if e.has(task::QUEUED) && t.class != ClassId::Ext {
        return fail("is queued in the class but not of it".into());
    }
    if t.class != ClassId::Ext || e.ops_state == OpsState::Dispatching || e.holding_cpu.is_some() {
        return Ok(());
    }
    let running = s.rqs[t.cpu].curr == p;
    let owned = matches!(e.ops_state, OpsState::Queued(_) | OpsState::Queueing(_));
    // A task on a queue is linked to it; one without a queue that is linked is deferred.
    let places = [e.link.linked, owned, running];
    let nr = places.iter().filter(|&&x| x).count();
    match (e.has(task::QUEUED), nr) {
        (true, 1) => {}
        (true, _) => {
            return fail(format!("is runnable in {nr} places (queue, scheduler, CPU: {places:?})"));
        }
        (false, 0) => {}
        (false, 1) if running => {}
        (false, _) => return fail(format!("is not runnable but in {places:?}")),
    }
    if e.has(task::QUEUED) && e.runnable.linked == running {
        return fail("is on the runnable list iff it does not run".into());
    }
    Ok(())
}
