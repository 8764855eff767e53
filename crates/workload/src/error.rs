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

/// `; did you mean 'X'?` for the candidate that is closest to `word`, if one is close.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map(|c| format!(" (did you mean '{c}'?)")).unwrap_or_default()
}

/// The candidate closest to `word`, if its distance is at most a third of its length.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = |c: &str| (c.len().max(word.len()) / 3).max(1);
    candidates
        .into_iter()
        .map(|c| (distance(word, c), c))
        .filter(|&(d, c)| d <= limit(c))
        .min_by_key(|&(d, _)| d)
        .map(|(_, c)| c)
}

/// Number of insertions, deletions and replacements between two words (Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        let words = ["spin", "pipe", "hackbench", "schbench", "mixed"];
        for (word, guess) in [
            ("hackbnech", Some("hackbench")),
            ("pip", Some("pipe")),
            ("schedbench", Some("schbench")),
            ("mixd", Some("mixed")),
            ("compile", None),
        ] {
            assert_eq!(closest(word, words), guess, "{word}");
        }
    }
}
