//! Core scheduling: the threads of a core run one cookie at a time (E-41, E-65, E-131, E-149, E-150).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rand_core::RngCore;
use rand_pcg::Pcg32;
use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_kernel::topology::Topology;
use scxr_trace::EventKind;

use crate::harness::*;
use crate::script::Script;

const QUEUE: u64 = 0;
/// An interrupt and a switch: how long a thread goes on after another of its core has been given a task that does not fit.
const ON_ITS_WAY_NS: u64 = 30_000;

fn with_cookie(cookie: u64, mut body: impl FnMut(&TaskCx) -> Action) -> impl FnMut(&TaskCx) -> Action {
    let mut first = true;
    move |cx: &TaskCx| match std::mem::take(&mut first) {
        true => Action::SetCookie(Whom::Myself, cookie),
        false => body(cx),
    }
}

fn pinned(comm: &str, cpu: u32, cookie: u64) -> TaskSpec {
    let mut spec = TaskSpec::new(comm, with_cookie(cookie, hog()));
    spec.affinity = Some(CpuMask::of(CpuId(cpu)));
    spec
}

fn core_machine(spec: &str, seed: u64, interleave: Interleave) -> (Machine, Log) {
    machine_with(spec, Config { seed, interleave, core_sched: true, ..Config::default() })
}

/// A queue by vtime for all.
fn one_queue() -> Script {
    Script {
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, QUEUE, -1))),
        enqueue: Some(Box::new(|k, p, flags| {
            let vtime = k.task(p).scx.dsq_vtime;
            scx_bpf_dsq_insert_vtime(k, p, QUEUE, SLICE_DFL / 5, vtime, flags);
        })),
        dispatch: Some(Box::new(|k, _, _| {
            scx_bpf_dsq_move_to_local(k, QUEUE, 0);
        })),
        stopping: Some(Box::new(|k, p, _| {
            let e = &k.task(p).scx;
            let vtime = e.dsq_vtime + (SLICE_DFL / 5).saturating_sub(e.slice);
            scx_bpf_task_set_dsq_vtime(k, p, vtime);
        })),
        ..Script::default()
    }
}

/// The longest time for which two threads of a core ran user tasks of different cookies, and how often they ran together at all.
/// Cookies by the first character of the name; threads of the kernel have none.
fn together(log: &Log, topology: &Topology) -> (u64, u64) {
    let mut names = BTreeMap::new();
    let mut on: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
    let (mut longest, mut nr) = (0, 0);
    let cookie = |names: &BTreeMap<u32, String>, pid: u32| names[&pid].chars().next();
    for e in log.0.borrow().iter() {
        match &e.kind {
            EventKind::Fork { pid, comm, .. } => drop(names.insert(*pid, comm.clone())),
            EventKind::SwitchIn { pid } => drop(on.insert(e.cpu, (*pid, e.t))),
            EventKind::SwitchOut { pid, .. } => {
                let Some((_, since)) = on.remove(&e.cpu) else { continue };
                for (&other, &(q, from)) in &on {
                    if topology.smt_mask(CpuId(e.cpu)).test(CpuId(other)) {
                        let both = e.t.saturating_sub(since.max(from));
                        match cookie(&names, *pid) == cookie(&names, q) {
                            true => nr += 1,
                            false => longest = longest.max(both),
                        }
                    }
                }
            }
            _ => {}
        }
    }
    (longest, nr)
}

