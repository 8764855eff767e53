//! What libbpf says while an object is loaded.

use std::sync::{Mutex, PoisonError};

use libbpf_rs::{PrintLevel, set_print};

/// libbpf has one place for messages in a process, so this is one for the process too. It is emptied by who reads it.
static SAID: Mutex<Vec<(bool, String)>> = Mutex::new(Vec::new());

/// Begins to keep messages. `debug`: also the logs of programs that were accepted.
pub(crate) fn keep(debug: bool) {
    take();
    let level = if debug { PrintLevel::Debug } else { PrintLevel::Info };
    set_print(Some((level, |level, text| {
        let telling = matches!(level, PrintLevel::Warn);
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push((telling, text));
    })));
}

/// All that was said since: whether it is a warning, and the text.
pub(crate) fn take() -> Vec<(bool, String)> {
    std::mem::take(&mut SAID.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The verifier's log of a program in what libbpf said: between its two marks.
pub(crate) fn program_log(said: &str) -> Option<(&str, &str)> {
    let (head, rest) = said.split_once("-- BEGIN PROG LOAD LOG --\n")?;
    let name = head.split('\'').nth(1)?;
    Some((name, rest.split("-- END PROG LOAD LOG --").next().unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_found() {
        let said = "libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n0: R1\nbad\n-- END PROG LOAD LOG --\n";
        assert_eq!(program_log(said), Some(("x", "0: R1\nbad\n")));
        assert_eq!(program_log("libbpf: map 'x': failed"), None);
    }
}
