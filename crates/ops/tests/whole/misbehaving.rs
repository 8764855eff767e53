//! Schedulers that do what they must not: how they end, and that nothing is lost.

use std::rc::Rc;

use scxr_bpf::load::Object;
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::class::ClassId;
use scxr_kernel::config::Interleave;
use scxr_kernel::ext::EnableState;
use scxr_kernel::ids::Ns;
use scxr_ops::BpfScheduler;
use scxr_trace::{ExitKind, Rule};

use crate::common::{MS, Run, S, Setup, rules};
use crate::objects::{compile, global, load};

/// Names as in `misdeed.bpf.c`.
const MISDEEDS: [&str; 36] = [
    "nothing",
    "invalid_cpu",
    "twice_in_select_cpu",
    "twice_in_enqueue",
    "no_such_dsq",
    "endless_loop",
    "loses_tasks",
    "null_store",
    "read_only_field",
    "wild_load",
    "says_error",
    "says_exit",
    "init_fails",
    "init_bad_errno",
    "init_task_fails",
    "fork_fails",
    "vtime_in_builtin",
    "both_orders",
    "wrong_cpu",
    "bad_enq_flags",
    "buffer_overflow",
    "moves_from_nowhere",
    "kicks_nobody",
    "other_task",
    "error_in_exit",
    "error_in_init",
    "invalid_local_on",
    "init_task_bad_errno",
    "kicks_idle_and_preempts",
    "null_task",
    "bad_format",
    "endless_slice",
    "no_slice",
    "writes_constant",
    "stores_nowhere",
    "recurses",
];

/// Misdeed, exit kind, code, and message, in which `*` stands for anything. Most texts are the kernel's; where its verifier
/// would have refused the program, they are ours.
const ENDS: [(&str, ExitKind, i64, &str); 30] = [
    ("invalid_cpu", ExitKind::Error, 0, "invalid CPU 9999 from ops.select_cpu()"),
    ("twice_in_select_cpu", ExitKind::Error, 0, "*[*] already direct-dispatched"),
    ("twice_in_enqueue", ExitKind::Error, 0, "*[*] already direct-dispatched"),
    ("no_such_dsq", ExitKind::Error, 0, "non-existent DSQ 0xdead"),
    ("endless_loop", ExitKind::Error, 0, "program misdeed_enqueue: *misdeed.bpf.c:*endless loop*"),
    ("loses_tasks", ExitKind::ErrorStall, 0, "interactive-*[*] failed to run for 1.*s"),
    ("null_store", ExitKind::Error, 0, "program misdeed_enqueue: *misdeed.bpf.c:*"),
    ("read_only_field", ExitKind::Error, 0, "program misdeed_enqueue: *task_struct field pid is read-only*"),
    ("says_error", ExitKind::ErrorBpf, 0, "cpu * of 4: enough"),
    ("says_exit", ExitKind::UnregBpf, 42, "done after 200 calls"),
    ("init_fails", ExitKind::Error, 0, "ops.init() failed (-16)"),
    ("init_bad_errno", ExitKind::Error, 0, "ops.init() returned an invalid errno 5"),
    ("init_task_fails", ExitKind::Error, 0, "ops.init_task() failed (-22) for periodic-0[*]"),
    ("vtime_in_builtin", ExitKind::Error, 0, "cannot use vtime ordering for built-in DSQs"),
    ("both_orders", ExitKind::Error, 0, "DSQ ID 0x0000000000000000 already had *-enqueued tasks"),
    ("wrong_cpu", ExitKind::Error, 0, "SCX_DSQ_LOCAL[_ON] target CPU * not allowed for pinned-0[*]"),
    ("bad_enq_flags", ExitKind::Error, 0, "invalid enq_flags 0x1000000000000000"),
    ("buffer_overflow", ExitKind::Error, 0, "dispatch buffer overflow"),
    ("moves_from_nowhere", ExitKind::Error, 0, "invalid DSQ ID 0x000000000000dead"),
    ("kicks_nobody", ExitKind::Error, 0, "invalid CPU 9999"),
    ("other_task", ExitKind::Error, 0, "scheduling for *[*] but trying to direct-dispatch init[1]"),
    ("invalid_local_on", ExitKind::Error, 0, "invalid CPU 77 in SCX_DSQ_LOCAL_ON dispatch verdict"),
    ("init_task_bad_errno", ExitKind::Error, 0, "ops.init_task() returned an invalid errno 7"),
    ("kicks_idle_and_preempts", ExitKind::Error, 0, "PREEMPT/WAIT cannot be used with SCX_KICK_IDLE"),
    ("null_task", ExitKind::Error, 0, "called with NULL task"),
    ("bad_format", ExitKind::Error, 0, "invalid data=* and data__sz=7"),
    ("endless_slice", ExitKind::ErrorStall, 0, "*[*] failed to run for 1.*s"),
    ("writes_constant", ExitKind::Error, 0, "program misdeed_enqueue: *misdeed.bpf.c:*read-only*"),
    ("stores_nowhere", ExitKind::Error, 0, "program misdeed_enqueue: *misdeed.bpf.c:*"),
    ("recurses", ExitKind::Error, 0, "program misdeed_enqueue: *misdeed.bpf.c:*"),
];

