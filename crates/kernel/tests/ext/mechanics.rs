//! Single mechanisms: kicks, keeping the last task, IMMED, idle tracking, selection, the order in a queue, counters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::Ev;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_trace::EventKind;

use crate::harness::*;
use crate::script::Script;

fn on_cpu(comm: &str, cpu: u32, behavior: impl FnMut(&TaskCx) -> Action + 'static) -> TaskSpec {
    let mut spec = TaskSpec::new(comm, behavior);
    spec.affinity = Some(CpuMask::of(scxr_kernel::ids::CpuId(cpu)));
    spec
}

fn fine(m: &Machine) {
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
}

/// E-120, E-86: the last runnable task goes on, or is enqueued with LAST if the scheduler asked for that.
#[test]
fn the_last_task_is_kept_or_enqueued() {
    for enq_last in [false, true] {
        let last = Rc::new(Cell::new(0));
        let seen = last.clone();
        let (mut m, _) = machine("1");
        m.enable(Rc::new(Script {
            flags: if enq_last { 1 << 1 } else { 0 },
            enqueue: Some(Box::new(move |k, p, flags| {
                if flags >> 41 & 1 != 0 {
                    seen.set(seen.get() + 1);
                }
                scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, flags);
            })),
            ..Default::default()
        }));
        m.spawn(TaskSpec::new("hog", hog()));
        run(&mut m, 1000 * MS);
        fine(&m);
        let kept = m.state().ext.events().get(Ev::DispatchKeepLast);
        assert!(cpu_time(&m, "hog") > 980 * MS);
        match enq_last {
            false => assert!(last.get() == 0 && kept > 40, "{} {kept}", last.get()),
            true => assert!(last.get() > 40 && kept < 10, "{} {kept}", last.get()),
        }
    }
}

/// E-103, E-107: PREEMPT goes to the head and takes the CPU at once.
#[test]
fn preempting_insertions_and_kicks() {
    let latency = |preempt: bool, kick: bool| {
        let (mut m, log) = machine("1");
        m.enable(Rc::new(Script {
            enqueue: Some(Box::new(move |k, p, _| {
                let urgent = k.task(p).comm == "urgent";
                let flags = if urgent && preempt { 1 << 32 } else { 0 };
                let head = if urgent { 1 << 16 } else { 0 };
                scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, flags | head);
                if urgent && kick {
                    scx_bpf_kick_cpu(k, 0, 2);
                }
            })),
            ..Default::default()
        }));
        m.spawn(TaskSpec::new("hog", hog()));
        m.spawn(TaskSpec::new("hog", hog()));
        m.spawn(TaskSpec::new("urgent", periodic(100_000, 7 * MS)));
        run(&mut m, 1000 * MS);
        fine(&m);
        let log = log.0.borrow();
        let pid = log.iter().find_map(|e| match &e.kind {
            EventKind::Fork { pid, comm, .. } if comm == "urgent" => Some(*pid),
            _ => None,
        });
        let (mut woken, mut sum, mut n) = (None, 0, 0);
        for e in log.iter().filter(|e| e.t > 100 * MS) {
            match e.kind {
                EventKind::Waking { pid: p, .. } if Some(p) == pid => woken = Some(e.t),
                EventKind::SwitchIn { pid: p } if Some(p) == pid => {
                    if let Some(t) = woken.take() {
                        sum += e.t - t;
                        n += 1;
                    }
                }
                _ => {}
            }
        }
        sum / n
    };
    assert!(latency(true, false) < 10_000);
    assert!(latency(false, true) < 10_000);
    assert!(latency(false, false) > MS);
}

/// E-144: an idle kick wakes an idle CPU alone.
#[test]
fn idle_kicks() {
    let (mut m, log) = machine("2");
    m.enable(Rc::new(Script {
        tick: Some(Box::new(|k, _| {
            scx_bpf_kick_cpu(k, 1, 1);
            scx_bpf_kick_cpu(k, 0, 1);
        })),
        ..Default::default()
    }));
    m.spawn(on_cpu("hog", 0, hog()));
    run(&mut m, 200 * MS);
    fine(&m);
    let log = log.0.borrow();
    let kicks = log.iter().filter(|e| matches!(e.kind, EventKind::Kick { .. })).count();
    let switches = log.iter().filter(|e| e.t > 50 * MS && matches!(e.kind, EventKind::SwitchIn { .. })).count();
    assert!(kicks > 50, "{kicks}");
    assert!(switches < 10, "{switches}");
}

