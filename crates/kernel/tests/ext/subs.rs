//! Sub-schedulers: attaching, dispatching to them, their ends.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::cgroup::CgroupId;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::TaskId;
use scxr_kernel::{CgroupChange, Kernel, Machine};
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

const SHARED: u64 = 7;
/// Ids of the cgroups of `machine_with_groups`: the root has 1.
const A: CgroupId = CgroupId(2);
const AB: CgroupId = CgroupId(3);
const C: CgroupId = CgroupId(4);

/// What happened, a line each.
type Said = Rc<RefCell<Vec<String>>>;

fn said(log: &Said) -> String {
    log.borrow().join(" ")
}

/// Queues its tasks on a queue of its own and asks its sub-schedulers, in turn, where that is empty.
fn queueing(log: &Said, name: &'static str, cgroup: u64) -> Script {
    let subs = Rc::new(RefCell::new(Vec::<u64>::new()));
    let (attached, detached, asked) = (subs.clone(), subs.clone(), subs);
    let (l1, l2, l3, l4, l5) = (log.clone(), log.clone(), log.clone(), log.clone(), log.clone());
    Script {
        name,
        cid: true,
        sub_cgroup_id: cgroup,
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, SHARED, -1))),
        select_cpu: Some(Box::new(|k, _, prev, _| cpu_arg(k, prev))),
        enqueue: Some(Box::new(|k, p, flags| _ = scx_bpf_dsq_insert(k, p, SHARED, 5 * MS, flags & !(0xff << 56)))),
        dispatch: Some(Box::new(move |k, _, _| {
            if scx_bpf_dsq_move_to_local(k, SHARED, 0) {
                return;
            }
            let subs = asked.borrow().clone();
            _ = subs.into_iter().any(|sub| scx_bpf_sub_dispatch(k, sub));
        })),
        init_task: Some(Box::new(move |k, p, _| {
            note(&l1, k, name, "init", p);
            0
        })),
        exit_task: Some(Box::new(move |k, p, args| {
            note(&l2, k, name, if args.cancelled { "cancel" } else { "exit" }, p);
        })),
        enable: Some(Box::new(move |k, p| note(&l3, k, name, "enable", p))),
        disable: Some(Box::new(move |k, p| note(&l4, k, name, "disable", p))),
        sub_attach: Some(Box::new(move |_, args| {
            attached.borrow_mut().push(args.attrs.sub_cgroup_id);
            0
        })),
        sub_detach: Some(Box::new(move |_, args| {
            detached.borrow_mut().retain(|c| *c != args.attrs.sub_cgroup_id);
            l5.borrow_mut().push(format!("{name}:detach:{}{}", args.attrs.name, args.cgroup_path));
        })),
        ..Default::default()
    }
}

/// Of the workload's tasks alone, whose names begin with `t`.
fn note(log: &Said, k: &mut Kernel, name: &str, what: &str, p: TaskId) {
    let comm = &k.task(p).comm;
    if comm.starts_with('t') {
        log.borrow_mut().push(format!("{name}:{what}:{comm}"));
    }
}

/// Two CPUs; cgroups /a, /a/b and /c with a hog each, and one outside.
fn machine_with_groups() -> Machine {
    let (mut m, _) = machine("2");
    m.with_kernel(|k| {
        for path in ["/a", "/a/b", "/c"] {
            k.change_cgroup(path, CgroupChange::Make).expect("it is new");
        }
        assert_eq!(["/a", "/a/b", "/c"].map(|p| k.cgroups.find(p)), [A, AB, C].map(Some));
    });
    for (comm, group) in [("t0", "/"), ("ta", "/a"), ("tb", "/a/b"), ("tc", "/c")] {
        let mut spec = TaskSpec::new(comm, |_: &TaskCx| Action::Run(MS));
        spec.cgroup = group.into();
        m.spawn(spec);
    }
    m.run_until(10 * MS);
    m
}

fn task(m: &Machine, comm: &str) -> TaskId {
    let state = m.state();
    state.all_tasks().into_iter().find(|&p| state.task(p).comm == comm).expect(comm)
}

