//! `--record DIR`: what guests recorded, one file for each run, so that the same run need not be made again.
//!
//! A file is a line of JSON (what the run was, what the guest's kernel complained of) and the guest's record. It is taken where
//! all that the run depends on is the same; else the run is made, and the file written anew.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use scxr_host::Job;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};

/// Version of the form.
const SCHEMA: &str = "scxr-kept/2";
/// Digits of the run's digest in a file's name.
const DIGITS: usize = 12;

/// All that a deterministic run depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    schema: String,
    /// Digest of the guest's program, which is this one as a rule.
    pub(super) program: String,
    pub(super) release: String,
    /// Digest of the kernel's image.
    pub(super) image: String,
    pub(super) machine: String,
    pub(super) job: Job,
    /// Digests of the object and of the workload's file.
    pub(super) object: Option<String>,
    pub(super) workload: Option<String>,
}

impl Key {
    pub(super) fn new(program: &Path, release: String, image: &Path, machine: &str, job: &Job) -> Result<Key> {
        Ok(Key {
            schema: SCHEMA.into(),
            program: digest_of(program)?,
            release,
            image: digest_of(image)?,
            machine: machine.to_owned(),
            job: job.clone(),
            object: None,
            workload: None,
        })
    }

    /// `simple-mixed-4-0123456789ab.scxr`
    fn file(&self, dir: &Path) -> PathBuf {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let workload = self.job.workload.as_deref().unwrap_or("none");
        let file = Path::new(workload).file_stem().and_then(|f| f.to_str()).filter(|_| workload.ends_with(".json"));
        let workload = file.unwrap_or(workload);
        let words = [&self.job.name, workload, &self.machine, &digest(&text)[..DIGITS]];
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
        let words = words.map(|w| w.chars().map(plain).collect::<String>());
        dir.join(format!("{}.scxr", words.join("-")))
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The digest of a file.
pub(super) fn digest_of(path: &Path) -> Result<String> {
    fs::read(path).map(|bytes| digest(&bytes)).map_err(|e| Failure::file(path, &e))
}

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The guest's record.
    pub(super) bytes: Vec<u8>,
    /// What its kernel complained of.
    pub(super) findings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: Key,
    findings: Vec<String>,
}

/// What the folder has of this run; `None`: nothing, or nothing that is whole.
pub(super) fn read(dir: &Path, key: &Key) -> Result<Option<Kept>> {
    let path = key.file(dir);
    let all = match fs::read(&path) {
        Ok(all) => all,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::file(&path, &e)),
    };
    let Some(end) = all.iter().position(|b| *b == b'\n') else { return Ok(None) };
    let same = serde_json::from_slice::<Head>(&all[..end]).ok().filter(|head| head.key == *key);
    Ok(same.map(|head| Kept { bytes: all[end + 1..].to_vec(), findings: head.findings }))
}

/// Keeps a run. The file is there whole, or not at all.
pub(super) fn write(dir: &Path, key: &Key, kept: &Kept) -> Result<()> {
    let path = key.file(dir);
    let put = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        let head = serde_json::to_vec(&Head { key: key.clone(), findings: kept.findings.clone() })?;
        file.write_all(&head)?;
        file.write_all(b"\n")?;
        file.write_all(&kept.bytes)?;
        file.persist(&path).map_err(|e| e.error)?;
        Ok(())
    };
    put().map_err(|e| Failure::file(&path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_again_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("vmlinuz");
        fs::write(&image, "x").unwrap();
        let program = dir.path().join("scxr");
        fs::write(&program, "a program").unwrap();
        let folder = dir.path().join("runs");
        let job = Job { name: "simple".into(), workload: Some("spin:n=2,nice=0/5".into()), ..Job::default() };
        let key = Key::new(&program, "7.2.1".into(), &image, "2x1", &job).unwrap();
        let kept = Kept { bytes: b"\n\0record\n".to_vec(), findings: vec!["warned".into()] };
        assert_eq!(read(&folder, &key).unwrap(), None);
        write(&folder, &key, &kept).unwrap();
        assert_eq!(read(&folder, &key).unwrap(), Some(kept));
        let name = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with("simple-spin_n_2_nice_0_5-2x1-") && name.ends_with(".scxr"), "{name}");
        for other in [
            Key { machine: "4".into(), ..key.clone() },
            Key { program: digest(b"another program"), ..key.clone() },
            Key { object: Some(digest(b"x")), ..key.clone() },
            Key { job: Job { seed: 7, ..job }, ..key.clone() },
        ] {
            assert_eq!(read(&folder, &other).unwrap(), None);
        }
        // What was cut short is not taken.
        fs::write(folder.join(name), "{\"key\":").unwrap();
        assert_eq!(read(&folder, &key).unwrap(), None);
    }
}
