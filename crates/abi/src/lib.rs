//! What sched_ext is on each kernel version: operations, flags, enums, exit kinds, kfuncs, kernel types and fields.
//!
//! One declarative table, `src/tables/*.h`, holds C declarations annotated with the releases that have them. From it
//! [`KernelModel::new`] derives, for one version, the kernel's BTF, its constants, its operations and kfuncs with
//! who may call them, and the place of every field. Nothing here knows a scheduler, BPF instructions or the
//! simulated kernel.
//!
//! Sources of the versions: the type information of 6.12, 6.13+, 6.16, 6.18-rc, 7.0+ and 7.2 kernels, and the version
//! tags of sched_ext's compatibility headers (E-245 to E-249). Where a change lies between two of those kernels the table
//! says so in a comment.

#![forbid(unsafe_code)]

mod btf;
mod groups;
mod kconfig;
mod kfuncs;
mod layout;
mod lex;
mod model;
mod ops;
mod table;
mod tables;
mod types;
mod version;

pub use groups::Groups;
pub use kconfig::{KconfigValue, NR_CPUS, kconfig};
pub use kfuncs::{Caller, Kfunc, essential_name};
pub use layout::{FieldInfo, Layout, Leaf, LeafHit, Scalar};
pub use model::KernelModel;
pub use ops::{Arg, Callback, Form, OpsMember};
pub use table::TableError;
pub use types::{Composite, Enum, Member, Param, Type, TypeId, TypeTable};
pub use version::{KernelVersion, Span, VersionError};
