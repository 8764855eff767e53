//! The lab: QEMU, found, asked what it can do, and run.

mod boot;
mod diagnose;
mod kvm;
mod madt;
mod pulse;
mod shape;
mod tail;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kernels::Distribution;

pub use boot::{Clock, Guest, GuestExit, GuestOutput, Outcome, Turns, VmError, turn_us};
pub use diagnose::{Finding, Report, findings};
pub use kvm::Kvm;
pub use shape::{Shape, ShapeError};

/// The program.
const PROGRAM: &str = "qemu-system-x86_64";

/// Why there is no QEMU.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It is not installed.
    #[error("{PROGRAM} is not installed; install it with: {install}")]
    Missing {
        /// The command.
        install: &'static str,
    },
    /// It does not run.
    #[error("{program} does not run: {reason}")]
    Broken {
        /// Which.
        program: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// A QEMU that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// What it says its version is, as in `10.0.2`.
    pub version: String,
}

impl Qemu {
    /// The first number of its version; 0: it names none.
    fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Whether it can show a guest who shares caches (QEMU 10). Asked only where it matters, as it takes a moment.
    fn knows_caches(&self) -> bool {
        let out = Command::new(&self.program).args(["-machine", "pc,help"]).stdin(Stdio::null()).output();
        out.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("smp-cache="))
    }

    /// The one in `PATH`.
    pub fn find() -> Result<Qemu, QemuError> {
        let missing = || {
            let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
            QemuError::Missing { install: install_command(&Distribution::parse(&os_release).id) }
        };
        Qemu::at(&in_path(PROGRAM).ok_or_else(missing)?)
    }

    /// This one.
    pub fn at(program: &Path) -> Result<Qemu, QemuError> {
        let broken = |reason: String| QemuError::Broken { program: program.to_owned(), reason };
        let out = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        let out = out.map_err(|e| broken(e.to_string()))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let version = text.split_once("QEMU emulator version ").and_then(|(_, v)| v.split([' ', '\n']).next());
        let version = version.ok_or_else(|| broken(format!("`--version` printed {:?}", text.trim())))?;
        Ok(Qemu { program: program.to_owned(), version: version.to_owned() })
    }
}

/// How QEMU is installed.
fn install_command(distribution: &str) -> &'static str {
    match distribution {
        "debian" | "ubuntu" | "linuxmint" | "pop" => "sudo apt-get install --no-install-recommends qemu-system-x86",
        "fedora" | "rhel" | "centos" => "sudo dnf install qemu-system-x86-core",
        "arch" | "archarm" | "manjaro" => "sudo pacman -S qemu-system-x86",
        "alpine" => "sudo apk add qemu-system-x86_64",
        _ => "your package manager (the package is often called qemu-system-x86)",
    }
}

/// A program in `PATH`.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_that_does_not_run_is_told() {
        let error = Qemu::at(Path::new("/nowhere/qemu")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/qemu does not run"), "{error}");
        let error = Qemu::at(Path::new("/bin/true")).unwrap_err().to_string();
        assert!(error.contains("--version"), "{error}");
    }

    #[test]
    fn versions_are_numbers() {
        let major = |version: &str| Qemu { program: PathBuf::new(), version: version.into() }.major();
        assert_eq!(["6.2.0", "10.0.2", "7", "next"].map(major), [6, 10, 7, 0]);
    }

    #[test]
    fn each_distribution_has_its_command() {
        for (id, word) in [("debian", "apt-get"), ("fedora", "dnf"), ("arch", "pacman"), ("x", "package manager")] {
            assert!(install_command(id).contains(word), "{id}");
        }
    }
}
