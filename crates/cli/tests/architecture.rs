//! What docs/architecture.md says that is absent: dependencies in the other direction, printing, `unsafe`.

#[path = "support/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, directly. A crate that is not here may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("scxr-abi", &[]),
    ("scxr-bpf", &[]),
    ("scxr-trace", &[]),
    ("scxr-policy", &[]),
    ("scxr-bpfc", &[]),
    ("scxr-native", &["scxr-bpfc", "scxr-policy", "scxr-runtime"]),
    ("scxr-kernel", &["scxr-trace"]),
    ("scxr-runtime", &["scxr-policy"]),
    ("scxr-ops", &["scxr-abi", "scxr-bpf", "scxr-kernel", "scxr-policy", "scxr-runtime", "scxr-trace"]),
    ("scxr-workload", &["scxr-kernel"]),
    ("scxr-analyze", &["scxr-trace"]),
    ("scxr-lab", &["scxr-bpf"]),
    (
        "scxr-sim",
        &[
            "scxr-abi",
            "scxr-analyze",
            "scxr-bpf",
            "scxr-kernel",
            "scxr-ops",
            "scxr-policy",
            "scxr-runtime",
            "scxr-trace",
            "scxr-workload",
        ],
    ),
    ("scxr-host", &["scxr-runtime", "scxr-trace", "scxr-workload"]),
    ("scxr-simple", &["scxr-policy", "scxr-runtime"]),
    ("scxr-toy", &["scxr-policy", "scxr-runtime"]),
    ("scxr-userland", &["scxr-policy", "scxr-runtime"]),
    ("scxr-qmap", &["scxr-policy", "scxr-runtime"]),
    ("scxr-central", &["scxr-policy", "scxr-runtime"]),
    ("scxr-pair", &["scxr-policy", "scxr-runtime"]),
    ("scxr-flatcg", &["scxr-policy", "scxr-runtime"]),
    ("scxr", &["*"]),
];

/// Where `unsafe` may be, and why. Every other crate forbids it.
const UNSAFE: &[(&str, &[&str])] = &[
    // Coroutines share one state.
    ("scxr-kernel", &["src/executor.rs"]),
    // Guest memory; compiled code is entered, and enters us.
    ("scxr-bpf", &["src/vm/memory.rs", "src/vm/jit/mod.rs", "src/vm/jit/runtime.rs"]),
    // LLVM's C interface; and the one name that a policy's library shows, in text that is generated.
    ("scxr-bpfc", &["src/llvm", "src/native.rs"]),
    // The BPF side, which is never part of `scxr`; and whom a native policy's calls go to.
    ("scxr-policy", &["src/bpf", "src/native/ambient.rs"]),
    // A policy's native code is loaded as a library.
    ("scxr-native", &["src/lib.rs"]),
    // Variables of a loaded object are read in place.
    ("scxr-host", &["src/mapped.rs"]),
    // A guest writes to a port.
    ("scxr-lab", &["src/guest/speaker.rs"]),
    // System calls that no library wraps.
    ("scxr-workload", &["src/threads/sys.rs"]),
];

/// Where a library may print: a build script speaks to cargo on its standard output.
const PRINTS: &[(&str, &str)] = &[("scxr-bpfc", "src/build.rs")];

/// A package of the workspace.
struct Package {
    name: String,
    dir: PathBuf,
    /// Direct dependencies inside the workspace by their packages' names; those of tests and build scripts do not count.
    deps: BTreeSet<String>,
    /// All direct dependencies, likewise.
    all_deps: BTreeSet<String>,
    /// Roots of its libraries and commands.
    roots: Vec<PathBuf>,
}

