//! State as a native policy has it: descriptions whose values each instance has for itself.

use std::marker::PhantomData;

use super::ambient::{call, with};
use crate::{ExitInfo, Value};

/// What an item of state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    /// Set before load, constant after.
    Tunable,
    /// One value for all CPUs.
    Global,
    /// Values of each CPU.
    PerCpu,
    /// The exit record.
    ExitRecord,
    /// Values by index, by key, or of each CPU.
    Map,
    /// Values by key that make room for others.
    LruMap,
    /// Values of tasks.
    TaskMap,
    /// A queue or stack.
    Queue,
    /// A ring buffer.
    Ring,
    /// A timer.
    Timer,
    /// A place for a set of CPUs.
    Slot,
    /// A place for a task.
    TaskSlot,
    /// A place for a cgroup.
    CgroupSlot,
    /// Values of cgroups.
    CgroupMap,
    /// A ring buffer from user space.
    UserRing,
    /// Maps.
    OfMaps,
    /// Pages.
    Arena,
    /// A tree, a list or a place for an object.
    Objects,
    /// The kernel's: a variable, a value of its configuration.
    Kernel,
}

/// An item of state as it was declared.
#[derive(Clone, Copy)]
pub struct StateItem {
    #[doc(hidden)]
    pub item: &'static dyn Item,
    /// Its type, as written.
    pub ty: &'static str,
    /// Its documentation, a line each.
    pub doc: &'static str,
}

impl StateItem {
    /// Name, kind and size.
    pub fn def(&self) -> ItemDef {
        self.item.def()
    }
}

impl std::fmt::Debug for StateItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.def().name, self.ty)
    }
}

/// The description of an item of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemDef {
    /// The name that tools see.
    pub name: &'static str,
    /// What it is.
    pub kind: ItemKind,
    /// Number of values, on each CPU where they have their own.
    pub len: usize,
    /// Size of a value in bytes.
    pub size: usize,
    /// Whether values are signed.
    pub signed: bool,
    /// The value at the start.
    pub initial: u64,
}

/// An item of state.
pub trait Item: Sync {
    /// Its description.
    fn def(&self) -> ItemDef;
}

fn load<T: Value>(slot: usize, index: usize, cpu: usize) -> T {
    T::from_bits(with(|instance| instance.cell(slot, index, cpu).map_or(0, std::cell::Cell::get)))
}

fn store<T: Value>(slot: usize, index: usize, cpu: usize, value: T) {
    with(|instance| {
        if let Some(cell) = instance.cell(slot, index, cpu) {
            cell.set(value.to_bits());
        }
    });
}

/// Set before load, constant after.
#[derive(Debug)]
pub struct Tunable<T> {
    slot: usize,
    name: &'static str,
    initial: T,
}

impl<T: Value> Tunable<T> {
    #[doc(hidden)]
    pub const fn __new(slot: usize, name: &'static str, initial: T) -> Self {
        Self { slot, name, initial }
    }

    /// Its value.
    pub fn get(&self) -> T {
        load(self.slot, 0, 0)
    }
}

impl<T: Value> Item for Tunable<T> {
    fn def(&self) -> ItemDef {
        let (name, initial) = (self.name, self.initial.to_bits());
        ItemDef { name, kind: ItemKind::Tunable, len: 1, size: T::SIZE, signed: T::SIGNED, initial }
    }
}

/// One value, shared by all CPUs.
#[derive(Debug)]
pub struct Global<T> {
    slot: usize,
    name: &'static str,
    initial: T,
}

impl<T: Value> Global<T> {
    #[doc(hidden)]
    pub const fn __new(slot: usize, name: &'static str, initial: T) -> Self {
        Self { slot, name, initial }
    }

    /// Its value.
    pub fn get(&self) -> T {
        load(self.slot, 0, 0)
    }

    /// Sets it.
    pub fn set(&self, value: T) {
        store(self.slot, 0, 0, value);
    }
}

super::cell::counters! { Global: u32, u64, i64 }

impl<T: Value> Item for Global<T> {
    fn def(&self) -> ItemDef {
        let (name, initial) = (self.name, self.initial.to_bits());
        ItemDef { name, kind: ItemKind::Global, len: 1, size: T::SIZE, signed: T::SIGNED, initial }
    }
}