/// Does `text` match, where `*` in the pattern stands for anything?
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(tail) = text.strip_prefix(head) else { return false };
    (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))
}

#[test]
fn patterns() {
    for (pattern, text, expect) in
        [("a*c", "abc", true), ("a*c", "ac", true), ("a*c", "abcd", false), ("*", "", true), ("b", "ab", false)]
    {
        assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
    }
}

/// A machine on which a workload runs already when the scheduler comes.
struct Test {
    run: Run,
    s: Rc<BpfScheduler>,
    nr_tasks: usize,
}

impl Test {
    fn start(object: &Object, misdeed: &str, interleave: Interleave) -> Test {
        let which = MISDEEDS.iter().position(|m| *m == misdeed).expect("a misdeed") as u64;
        let setup = Setup::new("4", "mixed", 0).interleave(interleave);
        let s = load(object, &setup, 4, &[("misdeed", which)]).unwrap_or_else(|e| panic!("{e}"));
        let mut run = Run::boot(&setup, rules());
        run.replay = format!("misdeed {misdeed}, {setup}");
        run.load(&setup);
        run.advance(20 * MS);
        let nr_tasks = run.tasks().len();
        assert_eq!(nr_tasks, 11);
        run.m.enable(s.clone());
        Test { run, s, nr_tasks }
    }

    /// Runs until the scheduler is gone, at most for `ns`.
    #[track_caller]
    fn until_exit(&mut self, ns: Ns) {
        let end = self.run.m.now() + ns;
        while self.run.exit().is_none() {
            assert!(self.run.m.now() < end, "the scheduler still runs; {}", self.run.replay);
            self.run.advance(5 * MS);
        }
    }

    /// All tasks are of the fair class, and each gets on.
    #[track_caller]
    fn assert_all_well(mut self) {
        let replay = self.run.replay.clone();
        assert_eq!(self.run.m.state().ext.state, EnableState::Disabled, "{replay}");
        let before = self.run.tasks();
        assert_eq!(before.len(), self.nr_tasks, "tasks are lost: {before:?}; {replay}");
        self.run.advance(S);
        let after = self.run.tasks();
        assert_eq!(after.len(), self.nr_tasks, "tasks are lost: {after:?}; {replay}");
        for (a, b) in before.iter().zip(&after) {
            assert!(a.0 == b.0 && b.2 > a.2, "{} did not get on: {a:?}, then {b:?}; {replay}", a.1);
            assert_eq!(self.run.m.state().task(b.0).class, ClassId::Fair, "{}; {replay}", b.1);
        }
        // A queue in both orders is what this scheduler did wrong: the kernel says so, and inserts all the same (E-102).
        match self.run.replay.contains("both_orders") {
            true => drop(self.run.finish_but(Some(Rule::DsqOrder))),
            false => drop(self.run.finish()),
        }
    }
}

