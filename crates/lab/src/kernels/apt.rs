//! The distribution's packages through `apt`, with a sources list, index and archive folder of our own: the system's
//! configuration (proxies, keys, authentication) is read, the system is not touched, and no root is needed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::sources::{Archive, Distribution, find_archive, stanzas, suites};
use super::{OnProgress, Progress, Release};

/// The kernel flavour that is small and boots without modules, and Debian's name of its architecture.
const FLAVOUR: &str = "cloud-amd64";
const ARCHITECTURE: &str = "amd64";

/// apt's own downloader. Unlike `apt-get download` it resumes, and unlike `apt-get install` it leaves dependencies alone.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// How old the index may be before a fetch refreshes it.
const INDEX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why packages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// Not a system with apt.
    #[error("kernels cannot be fetched here: there is no apt-get. {hint}")]
    NoApt {
        /// How to get one by hand.
        hint: &'static str,
    },
    /// A system with apt whose archive is not Debian's.
    #[error("kernels cannot be fetched here: no entry of Debian's archive in {places}. {hint}")]
    NoArchive {
        /// The files looked at.
        places: String,
        /// How to get a kernel by hand.
        hint: &'static str,
    },
    /// apt failed.
    #[error("`{command}` failed: {reason}")]
    Failed {
        /// The command.
        command: String,
        /// What it said, its first error.
        reason: String,
    },
    /// A file of ours, or apt, could not be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A kernel that the archive has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its release.
    pub release: Release,
    /// The package that holds the image.
    pub image: Package,
    /// The package that holds the configuration where that is another, small one.
    pub config: Option<Package>,
    /// The suite it is in; empty where apt does not say.
    pub suite: String,
}

/// A package of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// apt with our own folders.
#[derive(Clone, Debug)]
pub(super) struct Apt {
    dir: PathBuf,
    archive: Archive,
    suites: Vec<String>,
}

impl Apt {
    /// Find the archive in the system's configuration. `dir`: our own folder; made on first use.
    pub(super) fn detect(dir: PathBuf) -> Result<Apt, AptError> {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let distribution = Distribution::parse(&os_release);
        let no_apt = |_| AptError::NoApt { hint: distribution.hint() };
        let dump = Command::new("apt-config").arg("dump").stderr(Stdio::null()).output().map_err(no_apt)?;
        let places = source_places(&String::from_utf8_lossy(&dump.stdout));
        let files = read_sources(&places);
        let archive = find_archive(&files, &distribution.codename).filter(|_| distribution.id == "debian");
        let places = places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        let archive = archive.ok_or(AptError::NoArchive { places, hint: distribution.hint() })?;
        Ok(Apt { dir, archive, suites: suites(&distribution.codename) })
    }

