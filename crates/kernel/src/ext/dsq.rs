//! Dispatch queues: a list in dispatch order, and for vtime queues an order by vtime beside it (E-100 to E-112).

use std::collections::BTreeSet;

use scxr_trace::{EventKind, ExitKind};

use super::call;
use super::entity::{OpsState, PrioKey};
use super::exit::scx_error;
use super::flags::{deq, dsq_id, enq, errno, iter, task};
use super::list::{Link, Links, List, NIL};
use super::ops::Op;
use crate::class::{self, ClassId};
use crate::executor::Kernel;
use crate::ids::{CpuId, Ns, TaskId};
use crate::lock::{LockId, SimLock};
use crate::state::State;

/// Nodes from here on are iterators' cursors.
const CURSOR_BASE: u32 = 0x8000_0000;
/// A destroyed queue's slot is reused after this time, when no CPU can still be on its way to it.
const GRACE_NS: Ns = 1_000_000_000;

/// A dispatch queue.
pub struct Dsq {
    /// Id; INVALID once destroyed.
    pub id: u64,
    /// Whose local or bypass queue it is.
    pub cpu: Option<CpuId>,
    pub(crate) lock: SimLock,
    pub(crate) list: List,
    pub(crate) prio: BTreeSet<PrioKey>,
    prio_seq: u64,
    /// Tasks on it.
    pub nr: u32,
    /// Insertions so far.
    pub seq: u32,
}

impl Dsq {
    pub(crate) fn new(id: u64, cpu: Option<CpuId>) -> Dsq {
        Dsq {
            id,
            cpu,
            lock: SimLock::default(),
            list: List::default(),
            prio: BTreeSet::new(),
            prio_seq: 0,
            nr: 0,
            seq: 0,
        }
    }

    /// The id as traces name it: a local queue with its CPU.
    pub fn trace_id(&self) -> u64 {
        match self.cpu {
            Some(cpu) if self.id == dsq_id::LOCAL => dsq_id::LOCAL_ON | u64::from(cpu.0),
            _ => self.id,
        }
    }
}

/// An iterator over a user queue (E-112).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    link: Link,
    dsq: Option<u32>,
    id: u64,
    seq: u32,
    rev: bool,
    /// One-shot overrides for the next move.
    pub(crate) slice: Option<u64>,
    pub(crate) vtime: Option<u64>,
}

struct DsqLinks<'a>(&'a mut State);

impl Links for DsqLinks<'_> {
    #[inline]
    fn link(&mut self, n: u32) -> &mut Link {
        match n {
            0..CURSOR_BASE => &mut self.0.task_mut(TaskId(n)).scx.link,
            _ => &mut self.0.ext.cursors[(n - CURSOR_BASE) as usize].link,
        }
    }
}

struct RunnableLinks<'a>(&'a mut State);

impl Links for RunnableLinks<'_> {
    #[inline]
    fn link(&mut self, n: u32) -> &mut Link {
        &mut self.0.task_mut(TaskId(n)).scx.runnable
    }
}

impl State {
    /// The local queue of a CPU: its index is the CPU's number.
    #[inline]
    pub(crate) fn local_dsq(&self, cpu: CpuId) -> &Dsq {
        &self.ext.dsqs[cpu.idx()]
    }

    /// Index of the local queue's table entry.
    #[inline]
    pub(crate) fn is_local_dsq(&self, dsq: u32) -> bool {
        (dsq as usize) < self.cpus.0.len()
    }

    fn dsq_node(&self, n: u32) -> Link {
        match n {
            0..CURSOR_BASE => self.task(TaskId(n)).scx.link,
            _ => self.ext.cursors[(n - CURSOR_BASE) as usize].link,
        }
    }

    fn skip_cursors(&self, mut n: u32, rev: bool) -> Option<TaskId> {
        while n != NIL && n >= CURSOR_BASE {
            let link = self.dsq_node(n);
            n = if rev { link.prev } else { link.next };
        }
        (n != NIL).then_some(TaskId(n))
    }

    /// First task of a queue in dispatch order.
    #[inline]
    pub fn dsq_first(&self, dsq: u32) -> Option<TaskId> {
        self.skip_cursors(self.ext.dsqs[dsq as usize].list.head, false)
    }