/// The workspace, as cargo sees it.
fn packages() -> Vec<Package> {
    let args = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let package = |p: &Value| {
        let deps = list(&p["dependencies"]).into_iter().filter(|d| d["kind"].is_null()).collect::<Vec<_>>();
        let names = |only_ours: bool| {
            let of = deps.iter().filter(move |d| !only_ours || d["path"].is_string());
            of.map(|d| text(&d["name"])).collect()
        };
        let is_root = |t: &&Value| list(&t["kind"]).iter().any(|k| k == "lib" || k == "bin");
        Package {
            name: text(&p["name"]),
            dir: Path::new(&text(&p["manifest_path"])).parent().expect("a folder").to_owned(),
            deps: names(true),
            all_deps: names(false),
            roots: list(&p["targets"]).iter().filter(is_root).map(|t| text(&t["src_path"]).into()).collect(),
        }
    };
    list(&value["packages"]).iter().map(package).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The sources of a package without its tests and benchmarks: path below the package, and text.
fn sources(package: &Package) -> Vec<(String, String)> {
    let of = files::below(&package.dir).into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    let named = of.map(|p| (p.strip_prefix(&package.dir).expect("below it").to_str().expect("UTF-8").to_owned(), p));
    let code = named.filter(|(name, _)| !["tests/", "benches/"].iter().any(|d| name.starts_with(d)));
    code.map(|(name, path)| (name, read(&path))).collect()
}

#[test]
fn dependencies_go_one_way() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let packages = packages();
    assert_eq!(packages.len(), allowed.len(), "packages");
    for Package { name, deps, .. } in packages {
        let may = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place in the architecture"));
        for dep in deps {
            assert!(may.contains(&"*") || may.contains(&dep.as_str()), "{name} must not depend on {dep}");
        }
    }
}

/// Clippy judges printing; this sees to it that it is asked everywhere, and by nobody told to look away.
#[test]
fn only_the_command_prints() {
    let workspace: toml::Table =
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml")).parse().expect("TOML");
    let clippy = &workspace["workspace"]["lints"]["clippy"];
    for lint in ["print_stdout", "print_stderr"] {
        assert!(clippy.get(lint).is_some(), "clippy::{lint} is part of the workspace's lints");
    }
    for package in packages() {
        let name = &package.name;
        let manifest: toml::Table = read(&package.dir.join("Cargo.toml")).parse().expect("TOML");
        let lints = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(lints, Some(true), "{name} has the workspace's lints");
        assert!(name == "scxr" || !package.all_deps.contains("clap"), "{name} must not know clap");
        for (file, text) in sources(&package) {
            let silenced = ["print_stdout", "print_stderr", "clippy::all"].iter().any(|lint| text.contains(lint));
            let may = PRINTS.contains(&(name.as_str(), file.as_str()));
            assert!(!silenced || may, "{name}: {file} tells clippy to look away from printing");
        }
    }
}

#[test]
fn unsafe_code_is_where_it_has_to_be() {
    let may: BTreeMap<_, _> = UNSAFE.iter().copied().collect();
    for package in packages() {
        let name = &package.name;
        let Some(places) = may.get(name.as_str()) else {
            for root in &package.roots {
                let forbids = read(root).lines().any(|l| l == "#![forbid(unsafe_code)]");
                assert!(forbids, "{name}: {} must forbid unsafe code", root.display());
            }
            continue;
        };
        let sources = sources(&package);
        let with_unsafe = sources.iter().filter(|(_, text)| has_unsafe(text)).map(|(file, _)| Path::new(file));
        let with_unsafe: Vec<&Path> = with_unsafe.collect();
        for file in &with_unsafe {
            assert!(places.iter().any(|p| file.starts_with(p)), "{name}: no unsafe code in {}", file.display());
        }
        for place in *places {
            assert!(with_unsafe.iter().any(|f| f.starts_with(place)), "{name}: {place} has no unsafe code any more");
        }
    }
}

/// Is there a line with `unsafe` in it that is no comment?
fn has_unsafe(text: &str) -> bool {
    let mut code = text.lines().map(str::trim_start).filter(|l| !l.starts_with("//"));
    code.any(|l| {
        l.contains("unsafe {")
            || l.contains("unsafe fn")
            || l.contains("unsafe impl")
            || l.contains("unsafe extern")
            || l.contains("#[unsafe(")
    })
}
