//! Schedulers that do wrong: the right exit information, and every task goes on under fair.

use std::cell::Cell;
use std::rc::Rc;

use scxr_kernel::behavior::TaskSpec;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::Op;
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

const BOGUS: u64 = 0xcafe_f00d;
const VTIME: bool = true;

/// Runs a script until it is ejected.
fn eject(script: Script) -> scxr_kernel::ext::ops::ExitInfo {
    let mut m = with_hogs("4", Rc::new(script), 6, 2600);
    ejected(&mut m, "hog")
}

fn check_error(name: &'static str, script: Script, msg: &str) {
    let info = eject(Script { name, ..script });
    assert_eq!((info.kind, info.reason), (ExitKind::Error, "runtime error"), "{name}: {info:?}");
    assert!(info.msg.starts_with(msg), "{name}: {}", info.msg);
}

#[test]
fn a_returned_cpu_that_does_not_exist() {
    for cpu in [9999, -1, 4] {
        let script = Script { select_cpu: Some(Box::new(move |_, _, _, _| cpu)), ..Default::default() };
        check_error("bad_cpu", script, &format!("invalid CPU {cpu} from ops.select_cpu()"));
    }
}

#[test]
fn queues_that_do_not_exist_or_have_no_vtime() {
    let insert = |dsq: u64, vtime: bool| Script {
        select_cpu: Some(Box::new(move |k, p, prev, _| {
            match vtime {
                true => scx_bpf_dsq_insert_vtime(k, p, dsq, SLICE_DFL, 0, 0),
                false => scx_bpf_dsq_insert(k, p, dsq, SLICE_DFL, 0),
            };
            prev.0 as i32
        })),
        ..Default::default()
    };
    check_error("ddsp_bogus", insert(BOGUS, VTIME), "non-existent DSQ 0xcafef00d");
    check_error("bad_dsq", insert(BOGUS, false), "non-existent DSQ 0xcafef00d");
    let why = "cannot use vtime ordering for built-in DSQs";
    check_error("vtime_local", insert(LOCAL, VTIME), why);
    check_error("vtime_global", insert(GLOBAL, VTIME), why);
    check_error("local_on", insert(LOCAL_ON | 77, false), "invalid CPU 77 in SCX_DSQ_LOCAL_ON dispatch verdict");
}

#[test]
fn two_insertions_of_a_task() {
    let script = Script {
        select_cpu: Some(Box::new(|k, p, prev, _| {
            scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, 0);
            scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, 0);
            prev.0 as i32
        })),
        ..Default::default()
    };
    let info = eject(script);
    assert_eq!(info.kind, ExitKind::Error);
    assert!(info.msg.ends_with("] already direct-dispatched"), "{}", info.msg);
}

#[test]
fn insertion_of_another_task() {
    let other = Cell::new(None);
    let script = Script {
        enqueue: Some(Box::new(move |k, p, _| {
            let q = other.replace(Some(p)).unwrap_or(p);
            scx_bpf_dsq_insert(k, q, GLOBAL, SLICE_DFL, 0);
        })),
        ..Default::default()
    };
    let info = eject(script);
    assert!(info.msg.starts_with("scheduling for "), "{}", info.msg);
    assert!(info.msg.contains(" but trying to direct-dispatch "), "{}", info.msg);
}

#[test]
fn mixed_orders_on_a_queue() {
    let turn = Cell::new(0);
    let script = Script {
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, 7, -1))),
        enqueue: Some(Box::new(move |k, p, _| {
            turn.set(turn.get() + 1);
            match turn.get() % 2 {
                0 => scx_bpf_dsq_insert(k, p, 7, MS, 0),
                _ => scx_bpf_dsq_insert_vtime(k, p, 7, MS, 0, 0),
            };
        })),
        dispatch: Some(Box::new(|k, _, _| {
            scx_bpf_dsq_move_to_local(k, 7, 0);
        })),
        ..Default::default()
    };
    let info = eject(script);
    assert!(info.msg.starts_with("DSQ ID 0x0000000000000007 already had"), "{}", info.msg);
}