/// Two groups that may not meet, on two cores: none ever does, all get on, and nothing is left idle for long.
#[test]
fn threads_of_a_core_run_one_cookie() {
    for (scheduler, interleave) in
        [(None, Interleave::Callback), (Some(()), Interleave::Callback), (Some(()), Interleave::Kfunc)]
    {
        let (mut m, log) = core_machine("2x2", 7, interleave);
        if scheduler.is_some() {
            m.enable(Rc::new(one_queue()));
        }
        for (group, cookie) in [("a", 1), ("b", 2)] {
            for i in 0..2 {
                m.spawn(TaskSpec::new(format!("{group}-hog{i}"), with_cookie(cookie, hog())));
                let naps = periodic(300_000 + 70_000 * i, 500_000);
                m.spawn(TaskSpec::new(format!("{group}-nap{i}"), with_cookie(cookie, naps)));
            }
        }
        run(&mut m, 100 * MS);
        log.0.borrow_mut().retain(|e| matches!(e.kind, EventKind::Fork { .. })); // all have their cookies by now
        run(&mut m, 1100 * MS);
        let (longest, nr) = together(&log, &m.state().topology);
        assert!(longest < ON_ITS_WAY_NS, "{scheduler:?}: {longest} ns");
        assert!(nr > 100, "{scheduler:?}: only {nr} times together");
        let s = m.state();
        let user = s.all_tasks().into_iter().map(|p| s.task(p)).filter(|t| t.core_cookie != 0);
        let times: Vec<u64> = user.map(|t| t.sum_exec_runtime / MS).collect();
        assert_eq!(times.len(), 8);
        assert!(times.iter().all(|&t| t > 100), "{scheduler:?}: {times:?}");
        assert!(times.iter().sum::<u64>() > 3000, "{scheduler:?}: {times:?} of 4400");
    }
}

/// Two pinned hogs that may not meet take turns, by when they had theirs last, or as the scheduler says.
#[test]
fn a_scheduler_orders_what_may_not_meet() {
    let shares = |script: Script| {
        let (mut m, _) = core_machine("1x2", 1, Interleave::Callback);
        m.enable(Rc::new(script));
        m.spawn(pinned("first", 0, 1));
        m.spawn(pinned("second", 1, 2));
        run(&mut m, 900 * MS);
        (cpu_time(&m, "first") / MS, cpu_time(&m, "second") / MS)
    };
    let (first, second) = shares(Script { timeout_ms: 5000, ..one_queue() });
    assert!(first.abs_diff(second) < 60 && first + second > 800, "{first} {second}");
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let before = move |k: &mut scxr_kernel::Kernel, a, b| {
        count.set(count.get() + 1);
        k.task(a).comm == "second" && k.task(b).comm == "first"
    };
    let (first, second) = shares(Script { timeout_ms: 5000, core_sched_before: Some(Box::new(before)), ..one_queue() });
    assert!(second > 20 * first.max(1) && asked.get() > 10, "{first} {second}");
}

/// Fair tasks take turns by lag, which is compared across the two queues.
#[test]
fn fair_tasks_that_may_not_meet_share_by_weight() {
    for (nice, due) in [(0, 450..550), (5, 200..300)] {
        let (mut m, _) = core_machine("1x2", 1, Interleave::Callback);
        m.spawn(pinned("first", 0, 1));
        let mut second = pinned("second", 1, 2);
        second.nice = nice;
        m.spawn(second);
        run(&mut m, 2000 * MS);
        let (first, second) = (cpu_time(&m, "first"), cpu_time(&m, "second"));
        let share = second * 1000 / (first + second);
        assert!(due.contains(&share), "nice {nice}: {share}, {first} {second}");
    }
}

/// The scheduler holds a task that is picked for its cookie, and is told that it has it no longer.
#[test]
fn a_task_in_custody_can_be_picked() {
    const CORE_SCHED_EXEC: u64 = 1 << 32;
    let picked = Rc::new(Cell::new(0));
    let seen = picked.clone();
    let script = Script {
        dequeue: Some(Box::new(move |_, _, flags| {
            if flags & CORE_SCHED_EXEC != 0 {
                seen.set(seen.get() + 1);
            }
        })),
        ..one_queue()
    };
    let (mut m, log) = core_machine("2x2", 3, Interleave::Callback);
    m.enable(Rc::new(script));
    for i in 0..12 {
        let group = ["a", "b", "c"][i % 3];
        m.spawn(TaskSpec::new(format!("{group}{i}"), with_cookie(i as u64 % 3 + 1, hog())));
    }
    run(&mut m, 50 * MS);
    log.0.borrow_mut().retain(|e| matches!(e.kind, EventKind::Fork { .. }));
    run(&mut m, 800 * MS);
    assert!(picked.get() > 5, "{}", picked.get());
    let (longest, _) = together(&log, &m.state().topology);
    assert!(longest < ON_ITS_WAY_NS, "{longest} ns");
}

