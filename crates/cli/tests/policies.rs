//! The policies of `crates/policy/policies`, which show what can be written: each is compiled, runs on the simulated kernel, and makes the
//! same decisions as its native twin, event for event.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use scxr_abi::KernelVersion;
use scxr_bpf::load::{Changes, Object};
use scxr_bpfc::{Compiler, Options};
use scxr_kernel::behavior::{Action, TaskCx, TaskSpec};
use scxr_kernel::cgroup::Bandwidth;
use scxr_kernel::config::Config;
use scxr_kernel::ext::ops::SchedExtOps;
use scxr_kernel::topology::Topology;
use scxr_kernel::{CgroupChange, Machine};
use scxr_ops::{BpfScheduler, Model, NativeScheduler, SchedulerOptions, Value};
use scxr_policy::native::PolicyDef;
use scxr_trace::{Event, ExitKind, Recorder};

#[path = "../../policy/policies/arenas.rs"]
mod arenas;
#[path = "../../policy/policies/cgroups.rs"]
mod cgroups;
#[path = "../../policy/policies/cids.rs"]
mod cids;
#[path = "../../policy/policies/externs.rs"]
mod externs;
#[path = "../../policy/policies/fields.rs"]
mod fields;
#[path = "../../policy/policies/lookups.rs"]
mod lookups;
#[path = "../../policy/policies/maps.rs"]
mod maps;
#[path = "../../policy/policies/masks.rs"]
mod masks;
#[path = "../../policy/policies/moves.rs"]
mod moves;
#[path = "../../policy/policies/newest.rs"]
mod newest;
#[path = "../../policy/policies/nodes.rs"]
mod nodes;
#[path = "../../policy/policies/objects.rs"]
mod objects;
#[path = "../../policy/policies/operations.rs"]
mod operations;
#[path = "../../policy/policies/parts.rs"]
mod parts;
#[path = "../../policy/policies/queues.rs"]
mod queues;
#[path = "../../policy/policies/rest.rs"]
mod rest;
#[path = "../../policy/policies/tasks.rs"]
mod tasks;
#[path = "../../policy/policies/timers.rs"]
mod timers;
#[path = "../../policy/policies/walks.rs"]
mod walks;

const DURATION: u64 = 300_000_000;
const CPUS: usize = 8;

/// How a run ended: its events, exit and globals.
struct Ran {
    events: Vec<Event>,
    exit: (ExitKind, i64, String),
}

fn run(ops: Rc<dyn SchedExtOps>, workload: &str) -> Ran {
    run_with(ops, workload, |_| ())
}

fn run_with(ops: Rc<dyn SchedExtOps>, workload: &str, more: impl FnOnce(&mut Machine)) -> Ran {
    let sink = Rc::new(RefCell::new(Recorder::new()));
    let topology = Topology::parse("2x4").expect("a machine");
    let mut config = Config::default();
    // native code has no instructions to be paid for
    config.cost.bpf_insn_ps = 0;
    let mut m = Machine::new(topology, config, Box::new(Rc::clone(&sink)));
    m.enable(ops);
    let workload = scxr_workload::load(workload, CPUS, 1).expect("a workload");
    let specs = workload.tasks(&mut || m.wait_queue());
    for spec in specs {
        m.spawn(spec);
    }
    more(&mut m);
    m.run_until(DURATION);
    let info = m.state().ext.exit_info.as_ref().map(|i| (i.kind, i.code, i.msg.clone()));
    let events = sink.borrow_mut().finish();
    Ran { events, exit: info.unwrap_or((ExitKind::None, 0, String::new())) }
}

/// Tasks of three cgroups, and an administrator who makes one more, changes it, moves a task there, and removes one.
fn with_cgroups(m: &mut Machine) {
    const MS: u64 = 1_000_000;
    for path in ["/batch", "/web", "/web/api"] {
        let mut runs = false;
        let mut spec = TaskSpec::new(path, move |_: &TaskCx| {
            runs = !runs;
            if runs { Action::Run(2 * MS) } else { Action::Sleep(MS) }
        });
        spec.cgroup = path.into();
        m.spawn(spec);
    }
    m.run_until(MS);
    let tasks = m.state().all_tasks();
    let batch = tasks.into_iter().find(|&p| m.state().task(p).comm == "/batch").expect("a task of that name");
    let limit = Bandwidth { period_us: 100_000, quota_us: 50_000, burst_us: 0 };
    let changes = [
        ("/web", CgroupChange::Weight(250)),
        ("/night", CgroupChange::Make),
        ("/night", CgroupChange::Attach(vec![batch])),
        ("/night", CgroupChange::Bandwidth(limit)),
        ("/night", CgroupChange::Idle(true)),
        ("/batch", CgroupChange::Remove),
        ("/web", CgroupChange::Attach(vec![batch])),
    ];
    let change = |(path, change): (&str, CgroupChange)| Action::Cgroup(path.into(), Box::new(change));
    let mut steps =
        changes.into_iter().flat_map(|c| [Action::Sleep(20 * MS), change(c)]).collect::<Vec<_>>().into_iter();
    m.spawn(TaskSpec::new("administrator", move |_: &TaskCx| steps.next().unwrap_or(Action::Exit)));
}

