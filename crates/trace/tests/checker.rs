//! Each rule, with a run that keeps it and one that breaks it, written as a trace.

use scxr_trace::{Checker, Rule, Rules, Sink, text};

/// The rules that a run breaks. `t cpu event` a line; the first task is pid 1, made before the run.
fn check_with(rules: Rules, run: &str) -> Vec<Rule> {
    let lines: String = run.lines().map(|l| format!("{}\n", l.trim())).collect();
    let events = text::parse(&format!("# scxr-trace 1\n{lines}")).expect("the run is a trace");
    let mut checker = Checker::new(rules);
    for e in events {
        checker.event(e.t, e.cpu, e.kind);
    }
    checker.finish(1000).into_iter().map(|v| v.rule).collect()
}

fn check(run: &str, expect: &[Rule]) {
    assert_eq!(check_with(Rules::default(), run), expect, "{run}");
}

const FORK: &str = "0 0 fork pid=1 parent=9 comm=a group=/ weight=100 policy=0\n";

#[test]
fn a_whole_life_is_sound() {
    check(
        "0 0 fork pid=1 parent=9 comm=a group=/ weight=100 policy=0
         0 0 affinity pid=1 cpus=0-1
         1 0 select pid=1 prev=0 cpu=1
         1 0 migrate pid=1 from=0 to=1
         1 1 enqueue pid=1 on=1 flags=0x1
         2 1 idle_out
         3 1 switch_in pid=1
         10 1 switch_out pid=1 why=preempted ran_ns=7
         11 1 switch_in pid=1
         20 1 switch_out pid=1 why=blocked ran_ns=9
         21 1 idle_in
         30 0 waking pid=1 waker=0 sync=0
         30 0 select pid=1 prev=1 cpu=1
         31 1 enqueue pid=1 on=1 flags=0x1
         32 1 idle_out
         33 1 switch_in pid=1
         34 1 exit pid=1
         40 1 switch_out pid=1 why=dead ran_ns=7
         41 1 idle_in",
        &[],
    );
}

