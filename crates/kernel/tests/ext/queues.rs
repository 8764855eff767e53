//! Queues survive whatever a scheduler does to them.

use std::cell::RefCell;
use std::rc::Rc;

use rand_core::RngCore;
use rand_pcg::Pcg32;
use scxr_kernel::behavior::TaskSpec;
use scxr_kernel::ext::kfunc::*;

use crate::harness::*;
use crate::script::Script;

/// Vtimes spread over more than half of their range: the wrapping comparison is no order then, but no task is lost (E-101).
/// `meddle`: the vtime of a waiting task is changed, too, and in the midst of a move.
fn wild(meddle: bool) -> Script {
    let r = Rc::new(RefCell::new(Pcg32::new(7, 0)));
    let other = r.clone();
    Script {
        name: "wild",
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, 0, -1))),
        enqueue: Some(Box::new(move |k, p, _| {
            let vtime = r.borrow_mut().next_u64();
            scx_bpf_dsq_insert_vtime(k, p, 0, MS, vtime, 0);
        })),
        dispatch: Some(Box::new(move |k, _, _| {
            if meddle && let Some(p) = scx_bpf_dsq_peek(k, 0) {
                let vtime = other.borrow_mut().next_u64();
                scx_bpf_task_set_dsq_vtime(k, p, vtime);
                let (it, _) = bpf_iter_scx_dsq_new(k, 0, 0);
                if let Some(p) = bpf_iter_scx_dsq_next(k, it) {
                    scx_bpf_dsq_move_set_vtime(k, it, vtime ^ 1 << 63);
                    scx_bpf_dsq_move_vtime(k, it, p, 0, 0);
                }
                bpf_iter_scx_dsq_destroy(k, it);
            }
            scx_bpf_dsq_move_to_local(k, 0, 0);
        })),
        ..Default::default()
    }
}

#[test]
fn vtimes_spread_over_everything() {
    for meddle in [false, true] {
        let (mut m, _) = machine("4");
        for i in 0..40 {
            m.spawn(TaskSpec::new(format!("task{i}"), finite(100, MS / 2, MS)));
        }
        m.enable(Rc::new(wild(meddle)));
        run(&mut m, 900 * MS);
        // A task may starve where nothing has an order; nothing else may go wrong.
        let s = m.state();
        let stalled = s.ext.exit_info.as_ref().is_none_or(|info| info.msg.contains("failed to run"));
        assert!(stalled, "{:?}", s.ext.exit_info);
        run(&mut m, 2_500 * MS);
        assert_eq!(alive(&m, "task"), 0, "meddle: {meddle}");
    }
}
