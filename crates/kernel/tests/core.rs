//! The core without any BPF scheduler: time, wakeups, sleeping, classes.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cost::CostTable;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use scxr_trace::{Checker, Event, EventKind, Rules, Sink};

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<Event>>>);

impl Sink for Log {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        self.0.borrow_mut().push(Event { t, cpu, kind });
    }
}

const MS: u64 = 1_000_000;

fn machine(spec: &str) -> (Machine, Log) {
    let log = Log::default();
    (Machine::new(Topology::parse(spec).unwrap(), Config::default(), Box::new(log.clone())), log)
}

fn hog() -> impl FnMut(&TaskCx) -> Action {
    |_: &TaskCx| Action::Run(10 * MS)
}

fn cpu_time(m: &Machine, comm: &str) -> u64 {
    let s = m.state();
    s.all_tasks().into_iter().map(|p| s.task(p)).filter(|t| t.comm == comm).map(|t| t.sum_exec_runtime).sum()
}

#[test]
fn hogs_share_two_cpus() {
    let (mut m, _) = machine("2");
    for i in 0..4 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
    }
    m.run_until(400 * MS);
    let times: Vec<u64> = (0..4).map(|i| cpu_time(&m, &format!("hog{i}"))).collect();
    assert!(times.iter().sum::<u64>() > 780 * MS, "{times:?}");
    assert!(times.iter().all(|&t| t > 150 * MS && t < 250 * MS), "{times:?}");
}

#[test]
fn ping_pong_over_wait_queues() {
    let (_, rounds, log) = ping_pong("2");
    assert!(rounds > 5_000 && rounds < 200_000, "{rounds}");
    let wakings = log.0.borrow().iter().filter(|e| matches!(e.kind, EventKind::Waking { .. })).count();
    assert!(wakings as u32 >= rounds - 5, "{wakings} of {rounds}");
}

/// What a CPU does between two tasks is somebody's time, too: running and idling make up the run.
#[test]
fn all_time_of_a_cpu_is_accounted_for() {
    for spec in ["1", "2", "1x2"] {
        let (m, _, log) = ping_pong(spec);
        let mut checker = Checker::new(Rules { whole_time: true, ..Rules::default() });
        log.0.borrow().iter().for_each(|e| checker.event(e.t, e.cpu, e.kind.clone()));
        assert_eq!(checker.finish(50 * MS).first(), None, "{spec}");
        // So does the kernel's own account, as of the last update of each task. With two CPUs they idle at times.
        let s = m.state();
        let total: u64 = s.all_tasks().into_iter().map(|p| s.task(p).sum_exec_runtime).sum();
        let busy = total > 49 * MS && total < 50 * MS + 20_000;
        assert!(busy == (spec == "1"), "{spec}: {total}");
    }
}

/// Two tasks that wake each other for 50 ms; the machine, the number of rounds, and the trace.
fn ping_pong(spec: &str) -> (Machine, u32, Log) {
    let (mut m, log) = machine(spec);
    let (a, b) = (m.wait_queue(), m.wait_queue());
    let turn = Rc::new(RefCell::new(0u32));
    let rounds = Rc::new(RefCell::new(0u32));
    for me in 0..2u32 {
        let (turn, rounds) = (turn.clone(), rounds.clone());
        let (mine, theirs) = if me == 0 { (a, b) } else { (b, a) };
        m.spawn(TaskSpec::new(format!("pp{me}"), move |_: &TaskCx| {
            if *turn.borrow() != me {
                return Action::Wait(mine);
            }
            *turn.borrow_mut() = 1 - me;
            *rounds.borrow_mut() += 1;
            Action::Wake { queue: theirs, nr: 1, sync: true }
        }));
    }
    m.run_until(50 * MS);
    let rounds = *rounds.borrow();
    (m, rounds, log)
}

