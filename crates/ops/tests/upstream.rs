//! The kernel's own objects, built elsewhere from its sources: `tools/sched_ext/scx_simple` and selftests, unmodified.
//!
//! They are other people's work and not part of this project. Point `SCXR_UPSTREAM_OBJECTS` at a folder that holds
//! `tools/*.bpf.o` and `selftests/*.bpf.o` of Linux 7.2 to run these tests; without it they say that they were skipped.
//! Each test does what the user-space half of the selftest does, and demands what it demands.

#[path = "support/skip.rs"]
mod skip;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use scxr_abi::KernelVersion;
use scxr_bpf::load::{Changes, Object};
use scxr_kernel::behavior::{Action, Policy, TaskCx, TaskSpec, Whom};
use scxr_kernel::cgroup::CgroupId;
use scxr_kernel::config::Config;
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;
use scxr_kernel::topology::Topology;
use scxr_kernel::{CgroupChange, Machine};
use scxr_ops::{BpfScheduler, Model, SchedulerOptions, Value};
use scxr_trace::{ExitKind, NullSink};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// An object on a machine of four CPUs.
struct Test {
    m: Machine,
    s: Rc<BpfScheduler>,
}

fn object(path: &str) -> Option<Object> {
    let Some(dir) = std::env::var_os("SCXR_UPSTREAM_OBJECTS") else {
        skip::skipped(&format!("SCXR_UPSTREAM_OBJECTS does not point at the kernel's objects ({path})"));
        return None;
    };
    let file = PathBuf::from(dir).join(path);
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Some(Object::parse(path, &bytes).unwrap_or_else(|e| panic!("{e}")))
}

fn test_with(path: &str, set: &[(&str, u64)], flags: Option<u64>) -> Option<Test> {
    let mut object = object(path)?;
    if let Some(flags) = flags {
        let ops = object.only_struct_ops().expect("one table").to_owned();
        object.set_struct_ops_member(&ops, "flags", flags).expect("a flag");
    }
    Some(test_of(&object, set, None, Config::default()))
}

/// A table of an object on a machine with settings.
fn test_of(object: &Object, set: &[(&str, u64)], table: Option<&str>, config: Config) -> Test {
    let model = Model::new(KernelVersion::NEWEST);
    let set = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let table = table.map(str::to_owned);
    let options = SchedulerOptions {
        nr_cpus: 4,
        changes: Changes { set, ..Changes::default() },
        table,
        ..SchedulerOptions::default()
    };
    let s = BpfScheduler::load(object, &model, &options).unwrap_or_else(|e| panic!("{e}"));
    let m = Machine::new(Topology::parse("4").expect("a machine"), config, Box::new(NullSink));
    Test { m, s }
}

/// Why an object is refused at load.
fn refusal(path: &str) -> Option<String> {
    let object = object(path)?;
    let model = Model::new(KernelVersion::NEWEST);
    let options = SchedulerOptions { nr_cpus: 4, ..SchedulerOptions::default() };
    let error = BpfScheduler::load(&object, &model, &options).err().unwrap_or_else(|| panic!("{path} is not refused"));
    assert!(!error.is_gap(), "{error}");
    Some(error.to_string())
}

fn test(path: &str) -> Option<Test> {
    test_with(path, &[], None)
}

impl Test {
    fn attach(&mut self) {
        self.m.enable(self.s.clone());
    }

    /// Other tasks of a quiet system, which wake up now and then.
    fn noise(&mut self) {
        for i in 0..6u64 {
            let mut run = false;
            self.m.spawn(TaskSpec::new(format!("noise{i}"), move |_: &TaskCx| {
                run = !run;
                if run { Action::Run(150 * US + i * 17 * US) } else { Action::Sleep(MS + i * 331 * US) }
            }));
        }
    }

    fn sleep(&mut self, ns: u64) {
        let until = self.m.now() + ns;
        self.m.run_until(until);
    }

    fn detach(&mut self) {
        self.m.disable();
        self.sleep(100 * MS);
    }

    fn kind(&self) -> ExitKind {
        self.m.state().ext.exit_info.as_ref().map_or(ExitKind::None, |i| i.kind)
    }

    fn msg(&self) -> String {
        self.m.state().ext.exit_info.as_ref().map_or(String::new(), |i| i.msg.clone())
    }

