//! CPUs that higher classes take from a scheduler and give back (E-119, E-147, E-148).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use scxr_kernel::behavior::{Policy, TaskSpec};
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::PreemptReason;
use scxr_kernel::ids::CpuId;

use crate::harness::*;
use crate::script::Script;

/// A hog on one CPU beside a real-time task that comes every 20 ms, for 200 ms.
fn beside_rt(script: Script) -> scxr_kernel::Machine {
    let (mut m, _) = machine("1");
    m.enable(Rc::new(script));
    m.spawn(TaskSpec::new("hog", hog()));
    m.spawn(TaskSpec::new("other", hog()));
    let mut rt = TaskSpec::new("rt", periodic(MS, 19 * MS));
    rt.policy = Policy::Fifo(10);
    m.spawn(rt);
    run(&mut m, 200 * MS);
    m
}

#[test]
fn a_cpu_is_released_and_acquired_in_turn() {
    type Log = Rc<RefCell<Vec<Option<(PreemptReason, String)>>>>;
    let log = Log::default();
    let (released, acquired) = (Rc::clone(&log), Rc::clone(&log));
    beside_rt(Script {
        cpu_release: Some(Box::new(move |k, cpu, reason, task| {
            assert_eq!(cpu, CpuId(0));
            released.borrow_mut().push(Some((reason, k.task(task).comm.clone())));
        })),
        cpu_acquire: Some(Box::new(move |_, _| acquired.borrow_mut().push(None))),
        ..Script::default()
    });
    let log = log.borrow();
    let times = log.iter().filter(|e| **e == Some((PreemptReason::Rt, "rt".into()))).count();
    assert!((8..=12).contains(&times), "{log:?}");
    let turns = log.windows(2).all(|w| w[0].is_some() != w[1].is_some());
    assert!(turns && log[0].is_some(), "{log:?}");
}

#[test]
fn tasks_of_a_taken_cpu_can_be_enqueued_again() {
    let (again, queued) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (counted, seen) = (Rc::clone(&again), Rc::clone(&queued));
    let m = beside_rt(Script {
        enqueue: Some(Box::new(move |k, p, flags| {
            if flags & 1 << 40 != 0 {
                seen.set(seen.get() + 1);
            }
            scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
        })),
        cpu_release: Some(Box::new(move |k, _, _, _| counted.set(counted.get() + scx_bpf_reenqueue_local_now(k)))),
        ..Script::default()
    });
    assert!(again.get() >= 8 && again.get() == queued.get(), "{} of {}", queued.get(), again.get());
    assert!(cpu_time(&m, "other") + cpu_time(&m, "hog") > 150 * MS);
}
