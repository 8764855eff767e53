//! Demands of the kernel's own selftests (`tools/testing/selftests/sched_ext`) that no other test here states, each with a
//! scheduler of our own. docs/semantics.md says which test stands for which selftest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use scxr_kernel::behavior::TaskSpec;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::Op;
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_kernel::{Kernel, Machine};
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

/// It runs under hogs, sleepers and children that come and go, and goes on; then it is unregistered.
fn goes_on(spec: &str, script: Script) -> Machine {
    let (mut m, _) = machine(spec);
    for i in 0..4 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
        m.spawn(TaskSpec::new(format!("sleeper{i}"), periodic(MS / 2, 3 * MS)));
        m.spawn(TaskSpec::new(format!("child{i}"), finite(3, MS / 4, MS)));
    }
    m.enable(Rc::new(script));
    run(&mut m, 300 * MS);
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
    assert_eq!(alive(&m, "child"), 0);
    m.disable();
    run(&mut m, 400 * MS);
    assert_eq!(ejected(&mut m, "hog").kind, ExitKind::Unreg);
    m
}

#[test]
fn a_thousand_queues_come_and_go() {
    let made = Rc::new(Cell::new(0));
    let count = made.clone();
    goes_on(
        "4",
        Script {
            init: Some(Box::new(|k| {
                let err = (0..1024).map(|id| scx_bpf_create_dsq(k, id, -1)).find(|&err| err != 0);
                (0..1024).for_each(|id| scx_bpf_destroy_dsq(k, id));
                err.unwrap_or(0)
            })),
            init_task: Some(Box::new(move |k, p, _| {
                count.set(count.get() + 1);
                let pid = k.task(p).pid;
                scx_bpf_create_dsq(k, pid.into(), -1)
            })),
            exit_task: Some(Box::new(|k, p, _| {
                let pid = k.task(p).pid;
                scx_bpf_destroy_dsq(k, pid.into());
            })),
            ..Script::default()
        },
    );
    assert!(made.get() > 12, "{}", made.get());
}

#[test]
fn tasks_are_sent_to_any_cpus_local_queue() {
    let queue: Rc<RefCell<VecDeque<TaskId>>> = Rc::default();
    let (kept, turn) = (queue.clone(), Cell::new(0));
    goes_on(
        "4",
        Script {
            select_cpu: Some(Box::new(|_, _, prev, _| prev.0 as i32)),
            enqueue: Some(Box::new(move |_, p, _| queue.borrow_mut().push_back(p))),
            dispatch: Some(Box::new(move |k, _, _| {
                let Some(p) = kept.borrow_mut().pop_front() else { return };
                let Some(t) = k.find_task(p) else { return };
                turn.set((turn.get() + 1) % 4);
                let cpu = if t.nr_cpus_allowed == 4 { turn.get() } else { t.cpu.0 };
                scx_bpf_dsq_insert(k, p, LOCAL_ON | u64::from(cpu), SLICE_DFL, 0);
            })),
            ..Script::default()
        },
    );
}

#[test]
fn cpus_can_be_selected_in_enqueue() {
    let found = Rc::new(Cell::new(0));
    let count = found.clone();
    goes_on(
        "8",
        Script {
            select_cpu: Some(Box::new(|_, _, prev, _| prev.0 as i32)),
            enqueue: Some(Box::new(move |k, p, flags| {
                let prev = scx_bpf_task_cpu(k, p).0 as i32;
                let (cpu, idle) = scx_bpf_select_cpu_dfl(k, p, prev, 0);
                count.set(count.get() + u32::from(idle));
                let dsq = if idle { LOCAL_ON | cpu as u64 } else { GLOBAL };
                scx_bpf_dsq_insert(k, p, dsq, SLICE_DFL, flags);
            })),
            ..Script::default()
        },
    );
    assert!(found.get() > 50, "{}", found.get());
}

