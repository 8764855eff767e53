//! What can be wrong with a workload, and how a slip of the pen is guessed.

use thiserror::Error;

/// A workload that cannot be used. The message says where, what, and what to write instead.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WorkloadError {
    /// Neither a preset nor a file.
    #[error("there is no workload '{name}'{hint}; presets are {known}; a file of rt-app's JSON ends in .json")]
    Unknown {
        /// As given.
        name: String,
        /// A guess at what was meant.
        hint: String,
        /// All presets.
        known: String,
    },
    /// A parameter that the preset does not have, or that is not `key=value`.
    #[error("workload {preset}: '{key}' is no parameter of it{hint}; it has {known}")]
    Param {
        /// The preset.
        preset: String,
        /// What was found.
        key: String,
        /// A guess at what was meant.
        hint: String,
        /// Its parameters with defaults.
        known: String,
    },
    /// A value that a parameter cannot have.
    #[error("workload {preset}: {key}={value}: {why}")]
    Value {
        /// The preset.
        preset: String,
        /// The parameter.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it, and what it should be.
        why: String,
    },
    /// A file that cannot be read.
    #[error("workload file {file}: {why}")]
    Io {
        /// Path.
        file: String,
        /// The system's reason.
        why: String,
    },
    /// Something in a file that is not rt-app's format.
    #[error("{file}:{line}:{column}: {}{why}", .key.as_ref().map(|k| format!("\"{k}\": ")).unwrap_or_default())]
    Json {
        /// Path.
        file: String,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
        /// The key concerned.
        key: Option<String>,
        /// What is wrong.
        why: String,
    },
}
