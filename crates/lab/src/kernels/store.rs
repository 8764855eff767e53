//! The cache of kernels, and the way from what a user asks for to a kernel that runs.
//!
//! A cached kernel is a folder `kernels/RELEASE` with `vmlinuz`, `btf`, `config` (where the archive has it in a small
//! package) and `kernel.json` (origin, checksums, judgement). It is put there whole or not at all. Kernels that cannot be
//! used stay there without their image, so that they are neither fetched again nor forgotten.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::apt::{Apt, Candidate, Package};
use super::image::{btf_of_image, release_of_image, vmlinux_of_image};
use super::{AptError, DebError, ImageError, Judgement, KernelSpec, OnProgress, Problem, Progress, Release, Series};
use super::{deb, judge};

/// How many kernels of a series are tried, newest first.
const CANDIDATES_MAX: usize = 4;

/// Version of `kernel.json`, which also says by what rules the judgement was made.
const RECORD_SCHEMA: u32 = 2;

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Packages cannot be had.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// A package cannot be unpacked.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// An image cannot be read.
    #[error("{path}: {source}")]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such series.
    #[error("no kernel {series} in the distribution's archive; it has {}", if have.is_empty() { "none" } else { have })]
    Unknown {
        /// What was asked for.
        series: Series,
        /// The series that are there.
        have: String,
    },
    /// There are kernels of the series, none that can run a scheduler.
    #[error("no kernel {series} of the distribution can run a scheduler: {release}: {problem}")]
    Unusable {
        /// What was asked for.
        series: Series,
        /// The newest.
        release: Release,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A package is not what the archive's index says.
    #[error("{path}: SHA-256 is {have}, the archive's index says {want}; the copy was removed, try again")]
    Checksum {
        /// The package.
        path: PathBuf,
        /// Its sum.
        have: String,
        /// What it should be.
        want: String,
    },
    /// A cached kernel was changed.
    #[error(
        "the cached kernel is corrupt ({path} is not what was fetched); `scxr kernels fetch {series}` fetches it again"
    )]
    CorruptCache {
        /// Its file.
        path: PathBuf,
        /// Its series.
        series: String,
    },
    /// A package holds no image where one is expected.
    #[error("package {package} holds no kernel image")]
    NoImage {
        /// The package.
        package: String,
    },
    /// There is no cache folder.
    #[error("no cache folder: set XDG_CACHE_HOME or HOME")]
    NoCache,
}

/// A kernel that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release.
    pub release: Release,
    /// Where it is from.
    pub origin: Origin,
    /// Its image; `None`: this host's own has none that can be read, or an unusable one was not kept.
    pub image: Option<PathBuf>,
    /// Its raw BTF, where it is a file of its own.
    pub btf: Option<PathBuf>,
    /// Its configuration.
    pub config: Option<PathBuf>,
    /// What it can do.
    pub judgement: Judgement,
}

/// Where a kernel is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The distribution's archive, by way of the cache.
    Package {
        /// The suite.
        suite: String,
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// The user.
    Path,
    /// It runs this host.
    Host,
}

/// A kernel of the archive or the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its release.
    pub release: Release,
    /// The suite it is in.
    pub suite: String,
    /// Size of its package, bytes; 0 where only the cache has it.
    pub bytes: u64,
    /// The cached kernel.
    pub cached: Option<Kernel>,
}

/// `kernel.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: u32,
    release: Release,
    suite: String,
    package: String,
    version: String,
    package_sha256: String,
    image_sha256: Option<String>,
    /// Sums of the files beside the image, by name.
    #[serde(default)]
    files_sha256: BTreeMap<String, String>,
    judgement: Judgement,
}

/// The cache, and the archive behind it.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// `$XDG_CACHE_HOME/scxr`, or `~/.cache/scxr`.
pub fn default_cache() -> Result<PathBuf, KernelError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache.map(|p| p.join("scxr")).ok_or(KernelError::NoCache)
}

