//! A task is there as long as a CPU or a reference may lead to it, and no longer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use scxr_kernel::Kernel;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cost::CostTable;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::TaskId;
use scxr_kernel::task::TaskState;

use crate::harness::*;
use crate::script::Script;

/// Spends time inside an operation while other CPUs go on.
fn linger(k: &mut Kernel, rounds: u32, ns: u64) {
    for _ in 0..rounds {
        k.charge(ns);
        k.interleave(Interleave::Callback);
    }
}

fn bump(counts: &RefCell<BTreeMap<TaskId, i32>>, p: TaskId, by: i32) {
    *counts.borrow_mut().entry(p).or_default() += by;
}

/// A task that dies while `init_task` runs for it is there until that returns, and then `exit_task` tells so (E-50, E-197).
#[test]
fn each_init_task_has_its_exit_task() {
    let known: Rc<RefCell<BTreeMap<TaskId, i32>>> = Default::default();
    let [a, b] = [known.clone(), known.clone()];
    let cancelled = Rc::new(Cell::new(0));
    let seen = cancelled.clone();
    let (mut m, _) = machine("4");
    for i in 0..60 {
        m.spawn(TaskSpec::new(format!("p{i}"), finite(4, 100_000 + i * 5_000, 50_000)));
    }
    m.run_until(MS);
    m.enable(Rc::new(Script {
        init_task: Some(Box::new(move |k, p, _| {
            bump(&a, p, 1);
            linger(k, if p.0.is_multiple_of(5) { 60 } else { 5 }, 20_000);
            assert_eq!(k.find_task(p).map(|t| t.id), Some(p));
            0
        })),
        exit_task: Some(Box::new(move |_, p, args| {
            bump(&b, p, -1);
            seen.set(seen.get() + u32::from(args.cancelled));
        })),
        ..Default::default()
    }));
    run(&mut m, 100 * MS);
    m.disable();
    run(&mut m, 200 * MS);
    let open: Vec<_> = known.borrow().iter().filter(|(_, n)| **n != 0).map(|(p, n)| (*p, *n)).collect();
    assert_eq!(open, []);
    assert!(cancelled.get() > 0, "no task died at the right moment");
}

/// The same where `init_task` does not take the task for SCHED_EXT (E-39).
#[test]
fn disallowing_a_task_that_dies() {
    let (mut m, _) = machine("4");
    for i in 0..60 {
        let spec = TaskSpec::new(format!("p{i}"), finite(4, 100_000 + i * 3_000, 50_000));
        m.spawn(TaskSpec { policy: Policy::Ext, ..spec });
    }
    m.run_until(2 * MS);
    m.enable(Rc::new(Script {
        init_task: Some(Box::new(|k, p, _| {
            linger(k, 1, 5_000);
            k.task_mut(p).scx.disallow = true;
            0
        })),
        ..Default::default()
    }));
    run(&mut m, 100 * MS);
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
    assert!(m.state().ext.nr_rejected > 0);
}

/// A program may go on using a task that it found alive, whatever happens to the task meanwhile.
#[test]
fn tasks_stay_while_a_program_uses_them() {
    let forker = || {
        TaskSpec::new("forker", |_: &TaskCx| Action::Fork(Box::new(TaskSpec::new("kid", finite(1, 10_000, 10_000)))))
    };
    let died = Rc::new(Cell::new(0));
    let seen = died.clone();
    // Without a run queue's lock: the kfunc takes the task's own lock.
    let unlocked = Script {
        init_task: Some(Box::new(move |k, p, _| {
            let mask = CpuMask::first_n(4);
            for kid in k.all_tasks().into_iter().filter(|&q| q != p) {
                if k.find_task(kid).is_none_or(|t| t.comm != "kid") {
                    continue;
                }
                for _ in 0..40 {
                    scx_bpf_select_cpu_and(k, kid, 0, 0, &mask, 0);
                }
                seen.set(seen.get() + u32::from(k.task(kid).state == TaskState::Dead));
            }
            0
        })),
        ..Default::default()
    };
    let cost = CostTable { kfunc: 500, ..Default::default() };
    let config = Config { interleave: Interleave::Kfunc, cost, ..Default::default() };
    let (mut m, _) = machine_with("4", config);
    (0..3).for_each(|_| m.spawn(forker()));
    m.enable(Rc::new(unlocked));
    m.run_until(60 * MS);
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
    assert!(died.get() > 0, "no task died at the right moment");
}

