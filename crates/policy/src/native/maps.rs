//! Maps as a native policy has them: each instance of the scheduler has its own.

use std::any::Any;
use std::marker::PhantomData;
use std::rc::Rc;

use super::ambient::{call, with};
use super::cell::Ref;
use super::state::{Item, ItemDef, ItemKind};
use crate::{CpuMask, MapCell, MapValue, Ns, OwnedCpuMask, Plain, Task, TimerFlags, Unlocked, Value};

macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident<$($g:ident $(: $bound:ident)?),*; $($n:ident),*> = $kind:ident[$len:expr];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<$($g $(: $bound)?,)* $(const $n: usize,)*> {
            slot: usize,
            name: &'static str,
            types: PhantomData<fn() -> ($($g,)*)>,
        }

        impl<$($g $(: $bound)?,)* $(const $n: usize,)*> $name<$($g,)* $($n,)*> {
            #[doc(hidden)]
            pub const fn __new(slot: usize, name: &'static str) -> Self {
                Self { slot, name, types: PhantomData }
            }
        }

        impl<$($g $(: $bound)?,)* $(const $n: usize,)*> Item for $name<$($g,)* $($n,)*> {
            fn def(&self) -> ItemDef {
                ItemDef { name: self.name, kind: ItemKind::$kind, len: $len, size: 0, signed: false, initial: 0 }
            }
        }
    )*};
}

maps! {
    /// `N` values that all CPUs share.
    Array<T: MapValue; N> = Map[N];
    /// One value for each CPU.
    PerCpu<T: MapValue;> = Map[usize::MAX];
    /// Values by key, at most `N`.
    HashMap<K: Value, T: MapValue; N> = Map[N];
    /// Values by key, at most `N`; one that was not used lately makes room.
    LruHashMap<K: Value, T: MapValue; N> = LruMap[N];
    /// A value for each task that goes with the task.
    TaskStorage<T: MapValue;> = TaskMap[usize::MAX];
    /// First in, first out, at most `N`.
    Queue<T: Plain; N> = Queue[N];
    /// Last in, first out, at most `N`.
    Stack<T: Plain; N> = Queue[N];
    /// Messages to user space, `N` bytes of them.
    RingBuf<; N> = Ring[N];
    /// A timer.
    Timer<;> = Timer[1];
    /// A place for an [`OwnedCpuMask`] that outlives the operation.
    MaskSlot<;> = MaskSlot[1];
}

/// The value at `key`; made of zeros if there is none and `create` says so.
fn value<C: MapCell>(slot: usize, key: u64, create: bool) -> Option<Ref<'static, C>> {
    let zero: fn() -> Rc<dyn Any> = || Rc::new(C::ZERO);
    let found = with(|instance| instance.map_value(slot, key, create.then_some(zero)))?;
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
                with(|instance| instance.map_remove(self.slot, key.to_bits()))
            }
        }
    )*};
}

hashes! { HashMap LruHashMap }

impl<T: MapValue> TaskStorage<T> {
    /// The task's value, if it has one.
    pub fn get(&self, p: Task<'_>) -> Option<Ref<'_, T::Cell>> {
        value(self.slot, p.raw(), false)
    }

    /// The task's value, made of zeros if it has none.
    pub fn get_or_create(&self, p: Task<'_>) -> Option<Ref<'_, T::Cell>> {
        value(self.slot, p.raw(), true)
    }

    /// Removes the task's value; `false`: it had none.
    pub fn remove(&self, p: Task<'_>) -> bool {
        with(|instance| instance.map_remove(self.slot, p.raw()))
    }
}

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

impl<const N: usize> RingBuf<N> {
    /// Sends a message; `false`: there is no room, the message is lost.
    pub fn send<T: Plain>(&self, message: T) -> bool {
        let mut bytes = vec![0; size_of::<T>()];
        message.put(&mut bytes);
        with(|instance| instance.send(self.slot, bytes))
    }
}

impl Timer {
    /// Has `function` called once, `after` from now, on some CPU; the function can start the timer again. It is a function or a
    /// closure that holds nothing.
    pub fn start<F: Fn(&Unlocked) + 'static>(&self, after: Ns, function: F) -> bool {
        self.start_with(after, TimerFlags::NONE, function)
    }

    /// The same with flags (`bpf_timer_start`): `when` is a duration, or with [`TimerFlags::ABS`] a point in time.
    pub fn start_with<F: Fn(&Unlocked) + 'static>(&self, when: Ns, flags: TimerFlags, function: F) -> bool {
        const { assert!(size_of::<F>() == 0, "the function of a timer cannot hold anything") };
        let function: Rc<dyn Fn()> = Rc::new(move || function(&Unlocked::__new()));
        with(|instance| instance.set_timer(self.slot, Some(function)));
        call(|host| host.timer_start(self.slot, when.0, flags.0))
    }

    /// Stops it and waits until its function has returned; `true`: it was on. In its own function it does nothing.
    pub fn cancel(&self) -> bool {
        if !with(|instance| instance.timer_is_made(self.slot)) {
            return false;
        }
        let Some(was_on) = call(|host| host.timer_cancel(self.slot)) else { return false };
        with(|instance| instance.set_timer(self.slot, None));
        was_on
    }
}

impl MaskSlot {
    /// Puts a set in, or nothing; what was there before.
    pub fn replace(&self, mask: Option<OwnedCpuMask>) -> Option<OwnedCpuMask> {
        let new = mask.map(OwnedCpuMask::__into_raw);
        with(|instance| instance.replace_mask(self.slot, new)).map(OwnedCpuMask::__from_raw)
    }

    /// The set that is there. (In an operation that may sleep: only under [`Rcu`](crate::Rcu).)
    pub fn get(&self) -> Option<CpuMask<'_>> {
        let id = with(|instance| instance.mask_in(self.slot))?;
        Some(CpuMask::__new(super::MaskSource::Owned(id)))
    }
}