#[test]
fn a_wakeup_may_come_before_the_task_has_left_its_cpu() {
    check(
        &(FORK.to_string()
            + "1 0 enqueue pid=1 on=0 flags=0x0
               2 0 switch_in pid=1
               5 1 waking pid=1 waker=2 sync=0
               6 0 switch_out pid=1 why=blocked ran_ns=4
               7 1 select pid=1 prev=0 cpu=0
               7 1 enqueue pid=1 on=0 flags=0x0
               8 0 switch_in pid=1"),
        &[],
    );
}

#[test]
fn running() {
    let start = FORK.to_string() + "1 0 enqueue pid=1 on=0 flags=0x0\n2 0 switch_in pid=1\n";
    let check = |more: &str, expect: &[Rule]| check(&(start.clone() + more), expect);
    check("3 1 switch_in pid=1", &[Rule::TaskRunsOnce, Rule::Placement]);
    check("3 0 switch_in pid=9", &[Rule::CpuRunsOne]);
    check("3 0 idle_in", &[Rule::CpuRunsOne, Rule::CpuTime]);
    check("3 0 switch_out pid=9 why=blocked ran_ns=0", &[Rule::CpuRunsOne]);
    check("3 0 switch_out pid=1 why=blocked ran_ns=5", &[Rule::CpuTime]);
    check("3 0 enqueue pid=1 on=0 flags=0x0", &[Rule::Lifecycle]);
    check("3 0 migrate pid=1 from=0 to=1", &[Rule::Placement]);
    check("1 0 tick pid=1", &[Rule::CpuClock]);
    check("3 0 switch_out pid=1 why=dead ran_ns=1", &[Rule::Lifecycle]);
}

#[test]
fn sleeping_and_dead() {
    let sleeping = FORK.to_string()
        + "1 0 enqueue pid=1 on=0 flags=0x0
           2 0 switch_in pid=1
           3 0 switch_out pid=1 why=blocked ran_ns=1\n";
    check(&(sleeping.clone() + "4 0 switch_in pid=1"), &[Rule::RunnableOnly]);
    check(&(sleeping + "4 0 waking pid=1 waker=0 sync=0\n5 0 waking pid=1 waker=0 sync=0"), &[Rule::Lifecycle]);
    let dead = FORK.to_string()
        + "1 0 enqueue pid=1 on=0 flags=0x0
           2 0 switch_in pid=1
           2 0 exit pid=1
           3 0 switch_out pid=1 why=dead ran_ns=1\n";
    for (more, rule) in [
        ("4 0 switch_in pid=1", Rule::RunnableOnly),
        ("4 0 waking pid=1 waker=0 sync=0", Rule::Lifecycle),
        ("4 0 enqueue pid=1 on=0 flags=0x0", Rule::Lifecycle),
        ("4 0 insert pid=1 dsq=0x1 slice=1 vtime=-", Rule::Lifecycle),
        ("4 0 exit pid=1", Rule::Lifecycle),
    ] {
        check(&(dead.clone() + more), &[rule]);
    }
}

#[test]
fn places() {
    check(
        &(FORK.to_string()
            + "1 0 enqueue pid=1 on=0 flags=0x0
               2 1 switch_in pid=1"),
        &[Rule::Placement],
    );
    check(
        &(FORK.to_string()
            + "0 0 affinity pid=1 cpus=1-3,8
               1 0 enqueue pid=1 on=0 flags=0x0
               2 0 switch_in pid=1"),
        &[Rule::Affinity],
    );
    // Who loses its CPU's permission while it runs may come back to it until it is moved, and then no more.
    let stays = "1 0 enqueue pid=1 on=0 flags=0x0
                 2 0 switch_in pid=1
                 3 1 affinity pid=1 cpus=1
                 4 0 switch_out pid=1 why=preempted ran_ns=2
                 5 0 switch_in pid=1
                 6 0 switch_out pid=1 why=preempted ran_ns=1\n";
    check(&format!("{FORK}{stays}"), &[]);
    let back = "7 0 migrate pid=1 from=0 to=1
                8 0 migrate pid=1 from=1 to=0
                9 0 switch_in pid=1";
    check(&format!("{FORK}{stays}{back}"), &[Rule::Affinity]);
    check(&(FORK.to_string() + "1 0 switch_in pid=1"), &[Rule::RunnableOnly]);
    check(&(FORK.to_string() + FORK), &[Rule::Lifecycle]);
}

#[test]
fn all_time_belongs_to_somebody() {
    let check = |run: &str, expect: &[Rule]| {
        let run = format!("{FORK}0 0 enqueue pid=1 on=0 flags=0x0\n{run}");
        assert_eq!(check_with(Rules { whole_time: true, ..Rules::default() }, &run), expect, "{run}");
    };
    let life = |out, ran, idle| {
        format!(
            "5 0 idle_out
             5 0 switch_in pid=1
             {out} 0 switch_out pid=1 why=blocked ran_ns={ran}
             {idle} 0 idle_in"
        )
    };
    check(&life(20, 15, 20), &[]);
    check(&life(20, 14, 20), &[Rule::CpuTime, Rule::CpuTime]);
    check(&life(20, 15, 21), &[Rule::CpuTime]);
    // Known from its first event on.
    check("300 0 switch_in pid=1", &[]);
    check("300 1 switch_out pid=2 why=blocked ran_ns=100\n300 1 idle_in", &[]);
    check("300 1 switch_out pid=2 why=blocked ran_ns=100\n301 1 idle_in", &[Rule::CpuTime]);
    check("300 1 idle_in\n400 1 idle_out", &[Rule::CpuTime]);
}

#[test]
fn queues() {
    check("1 0 insert pid=1 dsq=0x8000000000000001 slice=1 vtime=5", &[Rule::DsqOrder]);
    check(
        "1 0 insert pid=1 dsq=0x0 slice=1 vtime=5
         2 0 insert pid=2 dsq=0x0 slice=1 vtime=-",
        &[Rule::DsqOrder],
    );
    check(
        "1 0 insert pid=1 dsq=0x0 slice=1 vtime=5
         2 0 move pid=1 from=0x0 to=0xc000000000000000
         3 0 insert pid=2 dsq=0x0 slice=1 vtime=-",
        &[],
    );
    check(
        "1 0 enabled name=x
         2 0 disabled name=x kind=error
         3 0 insert pid=1 dsq=0x0 slice=1 vtime=-
         3 0 kick target=1 flags=0x0
         4 0 enabled name=y
         5 0 insert pid=1 dsq=0x0 slice=1 vtime=-",
        &[Rule::AfterDisabled, Rule::AfterDisabled],
    );
}

#[test]
fn rules_of_some_schedulers() {
    let vtime = || Rules { vtime_order: true, ..Rules::default() };
    let out_of_order = "1 0 insert pid=1 dsq=0x0 slice=1 vtime=5
         1 0 insert pid=2 dsq=0x0 slice=1 vtime=3
         2 0 move pid=1 from=0x0 to=0xc000000000000000";
    assert_eq!(check_with(vtime(), out_of_order), [Rule::VtimeOrder]);
    // The smaller one may not run there.
    let pinned = format!("0 0 affinity pid=2 cpus=1\n{out_of_order}");
    assert_eq!(check_with(vtime(), &pinned), []);
    // Just below 0 comes before just above it.
    let wrapped = "1 0 insert pid=1 dsq=0x0 slice=1 vtime=5
         1 0 insert pid=2 dsq=0x0 slice=1 vtime=18446744073709551610
         2 0 move pid=2 from=0x0 to=0xc000000000000000";
    assert_eq!(check_with(vtime(), wrapped), []);
    // Vtimes that are spread over more than half of their range have no order.
    let spread = "1 0 insert pid=1 dsq=0x0 slice=1 vtime=9223372036854775807
         1 0 insert pid=2 dsq=0x0 slice=1 vtime=9223372036854775809
         2 0 move pid=1 from=0x0 to=0xc000000000000000";
    assert_eq!(check_with(vtime(), spread), []);
    let place = || Rules { one_place: true, ..Rules::default() };
    for (run, expect) in [
        ("1 0 insert pid=1 dsq=0x0 slice=1 vtime=-\n2 0 insert pid=1 dsq=0x1 slice=1 vtime=-", true),
        ("1 0 insert pid=1 dsq=0x0 slice=1 vtime=-\n2 0 move pid=1 from=0x1 to=0x2", true),
        ("1 0 insert pid=1 dsq=0x0 slice=1 vtime=-\n2 0 switch_in pid=1", true),
        ("1 0 insert pid=1 dsq=0xc000000000000000 slice=1 vtime=-\n2 0 switch_in pid=1", false),
        ("1 0 insert pid=1 dsq=0x0 slice=1 vtime=-\n2 0 dequeue pid=1 flags=0x0\n3 0 switch_in pid=1", false),
    ] {
        let broken = check_with(place(), run);
        assert_eq!(broken == [Rule::OnePlace], expect, "{run}: {broken:?}");
    }
}

#[test]
fn the_watchdog_sees_who_waits() {
    let rules = || Rules { watchdog_ns: Some(100), ..Rules::default() };
    let waits = |to: u64| {
        FORK.to_string() + &format!("1 0 enabled name=x\n2 0 enqueue pid=1 on=0 flags=0x0\n{to} 0 switch_in pid=1")
    };
    assert_eq!(check_with(rules(), &waits(102)), []);
    assert_eq!(check_with(rules(), &waits(103)), [Rule::Watchdog]);
    let forever = FORK.to_string() + "1 0 enabled name=x\n2 0 enqueue pid=1 on=0 flags=0x0";
    assert_eq!(check_with(rules(), &forever), [Rule::Watchdog]);
    let fair = FORK.to_string() + "2 0 enqueue pid=1 on=0 flags=0x0";
    assert_eq!(check_with(rules(), &fair), []);
}

#[test]
fn time_adds_up() {
    check(
        "0 0 idle_in
         900 0 idle_out
         900 0 switch_in pid=1
         1200 0 switch_out pid=1 why=preempted ran_ns=300",
        &[],
    );
    // The CPU's clock stands still, its idle time does not: 800 ns twice in a run of 1000 ns.
    check(
        "0 0 idle_in
         800 0 idle_out
         100 0 idle_in
         900 0 idle_out",
        &[Rule::CpuClock, Rule::CpuTime],
    );
}

#[test]
fn violations_say_where() {
    let mut checker = Checker::default();
    for e in
        text::parse("# scxr-trace 1\n1 0 idle_in\n7 2 insert pid=1 dsq=0x8000000000000001 slice=1 vtime=5").unwrap()
    {
        checker.event(e.t, e.cpu, e.kind);
    }
    let v = checker.violations()[0].to_string();
    assert_eq!(
        v,
        "event 1 at 7 ns on cpu2: DsqOrder: pid 1 is inserted by vtime in the built-in queue 0x8000000000000001"
    );
}

#[test]
fn who_was_there_from_the_start_may_have_been_queued() {
    let trace = "0 0 fork pid=1 parent=0 comm=a group=/ weight=100 policy=0\n1 0 switch_in pid=1";
    check(trace, &[]);
    // Or may have run, and been woken on its way to sleep.
    check(
        "1 0 waking pid=1 waker=2 sync=0
         2 1 switch_out pid=1 why=blocked ran_ns=2
         3 0 enqueue pid=1 on=1 flags=0x0
         4 1 switch_in pid=1",
        &[],
    );
}

#[test]
fn preemptible_kernels_wake_tasks_that_have_not_slept() {
    let rules = || Rules { preemptible: true, ..Rules::default() };
    // It loses its CPU on its way to sleep, and is woken before it has slept; then it is woken while it still runs.
    let trace = FORK.to_string()
        + "1 0 enqueue pid=1 on=0 flags=0x0
           2 0 switch_in pid=1
           3 0 switch_out pid=1 why=preempted ran_ns=1
           4 0 waking pid=1 waker=0 sync=0
           5 0 switch_in pid=1
           6 0 waking pid=1 waker=0 sync=0
           6 0 enqueue pid=1 on=0 flags=0x0
           7 0 switch_out pid=1 why=preempted ran_ns=2";
    assert_eq!(check_with(rules(), &trace), []);
    assert_eq!(check_with(Rules::default(), &trace), [Rule::Lifecycle, Rule::Lifecycle]);
    // Nobody is switched in who sleeps, there neither.
    let asleep = FORK.to_string()
        + "1 0 enqueue pid=1 on=0 flags=0x0
           2 0 switch_in pid=1
           3 0 switch_out pid=1 why=blocked ran_ns=1
           4 0 switch_in pid=1";
    assert_eq!(check_with(rules(), &asleep), [Rule::RunnableOnly]);
}
