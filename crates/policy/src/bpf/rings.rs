//! Ring buffers: to user space and from it.

use core::ffi::c_void;
use core::mem::{ManuallyDrop, size_of};
use core::ops::Deref;
use core::ptr::null_mut;

use super::maps::{kind, maps};
use super::sys::helper;
use crate::{Errno, MapCell, MapValue, Plain, RingFlags};

maps! {
    /// Messages to user space, `N` bytes of them: a power of two and of pages. A map of the kind RINGBUF.
    RingBuf<; N> {
        r#type: *const [i32; kind::RINGBUF],
        max_entries: *const [i32; N],
    }
    /// Messages from user space, `N` bytes of them: a power of two and of pages. A map of the kind USER_RINGBUF (from 6.1).
    UserRingBuf<; N> {
        r#type: *const [i32; kind::USER_RINGBUF],
        max_entries: *const [i32; N],
    }
}

impl<const N: usize> RingBuf<N> {
    /// Sends a message (`bpf_ringbuf_output`); `false`: there is no room, the message is lost.
    #[inline(always)]
    pub fn send<T: Plain>(&self, message: T) -> bool {
        self.send_with(message, RingFlags::NONE)
    }

    /// The same with flags.
    #[inline(always)]
    pub fn send_with<T: Plain>(&self, message: T, flags: RingFlags) -> bool {
        // SAFETY: the map is this static, the message is on the stack.
        unsafe { helper::ringbuf_output(self.map(), (&raw const message).cast(), size_of::<T>() as u64, flags.0) == 0 }
    }

    /// Room for a message that is written in place (`bpf_ringbuf_reserve`), all zero; `None`: there is none. User space sees it, and what was sent
    /// after it, once it is [submitted](Reserved::submit).
    #[inline(always)]
    pub fn reserve<T: MapValue>(&self) -> Option<Reserved<'_, T>> {
        // SAFETY: the map is this static; a pointer that is not null is to so many bytes.
        unsafe {
            let message: *mut T::Cell = helper::ringbuf_reserve(self.map(), size_of::<T::Cell>() as u64, 0).cast();
            let message = message.as_mut()?;
            (&raw mut *message).write(T::Cell::ZERO);
            Some(Reserved(message))
        }
    }

    /// Bytes that user space has not read yet (`bpf_ringbuf_query`).
    #[inline(always)]
    pub fn nr_unread(&self) -> u64 {
        // SAFETY: the map is this static.
        unsafe { helper::ringbuf_query(self.map(), 0) }
    }
}

/// A message in the making; discarded when it is dropped.
#[derive(Debug)]
pub struct Reserved<'a, T: MapValue>(&'a T::Cell);

impl<T: MapValue> Reserved<'_, T> {
    /// Lets user space have it (`bpf_ringbuf_submit`).
    #[inline(always)]
    pub fn submit(self) {
        let message = ManuallyDrop::new(self);
        // SAFETY: `reserve` gave it.
        unsafe { helper::ringbuf_submit((&raw const *message.0).cast_mut().cast(), 0) };
    }
}

impl<T: MapValue> Deref for Reserved<'_, T> {
    type Target = T::Cell;
    #[inline(always)]
    fn deref(&self) -> &T::Cell {
        self.0
    }
}

impl<T: MapValue> Drop for Reserved<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `reserve` gave it.
        unsafe { helper::ringbuf_discard((&raw const *self.0).cast_mut().cast(), 0) };
    }
}

/// What the kernel calls with each message: `F` itself is code without data.
extern "C" fn take<T: Plain, F: Fn(T)>(message: *mut c_void, _context: *mut c_void) -> i64 {
    const { assert!(size_of::<F>() == 0, "the function that takes messages cannot hold anything") };
    let mut value = T::ZERO;
    // SAFETY: a value without size, of a type of which `drain` had one; the message is copied into a value of ours.
    let (function, read) = unsafe {
        let function = ManuallyDrop::new(core::mem::zeroed::<F>());
        let len = size_of::<T>() as u32;
        (function, helper::dynptr_read((&raw mut value).cast(), len, message, 0, 0))
    };
    if read == 0 {
        function(value);
    }
    0
}

/// The same for a function that gets a context and says whether it wants more.
extern "C" fn take_in<C, T: Plain, F: Fn(&C, T) -> bool>(message: *mut c_void, _context: *mut c_void) -> i64 {
    const { assert!(size_of::<F>() == 0 && size_of::<C>() == 0, "the function and its context cannot hold anything") };
    let mut value = T::ZERO;
    // SAFETY: values without size, of types of which `drain_in` had one each; the message is copied into a value of ours.
    let (function, cx, read) = unsafe {
        let function = ManuallyDrop::new(core::mem::zeroed::<F>());
        let len = size_of::<T>() as u32;
        let read = helper::dynptr_read((&raw mut value).cast(), len, message, 0, 0);
        (function, core::ptr::NonNull::<C>::dangling().as_ref(), read)
    };
    (read == 0 && !function(cx, value)).into()
}

impl<const N: usize> UserRingBuf<N> {
    /// The same with a function that gets the operation's context, so that it may do what is allowed there, and returns whether it wants more.
    #[inline(always)]
    pub fn drain_in<C, T: Plain, F: Fn(&C, T) -> bool>(&self, _cx: &C, function: F) -> Result<u32, Errno> {
        core::mem::forget(function);
        // SAFETY: the map is this static.
        let nr = unsafe { helper::user_ringbuf_drain(self.map(), take_in::<C, T, F>, null_mut(), 0) };
        Errno::check(nr as i32).map(|()| nr as u32)
    }

    /// Calls `function` with each message that has come (`bpf_user_ringbuf_drain`); how many there were. What is shorter than a `T` is left out.
    /// The function is a function or a closure that holds nothing.
    #[inline(always)]
    pub fn drain<T: Plain, F: Fn(T)>(&self, function: F) -> Result<u32, Errno> {
        core::mem::forget(function);
        // SAFETY: the map is this static.
        let nr = unsafe { helper::user_ringbuf_drain(self.map(), take::<T, F>, null_mut(), 0) };
        Errno::check(nr as i32).map(|()| nr as u32)
    }
}