    /// The task behind `p` on its queue.
    #[inline]
    pub fn dsq_next(&self, p: TaskId) -> Option<TaskId> {
        self.skip_cursors(self.task(p).scx.link.next, false)
    }

    fn with_dsq_list(&mut self, dsq: u32, f: impl FnOnce(&mut List, &mut DsqLinks<'_>)) {
        let mut list = self.ext.dsqs[dsq as usize].list;
        f(&mut list, &mut DsqLinks(self));
        self.ext.dsqs[dsq as usize].list = list;
    }

    /// Puts `p` at the tail of the runnable list [set_task_runnable] (E-56).
    pub(crate) fn set_task_runnable(&mut self, cpu: CpuId, p: TaskId, now: Ns) {
        let e = &mut self.task_mut(p).scx;
        if e.flags & task::RESET_RUNNABLE_AT != 0 {
            e.runnable_at = now;
            e.flags &= !task::RESET_RUNNABLE_AT;
        }
        let mut list = self.rqs[cpu].scx.runnable;
        list.push_back(&mut RunnableLinks(self), p.0);
        self.rqs[cpu].scx.runnable = list;
    }

    /// Takes `p` off the runnable list; `reset`: its waiting time starts afresh [clr_task_runnable] (E-56).
    pub(crate) fn clr_task_runnable(&mut self, cpu: CpuId, p: TaskId, reset: bool) {
        if self.task(p).scx.runnable.linked {
            let mut list = self.rqs[cpu].scx.runnable;
            list.remove(&mut RunnableLinks(self), p.0);
            self.rqs[cpu].scx.runnable = list;
        }
        if reset {
            self.task_mut(p).scx.flags |= task::RESET_RUNNABLE_AT;
        }
    }

    /// Runnable tasks of a CPU that are not running, the longest waiting first.
    pub(crate) fn runnable_tasks(&self, cpu: CpuId) -> impl Iterator<Item = TaskId> + '_ {
        let mut n = self.rqs[cpu].scx.runnable.head;
        std::iter::from_fn(move || {
            let p = (n != NIL).then_some(TaskId(n))?;
            n = self.task(p).scx.runnable.next;
            Some(p)
        })
    }

    /// Defers the local dispatch of `p` (E-80).
    pub(crate) fn defer_local(&mut self, cpu: CpuId, p: TaskId) {
        let mut list = self.rqs[cpu].scx.ddsp_deferred;
        list.push_back(&mut DsqLinks(self), p.0);
        self.rqs[cpu].scx.ddsp_deferred = list;
    }

    /// Takes `p` off the list of deferred local dispatches.
    pub(crate) fn undefer_local(&mut self, cpu: CpuId, p: TaskId) {
        let mut list = self.rqs[cpu].scx.ddsp_deferred;
        list.remove(&mut DsqLinks(self), p.0);
        self.rqs[cpu].scx.ddsp_deferred = list;
    }

    /// First of the deferred local dispatches.
    pub(crate) fn first_deferred(&self, cpu: CpuId) -> Option<TaskId> {
        let n = self.rqs[cpu].scx.ddsp_deferred.head;
        (n != NIL).then_some(TaskId(n))
    }

    /// Makes a queue; the result is its index.
    pub(crate) fn alloc_dsq(&mut self, id: u64, cpu: Option<CpuId>, now: Ns) -> u32 {
        let free = self.ext.dsq_graveyard.front().is_some_and(|&(t, _)| now >= t + GRACE_NS);
        let slot = if free { self.ext.dsq_graveyard.pop_front() } else { None };
        match slot {
            Some((_, i)) => {
                self.ext.dsqs[i as usize] = Dsq::new(id, cpu);
                i
            }
            None => {
                self.ext.dsqs.push(Dsq::new(id, cpu));
                self.ext.dsqs.len() as u32 - 1
            }
        }
    }

    /// Ends a queue that is empty.
    pub(crate) fn free_dsq(&mut self, i: u32, now: Ns) {
        let dsq = &mut self.ext.dsqs[i as usize];
        debug_assert_eq!(dsq.nr, 0, "queue {:#x} has tasks", dsq.id);
        dsq.id = dsq_id::INVALID;
        self.ext.dsq_graveyard.push_back((now, i));
    }

