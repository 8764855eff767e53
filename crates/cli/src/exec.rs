//! Programs of this host on a real kernel. `--exec`: a command line as the workload. It is split into words as a shell does it, but no shell runs it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// What only a shell understands.
const OPERATORS: [&str; 10] = ["|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"];

/// A command line whose program is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// As it was given.
    pub(crate) text: String,
    /// The program's file.
    pub(crate) program: PathBuf,
    /// Its words; the first is the program's name.
    pub(crate) words: Vec<OsString>,
    /// The folder that it is run in: ours.
    pub(crate) cwd: PathBuf,
}

impl CommandLine {
    /// Reads what `--exec` was given.
    pub(crate) fn parse(text: &OsStr) -> Result<CommandLine> {
        let shown = text.to_string_lossy().into_owned();
        let fail = |why: String| Failure::input(format_args!("--exec '{shown}': {why}"));
        let words = split(text.as_bytes()).map_err(fail)?;
        let Some(name) = words.first() else { return Err(fail("no program is named".into())) };
        if let Some(operator) = words.iter().find(|w| OPERATORS.iter().any(|o| w.as_os_str() == *o)) {
            let operator = operator.to_string_lossy();
            return Err(fail(format!("no shell reads it, so '{operator}' means nothing; write --exec \"sh -c '…'\"")));
        }
        let cwd = std::env::current_dir().map_err(|e| fail(format!("the current folder: {e}")))?;
        let program = find_program(name, &cwd).map_err(fail)?;
        Ok(CommandLine { text: shown, program, words, cwd })
    }

    /// A scheduler's own program with its options.
    pub(crate) fn of_program(path: &Path, args: &[String]) -> Result<CommandLine> {
        let fail = |why: String| Failure::input(why);
        let cwd = std::env::current_dir().map_err(|e| fail(format!("the current folder: {e}")))?;
        let program = cwd.join(path);
        if !is_program(&program) {
            return Err(fail(format!("{}: is no program (chmod +x)", path.display())));
        }
        let words: Vec<OsString> =
            [path.as_os_str().to_owned()].into_iter().chain(args.iter().map(OsString::from)).collect();
        let text = words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Ok(CommandLine { text, program, words, cwd })
    }
}

/// Words of a command line: separated by blanks, with '…', "…" and \ as in a POSIX shell.
fn split(text: &[u8]) -> Result<Vec<OsString>, String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b' ' | b'\t' | b'\n' => words.extend(word.take()),
            b'\'' | b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next() {
                        None => return Err(format!("a quote ({}) is not closed", char::from(b))),
                        Some(end) if end == b => break,
                        Some(b'\\') if b == b'"' => match bytes.next() {
                            Some(c @ (b'"' | b'\\' | b'$' | b'`')) => word.push(c),
                            Some(c) => word.extend([b'\\', c]),
                            None => return Err("a quote (\") is not closed".into()),
                        },
                        Some(c) => word.push(c),
                    }
                }
            }
            b'\\' => match bytes.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("there is nothing behind the last \\".into()),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

/// The file of a program: a path, or a name in `PATH`.
fn find_program(name: &OsStr, cwd: &Path) -> Result<PathBuf, String> {
    if !name.as_bytes().contains(&b'/') {
        let found = in_path(name);
        return found.ok_or_else(|| format!("there is no program '{}' in PATH", name.to_string_lossy()));
    }
    let path = cwd.join(name);
    match std::fs::metadata(&path) {
        Err(e) => Err(format!("{}: {e}", path.display())),
        Ok(_) if !is_program(&path) => Err(format!("{}: is no program (chmod +x)", path.display())),
        Ok(_) => Ok(path),
    }
}

/// A program in `PATH`.
pub(crate) fn in_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|d| d.is_absolute()).map(|d| d.join(name)).find(|p| is_program(p))
}

/// A file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expect) in [
            ("", Ok(vec![])),
            ("  a\tb  ", Ok(vec!["a", "b"])),
            ("sh -c 'a \"b\" \\c'", Ok(vec!["sh", "-c", "a \"b\" \\c"])),
            (r#"x"a \"b\" \n"'c'"#, Ok(vec![r#"xa "b" \nc"#])),
            (r"a\ b ''", Ok(vec!["a b", ""])),
            ("a 'b", Err("a quote (') is not closed")),
            ("a \"b\\", Err("a quote (\") is not closed")),
            ("a \\", Err("there is nothing behind the last \\")),
        ] {
            let words = split(text.as_bytes());
            let expect = expect.map(|w| w.into_iter().map(OsString::from).collect()).map_err(str::to_owned);
            assert_eq!(words, expect, "{text}");
        }
        let bytes = split(b"a \xff").unwrap();
        assert_eq!(bytes[1].as_bytes(), b"\xff");
    }

    #[test]
    fn programs_are_found_before_anything_runs() {
        let line = CommandLine::parse(OsStr::new("sh -c 'exit 3'")).unwrap();
        assert!(line.program.is_absolute() && line.program.ends_with("sh") && line.words.len() == 3, "{line:?}");
        for (text, why) in [
            ("", "no program is named"),
            ("no-such-program-at-all x", "no program 'no-such-program-at-all' in PATH"),
            ("/etc/passwd", "is no program"),
            ("./nowhere/x", "nowhere/x"),
            ("sh -c x | cat", "no shell reads it, so '|' means nothing"),
        ] {
            let error = CommandLine::parse(OsStr::new(text)).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.code(), 2);
        }
    }
}
