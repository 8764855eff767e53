//! What maps hold: values that are shared in place, and values that are copied.

use crate::backend::cell::{self, Field};
use crate::backend::maps::RawMap;
use crate::backend::{objects, slots, timer};
use crate::holds::Holds;
use crate::{Ns, Value, Vtime};

/// A type that maps hold in place, so that all who look it up see the same: integers, [`Ns`], [`Vtime`], arrays of them,
/// structures made by [`shared!`](crate::shared).
pub trait MapValue: 'static {
    /// What a look-up gives a reference to: a [`Field`] of an integer, a structure of fields, an array.
    type Cell: MapCell;
}

/// The form that a [`MapValue`] has in a map.
pub trait MapCell: 'static {
    /// All zero: what a new value is.
    const ZERO: Self;
    /// What of it only the kernel touches.
    #[doc(hidden)]
    const HOLDS: Holds = Holds::NOTHING;
    /// Its bytes as C lays them out.
    #[cfg(not(bpf))]
    #[doc(hidden)]
    fn put(&self, bytes: &mut [u8]);
}

/// A map whose values can have a [`Timer`](crate::Timer): [`Array`](crate::Array), [`HashMap`](crate::HashMap),
/// [`LruHashMap`](crate::LruHashMap).
pub trait TimerMap {
    /// What its values are found by.
    type Key: Value;
    /// What a look-up gives a reference to.
    type Cell: MapCell;
    #[doc(hidden)]
    fn __raw(&self) -> RawMap;
}

/// A plain value that queues and ring buffers hold by copy: integers, [`Ns`], [`Vtime`], structures made by
/// [`plain!`](crate::plain).
pub trait Plain: Copy + 'static {
    /// All zero.
    const ZERO: Self;
    /// Name of the structure; empty for an integer.
    #[cfg(not(bpf))]
    #[doc(hidden)]
    const NAME: &'static str = "";
    /// Its fields: name, offset, bytes.
    #[cfg(not(bpf))]
    #[doc(hidden)]
    const FIELDS: &'static [(&'static str, usize, usize)] = &[];
    /// Its bytes as C lays them out.
    #[cfg(not(bpf))]
    #[doc(hidden)]
    fn put(&self, bytes: &mut [u8]);
    /// The value that C lays out so; there are at least as many bytes.
    #[cfg(not(bpf))]
    #[doc(hidden)]
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! scalars {
    ($($t:ty = $zero:expr),* $(,)?) => {$(
        impl MapValue for $t {
            type Cell = Field<$t>;
        }
        impl MapCell for Field<$t> {
            #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
            const ZERO: Self = Field::new($zero);
            #[cfg(not(bpf))]
            fn put(&self, bytes: &mut [u8]) {
                Plain::put(&self.get(), bytes);
            }
        }
        impl Plain for $t {
            const ZERO: Self = $zero;
            #[cfg(not(bpf))]
            fn put(&self, bytes: &mut [u8]) {
                let bits = crate::Value::to_bits(*self).to_le_bytes();
                bytes.copy_from_slice(&bits[..size_of::<Self>()]);
            }
            #[cfg(not(bpf))]
            fn get(bytes: &[u8]) -> Self {
                let mut bits = [0; 8];
                bits[..size_of::<Self>()].copy_from_slice(&bytes[..size_of::<Self>()]);
                crate::Value::from_bits(u64::from_le_bytes(bits))
            }
        }
    )*};
}

scalars! {
    u8 = 0, u16 = 0, u32 = 0, u64 = 0, i8 = 0, i16 = 0, i32 = 0, i64 = 0, bool = false, Ns = Ns::ZERO, Vtime = Vtime::ZERO,
}

impl<T: MapValue, const N: usize> MapValue for [T; N] {
    type Cell = [T::Cell; N];
}

impl<C: MapCell, const N: usize> MapCell for [C; N] {
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    const ZERO: Self = [C::ZERO; N];
    const HOLDS: Holds = C::HOLDS.times(N);
    #[cfg(not(bpf))]
    fn put(&self, bytes: &mut [u8]) {
        let size = size_of::<C>().max(1);
        self.iter().zip(bytes.chunks_mut(size)).for_each(|(cell, bytes)| cell.put(bytes));
    }
}

impl<T: MapValue> MapValue for crate::ArenaPtr<T> {
    type Cell = Field<Self>;
}

impl<T: MapValue> MapCell for Field<crate::ArenaPtr<T>> {
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    const ZERO: Self = Field::new(crate::ArenaPtr::NULL);
    #[cfg(not(bpf))]
    fn put(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&crate::Value::to_bits(self.get()).to_le_bytes());
    }
}

