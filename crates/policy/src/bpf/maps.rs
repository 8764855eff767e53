//! Maps as libbpf wants them declared: structures whose members are pointers to types and to arrays of the right length.

use core::ffi::c_void;
use core::ptr::null;

use super::cell::Ref;
use super::sys::helper;
use crate::{Cgroup, MapCell, MapValue, Plain, Task, TimerMap, Value};

/// A map, as the kernel's functions take it.
pub type RawMap = *const c_void;

/// `enum bpf_map_type`.
pub(super) mod kind {
    pub(in super::super) const HASH: usize = 1;
    pub(in super::super) const ARRAY: usize = 2;
    pub(in super::super) const PERF_EVENT_ARRAY: usize = 4;
    pub(in super::super) const PERCPU_HASH: usize = 5;
    pub(in super::super) const PERCPU_ARRAY: usize = 6;
    pub(in super::super) const LRU_HASH: usize = 9;
    pub(in super::super) const ARRAY_OF_MAPS: usize = 12;
    pub(in super::super) const HASH_OF_MAPS: usize = 13;
    pub(in super::super) const QUEUE: usize = 22;
    pub(in super::super) const STACK: usize = 23;
    pub(in super::super) const RINGBUF: usize = 27;
    pub(in super::super) const TASK_STORAGE: usize = 29;
    pub(in super::super) const USER_RINGBUF: usize = 31;
    pub(in super::super) const CGRP_STORAGE: usize = 32;
    pub(in super::super) const ARENA: usize = 33;
}

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;
/// `BPF_NOEXIST`: only if there is none.
const NOEXIST: u64 = 1;
/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const CREATE: u64 = 1;

macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident<$($g:ident $(: $bound:ident)?),*; $($n:ident),*> $(takes $takes:ident)? { $($member:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(C)]
        pub struct $name<$($g $(: $bound)?,)* $(const $n: usize,)*> { $($member: $ty,)* }

        // SAFETY: the pointers are types for the loader and never followed.
        unsafe impl<$($g $(: $bound)?,)* $(const $n: usize,)*> Sync for $name<$($g,)* $($n,)*> {}

        impl<$($g $(: $bound)?,)* $(const $n: usize,)*> $name<$($g,)* $($n,)*> {
            #[doc(hidden)]
            #[allow(clippy::new_without_default, reason = "for macros")]
            pub const fn __new() -> Self {
                $(<T as MapValue>::Cell::HOLDS.must_fit($crate::Takes::$takes);)?
                Self { $($member: core::ptr::null(),)* }
            }

            #[inline(always)]
            fn map(&self) -> *const core::ffi::c_void {
                (&raw const *self).cast()
            }
        }
    )*};
}

pub(super) use maps;

