//! Walking a queue and moving tasks out of its middle; looking at its head; moving on by virtual time.

use scxr_policy::prelude::*;

/// Where all wait.
const WAITING: Dsq<Fifo> = Dsq::fifo(0);
/// Where those go that were passed over too often, by virtual time.
const OVERDUE: Dsq<ByVtime> = Dsq::by_vtime(1);

shared! {
    /// What is kept for each task.
    pub struct TaskCtx {
        /// How often others were taken before it.
        pub nr_passed: u32,
    }
}

state! {
    /// Tasks that came back to their CPU.
    static NR_HOME as "nr_home": Global<u64> = 0;
    /// Tasks that were moved to the overdue ones.
    static NR_OVERDUE as "nr_overdue": Global<u64> = 0;
    /// By task.
    static TASKS as "tasks": TaskStorage<TaskCtx>;
    /// Why it ended.
    static UEI as "uei": ExitRecord;
}

scheduler! {
    /// A CPU takes a task that was there before; one that was passed over three times goes first.
    pub struct Moves { name: "moves" }

    impl Ops for Moves {
        fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {
            if let Some(task) = TASKS.get_or_create(p) {
                task.nr_passed.set(0);
            }
            WAITING.insert(cx, p, Ns::from_ms(5), enq_flags);
        }

        fn dispatch(cx: &Dispatch, cpu: Cpu, _prev: Option<Task<'_>>) {
            if OVERDUE.move_to_local(cx) {
                return;
            }
            for p in waiting!(WAITING) {
                if p.cpu() == cpu && p.move_to(cx, Dsq::LOCAL, EnqFlags::NONE) {
                    NR_HOME.fetch_add(1);
                    return;
                }
                let Some(task) = TASKS.get(*p) else { continue };
                task.nr_passed.add(1);
                if task.nr_passed.get() > 3 {
                    p.set_move_vtime(Vtime(Ns::now().0));
                    p.set_move_slice(Ns::from_ms(10));
                    if p.move_to_vtime(cx, OVERDUE, EnqFlags::NONE) {
                        NR_OVERDUE.fetch_add(1);
                    }
                }
            }
            if !OVERDUE.move_to_local(cx) {
                WAITING.move_to_local(cx);
            }
        }

        fn init(cx: &Init) -> Result<(), Errno> {
            WAITING.create(cx)?;
            OVERDUE.create(cx)
        }

        fn exit(_cx: &Event, ei: ExitInfo<'_>) {
            UEI.record(ei);
        }
    }
}