/// CPU time of each task in the next `ns`.
fn runs(m: &mut Machine, ns: u64) -> [u64; 4] {
    let tasks = ["t0", "ta", "tb", "tc"].map(|comm| task(m, comm));
    let before = tasks.map(|p| m.state().task(p).sum_exec_runtime);
    let until = m.now() + ns;
    m.run_until(until);
    let mut i = 0;
    tasks.map(|p| {
        i += 1;
        m.state().task(p).sum_exec_runtime - before[i - 1]
    })
}

fn advance(m: &mut Machine, ns: u64) {
    let until = m.now() + ns;
    m.run_until(until);
}

#[test]
fn a_cgroups_tasks_go_over_and_come_back() {
    let log = Said::default();
    let mut m = machine_with_groups();
    m.enable(Rc::new(queueing(&log, "root", 0)));
    advance(&mut m, 20 * MS);
    log.borrow_mut().clear();
    m.enable(Rc::new(queueing(&log, "sub", A.0.into())));
    advance(&mut m, 20 * MS);
    assert_eq!(m.state().ext.enable_error, None);
    assert_eq!(
        said(&log),
        "sub:init:ta sub:init:tb root:disable:ta root:exit:ta sub:enable:ta root:disable:tb root:exit:tb sub:enable:tb"
    );
    for (comm, of) in [("t0", "root"), ("ta", "sub"), ("tb", "sub"), ("tc", "root")] {
        let sched = m.state().task(task(&m, comm)).scx.sched.expect("it is in the class");
        assert_eq!(m.state().ext.sched(sched).map(|s| s.attrs.name.as_str()), Some(of), "{comm}");
    }
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "everybody runs");
    log.borrow_mut().clear();
    m.disable_sub(A);
    advance(&mut m, 50 * MS);
    assert_eq!(
        said(&log),
        "root:init:ta sub:disable:ta sub:exit:ta root:enable:ta root:init:tb sub:disable:tb sub:exit:tb root:enable:tb \
         root:detach:sub/a"
    );
    let [end] = m.state().ext.sub_exits.as_slice() else { panic!("one end") };
    assert_eq!((end.name.as_str(), end.cgroup_path.as_str(), end.info.kind), ("sub", "/a", ExitKind::Unreg));
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "everybody still runs");
    assert_eq!(m.state().ext.exit_info, None);
}

/// New tasks of the cgroup, and of cgroups made in it, are the sub-scheduler's; cgroups elsewhere are the root's.
#[test]
fn tasks_are_forked_into_the_scheduler_of_their_cgroup() {
    let log = Said::default();
    let mut m = machine_with_groups();
    m.enable(Rc::new(queueing(&log, "root", 0)));
    m.enable(Rc::new(queueing(&log, "sub", A.0.into())));
    advance(&mut m, 20 * MS);
    log.borrow_mut().clear();
    for (comm, group) in [("t1", "/a/new"), ("t2", "/c")] {
        let mut spec = TaskSpec::new(comm, periodic(MS, MS));
        spec.cgroup = group.into();
        m.spawn(spec);
    }
    advance(&mut m, 50 * MS);
    assert_eq!(said(&log), "sub:init:t1 sub:enable:t1 root:init:t2 root:enable:t2");
}