impl Store {
    /// A store in this folder, which is made on first use.
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// The cached kernels, newest first; also those that cannot be used.
    pub fn cached(&self) -> Result<Vec<Kernel>, KernelError> {
        let dir = self.kernels();
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io_at(&dir))?,
        };
        let folders = entries.filter_map(Result::ok).map(|e| e.path());
        let mut found: Vec<Kernel> = folders.filter_map(|f| read_record(&f).map(|r| kernel_of(&f, r))).collect();
        found.sort_by(|a, b| b.release.cmp(&a.release));
        Ok(found)
    }

    /// What the archive and the cache hold, newest first. `fresh`: refresh the archive's index even if it is recent.
    pub fn list(&self, fresh: bool, on: OnProgress<'_>) -> Result<Vec<Listed>, KernelError> {
        let _lock = self.lock()?;
        let mut cached = self.cached()?;
        let mut listed = Vec::new();
        for c in self.apt()?.candidates(fresh, on)? {
            let at = cached.iter().position(|k| k.release == c.release);
            let cached = at.map(|at| cached.remove(at));
            listed.push(Listed { release: c.release, suite: c.suite, bytes: c.image.bytes, cached });
        }
        for kernel in cached {
            let Origin::Package { suite, .. } = &kernel.origin else { continue };
            let (release, suite) = (kernel.release.clone(), suite.clone());
            listed.push(Listed { release, suite, bytes: 0, cached: Some(kernel) });
        }
        listed.sort_by(|a, b| b.release.cmp(&a.release));
        Ok(listed)
    }

    /// The kernel that is asked for, ready to boot. A usable cached one of a series is taken without asking the archive.
    pub fn resolve(&self, spec: &KernelSpec, on: OnProgress<'_>) -> Result<Kernel, KernelError> {
        match spec {
            KernelSpec::Host => Ok(host_kernel()?),
            KernelSpec::Path(path) => kernel_at(path),
            KernelSpec::Series(series) => match self.usable_cached(*series)? {
                Some(kernel) => self.intact(kernel),
                None => self.fetch(*series, on),
            },
        }
    }

    /// The newest usable kernel of a series, fetched where the cache has not got it. Where the archive cannot be reached, a
    /// cached one is taken.
    pub fn fetch(&self, series: Series, on: OnProgress<'_>) -> Result<Kernel, KernelError> {
        let error = match self.fetch_newest(series, on) {
            Err(KernelError::Apt(error)) => error,
            other => return other,
        };
        let cached = self.usable_cached(series)?;
        let Some(cached) = cached else { return Err(error.into()) };
        on(Progress::Stale { reason: &error.to_string() });
        self.intact(cached)
    }

    fn usable_cached(&self, series: Series) -> Result<Option<Kernel>, KernelError> {
        Ok(self.cached()?.into_iter().find(|k| series.holds(&k.release) && k.judgement.usable()))
    }

    fn fetch_newest(&self, series: Series, on: OnProgress<'_>) -> Result<Kernel, KernelError> {
        let _lock = self.lock()?;
        let apt = self.apt()?;
        let of_series = |all: &[Candidate]| -> Vec<Candidate> {
            all.iter().filter(|c| series.holds(&c.release)).take(CANDIDATES_MAX).cloned().collect()
        };
        let mut all = apt.candidates(false, on)?;
        if of_series(&all).is_empty() {
            all = apt.candidates(true, on)?;
        }
        let mut first = None;
        for candidate in of_series(&all) {
            let mut kernel = self.have(&apt, &candidate, on)?;
            if kernel.judgement.usable() && self.intact(kernel.clone()).is_err() {
                // What is corrupt is worth nothing; it is fetched again.
                let folder = self.kernels().join(kernel.release.as_str());
                fs::remove_dir_all(&folder).map_err(io_at(&folder))?;
                kernel = self.have(&apt, &candidate, on)?;
            }
            match kernel.judgement.problems.first() {
                None => return self.intact(kernel),
                Some(problem) => {
                    on(Progress::Unusable { release: &kernel.release, problem });
                    first.get_or_insert((kernel.release.clone(), problem.clone()));
                    // An option of a distribution's does not change within a series; a bug does.
                    if *problem == Problem::NoClass {
                        break;
                    }
                }
            }
        }
        match first {
            Some((release, problem)) => Err(KernelError::Unusable { series, release, problem }),
            None => Err(KernelError::Unknown { series, have: series_of(&all) }),
        }
    }

    /// A kernel of the archive, from the cache or fetched into it.
    fn have(&self, apt: &Apt, candidate: &Candidate, on: OnProgress<'_>) -> Result<Kernel, KernelError> {
        let folder = self.kernels().join(candidate.release.as_str());
        if let Some(record) = read_record(&folder) {
            return Ok(kernel_of(&folder, record));
        }
        let staging = tempfile::Builder::new().prefix(".fetch-").tempdir_in(self.kernels());
        let staging = staging.map_err(io_at(&self.kernels()))?;
        let found = fetch_package(apt, &candidate.image, staging.path(), on)?;
        if !found.contains(&"vmlinuz") {
            return Err(KernelError::NoImage { package: candidate.image.name.clone() });
        }
        if let Some(config) = candidate.config.as_ref().filter(|_| !found.contains(&"config")) {
            fetch_package(apt, config, staging.path(), on)?;
        }
        on(Progress::Unpack { package: &candidate.image.name });
        write_record(staging.path(), candidate)?;
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(io_at(&folder))?;
        }
        let staged = staging.keep();
        fs::rename(&staged, &folder).map_err(io_at(&folder))?;
        let record = read_record(&folder).ok_or_else(|| corrupt(folder.join("kernel.json"), &candidate.release))?;
        Ok(kernel_of(&folder, record))
    }

    /// The kernel, if its files are what was put into the cache.
    fn intact(&self, kernel: Kernel) -> Result<Kernel, KernelError> {
        let folder = self.kernels().join(kernel.release.as_str());
        let record = read_record(&folder).ok_or_else(|| corrupt(folder.join("kernel.json"), &kernel.release))?;
        let image = ("vmlinuz", record.image_sha256.unwrap_or_default());
        let beside = record.files_sha256.iter().map(|(name, want)| (name.as_str(), want.clone()));
        for (name, want) in [image].into_iter().chain(beside) {
            let path = folder.join(name);
            if sha256(&path).ok() != Some(want) {
                return Err(corrupt(path, &kernel.release));
            }
        }
        Ok(kernel)
    }

    fn apt(&self) -> Result<Apt, AptError> {
        Apt::detect(self.root.join("apt"))
    }

    fn kernels(&self) -> PathBuf {
        self.root.join("kernels")
    }

    /// Only one fetches at a time; others wait. Also removes what an interrupted fetch left.
    fn lock(&self) -> Result<File, KernelError> {
        let dir = self.kernels();
        fs::create_dir_all(&dir).map_err(io_at(&dir))?;
        let path = dir.join(".lock");
        let file = File::create(&path).map_err(io_at(&path))?;
        file.lock().map_err(io_at(&path))?;
        for entry in fs::read_dir(&dir).map_err(io_at(&dir))?.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(".fetch-") {
                fs::remove_dir_all(entry.path()).map_err(io_at(&entry.path()))?;
            }
        }
        Ok(file)
    }
}

