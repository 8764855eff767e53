//! For build scripts: a policy's object in `OUT_DIR`.

use std::path::{Path, PathBuf};

use crate::compiler::{Compiler, Options};
use crate::error::{Error, Result};

/// Compiles the policy at `source` (relative to the package's folder) to `OUT_DIR/NAME.bpf.o` and tells cargo what it
/// depends on. Returns the object's path.
///
/// For a build script's `main`; [`build_policy_or_exit`] also reports the error in cargo's way.
#[allow(clippy::print_stdout, reason = "a build script speaks to cargo on its standard output")]
pub fn build_policy(source: impl AsRef<Path>) -> Result<PathBuf> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_else(|| "target".into()));
    println!("cargo::rerun-if-env-changed=RUSTC");
    println!("cargo::rerun-if-changed={}", source.as_ref().display());
    let options = Options { cache: Some(out.clone()), ..Options::default() };
    let built = Compiler::new()?.compile(source.as_ref(), &options)?;
    for file in &built.sources {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    for line in built.warnings.lines() {
        println!("cargo::warning={line}");
    }
    let object = out.join(format!("{}.bpf.o", built.name));
    std::fs::write(&object, &built.bytes).map_err(|source| Error::Io { path: object.clone(), source })?;
    Ok(object)
}

/// [`build_policy`], or the end of the build script with the error's text as cargo shows errors.
#[allow(clippy::print_stdout, reason = "a build script speaks to cargo on its standard output")]
pub fn build_policy_or_exit(source: impl AsRef<Path>) -> PathBuf {
    build_policy(source).unwrap_or_else(|error| {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1)
    })
}
