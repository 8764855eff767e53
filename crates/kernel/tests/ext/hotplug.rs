//! CPUs that go and come (E-158 to E-161).

use std::rc::Rc;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::EnableState;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::ids::CpuId;
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

const RESTART: i64 = 1 << 48;
const HOTPLUG: i64 = 1 << 32;

/// A task that takes CPUs down and brings them up at their times; it runs on CPU 0.
fn operator(steps: Vec<(u64, u32, bool)>) -> TaskSpec {
    let mut actions: Vec<Action> = Vec::new();
    for (at, cpu, online) in steps.into_iter().rev() {
        actions.push(Action::SetCpuOnline(CpuId(cpu), online));
        actions.push(Action::SleepUntil(at));
    }
    let mut spec = TaskSpec::new("operator", move |_: &TaskCx| actions.pop().unwrap_or(Action::Exit));
    spec.policy = Policy::Fifo(50);
    spec.affinity = Some(CpuMask::of(CpuId(0)));
    spec
}

fn loaded(spec: &str, steps: Vec<(u64, u32, bool)>) -> (Machine, Log) {
    let (mut m, log) = machine(spec);
    m.spawn(operator(steps));
    for i in 0..6 {
        m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
        m.spawn(TaskSpec::new(format!("sleeper{i}"), periodic(MS, 3 * MS)));
    }
    (m, log)
}

fn exits(code: i64) -> Script {
    Script {
        timeout_ms: 1000,
        cpu_offline: Some(Box::new(move |k, cpu| scx_bpf_exit(k, code, &format!("{cpu} going")))),
        cpu_online: Some(Box::new(move |k, cpu| scx_bpf_exit(k, code | 2, &format!("{cpu} coming")))),
        ..Script::default()
    }
}

fn end(m: &Machine) -> (ExitKind, i64, String) {
    let info = m.state().ext.exit_info.as_ref().expect("it ended");
    (info.kind, info.code, info.msg.clone())
}

#[test]
fn a_scheduler_is_told_or_ends() {
    let check = |online: bool, ops: Script, expect: (ExitKind, i64, &str)| {
        // A CPU that is to come has gone before.
        let before = if online { vec![(5 * MS, 1, false)] } else { vec![] };
        let (mut m, _) = loaded("4", before.into_iter().chain([(100 * MS, 1, online)]).collect());
        m.run_until(50 * MS);
        m.enable(Rc::new(ops));
        run(&mut m, 200 * MS);
        let (kind, code, msg) = end(&m);
        assert_eq!((kind, code, msg.as_str()), expect);
        ejected(&mut m, "hog");
    };
    check(false, exits(RESTART | 1), (ExitKind::UnregBpf, RESTART | 1, "1 going"));
    check(true, exits(RESTART | 1), (ExitKind::UnregBpf, RESTART | 1 | 2, "1 coming"));
    let none = || Script::default();
    check(false, none(), (ExitKind::UnregKern, RESTART | HOTPLUG, "cpu 1 going offline, exiting scheduler"));
    check(true, none(), (ExitKind::UnregKern, RESTART | HOTPLUG, "cpu 1 going online, exiting scheduler"));
}

#[test]
fn a_scheduler_that_expects_other_cpus_is_not_enabled() {
    struct Expects(u64);
    impl SchedExtOps for Expects {
        fn attrs(&self) -> scxr_kernel::ext::ops::OpsAttrs {
            scxr_kernel::ext::ops::OpsAttrs { hotplug_seq: self.0, ..attrs("expects", &[]) }
        }
    }
    // The second CPU came at boot, and goes.
    for (seq, refused) in [(0, false), (2, false), (3, true)] {
        let (mut m, _) = loaded("2", vec![(5 * MS, 1, false)]);
        m.run_until(50 * MS);
        m.enable(Rc::new(Expects(seq)));
        run(&mut m, 100 * MS);
        assert_eq!(m.state().ext.state == EnableState::Disabled, refused, "{seq}");
        if refused {
            let expect =
                (ExitKind::UnregKern, RESTART | HOTPLUG, "expected hotplug seq 3 did not match actual 2".into());
            assert_eq!(end(&m), expect);
        }
    }
}

