//! A policy in a library that is loaded while a program runs.
//!
//! Such a library has its own copy of this crate, from the same sources by the same compiler, so that both mean the same by a type.
//! What is kept for a thread each copy keeps for itself: code of the policy is entered through [`PolicyDef::enter`].

use std::mem::{align_of, size_of};

use super::{
    ExitDetails, GlobalValue, Host, Instance, ItemDef, MaskWords, OpDef, PolicyDef, StateItem, Words, ambient,
};

/// The name of the [`Entry`] in a library.
pub const ENTRY: &str = "SCXR_POLICY";

/// What a library shows.
#[repr(C)]
pub struct Entry {
    /// [`LAYOUT`] of the library's copy. Nothing else may be looked at where it is not the program's own.
    pub layout: [usize; 10],
    /// The policy.
    pub policy: &'static PolicyDef,
    /// From here on, a panic of the policy's goes there, with its text, and not further.
    pub on_panic: fn(fn(&str) -> !),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Size and alignment of what crosses, as one number each.
pub const LAYOUT: [usize; 10] = [
    layout::<PolicyDef>(),
    layout::<OpDef>(),
    layout::<StateItem>(),
    layout::<ItemDef>(),
    layout::<Instance>(),
    layout::<GlobalValue>(),
    layout::<Words<'_>>(),
    layout::<MaskWords>(),
    layout::<ExitDetails>(),
    layout::<&dyn Host>(),
];

const fn layout<T>() -> usize {
    size_of::<T>() * 64 + align_of::<T>()
}

/// Runs `code` as the policy's, on this thread.
pub fn enter(instance: &Instance, host: &dyn Host, code: &mut dyn FnMut()) {
    ambient::enter(instance, host, code);
}

/// Gives the text of each panic in this copy's world to `tell`.
pub fn on_panic(tell: fn(&str) -> !) {
    std::panic::set_hook(Box::new(move |info| tell(&info.to_string())));
}
