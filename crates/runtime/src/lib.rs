//! What the user-space half of a scheduler sees, and a framework for schedulers whose decisions are made there.
//!
//! A *half* is ordinary synchronous Rust: a function that gets a [`Runtime`] and its options, and returns when its scheduler is to end.
//! It runs in two worlds that it cannot tell apart. On a real kernel it is a thread over libbpf, its memory locked. In a simulation it is a
//! simulated task whose code runs in a coroutine: it has to be scheduled to make progress, what it does takes simulated time, and one that is
//! starved stalls its scheduler, as in reality. The two are [`World`]s; this crate knows neither.
//!
//! ```
//! use scxr_runtime::{Args, Error, HalfDef, Ns, Runtime};
//!
//! /// Says how many tasks were queued, until the scheduler ends.
//! fn watch(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
//!     let queued = rt.global::<u64>("nr_queued")?;
//!     while !rt.is_over() {
//!         rt.stats(|out| out.number("queued", queued.get()));
//!         rt.sleep(Ns::from_ms(100));
//!     }
//!     Ok(())
//! }
//!
//! static HALF: HalfDef = HalfDef { name: "watch", main: watch, options: &[] };
//! # let _ = &HALF;
//! ```
//!
//! Types that cross are those of the BPF half (`plain!` and integers), one definition for both. Names and layouts are compared with the
//! object's [`Schema`] when a variable, a map or a ring is opened; a difference is an error that names both sides.
//!
//! Schedulers whose decisions are Rust in user space implement [`framework::Scheduler`] and need nothing else.
//!
//! The crate depends on the policy crate alone, so that a half of a user's own is compiled as fast as a policy.

#![forbid(unsafe_code)]

mod args;
mod error;
pub mod framework;
mod half;
mod handles;
pub mod library;
mod runtime;
mod schema;
mod stats;
mod world;

pub use args::{Args, Opt, Takes};
pub use error::Error;
pub use half::{Bundle, HALF_TGID, HalfDef};
pub use handles::{Global, Map, Queue, RingBuf, UNSUPPORTED, UserRingBuf};
pub use runtime::Runtime;
pub use schema::{Field, GlobalDesc, MapDesc, MapKind, Schema, StructDesc, Uei};
pub use scxr_policy::{Cpu, Errno, Ns, Plain, Value, Vtime, Weight};
pub use stats::{Stat, Stats};
pub use world::{Exit, World};