    fn code(&self) -> i64 {
        self.m.state().ext.exit_info.as_ref().map_or(0, |i| i.code)
    }

    fn global(&self, name: &str) -> i128 {
        match self.s.globals().into_iter().find(|(n, _)| n == name) {
            Some((_, Value::Int(n))) => n,
            other => panic!("global {name}: {other:?}"),
        }
    }

    /// 1028 children that sleep for a second and exit, as several selftests make them. Returns how many ended.
    fn children(&mut self, comm: &str) -> Rc<Cell<u32>> {
        let ended = Rc::new(Cell::new(0));
        for _ in 0..1028 {
            let (mut step, ended) = (0, ended.clone());
            self.m.spawn(TaskSpec::new(comm, move |_: &TaskCx| {
                step += 1;
                match step {
                    1 => Action::Sleep(S),
                    _ => {
                        ended.set(ended.get() + 1);
                        Action::Exit
                    }
                }
            }));
        }
        ended
    }

    fn assert_running(&self) {
        assert_eq!((self.kind(), self.msg().as_str()), (ExitKind::None, ""));
    }
}

#[test]
fn simple() {
    let Some(mut t) = test("tools/scx_simple.bpf.o") else { return };
    t.attach();
    t.noise();
    t.sleep(S);
    t.assert_running();
    let stats = t.s.globals().into_iter().find(|(n, _)| n == "stats");
    let Some((_, Value::PerCpu { sum, .. })) = stats else { panic!("{stats:?}") };
    assert!(sum[0] > 1000, "local: {sum:?}");
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
    let Some((_, Value::Struct(uei))) = t.s.globals().into_iter().find(|(n, _)| n == "uei") else { panic!("no uei") };
    assert!(uei.contains(&("kind".into(), Value::Int(64))), "{uei:?}");
    assert!(uei.contains(&("reason".into(), Value::Text("unregistered from user space".into()))), "{uei:?}");
}

/// Statistics of tasks in an arena, which the object allocates page by page.
#[test]
fn sdt() {
    let Some(mut t) = test("tools/scx_sdt.bpf.o") else { return };
    t.attach();
    t.noise();
    t.sleep(S);
    t.assert_running();
    let machine = t.s.machine();
    let arena = machine.map_index("arena").expect("an arena");
    assert!(machine.map_len(arena) > 3, "{} pages", machine.map_len(arena));
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
}

/// A timer on the central CPU looks every millisecond for tasks whose slice is over; slices themselves do not end.
#[test]
fn central() {
    let set = [("nr_cpu_ids", 4), ("slice_ns", 20 * MS)];
    let Some(mut t) = test_with("tools/scx_central.bpf.o", &set, None) else { return };
    t.attach();
    for i in 0..8 {
        t.m.spawn(TaskSpec::new(format!("hog{i}"), |_: &TaskCx| Action::Run(S)));
    }
    t.sleep(2 * S);
    t.assert_running();
    let count = |name| t.global(name);
    let timers = count("nr_timers");
    assert!((1900..=2100).contains(&timers), "{timers} timers");
    assert!(count("nr_total") > 100 && count("nr_lost_pids") == 0);
    let state = t.m.state();
    for p in state.all_tasks().into_iter().filter(|&p| state.task(p).comm.starts_with("hog")) {
        let ran = state.task(p).sum_exec_runtime;
        assert!((S / 2..3 * S / 2).contains(&ran), "{ran} ns of 1 s");
    }
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
}

#[test]
fn minimal() {
    let Some(mut t) = test("selftests/minimal.bpf.o") else { return };
    t.attach();
    t.noise();
    t.sleep(100 * MS);
    t.assert_running();
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
}

#[test]
fn enq_last_no_enq_fails() {
    let Some(mut t) = test("selftests/enq_last_no_enq_fails.bpf.o") else { return };
    t.attach();
    t.sleep(100 * MS);
    assert_eq!(t.kind(), ExitKind::Error);
    assert_eq!(t.msg(), "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented");
    assert_ne!(t.global("exit_kind"), 0);
}

#[test]
fn select_cpu_dfl() {
    for comm in ["runner", "select_cpu_dfl"] {
        let Some(mut t) = test("selftests/select_cpu_dfl.bpf.o") else { return };
        t.attach();
        let ended = t.children(comm);
        t.sleep(3 * S);
        t.assert_running();
        assert_eq!(ended.get(), 1028);
        assert_eq!(t.global("saw_local"), 0, "{comm}");
    }
}