/// E-145: rings of CPUs that wait for each other make progress (selftest `cyclic_kick_wait`).
#[test]
fn cyclic_kick_wait() {
    let (mut m, _) = machine("4");
    m.enable(Rc::new(Script {
        enqueue: Some(Box::new(|k, p, flags| {
            scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, flags);
            let next = (k.this_cpu().0 + 1) % 3;
            scx_bpf_kick_cpu(k, next as i32, 4);
        })),
        ..Default::default()
    }));
    for i in 0..12 {
        let mut n = 0;
        m.spawn(on_cpu(&format!("yielder{i}"), i % 3, move |_: &TaskCx| {
            n += 1;
            if n % 2 == 0 { Action::Yield } else { Action::Run(20_000) }
        }));
    }
    run(&mut m, 1500 * MS);
    fine(&m);
    for i in 0..12 {
        assert!(cpu_time(&m, &format!("yielder{i}")) > 20 * MS, "{i}");
    }
}

/// E-89 to E-93: an IMMED task that cannot run at once comes back to `enqueue`.
#[test]
fn immed_tasks_come_back() {
    let again = Rc::new(Cell::new(0));
    let seen = again.clone();
    let (mut m, _) = machine("2");
    m.enable(Rc::new(Script {
        enqueue: Some(Box::new(move |k, p, flags| {
            if flags >> 40 & 1 != 0 {
                seen.set(seen.get() + 1);
                scx_bpf_dsq_insert(k, p, GLOBAL, MS, 0);
            } else {
                scx_bpf_dsq_insert(k, p, LOCAL, MS, 1 << 33);
            }
        })),
        ..Default::default()
    }));
    for i in 0..6 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
    }
    let mut rt = TaskSpec::new("rt", periodic(MS, 2 * MS));
    rt.policy = Policy::Fifo(5);
    m.spawn(rt);
    run(&mut m, 500 * MS);
    fine(&m);
    assert!(again.get() > 100, "{}", again.get());
    assert!(m.state().ext.events().get(Ev::ReenqImmed) > 50);
    let total: u64 = (0..6).map(|i| cpu_time(&m, &format!("hog{i}"))).sum();
    assert!(total > 600 * MS, "{total}");

    let (mut m, _) = machine("1");
    m.spawn(TaskSpec::new("hog", hog()));
    m.enable(Rc::new(Script {
        enqueue: Some(Box::new(|k, p, _| {
            if !scx_bpf_dsq_insert(k, p, GLOBAL, MS, 1 << 33) {
                scx_bpf_dsq_insert(k, p, GLOBAL, MS, 0);
            }
        })),
        ..Default::default()
    }));
    run(&mut m, 100 * MS);
    let info = ejected(&mut m, "hog");
    assert_eq!(info.msg, "SCX_ENQ_IMMED on a non-local DSQ 0x8000000000000001");
}

/// C5: `update_idle` tells of real transitions, in turn, and turns the built-in tracking off.
#[test]
fn update_idle_tells_transitions() {
    for keep in [false, true] {
        let state = Rc::new(RefCell::new([None; 2]));
        let n = Rc::new(Cell::new(0));
        let (s, c) = (state.clone(), n.clone());
        let (mut m, _) = machine("2");
        m.enable(Rc::new(Script {
            flags: u64::from(keep),
            update_idle: Some(Box::new(move |_, cpu, idle| {
                let was = s.borrow_mut()[cpu.idx()].replace(idle);
                assert_ne!(was, Some(idle), "{cpu}");
                c.set(c.get() + 1);
            })),
            ..Default::default()
        }));
        m.spawn(TaskSpec::new("p", periodic(MS, MS)));
        run(&mut m, 100 * MS);
        fine(&m);
        assert!(n.get() > 80, "{}", n.get());
        let masks = m.with_kernel(scx_bpf_get_idle_cpumask);
        assert_eq!(masks.is_empty(), !keep);
    }
}

