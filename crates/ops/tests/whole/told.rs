//! What programs of the rarer operations are told: dumps, CPUs that are taken, go and come, cgroups.

use std::rc::Rc;

use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::cgroup::Bandwidth;
use scxr_kernel::config::Config;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::dump::sysrq_dump;
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use scxr_kernel::{CgroupChange, Machine};
use scxr_ops::BpfScheduler;
use scxr_trace::NullSink;

use crate::common::{MS, Setup};
use crate::objects::{compile, global, load};

/// Two hogs on two CPUs under the object, which gives up after so many enqueues.
fn start(after: u64) -> Option<(Machine, Rc<BpfScheduler>)> {
    let setup = Setup::new("2", "", 0);
    let s = load(&compile("told", "PLAIN")?, &setup, 2, &[("after", after)]).unwrap_or_else(|e| panic!("{e}"));
    let mut m = Machine::new(Topology::parse("2").expect("a machine"), Config::default(), Box::new(NullSink));
    m.enable(s.clone());
    for i in 0..3 {
        m.spawn(TaskSpec::new(format!("hog{i}"), |_: &TaskCx| Action::Run(MS)));
    }
    Some((m, s))
}

/// A real-time task that does `steps` on CPU 0, the last first.
fn rt(mut steps: Vec<Action>) -> TaskSpec {
    let mut spec = TaskSpec::new("rt", move |_: &TaskCx| steps.pop().unwrap_or(Action::Exit));
    spec.policy = Policy::Fifo(10);
    spec.affinity = Some(CpuMask::of(CpuId(0)));
    spec
}

#[test]
fn programs_add_to_a_dump() {
    let Some((mut m, s)) = start(20) else { return };
    m.run_until(900 * MS);
    let info = m.state().ext.exit_info.clone().expect("it gave up");
    assert_eq!((info.msg.as_str(), info.bt.as_slice()), ("enough", ["ops.enqueue".to_string()].as_slice()));
    let dump = &info.dump;
    assert!(dump.contains("\n\nscx_bpf_error: 20 enqueued\n\nCPU states\n"), "{dump}");
    assert!(dump.contains("\n\n  cpu 0 idle 0\n") && dump.contains("\n\n  cpu 1 idle "), "{dump}");
    assert!(dump.contains("\n    slice ") && dump.contains("\n\n    pid "), "{dump}");
    assert_eq!(global(&s, "dump_kind"), 1025);
    assert!(global(&s, "dump_at") > 0);
}

#[test]
fn a_dump_can_be_asked_for() {
    let Some((mut m, s)) = start(1 << 40) else { return };
    m.at(50 * MS, sysrq_dump);
    m.run_until(60 * MS);
    let dumps: Vec<&str> = m.state().ext.dumps.asked_for().collect();
    assert!(dumps.len() == 1 && dumps[0].contains("\n\nSysRq-D: "), "{dumps:?}");
    assert_eq!((global(&s, "dump_kind"), m.state().ext.exit_info.is_none()), (0, true));
}

#[test]
fn programs_are_told_of_cpus_that_are_taken_and_go() {
    let Some((mut m, s)) = start(1 << 40) else { return };
    let steps = [
        Action::SleepUntil(50 * MS),
        Action::Run(2 * MS),
        Action::SleepUntil(60 * MS),
        Action::SetCpuOnline(CpuId(1), false),
        Action::SleepUntil(80 * MS),
        Action::SetCpuOnline(CpuId(1), true),
        Action::Sleep(1000 * MS),
    ];
    m.spawn(rt(steps.into_iter().rev().collect()));
    m.run_until(70 * MS);
    assert_eq!(m.state().online.to_string(), "0");
    assert_eq!([global(&s, "offline"), global(&s, "online")], [2, 0]);
    m.run_until(200 * MS);
    assert_eq!([global(&s, "offline"), global(&s, "online")], [2, 2]);
    let state = m.state();
    let tasks = state.all_tasks();
    let rt = tasks.iter().map(|&p| state.task(p)).find(|t| t.comm == "rt").expect("it sleeps");
    assert!(global(&s, "released") >= 2 && global(&s, "acquired") >= 2 && global(&s, "again") >= 1);
    assert_eq!([global(&s, "reason"), global(&s, "taken_by")], [0, rt.pid.into()]);
    assert!(state.ext.exit_info.is_none(), "{:?}", state.ext.exit_info);
}

#[test]
fn programs_are_told_of_cgroups() {
    let Some((mut m, s)) = start(1 << 40) else { return };
    let mut member = TaskSpec::new("member", |_: &TaskCx| Action::Run(MS));
    member.cgroup = "/a/b".into();
    m.spawn(member);
    m.run_until(50 * MS);
    let told = |names: [&str; 4]| names.map(|n| global(&s, n));
    assert_eq!(told(["cgroups", "weights", "levels", "unlimited"]), [3, 300, 3, 3]);
    let state = m.state();
    let member = state.all_tasks().into_iter().find(|&p| state.task(p).comm == "member").expect("it runs");
    let limit = Bandwidth { quota_us: 30_000, ..Bandwidth::default() };
    let changes = [
        CgroupChange::Weight(250),
        CgroupChange::Idle(true),
        CgroupChange::Bandwidth(limit),
        CgroupChange::Attach(vec![member]),
    ];
    m.spawn(rt(changes.into_iter().map(|c| Action::Cgroup("/a".into(), Box::new(c))).collect()));
    m.run_until(400 * MS); // the loader waits for its turn like everybody
    assert_eq!(told(["set_weight", "set_idle", "set_quota", "prepared"]), [250, 1, 30_000, 1]);
    assert_eq!([global(&s, "moved_from"), global(&s, "moved_to")], [3, 2]);
    m.disable();
    m.run_until(800 * MS);
    assert_eq!(global(&s, "cgroups"), 0);
}
