//! simple: one queue for all CPUs, ordered by weighted virtual time, or first in, first out.

use scxr_policy::prelude::*;

#[path = "shared.rs"]
pub mod shared;

/// The one queue. A queue of ours, since the kernel's own global one cannot be ordered by virtual time.
const SHARED_DSQ: Dsq<Either> = Dsq::user(0);

state! {
    /// First in, first out instead of by virtual time.
    pub static FIFO_SCHED as "fifo_sched": Tunable<bool> = false;
    /// The virtual time of the task that was farthest when it started to run.
    static VTIME_NOW as "vtime_now": Global<Vtime> = Vtime::ZERO;
    /// Insertions by kind; see [`shared`].
    pub static STATS as "stats": PerCpuArray<u64, 2>;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

/// Counts an insertion.
#[inline(always)]
fn count(stat: u32) {
    if let Some(counter) = STATS.get(stat) {
        counter.add(1);
    }
}

/// Its virtual time once what it used of its slice is charged, by weight.
#[inline(always)]
fn charged(p: Task<'_>) -> Vtime {
    p.dsq_vtime() + p.weight().charge(Ns::SLICE_DFL - p.slice())
}

/// A virtual time that is behind by one slice at most: that is all the credit that a task can have.
#[inline(always)]
fn limited(vtime: Vtime) -> Vtime {
    vtime.max(VTIME_NOW.get() - Ns::SLICE_DFL)
}

/// Virtual time goes forward with the tasks that run. CPUs race here; an update that is lost is soon made again.
#[inline(always)]
fn advance(vtime: Vtime) {
    if VTIME_NOW.get().before(vtime) {
        VTIME_NOW.set(vtime);
    }
}

/// Gives a task that could go on another slice, if nobody waits who is before it in virtual time. Where the kernel cannot tell
/// who is first (before 6.19) it goes on only if nobody waits at all.
#[inline(always)]
fn goes_on(p: Task<'_>) -> bool {
    // the class asks about a task that could go on once it has used its slice up: what has some left has gone to sleep
    if p.slice() != Ns::ZERO {
        return false;
    }
    let vtime = p.dsq_vtime() + p.weight().charge(Ns::SLICE_DFL);
    let Some(vtime) = before_first(vtime) else { return false };
    if !p.is_queued() || FIFO_SCHED.get() {
        return false;
    }
    p.set_dsq_vtime(vtime);
    p.set_slice(Ns::SLICE_DFL);
    advance(vtime);
    true
}

/// The virtual time with which a task would be enqueued, if that is before whoever waits first.
#[inline(always)]
fn before_first(vtime: Vtime) -> Option<Vtime> {
    let Some(first) = SHARED_DSQ.peek() else {
        return if SHARED_DSQ.nr_queued() == Ok(0) { Some(limited(vtime)) } else { None };
    };
    let first = first.dsq_vtime();
    // the limit can only put it further back
    let vtime = if vtime.before(first) { limited(vtime) } else { return None };
    if vtime.before(first) { Some(vtime) } else { None }
}

scheduler! {
    /// Global weighted virtual time.
    pub struct Simple { name: "simple" }

    impl Ops for Simple {
        /// An idle CPU takes the task at once; otherwise `enqueue` decides.
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            let picked = p.select_cpu_dfl(cx, prev_cpu, wake_flags);
            if picked.is_idle {
                count(shared::LOCAL);
                Dsq::LOCAL.insert(cx, p, Ns::SLICE_DFL, EnqFlags::NONE);
            }
            picked.cpu
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            count(shared::GLOBAL);
            if FIFO_SCHED.get() {
                SHARED_DSQ.insert(cx, p, Ns::SLICE_DFL, enq_flags);
                return;
            }
            SHARED_DSQ.insert_vtime(cx, p, Ns::SLICE_DFL, limited(p.dsq_vtime()), enq_flags);
        }

        /// The task whose slice just ended is not in the queue yet: it goes on where it would still be the first, so that a
        /// heavy task gets its share though others wait.
        fn dispatch(cx: &Dispatch, _cpu: Cpu, prev: Option<Task<'_>>) {
            if let Some(p) = prev && goes_on(p) {
                return;
            }
            SHARED_DSQ.move_to_local(cx);
        }

        /// (First in, first out nobody is charged, and nothing moves.)
        fn running(_cx: &Event, p: Task<'_>) {
            advance(p.dsq_vtime());
        }

        /// Charges what was used of the slice, by weight. A yield empties the slice, so it costs a whole one.
        fn stopping(_cx: &Event, p: Task<'_>, _runnable: bool) {
            if FIFO_SCHED.get() {
                return;
            }
            p.set_dsq_vtime(charged(p));
        }

        /// A new task starts now, neither ahead nor behind.
        fn enable(_cx: &Event, p: Task<'_>) {
            p.set_dsq_vtime(VTIME_NOW.get());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            SHARED_DSQ.create(cx).inspect_err(|errno| {
                scx_error!("failed to create DSQ %llu (%lld)", SHARED_DSQ.id(), errno.0);
            })
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
