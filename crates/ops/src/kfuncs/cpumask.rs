//! `bpf_cpumask_*`.

use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::cpumask::CpuMask;
use scxr_kernel::ids::CpuId;

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, Place};
use crate::host::Context;
use crate::masks;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("bpf_cpumask_create", |c, _, _| {
        let mask = c.s.masks.create();
        Ok(c.acquired(mask))
    }),
    ("bpf_cpumask_acquire", acquire),
    ("bpf_cpumask_release", release),
    ("bpf_cpumask_first", |c, _, a| Ok(first(c, c.mask(a[0])?.first()))),
    ("bpf_cpumask_first_zero", |c, _, a| Ok(first(c, all(c).and_not(&c.mask(a[0])?).first()))),
    ("bpf_cpumask_first_and", |c, _, a| Ok(first(c, c.mask(a[0])?.and(&c.mask(a[1])?).first()))),
    ("bpf_cpumask_set_cpu", |c, _, a| set(c, a[0], a[1], true).map(|_| 0)),
    ("bpf_cpumask_clear_cpu", |c, _, a| set(c, a[0], a[1], false).map(|_| 0)),
    ("bpf_cpumask_test_cpu", |c, _, a| Ok(valid(c, a[0]).is_some_and(|cpu| test(c, a[1], cpu)).into())),
    ("bpf_cpumask_test_and_set_cpu", |c, _, a| set(c, a[0], a[1], true)),
    ("bpf_cpumask_test_and_clear_cpu", |c, _, a| set(c, a[0], a[1], false)),
    ("bpf_cpumask_setall", |c, _, a| {
        let all = all(c);
        c.update_mask(a[0], |m| *m = all).map(|()| 0)
    }),
    ("bpf_cpumask_clear", |c, _, a| c.update_mask(a[0], |m| *m = CpuMask::EMPTY).map(|()| 0)),
    ("bpf_cpumask_and", |c, _, a| combine(c, a, CpuMask::and)),
    ("bpf_cpumask_or", |c, _, a| combine(c, a, CpuMask::or).map(|_| 0)),
    ("bpf_cpumask_xor", |c, _, a| combine(c, a, CpuMask::xor).map(|_| 0)),
    ("bpf_cpumask_equal", |c, _, a| Ok((c.mask(a[0])? == c.mask(a[1])?).into())),
    ("bpf_cpumask_intersects", |c, _, a| Ok(c.mask(a[0])?.intersects(&c.mask(a[1])?).into())),
    ("bpf_cpumask_subset", |c, _, a| Ok(c.mask(a[0])?.subset_of(&c.mask(a[1])?).into())),
    ("bpf_cpumask_empty", |c, _, a| Ok(c.mask(a[0])?.is_empty().into())),
    ("bpf_cpumask_full", |c, _, a| Ok((c.mask(a[0])?.and(&all(c)) == all(c)).into())),
    ("bpf_cpumask_copy", |c, _, a| {
        let src = c.mask(a[1])?;
        c.update_mask(a[0], |m| *m = src).map(|()| 0)
    }),
    ("bpf_cpumask_any_distribute", |c, _, a| {
        let m = c.mask(a[0])?;
        Ok(distribute(c, &m))
    }),
    ("bpf_cpumask_any_and_distribute", |c, _, a| {
        let m = c.mask(a[0])?.and(&c.mask(a[1])?);
        Ok(distribute(c, &m))
    }),
    ("bpf_cpumask_populate", populate),
    ("bpf_cpumask_weight", |c, _, a| Ok(c.mask(a[0])?.weight() as u64)),
];

/// Takes the bits of plain memory, whose size must be enough for all CPUs [bpf_cpumask_populate].
fn populate(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    const EINVAL: i64 = -22;
    const EACCES: i64 = -13;
    let needed = masks::size(c.k);
    if a[2] < needed as u64 {
        return Ok(EACCES as u64);
    }
    if !a[1].is_multiple_of(8) {
        return Ok(EINVAL as u64);
    }
    let bytes = m.read_bytes(a[1], needed);
    let bytes = bytes.ok_or_else(|| HostError::BadAccess(format!("{:#x} is no memory for a mask", a[1])))?;
    let mask = masks::from_bytes(c.k, &bytes);
    c.update_mask(a[0], |m| *m = mask).map(|()| 0)
}

fn all(c: &Context<'_>) -> CpuMask {
    CpuMask::first_n(c.k.nr_cpus())
}

/// The number of a found CPU, or the number of CPU ids where there is none.
fn first(c: &Context<'_>, cpu: Option<CpuId>) -> u64 {
    cpu.map_or(c.k.nr_cpus() as u64, |cpu| cpu.0.into())
}

fn valid(c: &Context<'_>, cpu: u64) -> Option<CpuId> {
    let cpu = cpu as u32;
    ((cpu as usize) < c.k.nr_cpus()).then_some(CpuId(cpu))
}

fn test(c: &Context<'_>, mask: u64, cpu: CpuId) -> bool {
    c.mask(mask).is_ok_and(|m| m.test(cpu))
}

/// Sets or clears a bit of a program's mask; the old bit. An invalid CPU changes nothing.
fn set(c: &mut Context<'_>, cpu: u64, mask: u64, on: bool) -> KfuncResult {
    let cpu = valid(c, cpu);
    c.update_mask(mask, |m| {
        let Some(cpu) = cpu else { return 0 };
        let old = m.test(cpu);
        if on {
            m.set(cpu)
        } else {
            m.clear(cpu)
        }
        old.into()
    })
}

fn combine(c: &mut Context<'_>, a: [u64; 5], f: fn(&CpuMask, &CpuMask) -> CpuMask) -> KfuncResult {
    let result = f(&c.mask(a[1])?, &c.mask(a[2])?);
    c.update_mask(a[0], |m| *m = result)?;
    Ok((!result.is_empty()).into())
}

fn distribute(c: &mut Context<'_>, mask: &CpuMask) -> u64 {
    let cpu = scxr_kernel::ext::kfunc::cpumask_any_distribute(c.k, mask);
    first(c, cpu)
}

fn owned(address: u64) -> Result<u32, HostError> {
    match Place::at(address) {
        Some(Place { kind: Kind::OwnedMask, id, offset: 0 }) => Ok(id),
        _ => Err(HostError::BadAccess(format!("{address:#x} is not a bpf_cpumask"))),
    }
}

fn acquire(c: &mut Context<'_>, _m: &Machine, a: [u64; 5]) -> KfuncResult {
    let id = owned(a[0])?;
    Ok(if c.s.masks.acquire(id) { c.acquired(a[0]) } else { 0 })
}

fn release(c: &mut Context<'_>, _m: &Machine, a: [u64; 5]) -> KfuncResult {
    let id = owned(a[0])?;
    c.give_away(a[0])?;
    match c.s.masks.release(id) {
        true => Ok(0),
        false => Err(HostError::Misuse("bpf_cpumask_release of a mask that is gone".into())),
    }
}