/// Fetch a package, check it against the index, unpack what is wanted of it, and remove it.
fn fetch_package(
    apt: &Apt,
    package: &Package,
    to: &Path,
    on: OnProgress<'_>,
) -> Result<Vec<&'static str>, KernelError> {
    let path = apt.download(package, on)?;
    let have = sha256(&path).map_err(io_at(&path))?;
    let unpacked = if have == package.sha256 {
        on(Progress::Unpack { package: &package.name });
        deb::unpack(&path, to, wanted).map_err(KernelError::from)
    } else {
        Err(KernelError::Checksum { path: path.clone(), have, want: package.sha256.clone() })
    };
    fs::remove_file(&path).map_err(io_at(&path))?;
    unpacked
}

/// What is kept of a kernel's packages.
fn wanted(path: &str) -> Option<&'static str> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let in_modules = path.starts_with("usr/lib/modules/") && path.split('/').count() == 5;
    match path.split('/').next() {
        Some("boot") if file.starts_with("vmlinuz-") => Some("vmlinuz"),
        Some("boot") if file.starts_with("config-") => Some("config"),
        _ if in_modules && file == "vmlinuz" => Some("vmlinuz"),
        _ if in_modules && file == "config" => Some("config"),
        _ => None,
    }
}

/// Judge what was unpacked into a folder, and write that down beside it.
fn write_record(folder: &Path, candidate: &Candidate) -> Result<(), KernelError> {
    let image = folder.join("vmlinuz");
    let (_, btf) = read_image(&image)?;
    if let Some(btf) = &btf {
        fs::write(folder.join("btf"), btf).map_err(io_at(folder))?;
    }
    let config = fs::read_to_string(folder.join("config")).ok();
    let judgement = judge(btf.as_deref(), config.as_deref());
    let image_sha256 = if judgement.usable() {
        Some(sha256(&image).map_err(io_at(&image))?)
    } else {
        fs::remove_file(&image).map_err(io_at(&image))?;
        None
    };
    let beside = ["btf", "config"].into_iter().map(|name| (name, folder.join(name))).filter(|(_, path)| path.exists());
    let beside = beside.map(|(name, path)| Ok((name.to_owned(), sha256(&path)?)));
    let record = Record {
        schema: RECORD_SCHEMA,
        release: candidate.release.clone(),
        suite: candidate.suite.clone(),
        package: candidate.image.name.clone(),
        version: candidate.image.version.clone(),
        package_sha256: candidate.image.sha256.clone(),
        image_sha256,
        files_sha256: beside.collect::<io::Result<_>>().map_err(io_at(folder))?,
        judgement,
    };
    let path = folder.join("kernel.json");
    let text = serde_json::to_string_pretty(&record).map_err(io::Error::from).map_err(io_at(&path))?;
    fs::write(&path, text + "\n").map_err(io_at(&path))
}

