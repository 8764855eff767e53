//! Values in maps, shared in place with all CPUs.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::kernel::load;
use super::sys::{helper, kfunc};
use crate::Value;

/// One value that all who look it up see. Each access is one access of memory.
#[derive(Debug)]
#[repr(transparent)]
pub struct Field<T>(UnsafeCell<T>);

// SAFETY: accesses are single volatile or atomic ones; a value of at most 8 bytes does not tear on the hosts of BPF.
unsafe impl<T: Value> Sync for Field<T> {}

impl<T> Field<T> {
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }
}

impl<T: Value> Field<T> {
    /// Its value.
    #[inline(always)]
    pub fn get(&self) -> T {
        T::__read(self.0.get())
    }

    /// Sets it.
    #[inline(always)]
    pub fn set(&self, value: T) {
        // SAFETY: see `Sync`.
        unsafe { self.0.get().write_volatile(value) }
    }
}

macro_rules! counters {
    ($($t:ty: $atomic:ident),*) => {$(
        impl Field<$t> {
            /// Adds, wrapping. Not atomic: for values of one CPU or under a lock.
            #[inline(always)]
            pub fn add(&self, by: $t) {
                self.set(self.get().wrapping_add(by));
            }

            /// Subtracts, wrapping. Not atomic.
            #[inline(always)]
            pub fn sub(&self, by: $t) {
                self.set(self.get().wrapping_sub(by));
            }

            #[inline(always)]
            fn atomic(&self) -> &$atomic {
                // SAFETY: a valid, aligned value that is accessed as in `Sync`.
                unsafe { $atomic::from_ptr(self.0.get()) }
            }

            /// Adds atomically, wrapping; the value before.
            #[inline(always)]
            pub fn fetch_add(&self, by: $t) -> $t {
                self.atomic().fetch_add(by, Ordering::Relaxed)
            }

            /// Subtracts atomically, wrapping; the value before.
            #[inline(always)]
            pub fn fetch_sub(&self, by: $t) -> $t {
                self.atomic().fetch_sub(by, Ordering::Relaxed)
            }

            /// Sets bits atomically; the value before.
            #[inline(always)]
            pub fn fetch_or(&self, bits: $t) -> $t {
                self.atomic().fetch_or(bits, Ordering::SeqCst)
            }

            /// Keeps only these bits, atomically; the value before.
            #[inline(always)]
            pub fn fetch_and(&self, bits: $t) -> $t {
                self.atomic().fetch_and(bits, Ordering::SeqCst)
            }

            /// Sets it atomically; the value before.
            #[inline(always)]
            pub fn swap(&self, value: $t) -> $t {
                self.atomic().swap(value, Ordering::SeqCst)
            }

            /// Sets it to `new` if it is `old`, atomically; the value before, in `Err` if it was another one.
            #[inline(always)]
            pub fn compare_exchange(&self, old: $t, new: $t) -> Result<$t, $t> {
                self.atomic().compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            }
        }
    )*};
}

counters! { u32: AtomicU32, u64: AtomicU64, i64: AtomicI64 }

/// The same pointer, of which the compiler does not know that it is: it would else put `p` for what is `p` or null, which the verifier does not
/// take where `p` was not asked for null.
#[inline(always)]
pub(super) fn launder<T>(p: *mut T) -> *mut T {
    let place = p;
    // SAFETY: the place is ours.
    unsafe { (&raw const place).read_volatile() }
}

/// The same number, of which the compiler does not know what it is.
#[inline(always)]
pub fn opaque(n: u32) -> u32 {
    load(&raw const n)
}

/// A reference to a value in a map.
#[derive(Debug)]
pub struct Ref<'a, C>(&'a C);

impl<'a, C> Ref<'a, C> {
    /// What a look-up found, if it did.
    #[inline(always)]
    pub(super) fn found(address: *mut core::ffi::c_void) -> Option<Self> {
        // SAFETY: the look-up gave a value of the map's type, which stays readable while the program runs.
        unsafe { address.cast::<C>().as_ref() }.map(Self)
    }
}

impl<C> Deref for Ref<'_, C> {
    type Target = C;
    #[inline(always)]
    fn deref(&self) -> &C {
        self.0
    }
}

/// A lock in a map's value. While it is held, no function of the kernel's may be called.
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
pub struct bpf_spin_lock {
    val: UnsafeCell<u32>,
}

// SAFETY: only the kernel's two functions touch it.
unsafe impl Sync for bpf_spin_lock {}

/// A lock in a structure of [`shared!`](crate::shared): a field `lock: SpinLock`.
pub type SpinLock = bpf_spin_lock;

impl bpf_spin_lock {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self { val: UnsafeCell::new(0) };

    /// Takes it until the guard is dropped (`bpf_spin_lock`).
    #[inline(always)]
    pub fn lock(&self) -> SpinGuard<'_> {
        // SAFETY: the lock is in a map's value.
        unsafe { helper::spin_lock(self.val.get().cast()) };
        SpinGuard(self)
    }
}

/// Holds a [`SpinLock`].
#[derive(Debug)]
pub struct SpinGuard<'a>(&'a bpf_spin_lock);

impl Drop for SpinGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `lock` took it.
        unsafe { helper::spin_unlock(self.0.val.get().cast()) };
    }
}

/// A lock in a map's value that gives up instead of waiting for ever.
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
pub struct bpf_res_spin_lock {
    val: UnsafeCell<u32>,
}

// SAFETY: only the kernel's two functions touch it.
unsafe impl Sync for bpf_res_spin_lock {}

/// A lock in a structure of [`shared!`](crate::shared): a field `lock: ResSpinLock`.
pub type ResSpinLock = bpf_res_spin_lock;

impl bpf_res_spin_lock {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self { val: UnsafeCell::new(0) };

    /// Takes it until the guard is dropped (`bpf_res_spin_lock`, from 6.15). `None`: that would be a deadlock, it takes too long, or the kernel has no
    /// such lock.
    #[inline(always)]
    pub fn lock(&self) -> Option<ResSpinGuard<'_>> {
        if !kfunc::bpf_res_spin_lock::exists() {
            return None;
        }
        // SAFETY: the lock is in a map's value.
        let ret = unsafe { kfunc::bpf_res_spin_lock::call((&raw const *self).cast_mut()) };
        if ret == 0 { Some(ResSpinGuard(self)) } else { None }
    }
}

/// Holds a [`ResSpinLock`].
#[derive(Debug)]
pub struct ResSpinGuard<'a>(&'a bpf_res_spin_lock);

impl Drop for ResSpinGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `lock` took it.
        unsafe { kfunc::bpf_res_spin_unlock::call((&raw const *self.0).cast_mut()) };
    }
}
