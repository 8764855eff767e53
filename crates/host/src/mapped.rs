//! A map of variables, read in place.

use std::io;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The memory of a map (`BPF_F_MMAPABLE`, which libbpf gives to those of variables), to be read.
pub(crate) struct Mapped {
    at: NonNull<u8>,
    len: usize,
}

impl Mapped {
    /// `len`: size of the map's value, bytes.
    pub(crate) fn of(map: impl AsFd, len: usize) -> io::Result<Mapped> {
        // SAFETY: the kernel chooses a place where nothing is.
        let at = unsafe { mmap(null_mut(), len, ProtFlags::READ, MapFlags::SHARED, map, 0)? };
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapped { at, len })
    }

    /// Fills `into` from there, an integer of 4 or 8 bytes at its own alignment in one go; false: that is not within the map.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        if offset.checked_add(into.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        // SAFETY: all of it is within the mapping, which is there as long as `self`, is aligned as asked for, and is only ever changed by the
        // kernel: as by another thread, so that it is read as an atomic.
        unsafe {
            let at = self.at.as_ptr().add(offset);
            match into.len() {
                8 if offset.is_multiple_of(8) => {
                    into.copy_from_slice(&(*at.cast::<AtomicU64>()).load(Ordering::Acquire).to_ne_bytes());
                }
                4 if offset.is_multiple_of(4) => {
                    into.copy_from_slice(&(*at.cast::<AtomicU32>()).load(Ordering::Acquire).to_ne_bytes());
                }
                _ => {
                    for (i, byte) in into.iter_mut().enumerate() {
                        *byte = (*at.add(i).cast::<AtomicU8>()).load(Ordering::Acquire);
                    }
                }
            }
        }
        true
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing refers to it any more. It fails for no mapping that was made.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_there_is_read_and_nothing_beyond() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&(0..64).collect::<Vec<u8>>()).unwrap();
        let mapped = Mapped::of(&file, 64).unwrap();
        for (offset, len) in [(0, 8), (8, 8), (4, 4), (3, 4), (5, 8), (0, 64), (63, 1), (64, 0)] {
            let mut bytes = vec![0; len];
            assert!(mapped.read(offset, &mut bytes), "{offset} {len}");
            assert_eq!(bytes, (offset as u8..).take(len).collect::<Vec<u8>>(), "{offset} {len}");
        }
        for (offset, len) in [(60, 8), (64, 1), (usize::MAX, 4)] {
            assert!(!mapped.read(offset, &mut vec![0; len]), "{offset} {len}");
        }
    }
}
