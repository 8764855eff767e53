//! rt-app's events, one by one, on the fake machine; and what is refused.

use crate::fake::Fake;
use scxr_workload::{Workload, load};

const MS: u64 = 1_000_000;

fn try_read(text: &str) -> Result<Workload, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.json");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    load(path, 4, 1).map_err(|e| e.to_string().replace(path, "w.json"))
}

fn read(text: &str) -> Workload {
    try_read(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// What task `a` does, up to its exit.
fn check(task: &str, expect: &[&str]) {
    let fake = Fake::run(&read(&format!("{{\"tasks\": {{\"a\": {task}}}}}")), 1000 * MS);
    let own = fake.of("a");
    let steps: Vec<_> = own.iter().filter(|w| !w.starts_with("work ")).collect();
    assert_eq!(steps, expect, "{task}");
}

#[test]
fn order_and_repetition() {
    check(
        r#"{"loop": 2, "run": 1, "sleep": 2, "run": 3, "run4": 4}"#,
        &["run 1000", "sleep 2000", "run 3000", "run 4000", "run 1000", "sleep 2000", "run 3000", "run 4000", "exit"],
    );
    check(
        r#"{"loop": 2, "phases": {"x": {"loop": 2, "run": 1}, "y": {"run": 2}}}"#,
        &["run 1000", "run 1000", "run 2000", "run 1000", "run 1000", "run 2000", "exit"],
    );
    check(r#"{"loop": 1, "delay": 500, "yield": ""}"#, &["until 500000", "yield", "exit"]);
    check(r#"{"loop": 1, "runtime": 70}"#, &["run 32000", "run 32000", "run 6000", "exit"]);
}

#[test]
fn attributes_are_set_when_they_change() {
    check(
        r#"{"loop": 2, "cpus": [2], "phases": {
            "x": {"cpus": [0, 1], "priority": 5, "run": 1}, "y": {"policy": "SCHED_FIFO", "run": 2}}}"#,
        &[
            "cpus 0-1",
            "nice 5",
            "run 1000",
            "cpus 2",
            "policy Fifo(10)",
            "run 2000",
            "cpus 0-1",
            "run 1000",
            "cpus 2",
            "run 2000",
            "exit",
        ],
    );
    let w = read(
        r#"{"global": {"default_policy": "SCHED_BATCH"}, "tasks": {
        "a": {"run": 1, "priority": -3, "taskgroup": "/g"},
        "b": {"run": 1, "policy": "SCHED_RR", "priority": 20, "instance": 3}}}"#,
    );
    let shown: Vec<_> =
        w.tasks.iter().map(|t| format!("{} {} {:?} {} {}", t.name, t.instances, t.policy, t.nice, t.cgroup)).collect();
    assert_eq!(shown, ["a 1 Batch -3 /g", "b 3 RoundRobin(20) 0 /"]);
}

#[test]
fn timers() {
    // 3 ms of 5, then 6 of 5 (a miss: no sleep), then the next period counts from there.
    check(
        r#"{"loop": 1, "run": 3000, "timer": {"ref": "t", "period": 5000}, "run": 6000,
            "timer": {"ref": "t", "period": 5000}, "run": 1000, "timer": {"ref": "t", "period": 5000}}"#,
        &["run 3000000", "until 5000000", "run 6000000", "run 30", "run 1000000", "until 16000000", "exit"],
    );
    check(
        r#"{"loop": 1, "run": 6000, "timer": {"ref": "t", "period": 5000, "mode": "absolute"},
            "run": 1000, "timer": {"ref": "t", "period": 5000, "mode": "absolute"}}"#,
        &["run 6000000", "run 30", "run 1000000", "until 10000000", "exit"],
    );
    let both = |name: &str| {
        let text = format!(
            r#"{{"tasks": {{"a": {{"instance": 2, "loop": 1, "run": 1, "timer": {{"ref": "{name}", "period": 1000}}}}}}}}"#
        );
        let fake = Fake::run(&read(&text), 1000 * MS);
        (fake.times("a-0", "until 1000000").len(), fake.times("a-1", "until 2000000").len())
    };
    assert_eq!(both("unique"), (1, 0));
    assert_eq!(both("shared"), (1, 1));
}

