//! Open-coded number iterators; their state lives in the program's stack, as on Linux.

use scxr_bpf::vm::{HostError, Machine};

use super::{KfuncFn, KfuncResult};
use crate::consts::ret_i32;
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] =
    &[("bpf_iter_num_new", num_new), ("bpf_iter_num_next", num_next), ("bpf_iter_num_destroy", |_, _, _| Ok(0))];

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
