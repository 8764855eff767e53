//! State as BPF has it: variables of the object, maps.

use core::cell::UnsafeCell;
use core::ops::Deref;
use core::sync::atomic::{AtomicI32, Ordering};

use super::cell::{Field, Ref};
use super::kernel::load;
use super::sys::{helper, types};
use crate::{ExitInfo, Value};

/// Set before load, constant after.
#[derive(Debug)]
#[repr(transparent)]
pub struct Tunable<T>(T);

impl<T: Value> Tunable<T> {
    #[doc(hidden)]
    pub const fn __new(value: T) -> Self {
        Self(value)
    }

    /// Its value.
    #[inline(always)]
    pub fn get(&self) -> T {
        // volatile: the loader may have changed what the compiler sees
        T::__read(&raw const self.0)
    }
}

/// One value, shared by all CPUs. It is a [`Field`].
#[derive(Debug)]
#[repr(transparent)]
pub struct Global<T>(Field<T>);

impl<T: Value> Global<T> {
    #[doc(hidden)]
    pub const fn __new(value: T) -> Self {
        Self(Field::new(value))
    }
}

impl<T> Deref for Global<T> {
    type Target = Field<T>;
    #[inline(always)]
    fn deref(&self) -> &Field<T> {
        &self.0
    }
}

/// `N` values for each CPU: a map of the kind PERCPU_ARRAY, declared as libbpf wants it.
#[derive(Debug)]
#[repr(C)]
pub struct PerCpuArray<T, const N: usize> {
    r#type: *const [i32; 6],
    key: *const u32,
    value: *const T,
    max_entries: *const [i32; N],
}

// SAFETY: the pointers are types for the loader and never followed.
unsafe impl<T: Value, const N: usize> Sync for PerCpuArray<T, N> {}

impl<T: Value, const N: usize> PerCpuArray<T, N> {
    #[doc(hidden)]
    pub const fn __new() -> Self {
        use core::ptr::null;
        Self { r#type: null(), key: null(), value: null(), max_entries: null() }
    }

    /// The current CPU's value at `index`; `None` past the end.
    #[inline(always)]
    pub fn get(&self, index: u32) -> Option<PerCpuValue<'_, T>> {
        // SAFETY: the map is this static, the key is on the stack.
        Ref::found(unsafe { helper::map_lookup_elem((&raw const *self).cast(), &index) })
    }
}

/// A value of the current CPU.
pub type PerCpuValue<'a, T> = Ref<'a, Field<T>>;

/// Why the scheduler ended: `struct user_exit_info` as the kernel's tools have it.
#[derive(Debug)]
#[repr(transparent)]
pub struct ExitRecord(UnsafeCell<user_exit_info>);

#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C)]
struct user_exit_info {
    kind: i32,
    exit_cpu: i32,
    exit_code: i64,
    reason: [i8; 128],
    msg: [i8; 1024],
}

// SAFETY: written once, by `exit`; `kind` last and atomically.
unsafe impl Sync for ExitRecord {}

impl ExitRecord {
    #[doc(hidden)]
    pub const fn __new() -> Self {
        Self(UnsafeCell::new(user_exit_info { kind: 0, exit_cpu: 0, exit_code: 0, reason: [0; 128], msg: [0; 1024] }))
    }

    /// Copies the information; the kind last, so that a reader that sees it sees the rest.
    #[inline(always)]
    pub fn record(&self, ei: ExitInfo<'_>) {
        use types::scx_exit_info as info;
        let (to, from) = (self.0.get(), ei.raw());
        // SAFETY: `to` is this static, alive for ever; `from` is the kernel's.
        unsafe {
            helper::probe_read_kernel_str((&raw mut (*to).reason).cast(), 128, load(info::reason(from)));
            helper::probe_read_kernel_str((&raw mut (*to).msg).cast(), 1024, load(info::msg(from)));
            if types::has_exit_code() {
                (&raw mut (*to).exit_code).write_volatile(load(info::exit_code(from)));
            }
            let cpu = if types::has_exit_cpu() { load(info::exit_cpu(from)) } else { -1 };
            (&raw mut (*to).exit_cpu).write_volatile(cpu);
            AtomicI32::from_ptr(&raw mut (*to).kind).swap(load(info::kind(from)).0, Ordering::SeqCst);
        }
    }
}

