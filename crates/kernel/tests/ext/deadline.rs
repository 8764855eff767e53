//! The deadline class and its servers, beside the classes below.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use scxr_kernel::AttrError;
use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::class::ClassId;
use scxr_kernel::class::dl::ParamsError;
use scxr_kernel::config::{Config, Servers};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::ops::PreemptReason;
use scxr_kernel::ids::{CpuId, TaskId};

use crate::harness::*;
use crate::script::Script;

fn reserved(runtime: u64, deadline: u64, period: u64) -> Policy {
    Policy::Deadline { runtime, deadline, period }
}

fn with_policy(mut spec: TaskSpec, policy: Policy) -> TaskSpec {
    spec.policy = policy;
    spec
}

fn pinned(mut spec: TaskSpec, cpu: u32) -> TaskSpec {
    spec.affinity = Some(CpuMask::of(CpuId(cpu)));
    spec
}

fn find(m: &Machine, comm: &str) -> TaskId {
    let s = m.state();
    s.all_tasks().into_iter().find(|&p| s.task(p).comm == comm).expect(comm)
}

type Latencies = Rc<RefCell<Vec<u64>>>;

/// Runs `work` at the beginning of each period, and notes how long that took each time.
fn job(work: u64, period: u64, latencies: &Latencies) -> impl FnMut(&TaskCx) -> Action + use<> {
    let log = latencies.clone();
    let mut release = 0;
    let mut running = false;
    move |cx: &TaskCx| {
        if running {
            log.borrow_mut().push(cx.now - release);
            running = false;
        } else if release > 0 && cx.now >= release {
            running = true;
            return Action::Run(work);
        }
        release = cx.now / period * period + period;
        Action::SleepUntil(release)
    }
}

/// Percent of `total` in which tasks of that name ran.
fn percent(m: &Machine, comm: &str, total: u64) -> u64 {
    cpu_time(m, comm) * 100 / total
}

#[test]
fn a_hog_gets_its_runtime_each_period_and_no_more() {
    let (mut m, _) = machine("1");
    m.spawn(with_policy(TaskSpec::new("dl", hog()), reserved(20 * MS, 100 * MS, 0)));
    m.spawn(TaskSpec::new("fair", hog()));
    run(&mut m, 2_000 * MS);
    assert_eq!(m.state().task(find(&m, "dl")).class, ClassId::Dl);
    let (dl, fair) = (percent(&m, "dl", 2_000 * MS), percent(&m, "fair", 2_000 * MS));
    assert!((19..=21).contains(&dl) && (77..=81).contains(&fair), "{dl} {fair}");
}

#[test]
fn the_earliest_deadline_runs_and_all_are_met() {
    // 45 + 40 of 100: rate-monotonic order would miss some, earliest deadline first meets all.
    let (mut m, _) = machine("1");
    let [a, b] = [Latencies::default(), Latencies::default()];
    m.spawn(with_policy(TaskSpec::new("a", job(9 * MS, 20 * MS, &a)), reserved(9_500_000, 20 * MS, 0)));
    m.spawn(with_policy(TaskSpec::new("b", job(11 * MS, 28 * MS, &b)), reserved(11_500_000, 28 * MS, 0)));
    m.spawn(TaskSpec::new("fair", hog()));
    m.spawn(with_policy(TaskSpec::new("fifo", hog()), Policy::Fifo(99)));
    run(&mut m, 1_400 * MS);
    for (latencies, deadline, jobs) in [(a, 20 * MS, 65), (b, 28 * MS, 45)] {
        let latencies = latencies.borrow();
        assert!(latencies.len() >= jobs, "{}", latencies.len());
        assert!(latencies.iter().all(|&l| l <= deadline), "{latencies:?}");
    }
}

#[test]
fn reservations_spread_over_the_machine() {
    let (mut m, _) = machine("4");
    let logs: Vec<Latencies> = (0..6).map(|_| Latencies::default()).collect();
    for log in &logs {
        m.spawn(with_policy(TaskSpec::new("dl", job(11 * MS, 20 * MS, log)), reserved(12 * MS, 20 * MS, 0)));
    }
    for i in 0..8 {
        m.spawn(TaskSpec::new(format!("fair{i}"), hog()));
    }
    run(&mut m, 1_000 * MS);
    // 6 times 60 % on 4 CPUs: tardiness of global EDF is bounded.
    for log in logs {
        let log = log.borrow();
        assert!(log.len() >= 30, "{}", log.len());
        assert!(log.iter().all(|&l| l <= 45 * MS), "{log:?}");
    }
}

#[test]
fn a_constrained_deadline_comes_once_a_period() {
    let (mut m, _) = machine("1");
    m.spawn(with_policy(TaskSpec::new("dl", periodic(4 * MS, MS)), reserved(5 * MS, 10 * MS, 50 * MS)));
    m.spawn(TaskSpec::new("fair", hog()));
    run(&mut m, 2_000 * MS);
    let dl = percent(&m, "dl", 2_000 * MS);
    assert!((7..=11).contains(&dl), "{dl}");
}

