//! What can go wrong: when a machine is made ([`MachineError`]), and when a program runs ([`Fault`]).

use std::fmt;

use crate::image::Location;

/// An image that the machine refuses.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The text is not valid BPF.
    #[error("{location}: {what}")]
    BadInsn {
        /// Where.
        location: Box<Location>,
        /// What is wrong with the instruction.
        what: String,
    },
    /// A function's bounds or a program's entry make no sense.
    #[error("{func}: {what}")]
    BadFunc {
        /// Name of the function or program.
        func: String,
        /// What is wrong.
        what: String,
    },
    /// A call of a number that is no helper of Linux.
    #[error("{location}: call to unknown helper {id}")]
    UnknownHelper {
        /// Where.
        location: Box<Location>,
        /// The number.
        id: i32,
    },
    /// Valid, but this machine does not have it.
    #[error("{location}: not implemented yet: {what}")]
    NotImplemented {
        /// Where.
        location: Box<Location>,
        /// What.
        what: String,
    },
    /// A map type that this machine does not have.
    #[error("map {map}: not implemented yet: map type {map_type}")]
    MapType {
        /// Name of the map.
        map: String,
        /// Name of the type.
        map_type: String,
    },
    /// A map whose sizes or flags the kernel refuses.
    #[error("map {map}: {what}")]
    BadMap {
        /// Name of the map.
        map: String,
        /// What is wrong.
        what: String,
    },
    /// The maps need more than [`Options::memory_max`](super::Options::memory_max).
    #[error("{object}: needs {bytes} bytes of memory for maps and stacks; at most {max} are allowed")]
    TooLarge {
        /// Name of the object.
        object: String,
        /// Bytes needed.
        bytes: u64,
        /// Bytes allowed.
        max: u64,
    },
}

/// The kind of a run-time fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Load or store outside of what the program may touch.
    BadAccess,
    /// Store to read-only memory.
    ReadOnly,
    /// Store through a null pointer (the first page).
    NullStore,
    /// The instruction budget of the invocation is used up.
    Budget,
    /// More than eight frames.
    CallDepth,
    /// A helper, kfunc or callback was used in a way that Linux refuses.
    Misuse,
    /// Not implemented in this machine or by its host.
    NotImplemented,
    /// The host ended the invocation.
    Aborted,
}

/// A program's fault: it ends the invocation, and ejects the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Kind.
    pub kind: FaultKind,
    /// Program that ran.
    pub program: String,
    /// Instruction and source line; `None`: before the first instruction.
    pub location: Option<Location>,
    /// What happened, in one line.
    pub message: String,
    /// Instructions that the invocation had executed.
    pub insns: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}: ", self.program)?;
        if let Some(l) = &self.location {
            write!(f, "{l}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Why the host cannot satisfy an access to a kernel address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// No such object, or no longer: a load reads zero as on Linux, a store is a fault.
    Bad,
    /// The object is there, but programs may not store here.
    ReadOnly(String),
    /// The modelled kernel has the field, but nothing behind it.
    NotImplemented(String),
}

/// Why a host call failed. The machine adds program, instruction and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Used in a way that Linux refuses.
    Misuse(String),
    /// Not implemented yet.
    NotImplemented(String),
    /// The invocation must end now, for a reason outside the program.
    Aborted(String),
    /// A guest address that the call was given is not accessible.
    BadAccess(String),
    /// A fault of a callback, passed on.
    Fault(Box<Fault>),
}

impl From<Box<Fault>> for HostError {
    fn from(fault: Box<Fault>) -> Self {
        HostError::Fault(fault)
    }
}
