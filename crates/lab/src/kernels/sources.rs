//! Where packages come from: the archive's address in the system's own apt sources, in both formats that apt reads.

use std::collections::BTreeMap;

/// What works on every distribution.
macro_rules! any_distribution {
    () => {
        "The kernel has to have CONFIG_VIRTIO_PCI=y and CONFIG_VIRTIO_CONSOLE=y, as guests load no modules. Debian's cloud kernels \
         have, and boot under any distribution's QEMU: download linux-image-6.18…-cloud-amd64 of trixie-backports, \
         `ar x linux-image-*.deb && tar xf data.tar.xz`, then `--kernel ./boot/vmlinuz-*`"
    };
}

/// What `os-release` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `ID`: `debian`, `fedora`, …; empty where it is not known.
    pub id: String,
    /// `VERSION_CODENAME`: `bookworm`, …; empty where there is none.
    pub codename: String,
}

impl Distribution {
    /// From the text of `/etc/os-release`.
    pub fn parse(text: &str) -> Distribution {
        let value = |key: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or("").trim().trim_matches(['"', '\'']).to_owned()
        };
        Distribution { id: value("ID"), codename: value("VERSION_CODENAME") }
    }

    /// How a kernel is had by hand where this library cannot fetch it.
    pub fn hint(&self) -> &'static str {
        match self.id.as_str() {
            "fedora" | "rhel" | "centos" => {
                concat!(
                    "On Fedora: `dnf download kernel-core-$(uname -r) && rpm2cpio kernel-core-*.rpm | cpio -id`, then \
                     `--kernel ./lib/modules/$(uname -r)/vmlinuz`. ",
                    any_distribution!()
                )
            }
            "arch" | "archarm" | "manjaro" => {
                concat!(
                    "On Arch: `sudo pacman -S linux`, then `--kernel /usr/lib/modules/$(uname -r)/vmlinuz`. ",
                    any_distribution!()
                )
            }
            "ubuntu" => {
                concat!(
                    "On Ubuntu: `apt-get download linux-image-unsigned-$(uname -r) && dpkg-deb -x linux-image-unsigned-*.deb .`, \
                     then `--kernel ./boot/vmlinuz-$(uname -r)`. ",
                    any_distribution!()
                )
            }
            "debian" => "On Debian: a `deb` entry for the main archive in /etc/apt/sources.list is all that is needed",
            _ => {
                concat!(
                    "Give the kernel's image by hand: `--kernel PATH` (a bzImage with CONFIG_SCHED_CLASS_EXT=y and \
                     CONFIG_DEBUG_INFO_BTF=y). ",
                    any_distribution!()
                )
            }
        }
    }
}

/// The archive that the system takes its own packages from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its address.
    pub uri: String,
    /// The key it is signed by, as the system's entry says it: a path, or a key block whose lines are indented for a
    /// deb822 file. `None`: apt's trusted keys.
    pub signed_by: Option<String>,
    /// The suite of the entry it was found in.
    pub suite: String,
}

impl Archive {
    /// The entries of our own sources list, deb822: the cloud kernels' suites, and no index but the packages'.
    pub fn stanzas(&self, suites: &[String], architecture: &str) -> String {
        let signed = self.signed_by.as_ref().map_or(String::new(), |s| format!("Signed-By: {s}\n"));
        let one = |suite: &String| {
            format!(
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nArchitectures: {architecture}\nTargets: Packages\n{signed}\n",
                self.uri
            )
        };
        suites.iter().map(one).collect()
    }
}

/// The archive among the entries of one file that holds the distribution's suites, best entry first: the release's own
/// suite, then its updates and backports, then any of the archive's.
pub(super) fn find_archive(files: &[(String, String)], codename: &str) -> Option<Archive> {
    let mut found: Vec<Archive> = Vec::new();
    for (name, text) in files {
        found.extend(if name.ends_with(".sources") { deb822(text) } else { one_line(text) });
    }
    let rolling = ["stable", "oldstable", "testing", "unstable", "sid"];
    let rank = |a: &Archive| {
        let of_release = a.suite.strip_prefix(codename).filter(|_| !codename.is_empty());
        match of_release {
            Some("") => Some(0),
            Some("-updates" | "-backports") => Some(1),
            _ if rolling.contains(&a.suite.as_str()) => Some(2),
            _ => None,
        }
    };
    found.into_iter().filter_map(|a| Some((rank(&a)?, a))).min_by_key(|(rank, _)| *rank).map(|(_, a)| a)
}

/// Which suites to look in, best first: the release's backports (a release of Debian that has any), and the two that
/// carry kernels with the class.
pub(super) fn suites(codename: &str) -> Vec<String> {
    let own = match codename {
        "" | "sid" | "trixie" | "forky" => None,
        name => Some(format!("{name}-backports")),
    };
    own.into_iter().chain(["trixie-backports".to_owned(), "sid".to_owned()]).collect()
}

