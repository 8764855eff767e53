//! Sets of cids that the kernel keeps in an arena.

use super::cell::{Ref, launder};
use super::sys::arena_cast;
use crate::backend::cell::Field;
use crate::{Arena, MapValue};

/// Where the kernel says that a set is.
pub type RawCmask = u64;

/// `struct scx_cmask`, before its words. What the kernel shows begins with the first cid.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    _base: Field<u32>,
    nr_cids: Field<u32>,
    _alloc_words: Field<u32>,
}

/// Bytes before the words.
const HEADER: u64 = 16;

/// A set in an arena that the program names.
#[derive(Clone, Copy, Debug)]
pub struct Shown(u64);

#[inline(always)]
pub fn open<const N: usize>(at: RawCmask, arena: &Arena<N>) -> Shown {
    // the verifier wants a program that follows pointers into an arena to name it
    launder((&raw const *arena).cast_mut());
    Shown(at)
}

#[inline(always)]
pub fn nr(of: Shown) -> u32 {
    Ref::<Header>::found(arena_cast(of.0)).map_or(0, |header| header.nr_cids.get())
}

#[inline(always)]
pub fn word(of: Shown, at: u32) -> u64 {
    let at = of.0.wrapping_add(HEADER).wrapping_add(u64::from(at).wrapping_mul(8));
    Ref::<<u64 as MapValue>::Cell>::found(arena_cast(at)).map_or(0, |word| word.get())
}
