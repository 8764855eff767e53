//! The native back end: state of its own for each instance, calls to the host, and suspension in the middle of an operation.

use std::cell::RefCell;
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use scxr_policy::native::{ExitDetails, Host, Instance, ItemKind, MaskSource, MaskWords, NoSuchGlobal, TaskField};

mod policy {
    use scxr_policy::prelude::*;

    state! {
        /// Step.
        pub static STEP as "step": Tunable<u8> = 1;
        /// Number of enqueued tasks.
        static NR as "nr": Global<u64> = 0;
        /// The same, by CPU.
        static BY_CPU as "by_cpu": PerCpuArray<u64, 2>;
        /// Why it ended.
        static UEI as "uei": ExitRecord;
    }

    scheduler! {
        /// Counts before and after a call that may be suspended.
        pub struct Counter { name: "counter", flags: OpsFlags::ENQ_LAST | OpsFlags::ENQ_EXITING, timeout_ms: 5000 }

        impl Ops for Counter {
            fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
                let step = u64::from(STEP.get());
                NR.fetch_add(step);
                Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, enq_flags);
                NR.fetch_add(step);
                if let Some(counter) = BY_CPU.get(1) {
                    counter.add(1);
                }
                if BY_CPU.get(2).is_some() {
                    NR.set(999);
                }
            }

            fn dispatch(cx: &Dispatch, cpu: Cpu, prev: Option<Task<'_>>) {
                if prev.is_none() {
                    cpu.kick(KickFlags::IDLE);
                }
                Dsq::fifo(7).move_to_local(cx);
            }

            fn init(cx: &Init) -> Result<(), Errno> {
                Dsq::fifo(7).create(cx).inspect_err(|errno| scx_error!("no DSQ %d: %d", 7, errno.0))
            }

            fn exit(_cx: &Event, ei: ExitInfo<'_>) {
                UEI.record(ei);
            }
        }
    }
}

/// Writes down what it is asked; can be told to stop in `dsq_insert`.
#[derive(Default)]
struct Recorder<'y> {
    cpu: i32,
    create_returns: i32,
    pause: Option<&'y Yielder<(), ()>>,
    calls: RefCell<Vec<String>>,
    /// Tasks of the DSQ that is iterated, the last one first.
    waiting: RefCell<Vec<u64>>,
}

impl Recorder<'_> {
    fn say(&self, call: String) {
        self.calls.borrow_mut().push(call);
    }
}