fn object(name: &str) -> Object {
    compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../policy/policies/{name}.rs")))
}

/// The examples, by name.
fn policies() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/policies");
    let files = std::fs::read_dir(folder).expect("the examples").flatten().map(|e| e.path());
    let mut names: Vec<String> =
        files.filter_map(|f| Some(f.file_stem()?.to_str()?.to_owned())).filter(|n| !n.starts_with('.')).collect();
    names.sort();
    names
}

fn compile(source: &Path) -> Object {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies"));
    let compiler = Compiler::new().expect("the toolchain that this is built with");
    let built = compiler.compile(source, &Options { cache, ..Options::default() });
    let built = built.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(built.warnings, "");
    Object::parse(&built.name, &built.bytes).unwrap_or_else(|e| panic!("{e}"))
}

fn load(name: &str, set: &[(&str, &str)]) -> Result<Rc<BpfScheduler>, String> {
    let set = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let options = SchedulerOptions {
        nr_cpus: CPUS as u32,
        changes: Changes { set, ..Changes::default() },
        ..SchedulerOptions::default()
    };
    BpfScheduler::load(&object(name), &Model::new(KernelVersion::NEWEST), &options).map_err(|e| e.to_string())
}

/// Runs both forms and compares them; the globals of the BPF form, by name.
#[track_caller]
fn check(policy: &'static PolicyDef, set: &[(&str, &str)], exit: ExitKind) -> Vec<(String, i128)> {
    check_with(policy, set, &[], exit)
}

/// The same with messages from user space, by ring buffer, that wait when the run begins.
#[track_caller]
fn check_with(
    policy: &'static PolicyDef,
    set: &[(&str, &str)],
    messages: &[(&str, &[u8])],
    exit: ExitKind,
) -> Vec<(String, i128)> {
    let bpf = load(policy.name, set).unwrap_or_else(|e| panic!("{e}"));
    let native = Rc::new(NativeScheduler::new(policy, CPUS));
    for (name, value) in set {
        native.instance().set(name, value.parse().expect("a number")).expect("a tunable");
    }
    for (ring, message) in messages {
        let machine = bpf.machine();
        assert!(machine.user_ringbuf_send(machine.map_index(ring).expect("a ring buffer"), message));
        assert!(native.instance().send_message(ring, message));
    }
    // the examples that know of cgroups get some
    let groups = |m: &mut Machine| {
        if policy.op("cgroup_init").is_some() || policy.op("cgroup_set_idle").is_some() {
            with_cgroups(m);
        }
    };
    let (of_bpf, of_native) = (run_with(bpf.clone(), "mixed", groups), run_with(native.clone(), "mixed", groups));
    assert_eq!(of_bpf.exit.0, exit, "{}", of_bpf.exit.2);
    assert!(of_bpf.events.len() > 1000, "{} events", of_bpf.events.len());
    let differs = of_bpf.events.iter().zip(&of_native.events).position(|(a, b)| a != b);
    if let Some(at) = differs {
        panic!("event {at}: {:?} as BPF, {:?} natively", of_bpf.events[at], of_native.events[at]);
    }
    assert_eq!((of_bpf.events.len(), of_bpf.exit), (of_native.events.len(), of_native.exit));
    assert_eq!(bpf.printed(), native.printed());
    let ints = |globals: Vec<(String, Value)>| {
        let int = |(name, value)| match value {
            Value::Int(n) => Some((name, n)),
            _ => None,
        };
        let mut ints: Vec<(String, i128)> = globals.into_iter().filter_map(int).collect();
        ints.sort();
        ints
    };
    let (globals, natively) = (ints(bpf.globals()), ints(native.globals()));
    // addresses in an arena are each form's own
    for (name, value) in natively.iter().filter(|(name, _)| name != "head") {
        assert_eq!(globals.iter().find(|(n, _)| n == name), Some(&(name.clone(), *value)));
    }
    natively
}