/// `N` values for each CPU.
#[derive(Debug)]
pub struct PerCpuArray<T, const N: usize> {
    slot: usize,
    name: &'static str,
    values: PhantomData<T>,
}

impl<T: Value, const N: usize> PerCpuArray<T, N> {
    #[doc(hidden)]
    pub const fn __new(slot: usize, name: &'static str) -> Self {
        Self { slot, name, values: PhantomData }
    }

    /// The current CPU's value at `index`; `None` past the end.
    pub fn get(&self, index: u32) -> Option<PerCpuValue<'_, T>> {
        let (index, cpu) = (index as usize, usize::try_from(call(|host| host.cpu())).ok()?);
        (index < N).then_some(PerCpuValue { slot: self.slot, index, cpu, array: PhantomData })
    }
}

impl<T: Value, const N: usize> Item for PerCpuArray<T, N> {
    fn def(&self) -> ItemDef {
        ItemDef { name: self.name, kind: ItemKind::PerCpu, len: N, size: T::SIZE, signed: T::SIGNED, initial: 0 }
    }
}

/// A value of the current CPU.
#[derive(Clone, Copy, Debug)]
pub struct PerCpuValue<'a, T> {
    slot: usize,
    index: usize,
    cpu: usize,
    array: PhantomData<&'a T>,
}

impl<T: Value> PerCpuValue<'_, T> {
    /// Reads it.
    pub fn get(self) -> T {
        load(self.slot, self.index, self.cpu)
    }

    /// Writes it.
    pub fn set(self, value: T) {
        store(self.slot, self.index, self.cpu, value);
    }
}

impl PerCpuValue<'_, u64> {
    /// Adds, wrapping.
    pub fn add(self, by: u64) {
        self.set(self.get().wrapping_add(by));
    }
}

/// Why the scheduler ended.
#[derive(Debug)]
pub struct ExitRecord {
    name: &'static str,
}

impl ExitRecord {
    #[doc(hidden)]
    pub const fn __new(_slot: usize, name: &'static str) -> Self {
        Self { name }
    }

    /// Copies the information.
    pub fn record(&self, ei: ExitInfo<'_>) {
        let details = call(|host| host.exit_info(ei.raw()));
        with(|instance| instance.record_exit(details));
    }
}

impl Item for ExitRecord {
    fn def(&self) -> ItemDef {
        ItemDef { name: self.name, kind: ItemKind::ExitRecord, len: 0, size: 0, signed: false, initial: 0 }
    }
}

/// The items of `state!` as descriptions, and the list of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __state {
    ([$n:expr] [$({ $item:ident [$($doc:literal)*] [$($ty:tt)*] })*]) => {
        #[doc(hidden)]
        static __STATE: &[$crate::native::StateItem] = &[$($crate::native::StateItem {
            item: &$item,
            ty: stringify!($($ty)*),
            doc: concat!($($doc, "\n",)* ""),
        }),*];
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Tunable<$t:ty> = $init:expr; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::Tunable<$t> = $crate::Tunable::__new($n, $sym, $init);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [Tunable<$t>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: Global<$t:ty> = $init:expr; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::Global<$t> = $crate::Global::__new($n, $sym, $init);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [Global<$t>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$t:ty, $len:literal> = $init:expr; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::$kind<$t, $len> = $crate::$kind::__new($n, $sym, $init);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [$kind<$t, $len>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$k:ty, $t:ty, $len:literal>; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::$kind<$k, $t, $len> = $crate::$kind::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [$kind<$k, $t, $len>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$t:ty, $len:literal>; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::$kind<$t, $len> = $crate::$kind::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [$kind<$t, $len>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$t:ty>; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::$kind<$t> = $crate::$kind::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [$kind<$t>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident<$len:literal>; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::$kind<$len> = $crate::$kind::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [$kind<$len>] }] $($rest)* }
    };
    ([$n:expr] [$($done:tt)*] $(#[doc = $doc:literal])* $vis:vis static $N:ident as $sym:literal: $kind:ident; $($rest:tt)*) => {
        $(#[doc = $doc])*
        $vis static $N: $crate::$kind = $crate::$kind::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* { $N [$($doc)*] [$kind] }] $($rest)* }
    };
}
