//! The Rust compiler in use, and the LLVM that it is linked with, or one in its place ([`llvms`]).

mod llvms;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf::FileHeader64};

use crate::error::{Error, Result};
use crate::llvm::Llvm;

/// The oldest compiler that the policy crate and this driver are written for.
const MIN_RUSTC: (u32, u32) = (1, 90);
pub(crate) const MIN_RUSTC_TEXT: &str = "1.90";

/// A Rust compiler that was asked for its version.
pub(crate) struct Rustc {
    path: PathBuf,
    sysroot: PathBuf,
    release: String,
    verbose: String,
}

impl fmt::Debug for Rustc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.path.display(), self.release, self.sysroot.display())
    }
}

impl Rustc {
    /// The one that `RUSTC` names, else the first `rustc` on the path.
    pub(crate) fn preferred() -> Result<Self> {
        Self::at(std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from))
    }

    /// The first compiler whose LLVM can be loaded, with it: the one that `RUSTC` names and no other; else the one on the
    /// path, then rustup's toolchains (stable, then numbered ones, newest first), then those of the system. Where none has one,
    /// the first of them for which another LLVM does.
    pub(crate) fn find() -> Result<(Self, Llvm)> {
        let (mut tried, mut without) = (Vec::new(), Vec::new());
        for path in candidates() {
            let rustc = match Self::at(path.clone()) {
                Ok(rustc) => rustc,
                Err(error) => {
                    tried.push((path, error));
                    continue;
                }
            };
            match rustc.own_llvm() {
                Ok(llvm) => return Ok((rustc, llvm)),
                Err(why) => without.push((rustc, why)),
            }
        }
        if without.is_empty() && tried.len() == 1 {
            return Err(tried.remove(0).1);
        }
        if llvms::explicit().is_some() && !without.is_empty() {
            return Err(without.remove(0).1);
        }
        let needs = without.first().and_then(|(rustc, _)| rustc.llvm_major());
        let mut all: Vec<(PathBuf, String)> = tried.into_iter().map(|(path, why)| (path, why.to_string())).collect();
        for (i, (rustc, own)) in without.into_iter().enumerate() {
            match rustc.other_llvm() {
                Ok(llvm) => return Ok((rustc, llvm)),
                Err(others) => all.insert(i, (rustc.path, format!("{own}{others}"))),
            }
        }
        Err(Error::NoToolchain { tried: all, needs })
    }

    /// The one at `path`.
    pub(crate) fn at(path: PathBuf) -> Result<Self> {
        let verbose = ask(&path, &["-vV"])?;
        let field = |key: &str| verbose.lines().find_map(|l| l.strip_prefix(key)).map(|v| v.trim().to_owned());
        let Some(release) = field("release:") else {
            return Err(Error::RustcAnswer { rustc: path, answer: verbose });
        };
        if !new_enough(&release) {
            return Err(Error::RustcTooOld { rustc: path, found: release });
        }
        let sysroot = PathBuf::from(ask(&path, &["--print", "sysroot"])?.trim());
        Ok(Self { path, sysroot, release, verbose })
    }

    /// Its release, such as `1.95.0`.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// What tells this compiler from every other one.
    pub(crate) fn identity(&self) -> &str {
        &self.verbose
    }

    /// A run of it.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// The major version of the LLVM that is in it; `None` where it has another back end.
    fn llvm_major(&self) -> Option<u32> {
        let version = self.verbose.lines().find_map(|l| l.strip_prefix("LLVM version:"))?;
        version.trim().split('.').next()?.parse().ok()
    }

    /// Whether `llvm` is not what it is linked with.
    pub(crate) fn is_foreign(&self, llvm: &Llvm) -> bool {
        self.llvm_file().ok().as_deref() != Some(llvm.path())
    }

    /// Loads its own LLVM, else another one that reads what it writes.
    pub(crate) fn llvm(&self) -> Result<Llvm> {
        let why = match self.own_llvm() {
            Ok(llvm) => return Ok(llvm),
            Err(why) if llvms::explicit().is_some() => return Err(why),
            Err(why) => why,
        };
        self.other_llvm().map_err(|others| Error::NoToolchain {
            tried: vec![(self.path.clone(), format!("{why}{others}"))],
            needs: self.llvm_major(),
        })
    }

    /// Loads the LLVM that `SCXR_LLVM` names, else the one that the compiler itself is linked with.
    fn own_llvm(&self) -> Result<Llvm> {
        let Some(named) = llvms::explicit() else { return Llvm::load(&self.llvm_file()?) };
        let needs = self.llvm_major().unwrap_or_default();
        llvms::load(&named, needs).map_err(|why| Error::LlvmNamed {
            library: named,
            why,
            release: self.release.clone(),
            needs,
        })
    }

    /// Loads another LLVM; the error lists those that were looked at.
    fn other_llvm(&self) -> Result<Llvm, String> {
        let Some(needs) = self.llvm_major() else { return Err(String::new()) };
        let (fit, mut refused) = llvms::choose(needs, llvms::installed());
        for library in fit {
            match llvms::load(&library, needs) {
                Ok(llvm) => return Ok(llvm),
                Err(why) => refused.push((library, why)),
            }
        }
        let listed: String = refused.iter().map(|(path, why)| format!("\n    {}: {why}", path.display())).collect();
        let none = if listed.is_empty() { ": there is none" } else { ":" };
        Err(format!(
            "\n  and no other LLVM here that reads what this compiler writes, version {needs} or newer{none}{listed}"
        ))
    }

    /// What of the system decides which LLVM is used: a key changes where another one would be.
    pub(crate) fn llvm_key(&self) -> String {
        let own = || self.llvm_file().ok().map(|file| llvms::fingerprint(&file));
        let others = || llvms::installed().iter().map(|library| llvms::fingerprint(&library.path)).collect();
        llvms::explicit().map(|named| llvms::fingerprint(&named)).or_else(own).unwrap_or_else(others)
    }

    /// The LLVM that the compiler itself is linked with: a file, or a name that the dynamic loader knows.
    ///
    /// The driver library of rustc (`librustc_driver-*.so`) names it among the libraries that it needs; rustup's toolchains
    /// keep it beside the driver, distributions where the dynamic loader finds it.
    fn llvm_file(&self) -> Result<PathBuf> {
        let folders = self.library_folders();
        let needed = folders.iter().flat_map(|folder| drivers(folder)).find_map(|driver| needed_llvm(&driver));
        let Some(needed) = needed else {
            let looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
            return Err(Error::LlvmMissing { rustc: self.path.clone(), looked: looked.join(", ") });
        };
        let beside = folders.iter().map(|folder| folder.join(&needed)).find(|file| file.is_file());
        Ok(beside.unwrap_or_else(|| PathBuf::from(&needed)))
    }

    fn library_folders(&self) -> Vec<PathBuf> {
        let lib = self.sysroot.join("lib");
        let host = self.verbose.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or_default();
        let architecture = host.split('-').next().unwrap_or_default();
        let multiarch = lib.join(format!("{architecture}-linux-gnu"));
        vec![lib.clone(), multiarch, self.sysroot.join("lib64")]
    }
}

