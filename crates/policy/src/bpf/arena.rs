//! Arenas.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::null_mut;

use super::cell::{Ref, launder};
use super::maps::{kind, maps};
use super::sys::{arena_cast, kfunc::*};
use crate::{MapCell, MapValue, Sleepable, Takes, Value};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: usize = 1024;
/// Bytes of a page.
const PAGE: usize = 4096;

maps! {
    /// `N` pages that the policy and user space share, for values that are linked by pointers: a map of the kind ARENA (from 6.9).
    Arena<; N> {
        r#type: *const [i32; kind::ARENA],
        map_flags: *const [i32; MMAPABLE],
        max_entries: *const [i32; N],
    }
}

/// A pointer to a value in an [`Arena`], or to none. It can be kept anywhere, and followed at any time ([`Arena::get`]): what was freed reads zero, and
/// writes to it are lost.
#[repr(transparent)]
pub struct ArenaPtr<T>(u64, PhantomData<fn() -> T>);

impl<T> Clone for ArenaPtr<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ArenaPtr<T> {}

impl<T: 'static> Value for ArenaPtr<T> {
    const SIGNED: bool = false;
    #[inline(always)]
    fn to_bits(self) -> u64 {
        self.0
    }
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        Self(bits, PhantomData)
    }
}

impl<T: MapValue> ArenaPtr<T> {
    /// To nothing.
    pub const NULL: Self = Self(0, PhantomData);
}

impl<const N: usize> Arena<N> {
    /// Pages that a value takes.
    const fn pages<T: MapValue>() -> u32 {
        const { T::Cell::HOLDS.must_fit(Takes::NOTHING) };
        size_of::<T::Cell>().div_ceil(PAGE) as u32
    }

    /// The value; `None`: the pointer is to none.
    #[inline(always)]
    pub fn get<T: MapValue>(&self, at: ArenaPtr<T>) -> Option<Ref<'_, T::Cell>> {
        if at.0 == 0 {
            return None;
        }
        // the verifier wants a program that follows pointers into an arena to name it
        launder(self.map().cast_mut());
        Ref::found(arena_cast(at.0))
    }

    /// A new value, all zero, in pages of its own (`bpf_arena_alloc_pages`); [`ArenaPtr::NULL`]: there is no room.
    #[inline(always)]
    pub fn alloc<T: MapValue>(&self, _cx: &impl Sleepable) -> ArenaPtr<T> {
        // SAFETY: the map is this static.
        let at = unsafe { bpf_arena_alloc_pages::call(self.map(), null_mut(), Self::pages::<T>(), -1, 0) };
        ArenaPtr(at.addr() as u64, PhantomData)
    }

    /// Gives the pages of a value back (`bpf_arena_free_pages`).
    #[inline(always)]
    pub fn free<T: MapValue>(&self, _cx: &impl Sleepable, at: ArenaPtr<T>) {
        let pages = core::ptr::without_provenance_mut::<c_void>(at.0 as usize);
        // SAFETY: the map is this static; an arena's pages can be freed at any time.
        unsafe { bpf_arena_free_pages::call(self.map(), pages, Self::pages::<T>()) };
    }
}
