//! From a policy's source to its object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::check::{self, Places};
use crate::error::{Error, Result};
use crate::llvm::{Llvm, Machine, Module, linkage};
use crate::lower::{self, Lowered};
use crate::object;
use crate::session::Session;
use crate::toolchain::Rustc;

/// The sources of the policy crate, and of the runtime crate.
pub(crate) mod embedded {
    include!(concat!(env!("OUT_DIR"), "/policy_sources.rs"));
}

/// Attributes that rustc gives to functions of its own target and that mean nothing, or something else, to BPF.
const HOST_ATTRIBUTES: &[&str] = &[
    "target-cpu",
    "target-features",
    "tune-cpu",
    "probe-stack",
    "stack-probe-size",
    "frame-pointer",
    "uwtable",
    "nonlazybind",
];

/// Inlining and the simplest clean-up, so that an access to a nested field is one chain of values.
const EARLY_PASSES: &str = "always-inline,function(sroa,early-cse)";

/// Clean-up after relocations that are not used are gone, and how often at most: one may depend on another.
const LATE_PASSES: &str = "function(adce,simplifycfg)";
const UNUSED_ROUNDS_MAX: usize = 8;

/// The instruction set to compile for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cpu {
    /// 64-bit jumps only.
    V1,
    /// More jump conditions.
    V2,
    /// 32-bit registers and atomics: every kernel that has sched_ext.
    #[default]
    V3,
    /// Signed division, sign extension, long jumps: kernels from 6.6 on.
    V4,
}

impl Cpu {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V4 => "v4",
        }
    }
}

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emit {
    /// The object that loaders take.
    #[default]
    Object,
    /// Optimised LLVM IR.
    LlvmIr,
    /// BPF assembly.
    Assembly,
}

impl Emit {
    /// What the names of such files end with, the dot included.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Object => ".bpf.o",
            Self::LlvmIr => ".ll",
            Self::Assembly => ".s",
        }
    }
}

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Name of the scheduler; from the source's path if `None` (see [`policy_name`]).
    pub name: Option<String>,
    /// Instruction set.
    pub cpu: Cpu,
    /// What to write.
    pub emit: Emit,
    /// Folder for intermediate files, kept: the compiled policy crate is found there again. A temporary one if `None`.
    pub cache: Option<PathBuf>,
}

/// A compiled policy.
#[derive(Clone, Debug)]
pub struct Built {
    /// Name of the scheduler.
    pub name: String,
    /// The object, or the text asked for.
    pub bytes: Vec<u8>,
    /// All source files of the policy, the one given first.
    pub sources: Vec<PathBuf>,
    /// rustc's warnings about the policy; empty if there were none.
    pub warnings: String,
}