/// A CPU that was selected as idle has been claimed, and is one of those asked for if the task may use them.
fn assert_claimed(k: &mut Kernel, p: TaskId, cpu: i32, mask: &CpuMask) {
    assert!(!scx_bpf_test_and_clear_cpu_idle(k, cpu), "cpu{cpu} is idle still");
    let at = CpuId(cpu as u32);
    assert!(mask.test(at) || !mask.subset_of(&k.task(p).cpus), "cpu{cpu} was not asked for");
}

#[test]
fn cpus_are_selected_among_those_that_are_asked_for() {
    let mask: CpuMask = (8..16).map(CpuId).collect();
    let hits = Rc::new(Cell::new(0));
    let count = hits.clone();
    goes_on(
        "16",
        Script {
            select_cpu: Some(Box::new(move |k, p, prev, flags| {
                let cpu = scx_bpf_select_cpu_and(k, p, prev.0 as i32, flags, &mask, 0);
                if cpu < 0 {
                    return prev.0 as i32;
                }
                count.set(count.get() + 1);
                assert_claimed(k, p, cpu, &mask);
                scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
                cpu
            })),
            enqueue: Some(Box::new(move |k, p, flags| {
                scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, flags);
                let prev = scx_bpf_task_cpu(k, p).0 as i32;
                let cpu = scx_bpf_select_cpu_and(k, p, prev, 0, &mask, 0);
                if cpu >= 0 {
                    assert_claimed(k, p, cpu, &mask);
                    scx_bpf_kick_cpu(k, cpu, 1);
                }
            })),
            ..Script::default()
        },
    );
    assert!(hits.get() > 20, "{}", hits.get());
}

#[test]
fn idle_cpus_are_known_by_node() {
    const IN_NODE: u64 = 2;
    let hits = Rc::new(Cell::new(0));
    let count = hits.clone();
    let node_of = |k: &Kernel, cpu: CpuId| k.topology.cpus[cpu].node as i32;
    goes_on(
        "2x2x2",
        Script {
            flags: 1 << 6,
            init: Some(Box::new(|k| {
                (0..k.topology.nodes.len() as i32).map(|n| scx_bpf_create_dsq(k, n as u64, n)).sum()
            })),
            select_cpu: Some(Box::new(move |k, p, prev, _| {
                let (node, cpus) = (node_of(k, prev), k.task(p).cpus);
                let cpu = match scx_bpf_pick_idle_cpu_node(k, &cpus, node, IN_NODE) {
                    cpu if cpu >= 0 => cpu,
                    _ => return prev.0 as i32,
                };
                count.set(count.get() + 1);
                let at = CpuId(cpu as u32);
                assert!(!scx_bpf_get_idle_cpumask_node(k, node).test(at), "{at} was not claimed");
                assert_eq!(node_of(k, at), node);
                cpu
            })),
            enqueue: Some(Box::new(move |k, p, flags| {
                let cpu = scx_bpf_task_cpu(k, p);
                let node = node_of(k, cpu) as u64;
                scx_bpf_dsq_insert(k, p, node, SLICE_DFL, flags);
            })),
            dispatch: Some(Box::new(move |k, cpu, _| {
                let node = node_of(k, cpu) as u64;
                scx_bpf_dsq_move_to_local(k, node, 0);
            })),
            ..Script::default()
        },
    );
    assert!(hits.get() > 20, "{}", hits.get());
}

#[test]
fn the_first_task_of_a_queue_can_be_seen() {
    const QUEUE: u64 = 1234;
    let (seen, expected) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(VecDeque::new())));
    let (count, queued, gone) = (seen.clone(), expected.clone(), expected);
    goes_on(
        "1",
        Script {
            init: Some(Box::new(|k| scx_bpf_create_dsq(k, QUEUE, -1))),
            enqueue: Some(Box::new(move |k, p, flags| {
                assert_eq!(scx_bpf_dsq_peek(k, QUEUE), queued.borrow().front().copied());
                scx_bpf_dsq_insert(k, p, QUEUE, 2 * MS, flags & !(0xff << 56));
                queued.borrow_mut().push_back(p);
            })),
            dequeue: Some(Box::new(move |_, p, _| gone.borrow_mut().retain(|q| *q != p))),
            dispatch: Some(Box::new(move |k, _, _| {
                count.set(count.get() + u32::from(scx_bpf_dsq_peek(k, QUEUE).is_some()));
                scx_bpf_dsq_move_to_local(k, QUEUE, 0);
            })),
            ..Script::default()
        },
    );
    assert!(seen.get() > 20, "{}", seen.get());
}

