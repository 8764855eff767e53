//! Short runs, written as traces, and what the analyzer makes of them.

use scxr_analyze::{Analyzer, Options, Place, Report};
use scxr_trace::text;

fn analyze_on(options: Options, end_ns: u64, run: &str) -> Report {
    let lines: String = run.lines().map(|l| format!("{}\n", l.trim())).collect();
    let events = text::parse(&format!("# scxr-trace 1\n{lines}")).expect("the run is a trace");
    let mut analyzer = Analyzer::new(options);
    events.iter().for_each(|e| analyzer.take(e.t, e.cpu, &e.kind));
    analyzer.finish(end_ns)
}

fn analyze(nr_cpus: usize, end_ns: u64, run: &str) -> Report {
    analyze_on(Options::flat(nr_cpus), end_ns, run)
}

#[test]
fn a_wakeup() {
    let r = analyze(
        1,
        1000,
        "0 0 fork pid=1 parent=0 comm=a group=/g weight=100 policy=0
         100 0 waking pid=1 waker=0 sync=0
         110 0 enqueue pid=1 on=0 flags=0x1
         140 0 idle_out
         150 0 switch_in pid=1
         450 0 switch_out pid=1 why=blocked ran_ns=300
         450 0 idle_in
         460 0 work pid=1 ns=77",
    );
    assert_eq!(r.totals.events, 8);
    assert_eq!((r.totals.wakeups, r.totals.context_switches), (1, 1));
    let (w, q) = (&r.latency_ns.wakeup, &r.latency_ns.runqueue);
    assert_eq!((w.count, w.max, q.count, q.max), (1, 50, 1, 40));
    // It waited for 50 ns, in 40 of which the CPU still idled.
    assert_eq!((r.totals.idle_with_work_ns, r.idle_with_work_ns_max), (40, 40));
    let t = &r.tasks[0];
    assert_eq!((t.cpu_ns, t.nvcsw, t.nivcsw, t.operations), (300, 1, 0, 1));
    assert_eq!((t.share, t.wait_ns, t.group.as_str()), (1.0, 40, "/g"));
    assert_eq!((r.cpus[0].busy_ns, r.cpus[0].idle_ns), (300, 140 + 550));
    assert_eq!((r.work.latency_ns.max, r.groups[0].nr_tasks), (77, 1));
}

#[test]
fn what_runs_at_the_end_counts_for_its_cpu() {
    let r = analyze(2, 1000, "100 1 idle_out\n100 1 switch_in pid=1");
    assert_eq!((r.cpus[0].busy_ns, r.cpus[1].busy_ns, r.tasks[0].cpu_ns), (0, 900, 900));
}

/// A kernel path that began in the run is traced to its end, but the run ends when it ends.
#[test]
fn what_lies_beyond_the_end_is_not_of_the_run() {
    let run = "900 0 waking pid=1 waker=0 sync=0
        950 0 enqueue pid=1 on=0 flags=0x1
        1100 1 idle_out
        1100 1 switch_in pid=1
        1200 1 switch_out pid=1 why=blocked ran_ns=100
        1200 1 idle_in";
    let r = analyze_on(Options { end_ns: Some(1000), ..Options::flat(2) }, 1000, run);
    assert_eq!((r.totals.idle_with_work_ns, r.duration_ns), (100, 1000));
    assert_eq!(r.latency_ns.runqueue.max, 50);
    let cpus: Vec<_> = r.cpus.iter().map(|c| (c.busy_ns, c.idle_ns)).collect();
    assert_eq!(cpus, [(0, 1000), (0, 1000)]);
    assert_eq!(r.tasks[0].cpu_ns, 0);
    // One that ran into the end.
    let r = analyze_on(
        Options { end_ns: Some(1000), ..Options::flat(1) },
        1000,
        "0 0 idle_out\n0 0 switch_in pid=1\n1200 0 switch_out pid=1 why=preempted ran_ns=1200\n1200 0 idle_in",
    );
    assert_eq!((r.cpus[0].busy_ns, r.cpus[0].idle_ns, r.tasks[0].cpu_ns), (1000, 0, 1000));
}

