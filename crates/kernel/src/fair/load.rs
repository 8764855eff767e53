//! PELT applied: when which averages are updated, attached and removed [update_load_avg and its callers].

use crate::class::ClassId;
use crate::executor::Kernel;
use crate::fair::pelt::Signal;
use crate::ids::{CpuId, Ns, TaskId};
use crate::prio;
use crate::state::State;
use crate::topology::CAPACITY_SCALE;

/// Advances the clock of `cpu`'s averages: it is slower on a small CPU that is busy and catches up when idle
/// [update_rq_clock_pelt].
pub(crate) fn sync_clock(s: &mut State, cpu: CpuId, idle: bool) -> Ns {
    let capacity = u64::from(s.topology.cpus[cpu].capacity);
    let rq = &mut s.rqs[cpu];
    let (now, avg) = (rq.clock, &mut rq.fair.avg);
    if idle || capacity == u64::from(CAPACITY_SCALE) {
        avg.clock = now.max(avg.clock);
    } else {
        avg.clock += ((now - avg.clock_at) * capacity) >> 10;
    }
    avg.clock_at = now;
    avg.clock
}

impl State {
    /// Time in which averages of `cpu` are kept, as of its run queue's clock [rq_clock_pelt]. No idle time is ever lost from it.
    pub fn clock_pelt(&self, cpu: CpuId) -> Ns {
        let (rq, capacity) = (&self.rqs[cpu], u64::from(self.topology.cpus[cpu].capacity));
        let avg = &rq.fair.avg;
        match rq.is_idle() || capacity == u64::from(CAPACITY_SCALE) {
            true => rq.clock.max(avg.clock),
            false => avg.clock + ((rq.clock.saturating_sub(avg.clock_at) * capacity) >> 10),
        }
    }
}

/// Brings the averages of `cpu`'s queue up to its clock.
pub(crate) fn update_queue(s: &mut State, cpu: CpuId) -> Ns {
    let idle = s.rqs[cpu].is_idle();
    let now = sync_clock(s, cpu, idle);
    let q = &mut s.rqs[cpu].fair;
    let signal = Signal { load: q.load_weight >> 10, runnable: u64::from(q.nr_runnable()), running: q.curr.is_some() };
    q.avg.update(now, signal);
    now
}

/// Brings a task's averages up to `now`, in the clock of its queue's averages.
fn update_task(s: &mut State, cpu: CpuId, p: TaskId, now: Ns) {
    let running = s.rqs[cpu].fair.curr == Some(p);
    let se = &mut s.task_mut(p).se;
    let signal = Signal { load: u64::from(se.on_rq), runnable: u64::from(se.on_rq && !se.delayed), running };
    let weight = se.table_weight();
    se.avg.update_entity(now, weight, signal);
}

/// Brings task and queue up to date [update_load_avg].
pub(crate) fn update(s: &mut State, cpu: CpuId, p: TaskId) {
    let now = update_queue(s, cpu);
    if s.task(p).se.attached {
        update_task(s, cpu, p, now);
    }
}

/// Updates, and makes the task's averages part of the queue's if they are not.
pub(crate) fn attach(s: &mut State, cpu: CpuId, p: TaskId) {
    let now = update_queue(s, cpu);
    if s.task(p).se.attached {
        return update_task(s, cpu, p, now);
    }
    if s.task(p).se.avg.last_update_time != 0 {
        update_task(s, cpu, p, now); // it comes from another class, older [ATTACH_AGE_LOAD]
    }
    let s = &mut *s;
    let t = s.tasks[p.0 as usize].as_deref_mut();
    let se = &mut t.expect("a task that has not been freed").se;
    let weight = se.table_weight();
    s.rqs[cpu].fair.avg.attach(&mut se.avg, weight);
    se.attached = true;
}

/// Updates, and takes the task's averages out of the queue's.
pub(crate) fn detach(s: &mut State, cpu: CpuId, p: TaskId) {
    update(s, cpu, p);
    let se = &s.task(p).se;
    if se.attached {
        let (avg, weight) = (se.avg, se.table_weight());
        s.rqs[cpu].fair.avg.detach(&avg, weight);
        s.task_mut(p).se.attached = false;
    }
}