    /// Global queue of the node of a CPU [find_global_dsq].
    pub(crate) fn global_dsq(&self, cpu: CpuId) -> u32 {
        let node = self.topology.cpus[cpu].node as usize;
        self.ext.root().map_or(0, |s| s.global_dsqs[node])
    }

    /// A user queue by its id [find_user_dsq].
    pub(crate) fn user_dsq(&self, id: u64) -> Option<u32> {
        self.ext.root()?.user_dsqs.get(&id).copied()
    }

    /// A CPU number from BPF [scx_cpu_valid].
    pub(crate) fn valid_cpu(&self, cpu: i32) -> Option<CpuId> {
        (cpu >= 0 && (cpu as usize) < self.nr_cpus()).then_some(CpuId(cpu as u32))
    }

    /// [task_unlink_from_dsq] The queue's lock held.
    pub(crate) fn unlink_from_dsq(&mut self, dsq: u32, p: TaskId) {
        if let Some(key) = self.task_mut(p).scx.prio.take() {
            self.ext.dsqs[dsq as usize].prio.remove(&key);
        }
        self.with_dsq_list(dsq, |list, l| list.remove(l, p.0));
        self.ext.dsqs[dsq as usize].nr -= 1;
        if self.is_local_dsq(dsq) && self.task(p).scx.has(task::IMMED) {
            self.rqs[CpuId(dsq)].scx.nr_immed -= 1;
        }
    }
}

/// Puts `p` on the list of a queue, in FIFO order or at its vtime, and counts it (E-101, E-103, E-106).
fn link_to_dsq(k: &mut Kernel, dsq: u32, p: TaskId, enq_flags: u64) {
    if enq_flags & enq::DSQ_PRIQ != 0 {
        let vtime = k.task(p).scx.dsq_vtime;
        let d = &mut k.ext.dsqs[dsq as usize];
        d.prio_seq += 1;
        let key = PrioKey { vtime, seq: d.prio_seq, task: p };
        let before = d.prio.range(..key).next_back().map(|key| key.task);
        d.prio.insert(key);
        k.task_mut(p).scx.prio = Some(key);
        k.with_dsq_list(dsq, |list, l| match before {
            Some(q) => list.insert_after(l, p.0, q.0),
            None => list.push_front(l, p.0),
        });
    } else if enq_flags & (enq::HEAD | enq::PREEMPT) != 0 {
        k.with_dsq_list(dsq, |list, l| list.push_front(l, p.0));
    } else {
        k.with_dsq_list(dsq, |list, l| list.push_back(l, p.0));
    }
    k.task_mut(p).scx.dsq = Some(dsq);
    k.ext.dsqs[dsq as usize].nr += 1;
}

/// IMMED tasks on a local queue are counted, and go away again when they cannot run at once (E-90) [dsq_inc_nr].
fn account_immed(k: &mut Kernel, cpu: CpuId, p: TaskId, enq_flags: u64) {
    if enq_flags & enq::IMMED != 0 {
        k.task_mut(p).scx.flags |= task::IMMED;
    }
    if !k.task(p).scx.has(task::IMMED) {
        return;
    }
    k.rqs[cpu].scx.nr_immed += 1;
    if k.local_dsq(cpu).nr > 1 || !super::reenq::rq_is_open(k, cpu, enq_flags) {
        super::reenq::schedule_local(k, cpu, 0);
    }
}

fn emit_insert(k: &mut Kernel, dsq: u32, p: TaskId, enq_flags: u64) {
    let e = &k.task(p).scx;
    let kind = EventKind::Insert {
        pid: k.task(p).pid,
        dsq: k.ext.dsqs[dsq as usize].trace_id(),
        slice: e.slice,
        vtime: (enq_flags & enq::DSQ_PRIQ != 0).then_some(e.dsq_vtime),
    };
    k.emit(kind);
}

/// The order of insertion must be one kind on a queue (E-102). The flags to go on with.
fn check_order(k: &mut Kernel, dsq: u32, mut enq_flags: u64) -> u64 {
    let d = &k.ext.dsqs[dsq as usize];
    let (id, nr, tree) = (d.id, d.nr, !d.prio.is_empty());
    if enq_flags & enq::DSQ_PRIQ != 0 {
        if id & dsq_id::BUILTIN != 0 {
            enq_flags &= !enq::DSQ_PRIQ;
            error(k, "cannot use vtime ordering for built-in DSQs".into());
        } else if !tree && nr > 0 {
            error(k, format!("DSQ ID 0x{id:016x} already had FIFO-enqueued tasks"));
        }
    } else if tree {
        error(k, format!("DSQ ID 0x{id:016x} already had PRIQ-enqueued tasks"));
    }
    enq_flags
}

