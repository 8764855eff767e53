//! Natively, timers that are fields go with their values, and slots are given back.

use std::cell::RefCell;

use scxr_policy::native::{ExitDetails, Host, Instance, TaskField};

mod policy {
    use scxr_policy::prelude::*;

    shared! {
        /// What is kept by key.
        pub struct Kept {
            /// How often the timer was due.
            pub nr: u64,
            /// A timer.
            pub beat: Timer,
            /// A task.
            pub task: TaskSlot,
        }
    }

    state! {
        /// By number of a task.
        static KEPT as "kept": HashMap<i32, Kept, 4>;
        /// The same, of two tasks at most.
        static LATELY as "lately": LruHashMap<i32, Kept, 2>;
        /// Sum of keys whose timers were due.
        static SUM as "sum": Global<i64> = 0;
    }

    fn due(_cx: &Unlocked, key: i32, kept: &Kept) {
        kept.nr.add(1);
        SUM.fetch_add(i64::from(key) * 10 + kept.nr.get() as i64);
    }

    scheduler! {
        /// Timers of tasks.
        pub struct Timed { name: "timed" }

        impl Ops for Timed {
            fn runnable(_cx: &Event, p: Task<'_>, _enq_flags: EnqFlags) {
                if let Some(kept) = KEPT.get_or_insert(p.pid()) {
                    kept.beat.start(&KEPT, Ns::from_ms(1), due);
                    drop(kept.task.replace(p.acquire()));
                }
            }

            fn quiescent(_cx: &Event, p: Task<'_>, _deq_flags: EnqFlags) {
                KEPT.remove(p.pid());
            }

            fn running(_cx: &Event, p: Task<'_>) {
                if let Some(kept) = LATELY.get_or_insert(p.pid()) {
                    kept.beat.start(&LATELY, Ns::from_ms(2), due);
                }
            }

            fn tick(_cx: &Event, p: Task<'_>) {
                if let Some(kept) = KEPT.get(p.pid()) {
                    // that is not the map that it is in
                    kept.beat.start(&LATELY, Ns::from_ms(3), due);
                }
            }
        }
    }
}

/// Writes down what it is asked.
#[derive(Default)]
struct Recorder(RefCell<Vec<String>>);

impl Recorder {
    fn say(&self, call: String) {
        self.0.borrow_mut().push(call);
    }

    fn said(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Host for Recorder {
    fn cpu(&self) -> i32 {
        0
    }
    fn now(&self) -> u64 {
        0
    }
    fn task_field(&self, task: u64, _field: TaskField) -> u64 {
        task
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
    fn create_dsq(&self, _dsq_id: u64, _node: i32) -> i32 {
        0
    }
    fn dsq_nr_queued(&self, _dsq_id: u64) -> i32 {
        0
    }
    fn dsq_peek(&self, _dsq_id: u64) -> Option<u64> {
        None
    }
    fn dsq_insert(&self, _task: u64, _dsq_id: u64, _slice: u64, _enq_flags: u64) -> bool {
        true
    }
    fn dsq_insert_vtime(&self, _task: u64, _dsq_id: u64, _slice: u64, _vtime: u64, _enq_flags: u64) -> bool {
        true
    }
    fn dsq_move_to_local(&self, _dsq_id: u64) -> bool {
        false
    }
    fn kick_cpu(&self, _cpu: i32, _flags: u64) {}
    fn error(&self, format: &str, _args: &[u64]) {
        self.say(format!("error {format}"));
    }
    fn exit_info(&self, _info: u64) -> ExitDetails {
        ExitDetails::default()
    }
    fn task_acquire(&self, task: u64) -> Option<u64> {
        self.say(format!("acquire {task}"));
        Some(task)
    }
    fn task_release(&self, task: u64) {
        self.say(format!("release {task}"));
    }
    fn timer_start(&self, timer: usize, nsecs: u64, _flags: u64) -> bool {
        self.say(format!("start {timer} {nsecs}"));
        true
    }
    fn timer_cancel(&self, timer: usize) -> Option<bool> {
        self.say(format!("cancel {timer}"));
        Some(true)
    }
}

/// Calls an operation about a task, and gives what the host was asked.
fn told(instance: &Instance, host: &Recorder, op: &str, task: u64) -> Vec<String> {
    instance.call(policy::POLICY.op(op).expect("an operation"), &[task, 0], host);
    host.said()
}

/// Items of state, which the numbers of timers that are fields come behind.
const FIRST: usize = 3;

#[test]
fn timers_go_with_their_values() {
    let (host, instance) = (Recorder::default(), Instance::new(&policy::POLICY, 1));
    let sum = || instance.word("sum", 0, 0);
    let (first, second) = (FIRST, FIRST + 1);
    assert_eq!(told(&instance, &host, "runnable", 7), [format!("start {first} 1000000"), "acquire 7".into()]);
    assert_eq!(told(&instance, &host, "runnable", 8), [format!("start {second} 1000000"), "acquire 8".into()]);
    instance.fire(second, &host);
    assert_eq!(sum(), Some(81));
    // the same timer again, and the task that was there given back
    let again = [format!("start {first} 1000000"), "acquire 7".into(), "release 7".into()];
    assert_eq!(told(&instance, &host, "runnable", 7), again);
    assert_eq!(told(&instance, &host, "quiescent", 7), [format!("cancel {first}")]);
    instance.fire(first, &host);
    assert_eq!((sum(), host.said().len()), (Some(81), 0), "its value is gone");
    assert_eq!(told(&instance, &host, "quiescent", 7), Vec::<String>::new());
    // a value of that key is another one
    assert_eq!(told(&instance, &host, "runnable", 7)[0], format!("start {} 1000000", second + 1));
    instance.unload(&host);
    assert_eq!(host.said(), ["release 7", "release 7", "release 8"]);
}

#[test]
fn what_makes_room_takes_its_timer_along() {
    let (host, instance) = (Recorder::default(), Instance::new(&policy::POLICY, 1));
    for task in [1, 2] {
        assert_eq!(told(&instance, &host, "running", task).len(), 1);
    }
    let third = told(&instance, &host, "running", 3);
    assert_eq!(third, [format!("cancel {FIRST}"), format!("start {} 2000000", FIRST + 2)]);
}

#[test]
fn a_timer_knows_its_map() {
    let (host, instance) = (Recorder::default(), Instance::new(&policy::POLICY, 1));
    told(&instance, &host, "runnable", 7);
    assert_eq!(told(&instance, &host, "tick", 7), ["error bpf_timer_init: the timer is in no value of that map"]);
}
