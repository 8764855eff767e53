//! Loader files: what the user-space half of a foreign scheduler does to its object, as a small TOML.
//!
//! A file `X.loader.toml` beside `X.bpf.o` is read by itself; `--loader` names another one, or `none`. The files for the
//! kernel's own tools and for scx's schedulers are in this program.

mod expr;
mod plan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Value;

use crate::failure::{Failure, Result};

pub(crate) use plan::{Plan, Surroundings};

/// Files that come with scxr: the name of the object without `.bpf.o`, and the text.
const READY: &[(&str, &str)] = &[
    ("scx_beerland", include_str!("../loaders/scx_beerland.toml")),
    ("scx_bpfland", include_str!("../loaders/scx_bpfland.toml")),
    ("scx_cake", include_str!("../loaders/scx_cake.toml")),
    ("scx_central", include_str!("../loaders/scx_central.toml")),
    ("scx_chaos", include_str!("../loaders/scx_chaos.toml")),
    ("scx_cosmos", include_str!("../loaders/scx_cosmos.toml")),
    ("scx_flash", include_str!("../loaders/scx_flash.toml")),
    ("scx_flatcg", include_str!("../loaders/scx_flatcg.toml")),
    ("scx_forge", include_str!("../loaders/scx_forge.toml")),
    ("scx_lavd", include_str!("../loaders/scx_lavd.toml")),
    ("scx_p2dq", include_str!("../loaders/scx_p2dq.toml")),
    ("scx_pair", include_str!("../loaders/scx_pair.toml")),
    ("scx_qmap", include_str!("../loaders/scx_qmap.toml")),
    ("scx_rusty", include_str!("../loaders/scx_rusty.toml")),
    ("scx_tickless", include_str!("../loaders/scx_tickless.toml")),
];

/// What `--loader` takes for "as the object is".
const NONE: &str = "none";

/// A loader file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoaderFile {
    /// Where it is from, for messages.
    #[serde(skip)]
    pub(crate) from: String,
    /// Its text, for messages.
    #[serde(skip)]
    text: String,
    /// What it is for.
    #[serde(default)]
    about: String,
    /// Arrays of maps that get a map in each slot.
    #[serde(default)]
    fill: Vec<String>,
    /// Entries of maps, elements of arrays.
    #[serde(default)]
    entries: IndexMap<String, Value>,
    /// Global variables.
    #[serde(default)]
    globals: IndexMap<String, Value>,
    /// Members of the operations table.
    #[serde(default)]
    members: IndexMap<String, Value>,
    /// Programs that are loaded, or not.
    #[serde(default)]
    programs: IndexMap<String, bool>,
    /// Elements that maps begin with.
    #[serde(default)]
    element: Vec<Element>,
    /// `syscall` programs to run.
    #[serde(default)]
    call: Vec<CallText>,
}

/// An element of a map, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    map: String,
    key: Option<Value>,
    value: Value,
    /// How often, `i` being which.
    #[serde(rename = "for")]
    times: Option<Value>,
}

/// A call of a program, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallText {
    program: String,
    at: Option<String>,
    /// Where it runs.
    cpu: Option<Value>,
    /// Members of its input.
    #[serde(default)]
    input: IndexMap<String, Value>,
    /// How often, `i` being which.
    #[serde(rename = "for")]
    times: Option<Value>,
    /// What is written where a member of the input points to afterwards.
    store: Option<Store>,
    /// What is called after it.
    then: Option<Box<CallText>>,
    /// Members of its input that it finds in the input of the call before, as that left it.
    #[serde(default)]
    take: Vec<String>,
}

/// 64-bit numbers in an arena, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    /// The member of the input that points there.
    at: String,
    /// How many, `j` being which.
    words: Value,
    value: Value,
}

impl LoaderFile {
    fn parse(from: String, text: &str) -> Result<Arc<LoaderFile>> {
        let file: LoaderFile =
            toml::from_str(text).map_err(|e| Failure::input(format_args!("{from}: {}", e.to_string().trim_end())))?;
        Ok(Arc::new(LoaderFile { from, text: text.to_owned(), ..file }))
    }

    /// The line, from 1, with the expression that a message about `what` (`globals.NAME`) quotes.
    fn line_of(&self, what: &str, message: &str) -> Option<usize> {
        let expression = message.split('`').nth(1)?;
        let name = what.rsplit(['.', ' ']).next().unwrap_or(what);
        let with = |part: &str| self.text.lines().position(|l| l.contains(expression) && l.contains(part));
        with(name).or_else(|| with("")).map(|at| at + 1)
    }

    /// A line that says that it is used.
    pub(crate) fn notice(&self) -> String {
        let about = if self.about.is_empty() { String::new() } else { format!(" ({})", self.about) };
        format!("loaded as {} says{about}; `--loader none` leaves that out", self.from)
    }
}

fn ready(name: &str) -> Option<&'static str> {
    READY.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// The loader file of the object at `path`: the one that `--loader` names, the one beside it, or one that comes with scxr for
/// objects of that name.
pub(crate) fn of_object(path: &Path, asked: Option<&Path>) -> Result<Option<Arc<LoaderFile>>> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    if let Some(asked) = asked {
        let name = asked.to_string_lossy();
        return match (ready(&name), name == NONE) {
            (_, true) => Ok(None),
            (Some(text), _) => LoaderFile::parse(own_name(&name), text).map(Some),
            (None, _) => read(asked).map(Some),
        };
    }
    let beside: PathBuf = path.with_file_name(format!("{stem}.loader.toml"));
    if beside.is_file() {
        return read(&beside).map(Some);
    }
    ready(stem).map(|text| LoaderFile::parse(own_name(stem), text)).transpose()
}

fn own_name(name: &str) -> String {
    format!("the loader file of {name} that comes with scxr")
}

fn read(path: &Path) -> Result<Arc<LoaderFile>> {
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let names = READY.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
            Failure::input(format_args!(
                "--loader {}: there is no such file; there come with scxr: {names}",
                path.display()
            ))
        }
        _ => Failure::file(path, &e),
    })?;
    LoaderFile::parse(path.display().to_string(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_come_with_scxr_are_read() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/loaders")).unwrap();
        assert_eq!(folder.count(), READY.len(), "files that are not in the list");
        for (name, text) in READY {
            let file = LoaderFile::parse((*name).into(), text).unwrap();
            assert!(!file.about.is_empty(), "{name}");
        }
    }

    #[test]
    fn expressions_are_found_again() {
        let file = LoaderFile::parse(
            "f".into(),
            "[globals]\na = 'i / x'\nb = 'i / x'\n[[element]]\nmap = 'm'\nvalue = '7 % i'",
        );
        let file = file.unwrap();
        for (what, message, expect) in [
            ("globals.a", "`i / x` divides by 0", Some(2)),
            ("globals.b", "`i / x` divides by 0", Some(3)),
            ("m", "value: `7 % i` divides by 0", Some(6)),
            ("globals.b", "no array", None),
        ] {
            assert_eq!(file.line_of(what, message), expect, "{what} {message}");
        }
    }

    #[test]
    fn slips_are_told() {
        for (text, expect) in [
            ("[global]\nx = 1", "unknown field `global`"),
            ("[[element]]\nmap = 'a'", "missing field `value`"),
            ("[programs]\nx = 1", "invalid type"),
        ] {
            let e = LoaderFile::parse("f.toml".into(), text).unwrap_err().to_string();
            assert!(e.starts_with("f.toml: ") && e.contains(expect), "{e}");
        }
    }
}