#[test]
fn work_is_completed_when_all_who_did_it_are_gone() {
    let run = "0 0 fork pid=1 parent=0 comm=a group=/ weight=100 policy=0
        0 0 fork pid=2 parent=0 comm=b group=/ weight=100 policy=0
        0 0 fork pid=3 parent=0 comm=bystander group=/ weight=100 policy=0
        100 0 work pid=1 ns=50
        200 0 work pid=2 ns=60
        250 0 exit pid=2";
    let check = |more: &str, completed_ns: Option<u64>, per_second: f64| {
        let r = analyze(1, 1000, &format!("{run}\n{more}"));
        assert_eq!((r.totals.completed_ns, r.work.per_second), (completed_ns, per_second), "{more}");
    };
    check("", None, 2e6);
    check("300 0 exit pid=1", Some(200), 1e7);
    check("300 0 exit pid=1\n400 0 work pid=3 ns=70", None, 3e6);
    check("300 0 exit pid=1\n400 0 work pid=3 ns=70\n400 0 exit pid=3", Some(400), 7.5e6);
    assert_eq!(analyze(1, 1000, "0 0 exit pid=1").totals.completed_ns, None);
}

#[test]
fn preemption_counts_as_waiting() {
    let r = analyze(
        1,
        1000,
        "0 0 enqueue pid=1 on=0 flags=0x0
         0 0 switch_in pid=1
         100 0 switch_out pid=1 why=preempted ran_ns=100
         100 0 switch_in pid=2
         400 0 switch_out pid=2 why=yielded ran_ns=300
         400 0 switch_in pid=1",
    );
    let waits: Vec<u64> = r.tasks.iter().map(|t| t.wait_ns_max).collect();
    assert_eq!(waits, [300, 600]);
    let switches: Vec<_> = r.tasks.iter().map(|t| (t.nvcsw, t.nivcsw)).collect();
    assert_eq!(switches, [(0, 1), (0, 1)]);
    // The one that runs at the end is credited up to the end.
    assert_eq!((r.tasks[0].cpu_ns, r.tasks[1].cpu_ns), (700, 300));
}

/// Else the more a scheduler starves, the better its latencies.
#[test]
fn waits_that_go_on_at_the_end_count() {
    let r = analyze(
        1,
        1000,
        "0 0 idle_out
         0 0 switch_in pid=1
         100 0 waking pid=2 waker=1 sync=0
         110 0 enqueue pid=2 on=0 flags=0x1
         200 0 waking pid=3 waker=1 sync=0
         900 0 switch_out pid=1 why=preempted ran_ns=900
         900 0 switch_in pid=3",
    );
    let l = &r.latency_ns;
    assert_eq!((l.wakeup.count, l.wakeup.max, l.runqueue.count, l.runqueue.max), (2, 900, 3, 890));
    assert_eq!((l.waiting.count, l.waiting.max), (2, 890));
    assert_eq!(analyze(1, 1000, "0 0 idle_out\n0 0 switch_in pid=1").latency_ns.waiting.count, 0);
}

#[test]
fn lost_work_is_what_idles_while_tasks_wait() {
    let run = "0 0 idle_out
         0 0 switch_in pid=1
         100 0 enqueue pid=2 on=0 flags=0x0
         100 0 enqueue pid=3 on=0 flags=0x0
         300 1 idle_out
         300 1 switch_in pid=2";
    // Two wait while CPUs 1 and 2 idle for 200 ns; then one waits while CPU 2 idles for 700 ns.
    let r = analyze(3, 1000, run);
    assert_eq!((r.totals.idle_with_work_ns, r.idle_with_work_ns_max), (1100, 900));
    // A task that is pinned is not counted.
    let r = analyze(3, 1000, &format!("0 0 affinity pid=3 cpus=0\n{run}"));
    assert_eq!(r.totals.idle_with_work_ns, 200);
    let r = analyze(3, 1000, &format!("0 0 affinity pid=3 cpus=0-1,2\n{run}"));
    assert_eq!(r.totals.idle_with_work_ns, 1100);
}

