//! What both halves know.

use scxr_policy::{Ns, plain};

plain! {
    /// What is said of a task.
    pub struct Note {
        /// Whom it is about.
        pub pid: i32,
        /// Its number.
        pub number: u32,
        /// When.
        pub at: Ns,
    }
}

/// Notes that are sent at most: the ring has room for them.
pub const NOTES_MAX: u64 = 50;
