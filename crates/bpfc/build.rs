//! Embeds the sources of the policy crate and of the runtime crate: an installed driver compiles policies on machines that have no checkout.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    embed("../policy/src", "FILES", &mut text)?;
    embed("../runtime/src", "RUNTIME", &mut text)?;
    let driver = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("src");
    println!("cargo::rerun-if-changed={}", driver.display());
    writeln!(text, "pub(crate) const DRIVER: u64 = {:#x};", hash(&driver)?)?;
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    writeln!(text, "pub(crate) const BUILT_BY: &str = {:?};", version(rustc)?)?;
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("policy_sources.rs"), text)?;
    Ok(())
}

/// Writes a crate's sources as a constant.
fn embed(folder: &str, name: &str, text: &mut String) -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join(folder).canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    writeln!(text, "pub(crate) const {name}: &[(&str, &str)] = &[")?;
    for file in files {
        let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
        writeln!(text, "    ({name:?}, include_str!({file:?})),")?;
    }
    text.push_str("];\n");
    Ok(())
}

/// What tells the compiler that this is built with from every other one.
fn version(mut rustc: std::process::Command) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(rustc.arg("-vV").output()?.stdout)?)
}

/// FNV-1a over the sources of the driver: what an older driver compiled is compiled again.
fn hash(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for file in files {
        hash = std::fs::read(file)?.into_iter().fold(hash, step);
    }
    Ok(hash)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
