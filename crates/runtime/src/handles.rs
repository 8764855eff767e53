//! Variables, maps and rings, typed.

use std::marker::PhantomData;

use scxr_policy::{Errno, Plain, Value};

use crate::error::Error;
use crate::world::World;

/// Longest key, value or message that halves exchange one at a time, bytes.
const BYTES_MAX: usize = 512;

/// A key, value or message on its way, without allocation.
struct Bytes<T> {
    bytes: [u8; BYTES_MAX],
    ty: PhantomData<T>,
}

impl<T: Plain> Bytes<T> {
    const FITS: () = assert!(size_of::<T>() <= BYTES_MAX, "longer than 512 bytes");

    fn empty() -> Self {
        let () = Self::FITS;
        Bytes { bytes: [0; BYTES_MAX], ty: PhantomData }
    }

    fn of(value: T) -> Self {
        let mut bytes = Self::empty();
        value.put(bytes.room());
        bytes
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[..size_of::<T>()]
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..size_of::<T>()]
    }

    fn value(&self) -> T {
        T::get(self.get())
    }
}

/// A variable of the object's.
pub struct Global<'a, T> {
    world: &'a dyn World,
    section: &'a str,
    offset: u32,
    ty: PhantomData<T>,
}

impl<'a, T: Value> Global<'a, T> {
    pub(crate) fn new(world: &'a dyn World, section: &'a str, offset: u32) -> Self {
        Global { world, section, offset, ty: PhantomData }
    }

    /// Its value now; 0 where it cannot be read any more.
    pub fn get(&self) -> T {
        let mut bits = [0; 8];
        // A section that is there stays: what cannot be read is one whose object is gone.
        let _ = self.world.read_section(self.section, self.offset, &mut bits[..T::SIZE]);
        T::from_bits(u64::from_le_bytes(bits))
    }
}

/// A map by key or index.
pub struct Map<'a, K, V> {
    world: &'a dyn World,
    map: usize,
    name: &'a str,
    /// CPUs that have a value each; 0: there is one for all.
    cpus: usize,
    types: PhantomData<(K, V)>,
}

impl<'a, K: Plain, V: Plain> Map<'a, K, V> {
    pub(crate) fn new(world: &'a dyn World, map: usize, name: &'a str, cpus: usize) -> Self {
        Map { world, map, name, cpus, types: PhantomData }
    }

    /// Bytes from one CPU's value to the next one's.
    fn step(&self) -> usize {
        if self.cpus > 0 { size_of::<V>().next_multiple_of(8) } else { size_of::<V>() }
    }

    /// The value at `key`, if it has one; of per-CPU maps that of CPU 0.
    pub fn get(&self, key: K) -> Option<V> {
        if self.cpus > 0 {
            return self.get_all(key)?.first().copied();
        }
        let mut value = Bytes::<V>::empty();
        self.world.lookup(self.map, Bytes::of(key).get(), value.room()).ok()?;
        Some(value.value())
    }

    /// All CPUs' values of a per-CPU map; the only one of another. (It allocates.)
    pub fn get_all(&self, key: K) -> Option<Vec<V>> {
        let mut values = vec![0; self.step() * self.cpus.max(1)];
        self.world.lookup(self.map, Bytes::of(key).get(), &mut values).ok()?;
        Some(values.chunks(self.step()).map(V::get).collect())
    }

    /// Sets the value at `key`, for all CPUs where each has its own.
    pub fn set(&self, key: K, value: V) -> Result<(), Error> {
        let failed = |errno| Error::Call { what: format!("an update of {}", self.name), errno };
        if self.cpus == 0 {
            return self.world.update(self.map, Bytes::of(key).get(), Bytes::of(value).get(), 0).map_err(failed);
        }
        let mut values = vec![0; self.step() * self.cpus];
        values.chunks_mut(self.step()).for_each(|v| value.put(&mut v[..size_of::<V>()]));
        self.world.update(self.map, Bytes::of(key).get(), &values, 0).map_err(failed)
    }

    /// Removes the value at `key`; false: there was none.
    pub fn remove(&self, key: K) -> bool {
        self.world.delete(self.map, Bytes::of(key).get()).is_ok()
    }

    /// All keys. Where programs change the map meanwhile, some may be missing. (It allocates.)
    pub fn keys(&self) -> Vec<K> {
        let mut keys = Vec::new();
        let mut next = Bytes::<K>::empty();
        let mut more = self.world.next_key(self.map, None, next.room());
        while more == Ok(true) && keys.len() < KEYS_MAX {
            let key = next.value();
            keys.push(key);
            more = self.world.next_key(self.map, Some(Bytes::of(key).get()), next.room());
        }
        keys
    }
}

/// Keys that one walk of a map gives at most: one that programs change all the time has no end.
const KEYS_MAX: usize = 1 << 20;

/// A queue or stack.
pub struct Queue<'a, T> {
    world: &'a dyn World,
    map: usize,
    ty: PhantomData<T>,
}

impl<'a, T: Plain> Queue<'a, T> {
    pub(crate) fn new(world: &'a dyn World, map: usize) -> Self {
        Queue { world, map, ty: PhantomData }
    }

    /// Puts a value in; false: it is full.
    pub fn push(&self, value: T) -> bool {
        self.world.update(self.map, &[], Bytes::of(value).get(), 0).is_ok()
    }

    /// Takes the next value out.
    pub fn pop(&self) -> Option<T> {
        let mut value = Bytes::<T>::empty();
        self.world.pop(self.map, value.room()).ok()?;
        Some(value.value())
    }

    /// The next value, left where it is.
    pub fn peek(&self) -> Option<T> {
        let mut value = Bytes::<T>::empty();
        self.world.lookup(self.map, &[], value.room()).ok()?;
        Some(value.value())
    }
}

/// A ring buffer from the BPF half.
pub struct RingBuf<'a, T> {
    world: &'a dyn World,
    map: usize,
    ty: PhantomData<T>,
}

impl<'a, T: Plain> RingBuf<'a, T> {
    pub(crate) fn new(world: &'a dyn World, map: usize) -> Self {
        RingBuf { world, map, ty: PhantomData }
    }

    /// Takes the next message out; one that is shorter than a `T` is left out.
    pub fn receive(&self) -> Option<T> {
        let mut message = Bytes::<T>::empty();
        loop {
            let len = self.world.receive(self.map, message.room())?;
            if len >= size_of::<T>() {
                return Some(message.value());
            }
        }
    }
}

/// A ring buffer to the BPF half.
pub struct UserRingBuf<'a, T> {
    world: &'a dyn World,
    map: usize,
    ty: PhantomData<T>,
}

impl<'a, T: Plain> UserRingBuf<'a, T> {
    pub(crate) fn new(world: &'a dyn World, map: usize) -> Self {
        UserRingBuf { world, map, ty: PhantomData }
    }

    /// Sends a message; false: there is no room.
    pub fn send(&self, message: T) -> bool {
        self.world.send(self.map, Bytes::of(message).get())
    }
}

/// What a call that cannot fail otherwise gives for a map that has no such operation.
pub const UNSUPPORTED: Errno = Errno(-95);
