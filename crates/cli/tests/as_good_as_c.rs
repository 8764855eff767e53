//! Policies in Rust are as good as the same in C: no more than 10 % more instructions in the object and executed, and the same decisions.
//!
//! `as_good_as_c/NAME.bpf.c` is the policy NAME in C, with the same fallbacks for older kernels, compiled by clang as the kernel's own
//! schedulers are. What the kernel's verifier walks of both: `--ignored`, minutes.

#[path = "../src/scheduler/clang/programs.rs"]
mod programs;
#[path = "support/skip.rs"]
mod skip;
mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use object::{Object as _, ObjectSymbol as _, SymbolKind};
use scxr_abi::KernelVersion;
use scxr_bpf::load::Object;
use scxr_bpfc::{Compiler, Options};
use scxr_kernel::Machine;
use scxr_kernel::config::Config;
use scxr_kernel::topology::Topology;
use scxr_ops::{BpfScheduler, Model, SchedulerOptions};
use scxr_trace::{Event, Recorder};
use support::{root, scxr};

/// Name, and the policy in Rust.
const POLICIES: [(&str, &str); 5] = [
    ("simple", "schedulers/simple/policy.rs"),
    ("tasks", "crates/policy/policies/tasks.rs"),
    ("masks", "crates/policy/policies/masks.rs"),
    ("moves", "crates/policy/policies/moves.rs"),
    ("queues", "crates/policy/policies/queues.rs"),
];
/// How many instructions more Rust may have, percent.
const MORE_MAX: u64 = 10;
const FLAGS: [&str; 7] = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror"];

fn rust(name: &str, source: &str) -> Vec<u8> {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies"));
    let options = Options { name: Some(name.to_owned()), cache, ..Options::default() };
    let compiler = Compiler::new().expect("the toolchain that this is built with");
    compiler.compile(&root().join(source), &options).unwrap_or_else(|e| panic!("{e}")).bytes
}

/// `None`: there is no clang, which is an error in CI.
fn c(name: &str) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let (source, object) = (root().join(format!("crates/cli/tests/as_good_as_c/{name}.bpf.c")), dir.path().join("x.o"));
    for clang in programs::CLANG {
        match Command::new(clang).args(FLAGS).arg("-c").arg(&source).arg("-o").arg(&object).output() {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => panic!("{clang}: {e}"),
            Ok(o) => assert!(o.status.success(), "{name}: {}", String::from_utf8_lossy(&o.stderr)),
        }
        return Some(std::fs::read(&object).expect("an object"));
    }
    assert!(std::env::var_os("CI").is_none(), "clang is needed and is not installed");
    skip::skipped("clang is needed and is not installed");
    None
}

fn parse(name: &str, bytes: &[u8]) -> Object {
    Object::parse(name, bytes).unwrap_or_else(|e| panic!("{e}"))
}

fn load(object: &Object) -> Rc<BpfScheduler> {
    let options = SchedulerOptions { nr_cpus: 8, ..SchedulerOptions::default() };
    BpfScheduler::load(object, &Model::new(KernelVersion::NEWEST), &options).unwrap_or_else(|e| panic!("{e}"))
}

/// Instructions of each program of an object: its functions, of eight bytes each.
fn sizes(bytes: &[u8]) -> BTreeMap<String, u64> {
    let file = object::File::parse(bytes).expect("an ELF file");
    let functions = file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0);
    functions.map(|s| (s.name().expect("a name").to_owned(), s.size() / 8)).collect()
}

/// A run: its events, and the instructions that were executed.
fn run(object: &Object, workload: &str) -> (Vec<Event>, u64) {
    let scheduler = load(object);
    let sink = Rc::new(RefCell::new(Recorder::new()));
    let mut config = Config::default();
    config.cost.bpf_insn_ps = 0; // the same time for both, so that they decide about the same
    let mut m = Machine::new(Topology::parse("2x4").expect("a machine"), config, Box::new(Rc::clone(&sink)));
    m.enable(scheduler.clone());
    for spec in scxr_workload::load(workload, 8, 1).expect("a workload").tasks(&mut || m.wait_queue()) {
        m.spawn(spec);
    }
    m.run_until(300_000_000);
    assert!(m.state().ext.exit_info.is_none(), "{:?}", m.state().ext.exit_info);
    drop(m);
    let events = sink.borrow_mut().finish();
    (events, scheduler.nr_insns())
}

fn at_most(rust: u64, c: u64) -> bool {
    rust * 100 <= c * (100 + MORE_MAX)
}

#[track_caller]
fn check(name: &str) {
    let source = POLICIES.iter().find(|(n, _)| *n == name).expect("one of them").1;
    let Some(c) = c(name) else { return };
    let rust = rust(name, source);
    let (of_rust, of_c) = (sizes(&rust), sizes(&c));
    let (rust, c) = (parse(name, &rust), parse(name, &c));
    assert!(of_rust.keys().eq(of_c.keys()), "{of_rust:?} and {of_c:?}");
    let (ours, theirs) = (of_rust.values().sum(), of_c.values().sum());
    let mut table = format!("{name}: {ours} instructions in Rust, {theirs} in C\n");
    of_rust.iter().for_each(|(program, n)| table += &format!("  {program}: {n}, {}\n", of_c[program]));
    for workload in ["mixed", "schbench"] {
        let ((events, ours), (same, theirs)) = (run(&rust, workload), run(&c, workload));
        let differs = events.iter().zip(&same).position(|(a, b)| a != b);
        let differs = differs.or((events.len() != same.len()).then_some(events.len().min(same.len())));
        assert_eq!(differs, None, "{name}, {workload}: the two decide differently");
        table += &format!("  {workload}: {ours} executed, {theirs}\n");
        assert!(theirs > 10_000 && at_most(ours, theirs), "{table}");
    }
    assert!(at_most(ours, theirs), "{table}");
    support::say(&table);
}

#[test]
fn simple() {
    check("simple");
}

#[test]
fn maps() {
    check("tasks");
}

#[test]
fn masks() {
    check("masks");
}

#[test]
fn loops() {
    check("moves");
}

#[test]
fn locks() {
    check("queues");
}

/// Instructions that the verifier walked, object by object.
fn walked(objects: &[PathBuf]) -> Vec<u64> {
    let paths: Vec<&str> = objects.iter().map(|p| p.to_str().expect("UTF-8")).collect();
    let ran = scxr(&[&["verify"], &paths[..], &["--kernel", "7.2", "--json", "-q"]].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    value["verdicts"].as_array().expect("verdicts").iter().map(|v| v["insns"].as_u64().expect("a number")).collect()
}

#[test]
#[ignore = "boots a kernel"]
fn the_verifier_walks_no_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let put = |name: String, bytes: Vec<u8>| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let mut objects = Vec::new();
    for (name, source) in POLICIES {
        let Some(c) = c(name) else { return };
        objects.extend([put(format!("{name}.rust.o"), rust(name, source)), put(format!("{name}.c.o"), c)]);
    }
    let mut table = String::new();
    let mut worst = 0;
    for ((name, _), insns) in POLICIES.iter().zip(walked(&objects).chunks(2)) {
        let [ours, theirs] = insns else { panic!("two objects each") };
        table += &format!("{name}: {ours} in Rust, {theirs} in C\n");
        worst = worst.max(1000 * ours / theirs);
    }
    support::say(&table);
    assert!(worst <= 1000 + 10 * MORE_MAX, "{table}");
}
