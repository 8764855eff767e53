//! Time and order between CPUs: who waits for whose lock, and for how long.

use std::cell::Cell;
use std::rc::Rc;

use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::config::{Config, Interleave};
use scxr_kernel::cost::CostTable;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;
use scxr_kernel::lock::LockId;

use crate::harness::*;
use crate::script::Script;

/// A scheduler whose `enqueue` on CPU `on` takes 10 ms, in which other CPUs run; then `then` is done.
fn slow_enqueue(on: u32, then: impl Fn(&mut scxr_kernel::Kernel) + 'static) -> Script {
    Script {
        enqueue: Some(Box::new(move |k, p, _| {
            let slow = k.this_cpu() == CpuId(on);
            if slow {
                k.charge(10 * MS);
                k.interleave(Interleave::Callback);
            }
            then(k);
            scxr_kernel::ext::kfunc::scx_bpf_dsq_insert(k, p, GLOBAL, MS, 0);
        })),
        ..Default::default()
    }
}

/// Locks may be held between two runs, by CPUs in the middle of an operation.
#[test]
#[should_panic(expected = "would have to wait")]
fn outside_code_cannot_wait_for_a_lock() {
    let (mut m, _) = machine("2");
    m.enable(Rc::new(slow_enqueue(1, |_| {})));
    m.spawn(on(1, TaskSpec::new("p", periodic(MS, MS))));
    m.run_until(8 * MS);
    m.with_kernel(|k| k.lock(LockId::Rq(CpuId(1))));
}

/// Two CPUs that wait for each other's run queue are a bug that is told, not a run that stands still.
#[test]
#[should_panic(expected = "deadlock: ")]
fn a_deadlock_is_told() {
    let (mut m, _) = machine("2");
    let both = |k: &mut scxr_kernel::Kernel| {
        let other = CpuId(1 - k.this_cpu().0);
        k.charge(100_000);
        k.interleave(Interleave::Callback);
        k.lock(LockId::Rq(other));
        k.unlock(LockId::Rq(other));
    };
    m.enable(Rc::new(Script { tick: Some(Box::new(move |k, _| both(k))), ..Default::default() }));
    (0..2).for_each(|cpu| m.spawn(on(cpu, TaskSpec::new("hog", hog()))));
    m.run_until(100 * MS);
}

/// The longest step of a task that takes the run queue lock of CPU 1 again and again, from CPU 2, while `other` runs.
fn longest_step(cost: CostTable, other: impl FnOnce(&mut Machine)) -> u64 {
    let (mut m, _) = machine_with("3", Config { cost, ..Config::default() });
    let worst = Rc::new(Cell::new((0, 0)));
    let (w, mut n) = (worst.clone(), 0);
    let behavior = move |cx: &TaskCx| {
        n += 1;
        let (last, worst) = w.get();
        w.set((cx.now, if n > 3 { worst.max(cx.now - last) } else { 0 }));
        match (n, cx.last_child) {
            (1, _) => Action::Fork(Box::new(on(1, TaskSpec::new("sleeper", |_: &TaskCx| Action::Sleep(1000 * MS))))),
            (2, _) => Action::Sleep(5 * MS),
            (n, Some(p)) if n % 2 == 0 => Action::SetNice(Whom::Task(p), (n / 2 % 2) as i8),
            (_, Some(_)) => Action::Run(500),
            _ => Action::Exit,
        }
    };
    m.spawn(on(2, fifo(TaskSpec::new("locks", behavior))));
    other(&mut m);
    m.run_until(50 * MS);
    worst.get().1
}

fn on(cpu: u32, spec: TaskSpec) -> TaskSpec {
    TaskSpec { affinity: Some(CpuMask::of(CpuId(cpu))), ..spec }
}

fn fifo(spec: TaskSpec) -> TaskSpec {
    TaskSpec { policy: Policy::Fifo(20), ..spec }
}

/// Does `actions` in turn, for ever.
fn in_turn(mut action: impl FnMut(u32) -> Action + 'static) -> TaskSpec {
    let mut n = 0;
    TaskSpec::new("other", move |_: &TaskCx| {
        n += 1;
        action(n)
    })
}

/// A CPU that spends long outside of any lock (leaving deep idle, a fork, an exec, with cold caches) does not seem to hold the
/// locks that it takes afterwards to a CPU that comes earlier.
#[test]
fn nobody_waits_for_a_lock_that_is_taken_later() {
    const LONG: u64 = 60_000;
    let check = |what: &str, cost: CostTable, other: fn(&mut Machine)| {
        let worst = longest_step(cost, other);
        assert!(worst > 0 && worst < 8_000, "{what}: {worst} ns");
    };
    let dfl = CostTable { idle_exit_shallow: 0, idle_exit_deep: 0, ..CostTable::default() };
    check("nothing", dfl.clone(), |_| {});
    check("idle", CostTable { idle_exit_deep: LONG, ..dfl.clone() }, |m| {
        let q = m.wait_queue();
        m.spawn(on(1, TaskSpec::new("waits", move |_: &TaskCx| Action::Wait(q))));
        m.spawn(on(
            0,
            in_turn(move |n| match n % 2 {
                0 => Action::Wake { queue: q, nr: 1, sync: false },
                _ => Action::Sleep(700_000),
            }),
        ));
    });
    check("fork", CostTable { fork: LONG, ..dfl.clone() }, |m| {
        m.spawn(on(
            0,
            in_turn(|n| match n % 2 {
                0 => Action::Fork(Box::new(on(1, TaskSpec::new("kid", |_: &TaskCx| Action::Exit)))),
                _ => Action::Sleep(100_000),
            }),
        ));
    });
    check("exec", CostTable { exec: LONG, ..dfl.clone() }, |m| {
        m.spawn(TaskSpec {
            affinity: Some(CpuMask::parse("0-1").unwrap()),
            ..in_turn(|n| match n % 2 {
                0 => Action::Exec,
                _ => Action::Sleep(100_000),
            })
        });
    });
    check("migration", CostTable { migration: [LONG; 4], ..dfl }, |m| {
        m.spawn(in_turn(|n| match n % 4 {
            0 => Action::SetAffinity(Whom::Myself, CpuMask::of(CpuId(1))),
            2 => Action::SetAffinity(Whom::Myself, CpuMask::of(CpuId(0))),
            _ => Action::Sleep(100_000),
        }));
    });
}

/// System calls that take no lock, without end: the run ends at its time all the same, and others are not left behind.
#[test]
fn a_loop_of_system_calls_stays_in_step() {
    let (mut m, _) = machine("2");
    let q = m.wait_queue();
    let woken = Rc::new(Cell::new(0));
    let w = woken.clone();
    m.spawn(on(0, in_turn(move |_| Action::Wake { queue: q, nr: 1, sync: false })));
    m.spawn(on(
        1,
        in_turn(move |_| {
            w.set(w.get() + 1);
            Action::Wait(q)
        }),
    ));
    m.run_until(20 * MS);
    assert!(m.state().cpus.iter().all(|c| c.clock < 21 * MS));
    assert!(woken.get() > 1_000, "{}", woken.get());
}