#[test]
fn a_mutex_is_held_by_one() {
    let fake = Fake::run(
        &read(r#"{"tasks": {"a": {"instance": 3, "loop": 4, "lock": "m", "run": 100, "unlock": "m", "run": 7}}}"#),
        1000 * MS,
    );
    let mut held: Vec<_> = (0..3).flat_map(|i| fake.times(&format!("a-{i}"), "run 100000")).collect();
    held.sort();
    assert_eq!(held.len(), 12);
    assert!(held.windows(2).all(|w| w[1] - w[0] >= 100_000), "{held:?}");
    assert_eq!(fake.count("exit"), 3);
}

#[test]
fn a_signal_wakes_one_waiter_and_a_broadcast_all() {
    let waiters = |event: &str| {
        let fake = Fake::run(
            &read(&format!(
                r#"{{"tasks": {{
                "w": {{"instance": 3, "loop": 1, "lock": "m", "wait": {{"ref": "c", "mutex": "m"}}, "unlock": "m"}},
                "s": {{"loop": 1, "sleep": 1000, "lock": "m", "{event}": "c", "unlock": "m"}}}}}}"#
            )),
            1000 * MS,
        );
        fake.count("exit") - 1
    };
    assert_eq!((waiters("signal"), waiters("broad")), (1, 3));
}

#[test]
fn a_signal_is_not_taken_by_the_one_who_sends_it() {
    // Each signals, then waits: they alternate for ever if no signal is lost or taken by its own sender.
    for lock in [r#""lock": "m","#, ""] {
        let unlock = if lock.is_empty() { "" } else { r#", "unlock": "m""# };
        let task = |start: &str| {
            format!(
                r#"{{"phases": {{"s": {{{start}}}, "p": {{"loop": -1, "run": 1000, {lock} "sync": {{"ref": "c", "mutex": "m"}} {unlock}}}}}}}"#
            )
        };
        let text = format!(r#"{{"tasks": {{"a": {}, "b": {}}}}}"#, task("\"run\": 1"), task("\"sleep\": 500"));
        let fake = Fake::run(&read(&text), 100 * MS);
        let (a, b) = (fake.times("a", "run 1000000"), fake.times("b", "run 1000000"));
        assert!(a.len() > 30 && b.len() > 30, "{} {}", a.len(), b.len());
    }
}

#[test]
fn suspend_and_resume() {
    let fake = Fake::run(
        &read(
            r#"{"tasks": {
            "a": {"loop": 3, "suspend": "a", "run": 10},
            "b": {"loop": 3, "sleep": 1000, "resume": "a"}}}"#,
        ),
        1000 * MS,
    );
    assert_eq!(fake.times("a", "run 10000").len(), 3);
    assert_eq!(fake.count("exit"), 2);
    // Nobody is suspended yet: it is lost.
    let lost = Fake::run(
        &read(r#"{"tasks": {"a": {"loop": 1, "sleep": 1000, "suspend": ""}, "b": {"loop": 1, "resume": "a"}}}"#),
        1000 * MS,
    );
    assert_eq!(lost.count("exit"), 1);
}

#[test]
fn a_barrier_opens_for_all_together() {
    let fake = Fake::run(
        &read(
            r#"{"tasks": {
            "a": {"instance": 2, "loop": 2, "run": 100, "barrier": "x", "run": 5},
            "b": {"loop": 2, "run": 900, "barrier": "x", "run": 5}}}"#,
        ),
        1000 * MS,
    );
    assert_eq!(fake.count("exit"), 3);
    for name in ["a-0", "a-1", "b"] {
        let times = fake.times(name, "run 5000");
        assert!(times[0] >= 900_000 && times[1] >= 1_800_000, "{name}: {times:?}");
    }
}

#[test]
fn a_semaphore_remembers() {
    let fake = Fake::run(
        &read(
            r#"{"tasks": {
            "a": {"loop": 3, "sem_post": "s"},
            "b": {"loop": 4, "sleep": 100, "sem_wait": "s", "run": 10}}}"#,
        ),
        1000 * MS,
    );
    assert_eq!(fake.times("b", "run 10000").len(), 3);
    assert_eq!(fake.count("exit"), 1);
}

