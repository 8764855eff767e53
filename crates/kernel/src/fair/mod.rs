//! The fair class.

use crate::class::Pick;
use crate::config::Config;
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::topology::Topology;

/// Fair part of a task.
#[derive(Clone, Debug, Default)]
pub struct Entity {
    recent_used_cpu: CpuId,
    vruntime: u64,
}
impl Entity {
    pub(crate) fn is_delayed(&self) -> bool {
        false
    }
    pub(crate) fn set_recent_used_cpu(&mut self, cpu: CpuId) {
        self.recent_used_cpu = cpu;
    }
}
/// Fair part of a run queue.
#[derive(Clone, Debug, Default)]
pub struct CfsRq {
    q: std::collections::BTreeSet<(u64, TaskId)>,
    min: u64,
    start: u64,
}
impl CfsRq {
    pub(crate) fn nr_queued(&self) -> u32 {
        self.q.len() as u32
    }
}
/// Fair part of the machine.
#[derive(Debug)]
pub struct Fair {}
impl Fair {
    pub(crate) fn new(_t: &Topology, _c: &Config) -> Fair {
        Fair {}
    }
}
pub(crate) fn enqueue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, _f: u64) {
    let min = k.rqs[cpu].fair.min;
    let e = &mut k.task_mut(p).se;
    e.vruntime = e.vruntime.max(min);
    let v = e.vruntime;
    k.rqs[cpu].fair.q.insert((v, p));
    k.rqs[cpu].nr_running += 1;
}
pub(crate) fn dequeue_task(k: &mut Kernel, cpu: CpuId, p: TaskId, _f: u64) -> bool {
    let v = k.task(p).se.vruntime;
    if k.rqs[cpu].curr == p {
        update_curr(k, cpu);
    }
    k.rqs[cpu].fair.q.remove(&(v, p));
    let v = k.task(p).se.vruntime;
    k.rqs[cpu].fair.q.remove(&(v, p));
    k.rqs[cpu].nr_running -= 1;
    true
}
pub(crate) fn update_curr(k: &mut Kernel, cpu: CpuId) {
    let p = k.rqs[cpu].curr;
    let d = k.update_curr_common(cpu);
    let t = k.task_mut(p);
    let old = t.se.vruntime;
    t.se.vruntime += d * 1024 / u64::from(t.weight());
    let new = t.se.vruntime;
    if k.rqs[cpu].fair.q.remove(&(old, p)) {
        k.rqs[cpu].fair.q.insert((new, p));
    }
}
pub(crate) fn yield_task(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn wakeup_preempt(k: &mut Kernel, cpu: CpuId, p: TaskId, _f: u64) {
    if k.curr(cpu).class == crate::class::ClassId::Fair {
        update_curr(k, cpu);
        if k.task(p).se.vruntime + 1_000_000 < k.curr(cpu).se.vruntime {
            k.resched_curr(cpu);
        }
    }
}
pub(crate) fn pick_task(k: &mut Kernel, cpu: CpuId) -> Pick {
    match k.rqs[cpu].fair.q.first() {
        Some(&(v, p)) => {
            k.rqs[cpu].fair.min = v.max(k.rqs[cpu].fair.min);
            Pick::Task(p)
        }
        None => Pick::None,
    }
}
pub(crate) fn put_prev_task(k: &mut Kernel, cpu: CpuId, _p: TaskId) {
    update_curr(k, cpu);
}
pub(crate) fn set_next_task(k: &mut Kernel, cpu: CpuId, p: TaskId, _first: bool) {
    k.set_exec_start(cpu, p);
    k.rqs[cpu].fair.start = k.rqs[cpu].clock;
}
pub(crate) fn select_task_rq(k: &mut Kernel, p: TaskId, prev: CpuId, _f: u64) -> CpuId {
    let m = k.task(p).cpus.and(&k.online);
    if k.rqs[prev].is_idle() && k.rqs[prev].nr_running == 0 && m.test(prev) {
        return prev;
    }
    m.iter()
        .min_by_key(|&c| k.rqs[c].nr_running)
        .unwrap_or(prev)
}
pub(crate) fn task_tick(k: &mut Kernel, cpu: CpuId) {
    update_curr(k, cpu);
    if k.rqs[cpu].nr_running > 1 {
        k.resched_curr(cpu);
    }
}
pub(crate) fn migrate_task_rq(_k: &mut Kernel, _p: TaskId, _to: CpuId) {}
pub(crate) fn switched_from(_k: &mut Kernel, _cpu: CpuId, _p: TaskId) {}
pub(crate) fn switched_to(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    if k.rqs[cpu].curr != p {
        k.resched_curr(cpu);
    }
}
pub(crate) fn prio_changed(_k: &mut Kernel, _cpu: CpuId, _p: TaskId, _old: i32) {}
pub(crate) fn reweight_task(_k: &mut Kernel, _cpu: CpuId, _p: TaskId) {}
pub(crate) fn task_fork(_k: &mut Kernel, _p: TaskId) {}
pub(crate) fn post_init_entity(_k: &mut Kernel, _cpu: CpuId, _p: TaskId) {}
pub(crate) fn trigger_load_balance(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn run_rebalance_domains(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn nohz_balance(_k: &mut Kernel, _cpu: CpuId) {}
pub(crate) fn active_balance(_k: &mut Kernel, _cpu: CpuId, _to: CpuId) {}
