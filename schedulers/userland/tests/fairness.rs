//! CPU time by weight; nothing starves; both forms of the BPF half decide alike.

use scxr_runtime::Ns;
use scxr_sim::{Run, Sim};
use scxr_userland::{ByVruntime, HALF, NATIVE, OBJECT};

/// CPU times of the tasks by pid.
fn shares(run: &Run) -> Vec<f64> {
    let mut tasks: Vec<_> = run.report.tasks.iter().map(|t| (t.pid, t.cpu_ns)).collect();
    tasks.sort_unstable();
    let all: u64 = tasks.iter().map(|(_, ns)| ns).sum();
    tasks.iter().map(|(_, ns)| *ns as f64 / all as f64).collect()
}

const SHARES: [(&str, &str, &[f64]); 4] = [
    ("1", "spin:n=3,nice=0", &[1.0, 1.0, 1.0]),
    ("1", "spin:n=2,nice=-5/0", &[305.0, 100.0]),
    ("1", "spin:n=3,nice=0/5/10", &[100.0, 33.0, 11.0]),
    ("2", "spin:n=6,nice=0/5", &[100.0, 100.0, 100.0, 33.0, 33.0, 33.0]),
];

/// CPU time by weight: in user space, and the same scheduler straight in the kernel.
#[test]
fn shares_are_as_weights() {
    for (machine, workload, weights) in SHARES {
        let sim = Sim::new(machine).workload(workload).duration_ms(10_000);
        let direct = sim.direct("userland", Box::new(ByVruntime::new(Ns::from_ms(5)))).unwrap();
        let user = sim.half(HALF, &[("slice", 5_000_000)]).object(OBJECT).unwrap();
        let all: f64 = weights.iter().sum();
        for run in [user, direct] {
            assert!(run.is_healthy(), "{run}");
            for (share, weight) in shares(&run).iter().zip(weights) {
                let off = (share / (weight / all) - 1.0).abs();
                assert!(off < 0.03, "{machine} {workload}: {:?} for weights {weights:?}", shares(&run));
            }
        }
    }
}

#[test]
fn nobody_starves() {
    for workload in ["mixed", "hackbench:groups=1", "schbench", "pipe:pairs=4"] {
        let run = Sim::new("2x2").workload(workload).duration_ms(1_000).half(HALF, &[]).object(OBJECT).unwrap();
        assert!(run.is_healthy() && run.half_ended.is_none(), "{workload}: {run}");
        assert!(run.report.tasks.iter().all(|t| t.cpu_ns > 0), "{workload}: {run}");
        let sim = Sim::new("2x2").workload(workload).duration_ms(1_000);
        let run = sim.direct("userland", Box::new(ByVruntime::new(Ns::ZERO))).unwrap();
        assert!(run.is_healthy() && run.report.tasks.iter().all(|t| t.cpu_ns > 0), "{workload}: {run}");
    }
}

#[test]
fn bpf_and_native_code_decide_alike() {
    Sim::new("4").half(HALF, &[]).twins(NATIVE, OBJECT).unwrap();
}