/// A task that sleeps is about to wake on another CPU: what it left behind goes at the queue's next update
/// [migrate_task_rq_fair]. Needs no lock.
pub(crate) fn leave(s: &mut State, p: TaskId) {
    let t = s.task(p);
    let cpu = t.cpu;
    if t.se.attached {
        let then = s.rqs[cpu].fair.avg.sa.last_update_time;
        update_task(s, cpu, p, then);
        let avg = s.task(p).se.avg;
        s.rqs[cpu].fair.avg.remove_later(&avg);
    }
    let se = &mut s.task_mut(p).se;
    se.attached = false;
    se.avg.last_update_time = 0;
}

/// A new task's first utilisation (rule 9.2) [post_init_entity_util_avg].
pub(crate) fn init_task(s: &mut State, cpu: CpuId, p: TaskId) {
    if s.task(p).class != ClassId::Fair {
        let idle = s.rqs[cpu].is_idle();
        let now = sync_clock(s, cpu, idle);
        s.task_mut(p).se.avg.last_update_time = now; // it ages until it comes to the class
        return;
    }
    let q = s.rqs[cpu].fair.avg.sa;
    let capacity = u64::from(s.topology.cpus[cpu].capacity);
    let cap = capacity.saturating_sub(q.util_avg) / 2;
    let t = s.task_mut(p);
    let weight = t.se.table_weight();
    t.se.avg.load_avg = weight;
    if cap > 0 {
        t.se.avg.util_avg = match q.util_avg {
            0 => cap,
            util => (util * weight / (q.load_avg + 1)).min(cap),
        };
        t.se.avg.runnable_avg = t.se.avg.util_avg;
    }
}

/// An RT task ran, or did not run, on `cpu` since the last call [update_rt_rq_load_avg].
pub(crate) fn update_rt(k: &mut Kernel, cpu: CpuId, running: bool) {
    let idle = k.rqs[cpu].is_idle();
    let now = sync_clock(k, cpu, idle);
    let on = u64::from(running);
    let signal = Signal { load: on, runnable: on, running };
    let rt = &mut k.rqs[cpu].fair.avg.rt;
    if rt.update_sum(now, signal) {
        rt.update_avg(1);
    }
}

/// What was left of `cpu`'s capacity for fair tasks when it was balanced last, at least 1 (rule 8.4) [capacity_of].
pub(crate) fn capacity_of(s: &State, cpu: CpuId) -> u64 {
    match s.fair.balance[cpu].capacity {
        0 => u64::from(s.topology.cpus[cpu].capacity),
        left => left,
    }
}

/// Looks at that anew [update_cpu_capacity, scale_rt_capacity].
pub(super) fn update_capacity(s: &mut State, cpu: CpuId) {
    let capacity = u64::from(s.topology.cpus[cpu].capacity);
    s.fair.balance[cpu].capacity = capacity.saturating_sub(s.rqs[cpu].fair.avg.rt.util_avg).max(1);
}

/// Load of a CPU, blocked tasks' included [cpu_load].
pub(crate) fn cpu_load(s: &State, cpu: CpuId) -> u64 {
    s.rqs[cpu].fair.avg.sa.load_avg
}

/// Load of a task [task_h_load]; without groups it is its own.
pub(crate) fn task_load(s: &State, p: TaskId) -> u64 {
    s.task(p).se.avg.load_avg
}

/// Utilisation of a CPU by fair tasks (rule 9.3) [cpu_util_cfs].
pub(crate) fn cpu_util(s: &State, cpu: CpuId) -> u64 {
    let a = &s.rqs[cpu].fair.avg;
    let capacity = u64::from(s.topology.cpus[cpu].capacity);
    a.sa.util_avg.max(a.util_est).min(capacity)
}

/// Weight that the task should have.
pub(crate) fn wanted_weight(s: &State, p: TaskId) -> u64 {
    let t = s.task(p);
    super::entity::stored_weight(prio::weight_of(t.policy, t.nice))
}
