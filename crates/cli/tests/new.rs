//! `scxr new`: the project builds, passes its tests and runs with cargo alone, and `scxr` takes its folder.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::scxr;

/// A project in a folder that stays the same, so that what its tests are built from is built once.
fn project(name: &str, options: &[&str]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("a folder of ours");
    }
    let args = [&["new", dir.to_str().expect("UTF-8")], options].concat();
    let ran = scxr(&args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("cargo test"), "{}", ran.stderr);
    dir
}

/// Runs cargo there. What the project needs is what this workspace needs, so it is here already.
fn cargo(dir: &Path, args: &[&str]) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new/target");
    let mut command = Command::new(env!("CARGO"));
    command.args(args).args(["--offline", "--quiet"]).current_dir(dir).env("CARGO_TARGET_DIR", target);
    let output = command.output().expect("cargo starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cargo {args:?} in {}:\n{out}\n{err}", dir.display());
    assert!(!err.contains("warning"), "{err}");
    out.into_owned()
}

#[test]
fn a_project_builds_tests_and_runs() {
    let dir = project("my-sched", &[]);
    let tests = cargo(&dir, &["test"]);
    assert!(tests.contains("4 passed"), "{tests}");
    let ran = cargo(&dir, &["run"]);
    assert!(ran.contains("exit       none") && ran.contains("stats"), "{ran}");
    let path = dir.to_str().expect("UTF-8");
    for extra in [&[][..], &["--native"]] {
        let ran = scxr(&[&["run", path, "--duration", "100ms", "--globals", "-q"], extra].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.starts_with("my_sched") && ran.stdout.contains("vtime_now"), "{}", ran.stdout);
    }
    let object = dir.join("o.bpf.o");
    let ran = scxr(&["build", path, "-o", object.to_str().expect("UTF-8")]);
    assert!(ran.code == 0 && object.is_file(), "{}", ran.stderr);
}

/// Decisions in user space: the half is compiled by cargo for the tests, and as a library for `scxr run`.
#[test]
fn a_project_with_a_user_space_half_builds_tests_and_runs() {
    let dir = project("my-half", &["--kind", "userspace"]);
    let tests = cargo(&dir, &["test"]);
    assert!(tests.contains("3 passed"), "{tests}");
    let path = dir.to_str().expect("UTF-8");
    let run = |extra: &[&str]| {
        let ran = scxr(&[&["run", path, "--duration", "100ms", "--stats", "0.05", "--json", "-q"], extra].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(report["exit"]["kind"], "none");
        assert!(report["half"]["error"].is_null(), "{}", report["half"]);
        report["stats"][0]["values"].clone()
    };
    let figures = run(&[]);
    assert!(figures["decided"].as_u64() > Some(0), "{figures}");
    run(&["--native", "--", "--slice", "1ms"]);
    let ran = scxr(&["run", path, "--", "--slize", "1ms"]);
    assert!(ran.code == 2 && ran.stderr.contains("unexpected argument '--slize'"), "{}", ran.stderr);
    // what the author does wrong is told as such
    let user = dir.join("src/user.rs");
    let text = std::fs::read_to_string(&user).expect("the half");
    std::fs::write(
        &user,
        text.replace("self.arrivals += 1;", "assert!(self.arrivals < 10, \"enough\");\nself.arrivals += 1;"),
    )
    .expect("a file");
    let ran = scxr(&["run", path, "--duration", "100ms", "-q"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("the user-space half panicked") && ran.stderr.contains("user.rs:"),
        "{}",
        ran.stderr
    );
}

/// Without a checkout the sources in the program do.
#[test]
fn a_project_can_stand_alone() {
    let dir = project("alone", &["--vendor"]);
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).expect("a manifest");
    assert!(manifest.contains("\"scxr/crates/policy\""), "{manifest}");
    let metadata = cargo(&dir, &["metadata", "--format-version", "1"]);
    let own = metadata.matches(&format!("\"manifest_path\":\"{}", dir.display())).count();
    assert_eq!(own, 12, "the project and the eleven crates that it needs");
    for file in ["crates/policy/src/lib.rs", "crates/abi/src/tables/task.h", "Cargo.toml"] {
        let text = |root: &Path| std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(text(&dir.join("scxr")), text(&support::root()), "{file}");
    }
}

#[track_caller]
fn check_refused(args: &[&str], why: &str) {
    let ran = scxr(&[&["new"], args].concat());
    assert_eq!(ran.code, 2, "{args:?}");
    assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
}

#[test]
fn bad_names_are_refused() {
    check_refused(&["Sched"], "must begin with a lower-case letter");
    check_refused(&["a.b"], "lower-case letters, digits");
    check_refused(&["match"], "a word of Rust's");
    check_refused(&["scxr-sim"], "a crate that the project uses");
    check_refused(&["docs"], "is there already");
    check_refused(&["user"], "is the name of a crate that the project uses");
}
