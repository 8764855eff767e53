//! BPF timers.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use super::maps::{kind, lookup, maps};
use super::sys::helper;
use super::sys::types::{bpf_timer, timer_slot};
use crate::{Ns, TimerFlags, Unlocked};

maps! {
    /// A timer: a map of the kind ARRAY with one value.
    Timer<;> {
        r#type: *const [i32; kind::ARRAY],
        key: *const u32,
        value: *const timer_slot,
        max_entries: *const [i32; 1],
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
