//! What the documents say about the repository is so: links lead somewhere, names are those of the sources.

#[path = "support/files.rs"]
mod files;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{root, scxr};

/// Files of the repository with this ending.
fn with_ending(ending: &str) -> Vec<PathBuf> {
    files::below(&root()).into_iter().filter(|p| p.extension().is_some_and(|e| e == ending)).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Targets of a document's links, `](TARGET)`, without those that lead out of the repository and without `#…`.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|t| !t.contains("://")).filter_map(|t| t.split('#').next());
    files.filter(|t| !t.is_empty()).collect()
}

#[test]
fn links_lead_somewhere() {
    let documents = with_ending("md");
    assert!(documents.len() > 10, "{documents:?}");
    let mut dead = Vec::new();
    for document in &documents {
        let (text, dir) = (read(document), document.parent().expect("a folder"));
        let gone = links(&text).into_iter().filter(|link| !dir.join(link).exists());
        dead.extend(gone.map(|link| format!("{}: {link}", document.display())));
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

/// What the sources define.
#[derive(Default)]
struct Sources {
    /// Files below the repository.
    files: Vec<String>,
    /// Functions, types, modules, constants, macros; folders and files of sources without their ending.
    items: BTreeSet<String>,
    /// Functions that are tests.
    tests: BTreeSet<String>,
}

impl Sources {
    fn read() -> Sources {
        let mut sources = Sources::default();
        let root = root();
        for path in with_ending("rs") {
            let name = path.strip_prefix(&root).expect("below it").to_string_lossy().into_owned();
            sources.items.extend(name.trim_end_matches(".rs").split('/').map(str::to_owned));
            sources.files.push(name);
            sources.take(&read(&path));
        }
        sources
    }

    fn take(&mut self, text: &str) {
        const WORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "const", "type", "macro_rules!"];
        let mut test = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                test = true;
            }
            if line.starts_with('#') || line.starts_with('/') {
                continue;
            }
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!'));
            let Some(_) = words.find(|w| WORDS.contains(w)) else { continue };
            let name = words.next().unwrap_or_default().to_owned();
            if std::mem::take(&mut test) {
                self.tests.insert(name.clone());
            }
            self.items.insert(name);
        }
    }

    fn has_file(&self, ending: &str) -> bool {
        self.files.iter().any(|f| f.ends_with(&format!("/{ending}")))
    }

    /// Is this `name`, `a::name`, `a::{name, name}`, `file.rs` or `folder/*`?
    fn has_code(&self, name: &str) -> bool {
        if let Some(folder) = name.strip_suffix('*') {
            return self.files.iter().any(|f| f.contains(&format!("/{folder}")));
        }
        if name.ends_with(".rs") {
            return self.has_file(name);
        }
        let words = name.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty());
        words.into_iter().all(|w| self.items.contains(w))
    }

    /// Is this the name of a test, of a file of tests, or `CRATE tests`?
    fn has_test(&self, name: &str) -> bool {
        let file = |name: &str| self.has_file(&format!("tests/{name}")) || self.has_file(&format!("tests/ext/{name}"));
        match name.strip_suffix(" tests") {
            Some(package) => self.files.iter().any(|f| f.starts_with(&format!("crates/{package}/tests/"))),
            None if name.ends_with(".rs") => file(name),
            None => self.tests.contains(name) || file(&format!("{name}.rs")),
        }
    }
}

/// A cell without what is in parentheses.
fn without_asides(cell: &str) -> String {
    let mut depth = 0;
    let keep = cell.chars().filter(|c| {
        depth += i32::from(*c == '(');
        let keep = depth == 0;
        depth -= i32::from(*c == ')');
        keep
    });
    keep.collect()
}