#[test]
fn select_cpu_dfl_nodispatch() {
    let Some(mut t) = test("selftests/select_cpu_dfl_nodispatch.bpf.o") else { return };
    t.attach();
    let ended = t.children("runner");
    t.sleep(3 * S);
    t.assert_running();
    assert_eq!((ended.get(), t.global("saw_local")), (1028, 1));
}

#[test]
fn select_cpu_dispatch() {
    let Some(mut t) = test("selftests/select_cpu_dispatch.bpf.o") else { return };
    t.attach();
    let ended = t.children("runner");
    t.sleep(3 * S);
    t.assert_running();
    assert_eq!(ended.get(), 1028);
}

#[test]
fn errors_of_direct_dispatch() {
    let bogus = "non-existent DSQ 0xcafef00d";
    for (name, msg) in [
        ("select_cpu_dispatch_bad_dsq", bogus),
        ("ddsp_bogus_dsq_fail", bogus),
        ("ddsp_vtimelocal_fail", "cannot use vtime ordering for built-in DSQs"),
        ("select_cpu_dispatch_dbl_dsp", "already direct-dispatched"),
    ] {
        let Some(mut t) = test(&format!("selftests/{name}.bpf.o")) else { return };
        t.attach();
        t.noise();
        t.sleep(S);
        assert_eq!(t.kind(), ExitKind::Error, "{name}");
        assert!(t.msg().contains(msg), "{name}: {}", t.msg());
    }
}

#[test]
fn select_cpu_vtime() {
    let Some(mut t) = test("selftests/select_cpu_vtime.bpf.o") else { return };
    assert_eq!(t.global("consumed"), 0);
    t.attach();
    t.noise();
    t.sleep(S);
    t.assert_running();
    assert_eq!(t.global("consumed"), 1);
}

#[test]
fn create_dsq() {
    let Some(mut t) = test("selftests/create_dsq.bpf.o") else { return };
    t.attach();
    t.noise();
    t.sleep(100 * MS);
    t.assert_running();
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
}

#[test]
fn exit_at_every_point() {
    const INIT: u64 = 5;
    for point in 0..=INIT {
        let Some(mut t) = test_with("selftests/exit.bpf.o", &[("exit_point", point)], None) else { return };
        t.attach();
        t.noise();
        t.sleep(500 * MS);
        assert_eq!(
            (t.kind(), t.code(), t.msg()),
            (ExitKind::UnregBpf, point as i64, point.to_string()),
            "point {point}"
        );
    }
}

#[test]
fn dsp_local_on() {
    let Some(mut t) = test_with("selftests/dsp_local_on.bpf.o", &[("nr_cpus", 4)], None) else { return };
    t.attach();
    t.noise();
    t.sleep(S);
    t.assert_running();
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg, "{}", t.msg());
}

#[test]
fn enq_select_cpu() {
    let Some(mut t) = test("selftests/enq_select_cpu.bpf.o") else { return };
    t.attach();
    t.noise();
    t.sleep(100 * MS);
    let s = t.s.clone();
    let result = Rc::new(Cell::new(None));
    let got = result.clone();
    let at = t.m.now() + MS;
    t.m.at(at, move |k| {
        let pid = k.all_tasks().into_iter().map(|p| k.task(p)).find(|t| t.comm == "noise0").map(|t| t.pid);
        let mut ctx = u64::from(pid.expect("the task is there")).to_le_bytes();
        got.set(Some(s.run_syscall(k, "select_cpu_from_user", &mut ctx).map_err(|e| panic!("{e}")).unwrap_or(0)));
    });
    t.sleep(S);
    t.assert_running();
    let ret = result.get().expect("the program ran") as i32;
    assert!((0..4).contains(&ret) || ret == -16, "{ret}");
}

