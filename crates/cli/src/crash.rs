//! Our own bugs: what is printed of them, and exit code 3.
//!
//! A run keeps its position where the panic hook finds it. It is kept for each thread, because a panic has no other way
//! to it; nothing else reads it.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

use crate::failure::CODE_SCHEDULER;

/// How far a run has come.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// Number of the last event.
    pub(crate) event: Cell<u64>,
    /// Simulated time of the last event, ns.
    pub(crate) t: Cell<u64>,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Command that repeats the run.
    pub(crate) replay: String,
}

thread_local! {
    static POSITION: RefCell<Option<Rc<Position>>> = const { RefCell::new(None) };
}

/// Exit code of our own bugs.
const CODE_BUG: i32 = 3;

/// From here on, a panic of this thread tells this position.
pub(crate) fn watch(position: Rc<Position>) {
    POSITION.set(Some(position));
}

/// The run is over.
pub(crate) fn unwatch() {
    POSITION.set(None);
}

/// A policy that runs natively panicked: prints where, and ends the program. The scheduler's fault, not ours.
pub(crate) fn policy_panicked(said: &str) -> ! {
    let at = POSITION.try_with(|p| p.try_borrow().ok().and_then(|p| p.as_ref().map(|p| (p.event.get(), p.t.get()))));
    let at = match at {
        Ok(Some((event, t))) => format!(" after event {event} at {t} ns"),
        _ => String::new(),
    };
    let hint = match said.contains("overflow") {
        true => "As BPF it would wrap and go on: write wrapping_*, saturating_* or checked_*, whichever is meant.",
        false => "As BPF, what can panic is refused when the object is built.",
    };
    // Nothing is left to be done if nobody can be told.
    let _ = io::stderr().write_all(format!("scxr: the policy{at} {said}\n{hint}\n").as_bytes());
    std::process::exit(i32::from(CODE_SCHEDULER));
}

/// A user-space half in a library of its own panicked: its author's fault, as in a process of its own.
pub(crate) fn half_panicked(said: &str) -> ! {
    // Nothing is left to be done if nobody can be told.
    let _ = io::stderr().write_all(format!("scxr: the user-space half {said}\n").as_bytes());
    std::process::exit(i32::from(CODE_SCHEDULER));
}

/// Makes a panic print what is needed to repeat it, and end the program.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let mut text = format!("scxr: this is a bug in scxr, not in your scheduler: {info}\n");
        let position = POSITION.try_with(|p| p.try_borrow().ok().and_then(|p| p.clone()));
        if let Ok(Some(p)) = position {
            let (event, t) = (p.event.get(), p.t.get());
            text += &format!("  seed {}, after event {event} at {t} ns\n", p.seed);
            text += &format!("  repeat it with: {}\n", p.replay);
        }
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            text += &format!("{}\n", std::backtrace::Backtrace::force_capture());
        }
        // Nothing is left to be done if nobody can be told.
        let _ = io::stderr().write_all(text.as_bytes());
        std::process::exit(CODE_BUG);
    }));
}