/// E2 to E4, G: who is picked, on a machine where everyone is idle.
#[test]
fn default_selection() {
    type Ask = Rc<dyn Fn(&mut scxr_kernel::Kernel, TaskId) -> Vec<i32>>;
    let picks = |spec: &str, flags: u64, ask: Ask| -> Vec<i32> {
        let out = Rc::new(RefCell::new(Vec::new()));
        let into = out.clone();
        let (mut m, _) = machine(spec);
        m.enable(Rc::new(Script {
            flags,
            // The masks are full then (B2), and where to look first is known (B6).
            init_task: Some(Box::new(move |k, p, _| {
                if into.borrow().is_empty() {
                    let picked = ask(k, p);
                    *into.borrow_mut() = picked;
                }
                0
            })),
            ..Default::default()
        }));
        run(&mut m, 20 * MS);
        fine(&m);
        out.take()
    };
    let dfl = |k: &mut scxr_kernel::Kernel, p, prev: i32| scx_bpf_select_cpu_dfl(k, p, prev, 0);
    // Four cores of two threads, 0-3 and 4-7: the previous CPU, then whole cores, then siblings.
    let all = picks(
        "4x2",
        0,
        Rc::new(move |k, p| {
            (0..9)
                .map(|_| match dfl(k, p, 1) {
                    (cpu, true) => cpu,
                    (cpu, false) => -cpu,
                })
                .collect()
        }),
    );
    assert_eq!(all[0], 1);
    let mut cores: Vec<i32> = all[..4].iter().map(|c| c % 4).collect();
    cores.sort();
    assert_eq!(cores, [0, 1, 2, 3], "whole cores first: {all:?}");
    assert_eq!(all[4], 5, "then the sibling of the previous CPU: {all:?}");
    let mut rest = all[..8].to_vec();
    rest.sort();
    assert_eq!((rest, all[8]), ((0..8).collect(), -1));
    // Two LLCs: those of the own LLC first.
    let near = picks("1x2x4x1", 0, Rc::new(move |k, p| (0..8).map(|_| dfl(k, p, 6).0).collect()));
    assert_eq!(near[0], 6);
    assert!(near[..4].iter().all(|c| (4..8).contains(c)) && near[4..].iter().all(|c| (0..4).contains(c)), "{near:?}");
    // Per node: IN_NODE stays, otherwise the nearest node follows.
    let nodes = picks(
        "2x2x1",
        1 << 6,
        Rc::new(|k, _| {
            let all = CpuMask::first_n(4);
            let mut out: Vec<i32> = (0..3).map(|_| scx_bpf_pick_idle_cpu_node(k, &all, 1, 2)).collect();
            out.extend((0..3).map(|_| scx_bpf_pick_idle_cpu_node(k, &all, 1, 0)));
            out
        }),
    );
    assert_eq!(nodes, [2, 3, -16, 0, 1, -16]); // the cursor is behind 3 (E4)
}

/// E-101: by vtime across the wrap, equal ones in order of arrival; iterators see both directions (E-112).
#[test]
fn vtime_order_wraps_and_iterators_follow_it() {
    let order = Rc::new(RefCell::new((Vec::new(), Vec::new())));
    let out = order.clone();
    let (mut m, _) = machine("1");
    m.enable(Rc::new(Script {
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, 3, -1))),
        enqueue: Some(Box::new(|k, p, _| {
            let n = k.task(p).comm.trim_start_matches('t').parse::<u64>();
            match n {
                Ok(n) => {
                    let vtime = [5, u64::MAX - 10, 0, 5, u64::MAX][n as usize];
                    scx_bpf_dsq_insert_vtime(k, p, 3, MS, vtime, 0)
                }
                Err(_) => scx_bpf_dsq_insert(k, p, GLOBAL, MS, 0),
            };
        })),
        dispatch: Some(Box::new(move |k, _, _| {
            if scx_bpf_dsq_nr_queued(k, 3) == 5 && out.borrow().0.is_empty() {
                for flags in [0, 1 << 16] {
                    let (it, err) = bpf_iter_scx_dsq_new(k, 3, flags);
                    assert_eq!(err, 0);
                    while let Some(p) = bpf_iter_scx_dsq_next(k, it) {
                        let name = k.task(p).comm.clone();
                        let mut o = out.borrow_mut();
                        if flags == 0 { o.0.push(name) } else { o.1.push(name) }
                    }
                    bpf_iter_scx_dsq_destroy(k, it);
                }
            }
            if !out.borrow().0.is_empty() {
                scx_bpf_dsq_move_to_local(k, 3, 0);
            }
        })),
        ..Default::default()
    }));
    for i in 0..5 {
        m.spawn(TaskSpec::new(format!("t{i}"), finite(1, MS, MS)));
    }
    run(&mut m, 100 * MS);
    fine(&m);
    let (forth, mut back) = order.take();
    assert_eq!(forth, ["t1", "t4", "t2", "t0", "t3"]);
    back.reverse();
    assert_eq!(forth, back);
    assert_eq!(alive(&m, "t"), 0);
}