#[test]
fn semantics_names_what_there_is() {
    let (sources, text) = (Sources::read(), read(&root().join("docs/semantics.md")));
    let mut wrong = Vec::new();
    let mut nr_names = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [rule, function, test, status] = cells[..] else { continue };
        if function == "function" || rule.starts_with("---") {
            continue;
        }
        let functions: Vec<&str> = function.split('`').skip(1).step_by(2).collect();
        let tests = without_asides(test);
        let tests: Vec<&str> = tests.split([',', ';']).map(str::trim).filter(|t| !["", "–"].contains(t)).collect();
        nr_names += functions.len() + tests.len();
        let followed = !["later", "out"].iter().any(|s| status.starts_with(s));
        if followed && tests.is_empty() {
            wrong.push(format!("{rule}: no test"));
        }
        wrong.extend(functions.into_iter().filter(|n| !sources.has_code(n)).map(|n| format!("{rule}: function {n}")));
        wrong.extend(tests.into_iter().filter(|n| !sources.has_test(n)).map(|n| format!("{rule}: test {n}")));
    }
    assert!(nr_names > 150, "{nr_names} names were found in the tables");
    assert!(
        wrong.is_empty(),
        "docs/semantics.md names what there is not, or has rules without tests:\n{}",
        wrong.join("\n")
    );
}

/// Keys and types that a section of docs/json.md lists.
fn listed(section: &str) -> BTreeMap<String, String> {
    let text = read(&root().join("docs/json.md"));
    let at = text.find(&format!("\n## `{section}`")).unwrap_or_else(|| panic!("docs/json.md has a part on {section}"));
    let part = text[at + 4..].split("\n## ").next().unwrap_or_default();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(key, rest)| (key.to_owned(), rest.split(" |").next().unwrap_or_default().to_owned())).collect()
}

/// Objects whose keys are names of the scheduler's or the kernel's.
const OPEN: [&str; 3] = ["globals", "counters", "struct_ops[].ops"];

/// Compares an output with what is listed: keys that are missing there, types that are others.
fn compare(value: &Value, at: &str, listed: &BTreeMap<String, String>, wrong: &mut BTreeSet<String>) {
    if let (Some(list), Some(kind)) = (value.as_array(), listed.get(&format!("{at}[]"))) {
        let at = format!("{at}[]");
        let bad = list.iter().any(|v| !is(v, kind));
        wrong.extend(bad.then(|| format!("{at} is not always `{kind}`")));
        return list.iter().for_each(|v| compare(v, &at, listed, wrong));
    }
    match listed.get(at) {
        None if !at.is_empty() => drop(wrong.insert(format!("{at} is not listed"))),
        Some(kind) if !is(value, kind) => drop(wrong.insert(format!("{at} is not `{kind}`: {value}"))),
        _ => {}
    }
    if let (Some(map), false) = (value.as_object(), OPEN.contains(&at)) {
        let path = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        map.iter().for_each(|(key, v)| compare(v, &path(key), listed, wrong));
    }
}

/// Is the value of this type, as the page words it?
fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_u64() || value.is_i64(),
        "real" | "fraction" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "list of strings" => value.as_array().is_some_and(|l| l.iter().all(Value::is_string)),
        "list of numbers" => value.as_array().is_some_and(|l| l.iter().all(Value::is_u64)),
        other => {
            let either = other.strip_suffix(" or null").unwrap_or_else(|| panic!("{other} is no type of this page"));
            value.is_null() || is(value, either)
        }
    }
}

#[test]
fn json_is_as_documented() {
    let run = ["run", "simple", "--workload", "schbench", "--duration", "20ms", "--json", "-q"];
    let ejected = ["run", "scenarios/policies/gives_up.rs", "--duration", "20ms", "--globals", "--json", "-q"];
    let compare_args = ["compare", "eevdf", "simple", "--duration", "10ms", "--seeds", "2", "--json", "-q"];
    for (section, code, args) in [
        ("scxr run --json", 0, &run[..]),
        ("scxr run --json", 1, &ejected[..]),
        ("scxr compare --json", 0, &compare_args[..]),
        ("scxr inspect --json", 0, &["inspect", "simple", "--json"][..]),
    ] {
        let ran = scxr(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
        let value: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        let (listed, mut wrong) = (listed(section), BTreeSet::new());
        assert!(value["schema"].is_string() && listed.len() > 20, "{section}: {} keys", listed.len());
        compare(&value, "", &listed, &mut wrong);
        assert!(wrong.is_empty(), "docs/json.md, {section}: {wrong:#?}");
    }
}