maps! {
    /// `N` values that all CPUs share: a map of the kind ARRAY.
    Array<T: MapValue; N> takes ALL {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// One value for each CPU: a map of the kind PERCPU_ARRAY.
    PerCpu<T: MapValue;> takes PER_CPU {
        r#type: *const [i32; kind::PERCPU_ARRAY],
        key: *const u32,
        value: *const T::Cell,
        max_entries: *const [i32; 1],
    }
    /// Values by key, at most `N`: a map of the kind HASH.
    HashMap<K: Value, T: MapValue; N> takes ALL {
        r#type: *const [i32; kind::HASH],
        key: *const K,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// Values by key, one for each CPU, at most `N` keys: a map of the kind PERCPU_HASH.
    PerCpuHashMap<K: Value, T: MapValue; N> takes PER_CPU {
        r#type: *const [i32; kind::PERCPU_HASH],
        key: *const K,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// Values by key, at most `N`; one that was not used lately makes room: a map of the kind LRU_HASH.
    LruHashMap<K: Value, T: MapValue; N> takes LRU {
        r#type: *const [i32; kind::LRU_HASH],
        key: *const K,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// A value for each task that goes with the task: a map of the kind TASK_STORAGE.
    TaskStorage<T: MapValue;> takes STORAGE {
        r#type: *const [i32; kind::TASK_STORAGE],
        map_flags: *const [i32; NO_PREALLOC],
        key: *const i32,
        value: *const T::Cell,
    }
    /// A value for each cgroup that goes with the cgroup: a map of the kind CGRP_STORAGE.
    CgroupStorage<T: MapValue;> takes STORAGE {
        r#type: *const [i32; kind::CGRP_STORAGE],
        map_flags: *const [i32; NO_PREALLOC],
        key: *const i32,
        value: *const T::Cell,
    }
    /// First in, first out, at most `N`: a map of the kind QUEUE.
    Queue<T: Plain; N> {
        r#type: *const [i32; kind::QUEUE],
        value: *const T,
        max_entries: *const [i32; N],
    }
    /// Last in, first out, at most `N`: a map of the kind STACK.
    Stack<T: Plain; N> {
        r#type: *const [i32; kind::STACK],
        value: *const T,
        max_entries: *const [i32; N],
    }
}

#[inline(always)]
pub(super) fn lookup<K>(map: *const c_void, key: &K) -> *mut c_void {
    // SAFETY: the map is a static of `state!`, the key is on the stack and of the map's type.
    unsafe { helper::map_lookup(map, (&raw const *key).cast()) }
}

/// Looks up; makes a value of zeros if there is none.
#[inline(always)]
fn lookup_or_insert<K, C: MapCell>(map: *const c_void, key: &K) -> *mut c_void {
    let found = lookup(map, key);
    if !found.is_null() {
        return found;
    }
    let zero = C::ZERO;
    // SAFETY: as in `lookup`; the value is of the map's type. That another CPU was faster is no harm.
    unsafe { helper::map_update_elem(map, (&raw const *key).cast(), (&raw const zero).cast(), NOEXIST) };
    lookup(map, key)
}

#[inline(always)]
fn remove<K>(map: *const c_void, key: &K) -> bool {
    // SAFETY: as in `lookup`.
    unsafe { helper::map_delete_elem(map, (&raw const *key).cast()) == 0 }
}

impl<T: MapValue, const N: usize> Array<T, N> {
    /// The value at `index`; `None` past the end.
    #[inline(always)]
    pub fn get(&self, index: u32) -> Option<Ref<'_, T::Cell>> {
        Ref::found(lookup(self.map(), &index))
    }
}

impl<T: MapValue> PerCpu<T> {
    /// The current CPU's value; there always is one, which the verifier does not know.
    #[inline(always)]
    pub fn get(&self) -> Option<Ref<'_, T::Cell>> {
        Ref::found(lookup(self.map(), &0u32))
    }

    /// A certain CPU's value; `None` if that cannot be (`bpf_map_lookup_percpu_elem`).
    #[inline(always)]
    pub fn on(&self, cpu: crate::Cpu) -> Option<Ref<'_, T::Cell>> {
        let key = 0u32;
        // SAFETY: as in `lookup`.
        Ref::found(unsafe { helper::map_lookup_percpu_elem(self.map(), (&raw const key).cast(), cpu.0 as u32) })
    }
}

macro_rules! hashes {
    ($($name:ident)*) => {$(
        impl<K: Value, T: MapValue, const N: usize> $name<K, T, N> {
            /// The value of `key`, if it has one.
            #[inline(always)]
            pub fn get(&self, key: K) -> Option<Ref<'_, T::Cell>> {
                Ref::found(lookup(self.map(), &key))
            }

            /// The value of `key`, made of zeros if it has none; `None`: there is no room.
            #[inline(always)]
            pub fn get_or_insert(&self, key: K) -> Option<Ref<'_, T::Cell>> {
                Ref::found(lookup_or_insert::<K, T::Cell>(self.map(), &key))
            }

            /// Removes the value of `key`; `false`: there was none.
            #[inline(always)]
            pub fn remove(&self, key: K) -> bool {
                remove(self.map(), &key)
            }
        }
    )*};
}

