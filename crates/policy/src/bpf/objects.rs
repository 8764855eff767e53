//! Objects that programs make, and the kernel's trees and lists of them.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::null_mut;

use super::cell::{Ref, bpf_spin_lock, launder};
use super::maps::{kind, lookup, maps};
use super::sys::kfunc::*;
use super::sys::types::{bpf_list_head, bpf_list_node, bpf_rb_node, bpf_rb_root};
use super::sys::{helper, types};
use crate::Object;

macro_rules! nodes {
    ($($(#[$doc:meta])* $name:ident = $raw:ident[$words:literal];)*) => {$(
        $(#[$doc])*
        pub type $name = $raw;

        #[allow(non_camel_case_types)]
        #[derive(Debug)]
        #[repr(C)]
        pub struct $raw { __opaque: UnsafeCell<[u64; $words]> }

        impl $raw {
            #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
            pub const ZERO: Self = Self { __opaque: UnsafeCell::new([0; $words]) };
        }

        // SAFETY: only the kernel's functions touch it.
        unsafe impl Sync for $raw {}
    )*};
}

/// The kernel's structures, as members of the policy's: the verifier knows them by name and size.
pub mod node {
    use super::UnsafeCell;

    nodes! {
        /// The node of an object in a tree.
        InTree = bpf_rb_node[4];
        /// The node of an object in a list.
        InList = bpf_list_node[3];
    }

    /// The root of a tree or the head of a list.
    macro_rules! roots {
        ($($raw:ident)*) => {$(
            #[allow(non_camel_case_types)]
            #[derive(Debug)]
            #[repr(C)]
            pub struct $raw { __opaque: UnsafeCell<[u64; 2]> }
        )*};
    }

    roots! { bpf_rb_root bpf_list_head }

    /// How often an object is held.
    pub type Counted = bpf_refcount;

    #[allow(non_camel_case_types)]
    #[derive(Debug)]
    #[repr(C)]
    pub struct bpf_refcount {
        __opaque: UnsafeCell<u32>,
    }

    impl bpf_refcount {
        #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
        pub const ZERO: Self = Self { __opaque: UnsafeCell::new(0) };
    }

    // SAFETY: only the kernel's functions touch it.
    unsafe impl Sync for bpf_refcount {}

    /// An object that is in no collection.
    #[derive(Debug)]
    #[repr(C)]
    pub struct InSlot([u64; 0]);

    impl InSlot {
        pub const ZERO: Self = Self([]);
    }
}

pub use node::{Counted, InList, InSlot, InTree};

/// The value of a map that holds a tree or list: its root, the lock that protects it, and what it contains (for the driver).
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
pub struct collection<R, T> {
    root: R,
    lock: bpf_spin_lock,
    contains: [T; 0],
}

/// An [`ObjectSlot`] that is a field of a value in a map.
pub type ObjectCell<T> = object_slot<T>;

/// The value of a map that holds an object.
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
pub struct object_slot<T> {
    object: types::Kptr<T>,
    contains: [T; 0],
}

maps! {
    /// Objects in an order of the policy's own, behind a lock (`bpf_rbtree`): a map of the kind ARRAY with one value.
    Tree<T: Object;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const collection<node::bpf_rb_root, T>,
        max_entries: *const [i32; 1],
    }
    /// Objects one after the other, behind a lock (`bpf_list`): a map of the kind ARRAY with one value.
    List<T: Object;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const collection<node::bpf_list_head, T>,
        max_entries: *const [i32; 1],
    }
    /// A place for an object that outlives the operation: a map of the kind ARRAY with one value, or a field.
    ObjectSlot<T: Object;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const object_slot<T>,
        max_entries: *const [i32; 1],
    }
}

/// How an object is made.
pub trait Make {
    /// Its number in the object's BTF.
    fn type_id() -> u64;
    /// Sets all fields to zero.
    ///
    /// # Safety
    /// `this` is a fresh object.
    unsafe fn clear(this: *mut Self);
}

/// An object that the policy made and holds; freed when the last that holds it is dropped (`bpf_obj_drop`).
#[derive(Debug)]
pub struct Owned<T: Object>(*mut T);