/// A number of a task that is long gone is refused, not followed.
#[test]
fn numbers_of_tasks_that_are_gone() {
    let (mut m, _) = machine("2");
    m.spawn(TaskSpec::new("short", finite(1, 10_000, 10_000)));
    m.run_until(MS / 2);
    m.enable(Rc::new(Script { init: Some(Box::new(|k| scx_bpf_create_dsq(k, 0, -1))), ..Default::default() }));
    m.run_until(20 * MS);
    let gone = TaskId(m.state().all_tasks().iter().map(|p| p.0).max().unwrap() + 1);
    assert!(m.state().find_task(gone).is_none());
    m.at(21 * MS, move |k| {
        let mask = CpuMask::first_n(2);
        assert!(!bpf_task_acquire(k, gone));
        assert!(scx_bpf_select_cpu_and(k, gone, 0, 0, &mask, 0) < 0);
        assert!(!scx_bpf_select_cpu_dfl(k, gone, 0, 0).1);
        assert!(!scx_bpf_dsq_insert(k, gone, 0, MS, 0));
        assert!(!scx_bpf_dsq_insert_vtime(k, gone, 0, MS, 0, 0));
        assert!(!scx_bpf_task_set_slice(k, gone, 1) && !scx_bpf_task_set_dsq_vtime(k, gone, 1));
        assert!(!scx_bpf_task_running(k, gone));
        let (it, _) = bpf_iter_scx_dsq_new(k, 0, 0);
        assert!(!scx_bpf_dsq_move(k, it, gone, LOCAL, 0) && !scx_bpf_dsq_move_vtime(k, it, gone, 0, 0));
        bpf_iter_scx_dsq_destroy(k, it);
    });
    m.run_until(30 * MS);
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
}

/// A reference keeps a dead task; the last one given back frees it (bpf_task_acquire, bpf_task_release).
#[test]
fn references_keep_tasks() {
    let (mut m, _) = machine("2");
    let kept: Rc<Cell<Option<(TaskId, u32)>>> = Default::default();
    let cell = kept.clone();
    m.enable(Rc::new(Script {
        running: Some(Box::new(move |k, p| {
            if k.task(p).comm == "short" && cell.get().is_none() {
                assert!(bpf_task_acquire(k, p));
                cell.set(Some((p, k.task(p).pid)));
            }
        })),
        ..Default::default()
    }));
    m.spawn(TaskSpec::new("short", finite(3, 10_000, 10_000)));
    m.spawn(TaskSpec::new("hog", hog()));
    m.run_until(50 * MS);
    let (p, pid) = kept.get().expect("the task ran");
    assert_eq!(m.state().find_task(p).map(|t| t.state), Some(TaskState::Dead));
    assert_eq!(m.state().task_by_pid(pid), None);
    assert!(!m.state().all_tasks().contains(&p));
    m.at(51 * MS, move |k| {
        assert_eq!(bpf_task_from_pid(k, pid as i32), None);
        assert!(bpf_task_acquire(k, p)); // there is one still
        bpf_task_release(k, p);
        bpf_task_release(k, p);
        assert!(!bpf_task_acquire(k, p)); // it waits for the end of the grace period
        assert!(k.find_task(p).is_some());
    });
    m.run_until(60 * MS);
    assert!(m.state().find_task(p).is_none());
}

/// Slots of destroyed queues are used again.
#[test]
fn queues_come_and_go() {
    let (mut m, _) = machine("2");
    let most = Rc::new(Cell::new(0));
    let seen = most.clone();
    m.spawn(TaskSpec::new("task", periodic(50_000, 50_000)));
    m.enable(Rc::new(Script {
        running: Some(Box::new(move |k, _| {
            assert_eq!(scx_bpf_create_dsq(k, 7, -1), 0);
            let (it, err) = bpf_iter_scx_dsq_new(k, 7, 0);
            assert_eq!(err, 0);
            scx_bpf_destroy_dsq(k, 7);
            assert_eq!(scx_bpf_create_dsq(k, 7, -1), 0);
            assert_eq!(bpf_iter_scx_dsq_next(k, it), None);
            bpf_iter_scx_dsq_destroy(k, it);
            scx_bpf_destroy_dsq(k, 7);
            seen.set(seen.get().max(k.nr_dsq_slots()));
        })),
        ..Default::default()
    }));
    run(&mut m, 400 * MS);
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
    assert!(most.get() < 20, "{}", most.get());
}
