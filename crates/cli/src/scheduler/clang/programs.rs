//! What clang is called. Tests of this and other crates include this file.

/// Programs that are tried, in this order.
pub(crate) const CLANG: [&str; 5] = ["clang", "clang-19", "clang-18", "clang-17", "clang-16"];