#[test]
fn who_yields_waits_for_the_next_period() {
    let (mut m, _) = machine("1");
    let times = Latencies::default();
    let log = times.clone();
    let behavior = move |cx: &TaskCx| {
        log.borrow_mut().push(cx.now);
        Action::Yield
    };
    m.spawn(with_policy(TaskSpec::new("dl", behavior), reserved(5 * MS, 20 * MS, 0)));
    run(&mut m, 500 * MS);
    let times = times.borrow();
    assert!(times.len() >= 20, "{}", times.len());
    let gaps = times.windows(2).skip(2).map(|w| w[1] - w[0]);
    assert!(gaps.clone().all(|gap| (19 * MS..22 * MS).contains(&gap)), "{:?}", gaps.collect::<Vec<_>>());
}

#[test]
fn no_more_is_promised_than_there_is() {
    let (mut m, _) = machine("2");
    for i in 0..3 {
        m.spawn(TaskSpec::new(format!("t{i}"), periodic(MS, 5 * MS)));
    }
    run(&mut m, 20 * MS);
    let ids: Vec<TaskId> = (0..3).map(|i| find(&m, &format!("t{i}"))).collect();
    let bandwidth = |m: &Machine| m.state().deadline_bandwidth();
    let servers = 2 * 52_428;
    assert_eq!(bandwidth(&m), servers);
    let results: Rc<RefCell<Vec<_>>> = Rc::default();
    let log = results.clone();
    let tasks = ids.clone();
    let at = m.now();
    m.at(at, move |k| {
        let mut set = |p, policy| log.borrow_mut().push(k.set_scheduler(p, policy, 0));
        set(tasks[0], reserved(80 * MS, 100 * MS, 0));
        set(tasks[1], reserved(80 * MS, 100 * MS, 0));
        set(tasks[2], reserved(30 * MS, 100 * MS, 0)); // 160 + 10 + 30 of 190
        set(tasks[2], reserved(19 * MS, 100 * MS, 0));
        set(tasks[2], reserved(MS, 0, 0));
        let one = k.set_cpus_allowed(tasks[0], CpuMask::of(CpuId(0)));
        log.borrow_mut().push(one);
    });
    run(&mut m, 30 * MS);
    let busy = Err(AttrError::Deadline(ParamsError::NoBandwidth));
    let invalid = Err(AttrError::Deadline(ParamsError::Invalid));
    let expect = [Ok(()), Ok(()), busy, Ok(()), invalid, Err(AttrError::DeadlineAffinity)];
    assert_eq!(*results.borrow(), expect);
    // Who leaves gives back what it had, at the latest with the next period.
    m.at(30 * MS, move |k| k.set_scheduler(ids[0], Policy::Normal, 0).unwrap());
    run(&mut m, 200 * MS);
    assert_eq!(bandwidth(&m), servers + (80 << 20) / 100 + (19 << 20) / 100);
}

#[test]
fn a_task_that_may_not_go_everywhere_is_refused() {
    let (mut m, _) = machine("2");
    m.spawn(pinned(TaskSpec::new("t", periodic(MS, 5 * MS)), 1));
    run(&mut m, 20 * MS);
    let p = find(&m, "t");
    let refused = Rc::new(Cell::new(Ok(())));
    let seen = refused.clone();
    m.at(20 * MS, move |k| seen.set(k.set_scheduler(p, reserved(MS, 10 * MS, 0), 0)));
    run(&mut m, 30 * MS);
    assert_eq!(refused.get(), Err(AttrError::Deadline(ParamsError::Confined)));
    assert_eq!(m.state().task(p).class, ClassId::Fair);
}

#[test]
fn bandwidth_that_was_promised_keeps_a_cpu_online() {
    let (mut m, _) = machine("2");
    for _ in 0..2 {
        m.spawn(with_policy(TaskSpec::new("dl", periodic(MS, 9 * MS)), reserved(6 * MS, 10 * MS, 0)));
    }
    let mut steps = vec![Action::Exit, Action::SetCpuOnline(CpuId(1), false), Action::Sleep(20 * MS)];
    let operator = move |_: &TaskCx| steps.pop().unwrap();
    m.spawn(pinned(TaskSpec::new("operator", operator), 0));
    run(&mut m, 100 * MS);
    assert!(m.state().online.test(CpuId(1)));
    assert_eq!(alive(&m, "operator"), 0);
}

/// Percent that a spinner gets beside a FIFO hog on the same CPU in 4 s: in the fair class, or in a scheduler's.
fn beside_fifo(servers: Servers, scheduler: bool) -> u64 {
    let config = Config { servers, ..Config::default() };
    let (mut m, _) = machine_with("2", config);
    if scheduler {
        m.enable(Rc::new(Script { timeout_ms: 20_000, ..Script::default() }));
    }
    m.spawn(pinned(TaskSpec::new("spinner", hog()), 1));
    m.spawn(pinned(with_policy(TaskSpec::new("fifo", hog()), Policy::Fifo(50)), 1));
    run(&mut m, 20 * MS);
    let before = cpu_time(&m, "spinner");
    run(&mut m, 4_020 * MS);
    assert_eq!(m.state().ext.enabled(), scheduler, "{:?}", m.state().ext.exit_info);
    (cpu_time(&m, "spinner") - before) * 100 / (4_000 * MS)
}

