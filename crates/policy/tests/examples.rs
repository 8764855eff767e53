//! Every item that a policy can name is shown in an example: `policies/`, or a bundled scheduler. The examples are compiled, run and
//! compared with their native twins by `crates/cli/tests/policies.rs`, and asked of real verifiers there.

#![cfg(not(miri))] // they look at files

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Parts of the native back end that policies see; the rest of it is for hosts.
const NATIVE: &[&str] = &["arena", "cell", "maps", "objects", "outer", "rings", "slots", "state", "timer", "variables"];

/// Names that no policy writes: what macros implement, and how the native back end describes state.
const UNNAMED: &[&str] = &["Item", "ItemDef", "ItemKind", "Make", "StateItem", "def"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files = files.map(|f| f.expect("a file").path());
    files.filter(|f| f.extension().is_some_and(|e| e == "rs")).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty())
}

/// The name that a line makes public, if it does; `exported`: a macro that follows `#[macro_export]`.
fn public(line: &str, exported: bool) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("macro_rules! ") {
        return words(rest).next().filter(|_| exported);
    }
    let mut rest = words(line.strip_prefix("pub ")?);
    let kinds = ["fn", "struct", "trait", "enum", "const"];
    let mut kind = rest.next()?;
    let mut name = rest.next()?;
    if kind == "const" && name == "fn" {
        (kind, name) = (name, rest.next()?);
    }
    (kinds.contains(&kind) && !line.contains(&format!("${name}"))).then_some(name)
}

/// What a line of a list in `flags!`, `counters!` or the table of operations names.
fn listed(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix('(') {
        return rest.split_once(", $S:ident").map(|(name, _)| name).filter(|name| !name.starts_with('$'));
    }
    let flag = line
        .split_once(" = ")
        .filter(|(n, v)| v.ends_with(';') && n.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    let counter = line.strip_suffix(';').filter(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    flag.map(|(name, _)| name).or(counter).filter(|name| !name.is_empty())
}

/// Names by where they are declared; hidden ones and those of tests are left out.
fn names(file: &Path) -> BTreeMap<String, String> {
    let text = read(file);
    let text = text.split("#[cfg(all(test").next().unwrap_or_default();
    let is_list = ["units.rs", "events.rs", "ops.rs"].iter().any(|f| file.ends_with(f));
    let (mut hidden, mut exported, mut found) = (false, false, BTreeMap::new());
    for line in text.lines().map(str::trim) {
        match line {
            "#[doc(hidden)]" => hidden = true,
            "#[macro_export]" => exported = true,
            _ if line.is_empty() || line.starts_with("//") || line.starts_with("#[") => {}
            _ => {
                let name = public(line, exported).or_else(|| listed(line).filter(|_| is_list));
                if let Some(name) = name.filter(|n| !hidden && !n.starts_with('_')) {
                    found.insert(name.to_owned(), file.display().to_string());
                }
                (hidden, exported) = (false, false);
            }
        }
    }
    found
}

#[test]
fn every_item_has_an_example() {
    // what is decided in user space is written against `scxr_runtime::framework`, which names the items of this file
    let framework = root().join("src/userspace.rs");
    let mut files = rust_files(&root().join("src"));
    // what a map takes is asked of types alone
    let holds = root().join("src/holds.rs");
    files.retain(|file| *file != framework && *file != holds);
    files.extend(NATIVE.iter().map(|part| root().join(format!("src/native/{part}.rs"))));
    let declared: BTreeMap<String, String> = files.iter().flat_map(|file| names(file)).collect();
    assert!(declared.len() > 250, "{} names", declared.len());
    let mut examples = rust_files(&root().join("policies"));
    let schedulers = std::fs::read_dir(root().join("../../schedulers")).expect("the bundled schedulers");
    examples.extend(schedulers.map(|s| s.expect("a folder").path().join("policy.rs")).filter(|p| p.is_file()));
    examples.push(framework);
    let text: String = examples.iter().map(|file| read(file)).collect();
    let shown: BTreeSet<&str> = words(&text).collect();
    let missing: Vec<_> =
        declared.iter().filter(|(n, _)| !shown.contains(n.as_str()) && !UNNAMED.contains(&n.as_str())).collect();
    assert!(missing.is_empty(), "no example of {missing:#?}");
    let stale: Vec<_> = UNNAMED.iter().filter(|n| !declared.contains_key(**n)).collect();
    assert!(stale.is_empty(), "there is no {stale:?} any more");
}

/// Sources of policies below a folder: what `scxr new` writes has placeholders, and is one, too.
fn policies_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry").path();
        match (path.is_dir(), path.extension().is_some_and(|e| e == "rs")) {
            (true, _) => policies_below(&path, found),
            (false, true) if read(&path).contains("scheduler! {") => found.push(path),
            _ => {}
        }
    }
}

/// Schedulers, examples, scenarios, templates: none has a word of `unsafe`.
#[test]
fn no_policy_needs_unsafe() {
    let mut files = Vec::new();
    for folder in ["policies", "../../schedulers", "../../scenarios", "../cli/templates"] {
        policies_below(&root().join(folder), &mut files);
    }
    assert!(files.len() > 20, "{} files", files.len());
    for file in files {
        let text = read(&file);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let line = code.into_iter().find(|line| words(line).any(|w| w == "unsafe"));
        assert_eq!(line, None, "{}", file.display());
    }
}
