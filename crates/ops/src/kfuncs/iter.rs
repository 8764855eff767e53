//! Open-coded iterators over numbers and DSQs; their state lives in the program's stack, as on Linux: two numbers, or the handle
//! of an open iterator.

use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::ext::{DsqIter, kfunc};

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, addr};
use crate::consts::ret_i32;
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("bpf_iter_num_new", num_new),
    ("bpf_iter_num_next", num_next),
    ("bpf_iter_num_destroy", |_, _, _| Ok(0)),
    ("bpf_iter_scx_dsq_new", dsq_new),
    ("bpf_iter_scx_dsq_next", |c, m, a| {
        let it = dsq_iter(c, m, a[0])?;
        Ok(kfunc::bpf_iter_scx_dsq_next(c.k, it).map_or(0, |p| addr(Kind::Task, p.0)))
    }),
    ("bpf_iter_scx_dsq_destroy", |c, m, a| {
        let (handle, _) = state(m, a[0])?;
        c.s.iters.close(c.k, handle as u32);
        Ok(0)
    }),
    // Moves, under both names that they have had.
    ("scx_bpf_dispatch_from_dsq_set_slice", dsq_set_slice),
    ("scx_bpf_dsq_move_set_slice", dsq_set_slice),
    ("scx_bpf_dispatch_from_dsq_set_vtime", dsq_set_vtime),
    ("scx_bpf_dsq_move_set_vtime", dsq_set_vtime),
    ("scx_bpf_dispatch_from_dsq", dsq_move),
    ("scx_bpf_dsq_move", dsq_move),
    ("scx_bpf_dispatch_vtime_from_dsq", dsq_move_vtime),
    ("scx_bpf_dsq_move_vtime", dsq_move_vtime),
];

fn dsq_new(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (handle, ret) = c.s.iters.open(c.k, a[1], a[2]);
    set_state(m, a[0], handle as i32, 0)?;
    Ok(ret_i32(ret))
}

/// The iterator whose handle is at `it`.
fn dsq_iter(c: &Context<'_>, m: &Machine, it: u64) -> Result<DsqIter, HostError> {
    let (handle, _) = state(m, it)?;
    c.s.iters.get(handle as u32).ok_or_else(|| HostError::BadAccess(format!("{it:#x} is not an open iterator")))
}

fn dsq_set_slice(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let it = dsq_iter(c, m, a[0])?;
    kfunc::scx_bpf_dsq_move_set_slice(c.k, it, a[1]);
    Ok(0)
}

fn dsq_set_vtime(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let it = dsq_iter(c, m, a[0])?;
    kfunc::scx_bpf_dsq_move_set_vtime(c.k, it, a[1]);
    Ok(0)
}

fn dsq_move(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (it, p) = (dsq_iter(c, m, a[0])?, c.task(a[1])?);
    Ok(kfunc::scx_bpf_dsq_move(c.k, it, p, a[2], a[3]).into())
}

fn dsq_move_vtime(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (it, p) = (dsq_iter(c, m, a[0])?, c.task(a[1])?);
    Ok(kfunc::scx_bpf_dsq_move_vtime(c.k, it, p, a[2], a[3]).into())
}

/// Most steps of a loop [BPF_MAX_LOOPS].
const MAX_LOOPS: i64 = 8 * 1024 * 1024;
const EINVAL: i32 = -22;
const E2BIG: i32 = -7;

fn state(m: &Machine, it: u64) -> Result<(i32, i32), HostError> {
    let word = m.read_u64(it).ok_or_else(|| HostError::BadAccess(format!("{it:#x} is not an iterator")))?;
    Ok((word as u32 as i32, (word >> 32) as u32 as i32))
}

fn set_state(m: &Machine, it: u64, cur: i32, end: i32) -> Result<(), HostError> {
    let word = u64::from(cur as u32) | u64::from(end as u32) << 32;
    match m.write_u64(it, word) {
        true => Ok(()),
        false => Err(HostError::BadAccess(format!("{it:#x} is not an iterator"))),
    }
}

/// The iterator starts one before `start`, so that `next` always steps.
fn num_new(_c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (start, end) = (a[1] as u32 as i32, a[2] as u32 as i32);
    let refused = match () {
        () if start > end => EINVAL,
        () if i64::from(end) - i64::from(start) > MAX_LOOPS => E2BIG,
        () => 0,
    };
    match refused {
        0 => set_state(m, a[0], start.wrapping_sub(1), end)?,
        _ => set_state(m, a[0], 0, 0)?,
    }
    Ok(ret_i32(refused))
}

fn num_next(_c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (cur, end) = state(m, a[0])?;
    if i64::from(cur) + 1 >= i64::from(end) {
        set_state(m, a[0], 0, 0)?;
        return Ok(0);
    }
    set_state(m, a[0], cur.wrapping_add(1), end)?;
    Ok(a[0])
}
