//! Why a half cannot go on.

use scxr_policy::Errno;

/// Why a half cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The object has nothing of that name and kind.
    Missing {
        /// What was asked for: `variable`, `map`, `ring buffer`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The two halves do not mean the same by a type.
    Layout {
        /// What was opened.
        name: String,
        /// What this half takes it for.
        here: String,
        /// What the object has.
        object: String,
    },
    /// The kernel refused a call.
    Call {
        /// Which call, of what.
        what: String,
        /// Its error.
        errno: Errno,
    },
    /// An option of the scheduler's is wrong.
    Options(String),
    /// The half itself has something to say.
    Other(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Missing { what, name } => write!(f, "the object has no {what} called {name}"),
            Error::Layout { name, here, object } => {
                write!(f, "{name}: the user-space half takes it for {here}, but in the object it is {object}")
            }
            Error::Call { what, errno } => write!(f, "{what}: error {}", errno.0),
            Error::Options(text) | Error::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
