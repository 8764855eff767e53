//! What simple decides, operation by operation, against a kernel that writes down what it is asked.

use std::cell::{Cell, RefCell};

use scxr_policy::native::{ExitDetails, Host, Instance, TaskField};
use scxr_simple::{NATIVE, shared};

const SLICE: u64 = 20_000_000;
const LOCAL: u64 = 0x8000_0000_0000_0002;
const TASK: u64 = 7;
const FIRST: u64 = 8;

/// One task and what happens to it.
#[derive(Default)]
struct Kernel {
    idle_cpu: Option<i32>,
    weight: u32,
    slice: u64,
    vtime: Cell<u64>,
    /// Could the task go on?
    queued: bool,
    nr_queued: i32,
    /// Virtual time of the first task in the queue.
    first: Option<u64>,
    calls: RefCell<Vec<String>>,
}

impl Kernel {
    fn say(&self, call: String) -> bool {
        self.calls.borrow_mut().push(call);
        true
    }
}

impl Host for Kernel {
    fn cpu(&self) -> i32 {
        0
    }
    fn now(&self) -> u64 {
        0
    }
    fn task_field(&self, task: u64, field: TaskField) -> u64 {
        if (task, field) == (FIRST, TaskField::DsqVtime) {
            return self.first.expect("a waiting task");
        }
        assert_eq!(task, TASK);
        match field {
            TaskField::ScxFlags => self.queued.into(),
            TaskField::Weight => self.weight.into(),
            TaskField::Slice => self.slice,
            TaskField::DsqVtime => self.vtime.get(),
            other => panic!("simple does not read {other:?}"),
        }
    }
    fn task_set_dsq_vtime(&self, _task: u64, vtime: u64) -> bool {
        self.vtime.set(vtime);
        true
    }
    fn task_set_slice(&self, _task: u64, slice: u64) -> bool {
        self.say(format!("slice {slice}"))
    }
    fn select_cpu_dfl(&self, _task: u64, prev_cpu: i32, _wake_flags: u64) -> (i32, bool) {
        self.idle_cpu.map_or((prev_cpu, false), |cpu| (cpu, true))
    }
    fn create_dsq(&self, dsq_id: u64, node: i32) -> i32 {
        self.say(format!("create {dsq_id} {node}"));
        0
    }
    fn dsq_nr_queued(&self, _dsq_id: u64) -> i32 {
        self.nr_queued
    }
    fn dsq_peek(&self, _dsq_id: u64) -> Option<u64> {
        self.first.map(|_| FIRST)
    }
    fn dsq_insert(&self, _task: u64, dsq_id: u64, slice: u64, enq_flags: u64) -> bool {
        self.say(format!("insert {dsq_id:#x} {slice} {enq_flags}"))
    }
    fn dsq_insert_vtime(&self, _task: u64, dsq_id: u64, slice: u64, vtime: u64, enq_flags: u64) -> bool {
        self.say(format!("insert {dsq_id:#x} {slice} {enq_flags} at {vtime}"))
    }
    fn dsq_move_to_local(&self, dsq_id: u64) -> bool {
        self.say(format!("move {dsq_id:#x}"))
    }
    fn kick_cpu(&self, _cpu: i32, _flags: u64) {
        panic!("simple kicks nobody")
    }
    fn error(&self, format: &str, _args: &[u64]) {
        self.say(format!("error {format}"));
    }
    fn exit_info(&self, _info: u64) -> ExitDetails {
        ExitDetails::default()
    }
}

struct Simple {
    instance: Instance,
    kernel: Kernel,
}

impl Simple {
    /// With the global virtual time `now`.
    fn new(now: u64, fifo: bool, kernel: Kernel) -> Self {
        let instance = Instance::new(NATIVE, 1);
        instance.set("vtime_now", now).expect("a global");
        instance.set("fifo_sched", fifo.into()).expect("a tunable");
        Self { instance, kernel }
    }

    fn run(&self, op: &str, args: &[u64]) -> (i64, Vec<String>) {
        let ret = self.instance.call(NATIVE.op(op).expect("implemented"), args, &self.kernel);
        (ret, self.kernel.calls.take())
    }

    fn now(&self) -> u64 {
        self.instance.globals().iter().find(|g| g.name == "vtime_now").expect("a global").values[0][0]
    }

    fn stat(&self, stat: u32) -> u64 {
        self.instance.globals().iter().find(|g| g.name == "stats").expect("a map").values[stat as usize][0]
    }
}

#[test]
fn an_idle_cpu_takes_the_task_at_once() {
    let simple = Simple::new(0, false, Kernel { idle_cpu: Some(3), ..Kernel::default() });
    assert_eq!(simple.run("select_cpu", &[TASK, 1, 8]), (3, vec![format!("insert {LOCAL:#x} {SLICE} 0")]));
    assert_eq!((simple.stat(shared::LOCAL), simple.stat(shared::GLOBAL)), (1, 0));
    let simple = Simple::new(0, false, Kernel::default());
    assert_eq!(simple.run("select_cpu", &[TASK, 1, 8]), (1, vec![]));
    assert_eq!((simple.stat(shared::LOCAL), simple.stat(shared::GLOBAL)), (0, 0));
}

