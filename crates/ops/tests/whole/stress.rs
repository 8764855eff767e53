//! Anything at any moment, over many seeds. `SCXR_STRESS_SEED=N` repeats one; `SCXR_STRESS_SEEDS=N` tries N of them.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::class::ClassId;
use scxr_kernel::config::Interleave;
use scxr_kernel::ids::{Ns, TaskId};
use scxr_kernel::task::OnRq;
use scxr_trace::{ExitKind, Rules};

use crate::common::{MS, Run, S, Sched, Setup, US, assert_same, inject, rules};
use crate::objects::sched;
use crate::policies::Central;
use crate::random::Random;
use crate::wild::Wild;

const SEEDS: u64 = 48;
const MACHINES: [&str; 5] = ["1", "2", "4", "4x2", "2x2x2"];
const WORKLOADS: [&str; 4] = ["mixed", "pipe:pairs=3,trips=2000", "hackbench:groups=1,fds=3,msg=30", "schbench"];

/// A task that does anything a task can do, to itself and to others of its kind, until it has had enough.
fn chaos(mut r: Random, nr_cpus: u64, others: Rc<RefCell<Vec<TaskId>>>) -> TaskSpec {
    let mut left = 20 + r.below(400);
    TaskSpec::new("chaos", move |cx: &TaskCx| {
        let whom = {
            let mut others = others.borrow_mut();
            if !others.contains(&cx.task) {
                others.push(cx.task);
            }
            Whom::Task(r.pick(&others))
        };
        left -= 1;
        if left == 0 {
            return Action::Exit;
        }
        match r.below(30) {
            0..8 => Action::Run(r.below(2 * MS)),
            8..15 => Action::Sleep(r.below(MS)),
            15..17 => Action::Yield,
            17..21 => Action::SetAffinity(whom, r.mask(nr_cpus)),
            21..24 => Action::SetNice(whom, r.below(40) as i8 - 20),
            24..28 => {
                // Real-time tasks sleep soon, so that nobody starves for them.
                let policies =
                    [Policy::Normal, Policy::Ext, Policy::Batch, Policy::Idle, Policy::Fifo(7), Policy::RoundRobin(3)];
                Action::SetPolicy(whom, r.pick(&policies))
            }
            28 => {
                let (mut n, run) = (0, r.below(300 * US));
                let child = TaskSpec::new("child", move |_: &TaskCx| {
                    n += 1;
                    match n {
                        5 => Action::Exit,
                        n if n % 2 == 0 => Action::Sleep(run),
                        _ => Action::Run(run),
                    }
                });
                Action::Fork(Box::new(child))
            }
            _ => Action::Exec,
        }
    })
}

/// Has something done to the machine; true if a scheduler is to be there afterwards.
fn disturb(run: &mut Run, r: &mut Random, setup: &Setup, sched: &Sched, enabled: bool) -> bool {
    let nr_cpus = run.m.state().nr_cpus();
    match (r.below(6), enabled) {
        (0, true) => {
            run.m.disable();
            false
        }
        (1, true) => {
            let kind = r.pick(&[ExitKind::Error, ExitKind::Sysrq, ExitKind::ErrorBpf]);
            let at = run.m.now() + r.below(2 * MS);
            run.m.at(at, move |k| inject(k, kind));
            false
        }
        (2, true) => {
            // Another takes its place at once.
            run.m.disable();
            run.m.enable(sched.make(setup, nr_cpus).expect("a scheduler"));
            true
        }
        (3.., false) => {
            // An error that was injected may still be on its way; it ends the new one then.
            run.m.enable(sched.make(setup, nr_cpus).expect("a scheduler"));
            true
        }
        (_, enabled) => enabled,
    }
}

/// What there is to choose from. `None`: it is in C, and no clang is installed.
struct Candidate {
    name: &'static str,
    sched: Option<Sched>,
    rules: Rules,
    /// What it may be ejected for, besides what is injected.
    may_fail: &'static str,
}

