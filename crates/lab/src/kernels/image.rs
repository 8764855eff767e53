//! What a kernel's image holds: its release, the `vmlinux` that it unpacks, and that one's BTF.
//!
//! The layout of an x86 image's header is the kernel's boot protocol (Documentation/arch/x86/boot.rst).

use std::io::{self, Read};

use super::Release;
use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};

/// Offsets into the image, bytes.
const SETUP_SECTS: usize = 0x1f1;
const HEADER_MAGIC: usize = 0x202;
const KERNEL_VERSION: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// Size of an unpacked kernel at most, bytes.
const VMLINUX_BYTES_MAX: u64 = 1 << 30;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not an x86 image.
    #[error("not an x86 kernel image (bzImage): {what}")]
    NotBzImage {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Its payload is compressed in a way that is not known.
    #[error("the kernel in the image is compressed in a way that is not known (it starts with {magic:02x?})")]
    Compression {
        /// The first bytes.
        magic: [u8; 4],
    },
    /// Its payload cannot be unpacked.
    #[error("the kernel in the image cannot be unpacked: {source}")]
    Unpack {
        /// Why.
        source: io::Error,
    },
    /// What it unpacks is not an ELF file.
    #[error("the kernel in the image is corrupt: {source}")]
    Elf {
        /// Why.
        source: object::Error,
    },
}

/// The release that the image's header names.
pub fn release_of_image(image: &[u8]) -> Result<Release, ImageError> {
    let sound = header(image)?;
    let at = usize::from(u16_at(sound, KERNEL_VERSION)?) + 0x200;
    let text = image.get(at..).unwrap_or_default();
    let text: Vec<u8> = text.iter().copied().take(128).take_while(|b| *b > b' ').collect();
    Release::new(String::from_utf8_lossy(&text).into_owned())
        .map_err(|_| ImageError::NotBzImage { what: "its header names no release" })
}

/// The `vmlinux` (ELF) that the image unpacks.
pub fn vmlinux_of_image(image: &[u8]) -> Result<Vec<u8>, ImageError> {
    let sound = header(image)?;
    let sectors = match sound[SETUP_SECTS] {
        0 => 4,
        n => usize::from(n),
    };
    let from = (sectors + 1) * 512 + u32_at(sound, PAYLOAD_OFFSET)? as usize;
    let length = u32_at(sound, PAYLOAD_LENGTH)? as usize;
    let payload = from.checked_add(length).and_then(|to| image.get(from..to));
    decompress(payload.ok_or(ImageError::NotBzImage { what: "it is cut off" })?)
}

/// The raw BTF of a `vmlinux`; `None`: it has none.
pub fn btf_of_image(vmlinux: &[u8]) -> Result<Option<&[u8]>, ImageError> {
    let elf = |source| ImageError::Elf { source };
    let header = FileHeader64::<LittleEndian>::parse(vmlinux).map_err(elf)?;
    let sections = header.sections(LittleEndian, vmlinux).map_err(elf)?;
    let Some((_, section)) = sections.section_by_name(LittleEndian, b".BTF") else { return Ok(None) };
    section.data(LittleEndian, vmlinux).map(Some).map_err(elf)
}

/// Whether a `vmlinux` can be entered without its image's own code around it: it has the note that says where (PVH,
/// `XEN_ELFNOTE_PHYS32_ENTRY`).
pub fn has_pvh_entry(vmlinux: &[u8]) -> bool {
    const PHYS32_ENTRY: u32 = 18;
    let has = || {
        let header = FileHeader64::<LittleEndian>::parse(vmlinux)?;
        for segment in header.program_headers(LittleEndian, vmlinux)? {
            let Some(mut notes) = segment.notes(LittleEndian, vmlinux)? else { continue };
            while let Some(note) = notes.next()? {
                if note.name() == b"Xen" && note.n_type(LittleEndian) == PHYS32_ENTRY {
                    return Ok(true);
                }
            }
        }
        object::Result::Ok(false)
    };
    has().unwrap_or(false)
}

fn header(image: &[u8]) -> Result<&[u8], ImageError> {
    if image.starts_with(b"\x7fELF") {
        return Err(ImageError::NotBzImage { what: "it is an ELF file (a vmlinux); give the bzImage made of it" });
    }
    if image.len() < 0x1000 || image.get(HEADER_MAGIC..HEADER_MAGIC + 4) != Some(b"HdrS") {
        return Err(ImageError::NotBzImage { what: "it has no setup header" });
    }
    Ok(image)
}

