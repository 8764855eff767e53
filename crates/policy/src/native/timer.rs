//! Timers.

use std::rc::Rc;

use super::ambient::{call, with};
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Ns, TimerFlags, Unlocked};

maps! {
    /// A timer.
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
