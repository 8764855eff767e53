//! The same policy as BPF and as native code, event for event.

use std::path::Path;

use scxr_kernel::config::Interleave;

use crate::common::{MS, Sched, Setup, assert_same, trace};

const MACHINES: [&str; 4] = ["1", "8", "4x2", "2x4x2"];
const WORKLOADS: [&str; 6] =
    ["mixed", "pipe:pairs=4", "hackbench:groups=1,fds=4,msg=20", "spin:nice=-5/0/10,n=20", "schbench", "idle"];
const INTERLEAVES: [Interleave; 3] = [Interleave::Callback, Interleave::Kfunc, Interleave::Insn];

#[track_caller]
fn check(setup: &Setup, fifo: bool) {
    let [bpf, native] = [Sched::simple(), Sched::native_simple()].map(|s| s.with("fifo_sched", fifo.into()));
    let (a, b) = (trace(setup, &bpf), trace(setup, &native));
    assert!(a.contains("switch_in"), "nothing happened: {setup}");
    assert_same(&a, &b, &format!("BPF and native, fifo {fifo}, {setup}"));
}

#[track_caller]
fn check_all(interleave: Interleave) {
    for machine in MACHINES {
        for workload in WORKLOADS {
            for (seed, fifo) in [(1, false), (2, false), (3, true)] {
                check(&Setup::new(machine, workload, 60 * MS).seed(seed).interleave(interleave), fifo);
            }
        }
    }
}

#[test]
fn interleaved_at_callbacks() {
    check_all(Interleave::Callback);
}

#[test]
fn interleaved_at_kfuncs() {
    check_all(Interleave::Kfunc);
}

/// Instructions of native code cannot be counted, so there is no twin here: the object's run is sound and repeats.
#[test]
fn interleaved_at_instructions() {
    for machine in MACHINES {
        for workload in WORKLOADS {
            let setup = Setup::new(machine, workload, 60 * MS).interleave(Interleave::Insn);
            let sched = Sched::simple();
            assert_same(&trace(&setup, &sched), &trace(&setup, &sched), &setup);
        }
    }
}

#[test]
fn fifo_and_vtime_differ() {
    let setup = Setup::new("2", "mixed:hogs=8", 100 * MS);
    assert_ne!(trace(&setup, &Sched::simple()), trace(&setup, &Sched::simple().with("fifo_sched", 1)));
}

#[test]
fn compiled_afresh() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schedulers/simple/policy.rs");
    let compiler = scxr_bpfc::Compiler::new().unwrap_or_else(|e| panic!("{e}"));
    let built = compiler.compile(&source, &scxr_bpfc::Options::default()).unwrap_or_else(|e| panic!("{e}"));
    let fresh = Sched::object("fresh", &built.bytes);
    for (machine, interleave) in MACHINES.into_iter().zip(INTERLEAVES.into_iter().cycle()) {
        let setup = Setup::new(machine, "mixed", 50 * MS).interleave(interleave);
        assert_same(&trace(&setup, &fresh), &trace(&setup, &Sched::simple()), &setup);
    }
}