    /// Every kernel that the archive has, newest first. The index is fetched where it is missing, older than a day, or
    /// `fresh` asks for it; where it cannot be refreshed, an older one is used.
    pub(super) fn candidates(&self, fresh: bool, on: OnProgress<'_>) -> Result<Vec<Candidate>, AptError> {
        self.prepare()?;
        let stamp = self.dir.join("refreshed");
        let recent = fs::metadata(&stamp).and_then(|m| m.modified()).is_ok_and(|at| {
            SystemTime::now().duration_since(at).is_ok_and(|age| age < INDEX_AGE_MAX)
                && fs::read(&stamp).is_ok_and(|of| of == self.sources().as_bytes())
        });
        if fresh || !recent {
            match self.run("apt-get", &["-qq", "-o", "APT::Update::Error-Mode=any", "update"], &self.dir, &mut |p| {
                on(Progress::Index { permille: p });
            }) {
                Ok(_) => self.write(&stamp, &self.sources())?,
                Err(error) if !self.has_index() => return Err(error),
                Err(error) => on(Progress::Stale { reason: &error.to_string() }),
            }
        }
        let pattern = format!("^linux-(image|binary|base)-[0-9].*{FLAVOUR}$");
        let names = self.query(&["search", "--names-only", &pattern])?;
        let names: Vec<&str> = names.lines().filter_map(|l| l.split(' ').next()).filter(|n| !n.is_empty()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let shown = self.query(&[&["show"], &names[..]].concat())?;
        let madison = self.query(&[&["madison"], &names[..]].concat())?;
        Ok(candidates(&shown, &madison))
    }

    /// Fetch a package into our own folder; an interrupted download is taken up again where the server allows it.
    pub(super) fn download(&self, package: &Package, on: OnProgress<'_>) -> Result<PathBuf, AptError> {
        self.prepare()?;
        let dir = self.dir.join("debs");
        let what = format!("{}={}", package.name, package.version);
        let shown = self.run("apt-get", &["-qq", "--print-uris", "download", &what], &dir, &mut |_| {})?;
        let uri = first_uri(&shown).ok_or_else(|| AptError::Failed {
            command: format!("apt-get --print-uris download {what}"),
            reason: "it names no address".into(),
        })?;
        // Named after its content, so that a part of another package is never taken up.
        let file = format!("{}.deb", package.sha256);
        let sum = format!("SHA256:{}", package.sha256);
        self.run(APT_HELPER, &["-qq", "download-file", uri, &file, &sum], &dir, &mut |permille| {
            on(Progress::Download { package: &package.name, bytes: package.bytes, permille });
        })?;
        Ok(dir.join(file))
    }

    fn sources(&self) -> String {
        self.archive.stanzas(&self.suites, ARCHITECTURE)
    }

    fn has_index(&self) -> bool {
        let lists = fs::read_dir(self.dir.join("lists")).into_iter().flatten().filter_map(Result::ok);
        lists.into_iter().any(|e| e.file_name().to_string_lossy().contains("_Packages"))
    }

    /// Our folders, sources list and configuration.
    fn prepare(&self) -> Result<(), AptError> {
        for sub in ["lists/partial", "archives/partial", "debs"] {
            let dir = self.dir.join(sub);
            fs::create_dir_all(&dir).map_err(io_at(&dir))?;
        }
        self.write(&self.dir.join("kernels.sources"), &self.sources())?;
        self.write(&self.dir.join("apt.conf"), &configuration(&self.dir))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), AptError> {
        fs::write(path, text).map_err(io_at(path))
    }

    fn query(&self, args: &[&str]) -> Result<String, AptError> {
        self.run("apt-cache", args, &self.dir, &mut |_| {})
    }

    /// Why apt failed, from what it wrote. Where there is no room, some versions say that one form after the other of a file was not
    /// found, and nothing of the first one.
    fn reason(&self, errors: &str) -> String {
        const NO_ROOM: &str = "No space left on device";
        let said = errors.lines().find(|l| l.contains(NO_ROOM));
        let free = rustix::fs::statvfs(&self.dir).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        match said {
            Some(line) => first_error(line),
            None if free.is_ok_and(|free| free < ROOM) => {
                format!("{} ({NO_ROOM}: {})", first_error(errors), self.dir.display())
            }
            None => first_error(errors),
        }
    }

    /// Run a program of apt's; progress goes to `on` in thousandths. Its standard output without progress lines.
    fn run(&self, program: &str, args: &[&str], dir: &Path, on: &mut dyn FnMut(u32)) -> Result<String, AptError> {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.join("apt.conf")).args(args).current_dir(dir).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(io_at(Path::new(program)))?;
        let mut errors = child.stderr.take();
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            errors.as_mut().map(|e| e.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut out = String::new();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line.map_err(io_at(Path::new(program)))?;
                match permille(&line) {
                    Some(p) => on(p),
                    None => out.extend([line.as_str(), "\n"]),
                }
            }
        }
        let status = child.wait().map_err(io_at(Path::new(program)))?;
        let errors = errors.join().unwrap_or_default();
        if status.success() {
            return Ok(out);
        }
        tidy(&self.dir);
        let verb = args.iter().find(|a| a.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !a.starts_with('-'));
        let command = format!("{program} {}", verb.unwrap_or(&""));
        Err(AptError::Failed { command, reason: self.reason(&errors) })
    }
}

