//! The tick: when a full-nohz CPU needs it, and what happens when it takes long.

use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::EnableState;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::CpuId;
use scxr_trace::EventKind;

use crate::harness::*;
use crate::script::Script;

fn on(cpu: u32, comm: &str, policy: Policy, behavior: impl FnMut(&TaskCx) -> Action + 'static) -> TaskSpec {
    TaskSpec { affinity: Some(CpuMask::of(CpuId(cpu))), policy, ..TaskSpec::new(comm, behavior) }
}

/// A machine with two CPUs of which CPU 1 is full-nohz.
fn nohz() -> (Machine, Log) {
    machine_with("2", Config { nohz_full: CpuMask::of(CpuId(1)), ..Config::default() })
}

fn ticks(log: &Log, cpu: u32, from: u64, to: u64) -> usize {
    let log = log.0.borrow();
    log.iter().filter(|e| e.cpu == cpu && e.t >= from && e.t < to && matches!(e.kind, EventKind::Tick { .. })).count()
}

/// E-151 and [sched_can_stop_tick].
#[test]
fn a_full_nohz_cpu_ticks_where_it_must() {
    use Policy::*;
    let check = |what: &str, slice: Option<u64>, tasks: &[Policy], stopped: bool| {
        let (mut m, log) = nohz();
        if let Some(slice) = slice {
            m.enable(Rc::new(Script {
                enqueue: Some(Box::new(move |k, p, _| {
                    scx_bpf_dsq_insert(k, p, LOCAL, slice, 0);
                })),
                ..Default::default()
            }));
        }
        for (i, &policy) in tasks.iter().enumerate() {
            m.spawn(on(1, &format!("t{i}"), policy, hog()));
        }
        m.run_until(200 * MS);
        let n = ticks(&log, 1, 100 * MS, 200 * MS);
        assert!(if stopped { n <= 1 } else { n >= 24 }, "{what}: {n} ticks");
    };
    check("one fair task", None, &[Normal], true);
    check("two fair tasks", None, &[Normal, Batch], false);
    check("FIFO alone", None, &[Fifo(1)], true);
    check("two FIFO tasks", None, &[Fifo(1), Fifo(1)], true);
    check("FIFO over fair tasks", None, &[Normal, Normal, Fifo(1)], true);
    check("RR alone", None, &[RoundRobin(1)], true);
    check("two RR tasks", None, &[RoundRobin(1), RoundRobin(1)], false);
    check("one RR task above FIFO", None, &[Fifo(1), RoundRobin(2)], true);
    check("ext, a slice without end", Some(u64::MAX), &[Normal], true);
    check("ext, two such tasks", Some(u64::MAX), &[Normal, Normal], true);
    check("ext, a slice that ends", Some(20 * MS), &[Normal], false);
    check("FIFO over ext with slices that end", Some(20 * MS), &[Normal, Fifo(1)], true);
}

/// A task that comes from another CPU to one whose tick is stopped starts it, even if it does not preempt.
#[test]
fn a_second_task_starts_the_tick() {
    let (mut m, log) = nohz();
    let q = m.wait_queue();
    m.spawn(on(1, "a", Policy::Normal, hog()));
    let mut first = true;
    m.spawn(on(1, "b", Policy::Batch, move |_: &TaskCx| match std::mem::replace(&mut first, false) {
        true => Action::Wait(q),
        false => Action::Run(10 * MS),
    }));
    let mut n = 0;
    m.spawn(on(0, "w", Policy::Normal, move |_: &TaskCx| {
        n += 1;
        match n {
            1 => Action::Sleep(50 * MS),
            2 => Action::Wake { queue: q, nr: 1, sync: false },
            _ => Action::Sleep(1000 * MS),
        }
    }));
    m.run_until(450 * MS);
    assert_eq!(ticks(&log, 1, 20 * MS, 49 * MS), 0, "a alone");
    let (a, b) = (cpu_time(&m, "a"), cpu_time(&m, "b"));
    assert!(b > 150 * MS && a > 150 * MS, "{a} {b}");
}

/// A tick that takes longer than a tick: those in between are lost, and the CPU gets on.
#[test]
fn slow_ticks_leave_time_for_tasks() {
    let (mut m, _) = machine("1");
    for i in 0..2 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
    }
    m.enable(Rc::new(Script { tick: Some(Box::new(|k, _| k.charge(5 * MS))), ..Default::default() }));
    m.run_until(1000 * MS);
    assert_eq!(m.state().ext.state, EnableState::Enabled, "{:?}", m.state().ext.exit_info);
    let (a, b) = (cpu_time(&m, "hog0"), cpu_time(&m, "hog1"));
    assert!(a > 300 * MS && b > 300 * MS, "{a} {b}");
    m.disable();
    m.run_until(2000 * MS);
    assert_eq!(m.state().ext.state, EnableState::Disabled);
    check(&m);
}