/// Compilers to try, in order.
pub(crate) fn candidates() -> Vec<PathBuf> {
    std::env::var_os("RUSTC").map_or_else(installed_compilers, |named| vec![named.into()])
}

/// The one on the path, then rustup's, then the system's.
fn installed_compilers() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".rustup")));
    let mut all = vec![PathBuf::from("rustc")];
    all.extend(rustup.into_iter().flat_map(|r| toolchains(&r.join("toolchains"))));
    all.extend(["/usr/bin", "/usr/local/bin"].map(|d| Path::new(d).join("rustc")));
    all.extend(toolchains(Path::new("/usr/lib")).into_iter().filter(|p| p.starts_with("/usr/lib/rust-")));
    // the first is asked even if it is not there: that is what most people miss
    let mut seen = BTreeSet::new();
    all.retain(|p| p.as_os_str() == "rustc" || p.is_file() && seen.insert(p.canonicalize().ok()));
    all
}

/// `FOLDER/*/bin/rustc`: stable, then by version from the newest on; unstable ones last.
fn toolchains(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut named: Vec<(String, PathBuf)> =
        entries.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path().join("bin/rustc"))).collect();
    named.sort_by_key(|(name, _)| preference(name));
    named.into_iter().map(|(_, path)| path).collect()
}

