//! Running the command.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a run of the command gave.
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Top folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `scxr` in the top folder.
pub(crate) fn scxr<S: AsRef<str>>(args: &[S]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scxr"));
    command.args(args.iter().map(AsRef::as_ref)).current_dir(root());
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: status.code().expect("no signal ended it"), stdout: text(stdout), stderr: text(stderr) }
}

/// Says something, of a test that passes, too.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("{}\n", text.trim_end()).as_bytes()).expect("standard error takes a line");
}
