//! Policies in Rust: as BPF objects, and as native code.

use std::path::{Path, PathBuf};

use scxr_bpfc::{Built, Compiler, Error as CompileError, Options};
use scxr_native::{Loaded, LoadedHalf};
use scxr_runtime::HalfDef;

use crate::crash;
use crate::failure::{Failure, Result};

/// The policy of a folder.
pub(crate) fn policy_in(dir: &Path) -> Result<PathBuf> {
    let inside = ["policy.rs", "src/policy.rs"].map(|file| dir.join(file));
    let found = inside.into_iter().find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure::input(format_args!("{}: there is no policy.rs or src/policy.rs in this folder", dir.display()))
    })
}

/// Compiles a policy for BPF.
pub(super) fn compile(path: &Path) -> Result<Built> {
    let compile = || Compiler::new()?.compile(path, &Options { cache: Some(cache()), ..Options::default() });
    compile().map_err(compile_failure)
}

/// Compiles a policy natively and loads it.
pub(super) fn native(path: &Path) -> Result<Loaded> {
    scxr_native::load(path, &cache(), crash::policy_panicked).map_err(native_failure)
}

/// Compiles and loads the user-space half beside a policy (`user.rs`), if there is one that takes part in scheduling (it declares a
/// `HALF: HalfDef`).
pub(super) fn half_beside(policy: &Path) -> Result<Option<LoadedHalf>> {
    let user = policy.with_file_name("user.rs");
    let text = std::fs::read_to_string(&user).unwrap_or_default();
    if policy.file_name().is_none_or(|name| name != "policy.rs") || !text.contains("HALF: HalfDef") {
        return Ok(None);
    }
    scxr_native::load_half(&user, &cache(), crash::half_panicked).map(Some).map_err(native_failure)
}

/// Loads a user-space half that was compiled before.
pub(crate) fn open_half(library: &Path) -> Result<HalfDef> {
    scxr_native::open_half(library, crash::half_panicked).copied().map_err(native_failure)
}

fn native_failure(error: scxr_native::Error) -> Failure {
    match error {
        scxr_native::Error::Compile(e) => compile_failure(e),
        e => Failure::environment(e),
    }
}

/// Where the compiled policy crate and native libraries are kept.
fn cache() -> PathBuf {
    scxr_lab::kernels::default_cache().unwrap_or_else(|_| std::env::temp_dir().join("scxr")).join("policies")
}

/// Whose affair it is that a policy was not compiled.
pub(crate) fn compile_failure(error: CompileError) -> Failure {
    match error {
        CompileError::RustcMissing { .. }
        | CompileError::RustcAnswer { .. }
        | CompileError::RustcTooOld { .. }
        | CompileError::RustcOther { .. }
        | CompileError::LlvmMissing { .. }
        | CompileError::NoToolchain { .. }
        | CompileError::LlvmNamed { .. }
        | CompileError::LlvmUnusable { .. } => Failure::environment(error),
        _ => Failure::input(error.to_string().trim_end()),
    }
}