/// A task that forks itself for ever fills the machine, and the machine goes on [fork(2): EAGAIN].
#[test]
fn the_number_of_tasks_is_bounded() {
    fn forker() -> TaskSpec {
        TaskSpec::new("forker", |_: &TaskCx| Action::Fork(Box::new(forker())))
    }
    let config = Config { nr_tasks_max: 40, ..Config::default() };
    let mut m = Machine::new(Topology::parse("2").unwrap(), config, Box::new(scxr_trace::NullSink));
    m.spawn(forker());
    assert_eq!(m.nr_spawns_pending(), 1);
    m.run_until(20 * MS);
    assert_eq!(m.nr_spawns_pending(), 0);
    let s = m.state();
    assert_eq!(s.all_tasks().len(), 40);
    assert!(s.nr_forks_refused > 100, "{}", s.nr_forks_refused);
}

#[test]
fn sleepers_wake_in_time_and_rt_preempts() {
    let (mut m, log) = machine("1");
    m.spawn(TaskSpec::new("hog", hog()));
    let mut spec = TaskSpec::new("rt", {
        let mut run = false;
        move |_: &TaskCx| {
            run = !run;
            if run { Action::Run(MS) } else { Action::Sleep(9 * MS) }
        }
    });
    spec.policy = Policy::Fifo(10);
    m.spawn(spec);
    m.run_until(200 * MS);
    let rt = cpu_time(&m, "rt");
    assert!((18 * MS..22 * MS).contains(&rt), "{rt}");
    // From each waking to the switch: less than 10 us.
    let log = log.0.borrow();
    let pid = log.iter().find_map(|e| match &e.kind {
        EventKind::Fork { pid, comm, .. } if comm == "rt" => Some(*pid),
        _ => None,
    });
    let pid = pid.unwrap();
    let mut woken = None;
    let mut n = 0;
    for e in log.iter() {
        match e.kind {
            EventKind::Waking { pid: p, .. } if p == pid => woken = Some(e.t),
            EventKind::SwitchIn { pid: p } if p == pid => {
                if let Some(w) = woken.take() {
                    n += 1;
                    assert!(e.t - w < 10_000, "{} ns", e.t - w);
                }
            }
            _ => {}
        }
    }
    assert!(n >= 18, "{n}");
}

#[test]
fn affinity_nice_fork_and_exit() {
    let (mut m, log) = machine("2x2");
    m.spawn(TaskSpec::new("parent", {
        let mut step = 0;
        move |cx: &TaskCx| {
            step += 1;
            match step {
                1 => Action::Fork(Box::new(TaskSpec::new("child", hog()))),
                2 => Action::SetAffinity(Whom::Task(cx.last_child.unwrap()), CpuMask::parse("3").unwrap()),
                3 => Action::SetNice(Whom::Task(cx.last_child.unwrap()), 10),
                4 => Action::SetAffinity(Whom::Myself, CpuMask::parse("2").unwrap()),
                5 => Action::Run(MS),
                6 => {
                    assert_eq!(cx.cpu.0, 2);
                    Action::Yield
                }
                _ => Action::Exit,
            }
        }
    }));
    m.run_until(20 * MS);
    let s = m.state();
    let child = s.all_tasks().into_iter().find(|&p| s.task(p).comm == "child").unwrap();
    assert_eq!((s.task(child).cpu.0, s.task(child).nice), (3, 10));
    assert!(s.all_tasks().iter().all(|&p| s.task(p).comm != "parent"), "it exited");
    assert!(log.0.borrow().iter().any(|e| matches!(e.kind, EventKind::Exit { .. })));
}

#[test]
fn a_run_is_a_function_of_its_inputs() {
    let run = || {
        let (mut m, log) = machine("2x4x2");
        for i in 0..40u64 {
            m.spawn(TaskSpec::new(format!("t{i}"), {
                let mut n = 0;
                move |_: &TaskCx| {
                    n += 1;
                    if n % 2 == 0 { Action::Sleep(100_000 + i * 777) } else { Action::Run(300_000 + i * 131) }
                }
            }));
        }
        m.run_until(100 * MS);
        log.0.take()
    };
    let (a, b) = (run(), run());
    assert!(a.len() > 10_000, "{}", a.len());
    assert!(a == b);
}