fn corrupt(path: PathBuf, release: &Release) -> KernelError {
    let (major, minor, _) = release.numbers();
    KernelError::CorruptCache { path, series: format!("{major}.{minor}") }
}

/// A folder's record; `None`: there is none, or one of other rules than ours.
fn read_record(folder: &Path) -> Option<Record> {
    let text = fs::read_to_string(folder.join("kernel.json")).ok()?;
    serde_json::from_str(&text).ok().filter(|r: &Record| r.schema == RECORD_SCHEMA)
}

fn kernel_of(folder: &Path, record: Record) -> Kernel {
    let file = |name| Some(folder.join(name)).filter(|p| p.exists());
    Kernel {
        release: record.release,
        origin: Origin::Package { suite: record.suite, package: record.package, version: record.version },
        image: file("vmlinuz"),
        btf: file("btf"),
        config: file("config"),
        judgement: record.judgement,
    }
}

/// Release and raw BTF of an image.
fn read_image(path: &Path) -> Result<(Release, Option<Vec<u8>>), KernelError> {
    let bad = |source| KernelError::Image { path: path.to_owned(), source };
    let image = fs::read(path).map_err(io_at(path))?;
    let release = release_of_image(&image).map_err(bad)?;
    let vmlinux = vmlinux_of_image(&image).map_err(bad)?;
    Ok((release, btf_of_image(&vmlinux).map_err(bad)?.map(<[u8]>::to_vec)))
}

/// A kernel by the path of its image.
fn kernel_at(path: &Path) -> Result<Kernel, KernelError> {
    let (release, btf) = read_image(path)?;
    let config = path.with_file_name(format!("config-{release}"));
    let config = [config, path.with_file_name("config")].into_iter().find(|p| p.is_file());
    let text = config.as_ref().and_then(|p| fs::read_to_string(p).ok());
    let judgement = judge(btf.as_deref(), text.as_deref());
    Ok(Kernel { release, origin: Origin::Path, image: Some(path.to_owned()), btf: None, config, judgement })
}

