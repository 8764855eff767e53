//! What an invocation holds when it faults is given back for it. The object is compiled with clang from 16 on; without one the
//! test says that it was skipped, which is a failure in CI.

#[path = "support/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use scxr_abi::KernelVersion;
use scxr_bpf::load::{Changes, Object};
use scxr_kernel::Machine;
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::config::Config;
use scxr_kernel::ids::TaskId;
use scxr_kernel::topology::Topology;
use scxr_ops::{BpfScheduler, Model, SchedulerOptions, Value};
use scxr_trace::{ExitKind, NullSink};

const MS: u64 = 1_000_000;

fn object() -> Option<Object> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("held.bpf.o");
    let names = (16..=22).rev().map(|v| format!("clang-{v}")).chain(["clang".to_owned()]);
    for clang in names {
        let mut command = Command::new(&clang);
        command.current_dir(&dir).args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "held.bpf.c", "-o"]).arg(&out);
        let Ok(result) = command.output() else { continue };
        assert!(result.status.success(), "{clang}: {}", String::from_utf8_lossy(&result.stderr));
        let bytes = std::fs::read(&out).expect("the compiled object");
        return Some(Object::parse("held.bpf.o", &bytes).unwrap_or_else(|e| panic!("{e}")));
    }
    assert!(std::env::var_os("CI").is_none(), "clang is needed in CI");
    skip::skipped("no clang from 16 on is installed; scripts/setup test installs one");
    None
}

/// Runs ten tasks, one after the other, for a moment each, then unloads.
fn check(mode: u32, kind: ExitKind, msg: &str) {
    let Some(object) = object() else { return };
    let set = vec![("mode".into(), mode.to_string())];
    let options =
        SchedulerOptions { nr_cpus: 2, changes: Changes { set, ..Changes::default() }, ..SchedulerOptions::default() };
    let model = Model::new(KernelVersion::NEWEST);
    let s = BpfScheduler::load(&object, &model, &options).unwrap_or_else(|e| panic!("{e}"));
    let mut m = Machine::new(Topology::parse("2").expect("a machine"), Config::default(), Box::new(NullSink));
    m.enable(s.clone());
    for i in 0..10 {
        let mut ran = false;
        m.spawn(TaskSpec::new(format!("task{i}"), move |_: &TaskCx| match std::mem::replace(&mut ran, true) {
            false => Action::Run(MS),
            true => Action::Exit,
        }));
    }
    m.run_until(50 * MS);
    let last = m.state().all_tasks().iter().map(|p| p.0).max().expect("tasks of the system");
    let kept = (last + 1..last + 11).filter(|&p| m.state().find_task(TaskId(p)).is_some()).count();
    assert_eq!(kept, usize::from(mode == 0), "mode {mode}: dead tasks that something refers to");
    m.disable();
    m.run_until(100 * MS);
    let info = m.state().ext.exit_info.clone().expect("exit information");
    assert_eq!(info.kind, kind, "mode {mode}: {info:?}");
    assert!(info.msg.contains(msg), "mode {mode}: {info:?}");
    let kept = (last + 1..last + 11).filter(|&p| m.state().find_task(TaskId(p)).is_some()).count();
    assert_eq!(kept, 0, "mode {mode}: references outlive the scheduler");
    assert_eq!(global(&s, "exited"), 1, "mode {mode}: ops.exit ran to its end");
}

fn global(s: &Rc<BpfScheduler>, name: &str) -> i128 {
    match s.globals().into_iter().find(|(n, _)| n == name) {
        Some((_, Value::Int(n))) => n,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_reference_in_a_map_lasts_as_long_as_the_scheduler() {
    check(0, ExitKind::Unreg, "");
}

#[test]
fn a_fault_gives_references_back() {
    check(1, ExitKind::Error, "held.bpf.c");
}

#[test]
fn a_forgotten_reference_ejects() {
    check(2, ExitKind::Error, "program held_running returned without releasing 1 reference");
}

#[test]
fn a_second_release_ejects() {
    check(3, ExitKind::Error, "to which the program holds no reference");
}

#[test]
fn a_fault_releases_the_lock() {
    check(4, ExitKind::Error, "held.bpf.c");
}