/// E-109, E-110, E-213: return values.
#[test]
fn queue_errors_without_abort() {
    let out = Rc::new(RefCell::new(Vec::new()));
    let into = out.clone();
    let (mut m, _) = machine("2");
    m.enable(Rc::new(Script {
        init: Some(Box::new(move |k| {
            let mut o = into.borrow_mut();
            o.push(scx_bpf_create_dsq(k, 9, -1));
            o.push(scx_bpf_create_dsq(k, 9, -1));
            o.push(scx_bpf_create_dsq(k, 10, 1));
            o.push(scx_bpf_create_dsq(k, 1 << 63, -1));
            o.push(scx_bpf_dsq_nr_queued(k, 9));
            o.push(scx_bpf_dsq_nr_queued(k, 8));
            o.push(scx_bpf_dsq_nr_queued(k, GLOBAL));
            o.push(scx_bpf_dsq_nr_queued(k, LOCAL_ON | 1));
            scx_bpf_destroy_dsq(k, 8);
            scx_bpf_destroy_dsq(k, 9);
            o.push(scx_bpf_dsq_nr_queued(k, 9));
            o.push(scx_bpf_create_dsq(k, 9, 0));
            let (it, err) = bpf_iter_scx_dsq_new(k, 8, 0);
            o.push(err);
            assert_eq!(bpf_iter_scx_dsq_next(k, it), None);
            bpf_iter_scx_dsq_destroy(k, it);
            let (it, err) = bpf_iter_scx_dsq_new(k, 9, 1);
            o.push(err);
            bpf_iter_scx_dsq_destroy(k, it);
            0
        })),
        ..Default::default()
    }));
    run(&mut m, 20 * MS);
    fine(&m);
    assert_eq!(*out.borrow(), [0, -17, -22, -22, 0, -2, -2, 0, -2, 0, -2, -22]);
}

/// E-165: in bypass nothing is lost though the scheduler holds every task.
#[test]
fn bypass_takes_over_held_tasks() {
    let (mut m, _) = machine("2x2x2");
    for i in 0..40 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
    }
    m.enable(Rc::new(Script { enqueue: Some(Box::new(|_, _, _| {})), ..Default::default() }));
    run(&mut m, 300 * MS);
    fine(&m);
    m.disable();
    run(&mut m, 400 * MS);
    ejected(&mut m, "hog");
    let e = m.state().ext.events();
    assert!(e.get(Ev::BypassActivate) >= 2 && e.get(Ev::BypassDispatch) > 0, "{e:?}");
    assert!(e.get(Ev::BypassDuration) > 0);
}

/// Ten thousand tasks on one vtime queue, all of which come and go.
#[test]
fn ten_thousand_tasks_on_a_queue() {
    let (mut m, _) = machine("8");
    m.enable(Rc::new(crate::policies::Simple::default()));
    for i in 0..10_000u64 {
        m.spawn(TaskSpec::new("many", finite(3, 10_000 + i, 1000)));
    }
    m.run_until(2_000 * MS);
    check(&m);
    fine(&m);
    assert_eq!(alive(&m, "many"), 0);
}