impl<T: Object> Owned<T> {
    /// A new one, its fields zero (`bpf_obj_new`); `None`: there is no memory.
    #[inline(always)]
    pub fn new() -> Option<Self> {
        // SAFETY: the number is that of `T`; a pointer that is not null is to a fresh one.
        unsafe {
            let object: *mut T = bpf_obj_new_impl::call(T::type_id(), null_mut()).cast();
            if object.is_null() {
                return None;
            }
            T::clear(object);
            Some(Self(object))
        }
    }

    #[inline(always)]
    fn found(object: *mut T) -> Option<Self> {
        if object.is_null() { None } else { Some(Self(object)) }
    }

    #[inline(always)]
    fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).0
    }
}

impl<T: crate::Counted> Owned<T> {
    /// Holds it once more (`bpf_refcount_acquire`).
    #[inline(always)]
    pub fn share(&self) -> Option<Self> {
        // SAFETY: the object is alive, and counts.
        Self::found(unsafe { bpf_refcount_acquire_impl::call(self.0.cast(), null_mut()) }.cast())
    }
}

impl<T: Object> Deref for Owned<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: it is alive while this owns it, and its fields are cells.
        unsafe { &*self.0 }
    }
}

impl<T: Object> Drop for Owned<T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this owns it.
        unsafe { bpf_obj_drop_impl::call(self.0.cast(), null_mut()) }
    }
}

/// A locked [`Tree`].
#[derive(Debug)]
pub struct TreeGuard<'a, T: Object>(&'a collection<node::bpf_rb_root, T>);

/// A locked [`List`].
#[derive(Debug)]
pub struct ListGuard<'a, T: Object>(&'a collection<node::bpf_list_head, T>);

macro_rules! locked {
    ($($name:ident $guard:ident;)*) => {$(
        impl<T: Object> $name<T> {
            /// Takes its lock until the guard is dropped. Meanwhile no function of the kernel's may be called but the guard's, and no object be made or
            /// dropped.
            #[inline(always)]
            pub fn lock(&self) -> Option<$guard<'_, T>> {
                // SAFETY: the look-up gave a value of this type, with a lock.
                let value = unsafe { lookup(self.map(), &0u32).cast::<collection<_, T>>().as_ref() }?;
                unsafe { helper::spin_lock((&raw const value.lock).cast_mut().cast()) };
                Some($guard(value))
            }
        }

        impl<T: Object> Drop for $guard<'_, T> {
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: `lock` took it.
                unsafe { helper::spin_unlock((&raw const self.0.lock).cast_mut().cast()) };
            }
        }
    )*};
}

locked! { Tree TreeGuard; List ListGuard; }

/// What the kernel calls to order two objects: `F` itself is code without data.
extern "C" fn less<T: Object, F: Fn(&T, &T) -> bool>(a: *mut bpf_rb_node, b: *const bpf_rb_node) -> bool {
    const { assert!(size_of::<F>() == 0, "the function that orders objects cannot hold anything") };
    // SAFETY: a value without size, of a type of which `insert` had one; the node is an object's first member.
    unsafe {
        let before = ManuallyDrop::new(core::mem::zeroed::<F>());
        before(&*a.cast::<T>(), &*b.cast::<T>())
    }
}

impl<T: Object<Place = crate::InTree>> TreeGuard<'_, T> {
    #[inline(always)]
    fn root(&self) -> *mut bpf_rb_root {
        (&raw const self.0.root).cast_mut().cast()
    }

    /// Puts an object in, behind all before which it does not come (`bpf_rbtree_add`). `before` is a function or a closure that holds nothing, and
    /// the same each time. `false`: it is in one already, which only an object that is [`Counted`](crate::Counted) can be.
    #[inline(always)]
    pub fn insert<F: Fn(&T, &T) -> bool>(&mut self, object: Owned<T>, before: F) -> bool {
        core::mem::forget(before);
        // SAFETY: the lock is held; the object goes to the tree.
        unsafe { bpf_rbtree_add_impl::call(self.root(), object.into_raw().cast(), less::<T, F>, null_mut(), 0) == 0 }
    }

    /// The first object, left where it is (`bpf_rbtree_first`).
    #[inline(always)]
    pub fn first(&self) -> Option<Ref<'_, T>> {
        // SAFETY: the lock is held.
        Ref::found(unsafe { bpf_rbtree_first::call(self.root()) }.cast())
    }

    /// Takes the first object out (`bpf_rbtree_remove`).
    #[inline(always)]
    pub fn pop_first(&mut self) -> Option<Owned<T>> {
        // SAFETY: the lock is held, the node is one of this tree.
        unsafe {
            let first = bpf_rbtree_first::call(self.root());
            if first.is_null() {
                return None;
            }
            Owned::found(bpf_rbtree_remove::call(self.root(), first).cast())
        }
    }
}

