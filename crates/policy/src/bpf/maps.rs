//! Maps as libbpf wants them declared: structures whose members are pointers to types and to arrays of the right length.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null;

use super::cell::Ref;
use super::sys::helper;
use super::sys::types::{bpf_timer, mask_slot, timer_slot};
use crate::{CpuMask, MapCell, MapValue, Ns, OwnedCpuMask, Plain, Task, TimerFlags, Unlocked, Value};

/// `enum bpf_map_type`.
mod kind {
    pub(super) const HASH: usize = 1;
    pub(super) const ARRAY: usize = 2;
    pub(super) const PERCPU_ARRAY: usize = 6;
    pub(super) const LRU_HASH: usize = 9;
    pub(super) const QUEUE: usize = 22;
    pub(super) const STACK: usize = 23;
    pub(super) const RINGBUF: usize = 27;
    pub(super) const TASK_STORAGE: usize = 29;
}

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;
/// `BPF_NOEXIST`: only if there is none.
const NOEXIST: u64 = 1;
/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const CREATE: u64 = 1;

macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident<$($g:ident $(: $bound:ident)?),*; $($n:ident),*> { $($member:ident: $ty:ty,)* })*) => {$(
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
                Self { $($member: null(),)* }
            }

            #[inline(always)]
            fn map(&self) -> *const c_void {
                (&raw const *self).cast()
            }
        }
    )*};
}

maps! {
    /// `N` values that all CPUs share: a map of the kind ARRAY.
    Array<T: MapValue; N> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// One value for each CPU: a map of the kind PERCPU_ARRAY.
    PerCpu<T: MapValue;> {
        r#type: *const [i32; kind::PERCPU_ARRAY],
        key: *const u32,
        value: *const T::Cell,
        max_entries: *const [i32; 1],
    }
    /// Values by key, at most `N`: a map of the kind HASH.
    HashMap<K: Value, T: MapValue; N> {
        r#type: *const [i32; kind::HASH],
        key: *const K,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// Values by key, at most `N`; one that was not used lately makes room: a map of the kind LRU_HASH.
    LruHashMap<K: Value, T: MapValue; N> {
        r#type: *const [i32; kind::LRU_HASH],
        key: *const K,
        value: *const T::Cell,
        max_entries: *const [i32; N],
    }
    /// A value for each task that goes with the task: a map of the kind TASK_STORAGE.
    TaskStorage<T: MapValue;> {
        r#type: *const [i32; kind::TASK_STORAGE],
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
    /// Messages to user space, `N` bytes of them: a power of two and of pages. A map of the kind RINGBUF.
    RingBuf<; N> {
        r#type: *const [i32; kind::RINGBUF],
        max_entries: *const [i32; N],
    }
    /// A timer: a map of the kind ARRAY with one value.
    Timer<;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const timer_slot,
        max_entries: *const [i32; 1],
    }
    /// A place for an [`OwnedCpuMask`] that outlives the operation: a map of the kind ARRAY with one value.
    MaskSlot<;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const mask_slot,
        max_entries: *const [i32; 1],
    }
}

