//! Files that QEMU writes and we read while it does. Files, not pipes: QEMU never has to wait for us, so that how fast we
//! read cannot show in the guest.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A file that grows.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// All that was read.
    pub(super) bytes: Vec<u8>,
    /// The last look found more.
    pub(super) grew: bool,
}

impl Tail {
    /// The file may not be there yet.
    pub(super) fn new(path: &Path) -> Tail {
        Tail { path: path.to_owned(), file: None, bytes: Vec::new(), grew: false }
    }

    /// Read on; what is new.
    pub(super) fn poll(&mut self) -> io::Result<&[u8]> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(&[]),
                Err(e) => return Err(e),
            }
        }
        let from = self.bytes.len();
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut self.bytes)?;
        }
        self.grew = self.bytes.len() > from;
        Ok(&self.bytes[from..])
    }

    /// All of it as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_is_read_as_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.poll().unwrap(), b"");
        let mut file = File::create(&path).unwrap();
        for part in ["one ", "", "two"] {
            file.write_all(part.as_bytes()).unwrap();
            assert_eq!(tail.poll().unwrap(), part.as_bytes());
        }
        assert_eq!(tail.text(), "one two");
    }
}
