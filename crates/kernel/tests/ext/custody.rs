//! `ops.dequeue` runs exactly for tasks that the scheduler holds (E-57 to E-61; selftest `dequeue`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use scxr_kernel::behavior::{Action, TaskCx, TaskSpec, Whom};
use scxr_kernel::config::Config;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ids::{CpuId, TaskId};
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

const SCHED_CHANGE: u64 = 1 << 33;
const QUEUE: u64 = 0;

#[derive(Clone, Copy, PartialEq, Debug, Default)]
enum Held {
    #[default]
    No,
    Enqueued,
    Dispatched,
}

#[derive(Default)]
struct Watch {
    state: RefCell<BTreeMap<TaskId, Held>>,
    enq: Cell<u64>,
    deq: Cell<u64>,
    change: Cell<u64>,
    /// On a kernel that does not tell of every task that is given up.
    old: bool,
    fifo: RefCell<VecDeque<TaskId>>,
}

fn bump(c: &Cell<u64>) {
    c.set(c.get() + 1);
}

impl Watch {
    fn enqueued(&self, k: &mut scxr_kernel::Kernel, p: TaskId) {
        bump(&self.enq);
        let was = self.state.borrow_mut().insert(p, Held::Enqueued);
        if was == Some(Held::Enqueued) && !self.old {
            scx_bpf_error(k, "enqueued twice");
        }
    }

    fn dequeued(&self, k: &mut scxr_kernel::Kernel, p: TaskId, flags: u64, scenario: u32) {
        bump(&self.deq);
        if matches!(scenario, 0 | 1 | 3 | 4) {
            return scx_bpf_error(k, "dequeue of a task that was never held");
        }
        let mut state = self.state.borrow_mut();
        let held = state.entry(p).or_default();
        if flags & SCHED_CHANGE != 0 {
            bump(&self.change);
            let ok = *held != Held::No;
            *held = Held::No;
            if !ok {
                scx_bpf_error(k, "change of a task that is not held");
            }
        } else if *held == Held::Dispatched {
            scx_bpf_error(k, "dispatched twice");
        } else {
            *held = Held::Dispatched;
        }
    }
}

fn scheduler(w: &Rc<Watch>, scenario: u32) -> Script {
    let [a, b, c, d] = [w.clone(), w.clone(), w.clone(), w.clone()];
    Script {
        flags: 1 << 1, // ENQ_LAST
        init: Some(Box::new(|k| scx_bpf_create_dsq(k, QUEUE, -1))),
        select_cpu: Some(Box::new(move |k, p, prev, _| {
            match scenario {
                0 => {
                    scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, 0);
                }
                1 => {
                    scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, 0);
                }
                2 => {
                    a.enqueued(k, p);
                    scx_bpf_dsq_insert(k, p, QUEUE, SLICE_DFL, 0);
                }
                _ => {}
            }
            prev.0 as i32
        })),
        enqueue: Some(Box::new(move |k, p, flags| {
            match scenario {
                3 => {
                    scx_bpf_dsq_insert(k, p, LOCAL, SLICE_DFL, flags);
                }
                5 => {
                    b.enqueued(k, p);
                    scx_bpf_dsq_insert(k, p, QUEUE, SLICE_DFL, flags);
                }
                6 => {
                    b.enqueued(k, p);
                    b.fifo.borrow_mut().push_back(p);
                }
                _ => {
                    scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, flags);
                }
            }
            let cpu = scx_bpf_task_cpu(k, p);
            scx_bpf_kick_cpu(k, cpu.0 as i32, 1);
        })),
        dispatch: Some(Box::new(move |k, cpu: CpuId, _| {
            if scenario != 6 {
                scx_bpf_dsq_move_to_local(k, QUEUE, 0);
                return;
            }
            let Some(p) = c.fifo.borrow_mut().pop_front() else {
                return;
            };
            let held = c.state.borrow().get(&p).copied().unwrap_or_default();
            let Some(t) = k.find_task(p).filter(|_| held != Held::No) else {
                return;
            };
            let id = if t.cpus.test(cpu) { LOCAL_ON | u64::from(cpu.0) } else { GLOBAL };
            scx_bpf_dsq_insert(k, p, id, SLICE_DFL, 0);
        })),
        dequeue: Some(Box::new(move |k, p, flags| d.dequeued(k, p, flags, scenario))),
        ..Default::default()
    }
}

/// Pins the workers to one CPU after the other.
fn hammer(workers: Vec<TaskId>, times: u32) -> impl FnMut(&TaskCx) -> Action {
    let mut i = 0u32;
    move |_: &TaskCx| {
        i += 1;
        if i > 2 * times {
            return Action::Exit;
        }
        if i.is_multiple_of(2) {
            return Action::Run(20_000);
        }
        let n = i / 2;
        let worker = workers[(n % 8) as usize];
        let cpu = CpuId(n / 8 % 4);
        Action::SetAffinity(Whom::Task(worker), CpuMask::of(cpu))
    }
}

/// Eight workers, which somebody moves from CPU to CPU, to their ends.
fn workers_and_hammer(w: &Rc<Watch>, scenario: u32, config: Config) {
    let (mut m, _) = machine_with("4", config);
    m.enable(Rc::new(scheduler(w, scenario)));
    for i in 0..8 {
        m.spawn(TaskSpec::new(format!("worker{i}"), finite(200, 500_000, MS + 100_000 * i)));
    }
    run(&mut m, 5 * MS);
    let s = m.state();
    let workers: Vec<TaskId> = s.all_tasks().into_iter().filter(|&p| s.task(p).comm.starts_with("worker")).collect();
    assert_eq!(workers.len(), 8);
    m.spawn(TaskSpec::new("hammer", hammer(workers, 5000)));
    run(&mut m, 1500 * MS);
    assert_eq!(alive(&m, "worker"), 0, "scenario {scenario}");
    m.disable();
    run(&mut m, 1600 * MS);
    let info = m.state().ext.exit_info.clone().expect("exit information");
    assert_eq!(info.kind, ExitKind::Unreg, "scenario {scenario}: {info:?}");
}

/// E-250
#[test]
fn older_kernels_tell_only_of_tasks_taken_from_the_scheduler_itself() {
    for scenario in [2, 5, 6] {
        let w = Rc::new(Watch { old: true, ..Watch::default() });
        workers_and_hammer(&w, scenario, Config::of_kernel(7, 0));
        let (enq, deq, change) = (w.enq.get(), w.deq.get(), w.change.get());
        assert_eq!(change, 0, "the flag is not there yet");
        match scenario {
            6 => assert!(deq > 50 && 2 * deq < enq, "{deq} of {enq}"),
            _ => assert_eq!(deq, 0, "scenario {scenario}: a queue of the class has the task"),
        }
    }
}

#[test]
fn dequeue_runs_for_tasks_in_custody_alone() {
    for scenario in 0..7 {
        let w = Rc::new(Watch::default());
        workers_and_hammer(&w, scenario, Config::default());
        let (enq, deq) = (w.enq.get(), w.deq.get());
        match scenario {
            0 | 1 | 3 | 4 => assert_eq!((enq, deq), (0, 0), "scenario {scenario}"),
            _ => {
                assert!(enq > if scenario == 2 { 10 } else { 1000 }, "scenario {scenario}: {enq}");
                assert_eq!(enq, deq, "scenario {scenario}");
                assert!(scenario == 2 || w.change.get() > 50, "scenario {scenario}: {}", w.change.get());
            }
        }
    }
}