/// Sorts names of toolchains, the best first.
fn preference(name: &str) -> (u8, std::cmp::Reverse<Vec<u32>>, String) {
    let version =
        name.trim_start_matches("rust-").split(['.', '-']).map_while(|p| p.parse().ok()).collect::<Vec<u32>>();
    let class = match name {
        _ if name.starts_with("stable") => 0,
        _ if !version.is_empty() => 1,
        _ if name.starts_with("beta") => 2,
        _ => 3,
    };
    (class, std::cmp::Reverse(version), name.to_owned())
}

fn ask(rustc: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(rustc).args(args).output();
    let output = output.map_err(|source| Error::RustcMissing { rustc: rustc.to_owned(), source })?;
    if !output.status.success() {
        let answer = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::RustcAnswer { rustc: rustc.to_owned(), answer });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn new_enough(release: &str) -> bool {
    let mut parts = release.split(['.', '-']).map(|p| p.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= MIN_RUSTC
}

/// The driver libraries of a folder, in order of their names.
fn drivers(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let is_driver = |p: &PathBuf| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("librustc_driver") && name.contains(".so")
    };
    let mut found: Vec<PathBuf> = entries.filter(is_driver).collect();
    found.sort();
    found
}

/// The name of the libLLVM that a shared library needs.
fn needed_llvm(driver: &Path) -> Option<String> {
    let file = std::fs::File::open(driver).ok()?;
    let cache = object::ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &cache).ok()?;
    let segments = header.program_headers(endian, &cache).ok()?;
    let dynamic = segments.iter().find_map(|s| s.dynamic(endian, &cache).ok().flatten())?;
    let (_, link) = sections.dynamic(endian, &cache).ok()??;
    let strings = sections.strings(endian, &cache, link).ok()?;
    let needed = dynamic.iter().filter(|d| d.tag32(endian) == Some(object::elf::DT_NEEDED));
    let names = needed.filter_map(|d| strings.get(d.d_val.get(endian) as u32).ok());
    names.map(|n| String::from_utf8_lossy(n).into_owned()).find(|n| n.starts_with("libLLVM"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, expect) in
            [("1.95.0", true), ("1.90.0", true), ("1.89.9", false), ("2.0.0", true), ("1.100.0-nightly", true)]
        {
            assert_eq!(new_enough(release), expect, "{release}");
        }
    }

    #[test]
    fn toolchains_are_tried_from_the_best_on() {
        let mut names = ["nightly-x", "1.90.0-x", "beta-x", "1.100.1-x", "stable-x", "rust-1.95"];
        names.sort_by_key(|name| preference(name));
        assert_eq!(names, ["stable-x", "1.100.1-x", "rust-1.95", "1.90.0-x", "beta-x", "nightly-x"]);
    }

    #[test]
    fn a_missing_compiler_is_named() {
        let error = Rustc::at(PathBuf::from("/nowhere/rustc")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/rustc") && error.contains("1.90"), "{error}");
    }

    #[test]
    fn what_is_no_compiler_is_said() {
        let error = Rustc::at(PathBuf::from("/bin/echo")).unwrap_err().to_string();
        assert!(error.contains("does not answer"), "{error}");
    }
}
