//! Schedulers of the cid form: they name CPUs by topological id.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::CpuId;
use scxr_trace::{EventKind, ExitKind};

use crate::harness::*;
use crate::script::Script;

/// On `2x2x2` the cids are those of CPUs 0, 4, 1, 5, 2, 6, 3, 7.
const MACHINE: &str = "2x2x2";

/// Leaves every task where it is, so that it is enqueued.
fn stays() -> Script {
    Script { select_cpu: Some(Box::new(|k, _, prev, _| cpu_arg(k, prev))), ..Default::default() }
}

/// Where a hog runs under `script`, CPU after CPU.
fn cpus_of_hog(script: Script) -> Vec<u32> {
    let (mut m, log) = machine(MACHINE);
    m.enable(Rc::new(Script { cid: true, ..script }));
    m.spawn(scxr_kernel::behavior::TaskSpec::new("hog", periodic(MS, MS)));
    m.run_until(50 * MS);
    assert_eq!(m.state().ext.exit_info, None);
    let tasks = m.state().all_tasks();
    let pid = tasks.iter().map(|&p| m.state().task(p)).find(|t| t.comm == "hog").expect("a task").pid;
    let mut cpus: Vec<u32> = log
        .0
        .borrow()
        .iter()
        .filter_map(|e| match e.kind {
            EventKind::SwitchIn { pid: p, .. } if p == pid => Some(e.cpu),
            _ => None,
        })
        .collect();
    cpus.dedup();
    cpus
}

#[test]
fn a_selected_cid_is_a_cpu() {
    for (cid, cpu) in [(1, 4), (3, 5), (6, 3), (7, 7)] {
        let script = Script {
            select_cpu: Some(Box::new(move |k, p, _, _| {
                scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
                cid
            })),
            ..Default::default()
        };
        assert_eq!(cpus_of_hog(script).last(), Some(&cpu), "cid {cid}");
    }
}

#[test]
fn a_local_queue_is_named_by_cid() {
    let lengths = Rc::new(RefCell::new(Vec::new()));
    let seen = lengths.clone();
    let script = Script {
        enqueue: Some(Box::new(move |k, p, _| {
            scx_bpf_dsq_insert(k, p, LOCAL_ON | 3, SLICE_DFL, 0);
            seen.borrow_mut().push(scx_bpf_dsq_nr_queued(k, LOCAL_ON | 3));
        })),
        ..stays()
    };
    assert_eq!(cpus_of_hog(script).last(), Some(&5));
    assert!(lengths.borrow().iter().all(|n| *n >= 0), "{lengths:?}");
}

#[test]
fn own_numbers_hold() {
    let script = Script {
        init: Some(Box::new(|k| {
            scx_bpf_cid_override(k, &[7, 6, 5, 4, 3, 2, 1, 0]);
            0
        })),
        enqueue: Some(Box::new(|k, p, _| {
            assert_eq!((cpu_arg(k, CpuId(2)), scx_bpf_cid_to_cpu(k, 5)), (5, 2));
            scx_bpf_dsq_insert(k, p, LOCAL_ON | 5, SLICE_DFL, 0);
        })),
        ..stays()
    };
    assert_eq!(cpus_of_hog(script).last(), Some(&2));
}

#[test]
fn cids_that_do_not_exist() {
    let selects = |cid: i32| Script { select_cpu: Some(Box::new(move |_, _, _, _| cid)), ..Default::default() };
    let inserts = Script {
        enqueue: Some(Box::new(|k, p, _| _ = scx_bpf_dsq_insert(k, p, LOCAL_ON | 8, SLICE_DFL, 0))),
        ..stays()
    };
    for (script, msg) in [
        (selects(8), "invalid cid 8"),
        (selects(-1), "invalid CPU -1 from ops.select_cpu()"),
        (inserts, "invalid cid 8"),
    ] {
        let (mut m, _) = machine(MACHINE);
        m.enable(Rc::new(Script { cid: true, ..script }));
        m.spawn(scxr_kernel::behavior::TaskSpec::new("hog", hog()));
        m.run_until(100 * MS);
        let info = m.state().ext.exit_info.clone().expect("it was ejected");
        assert_eq!((info.kind, info.msg.as_str()), (ExitKind::Error, msg));
    }
}

/// Only a scheduler that asked for it finds tasks by their number.
#[test]
fn tasks_are_found_by_number() {
    const TID_TO_TASK: u64 = 1 << 8;
    let script = Script {
        flags: TID_TO_TASK,
        enqueue: Some(Box::new(|k, p, _| {
            let tid = k.task(p).scx.tid;
            assert_ne!(tid, 0);
            assert_eq!(scx_bpf_tid_to_task(k, tid), Some(p));
            assert_eq!(scx_bpf_tid_to_task(k, 1 << 40), None);
            scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
        })),
        ..stays()
    };
    assert!(!cpus_of_hog(script).is_empty());
    let (mut m, _) = machine(MACHINE);
    m.enable(Rc::new(Script {
        cid: true,
        enqueue: Some(Box::new(|k, _, _| assert_eq!(scx_bpf_tid_to_task(k, 1), None))),
        ..stays()
    }));
    m.spawn(scxr_kernel::behavior::TaskSpec::new("hog", hog()));
    m.run_until(100 * MS);
    let info = m.state().ext.exit_info.clone().expect("it was ejected");
    assert_eq!(info.msg, "scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK");
}
