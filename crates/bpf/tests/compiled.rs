//! The machine's tests once more, on compiled code: see `EXEC` of their support.
#![allow(clippy::duplicate_mod)]

#[path = "conformance.rs"]
mod conformance;
#[path = "isa.rs"]
mod isa;
#[path = "loaded.rs"]
mod loaded;
#[path = "machine.rs"]
mod machine;
#[path = "maps.rs"]
mod maps;
