//! Maps as a native policy has them: each instance of the scheduler has its own.

use std::any::Any;
use std::rc::Rc;

use super::ambient::with;
use super::cell::Ref;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Cgroup, MapCell, MapValue, Plain, Task, TimerMap, Value};

/// A map, by its number among the state's items.
pub type RawMap = usize;

macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident<$($g:ident $(: $bound:ident)?),*; $($n:ident),*> $(takes $takes:ident)? = $kind:ident[$len:expr];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<$($g $(: $bound)?,)* $(const $n: usize,)*> {
            slot: usize,
            name: &'static str,
            types: std::marker::PhantomData<fn() -> ($($g,)*)>,
        }

        impl<$($g $(: $bound)?,)* $(const $n: usize,)*> $name<$($g,)* $($n,)*> {
            #[doc(hidden)]
            pub const fn __new(slot: usize, name: &'static str) -> Self {
                $(<T as MapValue>::Cell::HOLDS.must_fit($crate::Takes::$takes);)?
                Self { slot, name, types: std::marker::PhantomData }
            }
        }

        impl<$($g $(: $bound)?,)* $(const $n: usize,)*> Item for $name<$($g,)* $($n,)*> {
            fn def(&self) -> ItemDef {
                ItemDef { name: self.name, kind: ItemKind::$kind, len: $len, size: 0, signed: false, initial: 0 }
            }
        }
    )*};
}

pub(super) use maps;

maps! {
    /// `N` values that all CPUs share.
    Array<T: MapValue; N> takes ALL = Map[N];
    /// One value for each CPU.
    PerCpu<T: MapValue;> takes PER_CPU = Map[usize::MAX];
    /// Values by key, at most `N`.
    HashMap<K: Value, T: MapValue; N> takes ALL = Map[N];
    /// Values by key, at most `N`; one that was not used lately makes room.
    LruHashMap<K: Value, T: MapValue; N> takes LRU = LruMap[N];
    /// Values by key, one for each CPU, at most `N` keys.
    PerCpuHashMap<K: Value, T: MapValue; N> takes PER_CPU = Map[N];
    /// A value for each cgroup that goes with the cgroup.
    CgroupStorage<T: MapValue;> takes STORAGE = CgroupMap[usize::MAX];
    /// A value for each task that goes with the task.
    TaskStorage<T: MapValue;> takes STORAGE = TaskMap[usize::MAX];
    /// First in, first out, at most `N`.
    Queue<T: Plain; N> = Queue[N];
    /// Last in, first out, at most `N`.
    Stack<T: Plain; N> = Queue[N];
}

/// The value at `key`; made of zeros if there is none and `create` says so.
fn value<C: MapCell>(slot: usize, key: u64, create: bool) -> Option<Ref<'static, C>> {
    let zero = || Rc::new(C::ZERO) as Rc<dyn Any>;
    // what goes does so when the map is not looked at any more: a timer in it is stopped then
    let mut evicted = None;
    let found = with(|instance| instance.map_value(slot, key, create.then_some(&zero), &mut evicted))?;
    found.downcast().ok().map(Ref::new)
}

impl<T: MapValue, const N: usize> Array<T, N> {
    /// The value at `index`; `None` past the end.
    pub fn get(&self, index: u32) -> Option<Ref<'_, T::Cell>> {
        if (index as usize) < N { value(self.slot, index.into(), true) } else { None }
    }
}

impl<T: MapValue> PerCpu<T> {
    /// The current CPU's value; there always is one.
    pub fn get(&self) -> Option<Ref<'_, T::Cell>> {
        self.on(crate::Cpu::current())
    }

    /// A certain CPU's value; `None` if that cannot be (`bpf_map_lookup_percpu_elem`).
    pub fn on(&self, cpu: crate::Cpu) -> Option<Ref<'_, T::Cell>> {
        let cpu = usize::try_from(cpu.0).ok().filter(|&cpu| cpu < with(|instance| instance.nr_cpus()))?;
        value(self.slot, cpu as u64, true)
    }
}

