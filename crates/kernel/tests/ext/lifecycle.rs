//! Enabling, disabling, forks, exits, changes of policy: the right calls, each once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::class::ClassId;
use scxr_kernel::ext::EnableState;
use scxr_kernel::ids::TaskId;
use scxr_trace::{EventKind, ExitKind, Sink};

use crate::harness::*;
use crate::policies::Simple;
use crate::script::Script;

#[derive(Default)]
struct Counts {
    init: Cell<u32>,
    fork: Cell<u32>,
    exit: Cell<u32>,
    enable: Cell<u32>,
    disable: Cell<u32>,
}

fn bump(c: &Cell<u32>) {
    c.set(c.get() + 1);
}

fn counting(c: &Rc<Counts>, flags: u64) -> Script {
    let [a, b, d, e] = [c.clone(), c.clone(), c.clone(), c.clone()];
    Script {
        flags,
        init_task: Some(Box::new(move |_, _, args| {
            bump(&a.init);
            if args.fork {
                bump(&a.fork);
            }
            0
        })),
        exit_task: Some(Box::new(move |_, _, _| bump(&b.exit))),
        enable: Some(Box::new(move |_, _| bump(&d.enable))),
        disable: Some(Box::new(move |_, _| bump(&e.disable))),
        ..Default::default()
    }
}

/// Forks children that set their policy to SCHED_EXT, some of which switch back, and then plain ones.
fn forker(ext: u32, plain: u32) -> impl FnMut(&TaskCx) -> Action {
    let mut n = 0;
    move |_: &TaskCx| {
        n += 1;
        if n <= ext {
            let back = n % 2 == 1;
            let mut step = 0;
            return Action::Fork(Box::new(TaskSpec::new("ext", move |_: &TaskCx| {
                step += 1;
                match step {
                    1 => Action::SetPolicy(Whom::Myself, Policy::Ext),
                    2 => Action::Run(MS),
                    3 if back => Action::SetPolicy(Whom::Myself, Policy::Normal),
                    3 => Action::Run(1000),
                    _ => Action::Exit,
                }
            })));
        }
        match n - ext {
            i if i <= plain => Action::Fork(Box::new(TaskSpec::new("plain", |_: &TaskCx| Action::Exit))),
            i if i == plain + 1 => Action::Sleep(100 * MS),
            _ => Action::Exit,
        }
    }
}

/// Selftest `init_enable_count`.
#[test]
fn init_and_enable_counts() {
    for (flags, partial) in [(0, false), (1 << 3, true)] {
        let c = Rc::new(Counts::default());
        let (mut m, _) = machine("4");
        for i in 0..20 {
            m.spawn(TaskSpec::new(format!("child{i}"), finite(4, MS, 10 * MS)));
        }
        m.enable(Rc::new(counting(&c, flags)));
        run(&mut m, 20 * MS);
        m.disable();
        run(&mut m, 40 * MS);
        assert_eq!(m.state().ext.state, EnableState::Disabled);
        let first = c.init.get();
        assert!(first >= 20 && c.exit.get() == first, "{first} {}", c.exit.get());
        assert_eq!(c.fork.get(), 0);
        if partial {
            assert_eq!((c.enable.get(), c.disable.get()), (0, 0));
        }
        m.enable(Rc::new(counting(&c, flags)));
        m.spawn(TaskSpec::new("forker", forker(5, 5)));
        run(&mut m, 400 * MS);
        m.disable();
        run(&mut m, 500 * MS);
        assert_eq!(m.state().ext.state, EnableState::Disabled);
        assert_eq!(c.init.get(), c.exit.get());
        assert!(c.init.get() - first > 10);
        assert_eq!(c.fork.get(), 11);
        assert_eq!(c.enable.get(), c.disable.get());
        match partial {
            true => assert_eq!(c.enable.get(), 5),
            false => assert!(c.enable.get() >= 10),
        }
        let info = m.state().ext.exit_info.clone().unwrap();
        assert_eq!((info.kind, info.reason), (ExitKind::Unreg, "unregistered from user space"));
        assert_eq!((info.cpu, info.msg.as_str()), (-1, ""));
        assert_eq!(m.state().ext.enable_seq, 2);
    }
}

#[test]
fn partial_mode_leaves_normal_tasks_alone() {
    let (mut m, log) = machine("2");
    m.enable(Rc::new(Script { flags: 1 << 3, ..Default::default() }));
    m.spawn(TaskSpec::new("normal", periodic(MS, MS)));
    let mut ext = TaskSpec::new("ext", periodic(MS, MS));
    ext.policy = Policy::Ext;
    m.spawn(ext);
    run(&mut m, 100 * MS);
    let class = |m: &scxr_kernel::Machine, comm: &str| {
        let s = m.state();
        let tasks = s.all_tasks();
        tasks.iter().map(|&p| s.task(p)).find(|t| t.comm == comm).map(|t| t.class)
    };
    assert_eq!(class(&m, "normal"), Some(ClassId::Fair));
    assert_eq!(class(&m, "ext"), Some(ClassId::Ext));
    assert!(!m.state().ext.switched_all());
    m.disable();
    run(&mut m, 200 * MS);
    assert_eq!(class(&m, "ext"), Some(ClassId::Fair));
    let log = log.0.borrow();
    let names: Vec<String> = log
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Enabled { name } => Some(format!("+{name}")),
            EventKind::Disabled { name, kind } => Some(format!("-{name} {kind:?}")),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["+script", "-script Unreg"]);
}