/// Children that block until released, or switch their policy, as init_enable_count makes them.
fn init_enable_count_run(flags: u64) -> Option<()> {
    const PARTIAL: u64 = 1 << 3;
    let mut t = test_with("selftests/init_enable_count.bpf.o", &[], Some(flags))?;
    let gate = t.m.wait_queue();
    for _ in 0..1024 {
        let mut step = 0;
        t.m.spawn(TaskSpec::new("pre", move |_: &TaskCx| {
            step += 1;
            if step == 1 { Action::Wait(gate) } else { Action::Exit }
        }));
    }
    t.sleep(200 * MS);
    t.attach();
    t.sleep(200 * MS);
    let mut step = 0;
    t.m.spawn(TaskSpec::new("closer", move |_: &TaskCx| {
        step += 1;
        if step == 1 { Action::Wake { queue: gate, nr: 1024, sync: false } } else { Action::Exit }
    }));
    t.sleep(300 * MS);
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg, "{}", t.msg());
    assert!(t.global("init_task_cnt") >= 1024 && t.global("exit_task_cnt") >= 1024);
    t.attach();
    for i in 0..10 {
        let mut step = 0;
        t.m.spawn(TaskSpec::new(format!("child{i}"), move |_: &TaskCx| {
            step += 1;
            match (i, step) {
                (0..5, 1) => Action::SetPolicy(Whom::Myself, Policy::Ext),
                (0 | 2 | 4, 2) => Action::SetPolicy(Whom::Myself, Policy::Normal),
                _ => Action::Exit,
            }
        }));
    }
    t.sleep(200 * MS);
    t.detach();
    let count = |name| t.global(name);
    assert!(count("init_task_cnt") >= 10 && count("exit_task_cnt") >= 10);
    match flags & PARTIAL {
        0 => assert!(count("enable_cnt") >= 10 && count("disable_cnt") >= 10),
        _ => assert_eq!((count("enable_cnt"), count("disable_cnt")), (5, 5)),
    }
    assert!(count("init_transition_cnt") > count("init_fork_cnt"));
    assert!(count("init_fork_cnt") >= 10);
    Some(())
}

#[test]
fn init_enable_count() {
    let _ = init_enable_count_run(0).and_then(|()| init_enable_count_run(1 << 3));
}

/// Eight workers and a thread that pins them about, for one scenario.
fn dequeue_scenario(scenario: u64) -> Option<()> {
    let mut t = test_with("selftests/dequeue.bpf.o", &[("test_scenario", scenario)], None)?;
    t.attach();
    t.sleep(10 * MS);
    let ended = Rc::new(Cell::new(0));
    for id in 0..8u64 {
        let (mut n, ended) = (0, ended.clone());
        t.m.spawn(TaskSpec::new(format!("worker{id}"), move |_: &TaskCx| {
            n += 1;
            match n {
                1..=2000 if n % 2 == 1 => Action::Run(10 * US),
                1..=2000 => Action::Sleep((1000 + 100 * id) * US),
                _ => {
                    ended.set(ended.get() + 1);
                    Action::Exit
                }
            }
        }));
    }
    t.sleep(5 * MS);
    let state = t.m.state();
    let find = |i: u64| state.all_tasks().into_iter().find(|&p| state.task(p).comm == format!("worker{i}"));
    let workers: Vec<_> = (0..8).map(|i| find(i).expect("the worker")).collect();
    let (start, mut i) = (t.m.now(), 0usize);
    t.m.spawn(TaskSpec::new("hammer", move |cx: &TaskCx| {
        if cx.now > start + 500 * MS {
            return Action::Exit;
        }
        i += 1;
        let mask = CpuMask::of(CpuId((i / 8 % 4) as u32));
        Action::SetAffinity(Whom::Task(workers[i % 8]), mask)
    }));
    t.sleep(4 * S);
    assert_eq!(ended.get(), 8, "scenario {scenario}: all workers end");
    t.detach();
    assert_eq!((t.kind(), t.msg()), (ExitKind::Unreg, String::new()), "scenario {scenario}");
    let count = |name| t.global(name);
    let (enq, deq) = (count("enqueue_cnt"), count("dequeue_cnt"));
    match scenario {
        2 | 5 | 6 => assert!(enq > 0 && enq == deq, "scenario {scenario}: {enq} enqueues, {deq} dequeues"),
        _ => {
            let dequeues = (deq, count("dispatch_dequeue_cnt"), count("change_dequeue_cnt"));
            assert_eq!((enq, dequeues), (0, (0, 0, 0)), "scenario {scenario}");
        }
    }
    Some(())
}

#[test]
fn dequeue() {
    for scenario in 0..=6 {
        if dequeue_scenario(scenario).is_none() {
            return;
        }
    }
}