hashes! { HashMap LruHashMap PerCpuHashMap }

macro_rules! with_timers {
    ($($name:ident<$($k:ident)?> by $key:ty;)*) => {$(
        impl<$($k: Value,)? T: MapValue, const N: usize> TimerMap for $name<$($k,)? T, N> {
            type Key = $key;
            type Cell = T::Cell;
            #[inline(always)]
            fn __raw(&self) -> RawMap {
                self.map()
            }
        }
    )*};
}

with_timers! { Array<> by u32; HashMap<K> by K; LruHashMap<K> by K; }

impl<K: Value, T: MapValue, const N: usize> PerCpuHashMap<K, T, N> {
    /// A certain CPU's value of `key` (`bpf_map_lookup_percpu_elem`).
    #[inline(always)]
    pub fn on(&self, key: K, cpu: crate::Cpu) -> Option<Ref<'_, T::Cell>> {
        // SAFETY: as in `lookup`.
        Ref::found(unsafe { helper::map_lookup_percpu_elem(self.map(), (&raw const key).cast(), cpu.0 as u32) })
    }
}

macro_rules! storages {
    ($($name:ident: $Owner:ident, $get:ident, $delete:ident, $helper:literal;)*) => {$(
        impl<T: MapValue> $name<T> {
            #[doc = concat!("The value, if there is one (`", $helper, "`).")]
            #[inline(always)]
            pub fn get(&self, of: $Owner<'_>) -> Option<Ref<'_, T::Cell>> {
                // SAFETY: the map is this static, the owner is the kernel's.
                Ref::found(unsafe { helper::$get(self.map(), of.raw(), null(), 0) })
            }

            /// The value, made of zeros if there is none; `None`: there is no memory.
            #[inline(always)]
            pub fn get_or_create(&self, of: $Owner<'_>) -> Option<Ref<'_, T::Cell>> {
                // SAFETY: as in `get`.
                Ref::found(unsafe { helper::$get(self.map(), of.raw(), null(), CREATE) })
            }

            /// Removes the value; `false`: there was none.
            #[inline(always)]
            pub fn remove(&self, of: $Owner<'_>) -> bool {
                // SAFETY: as in `get`.
                unsafe { helper::$delete(self.map(), of.raw()) == 0 }
            }
        }
    )*};
}

storages! {
    TaskStorage: Task, task_storage_get, task_storage_delete, "bpf_task_storage_get";
    CgroupStorage: Cgroup, cgrp_storage_get, cgrp_storage_delete, "bpf_cgrp_storage_get";
}

macro_rules! queues {
    ($($name:ident)*) => {$(
        impl<T: Plain, const N: usize> $name<T, N> {
            /// Puts a value in (`bpf_map_push_elem`); `false`: it is full.
            #[inline(always)]
            pub fn push(&self, value: T) -> bool {
                // SAFETY: the map is this static, the value is of its type.
                unsafe { helper::map_push_elem(self.map(), (&raw const value).cast(), 0) == 0 }
            }

            /// Takes the next value out (`bpf_map_pop_elem`).
            #[inline(always)]
            pub fn pop(&self) -> Option<T> {
                let mut value = T::ZERO;
                // SAFETY: as in `push`.
                let ret = unsafe { helper::map_pop_elem(self.map(), (&raw mut value).cast()) };
                if ret == 0 { Some(value) } else { None }
            }

            /// The next value, left where it is (`bpf_map_peek_elem`).
            #[inline(always)]
            pub fn peek(&self) -> Option<T> {
                let mut value = T::ZERO;
                // SAFETY: as in `push`.
                let ret = unsafe { helper::map_peek_elem(self.map(), (&raw mut value).cast()) };
                if ret == 0 { Some(value) } else { None }
            }
        }
    )*};
}

queues! { Queue Stack }
