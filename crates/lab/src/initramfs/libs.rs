//! What a program needs beside itself: its ELF interpreter and libraries, found as the dynamic linker finds them
//! (ld.so(8): DT_RPATH or DT_RUNPATH, the configured folders, the default ones), or the interpreter of a script.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

use super::InitramfsError;

/// Folders that every dynamic linker of this architecture looks in by itself.
const DEFAULT_DIRS: [&str; 7] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// Libraries and the like at most; more is a loop.
const FILES_MAX: usize = 1000;

/// What a program needs.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Path in the guest → file on the host.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// Folders that the guest's dynamic linker has to be told of.
    pub(super) extra_dirs: BTreeSet<String>,
}

/// What one ELF file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Elf {
    interpreter: Option<String>,
    needed: Vec<String>,
    run_path: Vec<String>,
}

/// All that a program needs beside itself, libraries of libraries included.
pub(super) fn needs(program: &Path) -> Result<Needs, InitramfsError> {
    let configured = configured_dirs(Path::new("/etc/ld.so.conf"), 0);
    let mut of = Needs::default();
    let mut open = vec![program.to_owned()];
    while let Some(path) = open.pop() {
        if of.files.len() > FILES_MAX {
            return Err(InitramfsError::NotAProgram { path, what: "it needs too many libraries" });
        }
        let bytes = fs::read(&path).map_err(|source| InitramfsError::Read { path: path.clone(), source })?;
        if let Some(script) = script_interpreter(&bytes) {
            add(&mut of, &mut open, script.clone(), PathBuf::from(script));
            continue;
        }
        let elf = parse(&bytes).map_err(|what| InitramfsError::NotAProgram { path: path.clone(), what })?;
        if let Some(interpreter) = elf.interpreter {
            add(&mut of, &mut open, interpreter.clone(), PathBuf::from(interpreter));
        }
        let origin = path.parent().unwrap_or(Path::new("/")).display().to_string();
        let own = elf.run_path.iter().map(|d| d.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", &origin));
        let dirs: Vec<String> = own.chain(configured.iter().cloned()).chain(DEFAULT_DIRS.map(str::to_owned)).collect();
        for library in elf.needed {
            let found = dirs.iter().find(|d| is_library(&Path::new(d).join(&library)));
            let dir =
                found.ok_or_else(|| InitramfsError::NoLibrary { path: path.clone(), library: library.clone() })?;
            if !DEFAULT_DIRS.contains(&dir.as_str()) {
                of.extra_dirs.insert(dir.clone());
            }
            let at = format!("{dir}/{library}");
            add(&mut of, &mut open, at.clone(), PathBuf::from(at));
        }
    }
    Ok(of)
}

fn add(of: &mut Needs, open: &mut Vec<PathBuf>, guest: String, host: PathBuf) {
    if of.files.insert(guest, host.clone()).is_none() {
        open.push(host);
    }
}

/// The program that a script's first line names.
fn script_interpreter(bytes: &[u8]) -> Option<String> {
    let line = bytes.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
}

/// Whether a file is an ELF file for this architecture (a linker script, say, is not).
fn is_library(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| header(&bytes).is_ok())
}

fn header(bytes: &[u8]) -> Result<&FileHeader64<LittleEndian>, &'static str> {
    let header =
        FileHeader64::<LittleEndian>::parse(bytes).map_err(|_| "it is neither an x86-64 ELF file nor a script")?;
    match header.endian().map(|e| header.e_machine(e)) {
        Ok(EM_X86_64) => Ok(header),
        _ => Err("it is for another architecture than x86-64"),
    }
}

