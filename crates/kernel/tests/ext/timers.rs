//! Timers of a scheduler's own.

use std::cell::RefCell;
use std::rc::Rc;

use scxr_kernel::Kernel;
use scxr_kernel::ext::EnableState;
use scxr_kernel::ext::kfunc::*;

use crate::harness::*;
use crate::script::Script;

/// When, where and which timer was due.
type Due = Rc<RefCell<Vec<(u64, u32, u64)>>>;

/// A scheduler that starts timers in `init`; what they do is `timer`'s affair.
fn run(
    ms: u64,
    init: impl Fn(&mut Kernel) + 'static,
    timer: impl Fn(&mut Kernel, u64) + 'static,
) -> (scxr_kernel::Machine, Vec<(u64, u32, u64)>) {
    let (mut m, _) = machine("2");
    let due = Due::default();
    let log = due.clone();
    m.enable(Rc::new(Script {
        init: Some(Box::new(move |k| {
            init(k);
            0
        })),
        timer: Some(Box::new(move |k, id| {
            log.borrow_mut().push((k.now(), k.this_cpu().0, id));
            timer(k, id);
        })),
        ..Default::default()
    }));
    m.spawn(scxr_kernel::behavior::TaskSpec::new("hog", hog()));
    m.run_until(ms * MS);
    check(&m);
    let due = due.borrow().clone();
    (m, due)
}

fn ids(due: &[(u64, u32, u64)]) -> Vec<u64> {
    due.iter().map(|&(.., id)| id).collect()
}

#[test]
fn each_is_due_once_in_order_of_time() {
    let init = |k: &mut Kernel| {
        for (id, at) in [(1, 30), (2, 10), (3, 20), (4, 500)] {
            bpf_timer_start(k, id, at * MS);
        }
        // starting again moves it
        bpf_timer_start(k, 1, 15 * MS);
    };
    let (_, due) = run(100, init, |_, _| ());
    assert_eq!(ids(&due), [2, 1, 3]);
    for ((at, ..), expect) in due.into_iter().zip([10, 15, 20]) {
        assert!((expect * MS..expect * MS + MS / 2).contains(&at), "{at} for {expect} ms");
    }
}

#[test]
fn one_that_starts_itself_again_goes_on_where_it_was() {
    let (_, due) = run(100, |k| bpf_timer_start(k, 7, 10 * MS), |k, id| bpf_timer_start(k, id, k.now() + 10 * MS));
    assert_eq!(due.len(), 9);
    assert!(due.iter().all(|&(_, cpu, _)| cpu == due[0].1));
}

#[test]
fn stopping_tells_whether_it_was_on() {
    let init = |k: &mut Kernel| {
        bpf_timer_start(k, 1, 10 * MS);
        bpf_timer_start(k, 2, 5 * MS);
        assert_eq!(bpf_timer_cancel(k, 3), Some(false));
    };
    let timer = |k: &mut Kernel, id: u64| {
        assert_eq!(id, 2);
        assert_eq!(bpf_timer_cancel(k, 2), None, "its own function");
        assert_eq!(bpf_timer_cancel(k, 1), Some(true));
        assert_eq!(bpf_timer_cancel(k, 1), Some(false));
    };
    assert_eq!(ids(&run(50, init, timer).1), [2]);
}

#[test]
fn a_function_may_end_the_scheduler_and_timers_end_with_it() {
    let init = |k: &mut Kernel| {
        bpf_timer_start(k, 1, 10 * MS);
        bpf_timer_start(k, 2, 40 * MS);
    };
    let (m, due) = run(80, init, |k, _| scx_bpf_error(k, "enough"));
    assert_eq!(ids(&due), [1]);
    let ext = &m.state().ext;
    assert_eq!(ext.state, EnableState::Disabled);
    assert_eq!(ext.exit_info.as_ref().map(|i| i.msg.as_str()), Some("enough"));
}
