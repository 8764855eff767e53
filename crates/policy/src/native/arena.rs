//! Arenas.

use std::marker::PhantomData;
use std::rc::Rc;

use super::ambient::with;
use super::cell::Ref;
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::{MapCell, MapValue, Sleepable, Takes, Value};

/// Bytes of a page.
const PAGE: usize = 4096;

maps! {
    /// `N` pages that the policy and user space share, for values that are linked by pointers.
    Arena<; N> = Arena[N];
}

/// A pointer to a value in an [`Arena`], or to none. It can be kept anywhere, and followed at any time ([`Arena::get`]): what was freed reads zero, and
/// writes to it are lost.
pub struct ArenaPtr<T>(u64, PhantomData<fn() -> T>);

impl<T> Clone for ArenaPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ArenaPtr<T> {}

impl<T> std::fmt::Debug for ArenaPtr<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl<T: 'static> Value for ArenaPtr<T> {
    const SIZE: usize = 8;
    const SIGNED: bool = false;
    fn to_bits(self) -> u64 {
        self.0
    }
    fn from_bits(bits: u64) -> Self {
        Self(bits, PhantomData)
    }
}

impl<T: MapValue> ArenaPtr<T> {
    /// To nothing.
    pub const NULL: Self = Self(0, PhantomData);
}

impl<const N: usize> Arena<N> {
    /// The value; `None`: the pointer is to none.
    pub fn get<T: MapValue>(&self, at: ArenaPtr<T>) -> Option<Ref<'_, T::Cell>> {
        if at.0 == 0 {
            return None;
        }
        let found = with(|instance| instance.in_arena(at.0)).and_then(|value| value.downcast().ok());
        Some(Ref::new(found.unwrap_or_else(|| Rc::new(T::Cell::ZERO))))
    }

    /// A new value, all zero, in pages of its own; [`ArenaPtr::NULL`]: there is no room.
    pub fn alloc<T: MapValue>(&self, _cx: &impl Sleepable) -> ArenaPtr<T> {
        const { T::Cell::HOLDS.must_fit(Takes::NOTHING) };
        let pages = size_of::<T::Cell>().div_ceil(PAGE);
        let at = with(|instance| instance.alloc_in_arena(self.slot, Rc::new(T::Cell::ZERO), pages));
        ArenaPtr(at.unwrap_or(0), PhantomData)
    }

    /// Gives the pages of a value back.
    pub fn free<T: MapValue>(&self, _cx: &impl Sleepable, at: ArenaPtr<T>) {
        with(|instance| instance.free_in_arena(at.0));
    }
}
