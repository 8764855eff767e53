//! From the SCHED of the command line to something that can be loaded.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::suggest;

/// Name of "no scheduler": the fair class.
pub(crate) const EEVDF: &str = "eevdf";

/// A scheduler that comes with scxr.
pub(crate) struct Bundled {
    /// Name.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) about: &'static str,
}

/// All of them.
pub(crate) static BUNDLED: &[Bundled] = &[];

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// The fair class alone.
    Eevdf,
    /// Index into [`BUNDLED`].
    Bundled(usize),
    /// A BPF object.
    Object(PathBuf),
    /// A policy in Rust.
    Rust(PathBuf),
    /// A BPF program in C.
    C(PathBuf),
}

/// A scheduler, ready to be loaded as often as needed.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    /// Name to show.
    pub(crate) name: String,
    /// File that it came from, as given.
    pub(crate) object: Option<String>,
    /// Options of its own.
    pub(crate) args: Vec<String>,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a scheduler is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The fair class alone.
    Eevdf,
}

/// Finds out what SCHED means, without reading anything but the file system's names.
pub(crate) fn name(sched: &str) -> Result<Named> {
    if sched == EEVDF {
        return Ok(Named::Eevdf);
    }
    if let Some(at) = BUNDLED.iter().position(|b| b.name == sched) {
        return Ok(Named::Bundled(at));
    }
    let path = PathBuf::from(sched);
    let kind: fn(PathBuf) -> Named = match path.extension().and_then(|e| e.to_str()) {
        Some("o") => Named::Object,
        Some("rs") => Named::Rust,
        Some("c") => Named::C,
        _ => return Err(unknown(sched)),
    };
    match std::fs::metadata(&path) {
        Ok(m) if m.is_dir() => Err(Failure::input(format_args!("{sched}: is a directory"))),
        Ok(_) => Ok(kind(path)),
        Err(e) => Err(Failure::file(&path, &e)),
    }
}

fn unknown(sched: &str) -> Failure {
    let names = || std::iter::once(EEVDF).chain(BUNDLED.iter().map(|b| b.name));
    let known: Vec<&str> = names().collect();
    let hint = suggest::hint(sched, names());
    let known = known.join(", ");
    if Path::new(sched).exists() {
        return Failure::input(format_args!(
            "{sched}: a file is taken for an object if it ends in .o, for a policy in Rust if in .rs, for C if in .c"
        ));
    }
    Failure::input(format_args!(
        "there is no scheduler '{sched}'{hint}; there are {known}, or give a file X.bpf.o, X.rs or X.bpf.c"
    ))
}

/// Reads, or compiles, what the user asked for.
pub(crate) fn prepare(sched: &str, options: &Options<'_>) -> Result<Scheduler> {
    let named = name(sched)?;
    let kind = match named {
        Named::Eevdf => {
            if !options.args.is_empty() {
                return Err(Failure::input("eevdf has no options of its own"));
            }
            Kind::Eevdf
        }
        _ => return Err(unknown(sched)),
    };
    Ok(Scheduler { name: sched.to_string(), object: None, args: options.args.to_vec(), kind })
}

/// What preparing depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// Options of the scheduler itself.
    pub(crate) args: &'a [String],
    /// As native code.
    pub(crate) native: bool,
    /// Folders of headers for C.
    pub(crate) include: &'a [PathBuf],
}
