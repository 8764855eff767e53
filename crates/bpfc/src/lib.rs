//! Rust to BPF with the installed stable toolchain and its own LLVM.
//!
//! A policy is `no_std` Rust against the policy crate. The driver lets the installed `rustc` write LLVM bitcode for the
//! host, loads the LLVM that this `rustc` is linked with, makes the module one for BPF, and lets LLVM optimise and assemble
//! it. What rustc cannot say (prototypes and weakness of kernel functions, relocatable fields) the policy crate says in link
//! names (`marker`), which become what clang makes of the same in C (`lower`). Last, BTF is completed (`btf`, `object`). No
//! other compiler, no nightly, no source of `core`, and no text of IR is edited.
//!
//! ```no_run
//! use scxr_bpfc::{Compiler, Options};
//! let built = Compiler::new()?.compile("schedulers/simple/policy.rs".as_ref(), &Options::default())?;
//! std::fs::write("simple.bpf.o", &built.bytes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Objects are reproducible: the same source and toolchain give the same bytes in any folder.

mod btf;
mod build;
mod check;
mod compiler;
mod error;
mod incremental;
mod llvm;
mod lower;
mod marker;
mod native;
mod object;
mod session;
mod toolchain;

pub use build::{build_policy, build_policy_or_exit};
pub use compiler::{Built, Compiler, Cpu, Emit, Options, policy_name};
pub use error::{Error, Refusal, Result, Site};
pub use incremental::{Output, build};
pub use native::{Library, build_half, build_native};