#[inline(always)]
fn lookup<K>(map: *const c_void, key: &K) -> *mut c_void {
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

hashes! { HashMap LruHashMap }

impl<T: MapValue> TaskStorage<T> {
    /// The task's value, if it has one (`bpf_task_storage_get`).
    #[inline(always)]
    pub fn get(&self, p: Task<'_>) -> Option<Ref<'_, T::Cell>> {
        // SAFETY: the map is this static, the task is the kernel's.
        Ref::found(unsafe { helper::task_storage_get(self.map(), p.raw(), null(), 0) })
    }

    /// The task's value, made of zeros if it has none; `None`: there is no memory.
    #[inline(always)]
    pub fn get_or_create(&self, p: Task<'_>) -> Option<Ref<'_, T::Cell>> {
        // SAFETY: as in `get`.
        Ref::found(unsafe { helper::task_storage_get(self.map(), p.raw(), null(), CREATE) })
    }

    /// Removes the task's value; `false`: it had none.
    #[inline(always)]
    pub fn remove(&self, p: Task<'_>) -> bool {
        // SAFETY: as in `get`.
        unsafe { helper::task_storage_delete(self.map(), p.raw()) == 0 }
    }
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

impl<const N: usize> RingBuf<N> {
    /// Sends a message (`bpf_ringbuf_output`); `false`: there is no room, the message is lost.
    #[inline(always)]
    pub fn send<T: Plain>(&self, message: T) -> bool {
        // SAFETY: the map is this static, the message is on the stack.
        unsafe { helper::ringbuf_output(self.map(), (&raw const message).cast(), size_of::<T>() as u64, 0) == 0 }
    }
}

/// `CLOCK_MONOTONIC`.
const MONOTONIC: u64 = 1;

/// What the kernel calls: `F` itself is code without data.
extern "C" fn fire<F: Fn(&Unlocked)>(_map: *mut c_void, _key: *mut u32, _value: *mut timer_slot) -> i32 {
    const { assert!(size_of::<F>() == 0, "the function of a timer cannot hold anything") };
    // SAFETY: a value without size, of a type of which `start` had one.
    let function = unsafe { MaybeUninit::<F>::uninit().assume_init() };
    function(&Unlocked::__new());
    core::mem::forget(function);
    0
}

impl Timer {
    #[inline(always)]
    fn timer(&self) -> Option<*mut bpf_timer> {
        let slot: *mut timer_slot = lookup(self.map(), &0u32).cast();
        // SAFETY: the look-up gave a value of this type.
        if slot.is_null() { None } else { Some(unsafe { &raw mut (*slot).timer }) }
    }

    /// Has `function` called once, `after` from now, on some CPU; the function can start the timer again. It is a function or a
    /// closure that holds nothing.
    #[inline(always)]
    pub fn start<F: Fn(&Unlocked)>(&self, after: Ns, function: F) -> bool {
        self.start_with(after, TimerFlags::NONE, function)
    }

    /// The same with flags (`bpf_timer_start`): `when` is a duration, or with [`TimerFlags::ABS`] a point in time.
    #[inline(always)]
    pub fn start_with<F: Fn(&Unlocked)>(&self, when: Ns, flags: TimerFlags, function: F) -> bool {
        core::mem::forget(function);
        let Some(timer) = self.timer() else { return false };
        // SAFETY: the timer is in this map. That it was made before is no harm.
        unsafe {
            helper::timer_init(timer, self.map(), MONOTONIC);
            helper::timer_set_callback(timer, fire::<F>) == 0 && helper::timer_start(timer, when.0, flags.0) == 0
        }
    }

    /// Stops it and waits until its function has returned (`bpf_timer_cancel`); `true`: it was on. In its own function it does nothing.
    #[inline(always)]
    pub fn cancel(&self) -> bool {
        // SAFETY: as in `start`.
        self.timer().is_some_and(|timer| unsafe { helper::timer_cancel(timer) == 1 })
    }
}

impl MaskSlot {
    #[inline(always)]
    fn slot(&self) -> Option<*mut mask_slot> {
        let slot: *mut mask_slot = lookup(self.map(), &0u32).cast();
        if slot.is_null() { None } else { Some(slot) }
    }

    /// Puts a set in, or nothing; what was there before (`bpf_kptr_xchg`).
    #[inline(always)]
    pub fn replace(&self, mask: Option<OwnedCpuMask>) -> Option<OwnedCpuMask> {
        let slot = self.slot()?;
        let new = mask.map_or(core::ptr::null_mut(), OwnedCpuMask::__into_raw);
        // SAFETY: the slot is in this map; the reference goes from us to it, the old one from it to us.
        let old = unsafe { helper::kptr_xchg((&raw mut (*slot).mask).cast(), new.cast()) };
        if old.is_null() { None } else { Some(OwnedCpuMask::__from_raw(old.cast())) }
    }

    /// The set that is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
    #[inline(always)]
    pub fn get(&self) -> Option<CpuMask<'_>> {
        let slot = self.slot()?;
        // SAFETY: the look-up gave a value of this type.
        let mask = unsafe { (&raw const (*slot).mask.0).read_volatile() };
        if mask.is_null() { None } else { Some(CpuMask::__new(mask.cast())) }
    }
}