/// A CPU goes or comes under a scheduler that has operations for that, or has none; then one that expects other CPUs.
#[test]
fn hotplug() {
    const RESTART: i64 = 1 << 48;
    const HOTPLUG: i64 = 1 << 32;
    for (onlining, callbacks) in [(true, true), (false, true), (true, false), (false, false)] {
        let Some(object) = object("selftests/hotplug.bpf.o") else { return };
        let table = if callbacks { "hotplug_cb_ops" } else { "hotplug_nocb_ops" };
        let mut t = test_of(&object, &[], Some(table), Config::default());
        let operator = |at: u64, online: bool| {
            let mut steps = vec![Action::SetCpuOnline(CpuId(1), online), Action::SleepUntil(at)];
            let mut spec = TaskSpec::new("operator", move |_: &TaskCx| steps.pop().unwrap_or(Action::Exit));
            spec.affinity = Some(CpuMask::of(CpuId(0)));
            spec
        };
        if onlining {
            t.m.spawn(operator(MS, false));
            t.sleep(10 * MS);
        }
        t.attach();
        t.sleep(50 * MS);
        t.assert_running();
        let at = t.m.now() + 10 * MS;
        t.m.spawn(operator(at, onlining));
        t.sleep(200 * MS);
        let expect = match (callbacks, onlining) {
            (true, true) => (ExitKind::UnregBpf, RESTART | 1 | 2),
            (true, false) => (ExitKind::UnregBpf, RESTART | 1),
            (false, _) => (ExitKind::UnregKern, RESTART | HOTPLUG),
        };
        assert_eq!((t.kind(), t.code()), expect, "{onlining} {callbacks}: {}", t.msg());
    }
}

#[test]
fn maximal() {
    let Some(mut t) = test("selftests/maximal.bpf.o") else { return };
    t.attach();
    t.noise();
    t.sleep(200 * MS);
    t.assert_running();
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg, "{}", t.msg());
}

#[test]
fn reload_loop() {
    let Some(mut t) = test("selftests/maximal.bpf.o") else { return };
    t.noise();
    for _ in 0..100 {
        t.attach();
        t.m.disable();
    }
    t.sleep(3 * S);
    assert_eq!(t.kind(), ExitKind::Unreg, "{}", t.msg());
    assert_eq!((t.m.state().ext.enable_seq, t.m.state().ext.root().is_none()), (100, true));
}

