//! Declaring a policy's state.

/// A plain value that state may hold, and how a loader sees it.
pub trait Value: Copy + Send + Sync + 'static {
    /// Size in bytes.
    const SIZE: usize = size_of::<Self>();
    /// Whether a negative value may be meant.
    const SIGNED: bool;
    /// The value in the low bits.
    fn to_bits(self) -> u64;
    /// The value from the low bits.
    fn from_bits(bits: u64) -> Self;
    /// Reads one.
    #[cfg(bpf)]
    #[doc(hidden)]
    #[inline(always)]
    fn __read(at: *const Self) -> Self {
        crate::backend::kernel::load(at)
    }
}

macro_rules! values {
    ($($ty:ty: $signed:literal),*) => {$(
        impl Value for $ty {
            const SIGNED: bool = $signed;
            #[inline(always)]
            fn to_bits(self) -> u64 { self as u64 }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self { bits as Self }
        }
    )*};
}

values! { u8: false, u16: false, u32: false, u64: false, i8: true, i16: true, i32: true, i64: true }

impl Value for bool {
    const SIGNED: bool = false;
    #[inline(always)]
    fn to_bits(self) -> u64 {
        self.into()
    }
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        bits != 0
    }
    // a byte that is tested: one that is read as a `bool` is masked before
    #[cfg(bpf)]
    #[inline(always)]
    fn __read(at: *const Self) -> Self {
        crate::backend::kernel::load(at.cast::<u8>()) != 0
    }
}

macro_rules! wrappers {
    ($($ty:ident),*) => {$(
        impl Value for crate::$ty {
            const SIGNED: bool = false;
            #[inline(always)]
            fn to_bits(self) -> u64 { self.0 }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self { crate::$ty(bits) }
        }
    )*};
}

wrappers! { Ns, Vtime }

/// Declares a policy's state; one block for each policy, empty if it has none. Items have documentation and no other attributes.
///
/// | item | what it is |
/// |---|---|
/// | `Tunable<T> = v` | set before load, constant after |
/// | `Global<T> = v` | one value, shared by all CPUs |
/// | `PerCpuArray<T, N>`, `PerCpu<T>` | values of each CPU's own |
/// | `Array<T, N>` | values by index |
/// | `HashMap<K, T, N>`, `LruHashMap<K, T, N>` | values by key |
/// | `PerCpuHashMap<K, T, N>` | values by key, of each CPU's own |
/// | `TaskStorage<T>`, `CgroupStorage<T>` | a value for each task, each cgroup |
/// | `Queue<T, N>`, `Stack<T, N>` | values handed on |
/// | `RingBuf<N>`, `UserRingBuf<N>` | messages to user space, and from it |
/// | `ArrayOfMaps<M, N> = [&A, …]`, `HashOfMaps` | maps by index |
/// | `Tree<T>`, `List<T>`, `ObjectSlot<T>` | objects ([`object!`](crate::object)) |
/// | `Arena<N>` | pages shared with user space |
/// | `Timer` | a timer |
/// | `MaskSlot`, `TaskSlot`, `CgroupSlot` | a place for a set of CPUs, a task, a cgroup |
/// | `Kconfig<T>` | a value of the kernel's configuration: `"CONFIG_HZ"`, `"LINUX_KERNEL_VERSION"` |
/// | `KernelPerCpu<T>`, `KernelVar<T>` | a variable of the kernel, of each CPU's own or not, where there is one |
/// | `PerfEventArray` | counters of `perf_event_open`, one for each CPU, opened by user space |
/// | `KernelSymbol` | the address of a symbol of the kernel |
/// | `ExitRecord` | why the scheduler ended |
///
/// ```
/// use scxr_policy::prelude::*;
/// state! {
///     /// Set before load, constant after.
///     pub static FIFO as "fifo": Tunable<bool> = false;
///     /// Shared by all CPUs.
///     static NOW as "now": Global<Vtime> = Vtime::ZERO;
///     /// A value of its own for each CPU, by index.
///     pub static STATS as "stats": PerCpuArray<u64, 2>;
///     /// Why it ended.
///     static UEI as "uei": ExitRecord;
/// }
/// # fn main() {}
/// ```
///
/// The string is the name that loaders and tools see. For BPF these are a variable of `.rodata`, one of `.data` or `.bss`, a
/// map, and a structure that the kernel's tools know; natively each instance of the scheduler has its own.
#[macro_export]
macro_rules! state {
    ($($items:tt)*) => { $crate::__state! { [0usize] [] $($items)* } };
}
