//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// All files below a folder, in order; not what is hidden, nor what was built.
pub(crate) fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("a readable folder").path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match (name.starts_with('.') || name == "target", path.is_dir()) {
            (true, _) => {}
            (false, true) => files.extend(below(&path)),
            (false, false) => files.push(path),
        }
    }
    files
}