/// The compiler in use and its LLVM.
pub struct Compiler {
    rustc: Rustc,
    llvm: Llvm,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Compiler {
    /// Finds a compiler and loads its LLVM: the one that the variable `RUSTC` names, else the first that has one that can be
    /// loaded of `rustc` on the path, rustup's toolchains and the system's. Where none has one: the first for which another LLVM
    /// that is installed is new enough. The variable `SCXR_LLVM` names the library that is used in any case.
    pub fn new() -> Result<Self> {
        let (rustc, llvm) = Rustc::find()?;
        Ok(Self { rustc, llvm })
    }

    /// Uses the compiler at `rustc`, with its own LLVM or another that reads its bitcode.
    pub fn with_rustc(rustc: impl Into<PathBuf>) -> Result<Self> {
        let rustc = Rustc::at(rustc.into())?;
        let llvm = rustc.llvm()?;
        Ok(Self { rustc, llvm })
    }

    /// One line that tells compiler and LLVM.
    pub fn describe(&self) -> String {
        let foreign = if self.rustc.is_foreign(&self.llvm) { ", not the compiler's own" } else { "" };
        let (release, llvm) = (self.rustc.release(), &self.llvm);
        format!("rustc {release}, LLVM {} ({}{foreign})", llvm.version(), llvm.path().display())
    }

    /// Compiles the policy at `source`.
    pub fn compile(&self, source: &Path, options: &Options) -> Result<Built> {
        let source = source.canonicalize().map_err(|e| Error::Io { path: source.to_owned(), source: e })?;
        let name = options.name.clone().unwrap_or_else(|| policy_name(&source));
        let temporary = tempfile::tempdir().map_err(|e| Error::Io { path: std::env::temp_dir(), source: e })?;
        let cache = options.cache.clone().unwrap_or_else(|| temporary.path().join("cache"));
        // rustc writes paths as they are given, and files of the policy crate are known by theirs
        let cache = std::path::absolute(&cache).map_err(|source| Error::Io { path: cache, source })?;
        let policy_crate = policy_crate(&self.rustc, RUSTC_FLAGS, &cache)?;
        let front = self.front_end(&source, &name, &policy_crate, temporary.path())?;
        let bytes = self.back_end(&front.bitcode, &source, &name, &policy_crate, options)?;
        Ok(Built { name, bytes, sources: front.sources, warnings: front.warnings })
    }

    /// Makes an object of a module that rustc wrote elsewhere, with the flags of this driver, on any 64-bit little-endian host:
    /// `bitcode` is of this LLVM's version or an older one. Positions in refusals are relative to `folder`, where the policy was.
    pub fn retarget(&self, bitcode: &[u8], name: &str, folder: &Path, options: &Options) -> Result<Vec<u8>> {
        self.back_end(bitcode, &folder.join("policy.rs"), name, &folder.join("policy-crate"), options)
    }

    /// rustc's part: the policy as LLVM bitcode of the host.
    fn front_end(&self, source: &Path, name: &str, policy_crate: &Path, work: &Path) -> Result<Front> {
        let crate_name = format!("{name}_policy");
        let out = |extension: &str| work.join(&crate_name).with_extension(extension);
        let (root, bitcode, deps) = (work.join("root.rs"), out("bc"), out("d"));
        let text = format!("#![no_std]\n#[path = {source:?}]\npub mod policy;\n");
        write(&root, text.as_bytes())?;
        let mut command = self.rustc.command();
        command
            .args(RUSTC_FLAGS)
            .args(["--crate-type=lib", "--crate-name", &crate_name, "--emit=llvm-bc,dep-info"])
            .arg("--out-dir")
            .arg(work);
        command.arg("--extern").arg(extern_of("scxr_policy", policy_crate));
        command.arg(&root);
        let warnings = run(command, source)?;
        let bitcode = std::fs::read(&bitcode).map_err(|source| Error::Io { path: bitcode, source })?;
        let deps = std::fs::read_to_string(&deps).map_err(|source| Error::Io { path: deps, source })?;
        let mut sources = vec![source.to_owned()];
        sources.extend(dependencies(&deps).filter(|p| *p != root && p != source));
        sources.dedup();
        Ok(Front { bitcode, sources, warnings })
    }

    /// LLVM's part and what comes after it.
    fn back_end(
        &self,
        bitcode: &[u8],
        source: &Path,
        name: &str,
        policy_crate: &Path,
        options: &Options,
    ) -> Result<Vec<u8>> {
        let fail = |why: String| Error::Llvm { name: name.to_owned(), why };
        let machine = Machine::new(&self.llvm, options.cpu.name()).map_err(fail)?;
        let module = Module::parse(&self.llvm, bitcode).map_err(fail)?;
        let session = Session::begin();
        let descriptions = prepare(&module, &machine);
        module.run(EARLY_PASSES, &machine).map_err(fail)?;
        let mut lowered = Lowered { descriptions, ..lower::lower(&module, &session)? };
        module.verify().map_err(fail)?;
        module.run("default<O3>", &machine).map_err(fail)?;
        // LLVM keeps relocations of fields whose values nobody uses, and branches around them
        for _ in 0..UNUSED_ROUNDS_MAX {
            if module.drop_unused("llvm.bpf.passthrough") == 0 {
                break;
            }
            module.run(LATE_PASSES, &machine).map_err(fail)?;
        }
        module.drop_unused_variables();
        lower::divide(&module);
        let folder = source.parent().unwrap_or(Path::new("/"));
        let (places, refused) =
            (Places { policy: folder, policy_crate }, |refusals| Error::Refused { name: name.to_owned(), refusals });
        let mut refusals = check::refusals(&module, &lowered.kfuncs, &places);
        refusals.extend(check::recursion(&module, &places));
        refusals.extend(check::code::refusals(&module, options.cpu, &places));
        if !refusals.is_empty() {
            // what a panic would print comes along with it and has no place in the policy
            let placed = refusals.iter().any(|r| r.site.is_some());
            refusals.retain(|r| !placed || r.site.is_some());
            refusals.sort();
            return Err(refused(refusals));
        }
        let defined = module.functions().into_iter().filter(|&f| !module.is_declaration(f));
        lowered.parameters = defined.map(|f| (module.name(f), module.parameters(f))).collect();
        module.attribute_lines(|file| places.owns(file));
        let emit = |kind| {
            module
                .emit(&machine, kind)
                .map_err(|text| check::from_diagnostics(&text, &places).map_or_else(fail, refused))
        };
        match options.emit {
            Emit::LlvmIr => Ok(module.print().into_bytes()),
            Emit::Assembly => emit(0),
            Emit::Object => {
                let elf = emit(1)?;
                let deep = check::stack::refusals(&module, &elf, &places);
                if deep.is_empty() { finish(name, &elf, &lowered, folder, policy_crate) } else { Err(refused(deep)) }
            }
        }
    }
}

/// Compiles the policy crate with these flags unless it is there, and returns the folder of `libscxr_policy.rlib`; its functions are
/// inlined into the policy from it.
pub(crate) fn policy_crate(rustc: &Rustc, flags: &[&str], cache: &Path) -> Result<PathBuf> {
    let folder = cache.join(format!("policy-{:016x}", key_of(embedded::FILES, rustc.identity(), flags)));
    embedded_crate(rustc, flags, "scxr_policy", embedded::FILES, &[], folder)
}

/// The same of the runtime crate, over that policy crate: the folder of `libscxr_runtime.rlib`.
pub(crate) fn runtime_crate(rustc: &Rustc, flags: &[&str], policy: &Path, cache: &Path) -> Result<PathBuf> {
    let policy_key = policy.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of = [flags, &[policy_key.as_str()]].concat();
    let folder = cache.join(format!("runtime-{:016x}", key_of(embedded::RUNTIME, rustc.identity(), &of)));
    embedded_crate(rustc, flags, "scxr_runtime", embedded::RUNTIME, &[("scxr_policy", policy)], folder)
}

/// Compiles a crate whose sources are in this driver, unless it is there.
fn embedded_crate(
    rustc: &Rustc,
    flags: &[&str],
    name: &str,
    files: &[(&str, &str)],
    over: &[(&str, &Path)],
    folder: PathBuf,
) -> Result<PathBuf> {
    let file = format!("lib{name}.rlib");
    let library = folder.join(&file);
    if library.is_file() {
        return Ok(folder);
    }
    for (name, text) in files {
        write(&folder.join("src").join(name), text.as_bytes())?;
    }
    let root = folder.join("src/lib.rs");
    let mut command = rustc.command();
    // written elsewhere first: two builds may share the cache
    let partial = tempfile::tempdir_in(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
    command.args(flags).args(["--crate-type=lib", "--cap-lints=allow", "--emit=link", "--crate-name", name]);
    over.iter().for_each(|(name, folder)| _ = command.arg("--extern").arg(extern_of(name, folder)));
    command.arg("--out-dir").arg(partial.path()).arg(&root);
    run(command, &root)?;
    std::fs::rename(partial.path().join(file), &library).map_err(|source| Error::Io { path: library, source })?;
    Ok(folder)
}

/// `--extern`'s value for a crate that was compiled into a folder.
pub(crate) fn extern_of(name: &str, folder: &Path) -> String {
    format!("{name}={}", folder.join(format!("lib{name}.rlib")).display())
}

struct Front {
    bitcode: Vec<u8>,
    sources: Vec<PathBuf>,
    warnings: String,
}

/// Flags of both runs of rustc. Passes are LLVM's affair later on; checks of overflow would be panics.
const RUSTC_FLAGS: &[&str] = &[
    "--edition=2024",
    "--cfg=bpf",
    "--check-cfg=cfg(bpf)",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Cdebuginfo=2",
    "-Ccodegen-units=1",
    "-Coverflow-checks=off",
    "-Cdebug-assertions=off",
    "-Crelocation-model=static",
    "-Cno-prepopulate-passes",
    "-Cforce-unwind-tables=no",
    "-Cno-vectorize-loops",
    "-Cno-vectorize-slp",
    "-Cembed-bitcode=no",
];

/// What the names of descriptions begin with.
const DESCRIPTION: &str = "scxr.doc:";

/// The tags of a description: a type, a zero, documentation; or documentation alone.
fn tags(text: &str) -> Vec<String> {
    let (written, doc) = text.split_once('\0').unwrap_or(("", text));
    // `stringify!` has spaces as it likes
    let written = written.split_whitespace().collect::<String>().replace(',', ", ").replace(';', "; ");
    let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = [("rust", &written), ("doc", &doc)];
    parts.iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| format!("{key}:{text}")).collect()
}

/// Makes rustc's module one for BPF; the tags of its state by what they describe, which it holds no longer.
fn prepare(module: &Module<'_>, machine: &Machine<'_>) -> BTreeMap<String, Vec<String>> {
    module.retarget(machine);
    let mut descriptions = BTreeMap::new();
    for global in module.globals() {
        let name = module.name(global);
        let Some(variable) = name.strip_prefix(DESCRIPTION) else { continue };
        if let Some(text) = module.take_bytes(global) {
            descriptions.insert(variable.to_owned(), tags(&String::from_utf8_lossy(&text)));
        }
    }
    for function in module.functions() {
        module.strip_attributes(function, HOST_ATTRIBUTES);
        if is_private(module, function) {
            module.set_linkage(function, linkage::INTERNAL);
        }
    }
    module.order_maps(".maps");
    let mut nr_formats = 0;
    for global in module.globals() {
        if is_private(module, global) {
            module.set_linkage(global, linkage::INTERNAL);
        }
        // the policy crate's formats are data that users of the object see: they get a name that can be read
        if module.name(global).contains("FORMAT") && !module.is_declaration(global) {
            module.rename(global, &format!("__format_{nr_formats}"));
            nr_formats += 1;
        }
    }
    descriptions
}

/// Whether it has a mangled name: only what the policy's macros name themselves is for the loader.
fn is_private(module: &Module<'_>, value: crate::llvm::Value) -> bool {
    let name = module.name(value);
    let mangled = name.starts_with("_R") || name.starts_with("_ZN");
    mangled && !module.is_declaration(value) && module.linkage(value) == linkage::EXTERNAL
}

fn finish(name: &str, elf: &[u8], lowered: &Lowered, folder: &Path, policy_crate: &Path) -> Result<Vec<u8>> {
    object::finish(name, elf, lowered, &[(folder, ""), (policy_crate, "scxr-policy/")])
}

/// Runs rustc and returns what it printed, which is warnings if it succeeded.
pub(crate) fn run(mut command: Command, source: &Path) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| Error::RustcMissing { rustc: program, source })?;
    let diagnostics = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(diagnostics)
    } else {
        Err(Error::Compile { source_file: source.to_owned(), diagnostics })
    }
}

