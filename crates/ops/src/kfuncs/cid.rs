//! Topological CPU ids.

use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::ext::kfunc;

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, addr};
use crate::consts::ret_i32;
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("scx_bpf_cid_to_cpu", |c, _, a| Ok(ret_i32(kfunc::scx_bpf_cid_to_cpu(c.k, a[0] as i32)))),
    ("scx_bpf_cpu_to_cid", |c, _, a| Ok(ret_i32(kfunc::scx_bpf_cpu_to_cid(c.k, a[0] as i32)))),
    ("scx_bpf_cid_topo", topo),
    ("scx_bpf_nr_cids", |c, _, _| Ok(kfunc::scx_bpf_nr_cids(c.k).into())),
    ("scx_bpf_nr_online_cids", |c, _, _| Ok(kfunc::scx_bpf_nr_online_cids(c.k).into())),
    ("scx_bpf_this_cid", |c, _, _| Ok(ret_i32(kfunc::scx_bpf_this_cid(c.k)))),
    ("scx_bpf_task_cid", |c, _, a| {
        let p = c.task(a[0])?;
        Ok(ret_i32(kfunc::scx_bpf_task_cid(c.k, p)))
    }),
    ("scx_bpf_cid_curr", |c, _, a| Ok(kfunc::scx_bpf_cid_curr(c.k, a[0] as i32).map_or(0, |p| addr(Kind::Task, p.0)))),
    ("scx_bpf_kick_cid", |c, _, a| {
        kfunc::scx_bpf_kick_cid(c.k, a[0] as i32, a[1]);
        Ok(0)
    }),
    ("scx_bpf_cidperf_cap", |c, _, a| Ok(kfunc::scx_bpf_cidperf_cap(c.k, a[0] as i32).into())),
    ("scx_bpf_cidperf_cur", |c, _, a| Ok(kfunc::scx_bpf_cidperf_cur(c.k, a[0] as i32).into())),
    ("scx_bpf_cidperf_set", |c, _, a| {
        kfunc::scx_bpf_cidperf_set(c.k, a[0] as i32, a[1] as u32);
        Ok(0)
    }),
    ("scx_bpf_cid_override", |c, m, a| {
        let len = (a[1] as u32 as usize).min(c.k.nr_cpus() * 4 + 4);
        let bytes = m.read_bytes(a[0], len).ok_or_else(|| unreadable(a[0]))?;
        let numbers: Vec<i32> = bytes.as_chunks::<4>().0.iter().map(|n| i32::from_le_bytes(*n)).collect();
        kfunc::scx_bpf_cid_override(c.k, &numbers);
        Ok(0)
    }),
];

fn unreadable(address: u64) -> HostError {
    HostError::BadAccess(format!("{address:#x} is not accessible"))
}

/// Fills in what the program has room for; -1 in what the kernel does not know.
fn topo(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let t = kfunc::scx_bpf_cid_topo(c.k, a[0] as i32);
    let size = (a[2] as usize).min(4096);
    let mut out = vec![0xff; size];
    for (i, n) in [t.core.0, t.core.1, t.llc.0, t.llc.1, t.node.0, t.node.1].into_iter().enumerate() {
        let place = 4 * i..(4 * i + 4).min(size);
        if place.start < size {
            let len = place.len();
            out[place].copy_from_slice(&n.to_le_bytes()[..len]);
        }
    }
    if m.write_bytes(a[1], &out) { Ok(0) } else { Err(unreadable(a[1])) }
}