#[test]
fn smt_siblings_slow_each_other_down() {
    let work = |spec: &str| {
        let (mut m, _) = machine(spec);
        let done = Rc::new(RefCell::new(0u32));
        for i in 0..2 {
            let done = done.clone();
            m.spawn(TaskSpec::new(format!("hog{i}"), move |_: &TaskCx| {
                *done.borrow_mut() += 1;
                Action::Run(MS)
            }));
        }
        m.run_until(200 * MS);
        *done.borrow()
    };
    let (cores, threads) = (work("2"), work("1x2"));
    assert!((390..=402).contains(&cores), "{cores}");
    assert!((245..=260).contains(&threads), "{threads}"); // 2 * 640 / 1024 of one core
}

#[test]
fn an_affinity_beyond_the_machine_is_cut_to_it() {
    let (mut m, _) = machine("4");
    let wide = |step: u32| match step {
        1 => Action::SetAffinity(Whom::Myself, CpuMask::parse("1-1023").unwrap()),
        2 => Action::SetAffinity(Whom::Myself, CpuMask::parse("4-7").unwrap()), // EINVAL
        n if n % 2 == 0 => Action::Run(MS),
        _ => Action::Sleep(MS),
    };
    let task = |comm: &str, affinity| {
        let mut step = 0;
        let behavior = move |_: &TaskCx| {
            step += 1;
            wide(step)
        };
        TaskSpec { policy: Policy::Fifo(5), affinity, ..TaskSpec::new(comm, behavior) }
    };
    m.spawn(task("rt", None));
    for i in 0..6 {
        let mut step = 2;
        let behavior = move |_: &TaskCx| {
            step += 1;
            wide(step)
        };
        let affinity = Some(CpuMask::parse(if i % 2 == 0 { "2-900" } else { "10" }).unwrap());
        m.spawn(TaskSpec { policy: Policy::Fifo(6), affinity, ..TaskSpec::new(format!("r{i}"), behavior) });
    }
    m.run_until(100 * MS);
    let s = m.state();
    let cpus = |comm: &str| {
        let p = s.all_tasks().into_iter().find(|&p| s.task(p).comm == comm).unwrap();
        (s.task(p).cpus.to_string(), s.task(p).nr_cpus_allowed)
    };
    assert_eq!(cpus("rt"), ("1-3".into(), 3));
    assert_eq!(cpus("r0"), ("2-3".into(), 2));
    assert_eq!(cpus("r1"), ("0-3".into(), 4));
}

/// [find_lowest_rq, cpumask_any_and_distribute]
#[test]
fn real_time_tasks_are_born_on_one_cpu_after_the_other() {
    let (mut m, _) = machine("4");
    let child = || TaskSpec { policy: Policy::Fifo(5), ..TaskSpec::new("child", |_: &TaskCx| Action::Sleep(100 * MS)) };
    let mut step = 0;
    let parent = move |_: &TaskCx| {
        step += 1;
        match step {
            n if n > 14 => Action::Sleep(100 * MS),
            n if n % 2 == 0 => Action::Run(MS),
            _ => Action::Fork(Box::new(child())),
        }
    };
    let affinity = Some(CpuMask::of(CpuId(1)));
    m.spawn(TaskSpec { policy: Policy::Fifo(5), affinity, ..TaskSpec::new("parent", parent) });
    m.run_until(50 * MS);
    let s = m.state();
    let children = s.all_tasks().into_iter().map(|p| s.task(p)).filter(|t| t.comm == "child");
    assert_eq!(children.map(|t| t.cpu.0).collect::<Vec<_>>(), [2, 3, 0, 2, 3, 0, 2]);
}

#[test]
fn outside_code_does_not_wait() {
    let run = |outside: bool| {
        let (mut m, log) = machine("2");
        (0..3).for_each(|i| m.spawn(TaskSpec::new(format!("hog{i}"), hog())));
        m.run_until(5 * MS);
        if outside {
            let cpus = m.with_kernel(|k| {
                (0..10).for_each(|_| k.interleave(Interleave::Callback));
                k.nr_cpus()
            });
            assert_eq!(cpus, 2);
        }
        m.run_until(50 * MS);
        log.0.take()
    };
    assert!(run(false) == run(true), "nothing ran meanwhile");
}

