//! A half in a library that is loaded while a program runs.
//!
//! Such a library has its own copy of this crate, from the same sources by the same compiler, so that both mean the same by a type. Both use the
//! system's allocator, so that what one makes the other may free.

use std::mem::{align_of, size_of};

use crate::args::{Args, Opt};
use crate::error::Error;
use crate::half::HalfDef;
use crate::runtime::Runtime;
use crate::schema::{GlobalDesc, MapDesc, Schema};
use crate::stats::{Stat, Stats};
use crate::world::{Exit, World};

/// The name of the [`Entry`] in a library.
pub const ENTRY: &str = "SCXR_HALF";

/// What a library shows.
#[repr(C)]
pub struct Entry {
    /// [`LAYOUT`] of the library's copy. Nothing else may be looked at where it is not the program's own.
    pub layout: [usize; 11],
    /// The half.
    pub half: &'static HalfDef,
    /// From here on, a panic of the half's goes there, with its text, and not further.
    pub on_panic: fn(fn(&str) -> !),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Size and alignment of what crosses, as one number each.
pub const LAYOUT: [usize; 11] = [
    layout::<HalfDef>(),
    layout::<Opt>(),
    layout::<Args>(),
    layout::<Runtime<'_>>(),
    layout::<&dyn World>(),
    layout::<Schema>(),
    layout::<GlobalDesc>(),
    layout::<MapDesc>(),
    layout::<Stats>() + layout::<Stat>(),
    layout::<Result<(), Error>>(),
    layout::<Option<Exit>>(),
];

const fn layout<T>() -> usize {
    size_of::<T>() * 64 + align_of::<T>()
}

/// Gives the text of each panic in this copy's world to `tell`.
pub fn on_panic(tell: fn(&str) -> !) {
    std::panic::set_hook(Box::new(move |info| tell(&info.to_string())));
}