#[test]
fn real_time_hogs_leave_five_percent() {
    let on = Servers::default();
    let old = Config::of_kernel(6, 12).servers;
    let off = Servers { fair: false, ext: false, exchanged: false };
    for (servers, scheduler, expect) in
        [(on, false, 5), (on, true, 5), (old, false, 5), (old, true, 0), (off, false, 0), (off, true, 0)]
    {
        let got = beside_fifo(servers, scheduler);
        assert!(got.abs_diff(expect) <= 1, "{servers:?} {scheduler}: {got} %");
    }
}

#[test]
fn servers_bandwidth_follows_the_scheduler() {
    // Selftest total_bw: in full mode the ext server comes for the fair one, in partial mode it comes beside it.
    let one = 52_428;
    for (kernel, partial, idle, enabled) in [
        ((7, 2), false, 2, 2),
        ((7, 2), true, 2, 4),
        ((7, 1), false, 4, 4),
        ((7, 0), true, 4, 4),
        ((6, 18), false, 2, 2),
    ] {
        let (mut m, _) = machine_with("2", Config::of_kernel(kernel.0, kernel.1));
        m.spawn(TaskSpec::new("hog", hog()));
        run(&mut m, 20 * MS);
        assert_eq!(m.state().deadline_bandwidth(), idle * one, "{kernel:?}");
        let flags = if partial { 1 << 3 } else { 0 };
        m.enable(Rc::new(Script { flags, ..Script::default() }));
        run(&mut m, 40 * MS);
        assert_eq!(m.state().deadline_bandwidth(), enabled * one, "{kernel:?} {partial}");
        m.disable();
        run(&mut m, 80 * MS);
        assert_eq!(m.state().deadline_bandwidth(), idle * one, "{kernel:?}");
    }
}

#[test]
fn a_scheduler_needs_bandwidth_for_its_servers() {
    let (mut m, _) = machine("1");
    m.spawn(with_policy(TaskSpec::new("dl", periodic(MS, 9 * MS)), reserved(88 * MS, 100 * MS, 0)));
    run(&mut m, 20 * MS);
    m.enable(Rc::new(Script::default()));
    run(&mut m, 100 * MS);
    let info = ejected(&mut m, "dl");
    assert!(info.msg.contains("scx_root_enable() failed (-16)"), "{info:?}");
    assert_eq!(m.state().deadline_bandwidth(), 52_428 + (88 << 20) / 100);
}

#[test]
fn a_deadline_task_takes_cpus_and_gives_them_back() {
    let log: Rc<RefCell<Vec<Option<PreemptReason>>>> = Rc::default();
    let (released, acquired) = (log.clone(), log.clone());
    let (mut m, _) = machine("1");
    m.enable(Rc::new(Script {
        cpu_release: Some(Box::new(move |_, _, reason, _| released.borrow_mut().push(Some(reason)))),
        cpu_acquire: Some(Box::new(move |_, _| acquired.borrow_mut().push(None))),
        ..Script::default()
    }));
    m.spawn(TaskSpec::new("hog", hog()));
    m.spawn(with_policy(TaskSpec::new("dl", periodic(MS, 19 * MS)), reserved(2 * MS, 20 * MS, 0)));
    run(&mut m, 200 * MS);
    let log = log.borrow();
    let taken = log.iter().filter(|&&e| e == Some(PreemptReason::Dl)).count();
    assert!((8..=12).contains(&taken), "{log:?}");
    assert!(log.windows(2).all(|w| w[0].is_some() != w[1].is_some()), "{log:?}");
}

#[test]
fn policies_change_at_any_moment() {
    for seed in 0..4 {
        let (mut m, _) = machine_with("4", Config { seed, ..Config::default() });
        for i in 0..10u64 {
            let mut n = seed * 31 + i;
            m.spawn(TaskSpec::new(format!("t{i}"), move |_: &TaskCx| {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let draw = n >> 33;
                match draw % 8 {
                    0..3 => Action::Run(draw % 3_000_000),
                    3..5 => Action::Sleep(draw % 2_000_000),
                    5 => Action::SetPolicy(Whom::Myself, reserved(MS + draw % (9 * MS), 10 * MS, 20 * MS)),
                    6 => Action::SetPolicy(Whom::Myself, [Policy::Normal, Policy::Fifo(3)][(draw / 8 % 2) as usize]),
                    _ => Action::Yield,
                }
            }));
        }
        m.enable(Rc::new(Script::default()));
        run(&mut m, 400 * MS);
        m.disable();
        run(&mut m, 500 * MS);
        let s = m.state();
        let promised: u64 =
            s.all_tasks().iter().map(|&p| s.task(p)).filter(|t| t.class == ClassId::Dl).map(|t| t.dl.bandwidth()).sum();
        // What was given back of late may still be counted.
        assert!(s.deadline_bandwidth() >= 4 * 52_428 + promised, "seed {seed}");
        assert_eq!(alive(&m, "t"), 10);
    }
}
