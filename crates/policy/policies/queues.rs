//! Handing values on: queues and stacks of the policy's own, messages to user space, a lock, random numbers, what is printed.

use scxr_policy::prelude::*;

plain! {
    /// What user space is told of a task that starts.
    pub struct Start {
        /// Who.
        pub pid: i32,
        /// Where.
        pub cpu: i32,
        /// When.
        pub at: Ns,
    }
}

shared! {
    /// Figures that have to agree with each other.
    pub struct Totals {
        /// Guards the others.
        pub lock: SpinLock,
        /// Tasks that came.
        pub nr_in: u64,
        /// Tasks that went.
        pub nr_out: u64,
    }
}

state! {
    /// After how many tasks it is enough; 0: never.
    pub static ENOUGH as "enough": Tunable<u64> = 0;
    /// Messages that were lost.
    static NR_LOST as "nr_lost": Global<u64> = 0;
    /// Ids that were overtaken.
    static NR_OVERTAKEN as "nr_overtaken": Global<u64> = 0;
    /// Tasks by chance.
    static NR_LUCKY as "nr_lucky": Global<u64> = 0;
    /// Ids of tasks in the order of their coming.
    static ORDER as "order": Queue<i32, 1024>;
    /// Ids of tasks, the last one first.
    static LATEST as "latest": Stack<i32, 16>;
    /// What user space reads.
    pub static STARTS as "starts": RingBuf<65536>;
    /// The figures.
    static TOTALS as "totals": Array<Totals, 1>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// First in, first out, with an account of it.
    pub struct Queues { name: "queues" }

    impl Ops for Queues {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            ORDER.push(p.pid());
            if !LATEST.push(p.pid()) {
                for _ in bounded!(0..16) {
                    if LATEST.pop().is_none() {
                        break;
                    }
                }
            }
            let mut nr_in = 0;
            if let Some(totals) = TOTALS.get(0) {
                let _guard = totals.lock.lock();
                totals.nr_in.add(1);
                nr_in = totals.nr_in.get();
            }
            if ENOUGH.get() != 0 && nr_in == ENOUGH.get() {
                scx_exit!(7, "enough after %llu tasks, the last one %d", nr_in, p.pid());
            }
            let lucky = random_u32() & 7 == 0;
            if lucky {
                NR_LUCKY.fetch_add(1);
                scx_print!("%d is lucky", p.pid());
            }
            let flags = if lucky { enq_flags | EnqFlags::head() } else { enq_flags };
            Dsq::GLOBAL.insert(cx, p, Ns::SLICE_DFL, flags);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            match ORDER.peek() {
                Some(first) if first == p.pid() => _ = ORDER.pop(),
                Some(_) => {
                    NR_OVERTAKEN.fetch_add(1);
                    ORDER.pop();
                }
                None => {}
            }
            if !STARTS.send_with(Start { pid: p.pid(), cpu: Cpu::current().0, at: Ns::now() }, RingFlags::FORCE_WAKEUP) {
                NR_LOST.fetch_add(1);
            }
        }

        fn quiescent(_cx: &Event, _p: Task<'_>, _deq_flags: EnqFlags) {
            if let Some(totals) = TOTALS.get(0) {
                let _guard = totals.lock.lock();
                totals.nr_out.add(1);
            }
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