fn u16_at(image: &[u8], at: usize) -> Result<u16, ImageError> {
    let bytes = image.get(at..at + 2).and_then(|b| b.try_into().ok());
    bytes.map(u16::from_le_bytes).ok_or(ImageError::NotBzImage { what: "it is cut off" })
}

fn u32_at(image: &[u8], at: usize) -> Result<u32, ImageError> {
    let bytes = image.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map(u32::from_le_bytes).ok_or(ImageError::NotBzImage { what: "it is cut off" })
}

/// Unpack the payload. What follows the compressed stream (its size, for the kernel's own unpacker) is left alone.
fn decompress(payload: &[u8]) -> Result<Vec<u8>, ImageError> {
    let unpack = |source| ImageError::Unpack { source };
    let reader: Box<dyn Read + '_> = match payload {
        [0xfd, b'7', b'z', b'X', ..] => Box::new(liblzma::read::XzDecoder::new(payload)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(payload).map_err(unpack)?.single_frame()),
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(payload)),
        [0x5d, 0, 0, _, ..] => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(u64::MAX);
            let stream = stream.map_err(|e| unpack(e.into()))?;
            Box::new(liblzma::read::XzDecoder::new_stream(payload, stream))
        }
        [0x7f, b'E', b'L', b'F', ..] => Box::new(payload),
        _ => {
            let mut magic = [0; 4];
            magic.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
            return Err(ImageError::Compression { magic });
        }
    };
    let mut out = Vec::new();
    reader.take(VMLINUX_BYTES_MAX).read_to_end(&mut out).map_err(unpack)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with this payload and release.
    fn image(payload: &[u8], release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x1000];
        image[SETUP_SECTS] = 4;
        image[HEADER_MAGIC..HEADER_MAGIC + 4].copy_from_slice(b"HdrS");
        image[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&0x300u16.to_le_bytes());
        let text = format!("{release} (someone@somewhere) #1 SMP");
        image[0x500..0x500 + text.len()].copy_from_slice(text.as_bytes());
        let offset = 0x1000 - 5 * 512u32;
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&offset.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn payloads_are_unpacked_and_what_follows_is_left_alone() {
        let plain = b"\x7fELF and so on".repeat(100);
        let zst = zstd::encode_all(&plain[..], 3).unwrap();
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(&plain[..], 1).read_to_end(&mut xz).unwrap();
        let mut gz = Vec::new();
        flate2::read::GzEncoder::new(&plain[..], flate2::Compression::fast()).read_to_end(&mut gz).unwrap();
        for (name, mut payload) in [("zstd", zst), ("xz", xz), ("gzip", gz)] {
            payload.extend_from_slice(&(plain.len() as u32).to_le_bytes());
            let image = image(&payload, "7.2.13+deb14-cloud-amd64");
            assert_eq!(vmlinux_of_image(&image).unwrap(), plain, "{name}");
            assert_eq!(release_of_image(&image).unwrap().as_str(), "7.2.13+deb14-cloud-amd64");
        }
    }

    #[test]
    fn a_kernel_without_the_note_is_not_entered_directly() {
        for bytes in [&b""[..], b"\x7fELF", include_bytes!("image.rs")] {
            assert!(!has_pvh_entry(bytes));
        }
        // This test's own file is an ELF file with notes, none of them Xen's.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!has_pvh_entry(&own));
    }

    #[test]
    fn other_files_are_refused() {
        let check = |bytes: &[u8], expect: &str| {
            let error = vmlinux_of_image(bytes).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(b"", "no setup header");
        check(b"\x7fELF.....", "ELF file");
        check(&vec![0; 0x4000], "no setup header");
        check(&image(b"BZh9 lots", "7.2"), "not known");
        let mut cut = image(b"\x28\xb5\x2f\xfd0123456789", "7.2");
        check(&cut, "cannot be unpacked");
        cut.truncate(0x1004);
        check(&cut, "cut off");
        assert!(release_of_image(&image(b"", "next")).is_err());
        assert!(matches!(btf_of_image(b"\x7fELF"), Err(ImageError::Elf { .. })));
    }
}
