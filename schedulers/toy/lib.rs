//! toy: every event goes to user space and back, where tasks wait in one FIFO.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

pub use user::HALF;

scxr_runtime::bundle!("toy", "every event to a FIFO in user space and back, with figures of all that passes", half: HALF);
