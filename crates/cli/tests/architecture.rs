//! Dependencies between the crates go one way, as docs/architecture.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each crate may depend on, directly. A crate that is not here may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("scxr-abi", &[]),
    ("scxr-bpf", &[]),
    ("scxr-trace", &[]),
    ("scxr-policy", &[]),
    ("scxr-bpfc", &[]),
    ("scxr-kernel", &["scxr-trace"]),
    ("scxr-ops", &["scxr-abi", "scxr-bpf", "scxr-kernel", "scxr-policy", "scxr-trace"]),
    ("scxr-workload", &["scxr-kernel"]),
    ("scxr-analyze", &["scxr-trace"]),
    ("scxr-lab", &["scxr-bpf"]),
    ("scxr-host", &["scxr-trace", "scxr-workload"]),
    ("scxr-simple", &["scxr-policy"]),
    ("scxr", &["*"]),
];

/// Package names of the workspace with their direct dependencies inside it (dev- and build-dependencies do not count).
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dirs = ["crates", "schedulers"].map(|d| root.join(d));
    let manifests = dirs.iter().flat_map(|d| fs::read_dir(d).expect("a folder of crates")).filter_map(|e| {
        let path = e.expect("a readable folder").path().join("Cargo.toml");
        fs::read_to_string(path).ok()
    });
    manifests.map(|m| parse(&m)).collect()
}

fn parse(manifest: &str) -> (String, BTreeSet<String>) {
    let mut section = "";
    let (mut name, mut deps) = (String::new(), BTreeSet::new());
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let Some(n) = line.strip_prefix("name = ").filter(|_| section == "[package]") {
            name = n.trim_matches('"').to_string();
        } else if section == "[dependencies]" || section.starts_with("[target.") && section.ends_with(".dependencies]")
        {
            let dep = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if dep.starts_with("scxr") {
                deps.insert(dep.to_string());
            }
        }
    }
    (name, deps)
}

#[test]
fn dependencies_go_one_way() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for (name, deps) in crates() {
        let may = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place in the architecture"));
        for dep in deps {
            assert!(may.contains(&"*") || may.contains(&dep.as_str()), "{name} must not depend on {dep}");
        }
    }
}

#[test]
fn only_the_command_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace's manifest");
    for lint in ["print_stdout", "print_stderr"] {
        assert!(manifest.contains(lint), "clippy::{lint} is part of the workspace's lints");
    }
    for (name, _) in crates() {
        let clap = |text: &str| text.contains("clap.workspace");
        let dir = if name == "scxr" { "cli" } else { name.trim_start_matches("scxr-") };
        let path = root.join("crates").join(dir).join("Cargo.toml");
        if let Ok(text) = fs::read_to_string(path) {
            assert!(name == "scxr" || !clap(&text), "{name} must not know clap");
        }
    }
}
