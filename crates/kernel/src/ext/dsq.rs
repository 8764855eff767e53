//! Dispatch queues: a list in dispatch order, and for vtime queues an order by vtime beside it (E-100 to E-112).

use scxr_trace::EventKind;

use super::call;
use super::entity::OpsState;
use super::exit::error;
use super::flags::{deq, dsq_id, enq, task};
use super::list::{Link, Links, List, NIL};
use super::ops::Op;
use super::sched::SchedId;
use super::tree::{Node, Nodes, Tree};
use crate::class::{self, ClassId};
use crate::executor::Kernel;
use crate::ids::{CpuId, TaskId};
use crate::lock::{LockId, SimLock};
use crate::state::State;

/// Nodes from here on are iterators' cursors.
pub(super) const CURSOR_BASE: u32 = 0x8000_0000;

/// A dispatch queue.
pub struct Dsq {
    /// Id; INVALID once destroyed.
    pub id: u64,
    /// Whose local or bypass queue it is.
    pub cpu: Option<CpuId>,
    pub(crate) lock: SimLock,
    pub(crate) list: List,
    /// The order by vtime, for tasks that came with one.
    pub(crate) prio: Tree,
    /// Tasks on it.
    pub nr: u32,
    /// Insertions so far.
    pub seq: u32,
}

impl Dsq {
    pub(crate) fn new(id: u64, cpu: Option<CpuId>) -> Dsq {
        Dsq { id, cpu, lock: SimLock::default(), list: List::default(), prio: Tree::default(), nr: 0, seq: 0 }
    }

    /// The id as traces name it: a local queue with its CPU.
    pub fn trace_id(&self) -> u64 {
        match self.cpu {
            Some(cpu) if self.id == dsq_id::LOCAL => dsq_id::LOCAL_ON | u64::from(cpu.0),
            _ => self.id,
        }
    }
}

/// Tasks and cursors as members of a queue's list.
pub(super) struct DsqLinks<'a>(pub(super) &'a mut State);

impl Links for DsqLinks<'_> {
    #[inline]
    fn link(&mut self, n: u32) -> &mut Link {
        match n {
            0..CURSOR_BASE => &mut self.0.task_mut(TaskId(n)).scx.link,
            _ => &mut self.0.ext.cursors[(n - CURSOR_BASE) as usize].link,
        }
    }
}

/// Tasks as members of a queue's order by vtime: wrapping, and live, so that a program that changes the vtime of a task in a
/// queue mangles the order and nothing else (E-101) [scx_dsq_priq_less].
struct DsqNodes<'a>(&'a mut State);

impl Nodes for DsqNodes<'_> {
    #[inline]
    fn node(&mut self, n: u32) -> &mut Node {
        &mut self.0.task_mut(TaskId(n)).scx.prio
    }

    #[inline]
    fn less(&mut self, a: u32, b: u32) -> bool {
        let vtime = |n| self.0.task(TaskId(n)).scx.dsq_vtime;
        (vtime(a).wrapping_sub(vtime(b)) as i64) < 0
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

    pub(super) fn skip_cursors(&self, mut n: u32, rev: bool) -> Option<TaskId> {
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

    pub(super) fn with_dsq_list(&mut self, dsq: u32, f: impl FnOnce(&mut List, &mut DsqLinks<'_>)) {
        let mut list = self.ext.dsqs[dsq as usize].list;
        f(&mut list, &mut DsqLinks(self));
        self.ext.dsqs[dsq as usize].list = list;
    }

    fn with_dsq_tree<R>(&mut self, dsq: u32, f: impl FnOnce(&mut Tree, &mut DsqNodes<'_>) -> R) -> R {
        let mut tree = self.ext.dsqs[dsq as usize].prio;
        let result = f(&mut tree, &mut DsqNodes(self));
        self.ext.dsqs[dsq as usize].prio = tree;
        result
    }

    /// [task_unlink_from_dsq] The queue's lock held.
    pub(crate) fn unlink_from_dsq(&mut self, dsq: u32, p: TaskId) {
        if self.task(p).scx.prio.linked {
            self.with_dsq_tree(dsq, |tree, t| tree.remove(t, p.0));
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
        let before = k.with_dsq_tree(dsq, |tree, t| tree.insert(t, p.0));
        k.with_dsq_list(dsq, |list, l| match before {
            Some(q) => list.insert_after(l, p.0, q),
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
        super::reenq::schedule_immed(k, cpu);
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
fn check_order(k: &mut Kernel, sched: SchedId, dsq: u32, mut enq_flags: u64) -> u64 {
    let d = &k.ext.dsqs[dsq as usize];
    let (id, nr, tree) = (d.id, d.nr, !d.prio.is_empty());
    if enq_flags & enq::DSQ_PRIQ != 0 {
        if id & dsq_id::BUILTIN != 0 {
            enq_flags &= !enq::DSQ_PRIQ;
            error(k, sched, "cannot use vtime ordering for built-in DSQs");
        } else if !tree && nr > 0 {
            error(k, sched, format!("DSQ ID 0x{id:016x} already had FIFO-enqueued tasks"));
        }
    } else if tree {
        error(k, sched, format!("DSQ ID 0x{id:016x} already had PRIQ-enqueued tasks"));
    }
    enq_flags
}

/// Puts `p` in a queue of `sched`, or a local one. Its CPU's run queue `rq` is locked, or `p` is DISPATCHING (E-67).
/// [dispatch_enqueue]
pub(crate) fn dispatch_enqueue(k: &mut Kernel, sched: SchedId, rq: CpuId, mut dsq: u32, p: TaskId, mut enq_flags: u64) {
    let local = k.is_local_dsq(dsq);
    if !local {
        k.lock(LockId::Dsq(dsq));
        if k.ext.dsqs[dsq as usize].id == dsq_id::INVALID {
            error(k, sched, "attempting to dispatch to a destroyed dsq");
            k.unlock(LockId::Dsq(dsq));
            dsq = k.global_dsq(sched, k.task(p).cpu);
            enq_flags |= enq::GDSQ_FALLBACK;
            k.lock(LockId::Dsq(dsq));
        }
    }
    enq_flags = check_order(k, sched, dsq, enq_flags);
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

/// The scheduler gives `p` up, unless it is only being moved (E-59, E-60). True: it had it, and is told. [task_leave_custody]
pub(crate) fn take_custody(k: &mut Kernel, p: TaskId) -> bool {
    let e = &mut k.task_mut(p).scx;
    let had = e.has(task::IN_CUSTODY) && e.sticky_cpu.is_none();
    if had {
        e.flags &= !task::IN_CUSTODY;
    }
    had && k.config.custody
}

/// Tells the scheduler that it has given `p` up.
pub(crate) fn tell_dequeue(k: &mut Kernel, rq: CpuId, p: TaskId, deq_flags: u64) {
    let sched = k.task_sched(p);
    if k.ext.scheds[sched].has(Op::dequeue) {
        call::op(k, sched, Op::dequeue, Some(rq), Some(p), |ops, k| {
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

/// Deq flags of a real dequeue (E-63).
pub(crate) fn dequeue_flags(k: &Kernel, core_flags: u64) -> u64 {
    let unchanged = core_flags & (deq::SLEEP | deq::CORE_SCHED_EXEC) != 0 || !k.config.custody;
    if unchanged { core_flags } else { core_flags | deq::SCHED_CHANGE }
}
