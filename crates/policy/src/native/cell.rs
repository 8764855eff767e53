//! Values in maps, shared in place.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use super::ambient::call;
use crate::Value;

/// One value that all who look it up see.
#[repr(transparent)]
pub struct Field<T>(Cell<T>);

impl<T: Copy + std::fmt::Debug> std::fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.get().fmt(f)
    }
}

impl<T> Field<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }
}

impl<T: Value> Field<T> {
    /// Its value.
    pub fn get(&self) -> T {
        self.0.get()
    }

    /// Sets it.
    pub fn set(&self, value: T) {
        self.0.set(value);
    }
}

/// Arithmetic on what has `get` and `set`.
macro_rules! counters {
    ($holder:ident: $($t:ty),*) => {$(
        impl $holder<$t> {
            /// Adds, wrapping. Not atomic: for values of one CPU or under a lock.
            pub fn add(&self, by: $t) {
                self.set(self.get().wrapping_add(by));
            }

            /// Subtracts, wrapping. Not atomic.
            pub fn sub(&self, by: $t) {
                self.set(self.get().wrapping_sub(by));
            }

            fn exchange(&self, value: $t) -> $t {
                let before = self.get();
                self.set(value);
                before
            }

            /// Adds atomically, wrapping; the value before.
            pub fn fetch_add(&self, by: $t) -> $t {
                self.exchange(self.get().wrapping_add(by))
            }

            /// Subtracts atomically, wrapping; the value before.
            pub fn fetch_sub(&self, by: $t) -> $t {
                self.exchange(self.get().wrapping_sub(by))
            }

            /// Sets bits atomically; the value before.
            pub fn fetch_or(&self, bits: $t) -> $t {
                self.exchange(self.get() | bits)
            }

            /// Keeps only these bits, atomically; the value before.
            pub fn fetch_and(&self, bits: $t) -> $t {
                self.exchange(self.get() & bits)
            }

            /// Sets it atomically; the value before.
            pub fn swap(&self, value: $t) -> $t {
                self.exchange(value)
            }

            /// Sets it to `new` if it is `old`, atomically; the value before, in `Err` if it was another one.
            pub fn compare_exchange(&self, old: $t, new: $t) -> Result<$t, $t> {
                if self.get() == old { Ok(self.exchange(new)) } else { Err(self.get()) }
            }
        }
    )*};
}
pub(super) use counters;

counters! { Field: u32, u64, i64 }

/// The same number; on BPF the compiler does not know what it is.
pub(crate) fn opaque(n: u32) -> u32 {
    n
}

/// A reference to a value in a map.
#[derive(Debug)]
pub struct Ref<'a, C>(Rc<C>, PhantomData<&'a C>);

impl<C> Ref<'_, C> {
    pub(super) fn new(value: Rc<C>) -> Self {
        Self(value, PhantomData)
    }
}

impl<C> Deref for Ref<'_, C> {
    type Target = C;
    fn deref(&self) -> &C {
        &self.0
    }
}

/// A lock in a structure of [`shared!`](crate::shared): a field `lock: SpinLock`. While it is held, no function of the kernel's may be
/// called.
#[derive(Debug, Default)]
pub struct SpinLock(Cell<bool>);

impl SpinLock {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self(Cell::new(false));

    /// Takes it until the guard is dropped (`bpf_spin_lock`). Taking it twice ends the scheduler, as nobody could release it.
    pub fn lock(&self) -> SpinGuard<'_> {
        if self.0.replace(true) {
            call(|host| host.error("deadlock: bpf_spin_lock is already held", &[]));
        }
        SpinGuard(self)
    }
}

/// Holds a [`SpinLock`].
#[derive(Debug)]
pub struct SpinGuard<'a>(&'a SpinLock);

impl Drop for SpinGuard<'_> {
    fn drop(&mut self) {
        self.0.0.set(false);
    }
}

/// A lock in a structure of [`shared!`](crate::shared) that gives up instead of waiting for ever: a field `lock: ResSpinLock`.
#[derive(Debug, Default)]
pub struct ResSpinLock(Cell<bool>);

impl ResSpinLock {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self(Cell::new(false));

    /// Takes it until the guard is dropped (`bpf_res_spin_lock`, from 6.15). `None`: that would be a deadlock, it takes too long, or the kernel has no
    /// such lock.
    pub fn lock(&self) -> Option<ResSpinGuard<'_>> {
        if self.0.replace(true) { None } else { Some(ResSpinGuard(self)) }
    }
}

/// Holds a [`ResSpinLock`].
#[derive(Debug)]
pub struct ResSpinGuard<'a>(&'a ResSpinLock);

impl Drop for ResSpinGuard<'_> {
    fn drop(&mut self) {
        self.0.0.set(false);
    }
}
