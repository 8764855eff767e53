//! The signals that end a run before its time: it stops where it is, tidies up and reports. A second one ends the program
//! at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Failure, Result};

/// Signals are a process's, and so is this.
static STOP: OnceLock<(Arc<AtomicBool>, Arc<AtomicUsize>)> = OnceLock::new();

/// From here on the signals end a run and not the program: the flag that they set.
pub(crate) fn stop() -> Result<Arc<AtomicBool>> {
    if let Some((stop, _)) = STOP.get() {
        return Ok(Arc::clone(stop));
    }
    let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: the first signal finds the flag not set yet.
        let registered =
            flag::register_conditional_shutdown(signal, code_of(signal as usize).into(), Arc::clone(&stop))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&number), signal as usize))
                .and_then(|_| flag::register(signal, Arc::clone(&stop)));
        registered.map_err(|e| Failure::environment(format_args!("signal {signal} cannot be caught: {e}")))?;
    }
    let (stop, _) = STOP.get_or_init(|| (stop, number));
    Ok(Arc::clone(stop))
}

/// Whether one of them came.
pub(crate) fn came() -> bool {
    STOP.get().is_some_and(|(stop, _)| stop.load(Ordering::Relaxed))
}

/// The exit code of a program that a signal ended, as shells have it.
pub(crate) fn code() -> u8 {
    code_of(STOP.get().map_or(SIGINT as usize, |(_, number)| number.load(Ordering::Relaxed)))
}

fn code_of(signal: usize) -> u8 {
    128 + (signal as u8 & 0x7f)
}
