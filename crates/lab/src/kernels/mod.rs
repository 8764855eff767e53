//! Kernels by series ("7.2"), by path, or this host's own.
//!
//! [`Store`] is the way in: it lists what the distribution's archive and the cache hold, fetches the newest kernel of a
//! series that can run sched_ext schedulers, and says of every other one why it cannot ([`Problem`]).

mod apt;
mod deb;
mod image;
mod judge;
mod sources;
mod store;
mod version;

pub use apt::{AptError, Candidate};
pub use deb::DebError;
pub use image::{ImageError, btf_of_image, has_pvh_entry, release_of_image, vmlinux_of_image};
pub use judge::{Judgement, Problem, judge};
pub use sources::{Archive, Distribution};
pub use store::{Kernel, KernelError, Listed, Origin, Store, default_cache};
pub use version::{KernelSpec, Release, Series, SpecError};

/// What a long step is at. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The archive's index is being fetched.
    Index {
        /// How much of it is there, in thousandths.
        permille: u32,
    },
    /// A package is being fetched.
    Download {
        /// Its name.
        package: &'a str,
        /// Its size.
        bytes: u64,
        /// How much of it is there, in thousandths.
        permille: u32,
    },
    /// The package is there and is being unpacked and judged.
    Unpack {
        /// Its name.
        package: &'a str,
    },
    /// This kernel cannot be used; the next older one is tried.
    Unusable {
        /// Its release, as `uname -r` says it.
        release: &'a Release,
        /// Why.
        problem: &'a Problem,
    },
    /// The index could not be refreshed; what was fetched earlier is used.
    Stale {
        /// What apt said.
        reason: &'a str,
    },
}

/// The caller's progress callback.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress<'_>);
