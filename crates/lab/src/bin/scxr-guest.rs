//! An init that is nothing but an init, for guests that run other programs than `scxr`.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    if scxr_lab::guest::is_init() {
        scxr_lab::guest::init_main(|| Ok(()));
    }
    // Where nobody reads this there is nothing else to be done.
    let _ = writeln!(std::io::stderr(), "scxr-guest: this is the init of a scxr guest; it does nothing elsewhere");
    ExitCode::from(2)
}