#[track_caller]
fn assert_counts(globals: &[(String, i128)], names: &[&str]) {
    for name in names {
        let value = globals.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        assert!(value.is_some_and(|v| v > 0), "{name} is {value:?} of {globals:?}");
    }
}

#[test]
fn values_of_tasks_keys_and_cpus() {
    let globals = check(&tasks::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_known", "long_slice"]);
    check(&tasks::POLICY, &[("long_slice", "1000000"), ("short_slice", "500000")], ExitKind::None);
}

#[test]
fn sets_of_cpus() {
    let globals = check(&masks::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_preferred", "nr_other"]);
    let globals = check(&masks::POLICY, &[("step", "3")], ExitKind::None);
    assert_counts(&globals, &["nr_preferred"]);
}

#[test]
fn tasks_and_cpus_are_found() {
    let globals = check(&lookups::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_idle", "nr_found", "min_slots", "first"]);
    let value = |name: &str| globals.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    assert_eq!((value("nr_wrong"), value("cpus")), (Some(0), Some(8 << 32 | 8)));
}

#[test]
fn queues_locks_and_messages() {
    let globals = check(&queues::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_lucky"]);
    check(&queues::POLICY, &[("enough", "100")], ExitKind::UnregBpf);
}

#[test]
fn messages_have_the_layout_of_c() {
    let native = Rc::new(NativeScheduler::new(&queues::POLICY, CPUS));
    run(native.clone(), "mixed");
    let messages = native.instance().take_messages("starts");
    assert!(messages.len() > 100);
    for message in messages {
        assert_eq!(message.len(), 16);
        let word = |at: usize| i32::from_le_bytes(message[at..at + 4].try_into().expect("four bytes"));
        assert!(word(0) > 0 && (0..CPUS as i32).contains(&word(4)));
    }
}

#[test]
fn walks_and_moves() {
    let globals = check(&moves::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_home", "nr_overdue"]);
}

#[test]
fn maps_of_maps_and_messages_both_ways() {
    let wish = |slice: u64, level: u32| [&slice.to_le_bytes()[..], &level.to_le_bytes(), &[0; 4]].concat();
    let (a, b) = (wish(1_000_000, 0), wish(2_000_000, 1));
    // what is too short is counted and left out
    let messages = [("wishes", &a[..]), ("wishes", &b[..]), ("wishes", &[0; 3][..])];
    let globals = check_with(&maps::POLICY, &[], &messages, ExitKind::None);
    assert_counts(&globals, &["nr_queued", "nr_full", "nr_reports", "most_unread"]);
    assert!(globals.contains(&("nr_wishes".into(), 2)), "{globals:?}");
    assert_ne!(globals, check(&maps::POLICY, &[], ExitKind::None));
}

#[test]
fn objects_in_trees_lists_and_slots() {
    let globals = check(&objects::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_taken", "nr_front", "nr_seen", "nr_notes", "nr_of_first", "nr_newest"]);
    assert!(globals.contains(&("nr_wrong".into(), 0)), "{globals:?}");
}

#[test]
fn slots_timers_and_locks_are_fields() {
    let globals = check(&fields::POLICY, &[], ExitKind::None);
    let counts = ["nr_home", "nr_others", "nr_beats", "nr_grouped", "nr_notes", "nr_of_first", "nr_same"];
    assert_counts(&globals, &counts);
    assert!(globals.contains(&("nr_wrong".into(), 0)), "{globals:?}");
}

#[test]
fn what_there_is_is_walked_over() {
    let globals = check(&walks::POLICY, &[], ExitKind::None);
    let counts =
        ["nr_tasks", "nr_processes", "nr_in_root", "nr_cgroups", "nr_threads", "nr_kicks", "nr_again", "nr_grouped"];
    assert_counts(&globals, &counts);
    assert!(globals.contains(&("nr_wrong".into(), 0)) && globals.contains(&("nr_busy".into(), 0)), "{globals:?}");
}

#[test]
fn parts_have_names() {
    let globals = check(&parts::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr", "nr_beats", "nr_taken", "first"]);
    assert!(globals.contains(&("nr_wrong".into(), 0)) && globals.contains(&("nr_lost".into(), 0)), "{globals:?}");
}

#[test]
fn cpus_by_topological_ids_alone() {
    assert!(cids::POLICY.is_cid);
    let globals = check(&cids::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_home", "nr_idle", "nr_shown", "weight"]);
}

#[test]
fn idle_cpus_of_nodes() {
    let globals = check(&nodes::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_near", "nr_forbidden"]);
}

#[test]
fn arenas_and_topological_ids() {
    let globals = check(&arenas::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_starts", "nr_kicks", "nr_busy"]);
    assert!(globals.contains(&("nr_wrong".into(), 0)) && globals.contains(&("nr_pages".into(), 8)), "{globals:?}");
}

#[test]
fn the_rest() {
    let globals = check(&rest::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_idle", "nr_tasks", "longest", "nr_hogs"]);
    assert!(globals.contains(&("nr_wrong".into(), 0)), "{globals:?}");
    check(&rest::POLICY, &[("pick", "0")], ExitKind::None);
}

#[test]
fn timers_fire() {
    let globals = check(&timers::POLICY, &[], ExitKind::None);
    let value = |name: &str| globals.iter().find(|(n, _)| n == name).map(|(_, v)| *v).unwrap_or_default();
    assert_eq!((value("nr_wrong"), value("nr_watched")), (0, 42));
    assert!((58..=59).contains(&value("nr_fired")) && value("nr_stopped") > 10, "{globals:?}");
}

#[test]
fn cgroups_are_known_weighed_and_kept() {
    let globals = check(&cgroups::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_groups", "nr_below", "nr_kept", "nr_changes"]);
    assert!(globals.contains(&("nr_wrong".into(), 0)), "{globals:?}");
}

#[test]
fn every_operation() {
    check(&operations::POLICY, &[], ExitKind::None);
}

#[test]
fn configuration_and_variables_of_the_kernel() {
    let globals = check(&externs::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_ticks", "nr_near"]);
    let seen = [("hz_seen", 250), ("version_seen", i128::from(KernelVersion::NEWEST.code())), ("nr_wrong", 0)];
    for (name, value) in seen {
        assert!(globals.contains(&(name.into(), value)), "{name}: {globals:?}");
    }
}

#[test]
fn operations_of_later_kernels() {
    let globals = check(&newest::POLICY, &[], ExitKind::None);
    assert_counts(&globals, &["nr_calls"]);
    for (name, value) in [("permille", 500), ("nr_wrong", 0), ("cap", 1024), ("nr_found", 1)] {
        assert!(globals.contains(&(name.into(), value)), "{globals:?}");
    }
}

/// The complete programs of the guide are what it says they are.
#[test]
fn the_guide_is_right() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/writing-schedulers.md");
    let text = std::fs::read_to_string(guide).expect("the guide");
    let programs: Vec<&str> = text.split("```rust\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    assert_eq!(programs.len(), 2);
    let folder = tempfile::tempdir().expect("a folder");
    for (i, program) in programs.into_iter().enumerate() {
        let source = folder.path().join(format!("guide{i}.rs"));
        std::fs::write(&source, program).expect("a file");
        let bpf = BpfScheduler::load(
            &compile(&source),
            &Model::new(KernelVersion::NEWEST),
            &SchedulerOptions { nr_cpus: CPUS as u32, ..SchedulerOptions::default() },
        );
        let ran = run(bpf.unwrap_or_else(|e| panic!("{e}")), "mixed");
        assert_eq!(ran.exit.0, ExitKind::None, "{}", ran.exit.2);
        assert!(ran.events.len() > 1000);
    }
}

/// Objects are for all kernels: what one lacks is optional in them, but for what they ask to be treated like.
#[test]
fn policies_load_on_every_kernel() {
    for name in policies() {
        let object = object(&name);
        // operations and flags that came later stay in the table: to leave them out would be to do something else
        let since = match name.as_str() {
            "newest" | "cids" => "7.2",
            "nodes" => "6.15",
            "rest" => "6.16",
            _ => "6.12",
        };
        let since: KernelVersion = since.parse().expect("a version");
        for version in KernelVersion::ALL.iter().copied().filter(|v| *v >= since) {
            let options = SchedulerOptions { nr_cpus: CPUS as u32, ..SchedulerOptions::default() };
            let loaded = BpfScheduler::load(&object, &Model::new(version), &options);
            loaded.unwrap_or_else(|e| panic!("{name} on {version}: {e}"));
        }
    }
}

/// Everything that a user-space half wants to know of a policy's state is in its definition.
#[test]
fn state_is_documented() {
    let state = tasks::POLICY.state();
    let item = |name: &str| state.iter().find(|i| i.def().name == name).expect("an item");
    assert_eq!(item("long_slice").ty.replace(' ', ""), "Tunable<Ns>");
    assert_eq!(item("long_slice").doc.trim(), "The slice of a task that waited long.");
    assert_eq!(item("tasks").ty.replace(' ', ""), "TaskStorage<TaskCtx>");
    assert_eq!(operations::POLICY.ops.len(), 32);
    assert!(operations::POLICY.op("yield").is_some());
}
