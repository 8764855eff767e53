//! What a guest needs of this host to run a command line: its program, the files it names, the programs that a script
//! names, and what the user adds with `--take`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use scxr_lab::initramfs::{Initramfs, InitramfsError};

use crate::exec::{CommandLine, in_path, is_program};
use crate::failure::{Failure, Result};

/// Shells: their arguments are scripts.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];
/// Words of a script that are no programs, whatever `PATH` holds.
const BUILTINS: &str = "if then else elif fi for in do done while until case esac function select time alias bg break cd command continue \
    echo eval exec exit export fg false getopts hash jobs kill let local printf pwd read readonly return set shift source \
    test times trap true type ulimit umask unalias unset wait";
/// Folders that are the guest's own.
const OWN: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Bytes of a script that are read, and programs that scripts may bring along.
const SCRIPT_MAX: u64 = 1 << 20;
const PROGRAMS_MAX: usize = 200;

/// Puts all of it into a guest, at the places where this host has it; the folders that programs are in.
pub(super) fn pack(files: &mut Initramfs, line: &CommandLine, take: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut packer = Packer { files, line, seen: BTreeSet::new(), dirs: BTreeSet::new() };
    let cwd = in_guest(&line.cwd)?;
    packer.files.add_dir(&cwd);
    packer.program(&line.program)?;
    let shell = line.program.file_name().is_some_and(|n| SHELLS.iter().any(|s| n == *s));
    for word in &line.words[1..] {
        packer.argument(word, shell)?;
    }
    for path in take {
        packer.taken(path)?;
    }
    Ok(packer.dirs)
}

struct Packer<'a> {
    files: &'a mut Initramfs,
    line: &'a CommandLine,
    /// Programs and files that are there already.
    seen: BTreeSet<PathBuf>,
    dirs: BTreeSet<String>,
}

impl Packer<'_> {
    /// A program, and what it names where it is a script.
    fn program(&mut self, path: &Path) -> Result<()> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        let guest = in_guest(path)?;
        self.files.add_program(path, &guest).map_err(failure)?;
        self.dirs.extend(Path::new(&guest).parent().map(|d| d.display().to_string()));
        self.script(path)
    }

    /// An argument: a file is taken along, and a script is read for what it runs.
    fn argument(&mut self, word: &OsStr, shell: bool) -> Result<()> {
        let path = self.line.cwd.join(word);
        let own = OWN.iter().any(|d| path.starts_with(d));
        if !word.is_empty() && !own && path.is_file() {
            if is_program(&path) && is_elf(&path) {
                return self.program(&path);
            }
            self.file(&path)?;
            return if shell { self.words(&read_script(&path)) } else { self.script(&path) };
        }
        if shell { self.words(word.as_bytes()) } else { Ok(()) }
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        match self.seen.insert(path.to_owned()) {
            true => self.files.add_file(path, &in_guest(path)?).map_err(failure),
            false => Ok(()),
        }
    }

    /// What the user adds: a name in `PATH`, or a path.
    fn taken(&mut self, path: &Path) -> Result<()> {
        let at = self.line.cwd.join(path);
        let fail = |why: &str| Failure::input(format_args!("--take {}: {why}", path.display()));
        if at.is_dir() {
            return self.files.add_tree(&at, &in_guest(&at)?).map_err(failure);
        }
        if at.is_file() {
            return if is_program(&at) { self.program(&at) } else { self.file(&at) };
        }
        let bare = path.components().count() == 1;
        match in_path(path.as_os_str()).filter(|_| bare) {
            Some(program) => self.program(&program),
            None => Err(fail("there is no such file or folder, and no such program in PATH")),
        }
    }

    /// Where a file is a script: the programs that it names.
    fn script(&mut self, path: &Path) -> Result<()> {
        let text = read_script(path);
        if text.starts_with(b"#!") { self.words(&text) } else { Ok(()) }
    }

    /// The programs that a script names. Which of its words are programs only its shell knows; one too many does no harm.
    fn words(&mut self, script: &[u8]) -> Result<()> {
        let part = |b: &u8| !(b.is_ascii_alphanumeric() || b"_./+-".contains(b) || *b >= 0x80);
        for word in script.split(part).filter(|w| !w.is_empty() && !w.starts_with(b"-")) {
            let word = OsStr::from_bytes(word);
            if self.seen.len() >= PROGRAMS_MAX || BUILTINS.split_whitespace().any(|b| word == b) {
                continue;
            }
            let path = match word.as_bytes().contains(&b'/') {
                true => Some(self.line.cwd.join(word)).filter(|p| is_program(p)),
                false => in_path(word),
            };
            // What cannot be taken along (another architecture's program, say) may be no program there at all.
            if let Some(path) = path.filter(|p| !OWN.iter().any(|d| p.starts_with(d))) {
                let _ = self.program(&path);
            }
        }
        Ok(())
    }
}

/// A path as guests have it.
fn in_guest(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Failure::input(format_args!("{}: a name that is not UTF-8 cannot be taken into the guest", path.display()))
    })
}

fn failure(error: InitramfsError) -> Failure {
    Failure::input(error)
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok_and(|()| magic == *b"\x7fELF")
}

/// The beginning of a file; nothing where it is no script, or cannot be read.
fn read_script(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(SCRIPT_MAX).read_to_end(&mut text));
    if read.is_err() || text.starts_with(b"\x7fELF") {
        text.clear();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str) -> Vec<PathBuf> {
        let line = CommandLine::parse(OsStr::new(text)).unwrap();
        let mut files = Initramfs::new(Path::new("/bin/true")).unwrap();
        let mut packer = Packer { files: &mut files, line: &line, seen: BTreeSet::new(), dirs: BTreeSet::new() };
        packer.program(&line.program).unwrap();
        line.words[1..].iter().for_each(|w| packer.argument(w, line.program.ends_with("sh")).unwrap());
        packer.seen.into_iter().collect()
    }

    #[test]
    fn scripts_bring_what_they_name() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("work");
        std::fs::write(&script, "#!/bin/sh\nfor i in 1 2; do echo x | cat & done; wait\n$(uname -r)\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let has = |all: &[PathBuf], name: &str| all.iter().any(|p| p.ends_with(name));
        for text in [script.display().to_string(), format!("sh {}", script.display()), "sh -c 'cat;uname'".into()] {
            let all = packed(&text);
            assert!(has(&all, "cat") && has(&all, "uname") && !has(&all, "echo"), "{text}: {all:?}");
        }
        let all = packed("cat /proc/self/status /etc/passwd");
        assert!(all.contains(&"/etc/passwd".into()) && all.len() == 2, "{all:?}");
    }
}
