//! One use of LLVM's BPF back end at a time, told from all others.
//!
//! The pass that makes relocation records keeps a table of the records' names in a static variable, for the life of the
//! process and without a lock: a second module that relocates the same field would get a pointer into the first one. So uses are
//! serialised here, and each gives its kernel structures and enumerations names of its own: `task_struct` is `task_struct___scxr0000002a` for LLVM.
//! Loaders ignore a suffix of that form; it is cut off all the same when BTF is completed, so that objects do not depend
//! on what was compiled before.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a session's suffix begins with.
const MARK: &str = "___scxr";

/// Number of sessions so far. State of the process, because LLVM's is.
static SESSIONS: Mutex<u32> = Mutex::new(0);

/// The right to use the back end for one module.
pub(crate) struct Session {
    number: u32,
    _turn: MutexGuard<'static, u32>,
}

impl Session {
    /// Waits for the others to end.
    pub(crate) fn begin() -> Self {
        let mut turn = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        *turn = turn.wrapping_add(1);
        Self { number: *turn, _turn: turn }
    }

    /// The name that a kernel structure or enumeration has for LLVM in this session.
    pub(crate) fn unique(&self, name: &str) -> String {
        format!("{name}{MARK}{:08x}", self.number)
    }
}

/// The length of the name in front of a session's suffix, if it ends with one.
pub(crate) fn plain_len(name: &[u8]) -> Option<usize> {
    let suffix = MARK.len() + 8;
    let at = name.len().checked_sub(suffix)?;
    name[at..].starts_with(MARK.as_bytes()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_cut_where_they_were_added() {
        let session = Session::begin();
        let name = session.unique("task_struct");
        assert_eq!(plain_len(name.as_bytes()), Some("task_struct".len()));
        for other in ["task_struct", "scx_bpf_dsq_insert___v2___compat", "___scxr", ""] {
            assert_eq!(plain_len(other.as_bytes()), None, "{other}");
        }
    }
}
