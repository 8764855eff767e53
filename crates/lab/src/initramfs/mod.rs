//! The guest's file system: a program, what it needs, and the files that the caller adds, in one archive.

mod cpio;
mod libs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::guest::{GuestSpec, SPEC_PATH};

/// Why the guest's file system cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no program that the guest could run.
    #[error("{path}: cannot be taken into the guest: {what}")]
    NotAProgram {
        /// Which.
        path: PathBuf,
        /// Why.
        what: &'static str,
    },
    /// A library is missing on this host.
    #[error("{path}: needs {library}, which is not in any folder that the dynamic linker looks in")]
    NoLibrary {
        /// What needs it.
        path: PathBuf,
        /// The library.
        library: String,
    },
    /// The guest's specification cannot be written.
    #[error("the guest's command line cannot be written as JSON: {source}")]
    Spec {
        /// Why.
        source: serde_json::Error,
    },
}

/// One file of the guest.
#[derive(Clone, Debug)]
enum Entry {
    Directory,
    File { mode: u32, data: Data },
    Symlink { to: String },
    Device { major: u32, minor: u32 },
}

#[derive(Clone, Debug)]
enum Data {
    Bytes(Vec<u8>),
    Host(PathBuf),
}

/// The files of a guest. Paths in the guest are absolute; their folders are made as needed.
#[derive(Clone, Debug)]
pub struct Initramfs {
    entries: BTreeMap<String, Entry>,
    library_dirs: BTreeSet<String>,
}

impl Initramfs {
    /// A guest whose init is this program, which has to call [`crate::guest::init_main`] where
    /// [`crate::guest::is_init`] says so.
    pub fn new(init: &Path) -> Result<Initramfs, InitramfsError> {
        let mut of = Initramfs { entries: BTreeMap::new(), library_dirs: BTreeSet::new() };
        for dir in ["/dev", "/proc", "/sys", "/tmp", "/run", "/root"] {
            of.put(dir, Entry::Directory);
        }
        of.put("/dev/console", Entry::Device { major: 5, minor: 1 });
        of.put("/dev/null", Entry::Device { major: 1, minor: 3 });
        of.add_program(init, "/init")?;
        Ok(of)
    }

    /// Add a program of the host, static, dynamic or a script, with the libraries it needs at the places where the host
    /// has them. What it loads later by itself (dlopen) is the caller's to add.
    pub fn add_program(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        let needs = libs::needs(host)?;
        self.put(guest, Entry::File { mode: 0o755, data: Data::Host(host.to_owned()) });
        for (guest, host) in needs.files {
            self.put(&guest, Entry::File { mode: 0o755, data: Data::Host(host) });
        }
        self.library_dirs.extend(needs.extra_dirs);
        Ok(())
    }

    /// Add a file of the host with its permissions.
    pub fn add_file(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        let meta = fs::metadata(host).map_err(|source| InitramfsError::Read { path: host.to_owned(), source })?;
        let mode = meta.permissions().mode() & 0o777;
        self.put(guest, Entry::File { mode, data: Data::Host(host.to_owned()) });
        Ok(())
    }