impl<T: Object<Place = crate::InList>> ListGuard<'_, T> {
    #[inline(always)]
    fn head(&self) -> *mut bpf_list_head {
        (&raw const self.0.root).cast_mut().cast()
    }

    /// Puts an object in front of all others (`bpf_list_push_front`). `false`: it is in a list already.
    #[inline(always)]
    pub fn push_front(&mut self, object: Owned<T>) -> bool {
        // SAFETY: the lock is held; the object goes to the list.
        unsafe { bpf_list_push_front_impl::call(self.head(), object.into_raw().cast(), null_mut(), 0) == 0 }
    }

    /// Puts an object behind all others (`bpf_list_push_back`). `false`: it is in a list already.
    #[inline(always)]
    pub fn push_back(&mut self, object: Owned<T>) -> bool {
        // SAFETY: as in `push_front`.
        unsafe { bpf_list_push_back_impl::call(self.head(), object.into_raw().cast(), null_mut(), 0) == 0 }
    }

    /// Takes the first object out (`bpf_list_pop_front`).
    #[inline(always)]
    pub fn pop_front(&mut self) -> Option<Owned<T>> {
        // SAFETY: the lock is held.
        Owned::found(unsafe { bpf_list_pop_front::call(self.head()) }.cast())
    }

    /// Takes the last object out (`bpf_list_pop_back`).
    #[inline(always)]
    pub fn pop_back(&mut self) -> Option<Owned<T>> {
        // SAFETY: the lock is held.
        Owned::found(unsafe { bpf_list_pop_back::call(self.head()) }.cast())
    }
}

impl<T: Object> object_slot<T> {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self { object: types::Kptr::__EMPTY, contains: [] };

    /// Puts an object in, or nothing; what was there before (`bpf_kptr_xchg`).
    #[inline(always)]
    pub fn replace(&self, object: Option<Owned<T>>) -> Option<Owned<T>> {
        Owned::found(self.object.exchange(object.map_or(null_mut(), |object| launder(object.into_raw()))))
    }
}

impl<T: Object> ObjectSlot<T> {
    /// Puts an object in, or nothing; what was there before (`bpf_kptr_xchg`).
    #[inline(always)]
    pub fn replace(&self, object: Option<Owned<T>>) -> Option<Owned<T>> {
        // SAFETY: the look-up gave a value of this type.
        unsafe { lookup(self.map(), &0u32).cast::<object_slot<T>>().as_ref() }?.replace(object)
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
        }
        impl $crate::Object for $S {
            type Place = $crate::$Place;
        }
        impl $crate::backend::objects::Make for $S {
            #[inline(always)]
            fn type_id() -> u64 {
                unsafe extern "C" {
                    #[link_name = concat!("scxr.type_id:", stringify!($S))]
                    safe fn number() -> u64;
                }
                let _node = |this: &Self| &raw const this.__node;
                $(let _refs = |this: &Self| { let refs: &$crate::backend::objects::$counted = &this.__refs; &raw const *refs };)?
                number()
            }
            #[inline(always)]
            unsafe fn clear(this: *mut Self) {
                // SAFETY: the caller's.
                unsafe {
                    $((&raw mut (*this).$field).write(<<$t as $crate::MapValue>::Cell as $crate::MapCell>::ZERO);)*
                }
            }
        }
    };
}