impl Host for Recorder<'_> {
    fn cpu(&self) -> i32 {
        self.cpu
    }
    fn now(&self) -> u64 {
        0
    }
    fn task_field(&self, _task: u64, _field: TaskField) -> u64 {
        0
    }
    fn task_set_dsq_vtime(&self, _task: u64, _vtime: u64) -> bool {
        true
    }
    fn task_set_slice(&self, _task: u64, _slice: u64) -> bool {
        true
    }
    fn select_cpu_dfl(&self, _task: u64, prev_cpu: i32, _wake_flags: u64) -> (i32, bool) {
        (prev_cpu, false)
    }
    fn create_dsq(&self, dsq_id: u64, node: i32) -> i32 {
        self.say(format!("create {dsq_id} {node}"));
        self.create_returns
    }
    fn dsq_nr_queued(&self, _dsq_id: u64) -> i32 {
        0
    }
    fn dsq_peek(&self, _dsq_id: u64) -> Option<u64> {
        None
    }
    fn dsq_insert(&self, task: u64, dsq_id: u64, slice: u64, enq_flags: u64) -> bool {
        self.say(format!("insert {task} {dsq_id:#x} {slice} {enq_flags}"));
        if let Some(pause) = self.pause {
            pause.suspend(());
        }
        true
    }
    fn dsq_insert_vtime(&self, _task: u64, _dsq_id: u64, _slice: u64, _vtime: u64, _enq_flags: u64) -> bool {
        true
    }
    fn dsq_move_to_local(&self, dsq_id: u64) -> bool {
        self.say(format!("move {dsq_id}"));
        false
    }
    fn kick_cpu(&self, cpu: i32, flags: u64) {
        self.say(format!("kick {cpu} {flags}"));
    }
    fn error(&self, format: &str, args: &[u64]) {
        self.say(format!("error {format:?} {args:?}"));
    }
    fn nr_cpu_ids(&self) -> u32 {
        2
    }
    fn task_comm(&self, _task: u64) -> [u8; 16] {
        *b"worker-1\0\0\0\0\0\0\0\0"
    }
    fn mask(&self, mask: MaskSource) -> MaskWords {
        MaskWords::first_n(if mask == MaskSource::Idle { 1 } else { 2 })
    }
    fn mask_borrowed(&self, mask: MaskSource) {
        self.say(format!("borrow {mask:?}"));
    }
    fn pick_idle_cpu(&self, mask: MaskWords, _flags: u64) -> i32 {
        mask.first().map_or(-16, |cpu| cpu as i32)
    }
    fn pick_any_cpu(&self, mask: MaskWords, flags: u64) -> i32 {
        self.pick_idle_cpu(mask, flags)
    }
    fn any_distribute(&self, mask: MaskWords) -> Option<u32> {
        mask.first().map(|cpu| cpu as u32)
    }
    fn select_cpu_and(&self, _task: u64, _prev_cpu: i32, _wake_flags: u64, allowed: MaskWords, flags: u64) -> i32 {
        self.pick_idle_cpu(allowed, flags)
    }
    fn test_and_clear_cpu_idle(&self, cpu: i32) -> bool {
        cpu == 0
    }
    fn cpu_node(&self, _cpu: i32) -> i32 {
        0
    }
    fn task_cpu(&self, _task: u64) -> i32 {
        1
    }
    fn task_running(&self, _task: u64) -> bool {
        false
    }
    fn current_task(&self) -> Option<u64> {
        None
    }
    fn task_from_pid(&self, pid: i32) -> Option<u64> {
        (pid == 7).then_some(42)
    }
    fn init_task_fork(&self, args: u64) -> bool {
        args == 1
    }
    fn exit_task_cancelled(&self, args: u64) -> bool {
        args == 1
    }
    fn destroy_dsq(&self, dsq_id: u64) {
        self.say(format!("destroy {dsq_id}"));
    }
    fn reenqueue_local(&self) {
        self.say("reenqueue".to_owned());
    }
    fn dispatch_nr_slots(&self) -> u32 {
        32
    }
    fn dispatch_cancel(&self) {
        self.say("cancel".to_owned());
    }
    fn cpuperf_cap(&self, _cpu: i32) -> u32 {
        1024
    }
    fn cpuperf_cur(&self, _cpu: i32) -> u32 {
        512
    }
    fn cpuperf_set(&self, cpu: i32, perf: u32) {
        self.say(format!("perf {cpu} {perf}"));
    }
    fn random_u32(&self) -> u32 {
        4
    }
    fn enq_head(&self) -> u64 {
        1 << 16
    }
    fn enq_cpu_selected(&self) -> u64 {
        1 << 20
    }
    fn dsq_iter_new(&self, dsq_id: u64, flags: u64) -> Option<u64> {
        self.say(format!("iterate {dsq_id} {flags}"));
        Some(0)
    }
    fn dsq_iter_next(&self, _iter: u64) -> Option<u64> {
        self.waiting.borrow_mut().pop()
    }
    fn dsq_iter_destroy(&self, _iter: u64) {
        self.say("iterated".to_owned());
    }
    fn dsq_move_set_slice(&self, _iter: u64, slice: u64) {
        self.say(format!("move slice {slice}"));
    }
    fn dsq_move_set_vtime(&self, _iter: u64, vtime: u64) {
        self.say(format!("move vtime {vtime}"));
    }
    fn dsq_move(&self, _iter: u64, task: u64, dsq_id: u64, enq_flags: u64, by_vtime: bool) -> bool {
        self.say(format!("move {task} to {dsq_id:#x} {enq_flags} {by_vtime}"));
        true
    }
    fn exit(&self, code: i64, format: &str, args: &[u64]) {
        self.say(format!("exit {code} {format:?} {args:?}"));
    }
    fn print(&self, format: &str, args: &[u64]) {
        self.say(format!("print {format:?} {args:?}"));
    }
    fn exit_info(&self, info: u64) -> ExitDetails {
        ExitDetails { kind: info as i32, exit_cpu: -1, exit_code: 3, reason: "r".to_owned(), msg: "m".to_owned() }
    }
}

fn op(name: &str) -> usize {
    policy::POLICY.op(name).expect("implemented")
}

fn values(instance: &Instance, name: &str) -> Vec<Vec<u64>> {
    instance.globals().into_iter().find(|g| g.name == name).expect("a global").values
}

#[test]
fn the_definition_lists_what_is_implemented() {
    let names: Vec<&str> = policy::POLICY.ops.iter().map(|op| op.name).collect();
    assert_eq!(names, ["enqueue", "dispatch", "init", "exit"]);
    assert_eq!((policy::POLICY.name, policy::POLICY.flags, policy::POLICY.timeout_ms), ("counter", 6, 5000));
    assert_eq!(policy::POLICY.op("tick"), None);
}

