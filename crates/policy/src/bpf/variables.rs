//! Variables of the kernel and values of its configuration: external symbols that the loader resolves.
//!
//! A static of `state!` holds functions that give the symbol's address, which LLVM sees through; so nothing of the static is left.

use super::kernel::load;
use super::maps::{kind, maps};
use super::sys::helper;
use crate::{Cpu, Ns, PerfCount, Setting, Value};

/// A value of the kernel's configuration, or one that loaders make up.
#[derive(Debug)]
pub struct Kconfig<T: Setting> {
    at: fn() -> *const T::Stored,
}

impl<T: Setting> Kconfig<T> {
    #[doc(hidden)]
    pub const fn __new(at: fn() -> *const T::Stored) -> Self {
        Self { at }
    }

    /// The value on the kernel that the object was loaded into.
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: the loader fills the section before programs run, and nobody writes it then.
        T::of(unsafe { (self.at)().read() })
    }
}

/// A variable of the kernel, of which there is one.
#[derive(Debug)]
pub struct KernelVar<T> {
    at: fn() -> *const T,
    exists: fn() -> bool,
}

/// A variable of the kernel, one for each CPU.
#[derive(Debug)]
pub struct KernelPerCpu<T> {
    at: fn() -> *const T,
    exists: fn() -> bool,
}

impl<T: Value> KernelVar<T> {
    #[doc(hidden)]
    pub const fn __new(at: fn() -> *const T, exists: fn() -> bool) -> Self {
        Self { at, exists }
    }

    /// Its value; `None`: the kernel has none of that name, or does not describe it.
    #[inline(always)]
    pub fn get(&self) -> Option<T> {
        if (self.exists)() { Some(load((self.at)())) } else { None }
    }
}

impl<T: Value> KernelPerCpu<T> {
    #[doc(hidden)]
    pub const fn __new(at: fn() -> *const T, exists: fn() -> bool) -> Self {
        Self { at, exists }
    }

    /// This CPU's value (`bpf_this_cpu_ptr`); `None`: the kernel has none of that name, or does not describe it.
    #[inline(always)]
    pub fn get(&self) -> Option<T> {
        if !(self.exists)() {
            return None;
        }
        // SAFETY: the kernel's own variable, of each CPU.
        let found = unsafe { helper::this_cpu_ptr((self.at)().cast()) };
        Some(load(found.cast()))
    }

    /// A certain CPU's value (`bpf_per_cpu_ptr`); `None` also where that CPU cannot be.
    #[inline(always)]
    pub fn on(&self, cpu: Cpu) -> Option<T> {
        if !(self.exists)() {
            return None;
        }
        // SAFETY: as in `get`.
        let found = unsafe { helper::per_cpu_ptr((self.at)().cast(), cpu.0 as u32) };
        if found.is_null() { None } else { Some(load(found.cast())) }
    }
}

/// A symbol of the kernel, of which no type is known: its address is a number.
#[derive(Debug)]
pub struct KernelSymbol {
    at: fn() -> *const (),
    exists: fn() -> bool,
}

impl KernelSymbol {
    #[doc(hidden)]
    pub const fn __new(at: fn() -> *const (), exists: fn() -> bool) -> Self {
        Self { at, exists }
    }

    /// Where it is; `None`: the kernel has none of that name.
    #[inline(always)]
    pub fn address(&self) -> Option<u64> {
        if (self.exists)() { Some((self.at)() as u64) } else { None }
    }
}

maps! {
    /// A counter of `perf_event_open` for each CPU, opened by user space: a map of the kind PERF_EVENT_ARRAY.
    PerfEventArray<;> {
        r#type: *const [i32; kind::PERF_EVENT_ARRAY],
        key: *const u32,
        value: *const u32,
    }
}

/// `BPF_F_CURRENT_CPU`.
const CURRENT_CPU: u64 = 0xffff_ffff;

impl PerfEventArray {
    /// This CPU's counter (`bpf_perf_event_read_value`); `None`: user space has opened none for it.
    #[inline(always)]
    pub fn read(&self) -> Option<PerfCount> {
        let mut value = [0u64; 3];
        // SAFETY: the map is this static, the buffer is on the stack and of the size that is given.
        let ret = unsafe { helper::perf_event_read_value(self.map(), CURRENT_CPU, value.as_mut_ptr(), 24) };
        let [counter, enabled, running] = value;
        (ret == 0).then_some(PerfCount { counter, enabled: Ns(enabled), running: Ns(running) })
    }
}

/// A function that gives the address, and one that asks whether it is there.
#[doc(hidden)]
#[macro_export]
macro_rules! __variable {
    ($kind:literal, $sym:literal, $t:ty) => {{
        #[inline(always)]
        fn at() -> *const $t {
            unsafe extern "C" {
                #[link_name = concat!("scxr.", $kind, ":", $sym, ":", stringify!($t))]
                safe fn address() -> *const $t;
            }
            address()
        }
        at
    }};
    (exists, $sym:literal, $t:ty) => {{
        #[inline(always)]
        fn exists() -> bool {
            unsafe extern "C" {
                #[link_name = concat!("scxr.var_exists:", $sym, ":", stringify!($t))]
                safe fn exists() -> bool;
            }
            exists()
        }
        exists
    }};
}