#[test]
fn forks() {
    let fake = Fake::run(
        &read(r#"{"tasks": {"a": {"loop": 2, "fork": "b", "run": 10}, "b": {"instance": 0, "loop": 1, "run": 20}}}"#),
        1000 * MS,
    );
    assert_eq!(fake.times("b", "run 20000").len(), 2);
    assert_eq!(fake.count("exit"), 3);
}

#[test]
fn a_pass_is_an_operation() {
    let fake = Fake::run(&read(r#"{"tasks": {"a": {"loop": 3, "run": 10}}}"#), 1000 * MS);
    assert_eq!(fake.times("a", "work 10000").len(), 3);
}

#[test]
fn loose_json_and_global() {
    let w = read(
        "/* a comment */ { \"tasks\": { \"a\": { \"run\": 1, }, // another\n },\n \"resources\": {\"m\": {\"type\": \"mutex\"}},
         \"global\": { \"duration\": 2, \"gnuplot\": true, \"calibration\": \"CPU0\" } }",
    );
    assert_eq!(w.duration, Some(2_000_000_000));
    assert_eq!(w.warnings, ["global: without effect in a simulation: calibration, gnuplot"]);
    assert_eq!(read(r#"{"tasks": {"a": {"run": 1}}, "global": {"duration": -1}}"#).duration, None);
}

#[test]
fn a_program_without_steps_that_take_time_ends() {
    // The million steps of the fake machine are enough for 10 ms, so time goes on.
    let fake = Fake::run(&read(r#"{"tasks": {"a": {"run": 0}}}"#), 10_000);
    assert!(fake.log.last().unwrap().t >= 9_000);
}

#[test]
fn errors_say_where_and_what_instead() {
    for (text, expect) in [
        ("", "w.json:1:1: the file ends"),
        ("[]", "w.json:1:1: the file must be an object, and is an array"),
        ("{}", "w.json:1:1: the object \"tasks\" is missing"),
        ("{\"tasks\": {}}", "there is no task"),
        ("{\"taks\": {}}", "w.json:1:2: \"taks\": unknown key (did you mean 'tasks'?)"),
        ("{\"tasks\": {\"a\": {\n \"sleeep\": 1}}}", "w.json:2:2: \"sleeep\": unknown key (did you mean 'sleep'?)"),
        ("{\"tasks\": {\"a\": {\"runtme\": 1}}}", "did you mean 'runtime'?"),
        ("{\"tasks\": {\"a\": {\"run\": \"1\"}}}", "\"run\": expected an integer, found a string"),
        ("{\"tasks\": {\"a\": {\"run\": 1.5}}}", "found a number that is not an integer"),
        ("{\"tasks\": {\"a\": {\"run\": -1}}}", "-1 is out of range"),
        ("{\"tasks\": {\"a\": {\"loop\": 1}}}", "there are no events here"),
        ("{\"tasks\": {\"a\": {\"loop\": 0, \"run\": 1}}}", "0 loops do nothing"),
        ("{\"tasks\": {\"a\": {\"loop\": 1, \"loop\": 2, \"run\": 1}}}", "\"loop\": this setting is given twice"),
        ("{\"tasks\": {\"a\": {\"cpus\": [4], \"run\": 1}}}", "CPUs 0 to 3"),
        ("{\"tasks\": {\"a\": {\"cpus\": 1, \"run\": 1}}}", "expected an array"),
        ("{\"tasks\": {\"a\": {\"cpus\": [], \"run\": 1}}}", "at least one CPU"),
        ("{\"tasks\": {\"a\": {\"policy\": \"SCHED_FIFA\", \"run\": 1}}}", "did you mean 'SCHED_FIFO'?"),
        (
            "{\"tasks\": {\"a\": {\"policy\": \"SCHED_DEADLINE\", \"run\": 1}}}",
            "\"policy\": SCHED_DEADLINE needs \"dl-runtime\"",
        ),
        (
            "{\"tasks\": {\"a\": {\"policy\": \"SCHED_DEADLINE\", \"dl-runtime\": 20, \"dl-period\": 10, \"run\": 1}}}",
            "\"dl-runtime\" (20 us) may not be longer than \"dl-deadline\" (10 us)",
        ),
        ("{\"tasks\": {\"a\": {\"policy\": \"SCHED_DEADLINE\", \"dl-runtime\": 1, \"run\": 1}}}", "from 2 to"),
        (
            "{\"global\": {\"default_policy\": \"SCHED_DEADLINE\"}, \"tasks\": {\"a\": {\"run\": 1}}}",
            "times of its own",
        ),
        ("{\"tasks\": {\"a\": {\"policy\": \"SCHED_FIFO\", \"priority\": 0, \"run\": 1}}}", "from 1 to 99"),
        ("{\"tasks\": {\"a\": {\"priority\": 20, \"run\": 1}}}", "from -20 to 19"),
        ("{\"tasks\": {\"a\": {\"mem\": 1}}}", "not implemented yet: the event mem"),
        ("{\"tasks\": {\"worker\": {\"fork\": \"wroker\"}}}", "did you mean 'worker'?"),
        ("{\"tasks\": {\"a\": {\"timer\": {\"ref\": \"t\"}}}}", "\"period\" (in us) is missing"),
        ("{\"tasks\": {\"a\": {\"timer\": {\"period\": 1, \"mode\": \"abs\"}}}}", "expected one of relative, absolute"),
        ("{\"tasks\": {\"a\": {\"wait\": {\"ref\": \"c\"}}}}", "\"mutex\" is missing"),
        ("{\"tasks\": {\"a\": {\"taskgroup\": \"g\", \"run\": 1}}}", "must begin with '/'"),
        ("{\"tasks\": {\"a\": {\"run\": 1, \"phases\": {\"p\": {\"run\": 1}}}}}", "has its events there"),
        ("{\"tasks\": {\"a\": {\"phases\": {}}}}", "there is no phase"),
        (
            "{\"tasks\": {\"a\": {\"phases\": {\"p\": {\"run\": 1}, \"q\": {\"taskgroup\": \"/g\", \"run\": 1}}}}}",
            "not implemented yet: a task that changes its taskgroup",
        ),
        ("{\"global\": {\"durration\": 1}, \"tasks\": {\"a\": {\"run\": 1}}}", "did you mean 'duration'?"),
        ("{\"resources\": {\"m\": {\"type\": \"mutx\"}}, \"tasks\": {\"a\": {\"run\": 1}}}", "did you mean 'mutex'?"),
    ] {
        let e = try_read(text).unwrap_err();
        assert!(e.contains(expect), "{text}\n{e}");
        assert!(e.starts_with("w.json:") && !e.contains('\n'), "{e}");
    }
}

#[test]
fn values_may_be_left_out_where_they_say_nothing() {
    check(
        r#"{"loop": 2, "yield", "run": 1, "yield"}"#,
        &["yield", "run 1000", "yield", "yield", "run 1000", "yield", "exit"],
    );
    let e = try_read(r#"{"tasks": {"a": {"run"}}}"#).unwrap_err();
    assert_eq!(e, "w.json:1:18: \"run\": expected an integer, found nothing");
}

#[test]
fn resuming_nobody_is_a_warning() {
    let w = read(r#"{"tasks": {"worker": {"resume": "wroker"}}}"#);
    assert_eq!(w.warnings, ["resume: there is no task 'wroker' (did you mean 'worker'?), so it does nothing"]);
}

#[test]
fn deadline_tasks_have_times() {
    use scxr_kernel::behavior::Policy;
    for (keys, runtime, deadline, period) in [
        (r#""dl-runtime": 2000"#, 2, 2, 2),
        (r#""dl-runtime": 2000, "dl-period": 10000"#, 2, 10, 10),
        (r#""dl-runtime": 2000, "dl-deadline": 5000, "dl-period": 10000"#, 2, 5, 10),
        // Under their old names.
        (r#""dl-runtime": 2000, "deadline": 5000, "period": 10000"#, 2, 5, 10),
    ] {
        let w = read(&format!(r#"{{"tasks": {{"a": {{"policy": "SCHED_DEADLINE", {keys}, "run": 1}}}}}}"#));
        let [runtime, deadline, period] = [runtime, deadline, period].map(|ms| ms * 1_000_000);
        assert_eq!(w.tasks[0].policy, Policy::Deadline { runtime, deadline, period }, "{keys}");
        assert_eq!(w.warnings, [""; 0], "{keys}");
    }
    let phase = r#"{"tasks": {"a": {"phases": {"p": {"run": 1}, "q": {"policy": "SCHED_DEADLINE", "dl-runtime": 9, "run": 1}}}}}"#;
    let second = read(phase).tasks[0].program.phases[1].attrs.policy;
    assert!(matches!(second, Some(Policy::Deadline { runtime: 9_000, .. })), "{second:?}");
    let unused = read(r#"{"tasks": {"a": {"dl-runtime": 9, "run": 1}}}"#);
    assert_eq!(unused.tasks[0].policy, Policy::Normal);
    assert_eq!(unused.warnings, ["tasks: without effect in a simulation: dl-runtime"]);
}

#[test]
fn taskgroups_have_weights() {
    let tasks = r#""tasks": {"a": {"taskgroup": "/x/a", "run": 1}, "b": {"run": 1}}"#;
    let w = read(&format!(
        r#"{{"taskgroups": {{"/x/a": {{"weight": 300}}, "/x": {{"weight": 50}}, "/x/a/": {{}}}}, {tasks}}}"#
    ));
    let groups: Vec<(&str, u32)> = w.groups.iter().map(|g| (g.path.as_str(), g.weight)).collect();
    assert_eq!(groups, [("/x", 50), ("/x/a", 300)]);
    for (groups, expect) in [
        (r#""/y": {"weight": 3}"#, "this is the \"taskgroup\" of no task; tasks have /x/a"),
        (r#""/": {"weight": 3}"#, "of no task"),
        (r#""/x": {"weight": 0}"#, "from 1 to 10000"),
        (r#""/x": {"wieght": 3}"#, "did you mean 'weight'?"),
        (r#""/x": {}, "/x": {}"#, "given twice"),
    ] {
        let e = try_read(&format!("{{\"taskgroups\": {{{groups}}}, {tasks}}}")).unwrap_err();
        assert!(e.contains(expect), "{groups}\n{e}");
    }
}