#[test]
fn who_may_attach() {
    let refused = |setup: &[(&'static str, u64)], sub: Script| {
        let log = Said::default();
        let mut m = machine_with_groups();
        for (name, cgroup) in setup {
            m.enable(Rc::new(queueing(&log, name, *cgroup)));
            advance(&mut m, 20 * MS);
            assert_eq!(m.state().ext.enable_error, None);
        }
        m.enable(Rc::new(sub));
        advance(&mut m, 50 * MS);
        let end = m.state().ext.sub_exits.first().map(|e| e.info.msg.clone());
        assert_eq!(m.state().ext.exit_info, None, "the root goes on");
        m.state().ext.enable_error.clone().map(|(err, _)| err.to_string()).or(end)
    };
    let sub =
        |cgroup: CgroupId| Script { name: "new", cid: true, sub_cgroup_id: cgroup.0.into(), ..Default::default() };
    let root = ("root", 0);
    let cases = [
        (&[][..], sub(A), Some("-19")),
        (&[root][..], sub(A), None),
        (&[root][..], sub(CgroupId(99)), Some("-2")),
        (&[root, ("a", 2)][..], sub(A), Some("-16")),
        (&[root, ("b", 3)][..], sub(A), Some("-16")),
        (&[root, ("a", 2)][..], sub(AB), None),
        (&[root][..], Script { cid: false, ..sub(A) }, Some("sub-sched requires cid-form struct_ops")),
        (&[root][..], Script { init: Some(Box::new(|_| -5)), ..sub(A) }, Some("ops.init() failed (-5)")),
        (
            &[root][..],
            Script { flags: 1 << 8, ..sub(A) },
            Some("SCX_OPS_TID_TO_TASK requires root scheduler to enable it"),
        ),
        (
            &[root][..],
            Script { init_task: Some(Box::new(|_, _, _| -12)), ..sub(A) },
            Some("scx_sub_enable() failed (-12)"),
        ),
    ];
    for (setup, script, why) in cases {
        assert_eq!(refused(setup, script).as_deref(), why, "{setup:?}");
    }
    let log = Said::default();
    let mut m = machine_with_groups();
    m.enable(Rc::new(Script { sub_attach: Some(Box::new(|_, _| -13)), ..queueing(&log, "root", 0) }));
    m.enable(Rc::new(sub(A)));
    advance(&mut m, 50 * MS);
    assert_eq!(m.state().ext.sub_exits[0].info.msg, "parent rejected (-13)");
    assert!(!said(&log).contains("detach"), "it was never attached");
}

#[test]
fn a_root_without_sub_attach_takes_none() {
    let mut m = machine_with_groups();
    m.enable(Rc::new(Script { cid: true, ..Default::default() }));
    m.enable(Rc::new(Script { cid: true, sub_cgroup_id: A.0.into(), ..Default::default() }));
    advance(&mut m, 50 * MS);
    assert_eq!(m.state().ext.enable_error.as_ref().map(|e| e.0), Some(-95));
}

#[test]
fn nesting_has_an_end() {
    let (mut m, _) = machine("2");
    let path = "/a/b/c/d";
    m.with_kernel(|k| k.change_cgroup(path, CgroupChange::Make).expect("new"));
    let log = Said::default();
    for (name, cgroup) in [("root", 0), ("s1", 2), ("s2", 3), ("s3", 4), ("s4", 5)] {
        m.enable(Rc::new(queueing(&log, name, cgroup)));
    }
    m.run_until(100 * MS);
    let ends: Vec<_> = m.state().ext.sub_exits.iter().map(|e| (e.name.as_str(), e.info.msg.as_str())).collect();
    assert_eq!(ends, [("s4", "max nesting depth 4 violated")]);
}

/// The root's end takes all with it, those below first.
#[test]
fn the_end_of_a_parent_is_that_of_its_children() {
    let log = Said::default();
    let mut m = machine_with_groups();
    for (name, cgroup) in [("root", 0), ("sub", A.0), ("subsub", AB.0), ("other", C.0)] {
        m.enable(Rc::new(queueing(&log, name, cgroup.into())));
    }
    advance(&mut m, 50 * MS);
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "everybody runs");
    let now = m.now();
    m.at(now + MS, scxr_kernel::ext::exit::sysrq_reset);
    advance(&mut m, 50 * MS);
    assert_eq!(m.state().ext.exit_info.as_ref().map(|i| i.kind), Some(ExitKind::Sysrq));
    let ends: Vec<_> = m.state().ext.sub_exits.iter().map(|e| (e.name.as_str(), e.info.kind)).collect();
    assert_eq!(ends, [("subsub", ExitKind::Parent), ("sub", ExitKind::Parent), ("other", ExitKind::Parent)]);
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "under fair");
    m.enable(Rc::new(queueing(&log, "again", 0)));
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "and under the next");
}

