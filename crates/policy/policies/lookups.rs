//! Finding tasks and CPUs: by id, the current one, idle ones of a set, all that are online; sets combined; insertions taken back; atomic
//! changes.

use scxr_policy::prelude::*;

/// The queue of all.
const QUEUE: Dsq<Fifo> = Dsq::fifo(0);
/// A queue that is made and ended again.
const SPARE: Dsq<Fifo> = Dsq::fifo(1);

state! {
    /// Wakeups that found an idle CPU where the task may run.
    static NR_IDLE as "nr_idle": Global<u64> = 0;
    /// Wakeups by a task of the same process.
    static NR_RELATED as "nr_related": Global<u64> = 0;
    /// Tasks that were found by their id.
    static NR_FOUND as "nr_found": Global<u64> = 0;
    /// Room for insertions when a CPU asked for tasks, the least that was seen.
    static MIN_SLOTS as "min_slots": Global<u32> = u32::MAX;
    /// CPUs that could be, and that were online, at the start.
    static CPUS as "cpus": Global<u64> = 0;
    /// Checks that sets of CPUs failed; 0 if all is well.
    static NR_WRONG as "nr_wrong": Global<u32> = 0;
    /// The first task that ran.
    static FIRST as "first": Global<u32> = 0;
    /// CPUs whose sibling was idle, too.
    static NR_WHOLE as "nr_whole": Global<u64> = 0;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Counts what should not be.
#[inline(always)]
fn expect(right: bool) {
    if !right {
        NR_WRONG.fetch_add(1);
    }
}

/// What sets of CPUs promise.
#[inline(always)]
fn check_masks() -> Option<()> {
    let (online, possible) = (HeldMask::online(), HeldMask::possible());
    CPUS.set(u64::from(possible.mask().weight()) << 32 | u64::from(online.mask().weight()));
    expect(online.mask().is_subset(possible.mask()));
    expect(possible.mask().is_full());
    let (mut a, mut b) = (OwnedCpuMask::new()?, OwnedCpuMask::new()?);
    expect(a.mask().is_empty() && a.mask().equals(b.mask()));
    a.set_all();
    expect(a.test_and_clear(Cpu(0)));
    expect(!a.test_and_set(Cpu(0)));
    a.clear(Cpu(0));
    b.copy_from(possible.mask());
    let mut c = OwnedCpuMask::new()?;
    c.set_xor(a.mask(), b.mask());
    expect(c.mask().weight() == 1 && c.mask().first() == Some(Cpu(0)));
    c.set_or(a.mask(), b.mask());
    expect(c.mask().equals(possible.mask()));
    expect(c.mask().first_and(b.mask()) == Some(Cpu(0)));
    expect(c.mask().any().is_some());
    c.clear_all();
    let empty = OwnedCpuMask::new()?;
    expect(!c.set_and(empty.mask(), b.mask()));
    Some(())
}

scheduler! {
    /// First in, first out, to idle CPUs first.
    pub struct Lookups { name: "lookups" }

    impl Ops for Lookups {
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            if let Some(waker) = Task::current()
                && waker.tgid() == p.tgid()
            {
                NR_RELATED.fetch_add(1);
            }
            match p.select_cpu_and(cx, prev_cpu, wake_flags, p.cpus(), PickFlags::NONE) {
                Some(cpu) => {
                    NR_IDLE.fetch_add(1);
                    Dsq::local_on(cpu).insert(cx, p, Ns::SLICE_DFL, EnqFlags::head());
                    cpu
                }
                None => prev_cpu,
            }
        }

        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if let Some(found) = OwnedTask::from_pid(p.pid())
                && found.task().pid() == p.pid()
            {
                NR_FOUND.fetch_add(1);
            }
            let smt = HeldMask::idle_smt();
            NR_WHOLE.fetch_add(smt.mask().weight().into());
            QUEUE.insert(cx, p, Ns::SLICE_DFL, enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, prev: Option<Task<'_>>) {
            let slots = Dsq::nr_slots(cx);
            if slots < MIN_SLOTS.get() {
                MIN_SLOTS.set(slots);
            }
            if let Some(prev) = prev
                && prev.is_queued()
                && QUEUE.insert(cx, prev, Ns::SLICE_DFL, EnqFlags::NONE)
            {
                Dsq::cancel_insert(cx);
            }
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            let pid = p.pid() as u32;
            _ = FIRST.compare_exchange(0, pid);
        }

        fn tick(_cx: &Event, p: Task<'_>) {
            expect(p.is_running());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx)?;
            SPARE.create_on(cx, -1)?;
            SPARE.destroy();
            let _rcu = Rcu::lock();
            if check_masks().is_none() { Err(Errno(-12)) } else { Ok(()) }
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