fn parse(bytes: &[u8]) -> Result<Elf, &'static str> {
    let corrupt = |_| "it is corrupt";
    let endian = LittleEndian;
    let header = header(bytes)?;
    let mut elf = Elf::default();
    for segment in header.program_headers(endian, bytes).map_err(corrupt)? {
        if segment.p_type(endian) == PT_INTERP {
            let name = segment.data(endian, bytes).map_err(|()| "it is corrupt")?;
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            elf.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    let sections = header.sections(endian, bytes).map_err(corrupt)?;
    let Some((entries, strings)) = sections.dynamic(endian, bytes).map_err(corrupt)? else { return Ok(elf) };
    let strings = sections.strings(endian, bytes, strings).map_err(corrupt)?;
    for entry in entries {
        let tag = entry.tag32(endian).unwrap_or(0);
        if ![DT_NEEDED, DT_RPATH, DT_RUNPATH].contains(&tag) {
            continue;
        }
        let text = entry.string(endian, strings).map_err(corrupt)?;
        let text = String::from_utf8_lossy(text).into_owned();
        if tag == DT_NEEDED {
            elf.needed.push(text);
        } else {
            elf.run_path.extend(text.split(':').filter(|d| !d.is_empty()).map(str::to_owned));
        }
    }
    Ok(elf)
}

/// Folders of a linker configuration, with what it includes (`dir/*.conf` is all that is used of patterns).
fn configured_dirs(conf: &Path, depth: u32) -> Vec<String> {
    let text = fs::read_to_string(conf).unwrap_or_default();
    let mut dirs = Vec::new();
    for line in text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
        let Some(pattern) = line.strip_prefix("include").map(str::trim) else {
            dirs.push(line.trim_end_matches('/').to_owned());
            continue;
        };
        let pattern = conf.parent().unwrap_or(Path::new("/")).join(pattern);
        let folder = pattern.parent().unwrap_or(Path::new("/"));
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|e| e.path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == "conf") || *p == pattern);
        files.sort();
        if depth < 4 {
            dirs.extend(files.iter().flat_map(|f| configured_dirs(f, depth + 1)));
        }
    }
    dirs
}

/// A 64-bit ELF file without what is behind its segments: symbols and debug information, which nothing reads in a guest,
/// and which are most of some programs. Other files stay as they are.
pub(super) fn trimmed(mut file: Vec<u8>) -> Vec<u8> {
    let number = |at: usize, size: usize| -> Option<u64> {
        Some(file.get(at..at + size)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    };
    let end = || -> Option<u64> {
        // Magic, 64 bits, little endian.
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let (table, size, nr) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        let segment_end = |i: u64| {
            let at = usize::try_from(table + i * size).ok()?;
            number(at + 8, 8)?.checked_add(number(at + 0x20, 8)?)
        };
        (0..nr).try_fold(table + nr * size, |end, i| Some(end.max(segment_end(i)?)))
    };
    if let Some(end) = end().and_then(|end| usize::try_from(end).ok()).filter(|end| *end >= 64 && *end < file.len()) {
        file.truncate(end);
        // There is no table of sections any more.
        file[0x28..0x30].fill(0);
        file[0x3c..0x40].fill(0);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trimmed_program_runs() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let small = trimmed(whole.clone());
        assert!(small.len() < whole.len() * 3 / 4, "{} of {}", small.len(), whole.len());
        assert_eq!(trimmed(small.clone()), small);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        std::fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        std::fs::write(&path, small).unwrap();
        let status = std::process::Command::new(&path).args(["--list", "--quiet"]).output().unwrap().status;
        assert!(status.success(), "{status}");
    }

    #[test]
    fn what_is_no_program_stays_as_it_is() {
        for file in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x02\x01", &[0xff; 80]] {
            assert_eq!(trimmed(file.to_vec()), file);
        }
    }

    #[test]
    fn a_dynamic_program_brings_its_libraries() {
        // This test is a dynamic program wherever glibc is the C library.
        let needs = needs(&std::env::current_exe().unwrap()).unwrap();
        for part in ["libc.so.6", "ld-linux"] {
            assert!(needs.files.keys().any(|p| p.contains(part)), "{part}: {needs:?}");
        }
        assert!(needs.files.values().all(|p| p.is_file()), "{needs:?}");
    }

    #[test]
    fn scripts_bring_their_interpreter() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("s");
        fs::write(&script, "#! /bin/sh -e\necho\n").unwrap();
        let needs = needs(&script).unwrap();
        assert!(needs.files.contains_key("/bin/sh"), "{needs:?}");
        assert!(needs.files.len() > 1, "{needs:?}");
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for (bytes, expect) in
            [(&b"text"[..], "neither"), (b"\x7fELF", "neither"), (b"#!/no/such/thing\n", "/no/such/thing")]
        {
            fs::write(&path, bytes).unwrap();
            let error = needs(&path).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn linker_configurations_include_others() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("ld.so.conf");
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(&conf, "/opt/a/ # x\ninclude d/*.conf\n").unwrap();
        fs::write(dir.path().join("d/2.conf"), "/opt/c\n").unwrap();
        fs::write(dir.path().join("d/1.conf"), "# none\n/opt/b\n").unwrap();
        fs::write(dir.path().join("d/x"), "/opt/x\n").unwrap();
        assert_eq!(configured_dirs(&conf, 0), ["/opt/a", "/opt/b", "/opt/c"]);
    }
}
