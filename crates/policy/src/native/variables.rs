//! Variables of the kernel and values of its configuration, as the host has them.

use std::marker::PhantomData;

use super::ambient::call;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Cpu, Ns, PerfCount, Setting, Value};

/// A value of the kernel's configuration (`CONFIG_HZ`), or one that loaders make up (`LINUX_KERNEL_VERSION`).
#[derive(Debug)]
pub struct Kconfig<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T: Setting> Kconfig<T> {
    #[doc(hidden)]
    pub const fn __new(_slot: usize, name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }

    /// The value on the kernel that the object was loaded into.
    pub fn get(&self) -> T {
        let value = call(|host| host.kconfig(self.name));
        if value.is_none() && T::REQUIRED {
            call(|host| host.error(&format!("the kernel's configuration has no {}", self.name), &[]));
        }
        T::of(T::Stored::from_bits(value.unwrap_or(0)))
    }
}

macro_rules! variables {
    ($($(#[$doc:meta])* $name:ident<$($t:ident)?>;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<$($t)?> {
            name: &'static str,
            types: PhantomData<fn() -> ($($t,)?)>,
        }

        impl$(<$t>)? $name$(<$t>)? {
            #[doc(hidden)]
            pub const fn __new(_slot: usize, name: &'static str) -> Self {
                Self { name, types: PhantomData }
            }
        }

        impl$(<$t: Send + Sync>)? Item for $name$(<$t>)? {
            fn def(&self) -> ItemDef {
                of_the_kernel(self.name)
            }
        }
    )*};
}

variables! {
    /// A variable of the kernel, of which there is one. Kernels describe few of them: those whose BTF was made with all.
    KernelVar<T>;
    /// A variable of the kernel, one for each CPU (`sd_llc_id`).
    KernelPerCpu<T>;
    /// A symbol of the kernel, of which no type is known: its address is a number.
    KernelSymbol<>;
    /// A counter of `perf_event_open` for each CPU, opened by user space.
    PerfEventArray<>;
}

impl PerfEventArray {
    /// This CPU's counter (`bpf_perf_event_read_value`); `None`: user space has opened none for it.
    pub fn read(&self) -> Option<PerfCount> {
        let [counter, enabled, running] = call(|host| host.perf_event(self.name))?;
        Some(PerfCount { counter, enabled: Ns(enabled), running: Ns(running) })
    }
}

fn of_the_kernel(name: &'static str) -> ItemDef {
    ItemDef { name, kind: ItemKind::Kernel, len: 0, size: 0, signed: false, initial: 0 }
}

impl<T: Setting> Item for Kconfig<T> {
    fn def(&self) -> ItemDef {
        of_the_kernel(self.name)
    }
}

impl<T: Value> KernelVar<T> {
    /// Its value; `None`: the kernel has none of that name, or does not describe it.
    pub fn get(&self) -> Option<T> {
        call(|host| host.kernel_var(self.name, None)).map(T::from_bits)
    }
}

impl<T: Value> KernelPerCpu<T> {
    /// This CPU's value (`bpf_this_cpu_ptr`); `None`: the kernel has none of that name, or does not describe it.
    pub fn get(&self) -> Option<T> {
        self.on(Cpu(call(|host| host.cpu())))
    }

    /// A certain CPU's value (`bpf_per_cpu_ptr`); `None` also where that CPU cannot be.
    pub fn on(&self, cpu: Cpu) -> Option<T> {
        call(|host| host.kernel_var(self.name, Some(cpu.0))).map(T::from_bits)
    }
}

impl KernelSymbol {
    /// Where it is; `None`: the kernel has none of that name.
    pub fn address(&self) -> Option<u64> {
        call(|host| host.kernel_symbol(self.name))
    }
}
