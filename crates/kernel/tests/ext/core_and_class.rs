//! Where the core and the class meet: fallback CPUs, the dispatch loop, SysRq.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use scxr_kernel::behavior::TaskSpec;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::exit::sysrq_reset;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_trace::{EventKind, ExitKind};

use crate::harness::*;
use crate::script::Script;

/// A task whose CPUs are all gone may use any, and the scheduler is told [select_fallback_rq].
#[test]
fn a_fallback_cpu_widens_the_affinity() {
    let told: Rc<RefCell<Vec<(TaskId, usize)>>> = Default::default();
    let log = told.clone();
    let (mut m, trace) = machine("4");
    m.enable(Rc::new(Script {
        set_cpumask: Some(Box::new(move |k, p| {
            if k.task(p).comm == "pinned" {
                assert_eq!(scx_bpf_locked_rq(k), Some(k.task(p).cpu));
                log.borrow_mut().push((p, k.task(p).cpus.weight()));
            }
        })),
        ..Default::default()
    }));
    let mut spec = TaskSpec::new("pinned", periodic(MS, MS));
    spec.affinity = Some(CpuMask::of(CpuId(1)));
    m.spawn(spec);
    m.run_until(20 * MS + MS / 2);
    told.borrow_mut().clear();
    m.at(20 * MS + MS / 2, |k| k.rqs[CpuId(1)].active = false);
    m.run_until(40 * MS);
    let told = told.take();
    assert_eq!(told.iter().map(|t| t.1).collect::<Vec<_>>(), [4]);
    let s = m.state();
    assert_eq!(s.task(told[0].0).cpus, CpuMask::first_n(4));
    assert_ne!(s.task(told[0].0).cpu, CpuId(1));
    let pid = s.task(told[0].0).pid;
    let affinity =
        |kind: &EventKind| matches!(kind, EventKind::Affinity { pid: p, cpus } if *p == pid && cpus == "0-3");
    assert_eq!(trace.0.borrow().iter().filter(|e| affinity(&e.kind)).count(), 1);
}

/// A dispatch that only ever inserts tasks that cannot run is called 32 times; then the CPU is kicked and goes on, whether or
/// not the last round inserted something (E-122).
#[test]
fn the_dispatch_loop_has_a_limit() {
    for (rounds, kicks, calls) in [(30, 0, 31), (31, 1, 33), (32, 1, 33)] {
        let sleeper: Rc<Cell<Option<TaskId>>> = Default::default();
        let seen = sleeper.clone();
        let nr = Rc::new(Cell::new(0));
        let count = nr.clone();
        let (mut m, trace) = machine("1");
        m.enable(Rc::new(Script {
            init_task: Some(Box::new(move |k, p, _| {
                if k.task(p).comm == "init" {
                    seen.set(Some(p));
                }
                0
            })),
            dispatch: Some(Box::new(move |k, _, _| {
                if k.now() < 5 * MS {
                    return;
                }
                count.set(count.get() + 1);
                if count.get() <= rounds {
                    scx_bpf_dsq_insert(k, sleeper.get().expect("init exists"), LOCAL, MS, 0);
                }
            })),
            ..Default::default()
        }));
        m.run_until(5 * MS);
        m.at(6 * MS, |k| k.resched_cpu(CpuId(0)));
        m.run_until(7 * MS);
        let nr_kicks = trace.0.borrow().iter().filter(|e| matches!(e.kind, EventKind::Kick { .. })).count();
        assert_eq!((nr_kicks, nr.get()), (kicks, calls), "{rounds} rounds");
    }
}

/// SysRq-S leaves neither a message nor a CPU (E-177), and does nothing without a scheduler.
#[test]
fn sysrq_s() {
    let (mut m, _) = machine("2");
    m.spawn(TaskSpec::new("hog", hog()));
    m.at(MS, sysrq_reset);
    m.run_until(2 * MS);
    m.enable(Rc::new(Script::default()));
    m.at(30 * MS, sysrq_reset);
    m.run_until(50 * MS);
    let info = ejected(&mut m, "hog");
    assert_eq!((info.kind, info.cpu, info.msg.as_str(), info.reason), (ExitKind::Sysrq, -1, "", "disabled by sysrq-S"));
}