/// CPUs come and go, cookies and affinities change, real-time tasks interfere, and schedulers come and go.
#[test]
fn anything_at_any_moment() {
    for seed in 0..6 {
        let interleave = [Interleave::Callback, Interleave::Kfunc][seed as usize % 2];
        let (mut m, _) = core_machine("2x2x2", seed, interleave);
        let everyone: Rc<RefCell<Vec<TaskId>>> = Rc::default();
        for i in 0..12 {
            let mut r = Pcg32::new(seed, i);
            let everyone = everyone.clone();
            m.spawn(TaskSpec::new(format!("any{i}"), move |cx: &TaskCx| {
                let some = u64::from(r.next_u32() % 900_000);
                match r.next_u32() % 12 {
                    0..5 => Action::Run(some),
                    5..9 => Action::Sleep(some),
                    9 => {
                        let mut known = everyone.borrow_mut();
                        if !known.contains(&cx.task) {
                            known.push(cx.task);
                        }
                        Action::SetCookie(Whom::Task(known[some as usize % known.len()]), some % 4)
                    }
                    10 => Action::SetAffinity(Whom::Myself, CpuMask::first_n(1 + some as usize % 8)),
                    _ => Action::Yield,
                }
            }));
        }
        let mut r = Pcg32::new(seed, 99);
        let mut plug = TaskSpec::new("plug", move |_: &TaskCx| match r.next_u32() % 3 {
            0 => Action::SetCpuOnline(CpuId(1 + r.next_u32() % 7), !r.next_u32().is_multiple_of(3)),
            1 => Action::Run(200_000),
            _ => Action::Sleep(3 * MS),
        });
        plug.policy = Policy::Fifo(20);
        plug.affinity = Some(CpuMask::of(CpuId(0)));
        m.spawn(plug);
        for round in 1..=6u64 {
            m.enable(Rc::new(Script {
                flags: if round % 2 == 0 { 1 << 1 } else { 0 },
                cpu_online: Some(Box::new(|_, _| {})),
                cpu_offline: Some(Box::new(|_, _| {})),
                ..one_queue()
            }));
            run(&mut m, round * 40 * MS);
            assert_eq!(m.state().ext.root_name(), Some("script"), "seed {seed}: {:?}", m.state().ext.exit_info);
            m.disable();
        }
        run(&mut m, 300 * MS);
        let time = |m: &Machine| (0..12).map(|i| cpu_time(m, &format!("any{i}"))).collect::<Vec<_>>();
        let before = time(&m);
        run(&mut m, 600 * MS);
        assert!(before.iter().zip(time(&m)).all(|(b, a)| a > *b), "seed {seed}: {before:?} {:?}", time(&m));
    }
}

/// A deadline task with the cookie of who runs beside it has its runtime, and no more.
#[test]
fn a_cookie_lends_no_runtime() {
    let (mut m, _) = core_machine("1x2", 1, Interleave::Callback);
    m.spawn(pinned("beside", 0, 1));
    let mut spec = TaskSpec::new("deadline", with_cookie(1, hog()));
    spec.policy = Policy::Deadline { runtime: 2 * MS, deadline: 10 * MS, period: 10 * MS };
    m.spawn(spec);
    run(&mut m, 1000 * MS);
    let (deadline, beside) = (cpu_time(&m, "deadline") / MS, cpu_time(&m, "beside") / MS);
    assert!((180..=215).contains(&deadline) && beside > 850, "{deadline} {beside}");
}
