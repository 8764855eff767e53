//! CPU time goes where the policy says.

use std::rc::Rc;

use scxr_kernel::behavior::TaskSpec;
use scxr_kernel::class::ClassId;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::prio;

use crate::harness::*;
use crate::policies::*;

/// Two hogs of each nice value: with one, the heaviest could not have more than half of the CPU, because `dispatch` comes
/// before the task that ran is enqueued again, so that no task runs twice in a row while another waits (E-123).
#[test]
fn shares_follow_weights_on_one_cpu() {
    let (mut m, _) = machine("1");
    let nices = [-5i8, 0, 5, 10];
    m.enable(Rc::new(Simple::default()));
    for n in nices.into_iter().chain(nices) {
        m.spawn(nice(TaskSpec::new(format!("nice{n}"), hog()), n));
    }
    run(&mut m, 120_000 * MS);
    let s = m.state();
    assert!(s.ext.exit_info.is_none(), "{:?}", s.ext.exit_info);
    assert_eq!(s.ext.root_name(), Some("simple"));
    let weight = |n: i8| f64::from(prio::cgroup_weight(prio::nice_to_weight(n)));
    let all: f64 = nices.iter().map(|&n| weight(n)).sum();
    let total: u64 = nices.iter().map(|n| cpu_time(&m, &format!("nice{n}"))).sum();
    assert!(total > 119_000 * MS, "{total}");
    for n in nices {
        let share = cpu_time(&m, &format!("nice{n}")) as f64 / total as f64;
        let ideal = weight(n) / all;
        assert!((share / ideal - 1.0).abs() < 0.03, "nice {n}: {share} {ideal}");
    }
}

#[test]
fn every_policy_conserves_work() {
    let policies: [(&str, Rc<dyn SchedExtOps>); 4] = [
        ("simple", Rc::new(Simple::default())),
        ("fifo", Rc::new(Simple { fifo: true, ..Default::default() })),
        ("central", Rc::new(Central::default())),
        ("percpu", Rc::new(PerCpuQueues)),
    ];
    for (name, ops) in policies {
        let (mut m, _) = machine("2x2x2");
        m.enable(ops);
        for i in 0..16 {
            m.spawn(TaskSpec::new(format!("hog{i}"), hog()));
        }
        run(&mut m, 1000 * MS);
        assert!(m.state().ext.exit_info.is_none(), "{name}: {:?}", m.state().ext.exit_info);
        let s = m.state();
        for p in s.all_tasks() {
            let t = s.task(p);
            if t.comm.starts_with("hog") {
                assert_eq!(t.class, ClassId::Ext, "{name}");
            }
        }
        let total: u64 = (0..16).map(|i| cpu_time(&m, &format!("hog{i}"))).sum();
        assert!(total > 7_600 * MS, "{name}: {total}");
    }
}

#[test]
fn pinned_tasks_stay_where_they_may_be() {
    let (mut m, _) = machine("4");
    m.enable(Rc::new(Simple::default()));
    for i in 0..8u32 {
        let mut spec = TaskSpec::new(format!("hog{i}"), periodic(MS, 100_000));
        spec.affinity = Some(CpuMask::parse(&format!("{}", i % 4)).unwrap());
        m.spawn(spec);
    }
    run(&mut m, 500 * MS);
    let s = m.state();
    assert!(s.ext.exit_info.is_none(), "{:?}", s.ext.exit_info);
    for p in s.all_tasks() {
        let t = s.task(p);
        assert!(t.cpus.test(t.cpu), "{}", t.comm);
    }
    for i in 0..8 {
        assert!(cpu_time(&m, &format!("hog{i}")) > 200 * MS);
    }
}