/// Removes what apt leaves half-written in our folder where it fails.
fn tidy(dir: &Path) {
    let unfinished = |name: &str| name.starts_with("pkgcache.bin.");
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        if unfinished(&entry.file_name().to_string_lossy()) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What apt needs for an index, bytes.
const ROOM: u64 = 64 << 20;

/// The address in a line of `--print-uris`: `'ADDRESS' FILE SIZE HASH`.
fn first_uri(shown: &str) -> Option<&str> {
    shown.lines().find_map(|l| l.strip_prefix('\'')?.split_once('\'')).map(|(uri, _)| uri)
}

/// The first error (or warning, or line) of what apt wrote.
fn first_error(text: &str) -> String {
    let line = ["E: ", "W: ", ""].iter().find_map(|mark| text.lines().find_map(|l| l.strip_prefix(mark)));
    line.unwrap_or("no reason given").trim().to_owned()
}

/// Progress of a `dlstatus:` line.
fn permille(line: &str) -> Option<u32> {
    let percent = line.strip_prefix("dlstatus:")?.split(':').nth(1)?;
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let tenth = part.bytes().next().map_or(0, |b| u32::from(b.wrapping_sub(b'0')).min(9));
    Some((whole.parse::<u32>().ok()?.min(100) * 10 + tenth).min(1000))
}

/// Our configuration; read after the system's. Hooks are cleared: they would act on the system's folders.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    let sandbox = if rustix::process::geteuid().is_root() { "APT::Sandbox::User \"root\";\n" } else { "" };
    // A mirror that lags behind by weeks still has good kernels for a guest; signatures are checked all the same.
    format!(
        "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n\
         Dir::Etc::SourceList \"{dir}/kernels.sources\";\nDir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::Preferences \"/dev/null\";\nDir::Etc::PreferencesParts \"/dev/null\";\n\
         Dir::State::Lists \"{dir}/lists\";\nDir::State::Status \"/dev/null\";\n\
         Dir::Cache \"{dir}\";\nDir::Cache::Archives \"archives\";\nDir::Cache::PkgCache \"pkgcache.bin\";\nDir::Cache::SrcPkgCache \"\";\n\
         Acquire::Languages \"none\";\nAcquire::Retries \"2\";\nAcquire::Check-Valid-Until \"false\";\nAPT::Status-Fd \"1\";\n{sandbox}"
    )
}

/// Files and folders of the system's sources, from `apt-config dump`.
fn source_places(dump: &str) -> Vec<PathBuf> {
    let value = |key: &str, default: &str| {
        let line = dump.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(" \""));
        PathBuf::from(line.and_then(|l| l.strip_suffix("\";")).unwrap_or(default))
    };
    let etc = value("Dir", "/").join(value("Dir::Etc", "etc/apt"));
    vec![
        etc.join(value("Dir::Etc::sourcelist", "sources.list")),
        etc.join(value("Dir::Etc::sourceparts", "sources.list.d")),
    ]
}

/// Name and text of each sources file, folders in order of names.
fn read_sources(places: &[PathBuf]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for place in places {
        let mut inside: Vec<PathBuf> =
            fs::read_dir(place).into_iter().flatten().filter_map(Result::ok).map(|e| e.path()).collect();
        inside.retain(|p| p.extension().is_some_and(|e| e == "list" || e == "sources"));
        inside.sort();
        paths.extend(if place.is_dir() { inside } else { vec![place.clone()] });
    }
    let read = |p: PathBuf| Some((p.display().to_string(), fs::read_to_string(&p).ok()?));
    paths.into_iter().filter_map(read).collect()
}