    /// Add a folder of the host with all that is in it. Programs bring their libraries; what is no file, folder or link
    /// (a socket, a device) is left out.
    pub fn add_tree(&mut self, host: &Path, guest: &str) -> Result<(), InitramfsError> {
        let read = |source| InitramfsError::Read { path: host.to_owned(), source };
        self.put(guest, Entry::Directory);
        for entry in fs::read_dir(host).map_err(read)? {
            let entry = entry.map_err(read)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(read)?);
            let Some(name) = entry.file_name().to_str().map(|n| format!("{}/{n}", guest.trim_end_matches('/'))) else {
                return Err(InitramfsError::NotAProgram { path, what: "its name is not UTF-8" });
            };
            if kind.is_dir() {
                self.add_tree(&path, &name)?;
            } else if kind.is_symlink() {
                let to = fs::read_link(&path).map_err(read)?;
                self.add_symlink(&to.to_string_lossy(), &name);
            } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.permissions().mode() & 0o111 != 0) {
                // Not everything with that bit is a program of this architecture.
                self.add_program(&path, &name).or_else(|_| self.add_file(&path, &name))?;
            } else if kind.is_file() {
                self.add_file(&path, &name)?;
            }
        }
        Ok(())
    }

    /// Bytes of all files, about: what the guest holds in memory.
    pub fn bytes(&self) -> u64 {
        let size = |e: &Entry| match e {
            Entry::File { data: Data::Host(path), .. } => fs::metadata(path).map_or(0, |m| m.len()),
            Entry::File { data: Data::Bytes(bytes), .. } => bytes.len() as u64,
            _ => 0,
        };
        self.entries.values().map(size).sum()
    }

    /// Add a file of these bytes.
    pub fn add_bytes(&mut self, bytes: impl Into<Vec<u8>>, guest: &str, mode: u32) {
        self.put(guest, Entry::File { mode: mode & 0o777, data: Data::Bytes(bytes.into()) });
    }

    /// Add an empty folder.
    pub fn add_dir(&mut self, guest: &str) {
        self.put(guest, Entry::Directory);
    }

    /// Add a symbolic link.
    pub fn add_symlink(&mut self, to: &str, guest: &str) {
        self.put(guest, Entry::Symlink { to: to.to_owned() });
    }

    /// The archive, with what its init is to run.
    pub fn archive(&self, spec: &GuestSpec) -> Result<Vec<u8>, InitramfsError> {
        let mut spec = spec.clone();
        if !self.library_dirs.is_empty() && !spec.env.contains_key("LD_LIBRARY_PATH") {
            let dirs: Vec<&str> = self.library_dirs.iter().map(String::as_str).collect();
            spec.env.insert("LD_LIBRARY_PATH".into(), dirs.join(":"));
        }
        let text = serde_json::to_vec(&spec).map_err(|source| InitramfsError::Spec { source })?;
        let mut of = self.clone();
        of.add_bytes(text, SPEC_PATH, 0o644);
        let mut out = cpio::Writer::default();
        for (path, entry) in &of.entries {
            match entry {
                Entry::Directory => out.entry(path, cpio::DIRECTORY | 0o755, (0, 0), &[]),
                Entry::Symlink { to } => out.entry(path, cpio::SYMLINK | 0o777, (0, 0), to.as_bytes()),
                Entry::Device { major, minor } => out.entry(path, cpio::CHARACTER | 0o600, (*major, *minor), &[]),
                Entry::File { mode, data: Data::Bytes(bytes) } => {
                    out.entry(path, cpio::REGULAR | mode, (0, 0), bytes);
                }
                Entry::File { mode, data: Data::Host(host) } => {
                    let bytes = fs::read(host).map_err(|source| InitramfsError::Read { path: host.clone(), source })?;
                    out.entry(path, cpio::REGULAR | mode, (0, 0), &libs::trimmed(bytes));
                }
            }
        }
        Ok(out.finish())
    }

    /// Put an entry at a path, and folders on the way to it. Sorted by path, a folder comes before what is in it.
    fn put(&mut self, guest: &str, entry: Entry) {
        let path = guest.trim_matches('/').to_owned();
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry::Directory);
        }
        self.entries.insert(path, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_archive() {
        let init = std::env::current_exe().unwrap();
        let build = |second_first: bool| {
            let mut of = Initramfs::new(&init).unwrap();
            let mut add = |name: &str| of.add_bytes(name, name, 0o600);
            if second_first {
                add("/b/c/d");
                add("/b/a");
            } else {
                add("/b/a");
                add("/b/c/d");
            }
            of.add_symlink("a", "/b/link");
            of.archive(&GuestSpec::new(["/init"])).unwrap()
        };
        let (one, two) = (build(false), build(true));
        assert!(one == two);
        let text = String::from_utf8_lossy(&one);
        for name in ["\0b/c\0", "b/c/d", "init\0", "scxr/guest.json", "dev/console"] {
            assert!(text.contains(name.trim_start_matches('\0')), "{name}");
        }
        assert!(text.find("b/c\0").unwrap() < text.find("b/c/d\0").unwrap());
    }
}
