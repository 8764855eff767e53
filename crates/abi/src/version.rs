//! Kernel versions that have sched_ext, and ranges of them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A mainline release, `major.minor`. Stable updates (`6.18.3`) share their release's ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// First number of the release, e.g. the 6 of 6.18.
    pub major: u16,
    /// Second number of the release, e.g. the 18 of 6.18.
    pub minor: u16,
}

/// Why a version string was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VersionError {
    /// Not of the form `MAJOR.MINOR[.PATCH]`.
    #[error("`{text}` is not a kernel version; write for example 6.18 or 7.2")]
    Syntax {
        /// What was given.
        text: String,
    },
    /// A kernel without sched_ext, or one newer than the model.
    #[error("kernel {version} is not modelled; known are {}", known())]
    Unknown {
        /// What was given.
        version: KernelVersion,
    },
}

fn known() -> String {
    let names: Vec<String> = KernelVersion::ALL.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl KernelVersion {
    /// Every modelled release, oldest first. sched_ext was merged for 6.12.
    pub const ALL: [Self; 11] = [
        Self::new(6, 12),
        Self::new(6, 13),
        Self::new(6, 14),
        Self::new(6, 15),
        Self::new(6, 16),
        Self::new(6, 17),
        Self::new(6, 18),
        Self::new(6, 19),
        Self::new(7, 0),
        Self::new(7, 1),
        Self::new(7, 2),
    ];
    /// The first release with sched_ext.
    pub const OLDEST: Self = Self::ALL[0];
    /// The newest modelled release, and the default.
    pub const NEWEST: Self = Self::ALL[Self::ALL.len() - 1];

    /// A version from its two numbers; it need not be a modelled one.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// `LINUX_KERNEL_VERSION` of the release: `major << 16 | minor << 8`, patch level 0.
    pub const fn code(self) -> u32 {
        ((self.major as u32) << 16) | ((self.minor as u32) << 8)
    }
}

impl Default for KernelVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Two numbers of `6.18`, `v6.18`, `6.18.3` or `6.18-rc4`; the rest is ignored.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let release = text.split(['-', '+']).next()?;
    let mut parts = release.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    parts.all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())).then_some((major, minor))
}

impl FromStr for KernelVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (major, minor) = numbers(text).ok_or_else(|| VersionError::Syntax { text: text.to_owned() })?;
        let version = Self::new(major, minor);
        if Self::ALL.contains(&version) { Ok(version) } else { Err(VersionError::Unknown { version }) }
    }
}

/// The releases in which an entry of the table exists: from `since` up to, not including, `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First release with the entry; [`KernelVersion::OLDEST`] also stands for "before sched_ext".
    pub since: KernelVersion,
    /// First release without it again; `None` while it is still there.
    pub until: Option<KernelVersion>,
}

impl Span {
    /// Present in every modelled release.
    pub const ALWAYS: Self = Self { since: KernelVersion::OLDEST, until: None };

    /// Whether `version` has the entry.
    pub fn contains(self, version: KernelVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_releases_and_refuses_the_rest() {
        for (text, expect) in [
            ("7.2", Some((7, 2))),
            ("v6.18", Some((6, 18))),
            ("6.12.7", Some((6, 12))),
            ("7.1-rc3", Some((7, 1))),
            ("6.11", None),
            ("7.3", None),
            ("7", None),
            ("7.2.x", None),
            ("seven", None),
            ("", None),
        ] {
            let got = text.parse::<KernelVersion>().ok().map(|v| (v.major, v.minor));
            assert_eq!(got, expect, "{text}");
        }
    }

    #[test]
    fn orders_and_encodes() {
        assert!(KernelVersion::ALL.is_sorted());
        assert_eq!(KernelVersion::default().to_string(), "7.2");
        assert_eq!(KernelVersion::new(6, 12).code(), 0x6_0c00);
        let span = Span { since: KernelVersion::new(6, 13), until: Some(KernelVersion::new(7, 1)) };
        assert!(!span.contains(KernelVersion::new(6, 12)) && span.contains(KernelVersion::new(6, 13)));
        assert!(span.contains(KernelVersion::new(7, 0)) && !span.contains(KernelVersion::new(7, 1)));
    }
}
