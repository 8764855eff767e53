//! The lab: stock Linux kernels, found, fetched, cached and judged ([`kernels`]).
//!
//! The library prints nothing. What takes long reports its progress to a callback of the caller's.

pub mod kernels;
