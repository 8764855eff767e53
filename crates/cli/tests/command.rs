//! The command as its users meet it: exit codes, and what is said when something is wrong.

mod support;

use std::io::Read;
use std::process::{Command, Stdio};

use support::{root, scxr};

/// Runs the words of `args` and checks exit code and a part of standard error.
fn check(args: &str, code: i32, says: &str) {
    let words: Vec<&str> = args.split_whitespace().collect();
    let ran = scxr(&words);
    assert_eq!(ran.code, code, "scxr {args}\n{}", ran.stderr);
    assert!(ran.stderr.contains(says), "scxr {args}: expected '{says}', got\n{}", ran.stderr);
    assert_eq!(ran.stderr.contains("panicked"), code == 3, "scxr {args}\n{}", ran.stderr);
}

#[test]
fn mistakes_are_explained() {
    for (args, says) in [
        ("run simpel", "did you mean 'simple'?"),
        ("run nothing-like-it", "there are eevdf, simple, qmap, central, pair, flatcg, toy, userland, or give a file"),
        ("run no/such.bpf.o", "no/such.bpf.o: No such file or directory"),
        ("run crates", "there is no policy.rs or src/policy.rs in this folder"),
        ("run Cargo.toml", "is taken for an object if it ends in .o"),
        ("run", "required arguments"),
        ("rnu eevdf", "unrecognized subcommand"),
        ("run eevdf --duraton 1s", "similar argument"),
        ("run eevdf --machine 0", "has no CPU"),
        ("run eevdf --machine 70000x70000", "more than 1024 CPUs"),
        ("run eevdf --machine eight", "is not a number"),
        ("run eevdf --kernel 6.1", "kernel 6.1 is not modelled; known are 6.12"),
        ("run eevdf --workload hackbnech", "did you mean 'hackbench'?"),
        ("run eevdf --workload hackbench:group=1", "did you mean 'groups'?"),
        ("run eevdf --workload no-such.json", "no-such.json"),
        ("run eevdf --duration 5", "has no unit"),
        ("run eevdf --duration 0", "longer than 0"),
        ("run eevdf --seed x", "invalid value 'x'"),
        ("run eevdf --hz 5", "100 to 1000"),
        ("run eevdf --nohz-full 9", "CPUs 0 to 7 only"),
        ("run eevdf --on vm --machine 128", "takes up to 64 CPUs"),
        ("run eevdf --on vm --kernel nonsense", "names no kernel"),
        ("run eevdf --on vm --kernel /bin/true", "/bin/true"),
        ("run eevdf --on vm --hz 100", "only a simulated kernel"),
        ("run eevdf --on host --machine 4", "this machine and its kernel"),
        ("run eevdf --free-running", "goes with --on vm"),
        ("verify eevdf", "has no object"),
        ("kernels fetch seven", "names no kernel"),
        ("kernels --kernel /nowhere/vmlinuz", "/nowhere/vmlinuz"),
        ("run eevdf --set x=1", "eevdf has no variables"),
        ("run eevdf --duration 10ms --trace no/such/folder/t", "No such file or directory"),
        ("run eevdf --scenario no-such.toml", "no-such.toml: No such file or directory"),
        ("run eevdf -- -f", "have options of their own"),
        ("run simple -- -x", "unexpected argument '-x' found"),
        ("run simple --set fifo_schd=1", "did you mean fifo_sched (Tunable<bool>: "),
        ("run simple --set fifo_sched", "write VAR=VALUE"),
        ("run simple --resize stat=4", "no map named stat"),
        ("run simple --resize stats=none", "from 1 to"),
        ("run simple --native --set nothing=1", "nothing"),
        ("run scenarios/policies/null_store.bpf.c --native", "is for BPF alone"),
        ("run eevdf --native", "--native: eevdf is Linux's fair class"),
        ("run eevdf --globals", "so the option has no effect"),
        ("run eevdf --interleave kfunc", "--interleave: eevdf"),
        ("compare eevdf eevdf --native", "--native: eevdf"),
        ("run simple -I include", "simple is none, so the option has no effect"),
        ("compare eevdf simple -I include", "eevdf, simple is none"),
        ("inspect simple -I include", "headers are for schedulers in C"),
        ("run simple --native --interleave insn", "native code has no BPF instructions"),
        ("run simple --set fifo_sched=2", "(Tunable<bool>: First in, first out instead of by virtual time.)"),
        ("run simple --set fifo=1", "fifo_sched (Tunable<bool>: First in,"),
        ("run simple --native --set fifo=1", "there are\n  fifo_sched (Tunable<bool>: First in,"),
        ("run simple --native --set fifo_sched=yes", "not a number: fifo_sched (Tunable<bool>: First in,"),
        ("inspect eevdf", "has no object"),
        ("inspect simple --kernel 1.0", "not modelled"),
        ("build no/such.rs", "no/such.rs: No such file or directory"),
        ("build crates", "there is no policy.rs or src/policy.rs in this folder"),
        ("run crates", "there is no policy.rs or src/policy.rs in this folder"),
        ("build Cargo.toml", "policies are Rust files"),
        ("build schedulers/simple --emit exe", "invalid value 'exe'"),
        ("compare eevdf", "2 values required"),
        ("compare eevdf simpel", "did you mean 'simple'?"),
    ] {
        check(args, 2, says);
    }
}

