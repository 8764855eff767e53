//! State as a native policy has it: descriptions whose values each instance has for itself.

use std::marker::PhantomData;

use super::ambient::{call, with};
use crate::{ExitInfo, Value};

/// What an item of state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Set before load, constant after.
    Tunable,
    /// One value for all CPUs.
    Global,
    /// Values of each CPU.
    PerCpu,
    /// The exit record.
    ExitRecord,
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

impl Global<u64> {
    /// Adds atomically, wrapping; the value before.
    pub fn fetch_add(&self, by: u64) -> u64 {
        let before = self.get();
        self.set(before.wrapping_add(by));
        before
    }
}

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
    ([$n:expr] [$($done:ident)*]) => {
        #[doc(hidden)]
        static __STATE: &[&dyn $crate::native::Item] = &[$(&$done),*];
    };
    ([$n:expr] [$($done:ident)*] $(#[$m:meta])* $vis:vis static $N:ident as $sym:literal: Tunable<$t:ty> = $init:expr; $($rest:tt)*) => {
        $(#[$m])*
        $vis static $N: $crate::Tunable<$t> = $crate::Tunable::__new($n, $sym, $init);
        $crate::__state! { [$n + 1] [$($done)* $N] $($rest)* }
    };
    ([$n:expr] [$($done:ident)*] $(#[$m:meta])* $vis:vis static $N:ident as $sym:literal: Global<$t:ty> = $init:expr; $($rest:tt)*) => {
        $(#[$m])*
        $vis static $N: $crate::Global<$t> = $crate::Global::__new($n, $sym, $init);
        $crate::__state! { [$n + 1] [$($done)* $N] $($rest)* }
    };
    ([$n:expr] [$($done:ident)*] $(#[$m:meta])* $vis:vis static $N:ident as $sym:literal: PerCpuArray<$t:ty, $len:literal>; $($rest:tt)*) => {
        $(#[$m])*
        $vis static $N: $crate::PerCpuArray<$t, $len> = $crate::PerCpuArray::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* $N] $($rest)* }
    };
    ([$n:expr] [$($done:ident)*] $(#[$m:meta])* $vis:vis static $N:ident as $sym:literal: ExitRecord; $($rest:tt)*) => {
        $(#[$m])*
        $vis static $N: $crate::ExitRecord = $crate::ExitRecord::__new($n, $sym);
        $crate::__state! { [$n + 1] [$($done)* $N] $($rest)* }
    };
}
