//! The lab: stock Linux kernels, found, fetched, cached and judged ([`kernels`]), booted in QEMU ([`qemu`]) with a file system
//! of our own making ([`initramfs`]) whose first process is one of ours ([`guest`]).
//!
//! A guest is deterministic unless it is asked not to be: the same kernel, files and shape give the same bytes.
//!
//! The library prints nothing. What takes long reports its progress to a callback of the caller's.

pub mod guest;
pub mod initramfs;
pub mod kernels;
pub mod qemu;
