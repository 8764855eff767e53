//! Reports: JSON for programs, tables for people.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod units;

use std::io::{self, Write};

use crate::failure::{Failure, Result};

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::output(&e))
}

/// Writes a note to standard error.
pub(crate) fn note(text: &str) {
    // Nothing is left to be done if nobody can be told.
    let _ = writeln!(io::stderr(), "scxr: {text}");
}

/// A value as JSON text for standard output.
pub(crate) fn json_text(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("the report's keys are strings");
    text.push('\n');
    text
}