#[test]
fn maybe_null() {
    if test("selftests/maybe_null.bpf.o").is_none() {
        return;
    }
    for (name, why) in
        [("dsp", "argument prev of ops.dispatch may be NULL"), ("yld", "argument to of ops.yield may be NULL")]
    {
        let Some(text) = refusal(&format!("selftests/maybe_null_fail_{name}.bpf.o")) else { return };
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn non_scx_kfunc_deny() {
    let Some(text) = refusal("selftests/non_scx_kfunc_deny.bpf.o") else { return };
    assert!(text.contains("tcp_congestion_ops"), "{text}");
}

#[test]
fn schedulers_that_go_on() {
    let per_node = 1 << 6;
    for (name, set, flags) in [
        ("allowed_cpus", vec![], None),
        ("numa", vec![("__COMPAT_SCX_PICK_IDLE_IN_NODE", 2)], Some(per_node)),
        ("peek_dsq", vec![], None),
    ] {
        let Some(mut t) = test_with(&format!("selftests/{name}.bpf.o"), &set, flags) else { return };
        t.attach();
        t.noise();
        t.sleep(S);
        assert_eq!((t.kind(), t.msg().as_str()), (ExitKind::None, ""), "{name}");
    }
}

#[test]
fn prog_run() {
    let Some(mut t) = test("selftests/prog_run.bpf.o") else { return };
    t.attach();
    t.sleep(10 * MS);
    let s = t.s.clone();
    let at = t.m.now() + MS;
    let name =
        t.s.machine().image().programs.iter().find(|p| p.name.contains("syscall") || p.name.starts_with("prog_run_s"));
    let name = name.expect("a syscall program").name.clone();
    t.m.at(at, move |k| _ = s.run_syscall(k, &name, &mut []).unwrap_or_else(|e| panic!("{e}")));
    t.sleep(100 * MS);
    assert_eq!((t.kind(), t.code()), (ExitKind::UnregBpf, 0xdead_beef));
}

/// Three CPUs kick each other in a ring and wait.
#[test]
fn cyclic_kick_wait() {
    let set = [("test_cpu_a", 0), ("test_cpu_b", 1), ("test_cpu_c", 2)];
    let Some(mut t) = test_with("selftests/cyclic_kick_wait.bpf.o", &set, None) else { return };
    t.attach();
    for i in 0..12u32 {
        let mut spec = TaskSpec::new(format!("yielder{i}"), |_: &TaskCx| Action::Yield);
        spec.affinity = Some(CpuMask::of(CpuId(i % 3)));
        t.m.spawn(spec);
    }
    t.sleep(500 * MS);
    t.assert_running();
}

/// The example of the cid form: five queues by weight in an arena, with the values that its loader sets.
#[test]
fn qmap() {
    let set = [("slice_ns", 5 * MS), ("max_tasks", 16384)];
    let Some(mut t) = test_with("tools/scx_qmap.bpf.o", &set, None) else { return };
    t.noise();
    for i in 0..6 {
        t.m.spawn(TaskSpec::new(format!("hog{i}"), |_: &TaskCx| Action::Run(MS)));
    }
    t.sleep(100 * MS);
    t.attach();
    t.sleep(2 * S);
    t.assert_running();
    let arena = t.s.machine().map_index("arena").expect("an arena");
    let base = t.s.machine().map_value_addr(arena, &0u32.to_le_bytes(), 0).expect("its base");
    let [enqueued, dispatched] = [0, 8].map(|at| t.s.machine().read_u64(base + at).expect("a counter"));
    assert!(enqueued > 1000 && dispatched > 1000, "{enqueued} {dispatched}");
    let state = t.m.state();
    let tasks = state.all_tasks();
    let hogs: Vec<_> = tasks.iter().map(|&p| state.task(p)).filter(|t| t.comm.starts_with("hog")).collect();
    assert_eq!(hogs.len(), 6);
    for hog in hogs {
        assert!(hog.sum_exec_runtime > S, "{}: {}", hog.comm, hog.sum_exec_runtime);
    }
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
}

/// The same below itself: the root takes a sub-scheduler for a cgroup, and gives it its turn.
#[test]
fn qmap_below_qmap() {
    let Some(mut object) = object("tools/scx_qmap.bpf.o") else { return };
    let set = [("slice_ns", 5 * MS), ("max_tasks", 16384)];
    let mut t = test_of(&object, &set, None, Config::default());
    t.m.with_kernel(|k| k.change_cgroup("/a", CgroupChange::Make).expect("new"));
    t.noise();
    for i in 0..6 {
        let mut spec = TaskSpec::new(format!("hog{i}"), |_: &TaskCx| Action::Run(MS));
        spec.cgroup = if i < 3 { "/" } else { "/a" }.into();
        t.m.spawn(spec);
    }
    t.sleep(100 * MS);
    t.attach();
    t.sleep(100 * MS);
    object.set_struct_ops_member("qmap_ops", "sub_cgroup_id", 2).expect("a number");
    let below = test_of(&object, &[&set[..], &[("sub_cgroup_id", 2)]].concat(), None, Config::default()).s;
    t.m.enable(below.clone());
    t.sleep(2 * S);
    t.assert_running();
    assert_eq!((&t.m.state().ext.enable_error, t.m.state().ext.sub_exits.len()), (&None, 0));
    let enqueued = |s: &BpfScheduler| {
        let arena = s.machine().map_index("arena").expect("an arena");
        let base = s.machine().map_value_addr(arena, &0u32.to_le_bytes(), 0).expect("its base");
        s.machine().read_u64(base).expect("a counter")
    };
    assert!(enqueued(&t.s) > 100 && enqueued(&below) > 100, "{} {}", enqueued(&t.s), enqueued(&below));
    let state = t.m.state();
    let tasks = state.all_tasks();
    for hog in tasks.iter().map(|&p| state.task(p)).filter(|t| t.comm.starts_with("hog")) {
        assert!(hog.sum_exec_runtime > 300 * MS, "{}: {}", hog.comm, hog.sum_exec_runtime);
    }
    assert_eq!(t.s.printed(), ["attaching sub-sched[0] on /a"]);
    t.m.disable_sub(CgroupId(2));
    t.sleep(100 * MS);
    assert_eq!(t.m.state().ext.sub_exits.len(), 1);
    assert_eq!(t.s.printed()[1], "detaching sub-sched[0] on /a");
    t.detach();
    assert_eq!(t.kind(), ExitKind::Unreg);
}

fn pinned(comm: &str, policy: Policy, cpu: u32) -> TaskSpec {
    let mut spec = TaskSpec::new(comm, |_: &TaskCx| Action::Run(MS));
    (spec.policy, spec.affinity) = (policy, Some(CpuMask::of(CpuId(cpu))));
    spec
}

/// A spinner beside a FIFO hog: the deadline servers leave it 4 % at least, without and with a scheduler, twice.
#[test]
fn rt_stall() {
    for attached in [false, true, false, true] {
        let Some(mut t) = test("selftests/rt_stall.bpf.o") else { return };
        if attached {
            t.attach();
            t.sleep(10 * MS);
        }
        t.m.spawn(pinned("plain", Policy::Normal, 0));
        t.m.spawn(pinned("fifo", Policy::Fifo(50), 0));
        t.sleep(5 * S);
        t.assert_running();
        let state = t.m.state();
        let ran = |comm| {
            let tasks = state.all_tasks();
            tasks.iter().map(|&p| state.task(p)).find(|t| t.comm == comm).map_or(0, |t| t.sum_exec_runtime)
        };
        let (plain, fifo) = (ran("plain"), ran("fifo"));
        let percent = plain * 100 / (plain + fifo);
        assert!((4..=6).contains(&percent), "attached: {attached}, {percent} %");
    }
}

/// Each CPU's reservation is the fair server's without a scheduler and the ext server's with one.
#[test]
fn total_bw() {
    let Some(mut t) = test("selftests/minimal.bpf.o") else { return };
    let one = (50 << 20) / 1000;
    for i in 0..4 {
        t.m.spawn(pinned(&format!("busy{i}"), Policy::Normal, i));
    }
    t.sleep(100 * MS);
    assert_eq!(t.m.state().deadline_bandwidth(), 4 * one);
    t.attach();
    t.sleep(100 * MS);
    t.assert_running();
    assert_eq!(t.m.state().deadline_bandwidth(), 4 * one);
    t.detach();
    assert_eq!(t.m.state().deadline_bandwidth(), 4 * one);
}

/// A full-nohz CPU ticks again for a slice that ends, after one that does not and after idleness.
#[test]
fn nohz_tick() {
    let Some(object) = object("selftests/nohz_tick.bpf.o") else { return };
    let mut object = object;
    let table = object.only_struct_ops().expect("one table").to_owned();
    object.set_struct_ops_member(&table, "flags", 1 << 3 | 1 << 1).expect("flags");
    let config = Config { nohz_full: CpuMask::of(CpuId(1)), ..Config::default() };
    let mut t = test_of(&object, &[("test_cpu", 1)], None, config);
    let stop = Rc::new(Cell::new(0));
    let worker = |n: u32, stop: &Rc<Cell<u32>>| {
        let stop = stop.clone();
        let mut spec = TaskSpec::new(format!("worker{n}"), move |_: &TaskCx| match stop.get() >= n {
            true => Action::Exit,
            false => Action::Run(100 * US),
        });
        (spec.policy, spec.affinity) = (Policy::Ext, Some(CpuMask::of(CpuId(1))));
        spec
    };
    t.attach();
    t.m.spawn(worker(1, &stop));
    t.sleep(S);
    assert!(t.global("nr_inf_running") >= 1);
    stop.set(1); // the selftest stops it by a signal
    t.sleep(100 * MS);
    let at = t.m.now() + MS;
    let s = t.s.clone();
    let phase = object.global("finite_phase").expect("a global");
    t.m.at(at, move |_| {
        let machine = s.machine();
        let section = machine.map_index(&phase.section).expect("its section");
        let base = machine.map_value_addr(section, &0u32.to_le_bytes(), 0).expect("its address");
        assert!(machine.write_bytes(base + u64::from(phase.offset), &[1]));
    });
    t.sleep(10 * MS);
    let mut before = (0, 0);
    for n in 2..=3 {
        t.m.spawn(worker(n, &stop));
        t.sleep(S);
        let now = (t.global("nr_finite_running"), t.global("nr_finite_ticks"));
        assert!(now.0 > before.0 && now.1 >= before.1 + 3, "{before:?} {now:?}");
        stop.set(n);
        t.sleep(100 * MS);
        before = (t.global("nr_finite_running"), t.global("nr_finite_ticks"));
    }
    t.assert_running();
}
