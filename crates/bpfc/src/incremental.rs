//! Building into a file, and not at all where nothing changed.
//!
//! Beside the output a folder `.scxr-build` holds the compiled policy crate and, for each output, a stamp: hashes of all that the
//! output was made of (driver, compiler, LLVM, options, source files) and of the output itself. Where all are the same the stamp
//! answers; that costs one `rustc -vV`. A stamp that cannot be read is as good as none.

use std::path::{Path, PathBuf};

use crate::compiler::{Compiler, Options, embedded, fnv, policy_name, write};
use crate::error::{Error, Result};
use crate::toolchain::Rustc;

/// Where intermediate files are kept, in the folder of the output.
const FOLDER: &str = ".scxr-build";
/// First line of a stamp.
const HEADER: &str = "scxr-build 1";

/// What [`build`] wrote, or found written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The file.
    pub path: PathBuf,
    /// Name of the scheduler.
    pub name: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Whether it was compiled now; else nothing had changed.
    pub compiled: bool,
    /// All source files, the one given first.
    pub sources: Vec<PathBuf>,
    /// rustc's warnings, also of a former build; empty if there were none.
    pub warnings: String,
    /// Compiler and LLVM.
    pub toolchain: String,
}

/// Compiles the policy at `source` into `output` (`NAME.bpf.o`, `NAME.ll` or `NAME.s` in the current folder if `None`), unless
/// it is there and made of the same. [`Options::cache`] defaults to the folder of stamps beside the output.
pub fn build(source: &Path, output: Option<&Path>, options: &Options) -> Result<Output> {
    let source = source.canonicalize().map_err(|e| Error::Io { path: source.to_owned(), source: e })?;
    let name = options.name.clone().unwrap_or_else(|| policy_name(&source));
    let path = output.map_or_else(|| PathBuf::from(format!("{name}{}", options.emit.suffix())), PathBuf::from);
    let folder = path.parent().unwrap_or(Path::new("")).join(FOLDER);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stamp_path = folder.join(format!("{file}.stamp"));
    let key = key(&source, &name, options)?;
    let old = std::fs::read_to_string(&stamp_path).ok().and_then(|text| Stamp::parse(&text));
    if let Some(stamp) = old.filter(|stamp| stamp.holds(key, &path)) {
        return Ok(stamp.output(path, name, false));
    }
    let compiler = Compiler::new()?;
    let cache = options.cache.clone().unwrap_or(folder);
    let built = compiler.compile(&source, &Options { cache: Some(cache), name: Some(name), ..options.clone() })?;
    write(&path, &built.bytes)?;
    let sources = built.sources.iter().map(|file| Some((hash_of(file)?, file.clone()))).collect::<Option<Vec<_>>>();
    let stamp = Stamp {
        key,
        output: fnv([built.bytes.as_slice()]),
        size: built.bytes.len() as u64,
        toolchain: compiler.describe(),
        sources: sources.unwrap_or_default(),
        warnings: built.warnings,
    };
    write(&stamp_path, stamp.print().as_bytes())?;
    Ok(Output { sources: built.sources, ..stamp.output(path, built.name, true) })
}

/// Of all that an output is made of but the source files' contents.
fn key(source: &Path, name: &str, options: &Options) -> Result<u64> {
    let rustc = Rustc::preferred();
    // one that cannot be used is as good as any other: what is used instead is decided by what is installed
    let identity = rustc.as_ref().map_or("none", |rustc| rustc.identity());
    let llvm = rustc.as_ref().map_or_else(|_| String::new(), Rustc::llvm_key);
    let driver = embedded::DRIVER.to_le_bytes();
    let files = embedded::FILES.iter().map(|(_, text)| text.as_bytes());
    let parts: [&[u8]; 7] = [
        &driver,
        identity.as_bytes(),
        llvm.as_bytes(),
        source.as_os_str().as_encoded_bytes(),
        name.as_bytes(),
        options.cpu.name().as_bytes(),
        options.emit.suffix().as_bytes(),
    ];
    Ok(fnv(parts.into_iter().chain(files)))
}

fn hash_of(file: &Path) -> Option<u64> {
    std::fs::read(file).ok().map(|bytes| fnv([bytes.as_slice()]))
}

/// What an output was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    key: u64,
    /// Hash of the output.
    output: u64,
    size: u64,
    toolchain: String,
    /// Source files and their hashes; empty if one could not be read again: such a stamp does not hold.
    sources: Vec<(u64, PathBuf)>,
    warnings: String,
}

impl Stamp {
    fn print(&self) -> String {
        let mut text = format!(
            "{HEADER}\nkey {:016x}\noutput {:016x}\nsize {}\ntoolchain {}\n",
            self.key, self.output, self.size, self.toolchain
        );
        for (hash, file) in &self.sources {
            text += &format!("source {hash:016x} {}\n", file.display());
        }
        for line in self.warnings.lines() {
            text += &format!("warning {line}\n");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut stamp = Self {
            key: hex(&field("key")?)?,
            output: hex(&field("output")?)?,
            size: field("size")?.parse().ok()?,
            toolchain: field("toolchain")?,
            sources: Vec::new(),
            warnings: String::new(),
        };
        for line in lines {
            match line.split_once(' ')? {
                ("source", rest) => {
                    let (hash, file) = rest.split_once(' ')?;
                    stamp.sources.push((hex(hash)?, file.into()));
                }
                ("warning", rest) => stamp.warnings += &format!("{rest}\n"),
                _ => return None,
            }
        }
        Some(stamp)
    }

    /// Is `path` what a build would write?
    fn holds(&self, key: u64, path: &Path) -> bool {
        let same = |(hash, file): &(u64, PathBuf)| hash_of(file) == Some(*hash);
        self.key == key
            && !self.sources.is_empty()
            && hash_of(path) == Some(self.output)
            && self.sources.iter().all(same)
    }

    fn output(&self, path: PathBuf, name: String, compiled: bool) -> Output {
        Output {
            path,
            name,
            size: self.size,
            compiled,
            sources: self.sources.iter().map(|(_, file)| file.clone()).collect(),
            warnings: self.warnings.clone(),
            toolchain: self.toolchain.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_round_trip() {
        let stamp = Stamp {
            key: 1,
            output: 0xff00_0000_0000_0002,
            size: 77,
            toolchain: "rustc 1.95.0, LLVM 22 (/a b/libLLVM.so)".to_owned(),
            sources: vec![(3, "/a b/policy.rs".into()), (4, "/c".into())],
            warnings: "warning: x\n --> y\n".to_owned(),
        };
        assert_eq!(Stamp::parse(&stamp.print()), Some(stamp));
        for text in ["", "scxr-build 0\n", "scxr-build 1\nkey x\n", "scxr-build 1\nkey 1\noutput 2\n"] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }
}