#[test]
fn disallowed_tasks_are_not_taken() {
    let (mut m, _) = machine("2");
    let mut spec = TaskSpec::new("wants", periodic(MS, MS));
    spec.policy = Policy::Ext;
    m.spawn(spec);
    m.enable(Rc::new(Script {
        flags: 1 << 3,
        init_task: Some(Box::new(|k, p, _| {
            if k.task(p).comm == "wants" {
                k.task_mut(p).scx.disallow = true;
            }
            0
        })),
        ..Default::default()
    }));
    run(&mut m, 50 * MS);
    let s = m.state();
    assert_eq!(s.ext.nr_rejected, 1);
    let p = s.all_tasks().into_iter().find(|&p| s.task(p).comm == "wants").unwrap();
    assert_eq!((s.task(p).policy, s.task(p).class), (Policy::Normal, ClassId::Fair));
}

/// E-136: runnable (running, stopping)* quiescent, and stopping says whether the task is still runnable.
#[test]
fn state_callbacks_nest() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum At {
        Out,
        Waiting,
        Running,
        Stopped,
    }
    type Map = Rc<RefCell<BTreeMap<TaskId, At>>>;
    fn go(map: &Map, p: TaskId, from: &[At], to: At) {
        let mut map = map.borrow_mut();
        let at = map.insert(p, to).unwrap_or(At::Out);
        assert!(from.contains(&at), "{p:?}: {at:?} to {to:?}");
    }
    let map: Map = Default::default();
    let [a, b, c, d, e] = [0; 5].map(|_| map.clone());
    let runs = Rc::new(Cell::new(0));
    let nr = runs.clone();
    let script = Script {
        runnable: Some(Box::new(move |_, p, _| go(&a, p, &[At::Out], At::Waiting))),
        running: Some(Box::new(move |_, p| {
            nr.set(nr.get() + 1);
            go(&b, p, &[At::Waiting], At::Running)
        })),
        stopping: Some(Box::new(move |_, p, runnable| {
            let to = if runnable { At::Waiting } else { At::Stopped };
            go(&c, p, &[At::Running], to)
        })),
        quiescent: Some(Box::new(move |_, p, _| go(&d, p, &[At::Stopped, At::Waiting], At::Out))),
        disable: Some(Box::new(move |_, p| {
            assert_eq!(e.borrow().get(&p).copied().unwrap_or(At::Out), At::Out);
        })),
        ..Default::default()
    };
    let mut m = with_hogs("4", Rc::new(script), 6, 500);
    assert!(m.state().ext.root().is_some(), "{:?}", m.state().ext.exit_info);
    m.disable();
    run(&mut m, 600 * MS);
    assert!(runs.get() > 200, "{}", runs.get());
    assert!(map.borrow().values().all(|&at| at == At::Out));
}

#[test]
fn weights_and_masks_are_told() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let (a, b) = (told.clone(), told.clone());
    let (mut m, _) = machine("4");
    m.enable(Rc::new(Script {
        set_weight: Some(Box::new(move |k, p, w| {
            if k.task(p).comm == "t" {
                a.borrow_mut().push(format!("weight {w}"));
            }
        })),
        set_cpumask: Some(Box::new(move |k, p| {
            if k.task(p).comm == "t" {
                b.borrow_mut().push(format!("cpus {}", k.task(p).cpus));
            }
        })),
        ..Default::default()
    }));
    let mut step = 0;
    m.spawn(TaskSpec::new("t", move |_: &TaskCx| {
        step += 1;
        match step {
            1 => Action::SetNice(Whom::Myself, 5),
            2 => Action::SetAffinity(Whom::Myself, scxr_kernel::cpumask::CpuMask::parse("2-3").unwrap()),
            3 => Action::SetPolicy(Whom::Myself, Policy::Fifo(3)),
            4 => Action::SetPolicy(Whom::Myself, Policy::Normal),
            5 => Action::SetPolicy(Whom::Myself, Policy::Idle),
            _ => Action::Run(MS),
        }
    }));
    run(&mut m, 50 * MS);
    assert_eq!(*told.borrow(), ["weight 100", "weight 33", "cpus 2-3", "weight 33", "cpus 2-3", "weight 1"]);
}

#[test]
fn reload_many_times_under_load() {
    let (mut m, _) = machine("2x2");
    for i in 0..6 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
        m.spawn(TaskSpec::new(format!("sleeper{i}"), periodic(200_000, 300_000)));
    }
    for _ in 0..40 {
        m.enable(Rc::new(Simple::default()));
        m.disable();
    }
    run(&mut m, 500 * MS);
    assert_eq!(m.state().ext.enable_seq, 40);
    let info = ejected(&mut m, "hog");
    assert_eq!(info.kind, ExitKind::Unreg);
}

/// A fork that `init_task` refuses: the trace says that the child is gone.
#[test]
fn a_refused_child_exits() {
    let (mut m, log) = machine("2");
    m.enable(Rc::new(Script {
        init_task: Some(Box::new(|_, _, args| if args.fork { -1 } else { 0 })),
        ..Default::default()
    }));
    m.spawn(TaskSpec::new("refused", hog()));
    m.run_until(20 * MS);
    assert_eq!(alive(&m, "refused"), 0);
    let log = log.0.borrow();
    let child = log.iter().find_map(|e| match &e.kind {
        EventKind::Fork { pid, comm, .. } if comm == "refused" => Some(*pid),
        _ => None,
    });
    assert!(log.iter().any(|e| matches!(e.kind, EventKind::Exit { pid } if Some(pid) == child)), "{child:?}");
    let mut checker = scxr_trace::Checker::new(scxr_trace::Rules { one_place: true, ..Default::default() });
    log.iter().for_each(|e| checker.event(e.t, e.cpu, e.kind.clone()));
    assert_eq!(checker.finish(20 * MS).len(), 0);
}