#[test]
fn calls_reach_the_host_with_their_arguments() {
    let (instance, host) = (Instance::new(&policy::POLICY, 4), Recorder::default());
    assert_eq!(instance.call(op("init"), &[], &host), 0);
    instance.call(op("enqueue"), &[42, 9], &host);
    instance.call(op("dispatch"), &[3, 0], &host);
    instance.call(op("dispatch"), &[3, 42], &host);
    let expect = ["create 7 -1", "insert 42 0x8000000000000001 20000000 9", "kick 3 1", "move 7", "move 7"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(host.calls.take(), expect);
}

#[test]
fn errors_come_back_as_numbers() {
    let (instance, host) = (Instance::new(&policy::POLICY, 4), Recorder { create_returns: -17, ..Recorder::default() });
    assert_eq!(instance.call(op("init"), &[], &host), -17);
    let error = format!("error \"no DSQ %d: %d\" [7, {}]", -17i64 as u64);
    assert_eq!(host.calls.take(), ["create 7 -1".to_owned(), error]);
}

#[test]
fn each_instance_has_its_own_state() {
    let (first, second) = (Instance::new(&policy::POLICY, 2), Instance::new(&policy::POLICY, 3));
    let host = Recorder { cpu: 1, ..Recorder::default() };
    first.call(op("enqueue"), &[1, 0], &host);
    first.call(op("enqueue"), &[2, 0], &host);
    second.call(op("enqueue"), &[3, 0], &host);
    assert_eq!((values(&first, "nr"), values(&second, "nr")), (vec![vec![4]], vec![vec![2]]));
    assert_eq!(values(&first, "by_cpu"), [[0, 0], [0, 2]]);
    assert_eq!(values(&second, "by_cpu"), [[0, 0, 0], [0, 1, 0]]);
}

#[test]
fn globals_are_listed_and_set_by_name() {
    let instance = Instance::new(&policy::POLICY, 2);
    let kinds: Vec<_> = instance.globals().iter().map(|g| (g.name, g.kind, g.size)).collect();
    assert_eq!(kinds, [("step", ItemKind::Tunable, 1), ("nr", ItemKind::Global, 8), ("by_cpu", ItemKind::PerCpu, 8)]);
    instance.set("step", 0x105).expect("there is one");
    assert_eq!(values(&instance, "step"), [[5]]);
    instance.call(op("enqueue"), &[1, 0], &Recorder::default());
    assert_eq!(values(&instance, "nr"), [[10]]);
    for name in ["nothing", "by_cpu", "uei"] {
        assert_eq!(instance.set(name, 1), Err(NoSuchGlobal(name.to_owned())));
    }
}

#[test]
fn the_exit_is_recorded() {
    let instance = Instance::new(&policy::POLICY, 2);
    assert_eq!(instance.exit_record(), None);
    instance.call(op("exit"), &[64], &Recorder::default());
    let record = instance.exit_record().expect("recorded");
    assert_eq!((record.kind, record.exit_code, record.reason.as_str(), record.msg.as_str()), (64, 3, "r", "m"));
}

/// Two operations of two instances, each stopped inside a call of the host while the other goes on.
#[test]
#[cfg_attr(miri, ignore = "coroutines switch stacks in assembly")]
fn an_operation_may_be_suspended_while_others_run() {
    let instances = [0, 1].map(|_| Rc::new(Instance::new(&policy::POLICY, 2)));
    instances[1].set("step", 100).expect("there is one");
    let start = |which: usize| {
        let instance = instances[which].clone();
        Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
            let host = Recorder { cpu: which as i32, pause: Some(yielder), ..Recorder::default() };
            instance.call(op("enqueue"), &[which as u64, 0], &host);
        })
    };
    let (mut a, mut b) = (start(0), start(1));
    assert!(matches!(a.resume(()), CoroutineResult::Yield(())));
    assert!(matches!(b.resume(()), CoroutineResult::Yield(())));
    instances[0].call(op("enqueue"), &[5, 0], &Recorder::default());
    assert!(matches!(a.resume(()), CoroutineResult::Return(())));
    assert!(matches!(b.resume(()), CoroutineResult::Return(())));
    assert_eq!(values(&instances[0], "nr"), [[4]]);
    assert_eq!(values(&instances[1], "nr"), [[200]]);
    assert_eq!(values(&instances[0], "by_cpu"), [[0, 0], [2, 0]]);
    assert_eq!(values(&instances[1], "by_cpu"), [[0, 0], [0, 1]]);
}
