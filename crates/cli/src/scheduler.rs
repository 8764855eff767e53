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

use crate::exec::{CommandLine, in_path};
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
    /// A program that loads its own.
    Program(PathBuf),
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
    /// Its half decides right in the kernel.
    pub(crate) direct: bool,
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
    /// A program that loads its own object, attaches it, and may decide in user space.
    Program(Arc<CommandLine>),
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
    /// Its decisions alone, right in the kernel.
    pub(crate) direct: bool,
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
    if let Some(program) = program(&path) {
        return Ok(Named::Program(program));
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

/// A scheduler's own program: an ELF file that is no object, or a script that starts one. What is no path is looked for in `PATH`, if
/// its name begins with `scx_`.
fn program(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        let source = path.extension().is_some_and(|e| e == "rs" || e == "c");
        return (!source && is_program_file(path)).then(|| path.to_owned());
    }
    let is_name = path.components().count() == 1 && path.to_str().is_some_and(|n| n.starts_with("scx_"));
    in_path(path.as_os_str()).filter(|found| is_name && program(found).is_some())
}

/// Kinds of ELF files that can be run.
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// By how a file begins: `#!`, or ELF of a kind (`e_type`, little-endian on these machines as in BPF) that can be run.
fn is_program_file(path: &Path) -> bool {
    let mut head = Vec::new();
    let is_file = std::fs::metadata(path).is_ok_and(|m| m.is_file());
    let read = |file: std::fs::File| file.take(18).read_to_end(&mut head);
    if !is_file || std::fs::File::open(path).and_then(read).is_err() {
        return false;
    }
    let kind = head.get(16..18).map_or(0, |k| u16::from_le_bytes([k[0], k[1]]));
    head.starts_with(b"#!") || head.starts_with(b"\x7fELF") && (kind == ET_EXEC || kind == ET_DYN)
}

fn unknown(sched: &str) -> Failure {
    let names = || std::iter::once(EEVDF).chain(BUNDLED.iter().map(|b| b.name));
    let known = names().collect::<Vec<_>>().join(", ");
    let hint = suggest::hint(sched, names());
    if Path::new(sched).exists() {
        return Failure::input(format_args!(
            "{sched}: a file is taken for an object if it ends in .o, for a policy in Rust if in .rs, for C if in .c, for a scheduler's \
             own program if it is an ELF executable or a script"
        ));
    }
    Failure::input(format_args!(
        "there is no scheduler '{sched}'{hint}; there are {known}, or give a file X.bpf.o, X.rs or X.bpf.c, a folder with \
         a policy.rs, or a scheduler's own program (./scx_NAME)"
    ))
}

/// Reads, or compiles, what the user asked for.
pub(crate) fn prepare(sched: &str, options: &Options<'_>) -> Result<Scheduler> {
    let named = name(sched)?;
    let bundled = match &named {
        Named::Bundled(b) => Some(*b),
        _ => None,
    };
    if let Named::Program(path) = &named {
        return of_program(sched, path, options);
    }
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
    if options.direct && half.is_none() && !matches!(named, Named::Eevdf) {
        return Err(Failure::input(format_args!(
            "--direct: {sched} has no user-space half; it is for schedulers whose decisions are made in user space"
        )));
    }
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
        direct: options.direct && half.is_some(),
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

/// A scheduler's own program, with its options.
fn of_program(sched: &str, path: &Path, options: &Options<'_>) -> Result<Scheduler> {
    if options.native {
        return Err(Failure::input(format_args!("--native: {sched} is a program, which brings its own BPF object")));
    }
    let line = CommandLine::of_program(path, options.args)?;
    Ok(Scheduler {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        object: Some(sched.to_owned()),
        args: options.args.to_vec(),
        options: Args::default(),
        set: Vec::new(),
        kind: Kind::Program(Arc::new(line)),
        bytes: None,
        warnings: String::new(),
        half: None,
        loader: None,
        half_library: None,
        direct: false,
    })
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
        Named::Program(_) => {
            return Err(Failure::input(format_args!(
                "{sched} is a program, which brings its own BPF object; give that object (X.bpf.o)"
            )));
        }
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
