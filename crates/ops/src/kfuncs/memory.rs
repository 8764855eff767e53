//! Pages of arenas, and resilient locks.

use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::config::Interleave;

use super::task::written;
use super::{KfuncFn, KfuncResult};
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("bpf_arena_alloc_pages", |_, m, a| Ok(if a[4] == 0 { m.arena_alloc(a[0], a[1], a[2] as u32) } else { 0 })),
    ("bpf_arena_free_pages", |_, m, a| {
        m.arena_free(a[0], a[1], a[2] as u32);
        Ok(0)
    }),
    // Reserved pages are never handed out; that they cannot be touched either is not checked.
    ("bpf_arena_reserve_pages", |_, m, a| {
        let page_aligned = a[1] & 0xfff == 0;
        Ok(match (a[2] as u32, page_aligned) {
            (0, _) => 0,
            (_, false) => EINVAL as u64,
            (pages, true) => {
                if m.arena_alloc(a[0], a[1], pages) == 0 {
                    EBUSY as u64
                } else {
                    0
                }
            }
        })
    }),
    ("bpf_res_spin_lock", res_spin_lock),
    ("bpf_res_spin_lock_irqsave", |c, m, a| {
        written(m, a[1])?;
        res_spin_lock(c, m, a)
    }),
    ("bpf_res_spin_unlock", res_spin_unlock),
    ("bpf_res_spin_unlock_irqrestore", res_spin_unlock),
];

const EINVAL: i64 = -22;
const EBUSY: i64 = -16;

const EDEADLK: i64 = -35;
const ETIMEDOUT: i64 = -110;
/// How long a lock is waited for (RES_DEF_TIMEOUT), ns.
const TIMEOUT: u64 = 250_000_000;

fn not_a_lock(address: u64) -> HostError {
    HostError::BadAccess(format!("{address:#x} is not a bpf_res_spin_lock"))
}

fn res_spin_unlock(_: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    match m.write_u32(a[0], 0) {
        true => Ok(0),
        false => Err(not_a_lock(a[0])),
    }
}

/// Waits while another invocation that can run holds it; where none can, that is a deadlock, which the caller is told.
fn res_spin_lock(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let start = c.k.now();
    while m.read_u32(a[0]).ok_or_else(|| not_a_lock(a[0]))? != 0 {
        let before = c.k.now();
        let cost = c.k.cost.lock.max(1);
        c.k.charge(cost);
        c.k.interleave(Interleave::Kfunc);
        if c.k.config.interleave < Interleave::Kfunc || c.k.now() <= before {
            return Ok(EDEADLK as u64);
        }
        if c.k.now() - start > TIMEOUT {
            return Ok(ETIMEDOUT as u64);
        }
    }
    if m.write_u32(a[0], 1) { Ok(0) } else { Err(not_a_lock(a[0])) }
}