fn candidates() -> Vec<Candidate> {
    let rules = Rules { watchdog_ns: Some(5 * S), ..rules() };
    // It takes tasks from anywhere, and moves tasks to CPUs that they were allowed to use a moment ago.
    let wild = Rules { vtime_order: false, ..rules.clone() };
    let one = |name, sched| Candidate { name, sched, rules: rules.clone(), may_fail: "injected" };
    let may_fail = "not allowed for";
    let fifo = Sched::simple().with("fifo_sched", 1);
    vec![
        one("simple", Some(Sched::simple())),
        one("simple, FIFO", Some(fifo)),
        one("simple, native", Some(Sched::native_simple())),
        one("Central", Some(Sched::Own(Central::new_ops))),
        one("central.bpf.c", sched("central")),
        one("percpu.bpf.c", sched("percpu")),
        Candidate { rules: wild.clone(), may_fail, ..one("Wild", Some(Sched::Own(Wild::new_ops))) },
        Candidate { rules: wild, may_fail, ..one("Wild that moves", Some(Sched::Own(Wild::that_moves))) },
    ]
}

/// The trace of a run in which anything may happen; `None`: it cannot be done here.
fn stress(seed: u64, candidates: &[Candidate]) -> Option<String> {
    let mut r = Random::new(seed, 0);
    let machine = r.pick(&MACHINES);
    let interleave = r.pick(&[Interleave::Callback, Interleave::Kfunc, Interleave::Insn]);
    let setup = Setup::new(machine, r.pick(&WORKLOADS), 0).seed(seed).interleave(interleave);
    let candidate = &candidates[r.below(candidates.len() as u64) as usize];
    let sched = candidate.sched.as_ref()?;
    let mut run = Run::boot(&setup, candidate.rules.clone());
    run.replay = format!("{} ({}, {setup})", replay(seed), candidate.name);
    let nr_cpus = run.m.state().nr_cpus() as u64;
    let others = Rc::new(RefCell::new(Vec::new()));
    run.load(&setup);
    for i in 0..nr_cpus * 2 + 1 {
        run.m.spawn(chaos(Random::new(seed, i + 1), nr_cpus, others.clone()));
    }
    run.advance(r.below(3 * MS));
    let mut enabled = false;
    for _ in 0..40 {
        enabled = disturb(&mut run, &mut r, &setup, sched, enabled);
        run.advance(r.below(6 * MS));
        if let Some(exit) = run.exit() {
            let expected = matches!(exit.kind, ExitKind::None | ExitKind::Unreg);
            let expected = expected || exit.msg == "injected" || exit.msg.contains(candidate.may_fail);
            assert!(expected, "{:?}: {}; {}", exit.kind, exit.msg, run.replay);
            // An error that was injected may have ended the next scheduler.
            enabled &= exit.kind == ExitKind::None;
        }
    }
    Some(finish(run))
}

fn replay(seed: u64) -> String {
    format!("SCXR_STRESS_SEED={seed} cargo test -p scxr-ops --test whole stress")
}

/// Without a scheduler everybody is of the class of its policy, and gets on.
fn finish(mut run: Run) -> String {
    const LONG: Ns = S;
    /// Lighter tasks, such as those of SCHED_IDLE, may rightly wait for longer.
    const WEIGHT_MIN: u32 = 36;
    run.m.disable();
    run.advance(100 * MS);
    let before = run.tasks();
    run.advance(LONG);
    let state = run.m.state();
    for (p, comm, ns) in run.tasks() {
        let t = state.task(p);
        let rt = matches!(t.policy, Policy::Fifo(_) | Policy::RoundRobin(_));
        let class = if rt { ClassId::Rt } else { ClassId::Fair };
        assert_eq!(t.class, class, "{comm} {:?}; {}", t.policy, run.replay);
        let stuck = before.iter().any(|b| b.0 == p && b.2 == ns) && t.on_rq == OnRq::Queued;
        let stuck = stuck && t.weight() >= WEIGHT_MIN;
        assert!(!stuck, "{comm}[{}] waits to run and did not in {LONG} ns; {}", t.pid, run.replay);
    }
    run.finish()
}

/// Runs a seed; every eighth again, with the same trace.
fn twice(seed: u64, candidates: &[Candidate]) {
    let trace = stress(seed, candidates);
    if let Some(trace) = trace
        && seed.is_multiple_of(8)
    {
        assert_same(&trace, &stress(seed, candidates).expect("it ran before"), &replay(seed));
    }
}

#[test]
fn anything_at_any_moment() {
    let number = |name| std::env::var(name).ok().map(|n: String| n.parse::<u64>().expect("a number"));
    let candidates = candidates();
    let seeds = match number("SCXR_STRESS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCXR_STRESS_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| twice(seed, &candidates))) {
            #[expect(clippy::print_stderr, reason = "the way to repeat it")]
            {
                eprintln!("replay: {}", replay(seed));
            }
            resume_unwind(panic);
        }
    }
}
