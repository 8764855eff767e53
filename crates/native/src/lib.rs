//! Compiles a policy, or the user-space half of a scheduler, to native code and loads it into this program, which can then run it.
//!
//! The library is compiled by the compiler that this program was compiled by, against the same sources of the policy crate, and shows
//! the layout of what both share: where any of that differs, it is refused. Once loaded it stays for the life of the process.

use std::path::{Path, PathBuf};

use scxr_policy::native::PolicyDef;
use scxr_policy::native::library::{ENTRY, Entry, LAYOUT};
use scxr_runtime::{HalfDef, library as half};

/// A policy that was compiled and loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: &'static PolicyDef,
    /// Name, from the path of its source.
    pub name: String,
    /// The library: a debugger finds the policy's functions and lines in it.
    pub library: PathBuf,
    /// rustc's warnings; empty if there were none.
    pub warnings: String,
}

/// Why a policy is not there as native code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not compiled.
    #[error(transparent)]
    Compile(#[from] scxr_bpfc::Error),
    /// The library was not loaded: this program may be linked statically.
    #[error("{library}: {why}")]
    Load {
        /// The library.
        library: PathBuf,
        /// The loader's reason.
        why: String,
    },
    /// The library and this program do not mean the same by their types.
    #[error("{library}: made for another build of this program")]
    Layout {
        /// The library.
        library: PathBuf,
    },
}

/// Compiles the policy at `source` into a library below `cache` and loads it. A panic of the policy's goes to `on_panic`, with its text.
pub fn load(source: &Path, cache: &Path, on_panic: fn(&str) -> !) -> Result<Loaded, Error> {
    std::fs::create_dir_all(cache).map_err(|e| scxr_bpfc::Error::Io { path: cache.to_owned(), source: e })?;
    let built = scxr_bpfc::build_native(source, cache)?;
    let entry = open(&built.path)?;
    if entry.layout != LAYOUT {
        return Err(Error::Layout { library: built.path });
    }
    (entry.on_panic)(on_panic);
    Ok(Loaded { policy: entry.policy, name: built.name, library: built.path, warnings: built.warnings })
}

/// A user-space half that was compiled and loaded.
#[derive(Debug)]
pub struct LoadedHalf {
    /// The half.
    pub half: &'static HalfDef,
    /// The library: another process may [open](open_half) it.
    pub library: PathBuf,
    /// rustc's warnings; empty if there were none.
    pub warnings: String,
}

/// Compiles the half at `source` (`user.rs`) into a library below `cache` and loads it. A panic of the half's goes to `on_panic`, with its text.
pub fn load_half(source: &Path, cache: &Path, on_panic: fn(&str) -> !) -> Result<LoadedHalf, Error> {
    std::fs::create_dir_all(cache).map_err(|e| scxr_bpfc::Error::Io { path: cache.to_owned(), source: e })?;
    let built = scxr_bpfc::build_half(source, cache)?;
    Ok(LoadedHalf { half: open_half(&built.path, on_panic)?, library: built.path, warnings: built.warnings })
}

/// Loads a half's library that was compiled before.
pub fn open_half(library: &Path, on_panic: fn(&str) -> !) -> Result<&'static HalfDef, Error> {
    let loaded = stay(library)?;
    // SAFETY: `build_half` makes libraries with a static of that name and type. The fields that are looked at before the layouts are
    // compared have a fixed layout (`repr(C)`, integers).
    let entry = unsafe { loaded.get::<*const half::Entry>(half::ENTRY.as_bytes()) }.map_err(|e| failed(library, &e))?;
    // SAFETY: it points to a static of a library that stays.
    let entry = unsafe { &**entry };
    if entry.layout != half::LAYOUT {
        return Err(Error::Layout { library: library.to_owned() });
    }
    (entry.on_panic)(on_panic);
    Ok(entry.half)
}

fn failed(library: &Path, e: &libloading::Error) -> Error {
    Error::Load { library: library.to_owned(), why: e.to_string() }
}

/// Loads a library for good.
fn stay(path: &Path) -> Result<&'static libloading::Library, Error> {
    // SAFETY: loading runs initialisers: those of Rust's standard library, and whatever the source has, whose author wants it to run.
    let library = unsafe { libloading::Library::new(path) }.map_err(|e| failed(path, &e))?;
    Ok(Box::leak(Box::new(library)))
}

/// What a policy's library shows.
fn open(path: &Path) -> Result<&'static Entry, Error> {
    let library = stay(path)?;
    // SAFETY: `build_native` has just made the library, with a static of that name and type. The fields that are looked at before
    // the layouts are compared have a fixed layout (`repr(C)`, integers).
    let entry = unsafe { library.get::<*const Entry>(ENTRY.as_bytes()) }.map_err(|e| failed(path, &e))?;
    // SAFETY: it points to a static of a library that stays.
    Ok(unsafe { &**entry })
}