fn error(k: &mut Kernel, msg: String) {
    scx_error(k, ExitKind::Error, 0, msg);
}

/// Puts `p` in a queue. Its CPU's run queue `rq` is locked, or `p` is DISPATCHING (E-67). [dispatch_enqueue]
pub(crate) fn dispatch_enqueue(k: &mut Kernel, rq: CpuId, mut dsq: u32, p: TaskId, mut enq_flags: u64) {
    let local = k.is_local_dsq(dsq);
    if !local {
        k.lock(LockId::Dsq(dsq));
        if k.ext.dsqs[dsq as usize].id == dsq_id::INVALID {
            error(k, "attempting to dispatch to a destroyed dsq".into());
            k.unlock(LockId::Dsq(dsq));
            dsq = k.global_dsq(k.task(p).cpu);
            enq_flags |= enq::GDSQ_FALLBACK;
            k.lock(LockId::Dsq(dsq));
        }
    }
    enq_flags = check_order(k, dsq, enq_flags);
    link_to_dsq(k, dsq, p, enq_flags);
    let d = &mut k.ext.dsqs[dsq as usize];
    d.seq = d.seq.wrapping_add(1);
    let (seq, user) = (d.seq, d.id & dsq_id::BUILTIN == 0);
    k.task_mut(p).scx.dsq_seq = seq;
    emit_insert(k, dsq, p, enq_flags);
    if local {
        account_immed(k, CpuId(dsq), p, enq_flags);
        local_dsq_post_enq(k, CpuId(dsq), p, enq_flags);
    } else {
        let left = if user {
            k.task_mut(p).scx.flags |= task::IN_CUSTODY;
            false
        } else {
            take_custody(k, p)
        };
        k.unlock(LockId::Dsq(dsq));
        if left {
            tell_dequeue(k, rq, p, 0);
        }
    }
    if enq_flags & enq::CLEAR_OPSS != 0
        && let Some(t) = k.tasks.get_mut(p.0 as usize).and_then(|t| t.as_deref_mut())
    {
        t.scx.ops_state = OpsState::None;
    }
}

/// The scheduler gives `p` up, unless it is only being moved (E-59, E-60). True: it had it. [task_leave_custody]
pub(crate) fn take_custody(k: &mut Kernel, p: TaskId) -> bool {
    let e = &mut k.task_mut(p).scx;
    let had = e.has(task::IN_CUSTODY) && e.sticky_cpu.is_none();
    if had {
        e.flags &= !task::IN_CUSTODY;
    }
    had
}

/// Tells the scheduler that it has given `p` up.
pub(crate) fn tell_dequeue(k: &mut Kernel, rq: CpuId, p: TaskId, deq_flags: u64) {
    if k.ext.has(Op::dequeue) {
        call::op(k, Op::dequeue, Some(rq), Some(p), |ops, k| {
            ops.dequeue(k, p, deq_flags);
        });
    }
}

/// After `p` came to the local queue of `cpu` (E-107) [local_dsq_post_enq].
pub(crate) fn local_dsq_post_enq(k: &mut Kernel, cpu: CpuId, p: TaskId, enq_flags: u64) {
    if take_custody(k, p) {
        tell_dequeue(k, cpu, p, 0);
    }
    if k.task(p).class > k.rqs[cpu].next_class {
        class::wakeup_preempt(k, cpu, p, 0);
    }
    let curr = k.rqs[cpu].curr;
    if k.rqs[cpu].scx.in_balance || enq_flags & enq::PREEMPT == 0 || curr == p {
        return;
    }
    if k.task(curr).class == ClassId::Ext {
        k.task_mut(curr).scx.slice = 0;
        k.resched_curr(cpu);
    }
}