#[track_caller]
fn check_enqueue(now: u64, vtime: u64, expect: u64) {
    let simple = Simple::new(now, false, Kernel { vtime: Cell::new(vtime), ..Kernel::default() });
    assert_eq!(simple.run("enqueue", &[TASK, 5]).1, [format!("insert 0x0 {SLICE} 5 at {expect}")]);
    assert_eq!(simple.stat(shared::GLOBAL), 1);
}

#[test]
fn credit_is_limited_to_one_slice() {
    check_enqueue(100 * SLICE, 0, 99 * SLICE);
    check_enqueue(100 * SLICE, 99 * SLICE, 99 * SLICE);
    check_enqueue(100 * SLICE, 99 * SLICE - 1, 99 * SLICE);
    check_enqueue(100 * SLICE, 100 * SLICE + 5, 100 * SLICE + 5);
    // at the start, and across the end of the circle
    check_enqueue(0, 0, 0);
    check_enqueue(5, u64::MAX, u64::MAX);
    check_enqueue(5, 0u64.wrapping_sub(3 * SLICE), 5u64.wrapping_sub(SLICE));
}

#[test]
fn fifo_ignores_virtual_time() {
    let kernel = Kernel { vtime: Cell::new(9), weight: 100, ..Kernel::default() };
    let simple = Simple::new(3, true, kernel);
    assert_eq!(simple.run("enqueue", &[TASK, 5]).1, [format!("insert 0x0 {SLICE} 5")]);
    simple.run("running", &[TASK]);
    simple.run("stopping", &[TASK, 1]);
    // The clock of virtual time may go on, as nobody reads it; what a task has used is not charged.
    assert_eq!(simple.kernel.vtime.get(), 9);
}

#[test]
fn virtual_time_goes_forward_only() {
    for (now, vtime, expect) in [(10, 20, 20), (20, 10, 20), (u64::MAX, 4, 4), (4, u64::MAX, 4)] {
        let simple = Simple::new(now, false, Kernel { vtime: Cell::new(vtime), ..Kernel::default() });
        simple.run("running", &[TASK]);
        assert_eq!(simple.now(), expect, "{now} {vtime}");
    }
}

#[test]
fn the_charge_is_by_weight() {
    for (slice, weight, expect) in
        [(0, 100, SLICE), (SLICE, 100, 0), (SLICE / 2, 50, SLICE), (0, 10_000, SLICE / 100), (0, 1, SLICE * 100)]
    {
        let simple = Simple::new(0, false, Kernel { slice, weight, vtime: Cell::new(11), ..Kernel::default() });
        simple.run("stopping", &[TASK, 0]);
        assert_eq!(simple.kernel.vtime.get(), 11 + expect, "{slice} {weight}");
    }
}

/// What `dispatch` does after the task used up its slice from virtual time 0, and where it is then.
#[track_caller]
fn check_goes_on(kernel: Kernel, fifo: bool, goes_on: bool) {
    let simple = Simple::new(0, fifo, Kernel { weight: 100, ..kernel });
    let calls = simple.run("dispatch", &[0, TASK]).1;
    if goes_on {
        assert_eq!(calls, [format!("slice {SLICE}")]);
        assert_eq!((simple.kernel.vtime.get(), simple.now()), (SLICE, SLICE), "charged, and virtual time went on");
    } else {
        assert_eq!((calls, simple.kernel.vtime.get()), (vec!["move 0x0".to_owned()], 0));
    }
}

#[test]
fn a_task_goes_on_while_it_is_first() {
    let queued = || Kernel { queued: true, nr_queued: 1, ..Kernel::default() };
    check_goes_on(Kernel { first: Some(SLICE + 1), ..queued() }, false, true);
    check_goes_on(Kernel { first: Some(SLICE), ..queued() }, false, false);
    check_goes_on(Kernel { first: Some(0), ..queued() }, false, false);
    check_goes_on(Kernel { first: Some(SLICE + 1), queued: false, ..queued() }, false, false);
    check_goes_on(Kernel { first: Some(SLICE + 1), ..queued() }, true, false);
    check_goes_on(Kernel { nr_queued: 0, ..queued() }, false, true);
    // far behind the others, it has one slice of credit and no more
    let simple = Simple::new(9 * SLICE, false, Kernel { weight: 100, first: Some(8 * SLICE), ..queued() });
    assert_eq!(simple.run("dispatch", &[0, TASK]).1, ["move 0x0"]);
    check_goes_on(queued(), false, false); // somebody waits, and the kernel cannot tell who
}

#[test]
fn the_rest_is_one_call_each() {
    let simple = Simple::new(77, false, Kernel::default());
    assert_eq!(simple.run("init", &[]), (0, vec!["create 0 -1".to_owned()]));
    assert_eq!(simple.run("dispatch", &[0, 0]).1, ["move 0x0"]);
    simple.run("enable", &[TASK]);
    assert_eq!(simple.kernel.vtime.get(), 77);
}

#[test]
fn the_object_is_one() {
    assert_eq!(scxr_simple::OBJECT[..4], *b"\x7fELF");
}