/// E-75: a running task whose attributes change goes on without passing through `enqueue`.
#[test]
fn changes_of_a_running_task_do_not_enqueue_it() {
    let changes = Rc::new(Cell::new(0));
    let n = changes.clone();
    let (mut m, _) = machine("2");
    m.enable(Rc::new(Script {
        enqueue: Some(Box::new(|k, p, flags| {
            let running = scx_bpf_task_running(k, p);
            assert!(!(running && flags & 0x2 != 0), "a running task is restored through enqueue");
            scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, flags);
        })),
        set_weight: Some(Box::new(move |k, p, _| n.set(n.get() + u32::from(scx_bpf_task_running(k, p))))),
        ..Default::default()
    }));
    let mut i = 0u32;
    m.spawn(on_cpu("self", 0, move |_: &TaskCx| {
        i += 1;
        match i % 2 {
            0 => Action::SetNice(scxr_kernel::behavior::Whom::Myself, (i % 10) as i8),
            _ => Action::Run(MS),
        }
    }));
    run(&mut m, 100 * MS);
    fine(&m);
    assert!(changes.get() > 50, "{}", changes.get());
}

/// E-60: what the class itself moves between CPUs is not told as a change.
#[test]
fn migrations_within_the_class_are_silent() {
    let told = Rc::new(Cell::new(0));
    let n = told.clone();
    let (mut m, log) = machine("4");
    m.enable(Rc::new(Script {
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, 0, -1))),
        enqueue: Some(Box::new(|k, p, flags| {
            scx_bpf_dsq_insert(k, p, 0, MS, flags);
        })),
        dispatch: Some(Box::new(|k, _, _| {
            scx_bpf_dsq_move_to_local(k, 0, 0);
        })),
        dequeue: Some(Box::new(move |_, _, flags| {
            assert_eq!(flags >> 33 & 1, 0, "nothing changed");
            n.set(n.get() + 1);
        })),
        ..Default::default()
    }));
    run(&mut m, 10 * MS);
    for i in 0..10 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
    }
    run(&mut m, 200 * MS);
    fine(&m);
    let log = log.0.borrow();
    let moves = log.iter().filter(|e| matches!(e.kind, EventKind::Migrate { .. })).count();
    assert!(moves > 100 && told.get() > 100, "{moves} {}", told.get());
}

/// E-48, E-174: the first exit wins, and tasks leave with neither slice nor vtime.
#[test]
fn the_first_exit_wins_and_leaves_nothing_behind() {
    let (mut m, _) = machine("2");
    for i in 0..4 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
    }
    m.enable(Rc::new(Script {
        enqueue: Some(Box::new(|k, p, _| {
            scx_bpf_exit(k, 7, "first");
            scx_bpf_error(k, "second");
            scx_bpf_task_set_dsq_vtime(k, p, 99);
            scx_bpf_dsq_insert(k, p, GLOBAL, 0, 0);
        })),
        ..Default::default()
    }));
    run(&mut m, 300 * MS);
    let info = ejected(&mut m, "hog");
    assert_eq!((info.code, info.msg.as_str()), (7, "first"));
    let s = m.state();
    for t in s.all_tasks().iter().map(|&p| s.task(p)).filter(|t| t.comm.starts_with("hog")) {
        assert_eq!((t.scx.slice, t.scx.dsq_vtime), (0, 0));
    }
}

/// C4: a core counts as idle when all its threads are.
#[test]
fn cores_are_idle_with_all_their_threads() {
    let (mut m, _) = machine("2x2");
    m.enable(Rc::new(Script::default()));
    m.spawn(on_cpu("hog", 0, hog()));
    m.spawn(on_cpu("p", 2, periodic(MS, MS)));
    m.spawn(on_cpu("p", 3, finite(20, MS, MS)));
    run(&mut m, 203 * MS);
    fine(&m);
    assert_eq!(m.with_kernel(scx_bpf_get_idle_smtmask).to_string(), "1,3");
    assert!(!m.with_kernel(scx_bpf_get_idle_cpumask).test(scxr_kernel::ids::CpuId(0)));
}

/// How many steps of 1 ms of work a task begins in 100 ms, on a machine whose scheduler wants `perf` of each CPU.
fn steps_done(spec: &str, perf: &'static [u32], flags: u64) -> u64 {
    let (mut m, _) = machine(spec);
    m.enable(Rc::new(Script {
        flags,
        init: Some(Box::new(move |k| {
            for (cpu, perf) in perf.iter().enumerate() {
                scx_bpf_cpuperf_set(k, cpu as i32, *perf);
            }
            0
        })),
        ..Default::default()
    }));
    m.run_until(MS);
    let steps = Rc::new(Cell::new(0));
    let counted = steps.clone();
    let mut spec = TaskSpec::new("worker", move |_: &TaskCx| {
        counted.set(counted.get() + 1);
        Action::Run(MS)
    });
    spec.affinity = Some(CpuMask::of(CpuId(0)));
    m.spawn(spec);
    m.run_until(101 * MS);
    assert_eq!(m.state().ext.exit_info, None);
    steps.get()
}

