//! BPF timers.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;

use super::maps::{RawMap, kind, lookup, maps};
use super::sys::helper;
use crate::{Ns, TimerFlags, TimerMap, Unlocked};

maps! {
    /// A timer: a map of the kind ARRAY with one value, or a field.
    Timer<;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const timer_slot,
        max_entries: *const [i32; 1],
    }
}

/// The kernel's timer: the verifier knows it by its name.
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
pub struct bpf_timer {
    __opaque: UnsafeCell<[u64; 2]>,
}

/// A [`Timer`] that is a field of a value in a map.
pub type TimerCell = bpf_timer;

/// The value of a map that holds a timer.
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
pub struct timer_slot {
    timer: bpf_timer,
}

/// `CLOCK_MONOTONIC`.
const MONOTONIC: u64 = 1;

/// What the kernel calls for a timer of its own.
extern "C" fn fire<F: Fn(&Unlocked)>(_map: *mut c_void, _key: *mut c_void, _value: *mut c_void) -> i32 {
    // SAFETY: `start` had one.
    let function = unsafe { of_nothing::<F>() };
    function(&Unlocked::__new());
    core::mem::forget(function);
    0
}

/// What the kernel calls for a timer that is a field.
extern "C" fn fire_in<M: TimerMap, F: Fn(&Unlocked, M::Key, &M::Cell)>(
    _map: *mut c_void,
    key: *mut c_void,
    value: *mut c_void,
) -> i32 {
    // SAFETY: `start` had the function; key and value are those of the map that the timer is in.
    unsafe {
        let function = of_nothing::<F>();
        function(&Unlocked::__new(), *key.cast::<M::Key>(), &*value.cast::<M::Cell>());
        core::mem::forget(function);
    }
    0
}

/// A function that is code without data.
///
/// # Safety
/// There was one.
#[inline(always)]
unsafe fn of_nothing<F>() -> F {
    const { assert!(size_of::<F>() == 0, "the function of a timer cannot hold anything") };
    // SAFETY: a value without size, of a type of which there was one.
    unsafe { MaybeUninit::<F>::uninit().assume_init() }
}

/// A function that the kernel calls with map, key and value.
type Callback = extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> i32;

impl bpf_timer {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self { __opaque: UnsafeCell::new([0; 2]) };

    #[inline(always)]
    fn raw(&self) -> *mut bpf_timer {
        (&raw const *self).cast_mut()
    }

    #[inline(always)]
    fn run(&self, map: RawMap, when: Ns, flags: TimerFlags, callback: Callback) -> bool {
        // SAFETY: the timer is in a value of the map, which the verifier looks at. That it was made before is no harm.
        unsafe {
            helper::timer_init(self.raw(), map, MONOTONIC);
            helper::timer_set_callback(self.raw(), callback) == 0
                && helper::timer_start(self.raw(), when.0, flags.0) == 0
        }
    }

    /// Has `function` called once, `after` from now, on some CPU, with the key and the value that the timer is in; it can start the timer again.
    /// `map` is the one that the value is in; another one is refused. `function` is a function or a closure that holds nothing.
    #[inline(always)]
    pub fn start<M: TimerMap, F: Fn(&Unlocked, M::Key, &M::Cell)>(&self, map: &M, after: Ns, function: F) -> bool {
        self.start_with(map, after, TimerFlags::NONE, function)
    }

    /// The same with flags (`bpf_timer_start`): `when` is a duration, or with [`TimerFlags::ABS`] a point in time.
    #[inline(always)]
    pub fn start_with<M: TimerMap, F: Fn(&Unlocked, M::Key, &M::Cell)>(
        &self,
        map: &M,
        when: Ns,
        flags: TimerFlags,
        function: F,
    ) -> bool {
        core::mem::forget(function);
        self.run(map.__raw(), when, flags, fire_in::<M, F>)
    }

    /// Stops it and waits until its function has returned (`bpf_timer_cancel`); `true`: it was on. In its own function it does nothing.
    #[inline(always)]
    pub fn cancel(&self) -> bool {
        // SAFETY: as in `run`.
        unsafe { helper::timer_cancel(self.raw()) == 1 }
    }
}

impl Timer {
    #[inline(always)]
    fn timer(&self) -> Option<&bpf_timer> {
        // SAFETY: the look-up gave a value of this type.
        unsafe { lookup(self.map(), &0u32).cast::<timer_slot>().as_ref() }.map(|slot| &slot.timer)
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
        timer.run(self.map(), when, flags, fire::<F>)
    }

    /// Stops it and waits until its function has returned (`bpf_timer_cancel`); `true`: it was on. In its own function it does nothing.
    #[inline(always)]
    pub fn cancel(&self) -> bool {
        self.timer().is_some_and(bpf_timer::cancel)
    }
}
