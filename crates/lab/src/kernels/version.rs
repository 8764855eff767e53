//! Releases (`7.2.13+deb14-cloud-amd64`), series (`7.2`) and what a user may ask for.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kernel's release, as `uname -r` says it. Ordered by its numbers, then by the rest as text; a release candidate
/// (`7.3-rc4`) comes before its release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Release(String);

impl Release {
    /// From text that starts with `MAJOR.MINOR`.
    pub fn new(text: impl Into<String>) -> Result<Release, SpecError> {
        let text = text.into();
        let safe = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        let (numbers, _) = split(&text);
        if numbers.len() < 2 || !text.chars().all(safe) {
            return Err(SpecError::Release { text });
        }
        Ok(Release(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Major, minor and patch level (0 where there is none).
    pub fn numbers(&self) -> (u32, u32, u32) {
        let (n, _) = split(&self.0);
        (n[0], n[1], n.get(2).copied().unwrap_or(0))
    }
}

impl Ord for Release {
    fn cmp(&self, other: &Release) -> Ordering {
        let key = |r: &Release| {
            let rest = split(&r.0).1.trim_start_matches(['-', '~', '+']);
            (r.numbers(), !rest.starts_with("rc"), rest.to_owned())
        };
        key(self).cmp(&key(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Release) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The leading dotted numbers and what follows them.
fn split(text: &str) -> (Vec<u32>, &str) {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(n) = rest[..len].parse() else { return (numbers, rest) };
        numbers.push(n);
        rest = &rest[len..];
        match rest.strip_prefix('.') {
            Some(after) if after.starts_with(|c: char| c.is_ascii_digit()) => rest = after,
            _ => return (numbers, rest),
        }
    }
}

/// A series (`7.2`) or, with a patch level, one kernel of it (`7.2.13`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, where one kernel is meant.
    pub patch: Option<u32>,
}

impl Series {
    /// Whether a release is of this series.
    pub fn holds(&self, release: &Release) -> bool {
        let (major, minor, patch) = release.numbers();
        (major, minor) == (self.major, self.minor) && self.patch.is_none_or(|p| p == patch)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |p| write!(f, ".{p}"))
    }
}

impl FromStr for Series {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Series, SpecError> {
        match (split(text), text) {
            ((n, ""), _) if n.len() == 2 || n.len() == 3 => {
                Ok(Series { major: n[0], minor: n[1], patch: n.get(2).copied() })
            }
            _ => Err(SpecError::Spec { text: text.to_owned() }),
        }
    }
}

/// Which kernel a user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSpec {
    /// The newest usable one of a series.
    Series(Series),
    /// An image (bzImage), with `config-V` beside it where there is one.
    Path(PathBuf),
    /// This host's own.
    Host,
}

impl FromStr for KernelSpec {
    type Err = SpecError;

    /// `host`, a series, or a path (it has a slash in it or starts with `vmlinuz` or `bzImage`).
    fn from_str(text: &str) -> Result<KernelSpec, SpecError> {
        if text == "host" {
            return Ok(KernelSpec::Host);
        }
        if text.contains('/') || text.starts_with("vmlinuz") || text.starts_with("bzImage") {
            return Ok(KernelSpec::Path(PathBuf::from(text)));
        }
        text.parse().map(KernelSpec::Series)
    }
}

/// Text that names no kernel.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// What was asked for is of no known form.
    #[error("`{text}` names no kernel: give a series (7.2), a version (7.2.13), a path (./vmlinuz) or `host`")]
    Spec {
        /// What was asked for.
        text: String,
    },
    /// A release that does not start with two numbers.
    #[error("`{text}` is no kernel release")]
    Release {
        /// The text.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_told_apart() {
        let series = |major, minor, patch| Ok(KernelSpec::Series(Series { major, minor, patch }));
        let bad = |t: &str| Err(SpecError::Spec { text: t.to_owned() });
        for (text, expect) in [
            ("7.2", series(7, 2, None)),
            ("6.16.12", series(6, 16, Some(12))),
            ("host", Ok(KernelSpec::Host)),
            ("./bzImage", Ok(KernelSpec::Path("./bzImage".into()))),
            ("vmlinuz-7.2", Ok(KernelSpec::Path("vmlinuz-7.2".into()))),
            ("7", bad("7")),
            ("7.2.", bad("7.2.")),
            ("7.2.1.1", bad("7.2.1.1")),
            ("v7.2", bad("v7.2")),
            ("", bad("")),
            ("99999999999.1", bad("99999999999.1")),
        ] {
            assert_eq!(text.parse::<KernelSpec>(), expect, "{text:?}");
        }
    }

    #[test]
    fn releases_are_ordered_by_number() {
        let ordered = ["6.9.14-x", "6.16.3+deb13-cloud-amd64", "6.16.12+deb13-cloud-amd64", "7.2-rc4", "7.2", "7.2.13"];
        let releases: Vec<Release> = ordered.iter().map(|t| Release::new(*t).unwrap()).collect();
        assert!(releases.is_sorted(), "{releases:?}");
        assert!(releases[2] > releases[1] && releases[3] < releases[4]);
    }

    #[test]
    fn a_release_is_a_safe_file_name() {
        for text in ["../7.2", "7.2/../..", "seven", "7", "7.2 x"] {
            assert!(Release::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_series_holds_its_kernels_only() {
        let release = Release::new("6.1.170").unwrap();
        for (series, expect) in [("6.1", true), ("6.1.170", true), ("6.1.17", false), ("6.16", false)] {
            assert_eq!(series.parse::<Series>().unwrap().holds(&release), expect, "{series}");
        }
    }
}