/// Moves `p`, taken off its queue, to the local queue of its own CPU without a new stamp (E-105)
/// [move_local_task_to_local_dsq]. `from`: the queue that it left, locked, which is unlocked.
pub(crate) fn move_local_to_local(k: &mut Kernel, from: u32, cpu: CpuId, p: TaskId, flags: u64) {
    let order = flags & (enq::HEAD | enq::PREEMPT);
    link_to_dsq(k, cpu.0, p, order);
    emit_move(k, from, cpu.0, p);
    account_immed(k, cpu, p, flags);
    if !k.is_local_dsq(from) {
        k.unlock(LockId::Dsq(from));
    }
    local_dsq_post_enq(k, cpu, p, flags);
}

/// Records a move between two queues.
pub(crate) fn emit_move(k: &mut Kernel, from: u32, to: u32, p: TaskId) {
    let id = |d: u32| k.ext.dsqs[d as usize].trace_id();
    let kind = EventKind::Move { pid: k.task(p).pid, from: id(from), to: id(to) };
    k.emit(kind);
}

/// Takes `p` out of whatever queue or list it is on. Rq lock of `cpu` held (E-64) [dispatch_dequeue].
pub(crate) fn dispatch_dequeue(k: &mut Kernel, cpu: CpuId, p: TaskId) {
    let Some(dsq) = k.task(p).scx.dsq else {
        if k.task(p).scx.link.linked {
            k.undefer_local(cpu, p);
        }
        k.task_mut(p).scx.holding_cpu = None;
        return;
    };
    let local = k.is_local_dsq(dsq);
    if !local {
        k.lock(LockId::Dsq(dsq));
    }
    // The queue may have been left while we waited for its lock, by a mover who has set `holding_cpu`.
    match k.task(p).scx.holding_cpu {
        None => k.unlink_from_dsq(dsq, p),
        Some(_) => k.task_mut(p).scx.holding_cpu = None,
    }
    k.task_mut(p).scx.dsq = None;
    if !local {
        k.unlock(LockId::Dsq(dsq));
    }
}

/// Resolves the id of a queue, as seen from `rq` (E-108) [find_dsq_for_dispatch].
pub(crate) fn find_dsq_for_dispatch(k: &mut Kernel, rq: CpuId, id: u64, task_cpu: CpuId) -> u32 {
    if id == dsq_id::LOCAL {
        return rq.0;
    }
    if dsq_id::is_local_on(id) {
        let cpu = (id & 0xffff_ffff) as u32 as i32;
        return match k.valid_cpu(cpu) {
            Some(cpu) => cpu.0,
            None => {
                error(k, format!("invalid CPU {cpu} in SCX_DSQ_LOCAL_ON dispatch verdict"));
                k.global_dsq(task_cpu)
            }
        };
    }
    if id == dsq_id::GLOBAL {
        return k.global_dsq(task_cpu);
    }
    match k.user_dsq(id) {
        Some(dsq) => dsq,
        None => {
            error(k, format!("non-existent DSQ 0x{id:x}"));
            k.global_dsq(task_cpu)
        }
    }
}

/// Makes a user queue (E-109) [scx_bpf_create_dsq].
pub(crate) fn create(k: &mut Kernel, id: u64, node: i32) -> i32 {
    let nodes = k.topology.nodes.len() as i32;
    if !(-1..nodes).contains(&node) || id & dsq_id::BUILTIN != 0 {
        return -errno::EINVAL;
    }
    let now = k.now();
    match k.ext.root() {
        None => return -errno::ENODEV,
        Some(s) if s.user_dsqs.contains_key(&id) => return -errno::EEXIST,
        Some(_) => {}
    }
    let dsq = k.alloc_dsq(id, None, now);
    if let Some(s) = &mut k.ext.root {
        s.user_dsqs.insert(id, dsq);
    }
    0
}

/// Ends a user queue (E-110) [destroy_dsq].
pub(crate) fn destroy(k: &mut Kernel, id: u64) {
    let Some(dsq) = k.user_dsq(id) else { return };
    k.lock(LockId::Dsq(dsq));
    if k.user_dsq(id) != Some(dsq) {
        return k.unlock(LockId::Dsq(dsq)); // destroyed meanwhile
    }
    let nr = k.ext.dsqs[dsq as usize].nr;
    if nr > 0 {
        k.unlock(LockId::Dsq(dsq));
        return error(k, format!("attempting to destroy in-use dsq 0x{id:016x} (nr={nr})"));
    }
    if let Some(s) = &mut k.ext.root {
        s.user_dsqs.remove(&id);
    }
    let now = k.now();
    k.free_dsq(dsq, now);
    k.unlock(LockId::Dsq(dsq));
}

