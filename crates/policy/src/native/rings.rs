//! Ring buffers: to user space and from it.

use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use super::ambient::{call, with};
use super::maps::maps;
use super::state::{Item, ItemDef, ItemKind};
use crate::{Errno, MapCell, MapValue, Plain, RingFlags};

maps! {
    /// Messages to user space, `N` bytes of them.
    RingBuf<; N> = Ring[N];
    /// Messages from user space, `N` bytes of them.
    UserRingBuf<; N> = UserRing[N];
}

impl<const N: usize> RingBuf<N> {
    /// Sends a message; `false`: there is no room, the message is lost.
    pub fn send<T: Plain>(&self, message: T) -> bool {
        self.send_with(message, RingFlags::NONE)
    }

    /// The same with flags.
    pub fn send_with<T: Plain>(&self, message: T, flags: RingFlags) -> bool {
        let mut bytes = vec![0; size_of::<T>()];
        message.put(&mut bytes);
        let sent = with(|instance| instance.send(self.slot, bytes));
        let wakes =
            flags.contains(RingFlags::FORCE_WAKEUP) || sent == Some(true) && !flags.contains(RingFlags::NO_WAKEUP);
        if sent.is_some() && wakes {
            call(|host| host.ringbuf_ready(self.slot));
        }
        sent.is_some()
    }

    /// Room for a message that is written in place, all zero; `None`: there is none. User space sees it, and what was sent after it, once it is
    /// [submitted](Reserved::submit).
    pub fn reserve<T: MapValue>(&self) -> Option<Reserved<'_, T>> {
        let record = with(|instance| instance.reserve(self.slot, size_of::<T::Cell>()))?;
        Some(Reserved { slot: self.slot, record, message: Rc::new(T::Cell::ZERO), ring: PhantomData })
    }

    /// Bytes that user space has not read yet.
    pub fn nr_unread(&self) -> u64 {
        with(|instance| instance.nr_unread(self.slot))
    }
}

/// A message in the making; discarded when it is dropped.
#[derive(Debug)]
pub struct Reserved<'a, T: MapValue> {
    slot: usize,
    record: u64,
    message: Rc<T::Cell>,
    ring: PhantomData<&'a T>,
}

impl<T: MapValue> Reserved<'_, T> {
    /// Lets user space have it.
    pub fn submit(self) {
        let mut bytes = vec![0; size_of::<T::Cell>()];
        self.message.put(&mut bytes);
        self.commit(Some(bytes));
    }

    fn commit(&self, message: Option<Vec<u8>>) {
        if with(|instance| instance.commit(self.slot, self.record, message)) {
            call(|host| host.ringbuf_ready(self.slot));
        }
    }
}

impl<T: MapValue> Deref for Reserved<'_, T> {
    type Target = T::Cell;
    fn deref(&self) -> &T::Cell {
        &self.message
    }
}

impl<T: MapValue> Drop for Reserved<'_, T> {
    fn drop(&mut self) {
        self.commit(None);
    }
}

impl<const N: usize> UserRingBuf<N> {
    /// The same with a function that gets the operation's context, so that it may do what is allowed there, and returns whether it wants more.
    pub fn drain_in<C, T: Plain, F: Fn(&C, T) -> bool>(&self, cx: &C, function: F) -> Result<u32, Errno> {
        const { assert!(size_of::<F>() == 0 && size_of::<C>() == 0, "the function and its context cannot hold anything") };
        if !with(|instance| instance.begin_drain(self.slot)) {
            return Err(Errno(-16));
        }
        let (mut nr, mut more) = (0, true);
        while more && let Some(message) = with(|instance| instance.next_message(self.slot)) {
            nr += 1;
            more = message.len() < size_of::<T>() || function(cx, T::get(&message));
        }
        with(|instance| instance.end_drain(self.slot));
        Ok(nr)
    }

    /// Calls `function` with each message that has come; how many there were. What is shorter than a `T` is left out. The function is a function or
    /// a closure that holds nothing.
    pub fn drain<T: Plain, F: Fn(T)>(&self, function: F) -> Result<u32, Errno> {
        const { assert!(size_of::<F>() == 0, "the function that takes messages cannot hold anything") };
        if !with(|instance| instance.begin_drain(self.slot)) {
            return Err(Errno(-16));
        }
        let mut nr = 0;
        while let Some(message) = with(|instance| instance.next_message(self.slot)) {
            nr += 1;
            if message.len() >= size_of::<T>() {
                function(T::get(&message));
            }
        }
        with(|instance| instance.end_drain(self.slot));
        Ok(nr)
    }
}