#[test]
fn dispatch_buffer_limits() {
    check_error(
        "overflow",
        Script {
            batch: 4,
            enqueue: Some(Box::new(|_, _, _| {})),
            dispatch: Some(Box::new(|k, cpu, _| {
                let me = k.rqs[cpu].curr;
                let p = k.all_tasks().into_iter().next_back().unwrap_or(me);
                for _ in 0..5 {
                    scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, 0);
                }
            })),
            ..Default::default()
        },
        "dispatch buffer overflow",
    );
    check_error(
        "underflow",
        Script {
            enqueue: Some(Box::new(|_, _, _| {})),
            dispatch: Some(Box::new(|k, _, _| scx_bpf_dispatch_cancel(k))),
            ..Default::default()
        },
        "dispatch buffer underflow",
    );
}

#[test]
fn kfuncs_refuse_nonsense() {
    type Wrong = Box<dyn Fn(&mut scxr_kernel::Kernel)>;
    let table: [(Wrong, &str); 10] = [
        (Box::new(|k| scx_bpf_kick_cpu(k, 4711, 0)), "invalid CPU 4711"),
        (Box::new(|k| scx_bpf_kick_cpu(k, 0, 3)), "PREEMPT/WAIT cannot be used with SCX_KICK_IDLE"),
        (
            Box::new(|k| {
                scx_bpf_dsq_move_to_local(k, 99, 0);
            }),
            "invalid DSQ ID 0x0000000000000063",
        ),
        (
            Box::new(|k| {
                scx_bpf_dsq_peek(k, LOCAL);
            }),
            "peek disallowed on builtin DSQ",
        ),
        (
            Box::new(|k| {
                scx_bpf_dsq_peek(k, 99);
            }),
            "peek on non-existent DSQ",
        ),
        (
            Box::new(|k| {
                scx_bpf_test_and_clear_cpu_idle(k, -3);
            }),
            "invalid CPU -3",
        ),
        (Box::new(|k| scx_bpf_cpuperf_set(k, 0, 2000)), "Invalid cpuperf target 2000 for CPU 0"),
        (
            Box::new(|k| {
                scx_bpf_pick_idle_cpu_node(k, &Default::default(), 0, 0);
            }),
            "per-node idle tracking is disabled",
        ),
        (Box::new(|k| scx_bpf_dsq_reenq(k, LOCAL, 8)), "invalid SCX_REENQ flags 0x8"),
        (
            Box::new(|k| {
                let p = k.all_tasks()[0];
                scx_bpf_dsq_insert(k, p, LOCAL, 0, 1 << 57);
            }),
            "invalid enq_flags 0x200000000000000",
        ),
    ];
    for (wrong, msg) in table {
        let script = Script { tick: Some(Box::new(move |k, _| wrong(k))), ..Default::default() };
        check_error(msg, script, msg);
    }
}

#[test]
fn a_queue_in_use_cannot_be_destroyed() {
    check_error(
        "destroy",
        Script {
            init: Some(Box::new(|k| scx_bpf_create_dsq(k, 5, -1))),
            enqueue: Some(Box::new(|k, p, _| {
                scx_bpf_dsq_insert(k, p, 5, SLICE_DFL, 0);
            })),
            dispatch: Some(Box::new(|k, _, _| {
                if scx_bpf_dsq_nr_queued(k, 5) > 0 {
                    scx_bpf_destroy_dsq(k, 5);
                }
                scx_bpf_dsq_move_to_local(k, 5, 0);
            })),
            ..Default::default()
        },
        "attempting to destroy in-use dsq 0x0000000000000005 (nr=",
    );
}

#[test]
fn a_task_that_is_never_dispatched_stalls() {
    let info = eject(Script {
        enqueue: Some(Box::new(|_, _, _| {})),
        dispatch: Some(Box::new(|_, _, _| {})),
        ..Default::default()
    });
    assert_eq!((info.kind, info.reason), (ExitKind::ErrorStall, "runnable task stall"));
    assert!(info.msg.contains("] failed to run for 1."), "{}", info.msg);
    assert!((0..4).contains(&info.cpu));
}

#[test]
fn enq_last_needs_enqueue() {
    let info = eject(Script { flags: 1 << 1, ..Default::default() });
    assert_eq!(info.kind, ExitKind::Error);
    assert_eq!(info.msg, "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented");
}

