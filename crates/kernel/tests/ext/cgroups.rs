//! What a scheduler is told of cgroups (E-226 to E-232).

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::cgroup::{Bandwidth, CgroupId};
use scxr_kernel::ids::TaskId;
use scxr_kernel::{CgroupChange, Kernel, Machine};
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

/// What a scheduler was told, in order.
type Told = Rc<RefCell<Vec<String>>>;

fn path(k: &Kernel, id: CgroupId) -> String {
    k.cgroups.get(id).map(|g| g.path.clone()).unwrap_or_default()
}

fn comm(k: &Kernel, p: TaskId) -> String {
    k.task(p).comm.clone()
}

/// A scheduler with all operations of cgroups; `refuse`: name of the task, or path of the group, that it does not take.
fn listener(told: &Told, refuse: &'static str) -> Script {
    fn note<A, F>(told: &Told, f: F) -> impl Fn(&mut Kernel, A) + use<A, F>
    where
        F: Fn(&mut Kernel, A) -> String,
    {
        let told = Rc::clone(told);
        move |k, a| {
            let text = f(k, a);
            told.borrow_mut().push(text);
        }
    }
    let init = note(told, |k, id| format!("init {} {}", path(k, id), k.cgroups.get(id).map_or(0, |g| g.weight)));
    let exit = note(told, |k, id| format!("exit {}", path(k, id)));
    let moves = |word: &'static str| {
        note(told, move |k, (p, from, to)| format!("{word} {} {} {}", comm(k, p), path(k, from), path(k, to)))
    };
    let (prep, moved, cancel) = (moves("prep"), moves("move"), moves("cancel"));
    let weight = note(told, |k, (id, w): (_, u32)| format!("weight {} {w}", path(k, id)));
    let bandwidth =
        note(told, |k, (id, b): (_, Bandwidth)| format!("max {} {} {}", path(k, id), b.quota_us, b.period_us));
    let idle = note(told, |k, (id, i): (_, bool)| format!("idle {} {i}", path(k, id)));
    Script {
        cgroup_init: Some(Box::new(move |k, id| {
            init(k, id);
            if path(k, id) == refuse { -12 } else { 0 }
        })),
        cgroup_exit: Some(Box::new(exit)),
        cgroup_prep_move: Some(Box::new(move |k, p, from, to| {
            prep(k, (p, from, to));
            if comm(k, p) == refuse { -1 } else { 0 }
        })),
        cgroup_move: Some(Box::new(move |k, p, from, to| moved(k, (p, from, to)))),
        cgroup_cancel_move: Some(Box::new(move |k, p, from, to| cancel(k, (p, from, to)))),
        cgroup_set_weight: Some(Box::new(move |k, id, w| weight(k, (id, w)))),
        cgroup_set_bandwidth: Some(Box::new(move |k, id, b| bandwidth(k, (id, b)))),
        cgroup_set_idle: Some(Box::new(move |k, id, i| idle(k, (id, i)))),
        ..Script::default()
    }
}

fn member(comm: &str, cgroup: &str) -> TaskSpec {
    let mut spec = TaskSpec::new(comm, hog());
    spec.cgroup = cgroup.into();
    spec
}