/// What only the kernel's functions touch: a type as a field is declared, and what it is in a map.
macro_rules! of_kernel {
    ($($t:ty as $cell:ty: $holds:ident;)*) => {$(
        impl MapValue for $t {
            type Cell = $cell;
        }
        impl MapCell for $cell {
            #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
            const ZERO: Self = <$cell>::__EMPTY;
            const HOLDS: Holds = Holds::$holds;
            #[cfg(not(bpf))]
            fn put(&self, _bytes: &mut [u8]) {}
        }
    )*};
}

of_kernel! {
    cell::SpinLock as cell::SpinLock: LOCK;
    cell::ResSpinLock as cell::ResSpinLock: LOCK;
    slots::MaskSlot as slots::MaskCell: COUNTED;
    slots::TaskSlot as slots::TaskCell: COUNTED;
    slots::CgroupSlot as slots::CgroupCell: COUNTED;
    timer::Timer as timer::TimerCell: TIMER;
}

impl<T: crate::Object> MapValue for objects::ObjectSlot<T> {
    type Cell = objects::ObjectCell<T>;
}

impl<T: crate::Object> MapCell for objects::ObjectCell<T> {
    #[allow(clippy::declare_interior_mutable_const, reason = "a value to start with")]
    const ZERO: Self = Self::__EMPTY;
    const HOLDS: Holds = Holds::COUNTED;
    #[cfg(not(bpf))]
    fn put(&self, _bytes: &mut [u8]) {}
}

