//! Objects of the cid form (`struct sched_ext_ops_cid`).

use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::dump::sysrq_dump;
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use scxr_ops::BpfScheduler;
use scxr_trace::NullSink;

use crate::common::{MS, Setup};
use crate::objects::{compile, global, load};

/// On it the cids are those of CPUs 0, 4, 1, 5, 2, 6, 3, 7.
const MACHINE: &str = "2x2x2";

fn start(target: u64) -> Option<(Machine, Rc<BpfScheduler>)> {
    start_with(target, None)
}

/// The same with a task that is there before the scheduler.
fn start_with(target: u64, task: Option<TaskSpec>) -> Option<(Machine, Rc<BpfScheduler>)> {
    let setup = Setup::new(MACHINE, "", 0);
    let s = load(&compile("cid", "PLAIN")?, &setup, 8, &[("target", target)]).unwrap_or_else(|e| panic!("{e}"));
    let mut m = Machine::new(Topology::parse(MACHINE).expect("a machine"), Config::default(), Box::new(NullSink));
    task.into_iter().for_each(|task| m.spawn(task));
    m.run_until(MS);
    m.enable(s.clone());
    Some((m, s))
}

#[test]
fn cpus_are_named_by_cid() {
    let Some((mut m, s)) = start(3) else { return };
    let mut run = false;
    m.spawn(TaskSpec::new("hog", move |_: &TaskCx| {
        run = !run;
        if run { Action::Run(MS) } else { Action::Sleep(MS) }
    }));
    m.at(30 * MS, sysrq_dump);
    m.run_until(50 * MS);
    assert_eq!(m.state().ext.exit_info, None);
    assert!(global(&s, "enqueued") > 10);
    assert_eq!((global(&s, "wrong"), global(&s, "prevs") & !0b1001), (0, 0), "it came from CPU 0 and stays on cid 3");
    assert_eq!(global(&s, "idled") & 0b1000, 0b1000);
    assert_eq!(global(&s, "dumped"), 0xff);
    let tasks = m.state().all_tasks();
    let hog = tasks.iter().map(|&p| m.state().task(p)).find(|t| t.comm == "hog").expect("a task");
    assert_eq!(hog.cpu, CpuId(5));
}

/// CPUs 1 and 5 are cids 2 and 3.
#[test]
fn affinity_is_a_mask_of_cids() {
    let mut spec = TaskSpec::new("pinned", |_: &TaskCx| Action::Run(MS));
    spec.affinity = Some(CpuMask::of(CpuId(1)).or(&CpuMask::of(CpuId(5))));
    let Some((mut m, s)) = start_with(3, Some(spec)) else { return };
    m.run_until(50 * MS);
    assert_eq!(m.state().ext.exit_info, None);
    assert_eq!((global(&s, "mask"), global(&s, "mask_nr"), global(&s, "mask_words")), (0b1100, 8, 2));
}

#[test]
fn cpus_that_come_and_go_are_cids() {
    let Some((mut m, s)) = start(0) else { return };
    let mut steps = vec![
        Action::SetCpuOnline(CpuId(4), true),
        Action::Sleep(20 * MS),
        Action::SetCpuOnline(CpuId(4), false),
        Action::Sleep(20 * MS),
    ];
    let mut operator = TaskSpec::new("operator", move |_: &TaskCx| steps.pop().unwrap_or(Action::Exit));
    operator.policy = Policy::Fifo(10);
    m.spawn(operator);
    m.run_until(100 * MS);
    assert_eq!(m.state().ext.exit_info, None);
    assert_eq!((global(&s, "offline"), global(&s, "online")), (0b10, 0b10));
}

#[test]
fn what_the_form_does_not_allow_is_refused() {
    for (variant, says) in [
        ("NO_ARENA", "needs programs that use an arena (-EINVAL)"),
        ("CPU_KFUNC", "calling kernel function scx_bpf_kick_cpu is not allowed in ops.enqueue (-EACCES)"),
    ] {
        let Some(object) = compile("cid", variant) else { return };
        let setup = Setup::new(MACHINE, "", 0);
        let error = load(&object, &setup, 8, &[]).err().expect(variant).to_string();
        assert!(error.contains(says), "{variant}: {error}");
    }
}
