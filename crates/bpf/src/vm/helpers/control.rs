//! Helpers that call back into the program, and spin locks.

use super::super::fault::HostError;
use super::super::host::Host;
use super::super::interp::MAX_LOOPS;
use super::super::machine::{Invocation, Machine};
use super::super::maps::{Kind, errno};
use super::{Ret, bad, err};

impl Machine {
    /// Calls `cb(map, key, value, ctx)` for each element until it returns non-zero; returns how many calls there were.
    pub(super) fn for_each(&self, inv: &mut Invocation<'_>, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [map_addr, callback, ctx, flags, _] = a;
        let (_, map) = self.map_at(map_addr)?;
        let entry = self.callback(callback)?;
        if flags != 0 {
            return Ok(err(errno::EINVAL));
        }
        let cpu = if map.per_cpu() { host.cpu() } else { 0 };
        let mut calls = 0;
        match &map.kind {
            Kind::Array(array) => {
                for i in 0..array.entries() {
                    // Nested loops share the scratch: the key is written anew before each call.
                    let key = inv.scratch() + (inv.depth as u64 % 8) * 8;
                    let stored = self.mem.store::<u32>(key, i);
                    debug_assert!(stored);
                    calls += 1;
                    if self.exec(inv, entry, [map_addr, key, array.value(i, cpu), ctx, 0], host)? != 0 {
                        break;
                    }
                }
            }
            Kind::Hash(hash) => {
                let mut from = 0;
                while let Some(slot) = hash.occupied(from) {
                    from = slot + 1;
                    calls += 1;
                    if self.exec(inv, entry, [map_addr, hash.key(slot), hash.value(slot, cpu), ctx, 0], host)? != 0 {
                        break;
                    }
                }
            }
            _ => return Ok(err(errno::EINVAL)),
        }
        Ok(calls)
    }

    /// Calls `cb(i, ctx)` up to `n` times, until it returns non-zero; returns how many calls there were.
    pub(super) fn bpf_loop(&self, inv: &mut Invocation<'_>, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [n, callback, ctx, flags, _] = a;
        let entry = self.callback(callback)?;
        let n = u64::from(n as u32);
        if flags != 0 {
            return Ok(err(errno::EINVAL));
        }
        if n > u64::from(MAX_LOOPS) {
            return Ok(err(errno::E2BIG));
        }
        for i in 0..n {
            if self.exec(inv, entry, [i, ctx, 0, 0, 0], host)? != 0 {
                return Ok(i + 1);
            }
        }
        Ok(n)
    }

    pub(super) fn spin_lock(&self, inv: &mut Invocation<'_>, lock: u64, host: &mut dyn Host) -> Ret {
        if inv.lock != 0 {
            return Err(HostError::Misuse(format!(
                "bpf_spin_lock at {lock:#x} while holding the one at {:#x}",
                inv.lock
            )));
        }
        loop {
            match self.mem.load::<u32>(lock) {
                Some(0) if self.mem.store::<u32>(lock, 1) => break,
                Some(held) if held != 0 => host.lock_contended(self, lock)?,
                _ => return Err(bad("bpf_spin_lock", lock)),
            }
        }
        inv.lock = lock;
        Ok(0)
    }

    pub(super) fn spin_unlock(&self, inv: &mut Invocation<'_>, lock: u64) -> Ret {
        if inv.lock != lock || lock == 0 {
            return Err(HostError::Misuse(format!(
                "unlock of bpf_spin_lock at {lock:#x}, which this program does not hold"
            )));
        }
        let stored = self.mem.store::<u32>(lock, 0);
        debug_assert!(stored, "a lock that was taken is writable");
        inv.lock = 0;
        Ok(0)
    }
}
