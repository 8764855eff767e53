//! Compilers whose LLVM is linked in statically: another LLVM reads what they write, or it is said which would.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Ran, root};

/// A compiler that is the installed one but has no libLLVM beside it, and says what `version` (a line of `rustc -vV`) says if given.
struct StandIn {
    folder: tempfile::TempDir,
}

impl StandIn {
    fn new(version: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let asked = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc starts");
        let real = PathBuf::from(String::from_utf8(asked.stdout).expect("UTF-8").trim()).join("bin/rustc");
        let edit = version.map_or_else(|| "cat".to_owned(), |line| format!("sed 's/^LLVM version:.*/{line}/'"));
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n\"--print sysroot\") echo '{}' ;;\n-vV) '{1}' -vV | {edit} ;;\n*) exec '{1}' \"$@\" ;;\nesac\n",
            folder.path().display(),
            real.display()
        );
        // written by another process: a program that a process of many threads has just written may still be open in a child of its own
        let write = ["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""];
        let wrote = Command::new("sh").args(write).arg(folder.path().join("rustc")).arg(script).status();
        assert!(wrote.expect("a shell").success());
        Self { folder }
    }

    fn object(&self) -> PathBuf {
        self.folder.path().join("s.bpf.o")
    }

    /// `scxr build schedulers/simple --json` with it, and with that LLVM if one is named.
    fn build(&self, llvm: Option<&Path>) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
        command.args(["build", "schedulers/simple", "--json", "-o"]).arg(self.object()).current_dir(root());
        command.env("RUSTC", self.folder.path().join("rustc")).env_remove("SCXR_LLVM");
        llvm.map(|llvm| command.env("SCXR_LLVM", llvm));
        let output = command.output().expect("the command starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("no signal");
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[test]
fn another_llvm_takes_the_place_of_one_that_is_linked_in() {
    let stand_in = StandIn::new(None);
    let built = json(&stand_in.build(None));
    let toolchain = built["toolchain"].as_str().expect("text");
    assert!(toolchain.ends_with(", not the compiler's own)"), "{toolchain}");
    let ran = support::scxr(&["run", stand_in.object().to_str().expect("UTF-8"), "--duration", "50ms", "--json", "-q"]);
    assert_eq!(json(&ran)["exit"]["kind"], "none");

    // where that LLVM is the one of the compiler behind it, the object is the same
    let own = stand_in.folder.path().join("own.bpf.o");
    let ran = support::scxr(&["build", "schedulers/simple", "--json", "-o", own.to_str().expect("UTF-8")]);
    let file = |toolchain: &str| toolchain.split(['(', ')', ',']).nth(2).map(str::to_owned);
    if file(toolchain) == file(json(&ran)["toolchain"].as_str().expect("text")) {
        let bytes = |path: &Path| std::fs::read(path).expect("an object");
        assert!(bytes(&own) == bytes(&stand_in.object()), "the objects differ");
    }

    // the key knows which LLVM it was
    assert_eq!(json(&stand_in.build(None))["compiled"], false);
    let llvm = PathBuf::from(file(toolchain).expect("a file").trim());
    let copy = stand_in.folder.path().join("libLLVM.so");
    std::os::unix::fs::symlink(llvm.canonicalize().expect("a file"), &copy).expect("a link");
    let named = json(&stand_in.build(Some(&copy)));
    assert_eq!(named["compiled"], true);
    assert!(named["toolchain"].as_str().expect("text").contains(copy.to_str().expect("UTF-8")), "{named}");
    assert_eq!(json(&stand_in.build(Some(&copy)))["compiled"], false);
}

/// Refused with exit code 4, in words that say what to do.
#[track_caller]
fn check(stand_in: &StandIn, llvm: Option<&Path>, says: &[&str]) {
    let ran = stand_in.build(llvm);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    for words in says {
        assert!(ran.stderr.contains(words), "'{words}' is missing: {}", ran.stderr);
    }
    assert!(!stand_in.object().exists());
}

#[test]
fn the_help_names_the_variables() {
    let help = support::scxr(&["build", "--help"]).stdout;
    assert!(help.contains("RUSTC") && help.contains("SCXR_LLVM"), "{help}");
}

#[test]
fn where_no_llvm_is_new_enough_it_is_said() {
    let advice = ["rustup toolchain install stable", "export RUSTC="];
    let future = StandIn::new(Some("LLVM version: 99.1"));
    check(&future, None, &["no libLLVM beside", "version 99 or newer", "apt install libllvm99", "export SCXR_LLVM="]);
    check(&future, None, &advice);
    // one that is not LLVM's can be given none
    check(&StandIn::new(Some("")), None, &advice);
}

#[test]
fn a_library_that_is_named_is_the_one_that_is_used() {
    let stand_in = StandIn::new(None);
    check(&stand_in, Some(Path::new("/nowhere/libLLVM.so")), &["SCXR_LLVM=/nowhere/libLLVM.so", "needs LLVM"]);
    let object = stand_in.folder.path().join("libLLVM.so");
    std::fs::write(&object, "no library").expect("a file");
    check(&stand_in, Some(&object), &["libLLVM.so cannot be used"]);
    // a library, and no LLVM
    if let Some(libc) =
        ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"].map(Path::new).iter().find(|p| p.is_file())
    {
        check(&stand_in, Some(libc), &["it has no BPF back end"]);
    }
}
