//! Embeds the sources of the crates that schedulers are built against: `scxr new` gives them to projects where there is no checkout.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a project made by `scxr new` needs, directly or not.
const CRATES: [&str; 11] =
    ["abi", "analyze", "bpf", "bpfc", "kernel", "ops", "policy", "runtime", "sim", "trace", "workload"];
/// Files of the workspace that these refer to.
const TOP: [&str; 3] = ["Cargo.toml", "Cargo.lock", "LICENSE"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let mut files: Vec<PathBuf> = TOP.iter().map(|f| root.join(f)).collect();
    for name in CRATES {
        let dir = root.join("crates").join(name);
        files.push(dir.join("Cargo.toml"));
        files.extend(Some(dir.join("build.rs")).filter(|f| f.is_file()));
        collect(&dir.join("src"), &mut files)?;
        println!("cargo::rerun-if-changed={}", dir.join("src").display());
    }
    files.sort();
    let mut text = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
        writeln!(text, "    ({name:?}, include_str!({file:?})),")?;
    }
    text.push_str("]\n");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("sources.rs"), text)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