/// The files that a dependency file names as sources: those that have a rule of their own, without prerequisites.
pub(crate) fn dependencies(text: &str) -> impl Iterator<Item = PathBuf> {
    let rules = text.lines().filter_map(|line| line.strip_suffix(':'));
    rules.map(|file| PathBuf::from(file.replace("\\ ", " ")))
}

pub(crate) fn write(path: &Path, data: &[u8]) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    std::fs::write(path, data).map_err(io)
}

/// Of a compiler's identity, the flags and a crate's sources: the key of the compiled crate.
fn key_of(files: &[(&str, &str)], identity: &str, flags: &[&str]) -> u64 {
    let parts = files.iter().flat_map(|(name, text)| [*name, *text]);
    fnv(std::iter::once(identity).chain(flags.iter().copied()).chain(parts).map(str::as_bytes))
}

/// FNV-1a over parts, with a mark before each.
pub(crate) fn fnv<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    parts.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| part.iter().fold(step(hash, &0), step))
}

/// The scheduler's name that a path gives: the folder's for `NAME/policy.rs` and `NAME/src/policy.rs`, else the file's;
/// what is no identifier becomes underscores.
pub fn policy_name(source: &Path) -> String {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    let stem = text(source.file_stem()).unwrap_or_default();
    let folders = source.ancestors().skip(1).filter_map(|a| text(a.file_name()));
    let name = if stem == "policy" { folders.into_iter().find(|f| f != "src").unwrap_or(stem) } else { stem };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_paths() {
        for (path, expect) in [
            ("/a/simple/policy.rs", "simple"),
            ("/a/simple/src/policy.rs", "simple"),
            ("/a/my-sched.rs", "my_sched"),
            ("/a/2fast.rs", "_2fast"),
        ] {
            assert_eq!(policy_name(Path::new(path)), expect, "{path}");
        }
    }

    #[test]
    fn sources_are_the_rules_without_prerequisites() {
        let text =
            "/t/policy.bc: /t/root.rs /a\\ b/policy.rs /a/shared.rs\n\n/t/root.rs:\n/a\\ b/policy.rs:\n/a/shared.rs:\n";
        let found: Vec<PathBuf> = dependencies(text).collect();
        assert_eq!(found, ["/t/root.rs", "/a b/policy.rs", "/a/shared.rs"].map(PathBuf::from));
    }
}