macro_rules! hashes {
    ($($name:ident)*) => {$(
        impl<K: Value, T: MapValue, const N: usize> $name<K, T, N> {
            /// The value of `key`, if it has one.
            pub fn get(&self, key: K) -> Option<Ref<'_, T::Cell>> {
                value(self.slot, key.to_bits(), false)
            }

            /// The value of `key`, made of zeros if it has none; `None`: there is no room.
            pub fn get_or_insert(&self, key: K) -> Option<Ref<'_, T::Cell>> {
                value(self.slot, key.to_bits(), true)
            }

            /// Removes the value of `key`; `false`: there was none.
            pub fn remove(&self, key: K) -> bool {
                let gone = with(|instance| instance.map_remove(self.slot, key.to_bits()));
                gone.is_some()
            }
        }
    )*};
}

hashes! { HashMap LruHashMap }

macro_rules! with_timers {
    ($($name:ident<$($k:ident)?> by $key:ty;)*) => {$(
        impl<$($k: Value,)? T: MapValue, const N: usize> TimerMap for $name<$($k,)? T, N> {
            type Key = $key;
            type Cell = T::Cell;
            fn __raw(&self) -> RawMap {
                self.slot
            }
        }
    )*};
}

with_timers! { Array<> by u32; HashMap<K> by K; LruHashMap<K> by K; }

/// The value of a key on one CPU: all CPUs' values of a key come and go together.
impl<K: Value, T: MapValue, const N: usize> PerCpuHashMap<K, T, N> {
    fn values(&self, key: K, create: bool) -> Option<Ref<'static, Vec<Rc<T::Cell>>>> {
        let found = with(|instance| {
            let nr_cpus = instance.nr_cpus();
            let zero = move || Rc::new((0..nr_cpus).map(|_| Rc::new(T::Cell::ZERO)).collect::<Vec<_>>()) as Rc<dyn Any>;
            instance.map_value(self.slot, key.to_bits(), create.then_some(&zero), &mut None)
        })?;
        found.downcast().ok().map(Ref::new)
    }

    fn of_cpu(&self, key: K, create: bool, cpu: crate::Cpu) -> Option<Ref<'_, T::Cell>> {
        let values = self.values(key, create)?;
        values.get(usize::try_from(cpu.0).ok()?).cloned().map(Ref::new)
    }

    /// The value of `key`, if it has one.
    pub fn get(&self, key: K) -> Option<Ref<'_, T::Cell>> {
        self.of_cpu(key, false, crate::Cpu::current())
    }

    /// The value of `key`, made of zeros if it has none; `None`: there is no room.
    pub fn get_or_insert(&self, key: K) -> Option<Ref<'_, T::Cell>> {
        self.of_cpu(key, true, crate::Cpu::current())
    }

    /// A certain CPU's value of `key`.
    pub fn on(&self, key: K, cpu: crate::Cpu) -> Option<Ref<'_, T::Cell>> {
        self.of_cpu(key, false, cpu)
    }

    /// Removes the value of `key`; `false`: there was none.
    pub fn remove(&self, key: K) -> bool {
        with(|instance| instance.map_remove(self.slot, key.to_bits())).is_some()
    }
}

macro_rules! storages {
    ($($name:ident: $Owner:ident;)*) => {$(
        impl<T: MapValue> $name<T> {
            /// The value, if there is one.
            pub fn get(&self, of: $Owner<'_>) -> Option<Ref<'_, T::Cell>> {
                value(self.slot, of.raw(), false)
            }

            /// The value, made of zeros if there is none.
            pub fn get_or_create(&self, of: $Owner<'_>) -> Option<Ref<'_, T::Cell>> {
                value(self.slot, of.raw(), true)
            }

            /// Removes the value; `false`: there was none.
            pub fn remove(&self, of: $Owner<'_>) -> bool {
                with(|instance| instance.map_remove(self.slot, of.raw())).is_some()
            }
        }
    )*};
}

storages! { TaskStorage: Task; CgroupStorage: Cgroup; }

macro_rules! queues {
    ($($name:ident: $last:literal)*) => {$(
        impl<T: Plain, const N: usize> $name<T, N> {
            /// Puts a value in; `false`: it is full.
            pub fn push(&self, value: T) -> bool {
                with(|instance| instance.push(self.slot, Rc::new(value)))
            }

            /// Takes the next value out.
            pub fn pop(&self) -> Option<T> {
                with(|instance| instance.take(self.slot, $last, true))?.downcast_ref().copied()
            }

            /// The next value, left where it is.
            pub fn peek(&self) -> Option<T> {
                with(|instance| instance.take(self.slot, $last, false))?.downcast_ref().copied()
            }
        }
    )*};
}

queues! { Queue: false Stack: true }
