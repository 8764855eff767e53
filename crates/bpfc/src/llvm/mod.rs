//! The toolchain's own LLVM, or one in its place: a library loaded at run time, and one module in it.

mod api;
mod module;
mod types;

use std::path::{Path, PathBuf};

use libloading::Library;

pub(crate) use api::{DiBuilder, Metadata, Type, Value};
pub(crate) use module::{Code, Machine, Module, linkage};
pub(crate) use types::Member;

use api::Api;

use crate::error::{Error, Result};

/// A loaded libLLVM with its BPF back end started.
pub(crate) struct Llvm {
    api: Api,
    path: PathBuf,
}

impl Llvm {
    /// Loads `path` (a file, or a bare name that the dynamic loader knows).
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let unusable = |why: String| Error::LlvmUnusable { library: path.to_owned(), why };
        // SAFETY: loading runs LLVM's initialisers, which have no preconditions.
        let library = unsafe { Library::new(path) }.map_err(|e| unusable(reason(&e)))?;
        // LLVM registers destructors and thread locals: unloading it is not supported, so it stays for the life of the process.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: only whether it is there is of interest.
        if unsafe { library.get::<unsafe extern "C" fn()>(b"LLVMInitializeBPFTarget\0") }.is_err() {
            return Err(unusable("it has no BPF back end".to_owned()));
        }
        let api = Api::new(library).map_err(unusable)?;
        api.init_target_info();
        api.init_target();
        api.init_target_mc();
        api.init_asm_printer();
        Ok(Self { api, path: path.to_owned() })
    }

    /// Where it was loaded from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, `major.minor.patch`.
    pub(crate) fn version(&self) -> String {
        let [major, minor, patch] = self.versions();
        format!("{major}.{minor}.{patch}")
    }

    /// Its major version.
    pub(crate) fn major(&self) -> u32 {
        self.versions()[0]
    }

    fn versions(&self) -> [u32; 3] {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        self.api.version(&mut major, &mut minor, &mut patch);
        [major, minor, patch]
    }
}

/// What the dynamic loader says, which its error has as its source.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
