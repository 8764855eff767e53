//! Maps of maps, per-CPU values by key, ring buffers both ways.

use scxr_policy::prelude::*;

plain! {
    /// What user space asks for.
    pub struct Wish {
        /// The slice of a task,
        pub slice: Ns,
        /// that belongs to this level.
        pub level: u32,
    }
}

shared! {
    /// What user space is told.
    pub struct Report {
        /// The CPU.
        pub cpu: i32,
        /// Tasks that started there, by level.
        pub starts: [u64; 2],
    }
}

state! {
    /// Wishes that came.
    static NR_WISHES as "nr_wishes": Global<u32> = 0;
    /// Tasks that were put into a queue.
    static NR_QUEUED as "nr_queued": Global<u64> = 0;
    /// Tasks that found their queue full.
    static NR_FULL as "nr_full": Global<u64> = 0;
    /// Reports that user space got.
    static NR_REPORTS as "nr_reports": Global<u64> = 0;
    /// The most that user space had not read.
    static MOST_UNREAD as "most_unread": Global<u64> = 0;
    /// The slices, by level.
    static SLICES as "slices": Array<Ns, 2>;
    /// Tasks of the lower level, by id.
    static LOW as "low": Queue<i32, 8>;
    /// Tasks of the upper level, by id.
    static HIGH as "high": Queue<i32, 8>;
    /// The queues by level.
    static LEVELS as "levels": ArrayOfMaps<Queue<i32, 8>, 2> = [&LOW, &HIGH];
    /// Weights of the lower level.
    static LOW_WEIGHTS as "low_weights": Array<u64, 4>;
    /// Weights of the upper level.
    static HIGH_WEIGHTS as "high_weights": Array<u64, 4>;
    /// The same by level.
    static WEIGHTS as "weights": HashOfMaps<Array<u64, 4>, 2> = [&LOW_WEIGHTS, &HIGH_WEIGHTS];
    /// Starts by process and CPU.
    static STARTS as "starts": PerCpuHashMap<i32, u64, 64>;
    /// To user space.
    static REPORTS as "reports": RingBuf<4096>;
    /// From user space.
    static WISHES as "wishes": UserRingBuf<4096>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

/// Does what user space asks for.
fn grant(wish: Wish) {
    NR_WISHES.fetch_add(1);
    if let Some(slice) = SLICES.get(wish.level) {
        slice.set(wish.slice);
    }
}

/// The level of a task: that of nice 0 and more.
fn level(p: Task<'_>) -> u32 {
    if p.weight() < Weight::DEFAULT { 0 } else { 1 }
}

/// Its slice.
#[inline(always)]
fn slice(level: u32) -> Ns {
    let wished = SLICES.get(level).map_or(Ns::ZERO, |slice| slice.get());
    if wished == Ns::ZERO { Ns::from_ms(4) } else { wished }
}

/// Tells user space how many tasks started on a CPU, every tenth time.
#[inline(always)]
fn report(cpu: Cpu, tgid: i32) -> Option<()> {
    let starts = STARTS.get_or_insert(tgid)?;
    starts.add(1);
    let report = REPORTS.reserve::<Report>()?;
    if !starts.get().is_multiple_of(10) {
        return None;
    }
    report.cpu.set(cpu.0);
    report.starts[0].set(starts.get());
    report.starts[1].set(STARTS.on(tgid, Cpu(0)).map_or(0, |starts| starts.get()));
    report.submit();
    NR_REPORTS.fetch_add(1);
    Some(())
}

scheduler! {
    /// Two levels of queues; user space says how long the slices of each are.
    pub struct Maps { name: "maps" }

    impl Ops for Maps {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            let level = level(p);
            if let Some(weights) = WEIGHTS.get(level)
                && let Some(weight) = weights.get(0)
            {
                weight.fetch_add(p.weight().0.into());
            }
            let queued = match LEVELS.get(level) {
                Some(queue) => queue.push(p.pid()),
                None => false,
            };
            if queued && p.nr_cpus_allowed() > 1 {
                NR_QUEUED.fetch_add(1);
                return;
            }
            NR_FULL.fetch_add(1);
            Dsq::GLOBAL.insert(cx, p, slice(level), enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            if let Ok(nr) = WISHES.drain(grant)
                && nr > 0
            {
                scx_print!("%d wishes", nr);
            }
            for i in 0..2 {
                let Some(queue) = LEVELS.get(1 - i) else { continue };
                let Some(pid) = queue.pop() else { continue };
                let Some(found) = OwnedTask::from_pid(pid) else { continue };
                Dsq::GLOBAL.insert(cx, found.task(), slice(1 - i), EnqFlags::NONE);
            }
        }

        fn running(_cx: &Event, p: Task<'_>) {
            _ = report(p.cpu(), p.tgid());
            let unread = REPORTS.nr_unread();
            if unread > MOST_UNREAD.get() {
                MOST_UNREAD.set(unread);
            }
        }

        fn exit_task(_cx: &Event, p: Task<'_>, _args: ExitTask<'_>) {
            STARTS.remove(p.tgid());
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
