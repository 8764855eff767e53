//! Sets of cids that the kernel shows.

use super::MaskWords;
use super::ambient::call;
use crate::Arena;

/// The host's handle of the task that the set is about.
pub type RawCmask = u64;

/// A set as it was when it was opened.
#[derive(Clone, Copy, Debug)]
pub struct Shown(MaskWords, u32);

pub(crate) fn open<const N: usize>(of: RawCmask, _arena: &Arena<N>) -> Shown {
    let (words, nr) = call(|h| h.cmask(of));
    Shown(words, nr)
}

pub(crate) fn nr(of: Shown) -> u32 {
    of.1
}

pub(crate) fn word(of: Shown, at: u32) -> u64 {
    of.0.0.get(at as usize).copied().unwrap_or(0)
}
