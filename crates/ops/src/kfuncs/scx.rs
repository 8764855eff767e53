//! `scx_bpf_*`.

use scxr_bpf::vm::format::{ARGS_MAX, OUTPUT_MAX, format as bprintf};
use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::ext::{Events, kfunc};
use scxr_kernel::ids::TaskId;

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, addr, mask};
use crate::clock::shown;
use crate::consts::ret_i32;
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    // Insert and dispatch, under all names that they have had.
    ("scx_bpf_dispatch", insert),
    ("scx_bpf_dsq_insert", insert),
    ("scx_bpf_dsq_insert___v2", insert),
    ("scx_bpf_dispatch_vtime", insert_vtime),
    ("scx_bpf_dsq_insert_vtime", insert_vtime),
    ("__scx_bpf_dsq_insert_vtime", insert_vtime_args),
    ("scx_bpf_consume", |c, _, a| Ok(kfunc::scx_bpf_dsq_move_to_local(c.k, a[0], 0).into())),
    ("scx_bpf_dsq_move_to_local", |c, _, a| Ok(kfunc::scx_bpf_dsq_move_to_local(c.k, a[0], 0).into())),
    ("scx_bpf_dsq_move_to_local___v2", |c, _, a| Ok(kfunc::scx_bpf_dsq_move_to_local(c.k, a[0], a[1]).into())),
    ("scx_bpf_dispatch_nr_slots", |c, _, _| Ok(kfunc::scx_bpf_dispatch_nr_slots(c.k).into())),
    ("scx_bpf_dispatch_cancel", |c, _, _| {
        kfunc::scx_bpf_dispatch_cancel(c.k);
        Ok(0)
    }),
    // Dispatch queues.
    ("scx_bpf_create_dsq", |c, _, a| Ok(ret_i32(kfunc::scx_bpf_create_dsq(c.k, a[0], a[1] as i32)))),
    ("scx_bpf_destroy_dsq", |c, _, a| {
        kfunc::scx_bpf_destroy_dsq(c.k, a[0]);
        Ok(0)
    }),
    ("scx_bpf_dsq_nr_queued", |c, _, a| Ok(ret_i32(kfunc::scx_bpf_dsq_nr_queued(c.k, a[0])))),
    ("scx_bpf_reenqueue_local", |c, _, _| Ok(kfunc::scx_bpf_reenqueue_local_now(c.k).into())),
    ("scx_bpf_reenqueue_local___v2", |c, _, _| {
        kfunc::scx_bpf_reenqueue_local(c.k);
        Ok(0)
    }),
    ("scx_bpf_dsq_reenq", |c, _, a| {
        kfunc::scx_bpf_dsq_reenq(c.k, a[0], a[1]);
        Ok(0)
    }),
    ("scx_bpf_dsq_peek", |c, _, a| Ok(kfunc::scx_bpf_dsq_peek(c.k, a[0]).map_or(0, |p| addr(Kind::Task, p.0)))),
    // CPU selection and idle masks.
    ("scx_bpf_select_cpu_dfl", select_cpu_dfl),
    ("scx_bpf_select_cpu_and", |c, _, a| {
        let (p, allowed) = (c.task(a[0])?, c.mask(a[3])?);
        Ok(ret_i32(kfunc::scx_bpf_select_cpu_and(c.k, p, a[1] as i32, a[2], &allowed, a[4])))
    }),
    ("__scx_bpf_select_cpu_and", select_cpu_and_args),
    ("scx_bpf_pick_idle_cpu", |c, _, a| {
        let m = c.mask(a[0])?;
        Ok(ret_i32(kfunc::scx_bpf_pick_idle_cpu(c.k, &m, a[1])))
    }),
    ("scx_bpf_pick_any_cpu", |c, _, a| {
        let m = c.mask(a[0])?;
        Ok(ret_i32(kfunc::scx_bpf_pick_any_cpu(c.k, &m, a[1])))
    }),
    ("scx_bpf_pick_idle_cpu_node", |c, _, a| {
        let m = c.mask(a[0])?;
        Ok(ret_i32(kfunc::scx_bpf_pick_idle_cpu_node(c.k, &m, a[1] as i32, a[2])))
    }),
    ("scx_bpf_pick_any_cpu_node", |c, _, a| {
        let m = c.mask(a[0])?;
        Ok(ret_i32(kfunc::scx_bpf_pick_any_cpu_node(c.k, &m, a[1] as i32, a[2])))
    }),
    ("scx_bpf_test_and_clear_cpu_idle", |c, _, a| Ok(kfunc::scx_bpf_test_and_clear_cpu_idle(c.k, a[0] as i32).into())),
    ("scx_bpf_get_idle_cpumask", |c, _, _| {
        kfunc::scx_bpf_get_idle_cpumask(c.k);
        Ok(addr(Kind::Mask, mask::IDLE))
    }),
    ("scx_bpf_get_idle_smtmask", |c, _, _| {
        kfunc::scx_bpf_get_idle_smtmask(c.k);
        Ok(addr(Kind::Mask, mask::SMT))
    }),
    ("scx_bpf_get_idle_cpumask_node", |c, _, a| {
        kfunc::scx_bpf_get_idle_cpumask_node(c.k, a[0] as i32);
        Ok(addr(Kind::Mask, mask::IDLE_NODE + (a[0] as u32 & 0xffff)))
    }),
    ("scx_bpf_get_idle_smtmask_node", |c, _, a| {
        kfunc::scx_bpf_get_idle_smtmask_node(c.k, a[0] as i32);
        Ok(addr(Kind::Mask, mask::SMT_NODE + (a[0] as u32 & 0xffff)))
    }),
    ("scx_bpf_put_idle_cpumask", |_, _, _| Ok(0)),
    ("scx_bpf_get_possible_cpumask", |_, _, _| Ok(addr(Kind::Mask, mask::POSSIBLE))),
    ("scx_bpf_get_online_cpumask", |_, _, _| Ok(addr(Kind::Mask, mask::ONLINE))),
    ("scx_bpf_put_cpumask", |_, _, _| Ok(0)),
    ("scx_bpf_cpu_node", |c, _, a| Ok(ret_i32(kfunc::scx_bpf_cpu_node(c.k, a[0] as i32)))),
    // Tasks.
    ("scx_bpf_task_set_slice", |c, _, a| {
        let p = c.task(a[0])?;
        Ok(kfunc::scx_bpf_task_set_slice(c.k, p, a[1]).into())
    }),
    ("scx_bpf_task_set_dsq_vtime", |c, _, a| {
        let p = c.task(a[0])?;
        Ok(kfunc::scx_bpf_task_set_dsq_vtime(c.k, p, a[1]).into())
    }),
    ("scx_bpf_task_running", |c, _, a| {
        let p = c.task(a[0])?;
        Ok(kfunc::scx_bpf_task_running(c.k, p).into())
    }),
    ("scx_bpf_task_cpu", |c, _, a| {
        let p = c.task(a[0])?;
        Ok(kfunc::scx_bpf_task_cpu(c.k, p).0.into())
    }),
    // CPUs.
    ("scx_bpf_kick_cpu", |c, _, a| {
        kfunc::scx_bpf_kick_cpu(c.k, a[0] as i32, a[1]);
        Ok(0)
    }),
    ("scx_bpf_cpuperf_cap", |c, _, a| Ok(kfunc::scx_bpf_cpuperf_cap(c.k, a[0] as i32).into())),
    ("scx_bpf_cpuperf_cur", |c, _, a| Ok(kfunc::scx_bpf_cpuperf_cur(c.k, a[0] as i32).into())),
    ("scx_bpf_cpuperf_set", |c, _, a| {
        kfunc::scx_bpf_cpuperf_set(c.k, a[0] as i32, a[1] as u32);
        Ok(0)
    }),
    ("scx_bpf_nr_node_ids", |c, _, _| Ok(c.k.topology.nodes.len() as u64)),
    ("scx_bpf_nr_cpu_ids", |c, _, _| Ok(c.k.nr_cpus() as u64)),
    ("scx_bpf_cpu_rq", |c, _, a| {
        Ok(kfunc::scx_bpf_cpu_curr(c.k, a[0] as i32).map_or(0, |_| addr(Kind::Rq, a[0] as u32)))
    }),
    ("scx_bpf_sub_dispatch", |c, _, a| Ok(kfunc::scx_bpf_sub_dispatch(c.k, a[0]).into())),
    ("scx_bpf_locked_rq", |c, _, _| Ok(kfunc::scx_bpf_locked_rq(c.k).map_or(0, |cpu| addr(Kind::Rq, cpu.0)))),
    ("scx_bpf_tid_to_task", |c, _, a| Ok(kfunc::scx_bpf_tid_to_task(c.k, a[0]).map_or(0, |p| addr(Kind::Task, p.0)))),
    ("scx_bpf_cpu_curr", |c, _, a| Ok(kfunc::scx_bpf_cpu_curr(c.k, a[0] as i32).map_or(0, |p| addr(Kind::Task, p.0)))),
    // Time, events, exit.
    ("scx_bpf_events", events),
    ("scx_bpf_now", |c, _, _| Ok(shown(kfunc::scx_bpf_now(c.k)))),
    ("scx_bpf_error_bstr", |c, m, a| {
        if let Some(msg) = format(c, m, a[0], a[1], a[2])? {
            kfunc::scx_bpf_error(c.k, &msg);
        }
        Ok(0)
    }),
    // What goes to the streams of a program is printed.
    ("bpf_stream_vprintk_impl", stream_vprintk),
    ("bpf_stream_vprintk", stream_vprintk),
    ("scx_bpf_dump_bstr", |c, m, a| {
        if let Some(msg) = format(c, m, a[0], a[1], a[2])? {
            kfunc::scx_bpf_dump(c.k, &msg);
        }
        Ok(0)
    }),
    ("scx_bpf_exit_bstr", |c, m, a| {
        if let Some(msg) = format(c, m, a[1], a[2], a[3])? {
            kfunc::scx_bpf_exit(c.k, a[0] as i64, &msg);
        }
        Ok(0)
    }),
];