/// Nothing runs on a CPU that is offline, and every task gets on: under fair, the default operations, and a scheduler that
/// holds its tasks itself.
#[test]
fn tasks_leave_a_cpu_that_goes() {
    let queue = || Script {
        enqueue: Some(Box::new(|k, p, _| _ = scx_bpf_dsq_insert(k, p, 7, SLICE_DFL, 0))),
        dispatch: Some(Box::new(|k, _, _| _ = scx_bpf_dsq_move_to_local(k, 7, 0))),
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, 7, -1))),
        cpu_online: Some(Box::new(|_, _| {})),
        cpu_offline: Some(Box::new(|_, _| {})),
        ..Script::default()
    };
    let keeps = || Script {
        cpu_online: Some(Box::new(|_, _| {})),
        cpu_offline: Some(Box::new(|_, _| {})),
        ..Script::default()
    };
    for ops in [None, Some(keeps()), Some(queue())] {
        let what = ops.as_ref().map_or("fair", |s: &Script| if s.init.is_some() { "queue" } else { "default" });
        let (mut m, log) = loaded("4", vec![(100 * MS, 1, false), (150 * MS, 3, false), (400 * MS, 3, true)]);
        if let Some(ops) = ops {
            m.enable(Rc::new(ops));
        }
        let mut pinned = TaskSpec::new("hog-pinned", hog());
        pinned.affinity = Some(CpuMask::of(CpuId(1)));
        m.spawn(pinned);
        run(&mut m, 300 * MS);
        assert_eq!(m.state().online.to_string(), "0,2", "{what}");
        let before: Vec<u64> = (0..6).map(|i| cpu_time(&m, &format!("hog{i}"))).collect();
        let pinned_before = cpu_time(&m, "hog-pinned");
        run(&mut m, 700 * MS);
        for (i, before) in before.iter().enumerate() {
            assert!(cpu_time(&m, &format!("hog{i}")) > before + 20 * MS, "{what}: hog{i} was lost");
        }
        assert!(cpu_time(&m, "hog-pinned") > pinned_before + 20 * MS, "{what}: its affinity was not widened");
        assert!(m.state().ext.exit_info.is_none(), "{what}: {:?}", m.state().ext.exit_info);
        let runs = |cpu: u32, from: u64, to: u64| {
            let log = log.0.borrow();
            let ins = log.iter().filter(|e| e.cpu == cpu && (from..to).contains(&e.t));
            ins.filter(|e| matches!(e.kind, scxr_trace::EventKind::SwitchIn { .. })).count()
        };
        assert_eq!((runs(1, 101 * MS, 700 * MS), runs(3, 151 * MS, 399 * MS)), (0, 0), "{what}");
        assert!(runs(3, 401 * MS, 700 * MS) > 3, "{what}: CPU 3 came back for nothing");
    }
}

#[test]
fn cpus_go_and_come_at_any_moment() {
    for seed in 0..6 {
        let mut r = Pcg32::seed_from_u64(seed);
        let mut at = 0;
        let steps = (0..80).map(|_| {
            at += u64::from(r.next_u32() % 9_000_000);
            (at, 1 + r.next_u32() % 7, r.next_u32() % 2 == 0)
        });
        let steps: Vec<_> = steps.collect();
        let (mut m, _) = loaded("2x2x2", steps);
        for i in 0..4 {
            let script = Script {
                name: "hotplug",
                cpu_online: Some(Box::new(|_, _| {})),
                cpu_offline: Some(Box::new(|_, _| {})),
                enqueue: (i % 2 == 0).then(|| -> Box<dyn Fn(&mut scxr_kernel::Kernel, _, _)> {
                    Box::new(|k, p, _| _ = scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, 0))
                }),
                ..Script::default()
            };
            m.enable(Rc::new(script));
            run(&mut m, (i + 1) * 90 * MS);
            assert!(m.state().ext.exit_info.is_none(), "seed {seed}: {:?}", m.state().ext.exit_info);
            m.disable();
            run(&mut m, (i + 1) * 90 * MS + 10 * MS);
        }
        run(&mut m, 500 * MS);
        assert_eq!(alive(&m, "hog"), 6);
        let before: Vec<u64> = (0..6).map(|i| cpu_time(&m, &format!("hog{i}"))).collect();
        run(&mut m, 700 * MS);
        let lost = (0..6).filter(|&i| cpu_time(&m, &format!("hog{i}")) == before[i]);
        assert_eq!(lost.collect::<Vec<_>>(), [0usize; 0], "seed {seed}");
    }
}
