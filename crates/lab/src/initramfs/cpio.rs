//! The archive format of an initramfs: cpio, "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).

/// File type bits of a mode.
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const SYMLINK: u32 = 0o120_000;
pub(super) const CHARACTER: u32 = 0o020_000;

/// Writes an archive. Times and owners are 0 and inodes are counted, so that the same files give the same bytes.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    nr_entries: u32,
}

impl Writer {
    /// Append one entry. `path` has no leading slash; `device`: major and minor number, for a device.
    pub(super) fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.nr_entries += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        self.record(path, mode, links, device, data);
    }

    /// The archive's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.record("TRAILER!!!", 0, 1, (0, 0), &[]);
        self.out
    }

    fn record(&mut self, path: &str, mode: u32, links: u32, device: (u32, u32), data: &[u8]) {
        let size = data.len() as u32;
        let name_size = path.len() as u32 + 1;
        let (uid, gid, mtime, check) = (0, 0, 0, 0);
        self.out.extend_from_slice(b"070701");
        let fields = [self.nr_entries, mode, uid, gid, links, mtime, size, 0, 0, device.0, device.1, name_size, check];
        for field in fields {
            self.out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.out.extend_from_slice(path.as_bytes());
        self.out.push(0);
        self.pad();
        self.out.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_newc() {
        let mut w = Writer::default();
        w.entry("a", REGULAR | 0o644, (0, 0), b"hello");
        w.entry("dev/null", CHARACTER | 0o666, (1, 3), &[]);
        let out = w.finish();
        let text = String::from_utf8_lossy(&out);
        let first = "07070100000001000081a400000000000000000000000100000000000000050000000000000000000000000000000000000002\
                     00000000a\0\0\0";
        assert!(text.starts_with(&format!("{}hello\0\0\0", &first[..110 + 2])), "{text}");
        assert!(text.contains("000021b6") && text.contains("TRAILER!!!"));
        assert_eq!(out.len() % 4, 0);
    }
}