#[test]
fn injections_are_checked() {
    for (inject, says) in [
        ("5ms unplug 3 off", "unknown event 'unplug'; there are: affinity TASK CPUS"),
        ("5ms hotplug 0 off", "CPU 0 cannot go offline"),
        ("5ms nice nobody 1", "no task has the name 'nobody'"),
        ("5ms nice hog-5-9 1", "did you mean 'hog-5-"),
    ] {
        let ran = scxr(&["run", "eevdf", "--duration", "10ms", "--inject", inject]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{inject}: {}", ran.stderr);
    }
    let args =
        ["run", "eevdf", "--duration", "10ms", "--json", "--inject", "5ms nice hog-5-0 1", "--inject", "1ms rt 1 1ms"];
    let ran = scxr(&args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stdout.contains(r#""comm": "inject""#), "who changes a task is no task of the workload");
    assert!(ran.stdout.contains(r#""comm": "rt""#));
    let late = scxr(&["run", "eevdf", "--duration", "10ms", "--inject", "20ms sysrq-s"]);
    assert_eq!(late.code, 0);
    assert!(late.stderr.contains("after the end of the run"), "{}", late.stderr);
}

#[test]
fn task_groups_are_told_to_have_no_effect_yet() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("groups.json");
    for (group, expect) in [("/", false), ("/batch", true)] {
        let task = format!(r#"{{"tasks":{{"t":{{"taskgroup":"{group}","loop":2,"run":100,"sleep":100}}}}}}"#);
        std::fs::write(&path, task).expect("a workload");
        let ran = scxr(&["run", "eevdf", "--duration", "10ms", "--workload", path.to_str().expect("a path")]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let told =
            ran.stderr.matches("task groups ('/batch') have no effect on shares under the fair class yet").count();
        assert_eq!(told, usize::from(expect), "{group}: {}", ran.stderr);
    }
}

#[test]
fn bad_objects_are_the_users_affair() {
    let dir = tempfile::tempdir().expect("a folder");
    let object = scxr_simple::OBJECT;
    let mut elf_class = object.to_vec();
    elf_class[4] = 1;
    let mut machine = object.to_vec();
    machine[18] = 0x3e;
    for (name, bytes, says) in [
        ("empty.bpf.o", &b""[..], "empty.bpf.o: "),
        ("text.bpf.o", b"this is no object, whatever it is called", "not an ELF file"),
        ("half.bpf.o", &object[..object.len() / 2], "half.bpf.o: "),
        ("class.bpf.o", &elf_class, "class.bpf.o: "),
        ("machine.bpf.o", &machine, "not a little-endian BPF object"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        for command in ["run", "inspect"] {
            let ran = scxr(&[command, path.to_str().expect("a UTF-8 path")]);
            assert_eq!(ran.code, 2, "{command} {name}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{command} {name}: {}", ran.stderr);
            assert_eq!(ran.stderr.lines().count(), 1, "{command} {name}: {}", ran.stderr);
        }
    }
}

#[test]
fn bad_sources_are_explained() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text, says) in [
        ("broken.rs", "fn (", "broken.rs does not compile"),
        ("empty.rs", "", "empty"),
        ("no.json", "{\"tasks\": [}", "no.json:1:"),
        ("scenario.toml", "scheduler = 'eevdf'\nmachin = '8'", "unknown field `machin`"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let path = path.to_str().expect("a UTF-8 path");
        let args = match name.rsplit_once('.') {
            Some((_, "json")) => vec!["run", "eevdf", "--workload", path],
            Some((_, "toml")) => vec!["run", "--scenario", path],
            _ => vec!["run", path],
        };
        let ran = scxr(&args);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{name}: {}", ran.stderr);
    }
}

#[test]
fn policies_are_built_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |file: &str| dir.path().join(file).to_str().expect("a UTF-8 path").to_owned();
    let object = path("s.bpf.o");
    for (emit, file, says) in [
        ("obj", "s.bpf.o", "built"),
        ("obj", "s.bpf.o", "up to date"),
        ("ll", "s.ll", "built"),
        ("asm", "s.s", "built"),
    ] {
        let ran = scxr(&["build", "schedulers/simple", "--emit", emit, "-o", &path(file)]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    assert!(std::fs::read(&object).expect("an object") == scxr_simple::OBJECT, "it is not the bundled one");
    let ran = scxr(&["build", "schedulers/simple/policy.rs", "-o", &object, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((json["schema"].as_str(), json["scheduler"].as_str()), (Some("scxr-build/1"), Some("simple")));
    assert_eq!(json["bytes"], scxr_simple::OBJECT.len());
    let ran = scxr(&["run", &object, "--duration", "10ms", "-q"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn rust_without_a_toolchain_says_how_to_get_one() {
    let dir = tempfile::tempdir().expect("a folder");
    for (rustc, says) in [(Some("/nowhere/rustc"), "/nowhere/rustc"), (None, "rustup toolchain install stable")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
        command.args(["build", "schedulers/simple", "-o"]).arg(dir.path().join("x.bpf.o")).current_dir(root());
        command.env_remove("RUSTC").env("PATH", dir.path()).env("RUSTUP_HOME", dir.path());
        if let Some(rustc) = rustc {
            command.env("RUSTC", rustc);
        } else if std::path::Path::new("/usr/bin/rustc").exists() {
            continue;
        } else {
            let fake = dir.path().join("toolchains/stable-x/bin");
            std::fs::create_dir_all(&fake).expect("a folder");
            std::fs::write(fake.join("rustc"), "no program").expect("a file");
        }
        let output = command.output().expect("the command starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn c_without_clang_says_how_to_get_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = dir.path().join("x.bpf.c");
    std::fs::write(&source, "int x;").expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    let output = command.arg("run").arg(&source).env("PATH", dir.path()).output().expect("the command starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("apt-get install clang"), "{stderr}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    command.args(["run", "eevdf", "--duration", "300ms", "--trace", "-", "-q"]).current_dir(root());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut first = [0; 16];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("some output");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(&first, b"# scxr-trace 1\n0");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn help_and_lists_go_to_standard_output() {
    for (args, says) in [
        (&["--help"][..], "Exit codes"),
        (&["run", "--help"], "--workload <PRESET|FILE>"),
        (&["version"], "models Linux 6.12 to 7.2"),
        (&["--version"], "scxr 0."),
        (&["list"], "hackbench"),
        (&["list"], "--fifo"),
        (&["inspect", "simple"], "loads on 6.12"),
        (
            &["inspect", "simple"],
            "fifo_sched                          _Bool  .rodata, set before load, 0 if not set\n      Tunable<bool>: First in,",
        ),
        (
            &["inspect", "crates/policy/policies/tasks.rs"],
            "      TaskStorage<TaskCtx>: By task.\n        .ready_at Ns: ",
        ),
    ] {
        let ran = scxr(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
        assert!(ran.stdout.contains(says), "{args:?}: {}", ran.stdout);
    }
}

#[test]
fn one_policy_in_four_forms_gives_one_trace() {
    let dir = tempfile::tempdir().expect("a folder");
    let object = dir.path().join("simple.bpf.o");
    std::fs::write(&object, scxr_simple::OBJECT).expect("a file");
    let object = object.to_str().expect("a UTF-8 path");
    let trace = |sched: &[&str]| {
        let mut args = vec!["run"];
        args.extend(sched);
        args.extend(["--machine", "2x2x2", "--workload", "mixed", "--duration", "200ms", "--trace", "-", "-q"]);
        let ran = scxr(&args);
        assert_eq!(ran.code, 0, "{sched:?}: {}", ran.stderr);
        ran.stdout
    };
    let bundled = trace(&["simple"]);
    assert!(bundled.lines().count() > 1000, "{} lines", bundled.lines().count());
    for form in [&[object][..], &["schedulers/simple/policy.rs"], &["simple", "--native"]] {
        let other = trace(form);
        let differs = bundled.lines().zip(other.lines()).position(|(a, b)| a != b);
        assert!(bundled == other, "{form:?} differs from line {differs:?} on");
    }
}

/// An exit counts from when it is claimed, not from when the kernel's helper thread has carried it out.
#[test]
fn an_exit_at_the_very_end_is_reported() {
    let ran = scxr(&["run", "simple", "--duration", "10ms", "--json", "--inject", "9999990ns sysrq-s"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(r#""kind": "sysrq""#), "{}", ran.stdout);
    assert!(ran.stderr.contains("not carried out yet when the run ended"), "{}", ran.stderr);
}

/// Waits until a process would not be ended by SIGINT.
fn catches_interrupts(pid: u32) {
    let caught = |text: String| {
        let mask = text.lines().find_map(|l| l.strip_prefix("SigCgt:"))?.trim().to_owned();
        Some(u64::from_str_radix(&mask, 16).ok()? & 1 << (2 - 1) != 0)
    };
    while std::fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(caught) != Some(true) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn an_interrupted_run_reports_what_was_done() {
    let args = ["run", "simple", "--machine", "2", "--duration", "100000s", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    catches_interrupts(child.id());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let out = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped before its time"), "{said}");
    let value: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let length = value["duration_ns"].as_u64().expect("a length");
    assert!(length < 100_000_000_000_000, "{length}");
    for cpu in value["cpus"].as_array().expect("CPUs") {
        assert_eq!(cpu["busy_ns"].as_u64().zip(cpu["idle_ns"].as_u64()).map(|(a, b)| a + b), Some(length), "{cpu}");
    }
}

/// Compiled, interpreted, or one after the other: the same trace and the same report but for the wall clock's figures.
#[test]
fn how_programs_are_executed_does_not_show() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = |bpf: &str| {
        let trace = dir.path().join(bpf);
        let to = trace.to_str().expect("UTF-8");
        let args =
            ["run", "simple", "--duration", "300ms", "--json", "--globals", "--interleave", "kfunc", "--trace", to];
        let ran = scxr(&[&args[..], &["--bpf", bpf]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let keys = report.as_object_mut().expect("an object");
        for key in ["wall_ns", "events_per_sec"] {
            keys.remove(key).expect(key);
        }
        (report, std::fs::read(&trace).expect("a trace"))
    };
    let interpreted = run("interp");
    for bpf in ["jit", "auto"] {
        let other = run(bpf);
        assert_eq!(interpreted.0, other.0, "{bpf}");
        assert!(interpreted.1 == other.1, "{bpf}: another trace");
    }
}

/// What `build` is asked for that cannot be: a message, and nothing is written.
#[test]
fn outputs_names_and_instruction_sets_are_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let source = "use scxr_policy::prelude::*;\nscheduler! { pub struct P { name: \"p\" } impl Ops for P {} }\n";
    std::fs::write(path("p.rs"), source).expect("a file");
    for (args, says) in [
        (vec!["-o".to_owned(), path("p.rs")], "is the name of a Rust source"),
        (vec!["-o".into(), path("")], "is a folder"),
        (vec!["--name".into(), "a-b".into(), "-o".into(), path("x.o")], "--name a-b: a name has letters"),
        (vec!["--name".into(), "a".repeat(64), "-o".into(), path("x.o")], "63 characters"),
    ] {
        let mut command = vec!["build".to_owned(), path("p.rs")];
        command.extend(args);
        let ran = scxr(&command);
        assert_eq!(ran.code, 2, "{command:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{command:?}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(path("p.rs")).expect("the source"), source);
    assert!(!dir.path().join("x.o").exists());
    let ran = scxr(&["build", "schedulers/simple", "--cpu", "v1", "-o", &path("x.o")]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("an atomic operation that instruction sets before v3 lack"), "{}", ran.stderr);
}