#[test]
fn failures_of_init_and_init_task() {
    let called = Rc::new(Cell::new(0));
    let exits = called.clone();
    let info = eject(Script {
        init: Some(Box::new(|_| -22)),
        exit: Some(Box::new(move |_, info| {
            assert_eq!(info.flags, 0, "not initialized");
            exits.set(exits.get() + 1);
        })),
        ..Default::default()
    });
    assert_eq!((info.kind, info.msg.as_str()), (ExitKind::Error, "ops.init() failed (-22)"));
    assert_eq!(called.get(), 1);

    let info = eject(Script { init: Some(Box::new(|_| 5)), ..Default::default() });
    assert_eq!(info.msg, "ops.init() returned an invalid errno 5");

    let undone = Rc::new(Cell::new(0));
    let (n, seen) = (Cell::new(0), undone.clone());
    let info = eject(Script {
        init: Some(Box::new(|_| 0)),
        init_task: Some(Box::new(move |_, _, _| {
            n.set(n.get() + 1);
            if n.get() == 5 { -12 } else { 0 }
        })),
        exit_task: Some(Box::new(move |_, _, args| {
            assert!(!args.cancelled);
            seen.set(seen.get() + 1);
        })),
        ..Default::default()
    });
    assert!(info.msg.starts_with("ops.init_task() failed (-12) for "), "{}", info.msg);
    assert_eq!((info.flags, undone.get()), (1, 4));
}

/// Selftest `exit`.
#[test]
fn exit_from_every_operation() {
    fn bye(point: i64) -> impl Fn(&mut scxr_kernel::Kernel, i64) {
        move |k, here| {
            if here == point {
                scx_bpf_exit(k, point, &point.to_string());
            }
        }
    }
    for point in 0..6 {
        let info = eject(Script {
            select_cpu: Some(Box::new(move |k, p, prev, flags| {
                bye(point)(k, 0);
                scx_bpf_select_cpu_dfl(k, p, prev.0 as i32, flags).0
            })),
            enqueue: Some(Box::new(move |k, p, flags| {
                bye(point)(k, 1);
                scx_bpf_dsq_insert(k, p, 0, SLICE_DFL, flags);
            })),
            dispatch: Some(Box::new(move |k, _, _| {
                bye(point)(k, 2);
                scx_bpf_dsq_move_to_local(k, 0, 0);
            })),
            enable: Some(Box::new(move |k, _| bye(point)(k, 3))),
            init_task: Some(Box::new(move |k, _, _| {
                bye(point)(k, 4);
                0
            })),
            init: Some(Box::new(move |k| {
                bye(point)(k, 5);
                scx_bpf_create_dsq(k, 0, -1)
            })),
            ..Default::default()
        });
        assert_eq!((info.kind, info.code, info.msg), (ExitKind::UnregBpf, point, point.to_string()));
        assert_eq!(info.reason, "unregistered from BPF");
    }
}

#[test]
fn scx_bpf_error_is_an_error() {
    let info = eject(Script {
        enqueue: Some(Box::new(|k, p, _| {
            scx_bpf_error(k, "no more");
            scx_bpf_dsq_insert(k, p, GLOBAL, 0, 0);
        })),
        ..Default::default()
    });
    assert_eq!((info.kind, info.code, info.msg.as_str()), (ExitKind::ErrorBpf, 0, "no more"));
}

#[test]
fn refusals_before_anything_happens() {
    let refuse = |script: Script, errno: i32, why: &str| {
        let (mut m, _) = machine("2");
        m.spawn(TaskSpec::new("hog", hog()));
        m.enable(Rc::new(script));
        run(&mut m, 50 * MS);
        let ext = &m.state().ext;
        let (e, text) = ext.enable_error.clone().expect("a refusal");
        assert_eq!((e, text.as_str()), (errno, why));
        assert!(ext.root().is_none() && ext.exit_info.is_none());
    };
    let script = |flags, timeout_ms| Script { flags, timeout_ms, ..Default::default() };
    refuse(script(1 << 20, 0), -22, "unknown flags 0x100000");
    refuse(script(0, 30_001), -7, "timeout_ms is 30001, more than 30000");

    let (mut m, _) = machine("2");
    m.enable(Rc::new(Script::default()));
    m.enable(Rc::new(Script::default()));
    run(&mut m, 50 * MS);
    let ext = &m.state().ext;
    assert_eq!(ext.enable_error, Some((-16, "another scheduler is enabled".into())));
    assert_eq!(ext.root_name(), Some("script"));
}

#[test]
fn operations_of_the_other_form_are_refused() {
    for op in [Op::sub_attach, Op::sub_detach] {
        let script = Script { also: vec![op], ..Default::default() };
        check_error("sub", script, "sub_attach/sub_detach requires cid-form struct_ops");
    }
}