/// The kernel that runs this host.
fn host_kernel() -> Result<Kernel, KernelError> {
    let uname = rustix::system::uname();
    let text = uname.release().to_string_lossy().into_owned();
    let release = Release::new(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
    let release = release.map_err(io_at(Path::new("uname -r")))?;
    let modules = Path::new("/usr/lib/modules").join(release.as_str());
    let readable = |paths: [PathBuf; 2]| paths.into_iter().find(|p| File::open(p).is_ok());
    let image = readable([PathBuf::from(format!("/boot/vmlinuz-{release}")), modules.join("vmlinuz")]);
    let config = readable([PathBuf::from(format!("/boot/config-{release}")), modules.join("config")]);
    let btf = Some(PathBuf::from("/sys/kernel/btf/vmlinux")).filter(|p| p.exists());
    let raw = btf.as_ref().and_then(|p| fs::read(p).ok());
    let text = config.as_ref().and_then(|p| fs::read_to_string(p).ok());
    let judgement = judge(raw.as_deref(), text.as_deref());
    Ok(Kernel { release, origin: Origin::Host, image, btf, config, judgement })
}

/// The series of these kernels, oldest first.
fn series_of(all: &[Candidate]) -> String {
    let mut series: Vec<(u32, u32)> = all.iter().map(|c| c.release.numbers()).map(|(a, b, _)| (a, b)).collect();
    series.sort_unstable();
    series.dedup();
    series.iter().map(|(a, b)| format!("{a}.{b}")).collect::<Vec<_>>().join(", ")
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> KernelError + '_ {
    move |source| KernelError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(release: &str, judgement: Judgement, image_sha256: Option<String>) -> Record {
        Record {
            schema: RECORD_SCHEMA,
            release: Release::new(release).unwrap(),
            suite: "sid".into(),
            package: "linux-binary".into(),
            version: "1".into(),
            package_sha256: String::new(),
            image_sha256,
            files_sha256: BTreeMap::new(),
            judgement,
        }
    }

    fn put(root: &Path, record: &Record, image: Option<&[u8]>) {
        let folder = root.join("kernels").join(record.release.as_str());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("kernel.json"), serde_json::to_string(record).unwrap()).unwrap();
        if let Some(image) = image {
            fs::write(folder.join("vmlinuz"), image).unwrap();
        }
    }

    #[test]
    fn the_newest_usable_cached_kernel_is_taken_offline() {
        let root = tempfile::tempdir().unwrap();
        let sum = Some(Sha256::digest(b"image").iter().map(|b| format!("{b:02x}")).collect::<String>());
        let broken = Judgement { problems: vec![Problem::NoClass], ..Judgement::default() };
        put(root.path(), &record("7.2.12", broken, None), None);
        put(root.path(), &record("7.2.11", Judgement::default(), sum.clone()), Some(b"image"));
        put(root.path(), &record("7.2.9", Judgement::default(), sum), Some(b"image"));
        fs::create_dir(root.path().join("kernels/.fetch-x")).unwrap();
        let store = Store::new(root.path());
        let releases: Vec<String> = store.cached().unwrap().iter().map(|k| k.release.to_string()).collect();
        assert_eq!(releases, ["7.2.12", "7.2.11", "7.2.9"]);
        let mut silent = |p: Progress<'_>| panic!("nothing takes long here: {p:?}");
        let taken = store.resolve(&"7.2".parse().unwrap(), &mut silent).unwrap();
        assert_eq!(taken.release.as_str(), "7.2.11");
        fs::write(root.path().join("kernels/7.2.11/vmlinuz"), b"other").unwrap();
        let error = store.resolve(&"7.2".parse().unwrap(), &mut silent).unwrap_err();
        assert!(matches!(error, KernelError::CorruptCache { .. }), "{error}");
        assert!(error.to_string().contains("7.2.11/vmlinuz") && error.to_string().contains("fetch 7.2`"), "{error}");
    }

    #[test]
    fn files_beside_the_image_are_checked_too() {
        let root = tempfile::tempdir().unwrap();
        let sum = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
        let mut whole = record("7.2.11", Judgement::default(), Some(sum(b"image")));
        whole.files_sha256.insert("btf".into(), sum(b"types"));
        put(root.path(), &whole, Some(b"image"));
        let store = Store::new(root.path());
        let spec: KernelSpec = "7.2".parse().unwrap();
        for (bytes, sound) in [(&b"types"[..], true), (b"typos", false), (b"", false)] {
            fs::write(root.path().join("kernels/7.2.11/btf"), bytes).unwrap();
            let resolved = store.resolve(&spec, &mut |_| {});
            assert_eq!(resolved.is_ok(), sound, "{resolved:?}");
        }
        fs::remove_file(root.path().join("kernels/7.2.11/btf")).unwrap();
        assert!(store.resolve(&spec, &mut |_| {}).is_err());
    }

    #[test]
    fn an_empty_cache_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Store::new(root.path().join("none")).cached().unwrap(), []);
    }

    #[test]
    fn only_what_is_needed_is_unpacked() {
        for (path, expect) in [
            ("boot/vmlinuz-6.16.12+deb13-cloud-amd64", Some("vmlinuz")),
            ("boot/config-6.16.12+deb13-cloud-amd64", Some("config")),
            ("usr/lib/modules/7.2.13+deb14-cloud-amd64/vmlinuz", Some("vmlinuz")),
            ("usr/lib/modules/7.2.13+deb14-cloud-amd64/config", Some("config")),
            ("usr/lib/modules/7.2.13+deb14-cloud-amd64/build/config", None),
            ("boot/System.map-6.16.12+deb13-cloud-amd64", None),
            ("usr/share/vmlinuz", None),
        ] {
            assert_eq!(wanted(path), expect, "{path}");
        }
    }

    #[test]
    fn files_that_are_no_kernels_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("vmlinuz-x");
        fs::write(&path, b"hello").unwrap();
        let store = Store::new(root.path());
        let error = store.resolve(&KernelSpec::Path(path), &mut |_| {}).unwrap_err();
        assert!(matches!(error, KernelError::Image { .. }), "{error}");
        let error = store.resolve(&KernelSpec::Path("/nowhere/vmlinuz".into()), &mut |_| {}).unwrap_err();
        assert!(matches!(error, KernelError::Io { .. }), "{error}");
    }
}
