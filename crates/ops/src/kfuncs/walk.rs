//! Open-coded iterators over bits, tasks and cgroups. What there is is found out when one begins, so that changes meanwhile do not
//! confuse it; what is gone by its turn is left out.

use std::collections::VecDeque;

use scxr_bpf::vm::{HostError, Machine};
use scxr_kernel::Kernel;
use scxr_kernel::cgroup::CgroupId;
use scxr_kernel::ids::TaskId;
use scxr_kernel::task::pf;

use super::{KfuncFn, KfuncResult};
use crate::addr::{Kind, Place, addr};
use crate::consts::ret_i32;
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("bpf_iter_bits_new", bits_new),
    ("bpf_iter_bits_next", bits_next),
    ("bpf_iter_bits_destroy", destroy),
    ("bpf_iter_task_new", task_new),
    ("bpf_iter_task_next", next_task),
    ("bpf_iter_task_destroy", destroy),
    ("bpf_iter_css_new", css_new),
    ("bpf_iter_css_next", |c, m, a| {
        let there = |c: &Context<'_>, id: u64| c.k.cgroups.get(CgroupId(id as u32)).is_some_and(|g| !g.removed);
        Ok(next(c, m, a[0], there)?.map_or(0, |id| addr(Kind::Cgroup, id as u32)))
    }),
    ("bpf_iter_css_destroy", destroy),
    ("bpf_iter_css_task_new", css_task_new),
    ("bpf_iter_css_task_next", next_task),
    ("bpf_iter_css_task_destroy", destroy),
];

const EINVAL: i32 = -22;
const E2BIG: i32 = -7;
/// Words of a bitmap at most [BITS_ITER_NR_WORDS_MAX].
const WORDS_MAX: u64 = 511;

fn no_iterator(it: u64) -> HostError {
    HostError::BadAccess(format!("{it:#x} is not an iterator"))
}

/// Begins one over `items`, or none at all.
fn begin(c: &mut Context<'_>, m: &Machine, it: u64, items: Result<VecDeque<u64>, i32>) -> KfuncResult {
    let (handle, ret) = match items {
        Ok(items) => (c.s.walks.open(items), 0),
        Err(errno) => (0, errno),
    };
    match m.write_u64(it, handle) {
        true => Ok(ret_i32(ret)),
        false => Err(no_iterator(it)),
    }
}