/// A sub-scheduler that keeps its tasks to itself stalls; only it ends.
#[test]
fn a_stall_is_the_sub_schedulers_own() {
    let log = Said::default();
    let mut m = machine_with_groups();
    m.enable(Rc::new(Script { timeout_ms: 5000, ..queueing(&log, "root", 0) }));
    let stalls =
        Script { dispatch: Some(Box::new(|_, _, _| ())), timeout_ms: 300, ..queueing(&log, "sub", A.0.into()) };
    m.enable(Rc::new(stalls));
    advance(&mut m, 1000 * MS);
    assert_eq!(m.state().ext.exit_info, None);
    let [end] = m.state().ext.sub_exits.as_slice() else { panic!("one end") };
    assert_eq!(end.info.kind, ExitKind::ErrorStall, "{:?}", end.info);
    assert!(end.info.dump.starts_with("sub: sub1-2 /a\n"), "{}", end.info.dump);
    assert!(end.info.dump.contains("*sub1-2 ") && end.info.dump.contains(" root "), "{}", end.info.dump);
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "its tasks are the root's");
}

#[test]
fn a_removed_cgroup_has_no_scheduler() {
    let log = Said::default();
    let (mut m, _) = machine("2");
    m.with_kernel(|k| k.change_cgroup("/a", CgroupChange::Make).expect("new"));
    m.spawn(TaskSpec::new("t0", hog()));
    m.enable(Rc::new(queueing(&log, "root", 0)));
    m.enable(Rc::new(queueing(&log, "sub", A.0.into())));
    m.run_until(50 * MS);
    let now = m.now();
    m.at(now, |k| k.change_cgroup("/a", CgroupChange::Remove).expect("nobody is in it"));
    advance(&mut m, 50 * MS);
    let [end] = m.state().ext.sub_exits.as_slice() else { panic!("one end") };
    assert_eq!((end.info.kind, end.info.code), (ExitKind::UnregKern, 2 << 32));
    assert_eq!(end.info.msg, "cgroup 2 going offline");
    assert_eq!(m.state().ext.exit_info, None);
}

/// Each has authority over its own tasks alone, and dispatches to its own children alone.
#[test]
fn authority_is_by_the_tasks_scheduler() {
    let log = Said::default();
    let mut m = machine_with_groups();
    let foreign = Rc::new(RefCell::new(None::<TaskId>));
    m.enable(Rc::new(queueing(&log, "root", 0)));
    let sub = queueing(&log, "sub", A.0.into());
    let target = foreign.clone();
    m.enable(Rc::new(Script {
        running: Some(Box::new(move |k, _| {
            let p = (*target.borrow()).expect("set before");
            assert!(!scx_bpf_task_set_slice(k, p, 1));
            assert!(!scx_bpf_dsq_insert(k, p, SHARED, 1, 0));
        })),
        ..sub
    }));
    *foreign.borrow_mut() = Some(task(&m, "tc"));
    advance(&mut m, 100 * MS);
    assert_eq!((&m.state().ext.exit_info, m.state().ext.sub_exits.len()), (&None, 0));
    let distant = Script {
        dispatch: Some(Box::new(|k, _, _| _ = scx_bpf_sub_dispatch(k, A.0.into()))),
        ..queueing(&log, "other", C.0.into())
    };
    m.enable(Rc::new(distant));
    advance(&mut m, 200 * MS);
    let [end] = m.state().ext.sub_exits.as_slice() else { panic!("one end") };
    assert_eq!(end.info.msg, "trying to dispatch a distant sub-sched on cgroup 2");
}

/// A parent that cannot take a task back ends, too; nobody is lost.
#[test]
fn a_parent_that_cannot_take_a_task_back_ends() {
    let log = Said::default();
    let mut m = machine_with_groups();
    let refuse = Rc::new(RefCell::new(false));
    let now = refuse.clone();
    m.enable(Rc::new(Script {
        init_task: Some(Box::new(move |_, _, _| if *now.borrow() { -12 } else { 0 })),
        ..queueing(&log, "root", 0)
    }));
    m.enable(Rc::new(queueing(&log, "sub", A.0.into())));
    advance(&mut m, 50 * MS);
    *refuse.borrow_mut() = true;
    m.disable_sub(A);
    advance(&mut m, 100 * MS);
    let info = m.state().ext.exit_info.clone().expect("the root ended");
    let pid = m.state().task(task(&m, "ta")).pid;
    let why = format!("ops.init_task() failed (-12) for ta[{pid}] while disabling a sub-scheduler");
    assert_eq!((info.kind, info.msg), (ExitKind::Error, why));
    assert!(runs(&mut m, 400 * MS).iter().all(|ns| *ns > 20 * MS), "under fair");
}
