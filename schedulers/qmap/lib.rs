//! qmap: five FIFOs by weight, served in weighted turns.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

scxr_runtime::bundle!(
    "qmap",
    "five FIFOs by weight, served in weighted turns; a tour of what the class offers",
    options: user::OPTIONS
);