/// The next item that is still there.
fn next(c: &Context<'_>, m: &Machine, it: u64, there: fn(&Context<'_>, u64) -> bool) -> Result<Option<u64>, HostError> {
    let handle = m.read_u64(it).ok_or_else(|| no_iterator(it))?;
    while let Some(item) = c.s.walks.next(handle) {
        if there(c, item) {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

fn destroy(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    c.s.walks.close(m.read_u64(a[0]).ok_or_else(|| no_iterator(a[0]))?);
    Ok(0)
}

/// [bpf_iter_bits_new] A bitmap that cannot be read is empty.
fn bits_new(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let (bitmap, words) = (a[1], u64::from(a[2] as u32));
    let items = match words {
        0 => Err(EINVAL),
        _ if bitmap == 0 => Err(EINVAL),
        n if n > WORDS_MAX => Err(E2BIG),
        n => {
            let mut bits = VecDeque::new();
            for word in 0..n {
                let value = read_word(c, m, bitmap.wrapping_add(8 * word))?;
                bits.extend((0..64).filter(|bit| value >> bit & 1 != 0).map(|bit| 64 * word + bit));
            }
            Ok(bits)
        }
    };
    begin(c, m, a[0], items)
}

fn read_word(c: &mut Context<'_>, m: &Machine, at: u64) -> Result<u64, HostError> {
    let mut bytes = [0; 8];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let at = at.wrapping_add(i as u64);
        let value = match m.owns(at) {
            true => m.read_bytes(at, 1).map(|b| b[0]),
            false => c.load_byte(m, at),
        };
        *byte = value.unwrap_or(0);
    }
    Ok(u64::from_le_bytes(bytes))
}

/// A pointer to the number, which is kept in the iterator's second word.
fn bits_next(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let Some(bit) = next(c, m, a[0], |_, _| true)? else { return Ok(0) };
    match m.write_u32(a[0] + 8, bit as u32) {
        true => Ok(a[0] + 8),
        false => Err(no_iterator(a[0])),
    }
}

fn next_task(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let there = |c: &Context<'_>, p: u64| c.k.find_task(TaskId(p as u32)).is_some();
    Ok(next(c, m, a[0], there)?.map_or(0, |p| addr(Kind::Task, p as u32)))
}

/// [bpf_iter_task_new] All processes, all threads, or the threads of a process. Each task here is a process of one thread unless it
/// shares its tgid.
fn task_new(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let items = tasks(c.k, c.find_task(a[1]), a[2] as u32);
    begin(c, m, a[0], items)
}

/// The tasks that `bpf_iter_task` comes to.
pub(crate) fn tasks(k: &Kernel, of: Option<TaskId>, flags: u32) -> Result<VecDeque<u64>, i32> {
    const ALL_PROCS: u32 = 0;
    const ALL_THREADS: u32 = 1;
    const PROC_THREADS: u32 = 2;
    let of = of.map(|p| k.task(p).tgid);
    let wanted = |flags: u32, tgid: u32, pid: u32| match flags {
        ALL_PROCS => pid == tgid,
        ALL_THREADS => true,
        _ => of == Some(tgid),
    };
    match (flags, of) {
        (PROC_THREADS, None) => Err(EINVAL),
        (flags @ (ALL_PROCS | ALL_THREADS | PROC_THREADS), _) => Ok(k
            .all_tasks()
            .into_iter()
            .filter(|&p| {
                let t = k.task(p);
                t.flags & pf::IDLE == 0 && wanted(flags, t.tgid, t.pid)
            })
            .map(|p| p.0.into())
            .collect()),
        _ => Err(EINVAL),
    }
}

/// A cgroup's own css is its beginning.
fn group(k: &Kernel, css: u64) -> Option<CgroupId> {
    let place = Place::at(css).filter(|p| p.kind == Kind::Cgroup && p.offset == 0)?;
    Some(CgroupId(place.id)).filter(|&id| k.cgroups.get(id).is_some())
}

/// [bpf_iter_css_new]
fn css_new(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let items = cgroups(c.k, a[1], a[2] as u32);
    begin(c, m, a[0], items)
}

/// The cgroups that `bpf_iter_css` comes to.
pub(crate) fn cgroups(k: &Kernel, start: u64, flags: u32) -> Result<VecDeque<u64>, i32> {
    const PRE: u32 = 2;
    const POST: u32 = 3;
    const ANCESTORS_UP: u32 = 4;
    let groups = &k.cgroups;
    match (group(k, start), flags) {
        (Some(start), ANCESTORS_UP) => Ok(groups.ways_up(start).map(|id| id.0.into()).collect()),
        (Some(start), order @ (PRE | POST)) => {
            let all = if order == PRE { groups.pre_order() } else { groups.post_order() };
            let below = |id: &CgroupId| groups.ways_up(*id).any(|up| up == start);
            Ok(all.into_iter().filter(below).map(|id| id.0.into()).collect())
        }
        _ => Err(EINVAL),
    }
}

/// [bpf_iter_css_task_new] The tasks of a cgroup itself.
fn css_task_new(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let items = members(c.k, a[1], a[2] as u32);
    begin(c, m, a[0], items)
}

/// The tasks that `bpf_iter_css_task` comes to.
pub(crate) fn members(k: &Kernel, of: u64, flags: u32) -> Result<VecDeque<u64>, i32> {
    match (group(k, of), flags) {
        (Some(id), 0..=3) => {
            let tasks = k.all_tasks().into_iter();
            Ok(tasks.filter(|&p| k.task(p).cgroup == id).map(|p| p.0.into()).collect())
        }
        _ => Err(EINVAL),
    }
}
