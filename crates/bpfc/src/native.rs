//! A policy as a library of this machine's own code, for a program that has this driver in it.
//!
//! Rust fixes no layout of its types across compilers. The library and the program share types of the policy crate, so it is compiled by
//! the very compiler that the program was compiled by, from the same sources of that crate, which the driver carries.

use std::path::{Path, PathBuf};

use crate::compiler::{dependencies, embedded, extern_of, fnv, policy_crate, policy_name, run, runtime_crate, write};
use crate::error::{Error, Result};
use crate::toolchain::{Rustc, candidates};

/// Flags of both runs of rustc. Overflow is a panic, so that what BPF would wrap silently is found.
const RUSTC_FLAGS: &[&str] = &["--edition=2024", "-Copt-level=3", "-Cdebuginfo=2", "-Coverflow-checks=on"];

/// A policy's native library.
#[derive(Clone, Debug)]
pub struct Library {
    /// The file.
    pub path: PathBuf,
    /// Name of the scheduler.
    pub name: String,
    /// All source files of the policy, the one given first.
    pub sources: Vec<PathBuf>,
    /// rustc's warnings about the policy; empty if there were none.
    pub warnings: String,
}

/// Compiles the policy at `source` into a library below `cache`. It shows a `scxr_policy::native::library::Entry`.
pub fn build_native(source: &Path, cache: &Path) -> Result<Library> {
    let source = canonical(source)?;
    let rustc = same_compiler()?;
    let policy = policy_crate(&rustc, RUSTC_FLAGS, cache)?;
    let name = policy_name(&source);
    library(
        &rustc,
        &source,
        &format!("{name}_policy"),
        &name,
        cache,
        &root_module(&source),
        &[("scxr_policy", &policy)],
    )
}

/// Compiles the user-space half at `source` (`user.rs`) into a library below `cache`, with the policy (`policy.rs`) beside it as a module,
/// if there is one. It shows a `scxr_runtime::library::Entry`.
pub fn build_half(source: &Path, cache: &Path) -> Result<Library> {
    let source = canonical(source)?;
    let rustc = same_compiler()?;
    let policy = policy_crate(&rustc, RUSTC_FLAGS, cache)?;
    let runtime = runtime_crate(&rustc, RUSTC_FLAGS, &policy, cache)?;
    let name = policy_name(&source);
    let externs: [(&str, &Path); 2] = [("scxr_policy", &policy), ("scxr_runtime", &runtime)];
    library(&rustc, &source, &format!("{name}_user"), &name, cache, &half_module(&source), &externs)
}

fn canonical(source: &Path) -> Result<PathBuf> {
    source.canonicalize().map_err(|e| Error::Io { path: source.to_owned(), source: e })
}

/// Compiles `text`, a root module around `source`, into a library.
fn library(
    rustc: &Rustc,
    source: &Path,
    crate_name: &str,
    name: &str,
    cache: &Path,
    text: &str,
    externs: &[(&str, &Path)],
) -> Result<Library> {
    let file = format!("{name}-{:016x}", fnv([source.as_os_str().as_encoded_bytes()]));
    // written elsewhere first: a program that runs may have the last one loaded
    let work = tempfile::tempdir_in(cache).map_err(|e| Error::Io { path: cache.to_owned(), source: e })?;
    let (root, library, deps) = (work.path().join("root.rs"), work.path().join("p.so"), work.path().join("p.d"));
    write(&root, text.as_bytes())?;
    let mut command = rustc.command();
    command.args(RUSTC_FLAGS).args(["--crate-type=cdylib", "--crate-name"]).arg(crate_name);
    command.arg(format!("--emit=link={},dep-info={}", library.display(), deps.display()));
    // where else rustc has its objects: the current folder, in which others may be at the same
    command.arg("--out-dir").arg(work.path());
    for (name, folder) in externs {
        command.arg("--extern").arg(extern_of(name, folder)).arg("-L").arg(folder);
    }
    command.arg(&root);
    let warnings = run(command, source)?;
    let deps = std::fs::read_to_string(&deps).map_err(|source| Error::Io { path: deps, source })?;
    let path = cache.join(file).with_extension("so");
    std::fs::rename(&library, &path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let mut sources = vec![source.to_owned()];
    sources.extend(dependencies(&deps).filter(|p| *p != root && p != source));
    Ok(Library { path, name: name.to_owned(), sources, warnings })
}

fn half_module(source: &Path) -> String {
    let policy = source.with_file_name("policy.rs");
    let policy = if policy.is_file() { format!("#[path = {policy:?}]\npub mod policy;\n") } else { String::new() };
    format!(
        "use scxr_runtime::library as l;\n{policy}#[path = {source:?}]\npub mod user;\n#[unsafe(no_mangle)]\n\
         pub static SCXR_HALF: l::Entry = l::Entry {{ layout: l::LAYOUT, half: &user::HALF, on_panic: l::on_panic }};\n"
    )
}

fn root_module(source: &Path) -> String {
    format!(
        "use scxr_policy::native::library as l;\n#[path = {source:?}]\npub mod policy;\n#[unsafe(no_mangle)]\n\
         pub static SCXR_POLICY: l::Entry = l::Entry {{ layout: l::LAYOUT, policy: &policy::POLICY, on_panic: l::on_panic }};\n"
    )
}

/// The compiler that this driver was compiled by.
fn same_compiler() -> Result<Rustc> {
    let mut found = Vec::new();
    for path in candidates() {
        match Rustc::at(path) {
            Ok(rustc) if rustc.identity() == embedded::BUILT_BY => return Ok(rustc),
            Ok(rustc) => found.push(rustc.release().to_owned()),
            Err(_) => {}
        }
    }
    found.sort();
    found.dedup();
    let release = embedded::BUILT_BY.lines().find_map(|l| l.strip_prefix("release: ")).unwrap_or_default();
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(Error::RustcOther { release: release.to_owned(), found })
}
