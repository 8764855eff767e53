//! LLVMs other than a compiler's own, for compilers that have theirs linked in statically.
//!
//! An LLVM reads the bitcode of older ones. So where a compiler has no library that can be loaded, another one will do whose
//! major version is the compiler's or a later one and that has a BPF back end: of another toolchain, or of the system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installed_compilers;
use crate::error::Error;
use crate::llvm::Llvm;

/// Names a library, which is then used whatever else there is.
pub(crate) const VARIABLE: &str = "SCXR_LLVM";

/// A libLLVM that was found, and the major version that its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Library {
    pub(super) path: PathBuf,
    pub(super) major: Option<u32>,
}

/// What [`VARIABLE`] names; `None` also where it is empty.
pub(super) fn explicit() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// All that are installed: those of Rust toolchains, of LLVM packages, and what the dynamic loader knows; each file once.
pub(super) fn installed() -> Vec<Library> {
    let compilers = installed_compilers().into_iter().filter_map(|p| Some(p.parent()?.parent()?.join("lib")));
    let mut folders: Vec<PathBuf> = compilers.collect();
    for (folder, begins) in [("/usr/lib", "llvm"), ("/usr/lib64", "llvm"), ("/opt", "llvm"), ("/usr/local", "llvm")] {
        let versions = entries(Path::new(folder)).into_iter().filter(|p| file_name(p).starts_with(begins));
        folders.extend(versions.flat_map(|p| [p.join("lib"), p.join("lib64")]));
    }
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| entries(folder)).collect();
    files.extend(known_to_the_loader());
    let mut seen = BTreeSet::new();
    let libraries = files.into_iter().filter(|p| is_llvm(&file_name(p)) && p.is_file());
    let libraries = libraries.filter(|p| seen.insert(p.canonicalize().ok()));
    libraries.map(|path| Library { major: major_of(&path), path }).collect()
}

/// Those that may read what LLVM `needs` wrote, the nearest version first; and what is wrong with the others.
pub(super) fn choose(needs: u32, mut libraries: Vec<Library>) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    // one whose name tells nothing is looked at last
    libraries.sort_by_key(|library| library.major.unwrap_or(u32::MAX));
    let is_old = |library: &Library| library.major.is_some_and(|major| major < needs);
    let (old, fit): (Vec<Library>, Vec<Library>) = libraries.into_iter().partition(is_old);
    let why = |major: Option<u32>| too_old(major.unwrap_or_default());
    let old = old.into_iter().map(|library| (library.path, why(library.major)));
    (fit.into_iter().map(|library| library.path).collect(), old.collect())
}

/// Loads a library, if it reads what LLVM `needs` wrote; else what is wrong with it.
pub(super) fn load(path: &Path, needs: u32) -> Result<Llvm, String> {
    let llvm = Llvm::load(path).map_err(|error| match error {
        Error::LlvmUnusable { why, .. } => why,
        other => other.to_string(),
    })?;
    if llvm.major() >= needs { Ok(llvm) } else { Err(too_old(llvm.major())) }
}

fn too_old(major: u32) -> String {
    format!("it is LLVM {major}")
}

/// A file as a key tells it from a later one of the same name.
pub(super) fn fingerprint(path: &Path) -> String {
    let metadata = std::fs::metadata(path).ok();
    let time = metadata.as_ref().and_then(|m| m.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok());
    let (size, time) = (metadata.map_or(0, |m| m.len()), time.unwrap_or_default().as_nanos());
    format!("{} {size} {time}\n", path.display())
}

/// `libLLVM.so`, `libLLVM.so.22.1`, `libLLVM-22.so`, `libLLVM-15.so.1`: the whole of LLVM, not a part such as `libLLVMSupport.so`.
fn is_llvm(name: &str) -> bool {
    let rest = name.strip_prefix("libLLVM").unwrap_or_default();
    rest == ".so" || rest.starts_with(".so.") || (rest.starts_with('-') && rest.contains(".so"))
}

/// The number behind `libLLVM-` or `libLLVM.so.`, of the file or of what it is a link to; else that of the folder `llvm-22`.
fn major_of(path: &Path) -> Option<u32> {
    let number = |text: &str| {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        text[..digits].parse().ok()
    };
    let of_name = |path: &Path| {
        let name = file_name(path);
        let rest = name.strip_prefix("libLLVM.so.").or_else(|| name.strip_prefix("libLLVM-"));
        number(rest.unwrap_or_default())
    };
    let of_folder =
        || path.ancestors().find_map(|p| number(file_name(p).strip_prefix("llvm")?.trim_start_matches('-')));
    of_name(path).or_else(|| of_name(&path.canonicalize().ok()?)).or_else(of_folder)
}

fn known_to_the_loader() -> Vec<PathBuf> {
    let asked = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"];
    let answer = asked.iter().find_map(|program| Command::new(program).arg("-p").output().ok());
    let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // name (what it is for) => file
    text.lines().filter_map(|line| line.split_once(" => ")).map(|(_, file)| PathBuf::from(file.trim())).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.sort();
    found
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_by_their_names() {
        for (path, is, major) in [
            ("/r/lib/libLLVM-22-rust-1.95.0-stable.so", true, Some(22)),
            ("/r/lib/libLLVM.so.22.1-rust-1.95.0-stable", true, Some(22)),
            ("/lib/x86_64-linux-gnu/libLLVM.so.19.1", true, Some(19)),
            ("/lib/x86_64-linux-gnu/libLLVM-15.so.1", true, Some(15)),
            ("/usr/lib/llvm-20/lib/libLLVM.so", true, Some(20)),
            ("/usr/lib64/llvm21/lib64/libLLVM.so", true, Some(21)),
            ("/opt/own/libLLVM.so", true, None),
            ("/usr/lib/libLLVMSupport.so.19", false, None),
            ("/usr/lib/libclang.so", false, None),
            ("/usr/lib/llvm-19/lib/libLLVM-19.a", false, Some(19)),
        ] {
            assert_eq!((is_llvm(&file_name(Path::new(path))), major_of(Path::new(path))), (is, major), "{path}");
        }
    }

    #[test]
    fn the_nearest_that_is_new_enough_goes_first() {
        let library = |path: &str, major| Library { path: path.into(), major };
        let found = vec![library("u", None), library("23", Some(23)), library("19", Some(19)), library("22", Some(22))];
        let (fit, old) = choose(21, found);
        assert_eq!(fit, ["22", "23", "u"].map(PathBuf::from));
        assert_eq!(old, [(PathBuf::from("19"), "it is LLVM 19".to_owned())]);
    }

    #[test]
    fn what_is_no_library_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("libLLVM.so");
        std::fs::write(&file, "no library").expect("a file");
        let why = load(&file, 20).err().expect("it is text");
        assert!(why.contains("libLLVM.so"), "{why}");
        let before = fingerprint(&file);
        std::fs::write(&file, "none either").expect("a file");
        assert_ne!(fingerprint(&file), before);
    }
}