#[test]
fn a_wakeup_before_the_task_has_left_its_cpu() {
    let r = analyze(
        1,
        1000,
        "0 0 switch_in pid=1
         90 0 waking pid=1 waker=0 sync=0
         100 0 switch_out pid=1 why=blocked ran_ns=100
         110 0 enqueue pid=1 on=0 flags=0x1
         150 0 switch_in pid=1
         200 0 switch_out pid=1 why=blocked ran_ns=50",
    );
    assert_eq!((r.latency_ns.wakeup.max, r.latency_ns.runqueue.max), (60, 40));
    assert_eq!(r.tasks[0].wait_ns, 40);
}

#[test]
fn migrations_by_distance() {
    let place = |core, llc, node| Place { core, llc, node };
    let options = Options {
        places: vec![place(0, 0, 0), place(0, 0, 0), place(1, 0, 0), place(2, 1, 0), place(3, 2, 1)],
        end_ns: None,
    };
    let run: String = (1..5).map(|to| format!("{to} 0 migrate pid=1 from=0 to={to}\n")).collect();
    let r = analyze_on(options, 1000, &run);
    let d = &r.migrations;
    assert_eq!((d.smt, d.llc, d.node, d.remote), (1, 1, 1, 1));
    assert_eq!((r.totals.migrations, r.tasks[0].migrations), (4, 4));
}

#[test]
fn fairness_is_among_those_that_always_want_to_run() {
    let fork = |pid, weight| {
        format!(
            "0 0 fork pid={pid} parent=0 comm=t group=/ weight={weight} policy=0\n0 0 enqueue pid={pid} on=0 flags=0x0\n"
        )
    };
    let run = fork(1, 300)
        + &fork(2, 100)
        + &fork(3, 100)
        + "0 0 switch_in pid=1
           600 0 switch_out pid=1 why=preempted ran_ns=600
           600 0 switch_in pid=2
           800 0 switch_out pid=2 why=preempted ran_ns=200
           800 0 switch_in pid=3
           900 0 switch_out pid=3 why=blocked ran_ns=100";
    let r = analyze(1, 1000, &run);
    assert_eq!(r.fairness.nr_tasks, 2);
    assert!(r.fairness.deviation_max < 1e-9, "{:?}", r.fairness);
    assert_eq!(r.tasks[0].share, 600.0 / 900.0);
}

/// Neither the machine's own tasks nor real-time ones compete for shares.
#[test]
fn fairness_is_among_tasks_of_the_workload() {
    let fork = |pid, policy| {
        format!(
            "0 0 fork pid={pid} parent=0 comm=t group=/ weight=100 policy={policy}\n0 0 enqueue pid={pid} on=0 flags=0x0\n"
        )
    };
    let run = fork(1, 0) + &fork(2, 1) + &fork(9, 0) + &fork(10, 1) + &fork(11, 0) + &fork(12, 0) + &fork(13, 3);
    let hogs = |more: &str| {
        let events = text::parse(&format!("# scxr-trace 1\n{run}{more}")).expect("the run is a trace");
        let mut analyzer = Analyzer::new(Options::flat(1));
        analyzer.workload_from(9);
        events.iter().for_each(|e| analyzer.take(e.t, e.cpu, &e.kind));
        analyzer.finish(1000).fairness.nr_tasks
    };
    assert_eq!(hogs(""), 4);
    assert_eq!(hogs("500 0 weight pid=11 weight=100 policy=2\n"), 3);
    assert_eq!(hogs("500 0 weight pid=11 weight=100 policy=2\n600 0 weight pid=11 weight=100 policy=0\n"), 3);
}

#[test]
fn the_command_keys_are_there() {
    let r = analyze(1, 1000, "0 0 enqueue pid=1 on=0 flags=0x0\n0 0 switch_in pid=1");
    let json = serde_json::to_value(&r).unwrap();
    let keys = |v: &serde_json::Value| -> Vec<String> { v.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        keys(&json["totals"]),
        ["events", "wakeups", "context_switches", "migrations", "idle_with_work_ns", "completed_ns"]
    );
    assert_eq!(keys(&json["latency_ns"]), ["wakeup", "runqueue", "waiting"]);
    assert_eq!(
        keys(&json["tasks"][0]),
        ["pid", "comm", "group", "weight", "cpu_ns", "share", "nvcsw", "nivcsw", "migrations"]
    );
    for key in ["count", "p50", "p99", "p999", "max"] {
        assert!(json["latency_ns"]["wakeup"][key].is_u64(), "{key}");
    }
}