/// The items of `state!` as statics with the sections and names that loaders look for.
#[doc(hidden)]
#[macro_export]
macro_rules! __state {
    ([$n:expr] [$($done:tt)*]) => {};
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Tunable<$t:ty> = $init:expr; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [Tunable<$t>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".rodata")]
        $vis static $N: $crate::Tunable<$t> = $crate::Tunable::__new($init);
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Global<$t:ty> = $init:expr; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [Global<$t>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        $vis static $N: $crate::Global<$t> = $crate::Global::__new($init);
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: PerCpuArray<$t:ty, $len:literal>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [PerCpuArray<$t, $len>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::PerCpuArray<$t, $len> = $crate::PerCpuArray::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Kconfig<bool>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [Kconfig<bool>] $($doc)* }
        $(#[doc = $doc])*
        $vis static $N: $crate::Kconfig<bool> = $crate::Kconfig::__new($crate::__variable!("kconfig_weak", $sym, bool));
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Kconfig<Option<$t:ty>>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [Kconfig<Option<$t>>] $($doc)* }
        $(#[doc = $doc])*
        $vis static $N: $crate::Kconfig<Option<$t>> = $crate::Kconfig::__new($crate::__variable!("kconfig_weak", $sym, $t));
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Kconfig<$t:ty>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [Kconfig<$t>] $($doc)* }
        $(#[doc = $doc])*
        $vis static $N: $crate::Kconfig<$t> = $crate::Kconfig::__new($crate::__variable!("kconfig", $sym, $t));
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: KernelVar<$t:ty>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [KernelVar<$t>] $($doc)* }
        $(#[doc = $doc])*
        $vis static $N: $crate::KernelVar<$t> = $crate::KernelVar::__new($crate::__variable!("var", $sym, $t), $crate::__variable!(exists, $sym, $t));
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: KernelPerCpu<$t:ty>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [KernelPerCpu<$t>] $($doc)* }
        $(#[doc = $doc])*
        $vis static $N: $crate::KernelPerCpu<$t> = $crate::KernelPerCpu::__new($crate::__variable!("var", $sym, $t), $crate::__variable!(exists, $sym, $t));
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: KernelSymbol; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [KernelSymbol] $($doc)* }
        $(#[doc = $doc])*
        $vis static $N: $crate::KernelSymbol = $crate::KernelSymbol::__new($crate::__variable!("var", $sym, ()), $crate::__variable!(exists, $sym, ()));
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: ExitRecord; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [ExitRecord] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".data")]
        $vis static $N: $crate::ExitRecord = $crate::ExitRecord::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$t:ty, $len:literal> = $init:expr; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [$kind<$t, $len>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::$kind<$t, $len> = $crate::$kind::__new($init);
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$k:ty, $t:ty, $len:literal>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [$kind<$k, $t, $len>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::$kind<$k, $t, $len> = $crate::$kind::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$t:ty, $len:literal>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [$kind<$t, $len>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::$kind<$t, $len> = $crate::$kind::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$t:ty>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [$kind<$t>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::$kind<$t> = $crate::$kind::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$len:literal>; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [$kind<$len>] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::$kind<$len> = $crate::$kind::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident; $($rest:tt)*) => {
        $crate::__describe! { [$sym] [$kind] $($doc)* }
        $(#[doc = $doc])*
        #[unsafe(export_name = $sym)]
        #[unsafe(link_section = ".maps")]
        $vis static $N: $crate::$kind = $crate::$kind::__new();
        $crate::__state! { [$n] [] $($rest)* }
    };
}

/// A description of an item or a member for the driver, which puts it into BTF: its type, a zero, its documentation.
#[doc(hidden)]
#[macro_export]
macro_rules! __describe {
    ([$($name:tt)+] [$($ty:tt)+] $($doc:literal)*) => {
        const _: () = {
            assert!($crate::is_name(concat!($($name)+), b'.'), "the name of an item of state has letters, digits and underscores alone");
            const TEXT: &str = concat!(stringify!($($ty)+), "\0", $($doc, "\n"),*);
            #[unsafe(export_name = concat!("scxr.doc:", $($name)+))]
            pub static DESCRIPTION: [u8; TEXT.len()] = $crate::backend::state::bytes(TEXT);
        };
    };
}

/// The bytes of a text of that length.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let (mut bytes, mut i) = ([0; N], 0);
    while i < N {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}
