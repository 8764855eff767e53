//! Timers.

use std::any::Any;
use std::cell::Cell;
use std::rc::{Rc, Weak};

use super::ambient::{call, is_inside, with};
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Ns, TimerFlags, TimerMap, Unlocked, Value};

maps! {
    /// A timer: an item of state, or a field of a value in a map ([`TimerCell`]).
    Timer<;> = Timer[1];
}

impl Timer {
    /// Has `function` called once, `after` from now, on some CPU; the function can start the timer again. It is a function or a
    /// closure that holds nothing.
    pub fn start<F: Fn(&Unlocked) + 'static>(&self, after: Ns, function: F) -> bool {
        self.start_with(after, TimerFlags::NONE, function)
    }

    /// The same with flags (`bpf_timer_start`): `when` is a duration, or with [`TimerFlags::ABS`] a point in time.
    pub fn start_with<F: Fn(&Unlocked) + 'static>(&self, when: Ns, flags: TimerFlags, function: F) -> bool {
        const { assert!(size_of::<F>() == 0, "the function of a timer cannot hold anything") };
        let function: Rc<dyn Fn()> = Rc::new(move || function(&Unlocked::__new()));
        with(|instance| instance.set_timer(self.slot, Some(function)));
        call(|host| host.timer_start(self.slot, when.0, flags.0))
    }

    /// Stops it and waits until its function has returned; `true`: it was on. In its own function it does nothing.
    pub fn cancel(&self) -> bool {
        if !with(|instance| instance.timer_is_made(self.slot)) {
            return false;
        }
        let Some(was_on) = call(|host| host.timer_cancel(self.slot)) else { return false };
        with(|instance| instance.set_timer(self.slot, None));
        was_on
    }
}

/// A [`Timer`] that is a field of a value in a map.
#[derive(Debug)]
pub struct TimerCell {
    /// Its number, once it was started.
    number: Cell<Option<usize>>,
}

impl TimerCell {
    #[doc(hidden)]
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    pub const __EMPTY: Self = Self { number: Cell::new(None) };

    /// Has `function` called once, `after` from now, on some CPU, with the key and the value that the timer is in; it can start the timer again.
    /// `map` is the one that the value is in; another one is refused. `function` is a function or a closure that holds nothing.
    pub fn start<M: TimerMap, F: Fn(&Unlocked, M::Key, &M::Cell) + 'static>(
        &self,
        map: &M,
        after: Ns,
        function: F,
    ) -> bool {
        self.start_with(map, after, TimerFlags::NONE, function)
    }

    /// The same with flags (`bpf_timer_start`): `when` is a duration, or with [`TimerFlags::ABS`] a point in time.
    pub fn start_with<M: TimerMap, F: Fn(&Unlocked, M::Key, &M::Cell) + 'static>(
        &self,
        map: &M,
        when: Ns,
        flags: TimerFlags,
        function: F,
    ) -> bool {
        const { assert!(size_of::<F>() == 0, "the function of a timer cannot hold anything") };
        let (map, at) = (map.__raw(), (&raw const *self).addr());
        let Some((key, value)) = with(|instance| instance.map_value_around(map, at)) else {
            call(|host| host.error("bpf_timer_init: the timer is in no value of that map", &[]));
            return false;
        };
        let value: Weak<dyn Any> = Rc::downgrade(&value);
        let function: Rc<dyn Fn()> = Rc::new(move || {
            let there = value.upgrade().filter(|value| with(|instance| instance.map_holds(map, key, value)));
            if let Some(value) = there.as_ref().and_then(|value| value.downcast_ref::<M::Cell>()) {
                function(&Unlocked::__new(), M::Key::from_bits(key), value);
            }
        });
        let number = with(|instance| instance.set_field_timer(self.number.get(), Some(function)));
        self.number.set(Some(number));
        call(|host| host.timer_start(number, when.0, flags.0))
    }

    /// Stops it and waits until its function has returned; `true`: it was on. In its own function it does nothing.
    pub fn cancel(&self) -> bool {
        let Some(number) = self.number.get() else { return false };
        let Some(was_on) = call(|host| host.timer_cancel(number)) else { return false };
        with(|instance| instance.set_field_timer(Some(number), None));
        was_on
    }
}

/// A value that is gone takes its timer with it.
impl Drop for TimerCell {
    fn drop(&mut self) {
        if let Some(number) = self.number.get().filter(|_| is_inside()) {
            call(|host| host.timer_cancel(number));
        }
    }
}
