//! Saying that a test cannot run here.

use std::io::Write as _;

/// Says so on standard error. Not by a macro: the test harness keeps what those print of a test that passes.
pub(crate) fn skipped(why: &str) {
    let line = format!("SKIPPED: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
}