/// The task to insert; NULL ejects the scheduler (E-181).
fn inserted_task(c: &mut Context<'_>, address: u64) -> Result<Option<TaskId>, HostError> {
    if address == 0 {
        kfunc::scx_abort(c.k, "called with NULL task");
        return Ok(None);
    }
    c.task(address).map(Some)
}

fn insert(c: &mut Context<'_>, _m: &Machine, a: [u64; 5]) -> KfuncResult {
    let Some(p) = inserted_task(c, a[0])? else { return Ok(0) };
    Ok(kfunc::scx_bpf_dsq_insert(c.k, p, a[1], a[2], a[3]).into())
}

fn insert_vtime(c: &mut Context<'_>, _m: &Machine, a: [u64; 5]) -> KfuncResult {
    let Some(p) = inserted_task(c, a[0])? else { return Ok(0) };
    Ok(kfunc::scx_bpf_dsq_insert_vtime(c.k, p, a[1], a[2], a[3], a[4]).into())
}

fn words<const N: usize>(m: &Machine, at: u64) -> Result<[u64; N], HostError> {
    let mut out = [0; N];
    for (i, w) in out.iter_mut().enumerate() {
        let at = at.wrapping_add(8 * i as u64);
        *w = m.read_u64(at).ok_or_else(|| HostError::BadAccess(format!("arguments at {at:#x} cannot be read")))?;
    }
    Ok(out)
}