/// A real-time task that makes one change after another, 5 ms apart, from 50 ms on.
fn administrator(changes: Vec<(&'static str, CgroupChange)>) -> TaskSpec {
    let mut at = 50 * MS + changes.len() as u64 * 10 * MS;
    let mut steps = Vec::new();
    for (path, change) in changes.into_iter().rev() {
        at -= 5 * MS;
        steps.push(Action::Cgroup(path.into(), Box::new(change)));
        steps.push(Action::SleepUntil(at));
    }
    let mut spec = TaskSpec::new("admin", move |_: &TaskCx| steps.pop().unwrap_or(Action::Exit));
    spec.policy = Policy::Fifo(50);
    spec
}

fn task(m: &Machine, name: &str) -> TaskId {
    let tasks = m.state().all_tasks();
    tasks.into_iter().find(|&p| m.state().task(p).comm == name).expect("a task of that name")
}

/// Three tasks in two groups before the scheduler comes, one in a third after it; then changes; then the scheduler goes. What
/// it was told.
fn story(
    refuse: &'static str,
    changes: impl FnOnce(&Machine) -> Vec<(&'static str, CgroupChange)>,
) -> (Machine, Vec<String>) {
    let (mut m, _) = machine("2");
    m.spawn(member("one", "/a/b"));
    m.spawn(member("two", "/a/b"));
    m.spawn(member("three", "/c"));
    run(&mut m, 10 * MS);
    let told = Told::default();
    m.enable(Rc::new(listener(&told, refuse)));
    m.spawn(member("four", "/a/d"));
    run(&mut m, 40 * MS);
    let changes = changes(&m);
    m.spawn(administrator(changes));
    run(&mut m, 300 * MS);
    m.disable();
    run(&mut m, 350 * MS);
    let told = told.borrow().clone();
    (m, told)
}

#[test]
fn groups_come_and_go() {
    let (_, told) =
        story("", |_| vec![("/a/e", CgroupChange::Make), ("/a/e", CgroupChange::Remove), ("/a", CgroupChange::Remove)]);
    let expect = [
        "init / 100",
        "init /a 100",
        "init /a/b 100",
        "init /c 100",
        "init /a/d 100",
        "init /a/e 100",
        "exit /a/e",
        "exit /a/b",
        "exit /a/d",
        "exit /a",
        "exit /c",
        "exit /",
    ];
    assert_eq!(told, expect);
}

#[test]
fn settings_are_told_when_they_change() {
    let limit = Bandwidth { period_us: 50_000, quota_us: 20_000, burst_us: 0 };
    let (m, told) = story("", |_| {
        vec![
            ("/c", CgroupChange::Weight(200)),
            ("/c", CgroupChange::Weight(200)),
            ("/c", CgroupChange::Weight(0)),
            ("/c", CgroupChange::Weight(10_001)),
            ("/", CgroupChange::Weight(50)),
            ("/c", CgroupChange::Idle(true)),
            ("/c", CgroupChange::Idle(true)),
            ("/c", CgroupChange::Bandwidth(limit)),
            ("/c", CgroupChange::Bandwidth(limit)),
            ("/c", CgroupChange::Bandwidth(Bandwidth { period_us: 10, ..limit })),
            ("/c", CgroupChange::Bandwidth(Bandwidth { burst_us: 30_000, ..limit })),
            ("/nowhere", CgroupChange::Weight(1)),
        ]
    });
    let settings: Vec<&String> = told.iter().filter(|t| !t.starts_with("init") && !t.starts_with("exit")).collect();
    assert_eq!(settings, ["weight /c 200", "idle /c true", "idle /c true", "max /c 20000 50000"]);
    let group = m.state().cgroups.find("c").and_then(|id| m.state().cgroups.get(id)).expect("it is there");
    assert_eq!((group.weight, group.idle, group.bandwidth), (200, true, limit));
}

#[test]
fn tasks_move_all_or_none() {
    let moves = |refuse| {
        let (m, told) = story(refuse, |m| {
            let tasks = ["one", "two", "three"].map(|name| task(m, name)).to_vec();
            vec![("/c", CgroupChange::Attach(tasks)), ("/a/b", CgroupChange::Remove)]
        });
        let told: Vec<String> = told.into_iter().filter(|t| !t.starts_with("init")).collect();
        let group = |name| path_of(&m, task(&m, name));
        (told, [group("one"), group("two"), group("three")])
    };
    fn path_of(m: &Machine, p: TaskId) -> String {
        let s = m.state();
        s.cgroups.get(s.task(p).cgroup).map(|g| g.path.clone()).unwrap_or_default()
    }
    let (told, groups) = moves("");
    let expect = ["prep one /a/b /c", "prep two /a/b /c", "move one /a/b /c", "move two /a/b /c", "exit /a/b"];
    assert_eq!((&told[..5], groups), (expect.map(String::from).as_slice(), ["/c", "/c", "/c"].map(String::from)));
    let (told, groups) = moves("two");
    let expect = ["prep one /a/b /c", "prep two /a/b /c", "cancel one /a/b /c", "exit /a/b"];
    assert_eq!((&told[..4], groups), (expect.map(String::from).as_slice(), ["/a/b", "/a/b", "/c"].map(String::from)));
}

#[test]
fn a_group_that_is_refused_is_not_made() {
    let (m, _) = story("/a/d", |_| vec![]);
    let p = task(&m, "four");
    assert_eq!(m.state().task(p).cgroup, m.state().cgroups.find("/a").expect("it is there"));
    assert_eq!(m.state().cgroups.find("/a/d"), None);
}

#[test]
fn a_scheduler_that_refuses_a_group_is_not_enabled() {
    let (m, told) = story("/a/b", |_| vec![]);
    let info = m.state().ext.exit_info.clone().expect("it ended");
    assert_eq!((info.kind, info.msg.as_str()), (ExitKind::Error, "ops.cgroup_init() failed (-12)"));
    assert_eq!(told, ["init / 100", "init /a 100", "init /a/b 100", "exit /a", "exit /"]);
}