#[track_caller]
fn check_end(object: &Object, interleave: Interleave, misdeed: &str, kind: ExitKind, code: i64, msg: &str) {
    let mut t = Test::start(object, misdeed, interleave);
    t.until_exit(4 * S);
    let exit = t.run.exit().expect("an end").clone();
    let reason = match kind {
        ExitKind::Error => "runtime error",
        ExitKind::ErrorBpf => "scx_bpf_error",
        ExitKind::ErrorStall => "runnable task stall",
        ExitKind::UnregBpf => "unregistered from BPF",
        other => panic!("{other:?} is none of a scheduler's misdeeds"),
    };
    assert_eq!((exit.kind, exit.code, exit.reason), (kind, code, reason), "{}: {}", t.run.replay, exit.msg);
    assert!(matches(msg, &exit.msg), "{}: {}", t.run.replay, exit.msg);
    // `ops.exit` is called where `ops.init` or what follows failed, too (E-199).
    assert_eq!(global(&t.s, "exit_code"), i128::from(code), "{}", t.run.replay);
    assert_ne!(global(&t.s, "exit_kind"), 0, "{}", t.run.replay);
    t.assert_all_well();
}

#[test]
fn ejected_and_nothing_lost() {
    let Some(object) = compile("misdeed", "PLAIN") else { return };
    for (misdeed, kind, code, msg) in ENDS {
        check_end(&object, Interleave::Callback, misdeed, kind, code, msg);
    }
}

#[test]
fn ejected_while_other_cpus_are_inside_operations() {
    let Some(object) = compile("misdeed", "PLAIN") else { return };
    for (misdeed, kind, code, msg) in ENDS {
        check_end(&object, Interleave::Kfunc, misdeed, kind, code, msg);
    }
}

#[test]
fn an_error_in_init_is_the_first() {
    let Some(object) = compile("misdeed", "PLAIN") else { return };
    check_end(&object, Interleave::Callback, "error_in_init", ExitKind::ErrorBpf, 0, "not today");
}

#[test]
fn what_the_kernel_forgives() {
    let Some(object) = compile("misdeed", "PLAIN") else { return };
    // A load from nowhere reads zero; a slice of nothing runs until the next tick.
    for misdeed in ["nothing", "wild_load", "no_slice"] {
        let mut t = Test::start(&object, misdeed, Interleave::Callback);
        t.run.advance(S);
        t.run.assert_enabled();
        assert_eq!(global(&t.s, "wild") > 0, misdeed == "wild_load");
        t.run.m.disable();
        t.until_exit(S);
        assert_eq!(t.run.exit().map(|e| e.kind), Some(ExitKind::Unreg));
        t.assert_all_well();
    }
}

#[test]
fn a_fault_in_exit_changes_nothing() {
    let Some(object) = compile("misdeed", "PLAIN") else { return };
    let mut t = Test::start(&object, "error_in_exit", Interleave::Callback);
    t.run.advance(100 * MS);
    t.run.assert_enabled();
    t.run.m.disable();
    t.until_exit(S);
    assert_eq!(t.run.exit().map(|e| (e.kind, e.msg.as_str())), Some((ExitKind::Unreg, "")));
    t.assert_all_well();
}

#[test]
fn a_refused_fork_concerns_the_child_only() {
    let Some(object) = compile("misdeed", "PLAIN") else { return };
    let mut t = Test::start(&object, "fork_fails", Interleave::Callback);
    t.run.advance(20 * MS);
    t.run.m.spawn(TaskSpec::new("child", |_: &TaskCx| Action::Run(MS)));
    t.run.advance(100 * MS);
    t.run.assert_enabled();
    assert!(t.run.tasks().iter().all(|task| task.1 != "child"), "{:?}", t.run.tasks());
    t.run.m.disable();
    t.until_exit(S);
    t.assert_all_well();
}

