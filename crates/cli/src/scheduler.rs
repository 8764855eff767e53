//! From the SCHED of the command line to something that can be loaded.

mod clang;
mod options;
mod rust;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use scxr_bpf::load::Object;
use scxr_policy::native::PolicyDef;
use scxr_runtime::{Args, Bundle, HalfDef};

use crate::failure::{Failure, Result};
use crate::loader::{self, LoaderFile};
use scxr_workload::suggest;

pub(crate) use options::help;
pub(crate) use rust::{compile_failure, open_half, policy_in};

/// Name of "no scheduler": the fair class.
pub(crate) const EEVDF: &str = "eevdf";

/// The schedulers that come with scxr.
pub(crate) static BUNDLED: [&Bundle; 7] = [
    &scxr_simple::BUNDLE,
    &scxr_qmap::BUNDLE,
    &scxr_central::BUNDLE,
    &scxr_pair::BUNDLE,
    &scxr_flatcg::BUNDLE,
    &scxr_toy::BUNDLE,
    &scxr_userland::BUNDLE,
];

/// The user-space half of the scheduler of that name that comes with scxr.
pub(crate) fn half_named(name: &str) -> Option<HalfDef> {
    BUNDLED.iter().find(|b| b.name == name)?.half
}

/// What the user asked for.
enum Named {
    Eevdf,
    Bundled(&'static Bundle),
    Object(PathBuf),
    Rust(PathBuf),
    C(PathBuf),
}

/// A scheduler, ready to be loaded as often as needed.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    /// Name to show.
    pub(crate) name: String,
    /// File that it came from, as given.
    pub(crate) object: Option<String>,
    /// Options of its own, as they were given.
    pub(crate) args: Vec<String>,
    /// The same, read.
    pub(crate) options: Args,
    /// Globals that these options ask for.
    pub(crate) set: Vec<(&'static str, u64)>,
    /// What it is.
    pub(crate) kind: Kind,
    /// The bytes of its object.
    pub(crate) bytes: Option<Arc<[u8]>>,
    /// What the compiler said; for the user to read.
    pub(crate) warnings: String,
    /// Its user-space half, where it takes part in scheduling.
    pub(crate) half: Option<HalfDef>,
    /// What a loader of its own would do to its object.
    pub(crate) loader: Option<Arc<LoaderFile>>,
    /// The library that the half is in, where it does not come with scxr.
    pub(crate) half_library: Option<PathBuf>,
}

/// What a scheduler is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The fair class alone.
    Eevdf,
    /// A BPF object.
    Bpf(Arc<Object>),
    /// A policy as native code.
    Native(&'static PolicyDef),
}

/// What preparing depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    /// Options of the scheduler itself.
    pub(crate) args: &'a [String],
    /// CPUs of the machine, where that is known before the run.
    pub(crate) nr_cpus: Option<usize>,
    /// As native code.
    pub(crate) native: bool,
    /// Folders of headers for C.
    pub(crate) include: &'a [PathBuf],
    /// The loader file, as it was asked for.
    pub(crate) loader: Option<&'a Path>,
}

/// Finds out what SCHED means.
fn name(sched: &str) -> Result<Named> {
    if sched == EEVDF {
        return Ok(Named::Eevdf);
    }
    if let Some(bundled) = BUNDLED.iter().find(|b| b.name == sched) {
        return Ok(Named::Bundled(bundled));
    }
    let path = PathBuf::from(sched);
    if path.is_dir() {
        return policy_in(&path).map(Named::Rust);
    }
    let kind: fn(PathBuf) -> Named = match path.extension().and_then(|e| e.to_str()) {
        Some("o") => Named::Object,
        Some("rs") => Named::Rust,
        Some("c") => Named::C,
        _ => return Err(unknown(sched)),
    };
    match std::fs::metadata(&path) {
        Ok(_) => Ok(kind(path)),
        Err(e) => Err(Failure::file(&path, &e)),
    }
}

fn unknown(sched: &str) -> Failure {
    let names = || std::iter::once(EEVDF).chain(BUNDLED.iter().map(|b| b.name));
    let known = names().collect::<Vec<_>>().join(", ");
    let hint = suggest::hint(sched, names());
    if Path::new(sched).exists() {
        return Failure::input(format_args!(
            "{sched}: a file is taken for an object if it ends in .o, for a policy in Rust if in .rs, for C if in .c"
        ));
    }
    Failure::input(format_args!(
        "there is no scheduler '{sched}'{hint}; there are {known}, or give a file X.bpf.o, X.rs or X.bpf.c, or a folder with a policy.rs"
    ))
}