/// Declares a structure that maps hold in place. Each field becomes a [`Field`], read with `get` and written with `set`, so
/// that what other CPUs see is what the policy says. A field may also be one that only the kernel touches, in the maps that take it:
///
/// | field | is | in values of |
/// |---|---|---|
/// | `SpinLock`, `ResSpinLock` | [`SpinLock`](crate::SpinLock), [`ResSpinLock`](crate::ResSpinLock), one at most | `Array`, `HashMap`, `TaskStorage`, `CgroupStorage` |
/// | `Timer` | [`TimerCell`](crate::TimerCell), one at most | `Array`, `HashMap`, `LruHashMap` |
/// | `MaskSlot`, `TaskSlot`, `CgroupSlot` | [`MaskCell`](crate::MaskCell), … | all maps and storage |
/// | `ObjectSlot<T>` | [`ObjectCell`](crate::ObjectCell) | all maps and storage |
///
/// There are eleven such fields at most. In an array they are found by constant indices alone.
///
/// ```
/// use scxr_policy::prelude::*;
/// shared! {
///     /// What is kept for each task.
///     pub struct TaskCtx {
///         /// When it became ready.
///         pub ready_at: Ns,
///         /// How often it ran.
///         pub nr_runs: u64,
///     }
/// }
/// state! { static TASKS as "tasks": TaskStorage<TaskCtx>; }
/// scheduler! {
///     struct Counting { name: "counting" }
///     impl Ops for Counting {
///         fn running(_cx: &Event, p: Task<'_>) {
///             if let Some(task) = TASKS.get_or_create(p) {
///                 task.nr_runs.add(1);
///             }
///         }
///     }
/// }
/// # fn main() {}
/// ```
///
/// What a map does not take does not compile:
///
/// ```compile_fail
/// use scxr_policy::prelude::*;
/// shared! { struct Ctx { beat: Timer } }
/// state! { static TASKS as "tasks": TaskStorage<Ctx>; }
/// # scheduler! { struct S { name: "s" } impl Ops for S {} }
/// # fn main() {}
/// ```
///
/// ```compile_fail
/// use scxr_policy::prelude::*;
/// shared! { struct Ctx { lock: SpinLock } }
/// state! { static CPUS as "cpus": PerCpu<Ctx>; }
/// # scheduler! { struct S { name: "s" } impl Ops for S {} }
/// # fn main() {}
/// ```
///
/// ```compile_fail
/// use scxr_policy::prelude::*;
/// shared! { struct Ctx { one: SpinLock, other: SpinLock } }
/// state! { static CTX as "ctx": Array<Ctx, 1>; }
/// # scheduler! { struct S { name: "s" } impl Ops for S {} }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! shared {
    ($($(#[$meta:meta])* $vis:vis struct $S:ident { $($(#[$($field_meta:tt)*])* $field_vis:vis $field:ident: $t:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        $vis struct $S {
            $($(#[$($field_meta)*])* $field_vis $field: <$t as $crate::MapValue>::Cell,)*
        }
        impl $crate::MapValue for $S {
            type Cell = Self;
        }
        $crate::__shared! { $S { $($(#[$($field_meta)*])* $field: $t),* } }
    )*};
}

/// What [`shared!`](crate::shared) implements.
#[cfg(bpf)]
#[doc(hidden)]
#[macro_export]
macro_rules! __shared {
    ($S:ident { $($(#[doc = $doc:literal])* $field:ident: $t:ty),* }) => {
        $($crate::__describe! { [stringify!($S), ".", stringify!($field)] [$t] $($doc)* })*
        impl $crate::MapCell for $S {
            const ZERO: Self = Self { $($field: <<$t as $crate::MapValue>::Cell as $crate::MapCell>::ZERO),* };
            const HOLDS: $crate::Holds =
                $crate::Holds::NOTHING$(.and(<<$t as $crate::MapValue>::Cell as $crate::MapCell>::HOLDS))*;
        }
    };
}

/// What [`shared!`](crate::shared) implements.
#[cfg(not(bpf))]
#[doc(hidden)]
#[macro_export]
macro_rules! __shared {
    ($S:ident { $($(#[$($meta:tt)*])* $field:ident: $t:ty),* }) => {
        impl $crate::MapCell for $S {
            const ZERO: Self = Self { $($field: <<$t as $crate::MapValue>::Cell as $crate::MapCell>::ZERO),* };
            const HOLDS: $crate::Holds =
                $crate::Holds::NOTHING$(.and(<<$t as $crate::MapValue>::Cell as $crate::MapCell>::HOLDS))*;
            fn put(&self, bytes: &mut [u8]) {
                $({
                    let at = ::std::mem::offset_of!($S, $field);
                    let size = ::std::mem::size_of::<<$t as $crate::MapValue>::Cell>();
                    $crate::MapCell::put(&self.$field, &mut bytes[at..at + size]);
                })*
            }
        }
    };
}

/// Declares a structure that queues and ring buffers hold by copy: an ordinary `Copy` structure that C lays out the same way.
///
/// ```
/// use scxr_policy::prelude::*;
/// plain! {
///     /// What user space is told.
///     pub struct Message {
///         /// Who.
///         pub pid: i32,
///         /// When.
///         pub at: Ns,
///     }
/// }
/// state! { static MESSAGES as "messages": RingBuf<4096>; }
/// # scheduler! { struct S { name: "s" } impl Ops for S {
/// fn exit_task(_cx: &Event, p: Task<'_>, _args: ExitTask<'_>) {
///     MESSAGES.send(Message { pid: p.pid(), at: Ns::now() });
/// }
/// # } }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plain {
    ($($(#[$meta:meta])* $vis:vis struct $S:ident { $($(#[$($field_meta:tt)*])* $field_vis:vis $field:ident: $t:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        $vis struct $S {
            $($(#[$($field_meta)*])* $field_vis $field: $t,)*
        }
        $crate::__plain! { $S { $($(#[$($field_meta)*])* $field: $t),* } }
    )*};
}

/// What [`plain!`](crate::plain) implements.
#[cfg(bpf)]
#[doc(hidden)]
#[macro_export]
macro_rules! __plain {
    ($S:ident { $($(#[doc = $doc:literal])* $field:ident: $t:ty),* }) => {
        $($crate::__describe! { [stringify!($S), ".", stringify!($field)] [$t] $($doc)* })*
        impl $crate::Plain for $S {
            const ZERO: Self = Self { $($field: <$t as $crate::Plain>::ZERO),* };
        }
    };
}

/// What [`plain!`](crate::plain) implements.
#[cfg(not(bpf))]
#[doc(hidden)]
#[macro_export]
macro_rules! __plain {
    ($S:ident { $($(#[$($meta:tt)*])* $field:ident: $t:ty),* }) => {
        impl $crate::Plain for $S {
            const ZERO: Self = Self { $($field: <$t as $crate::Plain>::ZERO),* };
            const NAME: &'static str = stringify!($S);
            const FIELDS: &'static [(&'static str, usize, usize)] =
                &[$((stringify!($field), ::std::mem::offset_of!($S, $field), ::std::mem::size_of::<$t>())),*];
            fn put(&self, bytes: &mut [u8]) {
                $({
                    let at = ::std::mem::offset_of!($S, $field);
                    $crate::Plain::put(&self.$field, &mut bytes[at..at + ::std::mem::size_of::<$t>()]);
                })*
            }
            fn get(bytes: &[u8]) -> Self {
                Self { $($field: $crate::Plain::get(&bytes[::std::mem::offset_of!($S, $field)..])),* }
            }
        }
    };
}
