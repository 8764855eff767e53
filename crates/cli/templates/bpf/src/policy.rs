//! The BPF half of {{name}}: one queue, ordered by weighted virtual time.

use scxr_policy::prelude::*;

/// The one queue.
const QUEUE: Dsq<ByVtime> = Dsq::by_vtime(0);

state! {
    /// The slice.
    pub static SLICE as "slice": Tunable<Ns> = Ns::from_ms(10);
    /// The virtual time of the task that was farthest when it started to run.
    static VTIME_NOW as "vtime_now": Global<Vtime> = Vtime::ZERO;
    /// By CPU: tasks that went straight to an idle CPU, and tasks that had to wait.
    pub static STATS as "stats": PerCpuArray<u64, 2>;
    /// Why the scheduler ended.
    static UEI as "uei": ExitRecord;
}

fn count(stat: u32) {
    if let Some(value) = STATS.get(stat) {
        value.add(1);
    }
}

scheduler! {
    /// Weighted virtual time.
    pub struct Scheduler { name: "{{crate}}" }

    impl Ops for Scheduler {
        /// An idle CPU takes the task at once.
        fn select_cpu(cx: &SelectCpu, p: Task<'_>, prev_cpu: Cpu, wake_flags: WakeFlags) -> Cpu {
            let picked = p.select_cpu_dfl(cx, prev_cpu, wake_flags);
            if picked.is_idle {
                count(0);
                Dsq::LOCAL.insert(cx, p, SLICE.get(), EnqFlags::NONE);
            }
            picked.cpu
        }

        /// Who slept has one slice of credit at most.
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            count(1);
            let vtime = p.dsq_vtime().max(VTIME_NOW.get() - SLICE.get());
            QUEUE.insert_vtime(cx, p, SLICE.get(), vtime, enq_flags);
        }

        fn dispatch(cx: &Dispatch, _cpu: Cpu, _prev: Option<Task<'_>>) {
            QUEUE.move_to_local(cx);
        }

        fn running(_cx: &Event, p: Task<'_>) {
            if VTIME_NOW.get().before(p.dsq_vtime()) {
                VTIME_NOW.set(p.dsq_vtime());
            }
        }

        /// Charges what was used of the slice, by weight.
        fn stopping(_cx: &Event, p: Task<'_>, _runnable: bool) {
            p.set_dsq_vtime(p.dsq_vtime() + p.weight().charge(SLICE.get() - p.slice()));
        }

        /// A new task starts now, neither ahead nor behind.
        fn enable(_cx: &Event, p: Task<'_>) {
            p.set_dsq_vtime(VTIME_NOW.get());
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            QUEUE.create(cx).inspect_err(|errno| scx_error!("no queue: %d", errno.0))
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
