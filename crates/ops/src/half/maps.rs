//! The state of a loaded scheduler, as its user-space half reaches it: by names.

use scxr_kernel::ids::WaitQueueId;
use scxr_runtime::{Errno, Exit, GlobalDesc, UNSUPPORTED, Uei};

use crate::native::NativeScheduler;
use crate::scheduler::BpfScheduler;

const EPERM: Errno = Errno(-1);
const EINVAL: Errno = Errno(-22);
const ENOENT: Errno = Errno(-2);
const EBADF: Errno = Errno(-9);

/// The state of a loaded scheduler. Keys and values as [`scxr_runtime::World`] has them.
pub trait Maps {
    /// The half waits for messages there.
    fn wait_on(&self, queue: WaitQueueId);
    /// How the scheduler ended; `None`: it goes on.
    fn exited(&self, uei: Option<&Uei>) -> Option<Exit>;
    /// Fills `into` from a section of variables.
    fn read_section(&self, section: &str, offset: u32, into: &mut [u8]) -> Result<(), Errno>;
    /// Sets a variable, as a loader does before the scheduler is attached.
    fn set_global(&self, global: &GlobalDesc, value: u64) -> Result<(), Errno>;
    /// A value.
    fn lookup(&self, map: &str, key: &[u8], value: &mut [u8]) -> Result<(), Errno>;
    /// Sets a value, or pushes it.
    fn update(&self, map: &str, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;
    /// Removes a value.
    fn delete(&self, map: &str, key: &[u8]) -> Result<(), Errno>;
    /// The key after `key`; false: there is none.
    fn next_key(&self, map: &str, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, Errno>;
    /// Has the ring buffer a message?
    fn is_ready(&self, ring: &str) -> bool;
    /// The next message of a ring buffer, taken out; its length.
    fn receive(&self, ring: &str, into: &mut [u8]) -> Option<usize>;
    /// Sends a message to programs; false: there is no room.
    fn send(&self, ring: &str, message: &[u8]) -> bool;
}

/// Fills `into` with as much as there is; how much there was.
fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let len = from.len().min(into.len());
    into[..len].copy_from_slice(&from[..len]);
    from.len()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl BpfScheduler {
    fn map_named(&self, name: &str) -> Result<usize, Errno> {
        self.machine.map_index(name).ok_or(EBADF)
    }
}

impl Maps for BpfScheduler {
    fn wait_on(&self, queue: WaitQueueId) {
        self.ring_waiters.set(Some(queue));
    }

    fn exited(&self, uei: Option<&Uei>) -> Option<Exit> {
        let uei = uei?;
        let bytes = |field: usize, len: usize| {
            let mut bytes = vec![0; len];
            let at = uei.offset + uei.fields[field]?;
            self.read_section(&uei.section, at, &mut bytes).ok().map(|()| bytes)
        };
        let int =
            |field, len| bytes(field, len).map_or(0, |b| b.iter().rev().fold(0u64, |a, x| a << 8 | u64::from(*x)));
        let kind = int(0, 4) as i32;
        let words = |field, len| bytes(field, len).map_or(String::new(), |b| text(&b));
        (kind != 0).then(|| Exit { kind, code: int(1, 8) as i64, reason: words(2, 128), msg: words(3, 1024) })
    }

    fn read_section(&self, section: &str, offset: u32, into: &mut [u8]) -> Result<(), Errno> {
        let map = self.map_named(section)?;
        let value = self.machine.map_value_addr(map, &0u32.to_le_bytes(), 0).ok_or(ENOENT)?;
        if self.machine.read_into(value + u64::from(offset), into) { Ok(()) } else { Err(EINVAL) }
    }

    fn set_global(&self, global: &GlobalDesc, value: u64) -> Result<(), Errno> {
        let section =
            self.machine.map_value_addr(self.map_named(&global.section)?, &0u32.to_le_bytes(), 0).ok_or(ENOENT)?;
        let bytes = &value.to_le_bytes()[..(global.size as usize).min(8)];
        if self.machine.write_bytes(section + u64::from(global.offset), bytes) { Ok(()) } else { Err(EPERM) }
    }

    fn lookup(&self, map: &str, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        let found = self.machine.map_lookup(self.map_named(map)?, key).ok_or(ENOENT)?;
        if copy(&found, value) == value.len() { Ok(()) } else { Err(EINVAL) }
    }

    fn update(&self, map: &str, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.machine.map_update(self.map_named(map)?, key, value, flags).map_err(|e| Errno(-e))
    }

    fn delete(&self, map: &str, key: &[u8]) -> Result<(), Errno> {
        self.machine.map_delete(self.map_named(map)?, key).map_err(|e| Errno(-e))
    }

    fn next_key(&self, map: &str, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool, Errno> {
        let found = self.machine.map_next_key(self.map_named(map)?, key);
        Ok(found.is_some_and(|key| copy(&key, next) == next.len()))
    }

    fn is_ready(&self, ring: &str) -> bool {
        self.machine.map_index(ring).is_some_and(|map| self.machine.ringbuf_ready(map))
    }

    fn receive(&self, ring: &str, into: &mut [u8]) -> Option<usize> {
        let message = self.machine.ringbuf_consume(self.machine.map_index(ring)?)?;
        Some(copy(&message, into))
    }

    fn send(&self, ring: &str, message: &[u8]) -> bool {
        self.machine.map_index(ring).is_some_and(|map| self.machine.user_ringbuf_send(map, message))
    }
}

/// Natively, a half reaches variables, arrays of each CPU's own integers, and rings. Variables are sections of their own.
impl Maps for NativeScheduler {
    fn wait_on(&self, queue: WaitQueueId) {
        self.ring_waiters.set(Some(queue));
    }

    fn exited(&self, _uei: Option<&Uei>) -> Option<Exit> {
        let e = self.instance().exit_record()?;
        Some(Exit { kind: e.kind, code: e.exit_code, reason: e.reason, msg: e.msg })
    }

    fn read_section(&self, section: &str, _offset: u32, into: &mut [u8]) -> Result<(), Errno> {
        let word = self.instance().word(section, 0, 0).ok_or(ENOENT)?;
        copy(&word.to_le_bytes(), into);
        Ok(())
    }

    fn set_global(&self, global: &GlobalDesc, value: u64) -> Result<(), Errno> {
        self.instance().set(&global.name, value).map_err(|_| ENOENT)
    }

    fn lookup(&self, map: &str, key: &[u8], value: &mut [u8]) -> Result<(), Errno> {
        let index = u32::from_le_bytes(key.try_into().map_err(|_| EINVAL)?) as usize;
        for (cpu, value) in value.chunks_mut(8).enumerate() {
            let word = self.instance().word(map, index, cpu).ok_or(ENOENT)?;
            copy(&word.to_le_bytes(), value);
        }
        Ok(())
    }

    fn update(&self, _map: &str, _key: &[u8], _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }

    fn delete(&self, _map: &str, _key: &[u8]) -> Result<(), Errno> {
        Err(UNSUPPORTED)
    }

    fn next_key(&self, _map: &str, _key: Option<&[u8]>, _next: &mut [u8]) -> Result<bool, Errno> {
        Err(UNSUPPORTED)
    }

    fn is_ready(&self, ring: &str) -> bool {
        self.instance().has_message(ring)
    }

    fn receive(&self, ring: &str, into: &mut [u8]) -> Option<usize> {
        self.instance().take_message(ring).map(|m| copy(&m, into))
    }

    fn send(&self, ring: &str, message: &[u8]) -> bool {
        self.instance().send_message(ring, message)
    }
}