#[test]
fn tasks_that_find_an_idle_cpu_are_not_enqueued() {
    let missed = Rc::new(Cell::new(0));
    let count = missed.clone();
    goes_on(
        "16",
        Script {
            enqueue: Some(Box::new(move |k, p, flags| {
                let cpu = scx_bpf_task_cpu(k, p);
                let woken = flags & 1 != 0;
                count.set(count.get() + u32::from(woken && scx_bpf_get_idle_cpumask(k).test(cpu)));
                scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, flags);
            })),
            ..Script::default()
        },
    );
    assert_eq!(missed.get(), 0);
}

#[test]
fn the_default_selection_can_be_left_to_enqueue() {
    let local = Rc::new(Cell::new(0));
    let (count, idle) = (local.clone(), Rc::new(RefCell::new(Vec::new())));
    let told = idle.clone();
    goes_on(
        "16",
        Script {
            select_cpu: Some(Box::new(move |k, p, prev, flags| {
                let (cpu, idle) = scx_bpf_select_cpu_dfl(k, p, prev.0 as i32, flags);
                if idle {
                    told.borrow_mut().push(p);
                }
                cpu
            })),
            enqueue: Some(Box::new(move |k, p, flags| {
                let at = idle.borrow().iter().position(|&q| q == p);
                let dsq = match at {
                    Some(at) => {
                        idle.borrow_mut().remove(at);
                        count.set(count.get() + 1);
                        LOCAL
                    }
                    None => GLOBAL,
                };
                scx_bpf_dsq_insert(k, p, dsq, SLICE_DFL, flags);
            })),
            ..Script::default()
        },
    );
    assert!(local.get() > 50, "{}", local.get());
}

#[test]
fn selection_alone_can_place_every_task() {
    goes_on(
        "4",
        Script {
            select_cpu: Some(Box::new(|k, p, prev, _| {
                let cpus = k.task(p).cpus;
                let mut dsq = LOCAL;
                let mut cpu = prev.0 as i32;
                if !scx_bpf_test_and_clear_cpu_idle(k, cpu) {
                    match scx_bpf_pick_idle_cpu(k, &cpus, 0) {
                        idle if idle >= 0 => cpu = idle,
                        _ => dsq = GLOBAL,
                    }
                }
                scx_bpf_dsq_insert(k, p, dsq, SLICE_DFL, 0);
                cpu
            })),
            ..Script::default()
        },
    );
}

#[test]
fn all_operations_or_none() {
    goes_on("4", Script::default());
    let skip = [Op::tick, Op::dump, Op::dump_cpu, Op::dump_task, Op::cpu_acquire, Op::cpu_release];
    let also: Vec<Op> = Op::ALL
        .iter()
        .copied()
        .filter(|op| !skip.contains(op) && ![Op::cgroup_set_idle, Op::sub_attach, Op::sub_detach].contains(op))
        .collect();
    goes_on(
        "4",
        Script {
            also,
            init: Some(Box::new(|k| scx_bpf_create_dsq(k, 0, -1))),
            enqueue: Some(Box::new(|k, p, flags| _ = scx_bpf_dsq_insert(k, p, 0, SLICE_DFL, flags & !(0xff << 56)))),
            dispatch: Some(Box::new(|k, _, _| _ = scx_bpf_dsq_move_to_local(k, 0, 0))),
            ..Script::default()
        },
    );
}
