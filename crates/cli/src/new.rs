//! `scxr new`: a project for a scheduler of one's own.
//!
//! Where do its crates come from? From the checkout that this program was built from, if it is still there. Else, or if the project is to
//! stand alone, from the sources in this program, which go into the project.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome, Result};
use crate::report;

/// Arguments of `new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the scheduler and of its folder; or a path that ends in it
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// What it consists of
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Copy the crates of scxr into the project, so that it needs no checkout
    #[arg(long)]
    vendor: bool,
    /// No notes on standard error
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A BPF half, with tests
    #[default]
    Bpf,
    /// Decisions in user space: the framework's BPF half, and a user-space half that decides
    Userspace,
}

/// The sources of scxr's crates: path below the workspace, and text.
const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
/// The checkout that this program was built from.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Where copies of the crates are, in the project.
const VENDORED: &str = "scxr";

macro_rules! template {
    ($kind:literal: $($file:literal = $from:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $kind, "/", $from)))),*]
    };
}

/// The files of a project: where they go, and what is in them.
type Template = &'static [(&'static str, &'static str)];

const BPF: Template = template! { "bpf":
    "Cargo.toml" = "Cargo.toml.in", "build.rs" = "build.rs", "src/lib.rs" = "src/lib.rs", "src/main.rs" = "src/main.rs",
    "src/policy.rs" = "src/policy.rs", "tests/scheduler.rs" = "tests/scheduler.rs", "README.md" = "README.md", ".gitignore" = "gitignore",
};

const USERSPACE: Template = template! { "userspace":
    "Cargo.toml" = "Cargo.toml.in", "build.rs" = "../bpf/build.rs", "src/lib.rs" = "src/lib.rs", "src/main.rs" = "src/main.rs",
    "src/policy.rs" = "src/policy.rs", "src/user.rs" = "src/user.rs", "tests/scheduler.rs" = "tests/scheduler.rs",
    "README.md" = "README.md", ".gitignore" = "../bpf/gitignore",
};

/// Makes a project.
pub(crate) fn new(args: &NewArgs) -> Result<Outcome> {
    let name = name(&args.path)?;
    if args.path.exists() {
        return Err(Failure::input(format_args!("{}: is there already", args.path.display())));
    }
    let checkout = Path::new(CHECKOUT).canonicalize().ok().filter(|dir| !args.vendor && is_checkout(dir));
    let (crates, place) = match &checkout {
        Some(dir) => {
            let dir = dir.join("crates").to_string_lossy().into_owned();
            let place = format!("scxr's crates are those of the checkout that scxr was built from: `{dir}`.");
            (dir, place)
        }
        None => (format!("{VENDORED}/crates"), format!("`{VENDORED}/` holds copies of scxr's crates.")),
    };
    let template = match args.kind {
        Kind::Bpf => BPF,
        Kind::Userspace => USERSPACE,
    };
    for (file, text) in template {
        let krate = name.replace('-', "_");
        let fill = [("{{name}}", name.as_str()), ("{{crate}}", &krate), ("{{crates}}", &crates), ("{{where}}", &place)];
        write(
            &args.path.join(file),
            &fill.iter().fold((*text).to_owned(), |text, (hole, value)| text.replace(hole, value)),
        )?;
    }
    let lock = SOURCES.iter().find(|(file, _)| *file == "Cargo.lock").map_or("", |(_, text)| text);
    write(&args.path.join("Cargo.lock"), lock)?;
    if checkout.is_none() {
        for (file, text) in SOURCES {
            write(&args.path.join(VENDORED).join(file), text)?;
        }
    }
    if !args.quiet {
        let dir = args.path.display();
        report::note(&format!("made {dir}; {place}\nNow: cd {dir} && cargo test && scxr run . --duration 1s"));
    }
    Ok(Outcome::Fine)
}

/// Is it still a checkout of this program's version?
fn is_checkout(dir: &Path) -> bool {
    let version = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    manifest.contains(version) && dir.join("crates/sim").is_dir() && dir.join("crates/bpfc").is_dir()
}

/// The scheduler's name: that of a package, and of a scheduler in the kernel.
fn name(path: &Path) -> Result<String> {
    /// Crates of a project, whose names it cannot have; and Rust's own.
    const TAKEN: [&str; 13] = [
        "scxr-policy",
        "scxr-runtime",
        "scxr-sim",
        "scxr-bpfc",
        "user",
        "test",
        "core",
        "std",
        "policy",
        "build",
        "deps",
        "examples",
        "incremental",
    ];
    const KEYWORDS: [&str; 44] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
        "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
        "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "super",
        "trait", "try", "type", "unsafe", "use", "while",
    ];
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let why = match name.as_str() {
        n if !n.starts_with(|c: char| c.is_ascii_lowercase()) => "must begin with a lower-case letter",
        n if !n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c)) => {
            "may have lower-case letters, digits, - and _"
        }
        n if n.len() > crate::build::NAME_MAX => "may have 63 letters at most",
        n if TAKEN.contains(&n) => "is the name of a crate that the project uses, or of a folder of cargo's",
        n if KEYWORDS.contains(&n) => "is a word of Rust's",
        _ => return Ok(name),
    };
    Err(Failure::input(format_args!("{}: the name '{name}' {why}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Failure::file(folder, &e))?;
    std::fs::write(path, text).map_err(|e| Failure::file(path, &e))
}
