//! What can go wrong between a policy's source and its object.

use std::fmt;
use std::path::PathBuf;

/// A position in a Rust source file, as debug information gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// File, relative to the policy's folder where it lies below it.
    pub file: String,
    /// Line, from 1; 0 where it is not known.
    pub line: u32,
    /// Column, from 1; 0 where it is not known.
    pub column: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Something in the policy that a BPF program cannot have, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Innermost position in the policy's own files, if the instruction has one.
    pub site: Option<Site>,
    /// What is there.
    pub what: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.site {
            Some(site) => write!(f, "{site}: {} ({})", self.what, self.hint),
            None => write!(f, "{} ({})", self.what, self.hint),
        }
    }
}

fn lines(refusals: &[Refusal]) -> String {
    let all: Vec<String> = refusals.iter().map(Refusal::to_string).collect();
    all.join("\n")
}

fn reasons(tried: &[(PathBuf, String)]) -> String {
    let all: Vec<String> = tried.iter().map(|(path, why)| format!("  {}: {why}", path.display())).collect();
    all.join("\n")
}

/// What to do where no toolchain can be used, whose LLVM is of the major version `needs`.
fn advice(needs: Option<u32>) -> String {
    let mut ways = vec![(
        "rustup toolchain install stable".to_owned(),
        "its LLVM is a shared library; https://rustup.rs".to_owned(),
    )];
    if let Some(needs) = needs {
        let what = format!("an LLVM of version {needs} or newer with the BPF back end; Fedora: dnf install llvm-libs");
        ways.push((format!("apt install libllvm{needs}"), what));
        ways.push(("export SCXR_LLVM=/path/libLLVM.so".to_owned(), "one that is elsewhere".to_owned()));
    }
    ways.push(("export RUSTC=/path/rustc".to_owned(), "a compiler that is linked with a libLLVM.so".to_owned()));
    let ways: String = ways.iter().map(|(command, what)| format!("\n  {command:<34} ({what})")).collect();
    format!("One of these helps:{ways}\nObjects (X.bpf.o) that were built elsewhere run without one.")
}

/// Why a policy was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `rustc` could be started.
    #[error("cannot run {rustc}: {source}; install Rust {MIN_RUSTC} or newer, or name a compiler in the variable RUSTC", MIN_RUSTC = crate::toolchain::MIN_RUSTC_TEXT)]
    RustcMissing {
        /// The program that was tried.
        rustc: PathBuf,
        /// Why it did not start.
        source: std::io::Error,
    },
    /// `rustc` does not answer as one.
    #[error("{rustc} does not answer `-vV` as a Rust compiler does: {answer}")]
    RustcAnswer {
        /// The program that was asked.
        rustc: PathBuf,
        /// What it said.
        answer: String,
    },
    /// `rustc` is older than what the policy crate needs.
    #[error("{rustc} is {found}; policies need Rust {MIN_RUSTC} or newer", MIN_RUSTC = crate::toolchain::MIN_RUSTC_TEXT)]
    RustcTooOld {
        /// The program that was asked.
        rustc: PathBuf,
        /// Its release.
        found: String,
    },
    /// Native code has to come from the compiler that this program came from, and that one is not here.
    #[error(
        "native code has to be compiled by the compiler that this program was built with, rustc {release}; there is {found} here. Install that one \
         (`rustup toolchain install {release}`), or build this program anew with the one that is here"
    )]
    RustcOther {
        /// The release that is needed.
        release: String,
        /// The releases that there are.
        found: String,
    },
    /// The toolchain has no LLVM that could be loaded.
    #[error("no libLLVM beside {rustc} (looked in {looked})")]
    LlvmMissing {
        /// The compiler whose LLVM was sought.
        rustc: PathBuf,
        /// The folders that were looked at, separated by commas.
        looked: String,
    },
    /// No toolchain can be used, and no other LLVM in the place of a toolchain's own.
    #[error("no Rust toolchain here has an LLVM that can be used:\n{}\n{}", reasons(.tried), advice(*.needs))]
    NoToolchain {
        /// Each compiler that was tried, and what is wrong with it.
        tried: Vec<(PathBuf, String)>,
        /// The major version of LLVM that the first compiler without one needs.
        needs: Option<u32>,
    },
    /// The LLVM that was asked for is none, or cannot read what the compiler writes.
    #[error(
        "SCXR_LLVM={library} cannot be used: {why}; rustc {release} needs LLVM {needs} or newer, a shared library with the BPF back end"
    )]
    LlvmNamed {
        /// The library.
        library: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The compiler's release.
        release: String,
        /// The major version of the compiler's own LLVM.
        needs: u32,
    },
    /// libLLVM is there but cannot be used.
    #[error("cannot use {library}: {why}")]
    LlvmUnusable {
        /// The library.
        library: PathBuf,
        /// The loader's or LLVM's reason.
        why: String,
    },
    /// rustc refused the source; the text is its own.
    #[error("{source_file} does not compile:\n{}{}", diagnostics.trim_end(), hint(diagnostics))]
    Compile {
        /// The file given to rustc.
        source_file: PathBuf,
        /// What rustc printed.
        diagnostics: String,
    },
    /// LLVM refused the module.
    #[error("LLVM cannot make a BPF object of {name}: {why}")]
    Llvm {
        /// The policy.
        name: String,
        /// LLVM's diagnostics.
        why: String,
    },
    /// The policy holds what a BPF program cannot have.
    #[error("{name} cannot run as BPF:\n{}", lines(.refusals))]
    Refused {
        /// The policy.
        name: String,
        /// One entry for each place.
        refusals: Vec<Refusal>,
    },
    /// A declaration of the policy crate or of a policy's own kernel types that cannot be read.
    #[error("the declaration `{declaration}` is not understood: {why}")]
    Declaration {
        /// Its text.
        declaration: String,
        /// The reason.
        why: String,
    },
    /// The object that LLVM wrote has a part that cannot be completed.
    #[error("the object of {name} cannot be completed: {why}")]
    Object {
        /// The policy.
        name: String,
        /// The reason.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the policy crate's macros mean, where rustc can only tell what they became.
fn hint(diagnostics: &str) -> String {
    let has = |text: &str| diagnostics.contains(text);
    let unmatched = has("no rules expected");
    let twice = diagnostics.split("symbol `scxr.doc:").nth(1).and_then(|rest| rest.split('`').next());
    let hint = if has("`_license` is already defined") || has("`__programs` is defined multiple times") {
        "a policy has one `scheduler!` block; another scheduler is another file".to_owned()
    } else if let Some(name) = twice {
        format!("two items of state have the name \"{name}\"")
    } else if unmatched && has("src/scheduler.rs:") {
        "`scheduler!` takes `pub struct NAME { name: \"name\", flags: OpsFlags::…, timeout_ms: 5000 }` (the last two may be left out), then \
         `impl Ops for NAME { … }` with functions alone"
            .to_owned()
    } else if unmatched && has("/state.rs:") {
        "`state!` takes items `static NAME as \"name\": KIND<TYPE>;`, with `= VALUE` for Tunable, Global and maps of maps, and documentation but no \
         other attribute; the kinds are listed in docs/writing-schedulers.md"
            .to_owned()
    } else {
        return String::new();
    };
    format!("\n\nhint: {hint}")
}
