//! Debian packages, unpacked by ourselves: only the files asked for, never a path of the package's own choosing.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What a member of a package is unpacked to: a file name for the paths that are wanted, `None` for the others.
pub(super) type Wanted = fn(&str) -> Option<&'static str>;

/// Size of an unpacked file at most, bytes; more is taken for a corrupt package.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Why a package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// It cannot be read, or is corrupt.
    #[error("{deb}: cannot be unpacked: {source}")]
    Corrupt {
        /// The package.
        deb: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its data are compressed in a way that is not known.
    #[error("{deb}: holds `{member}`, whose compression is not known")]
    Compression {
        /// The package.
        deb: PathBuf,
        /// The member.
        member: String,
    },
    /// It holds no data.
    #[error("{deb}: is no Debian package (no data member)")]
    NoData {
        /// The package.
        deb: PathBuf,
    },
}

/// Unpack the wanted files of a package into a folder. Their names there.
pub(super) fn unpack(deb: &Path, to: &Path, wanted: Wanted) -> Result<Vec<&'static str>, DebError> {
    let corrupt = |source| DebError::Corrupt { deb: deb.to_owned(), source };
    let mut members = ar::Archive::new(BufReader::new(File::open(deb).map_err(corrupt)?));
    while let Some(member) = members.next_entry() {
        let member = member.map_err(corrupt)?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let name = name.trim_end_matches('/');
        let data: Box<dyn Read> = match name {
            "data.tar" => Box::new(member),
            "data.tar.xz" => Box::new(liblzma::read::XzDecoder::new(member)),
            "data.tar.gz" => Box::new(flate2::read::GzDecoder::new(member)),
            "data.tar.zst" => Box::new(zstd::Decoder::new(member).map_err(corrupt)?),
            _ if name.starts_with("data.tar") => {
                return Err(DebError::Compression { deb: deb.to_owned(), member: name.to_owned() });
            }
            _ => continue,
        };
        return unpack_tar(data, to, wanted).map_err(corrupt);
    }
    Err(DebError::NoData { deb: deb.to_owned() })
}

fn unpack_tar(data: impl Read, to: &Path, wanted: Wanted) -> io::Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(data).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let name = wanted(path.trim_start_matches("./")).filter(|_| entry.header().entry_type().is_file());
        let Some(name) = name else { continue };
        if entry.size() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path} is larger than any kernel")));
        }
        io::copy(&mut entry, &mut File::create(to.join(name))?)?;
        found.push(name);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn deb(member: &str, compress: fn(&[u8]) -> Vec<u8>) -> tempfile::NamedTempFile {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in [("./boot/vmlinuz-1.2", &b"image"[..]), ("./boot/System.map-1.2", b"map")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append_data(&mut header, path, bytes).unwrap();
        }
        let data = compress(&tar.into_inner().unwrap());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut ar = ar::Builder::new(Vec::new());
        for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", b"?"), (member, &data)] {
            ar.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), bytes).unwrap();
        }
        file.write_all(&ar.into_inner().unwrap()).unwrap();
        file
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut out).unwrap();
        out
    }

    fn wanted(path: &str) -> Option<&'static str> {
        path.starts_with("boot/vmlinuz-").then_some("vmlinuz")
    }

    #[test]
    fn wanted_files_are_unpacked() {
        let zst = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        for (member, compress) in
            [("data.tar.xz", xz as fn(&[u8]) -> Vec<u8>), ("data.tar.zst", zst), ("data.tar", |b| b.to_vec())]
        {
            let to = tempfile::tempdir().unwrap();
            let found = unpack(deb(member, compress).path(), to.path(), wanted).unwrap();
            assert_eq!(found, ["vmlinuz"], "{member}");
            assert_eq!(std::fs::read(to.path().join("vmlinuz")).unwrap(), b"image");
            assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn corrupt_packages_are_refused() {
        let to = tempfile::tempdir().unwrap();
        let check = |member, compress, expect: &str| {
            let error = unpack(deb(member, compress).path(), to.path(), wanted).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("data.tar.lzma", |b| b.to_vec(), "compression is not known");
        check("other", |b| b.to_vec(), "no data member");
        check("data.tar.xz", |b| xz(b)[..40].to_vec(), "cannot be unpacked");
        check("data.tar.xz", |_| b"not xz at all".to_vec(), "cannot be unpacked");
    }
}