/// Reads, or compiles, what the user asked for.
pub(crate) fn prepare(sched: &str, options: &Options<'_>) -> Result<Scheduler> {
    let named = name(sched)?;
    let bundled = match &named {
        Named::Bundled(b) => Some(*b),
        _ => None,
    };
    if options.native && matches!(named, Named::Object(_) | Named::C(_)) {
        return Err(Failure::input(format_args!(
            "--native: {sched} is for BPF alone; policies in Rust (X.rs) and the schedulers that come with scxr run natively, too"
        )));
    }
    let own = match &named {
        Named::Rust(path) => rust::half_beside(path)?,
        _ => None,
    };
    let half = own.as_ref().map(|o| *o.half).or_else(|| bundled.and_then(|b| b.half));
    let known = bundled.map(|b| b.options).or(half.map(|h| h.options));
    let (args, set) = match (known, options.args) {
        (Some(known), args) => {
            let about = bundled.map_or("a scheduler whose decisions are made in user space", |b| b.about);
            let read = options::read(sched, about, known, args, options.nr_cpus)?;
            let set = read.variables(known);
            (read, set)
        }
        (None, []) => Default::default(),
        (None, [first, ..]) => {
            return Err(Failure::input(format_args!(
                "'{first}': only schedulers that come with scxr and user-space halves have options of their own; set a global variable with \
                 --set VAR=VALUE"
            )));
        }
    };
    let mut scheduler = Scheduler {
        name: bundled.map_or(EEVDF, |b| b.name).to_string(),
        object: None,
        args: options.args.to_vec(),
        options: args,
        set,
        kind: Kind::Eevdf,
        bytes: bundled.map(|b| Arc::from(b.object)),
        warnings: String::new(),
        half,
        loader: match &named {
            Named::Object(path) | Named::C(path) => loader::of_object(path, options.loader)?,
            _ => None,
        },
        half_library: own.as_ref().map(|o| o.library.clone()),
    };
    match (&named, bundled) {
        (_, Some(b)) if options.native => scheduler.kind = Kind::Native(b.native),
        (_, Some(b)) => scheduler.kind = bpf(b.name, b.object)?,
        (Named::Eevdf, _) => {}
        (Named::Rust(path), _) if options.native => {
            let loaded = rust::native(path)?;
            scheduler.kind = Kind::Native(loaded.policy);
            (scheduler.name, scheduler.warnings) = (loaded.name, loaded.warnings);
            scheduler.object = Some(sched.to_string());
        }
        _ => {
            let object = object(sched, options.include)?;
            scheduler.kind = Kind::Bpf(Arc::new(object.object));
            (scheduler.name, scheduler.warnings) = (object.name, object.warnings);
            scheduler.object = Some(sched.to_string());
            scheduler.bytes = Some(object.bytes.into());
        }
    }
    scheduler.warnings += own.as_ref().map_or("", |o| &o.warnings);
    Ok(scheduler)
}

fn bpf(name: &str, bytes: &[u8]) -> Result<Kind> {
    Ok(Kind::Bpf(Arc::new(Object::parse(name, bytes).map_err(Failure::input)?)))
}

/// An object, from whatever file it is in.
pub(crate) struct Prepared {
    /// Name of the scheduler, from the file's.
    pub(crate) name: String,
    /// The object.
    pub(crate) object: Object,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// What the compiler said.
    pub(crate) warnings: String,
    /// What a loader of its own would do to it, by the file beside it or one that comes with scxr.
    pub(crate) loader: Option<Arc<LoaderFile>>,
}

/// Reads or compiles an object. SCHED is a file, or a scheduler that comes with scxr.
pub(crate) fn object(sched: &str, include: &[PathBuf]) -> Result<Prepared> {
    let named = name(sched)?;
    let loader = match &named {
        Named::Object(path) | Named::C(path) => loader::of_object(path, None)?,
        _ => None,
    };
    let (name, bytes, warnings) = match named {
        Named::Eevdf => return Err(Failure::input("eevdf is Linux's fair class: it has no object")),
        Named::Bundled(b) => (b.name.to_string(), b.object.to_vec(), String::new()),
        Named::Object(path) => (stem(&path), read_object(&path)?, String::new()),
        Named::Rust(path) => {
            let built = rust::compile(&path)?;
            (built.name, built.bytes, built.warnings)
        }
        Named::C(path) => {
            let (bytes, warnings) = clang::compile(&path, include)?;
            (stem(&path), bytes, warnings)
        }
    };
    let object = Object::parse(sched, &bytes).map_err(Failure::input)?;
    Ok(Prepared { name, object, bytes, warnings, loader })
}

/// Largest object that is read, bytes; those of real schedulers have less than 2 MiB.
const OBJECT_MAX: u64 = 256 << 20;

/// The bytes of an object. What cannot be one is not read to its end.
fn read_object(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Failure::file(path, &e);
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Failure::input(format_args!("{}: not a regular file; give a BPF object", path.display())));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(OBJECT_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > OBJECT_MAX {
        true => Err(Failure::input(format_args!("{}: larger than 256 MiB; BPF objects are not", path.display()))),
        false => Ok(bytes),
    }
}

/// `x` of `a/x.bpf.o`.
fn stem(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (path, expect) in [("a/scx_simple.bpf.o", "scx_simple"), ("x.o", "x"), ("b.c/y.bpf.c", "y")] {
            assert_eq!(stem(Path::new(path)), expect);
        }
    }

    #[test]
    fn slips_are_guessed() {
        let e = prepare("simpel", &Options::default()).unwrap_err();
        assert!(e.to_string().contains("did you mean 'simple'?"), "{e}");
    }
}
