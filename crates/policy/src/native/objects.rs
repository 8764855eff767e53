//! Objects that a policy makes, and trees and lists of them.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use super::ambient::{call, with};
use super::cell::Ref;
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::Object;

macro_rules! nodes {
    ($($name:ident)*) => {$(
        /// Where an object has its node on BPF; here, whether it is in a collection.
        #[derive(Debug)]
        pub struct $name(std::cell::Cell<bool>);

        impl $name {
            #[doc(hidden)]
            #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
            pub const ZERO: Self = Self(std::cell::Cell::new(false));

            /// Says whether it is; whether it was.
            #[doc(hidden)]
            pub fn set_in(&self, is_in: bool) -> bool {
                self.0.replace(is_in)
            }
        }
    )*};
}

nodes! { InTree InList InSlot }

/// How often an object is held, which is counted here without it.
#[derive(Debug)]
pub struct Counted;

impl Counted {
    #[doc(hidden)]
    pub const ZERO: Self = Self;
}

maps! {
    /// Objects in an order of the policy's own, behind a lock.
    Tree<T: Object;> = Objects[1];
    /// Objects one after the other, behind a lock.
    List<T: Object;> = Objects[1];
    /// A place for an object that outlives the operation: an item of state, or a field of a value in a map ([`ObjectCell`]).
    ObjectSlot<T: Object;> = Objects[1];
}

/// How an object is made: as any value.
pub trait Make {
    /// Says whether it is in a collection; whether it was.
    #[doc(hidden)]
    fn set_in(&self, is_in: bool) -> bool;
}

/// What a tree, list or slot holds, and whether it is locked.
#[derive(Default)]
pub(super) struct Objects {
    held: RefCell<VecDeque<Rc<dyn Any>>>,
    locked: std::cell::Cell<bool>,
}

/// An object that the policy made and holds; freed when the last that holds it is dropped.
#[derive(Debug)]
pub struct Owned<T: Object>(Rc<T>);

impl<T: Object> Owned<T> {
    /// A new one, its fields zero.
    pub fn new() -> Option<Self> {
        Some(Self(Rc::new(T::ZERO)))
    }

    fn of(object: Rc<dyn Any>) -> Option<Self> {
        object.downcast().ok().map(Self)
    }

    /// One that was taken out of a collection.
    fn taken(object: Rc<dyn Any>) -> Option<Self> {
        Self::of(object).inspect(|object| {
            object.set_in(false);
        })
    }
}

impl<T: crate::Counted> Owned<T> {
    /// Holds it once more.
    pub fn share(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }
}

impl<T: Object> Deref for Owned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A locked [`Tree`].
#[derive(Debug)]
pub struct TreeGuard<'a, T: Object> {
    slot: usize,
    tree: PhantomData<&'a T>,
}

/// A locked [`List`].
#[derive(Debug)]
pub struct ListGuard<'a, T: Object> {
    slot: usize,
    list: PhantomData<&'a T>,
}

fn objects<R>(slot: usize, look: impl FnOnce(&Objects) -> R) -> Option<R> {
    with(|instance| instance.objects(slot).map(look))
}

/// The members, the first one in front.
fn members<R>(slot: usize, change: impl FnOnce(&mut VecDeque<Rc<dyn Any>>) -> R) -> Option<R> {
    objects(slot, |o| change(&mut o.held.borrow_mut()))
}

fn lock(slot: usize) -> Option<()> {
    if objects(slot, |o| o.locked.replace(true))? {
        call(|host| host.error("deadlock: bpf_spin_lock is already held", &[]));
    }
    Some(())
}

macro_rules! locked {
    ($($name:ident $guard:ident $what:ident;)*) => {$(
        impl<T: Object> $name<T> {
            /// Takes its lock until the guard is dropped. Meanwhile no function of the kernel's may be called but the guard's, and no object be made or
            /// dropped.
            pub fn lock(&self) -> Option<$guard<'_, T>> {
                lock(self.slot)?;
                Some($guard { slot: self.slot, $what: PhantomData })
            }
        }

        impl<T: Object> Drop for $guard<'_, T> {
            fn drop(&mut self) {
                objects(self.slot, |o| o.locked.set(false));
            }
        }
    )*};
}