/// Macro of `refused.bpf.c`, whether the kernel is who refuses, and what is said.
const REFUSED: [(&str, bool, &str); 13] = [
    ("WRONG_CONTEXT", true, "scx_bpf_create_dsq is not allowed in ops.enqueue"),
    ("INSERT_IN_RUNNING", true, "scx_bpf_dsq_insert is not allowed in ops.running"),
    ("INSERT_DEEPER", true, "scx_bpf_dsq_insert is not allowed in ops.stopping"),
    ("SLEEPABLE", true, "program refused_enqueue is sleepable, but ops.enqueue may not sleep"),
    ("NO_NAME", true, ".name is empty"),
    ("BAD_NAME", true, ".name has the character ' '"),
    ("BAD_FLAGS", true, "unknown bits in .flags: 0x10000000000"),
    ("LONG_TIMEOUT", true, ".timeout_ms is 30001; at most 30000"),
    ("LARGE_BATCH", true, ".dispatch_max_batch is 2147483648; too large"),
    ("UNKNOWN_KFUNC", true, "scx_bpf_no_such_thing"),
    ("UNKNOWN_FIELD", true, "vanished"),
    ("TWO_TABLES", false, "second_ops"),
    ("NO_TABLE", false, "struct_ops"),
];

#[test]
fn refused_at_load() {
    let setup = Setup::new("4", "mixed", 0);
    for (define, by_kernel, what) in REFUSED {
        let Some(object) = compile("refused", define) else { return };
        let Err(error) = load(&object, &setup, 4, &[]).map(|s| (s, define)) else {
            panic!("{define} was loaded");
        };
        let text = error.to_string();
        assert!(text.contains(what), "{define}: {text}");
        assert_eq!(error.is_refusal(), by_kernel, "{define}: {text}");
        assert!(text.starts_with("refused.bpf.o"), "{define} does not say where: {text}");
        assert_eq!(text.lines().count(), 1, "{define}: {text}");
    }
}

#[test]
fn what_is_not_implemented_is_said() {
    let Some(object) = compile("refused", "NOT_IMPLEMENTED") else { return };
    let setup = Setup::new("4", "mixed", 0);
    let s = load(&object, &setup, 4, &[]).unwrap_or_else(|e| panic!("{e}"));
    let mut run = Run::boot(&setup, rules());
    run.m.enable(s.clone());
    run.load(&setup);
    run.advance(50 * MS);
    let gap = s.gap().expect("the function is not there yet");
    assert!(gap.contains("refused_enqueue") && gap.ends_with("not implemented yet: kfunc bpf_throw"), "{gap}");
}

#[test]
fn guarded_and_weak_are_fine() {
    let setup = Setup::new("4", "mixed", 0);
    for define in ["PLAIN", "WEAK_KFUNC", "GUARDED_FIELD"] {
        let Some(object) = compile("refused", define) else { return };
        let s = load(&object, &setup, 4, &[]).unwrap_or_else(|e| panic!("{define}: {e}"));
        let mut run = Run::boot(&setup, rules());
        run.m.enable(s);
        run.load(&setup);
        run.advance(50 * MS);
        run.assert_enabled();
        run.finish();
    }
}

#[test]
fn arguments_that_may_be_null_are_tested_first() {
    let setup = Setup::new("4", "mixed", 0);
    let Some(object) = compile("refused", "PREV_UNCHECKED") else { return };
    let error = load(&object, &setup, 4, &[]).err().expect("prev may be NULL");
    assert!(error.is_refusal(), "{error}");
    let text = error.to_string();
    let why = "program refused_dispatch: argument prev of ops.dispatch may be NULL and is followed without a test";
    assert!(text.contains(why) && text.contains("refused.bpf.c:"), "{text}");
    let Some(object) = compile("refused", "PREV_CHECKED") else { return };
    load(&object, &setup, 4, &[]).unwrap_or_else(|e| panic!("{e}"));
}