/// Three FIFO tasks of one priority wait for CPU 0 in the order a, b, c; then `change` is made to b. The order in which they run.
fn fifo_order(change: impl Fn(scxr_kernel::ids::TaskId) -> Action + 'static) -> String {
    let (mut m, _) = machine("2");
    let order = Rc::new(RefCell::new(String::new()));
    let task = |name: &'static str, wakes: u64, run: u64| {
        let (order, mut step) = (order.clone(), 0);
        let behavior = move |_: &TaskCx| {
            step += 1;
            match step {
                1 => Action::SleepUntil(wakes),
                2 => {
                    order.borrow_mut().push_str(name);
                    Action::Run(run)
                }
                _ => Action::Exit,
            }
        };
        let affinity = Some(CpuMask::parse("0").unwrap());
        TaskSpec { policy: Policy::Fifo(10), affinity, ..TaskSpec::new(name, behavior) }
    };
    let (b, mut step) = (std::cell::Cell::new(Some(task("b", 6_100_000, MS))), 0);
    let changer = move |cx: &TaskCx| {
        step += 1;
        match step {
            1 => Action::Fork(Box::new(b.take().unwrap())),
            2 => Action::SleepUntil(8 * MS),
            3 => change(cx.last_child.unwrap()),
            _ => Action::Run(100 * MS), // keeps CPU 1 from pulling
        }
    };
    let affinity = Some(CpuMask::parse("1").unwrap());
    m.spawn(TaskSpec { policy: Policy::Fifo(90), affinity, ..TaskSpec::new("changer", changer) });
    m.spawn(task("a", 6 * MS, 20 * MS));
    m.spawn(task("c", 6_200_000, MS));
    m.run_until(60 * MS);
    order.take()
}

#[test]
fn a_fifo_task_keeps_its_place_where_its_priority_stays() {
    let all = CpuMask::parse("0-1").unwrap();
    assert_eq!(fifo_order(|_| Action::Work(0)), "abc");
    assert_eq!(fifo_order(move |b| Action::SetAffinity(Whom::Task(b), all)), "abc");
    assert_eq!(fifo_order(|b| Action::SetNice(Whom::Task(b), 5)), "abc");
    assert_eq!(fifo_order(|b| Action::SetPolicy(Whom::Task(b), Policy::RoundRobin(10))), "abc");
    assert_eq!(fifo_order(|b| Action::SetPolicy(Whom::Task(b), Policy::Fifo(9))), "acb");
}

/// A CPU with nothing to run queues itself who is woken for it, when the interrupt comes [ttwu_queue_wakelist].
#[test]
fn an_idle_cpu_queues_who_is_woken_for_it() {
    const LATENCY: u64 = 50_000;
    let log = Log::default();
    let cost = CostTable { ipi_latency: [LATENCY; 4], ..CostTable::default() };
    let mut m =
        Machine::new(Topology::parse("2").unwrap(), Config { cost, ..Config::default() }, Box::new(log.clone()));
    let queue = m.wait_queue();
    let waiter = move |_: &TaskCx| Action::Wait(queue);
    let waker = move |cx: &TaskCx| match cx.now / 100_000 % 2 {
        0 => Action::Run(100_000),
        _ => Action::Wake { queue, nr: 1, sync: false },
    };
    m.spawn(TaskSpec { affinity: Some(CpuMask::of(CpuId(1))), ..TaskSpec::new("waiter", waiter) });
    m.spawn(TaskSpec { affinity: Some(CpuMask::of(CpuId(0))), ..TaskSpec::new("waker", waker) });
    m.run_until(20 * MS);
    let pid = m.state().all_tasks().into_iter().map(|p| m.state().task(p)).find(|t| t.comm == "waiter").unwrap().pid;
    let (mut woken, mut queued) = (None, 0);
    for e in log.0.borrow().iter() {
        match e.kind {
            EventKind::Waking { pid: p, .. } if p == pid && e.t > MS => woken = Some(e.t),
            EventKind::Enqueue { pid: p, on, .. } if p == pid => {
                if let Some(at) = woken.take() {
                    assert!(on == 1 && e.t >= at + LATENCY, "woken at {at}, queued at {}", e.t);
                    queued += 1;
                }
            }
            _ => {}
        }
    }
    assert!(queued > 20, "{queued}");
}