locked! { Tree TreeGuard tree; List ListGuard list; }

impl<T: Object<Place = crate::InTree>> TreeGuard<'_, T> {
    /// Puts an object in, behind all before which it does not come. `before` is a function or a closure that holds nothing, and the same each time.
    /// `false`: it is in one already, which only an object that is [`Counted`](crate::Counted) can be.
    pub fn insert<F: Fn(&T, &T) -> bool>(&mut self, object: Owned<T>, before: F) -> bool {
        const { assert!(size_of::<F>() == 0, "the function that orders objects cannot hold anything") };
        let held = members(self.slot, |m| m.clone()).unwrap_or_default();
        let is_before = |other: &Rc<dyn Any>| other.downcast_ref().is_some_and(|other| before(&object, other));
        let at = held.partition_point(|other| !is_before(other));
        !object.set_in(true) && members(self.slot, |m| m.insert(at, object.0.clone())).is_some()
    }

    /// The first object, left where it is.
    pub fn first(&self) -> Option<Ref<'_, T>> {
        let first = members(self.slot, |m| m.front().cloned())??;
        first.downcast().ok().map(Ref::new)
    }

    /// Takes the first object out.
    pub fn pop_first(&mut self) -> Option<Owned<T>> {
        Owned::taken(members(self.slot, VecDeque::pop_front)??)
    }
}

impl<T: Object<Place = crate::InList>> ListGuard<'_, T> {
    /// Puts an object in front of all others. `false`: it is in a list already.
    pub fn push_front(&mut self, object: Owned<T>) -> bool {
        !object.set_in(true) && members(self.slot, |m| m.push_front(object.0)).is_some()
    }

    /// Puts an object behind all others. `false`: it is in a list already.
    pub fn push_back(&mut self, object: Owned<T>) -> bool {
        !object.set_in(true) && members(self.slot, |m| m.push_back(object.0)).is_some()
    }

    /// Takes the first object out.
    pub fn pop_front(&mut self) -> Option<Owned<T>> {
        Owned::taken(members(self.slot, VecDeque::pop_front)??)
    }

    /// Takes the last object out.
    pub fn pop_back(&mut self) -> Option<Owned<T>> {
        Owned::taken(members(self.slot, VecDeque::pop_back)??)
    }
}

/// An [`ObjectSlot`] that is a field of a value in a map.
#[derive(Debug)]
pub struct ObjectCell<T: Object>(RefCell<Option<Owned<T>>>);

impl<T: Object> ObjectCell<T> {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self(RefCell::new(None));

    /// Puts an object in, or nothing; what was there before.
    pub fn replace(&self, object: Option<Owned<T>>) -> Option<Owned<T>> {
        self.0.replace(object)
    }
}

impl<T: Object> ObjectSlot<T> {
    /// Puts an object in, or nothing; what was there before.
    pub fn replace(&self, object: Option<Owned<T>>) -> Option<Owned<T>> {
        let old = members(self.slot, |m| {
            let old = m.pop_front();
            m.extend(object.map(|object| object.0 as Rc<dyn Any>));
            old
        });
        Owned::of(old??)
    }
}

/// What [`object!`](crate::object) implements.
#[doc(hidden)]
#[macro_export]
macro_rules! __object {
    ($S:ident $Place:ident [$($counted:ident)?] { $($field:ident: $t:ty),* }) => {
        impl $crate::MapCell for $S {
            const ZERO: Self = Self {
                __node: $crate::backend::objects::$Place::ZERO,
                $(__refs: $crate::backend::objects::$counted::ZERO,)?
                $($field: <<$t as $crate::MapValue>::Cell as $crate::MapCell>::ZERO),*
            };
            fn put(&self, _bytes: &mut [u8]) {}
        }
        impl $crate::Object for $S {
            type Place = $crate::$Place;
        }
        impl $crate::backend::objects::Make for $S {
            fn set_in(&self, is_in: bool) -> bool {
                $({ let _: &$crate::backend::objects::$counted = &self.__refs; })?
                self.__node.set_in(is_in)
            }
        }
    };
}
