//! Debug dumps and exit information (E-177, E-184 to E-191).

use std::rc::Rc;

use scxr_kernel::behavior::TaskSpec;
use scxr_kernel::ext::dump::sysrq_dump;
use scxr_kernel::ext::kfunc::*;
use scxr_kernel::ext::ops::{ExitInfo, Op};
use scxr_trace::ExitKind;

use crate::harness::*;
use crate::script::Script;

/// A scheduler that gives up when it is first asked for a task in `dispatch`, after 100 ms.
fn gives_up() -> Script {
    Script {
        name: "quitter",
        enqueue: Some(Box::new(|_, _, _| {})),
        dispatch: Some(Box::new(|k, _, _| {
            if k.now() > 100 * MS {
                scx_bpf_error(k, "enough");
            }
        })),
        ..Script::default()
    }
}

fn end_of(script: Script) -> ExitInfo {
    let m = with_hogs("2", Rc::new(script), 2, 300);
    m.state().ext.exit_info.clone().expect("it gave up")
}

/// The lines from one that begins so, as many as `expect` has.
#[track_caller]
fn check_lines(dump: &str, expect: &[&str]) {
    let lines: Vec<&str> = dump.lines().collect();
    let at = lines.iter().position(|l| l.starts_with(expect[0]));
    let at = at.unwrap_or_else(|| panic!("no line begins with {:?}:\n{dump}", expect[0]));
    for (line, expect) in lines[at..].iter().zip(expect) {
        assert!(line.starts_with(expect), "{line:?} does not begin with {expect:?}:\n{dump}");
    }
}

#[test]
fn an_error_is_dumped_in_the_kernels_layout() {
    let info = end_of(gives_up());
    assert_eq!((info.kind, info.msg.as_str()), (ExitKind::ErrorBpf, "enough"));
    assert_eq!(info.bt, ["ops.dispatch"]);
    let dump = &info.dump;
    assert!(dump.starts_with("quitter: root\n"), "{dump}");
    let cpu = info.cpu;
    let failed =
        format!("triggered exit kind 1025 on CPU {cpu}:\n  scx_bpf_error (enough)\n\nBacktrace:\n  ops.dispatch\n");
    assert!(dump.contains(&failed), "{dump}");
    check_lines(dump, &["CPU states", "----------", "", &format!("CPU {cpu:<4}: nr_run=")]);
    let task = dump.lines().position(|l| l.starts_with("  R ")).unwrap_or_else(|| panic!("nobody waits:\n{dump}"));
    let lines: Vec<&str> = dump.lines().skip(task).take(5).collect();
    assert!(lines[0].contains("] *root -") && lines[0].ends_with("ms"), "{lines:?}");
    let rest = [
        "      scx_state/flags=4/0x3 dsq_flags=0x0 ops_state/qseq=2/",
        "      sticky/holding_cpu=-1/-1 dsq_id=(n/a)",
        "      dsq_vtime=0 slice=",
        "      cpus=3 no_mig=0",
    ];
    for (line, expect) in lines[1..].iter().zip(rest) {
        assert!(line.starts_with(expect), "{line:?} {expect:?}");
    }
    check_lines(dump, &["Event counters", "--------------", "              SCX_EV_SELECT_CPU_FALLBACK: "]);
    assert!(dump.ends_with("              SCX_EV_SUB_BYPASS_DISPATCH:                0\n"), "{dump}");
}

#[test]
fn a_scheduler_adds_to_its_dump() {
    let script = Script {
        dump: Some(Box::new(|k, ctx| scx_bpf_dump(k, &format!("{} at {}\nall is lost", ctx.reason, ctx.at / MS / 10)))),
        dump_cpu: Some(Box::new(|k, _, cpu, idle| scx_bpf_dump(k, &format!("{cpu} idle={idle}\n")))),
        dump_task: Some(Box::new(|k, _, p| {
            let comm = k.task(p).comm.clone();
            scx_bpf_dump(k, "this is ");
            scx_bpf_dump(k, &comm);
        })),
        ..gives_up()
    };
    let dump = end_of(script).dump;
    check_lines(&dump, &["scx_bpf_error at 10", "all is lost", "", "CPU states"]);
    assert!(dump.contains("\n\n  0 idle=") && dump.contains("\n\n  1 idle="), "{dump}");
    assert!(dump.contains("no_mig=0\n\n    this is hog0\n"), "{dump}");
}

#[test]
fn a_dump_has_the_length_that_the_scheduler_asked_for() {
    for (len, expect) in [(0, None), (500, Some(499)), (10, Some(0))] {
        let dump = end_of(Script { exit_dump_len: len, ..gives_up() }).dump;
        let cut = dump.ends_with("\n\n~~~~ TRUNCATED ~~~~\n");
        assert_eq!(cut, len == 500, "{dump}");
        assert!(expect.is_none_or(|n| dump.len() == n), "{}: {dump}", dump.len());
    }
}

#[test]
fn only_dump_operations_may_dump() {
    let script = Script {
        enqueue: Some(Box::new(|k, p, _| {
            scx_bpf_dump(k, "now?");
            scx_bpf_dsq_insert(k, p, GLOBAL, SLICE_DFL, 0);
        })),
        ..Script::default()
    };
    assert_eq!(end_of(script).msg, "scx_bpf_dump() must only be called from ops.dump() and friends");
}

#[test]
fn exits_without_fault_are_not_dumped() {
    let script = Script { running: Some(Box::new(|k, _| scx_bpf_exit(k, 3, "done"))), ..Script::default() };
    let info = end_of(script);
    assert_eq!((info.kind, info.dump.as_str(), info.bt.len()), (ExitKind::UnregBpf, "", 0));
}

#[test]
fn sysrq_d_dumps_and_changes_nothing() {
    let script = Script {
        name: "calm",
        dump: Some(Box::new(|k, ctx| {
            assert_eq!(ctx.kind, ExitKind::None);
            scx_bpf_dump(k, ctx.reason);
        })),
        also: vec![Op::tick],
        ..Script::default()
    };
    let (mut m, _) = machine("2");
    m.enable(Rc::new(script));
    m.spawn(TaskSpec::new("hog", hog()));
    m.at(50 * MS, sysrq_dump);
    run(&mut m, 100 * MS);
    let state = &m.state().ext;
    let dumps: Vec<&str> = state.dumps.asked_for().collect();
    assert!(dumps.len() == 1 && state.exit_info.is_none());
    assert!(
        dumps[0].starts_with("calm: root\nDebug dump triggered by SysRq-D\n\nSysRq-D\n\nCPU states\n"),
        "{}",
        dumps[0]
    );
    assert!(dumps[0].contains(" *R hog["), "{}", dumps[0]);
    assert_eq!(dumps[0].matches("\nCPU ").count(), 2, "the idle CPU is left out, the title is not: {}", dumps[0]);
}