/// Kernels from `apt-cache show` and `apt-cache madison`, newest first.
fn candidates(shown: &str, madison: &str) -> Vec<Candidate> {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    for stanza in stanzas(shown) {
        let get = |key: &str| stanza.get(key).cloned().unwrap_or_default();
        let Ok(bytes) = get("size").parse() else { continue };
        let package = Package { name: get("package"), version: get("version"), bytes, sha256: get("sha256") };
        packages.entry(package.name.clone()).or_insert(package);
    }
    let mut suites: BTreeMap<&str, &str> = BTreeMap::new();
    for line in madison.lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let suite = columns.get(2).and_then(|c| c.split(' ').nth(1)).and_then(|s| s.split('/').next());
        if let Some(suite) = suite {
            suites.entry(columns[0]).or_insert(suite);
        }
    }
    let mut found = Vec::new();
    for (name, package) in &packages {
        // Where both are there, the image package is an empty one that depends on the binary package.
        let (release, shadowed) = match (name.strip_prefix("linux-binary-"), name.strip_prefix("linux-image-")) {
            (Some(release), _) => (release, false),
            (_, Some(release)) => (release, packages.contains_key(&format!("linux-binary-{release}"))),
            _ => continue,
        };
        let Ok(release) = Release::new(release) else { continue };
        if !shadowed {
            let config = packages.get(&format!("linux-base-{release}")).cloned();
            let suite = suites.get(name.as_str()).copied().unwrap_or_default().to_owned();
            found.push(Candidate { release, image: package.clone(), config, suite });
        }
    }
    found.sort_by(|a, b| b.release.cmp(&a.release));
    found
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> AptError + '_ {
    move |source| AptError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_written_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pkgcache.bin", "pkgcache.bin.sbmUJm", "refreshed"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        tidy(dir.path());
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["pkgcache.bin", "refreshed"]);
    }

    fn stanza(name: &str, version: &str, size: u64) -> String {
        format!("Package: {name}\nVersion: {version}\nDescription: x\n more\nSize: {size}\nSHA256: {size:064x}\n\n")
    }

    #[test]
    fn candidates_are_read_off_apt() {
        let shown = [
            stanza("linux-image-6.16.12+deb13-cloud-amd64", "6.16.12-1~bpo13+1", 51_193_584),
            stanza("linux-image-7.0.13+deb13-cloud-amd64", "7.0.13-1~bpo13+1", 1_700),
            stanza("linux-binary-7.0.13+deb13-cloud-amd64", "7.0.13-1~bpo13+1", 13_149_508),
            stanza("linux-image-7.2.13+deb14-cloud-amd64", "7.2.13-1", 1_500),
            stanza("linux-binary-7.2.13+deb14-cloud-amd64", "7.2.13-1", 13_717_736),
            stanza("linux-base-7.2.13+deb14-cloud-amd64", "7.2.13-1", 417_436),
            stanza("linux-base-cloud-amd64", "7.2.13-1", 900),
        ]
        .concat();
        let madison = "linux-binary-7.2.13+deb14-cloud-amd64 |   7.2.13-1 | http://m.example/debian sid/main amd64 Packages\n\
                       linux-image-6.16.12+deb13-cloud-amd64 | 6.16.12-1~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages\n";
        let found = candidates(&shown, madison);
        let brief: Vec<(&str, &str, u64, Option<u64>, &str)> = found
            .iter()
            .map(|c| {
                let config = c.config.as_ref().map(|p| p.bytes);
                (c.release.as_str(), c.image.name.as_str(), c.image.bytes, config, c.suite.as_str())
            })
            .collect();
        assert_eq!(
            brief,
            [
                ("7.2.13+deb14-cloud-amd64", "linux-binary-7.2.13+deb14-cloud-amd64", 13_717_736, Some(417_436), "sid"),
                ("7.0.13+deb13-cloud-amd64", "linux-binary-7.0.13+deb13-cloud-amd64", 13_149_508, None, ""),
                (
                    "6.16.12+deb13-cloud-amd64",
                    "linux-image-6.16.12+deb13-cloud-amd64",
                    51_193_584,
                    None,
                    "trixie-backports"
                ),
            ]
        );
        assert_eq!(candidates("", ""), []);
    }

    #[test]
    fn progress_lines_are_read() {
        for (line, expect) in [
            ("dlstatus:1:12.3456:Retrieving file 1 of 1", Some(123)),
            ("dlstatus:4:100.0000:Retrieving file 4 of 4", Some(1000)),
            ("dlstatus:4:0:x", Some(0)),
            ("dlstatus:x", None),
            ("linux-image - x", None),
        ] {
            assert_eq!(permille(line), expect, "{line}");
        }
    }

    #[test]
    fn addresses_are_read() {
        let shown = "'http://m.example/x_1%7e2_amd64.deb' x_1~2_amd64.deb 50174620 SHA256:88c6\n";
        assert_eq!(first_uri(shown), Some("http://m.example/x_1%7e2_amd64.deb"));
        assert_eq!(first_uri("nothing\n"), None);
    }

    #[test]
    fn the_first_error_is_the_reason() {
        let text = "W: Failed to fetch x\nE: Some index files failed to download.\nE: more\n";
        assert_eq!(first_error(text), "Some index files failed to download.");
        assert_eq!(first_error("oops\n"), "oops");
        assert_eq!(first_error(""), "no reason given");
    }

    #[test]
    fn source_places_follow_the_configuration() {
        let dump = "Dir \"/\";\nDir::Etc \"etc/apt\";\nDir::Etc::sourcelist \"sources.list\";\nDir::Etc::sourceparts \"parts.d\";\n";
        let expect = [PathBuf::from("/etc/apt/sources.list"), PathBuf::from("/etc/apt/parts.d")];
        assert_eq!(source_places(dump), expect);
    }
}