/// A handle on an iterator over a user queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DsqIter(pub(crate) u32);

impl State {
    pub(crate) fn cursor(&mut self, it: DsqIter) -> &mut Cursor {
        &mut self.ext.cursors[it.0 as usize]
    }

    /// The queue and first stamp that an iterator knows.
    pub(crate) fn cursor_dsq(&self, it: DsqIter) -> Option<(u32, u32)> {
        let c = &self.ext.cursors[it.0 as usize];
        Some((c.dsq?, c.seq))
    }
}

/// Starts an iterator [bpf_iter_scx_dsq_new]. It must be ended even if this failed.
pub(crate) fn iter_new(k: &mut Kernel, id: u64, flags: u64) -> (DsqIter, i32) {
    let it = match k.ext.cursors_free.pop() {
        Some(i) => DsqIter(i),
        None => {
            k.ext.cursors.push(Cursor::default());
            DsqIter(k.ext.cursors.len() as u32 - 1)
        }
    };
    *k.cursor(it) = Cursor::default();
    if k.ext.root.is_none() {
        return (it, -errno::ENODEV);
    }
    if flags & !iter::REV != 0 {
        return (it, -errno::EINVAL);
    }
    let Some(dsq) = k.user_dsq(id) else {
        return (it, -errno::ENOENT);
    };
    let seq = k.ext.dsqs[dsq as usize].seq;
    let c = k.cursor(it);
    (c.dsq, c.id, c.seq, c.rev) = (Some(dsq), id, seq, flags & iter::REV != 0);
    (it, 0)
}

fn unlink_cursor(k: &mut Kernel, dsq: u32, it: DsqIter) {
    if k.cursor(it).link.linked {
        k.with_dsq_list(dsq, |list, l| list.remove(l, CURSOR_BASE + it.0));
    }
}

/// The next task [bpf_iter_scx_dsq_next].
pub(crate) fn iter_next(k: &mut Kernel, it: DsqIter) -> Option<TaskId> {
    let (dsq, seq) = k.cursor_dsq(it)?;
    let rev = k.cursor(it).rev;
    k.lock(LockId::Dsq(dsq));
    let link = k.cursor(it).link;
    let list = k.ext.dsqs[dsq as usize].list;
    let mut at = match (link.linked, rev) {
        (true, false) => link.next,
        (true, true) => link.prev,
        (false, false) => list.head,
        (false, true) => list.tail,
    };
    let found = loop {
        let Some(p) = k.skip_cursors(at, rev) else {
            break None;
        };
        if (k.task(p).scx.dsq_seq.wrapping_sub(seq) as i32) <= 0 {
            break Some(p);
        }
        let link = k.task(p).scx.link;
        at = if rev { link.prev } else { link.next };
    };
    unlink_cursor(k, dsq, it);
    if let Some(p) = found {
        let node = CURSOR_BASE + it.0;
        k.with_dsq_list(dsq, |list, l| match rev {
            false => list.insert_after(l, node, p.0),
            true => list.insert_before(l, node, p.0),
        });
    }
    k.unlock(LockId::Dsq(dsq));
    found
}

/// Ends an iterator [bpf_iter_scx_dsq_destroy].
pub(crate) fn iter_destroy(k: &mut Kernel, it: DsqIter) {
    if let Some((dsq, _)) = k.cursor_dsq(it)
        && k.cursor(it).link.linked
    {
        k.lock(LockId::Dsq(dsq));
        unlink_cursor(k, dsq, it);
        k.unlock(LockId::Dsq(dsq));
    }
    *k.cursor(it) = Cursor::default();
    k.ext.cursors_free.push(it.0);
}

/// Deq flags of a real dequeue (E-63).
pub(crate) fn dequeue_flags(core_flags: u64) -> u64 {
    if core_flags & (deq::SLEEP | deq::CORE_SCHED_EXEC) != 0 { core_flags } else { core_flags | deq::SCHED_CHANGE }
}