/// The counters, laid out as in the modelled kernel; no more than the program has room for.
fn events(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let values = kfunc::scx_bpf_events(c.k);
    let Some(layout) = c.s.model.kernel.layout("scx_event_stats") else { return Ok(0) };
    for leaf in &layout.leaves {
        let value = Events::NAMES.iter().position(|name| *name == leaf.path).map_or(0, |i| values.0[i]);
        let fits = u64::from(leaf.offset + leaf.size) <= a[1];
        if fits && !m.write_bytes(a[0].wrapping_add(leaf.offset.into()), &value.to_le_bytes()) {
            return Err(HostError::BadAccess(format!("events at {:#x} cannot be written", a[0])));
        }
    }
    Ok(0)
}

/// Arguments packed in a struct {dsq_id, slice, vtime, enq_flags}.
fn insert_vtime_args(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let [dsq_id, slice, vtime, enq_flags] = words(m, a[1])?;
    insert_vtime(c, m, [a[0], dsq_id, slice, vtime, enq_flags])
}

fn select_cpu_dfl(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let p = c.task(a[0])?;
    let (cpu, is_idle) = kfunc::scx_bpf_select_cpu_dfl(c.k, p, a[1] as i32, a[2]);
    if !m.write_bytes(a[3], &[is_idle.into()]) {
        return Err(HostError::BadAccess(format!("is_idle at {:#x} cannot be written", a[3])));
    }
    Ok(ret_i32(cpu))
}

/// Arguments packed in a struct {prev_cpu, wake_flags, flags}.
fn select_cpu_and_args(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (p, allowed) = (c.task(a[0])?, c.mask(a[1])?);
    let [prev_cpu, wake_flags, flags] = words(m, a[2])?;
    Ok(ret_i32(kfunc::scx_bpf_select_cpu_and(c.k, p, prev_cpu as i32, wake_flags, &allowed, flags)))
}

/// Formats as the kernel does for the bstr kfuncs; what the kernel refuses ejects the scheduler (E-181) and gives `None`.
/// [bpf_stream_vprintk] Streams: 1 is standard output, 2 standard error.
fn stream_vprintk(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    const ENOENT: i64 = -2;
    if !(1..=2).contains(&a[0]) {
        return Ok(ENOENT as u64);
    }
    if let Some(text) = format(c, m, a[1], a[2], a[3])? {
        c.s.printed.borrow_mut().push(text.trim_end_matches('\n').to_owned());
    }
    Ok(0)
}

fn format(c: &mut Context<'_>, m: &Machine, fmt: u64, data: u64, size: u64) -> Result<Option<String>, HostError> {
    if !size.is_multiple_of(8) || size > ARGS_MAX as u64 * 8 || (size > 0 && data == 0) {
        kfunc::scx_abort(c.k, format!("invalid data={data:x} and data__sz={size}"));
        return Ok(None);
    }
    let mut args = Vec::new();
    for i in 0..size / 8 {
        match m.read_u64(data.wrapping_add(8 * i)) {
            Some(word) => args.push(word),
            None => {
                kfunc::scx_abort(c.k, "failed to read data fields (-14)");
                return Ok(None);
            }
        }
    }
    let Some(fmt) = m.read_cstr(fmt, OUTPUT_MAX) else {
        return Err(HostError::BadAccess(format!("the format at {fmt:#x} cannot be read")));
    };
    match bprintf(&fmt, &args, |at, max| c.read_cstr(m, at, max)) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(errno) => {
            kfunc::scx_abort(c.k, format!("format preparation failed (-{errno})"));
            Ok(None)
        }
    }
}