/// `deb [options] URI SUITE COMPONENT…` lines.
fn one_line(text: &str) -> Vec<Archive> {
    let parse = |line: &str| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(after) => after.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        if !words.any(|c| c == "main") || !fetched(uri) {
            return None;
        }
        let signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="));
        Some(Archive { uri: uri.into(), signed_by: signed_by.map(Into::into), suite: suite.into() })
    };
    text.lines().filter_map(parse).collect()
}

/// Stanzas of `Field: value`, whose values go on in indented lines.
fn deb822(text: &str) -> Vec<Archive> {
    let mut found = Vec::new();
    for stanza in stanzas(text) {
        let get = |key: &str| stanza.get(key).map_or("", String::as_str);
        let has = |key: &str, word: &str| get(key).split_whitespace().any(|w| w == word);
        if get("enabled") == "no" || !has("types", "deb") || !has("components", "main") {
            continue;
        }
        let Some(uri) = get("uris").split_whitespace().find(|u| fetched(u)) else { continue };
        let signed_by = stanza.get("signed-by").cloned();
        found.extend(get("suites").split_whitespace().map(|suite| Archive {
            uri: uri.to_owned(),
            signed_by: signed_by.clone(),
            suite: suite.to_owned(),
        }));
    }
    found
}

/// Stanzas of a deb822 text; keys are in lower case, further lines of a value keep their indentation.
pub(super) fn stanzas(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut all = Vec::new();
    let mut stanza: BTreeMap<String, String> = BTreeMap::new();
    let mut key = String::new();
    for line in text.lines().filter(|l| !l.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            if !stanza.is_empty() {
                all.push(std::mem::take(&mut stanza));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = stanza.get_mut(&key) {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((k, v)) = line.split_once(':') {
            key = k.to_ascii_lowercase();
            stanza.insert(key.clone(), v.trim().to_owned());
        }
    }
    all
}

/// Whether an entry is one that packages can be fetched from (no CD-ROM).
fn fetched(uri: &str) -> bool {
    ["http:", "https:", "mirror", "file:", "copy:", "ftp:", "tor+"].iter().any(|scheme| uri.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expect: Option<(&str, Option<&str>, &str)>) {
        let files = [(name.to_owned(), text.to_owned())];
        let expect = expect.map(|(uri, signed_by, suite)| Archive {
            uri: uri.into(),
            signed_by: signed_by.map(Into::into),
            suite: suite.into(),
        });
        assert_eq!(find_archive(&files, "bookworm"), expect, "{text}");
    }

    #[test]
    fn archives_are_found_in_one_line_files() {
        let own = Some(("http://m.example/debian", None, "bookworm"));
        check("sources.list", "deb http://m.example/debian bookworm main contrib", own);
        check("sources.list", "# deb http://m.example/debian bookworm main", None);
        check("sources.list", "deb-src http://m.example/debian bookworm main", None);
        check("sources.list", "deb cdrom:[Debian]/ bookworm main", None);
        check("sources.list", "deb http://m.example/debian bookworm contrib", None);
        check("sources.list", "deb http://s.example/debian-security bookworm-security main", None);
        let third = "deb https://x.example/apt cloud-sdk-bookworm main\ndeb http://m.example/debian bookworm main";
        check("a.list", third, own);
        let later = "deb http://b.example/debian bookworm-backports main\ndeb http://m.example/debian bookworm main";
        check("a.list", later, own);
        let signed = "deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm main # ours";
        check("a.list", signed, Some(("http://m.example/debian", Some("/k.gpg"), "bookworm")));
        check("a.list", "deb http://m.example/debian stable main", Some(("http://m.example/debian", None, "stable")));
    }

    #[test]
    fn archives_are_found_in_deb822_files() {
        let text = "Types: deb\n# a comment\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\
                    Signed-By: /usr/share/k.gpg\n\nTypes: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        check("debian.sources", text, Some(("http://m.example/debian", Some("/usr/share/k.gpg"), "bookworm")));
        check("debian.sources", &format!("Enabled: no\n{text}"), None);
        let block = "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n AAA\n";
        check("x.sources", block, Some(("http://m.example/debian", Some("\n -----BEGIN\n .\n AAA"), "bookworm")));
    }

    #[test]
    fn suites_follow_the_release() {
        assert_eq!(suites("bookworm"), ["bookworm-backports", "trixie-backports", "sid"]);
        assert_eq!(suites("trixie"), ["trixie-backports", "sid"]);
        assert_eq!(suites(""), ["trixie-backports", "sid"]);
    }

    #[test]
    fn a_hint_for_every_distribution() {
        for (os_release, word) in [
            ("ID=fedora\nVERSION_ID=43\n", "dnf"),
            ("NAME=\"Arch Linux\"\nID=arch\n", "pacman"),
            ("ID=ubuntu\nVERSION_CODENAME=noble\n", "dpkg-deb"),
            ("ID=\"nixos\"\n", "--kernel PATH"),
            ("", "--kernel PATH"),
        ] {
            let hint = Distribution::parse(os_release).hint();
            assert!(hint.contains(word), "{os_release}: {hint}");
        }
        let debian = Distribution::parse("PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nID=debian\n");
        assert_eq!(debian, Distribution { id: "debian".into(), codename: "bookworm".into() });
    }
}