/// The governor leaves a quarter of room: a target of 512 is a frequency of 640 of 1024. The threads of a core have one frequency;
/// it has a lower end; and it is the highest while fair tasks count, too.
#[test]
fn performance_targets_are_frequencies() {
    const SWITCH_PARTIAL: u64 = 1 << 3;
    assert_eq!(steps_done("1", &[1024], 0), 100);
    assert_eq!(steps_done("1", &[820], 0), 100);
    assert_eq!(steps_done("1", &[512], 0), 63);
    assert_eq!(steps_done("1", &[0], 0), 21);
    assert_eq!(steps_done("2", &[512, 1024], 0), 63);
    assert_eq!(steps_done("1x2", &[512, 1024], 0), 100);
    assert_eq!(steps_done("1", &[512], SWITCH_PARTIAL), 100);
}

/// A change is felt at once, in the middle of a task's computing, and by all it is told.
#[test]
fn a_change_of_frequency_is_felt_at_once() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    let (mut m, _) = machine("2");
    m.enable(Rc::new(Script {
        timer: Some(Box::new(move |k, _| {
            told.borrow_mut().push(scx_bpf_cpuperf_cur(k, 0));
            scx_bpf_cpuperf_set(k, 0, 409);
            told.borrow_mut().push(scx_bpf_cpuperf_cur(k, 0));
        })),
        init: Some(Box::new(|k| {
            bpf_timer_start(k, 0, 51 * MS);
            0
        })),
        ..Default::default()
    }));
    m.run_until(MS);
    let done = Rc::new(Cell::new(0));
    let at = done.clone();
    let mut started = false;
    let mut spec = TaskSpec::new("worker", move |cx: &TaskCx| {
        if started {
            at.set(cx.now);
            return Action::Exit;
        }
        started = true;
        Action::Run(100 * MS)
    });
    spec.affinity = Some(CpuMask::of(CpuId(0)));
    m.spawn(spec);
    m.run_until(300 * MS);
    assert_eq!(*seen.borrow(), [1024, 511]);
    // 50 ms at full speed and the other 50 ms of work at 511 of 1024.
    let expect = 51 * MS + 50 * MS * 1024 / 511;
    assert!(done.get().abs_diff(expect) < 2 * MS, "{} {expect}", done.get());
}

/// While a run queue is locked, the time is that of its clock, however long the operation takes; else it is the time.
#[test]
fn now_stands_still_while_a_run_queue_is_locked() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (within, without) = (seen.clone(), seen.clone());
    let measure = |k: &mut scxr_kernel::Kernel| {
        let (first, from) = (scx_bpf_now(k), k.now());
        k.charge(100_000);
        (scx_bpf_now(k) - first, k.now() - from)
    };
    let (mut m, _) = machine("1");
    m.enable(Rc::new(Script {
        select_cpu: Some(Box::new(|_, _, prev, _| prev.0 as i32)),
        enqueue: Some(Box::new(move |k, p, _| {
            within.borrow_mut().push(("locked", measure(k)));
            scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
        })),
        timer: Some(Box::new(move |k, _| without.borrow_mut().push(("free", measure(k))))),
        init: Some(Box::new(|k| {
            bpf_timer_start(k, 0, 30 * MS);
            0
        })),
        ..Default::default()
    }));
    m.spawn(TaskSpec::new("t", periodic(MS, 5 * MS)));
    m.run_until(60 * MS);
    let seen = seen.borrow();
    assert!(seen.iter().filter(|(what, _)| *what == "locked").count() > 3, "{seen:?}");
    for (what, (now, passed)) in seen.iter() {
        assert!(*passed >= 100_000, "{what}: {passed}");
        assert_eq!(*now, if *what == "locked" { 0 } else { *passed }, "{what}");
    }
}
