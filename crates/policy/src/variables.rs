//! What the kernel's configuration and variables are read as.

use crate::{Ns, Value};

/// A counter of a CPU's (`struct bpf_perf_event_value`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfCount {
    /// What it has counted.
    pub counter: u64,
    /// How long it has been switched on.
    pub enabled: Ns,
    /// How long it has counted: less where several share the hardware.
    pub running: Ns,
}

/// A value of the kernel's configuration: `bool` (an option that is not built in is `false`), an integer (loading fails where the kernel has
/// none), an `Option` of one (`None` where the kernel has none), or `u8`, a letter (`b'y'`, `b'm'` or `b'n'`).
pub trait Setting: Copy + Send + Sync + 'static {
    /// What the loader stores.
    #[doc(hidden)]
    type Stored: Value;
    /// Whether there has to be a value.
    #[doc(hidden)]
    const REQUIRED: bool;
    #[doc(hidden)]
    fn of(stored: Self::Stored) -> Self;
}

macro_rules! settings {
    ($($ty:ty: $required:literal),*) => {$(
        impl Setting for $ty {
            type Stored = $ty;
            const REQUIRED: bool = $required;
            #[inline(always)]
            fn of(stored: $ty) -> $ty {
                stored
            }
        }
    )*};
}

settings! { bool: false, u8: true, u16: true, u32: true, u64: true, i16: true, i32: true, i64: true }

macro_rules! optional {
    ($($ty:ty),*) => {$(
        impl Setting for Option<$ty> {
            type Stored = $ty;
            const REQUIRED: bool = false;
            #[inline(always)]
            fn of(stored: $ty) -> Self {
                (stored != 0).then_some(stored)
            }
        }
    )*};
}

optional! { u8, u16, u32, u64, i16, i32, i64 }
